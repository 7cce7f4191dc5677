// Memory of the device: as long as asked for, to the byte, and full of NaN, so that what was never written is seen in
// the results. A plain build keeps a zone on both sides and can tell whether a kernel wrote into it; where the address
// sanitizer is loaded the zones are its own, and it stops at the very access.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sanitizer.h"

namespace emulator {

class Guarded {
  public:
    Guarded() = default;
    // Empty when there is no memory.
    explicit Guarded(size_t size) : size_(size) {
        zone_ = address_sanitizer() ? 0 : ZONE;
        void* start = nullptr;
        if (posix_memalign(&start, ZONE, zone_ + size + zone_) != 0) return;
        start_ = static_cast<unsigned char*>(start);
        memset(start_, NAN_BYTE, zone_ + size + zone_);
    }
    Guarded(Guarded&& other) noexcept : start_(other.start_), size_(other.size_), zone_(other.zone_) {
        other.start_ = nullptr;
    }
    Guarded& operator=(Guarded&&) = delete;
    ~Guarded() { free(start_); }

    explicit operator bool() const { return start_ != nullptr; }
    void* data() const { return start_ + zone_; }
    size_t size() const { return size_; }

    // Null when the zones are as they were, else what was written.
    const char* damage() const {
        if (!nan(start_, zone_)) return "before the start of";
        if (!nan(start_ + zone_ + size_, zone_)) return "past the end of";
        return nullptr;
    }
    // Makes the zones good again, so that the next kernel is not blamed.
    void mend() {
        memset(start_, NAN_BYTE, zone_);
        memset(start_ + zone_ + size_, NAN_BYTE, zone_);
    }

  private:
    static constexpr size_t ZONE = 256;  // the alignment of device memory, too
    static constexpr unsigned char NAN_BYTE = 0xff;

    static bool nan(const unsigned char* bytes, size_t count) {
        for (size_t i = 0; i < count; i += sizeof(uint64_t)) {
            uint64_t word;
            memcpy(&word, bytes + i, sizeof word);
            if (word != ~uint64_t{0}) return false;
        }
        return true;
    }

    unsigned char* start_ = nullptr;
    size_t size_ = 0, zone_ = 0;
};

}  // namespace emulator
