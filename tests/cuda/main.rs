//! The GPU: kernels, trainings and the program on it agree with the CPU, sanitizers find nothing in
//! the kernels, and mistakes planted there are found. On the card of this machine if it has one,
//! else on the emulated device.
#![cfg(feature = "cuda")]

mod agree;
mod card;
mod emulator;

mod budgets;
mod host;
mod kernel_mistakes;
mod kernels;
mod libraries;
mod program;
mod sanitized;
mod training;
