#include "fiber.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "sanitizer.h"

// void emulator_switch(void** save, void* load): puts the registers that a call must preserve on the stack, writes the
// stack pointer to *save, takes `load` as the stack pointer and the registers from there. ucontext does the same with
// two system calls each time, and a barrier in a block of 1024 threads is 1024 switches.
#if defined(__x86_64__)
constexpr size_t SAVED_WORDS = 8;  // r15 r14 r13 r12 rbx rbp, the return address, one that is never returned to
constexpr size_t ENTRY_WORD = 6;
asm(R"(
    .text
    .type emulator_switch, @function
emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size emulator_switch, .-emulator_switch
)");
#elif defined(__aarch64__)
constexpr size_t SAVED_WORDS = 20;  // x19..x30, d8..d15
constexpr size_t ENTRY_WORD = 11;   // x30, the link register
asm(R"(
    .text
    .type emulator_switch, %function
emulator_switch:
    sub sp, sp, #160
    stp x19, x20, [sp]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x2, sp
    str x2, [x0]
    mov sp, x1
    ldp x19, x20, [sp]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
    .size emulator_switch, .-emulator_switch
)");
#else
#error "the emulated device needs x86-64 or aarch64: fiber.cpp switches stacks by hand"
#endif
extern "C" void emulator_switch(void** save, void* load);

namespace emulator {
namespace {

constexpr size_t PAGE = 64 << 10;  // the largest page of these processors, so that it is whole pages everywhere

}  // namespace

Fiber::Fiber() : own_(true) {
    size_ = address_sanitizer() ? STACK_WITH_ZONES : STACK;
    const int kind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* mapped = mmap(nullptr, PAGE + size_, PROT_READ | PROT_WRITE, kind, -1, 0);
    if (mapped == MAP_FAILED) {
        perror("emulated device: no memory for the stack of a thread");
        abort();
    }
    // Below each stack a page that nobody may touch. A process may have some 65,000 mappings only; where they run out,
    // the page is an ordinary one.
    mprotect(mapped, PAGE, PROT_NONE);
    bottom_ = static_cast<char*>(mapped) + PAGE;
    if (thread_sanitizer()) thread_checker_ = __tsan_create_fiber(0);
}

Fiber::Fiber(Caller) {
    if (address_sanitizer()) {
        pthread_attr_t attributes;
        void* bottom = nullptr;
        pthread_getattr_np(pthread_self(), &attributes);
        pthread_attr_getstack(&attributes, &bottom, &size_);
        pthread_attr_destroy(&attributes);
        bottom_ = static_cast<char*>(bottom);
    }
    if (thread_sanitizer()) thread_checker_ = __tsan_get_current_fiber();
}

Fiber::~Fiber() {
    if (!own_) return;
    if (thread_sanitizer()) __tsan_destroy_fiber(thread_checker_);
    munmap(bottom_ - PAGE, PAGE + size_);
}

void Fiber::begin(void (*entry)()) {
    if (stopped_midway_) {
        // The zones of frames that will never return are still poisoned, and the race checker believes these functions
        // to be running.
        if (address_sanitizer()) __asan_unpoison_memory_region(bottom_, size_);
        if (thread_sanitizer()) {
            __tsan_destroy_fiber(thread_checker_);
            thread_checker_ = __tsan_create_fiber(0);
        }
    }
    void** words = reinterpret_cast<void**>(bottom_ + size_) - SAVED_WORDS;
    for (size_t i = 0; i < SAVED_WORDS; ++i) words[i] = nullptr;
    words[ENTRY_WORD] = reinterpret_cast<void*>(entry);
    stack_pointer_ = words;
    stopped_midway_ = true;
    fake_stack_ = nullptr;
}

void Fiber::entered() {
    if (address_sanitizer()) __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
}

void Fiber::transfer(Fiber& from, Fiber& to) {
    if (address_sanitizer()) __sanitizer_start_switch_fiber(&from.fake_stack_, to.bottom_, to.size_);
    if (thread_sanitizer()) __tsan_switch_to_fiber(to.thread_checker_, 1 /* no order is meant by it */);
    emulator_switch(&from.stack_pointer_, to.stack_pointer_);
    if (address_sanitizer()) __sanitizer_finish_switch_fiber(from.fake_stack_, nullptr, nullptr);
}

void Fiber::end(Fiber& from, Fiber& to) {
    from.stopped_midway_ = false;
    transfer(from, to);
    abort();  // nobody goes on with a fiber that has ended
}

bool Fiber::overrun(const void* address) const {
    const char* byte = static_cast<const char*>(address);
    return own_ && byte < bottom_ && byte >= bottom_ - PAGE;
}

}  // namespace emulator
