//! `rnnstep predict`

use super::each_series::each_series;
use crate::cli::args::device::Work;
use crate::cli::args::model::ModelArgs;
use crate::cli::args::sequences::{read_sequences, read_state};
use crate::cli::args::series::SeriesArgs;
use crate::cli::args::table::{TableArgs, check_extension};
use crate::cli::failure::Failure;
use crate::cli::output::files::extension;
use crate::cli::output::screen::{Screen, say_once};
use crate::cli::output::{files, rows};
use clap::Args;
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
                let says = model.units().map_or(Loss::Mse, |units| units.loss());
                let y = model.forward(device, &x.x, Order::BatchFirst, &mut State::new(model.shape(), 1))?;
                let names = y_names(&loaded.metadata.columns.targets, y.rows().1, says);
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
    let says = model.units().map_or(Loss::Mse, |units| units.loss());
    let y = model.forward(device, &sequences.x, order, &mut state)?;
    if loaded.warnings.is_empty() {
        say_what_is_not_finite(&y);
    }
    let names = y_names(&loaded.metadata.columns.targets, y.rows().1, says);
    let written = rows::write(args.out.as_deref(), &y, &names, sequences.time.as_ref(), screen);
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
    Ok(files::write(path, || file::write_tensors(path, &tensors))?)
}
