//! Threads, as many as were asked for.

use crate::cli::args::number;
use crate::cli::failure::Failure;
use rnnstep::cpu::Threads;

/// So many threads, as [`number::threads`] takes them.
pub fn threads(count: usize) -> Result<Threads, Failure> {
    Ok(Threads::new(count.min(number::MOST_THREADS))?)
}

/// So many threads as the machine has cores.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
