//! How good forecasts of one step ahead are.

use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Errors of one target column, in its own units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Root of the mean squared error of the model.
    pub rmse: f64,
    /// The same for the forecast that the next value is the last one.
    pub last_value_rmse: f64,
}

impl Score {
    /// By what part the model's error is smaller than that of the last value; negative if it is larger.
    /// NaN if the series never changed and so the last value was never wrong.
    pub fn gain(&self) -> f64 {
        1.0 - self.rmse / self.last_value_rmse
    }
}

/// Scores, target by target, of `y [T,O]` against what came: row t of `y` foretells row t + 1 of `series [T+1,O]`,
/// for which the last-value forecast is row t.
///
/// # Errors
/// If there is nothing to score or the arrays do not go together.
pub fn scores(y: &Tensor, series: &Tensor) -> Result<Vec<Score>> {
    let ((rows, width), (all, columns)) = (y.rows(), series.rows());
    if rows == 0 || all != rows + 1 || columns != width {
        let (y, series) = (y.dims(), series.dims());
        return Err(Error::invalid(format!("scores: y of shape {y:?} does not go with a series of shape {series:?}")));
    }
    let rmse = |forecast: &[f32], column: usize| {
        let truth = &series.data()[width..];
        let errors = forecast.iter().zip(truth).skip(column).step_by(width);
        let sum: f64 = errors.map(|(y, t)| (f64::from(*y) - f64::from(*t)).powi(2)).sum();
        (sum / rows as f64).sqrt()
    };
    let score = |column| Score { rmse: rmse(y.data(), column), last_value_rmse: rmse(series.data(), column) };
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
        assert_eq!(found[0], Score { rmse: 2.0_f64.sqrt(), last_value_rmse: 2.5_f64.sqrt() });
        assert_eq!(found[1], Score { rmse: 1.0, last_value_rmse: 0.0 });
        assert!(scores(&y, &y).is_err());
    }
}
