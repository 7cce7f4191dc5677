//! What a network remembers between two time steps. It belongs to the caller.

use crate::error::{Error, Result};
use crate::form::Past;
use crate::lanes::padded;
use crate::math::{all_finite, settle};
use crate::shape::Shape;
use crate::tensor::{Buffer, Tensor};
use crate::units::Units;
use alloc::vec;

/// Hidden state `h [L,B,H]` and, for an LSTM, cell state `c [L,B,H]`, of B sequences, and the last values of those whose model
/// predicts changes. Starts at zero.
#[derive(Debug, Clone)]
pub struct State {
    layers: usize,
    batch: usize,
    hidden: usize,
    /// `[L][B][H padded]`
    pub(crate) h: Buffer,
    /// The same for an LSTM, else empty.
    pub(crate) c: Buffer,
    /// Empty until a model that predicts changes asks for it.
    pub(crate) past: Past,
}

impl State {
    /// Zeros for `batch` sequences.
    pub fn new(shape: &Shape, batch: usize) -> Self {
        let len = shape.layers * batch * padded(shape.hidden);
        let c = Buffer::zeros(if shape.cell.has_c() { len } else { 0 });
        Self { layers: shape.layers, batch, hidden: shape.hidden, h: Buffer::zeros(len), c, past: Past::default() }
    }

    /// B, the number of sequences.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// L, B, H.
    pub(crate) fn dims(&self) -> [usize; 3] {
        [self.layers, self.batch, self.hidden]
    }

    /// Zeros for `batch` sequences, at most as many as the state was made for.
    #[cfg(feature = "std")]
    pub(crate) fn start(&mut self, batch: usize) {
        debug_assert!(self.layers * batch * padded(self.hidden) <= self.h.len());
        self.batch = batch;
        self.reset();
    }

    /// Another number of sequences, at most as many as the state was made for; what they remember comes from elsewhere.
    #[cfg(feature = "cuda")]
    pub(crate) fn set_batch(&mut self, batch: usize) {
        debug_assert!(self.layers * batch * padded(self.hidden) <= self.h.len());
        self.batch = batch;
    }

    /// The same as `other`, a state of the same network.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.h.copy_from_slice(&other.h);
        self.c.copy_from_slice(&other.c);
        self.past.follow(&other.past);
    }

    /// The last values that `units` needs, with room made for them if there is none yet.
    pub(crate) fn past_of(&mut self, units: &Units) -> &mut Past {
        if !units.has(&self.past, self.batch) {
            self.past = units.past(self.batch);
        }
        &mut self.past
    }

    /// Whether every value is finite.
    pub(crate) fn is_finite(&self) -> bool {
        all_finite(&self.h) && all_finite(&self.c)
    }

    /// Back to zero.
    pub fn reset(&mut self) {
        self.h.fill(0.0);
        self.c.fill(0.0);
        self.past.reset();
    }

    /// The last values of the predicted columns, oldest first, `[lag,B,D]`; `None` where the model predicts no changes or no
    /// row came yet. D is how many columns are predicted, lag how many rows before a value is the one it is held against.
    pub fn past(&self) -> Option<Tensor> {
        let rows = self.past.rows()?;
        let lag = self.past.lag();
        Tensor::new([lag, self.batch, rows.len() / (lag * self.batch).max(1)], rows).ok()
    }

    /// Takes the last values, as [`State::past`] gives them, for `units`.
    ///
    /// # Errors
    /// If there are not lag·B·D values.
    pub fn set_past(&mut self, units: &Units, past: &[f32]) -> Result<()> {
        self.past_of(units).set_rows(past)
    }

    /// `h [L,B,H]`.
    pub fn h(&self) -> Tensor {
        self.unpadded(&self.h)
    }

    /// `c [L,B,H]` of an LSTM.
    pub fn c(&self) -> Option<Tensor> {
        (!self.c.is_empty()).then(|| self.unpadded(&self.c))
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
        let expected = if self.c.is_empty() { 0 } else { self.layers * self.batch * self.hidden };
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
