//! Learns a time series and predicts its next step inside your process: small recurrent networks (Elman RNN, LSTM,
//! GRU) with hand-written forward and backward passes, and no framework underneath.
//!
//! - [`Model`] is a network with its weights: [`Model::load`] one that rnnstep or PyTorch wrote, [`Model::forward`] whole
//!   sequences through it.
//! - [`Stream`] steps a model value by value, without allocating; [`Streams`] thousands of them at once.
//! - [`train::Trainer`] trains one on [`data::windows::Windows`]; [`checkpoint`] lets it stop and go on.
//! - [`forecast`] scores one step ahead and predicts many; [`gates`] shows what happens inside; [`latency`] times steps.
//!
//! Shapes are written in the letters of [`shape`]. Every instruction set and any number of threads give the same bits.
//!
//! Features: `std` (files, data, training; on by default through `cli`), `plot`, `cli`, `cuda` (the GPU). Without `std` the crate is
//! `no_std` with `alloc`: shapes, models, states and streams.
#![cfg_attr(not(feature = "std"), no_std)]
#![warn(missing_docs)]
#![cfg_attr(not(feature = "cuda"), allow(irrefutable_let_patterns, reason = "there is one kind of device then"))]

extern crate alloc;

pub mod backend;
pub mod cell;
#[cfg(feature = "std")]
pub mod checkpoint;
pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
#[cfg(feature = "std")]
pub mod data;
pub mod error;
#[cfg(feature = "std")]
pub mod file;
#[cfg(feature = "std")]
pub mod float64;
#[cfg(feature = "std")]
pub mod forecast;
#[cfg(feature = "std")]
pub mod gates;
pub mod lanes;
#[cfg(feature = "std")]
pub mod latency;
pub mod layout;
pub mod loss;
pub mod math;
pub mod model;
pub mod optimizer;
pub mod pass;
#[cfg(feature = "plot")]
pub mod plot;
pub mod random;
pub mod scaler;
pub mod shape;
pub mod state;
pub mod stream;
pub mod streams;
pub mod tensor;
#[cfg(feature = "std")]
pub mod train;
pub mod weights;
#[cfg(feature = "std")]
mod whole;

pub use backend::Device;
pub use cpu::{Cpu, Isa};
pub use error::{Error, Result};
pub use loss::Loss;
pub use model::{Model, Order};
pub use scaler::Scaler;
pub use shape::{CellKind, Nonlinearity, Shape};
pub use state::State;
pub use stream::Stream;
pub use streams::{Handle, Streams};
pub use tensor::Tensor;
pub use weights::Weights;

/// The README's example compiles.
#[cfg(all(doctest, feature = "std"))]
#[doc = include_str!("../README.md")]
struct Readme;
