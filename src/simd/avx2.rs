//! Sixteen lanes in two AVX2 registers.
#![allow(clippy::undocumented_unsafe_blocks, reason = "one comment is for all of them")]

use crate::simd::lanes::sealed::Sealed;
use crate::simd::lanes::{Lanes, Pass};
use core::arch::x86_64::*;
use core::ops::{Add, Div, Mul, Sub};

/// Two registers. Exists only where AVX2, FMA and F16C do.
#[derive(Clone, Copy)]
pub struct Avx2(__m256, __m256);

impl Add for Avx2 {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: a value exists, so the processor has the instructions.
        Self(unsafe { _mm256_add_ps(self.0, other.0) }, unsafe { _mm256_add_ps(self.1, other.1) })
    }
}

impl Sub for Avx2 {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: a value exists, so the processor has the instructions.
        Self(unsafe { _mm256_sub_ps(self.0, other.0) }, unsafe { _mm256_sub_ps(self.1, other.1) })
    }
}

impl Mul for Avx2 {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: a value exists, so the processor has the instructions.
        Self(unsafe { _mm256_mul_ps(self.0, other.0) }, unsafe { _mm256_mul_ps(self.1, other.1) })
    }
}

impl Div for Avx2 {
    type Output = Self;
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        // SAFETY: a value exists, so the processor has the instructions.
        Self(unsafe { _mm256_div_ps(self.0, other.0) }, unsafe { _mm256_div_ps(self.1, other.1) })
    }
}

impl Sealed for Avx2 {}

// SAFETY of every block below: a value exists or the caller promises, so the processor has AVX2, FMA and F16C; pointers
// are the caller's promise.
impl Lanes for Avx2 {
    const ACCUMULATORS: usize = 6;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn run<P: Pass>(pass: P) -> P::Output {
        unsafe { pass.run::<Self>() }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        let half = unsafe { _mm256_set1_ps(value) };
        Self(half, half)
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { Self(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
    }

    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> Self {
        unsafe {
            let halves: *const __m128i = from.cast();
            Self(_mm256_cvtph_ps(_mm_loadu_si128(halves)), _mm256_cvtph_ps(_mm_loadu_si128(halves.add(1))))
        }
    }

    #[inline(always)]
    unsafe fn load_i8(from: *const i8) -> Self {
        unsafe { Self(eight_i8(from), eight_i8(from.add(8))) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe {
            _mm256_storeu_ps(to, self.0);
            _mm256_storeu_ps(to.add(8), self.1);
        }
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        unsafe { Self(_mm256_fmadd_ps(self.0, factor.0, addend.0), _mm256_fmadd_ps(self.1, factor.1, addend.1)) }
    }

    #[inline(always)]
    fn abs(self) -> Self {
        unsafe {
            let sign = _mm256_set1_ps(-0.0);
            Self(_mm256_andnot_ps(sign, self.0), _mm256_andnot_ps(sign, self.1))
        }
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        unsafe { Self(_mm256_sqrt_ps(self.0), _mm256_sqrt_ps(self.1)) }
    }

    #[inline(always)]
    fn min(self, bound: Self) -> Self {
        // the second operand wins if either is NaN
        unsafe { Self(_mm256_min_ps(bound.0, self.0), _mm256_min_ps(bound.1, self.1)) }
    }

    #[inline(always)]
    fn max(self, bound: Self) -> Self {
        unsafe { Self(_mm256_max_ps(bound.0, self.0), _mm256_max_ps(bound.1, self.1)) }
    }

    #[inline(always)]
    fn exp2_whole(self) -> Self {
        unsafe { Self(exp2_whole(self.0), exp2_whole(self.1)) }
    }

    #[inline(always)]
    fn less_than(self, bound: Self, yes: Self, no: Self) -> Self {
        unsafe {
            let mask = _mm256_cmp_ps::<_CMP_LT_OQ>(self.0, bound.0);
            let mask_1 = _mm256_cmp_ps::<_CMP_LT_OQ>(self.1, bound.1);
            Self(_mm256_blendv_ps(no.0, yes.0, mask), _mm256_blendv_ps(no.1, yes.1, mask_1))
        }
    }

    #[inline(always)]
    fn and(self, mask: Self) -> Self {
        unsafe { Self(_mm256_and_ps(self.0, mask.0), _mm256_and_ps(self.1, mask.1)) }
    }

    #[inline(always)]
    fn low_half(self) -> Self {
        unsafe { Self(low_half(self.0), low_half(self.1)) }
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        unsafe { sum(_mm256_add_ps(self.0, self.1)) }
    }
}

/// The sum of eight lanes, by halves.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
pub unsafe fn sum(eight: __m256) -> f32 {
    // SAFETY: the caller's promise.
    unsafe {
        let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
    }
}

/// Eight whole numbers from memory.
///
/// # Safety
/// The processor has AVX2, and eight values can be read at `from`.
#[inline(always)]
unsafe fn eight_i8(from: *const i8) -> __m256 {
    // SAFETY: the caller's promise.
    unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(from.cast()))) }
}

/// The lower sixteen bits of each lane as the upper ones.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn low_half(eight: __m256) -> __m256 {
    // SAFETY: the caller's promise.
    unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(eight))) }
}

/// `2^n` for whole n, by writing the exponent.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn exp2_whole(n: __m256) -> __m256 {
    // SAFETY: the caller's promise.
    unsafe {
        let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
        _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
    }
}
