//! Where training gets its windows. Which window a step gets depends on nothing but the number of the step, so a
//! training that was stopped goes on with the same ones.

use super::sine;
use crate::error::{Error, Result};
use crate::random::{Purpose, Random};
use crate::tensor::Tensor;
use std::ops::Range;

/// A source of windows `x [T,B,I]` with their targets, time-major.
#[derive(Debug, Clone)]
pub struct Windows {
    source: Source,
    seq_len: usize,
    batch: usize,
    input: usize,
    output: usize,
    last_only: bool,
}

#[derive(Debug, Clone)]
enum Source {
    Sine,
    /// Lanes of the series side by side; each step moves every lane on by one window.
    Lanes {
        series: Pairs,
        windows: usize,
    },
    /// Windows at every stride, in an order drawn anew each epoch.
    Shuffled {
        series: Pairs,
        stride: usize,
        seed: u64,
        order: Vec<usize>,
        epoch: Option<u64>,
    },
    /// Windows that came cut: `x [N,B,T,I]`, target `[N,B,T,O]` or `[N,B,O]`.
    Cut {
        x: Tensor,
        target: Tensor,
        count: usize,
    },
}

/// Rows of a series: the target of a row is what the target columns say one row later.
#[derive(Debug, Clone)]
struct Pairs {
    x: Tensor,
    target: Tensor,
}

impl Windows {
    /// The lesson's sine: step k is `[kπ, (k+1)π]`, one sequence, without end.
    ///
    /// # Errors
    /// If `seq_len` is 0 or above a million.
    pub fn sine(seq_len: usize) -> Result<Self> {
        const MOST: usize = 1_000_000;
        at_least_one("seq-len", seq_len)?;
        if seq_len > MOST {
            // no series bounds it here
            return Err(Error::invalid(format!("seq-len {seq_len}: at most {MOST} points of the sine")));
        }
        Ok(Self { source: Source::Sine, seq_len, batch: 1, input: 1, output: 1, last_only: false })
    }

    /// Consecutive windows of a series, for a state that is carried on: the rows are cut into `batch` stretches of
    /// equal length, and each step takes the next `seq_len` rows of every stretch. What does not fill a window is
    /// left out at the end of each stretch. `x [T,I]` and `target [T,O]` are rows of the same times; the target of a
    /// row is the one after it. With `last_only` the target is that of the last row of a window.
    ///
    /// # Errors
    /// If there are fewer rows than one window and one target for each stretch.
    pub fn lanes(x: Tensor, target: Tensor, seq_len: usize, batch: usize, last_only: bool) -> Result<Self> {
        let (series, rows) = pairs(x, target, seq_len, batch)?;
        let windows = (rows - 1) / batch / seq_len;
        if windows == 0 {
            let needed = batch.saturating_mul(seq_len).saturating_add(1);
            return Err(too_few(rows, needed, &format!("{batch} windows side by side of {seq_len} rows each")));
        }
        Ok(Self::of_series(series, seq_len, batch, last_only, |series| Source::Lanes { series, windows }))
    }

    /// Windows at every `stride` rows of a series, shuffled anew each epoch, for a state that starts at zero.
    /// The last batch of an epoch may be smaller.
    ///
    /// # Errors
    /// If there are fewer rows than a window and its target.
    pub fn shuffled(
        x: Tensor,
        target: Tensor,
        seq_len: usize,
        stride: usize,
        batch: usize,
        last_only: bool,
        seed: u64,
    ) -> Result<Self> {
        at_least_one("stride", stride)?;
        let (series, rows) = pairs(x, target, seq_len, batch)?;
        if rows <= seq_len {
            return Err(too_few(rows, seq_len.saturating_add(1), &format!("a window of {seq_len} rows")));
        }
        let count = (rows - 1 - seq_len) / stride + 1;
        let order = (0..count).map(|w| w * stride).collect();
        Ok(Self::of_series(series, seq_len, batch.min(count), last_only, |series| Source::Shuffled {
            series,
            stride,
            seed,
            order,
            epoch: None,
        }))
    }

    /// Windows already cut: `x [N,B,T,I]` and `target [N,B,T,O]`, or `[N,B,O]` for the last step only. Step k takes
    /// window k mod N.
    ///
    /// # Errors
    /// If the arrays have other dimensions or do not go together.
    pub fn cut(x: Tensor, target: Tensor) -> Result<Self> {
        let &[count, batch, seq_len, input] = x.dims() else {
            return Err(Error::invalid(format!("x: expected [N,B,T,I], got the shape {:?}", x.dims())));
        };
        let (output, last_only) = match *target.dims() {
            [n, b, t, output] if (n, b, t) == (count, batch, seq_len) => (output, false),
            [n, b, output] if (n, b) == (count, batch) => (output, true),
            _ => {
                let found = target.dims();
                return Err(Error::invalid(format!(
                    "target: expected [{count},{batch},{seq_len},O], or [{count},{batch},O] for the last step, got {found:?}"
                )));
            }
        };
        for (name, size) in [("N", count), ("B", batch), ("T", seq_len), ("I", input), ("O", output)] {
            at_least_one(name, size)?;
        }
        Ok(Self { source: Source::Cut { x, target, count }, seq_len, batch, input, output, last_only })
    }

    fn of_series(
        series: Pairs,
        seq_len: usize,
        batch: usize,
        last_only: bool,
        source: impl FnOnce(Pairs) -> Source,
    ) -> Self {
        let (input, output) = (series.x.rows().1, series.target.rows().1);
        Self { source: source(series), seq_len, batch, input, output, last_only }
    }

    /// T
    pub fn seq_len(&self) -> usize {
        self.seq_len
    }

    /// B, the most sequences of a step.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// b, the sequences of step `k`: B but in the last step of a shuffled epoch.
    pub fn batch_at(&self, k: u64) -> usize {
        match &self.source {
            Source::Shuffled { order, .. } => {
                let first = (k % order.len().div_ceil(self.batch) as u64) as usize * self.batch;
                (order.len() - first).min(self.batch)
            }
            _ => self.batch,
        }
    }

    /// I
    pub fn input(&self) -> usize {
        self.input
    }

    /// D, the columns of the target: O of the model where the loss takes one value for each.
    pub fn output(&self) -> usize {
        self.output
    }

    /// Whether only the last step of a window has a target.
    pub fn last_only(&self) -> bool {
        self.last_only
    }

    /// Steps until every window was taken once; `None` for the sine, which never ends.
    pub fn steps_per_epoch(&self) -> Option<u64> {
        match &self.source {
            Source::Sine => None,
            Source::Lanes { windows, .. } => Some(*windows as u64),
            Source::Shuffled { order, .. } => Some(order.len().div_ceil(self.batch) as u64),
            Source::Cut { count, .. } => Some(*count as u64),
        }
    }

    /// Whether step `k` begins the series again, so that a state carried from its end means nothing. Windows that
    /// came cut go round and round, as a loop over them in PyTorch does.
    pub fn starts_again(&self, k: u64) -> bool {
        match &self.source {
            Source::Lanes { windows, .. } => k.is_multiple_of(*windows as u64),
            Source::Shuffled { .. } => true,
            Source::Sine | Source::Cut { .. } => k == 0,
        }
    }

    /// Rows that all windows are cut from, if they are there beforehand: x `[.,I]` and the target `[.,O]`.
    pub fn rows(&self) -> Option<(&[f32], &[f32])> {
        match &self.source {
            Source::Sine => None,
            Source::Lanes { series, .. } | Source::Shuffled { series, .. } => {
                Some((series.x.data(), series.target.data()))
            }
            Source::Cut { x, target, .. } => Some((x.data(), target.data())),
        }
    }

    /// Which of those rows the window of step `k` is made of: row t of sequence b is row `x[b] + t` of x and row
    /// `target[b] + t` of the target. Gives back how many sequences there are. Both slices have room for B.
    pub fn starts(&mut self, k: u64, x: &mut [i32], target: &mut [i32]) -> usize {
        let (seq_len, batch) = (self.seq_len, self.batch);
        // row numbers fit: a series is no longer than a file that was read into memory, and checked where it is used
        let later = if self.last_only { seq_len } else { 1 };
        let fill = |starts: &mut dyn Iterator<Item = usize>, x: &mut [i32], target: &mut [i32]| {
            let mut count = 0;
            for ((start, x), target) in starts.zip(x).zip(target) {
                (*x, *target) = (start as i32, (start + later) as i32);
                count += 1;
            }
            count
        };
        match &mut self.source {
            Source::Sine => 0,
            Source::Lanes { windows, .. } => {
                let (lane, window) = (*windows * seq_len, (k % *windows as u64) as usize);
                fill(&mut (0..batch).map(|b| b * lane + window * seq_len), x, target)
            }
            Source::Shuffled { stride, seed, order, epoch, .. } => {
                fill(&mut shuffled(order, epoch, *stride, *seed, batch, k).iter().copied(), x, target)
            }
            Source::Cut { count, .. } => {
                let first = (k % *count as u64) as usize * batch;
                for (b, (x, target)) in x.iter_mut().zip(target).enumerate().take(batch) {
                    *x = ((first + b) * seq_len) as i32;
                    *target = if self.last_only { (first + b) as i32 } else { *x };
                }
                batch
            }
        }
    }

    /// Writes the window of step `k`: `x [T,b,I]` and `target [T,b,O]` (`[b,O]` if only the last step counts).
    /// Gives back b, which is B but in the last step of a shuffled epoch. Both slices have room for B.
    pub fn fill(&mut self, k: u64, x: &mut [f32], target: &mut [f32]) -> usize {
        let (seq_len, batch, last_only) = (self.seq_len, self.batch, self.last_only);
        match &mut self.source {
            Source::Sine => {
                for (i, value) in sine::window(k, seq_len).enumerate() {
                    if i < seq_len {
                        x[i] = value;
                    }
                    if i > 0 {
                        target[i - 1] = value;
                    }
                }
                batch
            }
            Source::Lanes { series, windows } => {
                let (lane, window) = (*windows * seq_len, (k % *windows as u64) as usize);
                series.fill((0..batch).map(|b| b * lane + window * seq_len), seq_len, last_only, x, target)
            }
            Source::Shuffled { series, stride, seed, order, epoch } => {
                let starts = shuffled(order, epoch, *stride, *seed, batch, k);
                series.fill(starts.iter().copied(), seq_len, last_only, x, target)
            }
            Source::Cut { x: from, target: to, count } => {
                let window = (k % *count as u64) as usize;
                copy_time_major(from, window, batch, seq_len, x);
                copy_time_major(to, window, batch, if last_only { 1 } else { seq_len }, target);
                batch
            }
        }
    }
}

impl Pairs {
    /// Windows that start at `starts`, side by side. Gives back how many.
    fn fill(
        &self,
        starts: impl ExactSizeIterator<Item = usize> + Clone,
        seq_len: usize,
        last_only: bool,
        x: &mut [f32],
        target: &mut [f32],
    ) -> usize {
        let count = starts.len();
        let copy = |from: &Tensor, to: &mut [f32], times: Range<usize>| {
            let width = from.rows().1;
            let rows = times.flat_map(|t| starts.clone().map(move |start| start + t));
            for (row, to) in rows.zip(to.chunks_exact_mut(width)) {
                to.copy_from_slice(&from.data()[row * width..(row + 1) * width]);
            }
        };
        copy(&self.x, x, 0..seq_len);
        copy(&self.target, target, if last_only { seq_len..seq_len + 1 } else { 1..seq_len + 1 });
        count
    }
}

/// Window `window` of `[N,B,T,·]` as `[T,B,·]`.
fn copy_time_major(from: &Tensor, window: usize, batch: usize, steps: usize, to: &mut [f32]) {
    let width = from.rows().1;
    let window = &from.data()[window * batch * steps * width..][..batch * steps * width];
    for (i, row) in window.chunks_exact(width).enumerate() {
        let (b, t) = (i / steps, i % steps);
        to[(t * batch + b) * width..][..width].copy_from_slice(row);
    }
}

/// The first rows of the windows of step `k`; draws a new order when an epoch begins.
fn shuffled<'a>(
    order: &'a mut [usize],
    epoch: &mut Option<u64>,
    stride: usize,
    seed: u64,
    batch: usize,
    k: u64,
) -> &'a [usize] {
    let per_epoch = order.len().div_ceil(batch) as u64;
    if *epoch != Some(k / per_epoch) {
        *epoch = Some(k / per_epoch);
        shuffle(order, stride, &mut Random::new(seed, Purpose::Order, k / per_epoch));
    }
    let first = (k % per_epoch) as usize * batch;
    &order[first..order.len().min(first + batch)]
}

/// All windows, in an order that depends on nothing but `random`.
fn shuffle(order: &mut [usize], stride: usize, random: &mut Random) {
    for (w, start) in order.iter_mut().enumerate() {
        *start = w * stride;
    }
    for last in (1..order.len()).rev() {
        order.swap(last, random.below(last + 1));
    }
}

/// The rows of training and those held out, which follow them.
///
/// # Errors
/// If `held_out` is not a fraction from 0 to below 1.
pub fn split(rows: usize, held_out: f64) -> Result<(Range<usize>, Range<usize>)> {
    if !(0.0..1.0).contains(&held_out) {
        return Err(Error::invalid(format!("val-fraction {held_out}: must be at least 0 and below 1")));
    }
    let train = rows - (rows as f64 * held_out).round() as usize;
    Ok((0..train, train..rows))
}

fn pairs(x: Tensor, target: Tensor, seq_len: usize, batch: usize) -> Result<(Pairs, usize)> {
    at_least_one("seq-len", seq_len)?;
    at_least_one("batch", batch)?;
    let (rows, target_rows) = (x.rows().0, target.rows().0);
    Error::check_length("target: rows", rows, target_rows)?;
    if rows == 0 {
        return Err(too_few(0, seq_len.saturating_add(1), &format!("a window of {seq_len} rows")));
    }
    Ok((Pairs { x, target }, rows))
}

fn at_least_one(name: &str, size: usize) -> Result<()> {
    if size == 0 { Err(Error::invalid(format!("{name} 0: must be at least 1"))) } else { Ok(()) }
}

fn too_few(rows: usize, needed: usize, what: &str) -> Error {
    Error::invalid(format!(
        "{rows} rows to train on, but {what} and the value after it need {needed}: take a smaller seq-len or batch, or more data"
    ))
}
