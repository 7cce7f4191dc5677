// The stand-in driver, `libcuda.so.1`: what there is, contexts, errors. The functions have the names, arguments and
// answers of CUDA's driver API; the library needs nothing from NVIDIA. See README.md for what the environment can say.

#include "driver.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>

namespace emulator {
namespace {

uint64_t number(const char* name, uint64_t otherwise) {
    const char* text = getenv(name);
    return text && *text ? strtoull(text, nullptr, 10) : otherwise;
}

// The folder of this library, where the images go unless the environment names another place.
std::string own_folder() {
    Dl_info info;
    if (!dladdr(reinterpret_cast<void*>(&settings), &info)) return ".";
    const std::string path = info.dli_fname;
    const size_t slash = path.rfind('/');
    return slash == std::string::npos ? "." : path.substr(0, slash);
}

}  // namespace

const Settings& settings() {
    static const Settings* read = [] {
        const char* cache = getenv("EMULATOR_CACHE");
        return new Settings{
            number("EMULATOR_SEED", 0),
            number("EMULATOR_RESIDENT", 0) != 0,
            number("EMULATOR_TRACE", 0) != 0,
            static_cast<unsigned>(number("EMULATOR_ARCH", 80)),
            static_cast<int>(number("EMULATOR_SMS", 16)),
            number("EMULATOR_MEMORY", uint64_t{2} << 30),
            static_cast<int>(number("EMULATOR_DEVICES", 1)),
            static_cast<int>(number("EMULATOR_DRIVER", 12080)),
            cache && *cache ? cache : own_folder() + "/images",
        };
    }();
    return *read;
}

const Card& card() {
    static const Card* made = [] {
        const unsigned arch = settings().arch;
        auto is = [arch](std::initializer_list<unsigned> list) {
            return std::find(list.begin(), list.end(), arch) != list.end();
        };
        const int kib = is({50, 52, 53, 60, 61, 62}) ? 48
                        : is({70, 72})               ? 96
                        : is({75})                   ? 64
                        : is({80, 87})               ? 163
                        : is({86, 88, 89, 120, 121}) ? 99
                                                     : 227;
        // Since 8.0 the system keeps 1 KiB of each block, and a multiprocessor has so much more than a block may take.
        const int reserved = arch >= 80 ? 1 << 10 : 0;
        return new Card{
            kib << 10,
            arch < 70 ? 64 << 10 : (kib << 10) + reserved,
            reserved,
            arch == 75                                         ? 1024
            : is({86, 87, 88, 89, 110, 120, 121})              ? 1536
                                                               : 2048,
            arch == 75 || is({86, 87, 88}) ? 16 : arch == 89 || arch >= 110 ? 24 : 32,
            arch >= 60,
            is({53, 62, 72, 87, 101, 110}),
        };
    }();
    return *made;
}

Driver& driver() {
    static Driver* only = new Driver;
    return *only;
}

Context*& current_context() {
    static thread_local Context* context = nullptr;
    return context;
}

Context::~Context() {
    for (Stream* stream : streams) delete stream;
    for (Module* module : modules) delete module;
    for (auto& [address, allocation] : memory) {
        if (!allocation.host) driver().used_memory[device] -= allocation.memory.size();
    }
    driver().contexts.erase(this);
}

namespace {

// Functions that need the driver to be initialized and a device, but no context.
template <class Body>
Status on_device(int device, Body body) {
    std::lock_guard<std::recursive_mutex> hold(driver().lock);
    if (!driver().initialized) return NOT_INITIALIZED;
    if (device < 0 || device >= settings().devices) return INVALID_DEVICE;
    return body();
}

Context* new_context(int device) {
    auto* context = new Context;
    context->device = device;
    context->null_stream.context = context;
    context->null_stream.blocking = true;
    driver().contexts.insert(context);
    return context;
}

struct Description {
    Status status;
    const char *name, *text;
};
constexpr Description DESCRIPTIONS[] = {
    {SUCCESS, "CUDA_SUCCESS", "no error"},
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {INVALID_PTX, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {FILE_NOT_FOUND, "CUDA_ERROR_FILE_NOT_FOUND", "file not found"},
    {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {COOPERATIVE_LAUNCH_TOO_LARGE, "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE", "too many blocks in cooperative launch"},
    {NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
     "operation not permitted when stream is capturing"},
    {CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
     "operation failed due to a previous error during capture"},
    {CAPTURE_MERGE, "CUDA_ERROR_STREAM_CAPTURE_MERGE",
     "operation would result in a merge of separate capture sequences"},
    {CAPTURE_UNMATCHED, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED", "capture was not ended in the same stream as it began"},
    {CAPTURE_UNJOINED, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED", "capturing stream has unjoined work"},
    {CAPTURE_IMPLICIT, "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT",
     "operation would make the legacy stream depend on a capturing blocking stream"},
    {CAPTURED_EVENT, "CUDA_ERROR_CAPTURED_EVENT",
     "operation not permitted on an event last recorded in a capturing stream"},
};
const Description* describe(Status status) {
    for (const Description& description : DESCRIPTIONS) {
        if (description.status == status) return &description;
    }
    return nullptr;
}

int attribute(int which, Status& status) {
    const Settings& set = settings();
    const Card& of = card();
    switch (which) {
        case 1: return MAX_THREADS;           // per block
        case 2: case 3: return MAX_THREADS;   // block x, y
        case 4: return 64;                    // block z
        case 5: return 0x7fffffff;            // grid x
        case 6: case 7: return 65535;         // grid y, z
        case 8: return SHARED_WITHOUT_OPT_IN;
        case 9: return 64 << 10;              // constant memory
        case 10: return 32;                   // warp
        case 12: return REGISTERS;            // per block
        case 13: return 1'000'000;            // clock, kHz
        case 16: return set.multiprocessors;
        case 18: return of.integrated;
        case 19: return 1;                    // can map host memory
        case 31: return 1;                    // concurrent kernels
        case 36: return 1'000'000;            // memory clock, kHz
        case 37: return 256;                  // memory bus, bits
        case 38: return 4 << 20;              // L2
        case 39: return of.threads_per_multiprocessor;
        case 40: return 2;                    // copy engines
        case 41: return 1;                    // unified addressing
        case 75: return static_cast<int>(set.arch / 10);
        case 76: return static_cast<int>(set.arch % 10);
        case 78: return 1;                    // stream priorities
        case 81: return of.shared_per_multiprocessor;
        case 82: return REGISTERS;            // per multiprocessor
        case 95: return of.cooperative;
        case 97: return of.shared_per_block;
        case 106: return of.blocks_per_multiprocessor;
        case 111: return of.shared_reserved;
        case 115:                             // memory pools, unknown before CUDA 11.2
            if (set.version < 11020) status = INVALID_VALUE;
            return 1;
        default:
            if (which < 1 || which > 200) status = INVALID_VALUE;
            return 0;
    }
}

}  // namespace
}  // namespace emulator

using namespace emulator;

CUDA_API cuInit(unsigned flags) {
    std::lock_guard<std::recursive_mutex> hold(driver().lock);
    if (flags != 0) return INVALID_VALUE;
    if (settings().devices <= 0) return NO_DEVICE;
    if (!driver().initialized) {
        driver().primaries.resize(settings().devices);
        driver().used_memory.resize(settings().devices);
        driver().initialized = true;
    }
    return SUCCESS;
}

CUDA_API cuDriverGetVersion(int* version) {
    *version = settings().version;
    return SUCCESS;
}

CUDA_API cuGetErrorName(Status status, const char** text) {
    const Description* description = describe(status);
    *text = description ? description->name : nullptr;
    return description ? SUCCESS : INVALID_VALUE;
}

// To a failed launch the emulated device has more to say than a card.
CUDA_API cuGetErrorString(Status status, const char** text) {
    std::lock_guard<std::recursive_mutex> hold(driver().lock);
    const Description* description = describe(status);
    *text = description ? description->text : nullptr;
    if ((status == LAUNCH_FAILED || status == ILLEGAL_ADDRESS) && !driver().failure.empty()) {
        driver().messages.push_back(std::string(description->text) + ": " + driver().failure);
        *text = driver().messages.back().c_str();
    }
    return description ? SUCCESS : INVALID_VALUE;
}

CUDA_API cuDeviceGetCount(int* count) {
    if (!driver().initialized) return NOT_INITIALIZED;
    *count = settings().devices;
    return SUCCESS;
}

CUDA_API cuDeviceGet(int* device, int ordinal) {
    return on_device(ordinal, [&] {
        *device = ordinal;
        return SUCCESS;
    });
}

CUDA_API cuDeviceGetName(char* name, int length, int device) {
    return on_device(device, [&] {
        snprintf(name, static_cast<size_t>(length), "Emulated sm_%u", settings().arch);
        return SUCCESS;
    });
}

CUDA_API cuDeviceTotalMem_v2(size_t* bytes, int device) {
    return on_device(device, [&] {
        *bytes = settings().memory;
        return SUCCESS;
    });
}

CUDA_API cuDeviceGetAttribute(int* value, int which, int device) {
    return on_device(device, [&] {
        Status status = SUCCESS;
        const int found = attribute(which, status);
        if (status == SUCCESS) *value = found;
        return status;
    });
}

CUDA_API cuDeviceGetUuid(unsigned char* uuid, int device) {
    return on_device(device, [&] {
        for (int i = 0; i < 16; ++i) uuid[i] = static_cast<unsigned char>(i == 15 ? device : 0xee);
        return SUCCESS;
    });
}
CUDA_API cuDeviceGetUuid_v2(unsigned char* uuid, int device) { return cuDeviceGetUuid(uuid, device); }

// ---- contexts ---------------------------------------------------------------------------------------------------

CUDA_API cuDevicePrimaryCtxRetain(Context** context, int device) {
    return on_device(device, [&] {
        auto& primary = driver().primaries[device];
        if (!primary) primary.reset(new_context(device));
        ++primary->users;
        *context = primary.get();
        return SUCCESS;
    });
}

CUDA_API cuDevicePrimaryCtxRelease_v2(int device) {
    return on_device(device, [&] {
        auto& primary = driver().primaries[device];
        if (!primary) return INVALID_CONTEXT;
        if (--primary->users == 0) primary.reset();
        return SUCCESS;
    });
}

CUDA_API cuDevicePrimaryCtxReset_v2(int device) {
    return on_device(device, [&] {
        driver().primaries[device].reset();
        return SUCCESS;
    });
}

CUDA_API cuDevicePrimaryCtxSetFlags_v2(int device, unsigned) {
    return on_device(device, [] { return SUCCESS; });
}

CUDA_API cuDevicePrimaryCtxGetState(int device, unsigned* flags, int* active) {
    return on_device(device, [&] {
        *flags = 0;
        *active = driver().primaries[device] != nullptr;
        return SUCCESS;
    });
}

CUDA_API cuCtxCreate_v2(Context** context, unsigned flags, int device) {
    return on_device(device, [&] {
        *context = new_context(device);
        (*context)->flags = flags;
        current_context() = *context;
        return SUCCESS;
    });
}
CUDA_API cuCtxCreate_v4(Context** context, const void*, unsigned flags, int device) {
    return cuCtxCreate_v2(context, flags, device);
}

CUDA_API cuCtxDestroy_v2(Context* context) {
    std::lock_guard<std::recursive_mutex> hold(driver().lock);
    if (!driver().contexts.count(context)) return INVALID_CONTEXT;
    for (auto& primary : driver().primaries) {
        if (primary.get() == context) return INVALID_CONTEXT;
    }
    if (current_context() == context) current_context() = nullptr;
    delete context;
    return SUCCESS;
}

CUDA_API cuCtxGetCurrent(Context** context) {
    std::lock_guard<std::recursive_mutex> hold(driver().lock);
    if (!driver().initialized) return NOT_INITIALIZED;
    *context = current_context();
    return SUCCESS;
}

CUDA_API cuCtxSetCurrent(Context* context) {
    std::lock_guard<std::recursive_mutex> hold(driver().lock);
    if (!driver().initialized) return NOT_INITIALIZED;
    if (context && !driver().contexts.count(context)) return INVALID_CONTEXT;
    current_context() = context;
    return SUCCESS;
}

CUDA_API cuCtxGetDevice(int* device) {
    return in_context([&](Context& context) {
        *device = context.device;
        return SUCCESS;
    });
}

CUDA_API cuCtxGetFlags(unsigned* flags) {
    return in_context([&](Context& context) {
        *flags = context.flags;
        return SUCCESS;
    });
}
CUDA_API cuCtxSetFlags(unsigned flags) {
    return in_context([&](Context& context) {
        context.flags = flags;
        return SUCCESS;
    });
}

CUDA_API cuCtxSynchronize() {
    return in_context([](Context& context) {
        for (auto& capture : context.captures) capture->invalidated = true;
        return context.captures.empty() ? drain_all(context) : CAPTURE_UNSUPPORTED;
    });
}

CUDA_API cuCtxGetStreamPriorityRange(int* least, int* greatest) {
    return in_context([&](Context&) {
        *least = 0;
        *greatest = -5;
        return SUCCESS;
    });
}

// Limits and preferences of a cache make no difference here.
CUDA_API cuCtxSetLimit(int, size_t) {
    return in_context([](Context&) { return SUCCESS; });
}
CUDA_API cuCtxGetLimit(size_t* value, int) {
    return in_context([&](Context&) {
        *value = 0;
        return SUCCESS;
    });
}
CUDA_API cuCtxSetCacheConfig(int) {
    return in_context([](Context&) { return SUCCESS; });
}
CUDA_API cuCtxGetCacheConfig(int* value) {
    return in_context([&](Context&) {
        *value = 0;
        return SUCCESS;
    });
}
