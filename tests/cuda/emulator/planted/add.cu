// out[i] = x[i] + y[i], one element a thread, the last block in part.

struct AddArgs {
    const float *x, *y;
    float* out;
    int n;
};

extern "C" __global__ void __launch_bounds__(64) add(AddArgs args) {
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
#if defined(PLANT_PAST_GLOBAL)
    if (i <= args.n) args.out[i] = args.x[i < args.n ? i : 0] + args.y[i < args.n ? i : 0];
#elif defined(PLANT_READ_PAST_GLOBAL)
    if (i < args.n) args.out[i] = args.x[i + 1] + args.y[i];
#elif defined(PLANT_UNWRITTEN)
    if (i < args.n && i != 77) args.out[i] = args.x[i] + args.y[i];
#elif defined(PLANT_RACE_BETWEEN_BLOCKS)
    if (i < args.n) args.out[i < 10 || i >= 64 ? i % 64 : i] = args.x[i] + args.y[i];
#elif defined(PLANT_WILD)
    if (i < args.n) reinterpret_cast<float*>(16)[i] = args.x[i] + args.y[i];
#else
    if (i < args.n) args.out[i] = args.x[i] + args.y[i];
#endif
}

// A thread that needs more stack than it has.
extern "C" __global__ void deep(AddArgs args) {
    volatile float local[60000];
    for (int i = 0; i < 60000; ++i) local[i] = args.x[i % args.n];
    args.out[0] = local[args.n];
}
