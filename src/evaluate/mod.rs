//! Whether a model is worth anything, and which one is best: backtests and the search for a recipe.

pub mod backtest;
pub mod search;
