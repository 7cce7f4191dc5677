// What the kernels of a training step share. What changes from step to step was worked out by the host in float64 and lies
// in a table, and which step it is lies in device memory: so a recorded graph can be launched again and again.
//
// Sums come out the same in every run: each thread adds its own numbers, a tree adds the threads of a block, and whoever
// needs the total adds what the blocks left, in order. No atomics on floats.
#pragma once
#include "prelude.cuh"

// The numbers of one step.
struct Numbers {
    float rate;    // Adam: lr / (1 - beta1^step); SGD: lr
    float scale_v; // Adam: 1 / sqrt(1 - beta2^step); SGD: 1 - dampening, or 1 in the first update
    float shrink;  // what each parameter is multiplied by first: 1 - lr·weight_decay of AdamW, else 1
    int restart;   // whether the state starts at zero (window.cu)
};

constexpr int SUM_THREADS = 256; // of a block that takes part
constexpr int SUM_BLOCKS = 64;   // at the most, and so many numbers are left

// The sum over all threads of a block, to all of them. `warps` has room for one number a warp.
__device__ __forceinline__ float block_sum(float mine, float* warps) {
#pragma unroll
    for (int apart = 16; apart > 0; apart /= 2)
        mine += __shfl_xor_sync(0xffffffffu, mine, apart);
    if (threadIdx.x % 32 == 0)
        warps[threadIdx.x / 32] = mine;
    __syncthreads();
    float sum = 0.0f;
#pragma unroll
    for (int warp = 0; warp < SUM_THREADS / 32; ++warp)
        sum += warps[warp];
    return sum;
}

// The sum of what `blocks` blocks left, to every thread of this one.
__device__ __forceinline__ float total(const float* parts, int blocks, float* warps) {
    return block_sum(threadIdx.x < blocks ? parts[threadIdx.x] : 0.0f, warps);
}
