//! The data of a training: input columns and target columns.

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
        Ok(Self { inputs, targets, columns })
    }

    /// `[T,I]`
    pub fn inputs(&self) -> &Tensor<f64> {
        &self.inputs
    }

    /// `[T,D]`
    pub fn targets(&self) -> &Tensor<f64> {
        &self.targets
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
        let (inputs, targets) = (self.inputs.part(rows.clone())?, self.targets.part(rows)?);
        Ok(Self { inputs, targets, columns: self.columns.clone() })
    }

    /// Its rows in the network's units: x and the targets of the same times. The first rows, which have no earlier row
    /// to take a change from, are left out.
    pub(super) fn scaled(&self, units: &Units) -> Result<(Tensor, Tensor)> {
        let (inputs, targets) = self.widths();
        let (x, target) = units.rows((self.inputs.data(), inputs), (self.targets.data(), targets))?;
        let rows = self.rows() - units.transform().lag();
        Ok((Tensor::new([rows, inputs], x)?, Tensor::new([rows, targets], target)?))
    }
}
