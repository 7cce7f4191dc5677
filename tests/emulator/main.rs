//! Tests of the emulated device itself: kernels without a mistake are right and no sanitizer has anything to say; every
//! planted mistake is found; what goes wrong on a card goes wrong here in the same way.
#![cfg(feature = "cuda")]

#[path = "../common/emulator.rs"]
mod emulator;

mod clean;
mod failures;
mod gpu;
mod planted;
