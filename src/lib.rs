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

#[cfg(feature = "alloc")]
extern crate alloc;

pub mod cell;
pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
#[cfg(feature = "std")]
pub mod data;
#[cfg(feature = "alloc")]
pub mod device;
#[cfg(feature = "alloc")]
pub mod error;
#[cfg(feature = "evaluate")]
pub mod evaluate;
#[cfg(feature = "std")]
mod io;
#[cfg(feature = "alloc")]
pub mod learner;
#[cfg(feature = "std")]
pub mod measure;
#[cfg(feature = "alloc")]
pub mod memory;
pub mod model;
pub mod net;
#[cfg(feature = "alloc")]
pub mod objective;
#[cfg(feature = "plot")]
pub mod plot;
#[cfg(feature = "alloc")]
pub mod random;
#[cfg(feature = "std")]
pub mod series;
pub mod simd;
#[cfg(feature = "alloc")]
pub mod tensor;
#[cfg(feature = "std")]
pub mod train;
#[cfg(feature = "alloc")]
pub mod units;

pub use cell::kind::{CellKind, Nonlinearity};
#[cfg(feature = "alloc")]
pub use device::Device;
#[cfg(feature = "alloc")]
pub use error::{DeviceErrorKind, Error, Result};
#[cfg(feature = "alloc")]
pub use learner::{Learned, Learner, LearnerOptions};
pub use model::fixed::{Fixed, FixedStream};
#[cfg(feature = "alloc")]
pub use model::stream::Stream;
#[cfg(feature = "alloc")]
pub use model::streams::{Handle, Streams};
#[cfg(feature = "alloc")]
pub use model::{Model, Order};
pub use net::shape::Shape;
#[cfg(feature = "alloc")]
pub use net::state::State;
pub use net::weight_format::Weights;
#[cfg(feature = "alloc")]
pub use objective::loss::{Levels, Loss};
pub use simd::isa::{Cpu, Isa};
#[cfg(feature = "alloc")]
pub use tensor::Tensor;
#[cfg(feature = "alloc")]
pub use units::Units;
#[cfg(feature = "alloc")]
pub use units::scaler::Scaler;
#[cfg(feature = "alloc")]
pub use units::transform::Form;

/// The examples of the pages compile, and those that can run do.
#[cfg(all(doctest, feature = "std"))]
mod pages {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/guide/streaming.md")]
    struct Streaming;
    #[doc = include_str!("../docs/guide/learning-online.md")]
    struct LearningOnline;
}
