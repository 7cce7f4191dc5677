//! Files with series are read here and cut into windows for training.

pub mod csv;
pub mod holes;
mod long;
pub mod npy;
pub mod series;
pub mod sine;
pub mod time;
pub mod windows;
