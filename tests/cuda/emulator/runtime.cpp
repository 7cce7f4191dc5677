// Blocks, warps and barriers: one fiber a thread of the kernel, one operating system thread for all of them.
//
// A thread runs until it has to wait for others, then the next one that can run does. Nothing else ever stops it, so
// races do not show in the order of single instructions but in the order of threads between two barriers; that order
// is what the seed shuffles.

#include "runtime.h"

#include <stdlib.h>

#include <algorithm>

#include "block.h"
#include "crash.h"

namespace emulator {
namespace {

// A thread may let others run this often while nothing else happens at all; then all of them poll for ever.
constexpr uint64_t FRUITLESS_YIELDS = 20'000'000;
// Threads that are under way at once when blocks are to be resident, but two blocks at least. To the race checker each
// of them costs 0.8 MB and half a millisecond once, and it cannot tell more than 8,000 apart.
constexpr size_t RESIDENT_THREADS = 1024;

// A launch under way. There is one at a time: the driver holds its lock.
class Run {
  public:
    Run(const Launch& launch, const Schedule& schedule) : launch_(launch), schedule_(schedule) {
        random_state_ = schedule.seed;
    }

    Outcome all_blocks();

    // What threads call, on their own stacks.
    void thread_main();
    void block_barrier(Place);
    void warp_meeting(unsigned mask, void* record, Together* together, bool ordered, Place);
    void grid_barrier(const unsigned* word, unsigned blocks, Place);
    void yield(Place);
    void* shared(const void* site, size_t bytes, Place);
    void copy(Copy);
    void copy_commit() { ++running_->groups; }
    bool copy_due(unsigned keep, Copy*);
    [[noreturn]] void crashed(bool stack_overrun);

    Thread* running() const { return running_; }

  private:
    void batch(size_t first, size_t count);
    void enter(Block& block, size_t number);
    void make_ready(Thread& thread);
    Thread* next_ready();
    void wait(State state, Place place);
    void pass_on();
    [[noreturn]] void fail(const std::string& what);
    std::string who_waits() const;
    void check_zones();
    uint64_t random();

    const Launch& launch_;
    const Schedule schedule_;
    Outcome outcome_;
    std::vector<size_t> block_order_;
    std::vector<std::unique_ptr<Block>> blocks_;  // of this batch
    std::vector<Thread*> ready_;                  // a ring in the order of threads, a bag in a shuffled one
    size_t ready_first_ = 0, ready_count_ = 0;
    unsigned alive_ = 0;
    std::map<const unsigned*, GroupMeeting> groups_;  // of blocks that meet in grid_barrier
    char start_ = 0, end_ = 0;  // for the order between the caller and the threads
    Thread* running_ = nullptr;
    CallerFiber caller_;
    uint64_t random_state_, fruitless_yields_ = 0;
};

Run* current = nullptr;
Machine table;

// Threads are used again, launch after launch: their stacks cost a system call, and the race checker takes a
// millisecond to make a new fiber.
std::vector<std::unique_ptr<Thread>>& pool() {
    static auto* threads = new std::vector<std::unique_ptr<Thread>>;
    return *threads;
}

void thread_entry() {
    Fiber::entered();
    current->thread_main();
}

uint64_t Run::random() {  // splitmix64
    uint64_t z = random_state_ += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

// ---- who runs next ----------------------------------------------------------------------------------------------

void Run::make_ready(Thread& thread) {
    thread.state = State::READY;
    ready_[(ready_first_ + ready_count_++) % ready_.size()] = &thread;
}

Thread* Run::next_ready() {
    if (ready_count_ == 0 || !outcome_.error.empty()) return nullptr;
    Thread*& first = ready_[ready_first_];
    if (schedule_.seed != 0) std::swap(first, ready_[(ready_first_ + random() % ready_count_) % ready_.size()]);
    Thread* next = first;
    ready_first_ = (ready_first_ + 1) % ready_.size();
    --ready_count_;
    return next;
}

// From one thread to the next, or back to the caller when none can run.
void Run::pass_on() {
    Thread* from = running_;
    Thread* to = next_ready();
    if (to == from) return;
    running_ = to;
    table.self = to ? &to->self : nullptr;
    Fiber& target = to ? static_cast<Fiber&>(*to) : caller_;
    if (from->state == State::ENDED) Fiber::end(*from, target);
    Fiber::transfer(*from, target);
}

void Run::wait(State state, Place place) {
    running_->state = state;
    running_->place = place;
    pass_on();
}

// The thread stays where it is for ever, and so do all others: the launch has failed.
void Run::fail(const std::string& what) {
    outcome_.error = name(*running_) + ": " + what;
    pass_on();
    abort();  // pass_on went to the caller
}

void Run::crashed(bool stack_overrun) {
    outcome_.illegal_address = !stack_overrun;
    fail(stack_overrun ? "the emulated device gives a thread " + std::to_string(Fiber::STACK >> 10) +
                             " KiB of stack, and that was too little"
                       : "touched memory that is not there; ask the address sanitizer where");
}

// ---- a thread's life --------------------------------------------------------------------------------------------

void Run::enter(Block& block, size_t number) {
    const size_t used = alive_;
    if (pool().size() == used) pool().push_back(std::make_unique<Thread>());
    Thread& thread = *pool()[used];
    thread.begin(thread_entry);
    thread.block = &block;
    thread.number = static_cast<unsigned>(number);
    thread.warp = thread.number / LANES;
    thread.copies.clear();
    thread.groups = 0;
    thread.self.thread = unfold(number, launch_.block);
    thread.self.block = block.index;
    thread.self.block_dim = launch_.block;
    thread.self.grid_dim = launch_.grid;
    thread.self.lane = thread.number % LANES;
    thread.self.dynamic_shared = block.dynamic_shared ? block.dynamic_shared->data() : nullptr;
    block.threads.push_back(&thread);
    block.warps[thread.warp].lanes |= 1u << thread.self.lane;
    ++block.alive;
    ++alive_;
    make_ready(thread);
}

void Run::thread_main() {
    acquire(&start_);
    launch_.kernel->run(launch_.args.data());
    release(&end_);
    Thread& thread = *running_;
    Block& block = *thread.block;
    Warp& warp = block.warps[thread.warp];
    if (block.arrived) fail("ends while others wait in __syncthreads at " + text(block.place));
    for (const Meeting& meeting : warp.meetings) {
        const bool wanted = meeting.mask >> thread.self.lane & 1;
        if (wanted) fail("ends while lanes of its warp wait for it at " + text(meeting.place));
    }
    for (auto& [word, meeting] : groups_) {
        if (!meeting.waiting.empty() && same_group(*meeting.waiting.front(), thread)) {
            fail("ends while others wait in grid_barrier at " + text(meeting.place));
        }
    }
    warp.ended |= 1u << thread.self.lane;
    --block.alive;
    --alive_;
    fruitless_yields_ = 0;
    thread.state = State::ENDED;
    pass_on();
}

// ---- waiting for each other -------------------------------------------------------------------------------------

void Run::block_barrier(Place place) {
    Thread& thread = *running_;
    Block& block = *thread.block;
    if (block.alive != block.threads.size()) {
        fail("divergent __syncthreads at " + text(place) + ": " + std::to_string(block.threads.size() - block.alive) +
             " threads of the block have ended");
    }
    if (block.arrived && !same(block.place, place)) {
        fail("divergent __syncthreads at " + text(place) + ": others of the block are at " + text(block.place));
    }
    for (const Meeting& meeting : block.warps[thread.warp].meetings) {
        if (meeting.mask >> thread.self.lane & 1) {
            fail("divergent __syncthreads at " + text(place) + ": lanes of its warp wait for it at " +
                 text(meeting.place));
        }
    }
    block.place = place;
    void* object = block.order.arrive();
    if (++block.arrived == block.alive) {
        block.arrived = 0;
        block.order.complete();
        fruitless_yields_ = 0;
        for (Thread* other : block.threads) make_ready(*other);
        wait(State::READY, place);
    } else {
        wait(State::AT_BLOCK_BARRIER, place);
    }
    Order::leave(object);
}

// `ordered`: what a lane wrote before is seen by the others after. Only __syncwarp promises that; shuffles, votes and
// products do not, and the race checker finds kernels that believe they do.
void Run::warp_meeting(unsigned mask, void* record, Together* together, bool ordered,
                       Place place) {
    Thread& thread = *running_;
    Warp& warp = thread.block->warps[thread.warp];
    const unsigned lane = thread.self.lane, wanted = mask & warp.lanes;
    if (!(mask >> lane & 1)) fail("the mask of the warp operation at " + text(place) + " does not name its own lane");
    if (together == product_together && wanted != ~0u) fail("the product at " + text(place) + " needs a whole warp");
    if (wanted & warp.ended) fail("the warp operation at " + text(place) + " waits for lanes that have ended");
    Meeting* meeting = nullptr;
    for (Meeting& other : warp.meetings) {
        if (!(other.mask & mask)) continue;
        if (other.mask != mask || !same(other.place, place)) {
            fail("divergent warp operation at " + text(place) + ": other lanes are at " + text(other.place) +
                 (other.mask != mask ? " with another mask" : ""));
        }
        meeting = &other;
    }
    if (!meeting) {
        warp.meetings.push_back({mask, 0, place, {}});
        meeting = &warp.meetings.back();
    }
    meeting->arrived |= 1u << lane;
    meeting->records[lane] = record;
    void* object = ordered ? warp.order.arrive() : nullptr;
    if (meeting->arrived == wanted) {
        if (together) together(wanted, meeting->records);
        if (ordered) warp.order.complete();
        fruitless_yields_ = 0;
        for (unsigned other = 0; other < LANES; ++other) {
            if (wanted >> other & 1) make_ready(*thread.block->threads[thread.warp * LANES + other]);
        }
        *meeting = warp.meetings.back();
        warp.meetings.pop_back();
        wait(State::READY, place);
    } else {
        wait(State::AT_WARP_BARRIER, place);
    }
    if (ordered) Order::leave(object);
}

void Run::grid_barrier(const unsigned* word, unsigned blocks, Place place) {
    Thread& thread = *running_;
    if (!launch_.cooperative) fail("grid_barrier at " + text(place) + " in a launch that is not cooperative");
    // What the device half keeps there is its own affair, but it starts from zero.
    if (*word != 0) fail("grid_barrier at " + text(place) + ": its word must be zero before the first launch");
    if (blocks < 1 || blocks > launch_.grid.x) {
        fail("grid_barrier at " + text(place) + " of " + std::to_string(blocks) + " blocks, but the grid has " +
             std::to_string(launch_.grid.x));
    }
    GroupMeeting& meeting = groups_[word];
    if (meeting.waiting.empty()) {
        meeting.place = place;
        meeting.blocks = blocks;
        meeting.waiting.reserve(static_cast<size_t>(blocks) * volume(launch_.block));
    } else if (!same(meeting.place, place) || meeting.blocks != blocks) {
        fail("divergent grid_barrier at " + text(place) + ": others are at " + text(meeting.place));
    } else if (!same_group(*meeting.waiting.front(), thread)) {
        fail("grid_barrier at " + text(place) + ": two groups of blocks wait with one word");
    }
    void* object = meeting.order.arrive();
    meeting.waiting.push_back(&thread);
    if (meeting.waiting.size() == static_cast<size_t>(blocks) * volume(launch_.block)) {
        meeting.order.complete();
        fruitless_yields_ = 0;
        for (Thread* other : meeting.waiting) make_ready(*other);
        meeting.waiting.clear();
        wait(State::READY, place);
    } else {
        wait(State::AT_GRID_BARRIER, place);
    }
    Order::leave(object);
}

void Run::yield(Place place) {
    if (++fruitless_yields_ > FRUITLESS_YIELDS) fail("polls for ever at " + text(place) + "; " + who_waits());
    make_ready(*running_);
    wait(State::READY, place);
}

// ---- memory of a block ------------------------------------------------------------------------------------------

void* Run::shared(const void* site, size_t bytes, Place place) {
    Block& block = *running_->block;
    auto found = block.shared.find(site);
    if (found != block.shared.end()) {
        acquire(&found->second);
        return found->second.memory.data();
    }
    block.static_shared += (bytes + 15) / 16 * 16;
    if (block.static_shared > outcome_.static_shared) outcome_.static_shared = block.static_shared;
    if (block.static_shared > STATIC_SHARED_LIMIT) {
        fail("the shared array at " + text(place) + " makes " + std::to_string(block.static_shared) +
             " bytes of them, " + std::to_string(STATIC_SHARED_LIMIT) + " is the most; DYNAMIC_SHARED can have more");
    }
    Guarded memory(bytes);
    if (!memory) fail("no memory for the shared array at " + text(place));
    void* data = memory.data();
    auto made = block.shared.emplace(site, Block::Array{std::move(memory), place});
    release(&made.first->second);
    return data;
}

void Run::copy(Copy copy) { running_->copies.emplace_back(copy, running_->groups); }

bool Run::copy_due(unsigned keep, Copy* due) {
    Thread& thread = *running_;
    if (thread.copies.empty() || thread.copies.front().second + keep >= thread.groups) return false;
    *due = thread.copies.front().first;
    thread.copies.pop_front();
    return true;
}

void Run::check_zones() {
    for (auto& block : blocks_) {
        const std::string in_block = "block " + text(block->index) + " wrote ";
        for (auto& [site, array] : block->shared) {
            const char* damage = array.memory.damage();
            if (damage) outcome_.error = in_block + damage + " the shared array at " + text(array.declared);
        }
        const char* damage = block->dynamic_shared ? block->dynamic_shared->damage() : nullptr;
        if (damage) outcome_.error = in_block + damage + " its dynamic shared memory";
    }
}

// ---- the launch -------------------------------------------------------------------------------------------------

// One line for each place where threads wait.
std::string Run::who_waits() const {
    std::vector<std::pair<const Thread*, size_t>> places;
    for (auto& block : blocks_) {
        for (const Thread* thread : block->threads) {
            if (thread->state == State::ENDED || thread->state == State::READY) continue;
            bool known = false;
            for (auto& [first, count] : places) {
                if (first->state != thread->state || !same(first->place, thread->place)) continue;
                ++count;
                known = true;
            }
            if (!known) places.emplace_back(thread, 1);
        }
    }
    std::string lines;
    for (auto& [first, count] : places) {
        const char* what = first->state == State::AT_BLOCK_BARRIER  ? "__syncthreads"
                           : first->state == State::AT_GRID_BARRIER ? "grid_barrier"
                                                                    : "a warp operation";
        lines += (lines.empty() ? "" : ", ") + name(*first) + " waits in " + what + " at " + text(first->place);
        if (count > 1) lines += " with " + std::to_string(count - 1) + " others";
    }
    return lines.empty() ? "nobody waits" : lines;
}

void Run::batch(size_t first, size_t count) {
    const unsigned block_threads = volume(launch_.block);
    blocks_.clear();
    ready_.assign(count * block_threads, nullptr);
    ready_first_ = ready_count_ = 0;
    alive_ = 0;
    groups_.clear();
    for (size_t i = first; i < first + count; ++i) {
        auto block = std::make_unique<Block>();
        block->index = unfold(block_order_[i], launch_.grid);
        block->threads.reserve(block_threads);
        block->warps.resize((block_threads + LANES - 1) / LANES);
        for (Warp& warp : block->warps) warp.meetings.reserve(LANES);
        if (launch_.dynamic_shared) {
            block->dynamic_shared = std::make_unique<Guarded>(launch_.dynamic_shared);
            if (!*block->dynamic_shared) {
                outcome_.error = "no memory for the dynamic shared memory of a block";
                return;
            }
        }
        for (size_t number = 0; number < block_threads; ++number) enter(*block, number);
        blocks_.push_back(std::move(block));
    }
    release(&start_);
    running_ = next_ready();
    table.self = &running_->self;
    Fiber::transfer(caller_, *running_);
    acquire(&end_);
    if (outcome_.error.empty() && alive_) outcome_.error = "deadlock: " + who_waits();
    if (outcome_.error.empty()) check_zones();
}

Outcome Run::all_blocks() {
    const size_t blocks = static_cast<size_t>(launch_.grid.x) * launch_.grid.y * launch_.grid.z;
    block_order_.resize(blocks);
    for (size_t i = 0; i < blocks; ++i) block_order_[i] = i;
    if (schedule_.seed != 0) {
        for (size_t i = blocks; i > 1; --i) std::swap(block_order_[i - 1], block_order_[random() % i]);
    }
    size_t at_once = 1;
    if (schedule_.resident) at_once = std::max<size_t>(2, RESIDENT_THREADS / volume(launch_.block));
    if (launch_.cooperative) at_once = blocks;
    for (size_t first = 0; first < blocks && outcome_.error.empty(); first += at_once) {
        batch(first, std::min(at_once, blocks - first));
    }
    return outcome_;
}

Fiber* running_fiber() { return current ? current->running() : nullptr; }
void fiber_crashed(bool stack_overrun) { current->crashed(stack_overrun); }

}  // namespace

Outcome run(const Launch& launch, const Schedule& schedule) {
    auto run = std::make_unique<Run>(launch, schedule);
    CrashGuard guard(running_fiber, fiber_crashed);
    current = run.get();
    Outcome outcome = run->all_blocks();
    current = nullptr;
    return outcome;
}

Machine* machine() {
    table.block_barrier = [](Place place) { current->block_barrier(place); };
    table.warp_barrier = [](unsigned mask, Place place) { current->warp_meeting(mask, nullptr, nullptr, true, place); };
    table.grid_barrier = [](const unsigned* word, unsigned blocks, Place place) {
        current->grid_barrier(word, blocks, place);
    };
    table.shuffle = [](unsigned mask, uint64_t value, unsigned from, Place place) {
        ShuffleRecord record{value, from, 0};
        current->warp_meeting(mask, &record, shuffle_together, false, place);
        return record.result;
    };
    table.ballot = [](unsigned mask, int predicate, Place place) {
        BallotRecord record{predicate != 0, 0};
        current->warp_meeting(mask, &record, ballot_together, false, place);
        return record.result;
    };
    table.product = [](Product kind, float d[4], const unsigned a[4], const unsigned b[2], Place place) {
        ProductRecord record{kind, d, a, b};
        current->warp_meeting(~0u, &record, product_together, false, place);
    };
    table.yield = [](Place place) { current->yield(place); };
    table.shared = [](const void* site, size_t bytes, Place place) { return current->shared(site, bytes, place); };
    table.copy = [](Copy copy) { current->copy(copy); };
    table.copy_commit = [] { current->copy_commit(); };
    table.copy_due = [](unsigned keep, Copy* due) { return current->copy_due(keep, due); };
    return &table;
}

}  // namespace emulator
