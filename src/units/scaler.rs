//! Scalers convert between raw units and the network's, with one shift and one scale for each column.

use crate::error::{Error, Result};
use crate::tensor::Value;
use alloc::{format, vec::Vec};
use serde::{Deserialize, Serialize};

/// How a scaler is fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scaling {
    /// Mean 0 and standard deviation 1 (of the population, as scikit-learn's `StandardScaler`).
    #[default]
    Standard,
    /// From 0 to 1.
    MinMax,
    /// Not scaled.
    None,
}

/// A scale must be above this, so that it is a normal number in f32 too: a column that changes by less counts as one
/// that never changes.
const LEAST: f64 = f32::MIN_POSITIVE as f64;

/// `(value - shift) / scale`, column by column. Shift and scale are f64, so that a column may be far from 0 and change
/// little.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Columns")]
pub struct Scaler {
    shift: Vec<f64>,
    scale: Vec<f64>,
}

/// The fields of a scaler in a file, before they are checked.
#[derive(Deserialize)]
struct Columns {
    shift: Vec<f64>,
    scale: Vec<f64>,
}

impl TryFrom<Columns> for Scaler {
    type Error = Error;

    fn try_from(columns: Columns) -> Result<Self> {
        let Columns { shift, scale } = columns;
        // f32 has to hold them as well
        let is_finite = |value: &f64| value.narrow().is_finite();
        let sound = shift.iter().chain(&scale).all(is_finite) && scale.iter().all(|v| v.narrow() != 0.0);
        if shift.is_empty() || shift.len() != scale.len() || !sound {
            return Err(Error::invalid("scaler: each column needs a finite shift and a finite scale that is not 0"));
        }
        Ok(Self { shift, scale })
    }
}

impl Scaler {
    /// Fits a scaler of kind `scaling` to the columns of `rows [T, width]`, which should be the training part only.
    /// A column that never changes is shifted, not scaled.
    ///
    /// # Errors
    /// If there is no whole row, or a value is not finite.
    pub fn fit<V: Value>(scaling: Scaling, rows: &[V], width: usize) -> Result<Self> {
        if width == 0 || rows.is_empty() || !rows.len().is_multiple_of(width) {
            return Err(Error::invalid(format!("scaler: {} values do not divide into rows of {width}", rows.len())));
        }
        if rows.iter().any(|v| !v.is_finite()) {
            return Err(Error::invalid("scaler: a value of the training part is not finite"));
        }
        let fits =
            (0..width).map(|column| fit_column(scaling, rows.iter().skip(column).step_by(width).map(|&v| v.into())));
        let (shift, scale) = fits.map(|(shift, scale)| (shift, if scale > LEAST { scale } else { 1.0 })).unzip();
        Self::try_from(Columns { shift, scale })
    }

    /// A scaler with this shift and this scale for each column.
    ///
    /// # Errors
    /// If there are none, if there are more of one than of the other, if one is not finite in f32, or if a
    /// scale is 0 there.
    pub fn new(shift: Vec<f64>, scale: Vec<f64>) -> Result<Self> {
        Self::try_from(Columns { shift, scale })
    }

    /// The number of columns.
    pub fn width(&self) -> usize {
        self.shift.len()
    }

    /// The shift of each column, `[width]`, in raw units.
    pub fn shift(&self) -> &[f64] {
        &self.shift
    }

    /// The scale of each column, `[width]`, in raw units; never 0.
    pub fn scale(&self) -> &[f64] {
        &self.scale
    }

    /// Sets the shift and the scale of one column. Both must be finite, and the scale not 0.
    pub(crate) fn set(&mut self, column: usize, shift: f64, scale: f64) {
        debug_assert!(shift.is_finite() && scale.is_finite() && scale != 0.0);
        (self.shift[column], self.scale[column]) = (shift, scale);
    }

    /// Converts raw units to the network's, in place: `rows [n, width]` with any n. It computes in the type of the
    /// values.
    #[inline]
    pub fn apply<V: Value>(&self, rows: &mut [V]) {
        for row in rows.chunks_mut(self.width()) {
            for ((value, &shift), &scale) in row.iter_mut().zip(&self.shift).zip(&self.scale) {
                *value = (*value - V::of(shift)) / V::of(scale);
            }
        }
    }

    /// Converts the network's units to raw ones, in place: `rows [n, width]` with any n. It computes in the type of the
    /// values.
    #[inline]
    pub fn undo<V: Value>(&self, rows: &mut [V]) {
        for row in rows.chunks_mut(self.width()) {
            for ((value, &shift), &scale) in row.iter_mut().zip(&self.shift).zip(&self.scale) {
                *value = *value * V::of(scale) + V::of(shift);
            }
        }
    }
}

/// Shift and scale of one column.
fn fit_column(scaling: Scaling, values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    match scaling {
        Scaling::None => (0.0, 1.0),
        Scaling::MinMax => {
            let low = values.clone().fold(f64::INFINITY, f64::min);
            let high = values.fold(f64::NEG_INFINITY, f64::max);
            (low, high - low)
        }
        Scaling::Standard => {
            // around the first value: a large constant in all of them then costs no digits, and a column that never
            // changes has a deviation of exactly 0
            let first = values.clone().next().unwrap_or_default();
            let count = values.clone().count() as f64;
            let mean = values.clone().map(|v| v - first).sum::<f64>() / count;
            let variance = values.map(|v| (v - first - mean) * (v - first - mean)).sum::<f64>() / count;
            (first + mean, libm::sqrt(variance))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits_each_column() {
        let rows = [1.0, 10.0, 7.0, 3.0, 10.0, 8.0, 5.0, 10.0, 9.0];
        let standard = Scaler::fit(Scaling::Standard, &rows, 3).unwrap();
        assert_eq!(standard.shift(), [3.0, 10.0, 8.0]);
        assert_eq!(standard.scale()[1], 1.0);
        assert!((standard.scale()[0] - (8.0_f64 / 3.0).sqrt()).abs() < 1e-15);
        let min_max = Scaler::fit(Scaling::MinMax, &rows, 3).unwrap();
        let mut scaled = rows;
        min_max.apply(&mut scaled);
        assert_eq!(scaled, [0.0, 0.0, 0.0, 0.5, 0.0, 0.5, 1.0, 0.0, 1.0]);
        min_max.undo(&mut scaled);
        assert_eq!(scaled, rows);
    }

    #[test]
    fn refuses_what_cannot_be() {
        assert!(Scaler::fit::<f64>(Scaling::Standard, &[], 1).is_err());
        assert!(Scaler::fit(Scaling::Standard, &[1.0, f64::NAN], 1).is_err());
        assert!(Scaler::try_from(Columns { shift: [0.0].into(), scale: [0.0].into() }).is_err());
        assert!(Scaler::try_from(Columns { shift: [0.0].into(), scale: [].into() }).is_err());
        // what f32 does not hold
        for (shift, scale) in [(1e300, 1.0), (0.0, 1e300), (0.0, 1e-50), (f64::INFINITY, 1.0)] {
            assert!(Scaler::new(vec![shift], vec![scale]).is_err(), "{shift} {scale}");
        }
    }
}
