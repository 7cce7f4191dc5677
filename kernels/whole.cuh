// Complete training steps of a small network in one block: window, forward, head, loss, backward, all gradients, norm,
// clip, Adam; and then the next step, without coming back to the host. For one recurrent layer whose batch fits a block.
//
// As separate kernels a step of the lesson's network is some fifteen launches of two to three microseconds, in a graph, of
// which each has next to nothing to do. Here it is 20 x (160 + 300) cycles for the time loops on an H100 and, in
// between, a dozen barriers with a trip or two to the caches: some 20,000 cycles, 12 us there and 15 us on an Orin, by count.
//
// The layer's own loops are those of one_block.cuh, for the first THREADS threads; what lies between them is spread over
// BLOCK. Everything is left in the same arrays as by the separate kernels.
#pragma once
#include "passes.cuh"
#include "one_block.cuh"
#include "training.cuh"

struct Whole {
    Window window;
    Forward forward;
    Backward backward;
    Loss loss;
    Adam adam;
    const float* weight_ih; // packed
    const float* bias_ih;   // [G·Hp], or null
    const float* weight_fc; // packed
    const float* bias_fc;   // [Op]
    float* y;               // [rows][Op]
    float* dtop;            // [rows][Hp] of the steps that count
    float* dweight_ih;
    float* dweight_hh;
    float* dbias_ih; // null without biases
    float* dbias_hh;
    float* dweight_fc;
    float* dbias_fc;
    float* losses; // [steps of a queue]
    float* norms;
    int clips, count; // whether gradients are clipped, and how many steps
};

// All threads of the block, for what lies between the layer's own loops.
__device__ __forceinline__ Team block_team() { return {threadIdx.x, BLOCK}; }

// out[row][n] = bias[n] + sum over k of a[row][k] W(k, n): a weight packed in panels of PANEL, four rows at a time.
template <int PANEL>
__device__ __forceinline__ void project(const float* a, int a_row, int rows, const float* weight, int depth,
                                        const float* bias, float* out, int columns) {
    for (int i = threadIdx.x; i < (rows + 3) / 4 * columns; i += BLOCK) {
        const int n = i % columns, row = i / columns * 4;
        const float* w = weight + (size_t)(n / PANEL) * depth * PANEL + n % PANEL;
        const float start = bias ? bias[n] : 0.0f;
        float sum[4] = {start, start, start, start};
        for (int k = 0; k < depth; ++k) {
            const float weight_k = w[(size_t)k * PANEL];
#pragma unroll
            for (int j = 0; j < 4; ++j)
                sum[j] = __fmaf_rn(factor(a[(size_t)min(row + j, rows - 1) * a_row + k]), factor(weight_k), sum[j]);
        }
#pragma unroll
        for (int j = 0; j < 4; ++j)
            if (row + j < rows)
                out[(size_t)(row + j) * columns + n] = sum[j];
    }
}

// out(k, n) = sum over rows of a[row][k] d[row][n], packed in panels of PANEL: four k at a time.
template <int PANEL>
__device__ __forceinline__ void weight_gradient(const float* a, int a_row, const float* d, int columns, int rows, int depth,
                                                float* out) {
    const int fours = (depth + 3) / 4; // rows of a are padded to whole sixteens
    for (int i = threadIdx.x; i < fours * columns; i += BLOCK) {
        const int n = i % columns, k = i / columns * 4;
        float sum[4] = {};
        for (int row = 0; row < rows; ++row) {
            const float4 left = *reinterpret_cast<const float4*>(a + (size_t)row * a_row + k);
            const float right = factor(d[(size_t)row * columns + n]);
            sum[0] = __fmaf_rn(factor(left.x), right, sum[0]);
            sum[1] = __fmaf_rn(factor(left.y), right, sum[1]);
            sum[2] = __fmaf_rn(factor(left.z), right, sum[2]);
            sum[3] = __fmaf_rn(factor(left.w), right, sum[3]);
        }
#pragma unroll
        for (int j = 0; j < 4; ++j)
            if (k + j < depth)
                out[((size_t)(n / PANEL) * depth + k + j) * PANEL + n % PANEL] = sum[j];
    }
}

// out[n] = sum over rows of d[row][n].
__device__ __forceinline__ void bias_gradient(const float* d, int columns, int rows, float* out) {
    for (int n = threadIdx.x; n < columns; n += BLOCK) {
        float sum = 0.0f;
        for (int row = 0; row < rows; ++row)
            sum += d[(size_t)row * columns + n];
        out[n] = sum;
    }
}

template <class Cell>
__device__ __forceinline__ void train(const Whole& args) {
    constexpr int G = Cell::GATES;
    SHARED(float, loss_warps, [BLOCK / 32]);
    SHARED(float, norm_warps, [BLOCK / 32]);
    const Forward& forward = args.forward;
    const Backward& backward = args.backward;
    const int rows = forward.steps * forward.batch;    // of the window
    const int scored = args.loss.rows;                 // of those that count, the last
    const int out = args.loss.width, output = args.loss.output;
    const float* top = forward.h + (size_t)(forward.batch + rows - scored) * HP;
    const unsigned first = *args.window.step;
    const float* dgates_h = Cell::RESET ? backward.dgates_h : backward.dgates_x;
    const int width = (args.window.input + STRIDE - 1) / STRIDE * STRIDE;

    for (int turn = 0; turn < args.count; ++turn) {
        const unsigned step = first + turn;
        take_window(args.window, step, block_team());
        __syncthreads();
        project<16 * G>(args.window.x, width, rows, args.weight_ih, args.window.input, args.bias_ih,
                        const_cast<float*>(forward.gates_x), G * HP);
        __syncthreads();
        if (threadIdx.x < THREADS)
            forward_one_block<Cell>(forward);
        __syncthreads();
        project<16>(top, HP, scored, args.weight_fc, H, args.bias_fc, args.y, out);
        __syncthreads();
        const float known = args.window.numbers[step].known;
        const float loss = block_sum<BLOCK>(score(args.loss, known, block_team()), loss_warps); // in which all threads meet

        // from dy to the h of the top: rows that do not count are zero before and stay so
        for (int i = threadIdx.x; i < scored * HP; i += BLOCK) {
            const int row = i / HP, unit = i % HP;
            float sum = 0.0f;
            for (int o = 0; o < output && unit < H; ++o) {
                const float weight = args.weight_fc[((size_t)(o / 16) * H + unit) * 16 + o % 16];
                sum = __fmaf_rn(factor(args.loss.dy[(size_t)row * out + o]), factor(weight), sum);
            }
            args.dtop[i] = sum;
        }
        for (int i = threadIdx.x; i < forward.batch * HP; i += BLOCK) {
            backward.dh[i] = 0.0f;
            if (Cell::HAS_C)
                backward.dc[i] = 0.0f;
        }
        weight_gradient<16>(top, HP, args.loss.dy, out, scored, H, args.dweight_fc);
        bias_gradient(args.loss.dy, out, scored, args.dbias_fc);
        __syncthreads();
        if (threadIdx.x < THREADS)
            backward_one_block<Cell>(backward);
        __syncthreads();
        weight_gradient<16 * G>(forward.h, HP, dgates_h, G * HP, rows, H, args.dweight_hh);
        weight_gradient<16 * G>(args.window.x, width, backward.dgates_x, G * HP, rows, args.window.input, args.dweight_ih);
        if (args.dbias_ih) {
            bias_gradient(backward.dgates_x, G * HP, rows, args.dbias_ih);
            bias_gradient(dgates_h, G * HP, rows, args.dbias_hh);
        }
        __syncthreads();

        float scale = args.adam.arena.sign, norm = 0.0f;
        if (args.clips) {
            norm = block_sum<BLOCK>(squares(args.adam.arena.grads, args.adam.arena.length, block_team()), norm_warps);
            scale = gradient_scale(args.adam.arena, norm);
        }
        update(args.adam, args.window.numbers[step], scale, block_team());
        if (threadIdx.x == 0) {
            args.losses[step] = loss / known;
            args.norms[step] = sqrtf(norm);
        }
        // a barrier came after the last read of what the next window overwrites, and one comes before a weight is read
    }
}
