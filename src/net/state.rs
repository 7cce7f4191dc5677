//! What a network remembers between two time steps. It belongs to the caller.

use crate::error::{Error, Result};
use crate::net::shape::Shape;
use crate::simd::lanes::padded;
use crate::simd::math::{all_finite, settle};
use crate::tensor::{Buffer, Tensor};
use crate::units::Units;
use crate::units::transform::Past;
use alloc::{format, vec};

/// Hidden state `h [L,B,H]` and, for an LSTM, cell state `c [L,B,H]`, of B sequences. If the model predicts changes,
/// also their last values. Starts at zero.
#[derive(Debug, Clone)]
pub struct State {
    layers: usize,
    batch: usize,
    hidden: usize,
    /// Whether the cell has a `c`.
    has_c: bool,
    /// `[L][B][H padded]`
    pub(crate) h: Buffer,
    /// The same for an LSTM, else empty.
    pub(crate) c: Buffer,
    /// Empty until a model that predicts changes asks for it.
    pub(crate) past: Past,
}

impl State {
    /// Zeros for `batch` sequences.
    ///
    /// # Panics
    /// If there are more values than a `usize` can count (as with a `Vec`), or the memory cannot be allocated.
    pub fn new(shape: &Shape, batch: usize) -> Self {
        let len = (shape.layers * padded(shape.hidden)).checked_mul(batch).expect("capacity overflow");
        Self::of(shape, batch, Buffer::zeros(len), Buffer::zeros(if shape.cell.has_c() { len } else { 0 }))
    }

    /// The same, where the sizes come from outside.
    ///
    /// # Errors
    /// If the memory cannot be allocated.
    pub(crate) fn try_new(shape: &Shape, batch: usize) -> Result<Self> {
        let len = (shape.layers * padded(shape.hidden)).saturating_mul(batch);
        let (h, c) = (Buffer::try_zeros(len)?, Buffer::try_zeros(if shape.cell.has_c() { len } else { 0 })?);
        Ok(Self::of(shape, batch, h, c))
    }

    fn of(shape: &Shape, batch: usize, h: Buffer, c: Buffer) -> Self {
        let (layers, hidden, has_c) = (shape.layers, shape.hidden, shape.cell.has_c());
        Self { layers, batch, hidden, has_c, h, c, past: Past::default() }
    }

    /// B, the number of sequences.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// H.
    #[inline]
    pub(crate) fn hidden(&self) -> usize {
        self.hidden
    }

    /// L, B, H.
    pub(crate) fn dims(&self) -> [usize; 3] {
        [self.layers, self.batch, self.hidden]
    }

    /// Whether it is a state of networks of `shape`: its layers, units, and a `c` if the cell has one.
    pub(crate) fn is_of(&self, shape: &Shape) -> bool {
        (self.layers, self.hidden) == (shape.layers, shape.hidden) && self.has_c == shape.cell.has_c()
    }

    /// `Ok` if it is the state of `batch` sequences of a model of `shape` with `units`. A state that has seen no row
    /// yet has no last values, and fits any units.
    ///
    /// # Errors
    /// If it is not. The message names what is expected and what it is.
    pub(crate) fn check(&self, shape: &Shape, units: Option<&Units>, batch: usize) -> Result<()> {
        let (expected, got) = ([shape.layers, batch, shape.hidden], self.dims());
        if expected != got {
            return Err(Error::invalid(format!("state: expected h of the shape {expected:?} (L,B,H), got {got:?}")));
        }
        if self.has_c != shape.cell.has_c() {
            let (cell, other) = if self.has_c { ("no", "has one") } else { ("a", "has none") };
            return Err(Error::invalid(format!(
                "state: cell {} has {cell} c [L,B,H], and this state {other}; take one of a network with this cell",
                shape.cell.name()
            )));
        }
        match units.filter(|units| units.transform().lag() > 0 && self.past.oldest().is_some()) {
            Some(units) if !units.has(&self.past, batch) => Err(Error::invalid(format!(
                "state: its last values are for {:?} of columns {}, and the model predicts {:?} of {}; take the state of a \
                 model that predicts the same",
                self.past.transform(),
                self.past.columns(batch),
                units.transform(),
                units.columns().len()
            ))),
            _ => Ok(()),
        }
    }

    /// Zeros for `batch` sequences, at most as many as the state was made for.
    #[cfg(feature = "std")]
    pub(crate) fn start(&mut self, batch: usize) {
        debug_assert!(self.layers * batch * padded(self.hidden) <= self.h.len());
        self.batch = batch;
        self.reset();
    }

    /// Sets another number of sequences, at most as many as the state was made for. The caller then fills in their
    /// values.
    #[cfg(feature = "cuda")]
    pub(crate) fn set_batch(&mut self, batch: usize) {
        debug_assert!(self.layers * batch * padded(self.hidden) <= self.h.len());
        self.batch = batch;
    }

    /// Copies `other`, a state of the same network and of as many sequences, which may have been made for more.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        let (h, c) = (self.h.len(), self.c.len());
        self.h.copy_from_slice(&other.h[..h]);
        self.c.copy_from_slice(&other.c[..c]);
        self.past.follow(&other.past);
    }

    /// The last values that `units` needs, with room made for them if there is none yet.
    pub(crate) fn past_of(&mut self, units: &Units) -> &mut Past {
        if !(units.has(&self.past, self.batch) && self.past.is_of(units.fitted())) {
            // those of a model that predicts the same from other autoregressions stay
            let before = core::mem::replace(&mut self.past, units.past(self.batch));
            self.past.follow(&before);
        }
        &mut self.past
    }

    /// Sets numbers that count as zero to zero, as every step on a processor does.
    pub(crate) fn settle(&mut self) {
        settle(&mut self.h);
        settle(&mut self.c);
    }

    /// Whether every value is finite.
    pub(crate) fn is_finite(&self) -> bool {
        all_finite(&self.h) && all_finite(&self.c)
    }

    /// Sets everything to zero.
    pub fn reset(&mut self) {
        self.h.fill(0.0);
        self.c.fill(0.0);
        self.past.reset();
    }

    /// The last values of the predicted columns, oldest first, `[lag,B,D]`; `None` if the model predicts no changes or
    /// has seen no row yet. D is the number of predicted columns, and a change is taken from the value `lag` rows
    /// before.
    pub fn past(&self) -> Option<Tensor<f64>> {
        let rows = self.past.rows()?;
        let lag = self.past.lag();
        Tensor::new([lag, self.batch, rows.len() / (lag * self.batch).max(1)], rows).ok()
    }

    /// Takes the last values, as [`State::past`] gives them, for `units`: those of a model of the state's shape.
    ///
    /// # Errors
    /// If there are not lag·B·D values; the last values then stay unchanged.
    pub fn set_past(&mut self, units: &Units, past: &[f64]) -> Result<()> {
        // checked before memory for so many values is taken
        let expected = units.transform().lag().saturating_mul(self.batch).saturating_mul(units.columns().len());
        Error::check_length("past [lag,B,D]", expected, past.len())?;
        let mut read = units.past(self.batch);
        read.set_rows(past)?;
        self.past = read;
        Ok(())
    }

    /// `h [L,B,H]`.
    pub fn h(&self) -> Tensor {
        self.unpadded(&self.h)
    }

    /// `c [L,B,H]` of an LSTM.
    pub fn c(&self) -> Option<Tensor> {
        self.has_c.then(|| self.unpadded(&self.c))
    }

    /// Takes `h [L,B,H]`, row after row; what is smaller than 2^-95 becomes zero, as it does in every step.
    ///
    /// # Errors
    /// If there are not L·B·H values.
    pub fn set_h(&mut self, h: &[f32]) -> Result<()> {
        Error::check_length("h [L,B,H]", self.layers * self.batch * self.hidden, h.len())?;
        copy_rows(h, self.hidden, &mut self.h);
        Ok(())
    }

    /// Takes `c [L,B,H]`, row after row, as [`State::set_h`] does.
    ///
    /// # Errors
    /// If there are not L·B·H values, or the cell has no `c`.
    pub fn set_c(&mut self, c: &[f32]) -> Result<()> {
        if !self.has_c && !c.is_empty() {
            return Err(Error::invalid("c [L,B,H]: the cell has no c; take the state of a network with this cell"));
        }
        let expected = if self.has_c { self.layers * self.batch * self.hidden } else { 0 };
        Error::check_length("c [L,B,H]", expected, c.len())?;
        copy_rows(c, self.hidden, &mut self.c);
        Ok(())
    }

    fn unpadded(&self, rows: &[f32]) -> Tensor {
        let mut out = Tensor::zeros(vec![self.layers, self.batch, self.hidden]);
        for (to, from) in out.data_mut().chunks_exact_mut(self.hidden).zip(rows.chunks_exact(padded(self.hidden))) {
            to.copy_from_slice(&from[..self.hidden]);
        }
        out
    }
}

/// Rows of `width` values into padded rows.
fn copy_rows(from: &[f32], width: usize, to: &mut [f32]) {
    for (from, to) in from.chunks_exact(width).zip(to.chunks_exact_mut(padded(width))) {
        to[..width].copy_from_slice(from);
    }
    settle(to);
}
