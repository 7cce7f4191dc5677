//! When learning has gone wrong: the loss of the present weights beside that of the last good ones, tick by tick.

use serde::{Deserialize, Serialize};

/// Over about so many losses run the means that tell an explosion.
const RECENT: f64 = 32.0;
/// Weights that lose so many times what the good ones do, from one check to the next, are bad.
const WORSE: f64 = 2.0;
/// Losses count as equal that differ by so little, which is what float32 does to an answer of about one.
const NOTHING: f64 = 1e-12;
/// What the learning rate is multiplied by when weights were taken back,
const EASE: f64 = 0.25;
/// and when new ones were kept: 2^(1/16), twice the rate after sixteen times.
const REGAIN: f64 = 1.044_273_782_427_413_8;
/// The least it comes to.
const LEAST: f64 = 1e-12;
/// So many losses of the good weights that are far above their usual ones, less those in between that are not, are a series that
/// has changed.
const CHANGED: u32 = 8;

/// The losses of the present weights, and of the good ones on the same ticks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Guard {
    /// Losses seen since the means began.
    seen: u64,
    /// Running means.
    means: [f64; 2],
    /// Sums since the last check, and of how many.
    sums: [f64; 2],
    count: u64,
    /// What the good weights lost on the mean from one check to the next, once that is known.
    usual: Option<f64>,
    /// Losses of the good weights that were far above it.
    strikes: u32,
    /// What the learning rate is multiplied by, 1 unless weights had to be taken back.
    pub ease: f64,
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Found {
    /// The present weights are at least as good.
    Good,
    /// They are not, but not bad either.
    Neither,
    /// They are bad.
    Bad,
}

impl Guard {
    pub fn new() -> Self {
        Self { seen: 0, means: [0.0; 2], sums: [0.0; 2], count: 0, usual: None, strikes: 0, ease: 1.0 }
    }

    /// Whether it can be, with counts up to `most`.
    pub fn is_sound(&self, most: u64) -> bool {
        let losses = self.means.iter().chain(&self.sums).chain(&self.usual);
        self.seen <= most
            && self.count <= most
            && self.strikes <= CHANGED
            && (LEAST..=1.0).contains(&self.ease)
            && losses.into_iter().all(|loss| loss.is_finite())
    }

    /// Takes in what the present weights lost at a tick, and what the good ones would have. Whether that is an explosion, of
    /// `explode` times the loss; without it only a loss that is not finite is one.
    pub fn saw(&mut self, present: f64, good: f64, explode: Option<f64>) -> bool {
        if !(present.is_finite() && good.is_finite()) {
            return good.is_finite(); // if it is not either, the truth was beyond all measure
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

    /// Compares what was lost since the last check, unless nothing is to be compared.
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

    /// The present weights are the good ones now.
    pub fn kept(&mut self) {
        self.means[1] = self.means[0];
        self.begin_sums();
        self.ease = (self.ease * REGAIN).min(1.0);
    }

    /// The good weights are the present ones again.
    pub fn went_back(&mut self) {
        self.means[0] = self.means[1];
        self.begin_sums();
        self.ease = (self.ease * EASE).max(LEAST);
    }
}

/// Whether the first loses `times` as much as the second, or more. With a loss that can be negative, by as much more.
fn worse([present, good]: [f64; 2], times: f64) -> bool {
    present - good > (times - 1.0) * good.abs() + NOTHING
}
