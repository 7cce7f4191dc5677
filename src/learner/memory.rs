//! All of a learner that changes from tick to tick.

use super::guard::Guard;
use super::moments::Moments;
use crate::error::{Error, Result};
use crate::net::shape::Shape;
use crate::net::state::State;
use crate::simd::math::all_finite;
use crate::tensor::Buffer;
use crate::units::transform::Past;
use alloc::format;
use alloc::vec::Vec;
use core::ops::Range;
use serde::{Deserialize, Serialize};

/// What a [`Learner`](super::Learner) was at some time: with the same model, options and snapshot it goes on to the same bits.
///
/// It is plain numbers, so that whoever writes files can write it: [`Snapshot::numbers`] (serde) and
/// [`Snapshot::buffers`]. To read one back, take a snapshot of a learner just made, fill in both, and restore it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The weights, packed as the model's.
    pub(super) params: Buffer,
    /// First moment, second moment, its maximum; empty where the optimiser has none.
    pub(super) moments: [Buffer; 3],
    pub(super) state: State,
    pub(super) rows: Rows,
    pub(super) good: Good,
    /// The last values of the columns of which changes are predicted, and those that the truth which comes next is held against.
    pub(super) past: Past,
    pub(super) before: Buffer,
    /// All that is no array of f32.
    pub numbers: Numbers,
}

/// The single numbers of a [`Snapshot`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Numbers {
    /// Ticks that are over.
    pub ticks: u64,
    /// Updates made, those that were taken back among them.
    pub updates: u64,
    /// How often weights were taken back.
    pub rollbacks: u64,
    /// The optimiser's count of updates of the weights at hand.
    pub step: u64,
    /// The same of the last good ones.
    pub good_step: u64,
    /// Updates since the weights were last held against the good ones.
    pub(super) since_check: u64,
    /// Answers with a truth since the last update.
    pub(super) since: usize,
    /// Where the row of the next tick goes, or of the tick at hand.
    pub(super) next: usize,
    /// How many there are before it, one after the other, up to K.
    pub(super) rows: usize,
    /// The row whose truth has not come, the newest.
    pub(super) waiting: Option<usize>,
    /// Whether the tick at hand was answered, and is not over.
    pub(super) asked: bool,
    /// Whether weights were taken back and nobody has been told.
    pub(super) untold: bool,
    /// Whether the learner is paused.
    pub paused: bool,
    pub(super) guard: Guard,
    /// Moments of raw x and y, if the scalers follow them.
    pub(super) scaling: Option<(Moments, Moments)>,
    /// The oldest row of the past, once one came.
    pub(super) past: Option<usize>,
}

/// The largest count that makes sense: at a nanosecond each it takes a hundred days, and sums of a few do not wrap.
const MOST: u64 = 1 << 53;

impl Numbers {
    /// Whether every count can be what it is said to be, so that adding to it is always possible.
    fn is_sound(&self) -> bool {
        let Self { ticks, updates, rollbacks, step, good_step, since_check, since, .. } = *self;
        [ticks, updates, rollbacks, step, good_step, since_check].iter().all(|&count| count <= MOST)
            && since as u64 <= MOST
            && self.guard.is_sound(MOST)
    }
}

/// The last weights that were good, and what belongs to them.
#[derive(Debug, Clone)]
pub struct Good {
    pub params: Buffer,
    pub moments: [Buffer; 3],
    /// Theirs, after the last row.
    pub state: State,
    /// Their answer to it, in the network's units.
    pub y: Buffer,
}

/// The last rows, round and round: for each x and the state before it, the answer, and the truth once it has come.
#[derive(Debug, Clone)]
pub struct Rows {
    /// `[K+1][I]`, raw, but in the form that is predicted
    pub x: Buffer,
    /// `[K+1][O]`, in the network's units
    pub y: Buffer,
    /// `[K+1][D]`, in that form as well; NaN for what did not come
    pub truth: Buffer,
    /// `[K+1][L][Hp]`
    pub h: Buffer,
    /// The same of an LSTM, else empty.
    pub c: Buffer,
    /// K + 1: a window, and the row of the tick at hand.
    pub count: usize,
}

impl Rows {
    pub fn new(shape: &Shape, targets: usize, window: usize, state: &State) -> Result<Self> {
        let count = window + 1;
        let many = |len: usize| Buffer::try_zeros(count * len);
        let out = shape.width_out();
        Ok(Self {
            x: many(shape.input)?,
            y: many(out)?,
            truth: many(targets)?,
            h: many(state.h.len())?,
            c: many(state.c.len())?,
            count,
        })
    }

    fn at(&self, values: &Buffer, row: usize) -> Range<usize> {
        let width = values.len() / self.count;
        row * width..(row + 1) * width
    }

    pub fn x(&self, row: usize) -> &[f32] {
        &self.x[self.at(&self.x, row)]
    }

    pub fn set_x(&mut self, row: usize, x: &[f32]) {
        let at = self.at(&self.x, row);
        self.x[at].copy_from_slice(x);
    }

    pub fn x_mut(&mut self, row: usize) -> &mut [f32] {
        let at = self.at(&self.x, row);
        &mut self.x[at]
    }

    pub fn y(&self, row: usize) -> &[f32] {
        &self.y[self.at(&self.y, row)]
    }

    pub fn set_y(&mut self, row: usize, y: &[f32]) {
        let at = self.at(&self.y, row);
        self.y[at].copy_from_slice(y);
    }

    pub fn truth(&self, row: usize) -> &[f32] {
        &self.truth[self.at(&self.truth, row)]
    }

    pub fn truth_mut(&mut self, row: usize) -> &mut [f32] {
        let at = self.at(&self.truth, row);
        &mut self.truth[at]
    }

    /// Keeps `state` as the one before a row.
    pub fn keep_state(&mut self, row: usize, state: &State) {
        let (h, c) = (self.at(&self.h, row), self.at(&self.c, row));
        self.h[h].copy_from_slice(&state.h);
        self.c[c].copy_from_slice(&state.c);
    }

    /// The state before a row.
    pub fn give_state(&self, row: usize, state: &mut State) {
        state.h.copy_from_slice(&self.h[self.at(&self.h, row)]);
        state.c.copy_from_slice(&self.c[self.at(&self.c, row)]);
    }

    /// Replaces a row by another; not the state before it.
    pub fn copy(&mut self, from: usize, to: usize) {
        for values in [&mut self.x, &mut self.y, &mut self.truth] {
            let width = values.len() / self.count;
            values.copy_within(from * width..(from + 1) * width, to * width);
        }
    }
}

impl Snapshot {
    /// Every array with its name, always the same ones in the same order for a shape and options. Layouts are the library's own.
    pub fn buffers(&self) -> Vec<(&'static str, &[f32])> {
        let Self { params, moments: [m, v, v_max], state, rows, good, past, before, .. } = self;
        let [good_m, good_v, good_v_max] = &good.moments;
        let all = [
            params,
            m,
            v,
            v_max,
            &state.h,
            &state.c,
            &rows.x,
            &rows.y,
            &rows.truth,
            &rows.h,
            &rows.c,
            &good.params,
            good_m,
            good_v,
            good_v_max,
            &good.state.h,
            &good.state.c,
            &good.y,
            before,
        ];
        let all = all.map(|buffer| &buffer[..]).into_iter().chain([past.values()]);
        NAMES.into_iter().zip(all).collect()
    }

    /// The same to write to.
    pub fn buffers_mut(&mut self) -> Vec<(&'static str, &mut [f32])> {
        let Self { params, moments: [m, v, v_max], state, rows, good, past, before, .. } = self;
        let [good_m, good_v, good_v_max] = &mut good.moments;
        let all = [
            params,
            m,
            v,
            v_max,
            &mut state.h,
            &mut state.c,
            &mut rows.x,
            &mut rows.y,
            &mut rows.truth,
            &mut rows.h,
            &mut rows.c,
            &mut good.params,
            good_m,
            good_v,
            good_v_max,
            &mut good.state.h,
            &mut good.state.c,
            &mut good.y,
            before,
        ];
        let all = all.map(|buffer| &mut buffer[..]).into_iter().chain([past.values_mut()]);
        NAMES.into_iter().zip(all).collect()
    }

    /// `Ok` if `other` can take the place of this one.
    pub(super) fn check(&self, other: &Self) -> Result<()> {
        for ((name, here), (_, there)) in self.buffers().into_iter().zip(other.buffers()) {
            if here.len() != there.len() {
                let (here, there) = (here.len(), there.len());
                return Err(Error::invalid(format!(
                    "snapshot: {name} has {there} values, this learner {here}: of another model or other options"
                )));
            }
        }
        for (name, moments) in other.buffers() {
            let least = match name.trim_start_matches("good.") {
                "m" => f32::MIN,
                // means of squares
                "v" | "v_max" => 0.0,
                _ => continue,
            };
            if !moments.iter().all(|value| (least..=f32::MAX).contains(value)) {
                return Err(Error::invalid(format!(
                    "snapshot: {name} holds what no optimiser keeps: learning would end"
                )));
            }
        }
        if self.past.transform() != other.past.transform() {
            let (here, there) = (self.past.transform(), other.past.transform());
            return Err(Error::invalid(format!("snapshot: of a model that says {there:?}, this one says {here:?}")));
        }
        let (numbers, count) = (&other.numbers, self.rows.count);
        let columns = |pair: &Option<(Moments, Moments)>| {
            let wide = |m: &Moments| [m.mean.len(), m.variance.len(), m.least.len()];
            pair.as_ref().map(|(x, y)| [wide(x), wide(y)])
        };
        if columns(&self.numbers.scaling) != columns(&numbers.scaling) {
            let adapt = |scaling: &Option<(Moments, Moments)>| {
                if scaling.is_some() { "adapts its scalers" } else { "does not" }
            };
            let (here, there) = (adapt(&self.numbers.scaling), adapt(&numbers.scaling));
            return Err(Error::invalid(format!(
                "snapshot: of a learner that {there}, or has other columns; this one {here}: give the same option `adapt`"
            )));
        }
        let looks_back = numbers.past.is_none_or(|oldest| oldest < self.past.lag().max(1));
        let placed = looks_back && numbers.next < count && numbers.rows < count;
        let waits = numbers.waiting.is_none_or(|row| row < count && numbers.rows > 0);
        let sound = numbers.scaling.as_ref().is_none_or(|(x, y)| x.is_sound() && y.is_sound());
        let finite = [&other.params, &other.good.params].into_iter().all(|params| all_finite(params))
            && [&other.state, &other.good.state].into_iter().all(State::is_finite);
        if !(placed && waits && sound && finite && numbers.is_sound()) {
            return Err(Error::invalid("snapshot: its numbers fit no learner of this model and these options"));
        }
        Ok(())
    }

    /// Becomes `other`, which was checked.
    pub(super) fn copy_from(&mut self, other: &Self) {
        for ((_, to), (_, from)) in self.buffers_mut().into_iter().zip(other.buffers()) {
            to.copy_from_slice(from);
        }
        self.numbers.clone_from(&other.numbers);
        self.past.set_oldest(self.numbers.past);
    }

    /// Keeps the present weights as good ones, with the state.
    pub(super) fn keep(&mut self) {
        self.good.params.copy_from_slice(&self.params);
        for (good, moments) in self.good.moments.iter_mut().zip(&self.moments) {
            good.copy_from_slice(moments);
        }
        self.good.state.copy_from(&self.state);
        self.numbers.good_step = self.numbers.step;
        self.numbers.since_check = 0;
    }

    /// Takes the good weights back, with their state.
    pub(super) fn take_back(&mut self) {
        self.params.copy_from_slice(&self.good.params);
        for (moments, good) in self.moments.iter_mut().zip(&self.good.moments) {
            moments.copy_from_slice(good);
        }
        self.state.copy_from(&self.good.state);
        self.numbers.step = self.numbers.good_step;
        self.numbers.since_check = 0;
        self.numbers.rollbacks += 1;
    }
}

/// Those of [`Snapshot::buffers`].
const NAMES: [&str; 20] = [
    "params",
    "m",
    "v",
    "v_max",
    "h",
    "c",
    "rows.x",
    "rows.y",
    "rows.truth",
    "rows.h",
    "rows.c",
    "good.params",
    "good.m",
    "good.v",
    "good.v_max",
    "good.h",
    "good.c",
    "good.y",
    "before",
    "past",
];
