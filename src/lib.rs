//! Learns a time series and predicts its next step inside your process: small recurrent networks (Elman RNN, LSTM,
//! GRU) with hand-written forward and backward passes, and no framework underneath.
//!
//! - [`Model`] is a network with its weights: [`Model::load`] one that rnnstep or PyTorch wrote, [`Model::forward`] whole
//!   sequences through it.
//! - [`Stream`] steps a model value by value, without allocating; [`Streams`] thousands of them at once.
//! - [`Learner`] answers like a stream and learns from what comes, tick by tick.
//! - [`train::Trainer`] trains one on [`data::windows::Windows`]; [`checkpoint`] lets it stop and go on.
//! - [`evaluate`](mod@evaluate) says whether a model is worth anything; [`search`] looks for a recipe.
//! - [`forecast`] scores one step ahead and predicts many; [`gates`] shows what happens inside; [`latency`] times steps.
//!
//! Shapes are written in the letters of [`shape`]. Every instruction set and any number of threads give the same bits.
//!
//! Features: `std` (files, data, training; on by default through `cli`), `plot`, `cli`, `cuda` (the GPU). Without `std` the crate is
//! `no_std`: with `alloc` there are shapes, models, states and streams, without it [`Fixed`] models.
#![cfg_attr(not(feature = "std"), no_std)]
#![warn(missing_docs)]
#![warn(clippy::undocumented_unsafe_blocks, clippy::missing_safety_doc)]
#![cfg_attr(not(feature = "cuda"), allow(irrefutable_let_patterns, reason = "there is one kind of device then"))]

#[cfg(feature = "alloc")]
extern crate alloc;

#[cfg(feature = "alloc")]
pub mod backend;
#[cfg(feature = "std")]
pub mod bands;
pub mod cell;
#[cfg(feature = "std")]
pub mod checkpoint;
pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
#[cfg(feature = "std")]
pub mod data;
#[cfg(feature = "alloc")]
pub mod error;
#[cfg(feature = "std")]
pub mod evaluate;
#[cfg(feature = "std")]
pub mod file;
#[cfg(feature = "std")]
pub mod fit;
pub mod fixed;
#[cfg(feature = "std")]
pub mod float64;
#[cfg(feature = "std")]
pub mod forecast;
#[cfg(feature = "alloc")]
pub mod form;
#[cfg(feature = "std")]
pub mod gates;
pub mod lanes;
#[cfg(feature = "std")]
pub mod latency;
pub mod layout;
#[cfg(feature = "alloc")]
pub mod learner;
#[cfg(feature = "alloc")]
pub mod loss;
pub mod math;
#[cfg(feature = "alloc")]
pub mod memory;
#[cfg(feature = "alloc")]
pub mod model;
#[cfg(feature = "std")]
pub mod naive;
#[cfg(feature = "alloc")]
pub mod optimizer;
#[cfg(feature = "alloc")]
pub mod pass;
#[cfg(feature = "plot")]
pub mod plot;
#[cfg(feature = "alloc")]
pub mod random;
#[cfg(feature = "alloc")]
pub mod scaler;
#[cfg(feature = "std")]
pub mod search;
pub mod shape;
#[cfg(feature = "alloc")]
pub mod state;
#[cfg(feature = "alloc")]
pub mod stream;
#[cfg(feature = "alloc")]
pub mod streams;
#[cfg(feature = "alloc")]
pub mod tensor;
#[cfg(feature = "std")]
pub mod train;
#[cfg(feature = "alloc")]
pub mod units;
pub mod weights;
#[cfg(feature = "std")]
mod whole;

#[cfg(feature = "alloc")]
pub use backend::Device;
pub use cpu::{Cpu, Isa};
#[cfg(feature = "alloc")]
pub use error::{Error, Result};
pub use fixed::{Fixed, FixedStream};
#[cfg(feature = "alloc")]
pub use form::Form;
#[cfg(feature = "alloc")]
pub use learner::{Learned, Learner, LearnerOptions};
#[cfg(feature = "alloc")]
pub use loss::{Levels, Loss};
#[cfg(feature = "alloc")]
pub use model::{Model, Order};
#[cfg(feature = "alloc")]
pub use scaler::Scaler;
pub use shape::{CellKind, Nonlinearity, Shape};
#[cfg(feature = "alloc")]
pub use state::State;
#[cfg(feature = "alloc")]
pub use stream::Stream;
#[cfg(feature = "alloc")]
pub use streams::{Handle, Streams};
#[cfg(feature = "alloc")]
pub use tensor::Tensor;
#[cfg(feature = "alloc")]
pub use units::Units;
pub use weights::Weights;

/// The README's example compiles.
#[cfg(all(doctest, feature = "std"))]
#[doc = include_str!("../README.md")]
struct Readme;
