//! Learns a time series and predicts its next step inside your process.
#![cfg_attr(not(feature = "std"), no_std)]
#![warn(missing_docs)]

extern crate alloc;

pub mod error;
pub mod layout;
#[cfg(feature = "plot")]
pub mod plot;
pub mod shape;
pub mod tensor;

pub use error::{Error, Result};
pub use shape::{CellKind, Nonlinearity, Shape};
pub use tensor::Tensor;
