// The words that every kernel uses and that CUDA does not have as plain C++: one instruction each, or a few.
// Nothing from NVIDIA is included. Where kernels run on a CPU instead of a GPU, EMULATOR is defined, and the emulator
// has its own twins of the first part.
#pragma once

#ifndef EMULATOR

/// A static array in shared memory, 16-byte aligned: SHARED(float, tile, [16][68]).
#define SHARED(type, name, ...) __shared__ __align__(16) type name __VA_ARGS__
/// A pointer to the shared memory that the launch asked for.
#define DYNAMIC_SHARED(type, name)                              \
    extern __shared__ __align__(16) unsigned char name##_bytes[]; \
    type* name = reinterpret_cast<type*>(name##_bytes)

// ---- one number

/// x, but the compiler no longer knows where it comes from. So what is computed from it in a loop stays in the loop,
/// and is not kept in registers from one turn to the next.
__device__ __forceinline__ unsigned opaque(unsigned x) {
    asm volatile("" : "+r"(x));
    return x;
}

/// 2^x, 2 ulp, 0 instead of a denormal.
__device__ __forceinline__ float exp2_approx(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/// 1 / x, 1 ulp, 0 instead of a denormal.
__device__ __forceinline__ float reciprocal_approx(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// From CUDA 12.1 on the compiler knows a conversion to half that stops at the largest number.
#if __CUDA_ARCH__ >= 800 && __CUDACC_VER_MAJOR__ * 100 + __CUDACC_VER_MINOR__ >= 1201
#define SATURATING_F16
#endif

/// The bits of x as IEEE half, to nearest even. What lies beyond 65504 becomes 65504, an infinity as well. Otherwise it
/// would be infinite, and NaN as soon as it meets a weight that is zero. NaN stays NaN.
__device__ __forceinline__ unsigned short to_f16(float x) {
    unsigned short bits;
#ifdef SATURATING_F16
    asm("cvt.rn.satfinite.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
#else
    const float within = fabsf(x) > 65504.0f ? copysignf(65504.0f, x) : x;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(within));
#endif
    return bits;
}

/// The same of two, the first in the low half of a word.
__device__ __forceinline__ unsigned to_f16_pair(float low, float high) {
#ifdef SATURATING_F16
    unsigned word;
    asm("cvt.rn.satfinite.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
#else
    return to_f16(low) | (unsigned)to_f16(high) << 16;
#endif
}

__device__ __forceinline__ float from_f16(unsigned short bits) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
}

/// The bits of x as bfloat16, to nearest even.
__device__ __forceinline__ unsigned short to_bf16(float x) {
#if __CUDA_ARCH__ >= 800
    unsigned short bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
#else
    const unsigned bits = __float_as_uint(x);
    const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
    return nan ? (bits >> 16) | 0x40u : (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
#endif
}

__device__ __forceinline__ float from_bf16(unsigned short bits) { return __uint_as_float(unsigned(bits) << 16); }

/// x with 10 bits of mantissa, to nearest, ties away from zero; the low 13 bits are zero.
__device__ __forceinline__ float to_tf32(float x) {
    const unsigned bits = __float_as_uint(x);
#if __CUDA_ARCH__ >= 800
    unsigned rounded;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(x));
#else
    const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
    const unsigned rounded = nan ? bits | 0x400000u : bits + 0x1000u;
#endif
    (void)bits;
    return __uint_as_float(rounded & ~0x1fffu);
}

// ---- memory

/// Data that no kernel writes while this one runs: read through the path for read-only data, never moved by the
/// compiler, so that a load stays as early as it was written.
__device__ __forceinline__ float load_streaming(const float* p) {
    float v;
    asm volatile("ld.global.nc.f32 %0, [%1];" : "=f"(v) : "l"(p));
    return v;
}

__device__ __forceinline__ float4 load_streaming(const float4* p) {
    float4 v;
    asm volatile("ld.global.nc.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "l"(p));
    return v;
}

/// Data that another block wrote in this launch, before a grid_barrier: read past L1.
__device__ __forceinline__ float load_fresh(const float* p) {
    float v;
#if __CUDA_ARCH__ >= 700
    asm volatile("ld.relaxed.gpu.global.f32 %0, [%1];" : "=f"(v) : "l"(p) : "memory");
#else
    asm volatile("ld.global.cg.f32 %0, [%1];" : "=f"(v) : "l"(p) : "memory");
#endif
    return v;
}

__device__ __forceinline__ float4 load_fresh(const float4* p) {
    float4 v;
#if __CUDA_ARCH__ >= 700
    asm volatile("ld.relaxed.gpu.global.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "l"(p) : "memory");
#else
    asm volatile("ld.global.cg.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "l"(p) : "memory");
#endif
    return v;
}

/// An address in shared memory as instructions want it.
__device__ __forceinline__ unsigned shared_address(const void* p) { return unsigned(__cvta_generic_to_shared(p)); }

/// From shared memory, exactly here: the compiler must not move weights that are kept there into registers.
__device__ __forceinline__ float4 load_in_order(const float4* p) {
    float4 v;
    asm volatile("ld.volatile.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "r"(shared_address(p)));
    return v;
}

/// Copies 16 bytes from global to shared memory without a register in between, where the GPU can. They are there
/// after copy_async_commit, copy_async_wait and a barrier.
__device__ __forceinline__ void copy_async(float4* shared, const float4* global) {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" :: "r"(shared_address(shared)), "l"(global) : "memory");
#else
    *shared = *global;
#endif
}

/// Ends a group of copies.
__device__ __forceinline__ void copy_async_commit() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/// Waits until at most N groups of this thread are on their way.
template <int N>
__device__ __forceinline__ void copy_async_wait() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" :: "n"(N) : "memory");
#endif
}

// ---- all blocks of a cooperative launch

/// Waits until every thread of `blocks` blocks is here, those with the same blockIdx.y and z. What was written before
/// it can be read after it, by load_fresh. `barrier` is a word, zero before the first launch, that counts arrivals. The
/// group's first block adds a number that carries the sum of a round into the top bit. So each round flips that bit and
/// leaves the rest zero: nothing has to be reset, and the last to arrive writes nothing further.
__device__ __forceinline__ void grid_barrier(unsigned* barrier, int blocks) {
    __syncthreads();
    if (threadIdx.x == 0) {
        const unsigned add = blockIdx.x == 0 ? 0x80000000u - (blocks - 1) : 1u;
        unsigned before, now;
#if __CUDA_ARCH__ >= 700
        // what the block wrote was gathered by __syncthreads, and goes out with the release; no other fence is needed
        asm volatile("atom.add.acq_rel.gpu.global.u32 %0, [%1], %2;" : "=r"(before) : "l"(barrier), "r"(add) : "memory");
        do {
            asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(now) : "l"(barrier) : "memory");
        } while (((before ^ now) & 0x80000000u) == 0);
#else
        __threadfence();
        before = atomicAdd(barrier, add);
        do {
            asm volatile("ld.volatile.global.u32 %0, [%1];" : "=r"(now) : "l"(barrier) : "memory");
        } while (((before ^ now) & 0x80000000u) == 0);
        __threadfence();
#endif
    }
    __syncthreads();
}

// ---- tensor cores: d += a · b for a whole warp. With l the lane, g = l / 4 and t = l % 4, a lane holds
//   d: rows g, g, g+8, g+8 and columns 2t, 2t+1, 2t, 2t+1, of 16 × 8
//   a: rows g, g+8, g, g+8 and words t, t, t+4, t+4
//   b: column g and words t, t+4
// A word is one value of k (tf32, k < 8) or two neighbours (f16 and bf16, k < 16, the first in the low half).

/// From sm_75 on.
__device__ __forceinline__ void mma_f16(float d[4], const unsigned a[4], const unsigned b[2]) {
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    for (int half = 0; half < 2; ++half)
        asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 "
            "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[2 * half]), "r"(a[2 * half + 1]), "r"(b[half]));
#endif
}

/// From sm_80 on.
__device__ __forceinline__ void mma_bf16(float d[4], const unsigned a[4], const unsigned b[2]) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// From sm_80 on.
__device__ __forceinline__ void mma_tf32(float d[4], const unsigned a[4], const unsigned b[2]) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

#endif // EMULATOR

// ---- the same on a GPU and on a CPU

/// The architecture that is compiled for: 87 for sm_87. An emulated compiler defines __CUDA_ARCH__ like a real one.
#ifdef __CUDA_ARCH__
constexpr int ARCH = __CUDA_ARCH__ / 10;
#else
constexpr int ARCH = 90;
#endif
