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
/// rows). It is returned as one of the values. A value that is NaN is missing: nothing is fitted to it, and as a lag the
/// last value before it stands in its place. `None` if there are too few rows, or one is infinite.
pub fn fit(series: &[&[f64]], difference: usize, most: usize) -> Option<Autoregression> {
    let all: Vec<Cow<[f64]>> = series.iter().map(|values| carried(values)).collect();
    let changes: Vec<Cow<[f64]>> = all.iter().map(|values| changes(values, difference)).collect();
    let total: usize = changes.iter().map(|values| values.len()).sum();
    let most = most.min(most_lags(total)).max(1);
    // the changes to a value that is missing
    let missing = |values: &&[f64]| -> Vec<usize> {
        let to = values.iter().enumerate().skip(difference + most).filter(|(_, value)| value.is_nan());
        to.map(|(t, _)| t - difference).collect()
    };
    let missing: Vec<Vec<usize>> = series.iter().map(missing).collect();
    let count = |(values, missing): (&Cow<[f64]>, &Vec<usize>)| values.len().saturating_sub(most) - missing.len();
    let rows: usize = changes.iter().zip(&missing).map(count).sum();
    if rows <= most + 2 {
        return None;
    }
    // around the mean and in units of the spread, so that the normal equations lose no digits that matter
    let (mean, spread) = mean_and_spread(changes.iter().flat_map(|values| values.iter().copied()));
    let mut gram = DMatrix::<f64>::zeros(most + 2, most + 2);
    for (values, missing) in changes.iter().zip(&missing) {
        let values: Vec<f64> = values.iter().map(|&v| (v - mean) / spread).collect();
        add_products(&values, &mut gram);
        missing.iter().for_each(|&t| take_products(&values[t - most..=t], &mut gram));
    }
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
    let (center, _) = mean_and_spread(all.iter().flat_map(|values| values.iter().copied()));
    Autoregression::new(center, intercept, &terms.into_iter().collect::<Vec<_>>()).ok()
}

/// The values with the last known one in place of each that is missing, which is NaN; the first known one before it.
pub(super) fn carried(values: &[f64]) -> Cow<'_, [f64]> {
    match values.iter().find(|value| !value.is_nan()) {
        Some(&first) if values.iter().any(|value| value.is_nan()) => {
            let carry = |last: &mut f64, value: &f64| {
                *last = if value.is_nan() { *last } else { *value };
                Some(*last)
            };
            values.iter().scan(first, carry).collect()
        }
        _ => values.into(),
    }
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

/// Adds the products of a constant 1, the lags and the value to predict, in this order, for all rows of a series that have
/// all lags before them. Sums of two lags differ from those of the two lags before by their first and their last product
/// alone, so that only the first of each kind is added up.
fn add_products(values: &[f64], gram: &mut DMatrix<f64>) {
    let most = gram.nrows() - 2;
    let Some(rows) = values.len().checked_sub(most).filter(|rows| *rows > 0) else { return };
    // values from lag `lag` on, the value to predict being lag 0
    let from = |lag: usize| &values[most - lag..][..rows];
    let place = |lag: usize| if lag == 0 { most + 1 } else { lag };
    let mut sum: f64 = from(0).iter().sum();
    gram[(0, 0)] += rows as f64;
    for lag in 0..=most {
        gram[(place(lag), 0)] += sum;
        gram[(0, place(lag))] += sum;
        if lag < most {
            sum += values[most - 1 - lag] - values[values.len() - 1 - lag];
        }
    }
    for apart in 0..=most {
        let mut sum: f64 = from(0).iter().zip(from(apart)).map(|(a, b)| a * b).sum();
        for (lag, other) in (0..).zip(apart..=most) {
            gram[(place(lag), place(other))] += sum;
            if apart > 0 {
                gram[(place(other), place(lag))] += sum;
            }
            if other < most {
                sum += values[most - 1 - lag] * values[most - 1 - other];
                sum -= values[values.len() - 1 - lag] * values[values.len() - 1 - other];
            }
        }
    }
}

/// Takes the products of one row out again. The row has all its lags and the value to predict, oldest first.
fn take_products(row: &[f64], gram: &mut DMatrix<f64>) {
    let (most, now) = (row.len() - 1, row.len() - 1);
    let one = |place: usize| match place {
        0 => 1.0,
        lag if lag <= most => row[now - lag],
        _ => row[now],
    };
    for i in 0..=most + 1 {
        for j in 0..=most + 1 {
            gram[(i, j)] -= one(i) * one(j);
        }
    }
}

/// The constant and the coefficients, that of the last value first, for the order with the smallest AIC. `gram` has the
/// sums of products of a constant, the lags and the value to predict, over `rows` rows.
fn with_smallest_aic(gram: &DMatrix<f64>, rows: usize) -> Option<DVector<f64>> {
    let most = gram.nrows() - 2;
    let told = gram.column(most + 1).into_owned();
    let total = told[most + 1];
    // if a lag follows from the others there is no unique solution, and more lags cannot help; the factor of an order
    // is the beginning of that of the next one
    let factor_of = |order: usize| gram.view((0, 0), (order + 1, order + 1)).into_owned().cholesky();
    let (longest, factor) = (1..=most).rev().find_map(|order| Some((order, factor_of(order)?.unpack())))?;
    let halfway = factor.solve_lower_triangular(&told.rows(0, longest + 1).into_owned())?;
    let mut rest = total - halfway[0].powi(2);
    let mut best = (f64::INFINITY, 1);
    for order in 1..=longest {
        rest -= halfway[order].powi(2);
        let aic = rows as f64 * (rest.max(1e-300) / rows as f64).ln() + 2.0 * (order + 1) as f64;
        if aic < best.0 {
            best = (aic, order);
        }
        if rest <= 1e-12 * total {
            break;
        }
    }
    let size = best.1 + 1;
    factor.view((0, 0), (size, size)).tr_solve_lower_triangular(&halfway.rows(0, size).into_owned())
}

/// The mean and the standard deviation; 1 instead of a deviation of 0.
pub(super) fn mean_and_spread(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    // around the first value, so that a large constant in all of them costs no digits
    let (count, first) = (values.clone().count().max(1) as f64, values.clone().next().unwrap_or_default());
    let mean = values.clone().map(|v| v - first).sum::<f64>() / count;
    let variance = values.map(|v| (v - first - mean).powi(2)).sum::<f64>() / count;
    (first + mean, if variance > 0.0 { variance.sqrt() } else { 1.0 })
}
