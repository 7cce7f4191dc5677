//! Random numbers. They are a function of the seed, of the purpose and of a position, so that only the position has to
//! be saved and restored. They are the same on every machine.

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::{SplitMix64, Xoshiro256PlusPlus};

/// What random numbers are for. Each purpose has a sequence of its own.
#[derive(Debug, Clone, Copy)]
pub enum Purpose {
    /// Initial weights; the position is 0.
    Weights = 1,
    /// The order of windows; the position is the epoch.
    Order = 2,
    /// Dropout; the position is the training step.
    Dropout = 3,
    /// The bootstrap of forecast errors behind an interval; the position is 0.
    Resampling = 4,
    /// The candidates of a search; the position is the dimension, and how many times all its choices were drawn before.
    Search = 5,
    /// The errors that simulated paths draw; the position is the row after which they start.
    Paths = 6,
}

/// A generator for one purpose at one position.
pub struct Random(Xoshiro256PlusPlus);

impl Random {
    /// The generator of `seed` for `purpose` at `position`.
    pub fn new(seed: u64, purpose: Purpose, position: u64) -> Self {
        // mixed one after the other, so that neighbouring seeds and positions give unrelated numbers
        let mix = |value| SplitMix64::seed_from_u64(value).next_u64();
        Self(Xoshiro256PlusPlus::seed_from_u64(mix(mix(mix(seed) ^ purpose as u64) ^ position)))
    }

    /// A number from [0, 1), uniformly distributed, in steps of 2^-24.
    pub fn uniform(&mut self) -> f32 {
        (self.0.next_u64() >> 40) as f32 / (1 << 24) as f32
    }

    /// A number from 0 to `n - 1`, uniformly distributed. The bias of the plain product is below n / 2^64.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.0.next_u64()) * n as u128) >> 64) as usize
    }

    /// Puts `items` into a random order, each order as likely as any other (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_fills_the_unit_interval() {
        let mut random = Random::new(0, Purpose::Weights, 0);
        let values: Vec<f64> = (0..100_000).map(|_| f64::from(random.uniform())).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
        assert!((mean - 0.5).abs() < 0.005 && (variance - 1.0 / 12.0).abs() < 0.002, "{mean} {variance}");
        assert!(values.iter().all(|v| (0.0..1.0).contains(v)));
    }

    #[test]
    fn every_argument_matters() {
        let first = |seed, purpose, position| Random::new(seed, purpose, position).below(usize::MAX);
        let all = [
            first(0, Purpose::Weights, 0),
            first(1, Purpose::Weights, 0),
            first(0, Purpose::Order, 0),
            first(0, Purpose::Order, 1),
            first(0, Purpose::Dropout, 1),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|b| a != b));
        }
        assert_eq!(first(7, Purpose::Order, 3), first(7, Purpose::Order, 3));
    }
}
