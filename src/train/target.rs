//! What the network of a plan is trained on.

#[cfg(feature = "evaluate")]
use super::Table;
#[cfg(feature = "evaluate")]
use crate::series::choice::{Choice, Parts};
#[cfg(feature = "evaluate")]
use crate::units::transform::Fitted;
use crate::units::transform::TargetTransform;
use std::fmt;

/// What a network reads and predicts of the target columns.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetAs {
    /// This target transform. [`TargetTransform::Residual`] cannot be given, because its autoregressions have to be
    /// fitted: see [`TargetAs::Residual`].
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

#[cfg(feature = "evaluate")]
impl TargetAs {
    /// The target transform for `tables`, of each of which `train_rows` are trained on, fitted to these and to all rows.
    /// Autoregressions have up to `lags` lags, and nothing looks back more than `most` rows. `None` if it is given.
    pub(super) fn choose(
        self,
        tables: &[&Table],
        train_rows: &[usize],
        lags: usize,
        most: usize,
    ) -> Option<(Fitted, Fitted)> {
        let width = tables.first().map_or(0, |table| table.widths().1);
        let all: Vec<&[f64]> = tables.iter().map(|table| table.targets().data()).collect();
        let training = all.iter().zip(train_rows).map(|(all, rows)| all.get(..rows * width).unwrap_or_default());
        let training = Parts::new(&training.collect::<Vec<_>>(), width);
        let choice = match self {
            Self::Given(_) => return None,
            // a target that is no input has no last value
            Self::Auto if tables.iter().any(|table| table.columns().is_none()) => Choice::Value,
            Self::Auto => Choice::best(&training, lags, most),
            Self::Residual => Choice::best_residual(&training, lags, most),
        };
        // no relative change starts from 0, in the part that is held out either
        let positive = all.iter().all(|values| values.iter().all(|value| *value > 0.0));
        let choice = if choice == Choice::RelativeChange && !positive { Choice::Change } else { choice };
        Some((choice.fit(&training), choice.fit(&Parts::new(&all, width))))
    }
}
