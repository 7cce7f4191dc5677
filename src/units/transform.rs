//! Target transforms: a network predicts the values of a series, or their changes. Changes need the values of earlier
//! rows, which are kept here too.

use crate::error::{Error, Result};
use crate::tensor::{Value, touch};
use crate::units::autoregression::Autoregression;
use alloc::{format, sync::Arc, vec, vec::Vec};
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
    /// What a linear autoregression leaves over: `v[t]` minus the value that it expects. Each predicted column has its
    /// own [`Autoregression`]. The network reads what these were fitted to: values, or changes.
    Residual {
        /// Rows that the autoregressions look back, at least 1.
        lag: usize,
        /// Rows between a value and the earlier value that the change is taken from which the network reads; 0 if it
        /// reads values.
        difference: usize,
    },
}

impl TargetTransform {
    /// The longest season, and the longest lag of an autoregression, in rows.
    pub const LONGEST: usize = 1 << 20;

    /// The target transform itself, if its season or its lag is valid.
    ///
    /// # Errors
    /// If the season or the lag is 0 or longer than [`TargetTransform::LONGEST`].
    pub fn checked(self) -> Result<Self> {
        let (name, rows) = match self {
            Self::SeasonalChange { season } => ("season", season),
            Self::Residual { lag, .. } => ("lag", lag),
            _ => return Ok(self),
        };
        if !(1..=Self::LONGEST).contains(&rows) {
            return Err(Error::invalid(format!("{name} {rows}: must be between 1 and {} rows", Self::LONGEST)));
        }
        Ok(self)
    }

    /// Its name in files and options, without its season.
    pub fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Change => "change",
            Self::RelativeChange => "relative-change",
            Self::SeasonalChange { .. } => "seasonal-change",
            Self::Residual { .. } => "residual",
        }
    }

    /// Rows that must come before the first value that can be transformed: those between a value and the earlier value
    /// that its change is taken from, or those that an autoregression looks back. 0 for [`TargetTransform::Value`].
    pub fn lag(self) -> usize {
        match self {
            Self::Value => 0,
            Self::Change | Self::RelativeChange => 1,
            Self::SeasonalChange { season } => season,
            Self::Residual { lag, .. } => lag,
        }
    }

    /// Applies the transform to the value `now`. `before` is the value [`TargetTransform::lag`] rows earlier, or what the
    /// autoregression expects.
    #[inline]
    pub fn of<V: Value>(self, before: V, now: V) -> V {
        match self {
            Self::Value => now,
            Self::Change | Self::SeasonalChange { .. } | Self::Residual { .. } => now - before,
            Self::RelativeChange if before == V::default() => V::default(),
            Self::RelativeChange => (now - before) / before.size(),
        }
    }

    /// Undoes the transform: the value for the network's output `predicted`.
    #[inline]
    pub fn value<V: Value>(self, before: V, predicted: V) -> V {
        match self {
            Self::Value => predicted,
            Self::Change | Self::SeasonalChange { .. } | Self::Residual { .. } => before + predicted,
            Self::RelativeChange => before + before.size() * predicted,
        }
    }
}

/// A target transform that is complete: with the autoregression of each predicted column, if it needs them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fitted {
    transform: TargetTransform,
    /// One for each predicted column; empty unless the transform is [`TargetTransform::Residual`].
    autoregressions: Arc<[Autoregression]>,
}

impl From<TargetTransform> for Fitted {
    fn from(transform: TargetTransform) -> Self {
        Self { transform, autoregressions: Arc::default() }
    }
}

impl Fitted {
    /// The residuals of these autoregressions, one for each predicted column. The network reads the changes of these
    /// columns over `difference` rows, or their values if that is 0.
    pub fn residual(autoregressions: impl Into<Arc<[Autoregression]>>, difference: usize) -> Self {
        let autoregressions = autoregressions.into();
        let lag = autoregressions.iter().map(Autoregression::longest).max().unwrap_or(0).max(difference);
        Self { transform: TargetTransform::Residual { lag, difference }, autoregressions }
    }

    /// The target transform.
    pub fn transform(&self) -> TargetTransform {
        self.transform
    }

    /// The autoregression of each predicted column; empty unless the transform is [`TargetTransform::Residual`].
    pub fn autoregressions(&self) -> &[Autoregression] {
        &self.autoregressions
    }

    /// The same, if its season or lag is valid and there is an autoregression for each of `columns` if it needs them.
    ///
    /// # Errors
    /// If that is not so.
    pub(crate) fn checked(self, columns: usize) -> Result<Self> {
        self.transform.checked()?;
        let needed = if matches!(self.transform, TargetTransform::Residual { .. }) { columns } else { 0 };
        if self.autoregressions.len() != needed {
            return Err(Error::invalid(format!(
                "target-as: {} autoregressions do not fit {columns} predicted columns",
                self.autoregressions.len()
            )));
        }
        Ok(self)
    }

    /// What the network reads of the value `now` of a predicted column. `compared` is what [`Fitted::before`] gives, and
    /// `before(lag)` is the value `lag` rows before.
    #[inline]
    pub(crate) fn read<V: Value>(&self, now: V, compared: f64, before: impl Fn(usize) -> f64) -> V {
        match self.transform {
            TargetTransform::Residual { difference: 0, .. } => now,
            TargetTransform::Residual { difference, .. } => now - V::of(before(difference)),
            transform => transform.of(V::of(compared), now),
        }
    }

    /// What the value of predicted column d is compared with: the value [`TargetTransform::lag`] rows before it, or what
    /// the autoregression of the column expects. `before(lag)` is the value `lag` rows before.
    pub(crate) fn before(&self, d: usize, before: impl Fn(usize) -> f64) -> f64 {
        match self.autoregressions.get(d) {
            Some(autoregression) => autoregression.expected(before),
            None => before(self.transform.lag()),
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
    fitted: Fitted,
    /// `[lag][B][D]`
    values: Vec<f64>,
    /// What autoregressions expect of the next row, `[B][D]`; empty if there are none.
    expected: Vec<f64>,
    /// B·D
    row: usize,
    /// The oldest row of the ring, which the next one replaces.
    oldest: usize,
    /// Whether there was a row since the start.
    begun: bool,
}

impl Past {
    /// Room for `batch` sequences of `columns` predicted columns, before any row.
    pub fn new(fitted: &Fitted, batch: usize, columns: usize) -> Self {
        let row = batch * columns;
        let expected = vec![0.0; if fitted.autoregressions.is_empty() { 0 } else { row }];
        let values = vec![0.0; fitted.transform.lag() * row];
        Self { fitted: fitted.clone(), values, expected, row, oldest: 0, begun: false }
    }

    /// Whether its values are those that [`Past::new`] would make room for.
    pub fn fits(&self, transform: TargetTransform, batch: usize, columns: usize) -> bool {
        self.fitted.transform == transform && self.row == batch * columns
    }

    /// Whether it is for the autoregressions of `fitted`.
    pub fn is_of(&self, fitted: &Fitted) -> bool {
        Arc::ptr_eq(&self.fitted.autoregressions, &fitted.autoregressions) || self.fitted == *fitted
    }

    /// The target transform that uses these values.
    pub fn transform(&self) -> TargetTransform {
        self.fitted.transform
    }

    /// D, if it is for `batch` sequences.
    pub fn columns(&self, batch: usize) -> usize {
        self.row / batch.max(1)
    }

    /// Goes back to the start, before any row.
    pub fn reset(&mut self) {
        (self.oldest, self.begun) = (0, false);
    }

    /// Copies the values of `other` if it has the same target transform and as many columns; otherwise it goes back to
    /// the start.
    pub fn follow(&mut self, other: &Self) {
        if other.begun && other.transform() == self.transform() && other.row == self.row {
            self.values.copy_from_slice(&other.values);
            (self.oldest, self.begun) = (other.oldest, true);
            self.look_ahead();
        } else {
            self.reset();
        }
    }

    /// Touches its memory, so that later writes meet no page fault.
    pub fn touch(&mut self) {
        touch(&mut self.values);
        touch(&mut self.expected);
    }

    /// Replaces the values in `columns` of the rows `x [B,I]` by their changes or residuals, and remembers the values. If
    /// a value is not finite, what it would have been compared with is remembered instead, so that the next change is
    /// finite again.
    #[inline]
    pub fn take<V: Value>(&mut self, columns: &[usize], x: &mut [V]) {
        let (transform, batch, first) = (self.fitted.transform, self.row / columns.len().max(1), !self.begun);
        let input = x.len() / batch.max(1);
        if first {
            self.begun = true;
            for row in self.values.chunks_exact_mut(self.row.max(1)) {
                for (kept, x) in row.chunks_exact_mut(columns.len()).zip(x.chunks_exact(input)) {
                    kept.iter_mut().zip(columns).for_each(|(kept, &column)| *kept = x[column].into());
                }
            }
            self.look_ahead();
        }
        if self.expected.is_empty() {
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
        } else {
            for (b, x) in x.chunks_exact_mut(input).enumerate() {
                for (d, &column) in columns.iter().enumerate() {
                    let (i, now) = (b * columns.len() + d, x[column]);
                    x[column] = self.fitted.read(now, self.expected[i], |lag| self.values[self.place(lag) + i]);
                    let kept = if now.is_finite() { now.into() } else { self.expected[i] };
                    self.values[self.oldest * self.row + i] = kept;
                }
            }
        }
        self.oldest += 1;
        if self.oldest * self.row == self.values.len() {
            self.oldest = 0;
        }
        self.look_ahead();
    }

    /// Where the row begins that is `lag` rows before the next one.
    #[inline]
    fn place(&self, lag: usize) -> usize {
        // the newest row stands before the oldest one of the ring
        let row = if lag <= self.oldest { self.oldest - lag } else { self.oldest + self.lag() - lag };
        row * self.row
    }

    /// Computes what the autoregressions expect of the next row.
    #[inline]
    fn look_ahead(&mut self) {
        for i in 0..self.expected.len() {
            let autoregression = &self.fitted.autoregressions[i % self.fitted.autoregressions.len()];
            self.expected[i] = autoregression.expected(|lag| self.values[self.place(lag) + i]);
        }
    }

    /// What the values of the next row are compared with, `[B,D]`: the values that their changes are taken from, or those
    /// that autoregressions expect.
    #[inline]
    pub fn before_next(&self) -> &[f64] {
        if !self.expected.is_empty() {
            return &self.expected;
        }
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
        self.look_ahead();
    }

    /// The ring from its oldest row on, `[lag,B,D]`; `None` before the first row.
    pub fn rows(&self) -> Option<Vec<f64>> {
        let (young, old) = self.values.split_at(self.oldest * self.row);
        self.begun.then(|| [old, young].concat())
    }

    /// Repeats each of `pasts` `times` times, side by side, for `fitted`. Each is of one sequence; all have the same
    /// target transform and width.
    #[cfg(feature = "evaluate")]
    pub(crate) fn repeated(fitted: &Fitted, pasts: &[&Self], times: usize) -> Self {
        let Some(first) = pasts.first() else { return Self::default() };
        let (columns, lag) = (first.row, first.lag());
        let rings: Vec<Vec<f64>> = pasts.iter().filter_map(|past| past.rows()).collect();
        let mut values = Vec::with_capacity(lag * columns * rings.len() * times);
        for row in 0..lag {
            for ring in &rings {
                (0..times).for_each(|_| values.extend_from_slice(&ring[row * columns..][..columns]));
            }
        }
        let mut past = Self::new(fitted, rings.len() * times, columns);
        past.values.copy_from_slice(&values);
        past.begun = true;
        past.look_ahead();
        past
    }

    /// Sets the ring to `rows`, which [`Past::rows`] gave.
    ///
    /// # Errors
    /// If the number of values differs.
    pub fn set_rows(&mut self, rows: &[f64]) -> Result<()> {
        Error::check_length("past [lag,B,D]", self.values.len(), rows.len())?;
        self.values.copy_from_slice(rows);
        (self.oldest, self.begun) = (0, true);
        self.look_ahead();
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
            let mut past = Past::new(&transform.into(), 1, 1);
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
        let (mut both, mut one) = (Past::new(&transform.into(), 2, 2), Past::new(&transform.into(), 1, 2));
        for t in 0..7 {
            let row = |b: usize| [t as f64, (b * 10 + t * t) as f64, (b + 3 * t) as f64];
            let (mut x, mut alone) = ([row(0), row(1)].concat(), row(1));
            both.take(&[2, 1], &mut x);
            one.take(&[2, 1], &mut alone);
            assert_eq!(x[3..], alone);
            assert_eq!(both.before_next()[2..], *one.before_next());
            if t == 3 {
                let mut again = Past::new(&transform.into(), 1, 2);
                again.set_rows(&one.rows().unwrap()).unwrap();
                one = again;
            }
        }
        assert!(Past::new(&transform.into(), 1, 2).rows().is_none() && one.set_rows(&[0.0]).is_err());
    }
}
