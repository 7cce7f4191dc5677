//! Several vectors side by side, used as one wider vector: several chains of operations run at a time.
#![allow(clippy::undocumented_unsafe_blocks, reason = "one comment is for all of them")]

use crate::simd::lanes::sealed::Sealed;
use crate::simd::lanes::{LANES, Lanes, Pass};
use core::ops::{Add, Div, Mul, Sub};

/// `N` vectors on which every operation is done one after the other. A cell is one long chain of operations, each of
/// which waits for the one before. With two chains the processor is idle for half as long.
///
/// Loads and stores are of `N · 16` values in a row. Vectors from other places are put together by hand.
#[derive(Clone, Copy)]
pub struct Beside<V, const N: usize>(pub [V; N]);

impl<V: Lanes, const N: usize> Add for Beside<V, N> {
    type Output = Self;
    #[inline(always)]
    fn add(mut self, other: Self) -> Self {
        for n in 0..N {
            self.0[n] = self.0[n] + other.0[n];
        }
        self
    }
}

impl<V: Lanes, const N: usize> Sub for Beside<V, N> {
    type Output = Self;
    #[inline(always)]
    fn sub(mut self, other: Self) -> Self {
        for n in 0..N {
            self.0[n] = self.0[n] - other.0[n];
        }
        self
    }
}

impl<V: Lanes, const N: usize> Mul for Beside<V, N> {
    type Output = Self;
    #[inline(always)]
    fn mul(mut self, other: Self) -> Self {
        for n in 0..N {
            self.0[n] = self.0[n] * other.0[n];
        }
        self
    }
}

impl<V: Lanes, const N: usize> Div for Beside<V, N> {
    type Output = Self;
    #[inline(always)]
    fn div(mut self, other: Self) -> Self {
        for n in 0..N {
            self.0[n] = self.0[n] / other.0[n];
        }
        self
    }
}

impl<V: Lanes, const N: usize> Sealed for Beside<V, N> {}

// Loops and no closures: a closure is not compiled for the instruction set, and may not be inlined into code that is.
// SAFETY of every block below: what each of the vectors requires is given by an existing value, or promised by the
// caller.
impl<V: Lanes, const N: usize> Lanes for Beside<V, N> {
    const ACCUMULATORS: usize = V::ACCUMULATORS / N;

    #[inline(always)]
    unsafe fn run<P: Pass>(pass: P) -> P::Output {
        unsafe { V::run(pass) }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([unsafe { V::splat(value) }; N])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        let mut all = unsafe { Self::splat(0.0) };
        for n in 0..N {
            all.0[n] = unsafe { V::load(from.add(n * LANES)) };
        }
        all
    }

    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> Self {
        let mut all = unsafe { Self::splat(0.0) };
        for n in 0..N {
            all.0[n] = unsafe { V::load_f16(from.add(n * LANES)) };
        }
        all
    }

    #[inline(always)]
    unsafe fn load_i8(from: *const i8) -> Self {
        let mut all = unsafe { Self::splat(0.0) };
        for n in 0..N {
            all.0[n] = unsafe { V::load_i8(from.add(n * LANES)) };
        }
        all
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        for (n, vector) in self.0.into_iter().enumerate() {
            unsafe { vector.store(to.add(n * LANES)) }
        }
    }

    #[inline(always)]
    fn mul_add(mut self, factor: Self, addend: Self) -> Self {
        for n in 0..N {
            self.0[n] = self.0[n].mul_add(factor.0[n], addend.0[n]);
        }
        self
    }

    #[inline(always)]
    fn abs(mut self) -> Self {
        for n in 0..N {
            self.0[n] = self.0[n].abs();
        }
        self
    }

    #[inline(always)]
    fn sqrt(mut self) -> Self {
        for n in 0..N {
            self.0[n] = self.0[n].sqrt();
        }
        self
    }

    #[inline(always)]
    fn min(mut self, bound: Self) -> Self {
        for n in 0..N {
            self.0[n] = self.0[n].min(bound.0[n]);
        }
        self
    }

    #[inline(always)]
    fn max(mut self, bound: Self) -> Self {
        for n in 0..N {
            self.0[n] = self.0[n].max(bound.0[n]);
        }
        self
    }

    #[inline(always)]
    fn exp2_whole(mut self) -> Self {
        for n in 0..N {
            self.0[n] = self.0[n].exp2_whole();
        }
        self
    }

    #[inline(always)]
    fn times_exp2(mut self, n: Self) -> Self {
        for i in 0..N {
            self.0[i] = self.0[i].times_exp2(n.0[i]);
        }
        self
    }

    #[inline(always)]
    fn less_than(mut self, bound: Self, yes: Self, no: Self) -> Self {
        for n in 0..N {
            self.0[n] = self.0[n].less_than(bound.0[n], yes.0[n], no.0[n]);
        }
        self
    }

    #[inline(always)]
    fn and(mut self, mask: Self) -> Self {
        for n in 0..N {
            self.0[n] = self.0[n].and(mask.0[n]);
        }
        self
    }

    #[inline(always)]
    fn settled(mut self) -> Self {
        for n in 0..N {
            self.0[n] = self.0[n].settled();
        }
        self
    }

    #[inline(always)]
    fn low_half(mut self) -> Self {
        for n in 0..N {
            self.0[n] = self.0[n].low_half();
        }
        self
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        let mut sum = 0.0;
        for vector in self.0 {
            sum += vector.sum();
        }
        sum
    }
}
