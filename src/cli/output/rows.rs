//! Predictions as rows, on stdout or in a file. The extension of the file decides its format.

use crate::cli::failure::Failure;
use crate::cli::output::files::{self, extension, is_standard};
use crate::cli::output::screen::Screen;
use rnnstep::data::series::Time;
use rnnstep::data::{csv, npy};
use rnnstep::model::file;
use rnnstep::tensor::Array;
use rnnstep::{Model, Tensor};
use std::path::Path;

/// Writes the rows of `y`, with their times if they have any, to stdout or to the file `out`. Its extension decides the
/// format.
pub fn write(
    out: Option<&Path>,
    y: &Array,
    names: &[String],
    time: Option<&Time>,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let out = out.filter(|path| !is_standard(path));
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

/// Predictions as they are written: in f32 if the model has no units, because they are then the network's own numbers,
/// or if the rows that it was given were f32; otherwise in f64.
pub fn answer(y: Tensor<f64>, model: &Model, in_f32: bool) -> Array {
    if in_f32 || model.units().is_none() { y.narrow().into() } else { y.into() }
}

/// Rows of `y` as text, with their times if they have any: header and rows. Each number is the shortest that reads back
/// as the same f32 or f64.
pub fn table_of(y: &Array, names: &[String], time: Option<&Time>) -> (Vec<String>, impl Iterator<Item = Vec<String>>) {
    let header = time.map(|time| time.name.clone()).into_iter().chain(names.iter().cloned()).collect();
    let width = y.dims().last().copied().unwrap_or(1).max(1);
    let rows = y.dims().iter().product::<usize>() / width;
    let cell = move |at: usize| match y {
        Array::F32(y) => csv::number(y.data()[at]),
        Array::F64(y) => csv::number(y.data()[at]),
    };
    let rows = (0..rows).map(move |row| {
        let when = time.and_then(|time| time.values.get(row)).cloned();
        when.into_iter().chain((row * width..(row + 1) * width).map(cell)).collect::<Vec<_>>()
    });
    (header, rows)
}
