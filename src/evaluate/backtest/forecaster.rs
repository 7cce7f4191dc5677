//! The forecasters that a backtest compares.

use crate::series::naive::Naive;
use std::fmt;

/// A forecaster of a backtest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forecaster {
    /// The model, which stays unchanged.
    Model,
    /// The same model, which learns while it runs.
    Learner,
    /// Persistence: the next value is the last one.
    Persistence,
    /// Seasonal naive: the value one season ago. It holds the number of rows in a season.
    SeasonalNaive(usize),
    /// The last value plus the mean growth of the training part.
    Drift,
    /// A linear autoregression.
    Autoregression,
}

impl Forecaster {
    /// Whether it is a naive forecast, with which the model is compared. An autoregression has learned something and is
    /// not.
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

/// The name in tables, in the columns of files and in pictures. It does not contain the length of a season.
impl fmt::Display for Forecaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Model => "model",
            Self::Learner => "learner",
            Self::Persistence => "last value",
            Self::SeasonalNaive(_) => "seasonal naive",
            Self::Drift => "drift",
            Self::Autoregression => "autoregression",
        })
    }
}
