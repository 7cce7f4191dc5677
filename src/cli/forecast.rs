//! `rnnstep forecast`

use super::device::Work;
use super::input::{SeriesArgs, TableArgs, read_sequences};
use super::predict::{check_extension, each_series, table_of, write_rows};
use super::screen::Screen;
use super::{Failure, ModelArgs, report};
use clap::Args;
use rnnstep::data::series::Time;
use rnnstep::data::sine;
use rnnstep::file::Columns;
use rnnstep::plot::{Figure, Line, Plot, Role};
use rnnstep::{Error, Stream, Tensor, file};
use serde_json::Value;
use std::path::PathBuf;
use std::process::ExitCode;

/// Rows of history that a plot shows at the least.
const SHOWN: usize = 60;
/// The most steps ahead.
const MOST: usize = 10_000_000;

#[derive(Args)]
pub struct ForecastArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// What came before: .csv, .npy [T,I] or .safetensors with `x [T,I]` [default: sine, for a model of the built-in sine]
    #[arg(value_name = "HISTORY")]
    history: Option<PathBuf>,
    /// Steps to predict beyond the history
    #[arg(long, value_name = "N")]
    steps: usize,
    /// Where predictions go: .csv, .npy, or .safetensors with `y` [default: .csv on stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write a plot of history and forecast
    #[arg(long, value_name = "FILE.svg|png", conflicts_with = "series")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    many: SeriesArgs,
    #[command(flatten)]
    table: TableArgs,
}

pub fn run(args: &ForecastArgs, screen: &mut Screen) -> Result<ExitCode, Failure> {
    if args.steps == 0 || args.steps > MOST {
        return Err(Error::Invalid(format!("steps {}: must be between 1 and {MOST}", args.steps)).into());
    }
    for path in [&args.out, &args.plot].into_iter().flatten() {
        file::check_writable(path)?;
    }
    if let Some(path) = &args.plot {
        rnnstep::plot::picture::check_ending(path)?;
    }
    check_extension(args.out.as_deref())?;
    if args.many.series.is_some() {
        return of_each_series(args, screen);
    }
    let loaded = args.model.load()?;
    let columns = &loaded.metadata.columns;
    feeds_back(columns)?;
    let (history, time) = match &args.history {
        Some(path) => {
            let sequences = read_sequences(path, &args.table, columns, &loaded.model)?;
            if sequences.x.dims().len() != 2 {
                let reason =
                    format!("x has the shape {:?}: a forecast continues one sequence [T,I]", sequences.x.dims());
                return Err(Error::File { path: path.clone(), reason }.into());
            }
            (sequences.x, sequences.time)
        }
        None => (sine_history(loaded.metadata.recipe.as_ref(), loaded.metadata.seq_len)?, None),
    };
    let device = args.model.device.choose(loaded.model.shape(), 1, Work::Ticks)?;
    let mut stream = Stream::on(device, loaded.model)?;
    let (fitted, future) = rnnstep::forecast::ahead(&mut stream, &history, args.steps)?;
    let names = names(columns, future.rows().1);
    if let Some(path) = &args.plot {
        let figure = Figure::stacked(
            format!("{}, {} steps ahead", report::describe(stream.model().shape()), args.steps),
            plots(&names, &history, &fitted, &future, time.as_ref()),
        );
        rnnstep::plot::picture::save(&figure, path)?;
    }
    write_rows(args.out.as_deref(), &future, &names, Some(&numbers(args.steps)), screen)?;
    Ok(ExitCode::SUCCESS)
}

/// The forecasts of many series, each from a state of its own.
fn of_each_series(args: &ForecastArgs, screen: &mut Screen) -> Result<ExitCode, Failure> {
    let Some(history) = &args.history else {
        return Err(Failure::Usage("HISTORY is missing: give the .csv that has the column --series".into()));
    };
    each_series(&args.model, history, &args.many, &args.table, args.out.as_deref(), screen, |loaded, history| {
        let columns = &loaded.metadata.columns;
        feeds_back(columns)?;
        let device = args.model.device.choose(loaded.model.shape(), 1, Work::Ticks)?;
        let mut stream = Stream::on(device, loaded.model)?;
        let (_, future) = rnnstep::forecast::ahead(&mut stream, &history.x, args.steps)?;
        let (names, numbers) = (names(columns, future.rows().1), numbers(args.steps));
        let (header, rows) = table_of(&future, &names, Some(&numbers));
        Ok((header, rows.collect()))
    })
}

/// Whether predictions can be inputs.
fn feeds_back(columns: &Columns) -> Result<(), Failure> {
    if columns.inputs == columns.targets {
        return Ok(());
    }
    let (inputs, targets) = (columns.inputs.join(", "), columns.targets.join(", "));
    let message = format!(
        "the model takes {inputs} and predicts {targets}: train with the same --column and --target to feed predictions back"
    );
    Err(Error::Invalid(message).into())
}

/// The names of so many predicted columns.
fn names(columns: &Columns, width: usize) -> Vec<String> {
    if columns.targets.len() == width {
        columns.targets.clone()
    } else {
        (1..=width).map(|c| format!("y_{c}")).collect()
    }
}

/// Steps, as times of rows.
fn numbers(steps: usize) -> Time {
    Time { name: "step".into(), values: (1..=steps).map(|step| step.to_string()).collect() }
}

/// Four windows of the sine, for a model that was trained on it.
fn sine_history(recipe: Option<&Value>, seq_len: Option<usize>) -> Result<Tensor, Failure> {
    let of_sine = recipe.is_some_and(|recipe| recipe.get("data").is_some_and(Value::is_null));
    let Some(seq_len) = seq_len.filter(|_| of_sine) else {
        let message = "HISTORY is missing: only a model trained on the built-in sine does without";
        return Err(Failure::Usage(message.into()));
    };
    let values: Vec<f32> = (0..4).flat_map(|k| sine::window(k, seq_len).take(seq_len)).collect();
    Ok(Tensor::new([values.len(), 1], values)?)
}

/// One panel for each column: the end of history, what the model said to it, and the forecast.
fn plots(names: &[String], history: &Tensor, fitted: &Tensor, future: &Tensor, time: Option<&Time>) -> Vec<Plot> {
    let (rows, width) = history.rows();
    let shown = rows.min(SHOWN.max(3 * future.rows().0));
    let points = |tensor: &Tensor, column: usize, skip: usize, at: usize| -> Vec<(f64, f64)> {
        let values = tensor.data().iter().skip(skip * width + column).step_by(width);
        values.enumerate().map(|(i, &v)| ((at + i) as f64, f64::from(v))).collect()
    };
    let panel = |(column, name): (usize, &String)| {
        // the last fitted value is the first forecast
        let mut said = points(fitted, column, rows - shown, 1);
        said.pop();
        Plot {
            x_names: time.map(|time| times(&time.values[rows - shown..], future.rows().0)).unwrap_or_default(),
            ..Plot::new(name.clone(), if time.is_some() { "" } else { "step" }, "")
        }
        .with(Line::new("history", Role::History, points(history, column, rows - shown, 0)))
        .with(Line::new("one step ahead", Role::Prediction, said))
        .with(Line::new("forecast", Role::Forecast, points(future, column, 0, shown)))
    };
    names.iter().enumerate().take(rnnstep::plot::MAX_PANELS).map(panel).collect()
}

/// The times of history, and what the steps after it are called: the next years after years, `+1`, `+2` after dates.
fn times(history: &[String], steps: usize) -> Vec<String> {
    let numbers: Option<Vec<i64>> = history.iter().map(|time| time.trim().parse().ok()).collect();
    let regular =
        numbers.filter(|n| n.len() > 1 && n.windows(3).all(|t| t[2].checked_sub(t[1]) == t[1].checked_sub(t[0])));
    let next = |step: usize| match regular.as_deref() {
        Some([.., before, last]) => {
            last.saturating_add(last.saturating_sub(*before).saturating_mul(step as i64)).to_string()
        }
        _ => format!("+{step}"),
    };
    history.iter().cloned().chain((1..=steps).map(next)).collect()
}
