//! Target transforms: a network predicts the values of a series, or their changes. Changes need the values of earlier
//! rows, which are kept here too.

use crate::error::{Error, Result};
use crate::tensor::{Value, touch};
use alloc::{format, vec, vec::Vec};
use serde::{Deserialize, Serialize};

/// What is done to a predicted column before the network sees it. The runtime undoes it in the predictions, so inputs
/// and outputs of a model are values in any case.
///
/// A network that predicts changes and has learned nothing predicts no change, which is persistence (or seasonal
/// naive). So it cannot drift away from a series that grows beyond the values it was trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "as")]
pub enum TargetTransform {
    /// The value itself.
    #[default]
    Value,
    /// `v[t] - v[t-1]`
    Change,
    /// `(v[t] - v[t-1]) / |v[t-1]|`, and 0 where `v[t-1]` is 0. The absolute value keeps the sign of a change below
    /// zero, and so the order of quantiles.
    RelativeChange,
    /// `v[t] - v[t-season]`
    SeasonalChange {
        /// Rows between a value and the value that is subtracted from it, at least 1.
        season: usize,
    },
}

impl TargetTransform {
    /// The longest season, in rows.
    pub const LONGEST: usize = 1 << 20;

    /// The target transform itself, if its season is valid.
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

    /// Rows between a value and the earlier value that its change is taken from; 0 for [`TargetTransform::Value`].
    pub fn lag(self) -> usize {
        match self {
            Self::Value => 0,
            Self::Change | Self::RelativeChange => 1,
            Self::SeasonalChange { season } => season,
        }
    }

    /// Applies the transform to the value `now`; `before` is the value [`TargetTransform::lag`] rows earlier.
    #[inline]
    pub fn of<V: Value>(self, before: V, now: V) -> V {
        match self {
            Self::Value => now,
            Self::Change | Self::SeasonalChange { .. } => now - before,
            Self::RelativeChange if before == V::default() => V::default(),
            Self::RelativeChange => (now - before) / before.size(),
        }
    }

    /// Undoes the transform: the value for the network's output `predicted`.
    #[inline]
    pub fn value<V: Value>(self, before: V, predicted: V) -> V {
        match self {
            Self::Value => predicted,
            Self::Change | Self::SeasonalChange { .. } => before + predicted,
            Self::RelativeChange => before + before.size() * predicted,
        }
    }
}

/// The last values of the predicted columns of B sequences: a ring of [`TargetTransform::lag`] rows. It is part of a
/// [`State`](crate::net::state::State). They are f64, whatever the type of the rows: a row of f32 is differenced in f32
/// from the nearest values, and its own values are kept as they are.
///
/// A sequence counts as constant before its first row, so its first change is 0.
#[derive(Debug, Clone, Default)]
pub(crate) struct Past {
    transform: TargetTransform,
    /// `[lag][B][D]`
    values: Vec<f64>,
    /// B·D
    row: usize,
    /// The oldest row of the ring, which the next one replaces.
    oldest: usize,
    /// Whether there was a row since the start.
    begun: bool,
}

impl Past {
    /// Room for `batch` sequences of `columns` predicted columns, before any row.
    pub fn new(transform: TargetTransform, batch: usize, columns: usize) -> Self {
        let row = batch * columns;
        Self { transform, values: vec![0.0; transform.lag() * row], row, oldest: 0, begun: false }
    }

    /// Whether it has this target transform and the room that [`Past::new`] would make.
    pub fn fits(&self, transform: TargetTransform, batch: usize, columns: usize) -> bool {
        self.transform == transform && self.row == batch * columns
    }

    /// The target transform that uses these values.
    pub fn transform(&self) -> TargetTransform {
        self.transform
    }

    /// D, if it is for `batch` sequences.
    pub fn columns(&self, batch: usize) -> usize {
        self.row / batch.max(1)
    }

    /// Goes back to the start, before any row.
    pub fn reset(&mut self) {
        (self.oldest, self.begun) = (0, false);
    }

    /// Copies `other` if it has the same target transform and as many columns; otherwise it goes back to the start.
    pub fn follow(&mut self, other: &Self) {
        if other.begun && other.transform == self.transform && other.row == self.row {
            self.values.copy_from_slice(&other.values);
            (self.oldest, self.begun) = (other.oldest, true);
        } else {
            self.reset();
        }
    }

    /// Touches its memory, so that later writes meet no page fault.
    pub fn touch(&mut self) {
        touch(&mut self.values);
    }

    /// Replaces the values in `columns` of the rows `x [B,I]` by their changes, and remembers the values. If a value is
    /// not finite, the value before it is remembered instead, so that the next change is finite again.
    #[inline]
    pub fn take<V: Value>(&mut self, columns: &[usize], x: &mut [V]) {
        let (transform, batch, first) = (self.transform, self.row / columns.len().max(1), !self.begun);
        let input = x.len() / batch.max(1);
        if first {
            self.begun = true;
            for row in self.values.chunks_exact_mut(self.row.max(1)) {
                for (kept, x) in row.chunks_exact_mut(columns.len()).zip(x.chunks_exact(input)) {
                    kept.iter_mut().zip(columns).for_each(|(kept, &column)| *kept = x[column].into());
                }
            }
        }
        let row = &mut self.values[self.oldest * self.row..][..self.row];
        for (kept, x) in row.chunks_exact_mut(columns.len()).zip(x.chunks_exact_mut(input)) {
            for (before, &column) in kept.iter_mut().zip(columns) {
                let now = x[column];
                x[column] = transform.of(V::of(*before), now);
                if now.is_finite() {
                    *before = now.into();
                }
            }
        }
        self.oldest += 1;
        if self.oldest * self.row == self.values.len() {
            self.oldest = 0;
        }
    }

    /// The values that the next changes are taken from, `[B,D]`.
    #[inline]
    pub fn before_next(&self) -> &[f64] {
        self.values.get(self.oldest * self.row..).and_then(|rows| rows.get(..self.row)).unwrap_or_default()
    }

    /// Rows of the ring.
    pub fn lag(&self) -> usize {
        self.values.len().checked_div(self.row).unwrap_or(0)
    }

    /// The ring in its order in memory, `[lag,B,D]`: see [`Past::oldest`].
    pub(crate) fn values(&self) -> &[f64] {
        &self.values
    }

    pub(crate) fn values_mut(&mut self) -> &mut [f64] {
        &mut self.values
    }

    /// The oldest row of the ring; `None` before the first row.
    pub(crate) fn oldest(&self) -> Option<usize> {
        self.begun.then_some(self.oldest)
    }

    pub(crate) fn set_oldest(&mut self, oldest: Option<usize>) {
        (self.oldest, self.begun) = (oldest.unwrap_or(0), oldest.is_some());
    }

    /// The ring from its oldest row on, `[lag,B,D]`; `None` before the first row.
    pub fn rows(&self) -> Option<Vec<f64>> {
        let (young, old) = self.values.split_at(self.oldest * self.row);
        self.begun.then(|| [old, young].concat())
    }

    /// Repeats each of `pasts` `times` times, side by side. Each is of one sequence; all have the same target transform
    /// and width.
    #[cfg(feature = "evaluate")]
    pub(crate) fn repeated(pasts: &[&Self], times: usize) -> Self {
        let Some(first) = pasts.first() else { return Self::default() };
        let (columns, lag) = (first.row, first.lag());
        let rings: Vec<Vec<f64>> = pasts.iter().filter_map(|past| past.rows()).collect();
        let mut values = Vec::with_capacity(lag * columns * rings.len() * times);
        for row in 0..lag {
            for ring in &rings {
                (0..times).for_each(|_| values.extend_from_slice(&ring[row * columns..][..columns]));
            }
        }
        Self { transform: first.transform, values, row: columns * rings.len() * times, oldest: 0, begun: true }
    }

    /// Sets the ring to `rows`, which [`Past::rows`] gave.
    ///
    /// # Errors
    /// If the number of values differs.
    pub fn set_rows(&mut self, rows: &[f64]) -> Result<()> {
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
            let series = [4.0_f64, 5.0, 2.5, 0.0, 3.0, -1.0, 7.0];
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
            let row = |b: usize| [t as f64, (b * 10 + t * t) as f64, (b + 3 * t) as f64];
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
