//! Sixteen lanes without any instruction set: plain Rust, for any processor.
//!
//! The fused multiply-add is exact here too. Where the compiler knows of no instruction for it, it is computed in
//! software, which is slow; the bits are those of the other instruction sets.

#[cfg(all(target_arch = "arm", target_os = "none", target_abi = "eabihf", not(target_has_atomic = "64")))]
use super::cortex_m::fused;
use crate::simd::lanes::sealed::Sealed;
use crate::simd::lanes::{LANES, Lanes, Pass};
use core::array::from_fn;
use core::ops::{Add, Div, Mul, Sub};

/// An array of sixteen.
#[derive(Clone, Copy)]
pub struct Portable([f32; LANES]);

impl Portable {
    #[inline(always)]
    fn map(self, f: impl Fn(f32) -> f32) -> Self {
        Self(self.0.map(f))
    }

    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(from_fn(|lane| f(self.0[lane], other.0[lane])))
    }
}

impl Add for Portable {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
}

impl Sub for Portable {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
}

impl Mul for Portable {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
}

impl Div for Portable {
    type Output = Self;
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }
}

impl Sealed for Portable {}

impl Lanes for Portable {
    const SIMD: bool = false;
    const ACCUMULATORS: usize = 4;

    #[inline(never)] // like those of instruction sets, so that its callers stay small
    unsafe fn run<P: Pass>(pass: P) -> P::Output {
        // SAFETY: no instruction set is needed; the rest is the caller's promise.
        unsafe { pass.run::<Self>() }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller promises sixteen readable values.
        Self(unsafe { from.cast::<[f32; LANES]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> Self {
        // SAFETY: the caller promises sixteen readable values.
        let halves = unsafe { from.cast::<[u16; LANES]>().read_unaligned() };
        // exponent and fraction moved to their places, then 2^112 times that, which is exact: the exponents differ by
        // 112
        let scale = f32::from_bits((127 + 112) << 23);
        let sizes = halves.map(|half| f32::from_bits((u32::from(half) & 0x7fff) << 13) * scale);
        Self(from_fn(|lane| f32::from_bits(sizes[lane].to_bits() | (u32::from(halves[lane]) & 0x8000) << 16)))
    }

    #[inline(always)]
    unsafe fn load_i8(from: *const i8) -> Self {
        // SAFETY: the caller promises sixteen readable values.
        Self(unsafe { from.cast::<[i8; LANES]>().read_unaligned() }.map(f32::from))
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller promises room for sixteen values.
        unsafe { to.cast::<[f32; LANES]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        Self(fused(&self.0, &factor.0, &addend.0))
    }

    #[inline(always)]
    fn abs(self) -> Self {
        self.map(|a| f32::from_bits(a.to_bits() & 0x7fff_ffff))
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        self.map(libm::sqrtf)
    }

    #[inline(always)]
    fn min(self, bound: Self) -> Self {
        self.zip(bound, |a, b| if b < a { b } else { a })
    }

    #[inline(always)]
    fn max(self, bound: Self) -> Self {
        self.zip(bound, |a, b| if b > a { b } else { a })
    }

    #[inline(always)]
    fn exp2_whole(self) -> Self {
        self.map(|n| f32::from_bits(((n as i32).wrapping_add(127) as u32) << 23))
    }

    #[inline(always)]
    fn less_than(self, bound: Self, yes: Self, no: Self) -> Self {
        Self(from_fn(|lane| if self.0[lane] < bound.0[lane] { yes.0[lane] } else { no.0[lane] }))
    }

    #[inline(always)]
    fn and(self, mask: Self) -> Self {
        self.zip(mask, |a, m| f32::from_bits(a.to_bits() & m.to_bits()))
    }

    #[inline(always)]
    fn low_half(self) -> Self {
        self.map(|a| f32::from_bits(a.to_bits() << 16))
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        let eight: [f32; 8] = from_fn(|l| self.0[l] + self.0[l + 8]);
        let four: [f32; 4] = from_fn(|l| eight[l] + eight[l + 4]);
        (four[0] + four[2]) + (four[1] + four[3])
    }
}

/// `a · b + c` lane by lane, each rounded once: by an instruction that the compiler knows of.
#[cfg(all(feature = "std", any(target_feature = "fma", target_arch = "aarch64")))]
#[inline(always)]
fn fused(a: &[f32; LANES], b: &[f32; LANES], c: &[f32; LANES]) -> [f32; LANES] {
    from_fn(|lane| a[lane].mul_add(b[lane], c[lane]))
}

/// The same in software. Not inlined: sixteen calls wherever something is multiplied would be most of the program.
#[cfg(not(any(
    all(feature = "std", any(target_feature = "fma", target_arch = "aarch64")),
    all(target_arch = "arm", target_os = "none", target_abi = "eabihf", not(target_has_atomic = "64"))
)))]
#[inline(never)]
fn fused(a: &[f32; LANES], b: &[f32; LANES], c: &[f32; LANES]) -> [f32; LANES] {
    #[cfg(feature = "std")]
    return from_fn(|lane| a[lane].mul_add(b[lane], c[lane]));
    #[cfg(not(feature = "std"))]
    return from_fn(|lane| libm::fmaf(a[lane], b[lane], c[lane]));
}
