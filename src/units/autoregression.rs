//! A linear autoregression: the next value of a column as a weighted sum of its earlier values.

use crate::error::{Error, Result};
use crate::units::transform::TargetTransform;
#[cfg(feature = "evaluate")]
use alloc::vec;
use alloc::{format, vec::Vec};
use serde::{Deserialize, Serialize};

/// The expected value of one column: `center + intercept + Σ coefficient · (v[t - lag] - center)`, in raw units.
///
/// The center is near the values, so that a series far from 0 loses no digits. Lags may have gaps: an autoregression of
/// seasonal changes has the first few lags and those around one season.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields")]
pub struct Autoregression {
    center: f64,
    intercept: f64,
    lags: Vec<usize>,
    coefficients: Vec<f64>,
}

/// The most lags that an autoregression has. Without this limit, a step of a model could take as long as a file is.
const MOST: usize = 1024;

/// The fields of an autoregression in a file, before they are checked.
#[derive(Deserialize)]
struct Fields {
    center: f64,
    intercept: f64,
    lags: Vec<usize>,
    coefficients: Vec<f64>,
}

impl TryFrom<Fields> for Autoregression {
    type Error = Error;

    fn try_from(Fields { center, intercept, lags, coefficients }: Fields) -> Result<Self> {
        let error = |reason| Err(Error::invalid(format!("autoregression: {reason}")));
        if lags.len() != coefficients.len() || lags.is_empty() {
            return error(format!("{} lags do not go with {} coefficients", lags.len(), coefficients.len()));
        }
        if lags.len() > MOST {
            return error(format!("{} lags, and {MOST} are the most", lags.len()));
        }
        if let Some(lag) = lags.iter().find(|lag| !(1..=TargetTransform::LONGEST).contains(*lag)) {
            return error(format!("lag {lag}: must be between 1 and {} rows", TargetTransform::LONGEST));
        }
        if !coefficients.iter().chain([&center, &intercept]).all(|value| value.is_finite()) {
            return error("a coefficient is not finite".into());
        }
        Ok(Self { center, intercept, lags, coefficients })
    }
}

impl Autoregression {
    /// An autoregression with these `(lag, coefficient)`, of which there must be at least one. A lag is a number of
    /// rows, 1 for the value before.
    ///
    /// # Errors
    /// If there are none or more than 1,024, a lag is 0 or longer than [`TargetTransform::LONGEST`], or a number is not finite.
    pub fn new(center: f64, intercept: f64, terms: &[(usize, f64)]) -> Result<Self> {
        let (lags, coefficients) = terms.iter().copied().unzip();
        Self::try_from(Fields { center, intercept, lags, coefficients })
    }

    /// One that expects the value `lag` rows before, at least 1.
    #[cfg(feature = "evaluate")]
    pub(crate) fn unchanged(lag: usize) -> Self {
        Self { center: 0.0, intercept: 0.0, lags: vec![lag], coefficients: vec![1.0] }
    }

    /// The lags, in rows, and the coefficient of each.
    pub fn terms(&self) -> impl Iterator<Item = (usize, f64)> {
        self.lags.iter().copied().zip(self.coefficients.iter().copied())
    }

    /// How many rows it looks back.
    pub fn longest(&self) -> usize {
        self.lags.iter().copied().max().unwrap_or(0)
    }

    /// The expected value, where `before(lag)` is the value `lag` rows before.
    #[inline]
    pub fn expected(&self, before: impl Fn(usize) -> f64) -> f64 {
        let sum: f64 = self.terms().map(|(lag, coefficient)| coefficient * (before(lag) - self.center)).sum();
        self.center + (self.intercept + sum)
    }
}
