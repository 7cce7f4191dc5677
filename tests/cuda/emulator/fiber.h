// A fiber: a stack of its own, and the place where it stopped. Fibers pass control to each other by hand, all on one
// operating system thread, so a kernel of thousands of threads runs the same way every time.
#pragma once

#include <stddef.h>

namespace emulator {

class Fiber {
  public:
    // A stack of this many bytes, of which only what is touched takes memory.
    static constexpr size_t STACK = 64 << 10;
    // The address sanitizer surrounds every local array with zones, which takes more of it.
    static constexpr size_t STACK_WITH_ZONES = 256 << 10;

    Fiber();
    ~Fiber();
    Fiber(const Fiber&) = delete;
    Fiber& operator=(const Fiber&) = delete;

    // The next `transfer` to this fiber begins at `entry`, which must not return. If the fiber was left in the middle
    // of something, that is forgotten.
    void begin(void (*entry)());

    // To be called first thing in `entry`.
    static void entered();

    // Stops `from`, which must be the running one, and goes on with `to`.
    static void transfer(Fiber& from, Fiber& to);

    // The same when all functions on the stack of `from` have returned, but for its entry: it will only `begin` again.
    [[noreturn]] static void end(Fiber& from, Fiber& to);

    // Is this address just below the stack, where a stack that is too small runs over?
    bool overrun(const void* address) const;

    // The stack pointer with which a function that does not return may start over on this stack.
    void* top() const { return bottom_ + size_ - 2 * sizeof(void*); }

  protected:
    // The fiber of the caller itself, on the stack that the operating system gave it.
    struct Caller {};
    explicit Fiber(Caller);

  private:
    void* stack_pointer_ = nullptr;
    char* bottom_ = nullptr;  // lowest address of the stack
    size_t size_ = 0;
    bool own_ = false;                // mapped by us
    bool stopped_midway_ = false;     // there are functions on the stack that have not returned
    void* fake_stack_ = nullptr;      // the address sanitizer's
    void* thread_checker_ = nullptr;  // the race checker's notion of this fiber
};

// The operating system thread that launches a kernel, as the fiber to come back to.
class CallerFiber : public Fiber {
  public:
    CallerFiber() : Fiber(Caller{}) {}
};

}  // namespace emulator
