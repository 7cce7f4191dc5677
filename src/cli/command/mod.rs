//! The commands of the program. Each one is a file or a folder.

pub mod bench;
pub mod compile;
pub mod convert;
mod each_series;
pub mod evaluate;
pub mod forecast;
pub mod gates;
pub mod info;
pub mod predict;
pub mod search;
pub mod stream;
pub mod train;
