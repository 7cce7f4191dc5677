//! Detects when learning has gone wrong: compares the loss of the current weights with that of the last good weights,
//! tick by tick.

use serde::{Deserialize, Serialize};

/// The running means that detect an explosion are over about this many losses.
const RECENT: f64 = 32.0;
/// Weights are bad if their loss, from one check to the next, is this many times that of the good weights.
const WORSE: f64 = 2.0;
/// Losses that differ by less count as equal: the rounding of float32 in a prediction of about one.
const NOTHING: f64 = 1e-12;
/// The factor of the learning rate when weights were taken back.
const EASE: f64 = 0.25;
/// The factor of the learning rate when new weights were kept: 2^(1/16), so the rate doubles after sixteen times.
const REGAIN: f64 = 1.044_273_782_427_413_8;
/// The lower limit of what the learning rate is multiplied by.
const LEAST: f64 = 1e-12;
/// A series has changed after this many losses of the good weights that are far above their usual loss. A loss in
/// between that is not far above it takes one away from the count.
const CHANGED: u32 = 8;

/// The losses of the current weights, and of the good weights on the same ticks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Guard {
    /// The number of losses since the means began.
    seen: u64,
    /// Running means.
    means: [f64; 2],
    /// The sums since the last check, and the number of losses in them.
    sums: [f64; 2],
    count: u64,
    /// The mean loss of the good weights from one check to the next; `None` before the first check.
    usual: Option<f64>,
    /// The count of losses of the good weights that were far above `usual`: see [`CHANGED`].
    strikes: u32,
    /// What the learning rate is multiplied by; 1 unless weights had to be taken back.
    pub ease: f64,
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Found {
    /// The current weights are at least as good as the good ones.
    Good,
    /// The current weights are worse, but not bad.
    Neither,
    /// The current weights are bad.
    Bad,
}

impl Guard {
    pub fn new() -> Self {
        Self { seen: 0, means: [0.0; 2], sums: [0.0; 2], count: 0, usual: None, strikes: 0, ease: 1.0 }
    }

    /// Whether its values are possible, with counts up to `most`.
    pub fn is_sound(&self, most: u64) -> bool {
        let losses = self.means.iter().chain(&self.sums).chain(&self.usual);
        self.seen <= most
            && self.count <= most
            && self.strikes <= CHANGED
            && (LEAST..=1.0).contains(&self.ease)
            && losses.into_iter().all(|loss| loss.is_finite())
    }

    /// Adds the losses of the current and of the good weights at a tick. Returns whether learning has exploded: whether
    /// the mean loss is more than `explode` times that of the good weights. Without `explode`, only a loss that is not
    /// finite counts.
    pub fn saw(&mut self, present: f64, good: f64, explode: Option<f64>) -> bool {
        if !(present.is_finite() && good.is_finite()) {
            return good.is_finite(); // if neither is finite, the actual value was extreme and the weights may be fine
        }
        self.seen += 1;
        self.count += 1;
        for ((mean, sum), loss) in self.means.iter_mut().zip(&mut self.sums).zip([present, good]) {
            *mean += (loss - *mean) / RECENT.min(self.seen as f64);
            *sum += loss;
        }
        let Some(explode) = explode else { return false };
        if let Some(usual) = self.usual {
            let far = worse([good, usual], explode);
            self.strikes = if far { self.strikes + 1 } else { self.strikes.saturating_sub(1) };
            if self.strikes >= CHANGED {
                (self.strikes, self.usual, self.ease) = (0, Some(self.means[1]), 1.0);
            }
        }
        worse(self.means, explode)
    }

    /// Compares the losses since the last check. Without `explode` there is no comparison, and the current weights
    /// count as good.
    pub fn check(&mut self, explode: Option<f64>) -> Found {
        let sums = self.sums;
        self.usual = Some(sums[1] / self.count.max(1) as f64);
        self.begin_sums();
        match sums {
            _ if explode.is_none() => Found::Good,
            _ if worse(sums, WORSE) => Found::Bad,
            [present, good] if present <= good => Found::Good,
            _ => Found::Neither,
        }
    }

    fn begin_sums(&mut self) {
        (self.sums, self.count) = ([0.0; 2], 0);
    }

    /// To be called when the current weights were kept as the good ones.
    pub fn kept(&mut self) {
        self.means[1] = self.means[0];
        self.begin_sums();
        self.ease = (self.ease * REGAIN).min(1.0);
    }

    /// To be called when the good weights were taken back.
    pub fn went_back(&mut self) {
        self.means[0] = self.means[1];
        self.begin_sums();
        self.ease = (self.ease * EASE).max(LEAST);
    }
}

/// Whether the first loss is more than `times` the second. As losses can be negative, the difference is compared.
fn worse([present, good]: [f64; 2], times: f64) -> bool {
    present - good > (times - 1.0) * good.abs() + NOTHING
}
