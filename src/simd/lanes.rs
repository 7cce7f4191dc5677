//! Sixteen f32 at a time: the few operations that the maths of this crate is written in.
//!
//! A vector has sixteen lanes on every instruction set: one register of AVX-512, two of AVX2, four of NEON, an
//! array where there is nothing. Lanes run across hidden units, never along a sum, and a multiplication followed
//! by an addition is rounded once everywhere. So every instruction set adds the same numbers in the same order
//! and gives the same bits, and one layout of the weights serves them all.

use core::ops::{Add, Div, Mul, Sub};

/// Lanes of a vector of this crate, on every instruction set: sixteen f32.
pub const LANES: usize = 16;

/// Numbers smaller than this, 2^-95, become zero where they would be kept from step to step. The product of a number
/// that is not smaller and a weight of 2^-31 or more is not subnormal. Numbers that are not smaller have one of the
/// upper three bits of the exponent set, so the test is cheap.
pub const TINY: f32 = f32::from_bits((127 - 95) << 23);

/// `n` rounded up to whole vectors.
pub(crate) const fn padded(n: usize) -> usize {
    n.div_ceil(LANES) * LANES
}

/// Keeps a trait to this crate: another crate cannot name `Sealed`, so it cannot implement a trait that requires it.
/// This is for traits whose constants and functions `unsafe` code relies on.
pub(crate) mod sealed {
    /// Implemented by the types of this crate alone.
    pub trait Sealed {}
}

/// Sixteen f32 of one instruction set; there is one type for each in this crate and there can be no other.
///
/// A value can only come from the `unsafe` [`Lanes::splat`] and [`Lanes::load`], whose callers promise that the
/// processor has the instructions. Whoever holds a value may therefore use the safe operations on it.
pub trait Lanes:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + sealed::Sealed
{
    /// Whether there are instructions for several lanes at a time. Without them nothing is gained by compiling a loop
    /// for several sizes.
    const SIMD: bool = true;
    /// How many sums of a product stay in registers, next to the operands.
    const ACCUMULATORS: usize;

    /// Runs `pass` compiled for this instruction set.
    ///
    /// # Safety
    /// The processor has the instruction set.
    unsafe fn run<P: Pass>(pass: P) -> P::Output;

    /// Every lane `value`.
    ///
    /// # Safety
    /// The processor has the instruction set.
    unsafe fn splat(value: f32) -> Self;

    /// Sixteen values from memory, aligned or not.
    ///
    /// # Safety
    /// The processor has the instruction set, and sixteen values can be read at `from`.
    unsafe fn load(from: *const f32) -> Self;

    /// Sixteen values of IEEE 754's binary16, finite, from memory.
    ///
    /// # Safety
    /// The processor has the instruction set, and sixteen values can be read at `from`.
    unsafe fn load_f16(from: *const u16) -> Self;

    /// Sixteen whole numbers from memory.
    ///
    /// # Safety
    /// The processor has the instruction set, and sixteen values can be read at `from`.
    unsafe fn load_i8(from: *const i8) -> Self;

    /// Sixteen values to memory, aligned or not.
    ///
    /// # Safety
    /// Sixteen values can be written at `to`.
    unsafe fn store(self, to: *mut f32);

    /// `self · factor + addend`, rounded once.
    fn mul_add(self, factor: Self, addend: Self) -> Self;

    /// `|self|`
    fn abs(self) -> Self;

    /// The correctly rounded square root.
    fn sqrt(self) -> Self;

    /// The smaller of the two; NaN if `self` is NaN.
    fn min(self, bound: Self) -> Self;

    /// The larger of the two; NaN if `self` is NaN.
    fn max(self, bound: Self) -> Self;

    /// `2^self` for whole numbers from -126 to 127.
    fn exp2_whole(self) -> Self;

    /// `self · 2^n` for whole n from -252 to 252, rounded once if `self` is about one.
    #[inline(always)]
    fn times_exp2(self, n: Self) -> Self {
        // in two halves, since 2^n alone may be too small for f32; only the second product can round
        let half = (n * self.all(0.5)).round();
        self * half.exp2_whole() * (n - half).exp2_whole()
    }

    /// `yes` in the lanes where `self < bound`, `no` in the others, NaN among them.
    fn less_than(self, bound: Self, yes: Self, no: Self) -> Self;

    /// Bit by bit: a lane stays where `mask` has ones and becomes +0 where it has zeros, whatever it was.
    fn and(self, mask: Self) -> Self;

    /// `self`, or +0 where it is smaller than [`TINY`]; NaN stays NaN.
    #[inline(always)]
    fn settled(self) -> Self {
        self.abs().less_than(self.all(TINY), self.all(0.0), self)
    }

    /// The lower sixteen bits of each lane as the upper ones of a number.
    fn low_half(self) -> Self;

    /// The sum of all lanes, by halves: lane l and l + 8, then l and l + 4, l + 2, l + 1.
    fn sum(self) -> f32;

    /// [`Lanes::sum`] of each of sixteen vectors, each in a lane.
    ///
    /// # Safety
    /// The processor has the instruction set.
    #[inline(always)]
    unsafe fn sums(vectors: [Self; LANES]) -> Self {
        let mut sums = [0.0; LANES];
        for (sum, vector) in sums.iter_mut().zip(vectors) {
            *sum = vector.sum();
        }
        // SAFETY: an array of sixteen; the instruction set is the caller's promise.
        unsafe { Self::load(sums.as_ptr()) }
    }

    /// Every lane `value`, on the instruction set of `self`.
    #[inline(always)]
    fn all(self, value: f32) -> Self {
        // SAFETY: `self` exists, so the processor has the instruction set.
        unsafe { Self::splat(value) }
    }

    /// `self` where it lies between `low` and `high`, else the nearer of them; NaN stays NaN.
    #[inline(always)]
    fn clamp(self, low: f32, high: f32) -> Self {
        self.max(self.all(low)).min(self.all(high))
    }

    /// The nearest whole number, ties to even, for `|self| < 2^22`.
    #[inline(always)]
    fn round(self) -> Self {
        let shift = self.all(12_582_912.0); // 1.5 · 2^23: the sum has no room for a fraction
        (self + shift) - shift
    }
}

/// A pass over the data, written once for all instruction sets. The arguments are its fields.
pub trait Pass {
    /// What the pass returns.
    type Output;

    /// The pass itself. Implementations are `#[inline(always)]`, so that they are compiled inside [`Lanes::run`].
    ///
    /// # Safety
    /// The processor has the instruction set of `V`; an implementation may ask for more.
    unsafe fn run<V: Lanes>(self) -> Self::Output;
}
