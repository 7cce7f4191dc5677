//! Times by the GPU's own clock.

use rnnstep::Result;
use rnnstep::cuda::Gpu;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A burst takes at least so long, if it has fewer than [`MOST`] calls: events count in half microseconds.
const BURST: f64 = 1e-3;
const MOST: usize = 100;

/// What one call takes, in microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Time {
    pub median: f64,
    least: f64,
    bursts: usize,
}

impl Time {
    /// The time of `work`, in bursts of back-to-back calls between two events, after two calls to warm up. Measuring
    /// takes about `each`, and at least three bursts.
    pub fn of(gpu: &Gpu, each: Duration, mut work: impl FnMut() -> Result<()>) -> Result<Self> {
        let (first, last) = (gpu.event()?, gpu.event()?);
        let mut burst = |calls: usize| {
            first.record()?;
            (0..calls).try_for_each(|_| work())?;
            last.record()?;
            Ok::<_, rnnstep::Error>(1e6 * last.seconds_since(&first)? / calls as f64)
        };
        burst(1)?;
        let one = burst(1)?;
        let calls = if each.is_zero() { 1 } else { (1e6 * BURST / one.max(0.1)).ceil() as usize };
        let start = Instant::now();
        let mut times = vec![];
        while times.len() < 3 || (start.elapsed() < each && times.len() < 100) {
            times.push(burst(calls.clamp(1, MOST))?);
        }
        Ok(Self { median: quantile(&mut times, 0.5), least: times[0], bursts: times.len() })
    }

    pub fn json(self) -> Value {
        json!({"median": self.median, "least": self.least, "bursts": self.bursts})
    }
}

/// A quantile, sorting the values.
pub fn quantile(values: &mut [f64], at: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * at).round() as usize]
}
