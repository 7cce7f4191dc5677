// What the stand-in compiler gives out as a cubin: this header, then a shared object. Read by the stand-in driver.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace emulator {

// It begins like an ELF file without sections, since a cubin is one and callers look for that.
struct ImageHeader {
    char magic[16];
    char empty_tables[48];
    uint32_t interface;
    uint32_t arch;  // 87 for sm_87
    uint64_t size;  // of the shared object that follows
    uint64_t digest;
};

constexpr char IMAGE_MAGIC[16] = {0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 'E', 'm', 'u', 'C', 'u', 'b', 'i', 'n'};

// FNV-1a over words, which is enough to notice damage.
inline uint64_t digest(const void* data, size_t size, uint64_t h = 0xcbf29ce484222325) {
    const auto* bytes = static_cast<const unsigned char*>(data);
    for (size_t i = 0; i < size; ++i) h = (h ^ bytes[i]) * 0x100000001b3;
    return h;
}

}  // namespace emulator
