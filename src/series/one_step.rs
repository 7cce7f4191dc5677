//! Predictions one step ahead for held-out rows. The state is warmed up on the rows before them, and each prediction is
//! put next to the actual value of its row.

use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::{Model, Order};
use crate::net::state::State;
use crate::tensor::{Tensor, Value};
use std::ops::Range;

/// The number of windows over which a state is warmed up before the first prediction that counts.
const WINDOWS: usize = 50;

/// The number of rows over which the state of a model is warmed up, if its windows have `seq_len` rows.
pub fn warm_up(seq_len: usize) -> usize {
    WINDOWS.saturating_mul(seq_len)
}

/// The row at which the warm-up starts, for predictions from row `first` on. The prediction for a row is made at the
/// row before it, and a model that looks back `lag` rows predicts only after these.
pub fn warm_up_start(first: usize, warm_up: usize, lag: usize) -> usize {
    first.saturating_sub(warm_up.saturating_add(lag.saturating_add(1)))
}

/// The outputs `[n,O]` of `model` for the rows `rows` of a table, each made at the row before it. `inputs [T,I]` are
/// all rows of the table. The state is warmed up on the `warm_up` rows before.
///
/// # Errors
/// If there is no row before the first one, the table has fewer rows, the number of columns differs, or the GPU fails.
pub fn outputs<V: Value>(
    model: &Model,
    device: &Device,
    inputs: &Tensor<V>,
    rows: Range<usize>,
    warm_up: usize,
) -> Result<Tensor<V>> {
    let (Some(before), Some(last)) = (rows.start.checked_sub(1), rows.end.checked_sub(1)) else {
        return Err(Error::invalid("one step ahead: the first row cannot be predicted; begin with the second"));
    };
    let from = warm_up_start(rows.start, warm_up, model.lag());
    let x = inputs.part(from..last)?;
    let y = model.forward(device.clone(), &x, Order::BatchFirst, &mut State::new(model.shape(), 1))?;
    y.part(before - from..last - from)
}

/// Predictions for held-out rows, next to the actual values.
#[derive(Debug, Clone)]
pub struct HeldOut {
    /// The prediction for each row, `[n,D]` in raw units; means or medians if the model predicts distributions.
    pub predictions: Tensor<f64>,
    /// The actual values in raw units, `[n+1,D]`: the last known ones before the first prediction, and those of each
    /// predicted row, NaN where they are missing.
    pub actuals: Tensor<f64>,
    /// One score for each target.
    pub scores: Vec<Score>,
}

impl HeldOut {
    /// Predicts the rows `rows` of a table one step ahead and scores the predictions. `inputs [T,I]` and
    /// `targets [T,D]` are all rows of the table; a target that is NaN is missing and not scored. The state is warmed up
    /// on the `warm_up` rows before: see [`warm_up`].
    ///
    /// # Errors
    /// Those of [`outputs`], and if there is nothing to score.
    pub fn of(
        model: &Model,
        device: &Device,
        inputs: &Tensor<f64>,
        targets: &Tensor<f64>,
        rows: Range<usize>,
        warm_up: usize,
    ) -> Result<Self> {
        let predictions = model.point(&outputs(model, device, inputs, rows.clone(), warm_up)?)?;
        let ((_, width), from) = (targets.rows(), rows.start - 1);
        let mut actuals = targets.part(from..rows.end)?.into_data();
        for (column, value) in actuals.iter_mut().take(width).enumerate().filter(|(_, value)| value.is_nan()) {
            let before = (0..from).rev().map(|row| targets.data()[row * width + column]);
            *value = before.into_iter().find(|value| !value.is_nan()).unwrap_or(f64::NAN);
        }
        Self::new(predictions, Tensor::new([rows.len() + 1, width], actuals)?)
    }

    /// `predictions [n,D]` next to `actuals [n+1,D]`, whose first row is the one before the first prediction.
    ///
    /// # Errors
    /// Those of [`scores`].
    pub fn new(predictions: Tensor<f64>, actuals: Tensor<f64>) -> Result<Self> {
        Ok(Self { scores: scores(&predictions, &actuals)?, predictions, actuals })
    }
}

/// Errors of one target column, in its own units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Root of the mean squared error of the model.
    pub rmse: f64,
    /// The same for persistence, which predicts that the next value is equal to the last one.
    pub persistence_rmse: f64,
}

impl Score {
    /// Whether every actual value is missing, so that nothing could be scored.
    pub fn is_unknown(&self) -> bool {
        self.rmse.is_nan() && self.persistence_rmse.is_nan()
    }

    /// By what part the model's error is smaller than that of persistence; negative if it is larger.
    /// NaN if the series never changed, so that persistence was never wrong.
    pub fn gain(&self) -> f64 {
        1.0 - self.rmse / self.persistence_rmse
    }
}

/// The score of each target column. Row t of the predictions `y [T,O]` is for row t + 1 of the actuals
/// `series [T+1,O]`; persistence predicts the last known value for it. A row whose actual value is NaN is not scored, and
/// the errors of a column that has no other rows are NaN.
///
/// # Errors
/// If there is no row, or the shapes of the arrays do not fit together.
pub fn scores(y: &Tensor<f64>, series: &Tensor<f64>) -> Result<Vec<Score>> {
    let ((rows, width), (all, columns)) = (y.rows(), series.rows());
    if rows == 0 || all != rows + 1 || columns != width {
        let (y, series) = (y.dims(), series.dims());
        return Err(Error::invalid(format!(
            "scores: predictions of shape {y:?} do not fit actual values of shape {series:?}; these need the same \
             columns and one row more"
        )));
    }
    let of_column = |values: &[f64], column: usize| values.iter().skip(column).step_by(width).copied().collect();
    let score = |column| {
        let (y, series): (Vec<f64>, Vec<f64>) = (of_column(y.data(), column), of_column(series.data(), column));
        let mut last = f64::NAN;
        let (mut count, mut squares, mut of_persistence) = (0, 0.0, 0.0);
        for (y, pair) in y.iter().zip(series.windows(2)) {
            last = if pair[0].is_nan() { last } else { pair[0] };
            if !pair[1].is_nan() {
                count += 1;
                squares += (y - pair[1]).powi(2);
                of_persistence += (last - pair[1]).powi(2);
            }
        }
        let root = |sum: f64| (sum / f64::from(count)).sqrt();
        Score { rmse: root(squares), persistence_rmse: root(of_persistence) }
    };
    Ok((0..width).map(score).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_count_each_column() {
        let series = Tensor::new([3, 2], [0.0, 10.0, 1.0, 10.0, 3.0, 10.0]).unwrap();
        let y = Tensor::new([2, 2], [1.0, 11.0, 1.0, 9.0]).unwrap();
        let found = scores(&y, &series).unwrap();
        assert_eq!(found[0], Score { rmse: 2.0_f64.sqrt(), persistence_rmse: 2.5_f64.sqrt() });
        assert_eq!(found[1], Score { rmse: 1.0, persistence_rmse: 0.0 });
        assert!(scores(&y, &y).is_err());
    }

    /// A missing value is not scored, and persistence predicts the last known one after it.
    #[test]
    fn missing_values_are_not_scored() {
        let series = Tensor::new([5, 1], [1.0, f64::NAN, 4.0, f64::NAN, 6.0]).unwrap();
        let y = Tensor::new([4, 1], [9.0, 5.0, 9.0, 6.0]).unwrap();
        let found = scores(&y, &series).unwrap();
        assert_eq!(found, [Score { rmse: 0.5_f64.sqrt(), persistence_rmse: 6.5_f64.sqrt() }]);
        let nothing = Tensor::new([2, 1], [1.0, f64::NAN]).unwrap();
        let unknown = scores(&y.part(0..1).unwrap(), &nothing).unwrap();
        assert!(unknown[0].is_unknown() && !found[0].is_unknown());
    }
}
