//! Sixteen lanes in one AVX-512 register.
#![allow(clippy::undocumented_unsafe_blocks, reason = "one comment is for all of them")]

use crate::simd::lanes::sealed::Sealed;
use crate::simd::lanes::{Lanes, Pass};
use core::arch::x86_64::*;
use core::ops::{Add, Div, Mul, Sub};

/// One register. Exists only where AVX-512F does.
#[derive(Clone, Copy)]
pub struct Avx512(__m512);

impl Add for Avx512 {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: a value exists, so the processor has the instructions.
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }
}

impl Sub for Avx512 {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: a value exists, so the processor has the instructions.
        Self(unsafe { _mm512_sub_ps(self.0, other.0) })
    }
}

impl Mul for Avx512 {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: a value exists, so the processor has the instructions.
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }
}

impl Div for Avx512 {
    type Output = Self;
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        // SAFETY: a value exists, so the processor has the instructions.
        Self(unsafe { _mm512_div_ps(self.0, other.0) })
    }
}

impl Sealed for Avx512 {}

// SAFETY of every block below: a value exists or the caller promises, so the processor has AVX-512F; pointers are
// the caller's promise.
impl Lanes for Avx512 {
    const ACCUMULATORS: usize = 24;

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma,f16c")]
    unsafe fn run<P: Pass>(pass: P) -> P::Output {
        unsafe { pass.run::<Self>() }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(unsafe { _mm512_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> Self {
        Self(unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) })
    }

    #[inline(always)]
    unsafe fn load_i8(from: *const i8) -> Self {
        Self(unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast()))) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm512_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, addend.0) })
    }

    #[inline(always)]
    fn abs(self) -> Self {
        Self(unsafe { _mm512_abs_ps(self.0) })
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(unsafe { _mm512_sqrt_ps(self.0) })
    }

    #[inline(always)]
    fn min(self, bound: Self) -> Self {
        // the second operand wins if either is NaN
        Self(unsafe { _mm512_min_ps(bound.0, self.0) })
    }

    #[inline(always)]
    fn max(self, bound: Self) -> Self {
        Self(unsafe { _mm512_max_ps(bound.0, self.0) })
    }

    #[inline(always)]
    fn exp2_whole(self) -> Self {
        unsafe {
            let exponent = _mm512_add_epi32(_mm512_cvtps_epi32(self.0), _mm512_set1_epi32(127));
            Self(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent)))
        }
    }

    #[inline(always)]
    fn times_exp2(self, n: Self) -> Self {
        Self(unsafe { _mm512_scalef_ps(self.0, n.0) })
    }

    #[inline(always)]
    fn less_than(self, bound: Self, yes: Self, no: Self) -> Self {
        Self(unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, bound.0), no.0, yes.0) })
    }

    #[inline(always)]
    fn and(self, mask: Self) -> Self {
        Self(unsafe { _mm512_and_ps(self.0, mask.0) })
    }

    #[inline(always)]
    fn settled(self) -> Self {
        unsafe {
            let bits = _mm512_test_epi32_mask(_mm512_castps_si512(self.0), _mm512_set1_epi32(0x7000_0000));
            Self(_mm512_maskz_mov_ps(bits, self.0))
        }
    }

    #[inline(always)]
    fn low_half(self) -> Self {
        Self(unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(self.0))) })
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        unsafe {
            let (low, high) = (_mm512_castps512_ps256(self.0), _mm512_extractf32x8_ps::<1>(self.0));
            super::avx2::sum(_mm256_add_ps(low, high))
        }
    }

    /// The same additions as [`Lanes::sum`], but those of several vectors in one instruction: 15 instead of 64.
    #[inline(always)]
    unsafe fn sums(vectors: [Self; 16]) -> Self {
        unsafe {
            // lanes l and l + 8, then l and l + 4, of four vectors: four lanes of each remain, a quarter of the
            // register
            let mut quarters = [_mm512_setzero_ps(); 4];
            for (i, quarter) in quarters.iter_mut().enumerate() {
                let [a, b, c, d] = [vectors[i].0, vectors[4 + i].0, vectors[8 + i].0, vectors[12 + i].0];
                let ab = _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xEE>(a, b));
                let cd = _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(c, d), _mm512_shuffle_f32x4::<0xEE>(c, d));
                *quarter = _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(ab, cd), _mm512_shuffle_f32x4::<0xDD>(ab, cd));
            }
            // lanes l and l + 2 of two of these
            let [a, b, c, d] = quarters;
            let ab = _mm512_add_ps(_mm512_shuffle_ps::<0x44>(a, b), _mm512_shuffle_ps::<0xEE>(a, b));
            let cd = _mm512_add_ps(_mm512_shuffle_ps::<0x44>(c, d), _mm512_shuffle_ps::<0xEE>(c, d));
            // lanes l and l + 1
            Self(_mm512_add_ps(_mm512_shuffle_ps::<0x88>(ab, cd), _mm512_shuffle_ps::<0xDD>(ab, cd)))
        }
    }
}
