//! As many multiply-adds as the processor can do. Benches give their figures as a share of this peak.

use crate::simd::isa::Cpu;
use crate::simd::lanes::{Lanes, Pass};
use core::hint::black_box;

/// How many multiply-adds each chain does. The caller reads the clock before and after.
struct Chains {
    rounds: usize,
}

impl Pass for Chains {
    type Output = usize;

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) -> usize {
        // As many chains as a product has: more than the processor needs to be busy, and all in registers.
        // SAFETY: the instruction set is the caller's promise.
        unsafe {
            match V::ACCUMULATORS {
                24.. => chains::<V, 24>(self.rounds),
                6.. => chains::<V, 6>(self.rounds),
                _ => chains::<V, 4>(self.rounds),
            }
        }
    }
}

/// `s = s · a + b` in `N` independent chains. Returns how many floating-point operations that was.
#[inline(always)]
unsafe fn chains<V: Lanes, const N: usize>(rounds: usize) -> usize {
    // SAFETY: the caller's promise.
    unsafe {
        // towards b / (1 - a) = 1: neither too small nor too large, however long it takes
        let (a, b) = (V::splat(black_box(0.5)), V::splat(black_box(0.5)));
        let mut sums = [V::splat(black_box(0.75)); N];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = sum.mul_add(a, b);
            }
        }
        for sum in sums {
            black_box(sum.sum());
        }
        rounds.saturating_mul(N * crate::simd::lanes::LANES * 2)
    }
}

impl Cpu {
    /// Keeps the processor busy with independent multiply-adds in registers, `rounds` in each of several chains.
    /// Returns how many floating-point operations that was, an FMA counted as two. Its time gives the peak of the core,
    /// with which the benches compare their figures.
    pub fn multiply_adds(self, rounds: usize) -> usize {
        // SAFETY: it touches no memory.
        unsafe { self.run(Chains { rounds }) }
    }
}
