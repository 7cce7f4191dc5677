//! Tables in which values are missing, for `--missing mask`.

use super::{Job, Named};
use crate::cli::args::sequences::no_mask;
use crate::cli::args::series::OneSeries;
use crate::cli::failure::Failure;
use crate::cli::output::screen::say_once;
use rnnstep::data::csv::Missing;
use rnnstep::data::holes;
use rnnstep::data::series::Series;
use rnnstep::error::{listed, quoted};
use rnnstep::train::Table;
use rnnstep::{Error, Model, Tensor};
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
        if let Some(name) = without_values([inputs, &targets], [input_names, target_names]) {
            return Err(self.in_data(Error::Invalid(every_value(name))).into());
        }
        let own = || holes::columns_with(inputs);
        let mut masks = self.data.masks.clone().unwrap_or_else(own);
        masks.retain(|&mask| mask < inputs.rows().1); // another series may have more columns
        if let Some(hidden) = holes::columns_with(inputs).into_iter().find(|column| !masks.contains(column)) {
            say_once("no mask", &no_mask(&quoted(&input_names[hidden])));
        }
        Ok(Table::with_holes(inputs, targets, columns, &masks).map_err(|error| self.in_data(error))?)
    }

    /// Why a series cannot be used where values may be missing; `None` if it can. An error is one of the columns.
    pub fn lacks_values(&self, series: &Series) -> Result<Option<String>, Failure> {
        if self.data.table.missing != Missing::Mask {
            return Ok(None);
        }
        let names = [self.data.input_columns(series)?, self.data.target_columns(series)?];
        let [inputs, targets] = [series.select(&names[0])?, series.select(&names[1])?];
        Ok(without_values([&inputs, &targets], [&names[0], &names[1]]).map(|name| every_value(name)))
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

    /// Takes the masks of a model whose training goes on.
    pub fn take_masks_of(&mut self, model: &Model) {
        self.data.masks = Some(model.masks().to_vec());
        self.data.table.missing = self.data.table.missing.of_a_model(model.masks());
    }

    /// Says in how many rows a value is missing, and what becomes of them.
    pub fn say_holes(&self, tables: &[&Named]) {
        say_holes(self.data.table.missing, tables);
    }
}

/// Says in how many rows of tables a value is missing, and what becomes of them.
pub fn say_holes(missing: Missing, tables: &[&Named]) {
    let (Missing::Mask, [first, ..]) = (missing, tables) else { return };
    let count = |of: fn(&Named) -> usize| tables.iter().map(|named| of(named)).sum::<usize>();
    let (rows, holes) = (count(|named| named.table.rows()), count(|named| named.table.rows_with_holes()));
    let (left_out, which) = (count(|named| named.first), if tables.len() > 1 { " of the series" } else { "" });
    let names: Vec<&String> = first.table.masks().iter().filter_map(|&mask| first.input_names.get(mask)).collect();
    if left_out > 0 {
        let rows = if left_out == 1 { "row is".into() } else { format!("{left_out} rows are") };
        say_once("begins", &format!("note: the first {rows} left out{which}: not every input has a value yet"));
    }
    let line = match (holes, &names[..]) {
        (0, []) if left_out > 0 => return,
        (0, []) => "note: no value is missing, so --missing mask changes nothing".into(),
        (_, []) => format!("note: in {holes} of {rows} rows a target is missing, which is not scored"),
        _ => format!(
            "note: in {holes} of {rows} rows a value is missing: a missing target is not scored, and the network reads \
                 the last value and a mask of {}",
            listed(names)
        ),
    };
    say_once("holes", &line);
}

/// The name of the first column that has rows, but no value.
fn without_values<'a>(values: [&Tensor<f64>; 2], names: [&'a [String]; 2]) -> Option<&'a String> {
    let empty = |(values, names): (&Tensor<f64>, &'a [String])| {
        let (rows, width) = values.rows();
        let is_empty = |&column: &usize| values.data().iter().skip(column).step_by(width).all(|value| value.is_nan());
        (0..width).filter(|_| rows > 0).find(is_empty).and_then(|column| names.get(column))
    };
    values.into_iter().zip(names).find_map(empty)
}

fn every_value(name: &str) -> String {
    format!("every value of {} is missing; leave the column out", quoted(name))
}
