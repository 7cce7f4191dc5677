// What training makes small, its value and its gradient: the twin of src/loss.rs. Formulas: PyTorch, MSELoss, L1Loss and
// HuberLoss (delta 1), averaged over all elements. Reads y and the target once and writes dy once: 12 bytes an element.
#include "training.cuh"

enum Kind { MSE = 0, MAE = 1, HUBER = 2 };

struct Loss {
    const float* y;      // [rows][width]
    const float* target; // [rows][O]
    float* dy;           // [rows][width], padding left alone
    float* parts;        // [blocks], what each block adds up
    int rows, output, width, kind;
};

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

extern "C" __global__ void __launch_bounds__(SUM_THREADS) loss(Loss args) {
    SHARED(float, warps, [SUM_THREADS / 32]);
    const int count = args.rows * args.output;
    float sum = 0.0f;
    for (int i = blockIdx.x * SUM_THREADS + threadIdx.x; i < count; i += gridDim.x * SUM_THREADS) {
        const size_t at = (size_t)(i / args.output) * args.width + i % args.output;
        const float2 found = element(args.kind, args.y[at] - args.target[i]);
        sum += found.x;
        args.dy[at] = found.y / count;
    }
    sum = block_sum(sum, warps);
    if (threadIdx.x == 0)
        args.parts[blockIdx.x] = sum;
}
