//! `rnnstep evaluate`

mod html;
mod many;
mod plots;
mod remark;
mod table;
mod walk;

pub use table::{how, print_one_step};

use crate::cli::args::device::DeviceArgs;
use crate::cli::args::input::Source;
use crate::cli::args::job::{Job, Named, say_holes};
use crate::cli::args::learn::HowToLearn;
use crate::cli::args::model::{self, TensorArgs};
use crate::cli::args::table::check_table;
use crate::cli::args::threads::threads;
use crate::cli::args::{config, number};
use crate::cli::failure::Failure;
use crate::cli::output::files;
use crate::cli::output::screen::Screen;
use clap::parser::ValueSource;
use clap::{Args, ValueEnum};
use remark::Remark;
use rnnstep::Error;
use rnnstep::data::csv::Missing;
use rnnstep::evaluate::backtest::Evaluation;
use rnnstep::model::file;
use rnnstep::model::file::Loaded;
use rnnstep::plot::picture;
use rnnstep::series::opponents::Opponent;
use rnnstep::train::folder::Folder;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use walk::walk;

/// The flag of the learner's learning rate. It is not `--lr`, because that is the learning rate of the training.
const LEARN_LR: &str = "--learn-lr";

#[derive(Args)]
#[command(mut_arg("learn_lr", |arg| arg.long(LEARN_LR.trim_start_matches('-'))))]
#[command(mut_arg("learn", |arg| arg.help("Also score the same model while it learns: it forecasts each row first and \
learns from it afterwards")))]
#[command(mut_arg("recurrent", |arg| arg.requires("model").help_heading("Files")))]
#[command(mut_arg("head", |arg| arg.requires("model").help_heading("Files")))]
pub struct EvaluateArgs {
    #[command(flatten)]
    job: Job,
    /// Model file to evaluate unchanged, or a folder with a local model for each series [default: networks that are
    /// trained during the backtest, with the options of `train`]
    #[arg(value_name = "MODEL")]
    model: Option<PathBuf>,
    /// With several series, train a local model for each during the backtest, instead of one global model
    #[arg(long, conflicts_with_all = ["only", "model"], help_heading = "Data")]
    per_series: bool,
    /// Part of the rows, at the end of the series, that is forecast, above 0 and below 1 [default: 0.2, or the part
    /// that MODEL held out]
    #[arg(long, value_name = "FRACTION", value_parser = number::part, help_heading = "Backtest")]
    test_fraction: Option<f64>,
    /// Forecast 1 to N rows ahead; each horizon has its own score
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = number::count::<usize>)]
    #[arg(help_heading = "Backtest")]
    horizon: usize,
    /// Train a new model after every ROWS rows [default: never]
    #[arg(long, value_name = "ROWS", value_parser = number::count::<usize>, help_heading = "Backtest")]
    refit: Option<usize>,
    /// Train only on the last ROWS rows before the forecasts [default: on all rows before]
    #[arg(long, value_name = "ROWS", value_parser = number::whole::<usize>(2..=number::MOST))]
    #[arg(help_heading = "Backtest")]
    sliding: Option<usize>,
    /// Rows to leave out between the training part and the first row that is forecast
    #[arg(long, default_value_t = 0, value_name = "ROWS", value_parser = number::count_or_none::<usize>)]
    #[arg(help_heading = "Backtest")]
    gap: usize,
    /// Also compare with stronger forecasts: one, or several separated by commas
    #[arg(long, value_name = "FORECASTS", value_enum, value_delimiter = ',', help_heading = "Backtest")]
    against: Vec<Against>,
    /// Write all scores
    #[arg(long, value_name = "FILE.csv", help_heading = "Files")]
    out: Option<PathBuf>,
    /// Write all forecasts next to the actual values
    #[arg(long, value_name = "FILE.csv", help_heading = "Files")]
    forecasts: Option<PathBuf>,
    /// Write the pictures of the report, without its text
    #[arg(long, value_name = "FILE.svg|png", help_heading = "Files")]
    plot: Option<PathBuf>,
    /// Write a report with pictures, in one file
    #[arg(long, value_name = "FILE.html", help_heading = "Files")]
    html: Option<PathBuf>,
    #[command(flatten)]
    tensors: TensorArgs,
    #[command(flatten)]
    learn: HowToLearn,
    #[command(flatten)]
    device: DeviceArgs,
    /// Threads to train on; no more are started. With several series, this many are evaluated at the same time
    /// [default: 1, or all cores with several series]
    #[arg(long, value_name = "N", value_parser = number::threads)]
    threads: Option<usize>,
}

/// A stronger forecast to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Against {
    /// Exponential smoothing; AICc chooses its trend and its season
    Ets,
    /// Multiple-seasonal decomposition by LOESS, with exponential smoothing of the trend; needs a season
    Mstl,
}

impl From<Against> for Opponent {
    fn from(against: Against) -> Self {
        match against {
            Against::Ets => Self::ExponentialSmoothing,
            Against::Mstl => Self::Mstl,
        }
    }
}

/// The content of a report.
struct Report {
    data: String,
    about: String,
    /// The rows that are forecast, and the horizon.
    rows: String,
    /// The same, and which model forecasts them.
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
    threads(args.threads.unwrap_or(1))?; // an error must come before the work, not after it
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
    report.named.say_columns();
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

/// Evaluates networks that are trained during the backtest.
fn trained(args: &EvaluateArgs) -> Result<Report, Failure> {
    let job = args.job.clone();
    let Source::Series(series) = job.data.source()? else { return Err(no_windows(&job)) };
    let named = job.named(&series)?;
    let missing = job.data.table.missing;
    let report = walk(args, job, named, None)?;
    say_holes(missing, &[&report.named]); // after the work: an error has one line
    Ok(report)
}

/// Evaluates the model of a file. It stays unchanged, or is trained again by its own recipe if --refit is given.
fn given(args: &EvaluateArgs, matches: &clap::ArgMatches, path: &Path) -> Result<Report, Failure> {
    refuse_recipe(&args.job, matches)?;
    // a folder has a model for each series: take the one of this series
    let of_one = match &args.job.data.many.only {
        Some(only) => Folder::open(path)?.map(|folder| folder.model(only)).transpose()?,
        None => None,
    };
    let path = of_one.as_deref().unwrap_or(path);
    let loaded = model::load(path, &args.tensors.options(None), args.device.cpu()?)?;
    let job = own_job(args, &loaded, path)?;
    let Source::Series(series) = job.data.source()? else { return Err(no_windows(&job)) };
    let named = job.named(&series)?;
    goes_with(&loaded, &named, path)?;
    walk(args, job, named, Some(loaded))
}

/// The job that the recipe of a model describes, on the data that is given.
fn own_job(args: &EvaluateArgs, loaded: &Loaded, path: &Path) -> Result<Job, Failure> {
    let mut job = args.job.clone();
    if let Some(recipe) = &loaded.metadata.recipe {
        let own = config::job_of(recipe).and_then(|own| own.check_model(&loaded.model).map(|()| own));
        let own = own.map_err(|reason| Error::File { path: path.into(), reason })?;
        if own.data.table.missing == Missing::Mask && job.data.table.missing == Missing::Error {
            job.data.table.missing = Missing::Mask; // only targets may have been missing
        }
        job = Job { data: job.data, ..own };
    } else if args.refit.is_some() {
        let reason =
            "has no recipe to train by; leave out --refit, or leave out the model and give the options of `train`";
        return Err(Error::File { path: path.into(), reason: reason.into() }.into());
    }
    job.seq_len = loaded.metadata.seq_len.unwrap_or(job.seq_len);
    job.take_masks_of(&loaded.model);
    job.data.usual_time = loaded.metadata.columns.time.clone();
    let columns = &loaded.metadata.columns;
    if job.data.column.is_empty() && !columns.inputs.is_empty() {
        (job.data.column, job.data.target) = (columns.inputs.clone(), columns.targets.clone());
    }
    Ok(job)
}

/// Checks that a model takes and predicts as many columns as the table has.
fn goes_with(loaded: &Loaded, named: &Named, path: &Path) -> Result<(), Failure> {
    let (shape, table) = (loaded.model.shape(), &named.table);
    let (inputs, outputs) = (table.inputs().rows().1, table.targets().rows().1);
    let targets = loaded.model.units().map_or(shape.width_out(), |units| units.targets());
    if (shape.input(), targets) != (inputs, outputs) {
        let reason = format!(
            "{shape} does not fit a table with {inputs} input columns and {outputs} target columns; choose them with \
             --column and --target"
        );
        return Err(Error::File { path: path.into(), reason }.into());
    }
    Ok(())
}

/// Refuses options of a training: a model has a recipe of its own.
fn refuse_recipe(job: &Job, matches: &clap::ArgMatches) -> Result<(), Failure> {
    const OURS: [&str; 15] = [
        "data",
        "column",
        "target",
        "missing",
        "time",
        "header",
        "delimiter",
        "skip-rows",
        "comment",
        "decimal",
        "thousands",
        "na",
        "season",
        "series",
        "only",
    ];
    let is_typed = |name: &str| matches.value_source(name) == Some(ValueSource::CommandLine);
    if is_typed("target") && !is_typed("column") {
        let message = "--target: a MODEL knows which of its columns it predicts; leave the flag out, or also give the \
                       input columns with --column";
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
    let reason = "holds windows already cut, but a backtest needs the rows in their order; give a series, .csv or .npy \
                  [T, columns]";
    job.in_data(Error::Invalid(reason.into())).into()
}
