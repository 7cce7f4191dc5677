//! Scalers that adapt to the values they scale.

use crate::units::scaler::Scaler;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A value counts as at most this many scales away from the mean, so that one outlier does not spoil the scale of
/// thousands.
const FAR: f64 = 8.0;
/// A scale never falls below this part of the first scale, so that a constant column is not magnified to noise.
const LEAST: f64 = 1e-3;

/// Exponential moments of columns of raw values. They are in f64, because in f32 a step of a thousandth of a scale
/// would be lost in a large mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    /// The mean of each column.
    pub mean: Vec<f64>,
    /// The variance of each column.
    pub variance: Vec<f64>,
    /// The lower limit of the variance of each column.
    pub least: Vec<f64>,
}

impl Moments {
    /// Moments that begin at shift and scale of the scaler.
    pub fn of(scaler: &Scaler) -> Self {
        let variance: Vec<f64> = scaler.scale().iter().map(|&scale| scale * scale).collect();
        Self {
            mean: scaler.shift().to_vec(),
            least: variance.iter().map(|variance| variance * LEAST * LEAST).collect(),
            variance,
        }
    }

    /// Adds a row, without values that are not finite, and sets the scaler to the new moments. `keep` is how much of
    /// the old moments is kept.
    pub fn follow(&mut self, row: impl Iterator<Item = f64>, keep: f64, scaler: &mut Scaler) {
        for (column, value) in row.enumerate().filter(|(_, value)| value.is_finite()) {
            let (mean, variance) = (&mut self.mean[column], &mut self.variance[column]);
            let scale = libm::sqrt(*variance);
            let away = (value - *mean).clamp(-FAR * scale, FAR * scale);
            *mean += (1.0 - keep) * away;
            *variance = (keep * (*variance + (1.0 - keep) * away * away)).max(self.least[column]);
            self.set(column, scaler);
        }
    }

    /// Whether the moments are possible: finite, and the variances above zero.
    pub fn is_sound(&self) -> bool {
        let above = |value: &f64| *value > 0.0 && value.is_finite();
        self.mean.iter().all(|mean| mean.is_finite()) && self.variance.iter().chain(&self.least).all(above)
    }

    /// Sets the scaler to the moments.
    pub fn apply(&self, scaler: &mut Scaler) {
        (0..self.mean.len()).for_each(|column| self.set(column, scaler));
    }

    fn set(&self, column: usize, scaler: &mut Scaler) {
        let most = f64::from(f32::MAX);
        let shift = self.mean[column].clamp(-most, most);
        let scale = libm::sqrt(self.variance[column]).clamp(f64::from(f32::MIN_POSITIVE), most);
        scaler.set(column, shift, scale);
    }
}
