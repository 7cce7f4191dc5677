// Runs a kernel: the driver's side of machine.h.
#pragma once

#include <string>
#include <vector>

#include "machine.h"

namespace emulator {

// The most that a card gives to shared arrays of fixed size.
constexpr size_t STATIC_SHARED_LIMIT = 48 << 10;

struct Launch {
    const Kernel* kernel;
    std::vector<unsigned char> args;
    Index grid, block;
    size_t dynamic_shared;
    bool cooperative;
};

// What a launch came to.
struct Outcome {
    std::string error;             // empty when the kernel ran to its end
    bool illegal_address = false;  // it touched memory that is not there
    size_t static_shared = 0;      // bytes that the shared arrays of a block took, as far as it came
};

// In what order threads run. With seed 0 it is the order of their numbers, else a shuffled one that depends on the seed
// and on nothing else. `resident` keeps as many blocks as possible under way at once, not only in cooperative launches,
// so that the race checker sees them as concurrent.
struct Schedule {
    uint64_t seed;
    bool resident;
};

Outcome run(const Launch& launch, const Schedule& schedule);

// The table of services for an image that is loaded.
Machine* machine();

// What the lanes of a warp do together (warp.cpp). Each lane gives a pointer to a record; the last one to arrive does
// the work for all of `mask`.
struct ShuffleRecord {
    uint64_t value;
    unsigned from;
    uint64_t result;
};
struct BallotRecord {
    bool predicate;
    unsigned result;
};
struct ProductRecord {
    Product kind;
    float* d;
    const unsigned *a, *b;
};
using Together = void(unsigned mask, void* const records[32]);
Together shuffle_together, ballot_together, product_together;

}  // namespace emulator
