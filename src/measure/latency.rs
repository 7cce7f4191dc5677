//! How long single steps take: distributions of steps that are timed one by one, back to back and after a pause.
//!
//! A mean does not show how long a user may have to wait for a single step. So each step is timed alone, and the whole
//! [`Distribution`] is kept. A single time includes one reading of the clock, which takes tens of nanoseconds: see
//! [`Clock`]. The cost of many steps together is timed in blocks, in which the clock is read once: [`Throughput`].

use crate::error::{Error, Result};
use crate::model::stream::Stream;
use std::convert::Infallible;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// The time from one step to the next, if steps are timed with pauses, as when rows come in one by one.
pub const PAUSE: Duration = Duration::from_millis(1);

/// The median, and the percentiles of the tail, in parts of a thousand.
pub const PERCENTILES: [usize; 3] = [500, 990, 999];

/// The fewest times in a distribution, however short the measurement.
const LEAST: usize = 10;
/// The most times in a distribution; p99.9 then has 262 times beyond it.
const MOST: usize = 1 << 18;
/// A block of steps takes at least this long, so that reading the clock does not matter.
const BLOCK: Duration = Duration::from_millis(1);

/// The times of one action that was repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// Sorted; at least one.
    times: Vec<Duration>,
}

/// A part of the times of a [`Distribution`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    /// The lower edge in nanoseconds; it belongs to the bin.
    pub from: f64,
    /// The upper edge in nanoseconds; it does not belong to the bin.
    pub to: f64,
    /// The share of all times that lie in the bin, 0 to 1.
    pub share: f64,
}

impl Distribution {
    /// The distribution of these times, which may be in any order; `None` if there are none.
    pub fn new(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        if times.is_empty() { None } else { Some(Self { times }) }
    }

    /// How many times there are, at least one.
    pub fn count(&self) -> usize {
        self.times.len()
    }

    /// The shortest time.
    pub fn min(&self) -> Duration {
        self.times[0]
    }

    /// The longest time.
    pub fn max(&self) -> Duration {
        self.times[self.count() - 1]
    }

    /// A percentile, in parts of a thousand, by nearest rank: the shortest time that at least this part of all times
    /// does not exceed. It is always a time that was measured. 0 gives the shortest, 1000 and above the longest.
    pub fn percentile(&self, per_mille: usize) -> Duration {
        self.times[self.rank(per_mille) - 1]
    }

    /// [`Distribution::percentile`] if there are enough times for it: above the median, three times must lie beyond it.
    /// So p99 needs 300 times and p99.9 needs 3000. With fewer times it would be one of the two longest.
    pub fn known(&self, per_mille: usize) -> Option<Duration> {
        const BEYOND: usize = 3;
        let enough = per_mille <= 500 || self.count() - self.rank(per_mille) >= BEYOND;
        enough.then(|| self.percentile(per_mille))
    }

    /// The place of a percentile among the times, from 1. Computed with integers, because in f64 0.07 times 100 is more
    /// than 7.
    fn rank(&self, per_mille: usize) -> usize {
        let per_mille = per_mille.min(1000) as u128;
        (self.count() as u128 * per_mille).div_ceil(1000).max(1) as usize
    }

    /// A histogram with bins of equal ratio: `per_decade` of them (1 to 10,000) from a time to ten times that time. It
    /// goes from the bin of the shortest time to that of the longest, including empty bins. A time of 0 counts as one
    /// nanosecond.
    pub fn histogram(&self, per_decade: usize) -> Vec<Bin> {
        let per_decade = per_decade.clamp(1, 10_000) as f64;
        let edge = |index: i64| 10f64.powf(index as f64 / per_decade);
        let nanoseconds = |time: Duration| (time.as_nanos() as f64).max(1.0);
        let index = |time| {
            let near = (nanoseconds(time).log10() * per_decade).floor() as i64;
            // the rounded power may put a time into the bin next to its own
            near + i64::from(nanoseconds(time) >= edge(near + 1)) - i64::from(nanoseconds(time) < edge(near))
        };
        let first = index(self.min());
        let mut counts = vec![0_usize; (index(self.max()) - first) as usize + 1];
        for &time in &self.times {
            counts[(index(time) - first) as usize] += 1;
        }
        let bin = |(index, &count): (i64, &usize)| Bin {
            from: edge(index),
            to: edge(index + 1),
            share: count as f64 / self.count() as f64,
        };
        (first..).zip(&counts).map(bin).collect()
    }
}

/// The time from one reading of the clock to the next. Every single time includes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Clock {
    /// Back to back.
    pub in_a_row: Distribution,
    /// Each after a [`PAUSE`].
    pub paused: Distribution,
}

impl Clock {
    /// Measures for about `time`.
    pub fn measure(time: Duration) -> Self {
        let read = || -> Result<_, Infallible> {
            let start = Instant::now();
            Ok([Instant::now() - start])
        };
        let Ok([in_a_row]) = collect(time / 2, MOST, None, read);
        let Ok([paused]) = collect(time / 2, ticks(time / 2), Some(PAUSE), read);
        Self { in_a_row, paused }
    }
}

/// Steps one after the other, timed in blocks of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throughput {
    /// The number of steps.
    pub steps: usize,
    /// The time that they took together.
    pub took: Duration,
}

impl Throughput {
    /// Nanoseconds for each step.
    pub fn nanoseconds(&self) -> f64 {
        self.took.as_nanos() as f64 / self.steps as f64
    }

    /// Steps per second.
    pub fn per_second(&self) -> f64 {
        1e9 / self.nanoseconds()
    }
}

/// Steps, and the two halves of a step, each timed alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Singles {
    /// [`Stream::step`]: a whole step between x and y.
    pub step: Distribution,
    /// [`Stream::step`] after [`Stream::advance`]: the part from x to y.
    pub answer: Distribution,
    /// [`Stream::advance`]: the part that is done after y.
    pub advance: Distribution,
}

/// How long the steps of a stream take.
#[derive(Debug, Clone, PartialEq)]
pub struct Latency {
    /// Back to back, timed in blocks.
    pub throughput: Throughput,
    /// Back to back, each timed alone: caches are warm, and the processor runs at full speed.
    pub in_a_row: Singles,
    /// Each after a [`PAUSE`] asleep: other programs used the caches, and the processor may have slowed down.
    pub paused: Singles,
}

impl Latency {
    /// Measures the steps of `stream` over the rows of `x [T,I]`, which are repeated, for about `time`. Rows that
    /// differ keep the state changing. However short the time, there are a few steps of each kind.
    ///
    /// # Errors
    /// If a row is not as long as the model's input, or the GPU fails.
    pub fn of(stream: &mut Stream, x: &[f32], time: Duration) -> Result<Self> {
        let width = stream.model().shape().input;
        if x.is_empty() || !x.len().is_multiple_of(width) {
            return Err(Error::invalid(format!("x: expected rows of {width} values, got {} values", x.len())));
        }
        let mut rows = x.chunks_exact(width).cycle();
        // a pause takes longer than a step, so steps with pauses get more of the time
        let (part, paused) = (time / 6, time / 4);
        let throughput = throughput(stream, &mut rows, part)?;
        let count = (part.as_nanos() as f64 / throughput.nanoseconds()) as usize;
        let in_a_row = Singles::collect(stream, &mut rows, part, count, None)?;
        let paused = Singles::collect(stream, &mut rows, paused, ticks(paused), Some(PAUSE))?;
        Ok(Self { throughput, in_a_row, paused })
    }
}

/// The number of steps with pauses that fit into `time`.
fn ticks(time: Duration) -> usize {
    (time.as_nanos() / PAUSE.as_nanos()) as usize
}

impl Singles {
    /// Times steps alone, and then steps with an `advance` after each, for `time` each.
    fn collect<'a>(
        stream: &mut Stream,
        rows: &mut impl Iterator<Item = &'a [f32]>,
        time: Duration,
        most: usize,
        pause: Option<Duration>,
    ) -> Result<Self> {
        let [step] = collect(time, most, pause, || {
            let x = rows.next().unwrap_or_default();
            let start = Instant::now();
            black_box(stream.step(x)?);
            Ok([Instant::now() - start])
        })?;
        stream.advance();
        let [answer, advance] = collect(time, most, pause, || {
            let x = rows.next().unwrap_or_default();
            let start = Instant::now();
            black_box(stream.step(x)?);
            let answered = Instant::now();
            stream.advance();
            Ok([answered - start, Instant::now() - answered])
        })?;
        Ok(Self { step, answer, advance })
    }
}

/// Times blocks of steps for about `time`. First it runs some blocks to warm the caches and to find the number of steps
/// in a block.
fn throughput<'a>(
    stream: &mut Stream,
    rows: &mut impl Iterator<Item = &'a [f32]>,
    time: Duration,
) -> Result<Throughput> {
    let mut block = |steps: usize| -> Result<Duration> {
        let start = Instant::now();
        for x in rows.by_ref().take(steps) {
            black_box(stream.step(x)?);
        }
        Ok(start.elapsed())
    };
    let (start, mut steps) = (Instant::now(), 1);
    loop {
        if block(steps)? < BLOCK {
            steps *= 2;
        } else if start.elapsed() >= time / 4 {
            break;
        }
    }
    let mut all = Throughput { steps: 0, took: Duration::ZERO };
    while all.steps == 0 || all.took < time * 3 / 4 {
        all.took += block(steps)?;
        all.steps += steps;
    }
    Ok(all)
}

/// Runs `tick`, which returns how long each of its parts took, until `time` is over or there are `most` times, but at
/// least a few times. It sleeps before each run if there is a pause.
fn collect<const N: usize, E>(
    time: Duration,
    most: usize,
    pause: Option<Duration>,
    mut tick: impl FnMut() -> Result<[Duration; N], E>,
) -> Result<[Distribution; N], E> {
    let most = most.clamp(LEAST, MOST);
    // written, not only allocated, so that no page is touched for the first time while something is timed
    let mut times = [(); N].map(|()| vec![Duration::MAX; most]);
    // that emptied the caches, so a few runs fill them again
    for _ in 0..LEAST {
        tick()?;
    }
    let start = Instant::now();
    let (mut taken, mut due) = (0, start);
    while taken < most && (taken < LEAST || start.elapsed() < time) {
        if let Some(pause) = pause {
            due = sleep(due, pause);
        }
        for (times, took) in times.iter_mut().zip(tick()?) {
            times[taken] = took;
        }
        taken += 1;
    }
    Ok(times.map(|mut times| {
        times.truncate(taken);
        times.sort_unstable();
        Distribution { times } // LEAST of them, so not empty
    }))
}

/// Sleeps from a tick that was due at `due` until the next, and returns when that is due.
fn sleep(due: Instant, pause: Duration) -> Instant {
    let (now, next) = (Instant::now(), due + pause);
    // after a late tick, the next ones still get their pause
    let next = if next > now { next } else { now + pause };
    std::thread::sleep(next - now);
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::kind::CellKind;
    use crate::model::Model;
    use crate::net::shape::Shape;
    use crate::simd::isa::Cpu;

    fn of(nanoseconds: impl IntoIterator<Item = u64>) -> Distribution {
        Distribution::new(nanoseconds.into_iter().map(Duration::from_nanos).collect()).unwrap()
    }

    fn percentiles(times: &Distribution, per_mille: &[usize]) -> Vec<u128> {
        per_mille.iter().map(|&p| times.percentile(p).as_nanos()).collect()
    }

    #[test]
    fn nearest_rank() {
        assert_eq!(Distribution::new(vec![]), None);
        assert_eq!(percentiles(&of([7]), &[0, 1, 500, 999, 1000, 5000]), [7; 6]);
        assert_eq!(percentiles(&of([9, 7]), &[0, 500, 501, 990, 1000]), [7, 7, 9, 9, 9]);
        let thousand = of((1..=1000).rev());
        assert_eq!(percentiles(&thousand, &[0, 1, 70, 500, 990, 999, 1000]), [1, 1, 70, 500, 990, 999, 1000]);
        let ties = of([5, 5, 5, 5, 8]);
        assert_eq!(percentiles(&ties, &[500, 800, 801, 999]), [5, 5, 8, 8]);
        assert_eq!((ties.min().as_nanos(), ties.max().as_nanos(), ties.count()), (5, 8, 5));
    }

    #[test]
    fn a_percentile_of_too_few_times_is_not_known() {
        let known = |n: u64| PERCENTILES.map(|p| of(0..n).known(p).is_some());
        assert_eq!(known(1), [true, false, false]);
        assert_eq!([known(299), known(300)], [[true, false, false], [true, true, false]]);
        assert_eq!([known(2999), known(3000)], [[true, true, false], [true; 3]]);
    }

    #[test]
    fn a_histogram_holds_every_time_once() {
        let bins = of([0, 1, 9, 10, 99, 100, 1000, 1000]).histogram(1);
        let shares: Vec<f64> = bins.iter().map(|bin| bin.share * 8.0).collect();
        assert_eq!(shares, [3.0, 2.0, 1.0, 2.0]);
        assert_eq!((bins[0].from, bins[3].from), (1.0, 1000.0));
        assert_eq!(of([250]).histogram(20).len(), 1);
        // the number of bins is limited
        let (longest, wild) = (of([1, u64::MAX]), usize::MAX);
        assert_eq!(longest.histogram(wild).len(), longest.histogram(10_000).len());
        assert_eq!(of([1, 10]).histogram(wild).iter().map(|bin| bin.share).sum::<f64>(), 1.0);
        assert_eq!(of([1, 10]).histogram(0), of([1, 10]).histogram(1));
    }

    #[test]
    fn what_is_measured_is_there_however_short_the_time() {
        let model = Model::random(Shape::new(CellKind::Gru, 2, 9, 2, 1).unwrap(), 0).unwrap();
        let mut stream = Stream::on(Cpu::widest(), model).unwrap();
        for time in [Duration::ZERO, Duration::from_millis(40)] {
            let Latency { throughput, in_a_row, paused } =
                Latency::of(&mut stream, &[0.1, 0.2, -0.1, 0.4], time).unwrap();
            assert!(throughput.steps > 0 && throughput.nanoseconds() > 0.0 && throughput.per_second() > 0.0);
            for singles in [in_a_row, paused] {
                assert!(singles.step.count() >= LEAST);
                assert_eq!(singles.answer.count(), singles.advance.count());
            }
            assert!(Clock::measure(time).in_a_row.count() >= LEAST);
        }
        for x in [&[][..], &[1.0]] {
            let error = Latency::of(&mut stream, x, Duration::ZERO).unwrap_err().to_string();
            assert!(error.starts_with("x: expected rows of 2 values"), "{error}");
        }
    }
}
