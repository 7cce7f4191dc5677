//! Series in, windows out.

pub mod sine;
pub mod windows;
