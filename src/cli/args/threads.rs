//! Threads to compute on.

use crate::cli::args::number;
use crate::cli::failure::Failure;
use rnnstep::cpu::Threads;

/// Starts `count` threads, at most as many as [`number::threads`] accepts.
pub fn threads(count: usize) -> Result<Threads, Failure> {
    Ok(Threads::new(count.min(number::MOST_THREADS))?)
}

/// How many cores the machine has.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
