//! Losses: the value and the gradient of what a training minimises. A loss is a mean over all elements.
//!
//! A target that is NaN is missing: it is no element of the mean, and the gradient of its outputs is 0.
//!
//! A model can have more than one output for each of its D target columns: see [`Loss::outputs`]. A row of y is then
//! ordered by kind of output, each with all columns: `[mean[D], s[D]]` or `[level0[D], level1[D], ...]`.

use crate::error::{Error, Result};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A loss, averaged over all elements. Formulas: PyTorch, `MSELoss`, `L1Loss`, `HuberLoss` (delta 1) and
/// `GaussianNLLLoss` (full false, eps 1e-6); quantiles: Koenker and Bassett 1978.
///
/// As text, on the command line and in files, it is `mse`, `mae`, `huber`, `gaussian` or `quantiles:0.1,0.5,0.9`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Loss {
    /// Mean squared error.
    #[default]
    Mse,
    /// Mean absolute error; its gradient at 0 is 0.
    Mae,
    /// Squared within 1 of the target, linear beyond.
    Huber,
    /// The negative log-likelihood of a normal distribution, without its constant: `½ (s + (mean - target)² e^-s)` with
    /// s the logarithm of the variance. y is `[mean[D], s[D]]`. An s below ln 1e-6 counts as ln 1e-6. The gradient of s
    /// is that of PyTorch for the variance `e^s`: below ln 1e-6 it decreases as `e^s` does.
    Gaussian,
    /// The pinball loss, `max(q e, (q - 1) e)` with `e = target - y` for each level q; its gradient at 0 is 0.
    /// y is `[level0[D], level1[D], ...]`.
    Quantiles(Levels),
}

/// ln 1e-6: the least logarithm of a variance.
pub(crate) const LEAST_S: f32 = -13.815_511;

impl Loss {
    /// O, the outputs of a model for D target columns: D; 2·D for a Gaussian; Q·D for Q quantiles.
    pub fn outputs(self, targets: usize) -> usize {
        match self {
            Self::Mse | Self::Mae | Self::Huber => targets,
            Self::Gaussian => targets.saturating_mul(2),
            Self::Quantiles(levels) => targets.saturating_mul(levels.as_slice().len()),
        }
    }

    /// Whether a model predicts a distribution for each target column (a Gaussian, or quantiles), not only a value.
    pub fn is_distribution(self) -> bool {
        matches!(self, Self::Gaussian | Self::Quantiles(_))
    }

    /// Which of the outputs for a target column is the point prediction, counted from 0: the mean, or the quantile
    /// nearest to the median.
    pub fn point(self) -> usize {
        let Self::Quantiles(levels) = self else { return 0 };
        let off = |level: f32| libm::fabsf(level - 0.5);
        let levels = levels.as_slice();
        (1..levels.len()).fold(0, |best, i| if off(levels[i]) < off(levels[best]) { i } else { best })
    }

    /// How many elements of the mean a row of D target columns has: D, or Q·D for Q quantiles.
    pub fn elements(self, targets: usize) -> usize {
        match self {
            Self::Gaussian => targets,
            _ => self.outputs(targets),
        }
    }

    /// How many elements of the mean `targets` have, which are rows of D or some of their columns: see
    /// [`Loss::elements`]. Those that are missing have none.
    pub fn known(self, targets: &[f32]) -> usize {
        targets.iter().filter(|target| !target.is_nan()).count() * self.elements(1)
    }

    /// The contribution of one row to the sum; `y [O]`, `target [D]`. Writes its derivative with respect to y into
    /// `dy [O]`. A target that is NaN is missing and contributes nothing.
    #[inline]
    pub fn row(self, y: &[f32], target: &[f32], dy: &mut [f32]) -> f64 {
        let mut sum = 0.0;
        match self {
            Self::Gaussian => {
                let ((mean, s), (dmean, ds)) = (y.split_at(y.len() / 2), dy.split_at_mut(dy.len() / 2));
                for (((&mean, &s), &target), (dmean, ds)) in
                    mean.iter().zip(s).zip(target).zip(dmean.iter_mut().zip(ds))
                {
                    let value;
                    (value, *dmean, *ds) = if target.is_nan() { (0.0, 0.0, 0.0) } else { gaussian(mean, s, target) };
                    sum += f64::from(value);
                }
            }
            Self::Quantiles(levels) => {
                let width = target.len().max(1);
                let rows = y.chunks(width).zip(dy.chunks_mut(width));
                for (&level, (y, dy)) in levels.as_slice().iter().zip(rows) {
                    for ((dy, y), target) in dy.iter_mut().zip(y).zip(target) {
                        let value;
                        (value, *dy) = if target.is_nan() { (0.0, 0.0) } else { pinball(level, target - y) };
                        sum += f64::from(value);
                    }
                }
            }
            _ => {
                for ((dy, y), target) in dy.iter_mut().zip(y).zip(target) {
                    let value;
                    (value, *dy) = if target.is_nan() { (0.0, 0.0) } else { self.element(y - target) };
                    sum += f64::from(value);
                }
            }
        }
        sum
    }

    /// The mean over the elements of one row: see [`Loss::row`]. `None` if all of its targets are missing.
    #[inline]
    pub fn mean_of_row(self, y: &[f32], target: &[f32], dy: &mut [f32]) -> Option<f64> {
        let count = self.known(target);
        (count > 0).then(|| self.row(y, target, dy) / count as f64)
    }

    /// The contribution of one element with the error `e = y - target` to the sum, and its derivative. A single value
    /// has no variance and no level, so a Gaussian takes it as a mean with variance 1, and quantiles take it as a
    /// median.
    #[inline]
    pub fn element(self, e: f32) -> (f32, f32) {
        match self {
            Self::Mse => (e * e, 2.0 * e),
            Self::Mae if e == 0.0 => (0.0, 0.0),
            Self::Mae => (libm::fabsf(e), libm::copysignf(1.0, e) + e * 0.0), // NaN stays NaN
            Self::Huber if libm::fabsf(e) < 1.0 => (0.5 * e * e, e),
            Self::Huber => (libm::fabsf(e) - 0.5, libm::copysignf(1.0, e) + e * 0.0),
            Self::Gaussian => (0.5 * e * e, e),
            Self::Quantiles(_) => pinball(0.5, -e),
        }
    }
}

/// The contribution of a mean and the logarithm s of a variance to the sum, and its derivatives with respect to both.
#[inline]
fn gaussian(mean: f32, s: f32, target: f32) -> (f32, f32, f32) {
    let least = if s < LEAST_S { LEAST_S } else { s }; // NaN stays NaN
    // divided by the deviation before it is squared, so that no factor overflows and there is no 0 · inf
    let per_deviation = libm::expf(-0.5 * least);
    let z = (mean - target) * per_deviation;
    // PyTorch's lower limit of the variance is not part of the gradient: (de^s / ds) / variance is 1, but less below
    // the limit
    let share = libm::expf(s - least);
    (0.5 * (least + z * z), z * per_deviation, 0.5 * (share - share * z * z))
}

/// The contribution of a quantile that is `e = target - y` too low to the sum, and its derivative with respect to y.
#[inline]
fn pinball(level: f32, e: f32) -> (f32, f32) {
    if e > 0.0 {
        (level * e, -level)
    } else if e < 0.0 {
        ((level - 1.0) * e, 1.0 - level)
    } else {
        (e, e) // 0, or NaN, which stays NaN
    }
}

/// `mse`, `mae`, `huber`, `gaussian`, `quantiles:LEVEL,LEVEL,...`, or `quantiles` alone for 0.1, 0.5 and 0.9.
impl FromStr for Loss {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "mse" => Self::Mse,
            "mae" => Self::Mae,
            "huber" => Self::Huber,
            "gaussian" => Self::Gaussian,
            "quantiles" => Self::Quantiles(Levels::default()),
            _ => match text.strip_prefix("quantiles:") {
                Some(levels) => Self::Quantiles(levels.parse()?),
                None => return Err(Error::invalid("expected mse, mae, huber, gaussian or quantiles[:LEVEL,...]")),
            },
        })
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mse => f.write_str("mse"),
            Self::Mae => f.write_str("mae"),
            Self::Huber => f.write_str("huber"),
            Self::Gaussian => f.write_str("gaussian"),
            Self::Quantiles(levels) => write!(f, "quantiles:{levels}"),
        }
    }
}

impl Serialize for Loss {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Loss {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The levels of quantiles: between 0 and 1, each above the one before it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Levels {
    values: [f32; Self::MOST],
    count: u8,
}

// none of them is NaN
impl Eq for Levels {}

impl Levels {
    /// The most there can be.
    pub const MOST: usize = 15;

    /// These levels.
    ///
    /// # Errors
    /// If there are none or more than 15, one is not between 0 and 1, or not above the one before it.
    pub fn new(levels: &[f32]) -> Result<Self> {
        if levels.is_empty() || levels.len() > Self::MOST {
            let most = Self::MOST;
            return Err(Error::invalid(format!("quantiles: {} levels, expected 1 to {most}", levels.len())));
        }
        if let Some(level) = levels.iter().find(|&&level| !(level > 0.0 && level < 1.0)) {
            return Err(Error::invalid(format!("quantiles: level {level}: must be above 0 and below 1")));
        }
        if let Some((before, level)) = levels.iter().zip(&levels[1..]).find(|(before, level)| level <= before) {
            return Err(Error::invalid(format!("quantiles: level {level} after {before}: must be above it")));
        }
        let mut values = [0.0; Self::MOST];
        values[..levels.len()].copy_from_slice(levels);
        Ok(Self { values, count: levels.len() as u8 })
    }

    /// The levels, lowest first.
    pub fn as_slice(&self) -> &[f32] {
        &self.values[..usize::from(self.count)]
    }
}

/// 0.1, 0.5 and 0.9: the median, and a range that holds four of five values.
impl Default for Levels {
    fn default() -> Self {
        let mut values = [0.0; Self::MOST];
        values[..3].copy_from_slice(&[0.1, 0.5, 0.9]);
        Self { values, count: 3 }
    }
}

/// Numbers separated by commas.
impl FromStr for Levels {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let level = |part: &str| {
            part.trim().parse().map_err(|_| Error::invalid(format!("quantiles: level {part:?} is not a number")))
        };
        Self::new(&text.split(',').map(level).collect::<Result<Vec<f32>>>()?)
    }
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, level) in self.as_slice().iter().enumerate() {
            write!(f, "{}{level}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(levels: &[f32]) -> Loss {
        Loss::Quantiles(Levels::new(levels).unwrap())
    }

    fn all() -> [Loss; 7] {
        let five = levels(&[0.05, 0.25, 0.5, 0.75, 0.95]);
        [Loss::Mse, Loss::Mae, Loss::Huber, Loss::Gaussian, "quantiles".parse().unwrap(), levels(&[0.3]), five]
    }

    #[test]
    fn gradients_are_the_slopes() {
        for loss in all() {
            for e in [-3.0_f32, -1.5, -0.7, -0.01, 0.02, 0.5, 1.25, 4.0] {
                let step = 1e-3;
                let slope = (loss.element(e + step).0 - loss.element(e - step).0) / (2.0 * step);
                assert!((slope - loss.element(e).1).abs() < 2e-3, "{loss:?} at {e}: {slope}");
            }
            assert_eq!(loss.element(0.0), (0.0, 0.0));
            assert!(loss.element(f32::NAN).0.is_nan() && loss.element(f32::NAN).1.is_nan());
        }
    }

    /// Every value of a row, with one to three target columns.
    #[test]
    fn gradients_of_a_row_are_the_slopes() {
        for (loss, targets) in all().into_iter().flat_map(|loss| (1..4).map(move |targets| (loss, targets))) {
            let width = loss.outputs(targets);
            let target: Vec<f32> = (0..targets).map(|i| (i as f32 * 1.7 + 0.3).sin()).collect();
            let mut y: Vec<f32> = (0..width).map(|i| 2.0 * (i as f32 * 2.3 + 1.0).sin()).collect();
            let (mut dy, mut unused) = (vec![f32::NAN; width], vec![0.0; width]);
            loss.row(&y, &target, &mut dy);
            for i in 0..width {
                let (at, step) = (y[i], 1e-2);
                let mut value = |y_i: f32| {
                    y[i] = y_i;
                    loss.row(&y, &target, &mut unused)
                };
                let slope = (value(at + step) - value(at - step)) / f64::from(2.0 * step);
                y[i] = at;
                assert!((slope - f64::from(dy[i])).abs() < 3e-3, "{loss} of {targets}: {i}: {slope}, not {}", dy[i]);
            }
        }
    }

    /// By hand, and in which order the values of a row stand.
    #[test]
    fn a_row_of_each() {
        let mut dy = [0.0; 6];
        // means 1 and 2, variances 1 and 4
        let s = 4.0_f32.ln();
        let sum = Loss::Gaussian.row(&[1.0, 2.0, 0.0, s], &[3.0, 2.0], &mut dy[..4]);
        assert!((sum - 0.5 * (4.0 + f64::from(s))).abs() < 1e-6, "{sum}");
        assert_eq!(dy[..4], [-2.0, 0.0, -1.5, 0.5]);
        // levels 0.25 and 0.5 of three columns: too low by 2, exact, too high by 4
        let sum = levels(&[0.25, 0.5]).row(&[0.0, 1.0, 4.0, 0.0, 1.0, 4.0], &[2.0, 1.0, 0.0], &mut dy);
        assert_eq!((sum, dy), (0.5 + 3.0 + 1.0 + 2.0, [-0.25, 0.0, 0.75, -0.5, 0.0, 0.5]));
    }

    /// Below the least variance the value is computed with the least variance, and the gradient of s decreases.
    #[test]
    fn the_least_variance() {
        let (value, dmean, ds) = gaussian(0.002, -20.0, 0.0);
        let truth = [0.5 * (1e-6_f64.ln() + 4.0), 2000.0, 0.5 * (-20.0_f64).exp() / 1e-6 * (1.0 - 4.0)];
        for (found, truth) in [value, dmean, ds].into_iter().zip(truth) {
            assert!((f64::from(found) - truth).abs() < 1e-5 * truth.abs(), "{found}, not {truth}");
        }
    }

    #[test]
    fn finite_stays_finite_and_nan_stays_nan() {
        for s in [-f32::MAX, -1e3, -20.0, 0.0, 88.0, 180.0, 1e3, f32::MAX] {
            for e in [0.0, 1e-30, 1.0, 1e15] {
                let (value, dmean, ds) = gaussian(e, s, 0.0);
                assert!(value.is_finite() && dmean.is_finite() && ds.is_finite(), "{s} {e}: {value} {dmean} {ds}");
            }
        }
        for (loss, place) in all().into_iter().flat_map(|loss| (0..loss.outputs(2)).map(move |place| (loss, place))) {
            let (mut y, mut dy) = (vec![0.1; loss.outputs(2)], vec![0.0; loss.outputs(2)]);
            y[place] = f32::NAN;
            assert!(loss.row(&y, &[0.5, 0.6], &mut dy).is_nan() && dy[place].is_nan(), "{loss} {place}");
        }
    }

    /// A missing target of three columns: what is left is the row of the others, and their gradient.
    #[test]
    fn a_missing_target_counts_nothing() {
        for (loss, missing) in all().into_iter().flat_map(|loss| (0..3).map(move |missing| (loss, missing))) {
            let kinds = loss.outputs(1);
            let y: Vec<f32> = (0..3 * kinds).map(|i| (i as f32 * 1.3).sin()).collect();
            let mut target = [0.4, -0.2, 0.9];
            target[missing] = f32::NAN;
            let others = |row: &[f32]| -> Vec<f32> {
                row.iter().enumerate().filter(|(i, _)| i % 3 != missing).map(|(_, v)| *v).collect()
            };
            let (mut dy, mut of_others) = (vec![f32::NAN; y.len()], vec![f32::NAN; 2 * kinds]);
            let sum = loss.row(&y, &target, &mut dy);
            assert_eq!(sum, loss.row(&others(&y), &others(&target), &mut of_others), "{loss} {missing}");
            assert_eq!(others(&dy), of_others, "{loss} {missing}");
            assert!(dy.iter().skip(missing).step_by(3).all(|slope| *slope == 0.0), "{loss} {missing}: {dy:?}");
            assert_eq!(loss.known(&target), loss.elements(2));
        }
        assert_eq!(Loss::Mse.row(&[1.0], &[f32::NAN], &mut [9.0]), 0.0);
    }

    #[test]
    fn widths() {
        assert_eq!(all().map(|loss| loss.outputs(3)), [3, 3, 3, 6, 9, 3, 15]);
        assert_eq!(all().map(|loss| loss.elements(3)), [3, 3, 3, 3, 9, 3, 15]);
    }

    #[test]
    fn text_there_and_back() {
        let texts = ["mse", "mae", "huber", "gaussian", "quantiles:0.1,0.5,0.9", "quantiles:0.3"];
        for (loss, text) in all().into_iter().zip(texts) {
            assert_eq!(loss.to_string(), text);
            assert_eq!(text.parse::<Loss>().unwrap(), loss);
            let json = serde_json::to_string(&loss).unwrap();
            assert_eq!(json, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<Loss>(&json).unwrap(), loss);
        }
        let fifteen: Vec<f32> = (1..16).map(|i| i as f32 / 16.0).collect();
        let fifteen = levels(&fifteen);
        assert_eq!(fifteen.to_string().parse::<Loss>().unwrap(), fifteen);
    }

    #[test]
    fn what_is_no_loss() {
        let sixteen = format!("quantiles:{}", (1..17).map(|i| format!("0.0{i:02}")).collect::<Vec<_>>().join(","));
        for (text, error) in [
            ("MSE", "expected mse, mae, huber, gaussian or quantiles[:LEVEL,...]"),
            ("quantiles:0.9,0.1", "quantiles: level 0.1 after 0.9: must be above it"),
            ("quantiles:0.5,0.5", "quantiles: level 0.5 after 0.5: must be above it"),
            ("quantiles:0", "quantiles: level 0: must be above 0 and below 1"),
            ("quantiles:0.5,1", "quantiles: level 1: must be above 0 and below 1"),
            ("quantiles:nan", "quantiles: level NaN: must be above 0 and below 1"),
            ("quantiles:", "quantiles: level \"\" is not a number"),
            ("quantiles:0.1,,0.9", "quantiles: level \"\" is not a number"),
            ("quantiles:half", "quantiles: level \"half\" is not a number"),
            (&sixteen, "quantiles: 16 levels, expected 1 to 15"),
        ] {
            assert_eq!(text.parse::<Loss>().unwrap_err().to_string(), error);
            let error_in_a_file = serde_json::from_str::<Loss>(&format!("{text:?}")).unwrap_err().to_string();
            assert!(error_in_a_file.starts_with(error), "{error_in_a_file}");
        }
        assert_eq!(Levels::new(&[]).unwrap_err().to_string(), "quantiles: 0 levels, expected 1 to 15");
    }
}
