//! Training: step by step as in PyTorch, as good as there over many seeds, each row of a series in
//! its window, and one model over several series.
#![cfg(feature = "std")]

#[path = "../common/golden.rs"]
mod golden;
#[path = "../common/series.rs"]
mod series;

mod lesson;
mod pytorch;
mod several_series;
mod windows;
