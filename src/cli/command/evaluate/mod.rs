//! `rnnstep evaluate`

mod html;
mod many;
mod plots;
mod remark;
mod table;

pub use table::{how, print_one_step};

use crate::cli::args::device::{DeviceArgs, Work};
use crate::cli::args::folder::Folder;
use crate::cli::args::input::Source;
use crate::cli::args::job::{Job, Named};
use crate::cli::args::learn::{HowToLearn, loss_of};
use crate::cli::args::model;
use crate::cli::args::table::check_table;
use crate::cli::args::threads::threads;
use crate::cli::args::{config, number};
use crate::cli::failure::Failure;
use crate::cli::output::screen::Screen;
use crate::cli::output::{files, progress};
use clap::Args;
use clap::parser::ValueSource;
use indicatif::ProgressBar;
use remark::Remark;
use rnnstep::cpu::Threads;
use rnnstep::data::windows::split;
use rnnstep::evaluate::backtest::{Evaluation, Protocol, Window, evaluate};
use rnnstep::model::file;
use rnnstep::model::file::Loaded;
use rnnstep::plot::picture;
use rnnstep::series::one_step;
use rnnstep::train::HELD_OUT;
use rnnstep::{Device, Error, Form, Model, Shape};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What the learning rate of a learner is called here, where --lr is that of the training.
const LEARN_LR: &str = "--learn-lr";

#[derive(Args)]
#[command(mut_arg("learn_lr", |arg| arg.long(LEARN_LR.trim_start_matches('-'))))]
#[command(mut_arg("learn", |arg| arg.help("Let the same model walk beside the one that stays as it is, and learn from \
every row once it has been forecast")))]
pub struct EvaluateArgs {
    #[command(flatten)]
    job: Job,
    /// Model to evaluate as it is, or a folder with a model for each series [default: networks trained on the way, with the
    /// options of `train`]
    #[arg(value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Of many series, a model trained for each on the way, instead of one over all of them
    #[arg(long, conflicts_with_all = ["only", "model"], help_heading = "Data")]
    per_series: bool,
    /// Part of the rows, from their end, that is forecast, above 0 and below 1 [default: 0.2, or what a MODEL held out]
    #[arg(long, value_name = "FRACTION", value_parser = number::part, help_heading = "Walk")]
    test_fraction: Option<f64>,
    /// Rows to forecast ahead, each number of them scored by itself
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = number::count::<usize>, help_heading = "Walk")]
    horizon: usize,
    /// Train anew every so many rows [default: never]
    #[arg(long, value_name = "ROWS", value_parser = number::count::<usize>, help_heading = "Walk")]
    refit: Option<usize>,
    /// Train on the last so many rows [default: on all before]
    #[arg(long, value_name = "ROWS", value_parser = number::whole::<usize>(2..=number::MOST), help_heading = "Walk")]
    sliding: Option<usize>,
    /// Rows to leave out between the training part and the first row that is forecast
    #[arg(long, default_value_t = 0, value_name = "ROWS", value_parser = number::count_or_none::<usize>, help_heading = "Walk")]
    gap: usize,
    /// Write all scores
    #[arg(long, value_name = "FILE.csv", help_heading = "Files")]
    out: Option<PathBuf>,
    /// Write all forecasts beside what came
    #[arg(long, value_name = "FILE.csv", help_heading = "Files")]
    forecasts: Option<PathBuf>,
    /// Draw the pictures of the report
    #[arg(long, value_name = "FILE.svg|png", help_heading = "Files")]
    plot: Option<PathBuf>,
    /// Write a report with pictures, in one file
    #[arg(long, value_name = "FILE.html", help_heading = "Files")]
    html: Option<PathBuf>,
    #[command(flatten)]
    learn: HowToLearn,
    #[command(flatten)]
    device: DeviceArgs,
    /// Threads to train on; none are started beyond these. Of many series so many are walked over side by side
    /// [default: 1, for many series all cores]
    #[arg(long, value_name = "N", value_parser = number::threads)]
    threads: Option<usize>,
}

/// Everything that a report says.
struct Report {
    data: String,
    about: String,
    /// Which rows are forecast, and how far ahead.
    rows: String,
    /// The same, and by what.
    walk: String,
    remarks: Vec<Remark>,
    named: Named,
    evaluation: Evaluation,
}

pub fn run(args: &EvaluateArgs, matches: &clap::ArgMatches, screen: &mut Screen) -> Result<ExitCode, Failure> {
    args.plot.as_ref().map_or(Ok(()), picture::check_ending)?;
    let data = args.job.paths().reads("MODEL", &args.model).reads("--bundle", args.device.bundle());
    let tables = data.writes("--out", &args.out).writes("--forecasts", &args.forecasts);
    tables.writes("--html", &args.html).writes("--plot", &args.plot).check()?;
    check_table(args.out.as_deref())?;
    check_table(args.forecasts.as_deref())?;
    if [&args.out, &args.forecasts, &args.html, &args.plot].into_iter().any(Option::is_some) {
        screen.goes_beside_files();
    }
    threads(args.threads.unwrap_or(1))?; // before the work, not after it
    args.learn.is_asked(LEARN_LR)?;
    let Some(data) = args.job.data.data.clone() else {
        return Err(Failure::Usage("DATA is missing: give the series to forecast, a .csv or .npy file".into()));
    };
    if args.job.data.has_several() {
        return many::run(args, matches, screen);
    }
    if args.per_series {
        return Err(Failure::Usage("--per-series: give --series COLUMN".into()));
    }
    let report = match &args.model {
        Some(path) => given(args, matches, path)?,
        None => trained(args)?,
    };
    let report = Report { data: data.to_string(), ..report };
    table::print(&report, screen)?;
    table::write(args, screen, |table| table(&report))?;
    if let Some(path) = &args.plot {
        files::write(path, || picture::save(&plots::figure(&report), path))?;
        screen.line(format_args!("plot       {}", path.display()))?;
    }
    if let Some(path) = &args.html {
        let page = html::page(&report)?;
        files::write(path, || file::write_text(path, &page))?;
        screen.line(format_args!("report     {}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Networks trained on the way.
fn trained(args: &EvaluateArgs) -> Result<Report, Failure> {
    let job = args.job.clone();
    let Source::Series(series) = job.data.source()? else { return Err(no_windows(&job)) };
    let named = job.named(&series)?;
    walk(args, job, named, None)
}

/// A model as it is in its file, or trained anew on the way by its own recipe.
fn given(args: &EvaluateArgs, matches: &clap::ArgMatches, path: &Path) -> Result<Report, Failure> {
    refuse_recipe(&args.job, matches)?;
    // of a folder that of the series
    let of_one = match &args.job.data.many.only {
        Some(only) => Folder::open(path)?.map(|folder| folder.model(only)).transpose()?,
        None => None,
    };
    let path = of_one.as_deref().unwrap_or(path);
    let loaded = model::load(path, None, args.device.cpu()?)?;
    let job = own_job(args, &loaded, path)?;
    let Source::Series(series) = job.data.source()? else { return Err(no_windows(&job)) };
    let named = job.named(&series)?;
    goes_with(&loaded, &named, path)?;
    walk(args, job, named, Some(loaded))
}

/// The job of a model by its own recipe, on the data that is given.
fn own_job(args: &EvaluateArgs, loaded: &Loaded, path: &Path) -> Result<Job, Failure> {
    let mut job = args.job.clone();
    if let Some(recipe) = &loaded.metadata.recipe {
        let own = config::job_of(recipe).and_then(|own| own.check_model(&loaded.model).map(|()| own));
        let own = own.map_err(|reason| Error::File { path: path.into(), reason })?;
        job = Job { data: job.data, season: job.season.or(own.season), ..own };
    } else if args.refit.is_some() {
        let reason = "holds no recipe to train by; leave --refit out, or leave the model out and say how to train";
        return Err(Error::File { path: path.into(), reason: reason.into() }.into());
    }
    job.seq_len = loaded.metadata.seq_len.unwrap_or(job.seq_len);
    let columns = &loaded.metadata.columns;
    if job.data.column.is_empty() && !columns.inputs.is_empty() {
        (job.data.column, job.data.target) = (columns.inputs.clone(), columns.targets.clone());
    }
    Ok(job)
}

/// Whether a model takes and predicts as many columns as a table has.
fn goes_with(loaded: &Loaded, named: &Named, path: &Path) -> Result<(), Failure> {
    let (shape, table) = (loaded.model.shape(), &named.table);
    let (inputs, outputs) = (table.inputs().rows().1, table.targets().rows().1);
    let targets = loaded.model.units().map_or(shape.width_out(), |units| units.targets());
    if (shape.input(), targets) != (inputs, outputs) {
        let reason = format!("{} does not go with {inputs} columns in and {outputs} out", shape);
        return Err(Error::File { path: path.into(), reason }.into());
    }
    Ok(())
}

/// So many rows into those before the part to forecast and that part.
fn split_at(rows: usize, test_fraction: f64) -> Result<(Range<usize>, Range<usize>), Failure> {
    let wrong = |_| Error::Invalid(format!("test-fraction {test_fraction:?}: must be above 0 and below 1"));
    Ok(split(rows, test_fraction).map_err(wrong)?)
}

fn walk(args: &EvaluateArgs, mut job: Job, named: Named, loaded: Option<Loaded>) -> Result<Report, Failure> {
    let test_fraction = args.test_fraction.or(loaded.as_ref().and(job.val_fraction)).unwrap_or(HELD_OUT);
    let (train, test) = split_at(named.table.rows(), test_fraction)?;
    if test.is_empty() {
        let message =
            format!("test-fraction {test_fraction:?}: leaves none of {} rows to forecast", named.table.rows());
        return Err(Error::Invalid(message).into());
    }
    let of_model = loaded.as_ref().map(|loaded| loss_of(&loaded.metadata, &loaded.model)).transpose();
    let loss = of_model.map_err(Error::Invalid)?.unwrap_or(job.loss);
    let mut protocol = Protocol {
        first: train.end,
        horizon: args.horizon,
        window: args.sliding.map_or(Window::Expanding, Window::Sliding),
        refit: args.refit,
        gap: args.gap,
        season: job.season,
        lags: job.seq_len,
        warm_up: one_step::warm_up(job.seq_len),
        seed: job.seed,
        learner: args.learn.is_asked(LEARN_LR)?.then(|| args.learn.options(loss)),
    };
    // what is wrong with them is no matter of the data
    protocol.learner.map_or(Ok(()), |options| options.checked().map(drop))?;
    let choose = |shape: &Shape, batch: usize, work: Work| -> Result<Device, Failure> {
        match protocol.learner {
            Some(_) => Ok(args.device.only_cpu("evaluate --learn")?.into()),
            None => args.device.choose(shape, batch, work),
        }
    };
    let drawn = named.target_names.len();
    let room = plots::columns(args.horizon);
    if args.plot.is_some() && drawn > room {
        let message = format!("--plot: room for {room} columns, not {drawn}; name some with --target");
        return Err(Failure::Usage(message));
    }
    let mut remarks = Vec::new();
    let (device, evaluation, about) = match &loaded {
        Some(loaded) if args.refit.is_none() => {
            if args.sliding.is_some() || args.gap > 0 {
                let message = "--sliding and --gap: a MODEL that is taken as it is has been trained; add --refit ROWS";
                return Err(Failure::Usage(message.into()));
            }
            if let Some(Form::SeasonalChange { season }) = loaded.model.units().map(|units| units.form()) {
                protocol.season = protocol.season.or(Some(season));
            }
            let held_out = job.held_out();
            let end = loaded.metadata.unseen.as_ref().and_then(|unseen| unseen.first_of(named.table.inputs()));
            if let Some(end) = end.filter(|&end| end > train.end) {
                remarks.push(Remark::TrainedOn(end - train.end));
            } else if loaded.metadata.recipe.is_some() && held_out >= test_fraction && held_out > 0.0 {
                remarks.push(Remark::ChoseTheWeights);
            } else {
                remarks.push(Remark::Unknown);
            }
            let device = choose(loaded.model.shape(), 1, Work::Sequences)?;
            let evaluation = evaluate(&named.table, &protocol, &device, |_, _, _| Ok(loaded.model.clone()))?;
            (device, evaluation, loaded.model.shape().to_string())
        }
        _ => {
            job.settle_season(&[&named.table.part(0..train.end)?])?;
            protocol.season = protocol.season.or(job.season);
            let plan = job.plan()?;
            let shape = plan.shape_for(named.table.inputs().rows().1, named.table.targets().rows().1)?;
            let device = choose(&shape, plan.batch, Work::Training)?;
            // many series are walked over side by side: one thread for each, and a bar over all
            let one_of_many = named.series.is_some();
            let threads = args.threads.filter(|_| !one_of_many).unwrap_or(1);
            let (bar, mut silent) = (
                if one_of_many {
                    ProgressBar::hidden()
                } else {
                    progress::bar(Some(1), "{bar:30} training {pos} of {len}  {elapsed}")
                },
                0,
            );
            let evaluation = evaluate(&named.table, &protocol, &device, |rows, fold, folds| {
                bar.set_length(folds as u64);
                bar.set_position(fold as u64);
                let mut fit = plan.start(&[rows], device.clone(), Threads::new(threads)?)?;
                let outcome = fit.finish()?;
                silent += usize::from(!outcome.learned);
                Ok::<Model, Error>(outcome.model)
            })
            .map_err(|error| job.in_data(error))?;
            bar.finish_and_clear();
            if silent > 0 {
                remarks.push(Remark::LearnedNothing { silent, trainings: evaluation.folds });
            }
            (device, evaluation, shape.to_string())
        }
    };
    if let (Some(options), Some(learned)) = (protocol.learner, evaluation.learned) {
        remarks.push(Remark::Learner { options, learned, trainings: evaluation.folds });
    }
    let form = serde_json::to_value(job.target_as).ok().and_then(|name| name.as_str().map(String::from));
    let about = format!("{about}, target as {}, on {device}", form.unwrap_or_default());
    let rows = rows_said(&protocol, named.table.rows());
    let walk = format!("{rows} {}", said(&protocol, &evaluation, loaded.is_some() && args.refit.is_none()));
    Ok(Report { data: String::new(), about, rows, walk, remarks, named, evaluation })
}

/// Which rows are forecast, and how far ahead.
fn rows_said(protocol: &Protocol, rows: usize) -> String {
    format!("rows {} to {rows} of {rows}, forecast {}", protocol.first + 1, ahead_said(protocol.horizon))
}

/// How far ahead.
fn ahead_said(horizon: usize) -> String {
    if horizon == 1 { "one step ahead".into() } else { format!("1 to {horizon} steps ahead") }
}

/// By what.
fn said(protocol: &Protocol, evaluation: &Evaluation, as_it_is: bool) -> String {
    let &Protocol { first, gap, .. } = protocol;
    let trained = match (as_it_is, evaluation.folds, protocol.window) {
        (true, ..) => "by a model taken as it is".to_string(),
        (false, 1, Window::Expanding) => format!("by a model trained once, on the {} before", first - gap),
        (false, 1, Window::Sliding(last)) => format!("by a model trained once, on {} before", last.min(first - gap)),
        (false, folds, Window::Expanding) => format!("by a model trained {folds} times, on all rows until then"),
        (false, folds, Window::Sliding(last)) => format!("by a model trained {folds} times, on {last} rows each"),
    };
    let gap = if gap == 0 { String::new() } else { format!(", {gap} rows left out in between") };
    format!("{trained}{gap}")
}

/// With a model its own recipe counts.
fn refuse_recipe(job: &Job, matches: &clap::ArgMatches) -> Result<(), Failure> {
    const OURS: [&str; 10] =
        ["data", "column", "target", "missing", "time", "header", "delimiter", "season", "series", "only"];
    let is_typed = |name: &str| matches.value_source(name) == Some(ValueSource::CommandLine);
    if is_typed("target") && !is_typed("column") {
        let message = "--target: a MODEL knows which of its columns it predicts; leave the flag out, or say with --column as \
                       well which columns of the table go in";
        return Err(Failure::Usage(message.into()));
    }
    let given = serde_json::to_value(job).map_err(|error| Error::Invalid(error.to_string()))?;
    for name in given.as_object().into_iter().flat_map(|job| job.keys()) {
        if is_typed(&name.replace('-', "_")) && !OURS.contains(&name.as_str()) {
            let message = format!("--{name}: a MODEL has its own recipe; leave the flag out, or leave the model out");
            return Err(Failure::Usage(message));
        }
    }
    Ok(())
}

fn no_windows(job: &Job) -> Failure {
    let reason =
        "holds windows already cut, which have no order to walk along; give a series, .csv or .npy [T, columns]";
    job.in_data(Error::Invalid(reason.into())).into()
}
