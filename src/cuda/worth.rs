//! Whether a GPU would be faster than the CPU, by arithmetic: for `--device auto`.
//!
//! A time step on a GPU mostly waits: for a barrier, for the cache, for the operation before. On a CPU most of the time
//! goes into FMAs. The figures for a GPU come from `kernels/one_block.cuh` and `many_blocks.cuh` and were not measured
//! yet, so a GPU is chosen only if it is twice as fast by these figures.

use super::driver::Properties;
use super::plan::{Dtype, Frame, Plan};
use super::{Cuda, Network};
use crate::cuda::launch::steps::Steps;
use crate::error::Result;
use crate::net::pass::Mode;
use crate::net::shape::Shape;

/// What the device has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Single steps: the caller waits for each answer before it asks for the next.
    Ticks,
    /// Sequences forward.
    Sequences,
    /// Training.
    Training,
}

/// What was chosen, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Whether the GPU was chosen.
    pub card: bool,
    /// The reason, in one line.
    pub reason: String,
}

/// Whether the GPU `card` runs `work` faster than a CPU core, for a network of `shape` and `batch` sequences.
pub fn worth(shape: &Shape, batch: usize, work: Work, card: &Properties) -> Choice {
    /// Floating-point operations a second of one core: measured, LSTM 32 and 128 (`benches/record`).
    const CORE: f64 = 40e9;
    /// Seconds from asking a GPU for one step to having the answer.
    const ROUND_TRIP: f64 = 10e-6;
    /// Seconds that launches take, for each time step of a window of about twenty.
    const LAUNCHES: f64 = 1e-6;
    /// How many times as fast the GPU must be.
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
    let (card, word) = if on_card * MARGIN < processor { (true, "worth it") } else { (false, "not worth a GPU") };
    let micros = |seconds: f64| format!("{:.1} µs", seconds * 1e6);
    let reason = format!(
        "{word}: a step with batch {batch} would take about {} on the GPU and {} on a CPU core",
        micros(on_card),
        micros(processor)
    );
    Choice { card, reason }
}

/// Compiles and loads the kernels of this work. So a problem (no compiler, a GPU that the compiler does not know, a
/// driver that is too old) shows before the work begins. The kernels are kept: the work does not compile them again.
///
/// # Errors
/// If the kernels cannot be compiled or loaded, or there is too little memory for a single step.
pub fn ready(cuda: &Cuda, shape: &Shape, batch: usize, work: Work) -> Result<()> {
    let purpose = if work == Work::Training { Mode::Training } else { Mode::Inference };
    Network::new(cuda, shape, 1, batch, purpose)?;
    if work == Work::Training {
        Steps::load(cuda)?;
    }
    Ok(())
}
