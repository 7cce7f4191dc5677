// Streams and events of the stand-in driver.

#include <pthread.h>
#include <time.h>

#include "driver.h"

namespace emulator {
namespace {

double now_ms() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

Status fail(Context& context, Status status) {
    context.failed = status;
    context.null_stream.queue.clear();
    for (Stream* stream : context.streams) stream->queue.clear();
    return status;
}

// Does the first thing in the queue.
Status step(Stream& stream) {
    Work work = std::move(stream.queue.front());
    stream.queue.pop_front();
    const Status status = work();
    return status ? fail(*stream.context, status) : SUCCESS;
}

// Before its next work a stream that blocks waits for the null stream, and the null stream for all that block.
Status wait_for_null_stream(Stream& stream) {
    Context& context = *stream.context;
    if (&stream != &context.null_stream) return stream.blocking ? drain(context.null_stream) : SUCCESS;
    for (Stream* other : context.streams) {
        if (!other->blocking) continue;
        if (other->capture) {
            other->capture->invalidated = true;
            return CAPTURE_IMPLICIT;
        }
        if (Status failed = drain(*other)) return failed;
    }
    return SUCCESS;
}

Status record(Context& context, Event* handle, Stream* stream_handle) {
    auto found = context.events.find(handle);
    Stream* stream = find_stream(context, stream_handle);
    if (found == context.events.end() || !stream) return INVALID_HANDLE;
    std::shared_ptr<Event> event = found->second;
    event->capture = stream->capture;
    if (stream->capture) {
        event->stream = stream;
        event->works = stream->capture->members[stream].works;
        return SUCCESS;
    }
    if (Status failed = wait_for_null_stream(*stream)) return failed;
    event->stream = stream;
    const uint64_t turn = ++event->recorded;
    stream->queue.push_back([event, turn] {
        event->done = turn;
        event->time = now_ms();
        return SUCCESS;
    });
    return SUCCESS;
}

// Gets done what came before this turn of the event.
Status catch_up(Event& event, uint64_t turn) {
    while (event.done < turn) {
        if (Status failed = step(*event.stream)) return failed;
    }
    return SUCCESS;
}

Status wait_in_capture(Stream& stream, Event& event) {
    if (!event.capture) return SUCCESS;  // what an event marked before the capture is no node of the graph
    if (stream.capture && stream.capture != event.capture) return CAPTURE_MERGE;
    if (!stream.capture) {
        stream.capture = event.capture;
        ++stream.capture->members[&stream].works;  // so that it must be joined again
    }
    Capture::Member& recorder = event.capture->members[event.stream];
    if (event.stream != &stream && event.works > recorder.joined) recorder.joined = event.works;
    return SUCCESS;
}

template <class Body>
Status with_event(Event* handle, Body body) {
    return in_context([&](Context& context) {
        auto found = context.events.find(handle);
        if (found == context.events.end()) return INVALID_HANDLE;
        return body(*found->second);
    });
}

Status create(Stream** stream, unsigned flags) {
    return in_context([&](Context& context) {
        *stream = new Stream{&context, (flags & 1) == 0, {}, {}};
        context.streams.insert(*stream);
        return SUCCESS;
    });
}

Status elapsed(float* milliseconds, Event* start, Event* end) {
    return with_event(start, [&](Event& from) {
        return with_event(end, [&](Event& to) {
            if (!from.timed || !to.timed || !from.recorded || !to.recorded) return INVALID_HANDLE;
            if (from.done < from.recorded || to.done < to.recorded) return NOT_READY;
            *milliseconds = static_cast<float>(to.time - from.time);
            return SUCCESS;
        });
    });
}

}  // namespace

Stream* find_stream(Context& context, Stream* handle) {
    constexpr uintptr_t LEGACY = 1, PER_THREAD = 2;
    const auto number = reinterpret_cast<uintptr_t>(handle);
    if (number == 0 || number == LEGACY || number == PER_THREAD) return &context.null_stream;
    return context.streams.count(handle) ? handle : nullptr;
}

Status enqueue(Stream& stream, Work work) {
    if (stream.capture) {
        if (stream.capture->invalidated) return CAPTURE_INVALIDATED;
        stream.capture->works.push_back(std::move(work));
        ++stream.capture->members[&stream].works;
        return SUCCESS;
    }
    if (Status failed = wait_for_null_stream(stream)) return failed;
    stream.queue.push_back(std::move(work));
    return SUCCESS;
}

Status drain(Stream& stream) {
    while (!stream.queue.empty()) {
        if (Status failed = step(stream)) return failed;
    }
    return SUCCESS;
}

Status drain_all(Context& context) {
    if (Status failed = drain(context.null_stream)) return failed;
    for (Stream* stream : context.streams) {
        if (Status failed = drain(*stream)) return failed;
    }
    return SUCCESS;
}

Status refuse_in_capture(Context& context) {
    const auto self = static_cast<uintptr_t>(pthread_self());
    for (auto& capture : context.captures) {
        const bool forbids = capture->mode == 0 || (capture->mode == 1 && capture->thread == self);
        if (!forbids) continue;
        capture->invalidated = true;
        return CAPTURE_UNSUPPORTED;
    }
    return SUCCESS;
}

Status refuse_in_capture(Stream& stream) {
    if (!stream.capture) return SUCCESS;
    stream.capture->invalidated = true;
    return CAPTURE_UNSUPPORTED;
}

}  // namespace emulator

using namespace emulator;

// ---- streams ----------------------------------------------------------------------------------------------------

CUDA_API cuStreamCreate(Stream** stream, unsigned flags) { return create(stream, flags); }
CUDA_API cuStreamCreateWithPriority(Stream** stream, unsigned flags, int) { return create(stream, flags); }

CUDA_API cuStreamDestroy_v2(Stream* handle) {
    return in_context([&](Context& context) {
        if (!context.streams.count(handle)) return INVALID_HANDLE;
        const Status failed = drain(*handle);
        context.streams.erase(handle);
        delete handle;
        return failed;
    });
}

CUDA_API cuStreamSynchronize(Stream* handle) {
    return in_context([&](Context& context) {
        Stream* stream = find_stream(context, handle);
        if (!stream) return INVALID_HANDLE;
        if (Status refused = refuse_in_capture(*stream)) return refused;
        if (Status failed = wait_for_null_stream(*stream)) return failed;
        return drain(*stream);
    });
}

// Each question lets the stream do one more thing, so that asking again and again comes to an end.
CUDA_API cuStreamQuery(Stream* handle) {
    return in_context([&](Context& context) {
        Stream* stream = find_stream(context, handle);
        if (!stream) return INVALID_HANDLE;
        if (Status refused = refuse_in_capture(*stream)) return refused;
        if (stream->queue.empty()) return SUCCESS;
        if (Status failed = step(*stream)) return failed;
        return NOT_READY;
    });
}

CUDA_API cuStreamWaitEvent(Stream* handle, Event* event_handle, unsigned) {
    return in_context([&](Context& context) {
        Stream* stream = find_stream(context, handle);
        auto found = context.events.find(event_handle);
        if (!stream || found == context.events.end()) return INVALID_HANDLE;
        std::shared_ptr<Event> event = found->second;
        if (stream->capture || event->capture) return wait_in_capture(*stream, *event);
        const uint64_t turn = event->recorded;
        return enqueue(*stream, [event, turn] { return catch_up(*event, turn); });
    });
}

// A function of the host among the work of a stream.
CUDA_API cuLaunchHostFunc(Stream* handle, void (*function)(void*), void* argument) {
    return in_context([&](Context& context) {
        Stream* stream = find_stream(context, handle);
        if (!stream) return INVALID_HANDLE;
        return enqueue(*stream, [function, argument] {
            function(argument);
            return SUCCESS;
        });
    });
}

// ---- events -----------------------------------------------------------------------------------------------------

CUDA_API cuEventCreate(Event** event, unsigned flags) {
    constexpr unsigned DISABLE_TIMING = 2;
    return in_context([&](Context& context) {
        auto made = std::make_shared<Event>();
        made->timed = (flags & DISABLE_TIMING) == 0;
        *event = made.get();
        context.events.emplace(made.get(), made);
        return SUCCESS;
    });
}

CUDA_API cuEventDestroy_v2(Event* event) {
    return in_context([&](Context& context) { return context.events.erase(event) ? SUCCESS : INVALID_HANDLE; });
}

CUDA_API cuEventRecord(Event* event, Stream* stream) {
    return in_context([&](Context& context) { return record(context, event, stream); });
}
CUDA_API cuEventRecordWithFlags(Event* event, Stream* stream, unsigned) { return cuEventRecord(event, stream); }

CUDA_API cuEventSynchronize(Event* handle) {
    return with_event(handle, [](Event& event) {
        return event.capture ? CAPTURED_EVENT : catch_up(event, event.recorded);
    });
}

CUDA_API cuEventQuery(Event* handle) {
    return with_event(handle, [](Event& event) {
        if (event.capture) return CAPTURED_EVENT;
        if (event.done == event.recorded) return SUCCESS;
        if (Status failed = step(*event.stream)) return failed;
        return NOT_READY;
    });
}

CUDA_API cuEventElapsedTime(float* milliseconds, Event* start, Event* end) { return elapsed(milliseconds, start, end); }
CUDA_API cuEventElapsedTime_v2(float* milliseconds, Event* start, Event* end) {
    return elapsed(milliseconds, start, end);
}
