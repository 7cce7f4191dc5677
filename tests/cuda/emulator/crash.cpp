#include "crash.h"

#include <stdint.h>
#include <stdlib.h>
#include <ucontext.h>

#include "sanitizer.h"

namespace emulator {
namespace {

Fiber* (*running_fiber)();
void (*crashed_function)(bool);

void go_on_in_crashed() { crashed_function(false); }
void go_on_in_crashed_overrun() { crashed_function(true); }

// The handler changes where the fiber goes on when it returns. The fiber's stack may be used up to its end or in any
// state; nothing on it will be needed again, so it starts over from the top.
void handle(int signal_number, siginfo_t* info, void* context) {
    Fiber* fiber = running_fiber();
    if (fiber == nullptr) {
        signal(signal_number, SIG_DFL);  // the fault happens again as soon as this returns
        return;
    }
    void (*next)() = fiber->overrun(info->si_addr) ? go_on_in_crashed_overrun : go_on_in_crashed;
    auto* machine = &static_cast<ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
    machine->gregs[REG_RIP] = reinterpret_cast<greg_t>(next);
    machine->gregs[REG_RSP] = reinterpret_cast<greg_t>(fiber->top()) - 8;  // as after a call
#else
    machine->pc = reinterpret_cast<uint64_t>(next);
    machine->sp = reinterpret_cast<uint64_t>(fiber->top());
#endif
}

// The handler cannot run on the stack of a fiber that has just used it up.
void provide_signal_stack() {
    stack_t stack;
    if (sigaltstack(nullptr, &stack) == 0 && !(stack.ss_flags & SS_DISABLE)) return;
    constexpr size_t SIZE = 64 << 10;
    static thread_local char* bytes = static_cast<char*>(malloc(SIZE));
    stack = {};
    stack.ss_sp = bytes;
    stack.ss_size = SIZE;
    sigaltstack(&stack, nullptr);
}

bool wanted() { return !address_sanitizer() && !thread_sanitizer(); }

}  // namespace

CrashGuard::CrashGuard(Fiber* (*running)(), void (*crashed)(bool)) {
    if (!wanted()) return;
    running_fiber = running;
    crashed_function = crashed;
    provide_signal_stack();
    struct sigaction action = {};
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigaction(SIGSEGV, &action, &former_segv_);
    sigaction(SIGBUS, &action, &former_bus_);
}

CrashGuard::~CrashGuard() {
    if (!wanted()) return;
    sigaction(SIGSEGV, &former_segv_, nullptr);
    sigaction(SIGBUS, &former_bus_, nullptr);
}

}  // namespace emulator
