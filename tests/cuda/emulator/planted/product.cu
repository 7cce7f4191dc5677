// One product of the tensor cores by one warp: d[16][8] += a[16][DEPTH] b[DEPTH][8], numbers of 16 bits rounded from
// f32. -D KIND=0 f16, 1 bf16 (DEPTH 16), 2 tf32 (DEPTH 8).

struct ProductArgs {
    const float *a, *b;
    float* d;
};

__device__ __forceinline__ unsigned pack(float low, float high) {
#if KIND == 0
    return to_f16_pair(low, high);
#else
    return to_bf16(low) | static_cast<unsigned>(to_bf16(high)) << 16;
#endif
}

extern "C" __global__ void __launch_bounds__(32) product(ProductArgs args) {
    const int lane = static_cast<int>(threadIdx.x), group = lane / 4, t = lane % 4;
    unsigned a[4], b[2];
    float d[4];
    for (int i = 0; i < 4; ++i) d[i] = args.d[(group + 8 * (i / 2)) * 8 + 2 * t + i % 2];
#if KIND == 2
    for (int i = 0; i < 4; ++i) {
        a[i] = __float_as_uint(to_tf32(args.a[(group + 8 * (i % 2)) * 8 + t + 4 * (i / 2)]));
    }
    for (int i = 0; i < 2; ++i) b[i] = __float_as_uint(to_tf32(args.b[(t + 4 * i) * 8 + group]));
    mma_tf32(d, a, b);
#else
    for (int i = 0; i < 4; ++i) {
        const float* from = args.a + (group + 8 * (i % 2)) * 16 + 2 * t + 8 * (i / 2);
        a[i] = pack(from[0], from[1]);
    }
    for (int i = 0; i < 2; ++i) {
        const float* from = args.b + (2 * t + 8 * i) * 8 + group;
        b[i] = pack(from[0], from[8]);
    }
#if KIND == 0
    mma_f16(d, a, b);
#else
    mma_bf16(d, a, b);
#endif
#endif
    for (int i = 0; i < 4; ++i) args.d[(group + 8 * (i / 2)) * 8 + 2 * t + i % 2] = d[i];
}

// Rounds x[n] to f16, bf16 and tf32, and gives back what they stand for.
struct RoundArgs {
    const float* x;
    float *f16, *bf16, *tf32;
    int n;
};

extern "C" __global__ void __launch_bounds__(256) round_trip(RoundArgs args) {
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= args.n) return;
    args.f16[i] = from_f16(to_f16(args.x[i]));
    args.bf16[i] = from_bf16(to_bf16(args.x[i]));
    args.tf32[i] = to_tf32(args.x[i]);
}
