//! What is made of a series and its model: the backtest, a learner in it, prediction intervals, the
//! search for a better model, plots.
#![cfg(feature = "evaluate")]

#[path = "../common/golden.rs"]
mod golden;
#[path = "../common/series.rs"]
mod series;

mod autoregression;
mod backtest;
mod offset;
#[cfg(feature = "opponents")]
mod opponents;
#[cfg(feature = "plot")]
mod plot;
mod prediction_intervals;
mod prequential;
mod search;
mod seasons;
#[cfg(feature = "plot")]
mod ticks;
