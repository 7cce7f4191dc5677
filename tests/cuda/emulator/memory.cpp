// Memory of the stand-in driver. Every allocation is known, so every copy is checked against it, twice: when it is
// asked for, and when its turn comes, because the memory may have been freed in between.

#include <string.h>

#include "driver.h"

namespace emulator {

Allocation* find_memory(Context& context, const void* address, size_t bytes) {
    const uintptr_t start = reinterpret_cast<uintptr_t>(address);
    auto next = context.memory.upper_bound(start);
    if (next == context.memory.begin()) return nullptr;
    auto& [base, allocation] = *--next;
    const size_t offset = start - base, size = allocation.memory.size();
    return offset <= size && bytes <= size - offset ? &allocation : nullptr;
}

std::string damaged_memory(Context& context) {
    std::string found;
    for (auto& [address, allocation] : context.memory) {
        const char* damage = allocation.memory.damage();
        if (!damage) continue;
        if (found.empty()) {
            found = std::string("it wrote ") + damage + " an allocation of " +
                    std::to_string(allocation.memory.size()) + " bytes";
        }
        allocation.memory.mend();
    }
    return found;
}

namespace {

// Is it page-locked memory of ours? Other memory of the host is copied before the call returns.
bool pinned(Context& context, const void* address) {
    const Allocation* allocation = find_memory(context, address, 0);
    return allocation && allocation->host;
}

Status allocate(Context& context, void** address, size_t bytes, bool host) {
    if (bytes == 0) return INVALID_VALUE;
    size_t& used = driver().used_memory[context.device];
    if (!host && (bytes > settings().memory || used > settings().memory - bytes)) return OUT_OF_MEMORY;
    Guarded memory(bytes);
    if (!memory) return OUT_OF_MEMORY;
    if (!host) used += bytes;
    *address = memory.data();
    context.memory.emplace(reinterpret_cast<uintptr_t>(*address), Allocation{std::move(memory), host});
    return SUCCESS;
}

Status release(Context& context, void* address, bool host) {
    auto found = context.memory.find(reinterpret_cast<uintptr_t>(address));
    if (found == context.memory.end() || found->second.host != host) return INVALID_VALUE;
    if (!host) driver().used_memory[context.device] -= found->second.memory.size();
    context.memory.erase(found);
    return SUCCESS;
}

// ---- copies and fills, as work of a stream ----------------------------------------------------------------------

enum class Side { DEVICE, HOST };

struct End {
    void* address;
    Side side;
};

// Bytes on the device must be allocated; page-locked ones too, other memory of the host is the caller's affair.
bool there(Context& context, End end, size_t bytes) {
    if (end.side == Side::HOST && !pinned(context, end.address)) return true;
    return find_memory(context, end.address, bytes) != nullptr;
}

Work copy_work(Context& context, End to, End from, size_t bytes) {
    return [&context, to, from, bytes] {
        if (!there(context, to, bytes) || !there(context, from, bytes)) return ILLEGAL_ADDRESS;
        memmove(to.address, from.address, bytes);
        return SUCCESS;
    };
}

Status copy_async(Context& context, Stream* handle, End to, End from, size_t bytes) {
    Stream* stream = find_stream(context, handle);
    if (!stream) return INVALID_HANDLE;
    if (bytes == 0) return SUCCESS;
    if (!there(context, to, bytes) || !there(context, from, bytes)) return INVALID_VALUE;
    if (stream->capture) return enqueue(*stream, copy_work(context, to, from, bytes));
    if (from.side == Side::HOST && !pinned(context, from.address)) {
        // The driver takes such bytes along before it returns; the caller may change them at once.
        auto taken = std::make_shared<std::vector<unsigned char>>(bytes);
        memcpy(taken->data(), from.address, bytes);
        return enqueue(*stream, [&context, to, taken] {
            if (!there(context, to, taken->size())) return ILLEGAL_ADDRESS;
            memcpy(to.address, taken->data(), taken->size());
            return SUCCESS;
        });
    }
    const Status status = enqueue(*stream, copy_work(context, to, from, bytes));
    // To pageable memory of the host a copy has been made when the call returns.
    if (status == SUCCESS && to.side == Side::HOST && !pinned(context, to.address)) return drain(*stream);
    return status;
}

// A synchronous copy is one on the null stream, waited for. It does not wait for streams that do not block.
Status copy(End to, End from, size_t bytes) {
    return in_context([&](Context& context) {
        if (Status refused = refuse_in_capture(context)) return refused;
        const Status status = copy_async(context, nullptr, to, from, bytes);
        return status ? status : drain(context.null_stream);
    });
}

template <class Element>
Status fill(Context& context, Stream* handle, void* to, Element value, size_t count) {
    Stream* stream = find_stream(context, handle);
    if (!stream) return INVALID_HANDLE;
    if (reinterpret_cast<uintptr_t>(to) % sizeof(Element) != 0) return INVALID_VALUE;
    if (count == 0) return SUCCESS;
    if (!find_memory(context, to, count * sizeof(Element))) return INVALID_VALUE;
    return enqueue(*stream, [&context, to, value, count] {
        if (!find_memory(context, to, count * sizeof(Element))) return ILLEGAL_ADDRESS;
        for (size_t i = 0; i < count; ++i) static_cast<Element*>(to)[i] = value;
        return SUCCESS;
    });
}

}  // namespace
}  // namespace emulator

using namespace emulator;

// ---- allocations ------------------------------------------------------------------------------------------------

CUDA_API cuMemGetInfo_v2(size_t* free, size_t* total) {
    return in_context([&](Context& context) {
        *total = settings().memory;
        *free = settings().memory - driver().used_memory[context.device];
        return SUCCESS;
    });
}

CUDA_API cuMemAlloc_v2(void** address, size_t bytes) {
    return in_context([&](Context& context) {
        if (Status refused = refuse_in_capture(context)) return refused;
        return allocate(context, address, bytes, false);
    });
}

// Waits for all that was started on the device, as a card does.
CUDA_API cuMemFree_v2(void* address) {
    return in_context([&](Context& context) {
        if (!address) return SUCCESS;
        if (Status refused = refuse_in_capture(context)) return refused;
        if (Status failed = drain_all(context)) return failed;
        return release(context, address, false);
    });
}

CUDA_API cuMemAllocAsync(void** address, size_t bytes, Stream* handle) {
    return in_context([&](Context& context) {
        Stream* stream = find_stream(context, handle);
        if (!stream) return INVALID_HANDLE;
        if (stream->capture) return NOT_SUPPORTED;  // memory nodes of graphs are not emulated
        Status status = allocate(context, address, bytes, false);
        if (status != OUT_OF_MEMORY) return status;
        // Memory that is about to be freed on this stream can be had.
        if (Status failed = drain(*stream)) return failed;
        return allocate(context, address, bytes, false);
    });
}

CUDA_API cuMemFreeAsync(void* address, Stream* handle) {
    return in_context([&](Context& context) {
        Stream* stream = find_stream(context, handle);
        if (!stream) return INVALID_HANDLE;
        if (stream->capture) return NOT_SUPPORTED;
        if (!context.memory.count(reinterpret_cast<uintptr_t>(address))) return INVALID_VALUE;
        return enqueue(*stream, [&context, address] { return release(context, address, false); });
    });
}

CUDA_API cuMemHostAlloc(void** address, size_t bytes, unsigned) {
    return in_context([&](Context& context) {
        if (Status refused = refuse_in_capture(context)) return refused;
        return allocate(context, address, bytes, true);
    });
}
CUDA_API cuMemAllocHost_v2(void** address, size_t bytes) { return cuMemHostAlloc(address, bytes, 0); }

CUDA_API cuMemFreeHost(void* address) {
    return in_context([&](Context& context) {
        if (Status refused = refuse_in_capture(context)) return refused;
        if (Status failed = drain_all(context)) return failed;
        return release(context, address, true);
    });
}

CUDA_API cuMemHostGetDevicePointer_v2(void** device, void* host, unsigned) {
    return in_context([&](Context& context) {
        if (!pinned(context, host)) return INVALID_VALUE;
        *device = host;
        return SUCCESS;
    });
}

// ---- copies -----------------------------------------------------------------------------------------------------

CUDA_API cuMemcpyHtoD_v2(void* to, void* from, size_t bytes) {
    return copy({to, Side::DEVICE}, {from, Side::HOST}, bytes);
}
CUDA_API cuMemcpyDtoH_v2(void* to, void* from, size_t bytes) {
    return copy({to, Side::HOST}, {from, Side::DEVICE}, bytes);
}
CUDA_API cuMemcpyDtoD_v2(void* to, void* from, size_t bytes) {
    // Between two places of the device the call does not wait.
    return in_context([&](Context& context) {
        return copy_async(context, nullptr, {to, Side::DEVICE}, {from, Side::DEVICE}, bytes);
    });
}
CUDA_API cuMemcpyHtoDAsync_v2(void* to, void* from, size_t bytes, Stream* stream) {
    return in_context([&](Context& context) {
        return copy_async(context, stream, {to, Side::DEVICE}, {from, Side::HOST}, bytes);
    });
}
CUDA_API cuMemcpyDtoHAsync_v2(void* to, void* from, size_t bytes, Stream* stream) {
    return in_context([&](Context& context) {
        return copy_async(context, stream, {to, Side::HOST}, {from, Side::DEVICE}, bytes);
    });
}
CUDA_API cuMemcpyDtoDAsync_v2(void* to, void* from, size_t bytes, Stream* stream) {
    return in_context([&](Context& context) {
        return copy_async(context, stream, {to, Side::DEVICE}, {from, Side::DEVICE}, bytes);
    });
}

// Which way it goes is seen from the addresses.
CUDA_API cuMemcpyAsync(void* to, void* from, size_t bytes, Stream* stream) {
    return in_context([&](Context& context) {
        auto side = [&](void* address) {
            const Allocation* allocation = find_memory(context, address, 0);
            return End{address, allocation && !allocation->host ? Side::DEVICE : Side::HOST};
        };
        return copy_async(context, stream, side(to), side(from), bytes);
    });
}

// ---- fills ------------------------------------------------------------------------------------------------------

CUDA_API cuMemsetD8Async(void* to, unsigned char value, size_t count, Stream* stream) {
    return in_context([&](Context& context) { return fill(context, stream, to, value, count); });
}
CUDA_API cuMemsetD32Async(void* to, unsigned value, size_t count, Stream* stream) {
    return in_context([&](Context& context) { return fill(context, stream, to, value, count); });
}
CUDA_API cuMemsetD8_v2(void* to, unsigned char value, size_t count) {
    return in_context([&](Context& context) { return fill(context, nullptr, to, value, count); });
}
CUDA_API cuMemsetD32_v2(void* to, unsigned value, size_t count) {
    return in_context([&](Context& context) { return fill(context, nullptr, to, value, count); });
}
