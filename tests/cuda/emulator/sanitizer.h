// What the runtime has to tell the sanitizers. They come in with LD_PRELOAD, if at all, so every function is weak: one
// build of the library serves plain runs, address-sanitized runs and race-checked runs alike.
//
// The runtime itself is never instrumented. Its own lists would be reported as races otherwise, because its fibers pass
// control to each other in ways that a sanitizer does not see.
#pragma once

#include <stddef.h>

extern "C" {
[[gnu::weak]] void __sanitizer_start_switch_fiber(void** fake_stack, const void* bottom, size_t size);
[[gnu::weak]] void __sanitizer_finish_switch_fiber(void* fake_stack, const void** bottom, size_t* size);
[[gnu::weak]] void __asan_unpoison_memory_region(const volatile void* address, size_t size);
[[gnu::weak]] void* __tsan_get_current_fiber();
[[gnu::weak]] void* __tsan_create_fiber(unsigned flags);
[[gnu::weak]] void __tsan_destroy_fiber(void* fiber);
[[gnu::weak]] void __tsan_switch_to_fiber(void* fiber, unsigned flags);
[[gnu::weak]] void __tsan_acquire(void* address);
[[gnu::weak]] void __tsan_release(void* address);
}

namespace emulator {

inline bool address_sanitizer() { return __asan_unpoison_memory_region != nullptr; }
inline bool thread_sanitizer() { return __tsan_create_fiber != nullptr; }

// What this fiber did before `release(object)` happens before what another does after `acquire(object)`. To the race
// checker these two are all the order there is between threads of a kernel: a switch of fibers alone counts for
// nothing.
inline void release(void* object) {
    if (thread_sanitizer()) __tsan_release(object);
}
inline void acquire(void* object) {
    if (thread_sanitizer()) __tsan_acquire(object);
}

// A place where threads meet again and again. It needs two objects that take turns: with one, a thread that wakes late
// would also acquire what the others released for the *next* meeting, and a real race between them would be hidden.
class Order {
  public:
    // By each thread as it arrives. What it gives back is for `leave`.
    void* arrive() {
        void* object = &objects_[turn_ & 1];
        release(object);
        return object;
    }
    // By the last one that arrived: the next to arrive belongs to another meeting.
    void complete() { ++turn_; }
    // By each thread as it goes on.
    static void leave(void* object) { acquire(object); }

  private:
    char objects_[2] = {};
    unsigned turn_ = 0;
};

}  // namespace emulator
