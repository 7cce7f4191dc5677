//! Missing values of arrays: NaN, which is how NumPy writes them.

use crate::data::csv::Missing;
use crate::tensor::{Tensor, Value};

/// The first value of `array` that is NaN or infinite, as its place in each dimension, from 1, and the value.
pub fn first_odd<V: Value>(array: &Tensor<V>) -> Option<(Vec<usize>, V)> {
    let at = array.data().iter().position(|value| !value.is_finite())?;
    let (mut left, mut place) = (at, vec![0; array.dims().len()]);
    for (place, &size) in place.iter_mut().zip(array.dims()).rev() {
        (*place, left) = (left % size.max(1) + 1, left / size.max(1));
    }
    Some((place, array.data()[at]))
}

/// The rows `[T, columns]` without missing values: NaN is filled in from the row before, or its row is left out, as
/// `missing` says.
///
/// # Errors
/// If a value is missing that is not to be filled in or has none before it, a value is infinite, or no row is left. The
/// message names the row and the column, from 1.
pub fn filled(array: Tensor<f64>, missing: Missing) -> Result<Tensor<f64>, String> {
    let (_, width) = array.rows();
    let mut kept: Vec<f64> = Vec::with_capacity(array.data().len());
    for (t, row) in array.data().chunks_exact(width.max(1)).enumerate() {
        let start = kept.len();
        for (column, &value) in row.iter().enumerate() {
            let before = start.checked_sub(width).and_then(|start| kept.get(start + column)).copied();
            let place = || format!("row {}, column {}", t + 1, column + 1);
            match (value, missing, before) {
                (value, ..) if value.is_infinite() => return Err(format!("{}: the value is infinite", place())),
                (value, Missing::ForwardFill, Some(before)) if value.is_nan() => kept.push(before),
                (value, Missing::ForwardFill, None) if value.is_nan() => {
                    return Err(format!(
                        "{}: the value is missing (NaN) and there is none before it to fill in; begin the array later or \
                         use --missing drop",
                        place()
                    ));
                }
                (value, Missing::Drop, _) if value.is_nan() => {
                    kept.truncate(start);
                    break;
                }
                (value, Missing::Error, _) if value.is_nan() => {
                    return Err(format!(
                        "{}: the value is missing (NaN); fill it in or use --missing forward-fill or --missing drop",
                        place()
                    ));
                }
                (value, ..) => kept.push(value),
            }
        }
    }
    let rows = kept.len().checked_div(width).unwrap_or(0);
    if rows == 0 && !array.data().is_empty() {
        return Err("a value is missing (NaN) in every row, so --missing drop leaves no row".into());
    }
    Tensor::new([rows, width], kept).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(values: &[f64]) -> Tensor<f64> {
        Tensor::new([values.len() / 2, 2], values).unwrap()
    }

    #[test]
    fn holes_are_filled_left_out_or_named() {
        let nan = f64::NAN;
        let rows = || array(&[1.0, 2.0, nan, 3.0, 4.0, nan, 5.0, 6.0]);
        let with = |missing| filled(rows(), missing).map(|rows| rows.into_data());
        assert_eq!(with(Missing::ForwardFill).unwrap(), [1.0, 2.0, 1.0, 3.0, 4.0, 3.0, 5.0, 6.0]);
        assert_eq!(with(Missing::Drop).unwrap(), [1.0, 2.0, 5.0, 6.0]);
        assert!(with(Missing::Error).unwrap_err().starts_with("row 2, column 1: the value is missing (NaN); fill it"));
        // two rows with a hole, one after the other, and then a row without one
        let run = array(&[1.0, 2.0, nan, nan, nan, nan, 7.0, 8.0]);
        assert_eq!(filled(run, Missing::ForwardFill).unwrap().into_data(), [1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 7.0, 8.0]);
        let first = filled(array(&[1.0, nan, 2.0, 3.0]), Missing::ForwardFill).unwrap_err();
        assert!(
            first.starts_with("row 1, column 2: the value is missing (NaN) and there is none before it"),
            "{first}"
        );
        for missing in [Missing::Error, Missing::Drop, Missing::ForwardFill] {
            let error = filled(array(&[1.0, f64::NEG_INFINITY]), missing).unwrap_err();
            assert_eq!(error, "row 1, column 2: the value is infinite");
        }
        assert!(filled(array(&[nan, 1.0, 2.0, nan]), Missing::Drop).unwrap_err().contains("leaves no row"));
        assert_eq!(filled(array(&[1.0, 2.0]), Missing::Error).unwrap().into_data(), [1.0, 2.0]);
    }

    #[test]
    fn the_place_of_an_odd_value() {
        let mut values = vec![0.0; 24];
        values[17] = f64::NAN;
        let odd = |values: &[f64]| first_odd(&Tensor::new([2, 3, 4], values).unwrap());
        assert_eq!(odd(&values).unwrap().0, [2, 2, 2]);
        values[3] = f64::INFINITY;
        assert_eq!(odd(&values), Some((vec![1, 1, 4], f64::INFINITY)));
        assert_eq!(odd(&[0.0; 24]), None);
    }
}
