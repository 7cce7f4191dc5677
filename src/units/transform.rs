//! The form that a network sees a series in: values, or how they change; and the values from before that this takes.

use crate::error::{Error, Result};
use crate::tensor::touch;
use alloc::{format, vec, vec::Vec};
use serde::{Deserialize, Serialize};

/// What of a predicted column the network sees and says. The runtime adds back what was taken away, so what goes in and
/// comes out are values all the same.
///
/// A network that says changes and knows nothing says none, which is the last value (of a season ago): it cannot drift away
/// from a series that grows beyond all it was trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "as")]
pub enum TargetTransform {
    /// The value itself.
    #[default]
    Value,
    /// `v[t] - v[t-1]`
    Change,
    /// `(v[t] - v[t-1]) / |v[t-1]|`, and 0 where `v[t-1]` is 0: up is up below zero as well, and quantiles keep their order.
    RelativeChange,
    /// `v[t] - v[t-season]`
    SeasonalChange {
        /// Rows from one value to the one it is held against, at least 1.
        season: usize,
    },
}

impl TargetTransform {
    /// The longest season, in rows.
    pub const LONGEST: usize = 1 << 20;

    /// The form itself, if its season is one.
    ///
    /// # Errors
    /// If the season is 0 or longer than [`TargetTransform::LONGEST`].
    pub fn checked(self) -> Result<Self> {
        match self {
            Self::SeasonalChange { season } if season == 0 || season > Self::LONGEST => {
                Err(Error::invalid(format!("season {season}: must be between 1 and {} rows", Self::LONGEST)))
            }
            transform => Ok(transform),
        }
    }

    /// Rows between a value and the one before that it is held against; 0 for values themselves.
    pub fn lag(self) -> usize {
        match self {
            Self::Value => 0,
            Self::Change | Self::RelativeChange => 1,
            Self::SeasonalChange { season } => season,
        }
    }

    /// What the network sees of the value `now`; `before` came [`TargetTransform::lag`] rows earlier.
    #[inline]
    pub fn of(self, before: f32, now: f32) -> f32 {
        match self {
            Self::Value => now,
            Self::Change | Self::SeasonalChange { .. } => now - before,
            Self::RelativeChange if before == 0.0 => 0.0,
            Self::RelativeChange => (now - before) / libm::fabsf(before),
        }
    }

    /// The value that the network means by `predicted`.
    #[inline]
    pub fn value(self, before: f32, predicted: f32) -> f32 {
        match self {
            Self::Value => predicted,
            Self::Change | Self::SeasonalChange { .. } => before + predicted,
            Self::RelativeChange => before + libm::fabsf(before) * predicted,
        }
    }
}

/// The last values of the predicted columns, of each of B sequences: a ring of [`TargetTransform::lag`] rows. Part of a
/// [`State`](crate::net::state::State).
///
/// Before its first row a sequence is taken to have been constant, so its first change is 0.
#[derive(Debug, Clone, Default)]
pub(crate) struct Past {
    transform: TargetTransform,
    /// `[lag][B][D]`
    values: Vec<f32>,
    /// B·D
    row: usize,
    /// The oldest row of the ring, which the next one replaces.
    oldest: usize,
    /// Whether a row came since the start.
    begun: bool,
}

impl Past {
    /// Room for `batch` sequences of `columns` predicted columns; nothing came yet.
    pub fn new(transform: TargetTransform, batch: usize, columns: usize) -> Self {
        let row = batch * columns;
        Self { transform, values: vec![0.0; transform.lag() * row], row, oldest: 0, begun: false }
    }

    /// Whether it is of this form and has the room that [`Past::new`] would make.
    pub fn fits(&self, transform: TargetTransform, batch: usize, columns: usize) -> bool {
        self.transform == transform && self.row == batch * columns
    }

    /// The form that takes these values away.
    pub fn transform(&self) -> TargetTransform {
        self.transform
    }

    /// D, if it is of `batch` sequences.
    pub fn columns(&self, batch: usize) -> usize {
        self.row / batch.max(1)
    }

    /// Back to where nothing came yet.
    pub fn reset(&mut self) {
        (self.oldest, self.begun) = (0, false);
    }

    /// The same as `other` if that is of the same form and of as many columns, else as if nothing had come yet.
    pub fn follow(&mut self, other: &Self) {
        if other.begun && other.transform == self.transform && other.row == self.row {
            self.values.copy_from_slice(&other.values);
            (self.oldest, self.begun) = (other.oldest, true);
        } else {
            self.reset();
        }
    }

    /// Brings its memory in.
    pub fn touch(&mut self) {
        touch(&mut self.values);
    }

    /// Puts the form in the place of the values in `columns` of the rows `x [B,I]`, and remembers those. In the place of one that
    /// is not finite the value before it is kept, so that the next change is one again.
    #[inline]
    pub fn take(&mut self, columns: &[usize], x: &mut [f32]) {
        let (transform, batch, first) = (self.transform, self.row / columns.len().max(1), !self.begun);
        let input = x.len() / batch.max(1);
        if first {
            self.begun = true;
            for row in self.values.chunks_exact_mut(self.row.max(1)) {
                for (kept, x) in row.chunks_exact_mut(columns.len()).zip(x.chunks_exact(input)) {
                    kept.iter_mut().zip(columns).for_each(|(kept, &column)| *kept = x[column]);
                }
            }
        }
        let row = &mut self.values[self.oldest * self.row..][..self.row];
        for (kept, x) in row.chunks_exact_mut(columns.len()).zip(x.chunks_exact_mut(input)) {
            for (before, &column) in kept.iter_mut().zip(columns) {
                let now = x[column];
                x[column] = transform.of(*before, now);
                if now.is_finite() {
                    *before = now;
                }
            }
        }
        self.oldest += 1;
        if self.oldest * self.row == self.values.len() {
            self.oldest = 0;
        }
    }

    /// Of each sequence, the values that the next ones are held against: `[B,D]`.
    #[inline]
    pub fn before_next(&self) -> &[f32] {
        self.values.get(self.oldest * self.row..).and_then(|rows| rows.get(..self.row)).unwrap_or_default()
    }

    /// Rows of the ring.
    pub fn lag(&self) -> usize {
        self.values.len().checked_div(self.row).unwrap_or(0)
    }

    /// The ring as it lies in memory, `[lag,B,D]`, and which row of it is the oldest; `None` before the first one.
    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    pub(crate) fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    pub(crate) fn oldest(&self) -> Option<usize> {
        self.begun.then_some(self.oldest)
    }

    pub(crate) fn set_oldest(&mut self, oldest: Option<usize>) {
        (self.oldest, self.begun) = (oldest.unwrap_or(0), oldest.is_some());
    }

    /// The ring from its oldest row on, `[lag,B,D]`; `None` before the first row.
    pub fn rows(&self) -> Option<Vec<f32>> {
        let (young, old) = self.values.split_at(self.oldest * self.row);
        self.begun.then(|| [old, young].concat())
    }

    /// Each of `pasts`, of one sequence and of one form and width, `times` side by side.
    #[cfg(feature = "evaluate")]
    pub(crate) fn repeated(pasts: &[&Self], times: usize) -> Self {
        let Some(first) = pasts.first() else { return Self::default() };
        let (columns, lag) = (first.row, first.lag());
        let rings: Vec<Vec<f32>> = pasts.iter().filter_map(|past| past.rows()).collect();
        let mut values = Vec::with_capacity(lag * columns * rings.len() * times);
        for row in 0..lag {
            for ring in &rings {
                (0..times).for_each(|_| values.extend_from_slice(&ring[row * columns..][..columns]));
            }
        }
        Self { transform: first.transform, values, row: columns * rings.len() * times, oldest: 0, begun: true }
    }

    /// Takes what [`Past::rows`] gave.
    ///
    /// # Errors
    /// If there are not as many values.
    pub fn set_rows(&mut self, rows: &[f32]) -> Result<()> {
        Error::check_length("past [lag,B,D]", self.values.len(), rows.len())?;
        self.values.copy_from_slice(rows);
        (self.oldest, self.begun) = (0, true);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_away_is_added_back() {
        let transforms =
            [TargetTransform::Change, TargetTransform::RelativeChange, TargetTransform::SeasonalChange { season: 3 }];
        for transform in transforms {
            let mut past = Past::new(transform, 1, 1);
            let series = [4.0_f32, 5.0, 2.5, 0.0, 3.0, -1.0, 7.0];
            for (t, &now) in series.iter().enumerate() {
                let mut x = [9.0, now];
                if t >= transform.lag() {
                    assert_eq!(past.before_next(), [series[t - transform.lag()]], "{transform:?} {t}");
                }
                let before = past.before_next()[0];
                past.take(&[1], &mut x);
                assert_eq!(x[0], 9.0);
                match t {
                    0 => assert_eq!(x[1], 0.0),
                    _ if transform == TargetTransform::RelativeChange && before == 0.0 => assert_eq!(x[1], 0.0),
                    _ => assert!((transform.value(before, x[1]) - now).abs() < 1e-6, "{transform:?} {t}: {}", x[1]),
                }
            }
        }
    }

    #[test]
    fn sequences_do_not_mix_and_a_ring_goes_on() {
        let transform = TargetTransform::SeasonalChange { season: 2 };
        let (mut both, mut one) = (Past::new(transform, 2, 2), Past::new(transform, 1, 2));
        for t in 0..7 {
            let row = |b: usize| [t as f32, (b * 10 + t * t) as f32, (b + 3 * t) as f32];
            let (mut x, mut alone) = ([row(0), row(1)].concat(), row(1));
            both.take(&[2, 1], &mut x);
            one.take(&[2, 1], &mut alone);
            assert_eq!(x[3..], alone);
            assert_eq!(both.before_next()[2..], *one.before_next());
            if t == 3 {
                let mut again = Past::new(transform, 1, 2);
                again.set_rows(&one.rows().unwrap()).unwrap();
                one = again;
            }
        }
        assert!(Past::new(transform, 1, 2).rows().is_none() && one.set_rows(&[0.0]).is_err());
    }
}
