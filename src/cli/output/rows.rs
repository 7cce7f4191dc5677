//! Predictions as rows, on stdout or in a file. The extension of the file decides its format.

use crate::cli::failure::Failure;
use crate::cli::output::files::{self, extension};
use crate::cli::output::screen::Screen;
use rnnstep::Tensor;
use rnnstep::data::series::Time;
use rnnstep::data::{csv, npy};
use rnnstep::model::file;
use std::path::Path;

/// Writes the rows of `y`, with their times if they have any, to stdout or to the file `out`. Its extension decides the
/// format.
pub fn write(
    out: Option<&Path>,
    y: &Tensor,
    names: &[String],
    time: Option<&Time>,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let kind = out.map(extension);
    match (out, kind.as_deref()) {
        (Some(path), Some("npy")) => return Ok(files::write(path, || npy::write(path, y))?),
        (Some(path), Some("safetensors")) => return Ok(files::write(path, || file::write_tensors(path, &[("y", y)]))?),
        _ => {}
    }
    let (header, rows) = table_of(y, names, time);
    match out {
        Some(path) => Ok(files::write(path, || csv::write(path, &header, rows))?),
        None => screen.write(|out| csv::write_to(out, &header, rows)),
    }
}

/// Rows of `y` as text, with their times if they have any: header and rows.
pub fn table_of(y: &Tensor, names: &[String], time: Option<&Time>) -> (Vec<String>, impl Iterator<Item = Vec<String>>) {
    let header = time.map(|time| time.name.clone()).into_iter().chain(names.iter().cloned()).collect();
    let rows = y.data().chunks(y.rows().1).enumerate().map(move |(row, values)| {
        let when = time.and_then(|time| time.values.get(row)).cloned();
        when.into_iter().chain(values.iter().map(|&value| csv::number(value))).collect::<Vec<_>>()
    });
    (header, rows)
}
