//! What a network is: its shape, where its parameters lie, the formats they are stored in, its state, and the options
//! of a pass.

pub mod layout;
#[cfg(feature = "alloc")]
pub mod pass;
#[cfg(feature = "std")]
pub(crate) mod recipe;
pub mod shape;
#[cfg(feature = "alloc")]
pub mod state;
#[cfg(feature = "alloc")]
pub mod table;
#[cfg(feature = "alloc")]
mod weight_codes;
pub mod weight_format;
