// The recurrent product, W_hh h forward and W_hh' dgates backward: weights that stay on chip for a whole sequence.
//
// A unit belongs to LANES neighbouring threads, which each multiply a part of the vector (h, or dgates) and add up their
// sums by shuffles. OUT units share their lanes in addition: a thread then holds a part of the weights of OUT units, so
// that what it reads of the vector serves them all. All are powers of two.
//
//     slice of a thread     chunks of 4 values: slice, slice + SLICES, slice + 2 SLICES, ...
//                           neighbours read neighbouring 16 bytes: no bank conflict
//     weights of a thread   OUT x VALUES x 4 x CHUNKS, in registers but for the last SPILLED chunks, which lie in shared
//                           memory as [chunk][weight][thread]: also without conflict
//
// Constants of the program (src/cuda/plan/mod.rs chooses them): HIDDEN, LANES, OUT, ROWS, SPILLED, THREADS, BLOCKS.
#pragma once
#include "cell.cuh"

constexpr int H = HIDDEN, HP = (H + 15) / 16 * 16; // units, and units in memory: sixteen to a tile
constexpr int SHARES = ROWS < LANES ? ROWS : LANES; // the rows of the batch are dealt out among the lanes of a unit,
constexpr int PER = ROWS / SHARES;                  // so many to each
constexpr int TWINS = LANES / SHARES;               // lanes that are left with the same rows
constexpr unsigned ALL_LANES = 0xffffffffu;
static_assert(THREADS % 32 == 0, "a block has whole warps");

#ifndef FORWARD_OUT // a program that runs both ways has two
#define FORWARD_OUT OUT
#define BACKWARD_OUT OUT
#endif

// Packed gate order, the layout of src/net/layout.rs: gate g of unit u is number (u/16*GATES + g)*16 + u%16.
template <int GATES>
__device__ __forceinline__ int packed(int unit, int gate) {
    return (unit / 16 * GATES + gate) * 16 + unit % 16;
}

// Weight of packed gate n on unit k, in an arena packed as [tile][k][gate][lane].
template <int GATES>
__device__ __forceinline__ float packed_weight(const float* weight_hh, int n, int k) {
    constexpr int PANEL = 16 * GATES;
    return k < H ? weight_hh[((size_t)(n / PANEL) * H + k) * PANEL + n % PANEL] : 0.0f;
}

// Units beyond the last fill up the last sixteen. Their weights are zero, and zero times an infinite input is NaN, which a product
// would pass on to all units: so what such a unit hands on is zero.
__device__ __forceinline__ bool is_unit(int unit) { return H == HP || unit < H; }

// How a factor of a product is rounded: --dtype. Sums are always f32.
__device__ __forceinline__ float factor(float x) {
#if defined(BF16)
    return from_bf16(to_bf16(x));
#elif defined(F16)
    return from_f16(to_f16(x));
#elif defined(TF32)
    return to_tf32(x);
#else
    return x;
#endif
}

// Adds up over lanes that each hold a part of N sums of WIDTH values, and deals them out: number j of a lane is its part
// of item j ^ own, where own is the lane's number among the N; afterwards item[0] is the complete item `own`.
// APART is how far apart lanes of neighbouring numbers are. No selects, and a fixed order: the same bits in every run.
template <int N, int APART, int WIDTH>
__device__ __forceinline__ void deal(float (&item)[N][WIDTH]) {
#pragma unroll
    for (int half = N / 2; half > 0; half /= 2)
#pragma unroll
        for (int j = 0; j < half; ++j)
#pragma unroll
            for (int i = 0; i < WIDTH; ++i)
                item[j][i] += __shfl_xor_sync(ALL_LANES, item[j + half][i], half * APART);
}

// The part of one thread: VALUES sums for each of TOGETHER units over a vector of LENGTH values.
template <int VALUES, int LENGTH, int TOGETHER>
struct Tile {
    static constexpr int SLICES = TOGETHER * LANES; // that the vector is cut into
    static_assert(SLICES <= 32, "a group of lanes lies in one warp");
    static constexpr int CHUNKS = (LENGTH / 4 + SLICES - 1) / SLICES;
    static constexpr int VECTOR = CHUNKS * SLICES * 4; // the vector, with room for chunks that are not there
    static constexpr int HELD = CHUNKS > SPILLED ? CHUNKS - SPILLED : 0;

    float4 held[HELD > 0 ? HELD : 1][TOGETHER][VALUES];
    float4* spilled;

    // `weight(out, value, n)` is the weight of value n of the vector.
    template <class Weight>
    __device__ __forceinline__ void load(float4* shared, Weight weight) {
        const int slice = opaque(threadIdx.x) % SLICES;
        spilled = shared + threadIdx.x;
        const auto four = [&](int chunk, int out, int value) {
            const int n = (chunk * SLICES + slice) * 4;
            return n < LENGTH ? make_float4(factor(weight(out, value, n)), factor(weight(out, value, n + 1)),
                                            factor(weight(out, value, n + 2)), factor(weight(out, value, n + 3)))
                              : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        };
#pragma unroll
        for (int chunk = 0; chunk < HELD; ++chunk)
#pragma unroll
            for (int out = 0; out < TOGETHER; ++out)
#pragma unroll
                for (int value = 0; value < VALUES; ++value)
                    held[chunk][out][value] = four(chunk, out, value);
#pragma unroll 1
        for (int chunk = HELD; chunk < CHUNKS; ++chunk)
#pragma unroll
            for (int out = 0; out < TOGETHER; ++out)
#pragma unroll
                for (int value = 0; value < VALUES; ++value)
                    spilled[place(chunk, out, value)] = four(chunk, out, value);
    }

    // Multiplies ROWS vectors and adds up over the lanes of a group. A thread is left with the complete sums of its own
    // unit and, of its rows, number share * PER to (share + 1) * PER - 1; its twins, the other lanes of the same unit
    // and rows, have the same bits.
    __device__ __forceinline__ void sums(const float (*vector)[VECTOR], float (&sums)[PER][VALUES]) const {
        float parts[TOGETHER][ROWS * VALUES];
        product(vector, parts);
        deal<TOGETHER, LANES>(parts); // number `out` of a thread is its part of unit ^ out
        float rows[SHARES][PER * VALUES];
#pragma unroll
        for (int i = 0; i < ROWS * VALUES; ++i)
            rows[i / (PER * VALUES)][i % (PER * VALUES)] = parts[0][i];
        deal<SHARES, TWINS>(rows);
#pragma unroll
        for (int i = 0; i < PER * VALUES; ++i) {
            float sum = rows[0][i];
#pragma unroll
            for (int apart = TWINS / 2; apart > 0; apart /= 2)
                sum += __shfl_xor_sync(ALL_LANES, sum, apart);
            sums[i / VALUES][i % VALUES] = sum;
        }
    }

    // at least four chains of additions: a single one would wait for each FMA to come out
    static constexpr int SUMS = TOGETHER * ROWS * VALUES, CHAINS = SUMS >= 4 ? 1 : SUMS >= 2 ? 2 : 4;
    using Chains = float[CHAINS][TOGETHER][ROWS * VALUES];

    __device__ __forceinline__ void product(const float (*vector)[VECTOR], float (&parts)[TOGETHER][ROWS * VALUES]) const {
        Chains chain = {};
#pragma unroll
        for (int chunk = 0; chunk < HELD; ++chunk)
            add(vector, chunk, [&](int out, int value) { return held[chunk][out][value]; }, chain);
#pragma unroll 2 // all of them at once would take the registers of the weights
        for (int chunk = HELD; chunk < CHUNKS; ++chunk)
            add(vector, chunk, [&](int out, int value) { return load_in_order(spilled + place(chunk, out, value)); }, chain);
#pragma unroll
        for (int out = 0; out < TOGETHER; ++out)
#pragma unroll
            for (int i = 0; i < ROWS * VALUES; ++i) {
                parts[out][i] = chain[0][out][i];
#pragma unroll
                for (int other = 1; other < CHAINS; ++other)
                    parts[out][i] += chain[other][out][i];
            }
    }

    // One chunk of every row, with weights from wherever they are.
    template <class Weight>
    __device__ __forceinline__ void add(const float (*vector)[VECTOR], int chunk, Weight weight, Chains& chain) const {
        const int slice = threadIdx.x % SLICES, share = slice % LANES / TWINS;
#pragma unroll
        for (int row = 0; row < ROWS; ++row) {
            const int whose = ((row / PER) ^ share) * PER + row % PER; // so that `deal` finds its numbers
            const float4 x = reinterpret_cast<const float4*>(vector[whose])[chunk * SLICES + slice];
#pragma unroll
            for (int out = 0; out < TOGETHER; ++out)
#pragma unroll
                for (int value = 0; value < VALUES; ++value) {
                    const float4 w = weight(out, value);
                    const int i = row * VALUES + value;
                    chain[0][out][i] = __fmaf_rn(w.x, x.x, chain[0][out][i]);
                    chain[1 % CHAINS][out][i] = __fmaf_rn(w.y, x.y, chain[1 % CHAINS][out][i]);
                    chain[2 % CHAINS][out][i] = __fmaf_rn(w.z, x.z, chain[2 % CHAINS][out][i]);
                    chain[3 % CHAINS][out][i] = __fmaf_rn(w.w, x.w, chain[3 % CHAINS][out][i]);
                }
        }
    }

    // Where a chunk beyond those in registers lies, counted from the thread's first.
    static __device__ __forceinline__ int place(int chunk, int out, int value) {
        return ((chunk - HELD) * TOGETHER * VALUES + out * VALUES + value) * THREADS;
    }
};
