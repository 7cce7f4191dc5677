// The kernels of a training step other than those of the network, for networks of any size. See training.cuh.
#include "training.cuh"

constexpr int THREADS = 256; // of a block
constexpr int PARTS = 64;    // numbers that a sum over many blocks leaves, at the most

struct Norm {
    const float* grads;
    float* parts;
    int length;
};

struct Finish {
    const float* loss_parts;
    const float* norm_parts; // null without clipping
    float* losses;           // [steps of a queue]
    float* norms;
    const Numbers* numbers;
    unsigned* step;
    int loss_blocks, norm_blocks;
};

__device__ __forceinline__ Team team() {
    return {(size_t)blockIdx.x * THREADS + threadIdx.x, (size_t)gridDim.x * THREADS};
}

// The sum of what `blocks` blocks left, for every thread of this block.
__device__ __forceinline__ float total(const float* parts, int blocks, float* warps) {
    return block_sum<THREADS>(threadIdx.x < blocks ? parts[threadIdx.x] : 0.0f, warps);
}

// budget window registers 40 shared 0
extern "C" __global__ void __launch_bounds__(THREADS) window(Window args) {
    take_window(args, *args.step, team());
}

// budget loss registers 40 shared 32
extern "C" __global__ void __launch_bounds__(THREADS) loss(Loss args) {
    SHARED(float, warps, [THREADS / 32]);
    const float sum = block_sum<THREADS>(score(args, args.numbers[*args.step].known, team()), warps);
    if (threadIdx.x == 0)
        args.parts[blockIdx.x] = sum;
}

// budget grad_norm registers 24 shared 32
extern "C" __global__ void __launch_bounds__(THREADS) grad_norm(Norm args) {
    SHARED(float, warps, [THREADS / 32]);
    const float sum = block_sum<THREADS>(squares(args.grads, args.length, team()), warps);
    if (threadIdx.x == 0)
        args.parts[blockIdx.x] = sum;
}

// Every block adds what grad_norm left, in the same order: no launch in between.
__device__ __forceinline__ float scale_of(const Arena& arena, float* warps) {
    return arena.norm_parts ? gradient_scale(arena, total(arena.norm_parts, PARTS, warps)) : arena.sign;
}

// budget adam registers 32 shared 32
extern "C" __global__ void __launch_bounds__(THREADS) adam(Adam args) {
    SHARED(float, warps, [THREADS / 32]);
    update(args, args.arena.numbers[*args.arena.step], scale_of(args.arena, warps), team());
}

// budget sgd registers 24 shared 32
extern "C" __global__ void __launch_bounds__(THREADS) sgd(Sgd args) {
    SHARED(float, warps, [THREADS / 32]);
    update(args, args.arena.numbers[*args.arena.step], scale_of(args.arena, warps), team());
}

// The end of a training step: stores the loss and the norm, and counts the step.
// budget finish registers 32 shared 64
extern "C" __global__ void __launch_bounds__(THREADS) finish(Finish args) {
    SHARED(float, loss_warps, [THREADS / 32]);
    SHARED(float, norm_warps, [THREADS / 32]);
    const float loss = total(args.loss_parts, args.loss_blocks, loss_warps);
    const float norm = args.norm_parts ? total(args.norm_parts, args.norm_blocks, norm_warps) : 0.0f;
    if (threadIdx.x == 0) {
        const unsigned step = *args.step;
        args.losses[step] = loss / args.numbers[step].known;
        args.norms[step] = sqrtf(norm);
        *args.step = step + 1;
    }
}
