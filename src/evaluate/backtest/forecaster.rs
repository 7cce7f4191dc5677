//! Who makes the forecasts that stand next to each other in a backtest.

use crate::series::naive::Naive;
use std::fmt;

/// Who makes forecasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forecaster {
    /// The model, which stays unchanged.
    Model,
    /// The same model, which learns while it runs.
    Learner,
    /// Persistence: the next value is the last one.
    Persistence,
    /// The value of a season ago, of so many rows.
    SeasonalNaive(usize),
    /// The last value and the mean growth of the training part.
    Drift,
    /// A linear autoregression.
    Autoregression,
}

impl Forecaster {
    /// Whether the model is compared with it: naive forecasts have learned nothing, an autoregression has.
    pub fn is_naive(self) -> bool {
        match self {
            Self::Persistence | Self::SeasonalNaive(_) | Self::Drift => true,
            Self::Model | Self::Learner | Self::Autoregression => false,
        }
    }
}

impl From<&Naive> for Forecaster {
    fn from(naive: &Naive) -> Self {
        match naive {
            Naive::Persistence => Self::Persistence,
            Naive::Seasonal(season) => Self::SeasonalNaive(*season),
            Naive::Drift(_) => Self::Drift,
            Naive::Autoregression { .. } => Self::Autoregression,
        }
    }
}

/// The name in tables, columns of files and pictures; it says nothing of how long a season is.
impl fmt::Display for Forecaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Model => "model",
            Self::Learner => "learner",
            Self::Persistence => "last value",
            Self::SeasonalNaive(_) => "season ago",
            Self::Drift => "drift",
            Self::Autoregression => "autoregression",
        })
    }
}
