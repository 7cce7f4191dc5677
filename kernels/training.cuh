// A training step without the network itself: the window, the loss, the update. Each is a function that a number of
// threads share, so that it can be a kernel of its own (training.cu) or a part of a larger one (whole.cuh).
//
// The host has computed in float64 what changes from step to step, and put it into a table. The number of the step lies
// in device memory, so a recorded graph can be launched again and again.
//
// Sums come out the same in every run: each thread adds its own numbers, a tree adds the threads of a block, and whoever
// needs the total adds what the blocks left, in order. No atomics on floats.
//
// Adam moves seven numbers a parameter (four in, three out), 28 bytes, and computes some 12 operations: for LSTM 256 with
// 64 inputs, 0.33 M parameters, 9.2 MB, which lie in the L2 of an H100: 1.7 us; an Orin takes 45 us from memory. The norm
// reads the gradients once more: 1.3 MB, 0.3 and 6.5 us. Windows and losses are smaller than that.
#pragma once
#include "prelude.cuh"

// The numbers of one step.
struct Numbers {
    float rate;    // Adam: lr / (1 - beta1^step); SGD: lr
    float scale_v; // Adam: 1 / sqrt(1 - beta2^step); SGD: 1 - dampening, or 1 in the first update
    float shrink;  // what each parameter is multiplied by first: 1 - lr·weight_decay of AdamW, else 1
    float known;   // elements that the loss is averaged over, at least 1: those whose target is there
    int restart;   // whether the state starts at zero
};

// Threads that share some work, and which of them this is.
struct Team {
    size_t first, threads;
};

// ---- sums

// The sum over all SIZE threads of a block, for all of them. `warps` has room for one number a warp.
template <int SIZE>
__device__ __forceinline__ float block_sum(float mine, float* warps) {
#pragma unroll
    for (int apart = 16; apart > 0; apart /= 2)
        mine += __shfl_xor_sync(0xffffffffu, mine, apart);
    if (threadIdx.x % 32 == 0)
        warps[threadIdx.x / 32] = mine;
    __syncthreads();
    float sum = 0.0f;
#pragma unroll
    for (int warp = 0; warp < SIZE / 32; ++warp)
        sum += warps[warp];
    return sum;
}

// ---- the window

constexpr int STRIDE = 16; // x is padded to whole sixteens

struct Window {
    const float* x_rows;      // [.][I]
    const float* target_rows; // [.][D]
    const int* starts;        // [steps of a queue][2·B]: for each sequence its first row of x, then its first of the target
    const Numbers* numbers;   // [steps of a queue]
    const unsigned* step;     // which of them is next
    float* x;                 // [T·B][Ip]
    float* target;            // [target_steps·B][D]
    float* h;                 // [L][(T+1)·B][Hp]: the state after the last window becomes that before this one
    float* c;                 // the same, or null
    size_t layer;             // values of h from one layer to the next
    int apart;                // rows of the data from one time step to the next
    int steps, batch, input, targets, target_steps, layers, hidden; // T, B, I, D, steps with a target, L, Hp
};

// Takes the window of a step out of the data, and the state before it.
__device__ __forceinline__ void take_window(const Window& args, unsigned step, Team team) {
    const int* x_starts = args.starts + (size_t)step * 2 * args.batch;
    const int* target_starts = x_starts + args.batch;
    const int width = (args.input + STRIDE - 1) / STRIDE * STRIDE;
    for (size_t i = team.first; i < (size_t)args.steps * args.batch * args.input; i += team.threads) {
        const size_t row = i / args.input, from = x_starts[row % args.batch] + row / args.batch * args.apart;
        args.x[row * width + i % args.input] = args.x_rows[from * args.input + i % args.input];
    }
    for (size_t i = team.first; i < (size_t)args.target_steps * args.batch * args.targets; i += team.threads) {
        const size_t row = i / args.targets, from = target_starts[row % args.batch] + row / args.batch * args.apart;
        args.target[i] = args.target_rows[from * args.targets + i % args.targets];
    }
    const size_t state = (size_t)args.batch * args.hidden;
    const bool restart = args.numbers[step].restart != 0;
    for (size_t i = team.first; i < args.layers * state; i += team.threads) {
        const size_t before = i / state * args.layer + i % state, after = before + args.steps * state;
        args.h[before] = restart ? 0.0f : args.h[after];
        if (args.c)
            args.c[before] = restart ? 0.0f : args.c[after];
    }
}

// ---- the loss: the twin of src/objective/loss.rs. Formulas: PyTorch, MSELoss, L1Loss, HuberLoss (delta 1) and GaussianNLLLoss (full
// false, eps 1e-6), averaged over all elements that are there; quantiles: Koenker and Bassett 1978. Reads y and the target once and writes
// dy once: 12 bytes an element, 20 of a Gaussian.

enum Kind { MSE = 0, MAE = 1, HUBER = 2, GAUSSIAN = 3, QUANTILES = 4 };

constexpr int LEVELS = 15; // the most

struct Loss {
    const float* y;      // [rows][width]: [D], of a Gaussian the means [D] and s [D], of quantiles [D] for each level
    const float* target; // [rows][D]
    float* dy;           // [rows][width], padding left alone
    float* parts;        // [blocks], what each block adds up
    const Numbers* numbers;
    const unsigned* step;
    int rows, output, targets, elements, width, kind; // elements of a row: D, of Q quantiles Q·D
    float levels[LEVELS]; // of the quantiles, lowest first
};

// ln 1e-6: the least logarithm of a variance.
constexpr float LEAST_S = -13.815511f;

// What one element with the error e = y - target adds to the sum, and the derivative of that. NaN stays NaN.
__device__ __forceinline__ float2 element(int kind, float e) {
    const float size = fabsf(e);
    const float sign = e == 0.0f ? 0.0f : (e > 0.0f ? 1.0f : -1.0f) + e * 0.0f;
    if (kind == MSE)
        return {e * e, 2.0f * e};
    if (kind == MAE)
        return {size, sign};
    return size < 1.0f ? float2{0.5f * e * e, e} : float2{size - 0.5f, sign};
}

struct Gaussian {
    float value, dmean, ds;
};

// What a mean and the logarithm s of a variance add to the sum, and the derivatives of that by both.
__device__ __forceinline__ Gaussian gaussian(float mean, float s, float target) {
    const float least = s < LEAST_S ? LEAST_S : s; // NaN stays NaN
    // scaled by half of s before it is squared: nothing overflows f32 on the way, so there is no 0 · inf
    const float per_deviation = expf(-0.5f * least);
    const float z = (mean - target) * per_deviation;
    // PyTorch's gradient does not see the least variance: this is de^s / ds over the variance, 1 except below the least
    const float share = expf(s - least);
    return {0.5f * (least + z * z), z * per_deviation, 0.5f * (share - share * z * z)};
}

// What a value of a level adds to the sum when it is e = target - y too low, and the derivative of that by y.
__device__ __forceinline__ float2 pinball(float level, float e) {
    if (e > 0.0f)
        return {level * e, -level};
    if (e < 0.0f)
        return {(level - 1.0f) * e, 1.0f - level};
    return {e, e}; // 0, or NaN, which stays NaN
}

// A level, found by comparing each number: arguments that are indexed by a variable are copied to the stack first.
__device__ __forceinline__ float level(const Loss& args, int number) {
    float found = 0.0f;
#pragma unroll
    for (int i = 0; i < LEVELS; ++i)
        found = i == number ? args.levels[i] : found;
    return found;
}

// Writes the gradient at y. Returns this thread's part of the sum. A target that is NaN is missing and adds nothing.
__device__ __forceinline__ float score(const Loss& args, float known, Team team) {
    const size_t count = (size_t)args.rows * args.elements;
    float sum = 0.0f;
    for (size_t i = team.first; i < count; i += team.threads) {
        const size_t row = i / args.elements, column = i % args.elements, at = row * args.width + column;
        const float target = args.target[row * args.targets + column % args.targets];
        const bool missing = target != target;
        if (args.kind == GAUSSIAN) {
            const Gaussian found =
                missing ? Gaussian{0.0f, 0.0f, 0.0f} : gaussian(args.y[at], args.y[at + args.targets], target);
            sum += found.value;
            args.dy[at] = found.dmean / known;
            args.dy[at + args.targets] = found.ds / known;
        } else {
            const float2 found = missing                  ? float2{0.0f, 0.0f}
                                 : args.kind == QUANTILES ? pinball(level(args, column / args.targets), target - args.y[at])
                                                          : element(args.kind, args.y[at] - target);
            sum += found.x;
            args.dy[at] = found.y / known;
        }
    }
    return sum;
}

// ---- the update, a single pass over the flat arena: the twin of src/cpu/update.rs. Formulas: PyTorch, torch.optim.Adam,
// AdamW and SGD (single tensor, not capturable), torch.nn.utils.clip_grad_norm_.
//
// Adam reads params, grads, m, v and writes params, m, v: 28 bytes a parameter, so it is bound by memory from some 10^5
// parameters on and by its launch below.

// What all updates have in common.
struct Arena {
    float* params;
    const float* grads;
    const Numbers* numbers;
    const unsigned* step;
    const float* norm_parts; // what the blocks of grad_norm left, or null without clipping
    float clip;              // the largest norm
    float sign;              // -1 to maximise the loss
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

// This thread's part of the sum of squares of the gradient.
__device__ __forceinline__ float squares(const float* grads, int length, Team team) {
    float sum = 0.0f;
    for (size_t i = team.first; i < length; i += team.threads)
        sum = __fmaf_rn(grads[i], grads[i], sum);
    return sum;
}

// What gradients are multiplied by first: clipping, and the sign.
__device__ __forceinline__ float gradient_scale(const Arena& arena, float squares) {
    const float scale = arena.clip / (sqrtf(squares) + 1e-6f); // PyTorch's small constant included
    return arena.sign * (scale < 1.0f || scale != scale ? scale : 1.0f);
}

__device__ __forceinline__ void update(const Adam& args, const Numbers& numbers, float scale, Team team) {
    const Arena& arena = args.arena;
    for (size_t i = team.first; i < arena.length; i += team.threads) {
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

__device__ __forceinline__ void update(const Sgd& args, const Numbers& numbers, float scale, Team team) {
    const Arena& arena = args.arena;
    for (size_t i = team.first; i < arena.length; i += team.threads) {
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
