//! Passes of a network on the processor, and single steps.
#![cfg_attr(not(feature = "alloc"), allow(dead_code, reason = "fixed models take steps only"))]

#[cfg(feature = "alloc")]
mod batch;
mod beside;
mod fixed;
mod linear;
#[cfg(feature = "alloc")]
mod network;
mod product;
mod recurrent;
mod step;
#[cfg(feature = "alloc")]
mod stepper;
mod stored;
#[cfg(feature = "alloc")]
mod threads;
#[cfg(feature = "std")]
mod training;
#[cfg(feature = "alloc")]
mod update;

#[cfg(feature = "alloc")]
pub use batch::Many;
pub use fixed::{FixedShape, Memory, Net, Params};
#[cfg(feature = "alloc")]
pub use network::Network;
#[cfg(feature = "alloc")]
pub use stepper::{Bound, Stepper};
pub use stored::{Bf16, F16, F32, Int8, Stored};
#[cfg(feature = "alloc")]
pub use threads::Threads;
#[cfg(feature = "std")]
pub(crate) use training::Training;
