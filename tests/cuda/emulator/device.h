// The host half of the kernel dialect: everything that CUDA and the device half of kernels/prelude.cuh give a kernel,
// for a C++ compiler of the host. The stand-in compiler includes it before every kernel source. A thread of the kernel
// is a fiber; whatever threads do together is done by the machine (machine.h).
//
// No header of the standard library is included. It would take longer to read than the kernel takes to compile.
#pragma once
#ifndef EMULATOR
#define EMULATOR  // leaves out the device half of the prelude
#endif

#include "machine.h"

namespace emulator {

static Machine* machine;  // set by the driver when it loads the image
static const SharedArray* shared_arrays;

// One object for each declaration of a shared array (and each instance of the template that it stands in): its address
// tells the machine which array is meant, its constructor adds it to the image's list.
template <uint64_t FILE, int LINE, int COUNTER, size_t BYTES>
struct Site {
    struct Listed : SharedArray {
        Listed() : SharedArray{FILE, LINE, BYTES, shared_arrays} { shared_arrays = this; }
    };
    static inline Listed listed;
};

// As a default argument this is the line of the call.
constexpr Place here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }

}  // namespace emulator

// ---- declarations -----------------------------------------------------------------------------------------------

#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))

// A reference to a true array of the size declared, so that the sanitizers know its bounds, first to last dimension.
#define SHARED(type, name, ...)                                                                         \
    using name##_array = type __VA_ARGS__;                                                              \
    name##_array& name = *static_cast<name##_array*>(emulator::machine->shared(                         \
        &emulator::Site<emulator::hash(__FILE__), __LINE__, __COUNTER__, sizeof(name##_array)>::listed, \
        sizeof(name##_array), emulator::Place{__FILE__, __LINE__}))

#define DYNAMIC_SHARED(type, name) type* name = static_cast<type*>(emulator::machine->self->dynamic_shared)

// ---- types and indices ------------------------------------------------------------------------------------------

struct dim3 {
    unsigned x, y, z;
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) int2 {
    int x, y;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

#define threadIdx (emulator::machine->self->thread)
#define blockIdx (emulator::machine->self->block)
#define blockDim (emulator::machine->self->block_dim)
#define gridDim (emulator::machine->self->grid_dim)
constexpr int warpSize = 32;

// ---- arithmetic -------------------------------------------------------------------------------------------------

extern "C" {
float acosf(float) noexcept;
float cosf(float) noexcept;
float erff(float) noexcept;
float exp2f(float) noexcept;
float expf(float) noexcept;
float expm1f(float) noexcept;
float log1pf(float) noexcept;
float log2f(float) noexcept;
float logf(float) noexcept;
float powf(float, float) noexcept;
float sinf(float) noexcept;
float tanhf(float) noexcept;
}
inline float ceilf(float x) { return __builtin_ceilf(x); }
inline float copysignf(float x, float sign) { return __builtin_copysignf(x, sign); }
inline float fabsf(float x) { return __builtin_fabsf(x); }
inline float floorf(float x) { return __builtin_floorf(x); }
inline float fmaf(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
inline float fmaxf(float x, float y) { return __builtin_fmaxf(x, y); }
inline float fminf(float x, float y) { return __builtin_fminf(x, y); }
inline float rintf(float x) { return __builtin_rintf(x); }
inline float rsqrtf(float x) { return 1.0f / __builtin_sqrtf(x); }
inline float sqrtf(float x) { return __builtin_sqrtf(x); }
inline float __fmaf_rn(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
inline bool isfinite(float x) { return __builtin_isfinite(x); }
inline bool isinf(float x) { return __builtin_isinf(x); }
inline bool isnan(float x) { return __builtin_isnan(x); }

inline int min(int x, int y) { return x < y ? x : y; }
inline int max(int x, int y) { return x > y ? x : y; }
inline unsigned min(unsigned x, unsigned y) { return x < y ? x : y; }
inline unsigned max(unsigned x, unsigned y) { return x > y ? x : y; }
inline long long min(long long x, long long y) { return x < y ? x : y; }
inline long long max(long long x, long long y) { return x > y ? x : y; }
inline float min(float x, float y) { return fminf(x, y); }
inline float max(float x, float y) { return fmaxf(x, y); }

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __float_as_uint(float x) {
    unsigned bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    return bits;
}
inline float __uint_as_float(unsigned bits) {
    float x;
    __builtin_memcpy(&x, &bits, sizeof x);
    return x;
}

inline unsigned opaque(unsigned x) { return x; }
inline float exp2_approx(float x) { return exp2f(x); }
inline float reciprocal_approx(float x) { return 1.0f / x; }

// ---- numbers of 16 and 19 bits ----------------------------------------------------------------------------------

// Round to nearest, ties to even, as cvt.rn.satfinite does it; what is too large becomes the largest, what is small a
// subnormal.
inline unsigned short to_f16(float x) {
    const unsigned bits = __float_as_uint(x), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return 0x7fff;
    if (magnitude >= 0x477fe000) return static_cast<unsigned short>(sign | 0x7bff);  // 65504 and above
    if (magnitude < 0x38800000) {
        // Below 2^-14 the steps are 2^-24. Added to 0.5 they are the last bits of a float, and the addition rounds.
        const unsigned steps = __float_as_uint(__uint_as_float(magnitude) + 0.5f) - 0x3f000000;
        return static_cast<unsigned short>(sign | steps);
    }
    const unsigned rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
    return static_cast<unsigned short>(sign | ((rounded - 0x38000000) >> 13));
}
inline unsigned to_f16_pair(float low, float high) {
    return to_f16(low) | static_cast<unsigned>(to_f16(high)) << 16;
}
inline float from_f16(unsigned short half) {
    const unsigned sign = static_cast<unsigned>(half & 0x8000) << 16, magnitude = half & 0x7fff;
    if (magnitude >= 0x7c00) return __uint_as_float(sign | 0x7f800000 | (magnitude & 0x3ff) << 13);
    if (magnitude < 0x400) return __uint_as_float(sign | __float_as_uint(static_cast<float>(magnitude) * 0x1p-24f));
    return __uint_as_float(sign | ((magnitude << 13) + 0x38000000));
}
inline unsigned short to_bf16(float x) {
    const unsigned bits = __float_as_uint(x);
    if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fff;
    return static_cast<unsigned short>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline float from_bf16(unsigned short half) { return __uint_as_float(static_cast<unsigned>(half) << 16); }
// Round to nearest, ties away from zero, as cvt.rna.tf32 does it.
inline float to_tf32(float x) {
    const unsigned bits = __float_as_uint(x);
    if ((bits & 0x7fffffff) > 0x7f800000) return __uint_as_float(0x7fffe000);
    if ((bits & 0x7fffffff) == 0x7f800000) return x;
    return __uint_as_float((bits + 0x1000) & 0xffffe000);
}

// ---- memory -----------------------------------------------------------------------------------------------------

// All fibers run on one operating system thread, so only the compiler could reorder anything.
inline void __threadfence() { asm volatile("" ::: "memory"); }
inline void __threadfence_block() { asm volatile("" ::: "memory"); }
template <class T>
inline T __ldg(const T* address) {
    return *address;
}
inline float load_streaming(const float* address) { return *address; }
inline float4 load_streaming(const float4* address) { return *address; }
inline float load_fresh(const float* address) { return *address; }
inline float4 load_fresh(const float4* address) { return *address; }
inline float4 load_in_order(const float4* address) { return *address; }

inline unsigned atomicAdd(unsigned* address, unsigned x) { return __atomic_fetch_add(address, x, __ATOMIC_RELAXED); }
inline unsigned atomicExch(unsigned* address, unsigned x) { return __atomic_exchange_n(address, x, __ATOMIC_RELAXED); }
inline unsigned atomicCAS(unsigned* address, unsigned expected, unsigned x) {
    __atomic_compare_exchange_n(address, &expected, x, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return expected;
}

// On a card the bytes arrive at any moment between this and the wait. Here they arrive at the very wait, and until then
// there are NaNs, so that who reads too early and who still reads what was there before both see it.
inline void copy_async(float4* shared, const float4* global) {
    const float nan = __uint_as_float(~0u);
    *shared = {nan, nan, nan, nan};
    emulator::machine->copy({shared, global});
}
inline void copy_async_commit() { emulator::machine->copy_commit(); }
template <int KEEP>
inline void copy_async_wait() {
    emulator::Copy due;
    while (emulator::machine->copy_due(KEEP, &due)) {
        *static_cast<float4*>(due.to) = *static_cast<const float4*>(due.from);
    }
}

// ---- threads together -------------------------------------------------------------------------------------------

namespace emulator {

template <class T>
inline T shuffle(unsigned mask, T value, unsigned from, Place place) {
    static_assert(sizeof(T) <= sizeof(uint64_t), "a shuffle moves 4 or 8 bytes");
    uint64_t words = 0;
    __builtin_memcpy(&words, &value, sizeof value);
    words = machine->shuffle(mask, words, from, place);
    __builtin_memcpy(&value, &words, sizeof value);
    return value;
}

}  // namespace emulator

inline void __syncthreads(emulator::Place here = emulator::here()) { emulator::machine->block_barrier(here); }
inline void __syncwarp(unsigned mask = ~0u, emulator::Place here = emulator::here()) {
    emulator::machine->warp_barrier(mask, here);
}
inline void grid_barrier(unsigned* word, int blocks, emulator::Place here = emulator::here()) {
    emulator::machine->grid_barrier(word, static_cast<unsigned>(blocks), here);
}
inline void __nanosleep(unsigned, emulator::Place here = emulator::here()) { emulator::machine->yield(here); }

template <class T>
inline T __shfl_sync(unsigned mask, T value, int lane, emulator::Place here = emulator::here()) {
    return emulator::shuffle(mask, value, static_cast<unsigned>(lane) & 31, here);
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int bits, emulator::Place here = emulator::here()) {
    return emulator::shuffle(mask, value, (emulator::machine->self->lane ^ static_cast<unsigned>(bits)) & 31, here);
}
template <class T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned distance, emulator::Place here = emulator::here()) {
    const unsigned lane = emulator::machine->self->lane;
    return emulator::shuffle(mask, value, lane + distance < 32 ? lane + distance : lane, here);
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned distance, emulator::Place here = emulator::here()) {
    const unsigned lane = emulator::machine->self->lane;
    return emulator::shuffle(mask, value, lane >= distance ? lane - distance : lane, here);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, emulator::Place here = emulator::here()) {
    return emulator::machine->ballot(mask, predicate, here);
}
inline int __any_sync(unsigned mask, int predicate, emulator::Place here = emulator::here()) {
    return emulator::machine->ballot(mask, predicate, here) != 0;
}
inline int __all_sync(unsigned mask, int predicate, emulator::Place here = emulator::here()) {
    return emulator::machine->ballot(mask, predicate == 0, here) == 0;
}

inline void mma_f16(float d[4], const unsigned a[4], const unsigned b[2], emulator::Place here = emulator::here()) {
    emulator::machine->product(emulator::Product::F16, d, a, b, here);
}
inline void mma_bf16(float d[4], const unsigned a[4], const unsigned b[2], emulator::Place here = emulator::here()) {
    emulator::machine->product(emulator::Product::BF16, d, a, b, here);
}
inline void mma_tf32(float d[4], const unsigned a[4], const unsigned b[2], emulator::Place here = emulator::here()) {
    emulator::machine->product(emulator::Product::TF32, d, a, b, here);
}

// ---- the list of kernels, which the stand-in compiler writes below the source -----------------------------------

namespace emulator {

template <auto FUNCTION>
struct Entry {
    static_assert(sizeof(FUNCTION) == 0, "a kernel takes exactly one struct by value");
};
template <class Args, void (*FUNCTION)(Args)>
struct Entry<FUNCTION> {
    static_assert(__is_trivially_copyable(Args), "the arguments of a kernel are plain data");
    static void run(const void* args) { FUNCTION(*static_cast<const Args*>(args)); }
    static constexpr size_t args_size = sizeof(Args);
};

}  // namespace emulator
