//! Simple forecasts, for a model to be compared with: persistence (the last value), seasonal naive (the value one
//! season ago), the mean, drift (a straight line), and a linear autoregression. Each looks at one column.

use super::season;
use nalgebra::{DMatrix, DVector};

pub use super::season::seasons;

/// The most lags of an autoregression.
const LAGS: usize = 40;

/// A forecast that is fitted to the training part alone.
#[derive(Debug, Clone, PartialEq)]
pub enum Naive {
    /// Persistence: the last value.
    Persistence,
    /// Seasonal naive: the value one season ago. It holds the number of rows in a season, at least 1.
    Seasonal(usize),
    /// This value, the mean of the training part.
    Mean(f64),
    /// The last value, plus this growth for each row ahead: the mean growth from row to row in the training part.
    Drift(f64),
    /// `sum(coefficients[i] · v[t-i]) + intercept`, fed back for further rows.
    Autoregression {
        /// The coefficients, that of the last value first.
        coefficients: Vec<f64>,
        /// The constant that is added.
        intercept: f64,
    },
}

impl Naive {
    /// The mean of `training [T]`, in its own units. On white noise no forecast is better.
    pub fn mean(training: &[f64]) -> Self {
        Self::Mean(mean_and_spread(training).0)
    }

    /// A drift with the mean growth from row to row of `training [T]`, in its own units.
    pub fn drift(training: &[f64]) -> Self {
        let (first, last) = (training.first().copied().unwrap_or(0.0), training.last().copied().unwrap_or(0.0));
        Self::Drift((last - first) / training.len().saturating_sub(1).max(1) as f64)
    }

    /// An autoregression with an intercept, fitted by conditional least squares. Its order is the one with the smallest
    /// AIC over the same rows, among orders up to `most` (and up to 40, and a tenth of the rows). `None` if there are
    /// too few rows.
    pub fn autoregression(training: &[f64], most: usize) -> Option<Self> {
        let most = most.min(LAGS).min(training.len() / 10).max(1);
        let rows = training.len().checked_sub(most).filter(|&rows| rows > most + 2)?;
        // around the mean and in units of the spread, so that the normal equations lose no digits that matter
        let (mean, spread) = mean_and_spread(training);
        let values: Vec<f64> = training.iter().map(|&v| (v - mean) / spread).collect();
        let size = most + 2; // a constant, the lags, and the value to predict
        let mut gram = DMatrix::<f64>::zeros(size, size);
        for rows in values.windows(most + 1) {
            let entry = |i: usize| match i {
                0 => 1.0,
                i if i == size - 1 => rows[most],
                lag => rows[most - lag],
            };
            for i in 0..size {
                let at_i = entry(i);
                for j in 0..=i {
                    gram[(i, j)] += at_i * entry(j);
                }
            }
        }
        gram.fill_upper_triangle_with_lower_triangle();
        let told = gram.column(size - 1).into_owned();
        let total = told[size - 1];
        let mut best: Option<(f64, DVector<f64>)> = None;
        for order in 1..=most {
            // if this lag follows from the others there is no unique solution, and more lags cannot help
            let Some(factor) = gram.view((0, 0), (order + 1, order + 1)).into_owned().cholesky() else { break };
            let solution = factor.solve(&told.rows(0, order + 1).into_owned());
            let rest = total - solution.dot(&told.rows(0, order + 1));
            let exact = rest <= 1e-12 * total;
            let aic = rows as f64 * (rest.max(1e-300) / rows as f64).ln() + 2.0 * (order + 1) as f64;
            if best.as_ref().is_none_or(|(least, _)| aic < *least) {
                best = Some((aic, solution));
            }
            if exact {
                break;
            }
        }
        let (_, solution) = best?;
        let coefficients: Vec<f64> = solution.iter().skip(1).copied().collect();
        let intercept = solution[0] * spread + mean * (1.0 - coefficients.iter().sum::<f64>());
        Some(Self::Autoregression { coefficients, intercept })
    }

    /// Writes the forecasts of the next N values after `history [T]` into `out [N]`, in its units; NaN if there is no
    /// history. Values before the start of the history count as equal to its first value.
    pub fn forecast(&self, history: &[f64], out: &mut [f64]) {
        let back = |rows: usize| history.len().checked_sub(rows).and_then(|at| history.get(at)).or(history.first());
        let value = |rows: usize| back(rows).map_or(f64::NAN, |&v| v);
        match self {
            Self::Persistence => out.fill(value(1)),
            Self::Mean(mean) => out.fill(*mean),
            Self::Seasonal(season) => {
                let season = (*season).max(1);
                for (ahead, out) in out.iter_mut().enumerate() {
                    *out = value(season - ahead % season);
                }
            }
            Self::Drift(growth) => {
                for (ahead, out) in out.iter_mut().enumerate() {
                    *out = value(1) + growth * (ahead + 1) as f64;
                }
            }
            Self::Autoregression { coefficients, intercept } => {
                for ahead in 0..out.len() {
                    let term =
                        |(i, a): (usize, &f64)| a * if i < ahead { out[ahead - 1 - i] } else { value(i + 1 - ahead) };
                    out[ahead] = intercept + coefficients.iter().enumerate().map(term).sum::<f64>();
                }
            }
        }
    }
}

/// The number of rows in the season of a series, if it has one. Of several [`seasons`] it is the one whose seasonal
/// naive forecast errs least.
pub fn season(values: &[f64]) -> Option<usize> {
    season::best(values, &seasons(values))
}

/// The mean and the standard deviation; 1 instead of a deviation of 0.
fn mean_and_spread(values: &[f64]) -> (f64, f64) {
    // around the first value, so that a large constant in all of them costs no digits
    let (count, first) = (values.len().max(1) as f64, values.first().copied().unwrap_or_default());
    let mean = values.iter().map(|&v| v - first).sum::<f64>() / count;
    let variance = values.iter().map(|&v| (v - first - mean).powi(2)).sum::<f64>() / count;
    (first + mean, if variance > 0.0 { variance.sqrt() } else { 1.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ahead(naive: &Naive, history: &[f64], rows: usize) -> Vec<f64> {
        let mut out = vec![0.0; rows];
        naive.forecast(history, &mut out);
        out
    }

    #[test]
    fn what_each_says() {
        let history = [1.0, 2.0, 4.0, 3.0, 5.0];
        assert_eq!(ahead(&Naive::Persistence, &history, 2), [5.0, 5.0]);
        assert_eq!(ahead(&Naive::Seasonal(2), &history, 3), [3.0, 5.0, 3.0]);
        assert_eq!(ahead(&Naive::Seasonal(9), &history, 2), [1.0, 1.0]);
        assert_eq!(ahead(&Naive::Seasonal(0), &history, 2), ahead(&Naive::Seasonal(1), &history, 2));
        assert_eq!(ahead(&Naive::Seasonal(usize::MAX), &history, 2), [1.0, 1.0]);
        assert_eq!(ahead(&Naive::mean(&history), &history, 2), [3.0, 3.0]);
        assert_eq!(ahead(&Naive::mean(&[]), &history, 1), [0.0]);
        assert_eq!(ahead(&Naive::drift(&history), &history, 2), [6.0, 7.0]);
        let two = Naive::Autoregression { coefficients: vec![0.5, 0.25], intercept: 1.0 };
        assert_eq!(ahead(&two, &history, 3), [4.25, 4.375, 4.25]);
    }

    #[test]
    fn an_autoregression_finds_what_made_the_series() {
        let mut random = crate::random::Random::new(1, crate::random::Purpose::Order, 0);
        let mut v = vec![100.0_f64, 101.0];
        for t in 2..4000 {
            let noise = f64::from(random.uniform()) - 0.5;
            v.push(20.0 + 1.2 * v[t - 1] - 0.4 * v[t - 2] + noise);
        }
        let Some(Naive::Autoregression { coefficients, intercept }) = Naive::autoregression(&v, 20) else { panic!() };
        assert!((coefficients[0] - 1.2).abs() < 0.05 && (coefficients[1] + 0.4).abs() < 0.05, "{coefficients:?}");
        let mean = intercept / (1.0 - coefficients.iter().sum::<f64>());
        assert!((mean - 100.0).abs() < 0.5, "{mean}");
        // two lags predict a sine without an error, so a third one has no unique coefficient
        let sine: Vec<f64> = (0..300).map(|t| (t as f64 * 0.3).sin()).collect();
        let predicted = ahead(&Naive::autoregression(&sine, 20).unwrap(), &sine, 20);
        for (ahead, predicted) in predicted.iter().enumerate() {
            assert!((predicted - ((300 + ahead) as f64 * 0.3).sin()).abs() < 1e-2, "{ahead}: {predicted}");
        }
        for few in [&[][..], &[1.0], &[1.0; 8]] {
            let found = Naive::autoregression(few, 5);
            assert!(found.is_none() || ahead(&found.unwrap(), few, 1)[0].is_finite());
        }
        assert!(Naive::autoregression(&[7.0; 100], 5).is_none()); // a constant series
    }
}
