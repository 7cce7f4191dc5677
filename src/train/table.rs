//! The data of a training: input columns and target columns.

use crate::data::holes;
use crate::error::{Error, Result};
use crate::tensor::Tensor;
use crate::units::Units;
use std::ops::Range;

/// Input columns and target columns in raw units. A row has the values of one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    inputs: Tensor<f64>,
    targets: Tensor<f64>,
    columns: Option<Vec<usize>>,
    /// The targets with NaN where they are missing; `None` if none is.
    actuals: Option<Tensor<f64>>,
    /// The inputs that have a mask.
    masks: Vec<usize>,
}

impl Table {
    /// `inputs [T,I]` and `targets [T,D]`. `columns` has the number of the input that each target is, if all targets
    /// are inputs.
    ///
    /// # Errors
    /// If inputs and targets differ in their number of rows, or `columns` does not fit them.
    pub fn new(
        inputs: impl Into<Tensor<f64>>,
        targets: impl Into<Tensor<f64>>,
        columns: Option<Vec<usize>>,
    ) -> Result<Self> {
        let (inputs, targets) = (inputs.into(), targets.into());
        Error::check_length("targets: rows", inputs.rows().0, targets.rows().0)?;
        if let Some(columns) = &columns {
            Error::check_length("columns of the targets", targets.rows().1, columns.len())?;
            if let Some(column) = columns.iter().find(|&&column| column >= inputs.rows().1) {
                return Err(Error::invalid(format!(
                    "target column {column} is not one of the {} inputs, counted from 0",
                    inputs.rows().1
                )));
            }
        }
        Ok(Self { inputs, targets, columns, actuals: None, masks: Vec::new() })
    }

    /// A table in which values are missing: NaN in `inputs [T,C]` and `targets [T,D]`. `masks` are the input columns that
    /// get a mask, in rising order: behind the C columns, each has one more that is 1 where its value is missing and 0
    /// elsewhere. In place of a missing input stands the last value before it, and rows before every input has had a
    /// value are left out. A missing target counts neither in the loss nor in a score. `columns` is that of
    /// [`Table::new`]. Also returns how many rows are left out.
    ///
    /// # Errors
    /// Those of [`Table::new`], and if an input has no value at all, a value is infinite, or one of `masks` is no input
    /// column.
    pub fn with_holes(
        inputs: &Tensor<f64>,
        targets: Tensor<f64>,
        columns: Option<Vec<usize>>,
        masks: &[usize],
    ) -> Result<(Self, usize)> {
        let (masked, first) = holes::masked(inputs, masks).map_err(Error::invalid)?;
        let carried = carried(&targets)?.part(first..targets.rows().0)?;
        let targets = targets.part(first..targets.rows().0)?;
        let is_whole = targets.data().iter().all(|value| !value.is_nan());
        let actuals = if is_whole { None } else { Some(targets) };
        Ok((Self { actuals, masks: masks.to_vec(), ..Self::new(masked, carried, columns)? }, first))
    }

    /// A table whose inputs are its targets as well, from rows that have masks already, as [`holes::masked`] gives them.
    ///
    /// # Errors
    /// Those of [`Table::with_holes`].
    pub fn of_masked(rows: &Tensor<f64>, masks: &[usize]) -> Result<Self> {
        let (count, width) = rows.rows();
        let columns = width.saturating_sub(masks.len());
        let mut values = Vec::with_capacity(count * columns);
        for row in rows.data().chunks_exact(width.max(1)) {
            let (row, missing) = row.split_at(columns);
            let is_missing = |column| masks.iter().zip(missing).any(|(&mask, &is)| mask == column && is != 0.0);
            let with_holes = |(column, &value)| if is_missing(column) { f64::NAN } else { value };
            values.extend(row.iter().enumerate().map(with_holes));
        }
        let values = Tensor::new([count, columns], values)?;
        Ok(Self::with_holes(&values, values.clone(), Some((0..columns).collect()), masks)?.0)
    }

    /// `[T,I]`, with the masks.
    pub fn inputs(&self) -> &Tensor<f64> {
        &self.inputs
    }

    /// `[T,D]`. In place of a missing value stands the last one before it.
    pub fn targets(&self) -> &Tensor<f64> {
        &self.targets
    }

    /// `[T,D]`, with NaN where a value is missing.
    pub fn actuals(&self) -> &Tensor<f64> {
        self.actuals.as_ref().unwrap_or(&self.targets)
    }

    /// The rows in which a value is missing, of a target or of an input that has a mask.
    pub fn rows_with_holes(&self) -> usize {
        let (inputs, targets) = self.widths();
        let of_inputs = self.inputs.data().chunks_exact(inputs.max(1)).map(|row| &row[inputs - self.masks.len()..]);
        let of_targets = self.actuals().data().chunks_exact(targets.max(1));
        let rows = of_inputs.zip(of_targets);
        rows.filter(|(masks, row)| masks.iter().any(|mask| *mask != 0.0) || row.iter().any(|value| value.is_nan()))
            .count()
    }

    /// The input columns that have a mask, counted from 0.
    pub fn masks(&self) -> &[usize] {
        &self.masks
    }

    /// The number of the input that each target is, if all targets are inputs.
    pub fn columns(&self) -> Option<&[usize]> {
        self.columns.as_deref()
    }

    /// T
    pub fn rows(&self) -> usize {
        self.inputs.rows().0
    }

    /// I and D, the numbers of input columns and of target columns.
    pub fn widths(&self) -> (usize, usize) {
        (self.inputs.rows().1, self.targets.rows().1)
    }

    /// Some of its rows.
    ///
    /// # Errors
    /// If it has fewer rows.
    pub fn part(&self, rows: Range<usize>) -> Result<Self> {
        let (inputs, targets) = (self.inputs.part(rows.clone())?, self.targets.part(rows.clone())?);
        let actuals = self.actuals.as_ref().map(|actuals| actuals.part(rows)).transpose()?;
        Ok(Self { inputs, targets, columns: self.columns.clone(), actuals, masks: self.masks.clone() })
    }

    /// Its rows in the network's units: x and the targets of the same times, NaN where they are missing. The first rows, which have no earlier row
    /// to take a change from, are left out.
    pub(super) fn scaled(&self, units: &Units) -> Result<(Tensor, Tensor)> {
        let (inputs, targets) = self.widths();
        let (x, mut target) = units.rows((self.inputs.data(), inputs), (self.targets.data(), targets))?;
        let lag = units.transform().lag();
        if let Some(actuals) = &self.actuals {
            let actuals = actuals.data().iter().skip(lag * targets);
            target.iter_mut().zip(actuals).filter(|(_, actual)| actual.is_nan()).for_each(|(y, _)| *y = f32::NAN);
        }
        let rows = self.rows() - lag;
        Ok((Tensor::new([rows, inputs], x)?, Tensor::new([rows, targets], target)?))
    }
}

/// The targets `[T,D]` with the last known value in place of each that is missing, and the first known one before it; 0
/// where a column has none at all. None of these is scored.
fn carried(targets: &Tensor<f64>) -> Result<Tensor<f64>> {
    let (rows, width) = targets.rows();
    let mut all = targets.data().to_vec();
    for column in 0..width {
        let first = all.iter().skip(column).step_by(width).copied().find(|value| !value.is_nan());
        let mut last = first.unwrap_or_default();
        for value in all.iter_mut().skip(column).step_by(width) {
            last = if value.is_nan() { last } else { *value };
            *value = last;
        }
    }
    Tensor::new([rows, width], all)
}
