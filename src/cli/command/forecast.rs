//! `rnnstep forecast`

use super::each_series::each_series;
use super::predict::say_what_is_not_finite;
use crate::cli::args::device::Work;
use crate::cli::args::model::ModelArgs;
use crate::cli::args::sequences::{Sequences, read_sequences, read_state};
use crate::cli::args::series::SeriesArgs;
use crate::cli::args::table::{ModelTableArgs, check_extension};
use crate::cli::args::{config, number};
use crate::cli::failure::Failure;
use crate::cli::output::screen::{Screen, say_once, tell};
use crate::cli::output::{files, report, rows};
use clap::Args;
use rnnstep::data::series::Time;
use rnnstep::data::windows::Windows;
use rnnstep::error::{listed, quoted};
use rnnstep::evaluate::backtest::{Comparison, Verdict, since_training};
use rnnstep::model::file::{Columns, Loaded, Metadata};
use rnnstep::plot::{Area, Figure, Line, Plot, Role};
use rnnstep::series::forecast::{Basis, Forecast, check_history};
use rnnstep::series::interval::{Interval, Options};
use rnnstep::{Device, Error, Tensor};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The fewest rows of history that a plot shows, if there are as many.
const SHOWN: usize = 60;
/// The longest horizon.
const MOST: u64 = 10_000_000;
/// The fewest and the most simulated paths.
const LEAST_PATHS: u64 = 100;
const MOST_PATHS: u64 = 1_000_000;

#[derive(Args)]
pub struct ForecastArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Rows before the forecast: .csv, .npy [T,I] or .safetensors with `x [T,I]` [default: the built-in sine, for a
    /// model that was trained on it]
    #[arg(value_name = "HISTORY")]
    history: Option<PathBuf>,
    /// Start from the state in this .safetensors file, as `predict --final-state` writes it: the history is then the rows
    /// after those
    #[arg(long, value_name = "FILE", conflicts_with = "series", requires = "history")]
    init_state: Option<PathBuf>,
    /// Steps to predict beyond the history
    #[arg(long, value_name = "N", value_parser = number::whole::<usize>(1..=MOST))]
    steps: usize,
    /// File for the predictions: .csv, .npy, or .safetensors with `y` [default: .csv on stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Prediction intervals that should hold these percentages of the actual values, such as 50,80,95. Each adds two
    /// columns, its lower and its upper bound; the forecast is then the median of the simulated paths
    #[arg(long, value_name = "PERCENT,...", value_delimiter = ',', value_parser = number::percent)]
    bands: Vec<f64>,
    /// Simulated paths from which the intervals are computed
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
    table: ModelTableArgs,
}

pub fn run(args: &ForecastArgs, screen: &mut Screen) -> Result<ExitCode, Failure> {
    let reads = args.model.paths().reads("HISTORY", &args.history).reads("--init-state", &args.init_state);
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
    feeds_back(columns, &args.model.model)?;
    let history = match &args.history {
        Some(path) => {
            let sequences = read_sequences(path, &args.table, columns, &loaded.model)?;
            if sequences.x.dims().len() != 2 {
                let reason =
                    format!("x has the shape {:?}: a forecast continues one sequence [T,I]", sequences.x.dims());
                return Err(Error::File { path: path.clone(), reason }.into());
            }
            sequences
        }
        None => Sequences::in_f32(sine_history(&loaded.metadata, &args.model.model)?),
    };
    let forecast = ahead(args, &levels, &loaded, &args.model.model, &history.x)?;
    if loaded.warnings.is_empty() {
        say_what_is_not_finite(&forecast.values);
    }
    let names = names(columns, forecast.values.rows().1);
    if args.init_state.is_none() {
        tell(&where_worse(args, &loaded, &history.x, &names)?, "more warnings");
    }
    if let Some(path) = &args.plot {
        let figure = Figure::stacked(
            format!("{}, {} steps ahead", loaded.model.shape(), args.steps),
            plots(&names, &history.x, &forecast, history.time.as_ref()),
        );
        files::write(path, || rnnstep::plot::picture::save(&figure, path))?;
    }
    let (names, columns) = with_intervals(&names, &forecast)?;
    let columns = rows::answer(columns, &loaded.model, history.in_f32);
    let future = future(history.time.as_ref(), args.steps);
    rows::write(args.out.as_deref(), &columns, &names, Some(&future), screen)?;
    screen.flush()?;
    history.say_columns();
    Ok(ExitCode::SUCCESS)
}

/// A warning for each column at whose horizons the model was worse than a naive forecast on the rows since its training.
fn where_worse(
    args: &ForecastArgs,
    loaded: &Loaded,
    history: &Tensor<f64>,
    names: &[String],
) -> Result<Vec<String>, Failure> {
    let device = Device::Cpu(args.model.device.cpu()?);
    let Some(found) = since_training(loaded, &device, history, args.steps)? else { return Ok(vec![]) };
    let mut warnings = Vec::new();
    for (name, column) in names.iter().zip(&found.columns) {
        let ahead = (1..).zip(&column.comparisons);
        let worse: Vec<usize> =
            ahead.filter(|(_, one)| one.verdict() == Verdict::Worse).map(|(ahead, _)| ahead).collect();
        let Some(&first) = worse.first() else { continue };
        let rows = report::counted(found.origins.len(), "row");
        let last = (first..).zip(&worse).take_while(|(ahead, worse)| ahead == *worse).count() + first - 1;
        let more = if worse.last() > Some(&last) { ", and at some horizons beyond" } else { "" };
        let at = match (first, last) {
            (1, 1) => "one step ahead".into(),
            (1, last) => format!("1 to {last} steps ahead"),
            (first, last) if first == last => format!("{first} steps ahead"),
            (first, last) => format!("{first} to {last} steps ahead"),
        };
        warnings.push(format!(
            "warning: {}: on the last {rows}, which its weights were not trained on, the model was worse than {} {at}{more}; \
             `rnnstep evaluate` says more",
            quoted(name),
            column.comparisons.get(first - 1).map_or_else(|| "a naive forecast".into(), Comparison::than),
        ));
    }
    Ok(warnings)
}

/// Forecasts many series, each from a state of its own.
fn of_each_series(args: &ForecastArgs, levels: &[f64], screen: &mut Screen) -> Result<ExitCode, Failure> {
    let Some(history) = &args.history else {
        return Err(Failure::Usage("HISTORY is missing: give the .csv that has the column --series".into()));
    };
    let (out, mut warnings) = (args.out.as_deref(), Vec::new());
    let forecast_one = |series: &str, loaded: Loaded, path: &Path, history: &Sequences| {
        let columns = &loaded.metadata.columns;
        feeds_back(columns, path)?;
        let forecast = ahead(args, levels, &loaded, path, &history.x)?;
        let names = names(columns, forecast.values.rows().1);
        let of_series = |line: String| line.replacen("warning: ", &format!("warning: series {}, ", quoted(series)), 1);
        warnings.extend(where_worse(args, &loaded, &history.x, &names)?.into_iter().map(of_series));
        let (names, future) = with_intervals(&names, &forecast)?;
        let future = rows::answer(future, &loaded.model, history.in_f32);
        let times = self::future(history.time.as_ref(), args.steps);
        let (header, rows) = rows::table_of(&future, &names, Some(&times));
        Ok((header, rows.collect()))
    };
    let code = each_series(&args.model, history, &args.many, &args.table, out, screen, forecast_one)?;
    tell(&warnings, "more warnings of this kind");
    Ok(code)
}

/// Checks that predictions can be fed back as inputs.
fn feeds_back(columns: &Columns, path: &Path) -> Result<(), Failure> {
    if columns.inputs == columns.targets {
        return Ok(());
    }
    let (inputs, targets) = (listed(&columns.inputs), listed(&columns.targets));
    let reason = format!(
        "the model takes {inputs} and predicts {targets}: train with the same --column and --target to feed predictions \
         back"
    );
    Err(Error::File { path: path.into(), reason }.into())
}

/// The names of `width` predicted columns.
fn names(columns: &Columns, width: usize) -> Vec<String> {
    if columns.targets.len() == width {
        columns.targets.clone()
    } else {
        (1..=width).map(|c| format!("y_{c}")).collect()
    }
}

/// The times of the rows after the history for an axis, or `+1`, `+2`, ...
fn following(history: &Time, steps: usize) -> Vec<String> {
    let times = history.calendar().and_then(|calendar| calendar.after(steps));
    times.unwrap_or_else(|| (1..=steps).map(|step| format!("+{step}")).collect())
}

/// The times of the rows after the history, or the numbers of the steps if the history has no times that go on.
fn future(history: Option<&Time>, steps: usize) -> Time {
    if let Some(history) = history {
        if let Some(values) = history.calendar().and_then(|calendar| calendar.after(steps)) {
            return Time { name: history.name.clone(), values };
        }
        let name = quoted(&history.name);
        let line = format!("note: {name} has no regular step that goes on, so the rows of the forecast have numbers");
        say_once("no step", &line);
    }
    Time { name: "step".into(), values: (1..=steps).map(|step| step.to_string()).collect() }
}

/// Percentages as parts of 1, lowest first.
fn levels(percent: &[f64]) -> Vec<f64> {
    let mut levels: Vec<f64> = percent.iter().map(|level| level / 100.0).collect();
    levels.sort_by(f64::total_cmp);
    levels.dedup();
    levels
}

/// The forecast of the model in the file `path`.
fn ahead(
    args: &ForecastArgs,
    levels: &[f64],
    loaded: &Loaded,
    path: &Path,
    history: &Tensor<f64>,
) -> Result<Forecast, Failure> {
    check_history(history).map_err(|reason| match &args.history {
        Some(path) => Error::File { path: path.clone(), reason },
        None => Error::Invalid(format!("history: {reason}")),
    })?;
    let device = args.model.device.choose(loaded.model.shape(), 1, Work::Ticks)?;
    if !levels.is_empty() {
        config::check_recipe(loaded, path)?;
    }
    let options = Options::new(args.steps, levels).with_paths(args.paths).with_seed(args.seed);
    let state = read_state(args.init_state.as_deref(), &loaded.model, 1)?;
    let (rows, lag) = (history.rows().0, loaded.model.lag());
    if args.init_state.is_none() && rows < lag {
        let rows = report::counted(rows, "row");
        let line = format!(
            "note: the history has {rows}, but the model looks back {lag}; those before the history count as its first row"
        );
        say_once("short", &line);
    }
    let forecast = Forecast::after(&state, loaded, device, args.model.device.cpu()?, history, &options)?;
    if let Some(basis) = &forecast.basis {
        note_basis(basis, args.steps, levels);
    }
    Ok(forecast)
}

/// Prints what the intervals are based on, if that is less than it could be.
fn note_basis(basis: &Basis, steps: usize, levels: &[f64]) {
    if !basis.knows_end_of_training && basis.unseen > 0 {
        say_once(
            "history",
            "note: the history does not hold the end of the rows that the model was trained on, so all its rows count \
             as rows that the model was not trained on",
        );
    }
    if basis.errors == 0 {
        say_once(
            "unchecked",
            "note: the prediction intervals are those that the model predicts, and they are not checked: the history \
             has too few rows that the model was not trained on",
        );
    }
    // the interval between the smallest and the largest of n errors should hold a part of (n-1)/(n+1)
    let (errors, widest) = (basis.errors as f64, levels.last().copied().unwrap_or_default());
    if basis.errors > 0 && widest > (errors - 1.0) / (errors + 1.0) {
        let (errors, widest) = (basis.errors, percent(widest));
        say_once("widest", &format!("note: {errors} rows of errors are too few for an interval of {widest} %"));
    }
    if basis.calibrated < steps {
        let far = match basis.calibrated {
            0 => "not compared with actual values".to_string(),
            steps => {
                format!("compared with actual values up to {steps} steps ahead, and widened by the same factor beyond")
            }
        };
        let unseen = basis.unseen;
        say_once(
            "calibrated",
            &format!(
                "note: the prediction intervals are {far}; the history has {unseen} rows that the model was not trained \
                 on"
            ),
        );
    }
}

/// The columns of the forecast, each followed by the bounds of its intervals, `sunspots_lower_80` and
/// `sunspots_upper_80`.
fn with_intervals(names: &[String], forecast: &Forecast) -> Result<(Vec<String>, Tensor<f64>), Failure> {
    let Forecast { values: future, intervals, .. } = forecast;
    let (steps, width) = future.rows();
    let mut all = Vec::new();
    for name in names {
        all.push(name.clone());
        for Interval { level, .. } in intervals {
            all.extend(["lower", "upper"].map(|edge| format!("{name}_{edge}_{}", percent(*level))));
        }
    }
    let mut values = Vec::with_capacity(steps * all.len());
    for at in 0..steps * width {
        values.push(future.data()[at]);
        values.extend(intervals.iter().flat_map(|one| [one.lower.data()[at], one.upper.data()[at]]));
    }
    let columns = Tensor::new([steps, all.len()], values)?;
    Ok((all, columns))
}

/// A part of 1 as a percentage, without rounding errors.
fn percent(level: f64) -> String {
    format!("{}", (level * 1e8).round() / 1e6)
}

/// Four windows of the sine, for a model that was trained on it.
fn sine_history(metadata: &Metadata, path: &Path) -> Result<Tensor<f64>, Failure> {
    let job = metadata.recipe.as_ref().map(config::job_of).transpose();
    let job = job.map_err(|reason| Error::File { path: path.into(), reason })?;
    let of_sine = job.is_some_and(|job| job.data.data.is_none());
    let Some(seq_len) = metadata.seq_len.filter(|_| of_sine) else {
        let message =
            "HISTORY is missing: give the rows before the forecast; only a model of the built-in sine needs none";
        return Err(Failure::Usage(message.into()));
    };
    let wrong = |error: Error| Error::File { path: path.into(), reason: format!("{error}; give HISTORY") };
    let mut windows = Windows::sine(seq_len).map_err(wrong)?;
    let (mut values, mut target) = (vec![0.0; 4 * seq_len], vec![0.0; seq_len]);
    for (window, x) in (0..).zip(values.chunks_exact_mut(seq_len)) {
        windows.fill(window, x, &mut target);
    }
    Ok(Tensor::new([values.len(), 1], values)?.into())
}

/// One panel for each column: the end of the history, the predictions one step ahead, and the forecast.
fn plots(names: &[String], history: &Tensor<f64>, forecast: &Forecast, time: Option<&Time>) -> Vec<Plot> {
    let Forecast { fitted, values: future, intervals, .. } = forecast;
    let rows = history.rows().0;
    let shown = rows.min(SHOWN.max(3 * future.rows().0));
    let points = |tensor: &Tensor<f64>, column: usize, skip: usize, at: usize| -> Vec<(f64, f64)> {
        let width = tensor.rows().1;
        let values = tensor.data().iter().skip(skip * width + column).step_by(width);
        values.enumerate().map(|(i, &v)| ((at + i) as f64, v)).collect()
    };
    let steps = future.rows().0;
    let names_of_rows: Vec<String> = time.map_or_else(Vec::new, |time| {
        time.values.iter().skip(rows - shown).cloned().chain(following(time, steps)).collect()
    });
    let seconds = time.and_then(Time::calendar).and_then(|calendar| calendar.seconds(steps));
    let seconds: Vec<i64> = seconds.map(|all| all.into_iter().skip(rows - shown).collect()).unwrap_or_default();
    let panel = |(column, name): (usize, &String)| {
        // the last fitted value is the first forecast
        let mut one_ahead = points(fitted, column, rows - shown, 1);
        one_ahead.pop();
        // the widest first, so that the tint deepens towards the middle
        let areas = intervals.iter().rev().map(|band| {
            let edges = points(&band.lower, column, 0, shown).into_iter().zip(points(&band.upper, column, 0, shown));
            let points = edges.map(|((x, low), (_, high))| (x, low, high)).collect();
            Area::new(format!("{} %", percent(band.level)), Role::Forecast, points)
        });
        Plot {
            x_names: names_of_rows.clone(),
            x_times: seconds.clone(),
            areas: areas.collect(),
            ..Plot::new(name.clone(), if time.is_some() { "" } else { "step" }, "")
        }
        .with(Line::new("history", Role::History, points(history, column, rows - shown, 0)))
        .with(Line::new("one step ahead", Role::Prediction, one_ahead))
        .with(Line::new("forecast", Role::Forecast, points(future, column, 0, shown)))
    };
    names.iter().enumerate().take(rnnstep::plot::MAX_PANELS).map(panel).collect()
}
