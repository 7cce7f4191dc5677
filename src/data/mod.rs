//! Series in, windows out.

pub mod csv;
mod long;
pub mod npy;
pub mod series;
pub mod sine;
pub mod windows;
