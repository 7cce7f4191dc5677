//! Errors one step ahead, in units of the model's own uncertainty. A simulated path draws one of them at each step.

use super::quantiles::normal_deviate;
#[cfg(feature = "evaluate")]
use super::quantiles::quantile;
use crate::error::{Error, Result};
use crate::objective::loss::{LEAST_S, Levels, Loss};
#[cfg(feature = "evaluate")]
use crate::random::{Purpose, Random};

/// The largest deviate: deviates beyond it count as equal to it.
const FAR: f32 = 10.0;

/// The output kind of a network: how a row of y and an error give a value of each predicted column, and back.
///
/// If y is a value alone, an error is the actual value minus y. If y is a mean and a variance, an error is that
/// difference over the deviation. If y is quantiles, they are a map from a normal deviate to a value, linear between
/// the levels and beyond them, and an error is a deviate. All are in the network's units.
#[derive(Debug, Clone)]
pub struct OutputKind {
    loss: Loss,
    /// The normal deviates of the levels.
    deviates: [f32; Levels::MOST],
}

impl OutputKind {
    /// The output kind of a network that was trained with `loss`.
    pub fn new(loss: Loss) -> Self {
        let mut deviates = [0.0; Levels::MOST];
        if let Loss::Quantiles(levels) = loss {
            for (deviate, &level) in deviates.iter_mut().zip(levels.as_slice()) {
                *deviate = normal_deviate(f64::from(level)) as f32;
            }
        }
        Self { loss, deviates }
    }

    /// The errors `[D]` of `y [O]` against the actual values `truth [D]`, all in the network's units. NaN where y or
    /// the actual value is NaN.
    ///
    /// # Panics
    /// If y is not as wide as the loss asks for.
    pub fn errors(&self, y: &[f32], truth: &[f32], errors: &mut [f32]) {
        let columns = truth.len();
        for (d, (error, &truth)) in errors.iter_mut().zip(truth).enumerate() {
            *error = match self.loss {
                Loss::Gaussian => (truth - y[d]) / deviation(y[columns + d]),
                Loss::Quantiles(levels) if levels.as_slice().len() > 1 => {
                    let (values, count) = self.quantiles(levels, y, columns, d);
                    deviate(&values[..count], &self.deviates[..count], truth)
                }
                _ => truth - y[d],
            };
        }
    }

    /// The same for n rows: errors `[n,D]` of `y [n,O]` against the `actuals [n,D]`. D is `columns`.
    ///
    /// # Panics
    /// If y is not as wide as the loss asks for.
    pub(crate) fn errors_of_rows(&self, y: &[f32], actuals: &[f32], columns: usize) -> Vec<f32> {
        let mut errors = vec![0.0; actuals.len()];
        let rows = y.chunks_exact(self.loss.outputs(columns)).zip(actuals.chunks_exact(columns));
        for ((y, actual), errors) in rows.zip(errors.chunks_exact_mut(columns)) {
            self.errors(y, actual, errors);
        }
        errors
    }

    /// The values `[D]` whose errors against `y [O]` are `errors [D]`, all in the network's units.
    ///
    /// # Panics
    /// If y is not as wide as the loss asks for.
    #[inline]
    pub fn values(&self, y: &[f32], errors: &[f32], values: &mut [f32]) {
        let columns = values.len();
        for (d, (value, &error)) in values.iter_mut().zip(errors).enumerate() {
            *value = match self.loss {
                Loss::Gaussian => y[d] + deviation(y[columns + d]) * error,
                Loss::Quantiles(levels) if levels.as_slice().len() > 1 => {
                    let (values, count) = self.quantiles(levels, y, columns, d);
                    value_at(&values[..count], &self.deviates[..count], error)
                }
                _ => y[d] + error,
            };
        }
    }

    /// The quantiles of column `d`, lowest first: a network may predict them in another order.
    fn quantiles(&self, levels: Levels, y: &[f32], columns: usize, d: usize) -> ([f32; Levels::MOST], usize) {
        let (mut values, count) = ([0.0; Levels::MOST], levels.as_slice().len());
        for (i, value) in values[..count].iter_mut().enumerate() {
            *value = y[i * columns + d];
        }
        values[..count].sort_unstable_by(f32::total_cmp);
        (values, count)
    }
}

/// The standard deviation for the logarithm `s` of a variance, with the same lower limit as in the loss.
#[inline]
fn deviation(s: f32) -> f32 {
    libm::expf(0.5 * if s < LEAST_S { LEAST_S } else { s })
}

/// The slope from the first level to the last, by which values go on beyond the outermost levels.
fn slope(values: &[f32], deviates: &[f32]) -> f32 {
    let last = values.len() - 1;
    (values[last] - values[0]) / (deviates[last] - deviates[0])
}

fn value_at(values: &[f32], deviates: &[f32], deviate: f32) -> f32 {
    let last = values.len() - 1;
    if deviate <= deviates[0] {
        return values[0] + (deviate - deviates[0]) * slope(values, deviates);
    }
    if deviate >= deviates[last] {
        return values[last] + (deviate - deviates[last]) * slope(values, deviates);
    }
    let i = deviates.partition_point(|&known| known <= deviate).clamp(1, last);
    let part = (deviate - deviates[i - 1]) / (deviates[i] - deviates[i - 1]);
    values[i - 1] + part * (values[i] - values[i - 1])
}

/// The inverse of [`value_at`]. Where several levels have the same value, it is the middle of their deviates.
fn deviate(values: &[f32], deviates: &[f32], value: f32) -> f32 {
    let last = values.len() - 1;
    if value.is_nan() || values.iter().any(|value| value.is_nan()) {
        return f32::NAN;
    }
    let beyond = |from: usize| (deviates[from] + (value - values[from]) / slope(values, deviates)).clamp(-FAR, FAR);
    let (below, above) =
        (values.partition_point(|&known| known < value), values.partition_point(|&known| known <= value));
    match (below, above) {
        (0, 0) => beyond(0),
        (below, _) if below > last => beyond(last),
        // between two levels
        (below, above) if below == above => {
            let (low, high) = (values[below - 1], values[below]);
            deviates[below - 1] + (value - low) / (high - low) * (deviates[below] - deviates[below - 1])
        }
        // on one level or on several
        (below, above) => 0.5 * (deviates[below] + deviates[above - 1]),
    }
}

/// Errors `[n,D]`. A row has the errors of all columns at the same time, so that errors of columns that go together
/// also go together in simulated paths.
#[derive(Debug, Clone, PartialEq)]
pub struct Residuals {
    rows: Vec<f32>,
    columns: usize,
}

impl Residuals {
    /// The most rows that are worth keeping.
    pub const MOST: usize = 500;

    /// Rows of errors, as [`OutputKind::errors`] gives them.
    ///
    /// # Errors
    /// If there are none, or the values do not divide into rows, or one is not finite.
    pub fn new(rows: Vec<f32>, columns: usize) -> Result<Self> {
        if rows.is_empty() || columns == 0 || !rows.len().is_multiple_of(columns) {
            return Err(Error::invalid(format!("errors: {} values do not divide into rows of {columns}", rows.len())));
        }
        if rows.iter().any(|error| !error.is_finite()) {
            return Err(Error::invalid("errors: a value is not finite"));
        }
        Ok(Self { rows, columns })
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows.len() / self.columns
    }

    /// Whether there are no rows. This is always false, because [`Residuals::new`] refuses that.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All values, row after row.
    pub fn values(&self) -> &[f32] {
        &self.rows
    }

    /// D
    pub fn columns(&self) -> usize {
        self.columns
    }
}

#[cfg(feature = "evaluate")]
impl Residuals {
    /// Normal deviates: the errors of a model whose predicted distribution is right. They are used if no errors were
    /// observed.
    pub(super) fn normal(columns: usize, seed: u64) -> Self {
        let mut random = Random::new(seed, Purpose::Paths, u64::MAX);
        // one from each thousandth of the distribution, in a random order for each column
        let mut rows = vec![0.0; 1000 * columns];
        for d in 0..columns {
            let mut deviates: Vec<f32> =
                (0..1000).map(|i| normal_deviate((f64::from(i) + 0.5) / 1000.0) as f32).collect();
            for (left, row) in (1..=1000).rev().zip(rows.chunks_exact_mut(columns)) {
                row[d] = deviates.swap_remove(random.below(left));
            }
        }
        Self { rows, columns }
    }

    /// The same errors, shifted so that what `loss` aims at is 0: the mean, the median, or the quantile if there is a
    /// single level. An average error over one stretch of time may be chance, and a hundred steps would add it up a
    /// hundred times.
    pub(super) fn centred(mut self, loss: Loss) -> Self {
        for d in 0..self.columns {
            let mut column: Vec<f32> = self.rows.iter().skip(d).step_by(self.columns).copied().collect();
            column.sort_unstable_by(f32::total_cmp);
            let mean = || mean_of_most(&column);
            let aim = match loss {
                Loss::Mae => quantile(&column, 0.5),
                Loss::Quantiles(levels) if levels.as_slice().len() == 1 => {
                    quantile(&column, f64::from(levels.as_slice()[0]))
                }
                _ => mean(),
            };
            self.rows.iter_mut().skip(d).step_by(self.columns).for_each(|error| *error -= aim as f32);
        }
        self
    }

    /// Draws one of the rows.
    #[inline]
    pub(super) fn draw(&self, random: &mut Random) -> &[f32] {
        let row = random.below(self.len());
        &self.rows[row * self.columns..][..self.columns]
    }
}

/// The mean without outliers, which lie farther from the middle half than ten times its width. Otherwise one glitch of
/// a sensor would move every path.
#[cfg(feature = "evaluate")]
fn mean_of_most(sorted: &[f32]) -> f64 {
    let (low, high) = (quantile(sorted, 0.25), quantile(sorted, 0.75));
    let far = 10.0 * (high - low);
    let near = |error: &f64| far == 0.0 || (low - far..=high + far).contains(error);
    let (sum, count) =
        sorted.iter().map(|&error| f64::from(error)).filter(near).fold((0.0, 0.0), |(sum, n), e| (sum + e, n + 1.0));
    sum / count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f32, b: f32) -> bool {
        (a - b).abs() < 1e-5 * b.abs().max(1.0)
    }

    #[test]
    fn errors_and_values_undo_each_other() {
        let losses =
            ["mse", "mae", "gaussian", "quantiles:0.1,0.5,0.9", "quantiles:0.3", "quantiles:0.05,0.2,0.21,0.99"];
        for loss in losses.map(|loss| loss.parse::<Loss>().unwrap()) {
            let kind = OutputKind::new(loss);
            // two columns
            let y: Vec<f32> = (0..loss.outputs(2)).map(|i| 0.3 * i as f32 - 0.4 + 0.01 * (i * i) as f32).collect();
            for error in [-3.0, -1.3, -0.2, 0.0, 0.7, 2.5] {
                let (mut values, mut errors) = ([0.0; 2], [0.0; 2]);
                kind.values(&y, &[error, -error], &mut values);
                kind.errors(&y, &values, &mut errors);
                assert!(near(errors[0], error) && near(errors[1], -error), "{loss} {error}: {values:?} {errors:?}");
            }
        }
    }

    /// By hand: the deviate of a level gives its value; between levels and beyond them values are linear.
    #[test]
    fn quantiles_are_a_map() {
        let kind = OutputKind::new("quantiles:0.1,0.5,0.9".parse().unwrap());
        let deviate = 1.281_551_6_f32;
        let at = |error: f32, y: [f32; 3]| {
            let mut value = [0.0];
            kind.values(&y, &[error], &mut value);
            value[0]
        };
        for y in [[-1.0, 0.0, 3.0], [3.0, -1.0, 0.0]] {
            assert!(near(at(-deviate, y), -1.0) && near(at(0.0, y), 0.0) && near(at(deviate, y), 3.0));
            assert!(near(at(0.5 * deviate, y), 1.5) && near(at(-0.5 * deviate, y), -0.5));
            assert!(near(at(2.0 * deviate, y), 3.0 + 2.0) && near(at(-2.0 * deviate, y), -1.0 - 2.0));
        }
        // one value for all levels: the actual value is equal to it, or not
        let of = |truth: f32, y: [f32; 3]| {
            let mut error = [0.0];
            kind.errors(&y, &[truth], &mut error);
            error[0]
        };
        assert!(near(of(2.0, [2.0; 3]), 0.0));
        assert_eq!((of(1.0, [2.0; 3]), of(3.0, [2.0; 3])), (-FAR, FAR));
        assert!(of(f32::NAN, [1.0, 2.0, 3.0]).is_nan() && of(2.0, [1.0, f32::NAN, 3.0]).is_nan());
        assert!(near(of(2.0, [2.0, 2.0, 5.0]), -0.5 * deviate) && near(of(2.0, [1.0, 2.0, 5.0]), 0.0));
    }

    #[test]
    #[cfg(feature = "evaluate")]
    fn normal_deviates_are_normal() {
        let errors = Residuals::normal(2, 3);
        assert_eq!((errors.len(), errors.columns()), (1000, 2));
        let (mut sum, mut squares, mut product) = ([0.0_f64; 2], [0.0_f64; 2], 0.0);
        for row in errors.values().chunks(2) {
            for d in 0..2 {
                sum[d] += f64::from(row[d]);
                squares[d] += f64::from(row[d]).powi(2);
            }
            product += f64::from(row[0] * row[1]);
        }
        assert!(sum.iter().all(|sum| sum.abs() < 0.1) && squares.iter().all(|s| (s / 1000.0 - 1.0).abs() < 0.01));
        assert!(product.abs() / 1000.0 < 0.1, "{product}");
    }

    #[test]
    fn refuses_what_are_no_rows() {
        for (rows, columns) in [(vec![], 1), (vec![1.0], 0), (vec![1.0; 3], 2), (vec![f32::NAN], 1)] {
            assert!(Residuals::new(rows, columns).is_err());
        }
    }

    #[test]
    #[cfg(feature = "evaluate")]
    fn errors_are_centred_where_the_loss_aims() {
        let errors = || Residuals::new(vec![1.0, 10.0, 3.0, 30.0, 11.0, 11.0], 2).unwrap();
        let centred = |loss: &str| errors().centred(loss.parse().unwrap()).values().to_vec();
        assert_eq!(centred("mse"), [-4.0, -7.0, -2.0, 13.0, 6.0, -6.0]);
        assert_eq!(centred("mse"), centred("quantiles:0.1,0.9"));
        assert_eq!(centred("mae"), [-2.0, -1.0, 0.0, 19.0, 8.0, 0.0]);
        assert_eq!(centred("quantiles:0.5"), centred("mae"));
        // a glitch does not move the mean, whatever its size; where most errors are equal, everything counts
        for glitch in [1e3, 1e9] {
            let errors = Residuals::new(vec![-2.0, -1.0, 0.0, 1.0, 2.0, 3.0, glitch], 1).unwrap();
            assert_eq!(errors.centred(Loss::Mse).values()[..6], [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]);
        }
        let seldom = Residuals::new(vec![0.0, 0.0, 0.0, 0.0, 5.0], 1).unwrap().centred(Loss::Mse);
        assert_eq!(seldom.values(), [-1.0, -1.0, -1.0, -1.0, 4.0]);
        assert_eq!(centred("quantiles:0.75"), [-6.0, -10.5, -4.0, 9.5, 4.0, -9.5]);
    }
}
