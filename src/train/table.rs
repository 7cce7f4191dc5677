//! What a training starts from: the columns that go in and those to predict.

use crate::error::{Error, Result};
use crate::tensor::Tensor;
use crate::units::Units;
use std::ops::Range;

/// The columns that go in and those to predict, in raw units: rows of the same times.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    inputs: Tensor,
    targets: Tensor,
    columns: Option<Vec<usize>>,
}

impl Table {
    /// `inputs [T,I]` and `targets [T,D]`; `columns` says which input each target is, if all are among them.
    ///
    /// # Errors
    /// If they have not as many rows, or `columns` does not fit them.
    pub fn new(inputs: Tensor, targets: Tensor, columns: Option<Vec<usize>>) -> Result<Self> {
        Error::check_length("targets: rows", inputs.rows().0, targets.rows().0)?;
        if let Some(columns) = &columns {
            Error::check_length("columns of the targets", targets.rows().1, columns.len())?;
            if let Some(column) = columns.iter().find(|&&column| column >= inputs.rows().1) {
                return Err(Error::invalid(format!(
                    "target column {column} is none of the {} inputs",
                    inputs.rows().1
                )));
            }
        }
        Ok(Self { inputs, targets, columns })
    }

    /// `[T,I]`
    pub fn inputs(&self) -> &Tensor {
        &self.inputs
    }

    /// `[T,D]`
    pub fn targets(&self) -> &Tensor {
        &self.targets
    }

    /// Which input each target is, if all are among them.
    pub fn columns(&self) -> Option<&[usize]> {
        self.columns.as_deref()
    }

    /// T
    pub fn rows(&self) -> usize {
        self.inputs.rows().0
    }

    /// I and D, the columns that go in and those to predict.
    pub fn widths(&self) -> (usize, usize) {
        (self.inputs.rows().1, self.targets.rows().1)
    }

    /// Some of its rows.
    ///
    /// # Errors
    /// If it has not so many.
    pub fn part(&self, rows: Range<usize>) -> Result<Self> {
        let (inputs, targets) = (self.inputs.part(rows.clone())?, self.targets.part(rows)?);
        Ok(Self { inputs, targets, columns: self.columns.clone() })
    }

    /// Its rows as the network sees them: x and the targets of the same times. The first ones, which nothing stands before that
    /// they could be held against, are left out.
    pub(super) fn scaled(&self, units: &Units) -> Result<(Tensor, Tensor)> {
        let (inputs, targets) = self.widths();
        let (x, target) = units.rows((self.inputs.data(), inputs), (self.targets.data(), targets))?;
        let rows = self.rows() - units.transform().lag();
        Ok((Tensor::new([rows, inputs], x)?, Tensor::new([rows, targets], target)?))
    }
}
