//! The lowest and the highest value that a predicted column can have.

use crate::error::{Error, Result};
use crate::tensor::Value;
use alloc::{format, vec, vec::Vec};
use serde::{Deserialize, Serialize};

/// The lowest and the highest value that a predicted column can have, such as 0 and nothing for counts. A prediction
/// beyond a bound becomes the bound; so do the values of simulated paths, before they are fed back.
///
/// There is no logarithm in it, as in other transforms that keep a forecast above a bound: counts and sales are 0 again
/// and again, and 0 has no logarithm.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Bounds {
    /// `None`: there is no lowest value.
    #[serde(skip_serializing_if = "Option::is_none")]
    lower: Option<f64>,
    /// `None`: there is no highest value.
    #[serde(skip_serializing_if = "Option::is_none")]
    upper: Option<f64>,
}

/// The fields of bounds in a file, before they are checked.
#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    lower: Option<f64>,
    #[serde(default)]
    upper: Option<f64>,
}

/// The bounds of each of `columns` predicted columns, if there are any: `bounds` are those of each, or one for all.
///
/// # Errors
/// If there is another number of them.
pub(crate) fn of_each(bounds: &[Bounds], columns: usize) -> Result<Vec<Bounds>> {
    match bounds {
        &[one] => Ok(vec![one; columns]),
        all if all.is_empty() || all.len() == columns => Ok(all.to_vec()),
        all => {
            let count = all.len();
            Err(Error::invalid(format!(
                "{count} bounds are given: give one for all predicted columns, or one for each, {columns} in all"
            )))
        }
    }
}

impl TryFrom<Raw> for Bounds {
    type Error = Error;

    fn try_from(Raw { lower, upper }: Raw) -> Result<Self> {
        Self::new(lower, upper)
    }
}

impl Bounds {
    /// Bounds, in raw units.
    ///
    /// # Errors
    /// If one is not finite as an f32, or the lower one is not below the upper one.
    pub fn new(lower: Option<f64>, upper: Option<f64>) -> Result<Self> {
        for (name, bound) in [("lower", lower), ("upper", upper)] {
            if let Some(bound) = bound.filter(|bound| !bound.narrow().is_finite()) {
                return Err(Error::invalid(format!("{name} {bound}: must be a finite number")));
            }
        }
        match (lower, upper) {
            (Some(lower), Some(upper)) if lower >= upper => {
                Err(Error::invalid(format!("lower {lower}: must be below upper, which is {upper}")))
            }
            _ => Ok(Self { lower, upper }),
        }
    }

    /// The lowest value, if there is one.
    pub fn lower(&self) -> Option<f64> {
        self.lower
    }

    /// The highest value, if there is one.
    pub fn upper(&self) -> Option<f64> {
        self.upper
    }

    /// The bound that `value` is beyond, or `value` itself. NaN stays NaN.
    #[inline]
    pub fn inside<V: Value>(&self, value: V) -> V {
        match (self.lower, self.upper) {
            (Some(lower), _) if value < V::of(lower) => V::of(lower),
            (_, Some(upper)) if value > V::of(upper) => V::of(upper),
            _ => value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_inside() {
        let both = Bounds::new(Some(0.0), Some(10.0)).unwrap();
        assert_eq!([-1.0, 0.0, 5.0, 10.0, 11.0].map(|v: f64| both.inside(v)), [0.0, 0.0, 5.0, 10.0, 10.0]);
        assert_eq!([-1.0, 11.0].map(|v: f32| Bounds::new(Some(0.0), None).unwrap().inside(v)), [0.0, 11.0]);
        assert_eq!([-1.0, 11.0].map(|v: f32| Bounds::new(None, Some(0.5)).unwrap().inside(v)), [-1.0, 0.5]);
        assert!(both.inside(f64::NAN).is_nan());
    }

    #[test]
    fn bounds_that_cannot_be() {
        for (lower, upper) in
            [(Some(1.0), Some(1.0)), (Some(2.0), Some(1.0)), (Some(f64::NAN), None), (None, Some(1e300))]
        {
            assert!(Bounds::new(lower, upper).is_err(), "{lower:?} {upper:?}");
        }
    }
}
