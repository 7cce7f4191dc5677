//! Backtests, which compare a model with naive forecasts, and the search for a recipe.

pub mod backtest;
pub mod search;
