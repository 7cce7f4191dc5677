//! Missing values of arrays: NaN, which is how NumPy writes them.

use crate::data::csv::Missing;
use crate::tensor::{Tensor, Value};

/// The first value of `array` that is infinite, or NaN unless values `may_be_missing`: its place in each dimension, from
/// 1, and the value.
pub fn first_odd<V: Value>(array: &Tensor<V>, may_be_missing: bool) -> Option<(Vec<usize>, V)> {
    let is_odd = |value: &V| !(value.is_finite() || may_be_missing && Into::<f64>::into(*value).is_nan());
    let at = array.data().iter().position(is_odd)?;
    let (mut left, mut place) = (at, vec![0; array.dims().len()]);
    for (place, &size) in place.iter_mut().zip(array.dims()).rev() {
        (*place, left) = (left % size.max(1) + 1, left / size.max(1));
    }
    Some((place, array.data()[at]))
}

/// The rows `[T, columns]` without missing values: NaN is filled in from the row before, or its row is left out, as
/// `missing` says. With [`Missing::Mask`] NaN stays: see [`masked`].
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
                    return Err(format!("{}: the value is missing (NaN); {}", place(), Missing::ADVICE));
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

/// The columns `[T, columns]` in which a value is missing (NaN), from 0.
pub fn columns_with(array: &Tensor<f64>) -> Vec<usize> {
    let (_, width) = array.rows();
    let has = |&column: &usize| array.data().iter().skip(column).step_by(width).any(|value| value.is_nan());
    (0..width).filter(has).collect()
}

/// The rows `[T, columns]` without missing values, and behind each row the masks of the columns `masks`, `[T, columns +
/// masks]`: in place of NaN stands the last value before it, and a mask is 1 where its column is missing and otherwise 0.
/// Rows before every column has had a value are left out; their number is returned as well.
///
/// # Errors
/// If a column has no value at all, a value is infinite, or one of `masks` is no column. The message names the row and
/// the column, from 1.
pub fn masked(array: &Tensor<f64>, masks: &[usize]) -> Result<(Tensor<f64>, usize), String> {
    let (rows, width) = array.rows();
    let mut last = Carried::new(width, masks);
    let mut all = Vec::with_capacity(rows * (width + masks.len()));
    let mut unknown = None;
    for (t, row) in array.data().chunks_exact(width.max(1)).enumerate() {
        match last.row(row, &mut all) {
            Err(column) if row.get(column).is_some_and(|value| value.is_nan()) => unknown = Some(column),
            Err(column) => return Err(format!("row {}, column {}: the value is infinite", t + 1, column + 1)),
            Ok(()) => {}
        }
    }
    let kept = all.len() / (width + masks.len()).max(1);
    match unknown.filter(|_| kept == 0) {
        Some(column) => Err(format!("column {}: every value is missing (NaN); leave the column out", column + 1)),
        None => Ok((Tensor::new([kept, width + masks.len()], all).map_err(|error| error.to_string())?, rows - kept)),
    }
}

/// The last known value of each column of a table that is read row by row.
#[derive(Debug, Clone)]
pub struct Carried {
    last: Vec<f64>,
    masks: Vec<usize>,
}

impl Carried {
    /// Before the first row of `width` columns, of which those in `masks` have a mask.
    pub fn new(width: usize, masks: &[usize]) -> Self {
        Self { last: vec![f64::NAN; width], masks: masks.to_vec() }
    }

    /// Forgets the rows before.
    pub fn reset(&mut self) {
        self.last.fill(f64::NAN);
    }

    /// Adds the `row` to `all`, with the last value in place of NaN, and its masks behind it.
    ///
    /// # Errors
    /// The first column, from 0, that is infinite or not there; then this row counts as if it had not been. Or the first
    /// that is missing and has no value before it; then nothing is added, and the other values are kept for later rows.
    pub fn row(&mut self, row: &[f64], all: &mut Vec<f64>) -> Result<(), usize> {
        if let Some(column) = self.masks.iter().find(|&&column| column >= row.len()) {
            return Err(*column);
        }
        if let Some(column) = row.iter().position(|value| value.is_infinite()) {
            return Err(column);
        }
        self.last.iter_mut().zip(row).filter(|(_, value)| !value.is_nan()).for_each(|(last, value)| *last = *value);
        if let Some(column) = self.last.iter().position(|value| value.is_nan()) {
            return Err(column);
        }
        all.extend_from_slice(&self.last);
        all.extend(self.masks.iter().map(|&column| if row[column].is_nan() { 1.0 } else { 0.0 }));
        Ok(())
    }
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
    fn masks_say_what_is_missing() {
        let nan = f64::NAN;
        let rows = array(&[nan, 2.0, 1.0, nan, nan, nan, 4.0, 5.0]);
        assert_eq!(columns_with(&rows), [0, 1]);
        // a value of a row that is left out stands in the rows after it
        let (rest, left_out) = masked(&rows, &[1]).unwrap();
        assert_eq!((rest.data(), left_out), (&[1.0, 2.0, 1.0, 1.0, 2.0, 1.0, 4.0, 5.0, 0.0][..], 1));
        let error = masked(&array(&[1.0, nan, 2.0, nan]), &[1]).unwrap_err();
        assert_eq!(error, "column 2: every value is missing (NaN); leave the column out");
        let whole = array(&[1.0, 2.0, nan, nan, 4.0, nan, 5.0, 6.0]);
        let with = |masks: &[usize]| masked(&whole, masks).unwrap().0;
        assert_eq!(with(&[]).into_data(), [1.0, 2.0, 1.0, 2.0, 4.0, 2.0, 5.0, 6.0]);
        assert_eq!(with(&[1]).into_data(), [1.0, 2.0, 0.0, 1.0, 2.0, 1.0, 4.0, 2.0, 1.0, 5.0, 6.0, 0.0]);
        assert_eq!(with(&[0, 1]).dims(), [4, 4]);
        assert!(masked(&whole, &[2]).is_err());
        assert_eq!(masked(&array(&[1.0, f64::INFINITY]), &[]).unwrap_err(), "row 1, column 2: the value is infinite");
        // a row with an infinite value leaves no trace
        let (mut carried, mut all) = (Carried::new(2, &[0]), vec![]);
        carried.row(&[1.0, 2.0], &mut all).unwrap();
        assert_eq!(carried.row(&[7.0, f64::INFINITY], &mut all), Err(1));
        carried.row(&[nan, nan], &mut all).unwrap();
        assert_eq!(all, [1.0, 2.0, 0.0, 1.0, 2.0, 1.0]);
        carried.reset();
        assert_eq!(carried.row(&[nan, 1.0], &mut all), Err(0));
        carried.row(&[3.0, nan], &mut all).unwrap();
        assert_eq!(all[6..], [3.0, 1.0, 0.0]);
        // what is kept for later keeps its holes
        assert!(filled(whole, Missing::Mask).unwrap().data()[2].is_nan());
    }

    #[test]
    fn the_place_of_an_odd_value() {
        let mut values = vec![0.0; 24];
        values[17] = f64::NAN;
        let odd = |values: &[f64]| first_odd(&Tensor::new([2, 3, 4], values).unwrap(), false);
        assert_eq!(odd(&values).unwrap().0, [2, 2, 2]);
        values[3] = f64::INFINITY;
        assert_eq!(odd(&values), Some((vec![1, 1, 4], f64::INFINITY)));
        assert_eq!(odd(&[0.0; 24]), None);
        let infinite = first_odd(&Tensor::new([24], values).unwrap(), true);
        assert_eq!(infinite, Some((vec![4], f64::INFINITY)), "NaN may be missing");
    }
}
