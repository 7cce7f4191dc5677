//! What is made of a series and its model: the backtest, a learner in it, prediction intervals, the
//! search for a better model, plots.
#![cfg(feature = "std")]

#[path = "../common/series.rs"]
mod series;

mod backtest;
mod plot;
mod prediction_intervals;
mod prequential;
mod search;
