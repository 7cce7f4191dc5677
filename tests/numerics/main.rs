//! The arithmetic: against PyTorch in float64, the promised errors of tanh and sigmoid, the same
//! bits on every machine, NaN and subnormal numbers, very long runs, and weights of half and a
//! quarter of the size.
#![cfg(feature = "std")]

#[path = "../common/golden.rs"]
mod golden;
#[path = "../common/shapes.rs"]
mod shapes;

mod activations;
mod golden_mistakes;
mod long_runs;
mod nan_and_subnormal;
mod pytorch;
mod same_bits;
mod weight_formats;
