// The emulated card as the driver's functions see it: devices, contexts, memory, streams, modules. One lock is held
// in every function of the driver, so nothing below is shared between operating system threads without it.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "guarded.h"
#include "runtime.h"

#define CUDA_API extern "C" __attribute__((visibility("default"))) emulator::Status

namespace emulator {

// CUresult.
enum Status : int {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    NO_BINARY_FOR_GPU = 209,
    INVALID_PTX = 218,
    FILE_NOT_FOUND = 301,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    NOT_READY = 600,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_OUT_OF_RESOURCES = 701,
    LAUNCH_FAILED = 719,
    COOPERATIVE_LAUNCH_TOO_LARGE = 720,
    NOT_SUPPORTED = 801,
    CAPTURE_UNSUPPORTED = 900,
    CAPTURE_INVALIDATED = 901,
    CAPTURE_MERGE = 902,
    CAPTURE_UNMATCHED = 903,
    CAPTURE_UNJOINED = 904,
    CAPTURE_IMPLICIT = 906,
    CAPTURED_EVENT = 907,
};

// What the environment says, read once.
struct Settings {
    uint64_t seed;      // EMULATOR_SEED: order of threads, 0 is their own
    bool resident;      // EMULATOR_RESIDENT: blocks of ordinary launches run concurrently too
    bool trace;         // EMULATOR_TRACE: a line on stderr for each launch
    unsigned arch;      // EMULATOR_ARCH: 87 for sm_87
    int multiprocessors;  // EMULATOR_SMS
    size_t memory;      // EMULATOR_MEMORY: bytes of a device
    int devices;        // EMULATOR_DEVICES
    int version;        // EMULATOR_DRIVER: 12080 for CUDA 12.8
    std::string cache;  // EMULATOR_CACHE: folder of images
};
const Settings& settings();

// What follows from the architecture, by the tables of NVIDIA's programming guide.
struct Card {
    int shared_per_block;  // after opting in
    int shared_per_multiprocessor;
    int shared_reserved;  // of each block, by the system
    int threads_per_multiprocessor;
    int blocks_per_multiprocessor;
    bool cooperative;
    bool integrated;
};
const Card& card();
constexpr int MAX_THREADS = 1024;
constexpr int SHARED_WITHOUT_OPT_IN = 48 << 10;
constexpr int REGISTERS = 64 << 10;
// What every kernel is said to use: the host's compiler does not count them.
constexpr int REGISTERS_PER_THREAD = 32;

struct Context;
struct Stream;
struct Event;

// Something to do when its turn comes.
using Work = std::function<Status()>;

// The streams that record into one graph.
struct Capture {
    struct Member {
        size_t works = 0, joined = 0;  // how many it has put in, and up to which of them another stream waits for it
    };
    Stream* origin;
    int mode;  // CUstreamCaptureMode: 0 global, 1 of this thread, 2 relaxed
    uintptr_t thread;
    bool invalidated = false;
    std::vector<Work> works;
    std::map<Stream*, Member> members;
};

// Work of a stream waits in its queue until somebody waits for it: the latest moment that a card, too, could choose. So
// a host that does not wait reads what was there before.
struct Stream {
    Context* context;
    bool blocking;  // waits for the null stream and the other way round
    std::deque<Work> queue;
    std::shared_ptr<Capture> capture;
};

struct Event {
    bool timed = true;
    Stream* stream = nullptr;  // on which it was recorded last
    uint64_t recorded = 0, done = 0;
    double time = 0;  // in milliseconds, when it was last done
    std::shared_ptr<Capture> capture;
    size_t works = 0;  // how much of its stream's part of the capture it covers
};

struct Allocation {
    Guarded memory;
    bool host;
};

struct Function;

struct Module {
    Context* context;
    const Exports* exports;
    std::map<std::string, std::unique_ptr<Function>> functions;
};

struct Function {
    Module* module;
    const Kernel* kernel;
    int max_dynamic_shared = SHARED_WITHOUT_OPT_IN;
    size_t static_shared = 0;  // known to begin with: of arrays declared in the kernel; later: what a launch has seen
};

struct Context {
    int device = 0;
    int users = 0;  // of a primary context
    unsigned flags = 0;
    Status failed = SUCCESS;  // an error of a kernel stays until the context is gone
    Stream null_stream{};
    std::set<Stream*> streams;  // without the null stream
    std::map<Event*, std::shared_ptr<Event>> events;
    std::set<Module*> modules;
    std::map<uintptr_t, Allocation> memory;
    std::set<std::shared_ptr<Capture>> captures;
    ~Context();
};

// ---- driver.cpp -------------------------------------------------------------------------------------------------

// The state of the process. Never destroyed: a program may call the driver while it ends.
struct Driver {
    std::recursive_mutex lock;
    bool initialized = false;
    std::vector<std::unique_ptr<Context>> primaries;
    std::set<Context*> contexts;
    std::vector<size_t> used_memory;  // of each device
    std::deque<std::string> messages;
    std::string failure;  // what the last launch that failed came to
};
Driver& driver();
Context*& current_context();

// The body of a function that works in the calling thread's context: not before there is one, and not after a kernel
// of it has failed.
template <class Body>
Status in_context(Body body) {
    std::lock_guard<std::recursive_mutex> hold(driver().lock);
    if (!driver().initialized) return NOT_INITIALIZED;
    Context* context = current_context();
    if (!context || !driver().contexts.count(context)) return INVALID_CONTEXT;
    if (context->failed) return context->failed;
    return body(*context);
}

// ---- stream.cpp -------------------------------------------------------------------------------------------------

// The stream of a handle, null when there is none: CU_STREAM_LEGACY and CU_STREAM_PER_THREAD are the null stream here.
Stream* find_stream(Context& context, Stream* handle);
// Puts work into a stream, or into the graph that it records.
Status enqueue(Stream& stream, Work work);
Status drain(Stream& stream);
Status drain_all(Context& context);
// For functions that may not be called while something is captured; they spoil the capture.
Status refuse_in_capture(Context& context);
Status refuse_in_capture(Stream& stream);

// ---- memory.cpp -------------------------------------------------------------------------------------------------

// The allocation that holds all these bytes, or null.
Allocation* find_memory(Context& context, const void* address, size_t bytes);
// Whether the kernel that ran last wrote next to an allocation; empty when it did not.
std::string damaged_memory(Context& context);

}  // namespace emulator
