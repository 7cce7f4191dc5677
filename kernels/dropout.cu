// Elements dropped between two layers in training: out = x times factors, which are 0 or 1 / (1 - p). For the gradient
// out is x itself. Moves 12 bytes an element.
#include "prelude.cuh"

struct Dropout {
    const float* x;
    const float* factors;
    float* out;
    unsigned long long len;
};

constexpr int DROPOUT_THREADS = 256;

// budget dropout registers 16 shared 0
extern "C" __global__ void __launch_bounds__(DROPOUT_THREADS) dropout(Dropout args) {
    const unsigned long long i = (unsigned long long)blockIdx.x * DROPOUT_THREADS + threadIdx.x;
    if (i < args.len)
        args.out[i] = args.x[i] * args.factors[i];
}
