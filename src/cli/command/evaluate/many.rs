//! `rnnstep evaluate` over many series: a backtest of each, and one table of all results.
//!
//! Each series is split by its own rows, whatever their times. If the series end at different times, a global model was
//! trained on rows of some series that are later than the rows that it forecasts in others.

use super::remark::Remark;
use super::table::{self, Cells, Make};
use super::walk::{ahead_said, split_at, walk};
use super::{EvaluateArgs, Report, goes_with, own_job, refuse_recipe};
use crate::cli::args::device::Work;
use crate::cli::args::job::{Job, Named};
use crate::cli::args::model::load;
use crate::cli::args::series::OneSeries;
use crate::cli::args::threads::{cores, threads};
use crate::cli::failure::Failure;
use crate::cli::output::report;
use crate::cli::output::screen::Screen;
use crate::cli::output::screen::tell_failed;
use crate::cli::output::{columns, progress};
use rnnstep::evaluate::backtest::{Comparison, Verdict};
use rnnstep::model::file;
use rnnstep::model::file::{Columns, Loaded, Metadata};
use rnnstep::series::opponents::Opponent;
use rnnstep::train::folder::Folder;
use rnnstep::train::{HELD_OUT, Outcome, Table};
use rnnstep::{Error, Model};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::ExitCode;

/// Where the model of a series comes from.
enum Models {
    /// A local model for each series, which is trained during the backtest.
    Trained,
    /// A global model.
    One(Box<Loaded>),
    /// A local model for each series, from a folder.
    Each(Folder),
}

pub fn run(args: &EvaluateArgs, matches: &clap::ArgMatches, screen: &mut Screen) -> Result<ExitCode, Failure> {
    for (flag, path) in [("--html", &args.html), ("--plot", &args.plot)] {
        if path.is_some() {
            let message =
                format!("{flag}: shows one series; choose it with --only NAME, or use --out and --forecasts for all");
            return Err(Failure::Usage(message));
        }
    }
    let threads = threads(args.threads.unwrap_or_else(cores))?;
    let (job, models, what) = models(args, matches)?;
    let all = job.data.several()?;
    let (models, remark) = match models {
        Some(models) => (models, None),
        None => {
            let (model, learned) = train_global(args, job.clone(), &all)?;
            (Models::One(Box::new(model)), (!learned).then_some(Outcome::LEARNED_NOTHING))
        }
    };
    let bar = progress::of_many(all.len(), "series");
    let found = threads.map(
        all.len(),
        || false,
        |i| {
            let report = walk_one(args, &job, &all[i], &models);
            bar.inc(1);
            report
        },
    );
    bar.finish_and_clear();
    let (mut reports, mut failures) = (Vec::new(), Vec::new());
    for (one, found) in all.iter().zip(found.into_iter().flatten()) {
        match found {
            Ok(report) => reports.push((one.name.clone(), report)),
            // an error in the flags ends the command, since it is the same for every series
            Err(Failure::Usage(message)) => return Err(Failure::Usage(message)),
            Err(failure) => failures.push((one.name.clone(), failure.into_error().to_string())),
        }
    }
    let data = job.data.data.as_ref().map_or_else(String::new, ToString::to_string);
    if let Some((_, first)) = reports.first() {
        first.named.say_columns();
        let (count, ahead) = (reports.len(), ahead_said(args.horizon));
        screen.line(format_args!("{data}: the last rows of each of {count} series, forecast {ahead} {what}"))?;
        screen.line(&first.about)?;
        print(&reports, screen)?;
        if let Some(remark) = remark {
            screen.line(format_args!("note: {remark}"))?;
        }
        // a model that was trained just now has not seen the rows that it forecasts
        let known = args.model.is_some() || args.per_series;
        print_remarks(&reports, known, screen)?;
        table::write(args, screen, |table| joined(&reports, table))?;
    }
    screen.flush()?;
    tell_failed(&failures, "more failed");
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// The job, the models, and where the forecasts come from in words. The models are `None` if a global model has yet to
/// be trained.
fn models(args: &EvaluateArgs, matches: &clap::ArgMatches) -> Result<(Job, Option<Models>, String), Failure> {
    let mut job = args.job.clone();
    let Some(path) = &args.model else {
        if args.per_series {
            let mut of_training = job.clone();
            of_training.keep_season_of_training();
            of_training.check_for_each()?;
            return Ok((job, Some(Models::Trained), "by a local model trained for each".into()));
        }
        refuse_trainings(args, "a global model is trained once; leave them out, or use --per-series")?;
        job.settle_several(matches);
        return Ok((job, None, "by one global model, trained on the earlier rows of all series".into()));
    };
    refuse_recipe(&args.job, matches)?;
    let Some(folder) = Folder::open(path)? else {
        refuse_trainings(args, "a MODEL for many series is used unchanged; leave them out")?;
        let loaded = load(path, &args.tensors.options(None), args.device.cpu()?)?;
        let job = own_job(args, &loaded, path)?;
        return Ok((job, Some(Models::One(Box::new(loaded))), "by one global model, used unchanged".into()));
    };
    // all were trained on the same columns, so only these have to hold numbers
    if let Some(Columns { inputs, targets, masks, .. }) = folder.columns(args.device.cpu()?) {
        job.data.table.missing = job.data.table.missing.of_a_model(&masks);
        if job.data.column.is_empty() {
            (job.data.column, job.data.target) = (inputs, targets);
        }
    }
    Ok((job, Some(Models::Each(folder)), format!("by the models in {}", path.display())))
}

/// Refuses the options of a backtest that trains a model for each series. `reason` is why there is none.
fn refuse_trainings(args: &EvaluateArgs, reason: &str) -> Result<(), Failure> {
    if args.refit.is_some() || args.sliding.is_some() || args.gap > 0 {
        return Err(Failure::Usage(format!("--refit, --sliding and --gap: {reason}")));
    }
    Ok(())
}

/// Trains a global model on the rows of every series before the part that is forecast. Also returns whether it learned
/// anything.
fn train_global(args: &EvaluateArgs, mut job: Job, all: &[OneSeries]) -> Result<(Loaded, bool), Failure> {
    let test_fraction = args.test_fraction.unwrap_or(HELD_OUT);
    job.keep_season_of_training();
    job.settle_masks(all)?;
    let mut tables = Vec::new();
    for one in all {
        // a series that cannot be read is reported by its own backtest
        let Ok(series) = &one.series else { continue };
        let Ok(named) = job.named(series) else { continue };
        let (train, _) = split_at(named.table.rows(), test_fraction)?;
        if !train.is_empty() {
            tables.push(named.table.part(train)?);
        }
    }
    let tables: Vec<&Table> = tables.iter().collect();
    job.settle_season(&tables)?;
    let plan = job.plan()?;
    let widths = tables.first().map_or((1, 1), |table| (table.inputs().rows().1, table.targets().rows().1));
    let device = args.device.choose(&plan.shape_for(widths.0, widths.1)?, plan.batch, Work::Training)?;
    let threads = threads(args.threads.unwrap_or(1))?;
    let outcome = plan.start(&tables, device, threads).and_then(|mut fit| fit.finish());
    let outcome = outcome.map_err(|error| job.in_data(error))?;
    let recipe = serde_json::to_value(&job).map_err(|error| Error::Invalid(error.to_string()))?;
    let metadata = Metadata { recipe: Some(recipe), seq_len: Some(job.seq_len), ..Metadata::default() };
    Ok((loaded(outcome.model, metadata), outcome.learned))
}

/// The model as if it had been loaded from a file.
fn loaded(model: Model, metadata: Metadata) -> Loaded {
    Loaded { model, metadata, extra: Default::default(), warnings: vec![], assumed: vec![] }
}

fn walk_one(args: &EvaluateArgs, job: &Job, one: &OneSeries, models: &Models) -> Result<Report, Failure> {
    let with_name = |named: Named| Named { series: Some(one.name.clone()), ..named };
    let series = match &one.series {
        Ok(series) => series,
        Err(error) => return Err(Error::Invalid(error.to_string()).into()),
    };
    let given = |job: Job, loaded: Loaded, path: &Path| {
        let named = with_name(job.named(series)?);
        goes_with(&loaded, &named, path)?;
        walk(args, job, named, Some(loaded))
    };
    match models {
        Models::Trained => walk(args, job.of_one(one), with_name(job.named(series)?), None),
        Models::One(loaded) => {
            let mut job = job.clone();
            job.data.masks = Some(loaded.model.masks().to_vec());
            if args.model.is_none() {
                // the rows that this model held out in training are not the rows that are forecast
                job.val_fraction = None;
            }
            given(job, loaded.as_ref().clone(), args.model.as_deref().unwrap_or(&one.file))
        }
        Models::Each(folder) => {
            let path = folder.model(&one.name)?;
            let loaded = file::load(&path, &args.tensors.options(None), args.device.cpu()?)?;
            given(own_job(args, &loaded, &path)?.of_one(one), loaded, &path)
        }
    }
}

/// Prints a row for each series and column, and a summary.
fn print(reports: &[(String, Report)], screen: &mut Screen) -> Result<(), Failure> {
    let columns =
        || reports.iter().flat_map(|(name, report)| report.evaluation.columns.iter().map(move |c| (name, report, c)));
    let (mut over_naive, mut over_model) = (Counted::default(), Counted::default());
    let mut rows = Vec::new();
    for (name, report, column) in columns() {
        let mut cells = table::by_horizon(column, 1);
        // every row is one step ahead, so the first cell, the horizon, is replaced
        cells.splice(..1, [name.clone(), report.named.target_names[column.target].clone()]);
        cells.push(over_naive.count(&column.comparisons[0]).into());
        if let Some(learning) = &column.learning {
            cells.push(over_model.count(&learning.over_model[0]).into());
        }
        rows.push(cells);
    }
    let asked = columns().any(|(_, _, column)| table::has_opponents(column));
    let learns = columns().any(|(_, _, column)| column.learning.is_some());
    let learner: &[&str] = if learns { &["learner", "over the model, 95 %"] } else { &[] };
    let verdicts: &[&str] = if learns { &["verdict", "learning"] } else { &["verdict"] };
    let (rmse, best) = if asked { ("simple", "best simple") } else { ("naive", "best naive") };
    let header = [&["series", "column", "RMSE", rmse, best, "skill, 95 %"], learner, verdicts].concat();
    screen.line("")?;
    columns::print(&header, &rows, screen)?;
    screen.line(over_naive.in_words(if asked { table::BEST_SIMPLE } else { table::BEST_NAIVE }))?;
    if learns {
        screen.line(format_args!("learning while it runs, {}", over_model.in_words("the same model frozen")))?;
    }
    Ok(())
}

/// Prints each kind of remark once, with the number of series that it is about.
fn print_remarks(reports: &[(String, Report)], known: bool, screen: &mut Screen) -> Result<(), Failure> {
    type IsKind = fn(&Remark) -> bool;
    let not_fitted: [(IsKind, &str); 2] = [
        (
            |remark| matches!(remark, Remark::NotFitted { opponent: Opponent::ExponentialSmoothing, .. }),
            "exponential smoothing takes no part: there are too few training rows, or they are not finite",
        ),
        (
            |remark| matches!(remark, Remark::NotFitted { opponent: Opponent::Mstl, .. }),
            "MSTL takes no part: there is no season, or there are fewer training rows than two seasons",
        ),
    ];
    let kinds: [(IsKind, &str); 4] = [
        (|remark| matches!(remark, Remark::LearnedNothing { .. }), Outcome::LEARNED_NOTHING),
        (
            |remark| matches!(remark, Remark::TrainedOn(_)),
            "the model was trained on some of these rows, so its scores are too optimistic",
        ),
        (
            |remark| matches!(remark, Remark::ChoseTheWeights { .. }),
            "these rows chose the weights of the model in training, so its scores are optimistic",
        ),
        (
            |remark| matches!(remark, Remark::Unknown),
            "it is not known whether the model was trained on these rows; if it was, its scores are too optimistic",
        ),
    ];
    for (is_kind, text) in kinds.into_iter().filter(|_| known).chain(not_fitted) {
        let count = reports.iter().filter(|(_, report)| report.remarks.iter().any(is_kind)).count();
        if count > 0 {
            screen.line(format_args!("note: in {count} series, {text}"))?;
        }
    }
    Ok(())
}

/// How many comparisons had each verdict, and all their skills.
#[derive(Default)]
struct Counted {
    skills: Vec<f64>,
    verdicts: [usize; VERDICTS.len()],
}

impl Counted {
    /// Counts a comparison and returns its verdict in words.
    fn count(&mut self, comparison: &Comparison) -> &'static str {
        let verdict = match comparison.verdict() {
            Verdict::Better => 0,
            Verdict::NoBetter => 1,
            Verdict::Worse => 2,
            Verdict::Unknown => 3,
        };
        self.verdicts[verdict] += 1;
        self.skills.push(comparison.skill);
        VERDICTS[verdict]
    }

    fn in_words(&self, than: &str) -> String {
        let [better, no_better, worse, unknown] = self.verdicts;
        let unknown = if unknown == 0 { String::new() } else { format!(", {unknown} unknown") };
        let middle = report::median(&self.skills).map_or_else(|| "unknown".into(), report::gain);
        let all = self.skills.len();
        format!(
            "of {all}: {better} better than {than}, {no_better} no better, {worse} worse{unknown}; median skill \
             {middle}"
        )
    }
}

/// The verdicts in words, in the order in which they are counted.
const VERDICTS: [&str; 4] = ["better", "no better", "worse", "unknown"];

/// Joins the tables of all series. The first column is the name of the series. A column that only some tables have is
/// empty for the others.
fn joined(reports: &[(String, Report)], table: Make) -> Cells {
    let tables: Vec<_> = reports.iter().map(|(name, report)| (name, table(report))).collect();
    let mut header = vec!["series".to_string()];
    let mut known = HashSet::new();
    for (_, (columns, _)) in &tables {
        header.extend(columns.iter().filter(|column| known.insert(*column)).cloned());
    }
    let mut all = Vec::new();
    for (name, (columns, rows)) in tables {
        let places: HashMap<&String, usize> =
            columns.iter().enumerate().map(|(place, column)| (column, place)).rev().collect();
        let places: Vec<Option<usize>> = header[1..].iter().map(|wanted| places.get(wanted).copied()).collect();
        for row in rows {
            let cell = |place: &Option<usize>| place.and_then(|place| row.get(place)).cloned().unwrap_or_default();
            all.push(std::iter::once(name.clone()).chain(places.iter().map(cell)).collect());
        }
    }
    (header, all)
}
