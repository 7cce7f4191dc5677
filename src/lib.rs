//! Learns a time series and predicts its next step inside your process: small recurrent networks (Elman RNN, LSTM,
//! GRU, MGU) with hand-written forward and backward passes, and no framework underneath.
//!
//! # Load a model and stream
//!
//! A [`Stream`] keeps the state of one running series. Each step takes one row of inputs `[I]` and returns the
//! prediction of the next row `[O]`, both in the units of your data.
//!
//! ```
//! use rnnstep::{Model, Stream};
//!
//! # use rnnstep::{CellKind, Shape};
//! # let path = std::env::temp_dir().join(format!("rnnstep-page-{}.safetensors", std::process::id()));
//! # Model::random(Shape::new(CellKind::Gru, 1, 8, 1, 1)?, 0)?.save(&path)?;
//! let model = Model::load(&path)?; // a file of rnnstep, or a PyTorch state_dict as safetensors
//! let mut stream = Stream::new(model)?;
//! let mut ticker = stream.ticker::<1, 1>()?; // one value in, one out: the sizes are checked once, here
//! for x in [0.0, 0.156, 0.309, 0.454] {
//!     let [y] = ticker.step([x]); // no allocation, no lock, cannot fail
//!     assert!(y.is_finite());
//! }
//! # std::fs::remove_file(&path).ok();
//! # Ok::<(), rnnstep::Error>(())
//! ```
//!
//! # Train
//!
//! A [`Plan`](train::Plan) turns a [`Table`](train::Table) into a model: it fits the scalers, cuts the rows into
//! windows, holds the last fifth out, and keeps the weights that predict it best. [`data::csv`] and [`data::npy`] read
//! tables from files.
//!
//! ```
//! use rnnstep::device::Threads;
//! use rnnstep::train::{Length, Plan, Table};
//! use rnnstep::{CellKind, Cpu, Shape, Tensor};
//!
//! let values: Vec<f32> = (0..400).map(|t| (0.2 * t as f32).sin()).collect();
//! let rows = Tensor::new([400, 1], values)?; // T rows of one column
//! let table = Table::new(rows.clone(), rows, Some(vec![0]))?; // the column is input 0 and the target
//!
//! let shape = Shape::new(CellKind::Gru, 1, 8, 1, 1)?; // I, H, L, O
//! let plan = Plan::new(shape, Length::Epochs(30));
//! let outcome = plan.start(&[&table], Cpu::detect()?, Threads::default())?.finish()?;
//! assert!(outcome.learned);
//! # let path = std::env::temp_dir().join(format!("rnnstep-trained-{}.safetensors", std::process::id()));
//! outcome.model.save(&path)?; // PyTorch can load it
//! # std::fs::remove_file(&path).ok();
//! # Ok::<(), rnnstep::Error>(())
//! ```
//!
//! # Evaluate
//!
//! A backtest (feature `evaluate`) trains on the first rows, predicts the rest step by step, and compares the model
//! with the naive forecasts: persistence (the last value), seasonal naive (the value one season ago), the mean, and
//! drift (a straight line).
//!
//! ```
//! # #[cfg(feature = "evaluate")]
//! # fn main() -> rnnstep::Result<()> {
//! use rnnstep::device::Threads;
//! use rnnstep::evaluate::backtest::{Protocol, Verdict, evaluate};
//! use rnnstep::train::{Length, Plan, Table};
//! use rnnstep::{CellKind, Cpu, Shape, Tensor};
//!
//! let values: Vec<f32> = (0..400).map(|t| (0.2 * t as f32).sin()).collect();
//! let rows = Tensor::new([400, 1], values)?;
//! let table = Table::new(rows.clone(), rows, Some(vec![0]))?;
//!
//! let (cpu, plan) = (Cpu::detect()?, Plan::new(Shape::new(CellKind::Gru, 1, 8, 1, 1)?, Length::Epochs(30)));
//! let protocol = Protocol::new(300, 1); // rows from 300 on, one step ahead
//! let found = evaluate(&table, &protocol, &cpu.into(), |rows, _fold, _folds| {
//!     Ok(plan.start(&[rows], cpu, Threads::default())?.finish()?.model)
//! })?;
//! let comparison = &found.columns[0].comparisons[0];
//! println!("{}", comparison.sentence());
//! assert_eq!(comparison.verdict(), Verdict::Better);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "evaluate"))]
//! # fn main() {}
//! ```
//!
//! # Modules
//!
//! | module | what it holds |
//! |---|---|
//! | [`model`](mod@model) | a network with its weights: files, whole sequences, [`Stream`], thousands of [`Streams`], [`Fixed`] models without a heap |
//! | [`data`] | CSV and `.npy` files, series, windows |
//! | [`train`] | training: from a table to a model, with checkpoints |
//! | [`objective`] | losses, optimisers, schedules |
//! | [`learner`] | a model that goes on learning while it runs: [`Learner`] |
//! | [`series`] | forecasts many steps ahead, prediction intervals, naive forecasts |
//! | `evaluate` | backtests, and the search for a recipe |
//! | [`units`] | scalers and target transforms: between raw values and the network's |
//! | [`device`] | where a network computes: [`Cpu`], threads, a GPU |
//! | [`measure`] | latencies of single steps, and a reference in float64 |
//! | `plot` | plots as SVG, PNG and text |
//! | [`error`] | [`Error`], the one error type |
//!
//! Sizes have one letter each: T time steps, B sequences side by side, I inputs, H hidden units, L layers, O outputs,
//! D predicted columns, G gates. Arrays are f32 and row after row. Every instruction set and any number of threads give
//! the same bits.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | none | `no_std`, no heap: [`Fixed`] models on the instruction set that the compiler targets |
//! | `alloc` | models, streams and learners on a heap |
//! | `std` (default) | files, data, training, several threads, the instruction set chosen at run time |
//! | `evaluate` | backtests, prediction intervals, the search for a recipe |
//! | `opponents` | stronger forecasts that a backtest compares with: exponential smoothing and MSTL |
//! | `plot` | plots |
//! | `cuda` | NVIDIA GPUs; nothing of NVIDIA's is needed to build |
//! | `cli` | the program `rnnstep`, with all of the above |
#![cfg_attr(not(feature = "std"), no_std)]
#![warn(missing_docs)]
#![warn(clippy::undocumented_unsafe_blocks, clippy::missing_safety_doc)]

#[cfg(feature = "alloc")]
extern crate alloc;

/// The `with_*` functions of a structure of options, one for each field that is named. Each returns the options with
/// that field changed.
#[cfg(feature = "alloc")]
macro_rules! with_functions {
    ($($name:ident: $field:ident, $value:ty;)*) => {$(
        #[doc = concat!("These options with another [`", stringify!($field), "`](Self::", stringify!($field), ").")]
        #[must_use]
        pub fn $name(mut self, $field: $value) -> Self {
            self.$field = $field;
            self
        }
    )*};
}

#[doc(hidden)]
pub mod cell;
#[doc(hidden)]
pub mod cpu;
#[cfg(feature = "cuda")]
#[doc(hidden)]
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
#[doc(hidden)]
pub mod memory;
pub mod model;
#[doc(hidden)]
pub mod net;
#[cfg(feature = "alloc")]
pub mod objective;
#[cfg(feature = "plot")]
pub mod plot;
#[cfg(feature = "alloc")]
#[doc(hidden)]
pub mod random;
#[cfg(feature = "std")]
pub mod series;
#[doc(hidden)]
pub mod simd;
#[cfg(feature = "alloc")]
#[doc(hidden)]
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
pub use units::transform::TargetTransform;

/// The examples of these pages are tests: all of them compile, and those that can run do.
#[cfg(all(doctest, feature = "std"))]
mod pages {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/guide/streaming.md")]
    struct Streaming;
    #[doc = include_str!("../docs/guide/learning-online.md")]
    struct LearningOnline;
}
