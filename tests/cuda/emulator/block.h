// The threads of a launch as the runtime sees them: who they are, where they wait, what they share.
#pragma once

#include <string.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fiber.h"
#include "guarded.h"
#include "machine.h"

namespace emulator {

constexpr unsigned LANES = 32;

struct Block;

enum class State { READY, AT_BLOCK_BARRIER, AT_WARP_BARRIER, AT_GRID_BARRIER, ENDED };

struct Thread : Fiber {
    Self self;
    Block* block;
    unsigned number, warp;
    State state;
    Place place;  // where it waits
    std::deque<std::pair<Copy, unsigned>> copies;  // in flight, each with the number of its group
    unsigned groups;                               // committed
};

// Lanes of a warp that wait for each other.
struct Meeting {
    unsigned mask, arrived;
    Place place;
    void* records[LANES];
};

struct Warp {
    unsigned lanes = 0, ended = 0;
    std::vector<Meeting> meetings;
    Order order;
};

// Blocks that wait for each other.
struct GroupMeeting {
    std::vector<Thread*> waiting;
    unsigned blocks = 0;
    Place place{};
    Order order;
};

struct Block {
    Index index;
    std::vector<Thread*> threads;
    std::vector<Warp> warps;
    unsigned alive = 0, arrived = 0;
    Place place{};  // of the barrier at which some have arrived
    Order order;
    struct Array {
        Guarded memory;
        Place declared;
    };
    std::map<const void*, Array> shared;
    size_t static_shared = 0;
    std::unique_ptr<Guarded> dynamic_shared;
};

inline std::string text(Place place) { return std::string(place.file) + ":" + std::to_string(place.line); }
inline std::string text(Index i) {
    return "(" + std::to_string(i.x) + "," + std::to_string(i.y) + "," + std::to_string(i.z) + ")";
}
inline std::string name(const Thread& thread) {
    return "thread " + text(thread.self.thread) + " of block " + text(thread.block->index);
}
inline bool same(Place a, Place b) { return a.line == b.line && strcmp(a.file, b.file) == 0; }

// Whether two threads are of blocks that may meet in grid_barrier.
inline bool same_group(const Thread& a, const Thread& b) {
    return a.block->index.y == b.block->index.y && a.block->index.z == b.block->index.z;
}

inline unsigned volume(Index i) { return i.x * i.y * i.z; }
inline Index unfold(size_t number, Index extent) {
    return {static_cast<unsigned>(number % extent.x), static_cast<unsigned>(number / extent.x % extent.y),
            static_cast<unsigned>(number / extent.x / extent.y)};
}

}  // namespace emulator
