//! Reads sequences and states for a trained model.

use super::table::{ModelTableArgs, columns_line, options_for, read_series};
use crate::cli::failure::Failure;
use crate::cli::output::files::extension;
use crate::cli::output::report::counted;
use crate::cli::output::screen::say_once;
use rnnstep::data::csv::Missing;
use rnnstep::data::series::{LeftOut, Series, Time};
use rnnstep::data::{holes, npy};
use rnnstep::error::{listed, quoted};
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
    check_missing(args, model)?;
    let (input, values) = (model.shape().input(), model.shape().input() - model.masks().len());
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
        // the masks of these values are not in the array
        [.., width] if matches!(x.dims().len(), 2 | 3) && *width == values && values < input => {
            let in_file = |reason: String| Error::File { path: path.into(), reason };
            let (x, _) = with_masks(&x, &[], model).map_err(in_file)?;
            Ok(Sequences { x, in_f32, time: None, used: None })
        }
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
            let reason = format!("x: the model takes [T,{values}] or [B,T,{values}], but this is {dims:?}");
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
    check_missing(args, model)?;
    let input = model.shape().input() - model.masks().len();
    let numbered = |names: &[String]| names.iter().all(|name| name.parse::<usize>().is_ok());
    let with = |inputs: &[String], mut x: Tensor<f64>| -> Result<Sequences, Failure> {
        let is_plain = numbered(inputs) && series.time.is_none() && series.left_out.is_empty();
        let used =
            || Used { inputs: inputs.to_vec(), targets: columns.targets.clone(), left_out: series.left_out.clone() };
        let mut time = series.time.clone();
        if !model.masks().is_empty() {
            let in_file = |reason: String| Error::File { path: path.into(), reason };
            let first;
            (x, first) = with_masks(&x, inputs, model).map_err(in_file)?;
            time = time.map(|time| time.from(first));
        }
        Ok(Sequences { x, in_f32: false, time, used: (!is_plain).then(used) })
    };
    let in_file = |reason: String| Failure::from(Error::File { path: path.into(), reason });
    let there: HashSet<&String> = series.columns.iter().collect();
    let known = !columns.inputs.is_empty() && columns.inputs.iter().all(|name| there.contains(name));
    if known && !args.by_position {
        return with(&columns.inputs, series.select(&columns.inputs)?);
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
    with(&series.columns, series.values.clone())
}

/// Refuses masks for a model that has none.
fn check_missing(args: &ModelTableArgs, model: &Model) -> Result<(), Failure> {
    match args.table.missing {
        Missing::Mask if model.masks().is_empty() => Err(Failure::Usage(NO_MASKS.into())),
        _ => Ok(()),
    }
}

/// Why `--missing mask` does not go with a model that has no masks.
pub const NO_MASKS: &str = "--missing mask: the model was not trained with it and has no mask; take forward-fill or drop, \
                            or train it with --missing mask";

/// A note about a value that is missing in a column for which the model has no mask.
pub fn no_mask(column: &str) -> String {
    format!(
        "note: a value of {column} is missing, but the model has no mask for it, because none was missing when it was \
         trained: the last value stands in its place"
    )
}

/// The values `[T,C]` or `[B,T,C]` of inputs with these names, with the masks of `model` behind them, and how many rows
/// at the beginning are left out.
fn with_masks(values: &Tensor<f64>, names: &[String], model: &Model) -> Result<(Tensor<f64>, usize), String> {
    let dims = values.dims();
    let &[.., rows, width] = dims else { return Err(format!("x: expected [T,I] or [B,T,I], got {dims:?}")) };
    let all_rows = Tensor::new([values.data().len() / width.max(1), width], values.data());
    let holes = holes::columns_with(&all_rows.map_err(|error| error.to_string())?);
    if let Some(&column) = holes.iter().find(|column| !model.masks().contains(column)) {
        let name = names.get(column).map_or_else(|| format!("input {}", column + 1), |name| quoted(name));
        say_once("no mask", &no_mask(&name));
    }
    let (mut all, mut left_out) = (Vec::new(), 0);
    for (number, sequence) in values.data().chunks_exact((rows * width).max(1)).enumerate() {
        let sequence = Tensor::new([rows, width], sequence).map_err(|error| error.to_string())?;
        let of = if dims.len() == 3 { format!("sequence {}, ", number + 1) } else { String::new() };
        let masked = holes::masked(&sequence, model.masks()).map_err(|reason| format!("{of}{reason}"))?;
        if masked.1 > 0 && dims.len() == 3 {
            return Err(format!("{of}row 1: a value is missing (NaN), and there is none before it"));
        }
        all.extend(masked.0.into_data());
        left_out = masked.1;
    }
    if left_out > 0 {
        let rows = if left_out == 1 { "row is".into() } else { format!("{left_out} rows are") };
        say_once("begins", &format!("note: the first {rows} left out: not every input has a value yet"));
    }
    let mut dims = dims.to_vec();
    dims.truncate(dims.len() - 2);
    dims.extend([rows - left_out, width + model.masks().len()]);
    Tensor::new(dims, all).map(|x| (x, left_out)).map_err(|error| error.to_string())
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
