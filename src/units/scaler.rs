//! Scalers convert between raw units and the network's, with one shift and one scale for each column.

use crate::error::{Error, Result};
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

/// `(value - shift) / scale`, column by column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Columns")]
pub struct Scaler {
    shift: Vec<f32>,
    scale: Vec<f32>,
}

/// The fields of a scaler in a file, before they are checked.
#[derive(Deserialize)]
struct Columns {
    shift: Vec<f32>,
    scale: Vec<f32>,
}

impl TryFrom<Columns> for Scaler {
    type Error = Error;

    fn try_from(columns: Columns) -> Result<Self> {
        let Columns { shift, scale } = columns;
        let sound = shift.iter().all(|v| v.is_finite()) && scale.iter().all(|v| v.is_finite() && *v != 0.0);
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
    pub fn fit(scaling: Scaling, rows: &[f32], width: usize) -> Result<Self> {
        if width == 0 || rows.is_empty() || !rows.len().is_multiple_of(width) {
            return Err(Error::invalid(format!("scaler: {} values do not divide into rows of {width}", rows.len())));
        }
        if rows.iter().any(|v| !v.is_finite()) {
            return Err(Error::invalid("scaler: a value of the training part is not finite"));
        }
        let fits: Vec<(f64, f64)> = (0..width)
            .map(|column| fit_column(scaling, rows.iter().skip(column).step_by(width).map(|&v| f64::from(v))))
            .collect();
        let shift = fits.iter().map(|fit| fit.0 as f32).collect();
        // a scale that is too small for f32 counts as that of a column that never changes
        let scale = fits.iter().map(|fit| fit.1 as f32).map(|s| if s > 0.0 { s } else { 1.0 }).collect();
        Self::try_from(Columns { shift, scale })
    }

    /// A scaler with this shift and this scale for each column.
    ///
    /// # Errors
    /// If there are none, if there are more of one than of the other, if one is not finite, or if a scale is 0.
    pub fn new(shift: Vec<f32>, scale: Vec<f32>) -> Result<Self> {
        Self::try_from(Columns { shift, scale })
    }

    /// The number of columns.
    pub fn width(&self) -> usize {
        self.shift.len()
    }

    /// The shift of each column, `[width]`, in raw units.
    pub fn shift(&self) -> &[f32] {
        &self.shift
    }

    /// The scale of each column, `[width]`, in raw units; never 0.
    pub fn scale(&self) -> &[f32] {
        &self.scale
    }

    /// Sets the shift and the scale of one column. Both must be finite, and the scale not 0.
    pub(crate) fn set(&mut self, column: usize, shift: f32, scale: f32) {
        debug_assert!(shift.is_finite() && scale.is_finite() && scale != 0.0);
        (self.shift[column], self.scale[column]) = (shift, scale);
    }

    /// Converts raw units to the network's, in place: `rows [n, width]` with any n.
    pub fn apply(&self, rows: &mut [f32]) {
        for row in rows.chunks_mut(self.width()) {
            for ((value, shift), scale) in row.iter_mut().zip(&self.shift).zip(&self.scale) {
                *value = (*value - shift) / scale;
            }
        }
    }

    /// Converts the network's units to raw ones, in place: `rows [n, width]` with any n.
    pub fn undo(&self, rows: &mut [f32]) {
        for row in rows.chunks_mut(self.width()) {
            for ((value, shift), scale) in row.iter_mut().zip(&self.shift).zip(&self.scale) {
                *value = *value * scale + shift;
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
            let count = values.clone().count() as f64;
            let mean = values.clone().sum::<f64>() / count;
            let variance = values.map(|v| (v - mean) * (v - mean)).sum::<f64>() / count;
            // a constant column differs from its own mean only by rounding
            let constant = variance <= (mean * 1e-12) * (mean * 1e-12);
            (mean, if constant { 0.0 } else { libm::sqrt(variance) })
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
        assert!((standard.scale()[0] - (8.0_f32 / 3.0).sqrt()).abs() < 1e-6);
        let min_max = Scaler::fit(Scaling::MinMax, &rows, 3).unwrap();
        let mut scaled = rows;
        min_max.apply(&mut scaled);
        assert_eq!(scaled, [0.0, 0.0, 0.0, 0.5, 0.0, 0.5, 1.0, 0.0, 1.0]);
        min_max.undo(&mut scaled);
        assert_eq!(scaled, rows);
    }

    #[test]
    fn refuses_what_cannot_be() {
        assert!(Scaler::fit(Scaling::Standard, &[], 1).is_err());
        assert!(Scaler::fit(Scaling::Standard, &[1.0, f32::NAN], 1).is_err());
        assert!(Scaler::try_from(Columns { shift: [0.0].into(), scale: [0.0].into() }).is_err());
        assert!(Scaler::try_from(Columns { shift: [0.0].into(), scale: [].into() }).is_err());
    }
}
