//! `rnnstep evaluate` over many series: a walk over each, one table of all.
//!
//! Each series is divided by its own rows, whatever their times: one model over series that end at different times has seen
//! rows of others that are later than those it forecasts.

use super::remark::Remark;
use super::table::{self, Cells, Make};
use super::walk::{ahead_said, split_at, walk};
use super::{EvaluateArgs, Report, goes_with, own_job, refuse_recipe};
use crate::cli::args::device::Work;
use crate::cli::args::folder::Folder;
use crate::cli::args::job::{Job, Named};
use crate::cli::args::model::load;
use crate::cli::args::series::OneSeries;
use crate::cli::args::threads::{cores, threads};
use crate::cli::failure::Failure;
use crate::cli::output::report;
use crate::cli::output::report::LEARNED_NOTHING;
use crate::cli::output::screen::Screen;
use crate::cli::output::screen::tell;
use crate::cli::output::{columns, progress};
use rnnstep::error::quoted;
use rnnstep::evaluate::backtest::{Comparison, Verdict};
use rnnstep::model::file;
use rnnstep::model::file::{Columns, Loaded, Metadata};
use rnnstep::train::{HELD_OUT, Table};
use rnnstep::{Error, Model};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::ExitCode;

/// Where the model of a series comes from.
enum Models {
    /// One trained for each, on the way.
    Trained,
    /// One for all.
    One(Box<Loaded>),
    /// One of a folder for each.
    Each(Folder),
}

pub fn run(args: &EvaluateArgs, matches: &clap::ArgMatches, screen: &mut Screen) -> Result<ExitCode, Failure> {
    for (flag, path) in [("--html", &args.html), ("--plot", &args.plot)] {
        if path.is_some() {
            let message =
                format!("{flag}: shows one series; say which with --only NAME, or take --out and --forecasts");
            return Err(Failure::Usage(message));
        }
    }
    let threads = threads(args.threads.unwrap_or_else(cores))?;
    let (mut job, models, what) = models(args, matches)?;
    let all = job.data.several()?;
    let (models, remark) = match models {
        Some(models) => (models, None),
        None => {
            let (model, learned) = one_over_all(args, &mut job, &all)?;
            (Models::One(Box::new(model)), (!learned).then_some(LEARNED_NOTHING))
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
            // flags that make no sense are no fault of the series
            Err(Failure::Usage(message)) => return Err(Failure::Usage(message)),
            Err(failure) => failures.push(format!("failed: series {}: {}", quoted(&one.name), failure.into_error())),
        }
    }
    let data = job.data.data.as_ref().map_or_else(String::new, ToString::to_string);
    if let Some((_, first)) = reports.first() {
        let (count, ahead) = (reports.len(), ahead_said(args.horizon));
        screen.line(format_args!("{data}: the last rows of each of {count} series, forecast {ahead} {what}"))?;
        screen.line(&first.about)?;
        print(&reports, screen)?;
        let learned_nothing = |remark: &Remark| matches!(remark, Remark::LearnedNothing { .. });
        let silent = reports.iter().filter(|(_, report)| report.remarks.iter().any(learned_nothing));
        match (remark, silent.count()) {
            (Some(remark), _) => screen.line(format_args!("note: {remark}"))?,
            (None, 0) => {}
            (None, silent) => screen.line(format_args!("note: of {silent} series, {LEARNED_NOTHING}"))?,
        }
        table::write(args, screen, |table| joined(&reports, table))?;
    }
    screen.flush()?;
    tell(&failures, "more failed");
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// What to train by or to read, and the models; `None` for one that is yet to be trained over all. And what to say of it.
fn models(args: &EvaluateArgs, matches: &clap::ArgMatches) -> Result<(Job, Option<Models>, String), Failure> {
    let mut job = args.job.clone();
    let Some(path) = &args.model else {
        if args.per_series {
            job.check_for_each()?;
            return Ok((job, Some(Models::Trained), "by a model trained for each".into()));
        }
        once(args, "one model over many series is trained once; leave them out, or take --per-series")?;
        job.settle_several(matches);
        return Ok((job, None, "by one model, trained on the rows before of all".into()));
    };
    refuse_recipe(&args.job, matches)?;
    let Some(folder) = Folder::open(path)? else {
        once(args, "a MODEL over many series is taken unchanged; leave them out")?;
        let loaded = load(path, None, args.device.cpu()?)?;
        let job = own_job(args, &loaded, path)?;
        return Ok((job, Some(Models::One(Box::new(loaded))), "by one model taken unchanged".into()));
    };
    // all were trained on the same columns: no others have to hold numbers
    if job.data.column.is_empty()
        && let Some(Columns { inputs, targets, .. }) = folder.columns(args.device.cpu()?)
    {
        (job.data.column, job.data.target) = (inputs, targets);
    }
    Ok((job, Some(Models::Each(folder)), format!("by the models in {}", path.display())))
}

/// Refuses what only walks with many trainings know.
fn once(args: &EvaluateArgs, why: &str) -> Result<(), Failure> {
    if args.refit.is_some() || args.sliding.is_some() || args.gap > 0 {
        return Err(Failure::Usage(format!("--refit, --sliding and --gap: {why}")));
    }
    Ok(())
}

/// One model, trained on what comes before the part that is forecast of every series; and whether it learned anything.
fn one_over_all(args: &EvaluateArgs, job: &mut Job, all: &[OneSeries]) -> Result<(Loaded, bool), Failure> {
    let test_fraction = args.test_fraction.unwrap_or(HELD_OUT);
    let mut tables = Vec::new();
    for one in all {
        // what cannot be read is listed where it is walked over
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
    let recipe = serde_json::to_value(&*job).map_err(|error| Error::Invalid(error.to_string()))?;
    let metadata = Metadata { recipe: Some(recipe), seq_len: Some(job.seq_len), ..Metadata::default() };
    Ok((loaded(outcome.model, metadata), outcome.learned))
}

/// A model as if it came from a file.
fn loaded(model: Model, metadata: Metadata) -> Loaded {
    Loaded { model, metadata, extra: Default::default(), warnings: vec![] }
}

fn walk_one(args: &EvaluateArgs, job: &Job, one: &OneSeries, models: &Models) -> Result<Report, Failure> {
    let of = |named: Named| Named { series: Some(one.name.clone()), ..named };
    let series = match &one.series {
        Ok(series) => series,
        Err(error) => return Err(Error::Invalid(error.to_string()).into()),
    };
    let given = |job: Job, loaded: Loaded, path: &Path| {
        let named = of(job.named(series)?);
        goes_with(&loaded, &named, path)?;
        walk(args, job, named, Some(loaded))
    };
    match models {
        Models::Trained => walk(args, job.of_one(one), of(job.named(series)?), None),
        Models::One(loaded) => {
            let mut job = job.clone();
            if args.model.is_none() {
                // what was held out inside the training part has nothing to do with the part that is forecast
                job.val_fraction = None;
            }
            given(job, loaded.as_ref().clone(), args.model.as_deref().unwrap_or(&one.file))
        }
        Models::Each(folder) => {
            let path = folder.model(&one.name)?;
            let loaded = file::load(&path, None, args.device.cpu()?)?;
            given(own_job(args, &loaded, &path)?.of_one(one), loaded, &path)
        }
    }
}

/// A row for each series and column, and what they come to.
fn print(reports: &[(String, Report)], screen: &mut Screen) -> Result<(), Failure> {
    let columns =
        || reports.iter().flat_map(|(name, report)| report.evaluation.columns.iter().map(move |c| (name, report, c)));
    let (mut over_naive, mut over_model) = (Counted::default(), Counted::default());
    let mut rows = Vec::new();
    for (name, report, column) in columns() {
        let mut cells = table::by_horizon(column, 1);
        // one row ahead, all of them
        cells.splice(..1, [name.clone(), report.named.target_names[column.target].clone()]);
        cells.push(over_naive.count(&column.comparisons[0]).into());
        if let Some(learning) = &column.learning {
            cells.push(over_model.count(&learning.over_model[0]).into());
        }
        rows.push(cells);
    }
    let learns = columns().any(|(_, _, column)| column.learning.is_some());
    let learner: &[&str] = if learns { &["learner", "over the model, 95 %"] } else { &[] };
    let verdicts: &[&str] = if learns { &["verdict", "learning"] } else { &["verdict"] };
    let header = [&["series", "column", "RMSE", "naive", "best naive", "skill, 95 %"], learner, verdicts].concat();
    screen.line("")?;
    columns::print(&header, &rows, screen)?;
    screen.line(over_naive.said("the best naive forecast"))?;
    if learns {
        screen.line(format_args!("learning while it runs, {}", over_model.said("the same model frozen")))?;
    }
    Ok(())
}

/// How many are what, and how good.
#[derive(Default)]
struct Counted {
    skills: Vec<f64>,
    verdicts: [usize; VERDICTS.len()],
}

impl Counted {
    /// Counts one, and says what it is.
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

    fn said(&self, than: &str) -> String {
        let [better, no_better, worse, unknown] = self.verdicts;
        let unknown = if unknown == 0 { String::new() } else { format!(", {unknown} with nothing to say") };
        let middle = report::median(&self.skills).map_or_else(|| "unknown".into(), report::gain);
        let all = self.skills.len();
        format!(
            "of {all}: {better} better than {than}, {no_better} no better, {worse} worse{unknown}; median skill {middle}"
        )
    }
}

/// In the order of what is counted.
const VERDICTS: [&str; 4] = ["better", "no better", "worse", "nothing to say"];

/// The tables of all series in one, the series in the first column. A column that only some have is empty for the others.
fn joined(reports: &[(String, Report)], table: Make) -> Cells {
    let tables: Vec<_> = reports.iter().map(|(name, report)| (name, table(report))).collect();
    let mut header = vec!["series".to_string()];
    let mut there = HashSet::new();
    for (_, (columns, _)) in &tables {
        header.extend(columns.iter().filter(|column| there.insert(*column)).cloned());
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
