// tanh and sigmoid of one value, each from one ex2 and one reciprocal of the hardware: the twin of src/simd/math.rs.
//
//     sigmoid(x) = 1 / (1 + 2^(-x log2 e))        tanh(x) = 1 - 2 / (1 + 2^(2 x log2 e))
//
// The second loses its digits near zero, so below 0.55 an odd polynomial takes over, by a select and never by a branch.
// Both saturate to exactly 0 or +-1, keep NaN, and never leave their range, so 1 - y*y is never negative.
// Largest relative errors with the documented errors of ex2.approx (2 ulp) and rcp.approx (1 ulp), over all of f32:
// tanh 6.6e-7; sigmoid 8e-7, and for negative x 6.5e-8 |x| more, since the argument of ex2 is rounded: 6.5e-6 at -87, of
// 1e-38. (`tests/cuda/kernels.rs` checks both.) expf and the division of the vendor's library are not used:
// the paths they take for rare arguments are longer than all of this.
#pragma once
#include "prelude.cuh"

namespace math {

constexpr float LOG2_E = 1.4426950408889634f;

__device__ __forceinline__ float sigmoid(float x) {
    return reciprocal_approx(1.0f + exp2_approx(-LOG2_E * x));
}

__device__ __forceinline__ float tanh(float x) {
    const float large = __fmaf_rn(-2.0f, reciprocal_approx(1.0f + exp2_approx(2.0f * LOG2_E * x)), 1.0f);
    const float square = x * x;
    float small = __fmaf_rn(square, 0.01643759f, -0.05267182f);
    small = __fmaf_rn(square, small, 0.13320725f);
    small = __fmaf_rn(square, small, -0.33332947f);
    small = __fmaf_rn(x * square, small, x);
    return fabsf(x) < 0.55f ? small : large;
}

} // namespace math
