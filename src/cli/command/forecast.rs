//! `rnnstep forecast`

use super::each_series::each_series;
use super::predict::say_what_is_not_finite;
use crate::cli::args::device::Work;
use crate::cli::args::learn::loss_of;
use crate::cli::args::model::ModelArgs;
use crate::cli::args::sequences::read_sequences;
use crate::cli::args::series::SeriesArgs;
use crate::cli::args::table::{TableArgs, check_extension};
use crate::cli::args::{config, number};
use crate::cli::failure::Failure;
use crate::cli::output::screen::{Screen, say_once};
use crate::cli::output::{files, rows};
use clap::Args;
use rnnstep::data::series::Time;
use rnnstep::data::windows::Windows;
use rnnstep::error::listed;
use rnnstep::model::file::{Columns, Loaded, Metadata, Unseen};
use rnnstep::plot::{Area, Figure, Line, Plot, Role};
use rnnstep::series::interval::{Interval, Intervals, Options, Residuals};
use rnnstep::{Error, Model, Stream, Tensor};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Rows of history that a plot shows at the least.
const SHOWN: usize = 60;
/// So many rows of errors of its own are enough for a series.
const ENOUGH_ERRORS: usize = 50;
/// The most steps ahead.
const MOST: u64 = 10_000_000;
/// So many paths at the least and at the most.
const LEAST_PATHS: u64 = 100;
const MOST_PATHS: u64 = 1_000_000;

#[derive(Args)]
pub struct ForecastArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Rows before the forecast: .csv, .npy [T,I] or .safetensors with `x [T,I]` [default: sine, for a model of the built-in
    /// sine]
    #[arg(value_name = "HISTORY")]
    history: Option<PathBuf>,
    /// Steps to predict beyond the history
    #[arg(long, value_name = "N", value_parser = number::whole::<usize>(1..=MOST))]
    steps: usize,
    /// Where predictions go: .csv, .npy, or .safetensors with `y` [default: .csv on stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Prediction intervals that should hold these percentages of the actual values, such as 50,80,95. Each adds two columns,
    /// its lower and its upper bound; the forecast is then the median of the simulated paths
    #[arg(long, value_name = "PERCENT,...", value_delimiter = ',', value_parser = number::percent)]
    bands: Vec<f64>,
    /// Simulated paths behind the intervals
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = number::whole::<usize>(LEAST_PATHS..=MOST_PATHS), requires = "bands")]
    paths: usize,
    /// Seed of the paths
    #[arg(long, default_value_t = 0, value_name = "SEED", requires = "bands")]
    seed: u64,
    /// Write a plot of history and forecast
    #[arg(long, value_name = "FILE.svg|png", conflicts_with = "series")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    many: SeriesArgs,
    #[command(flatten)]
    table: TableArgs,
}

pub fn run(args: &ForecastArgs, screen: &mut Screen) -> Result<ExitCode, Failure> {
    let reads = args.model.paths().reads("HISTORY", &args.history);
    reads.writes("--out", &args.out).writes("--plot", &args.plot).check()?;
    if let Some(path) = &args.plot {
        rnnstep::plot::picture::check_ending(path)?;
    }
    check_extension(args.out.as_deref())?;
    let levels = levels(&args.bands);
    if args.many.series.is_some() {
        return of_each_series(args, &levels, screen);
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
        None => (sine_history(&loaded.metadata, &args.model.model)?, None),
    };
    let said = ahead(args, &levels, &loaded, &args.model.model, &history)?;
    if loaded.warnings.is_empty() {
        say_what_is_not_finite(&said.future);
    }
    let names = names(columns, said.future.rows().1);
    if let Some(path) = &args.plot {
        let figure = Figure::stacked(
            format!("{}, {} steps ahead", loaded.model.shape(), args.steps),
            plots(&names, &history, &said, time.as_ref()),
        );
        files::write(path, || rnnstep::plot::picture::save(&figure, path))?;
    }
    let (names, columns) = with_bands(&names, &said)?;
    rows::write(args.out.as_deref(), &columns, &names, Some(&numbers(args.steps)), screen)?;
    Ok(ExitCode::SUCCESS)
}

/// The forecasts of many series, each from a state of its own.
fn of_each_series(args: &ForecastArgs, levels: &[f64], screen: &mut Screen) -> Result<ExitCode, Failure> {
    let Some(history) = &args.history else {
        return Err(Failure::Usage("HISTORY is missing: give the .csv that has the column --series".into()));
    };
    each_series(&args.model, history, &args.many, &args.table, args.out.as_deref(), screen, |loaded, path, history| {
        let columns = &loaded.metadata.columns;
        feeds_back(columns)?;
        let said = ahead(args, levels, &loaded, path, &history.x)?;
        let (names, future) = with_bands(&names(columns, said.future.rows().1), &said)?;
        let numbers = numbers(args.steps);
        let (header, rows) = rows::table_of(&future, &names, Some(&numbers));
        Ok((header, rows.collect()))
    })
}

/// Whether predictions can be inputs.
fn feeds_back(columns: &Columns) -> Result<(), Failure> {
    if columns.inputs == columns.targets {
        return Ok(());
    }
    let (inputs, targets) = (listed(&columns.inputs), listed(&columns.targets));
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

/// Per cent as parts, lowest first.
fn levels(percent: &[f64]) -> Vec<f64> {
    let mut levels: Vec<f64> = percent.iter().map(|level| level / 100.0).collect();
    levels.sort_by(f64::total_cmp);
    levels.dedup();
    levels
}

/// What a model said to each row of a history, and what it says of the rows after it.
struct Said {
    fitted: Tensor,
    /// What the model says when that is fed back; where bands are wanted, the middle of what can come.
    future: Tensor,
    bands: Vec<Interval>,
}

/// What the model of the file `path` says of the rows after `history`.
fn ahead(args: &ForecastArgs, levels: &[f64], loaded: &Loaded, path: &Path, history: &Tensor) -> Result<Said, Failure> {
    let width = history.rows().1.max(1);
    if let Some(at) = history.data().iter().position(|value| !value.is_finite()) {
        let (row, value) = (at / width + 1, history.data()[at]);
        let reason = format!("row {row} holds {value}, from which there is no way on; fill or drop it");
        return Err(match &args.history {
            Some(path) => Error::File { path: path.clone(), reason },
            None => Error::Invalid(format!("history: {reason}")),
        }
        .into());
    }
    let device = args.model.device.choose(loaded.model.shape(), 1, Work::Ticks)?;
    let mut stream = Stream::on(device, loaded.model.clone())?;
    // with bands their middle is the forecast
    let steps = if levels.is_empty() { args.steps } else { 0 };
    let (fitted, future) = rnnstep::series::multi_step::ahead(&mut stream, history, steps)?;
    if levels.is_empty() {
        return Ok(Said { fitted, future, bands: vec![] });
    }
    let Intervals { bands, median, .. } = bands(args, levels, &aiming(loaded, path)?, &loaded.metadata, history)?;
    Ok(Said { fitted, future: median, bands })
}

/// The model with the loss that it was trained with: what it says of a row is the same, but errors lie around where that aims.
fn aiming(loaded: &Loaded, path: &Path) -> Result<Model, Failure> {
    let in_file = |reason| Error::File { path: path.into(), reason };
    let loss = loss_of(&loaded.metadata, &loaded.model).map_err(in_file)?;
    let model = loaded.model.clone();
    match model.units().cloned() {
        Some(units) => Ok(model.with_units(units.with_loss(loss)?)?),
        None => Ok(model),
    }
}

/// The bands, and on stderr what they rest on if that is less than it could be.
fn bands(
    args: &ForecastArgs,
    levels: &[f64],
    model: &Model,
    metadata: &Metadata,
    history: &Tensor,
) -> Result<Intervals, Failure> {
    let options = &Options { levels: levels.to_vec(), steps: args.steps, paths: args.paths, seed: args.seed };
    let cpu = args.model.device.cpu()?;
    let unseen = metadata.unseen.as_ref();
    let known = unseen.and_then(|unseen| unseen.first_of(history));
    let rows = history.rows().0;
    let first = known.unwrap_or_else(|| {
        // the state comes from nowhere
        model.lag() + metadata.seq_len.unwrap_or(20).min(rows / 4)
    });
    // of many series, those of the others are for one that has too few of its own
    let wanted = |unseen: &&Unseen| unseen.ends.len() == 1 || rows.saturating_sub(first) < ENOUGH_ERRORS;
    let stored = unseen.filter(wanted).and_then(|unseen| Residuals::new(unseen.errors.clone(), history.rows().1).ok());
    let made = rnnstep::series::interval::bands(model, cpu, history, first, stored.as_ref(), options)?;
    if known.is_none() && first < rows {
        say_once(
            "history",
            "note: the history does not hold the end of the rows that the model was trained on; it is taken as rows that the \
             model has not seen",
        );
    }
    if made.errors == 0 {
        say_once(
            "unchecked",
            "note: the bands are what the model says of itself: the history has too few rows that it was not trained on",
        );
    }
    // the outermost of n errors are as far out as the (n-1)/(n+1) in the middle
    let (errors, widest) = (made.errors as f64, levels[levels.len() - 1]);
    if made.errors > 0 && widest > (errors - 1.0) / (errors + 1.0) {
        let (errors, widest) = (made.errors, percent(widest));
        say_once("widest", &format!("note: {errors} rows of errors say little of a band of {widest} %"));
    }
    if made.calibrated < options.steps {
        let far = match made.calibrated {
            0 => "not compared with actual values".to_string(),
            steps => format!("compared with actual values up to {steps} steps ahead, and stretched alike beyond"),
        };
        let unseen = rows.saturating_sub(first);
        say_once(
            "calibrated",
            &format!("note: the bands are {far}; the history has {unseen} rows that were not trained on"),
        );
    }
    Ok(made)
}

/// The columns of the forecast, each followed by the edges of its bands, `sunspots_lower_80` and `sunspots_upper_80`.
fn with_bands(names: &[String], Said { future, bands, .. }: &Said) -> Result<(Vec<String>, Tensor), Failure> {
    let (steps, width) = future.rows();
    let mut all = Vec::new();
    for name in names {
        all.push(name.clone());
        for Interval { level, .. } in bands {
            all.extend(["lower", "upper"].map(|edge| format!("{name}_{edge}_{}", percent(*level))));
        }
    }
    let mut values = Vec::with_capacity(steps * all.len());
    for at in 0..steps * width {
        values.push(future.data()[at]);
        values.extend(bands.iter().flat_map(|band| [band.lower.data()[at], band.upper.data()[at]]));
    }
    let columns = Tensor::new([steps, all.len()], values)?;
    Ok((all, columns))
}

/// A part as per cent, without what rounding left behind.
fn percent(level: f64) -> String {
    format!("{}", (level * 1e8).round() / 1e6)
}

/// Four windows of the sine, for a model that was trained on it.
fn sine_history(metadata: &Metadata, path: &Path) -> Result<Tensor, Failure> {
    let job = metadata.recipe.as_ref().map(config::job_of).transpose();
    let job = job.map_err(|reason| Error::File { path: path.into(), reason })?;
    let of_sine = job.is_some_and(|job| job.data.data.is_none());
    let Some(seq_len) = metadata.seq_len.filter(|_| of_sine) else {
        let message = "HISTORY is missing: only a model trained on the built-in sine does without";
        return Err(Failure::Usage(message.into()));
    };
    let wrong = |error: Error| Error::File { path: path.into(), reason: format!("{error}; give HISTORY") };
    let mut windows = Windows::sine(seq_len).map_err(wrong)?;
    let (mut values, mut target) = (vec![0.0; 4 * seq_len], vec![0.0; seq_len]);
    for (window, x) in (0..).zip(values.chunks_exact_mut(seq_len)) {
        windows.fill(window, x, &mut target);
    }
    Ok(Tensor::new([values.len(), 1], values)?)
}

/// One panel for each column: the end of history, what the model said to it, and the forecast.
fn plots(names: &[String], history: &Tensor, said: &Said, time: Option<&Time>) -> Vec<Plot> {
    let Said { fitted, future, bands } = said;
    let (rows, width) = history.rows();
    let shown = rows.min(SHOWN.max(3 * future.rows().0));
    let points = |tensor: &Tensor, column: usize, skip: usize, at: usize| -> Vec<(f64, f64)> {
        let values = tensor.data().iter().skip(skip * width + column).step_by(width);
        values.enumerate().map(|(i, &v)| ((at + i) as f64, f64::from(v))).collect()
    };
    let panel = |(column, name): (usize, &String)| {
        // the last fitted value is the first forecast
        let mut one_ahead = points(fitted, column, rows - shown, 1);
        one_ahead.pop();
        // the widest first, so that the tint deepens towards the middle
        let areas = bands.iter().rev().map(|band| {
            let edges = points(&band.lower, column, 0, shown).into_iter().zip(points(&band.upper, column, 0, shown));
            let points = edges.map(|((x, low), (_, high))| (x, low, high)).collect();
            Area::new(format!("{} %", percent(band.level)), Role::Forecast, points)
        });
        Plot {
            x_names: time.map(|time| times(&time.values[rows - shown..], future.rows().0)).unwrap_or_default(),
            areas: areas.collect(),
            ..Plot::new(name.clone(), if time.is_some() { "" } else { "step" }, "")
        }
        .with(Line::new("history", Role::History, points(history, column, rows - shown, 0)))
        .with(Line::new("one step ahead", Role::Prediction, one_ahead))
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
