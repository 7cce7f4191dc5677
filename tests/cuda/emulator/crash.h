// Turns a touch of memory that is not there into an error of the launch, as on a card. Only in plain runs: a sanitizer
// says more about it than we could.
#pragma once

#include <signal.h>

#include "fiber.h"

namespace emulator {

// While one of these lives, a segmentation fault in a fiber does not end the process: the fiber goes on in `crashed`.
class CrashGuard {
  public:
    // `running` gives the fiber that runs, or null when it is none of ours. `crashed` must not return; it is told
    // whether the stack was too small.
    CrashGuard(Fiber* (*running)(), void (*crashed)(bool stack_overrun));
    ~CrashGuard();
    CrashGuard(const CrashGuard&) = delete;
    CrashGuard& operator=(const CrashGuard&) = delete;

  private:
    struct sigaction former_segv_, former_bus_;
};

}  // namespace emulator
