//! Tables in which values are missing, for `--missing mask`.

use super::{Job, Named};
use crate::cli::args::series::OneSeries;
use crate::cli::failure::Failure;
use crate::cli::output::screen::say_once;
use rnnstep::data::csv::Missing;
use rnnstep::data::holes;
use rnnstep::error::{listed, quoted};
use rnnstep::train::Table;
use rnnstep::{Error, Tensor};
use std::collections::BTreeSet;

impl Job {
    /// A table in which values are missing, and the row that it begins with: the first up to which every column has had
    /// a value.
    pub(super) fn with_holes(
        &self,
        inputs: &Tensor<f64>,
        targets: Tensor<f64>,
        columns: Option<Vec<usize>>,
        [input_names, target_names]: [&[String]; 2],
    ) -> Result<(Table, usize), Failure> {
        let first = match (holes::first_known(inputs), holes::first_known(&targets)) {
            (Some(of_inputs), Some(of_targets)) => of_inputs.max(of_targets),
            (of_inputs, _) => {
                let (values, names) =
                    if of_inputs.is_none() { (inputs, input_names) } else { (&targets, target_names) };
                let is_empty = |column: &usize| holes::first_known(&of_column(values, *column)).is_none();
                let name = (0..names.len()).find(is_empty).map_or("", |column| &names[column]);
                let reason = format!("every value of {} is missing; leave the column out", quoted(name));
                return Err(self.in_data(Error::Invalid(reason)).into());
            }
        };
        let (inputs, targets) = (inputs.part(first..inputs.rows().0)?, targets.part(first..targets.rows().0)?);
        let own = || holes::columns_with(&inputs);
        let mut masks = self.data.masks.clone().unwrap_or_else(own);
        masks.retain(|&mask| mask < inputs.rows().1); // another series may have more columns
        let table = Table::with_holes(&inputs, targets, columns, &masks).map_err(|error| self.in_data(error))?;
        Ok((table, first))
    }

    /// Finds the columns that get a mask, if they are asked for: those in which a value of any of the series is missing.
    pub fn settle_masks(&mut self, all: &[OneSeries]) -> Result<(), Failure> {
        if self.data.table.missing != Missing::Mask || self.data.masks.is_some() {
            return Ok(());
        }
        let mut masks = BTreeSet::new();
        for series in all.iter().filter_map(|one| one.series.as_ref().ok()) {
            // what is wrong with a series is said where it is used
            masks.extend(self.named(series).iter().flat_map(|named| named.table.masks()));
        }
        self.data.masks = Some(masks.into_iter().collect());
        Ok(())
    }

    /// Says in how many rows a value is missing, and what becomes of them.
    pub fn say_holes(&self, tables: &[&Named]) {
        let (Missing::Mask, [first, ..]) = (self.data.table.missing, tables) else { return };
        let count = |of: fn(&Table) -> usize| tables.iter().map(|named| of(&named.table)).sum::<usize>();
        let (rows, holes) = (count(Table::rows), count(Table::rows_with_holes));
        let names: Vec<&String> = first.table.masks().iter().filter_map(|&mask| first.input_names.get(mask)).collect();
        let line = match (holes, &names[..]) {
            (0, []) => "note: no value is missing, so --missing mask changes nothing".into(),
            (_, []) => format!("note: in {holes} of {rows} rows a value is missing; none of them is scored"),
            _ => format!(
                "note: in {holes} of {rows} rows a value is missing; none of them is scored, and the network reads the \
                 last value and a mask of {}",
                listed(names)
            ),
        };
        say_once("holes", &line);
    }
}

/// One column of an array `[T, columns]`.
fn of_column(values: &Tensor<f64>, column: usize) -> Tensor<f64> {
    let (rows, width) = values.rows();
    let column: Vec<f64> = values.data().iter().skip(column).step_by(width).copied().collect();
    Tensor::new([rows, 1], column).unwrap_or_default()
}
