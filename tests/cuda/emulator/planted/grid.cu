// Steps of a whole grid: x[i] becomes the mean of its neighbours on a ring, all at once, again and again. What other
// blocks wrote is read after the barrier of the grid.

struct GridArgs {
    float *x, *next;
    unsigned* barrier;
    int n, steps;
};

extern "C" __global__ void __launch_bounds__(256) ring(GridArgs args) {
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    float *from = args.x, *to = args.next;
    for (int step = 0; step < args.steps; ++step) {
        to[i] = 0.5f * (load_fresh(from + (i + args.n - 1) % args.n) + load_fresh(from + (i + 1) % args.n));
#if !defined(PLANT_MISSING_GRID_BARRIER)
        grid_barrier(args.barrier, gridDim.x);
#endif
        float* former = from;
        from = to;
        to = former;
    }
}

// A barrier that one block passes more often than the others.
extern "C" __global__ void __launch_bounds__(256) lonely(GridArgs args) {
    if (blockIdx.x == 0) grid_barrier(args.barrier, gridDim.x);
    args.x[blockIdx.x * blockDim.x + threadIdx.x] = 1.0f;
}

// Waits for a flag that nobody sets.
extern "C" __global__ void poll(GridArgs args) {
    while (atomicAdd(args.barrier, 0u) == 0u) __nanosleep(20);
    args.x[0] = 1.0f;
}
