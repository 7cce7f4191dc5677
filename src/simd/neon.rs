//! Sixteen lanes in four NEON registers.
#![allow(clippy::undocumented_unsafe_blocks, reason = "one comment is for all of them")]

use crate::simd::lanes::sealed::Sealed;
use crate::simd::lanes::{LANES, Lanes, Pass};
use core::arch::aarch64::*;
use core::array::from_fn;
use core::ops::{Add, Div, Mul, Sub};

/// Lanes of one register.
const QUAD: usize = 4;

/// Four registers. Exists only where NEON does.
#[derive(Clone, Copy)]
pub struct Neon([float32x4_t; LANES / QUAD]);

impl Add for Neon {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: a value exists, so the processor has the instructions.
        Self(from_fn(|q| unsafe { vaddq_f32(self.0[q], other.0[q]) }))
    }
}

impl Sub for Neon {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: a value exists, so the processor has the instructions.
        Self(from_fn(|q| unsafe { vsubq_f32(self.0[q], other.0[q]) }))
    }
}

impl Mul for Neon {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: a value exists, so the processor has the instructions.
        Self(from_fn(|q| unsafe { vmulq_f32(self.0[q], other.0[q]) }))
    }
}

impl Div for Neon {
    type Output = Self;
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        // SAFETY: a value exists, so the processor has the instructions.
        Self(from_fn(|q| unsafe { vdivq_f32(self.0[q], other.0[q]) }))
    }
}

impl Sealed for Neon {}

// SAFETY of every block below: a value exists or the caller promises, so the processor has NEON; pointers are the
// caller's promise.
impl Lanes for Neon {
    const ACCUMULATORS: usize = 6;

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn run<P: Pass>(pass: P) -> P::Output {
        unsafe { pass.run::<Self>() }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([unsafe { vdupq_n_f32(value) }; LANES / QUAD])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(from_fn(|q| unsafe { vld1q_f32(from.add(q * QUAD)) }))
    }

    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> Self {
        // exponent and fraction moved to their places, then 2^112 times that, which is exact: the exponents differ by
        // 112
        Self(from_fn(|q| unsafe {
            let half = vmovl_u16(vld1_u16(from.add(q * QUAD)));
            let size = vshlq_n_u32::<13>(vandq_u32(half, vdupq_n_u32(0x7fff)));
            let sign = vshlq_n_u32::<16>(vandq_u32(half, vdupq_n_u32(0x8000)));
            let size = vmulq_f32(vreinterpretq_f32_u32(size), vdupq_n_f32(f32::from_bits((127 + 112) << 23)));
            vreinterpretq_f32_u32(vorrq_u32(vreinterpretq_u32_f32(size), sign))
        }))
    }

    #[inline(always)]
    unsafe fn load_i8(from: *const i8) -> Self {
        unsafe {
            let bytes = vld1q_s8(from);
            let (low, high) = (vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes));
            Self([
                vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))),
                vcvtq_f32_s32(vmovl_high_s16(low)),
                vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))),
                vcvtq_f32_s32(vmovl_high_s16(high)),
            ])
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        for (q, quad) in self.0.into_iter().enumerate() {
            unsafe { vst1q_f32(to.add(q * QUAD), quad) }
        }
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        Self(from_fn(|q| unsafe { vfmaq_f32(addend.0[q], self.0[q], factor.0[q]) }))
    }

    #[inline(always)]
    fn abs(self) -> Self {
        Self(from_fn(|q| unsafe { vabsq_f32(self.0[q]) }))
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(from_fn(|q| unsafe { vsqrtq_f32(self.0[q]) }))
    }

    #[inline(always)]
    fn min(self, bound: Self) -> Self {
        Self(from_fn(|q| unsafe { vminq_f32(self.0[q], bound.0[q]) }))
    }

    #[inline(always)]
    fn max(self, bound: Self) -> Self {
        Self(from_fn(|q| unsafe { vmaxq_f32(self.0[q], bound.0[q]) }))
    }

    #[inline(always)]
    fn exp2_whole(self) -> Self {
        Self(from_fn(|q| unsafe {
            let exponent = vaddq_s32(vcvtnq_s32_f32(self.0[q]), vdupq_n_s32(127));
            vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent))
        }))
    }

    #[inline(always)]
    fn less_than(self, bound: Self, yes: Self, no: Self) -> Self {
        Self(from_fn(|q| unsafe { vbslq_f32(vcltq_f32(self.0[q], bound.0[q]), yes.0[q], no.0[q]) }))
    }

    #[inline(always)]
    fn and(self, mask: Self) -> Self {
        Self(from_fn(|q| unsafe {
            let bits = vandq_u32(vreinterpretq_u32_f32(self.0[q]), vreinterpretq_u32_f32(mask.0[q]));
            vreinterpretq_f32_u32(bits)
        }))
    }

    #[inline(always)]
    fn low_half(self) -> Self {
        Self(from_fn(|q| unsafe { vreinterpretq_f32_u32(vshlq_n_u32::<16>(vreinterpretq_u32_f32(self.0[q]))) }))
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        unsafe {
            let four = vaddq_f32(vaddq_f32(self.0[0], self.0[2]), vaddq_f32(self.0[1], self.0[3]));
            let two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
            vget_lane_f32::<0>(two) + vget_lane_f32::<1>(two)
        }
    }
}
