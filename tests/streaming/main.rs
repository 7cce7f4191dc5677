//! Step by step: one stream, many streams, models of a fixed size, models of differences and models
//! that learn while they run give the bits of one long call, and allocate nothing, wait for nothing
//! and ask the system for nothing.
#![cfg(feature = "std")]

#[path = "../common/counting.rs"]
mod counting;
#[path = "../common/golden.rs"]
mod golden;
#[path = "../common/shapes.rs"]
mod shapes;

mod differencing;
mod fixed;
mod latency;
mod learner;
mod realtime;
mod stream;
mod streams;
mod wide;
