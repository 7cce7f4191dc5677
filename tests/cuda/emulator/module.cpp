// Modules, functions and launches of the stand-in driver.

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "driver.h"
#include "image.h"

namespace emulator {
namespace {

// ---- images -----------------------------------------------------------------------------------------------------

// A card runs what was compiled for it, or for a lower minor number of the same major one; where CPU and GPU share a
// chip, what was compiled for that very chip.
bool runs_here(unsigned arch) {
    const unsigned here = settings().arch;
    return arch == here || (!card().integrated && arch / 10 == here / 10 && arch < here);
}

bool written(int file, const void* data, size_t size) {
    const char* bytes = static_cast<const char*>(data);
    while (size > 0) {
        const ssize_t count = write(file, bytes, size);
        if (count <= 0) return false;
        bytes += count;
        size -= static_cast<size_t>(count);
    }
    return true;
}

std::string hexadecimal(uint64_t number) {
    char text[17];
    snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(number));
    return text;
}

// Puts the shared object of an image into a file named by its content, where it stays: the sanitizers look for the
// lines of a report in it. The caller gives a pointer and no length, as CUDA wants it, so a damaged image may be
// shorter than it says. The system call that writes the file stops at the end of the memory; a loop of ours would
// crash. So it is written even if it is there already, and only then looked at.
Status unpack(const ImageHeader& header, const char* payload, std::string& path) {
    const std::string& folder = settings().cache;
    path = folder + "/" + hexadecimal(header.digest) + ".so";
    if (mkdir(folder.c_str(), 0777) != 0 && errno != EEXIST) {
        fprintf(stderr, "emulated device: cannot make %s: %s\n", folder.c_str(), strerror(errno));
        return OUT_OF_MEMORY;
    }
    std::string partial = path + ".XXXXXX";
    const int file = mkstemp(partial.data());
    if (file < 0) {
        fprintf(stderr, "emulated device: cannot write %s: %s\n", partial.c_str(), strerror(errno));
        return OUT_OF_MEMORY;
    }
    bool whole = written(file, payload, header.size);
    close(file);
    whole = whole && digest(payload, header.size) == header.digest && rename(partial.c_str(), path.c_str()) == 0;
    if (!whole) unlink(partial.c_str());
    return whole ? SUCCESS : INVALID_IMAGE;
}

// Shared arrays declared in the lines of the kernel itself. Those of functions that it calls are known after a launch.
size_t declared_shared(const Exports& exports, const Kernel& kernel) {
    size_t sum = 0;
    for (const SharedArray* array = *exports.shared_arrays; array; array = array->next) {
        const bool inside = array->line >= kernel.first_line && array->line <= kernel.last_line;
        if (inside && array->file == kernel.file) sum += (array->bytes + 15) / 16 * 16;
    }
    return sum;
}

Status load(Context& context, Module** module, const void* image) {
    const char* bytes = static_cast<const char*>(image);
    if (strncmp(bytes, "//", 2) == 0 || strncmp(bytes, ".version", 8) == 0) return INVALID_PTX;
    for (size_t i = 0; i < sizeof IMAGE_MAGIC; ++i) {
        if (bytes[i] != IMAGE_MAGIC[i]) return INVALID_IMAGE;
    }
    ImageHeader header;
    memcpy(&header, bytes, sizeof header);
    if (header.interface != INTERFACE) return INVALID_IMAGE;
    if (!runs_here(header.arch)) return NO_BINARY_FOR_GPU;
    std::string path;
    if (Status failed = unpack(header, bytes + sizeof header, path)) return failed;
    // Never closed again: a late report of a sanitizer still wants to name its lines.
    void* object = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    const auto* exports = object ? static_cast<const Exports*>(dlsym(object, "emulator_image")) : nullptr;
    if (!exports || exports->interface != INTERFACE) {
        const char* reason = dlerror();
        fprintf(stderr, "emulated device: cannot load an image: %s\n", reason ? reason : "made for another version");
        return INVALID_IMAGE;
    }
    *exports->machine = machine();
    *module = new Module{&context, exports, {}};
    for (size_t i = 0; i < exports->kernel_count; ++i) {
        const Kernel& kernel = exports->kernels[i];
        auto function = std::make_unique<Function>();
        function->module = *module;
        function->kernel = &kernel;
        function->static_shared = declared_shared(*exports, kernel);
        (*module)->functions.emplace(kernel.name, std::move(function));
    }
    context.modules.insert(*module);
    return SUCCESS;
}

// ---- functions --------------------------------------------------------------------------------------------------

Function* find_function(Context& context, Function* handle) {
    for (Module* module : context.modules) {
        for (auto& [name, function] : module->functions) {
            if (function.get() == handle) return handle;
        }
    }
    return nullptr;
}

template <class Body>
Status with_function(Function* handle, Body body) {
    return in_context([&](Context& context) {
        Function* function = find_function(context, handle);
        return function ? body(*function) : INVALID_HANDLE;
    });
}

int max_threads(const Function& function) {
    const int bound = static_cast<int>(function.kernel->max_threads);
    return bound ? std::min(bound, MAX_THREADS) : MAX_THREADS;
}

int blocks_per_multiprocessor(const Function& function, int threads, size_t dynamic_shared) {
    const int warps = (threads + 31) / 32;
    const size_t shared = function.static_shared + dynamic_shared + card().shared_reserved;
    if (threads > max_threads(function) || shared > static_cast<size_t>(card().shared_per_multiprocessor)) return 0;
    int blocks = std::min(card().blocks_per_multiprocessor, card().threads_per_multiprocessor / (warps * 32));
    blocks = std::min(blocks, REGISTERS / (REGISTERS_PER_THREAD * warps * 32));
    if (shared > 0) blocks = std::min(blocks, card().shared_per_multiprocessor / static_cast<int>(shared));
    return blocks;
}

Status attribute(const Function& function, int which, int* value) {
    switch (which) {
        case 0: *value = max_threads(function); return SUCCESS;
        case 1: *value = static_cast<int>(function.static_shared); return SUCCESS;
        case 2: case 3: *value = 0; return SUCCESS;  // constant and local memory
        case 4: *value = REGISTERS_PER_THREAD; return SUCCESS;
        case 5: case 6: *value = static_cast<int>(settings().arch); return SUCCESS;  // of PTX and binary
        case 8: *value = function.max_dynamic_shared; return SUCCESS;
        default: return INVALID_VALUE;
    }
}

// ---- launches ---------------------------------------------------------------------------------------------------

std::string text(Index i) {
    return std::to_string(i.x) + "x" + std::to_string(i.y) + "x" + std::to_string(i.z);
}

double seconds_now() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

Status perform(Context& context, Function& function, const Launch& launch) {
    static uint64_t launches = 0;
    const Settings& set = settings();
    ++launches;
    // Every launch has an order of its own, the same one in each run of the program.
    const uint64_t seed = set.seed == 0 ? 0 : set.seed * 1'000'003 + launches;
    const double start = seconds_now();
    Outcome outcome = run(launch, {seed, set.resident});
    if (set.trace) {
        fprintf(stderr, "emulated device: %s, grid %s, block %s, %zu bytes of dynamic shared memory: %.3f ms\n",
                launch.kernel->name, text(launch.grid).c_str(), text(launch.block).c_str(), launch.dynamic_shared,
                (seconds_now() - start) * 1e3);
    }
    function.static_shared = std::max(function.static_shared, outcome.static_shared);
    if (outcome.error.empty()) outcome.error = damaged_memory(context);
    if (outcome.error.empty()) return SUCCESS;
    driver().failure = std::string("kernel `") + launch.kernel->name + "`: " + outcome.error;
    fprintf(stderr, "emulated device: %s\n", driver().failure.c_str());
    return outcome.illegal_address ? ILLEGAL_ADDRESS : LAUNCH_FAILED;
}

struct Geometry {
    Index grid, block;
    unsigned dynamic_shared;
};

// A grid has at most 2^31 - 1 blocks in x, 65535 in y and z; a block at most 64 threads in z.
bool fits(const Function& function, const Geometry& g) {
    const size_t threads = size_t{g.block.x} * g.block.y * g.block.z;
    const bool blocks = g.grid.x >= 1 && g.grid.y >= 1 && g.grid.z >= 1 && g.grid.x <= 0x7fffffff &&
                        g.grid.y <= 65535 && g.grid.z <= 65535;
    return blocks && threads >= 1 && g.block.x <= MAX_THREADS && g.block.y <= MAX_THREADS && g.block.z <= 64 &&
           threads <= static_cast<size_t>(max_threads(function));
}

Status launch(Function* handle, const Geometry& geometry, bool cooperative, Stream* stream_handle, void** args) {
    return in_context([&](Context& context) {
        Function* function = find_function(context, handle);
        Stream* stream = find_stream(context, stream_handle);
        if (!function || !stream) return INVALID_HANDLE;
        if (!fits(*function, geometry) || !args || !args[0]) return INVALID_VALUE;
        const size_t shared = function->static_shared + geometry.dynamic_shared;
        if (geometry.dynamic_shared > static_cast<unsigned>(function->max_dynamic_shared) ||
            shared > static_cast<size_t>(card().shared_per_block)) {
            return INVALID_VALUE;
        }
        if (cooperative) {
            if (!card().cooperative) return NOT_SUPPORTED;
            const int threads = static_cast<int>(geometry.block.x * geometry.block.y * geometry.block.z);
            const int64_t most = int64_t{settings().multiprocessors} *
                                 blocks_per_multiprocessor(*function, threads, geometry.dynamic_shared);
            const int64_t blocks = int64_t{geometry.grid.x} * geometry.grid.y * geometry.grid.z;
            if (blocks > most) return COOPERATIVE_LAUNCH_TOO_LARGE;
        }
        Launch made{function->kernel, {}, geometry.grid, geometry.block, geometry.dynamic_shared, cooperative};
        const auto* bytes = static_cast<const unsigned char*>(args[0]);
        made.args.assign(bytes, bytes + function->kernel->args_size);
        return enqueue(*stream, [&context, function, made] {
            // A graph may outlive the module that its kernels came from.
            return find_function(context, function) ? perform(context, *function, made) : INVALID_HANDLE;
        });
    });
}

}  // namespace
}  // namespace emulator

using namespace emulator;

CUDA_API cuModuleLoadData(Module** module, const void* image) {
    return in_context([&](Context& context) { return image ? load(context, module, image) : INVALID_VALUE; });
}
CUDA_API cuModuleLoadDataEx(Module** module, const void* image, unsigned, int*, void**) {
    return cuModuleLoadData(module, image);
}

CUDA_API cuModuleLoad(Module** module, const char* path) {
    return in_context([&](Context& context) {
        FILE* file = fopen(path, "rb");
        if (!file) return FILE_NOT_FOUND;
        std::vector<char> bytes;
        char part[1 << 16];
        for (size_t count; (count = fread(part, 1, sizeof part, file)) > 0;) {
            bytes.insert(bytes.end(), part, part + count);
        }
        fclose(file);
        bytes.resize(bytes.size() + sizeof(ImageHeader));  // an empty file has no magic either
        return load(context, module, bytes.data());
    });
}

CUDA_API cuModuleUnload(Module* module) {
    return in_context([&](Context& context) {
        if (!context.modules.count(module)) return INVALID_HANDLE;
        if (Status failed = drain_all(context)) return failed;
        context.modules.erase(module);
        delete module;
        return SUCCESS;
    });
}

CUDA_API cuModuleGetFunction(Function** function, Module* module, const char* name) {
    return in_context([&](Context& context) {
        if (!context.modules.count(module)) return INVALID_HANDLE;
        auto found = module->functions.find(name);
        if (found == module->functions.end()) return NOT_FOUND;
        *function = found->second.get();
        return SUCCESS;
    });
}

// Variables of the device are no words of the dialect.
CUDA_API cuModuleGetGlobal_v2(void**, size_t*, Module*, const char*) {
    return in_context([](Context&) { return NOT_FOUND; });
}

CUDA_API cuFuncGetAttribute(int* value, int which, Function* handle) {
    return with_function(handle, [&](Function& function) { return attribute(function, which, value); });
}

CUDA_API cuFuncSetAttribute(Function* handle, int which, int value) {
    constexpr int MAX_DYNAMIC_SHARED = 8, PREFERRED_CARVEOUT = 9;
    return with_function(handle, [&](Function& function) {
        if (which == PREFERRED_CARVEOUT) return SUCCESS;
        if (which != MAX_DYNAMIC_SHARED) return INVALID_VALUE;
        const int most = card().shared_per_block - static_cast<int>(function.static_shared);
        if (value < 0 || value > most) return INVALID_VALUE;
        function.max_dynamic_shared = value;
        return SUCCESS;
    });
}

CUDA_API cuFuncSetCacheConfig(Function* handle, int) {
    return with_function(handle, [](Function&) { return SUCCESS; });
}

CUDA_API cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Function* handle, int threads, size_t shared) {
    return with_function(handle, [&](Function& function) {
        if (threads < 1) return INVALID_VALUE;
        *blocks = blocks_per_multiprocessor(function, threads, shared);
        return SUCCESS;
    });
}
CUDA_API cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, Function* function, int threads,
                                                              size_t shared, unsigned) {
    return cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, function, threads, shared);
}

CUDA_API cuLaunchKernel(Function* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                        unsigned block_y, unsigned block_z, unsigned shared, Stream* stream, void** args, void**) {
    return launch(function, {{grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared}, false, stream, args);
}

CUDA_API cuLaunchCooperativeKernel(Function* function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                                   unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared,
                                   Stream* stream, void** args) {
    return launch(function, {{grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared}, true, stream, args);
}
