// What a kernel image sees of the emulated device. An image is a shared object that the stand-in compiler made; it is
// linked with nothing. It exports `emulator_machine`, which the driver sets when it loads the image, and the list of
// its kernels. Included by device.h before every kernel, so it includes next to nothing: that keeps compiling quick.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace emulator {

// Raised by any change of what an image and the driver exchange.
constexpr unsigned INTERFACE = 1;

// A line of a kernel's source.
struct Place {
    const char* file;
    int line;
};

struct Index {
    unsigned x, y, z;
};

// What a running thread knows of itself.
struct Self {
    Index thread, block, block_dim, grid_dim;
    unsigned lane;
    void* dynamic_shared;
};

enum class Product { F16, BF16, TF32 };

// 16 bytes on their way from global to shared memory.
struct Copy {
    void* to;
    const void* from;
};

// The services of the device. All but the last four may let other threads run.
struct Machine {
    Self* self;  // the thread that runs now

    void (*block_barrier)(Place);
    void (*warp_barrier)(unsigned mask, Place);
    // Of `blocks` blocks that have the same index in y and z; `word` tells one such group from another.
    void (*grid_barrier)(const unsigned* word, unsigned blocks, Place);
    // The value that lane `from` of the warp gave in the same call.
    uint64_t (*shuffle)(unsigned mask, uint64_t value, unsigned from, Place);
    // The lanes of `mask` whose predicate is not zero.
    unsigned (*ballot)(unsigned mask, int predicate, Place);
    // d += a b, the fragments of `mma.sync` as PTX lays them out over the lanes.
    void (*product)(Product, float d[4], const unsigned a[4], const unsigned b[2], Place);
    // Lets others run: for a thread that polls.
    void (*yield)(Place);

    // The block's copy of a shared array, which is made when the first thread asks for it. `site` names the
    // declaration.
    void* (*shared)(const void* site, size_t bytes, Place);
    // Copies take place when they are waited for.
    void (*copy)(Copy);
    void (*copy_commit)();
    // The next copy to make when all but the last `keep` groups are waited for; false when there is none. The image
    // itself moves the bytes, because its instructions are the ones that the sanitizers see.
    bool (*copy_due)(unsigned keep, Copy*);
};

// A shared array that was declared, for the sum that a real compiler would know.
struct SharedArray {
    uint64_t file;  // hash of its name
    int line;
    size_t bytes;
    const SharedArray* next;
};

// A kernel of an image.
struct Kernel {
    const char* name;
    void (*run)(const void* args);
    size_t args_size;
    unsigned max_threads;  // __launch_bounds__; 0 when it has none
    uint64_t file;         // hash of the name of its source file, and its lines there, for shared arrays declared in it
    int first_line, last_line;
};

// What the image exports as `emulator_image`.
struct Exports {
    unsigned interface;
    Machine** machine;
    const SharedArray* const* shared_arrays;
    const Kernel* kernels;
    size_t kernel_count;
};

// FNV-1a, usable by the compiler.
constexpr uint64_t hash(const char* text) {
    uint64_t h = 0xcbf29ce484222325;
    for (; *text; ++text) h = (h ^ static_cast<unsigned char>(*text)) * 0x100000001b3;
    return h;
}

}  // namespace emulator
