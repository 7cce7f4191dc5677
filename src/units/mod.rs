//! Units convert between raw values and the network's: by the target transform of the predicted columns, and by one
//! shift and one scale for each column.

pub mod autoregression;
pub mod bounds;
mod fit;
pub mod scaler;
pub mod transform;

#[cfg(feature = "std")]
pub(crate) use fit::check_changes;

use crate::error::{Error, Result};
use crate::objective::loss::Loss;
use crate::tensor::Value;
use crate::units::bounds::Bounds;
use crate::units::scaler::Scaler;
use crate::units::transform::{Fitted, Past, TargetTransform};
use alloc::{collections::BTreeSet, format, vec, vec::Vec};

/// How raw values become the network's inputs x, and how its outputs y become raw values.
#[derive(Debug, Clone, PartialEq)]
pub struct Units {
    x: Scaler,
    y: Scaler,
    fitted: Fitted,
    /// For each of the D predicted columns, the number of the input that it is. Empty if the target transform is
    /// [`TargetTransform::Value`], which does not need it.
    columns: Vec<usize>,
    /// The loss decides what the outputs y mean.
    loss: Loss,
    /// Those of each of the D predicted columns; empty if no column has bounds.
    bounds: Vec<Bounds>,
    /// The inputs that have a mask: see [`Units::with_masks`].
    masks: Vec<usize>,
}

impl Units {
    /// Scalers alone, for a network whose inputs and outputs are values.
    pub fn scaled(x: Scaler, y: Scaler) -> Self {
        let loss = Loss::default();
        Self { x, y, fitted: Fitted::default(), columns: Vec::new(), loss, bounds: Vec::new(), masks: Vec::new() }
    }

    /// The same for a network trained with `loss`. For each predicted column it has one output (a value), two (mean and
    /// logarithm of the variance), or one for each quantile.
    ///
    /// # Errors
    /// If the number of outputs is not a multiple of that.
    pub fn with_loss(mut self, loss: Loss) -> Result<Self> {
        if !self.y.width().is_multiple_of(loss.outputs(1)) {
            let (outputs, each) = (self.y.width(), loss.outputs(1));
            return Err(Error::invalid(format!(
                "{outputs} outputs cannot be {each} for each predicted column, as the loss {loss} needs"
            )));
        }
        self.loss = loss;
        Ok(self)
    }

    /// The same with a target transform of the predicted columns. `columns[d]` is the number of the input that
    /// predicted column d is. The column must be among the inputs, because the runtime adds the predicted change to its
    /// last value.
    ///
    /// # Errors
    /// If the target transform makes no sense or has another number of autoregressions, a column is not an input or is
    /// given twice, or the number of outputs is not a multiple of the number of columns.
    pub fn with_transform(mut self, transform: impl Into<Fitted>, columns: &[usize]) -> Result<Self> {
        let fitted = transform.into();
        let (inputs, outputs) = (self.x.width(), self.y.width());
        if fitted.transform() == TargetTransform::Value {
            (self.fitted, self.columns) = (fitted.checked(0)?, Vec::new());
            return Ok(self);
        }
        let unlike: BTreeSet<usize> = columns.iter().take(outputs + 1).copied().collect();
        if columns.is_empty() || unlike.len() < columns.len() || !outputs.is_multiple_of(columns.len()) {
            let first = columns.get(..8).unwrap_or(columns);
            let more = if first.len() < columns.len() { " and more" } else { "" };
            return Err(Error::invalid(format!(
                "target transform: {outputs} outputs do not fit the predicted inputs {first:?}{more}"
            )));
        }
        if let Some(column) = columns.iter().find(|&&column| column >= inputs) {
            return Err(Error::invalid(format!(
                "target transform: predicted column {column} is not one of the {inputs} inputs, counted from 0"
            )));
        }
        (self.fitted, self.columns) = (fitted.checked(columns.len())?, columns.to_vec());
        Ok(self)
    }

    /// The same, with bounds of the predictions: one pair for each of the D predicted columns, one for all of them, or
    /// none.
    ///
    /// # Errors
    /// If there is another number of them.
    pub fn with_bounds(mut self, bounds: &[Bounds]) -> Result<Self> {
        self.bounds = bounds::of_each(bounds, self.targets())?;
        Ok(self)
    }

    /// The same for a network with masks, which say where values are missing. `masks` are the inputs that have one, counted
    /// from 0 and in rising order. For each of them there is one more input behind the others, its mask: 1 where the
    /// value is missing, and 0 elsewhere. Where a value is missing, its input holds the last value that is known. Masks
    /// are not scaled.
    ///
    /// # Errors
    /// If one of `masks` is not an input that holds values, is a mask's own, or does not follow the one before it.
    pub fn with_masks(mut self, masks: &[usize]) -> Result<Self> {
        let inputs = self.x.width();
        let values = inputs.saturating_sub(masks.len());
        let rising = masks.windows(2).all(|pair| pair[0] < pair[1]);
        let inside = masks.last().is_none_or(|&last| last < values);
        if !rising || !inside || self.columns.iter().any(|&column| column >= values) {
            return Err(Error::invalid(format!(
                "masks: {} of {inputs} inputs cannot be the masks of others: those must be counted from 0, in rising \
                 order, and come before the masks",
                masks.len()
            )));
        }
        for mask in values..inputs {
            self.x.set(mask, 0.0, 1.0);
        }
        self.masks = masks.to_vec();
        Ok(self)
    }

    /// The scaler of x.
    pub fn x(&self) -> &Scaler {
        &self.x
    }

    /// The scaler of y.
    pub fn y(&self) -> &Scaler {
        &self.y
    }

    /// The target transform of the predicted columns.
    pub fn transform(&self) -> TargetTransform {
        self.fitted.transform()
    }

    /// The target transform with the autoregressions that it needs.
    pub fn fitted(&self) -> &Fitted {
        &self.fitted
    }

    /// The loss, which decides what a row of y means.
    pub fn loss(&self) -> Loss {
        self.loss
    }

    /// The inputs that have a mask, counted from 0: see [`Units::with_masks`].
    pub fn masks(&self) -> &[usize] {
        &self.masks
    }

    /// The bounds of each of the D predicted columns; empty if there are none.
    pub fn bounds(&self) -> &[Bounds] {
        &self.bounds
    }

    /// D, the predicted columns.
    pub fn targets(&self) -> usize {
        self.y.width() / self.loss.outputs(1)
    }

    /// The point predictions of a row of y `[O]`, one for each of the D columns: values, means or medians.
    ///
    /// # Panics
    /// If `y` does not have O values.
    pub fn point<'a, V: Value>(&self, y: &'a [V]) -> &'a [V] {
        let targets = self.targets();
        &y[self.loss.point() * targets..][..targets]
    }

    /// The scalers of x and y, to be changed while a model learns.
    pub(crate) fn scalers_mut(&mut self) -> (&mut Scaler, &mut Scaler) {
        (&mut self.x, &mut self.y)
    }

    /// The number of the input that each predicted column is; empty if the target transform is
    /// [`TargetTransform::Value`].
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// An empty [`Past`] of the last rows of `batch` sequences.
    pub(crate) fn past(&self, batch: usize) -> Past {
        Past::new(&self.fitted, batch, self.columns.len())
    }

    /// Whether the values of `past` fit these units and `batch` sequences.
    pub(crate) fn has(&self, past: &Past, batch: usize) -> bool {
        past.fits(self.transform(), batch, self.columns.len())
    }

    /// Converts raw rows `x [B,I]` of one time step to the network's units, in place.
    #[inline]
    pub(crate) fn enter<V: Value>(&self, past: &mut Past, x: &mut [V]) {
        self.difference(past, x);
        self.x.apply(x);
    }

    /// Converts the outputs `y [B,O]` for the rows that entered last to raw values, in place.
    #[inline]
    pub(crate) fn leave<V: Value>(&self, past: &Past, y: &mut [V]) {
        self.y.undo(y);
        self.integrate(past, y);
        self.finish(y);
    }

    /// [`Units::enter`] for whole sequences `x [T,B,I]`.
    pub(crate) fn enter_rows<V: Value>(&self, past: &mut Past, x: &mut [V], batch: usize) {
        x.chunks_exact_mut((batch * self.x.width()).max(1)).for_each(|x| self.enter(past, x));
    }

    /// [`Units::leave`] for whole sequences `y [T,B,O]`. `x [T,B,I]` are the raw rows, and `past` is the past before
    /// them.
    pub(crate) fn leave_rows<V: Value>(&self, mut past: Past, x: &[V], y: &mut [V], batch: usize) {
        self.y.undo(y);
        if self.transform() == TargetTransform::Value {
            return self.finish(y);
        }
        // the rows enter once more, for the value to which each predicted change is added
        let mut row = vec![V::default(); batch * self.x.width()];
        for (x, y) in x.chunks_exact(row.len().max(1)).zip(y.chunks_exact_mut((batch * self.y.width()).max(1))) {
            row.copy_from_slice(x);
            self.difference(&mut past, &mut row);
            self.integrate(&past, y);
            self.finish(y);
        }
    }

    /// The first half of [`Units::enter`]: values become changes, without the scaler. It is called alone where the
    /// scaler is applied later: for a learner, whose scalers move, and for many streams, where each thread scales its
    /// own blocks.
    #[inline]
    pub(crate) fn difference<V: Value>(&self, past: &mut Past, x: &mut [V]) {
        if self.transform() != TargetTransform::Value {
            past.take(&self.columns, x);
        }
    }

    /// Applies the target transform to actual values `[D]`, in place. `before` are the values that they are compared
    /// with: see [`Past::before_next`]. A value that is NaN is missing, and stays so.
    #[inline]
    pub(crate) fn transform_rows(&self, before: &[f64], actual: &mut [f64]) {
        for (actual, &before) in actual.iter_mut().zip(before).filter(|(actual, _)| !actual.is_nan()) {
            *actual = self.transform().of(before, *actual);
        }
    }

    /// Converts targets `[.., D]` to the network's units, by the first D columns of the scaler of y.
    #[inline]
    pub(crate) fn scale_targets<V: Value>(&self, rows: &mut [V]) {
        for row in rows.chunks_exact_mut(self.targets()) {
            for ((value, &shift), &scale) in row.iter_mut().zip(self.y.shift()).zip(self.y.scale()) {
                *value = (*value - V::of(shift)) / V::of(scale);
            }
        }
    }

    /// Converts values `[B,D]` in the network's units to raw ones, in place. It undoes [`Units::transform_rows`] and
    /// [`Units::scale_targets`].
    #[cfg(feature = "evaluate")]
    #[inline]
    pub(crate) fn values<V: Value>(&self, past: &Past, rows: &mut [V]) {
        let mut before = past.before_next().iter();
        for row in rows.chunks_exact_mut(self.targets()) {
            for ((value, &shift), &scale) in row.iter_mut().zip(self.y.shift()).zip(self.y.scale()) {
                *value = *value * V::of(scale) + V::of(shift);
                // there is none if the network predicts values
                if let Some(&before) = before.next() {
                    *value = self.transform().value(V::of(before), *value);
                }
            }
            for (value, bounds) in row.iter_mut().zip(&self.bounds) {
                *value = bounds.inside(*value);
            }
        }
    }

    /// The end of [`Units::leave`]: quantiles in order, and values inside their bounds.
    #[inline]
    pub(crate) fn finish<V: Value>(&self, y: &mut [V]) {
        if let Loss::Quantiles(levels) = self.loss {
            self.rearrange(levels.as_slice().len(), y);
        }
        if self.bounds.is_empty() {
            return;
        }
        let columns = self.targets();
        // the logarithm of a variance is no value
        let values = if self.loss == Loss::Gaussian { columns } else { self.y.width() };
        for row in y.chunks_exact_mut(self.y.width()) {
            for (y, bounds) in row[..values].iter_mut().zip(self.bounds.iter().cycle()) {
                *y = bounds.inside(*y);
            }
        }
    }

    /// Sorts the predicted quantiles of each column, lowest first. Each is an output of its own, so two may cross. This
    /// rearrangement brings none of them farther from the true quantiles (Chernozhukov, Fernández-Val and Galichon 2010).
    fn rearrange<V: Value>(&self, levels: usize, y: &mut [V]) {
        let columns = self.targets();
        for row in y.chunks_exact_mut(self.y.width()) {
            for d in 0..columns {
                for level in 1..levels {
                    let mut at = level * columns + d;
                    while at >= columns && row[at - columns] > row[at] {
                        row.swap(at - columns, at);
                        at -= columns;
                    }
                }
            }
        }
    }

    /// The second part of [`Units::leave`]: changes become values. The scaler was undone before.
    #[inline]
    pub(crate) fn integrate<V: Value>(&self, past: &Past, y: &mut [V]) {
        if self.transform() == TargetTransform::Value {
            return;
        }
        let before = past.before_next().chunks_exact(self.columns.len());
        for (y, before) in y.chunks_exact_mut(self.y.width()).zip(before) {
            let (values, variances) = y.split_at_mut(if self.loss == Loss::Gaussian { before.len() } else { y.len() });
            for (y, &before) in values.iter_mut().zip(before.iter().cycle()) {
                *y = self.transform().value(V::of(before), *y);
            }
            if self.transform() == TargetTransform::RelativeChange {
                // y is a part of `before`, so its deviation is multiplied by |before|
                for (s, &before) in variances.iter_mut().zip(before) {
                    *s = *s + V::of(2.0 * libm::log(libm::fabs(before)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::scaler::Scaling;

    #[test]
    fn a_column_that_is_not_there_is_refused() {
        let rows = (&[1.0, 2.0, 3.0][..], 1);
        let fit =
            |column| Units::fit(Scaling::default(), TargetTransform::Change, Loss::Mse, rows, rows, Some(&[column]));
        assert!(fit(0).is_ok());
        let error = fit(7).unwrap_err().to_string();
        assert!(error.contains("predicted column 7 is not one of the 1 inputs"), "{error}");
    }

    #[test]
    fn training_rows_are_what_a_stream_sees() {
        let inputs: Vec<f64> = (0..24).map(|i| (i as f64 * 0.7).sin() * 3.0 + i as f64).collect();
        let targets: Vec<f64> = inputs.chunks(2).map(|row| row[1]).collect();
        for transform in [
            TargetTransform::Value,
            TargetTransform::Change,
            TargetTransform::RelativeChange,
            TargetTransform::SeasonalChange { season: 4 },
        ] {
            let units =
                Units::fit(Scaling::Standard, transform, Loss::Mse, (&inputs, 2), (&targets, 1), Some(&[1])).unwrap();
            let (x, y) = units.rows((&inputs, 2), (&targets, 1)).unwrap();
            let mut past = units.past(1);
            for (t, row) in inputs.chunks(2).enumerate() {
                let mut seen = row.to_vec();
                units.enter(&mut past, &mut seen);
                if t < transform.lag() {
                    continue;
                }
                let seen = [seen[0] as f32, seen[1] as f32];
                assert_eq!(seen, x[(t - transform.lag()) * 2..][..2], "{transform:?} {t}");
                // an answer that is right in the network's units is right in raw ones
                if let Some(&predicted) = y.get(t - transform.lag() + 1) {
                    let mut answer = [f64::from(predicted)];
                    units.leave(&past, &mut answer);
                    assert!((answer[0] - targets[t + 1]).abs() < 1e-4, "{transform:?} {t}: {answer:?}");
                }
            }
        }
    }

    /// Every output of a network that predicts a distribution, converted to raw units by hand; also below zero.
    #[test]
    fn distributions_in_raw_units() {
        let quantiles: Loss = "quantiles:0.2,0.9".parse().unwrap();
        let series: Vec<f64> =
            (0..40).map(|i| (i as f64 * 0.9).sin() * 2.0 - if i % 2 == 0 { 5.0 } else { 30.0 }).collect();
        let (inputs, columns) = ((&series[..], 2), [1, 0]);
        let targets: Vec<f64> = series.chunks(2).flat_map(|row| [row[1], row[0]]).collect();
        for (transform, loss) in [
            TargetTransform::Value,
            TargetTransform::Change,
            TargetTransform::RelativeChange,
            TargetTransform::SeasonalChange { season: 3 },
        ]
        .into_iter()
        .flat_map(|transform| [(transform, Loss::Gaussian), (transform, quantiles)])
        {
            let plain =
                Units::fit(Scaling::Standard, transform, Loss::Mse, inputs, (&targets, 2), Some(&columns)).unwrap();
            let units = Units::fit(Scaling::Standard, transform, loss, inputs, (&targets, 2), Some(&columns)).unwrap();
            assert_eq!(
                (units.targets(), plain.rows(inputs, (&targets, 2)).unwrap()),
                (2, units.rows(inputs, (&targets, 2)).unwrap())
            );
            let mut past = units.past(1);
            series.chunks(2).for_each(|row| units.enter(&mut past, &mut row.to_vec()));
            let predicted = [0.3_f64, -1.1, 0.7, 0.4];
            let (mut y, mut low, mut high) = (predicted, [predicted[0], predicted[1]], [predicted[2], predicted[3]]);
            units.leave(&past, &mut y);
            plain.leave(&past, &mut low);
            plain.leave(&past, &mut high);
            assert_eq!(y[..2], low, "{transform:?} {loss}");
            match loss {
                Loss::Gaussian => {
                    for d in 0..2 {
                        // one standard deviation, in raw units
                        let (mut at, mut one) = (low, low);
                        (at[d], one[d]) = (0.0, 1.0);
                        plain.leave(&past, &mut at);
                        plain.leave(&past, &mut one);
                        let deviation = (one[d] - at[d]).abs();
                        let expected = predicted[2 + d] + 2.0 * deviation.ln();
                        assert!((y[2 + d] - expected).abs() < 1e-4, "{transform:?} {d}: {} {expected}", y[2 + d]);
                    }
                }
                // the higher level is the higher value, also where the series is below zero
                _ => assert!(y[2..] == high && y[2] > y[0] && y[3] > y[1], "{transform:?}: {y:?}"),
            }
        }
    }

    #[test]
    fn refuses_what_cannot_be() {
        let fit = |transform, inputs: &[f64], columns| {
            Units::fit(Scaling::Standard, transform, Loss::Mse, (inputs, 1), (inputs, 1), columns)
                .map(drop)
                .map_err(|e| e.to_string())
        };
        let predicted = |transform, inputs: &[f64], columns| fit(transform, inputs, columns).unwrap_err();
        assert!(predicted(TargetTransform::Change, &[1.0, 2.0], None).contains("must be among the inputs"));
        assert!(predicted(TargetTransform::Change, &[1.0], Some(&[0])).contains("the first change needs 1 before it"));
        assert!(predicted(TargetTransform::SeasonalChange { season: 0 }, &[1.0], Some(&[0])).contains("season 0"));
        assert!(
            predicted(TargetTransform::RelativeChange, &[1.0, 0.0, 2.0], Some(&[0]))
                .contains("the value of row 2 is 0")
        );
        assert!(fit(TargetTransform::RelativeChange, &[1.0, 2.0, 0.0], Some(&[0])).is_ok());
        let scaler = || Scaler::fit(Scaling::Standard, &[1.0, 2.0, 3.0, 5.0], 2).unwrap();
        for columns in [&[][..], &[0, 0], &[2], &[0, 1, 0]] {
            assert!(
                Units::scaled(scaler(), scaler()).with_transform(TargetTransform::Change, columns).is_err(),
                "{columns:?}"
            );
        }
    }
}
