//! `rnnstep predict`

use super::each_series::each_series;
use crate::cli::args::device::Work;
use crate::cli::args::model::ModelArgs;
use crate::cli::args::sequences::{read_sequences, read_state};
use crate::cli::args::series::SeriesArgs;
use crate::cli::args::table::{ModelTableArgs, check_extension};
use crate::cli::failure::Failure;
use crate::cli::output::files::extension;
use crate::cli::output::screen::{Screen, say_once};
use crate::cli::output::{files, rows};
use clap::Args;
use rnnstep::model::file;
use rnnstep::tensor::Stored;
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
    /// File for the predictions: .csv, .npy, or .safetensors with `y` [default: .csv on stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Start from the state in this .safetensors file: `h` (and `c`) `[L,B,H]`, and `past` if the model predicts
    /// changes
    #[arg(long, value_name = "FILE", conflicts_with = "series")]
    init_state: Option<PathBuf>,
    /// Write the state after the last row, as --init-state reads it
    #[arg(long, value_name = "FILE", conflicts_with = "series")]
    final_state: Option<PathBuf>,
    /// Leave out the model's scalers and target transform: x and y are in the network's own units
    #[arg(long)]
    raw: bool,
    /// Arrays of three dimensions are `[T,B,·]`, not `[B,T,·]`
    #[arg(long, conflicts_with = "series")]
    time_major: bool,
    #[command(flatten)]
    many: SeriesArgs,
    #[command(flatten)]
    table: ModelTableArgs,
}

pub fn run(args: &PredictArgs, screen: &mut Screen) -> Result<ExitCode, Failure> {
    let reads = args.model.paths().reads("INPUT", [&args.input]).reads("--init-state", &args.init_state);
    // one file may carry the state from call to call
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
            |_, loaded, _, x| {
                let model = if args.raw { loaded.model.raw() } else { loaded.model };
                let device = args.model.device.choose(model.shape(), 1, Work::Sequences)?;
                let loss = model.units().map_or(Loss::Mse, |units| units.loss());
                let y = model.forward(device, &x.x, Order::BatchFirst, &mut State::new(model.shape(), 1))?;
                let names = y_names(&loaded.metadata.columns.targets, y.rows().1, loss);
                let y = rows::answer(y, &model, x.in_f32);
                let (header, rows) = rows::table_of(&y, &names, x.time.as_ref());
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
    let loss = model.units().map_or(Loss::Mse, |units| units.loss());
    let y = model.forward(device, &sequences.x, order, &mut state)?;
    if loaded.warnings.is_empty() {
        say_what_is_not_finite(&y);
    }
    let names = y_names(&loaded.metadata.columns.targets, y.rows().1, loss);
    let y = rows::answer(y, &model, sequences.in_f32);
    let written = rows::write(args.out.as_deref(), &y, &names, sequences.time.as_ref(), screen);
    // if the predictions are lost, the user will ask for them again, from the same state: so it must not be replaced. A
    // reader that closes stdout has what it wanted
    if let (Some(path), Ok(()) | Err(Failure::ClosedPipe)) = (&args.final_state, &written) {
        write_state(path, &state)?;
    }
    written?;
    screen.flush()?;
    sequences.say_columns();
    Ok(ExitCode::SUCCESS)
}

/// Prints a note if predictions are not finite. The input may be finite and still be too large: then it becomes
/// infinite inside the network, and the state stays infinite.
pub fn say_what_is_not_finite(y: &Tensor<f64>) {
    let width = y.rows().1.max(1);
    let odd = |row: &&[f64]| row.iter().any(|value| !value.is_finite());
    let first = y.data().chunks(width).position(|row| odd(&row));
    if let Some(first) = first {
        let count = y.data().chunks(width).filter(odd).count();
        let line = format!(
            "note: {count} rows of predictions are not finite, row {} is the first: a number in that row or before it is \
             not finite, or too large for this model",
            first + 1
        );
        say_once("not finite", &line);
    }
}

/// Names of the columns of y: `sunspots_next`, or `y_1` if the model file has no names. A model that predicts a
/// distribution has several columns for each target, such as `sunspots_next_ln_variance` or `sunspots_next_0.9`.
fn y_names(targets: &[String], width: usize, loss: Loss) -> Vec<String> {
    let each: Vec<String> = match loss {
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

/// Checks that y, which has as many dimensions as x, can be written: a table has only two.
fn check_dims(out: Option<&Path>, dims: &[usize]) -> Result<(), Failure> {
    if matches!(out.map(extension).as_deref(), Some("npy" | "safetensors")) || dims.len() == 2 {
        return Ok(());
    }
    let message = format!(
        "x has the shape {dims:?}, and y has as many dimensions, too many for a table: give --out a .safetensors or \
         .npy file"
    );
    Err(Error::Invalid(message).into())
}

/// Writes the state after the last row.
pub fn write_state(path: &Path, state: &State) -> Result<(), Failure> {
    let (h, c, past) = (state.h(), state.c(), state.past());
    let mut tensors: Vec<(&str, &dyn Stored)> = vec![("h", &h)];
    if let Some(c) = &c {
        tensors.push(("c", c));
    }
    if let Some(past) = &past {
        tensors.push(("past", past));
    }
    Ok(files::write(path, || file::write_tensors(path, &tensors))?)
}
