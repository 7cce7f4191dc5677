// Capture of a stream into a graph, and graphs. A graph is the list of what was captured, in the order of the calls,
// which is one of the orders that a card could take.

#include <pthread.h>

#include "driver.h"

namespace emulator {

struct Graph {
    std::shared_ptr<const std::vector<Work>> works;
};

namespace {

// Graphs that exist, so that a handle which does not is an error and not a crash.
std::set<Graph*>& graphs() {
    static auto* all = new std::set<Graph*>;
    return *all;
}
std::set<Graph*>& executables() {
    static auto* all = new std::set<Graph*>;
    return *all;
}

Status instantiate(Graph** executable, Graph* graph) {
    return in_context([&](Context&) {
        if (!graphs().count(graph)) return INVALID_HANDLE;
        *executable = new Graph{graph->works};
        executables().insert(*executable);
        return SUCCESS;
    });
}

Status destroy(std::set<Graph*>& all, Graph* graph) {
    std::lock_guard<std::recursive_mutex> hold(driver().lock);
    if (!all.erase(graph)) return INVALID_HANDLE;
    delete graph;
    return SUCCESS;
}

void end(Context& context, std::shared_ptr<Capture> capture) {
    for (auto& [stream, member] : capture->members) stream->capture.reset();
    for (auto& [handle, event] : context.events) {
        if (event->capture == capture) event->capture.reset();
    }
    context.captures.erase(capture);
}

bool unjoined(const Capture& capture) {
    for (auto& [stream, member] : capture.members) {
        if (stream != capture.origin && member.joined < member.works) return true;
    }
    return false;
}

}  // namespace
}  // namespace emulator

using namespace emulator;

CUDA_API cuStreamBeginCapture_v2(Stream* handle, int mode) {
    return in_context([&](Context& context) {
        Stream* stream = find_stream(context, handle);
        if (!stream) return INVALID_HANDLE;
        if (stream == &context.null_stream) return CAPTURE_UNSUPPORTED;
        if (stream->capture || mode < 0 || mode > 2) return INVALID_VALUE;
        auto capture = std::make_shared<Capture>();
        capture->origin = stream;
        capture->mode = mode;
        capture->thread = static_cast<uintptr_t>(pthread_self());
        capture->members[stream];
        stream->capture = capture;
        context.captures.insert(capture);
        return SUCCESS;
    });
}

CUDA_API cuStreamEndCapture(Stream* handle, Graph** graph) {
    return in_context([&](Context& context) {
        *graph = nullptr;
        Stream* stream = find_stream(context, handle);
        if (!stream || !stream->capture) return INVALID_VALUE;
        std::shared_ptr<Capture> capture = stream->capture;
        if (capture->origin != stream) {
            capture->invalidated = true;
            return CAPTURE_UNMATCHED;
        }
        end(context, capture);
        if (capture->invalidated) return CAPTURE_INVALIDATED;
        if (unjoined(*capture)) return CAPTURE_UNJOINED;
        *graph = new Graph{std::make_shared<const std::vector<Work>>(std::move(capture->works))};
        graphs().insert(*graph);
        return SUCCESS;
    });
}

CUDA_API cuStreamIsCapturing(Stream* handle, int* status) {
    return in_context([&](Context& context) {
        Stream* stream = find_stream(context, handle);
        if (!stream) return INVALID_HANDLE;
        *status = !stream->capture ? 0 : stream->capture->invalidated ? 2 : 1;
        return SUCCESS;
    });
}

CUDA_API cuGraphInstantiateWithFlags(Graph** executable, Graph* graph, unsigned long long) {
    return instantiate(executable, graph);
}

CUDA_API cuGraphGetNodes(Graph* graph, void** nodes, size_t* count) {
    return in_context([&](Context&) {
        if (!graphs().count(graph)) return INVALID_HANDLE;
        if (nodes) return NOT_SUPPORTED;  // only their number is known
        *count = graph->works->size();
        return SUCCESS;
    });
}

CUDA_API cuGraphUpload(Graph* executable, Stream* stream) {
    return in_context([&](Context& context) {
        return executables().count(executable) && find_stream(context, stream) ? SUCCESS : INVALID_HANDLE;
    });
}

CUDA_API cuGraphLaunch(Graph* executable, Stream* handle) {
    return in_context([&](Context& context) {
        Stream* stream = find_stream(context, handle);
        if (!stream || !executables().count(executable)) return INVALID_HANDLE;
        for (const Work& work : *executable->works) {
            if (Status failed = enqueue(*stream, work)) return failed;
        }
        return SUCCESS;
    });
}

CUDA_API cuGraphDestroy(Graph* graph) { return destroy(graphs(), graph); }
CUDA_API cuGraphExecDestroy(Graph* executable) { return destroy(executables(), executable); }
