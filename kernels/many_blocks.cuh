// The frame of many blocks: BLOCKS blocks share ROWS sequences of the batch.
//
// A block keeps the weights of UNITS = 32 / LANES units. Its warps divide the vector between them: each reads its part
// from the L2 cache, multiplies it with the weights of all units of the block, and leaves its sums in shared memory, where
// one thread for each unit and sequence adds them up, in order, and works out the cell. A step costs a barrier of the
// group (about 1.07 us for 132 blocks of an H100, and less for fewer), a trip to the L2 (0.15 us), 4 CHUNKS x VALUES x ROWS
// FMAs, and the barrier of the block. It moves ROWS·Hp floats forward and ROWS·G·Hp backward into every block.
//
// LSTM 512 in f32, one sequence, on 64 blocks of an H100: 1 M FMAs, 128 cycles of a multiprocessor; 2 KiB of h into each
// block, 128 KiB out of the L2 in all; the barrier. Floor 1.0 to 1.3 us forward, of which FMAs are 0.08; backward
// 8 KiB a block and the same. An Orin AGX has sixteen multiprocessors: LSTM 256, 64 weights a thread, the same 128 cycles at
// 1.3 GHz and a barrier of some three trips to its L2, about 1.1 us. What the disassembly of a step shows (NVRTC 12.9,
// sm_90, LSTM 512): forward 332 instructions, 75 FFMA, 4 LDS.128, 8 SHFL, 10 MUFU, 1 LDG.128 of h; backward 287, 72 FFMA;
// one fence a barrier, in the release of its atomic.
// All blocks must run at once. They are launched cooperatively: a grid that does not fit is an error and no deadlock.
#pragma once
#include "passes.cuh"

constexpr int UNITS = 32 / LANES, WARPS = THREADS / 32;

// The part of a product that a warp of many_blocks has, by plain FMA: see tile.cuh.
template <int VALUES, int LENGTH>
struct PlainPart {
    static constexpr int QUANTUM = 4 * OUT * LANES; // values of the vector are dealt out so many at a time
    static constexpr int SPAN = (LENGTH + QUANTUM * WARPS - 1) / (QUANTUM * WARPS) * QUANTUM;
    using Row = float[SPAN];
    Tile<VALUES, SPAN, OUT> tile;

    template <class Weight>
    __device__ __forceinline__ void load(Weight weight) {
        const int unit = threadIdx.x % 32 / LANES;
        tile.load(nullptr, [&](int out, int value, int n) { return weight(unit ^ out, value, n); });
    }

    static __device__ __forceinline__ void put(Row& row, int i, float4 x) {
        *reinterpret_cast<float4*>(&row[i]) = make_float4(factor(x.x), factor(x.y), factor(x.z), factor(x.w));
    }

    // Writes the sums of this warp to its part of the block's sums.
    __device__ __forceinline__ void multiply(const Row* vector, float (&sums)[VALUES][ROWS * UNITS]) const {
        const int unit = threadIdx.x % 32 / LANES, share = threadIdx.x % LANES / TWINS;
        float mine[PER][VALUES];
        tile.sums(vector, mine);
        if (threadIdx.x % TWINS == 0) {
#pragma unroll
            for (int i = 0; i < PER; ++i)
#pragma unroll
                for (int value = 0; value < VALUES; ++value)
                    sums[value][(share * PER + i) * UNITS + unit] = mine[i][value];
        }
    }
};

#ifdef TENSOR
#include "tensor_part.cuh"
template <int VALUES, int LENGTH>
using Part = TensorPart<VALUES, LENGTH>;
#else
template <int VALUES, int LENGTH>
using Part = PlainPart<VALUES, LENGTH>;
#endif

// Which part of a product a thread has, and which unit and sequence it finishes.
template <int VALUES, int LENGTH>
struct Share {
    using Weights = Part<VALUES, LENGTH>;
    using Row = typename Weights::Row;
    using Sums = float[WARPS][VALUES][ROWS * UNITS];
    static constexpr int SPAN = Weights::SPAN; // of the vector, for each warp

    int warp, first; // the warp's part of the vector begins at `first`
    bool finishes;
    int row_finished, unit_finished;

    __device__ __forceinline__ Share() {
        warp = __shfl_sync(ALL_LANES, threadIdx.x / 32, 0); // so that the compiler knows it to be the same in a warp
        first = warp * SPAN;
        row_finished = threadIdx.x / UNITS;
        unit_finished = blockIdx.x * UNITS + threadIdx.x % UNITS;
        finishes = threadIdx.x < ROWS * UNITS && unit_finished < HP;
    }

    // Reads the warp's part of ROWS rows of a vector that other blocks wrote. A sequence that does not exist is zero.
    __device__ __forceinline__ void gather(const float* rows, int width, int rows_left, Row* vector) const {
        constexpr int FOURS = SPAN / 4;
#pragma unroll 8 // loads at the same time: all of them would take the registers of the weights
        for (int four = threadIdx.x % 32; four < ROWS * FOURS; four += 32) {
            const int row = four / FOURS, i = four % FOURS * 4;
            float4 x = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            if (row < rows_left && first + i < width)
                x = load_fresh(reinterpret_cast<const float4*>(rows + (size_t)row * width + first + i));
            Weights::put(vector[row], i, x);
        }
        __syncwarp();
    }

    // The product of all warps of the block; afterwards a thread that finishes a unit can `total` it.
    __device__ __forceinline__ void multiply(const Weights& weights, const Row* vector, Sums& sums) const {
        weights.multiply(vector, sums[warp]);
        __syncthreads();
    }

    __device__ __forceinline__ float total(const Sums& sums, int value) const {
        float sum = 0.0f;
#pragma unroll
        for (int from = 0; from < WARPS; ++from)
            sum += sums[from][value][threadIdx.x];
        return sum;
    }
};

template <class Cell>
__device__ __forceinline__ void forward_many_blocks(const Forward& args) {
    constexpr int G = Cell::GATES;
    using Mine = Share<G, HP>;
    DYNAMIC_SHARED(float, vectors);
    SHARED(float, parts, [WARPS][G][ROWS * UNITS]);
    const Mine part;
    auto* vector = reinterpret_cast<typename Mine::Row*>(vectors) + part.warp * ROWS;

    typename Mine::Weights weights;
    weights.load([&](int unit_here, int gate, int k) {
        const int unit = blockIdx.x * UNITS + unit_here;
        return unit < HP ? packed_weight<G>(args.weight_hh, packed<G>(unit, gate), part.first + k) : 0.0f;
    });
    float bias[MOST] = {};
    if (args.bias_hh && part.finishes)
        read_gates<G>(args.bias_hh + packed<G>(part.unit_finished, 0), bias);
    unsigned* barrier = args.barrier + BARRIER * blockIdx.y;
    const size_t state_step = (size_t)args.batch * HP;

    for (int base = blockIdx.y * ROWS; base < args.batch; base += gridDim.y * ROWS) {
        const bool mine = part.finishes && base + part.row_finished < args.batch;
        const size_t row = base + part.row_finished;
        const size_t state_at = row * HP + part.unit_finished;
        State state = {0.0f, 0.0f};
        if (mine)
            state = {args.h[state_at], Cell::HAS_C ? args.c[state_at] : 0.0f};
        for (int t = 0; t < args.steps; ++t) {
            const size_t step = (size_t)t * args.batch;
            float x[MOST] = {};
            if (mine)
                read_gates<G>(args.gates_x + (step + row) * G * HP + packed<G>(part.unit_finished, 0), x);
            part.gather(args.h + (step + base) * HP, HP, args.batch - base, vector);
            part.multiply(weights, vector, parts);
            if (mine) {
                float gates_h[MOST] = {}, leaves[MOST];
#pragma unroll
                for (int gate = 0; gate < G; ++gate)
                    gates_h[gate] = part.total(parts, gate) + bias[gate];
                state = Cell::forward(x, gates_h, state, leaves);
                state = is_unit(part.unit_finished) ? state : State{0.0f, 0.0f};
                args.h[step * HP + state_step + state_at] = state.h;
                if (Cell::HAS_C)
                    args.c[step * HP + state_step + state_at] = state.c;
                if (Cell::SAVED > 0 && args.saved)
                    write_gates<Cell::SAVED>(
                        args.saved + (step + row) * Cell::SAVED * HP + packed<Cell::SAVED>(part.unit_finished, 0), leaves, 0, 1);
            }
            grid_barrier(barrier, BLOCKS);
        }
    }
}

template <class Cell>
__device__ __forceinline__ void backward_many_blocks(const Backward& args) {
    constexpr int G = Cell::GATES;
    using Mine = Share<1, G * HP>;
    DYNAMIC_SHARED(float, vectors);
    SHARED(float, parts, [WARPS][1][ROWS * UNITS]);
    const Mine part;
    auto* vector = reinterpret_cast<typename Mine::Row*>(vectors) + part.warp * ROWS;

    typename Mine::Weights weights;
    weights.load([&](int unit_here, int, int n) {
        const int unit = blockIdx.x * UNITS + unit_here;
        return part.first + n < G * HP ? packed_weight<G>(args.weight_hh, part.first + n, unit) : 0.0f;
    });
    unsigned* barrier = args.barrier + BARRIER * blockIdx.y;
    const size_t state_step = (size_t)args.batch * HP;

    for (int base = blockIdx.y * ROWS; base < args.batch; base += gridDim.y * ROWS) {
        const bool mine = part.finishes && base + part.row_finished < args.batch;
        const size_t row = base + part.row_finished;
        const size_t state_at = row * HP + part.unit_finished;
        const size_t gates_at = row * G * HP + packed<G>(part.unit_finished, 0);
        State after = {0.0f, 0.0f}, dafter = {0.0f, 0.0f};
        if (mine) {
            const size_t end = args.steps * state_step + state_at;
            after = {args.h[end], Cell::HAS_C ? args.c[end] : 0.0f};
            dafter = {args.dh[state_at], Cell::HAS_C ? args.dc[state_at] : 0.0f};
        }
        for (int t = args.steps - 1; t >= 0; --t) {
            const size_t step = (size_t)t * args.batch;
            State dstate = {0.0f, 0.0f};
            if (mine) {
                float saved[MOST] = {};
                if (Cell::SAVED > 0)
                    read_gates<Cell::SAVED>(
                        args.saved + (step + row) * Cell::SAVED * HP + packed<Cell::SAVED>(part.unit_finished, 0), saved);
                const State before = {args.h[step * HP + state_at], Cell::HAS_C ? args.c[step * HP + state_at] : 0.0f};
                dafter.h += args.dabove[step * HP + state_at];
                Gradients d = Cell::backward(saved, before, after, dafter);
                d = is_unit(part.unit_finished) ? d : Gradients{};
                write_gates<G>(args.dgates_x + step * G * HP + gates_at, d.dgates_x, 0, 1);
                if (Cell::RESET)
                    write_gates<G>(args.dgates_h + step * G * HP + gates_at, d.dgates_h, 0, 1);
                after = before;
                dstate = d.dstate;
            }
            grid_barrier(barrier, BLOCKS);
            const float* dgates_h = Cell::RESET ? args.dgates_h : args.dgates_x;
            part.gather(dgates_h + (step + base) * G * HP, G * HP, args.batch - base, vector);
            part.multiply(weights, vector, parts);
            if (mine)
                dafter = {part.total(parts, 0) + dstate.h, dstate.c}; // the next barrier comes before new sums
        }
        if (mine) {
            args.dh[state_at] = dafter.h;
            if (Cell::HAS_C)
                args.dc[state_at] = dafter.c;
        }
    }
}
