//! The forecasters that a backtest compares.

use crate::series::naive::Naive;
#[cfg(feature = "opponents")]
use crate::series::opponents::Opponent;
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
    /// The mean of the training part.
    Mean,
    /// The last value plus the mean growth of the training part.
    Drift,
    /// A linear autoregression.
    Autoregression,
    /// Exponential smoothing, one of the opponents that a backtest can be asked for.
    ExponentialSmoothing,
    /// A decomposition into several seasons, MSTL, another of them.
    Mstl,
}

impl Forecaster {
    /// Whether it is a naive forecast, with which the model is compared. An autoregression has learned something and is
    /// not.
    pub fn is_naive(self) -> bool {
        match self {
            Self::Persistence | Self::SeasonalNaive(_) | Self::Mean | Self::Drift => true,
            Self::Model | Self::Learner | Self::Autoregression | Self::ExponentialSmoothing | Self::Mstl => false,
        }
    }

    /// Whether it is a stronger forecast that a backtest was asked for. The model is compared with it as with a naive
    /// forecast.
    pub fn is_opponent(self) -> bool {
        matches!(self, Self::ExponentialSmoothing | Self::Mstl)
    }

    /// The name inside a sentence: "better than the last value".
    pub(super) fn in_a_sentence(self) -> String {
        let name = match self {
            Self::Model | Self::Learner => "the same model frozen",
            Self::SeasonalNaive(season) => return format!("the value {season} rows before"),
            Self::Mean => "the mean",
            Self::Drift => "the drift",
            Self::Persistence => "the last value",
            Self::Autoregression => "the autoregression",
            Self::ExponentialSmoothing => "exponential smoothing",
            Self::Mstl => "the decomposition into seasons (MSTL)",
        };
        name.into()
    }
}

impl From<&Naive> for Forecaster {
    fn from(naive: &Naive) -> Self {
        match naive {
            Naive::Persistence => Self::Persistence,
            Naive::Seasonal(season) => Self::SeasonalNaive(*season),
            Naive::Mean(_) => Self::Mean,
            Naive::Drift(_) => Self::Drift,
            Naive::Autoregression { .. } => Self::Autoregression,
        }
    }
}

#[cfg(feature = "opponents")]
impl From<Opponent> for Forecaster {
    fn from(opponent: Opponent) -> Self {
        match opponent {
            Opponent::ExponentialSmoothing => Self::ExponentialSmoothing,
            Opponent::Mstl => Self::Mstl,
        }
    }
}

/// The name in tables, in the columns of files and in pictures.
impl fmt::Display for Forecaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SeasonalNaive(season) => return write!(f, "seasonal naive ({season} rows)"),
            Self::Model => "model",
            Self::Learner => "learner",
            Self::Persistence => "last value",
            Self::Mean => "mean",
            Self::Drift => "drift",
            Self::Autoregression => "autoregression",
            Self::ExponentialSmoothing => "exponential smoothing",
            Self::Mstl => "MSTL",
        })
    }
}
