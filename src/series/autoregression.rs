//! Linear autoregressions are fitted here: of the values of a series, of its changes, or of its seasonal changes.

use crate::units::autoregression::Autoregression;
use nalgebra::{DMatrix, DVector};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The most lags of an autoregression.
const LAGS: usize = 40;

/// An autoregression with an intercept of the changes over `difference` rows of several series, or of their values if
/// that is 0. One is fitted to all of them by conditional least squares; no lag reaches into another series. The order
/// is the one with the smallest AIC over the same rows, among orders up to `most` (and up to 40, and a tenth of the
/// rows). It is returned as one of the values. `None` if there are too few rows, or one is not finite.
pub fn fit(series: &[&[f64]], difference: usize, most: usize) -> Option<Autoregression> {
    let changes: Vec<Cow<[f64]>> = series.iter().map(|values| changes(values, difference)).collect();
    let total: usize = changes.iter().map(|values| values.len()).sum();
    let most = most.min(most_lags(total)).max(1);
    let rows: usize = changes.iter().map(|values| values.len().saturating_sub(most)).sum();
    if rows <= most + 2 {
        return None;
    }
    // around the mean and in units of the spread, so that the normal equations lose no digits that matter
    let (mean, spread) = mean_and_spread(changes.iter().flat_map(|values| values.iter().copied()));
    let size = most + 2; // a constant, the lags, and the value to predict
    let mut gram = DMatrix::<f64>::zeros(size, size);
    for values in &changes {
        let values: Vec<f64> = values.iter().map(|&v| (v - mean) / spread).collect();
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
    }
    gram.fill_upper_triangle_with_lower_triangle();
    let solution = with_smallest_aic(&gram, rows)?;
    let coefficients = solution.iter().copied().enumerate().skip(1);
    if difference == 0 {
        return Autoregression::new(mean, solution[0] * spread, &coefficients.collect::<Vec<_>>()).ok();
    }
    // v[t] - v[t-s] is expected to be k + Σ a (v[t-i] - v[t-s-i]): solved for v[t], lags that meet are added up
    let mut terms = BTreeMap::from([(difference, 1.0)]);
    let mut intercept = mean + solution[0] * spread;
    for (lag, coefficient) in coefficients {
        *terms.entry(lag).or_insert(0.0) += coefficient;
        *terms.entry(lag + difference).or_insert(0.0) -= coefficient;
        intercept -= coefficient * mean;
    }
    let (center, _) = mean_and_spread(series.iter().flat_map(|values| values.iter().copied()));
    Autoregression::new(center, intercept, &terms.into_iter().collect::<Vec<_>>()).ok()
}

/// The most lags that are fitted to this number of rows.
pub(super) fn most_lags(rows: usize) -> usize {
    LAGS.min(rows / 10)
}

/// The changes over `difference` rows; the values themselves if that is 0.
fn changes(values: &[f64], difference: usize) -> Cow<'_, [f64]> {
    match difference {
        0 => values.into(),
        rows => values.iter().skip(rows).zip(values).map(|(now, before)| now - before).collect(),
    }
}

/// The constant and the coefficients, that of the last value first, for the order with the smallest AIC. `gram` has the
/// sums of products of a constant, the lags and the value to predict, over `rows` rows.
fn with_smallest_aic(gram: &DMatrix<f64>, rows: usize) -> Option<DVector<f64>> {
    let most = gram.nrows() - 2;
    let told = gram.column(most + 1).into_owned();
    let total = told[most + 1];
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
    best.map(|(_, solution)| solution)
}

/// The mean and the standard deviation; 1 instead of a deviation of 0.
pub(super) fn mean_and_spread(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    // around the first value, so that a large constant in all of them costs no digits
    let (count, first) = (values.clone().count().max(1) as f64, values.clone().next().unwrap_or_default());
    let mean = values.clone().map(|v| v - first).sum::<f64>() / count;
    let variance = values.map(|v| (v - first - mean).powi(2)).sum::<f64>() / count;
    (first + mean, if variance > 0.0 { variance.sqrt() } else { 1.0 })
}
