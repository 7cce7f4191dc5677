//! A network with its weights: whole sequences, streams, files, and the values of its gates.

#[cfg(feature = "std")]
pub mod file;
pub mod fixed;
#[cfg(feature = "alloc")]
mod fixed_source;
#[cfg(feature = "std")]
pub mod inspect;
#[cfg(feature = "alloc")]
mod network;
#[cfg(feature = "alloc")]
pub mod stream;
#[cfg(feature = "alloc")]
pub mod streams;

#[cfg(feature = "alloc")]
pub use crate::net::layout::{Entry, LayerRanges, Layout};
#[cfg(feature = "alloc")]
pub use network::*;
