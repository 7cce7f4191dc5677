//! What the network of a plan is trained on.

use super::Table;
#[cfg(feature = "evaluate")]
use crate::series::choice::{Choice, Parts};
use crate::units::transform::{Fitted, TargetTransform};
use std::fmt;

/// What a network reads and predicts of the target columns.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetAs {
    /// This target transform. [`TargetTransform::Residual`] cannot be given, because its autoregressions have to be
    /// fitted, which `TargetAs::Residual` does with the feature `evaluate`.
    Given(TargetTransform),
    /// The target transform whose simple forecast is closest to the next row in the training part: the value (the mean),
    /// the change or the relative change (the last value), the change over a season that is found (the value one season
    /// ago), or the residual of a linear autoregression.
    #[cfg(feature = "evaluate")]
    Auto,
    /// The residual of a linear autoregression of the values, of the changes, or of the changes over a season that is
    /// found, whichever is closest to the next row in the training part.
    #[cfg(feature = "evaluate")]
    Residual,
}

impl From<TargetTransform> for TargetAs {
    fn from(transform: TargetTransform) -> Self {
        Self::Given(transform)
    }
}

impl TargetAs {
    /// Its name in options.
    pub fn name(self) -> &'static str {
        match self {
            Self::Given(transform) => transform.name(),
            #[cfg(feature = "evaluate")]
            Self::Auto => "auto",
            #[cfg(feature = "evaluate")]
            Self::Residual => "residual",
        }
    }
}

/// As its target transform where it is given: a search is known by this text.
impl fmt::Debug for TargetAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(transform) => transform.fmt(f),
            #[cfg(feature = "evaluate")]
            Self::Auto => f.write_str("Auto"),
            #[cfg(feature = "evaluate")]
            Self::Residual => f.write_str("Residual"),
        }
    }
}

impl TargetAs {
    /// The target transform for `tables`, of each of which `train_rows` are trained on, fitted to these rows; if it is
    /// chosen, also fitted to all rows. Autoregressions have up to `lags` lags, and nothing looks back more than `most`
    /// rows.
    #[cfg_attr(not(feature = "evaluate"), expect(unused_variables))]
    pub(super) fn fit(
        self,
        tables: &[&Table],
        train_rows: &[usize],
        lags: usize,
        most: usize,
    ) -> (Fitted, Option<Fitted>) {
        match self {
            Self::Given(transform) => (transform.into(), None),
            #[cfg(feature = "evaluate")]
            Self::Auto | Self::Residual => {
                let width = tables.first().map_or(0, |table| table.widths().1);
                let all: Vec<&[f64]> = tables.iter().map(|table| table.actuals().data()).collect();
                let training =
                    all.iter().zip(train_rows).map(|(all, rows)| all.get(..rows * width).unwrap_or_default());
                let training = Parts::new(&training.collect::<Vec<_>>(), width);
                let choice = match self {
                    Self::Residual => Choice::best_residual(&training, lags, most),
                    // a target that is no input has no last value
                    _ if tables.iter().any(|table| table.columns().is_none()) => Choice::Value,
                    _ => Choice::best(&training, lags, most),
                };
                // no relative change starts from 0, in the part that is held out either
                let positive = all.iter().all(|values| !values.iter().any(|value| *value <= 0.0));
                let choice = if choice == Choice::RelativeChange && !positive { Choice::Change } else { choice };
                (choice.fit(&training), Some(choice.fit(&Parts::new(&all, width))))
            }
        }
    }
}
