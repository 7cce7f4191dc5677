// The start of a training step: takes its window out of the data on the card, and the state before it.
#include "training.cuh"

struct Window {
    const float* x_rows;      // [.][I]
    const float* target_rows; // [.][O]
    const int* starts;        // [steps of a queue][2·B]: for each sequence its first row of x, then its first of the target
    const Numbers* numbers;   // [steps of a queue]
    const unsigned* step;     // which of them this is
    float* x;                 // [T·B][Ip]
    float* target;            // [target_steps·B][O]
    float* h;                 // [L][(T+1)·B][Hp]: the state after the last window becomes that before this one
    float* c;                 // the same, or null
    size_t layer;             // values of h from one layer to the next
    int apart;                // rows of the data from one time step to the next
    int steps, batch, input, output, target_steps, layers, hidden; // T, B, I, O, steps with a target, L, Hp
};

constexpr int STRIDE = 16; // x is padded to whole sixteens

extern "C" __global__ void __launch_bounds__(SUM_THREADS) window(Window args) {
    const size_t first = (size_t)blockIdx.x * SUM_THREADS + threadIdx.x, threads = (size_t)gridDim.x * SUM_THREADS;
    const unsigned step = *args.step;
    const int* x_starts = args.starts + (size_t)step * 2 * args.batch;
    const int* target_starts = x_starts + args.batch;
    const int width = (args.input + STRIDE - 1) / STRIDE * STRIDE;

    for (size_t i = first; i < (size_t)args.steps * args.batch * args.input; i += threads) {
        const size_t row = i / args.input, from = x_starts[row % args.batch] + row / args.batch * args.apart;
        args.x[row * width + i % args.input] = args.x_rows[from * args.input + i % args.input];
    }
    for (size_t i = first; i < (size_t)args.target_steps * args.batch * args.output; i += threads) {
        const size_t row = i / args.output, from = target_starts[row % args.batch] + row / args.batch * args.apart;
        args.target[i] = args.target_rows[from * args.output + i % args.output];
    }
    const size_t state = (size_t)args.batch * args.hidden;
    const bool restart = args.numbers[step].restart != 0;
    for (size_t i = first; i < args.layers * state; i += threads) {
        const size_t before = i / state * args.layer + i % state, after = before + args.steps * state;
        args.h[before] = restart ? 0.0f : args.h[after];
        if (args.c)
            args.c[before] = restart ? 0.0f : args.c[after];
    }
}
