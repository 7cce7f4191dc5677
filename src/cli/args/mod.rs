//! What the user asks for: flags, options of a file, and which of them go together.

pub mod config;
pub mod device;
pub mod input;
pub mod job;
pub mod learn;
pub mod model;
pub mod number;
pub mod paths;
pub mod sequences;
pub mod series;
pub mod table;
pub mod threads;
pub mod value;
