//! Learns a time series and predicts its next step inside your process.
#![cfg_attr(not(feature = "std"), no_std)]
#![warn(missing_docs)]

extern crate alloc;

pub mod cell;
#[cfg(feature = "std")]
pub mod checkpoint;
pub mod cpu;
#[cfg(feature = "std")]
pub mod data;
pub mod error;
#[cfg(feature = "std")]
pub mod file;
#[cfg(feature = "std")]
pub mod forecast;
#[cfg(feature = "std")]
pub mod gates;
pub mod lanes;
pub mod layout;
pub mod loss;
pub mod math;
pub mod model;
pub mod optimizer;
#[cfg(feature = "plot")]
pub mod plot;
pub mod random;
pub mod scaler;
pub mod shape;
pub mod state;
pub mod stream;
pub mod tensor;
#[cfg(feature = "std")]
pub mod train;
#[cfg(feature = "std")]
mod whole;

pub use cpu::{Cpu, Isa};
pub use error::{Error, Result};
pub use loss::Loss;
pub use model::{Model, Order};
pub use scaler::Scaler;
pub use shape::{CellKind, Nonlinearity, Shape};
pub use state::State;
pub use stream::Stream;
pub use tensor::Tensor;
