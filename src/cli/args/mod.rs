//! What was asked: flags, options of a file, and what they mean together.

pub mod config;
pub mod device;
pub mod input;
pub mod job;
pub mod many;
pub mod number;
pub mod paths;
pub mod value;
