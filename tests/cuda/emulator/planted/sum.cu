// out[block] = the sum of its part of x, by halving in shared memory.

struct SumArgs {
    const float* x;
    float* out;
    int n;
};

constexpr int THREADS = 64;

__device__ __forceinline__ float halve(float (&part)[THREADS], int thread) {
    for (int half = THREADS / 2; half > 0; half /= 2) {
#if defined(PLANT_DIVERGENT_BARRIER)
        if (thread < 32) __syncthreads();
        else __syncthreads();
#elif !defined(PLANT_MISSING_BARRIER)
        __syncthreads();
#endif
        if (thread < half) part[thread] += part[thread + half];
    }
    return part[0];
}

extern "C" __global__ void __launch_bounds__(THREADS) sum(SumArgs args) {
    SHARED(float, part, [THREADS]);
    const int thread = static_cast<int>(threadIdx.x), i = static_cast<int>(blockIdx.x) * THREADS + thread;
#if defined(PLANT_PAST_SHARED)
    part[thread + 1] = i < args.n ? args.x[i] : 0.0f;
#elif defined(PLANT_UNWRITTEN_SHARED)
    if (i < args.n) part[thread] = args.x[i];
#else
    part[thread] = i < args.n ? args.x[i] : 0.0f;
#endif
#if defined(PLANT_EARLY_EXIT)
    if (thread == 5) return;
#endif
    const float total = halve(part, thread);
    if (thread == 0) args.out[blockIdx.x] = total;
}

// The same in a warp, without shared memory: every lane ends up with the sum; a vote counts what is above the mean.
extern "C" __global__ void __launch_bounds__(32) warp_sum(SumArgs args) {
    const int lane = static_cast<int>(threadIdx.x);
    const float x = lane < args.n ? args.x[lane] : 0.0f;
    float total = x;
    for (int bit = 16; bit > 0; bit /= 2) total += __shfl_xor_sync(~0u, total, bit);
#if defined(PLANT_HALF_A_WARP)
    if (lane < 16) total = __shfl_sync(~0u, total, 0);
#endif
    const float first = __shfl_sync(~0u, x, 0), next = __shfl_down_sync(~0u, x, 1), before = __shfl_up_sync(~0u, x, 1);
    const unsigned above = __ballot_sync(~0u, x > total / 32.0f);
    args.out[lane] = total;
    args.out[32 + lane] = first;
    args.out[64 + lane] = next;
    args.out[96 + lane] = before;
    args.out[128 + lane] = static_cast<float>(__popc(above));
}

// Lanes hand values on through shared memory. Without __syncwarp this would rely on lanes that march in step.
extern "C" __global__ void __launch_bounds__(32) warp_rotate(SumArgs args) {
    SHARED(float, part, [32]);
    const int lane = static_cast<int>(threadIdx.x);
    part[lane] = args.x[lane];
#if !defined(PLANT_MISSING_SYNCWARP)
    __syncwarp();
#endif
    args.out[lane] = part[(lane + 1) % 32];
}

// As large as it is told to be, in dynamic shared memory.
extern "C" __global__ void dynamic_sum(SumArgs args) {
    DYNAMIC_SHARED(float, part);
    const int threads = static_cast<int>(blockDim.x), thread = static_cast<int>(threadIdx.x);
    for (int i = thread; i < args.n; i += threads) part[i] = args.x[i];
    __syncthreads();
    float total = 0.0f;
    for (int i = 0; i < args.n; ++i) total += part[i];
    args.out[blockIdx.x * blockDim.x + threadIdx.x] = total;
}

// More than a card gives to arrays of fixed size.
extern "C" __global__ void much_shared(SumArgs args) {
    SHARED(float, one, [8000]);
    SHARED(float, two, [8000]);
    one[threadIdx.x] = two[threadIdx.x] = args.x[0];
}
