//! `rnnstep predict`

mod many;

pub use many::each_series;

use crate::cli::args::device::Work;
use crate::cli::args::input::{SeriesArgs, TableArgs, extension, read_sequences, read_state, unknown_extension};
use crate::cli::args::paths;
use crate::cli::output::screen::{Screen, say_once};
use crate::cli::{Failure, ModelArgs};
use clap::Args;
use rnnstep::data::series::Time;
use rnnstep::data::{csv, npy};
use rnnstep::model::file;
use rnnstep::{Error, Loss, Order, State, Tensor};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
pub struct PredictArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Sequences: .csv, .npy [T,I], or .safetensors with `x [T,I]` or `[B,T,I]`
    #[arg(value_name = "INPUT")]
    input: PathBuf,
    /// Where predictions go: .csv, .npy, or .safetensors with `y` [default: .csv on stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Start from the state in this .safetensors file: `h` (and `c`) `[L,B,H]`
    #[arg(long, value_name = "FILE", conflicts_with = "series")]
    init_state: Option<PathBuf>,
    /// Write the state after the last row, as --init-state reads it
    #[arg(long, value_name = "FILE", conflicts_with = "series")]
    final_state: Option<PathBuf>,
    /// Leave the model's scalers out: x and y are what the network itself sees
    #[arg(long)]
    raw: bool,
    /// Three-dimensional arrays are `[T,B,·]`
    #[arg(long, conflicts_with = "series")]
    time_major: bool,
    #[command(flatten)]
    many: SeriesArgs,
    #[command(flatten)]
    table: TableArgs,
}

pub fn run(args: &PredictArgs, screen: &mut Screen) -> Result<ExitCode, Failure> {
    let reads = args.model.paths().reads("INPUT", [&args.input]).reads("--init-state", &args.init_state);
    // a state may go from call to call in one file
    let reads = reads.may_replace("--init-state", "--final-state");
    reads.writes("--out", &args.out).writes("--final-state", &args.final_state).check()?;
    check_extension(args.out.as_deref())?;
    if args.many.series.is_some() {
        return each_series(
            &args.model,
            &args.input,
            &args.many,
            &args.table,
            args.out.as_deref(),
            screen,
            |loaded, _, x| {
                let model = if args.raw { loaded.model.raw() } else { loaded.model };
                let device = args.model.device.choose(model.shape(), 1, Work::Sequences)?;
                let says = model.units().map_or(Loss::Mse, |units| units.says());
                let y = model.forward(device, &x.x, Order::BatchFirst, &mut State::new(model.shape(), 1))?;
                let names = y_names(&loaded.metadata.columns.targets, y.rows().1, says);
                let (header, rows) = table_of(&y, &names, x.time.as_ref());
                Ok((header, rows.collect()))
            },
        );
    }
    let loaded = args.model.load()?;
    let model = if args.raw { loaded.model.raw() } else { loaded.model };
    let sequences = read_sequences(&args.input, &args.table, &loaded.metadata.columns, &model)?;
    let order = if args.time_major { Order::TimeMajor } else { Order::BatchFirst };
    let batch = match (sequences.x.dims(), order) {
        ([batch, _, _], Order::BatchFirst) | ([_, batch, _], Order::TimeMajor) => *batch,
        _ => 1,
    };
    check_dims(args.out.as_deref(), sequences.x.dims())?;
    let mut state = read_state(args.init_state.as_deref(), &model, batch)?;
    let device = args.model.device.choose(model.shape(), batch, Work::Sequences)?;
    let says = model.units().map_or(Loss::Mse, |units| units.says());
    let y = model.forward(device, &sequences.x, order, &mut state)?;
    if loaded.warnings.is_empty() {
        say_what_is_not_finite(&y);
    }
    let names = y_names(&loaded.metadata.columns.targets, y.rows().1, says);
    let written = write_rows(args.out.as_deref(), &y, &names, sequences.time.as_ref(), screen);
    // predictions that were lost are asked for again, from the state before them; who closes stdout has what was wanted
    if let (Some(path), Ok(()) | Err(Failure::ClosedPipe)) = (&args.final_state, &written) {
        write_state(path, &state)?;
    }
    written.map(|()| ExitCode::SUCCESS)
}

/// A number that is finite and far beyond all that the model knows may be infinite inside, and stays so in the state.
pub fn say_what_is_not_finite(y: &Tensor) {
    let width = y.rows().1.max(1);
    let odd = |row: &&[f32]| row.iter().any(|value| !value.is_finite());
    let first = y.data().chunks(width).position(|row| odd(&row));
    if let Some(first) = first {
        let count = y.data().chunks(width).filter(odd).count();
        let line = format!(
            "note: {count} rows of predictions are not finite, row {} the first: a number in that row or before it is not, or is too \
             large for this model",
            first + 1
        );
        say_once("not finite", &line);
    }
}

/// Names of the columns of y: `sunspots_next`, or `y_1` where nobody knows better; `sunspots_next_ln_variance`,
/// `sunspots_next_0.9` where a model says more of a column than a value.
fn y_names(targets: &[String], width: usize, says: Loss) -> Vec<String> {
    let each: Vec<String> = match says {
        Loss::Gaussian => vec![String::new(), "_ln_variance".into()],
        Loss::Quantiles(levels) => levels.as_slice().iter().map(|level| format!("_{level}")).collect(),
        _ => vec![String::new()],
    };
    let next: Vec<String> = if targets.len() * each.len() == width {
        targets.iter().map(|name| format!("{name}_next")).collect()
    } else {
        (1..=width / each.len()).map(|column| format!("y_{column}")).collect()
    };
    each.iter().flat_map(|end| next.iter().map(move |name| format!("{name}{end}"))).collect()
}

/// Rows of `y`, with their times if they have any, to a file by its extension, or to stdout.
pub fn write_rows(
    out: Option<&Path>,
    y: &Tensor,
    names: &[String],
    time: Option<&Time>,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let kind = out.map(extension);
    match (out, kind.as_deref()) {
        (Some(path), Some("npy")) => return Ok(paths::write(path, || npy::write(path, y))?),
        (Some(path), Some("safetensors")) => return Ok(paths::write(path, || file::write_tensors(path, &[("y", y)]))?),
        _ => {}
    }
    let (header, rows) = table_of(y, names, time);
    match out {
        Some(path) => Ok(paths::write(path, || csv::write(path, &header, rows))?),
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

/// Whether [`write_rows`] knows what to write there; what has no extension gets a table.
pub fn check_extension(out: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = out else { return Ok(()) };
    match extension(path).as_str() {
        "npy" | "safetensors" | "csv" | "" => Ok(()),
        other => Err(unknown_extension(path, other)),
    }
}

/// A table is written under the name of one: what ends in .npy would be read as that.
pub fn check_table(out: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = out else { return Ok(()) };
    match extension(path).as_str() {
        "csv" | "tsv" | "txt" | "" => Ok(()),
        other => Err(Error::File { path: path.into(), reason: format!("is a table: .csv, not .{other}") }.into()),
    }
}

/// A table has two dimensions; x and y have as many.
fn check_dims(out: Option<&Path>, dims: &[usize]) -> Result<(), Failure> {
    if matches!(out.map(extension).as_deref(), Some("npy" | "safetensors")) || dims.len() == 2 {
        return Ok(());
    }
    let message = format!("x has the shape {dims:?}, y has as many dimensions: give --out a .safetensors or .npy file");
    Err(Error::Invalid(message).into())
}

fn write_state(path: &Path, state: &State) -> Result<(), Failure> {
    let (h, c, past) = (state.h(), state.c(), state.past());
    let tensors: Vec<(&str, &Tensor)> = [("h", Some(&h)), ("c", c.as_ref()), ("past", past.as_ref())]
        .into_iter()
        .filter_map(|(name, tensor)| tensor.map(|tensor| (name, tensor)))
        .collect();
    Ok(paths::write(path, || file::write_tensors(path, &tensors))?)
}
