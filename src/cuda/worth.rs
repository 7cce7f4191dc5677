//! Whether a card is worth its while, by arithmetic: for `--device auto`.
//!
//! What a time step costs on a card is mostly waiting: for a barrier, for the cache, for the next link of a chain. On a
//! processor it is the FMAs. The figures for a card come from `kernels/one_block.cuh` and `many_blocks.cuh` and were not
//! measured yet; so a card must be twice as fast by them to be chosen.

use super::driver::Properties;
use super::plan::{Dtype, Frame, Plan};
use super::{Cuda, Network};
use crate::cuda::launch::steps::Steps;
use crate::error::Result;
use crate::net::pass::Mode;
use crate::net::shape::Shape;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// One step at a time, each asked for and waited for.
    Ticks,
    /// Whole sequences forward.
    Sequences,
    /// Training.
    Training,
}

/// What was chosen, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Whether the card.
    pub card: bool,
    /// One line.
    pub reason: String,
}

/// Whether `card` runs `work` faster than a processor: on a network of `shape` with `batch` sequences side by side.
pub fn worth(shape: &Shape, batch: usize, work: Work, card: &Properties) -> Choice {
    /// Floating-point operations a second of one core: measured, LSTM 32 and 128 (`benches/record`).
    const CORE: f64 = 40e9;
    /// To ask a card for one step and have the answer, seconds.
    const ROUND_TRIP: f64 = 10e-6;
    /// Launches of a window, seconds a step of some twenty.
    const LAUNCHES: f64 = 1e-6;
    /// How much faster it must be.
    const MARGIN: f64 = 2.0;

    let flops = shape.flops() as f64 * batch as f64;
    let passes = if work == Work::Training { 3.0 } else { 1.0 };
    let processor = passes * flops / CORE;
    let frame = Plan::choose(shape, batch, Dtype::F32, card, None).map_or(Frame::Stepwise, |plan| plan.frame());
    let waiting = shape.layers as f64
        * match frame {
            Frame::OneBlock => 0.4e-6,
            Frame::ManyBlocks => 2.0e-6,
            Frame::Stepwise => 5.0e-6,
        };
    // 128 FMAs a cycle and multiprocessor, a third of them used
    let peak = f64::from(card.multiprocessors) * 256.0 * f64::from(card.clock_khz) * 1e3;
    let between = if work == Work::Ticks { ROUND_TRIP } else { LAUNCHES };
    let on_card = passes * (waiting + between + flops / (peak / 3.0));
    let (card, word) = if on_card * MARGIN < processor { (true, "worth it") } else { (false, "not worth a card") };
    let micros = |seconds: f64| format!("{:.1} µs", seconds * 1e6);
    let reason = format!(
        "{word}: a step of {batch} would take about {} there and {} on a core",
        micros(on_card),
        micros(processor)
    );
    Choice { card, reason }
}

/// Compiles the kernels of this work and loads them, so that what stands in the way (no compiler, a card that it does not
/// know, a driver too old for it) is known before anything begins. They are kept: the work itself finds them made.
///
/// # Errors
/// What stands in the way, or too little memory for a single step.
pub fn ready(cuda: &Cuda, shape: &Shape, batch: usize, work: Work) -> Result<()> {
    let purpose = if work == Work::Training { Mode::Training } else { Mode::Inference };
    Network::new(cuda, shape, 1, batch, purpose)?;
    if work == Work::Training {
        Steps::load(cuda)?;
    }
    Ok(())
}
