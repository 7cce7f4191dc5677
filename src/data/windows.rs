//! The windows of a training. The window of a step depends only on the number of the step, so a training that was
//! stopped and resumed sees the same windows.

use super::sine;
use crate::error::{Error, Result};
use crate::random::{Purpose, Random};
use crate::tensor::Tensor;
use std::ops::Range;

/// A source of windows `x [T,B,I]` with their targets, time-major. A target that is NaN is missing: it does not count in
/// the loss.
#[derive(Debug, Clone)]
pub struct Windows {
    source: Source,
    seq_len: usize,
    batch: usize,
    input: usize,
    output: usize,
    last_only: bool,
    /// Whether a target is missing.
    has_holes: bool,
}

#[derive(Debug, Clone)]
enum Source {
    Sine,
    /// Each series is cut into lanes, and a step moves all lanes on by one window. The series follow one after the
    /// other.
    Lanes {
        series: Pairs,
        walks: Vec<Walk>,
    },
    /// A window starts every `stride` rows. Each epoch has a new random order.
    Shuffled {
        series: Pairs,
        /// The first row of each window.
        starts: Vec<usize>,
        seed: u64,
        order: Vec<usize>,
        epoch: Option<u64>,
    },
    /// Windows that were already cut: `x [N,B,T,I]`, target `[N,B,T,O]` or `[N,B,O]`.
    Cut {
        x: Tensor,
        target: Tensor,
        count: usize,
    },
}

/// The steps of an epoch that go through one series.
#[derive(Debug, Clone)]
struct Walk {
    /// Its first row.
    row: usize,
    /// Its first step within the epoch.
    first: usize,
    /// How many there are.
    steps: usize,
}

/// The rows of one or more series, one series after the other. The target of a row is the row after it in the target
/// columns.
#[derive(Debug, Clone)]
struct Pairs {
    x: Tensor,
    target: Tensor,
}

impl Windows {
    /// The built-in sine: step k is `[kπ, (k+1)π]`, one sequence. It has no end.
    ///
    /// # Errors
    /// If `seq_len` is 0 or above a million.
    pub fn sine(seq_len: usize) -> Result<Self> {
        const MOST: usize = 1_000_000;
        at_least_one("seq-len", seq_len)?;
        if seq_len > MOST {
            // other sources are bounded by the length of their series
            return Err(Error::invalid(format!("seq-len {seq_len}: a window of the sine has at most {MOST} points")));
        }
        Ok(Self { source: Source::Sine, seq_len, batch: 1, input: 1, output: 1, last_only: false, has_holes: false })
    }

    /// Consecutive windows of a series, for a state that is carried from window to window. The rows are cut into
    /// `batch` stretches of equal length, and each step takes the next `seq_len` rows of every stretch. Rows at the end
    /// of a stretch that do not fill a window are left out. `x [T,I]` and `target [T,O]` are rows of the same times;
    /// the target of a row of x is the next row of `target`. With `last_only` only the last row of a window has a
    /// target.
    ///
    /// # Errors
    /// If there are fewer rows than one window and one target for each stretch.
    pub fn lanes(x: Tensor, target: Tensor, seq_len: usize, batch: usize, last_only: bool) -> Result<Self> {
        Self::lanes_of(vec![(x, target)], seq_len, batch, last_only)
    }

    /// The same for several series, one after the other, each with a state that starts at zero. No window has rows of
    /// two series.
    ///
    /// # Errors
    /// If there is no series, two differ in width, or one has fewer rows than [`Windows::lanes`] needs.
    pub fn lanes_of(series: Vec<(Tensor, Tensor)>, seq_len: usize, batch: usize, last_only: bool) -> Result<Self> {
        let (series, parts) = joined(series, seq_len, batch)?;
        let (mut walks, mut first) = (Vec::with_capacity(parts.len()), 0);
        for part in parts {
            let steps = part.len().saturating_sub(1) / batch / seq_len;
            if steps == 0 {
                let needed = Self::rows_needed(seq_len, batch, true);
                let what = format!("{batch} windows side by side of {seq_len} rows each");
                return Err(too_few(part.len(), needed, &what));
            }
            walks.push(Walk { row: part.start, first, steps });
            first += steps;
        }
        Ok(Self::of_series(series, seq_len, batch, last_only, |series| Source::Lanes { series, walks }))
    }

    /// Windows of a series for a state that starts at zero. A window starts every `stride` rows, and each epoch has a
    /// new order that depends on `seed`. `x [T,I]` and `target [T,O]` are those of [`Windows::lanes`]. The last batch
    /// of an epoch may be smaller.
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
        Self::shuffled_of(vec![(x, target)], seq_len, stride, batch, last_only, seed)
    }

    /// The same for several series, shuffled together. No window has rows of two series.
    ///
    /// # Errors
    /// If there is no series, two differ in width, or one has fewer rows than a window and its target.
    pub fn shuffled_of(
        series: Vec<(Tensor, Tensor)>,
        seq_len: usize,
        stride: usize,
        batch: usize,
        last_only: bool,
        seed: u64,
    ) -> Result<Self> {
        at_least_one("stride", stride)?;
        let (series, parts) = joined(series, seq_len, batch)?;
        let mut starts = Vec::new();
        for part in parts {
            if part.len() <= seq_len {
                let needed = Self::rows_needed(seq_len, batch, false);
                return Err(too_few(part.len(), needed, &format!("a window of {seq_len} rows")));
            }
            starts.extend((part.start..part.end - seq_len).step_by(stride));
        }
        let batch = batch.min(starts.len());
        Ok(Self::of_series(series, seq_len, batch, last_only, |series| Source::Shuffled {
            series,
            order: starts.clone(),
            starts,
            seed,
            epoch: None,
        }))
    }

    /// The fewest rows of a series that give a window: for [`Windows::lanes`] if `carry`, otherwise for
    /// [`Windows::shuffled`].
    pub fn rows_needed(seq_len: usize, batch: usize, carry: bool) -> usize {
        seq_len.saturating_mul(if carry { batch } else { 1 }).saturating_add(1)
    }

    /// Windows that are already cut: `x [N,B,T,I]` and `target [N,B,T,O]`, or `[N,B,O]` for the last step only. Step k
    /// takes window k mod N.
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
        let has_holes = has_holes(&target);
        Ok(Self { source: Source::Cut { x, target, count }, seq_len, batch, input, output, last_only, has_holes })
    }

    fn of_series(
        series: Pairs,
        seq_len: usize,
        batch: usize,
        last_only: bool,
        source: impl FnOnce(Pairs) -> Source,
    ) -> Self {
        let (input, output) = (series.x.rows().1, series.target.rows().1);
        let has_holes = has_holes(&series.target);
        Self { source: source(series), seq_len, batch, input, output, last_only, has_holes }
    }

    /// T
    pub fn seq_len(&self) -> usize {
        self.seq_len
    }

    /// B, the largest number of sequences in a step.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// b, the number of sequences in step `k`: B, or fewer in the last step of a shuffled epoch.
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

    /// D, the columns of the target. It is the O of the model if the loss takes one output for each column.
    pub fn output(&self) -> usize {
        self.output
    }

    /// Whether only the last step of a window has a target.
    pub fn last_only(&self) -> bool {
        self.last_only
    }

    /// Steps until every window was used once; `None` for the sine, which never ends.
    pub fn steps_per_epoch(&self) -> Option<u64> {
        match &self.source {
            Source::Sine => None,
            Source::Lanes { walks, .. } => Some(steps_of(walks) as u64),
            Source::Shuffled { order, .. } => Some(order.len().div_ceil(self.batch) as u64),
            Source::Cut { count, .. } => Some(*count as u64),
        }
    }

    /// Whether the state of the step before must not be carried into step `k`: because a series begins (again), or
    /// because windows are shuffled. Windows that were already cut repeat without a new start, as a loop over them in
    /// PyTorch does.
    pub fn starts_again(&self, k: u64) -> bool {
        match &self.source {
            Source::Lanes { walks, .. } => walk_at(walks, k).1 == 0,
            Source::Shuffled { .. } => true,
            Source::Sine | Source::Cut { .. } => k == 0,
        }
    }

    /// The rows that all windows are cut from, x `[.,I]` and target `[.,O]`; `None` if they are computed on the way.
    pub fn rows(&self) -> Option<(&[f32], &[f32])> {
        match &self.source {
            Source::Sine => None,
            Source::Lanes { series, .. } | Source::Shuffled { series, .. } => {
                Some((series.x.data(), series.target.data()))
            }
            Source::Cut { x, target, .. } => Some((x.data(), target.data())),
        }
    }

    /// The rows of [`Windows::rows`] that the window of step `k` is made of: row t of sequence b is row `x[b] + t` of x
    /// and row `target[b] + t` of the target. Returns the number of sequences. Both slices have room for B.
    pub fn starts(&mut self, k: u64, x: &mut [i32], target: &mut [i32]) -> usize {
        let (seq_len, batch) = (self.seq_len, self.batch);
        // row numbers fit into i32: a series comes from a file that fitted into memory, and callers check its length
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
            Source::Lanes { walks, .. } => fill(&mut lanes_at(walks, k, seq_len, batch), x, target),
            Source::Shuffled { starts, seed, order, epoch, .. } => {
                fill(&mut shuffled(order, epoch, starts, *seed, batch, k).iter().copied(), x, target)
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

    /// How many targets of the window of step `k` are there, of all that are not missing. `starts [2·b]` are those of
    /// [`Windows::starts`], for x and then for the target.
    pub fn targets_there(&self, starts: &[i32]) -> usize {
        let (steps, batch) = (if self.last_only { 1 } else { self.seq_len }, starts.len() / 2);
        let Some((_, rows)) = self.rows().filter(|_| self.has_holes) else { return steps * batch * self.output };
        let there = |&start: &i32| {
            let rows = rows.get(start as usize * self.output..).unwrap_or_default();
            rows.iter().take(steps * self.output).filter(|target| !target.is_nan()).count()
        };
        starts.iter().skip(batch).map(there).sum()
    }

    /// Writes the window of step `k`: `x [T,b,I]` and `target [T,b,O]` (`[b,O]` if only the last step counts).
    /// Returns b, which is B, or less in the last step of a shuffled epoch. Both slices have room for B.
    ///
    /// # Panics
    /// If a slice is shorter than that.
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
            Source::Lanes { series, walks } => {
                series.fill(lanes_at(walks, k, seq_len, batch), seq_len, last_only, x, target)
            }
            Source::Shuffled { series, starts, seed, order, epoch } => {
                let starts = shuffled(order, epoch, starts, *seed, batch, k);
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
    /// Writes the windows that start at `starts`, side by side, and returns how many there are.
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

/// Copies window `window` of `[N,B,T,·]` as `[T,B,·]`.
fn copy_time_major(from: &Tensor, window: usize, batch: usize, steps: usize, to: &mut [f32]) {
    let width = from.rows().1;
    let window = &from.data()[window * batch * steps * width..][..batch * steps * width];
    for (i, row) in window.chunks_exact(width).enumerate() {
        let (b, t) = (i / steps, i % steps);
        to[(t * batch + b) * width..][..width].copy_from_slice(row);
    }
}

/// Steps of an epoch.
fn steps_of(walks: &[Walk]) -> usize {
    walks.last().map_or(1, |last| last.first + last.steps)
}

/// The [`Walk`] that step `k` belongs to, and the number of the step within it.
fn walk_at(walks: &[Walk], k: u64) -> (&Walk, usize) {
    let step = (k % steps_of(walks) as u64) as usize;
    let walk = &walks[walks.partition_point(|walk| walk.first <= step) - 1];
    (walk, step - walk.first)
}

/// The first rows of the windows of step `k`, side by side.
fn lanes_at(
    walks: &[Walk],
    k: u64,
    seq_len: usize,
    batch: usize,
) -> impl ExactSizeIterator<Item = usize> + Clone + use<> {
    let (walk, window) = walk_at(walks, k);
    let (first, lane) = (walk.row + window * seq_len, walk.steps * seq_len);
    (0..batch).map(move |b| first + b * lane)
}

/// The first rows of the windows of step `k`; draws a new order when an epoch begins.
fn shuffled<'a>(
    order: &'a mut [usize],
    epoch: &mut Option<u64>,
    starts: &[usize],
    seed: u64,
    batch: usize,
    k: u64,
) -> &'a [usize] {
    let per_epoch = order.len().div_ceil(batch) as u64;
    if *epoch != Some(k / per_epoch) {
        *epoch = Some(k / per_epoch);
        order.copy_from_slice(starts);
        Random::new(seed, Purpose::Order, k / per_epoch).shuffle(order);
    }
    let first = (k % per_epoch) as usize * batch;
    &order[first..order.len().min(first + batch)]
}

/// The rows to train on, and the held-out rows, which follow them.
///
/// # Errors
/// If `held_out` is not a fraction from 0 to below 1.
pub fn split(rows: usize, held_out: f64) -> Result<(Range<usize>, Range<usize>)> {
    if !(0.0..1.0).contains(&held_out) {
        return Err(Error::invalid(format!("val-fraction {held_out:?}: must be at least 0 and below 1")));
    }
    let train = rows - (rows as f64 * held_out).round() as usize;
    Ok((0..train, train..rows))
}

/// Joins series, one after the other. Returns them with the range of rows of each.
fn joined(mut series: Vec<(Tensor, Tensor)>, seq_len: usize, batch: usize) -> Result<(Pairs, Vec<Range<usize>>)> {
    at_least_one("seq-len", seq_len)?;
    at_least_one("batch", batch)?;
    let mut parts = Vec::with_capacity(series.len());
    let (mut end, mut widths) = (0, None);
    for (x, target) in &series {
        let ((rows, input), (target_rows, output)) = (x.rows(), target.rows());
        Error::check_length("target: rows", rows, target_rows)?;
        if rows == 0 {
            return Err(too_few(0, seq_len.saturating_add(1), &format!("a window of {seq_len} rows")));
        }
        let (inputs, outputs) = *widths.get_or_insert((input, output));
        Error::check_length("columns of x of a series", inputs, input)?;
        Error::check_length("columns of the target of a series", outputs, output)?;
        parts.push(end..end + rows);
        end += rows;
    }
    let Some((input, output)) = widths else { return Err(Error::invalid("there is no series to train on")) };
    // a single series, the commonest case, is not copied
    if series.len() == 1
        && let Some((x, target)) = series.pop()
    {
        return Ok((Pairs { x, target }, parts));
    }
    let (mut x, mut target) = (Vec::with_capacity(end * input), Vec::with_capacity(end * output));
    for (x_part, target_part) in &series {
        x.extend_from_slice(x_part.data());
        target.extend_from_slice(target_part.data());
    }
    Ok((Pairs { x: Tensor::new([end, input], x)?, target: Tensor::new([end, output], target)? }, parts))
}

fn has_holes(target: &Tensor) -> bool {
    target.data().iter().any(|target| target.is_nan())
}

fn at_least_one(name: &str, size: usize) -> Result<()> {
    if size == 0 { Err(Error::invalid(format!("{name} 0: must be at least 1"))) } else { Ok(()) }
}

fn too_few(rows: usize, needed: usize, what: &str) -> Error {
    Error::invalid(format!(
        "{rows} rows to train on, but {what} and the value after it need {needed}: take a smaller seq-len or batch, or more data"
    ))
}
