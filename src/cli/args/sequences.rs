//! Reads sequences and states for a trained model.

use super::table::{ModelTableArgs, columns_line, options_for, read_series};
use crate::cli::failure::Failure;
use crate::cli::output::files::extension;
use crate::cli::output::report::counted;
use crate::cli::output::screen::say_once;
use rnnstep::data::csv::Missing;
use rnnstep::data::series::{LeftOut, Series, Time};
use rnnstep::data::{holes, npy};
use rnnstep::error::listed;
use rnnstep::model::file;
use rnnstep::model::file::Columns;
use rnnstep::tensor::Array;
use rnnstep::{Error, Model, State, TargetTransform, Tensor};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

/// Sequences for a model, in raw units.
pub struct Sequences {
    /// `[T,I]` or `[B,T,I]`
    pub x: Tensor<f64>,
    /// Whether x was stored in f32.
    pub in_f32: bool,
    /// The time of each row, of a table.
    pub time: Option<Time>,
    /// How the columns of a table are used; `None` if they have only numbers.
    used: Option<Used>,
}

/// How the columns of a table are used.
struct Used {
    inputs: Vec<String>,
    targets: Vec<String>,
    left_out: Arc<[LeftOut]>,
}

impl Sequences {
    /// An array of f32 values.
    pub fn in_f32(x: Tensor<f64>) -> Self {
        Self { x, in_f32: true, time: None, used: None }
    }

    /// Prints which columns are used as what, once the command has done its work: an error has one line.
    pub fn say_columns(&self) {
        if let Some(Used { inputs, targets, left_out }) = &self.used {
            say_once("columns", &columns_line(inputs, targets, self.time.as_ref(), left_out));
        }
    }
}

/// Reads x for `model`: columns by the names that the model was trained on, else all of them.
pub fn read_sequences(
    path: &Path,
    args: &ModelTableArgs,
    columns: &Columns,
    model: &Model,
) -> Result<Sequences, Failure> {
    let input = model.shape().input();
    let x = match extension(path).as_str() {
        "safetensors" => file::read_tensor(path, "x")?,
        "npy" => npy::read(path)?,
        _ => {
            let series = read_series(path, &options_for(columns, args))?;
            return sequences_of(&series, path, columns, args, model);
        }
    };
    let in_f32 = matches!(x, Array::F32(_));
    let x = x.wide();
    match x.dims() {
        [.., width] if matches!(x.dims().len(), 2 | 3) && *width == input => {
            let in_file = |reason: String| Error::File { path: path.into(), reason };
            let x = match args.table.missing {
                // NaN goes through the network, as in PyTorch, and the answers say so
                Missing::Error => x,
                _ if x.dims().len() == 3 => {
                    let reason = "--missing: works for one sequence [T,I]; fill in the NaN of several sequences first";
                    return Err(in_file(reason.into()).into());
                }
                missing => holes::filled(x, missing).map_err(in_file)?,
            };
            Ok(Sequences { x, in_f32, time: None, used: None })
        }
        dims => {
            let reason = format!("x: the model takes [T,{input}] or [B,T,{input}], but this is {dims:?}");
            Err(Error::File { path: path.into(), reason }.into())
        }
    }
}

/// The sequence in a series for `model`: the columns with the names of the model's inputs. If the file of the model has no names,
/// if the table has none, or if it is asked for, columns count by their position.
pub fn sequences_of(
    series: &Series,
    path: &Path,
    columns: &Columns,
    args: &ModelTableArgs,
    model: &Model,
) -> Result<Sequences, Failure> {
    let input = model.shape().input();
    let numbered = |names: &[String]| names.iter().all(|name| name.parse::<usize>().is_ok());
    let with = |inputs: &[String], x: Tensor<f64>| {
        let is_plain = numbered(inputs) && series.time.is_none() && series.left_out.is_empty();
        let used =
            || Used { inputs: inputs.to_vec(), targets: columns.targets.clone(), left_out: series.left_out.clone() };
        Sequences { x, in_f32: false, time: series.time.clone(), used: (!is_plain).then(used) }
    };
    let in_file = |reason: String| Failure::from(Error::File { path: path.into(), reason });
    let there: HashSet<&String> = series.columns.iter().collect();
    let known = !columns.inputs.is_empty() && columns.inputs.iter().all(|name| there.contains(name));
    if known && !args.by_position {
        return Ok(with(&columns.inputs, series.select(&columns.inputs)?));
    }
    let found = listed(&series.columns);
    if !args.by_position && !numbered(&columns.inputs) && !numbered(&series.columns) {
        let lacks: Vec<&String> = columns.inputs.iter().filter(|name| !there.contains(name)).collect();
        return Err(in_file(format!(
            "the model was trained on the columns {}, and the file has {found}: it lacks {}; rename its columns, or add \
             --by-position to take them in their order",
            listed(&columns.inputs),
            listed(lacks)
        )));
    }
    if series.values.rows().1 != input {
        let names = if columns.inputs.is_empty() { String::new() } else { format!(" ({})", listed(&columns.inputs)) };
        return Err(in_file(format!("the model takes {}{names}, but the file has {found}", counted(input, "column"))));
    }
    Ok(with(&series.columns, series.values.clone()))
}

/// The state of `batch` sequences: zero, or that of a file with `h [L,B,H]` (and `c`, and `past` if the model predicts
/// changes).
pub fn read_state(path: Option<&Path>, model: &Model, batch: usize) -> Result<State, Failure> {
    let mut state = State::new(model.shape(), batch);
    let Some(path) = path else { return Ok(state) };
    let cell = model.shape().cell();
    let (required, optional) = if cell.has_c() { (&["h", "c"][..], &[][..]) } else { (&["h"][..], &["c"][..]) };
    let tensors = file::read_tensors::<f32>(path, required, optional)?;
    if !cell.has_c() && tensors.contains_key("c") {
        let reason = format!("a {cell} has no c, so this state is of another network; give one of this model");
        return Err(Error::Tensor { path: path.into(), tensor: "c".into(), reason }.into());
    }
    if let Some(units) = model.units().filter(|units| units.transform() != TargetTransform::Value) {
        let wrong = |reason: String| Error::Tensor { path: path.into(), tensor: "past".into(), reason };
        let expected = [units.transform().lag(), batch, units.columns().len()];
        let Some(past) = file::read_tensors::<f64>(path, &[], &["past"])?.remove("past") else {
            let reason = "is missing; a model that predicts changes needs the last values; give a state that it wrote";
            return Err(wrong(reason.into()).into());
        };
        if past.dims() != expected {
            let reason =
                format!("expected the shape {expected:?} (rows back, B, predicted columns), got {:?}", past.dims());
            return Err(wrong(reason).into());
        }
        state.set_past(units, past.data())?;
    }
    let expected = [model.shape().layers(), batch, model.shape().hidden()];
    for (name, tensor) in tensors {
        if tensor.dims() != expected {
            let reason = format!("expected the shape {expected:?} (L,B,H), got {:?}", tensor.dims());
            return Err(Error::Tensor { path: path.into(), tensor: name, reason }.into());
        }
        if name == "h" { state.set_h(tensor.data())? } else { state.set_c(tensor.data())? }
    }
    Ok(state)
}
