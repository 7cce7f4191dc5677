//! Forecasts of a series: one step and many steps ahead, prediction intervals, and the naive methods for comparison.

#[cfg(feature = "evaluate")]
pub mod autoregression;
#[cfg(feature = "evaluate")]
pub mod choice;
#[cfg(feature = "evaluate")]
mod factors;
#[cfg(feature = "evaluate")]
pub mod forecast;
#[cfg(feature = "evaluate")]
pub mod interval;
pub mod multi_step;
#[cfg(feature = "evaluate")]
pub mod naive;
pub mod one_step;
#[cfg(feature = "opponents")]
pub mod opponents;
mod quantiles;
pub mod residuals;
#[cfg(feature = "evaluate")]
mod season;
#[cfg(feature = "evaluate")]
mod simulate;
