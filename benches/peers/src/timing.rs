//! How long something takes: criterion's samples for the usual case, single calls for the tail.

use crate::peer::Stream;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion};
use std::time::{Duration, Instant};

/// Samples that criterion takes of each benchmark.
const SAMPLES: usize = 30;

/// Calls that are timed one by one, at most, and for how long.
const SINGLE_CALLS: usize = 50_000;
const SINGLE_TIME: Duration = Duration::from_millis(150);

/// Times of single calls, in ns, which contain the clock's own 20 or so.
#[derive(Debug, Clone, Copy)]
pub struct Tail {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// Criterion with short times: there are hundreds of benchmarks, and `run` repeats them several times.
pub fn criterion(quick: bool) -> Criterion {
    let (warm_up, measurement) = if quick { (20, 30) } else { (100, 250) };
    Criterion::default()
        .sample_size(SAMPLES)
        .nresamples(1000)
        .warm_up_time(Duration::from_millis(warm_up))
        .measurement_time(Duration::from_millis(measurement))
        .without_plots()
}

/// ns of one call; `work` makes the given number of calls. This is the median of criterion's samples.
pub fn usual(group: &mut BenchmarkGroup<'_, WallTime>, id: BenchmarkId, work: &mut dyn FnMut(u64)) -> f64 {
    let mut samples = Vec::new();
    group.bench_function(id, |bencher| {
        bencher.iter_custom(|calls| {
            let start = Instant::now();
            work(calls);
            let time = start.elapsed();
            samples.push(time.as_nanos() as f64 / calls as f64);
            time
        });
    });
    // those before the last ones warmed up
    let mut samples = samples.split_off(samples.len().saturating_sub(SAMPLES));
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The tail of a stream that goes through the rows of `x` again and again.
pub fn tail(stream: &mut dyn Stream, x: &[&[f32]]) -> Tail {
    let mut times = stream.times(x, SINGLE_CALLS, SINGLE_TIME);
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    Tail { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1.0) }
}
