//! Forecasts of a series: one step and many steps ahead, prediction intervals, and the naive methods they are held against.

mod factors;
pub mod interval;
pub mod multi_step;
pub mod naive;
pub mod one_step;
mod residuals;
mod simulate;
