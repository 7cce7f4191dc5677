// What the passes of a recurrent layer read and write, and how a thread gets at it. The twins of these structs are in
// src/cuda/launch/recurrent.rs.
#pragma once
#include "tile.cuh"

// A layer over a window, forward. Rows are row = t·B + b.
struct Forward {
    const float* weight_hh; // packed, see tile.cuh
    const float* bias_hh;   // [G·Hp], or null
    const float* gates_x;   // [T·B][G·Hp]
    float* h;               // [(T+1)·B][Hp], beginning with the state before the window
    float* c;               // the same, of a cell that has c
    float* saved;           // [T·B][tile][SAVED][lane], or null when no backward follows
    unsigned* barrier;      // of the first group of blocks; the next group's is BARRIER numbers later. Many blocks only
    int steps, batch;       // T, B
};

// A layer over a window, backward.
struct Backward {
    const float* weight_hh;
    const float* saved;  // what forward left: saved, h, c
    const float* h;
    const float* c;
    const float* dabove; // [T·B][Hp], gradient at the h of every step from above
    float* dgates_x;     // [T·B][G·Hp]
    float* dgates_h;     // the same, only for a cell that has RESET; the others use dgates_x
    float* dh;           // [B][Hp]: at first gradient at the state after the window, at the end at the state before it
    float* dc;
    unsigned* barrier;
    int steps, batch;
};

constexpr int BARRIER = 32; // numbers from one group's barrier to the next: a line of the cache each

// Reads what an earlier kernel left, through the path for data that nobody writes meanwhile. In WHOLE it was this one.
__device__ __forceinline__ float left(const float* p) {
#ifdef WHOLE
    return *p;
#else
    return load_streaming(p);
#endif
}

// Reads the gates of a unit out of a packed row that starts at `from` with the unit's first gate.
template <int GATES>
__device__ __forceinline__ void read_gates(const float* from, float (&gates)[MOST]) {
#pragma unroll
    for (int gate = 0; gate < GATES; ++gate)
        gates[gate] = left(from + 16 * gate);
}

// Writes this thread's part of the gates: all `twins` threads have the same ones.
template <int GATES>
__device__ __forceinline__ void write_gates(float* to, const float (&gates)[MOST], int twin, int twins) {
#pragma unroll
    for (int gate = 0; gate < GATES; ++gate)
        if (twin == gate % twins)
            to[16 * gate] = gates[gate];
}

__device__ __forceinline__ void block_barrier() {
    if (THREADS == 32)
        __syncwarp();
    else
        __syncthreads();
}
