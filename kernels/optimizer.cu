// One update of all parameters, a single pass over the flat arena: the twin of src/cpu/update.rs. Formulas: PyTorch,
// torch.optim.Adam, AdamW and SGD (single tensor, not capturable), torch.nn.utils.clip_grad_norm_.
//
// Adam reads params, grads, m, v and writes params, m, v: 28 bytes a parameter, so it is bound by memory from some 10^5
// parameters on and by its launch below.
#include "training.cuh"

// What all updates have in common.
struct Arena {
    float* params;
    const float* grads;
    const Numbers* numbers;
    const unsigned* step;
    const float* norm_parts; // what the blocks of grad_norm left, or null without clipping
    float clip;              // the largest norm
    float sign;              // -1 to climb
    int length;              // a whole number of sixteens
};

struct Adam {
    Arena arena;
    float* m;
    float* v;
    float* v_max; // null without amsgrad
    float beta2, fresh_m, fresh_v, eps, weight_decay;
};

struct Sgd {
    Arena arena;
    float* direction; // null without momentum
    float momentum, weight_decay;
    int nesterov;
};

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
    unsigned* step;
    int loss_blocks, norm_blocks;
    float count; // elements the loss is averaged over
};

// Sums of squares of the gradient. With `clip`, the start of torch.nn.utils.clip_grad_norm_.
extern "C" __global__ void __launch_bounds__(SUM_THREADS) grad_norm(Norm args) {
    SHARED(float, warps, [SUM_THREADS / 32]);
    float sum = 0.0f;
    for (int i = blockIdx.x * SUM_THREADS + threadIdx.x; i < args.length; i += gridDim.x * SUM_THREADS)
        sum = __fmaf_rn(args.grads[i], args.grads[i], sum);
    sum = block_sum(sum, warps);
    if (threadIdx.x == 0)
        args.parts[blockIdx.x] = sum;
}

// What gradients are multiplied by first: clipping, and the sign.
__device__ __forceinline__ float gradient_scale(const Arena& arena, float* warps) {
    if (!arena.norm_parts)
        return arena.sign;
    const float norm = sqrtf(total(arena.norm_parts, SUM_BLOCKS, warps));
    const float scale = arena.clip / (norm + 1e-6f); // PyTorch's small constant included
    return arena.sign * (scale < 1.0f || scale != scale ? scale : 1.0f);
}

extern "C" __global__ void __launch_bounds__(SUM_THREADS) adam(Adam args) {
    SHARED(float, warps, [SUM_THREADS / 32]);
    const Arena& arena = args.arena;
    const float scale = gradient_scale(arena, warps);
    const Numbers numbers = arena.numbers[*arena.step];
    for (int i = blockIdx.x * SUM_THREADS + threadIdx.x; i < arena.length; i += gridDim.x * SUM_THREADS) {
        const float p = arena.params[i] * numbers.shrink;
        float g = arena.grads[i] * scale;
        if (args.weight_decay != 0.0f)
            g = __fmaf_rn(p, args.weight_decay, g);
        const float m = __fmaf_rn(g - args.m[i], args.fresh_m, args.m[i]);
        const float v = __fmaf_rn(g * args.fresh_v, g, args.v[i] * args.beta2);
        args.m[i] = m;
        args.v[i] = v;
        float largest = v;
        if (args.v_max) {
            largest = v > args.v_max[i] || v != v ? v : args.v_max[i];
            args.v_max[i] = largest;
        }
        const float root = __fmaf_rn(sqrtf(largest), numbers.scale_v, args.eps);
        arena.params[i] = p - numbers.rate * m / root;
    }
}

extern "C" __global__ void __launch_bounds__(SUM_THREADS) sgd(Sgd args) {
    SHARED(float, warps, [SUM_THREADS / 32]);
    const Arena& arena = args.arena;
    const float scale = gradient_scale(arena, warps);
    const Numbers numbers = arena.numbers[*arena.step];
    for (int i = blockIdx.x * SUM_THREADS + threadIdx.x; i < arena.length; i += gridDim.x * SUM_THREADS) {
        const float p = arena.params[i];
        float g = arena.grads[i] * scale;
        if (args.weight_decay != 0.0f)
            g = __fmaf_rn(p, args.weight_decay, g);
        float direction = g;
        if (args.direction) {
            direction = __fmaf_rn(args.direction[i], args.momentum, g * numbers.scale_v);
            args.direction[i] = direction;
            if (args.nesterov)
                direction = __fmaf_rn(direction, args.momentum, g);
        }
        arena.params[i] = p - numbers.rate * direction;
    }
}

// The end of a training step: writes down the loss and the norm, and counts on.
extern "C" __global__ void __launch_bounds__(SUM_THREADS) finish(Finish args) {
    SHARED(float, loss_warps, [SUM_THREADS / 32]);
    SHARED(float, norm_warps, [SUM_THREADS / 32]);
    const float loss = total(args.loss_parts, args.loss_blocks, loss_warps);
    const float norm = args.norm_parts ? total(args.norm_parts, args.norm_blocks, norm_warps) : 0.0f;
    if (threadIdx.x == 0) {
        const unsigned step = *args.step;
        args.losses[step] = loss / args.count;
        args.norms[step] = sqrtf(norm);
        *args.step = step + 1;
    }
}
