//! The parts of a learner that change from tick to tick.

use super::guard::Guard;
use super::moments::Moments;
use crate::error::{Error, Result};
use crate::memory;
use crate::net::shape::Shape;
use crate::net::state::State;
use crate::simd::math::all_finite;
use crate::tensor::Buffer;
use crate::units::transform::Past;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::ops::Range;
use serde::{Deserialize, Serialize};

/// The state of a [`Learner`](super::Learner) at some time. A learner with the same model, options and snapshot
/// continues to the same bits.
///
/// It consists of plain numbers that can be written to a file: [`Snapshot::numbers`] (serde), [`Snapshot::buffers`] and
/// [`Snapshot::raw_values`]. To read it back, take a snapshot of a new learner, fill in all three, and restore it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The weights, packed like those of the model.
    pub(super) params: Buffer,
    /// The first moment, the second moment and its maximum; empty for those that the optimiser does not keep.
    pub(super) moments: [Buffer; 3],
    pub(super) state: State,
    pub(super) rows: Rows,
    pub(super) good: Good,
    /// The last values of the columns whose changes are predicted; and the values that the next actual changes are
    /// taken from.
    pub(super) past: Past,
    pub(super) before: Vec<f64>,
    /// Everything that is not an array.
    pub numbers: Numbers,
}

/// The single numbers of a [`Snapshot`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Numbers {
    /// Ticks that are over.
    pub ticks: u64,
    /// Updates made, including those that were taken back.
    pub updates: u64,
    /// How often weights were taken back.
    pub rollbacks: u64,
    /// The optimiser's count of updates of the current weights.
    pub step: u64,
    /// The same for the last good weights.
    pub good_step: u64,
    /// Updates since the weights were last compared with the good ones.
    pub(super) since_check: u64,
    /// Predictions with a known actual value since the last update.
    pub(super) since: usize,
    /// The place in the ring for the row of the current tick, or of the next tick if none is running.
    pub(super) next: usize,
    /// The number of rows before it, one after the other, up to K.
    pub(super) rows: usize,
    /// The newest row, whose actual values are not known yet.
    pub(super) waiting: Option<usize>,
    /// Whether the prediction of the current tick was made, but the tick is not over.
    pub(super) asked: bool,
    /// Whether weights were taken back and the caller does not know yet.
    pub(super) untold: bool,
    /// Whether the learner is paused.
    pub paused: bool,
    pub(super) guard: Guard,
    /// Moments of raw x and y, if the scalers adapt.
    pub(super) scaling: Option<(Moments, Moments)>,
    /// The oldest row of the past; `None` before the first row.
    pub(super) past: Option<usize>,
}

/// The largest count that is plausible: at a nanosecond each it takes a hundred days. Sums of a few of them do not
/// overflow.
const MOST: u64 = 1 << 53;

impl Numbers {
    /// Whether every count is plausible, so that adding to it cannot overflow.
    fn is_sound(&self) -> bool {
        let Self { ticks, updates, rollbacks, step, good_step, since_check, since, .. } = *self;
        [ticks, updates, rollbacks, step, good_step, since_check].iter().all(|&count| count <= MOST)
            && since as u64 <= MOST
            && self.guard.is_sound(MOST)
    }
}

/// The last good weights, and what belongs to them.
#[derive(Debug, Clone)]
pub struct Good {
    pub params: Buffer,
    pub moments: [Buffer; 3],
    /// Their state after the last row.
    pub state: State,
    /// Their output for the last row, in the network's units.
    pub y: Buffer,
}

/// A ring of the last rows. Each has its x, the state before it, the prediction, and the actual values once they are
/// known.
#[derive(Debug, Clone)]
pub struct Rows {
    /// `[K+1][I]`, after the target transform, not scaled
    pub x: Vec<f64>,
    /// `[K+1][O]`, in the network's units
    pub y: Buffer,
    /// `[K+1][D]`, after the target transform, not scaled; NaN for unknown values
    pub truth: Vec<f64>,
    /// `[K+1][L][Hp]`
    pub h: Buffer,
    /// The same for the c of an LSTM; empty for other cells.
    pub c: Buffer,
    /// K + 1: a window and the row of the current tick.
    pub count: usize,
}

impl Rows {
    pub fn new(shape: &Shape, targets: usize, window: usize, state: &State) -> Result<Self> {
        let count = window + 1;
        let many = |len: usize| Buffer::try_zeros(count * len);
        let raw = |len: usize| {
            let refused = |refused: memory::Refused| Error::invalid(refused.to_string());
            let mut values = memory::room(count * len).map_err(refused)?;
            values.resize(count * len, 0.0);
            Ok::<Vec<f64>, Error>(values)
        };
        let out = shape.width_out();
        Ok(Self {
            x: raw(shape.input)?,
            y: many(out)?,
            truth: raw(targets)?,
            h: many(state.h.len())?,
            c: many(state.c.len())?,
            count,
        })
    }

    fn at<V>(&self, values: &[V], row: usize) -> Range<usize> {
        let width = values.len() / self.count;
        row * width..(row + 1) * width
    }

    pub fn x(&self, row: usize) -> &[f64] {
        &self.x[self.at(&self.x, row)]
    }

    pub fn x_mut(&mut self, row: usize) -> &mut [f64] {
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

    pub fn truth(&self, row: usize) -> &[f64] {
        &self.truth[self.at(&self.truth, row)]
    }

    pub fn truth_mut(&mut self, row: usize) -> &mut [f64] {
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

    /// Copies a row over another one, without the state before it.
    pub fn copy(&mut self, from: usize, to: usize) {
        let (x, y, truth) = (self.at(&self.x, from), self.at(&self.y, from), self.at(&self.truth, from));
        let places = (self.at(&self.x, to), self.at(&self.y, to), self.at(&self.truth, to));
        self.x.copy_within(x, places.0.start);
        self.y.copy_within(y, places.1.start);
        self.truth.copy_within(truth, places.2.start);
    }
}

impl Snapshot {
    /// Every array with its name. For the same shape and options they are always the same arrays in the same order.
    /// Their layout is internal to the library.
    pub fn buffers(&self) -> Vec<(&'static str, &[f32])> {
        let Self { params, moments: [m, v, v_max], state, rows, good, .. } = self;
        let [good_m, good_v, good_v_max] = &good.moments;
        let all = [
            params,
            m,
            v,
            v_max,
            &state.h,
            &state.c,
            &rows.y,
            &rows.h,
            &rows.c,
            &good.params,
            good_m,
            good_v,
            good_v_max,
            &good.state.h,
            &good.state.c,
            &good.y,
        ];
        NAMES.into_iter().zip(all.map(|buffer| &buffer[..])).collect()
    }

    /// Every array of raw values with its name, in the same way.
    pub fn raw_values(&self) -> [(&'static str, &[f64]); 4] {
        let Self { rows, past, before, .. } = self;
        [("rows.x", &rows.x), ("rows.truth", &rows.truth), ("before", before), ("past", past.values())]
    }

    /// The same arrays, to write to.
    pub fn raw_values_mut(&mut self) -> [(&'static str, &mut [f64]); 4] {
        let Self { rows, past, before, .. } = self;
        [("rows.x", &mut rows.x), ("rows.truth", &mut rows.truth), ("before", before), ("past", past.values_mut())]
    }

    /// The same arrays, to write to.
    pub fn buffers_mut(&mut self) -> Vec<(&'static str, &mut [f32])> {
        let Self { params, moments: [m, v, v_max], state, rows, good, .. } = self;
        let [good_m, good_v, good_v_max] = &mut good.moments;
        let all = [
            params,
            m,
            v,
            v_max,
            &mut state.h,
            &mut state.c,
            &mut rows.y,
            &mut rows.h,
            &mut rows.c,
            &mut good.params,
            good_m,
            good_v,
            good_v_max,
            &mut good.state.h,
            &mut good.state.c,
            &mut good.y,
        ];
        NAMES.into_iter().zip(all.map(|buffer| &mut buffer[..])).collect()
    }

    /// `Ok` if `other` can replace this snapshot.
    pub(super) fn check(&self, other: &Self) -> Result<()> {
        let lengths = |one: &Self| {
            let raw = one.raw_values().map(|(name, values)| (name, values.len()));
            let buffers = one.buffers().into_iter().map(|(name, values)| (name, values.len()));
            raw.into_iter().chain(buffers).collect::<Vec<_>>()
        };
        for ((name, here), (_, there)) in lengths(self).into_iter().zip(lengths(other)) {
            if here != there {
                return Err(Error::invalid(format!(
                    "snapshot: {name} has {there} values, this learner {here}: it is of another model or other options"
                )));
            }
        }
        for (name, moments) in other.buffers() {
            let least = match name.trim_start_matches("good.") {
                "m" => f32::MIN,
                // means of squares are not negative
                "v" | "v_max" => 0.0,
                _ => continue,
            };
            if !moments.iter().all(|value| (least..=f32::MAX).contains(value)) {
                return Err(Error::invalid(format!(
                    "snapshot: {name} holds values that no optimiser keeps; it is damaged, begin again from the model"
                )));
            }
        }
        if self.past.transform() != other.past.transform() {
            let (here, there) = (self.past.transform(), other.past.transform());
            return Err(Error::invalid(format!(
                "snapshot: its model has the target transform {there:?}, this one has {here:?}"
            )));
        }
        let (numbers, count) = (&other.numbers, self.rows.count);
        let columns = |pair: &Option<(Moments, Moments)>| {
            let wide = |m: &Moments| [m.mean.len(), m.variance.len(), m.least.len()];
            pair.as_ref().map(|(x, y)| [wide(x), wide(y)])
        };
        if columns(&self.numbers.scaling) != columns(&numbers.scaling) {
            let adapt = |scaling: &Option<(Moments, Moments)>| {
                if scaling.is_some() { "with" } else { "without" }
            };
            let (here, there) = (adapt(&self.numbers.scaling), adapt(&numbers.scaling));
            return Err(Error::invalid(format!(
                "snapshot: it is of a learner {there} `adapt`, or of other columns, and this one is {here}; give the same option"
            )));
        }
        let looks_back = numbers.past.is_none_or(|oldest| oldest < self.past.lag().max(1));
        let placed = looks_back && numbers.next < count && numbers.rows < count;
        let waits = numbers.waiting.is_none_or(|row| row < count && numbers.rows > 0);
        let sound = numbers.scaling.as_ref().is_none_or(|(x, y)| x.is_sound() && y.is_sound());
        let finite = [&other.params, &other.good.params].into_iter().all(|params| all_finite(params))
            && [&other.state, &other.good.state].into_iter().all(State::is_finite);
        if !(placed && waits && sound && finite && numbers.is_sound()) {
            return Err(Error::invalid(
                "snapshot: its counters fit no learner of this model and these options; it is damaged, or of another model",
            ));
        }
        Ok(())
    }

    /// Copies `other`, which must have been checked.
    pub(super) fn copy_from(&mut self, other: &Self) {
        for ((_, to), (_, from)) in self.buffers_mut().into_iter().zip(other.buffers()) {
            to.copy_from_slice(from);
        }
        for ((_, to), (_, from)) in self.raw_values_mut().into_iter().zip(other.raw_values()) {
            to.copy_from_slice(from);
        }
        self.numbers.clone_from(&other.numbers);
        self.past.set_oldest(self.numbers.past);
    }

    /// Keeps the current weights as the good ones, with the state.
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

/// The names of [`Snapshot::buffers`].
const NAMES: [&str; 16] = [
    "params",
    "m",
    "v",
    "v_max",
    "h",
    "c",
    "rows.y",
    "rows.h",
    "rows.c",
    "good.params",
    "good.m",
    "good.v",
    "good.v_max",
    "good.h",
    "good.c",
    "good.y",
];
