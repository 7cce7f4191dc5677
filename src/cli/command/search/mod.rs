//! `rnnstep search`

use super::evaluate;
use crate::cli::args::device::DeviceArgs;
use crate::cli::args::input::{Files, Source};
use crate::cli::args::job::{Job, Named, StateMode, TargetAs};
use crate::cli::args::threads::threads;
use crate::cli::args::{config, number};
use crate::cli::failure::Failure;
use crate::cli::output::report;
use crate::cli::output::screen::Screen;
use crate::cli::output::{files, progress};
use crate::cli::signals;
use crate::cli::signals::AtOnce;
use clap::Args;
use clap::parser::ValueSource;
use rnnstep::cpu::Threads;
use rnnstep::data::windows::split;
use rnnstep::evaluate::search::{Attempt, Found, Journal, Search};
use rnnstep::model::file;
use rnnstep::train::{HELD_OUT, Outcome, Plan, TargetAs as Target};
use rnnstep::{Cpu, Error, TargetTransform};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Candidates to try, if neither --tries nor --budget is given.
const TRIES: usize = 27;

#[derive(Args)]
#[command(
    after_help = "The search chooses cell, hidden, layers, seq-len, lr and target-as, except those that are given. All \
                  other options of `train` hold for every candidate. --epochs is how long the best candidates are \
                  trained [default: 100]."
)]
pub struct SearchArgs {
    #[command(flatten)]
    job: Job,
    /// Candidates to try [default: 27, or as many as the budget allows]
    #[arg(long, value_name = "N", value_parser = number::count::<usize>, help_heading = "Search")]
    tries: Option<usize>,
    /// The most time that the search may take: 60s, 5m, 2h [default: no limit]
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = "Search")]
    budget: Option<Duration>,
    /// Part of the rows, at the end of the series, that the search does not use, above 0 and below 1; they score the
    /// winner. The same part of the other rows scores the candidates
    #[arg(long, default_value_t = HELD_OUT, value_name = "FRACTION", value_parser = number::part, help_heading = "Search")]
    test_fraction: f64,
    /// Recipe to write, for `train --config`
    #[arg(long, default_value = "recipe.toml", value_name = "FILE.toml", help_heading = "Files")]
    out: PathBuf,
    /// File for the results so far, from which a stopped search continues [default: OUT with .journal.json]
    #[arg(long, value_name = "FILE.json", help_heading = "Files")]
    journal: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Candidates to train at the same time, each on one thread
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = number::threads)]
    threads: usize,
}

pub fn run(args: &SearchArgs, matches: &clap::ArgMatches, screen: &mut Screen) -> Result<ExitCode, Failure> {
    let given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let threads = threads(args.threads)?;
    let cpu = args.device.only_cpu("search")?;
    let journal_path = args.journal.clone().unwrap_or_else(|| args.out.with_extension("journal.json"));
    let data = check(args, &journal_path)?;
    screen.goes_beside_files();
    let Begun { job, named, search } = begin(args, given, cpu)?;
    let journal = Journal::open(&journal_path, &asked(args, &search, &given)?)?;
    print_what_is_known(&journal, &journal_path);
    signals::watch();
    let found = run_search(args, &search, &journal, &journal_path, &threads).map_err(|error| job.in_data(error))?;
    let stopped = signals::came() && !found.complete;
    let Some((plan, attempt)) = &found.winner else {
        let message = if stopped { "interrupted" } else { "the budget was used up" };
        let message = format!("{message} before the first training was scored; run the same command again to continue");
        return Err(Error::Invalid(message).into());
    };
    named.say_columns();
    let comments = print(&data, &search, &found, plan, attempt, screen)?;
    let recipe = recipe(&job, plan, &comments)?;
    files::write(&args.out, || file::write_text(&args.out, &recipe))?;
    // everything is saved, so from here on a signal ends the process at once
    let _at_once = (!stopped).then(AtOnce::new);
    if !stopped {
        test(&search, &named, plan, screen)?;
    }
    screen.line(format_args!("recipe   {}", args.out.display()))?;
    screen.line(format_args!("journal  {}", journal_path.display()))?;
    screen.line(format_args!("next     rnnstep train --config {}", args.out.display()))?;
    let what_next = "run the same command again to continue; the trainings that are done are in the journal";
    if stopped {
        screen.line(format_args!("interrupted after {}: {what_next}", report::counted(found.trainings, "training")))?;
        return Ok(ExitCode::from(1));
    }
    if !found.complete {
        screen.line(format_args!("the budget is used up: {what_next}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Checks the flags before any data is read, and returns the data files.
fn check(args: &SearchArgs, journal: &Path) -> Result<Files, Failure> {
    let job = &args.job;
    let Some(data) = job.data.data.clone() else {
        return Err(Failure::Usage("DATA is missing: give the series to search on, a .csv or .npy file".into()));
    };
    if job.steps.is_some() {
        return Err(Failure::Usage("--steps: a search counts in epochs; use --epochs".into()));
    }
    if job.epochs == Some(0) {
        return Err(Failure::Usage("--epochs: must be at least 1".into()));
    }
    let reads = job.paths().reads("--bundle", args.device.bundle());
    reads.writes("--out", [&args.out]).writes("--journal", [journal]).check()?;
    if job.data.has_several() {
        let message = "--series: a search uses one series; choose it with --only NAME";
        return Err(Failure::Usage(message.into()));
    }
    Ok(data)
}

/// A search that is ready to run.
struct Begun {
    job: Job,
    named: Named,
    search: Search,
}

fn begin(args: &SearchArgs, given: impl Fn(&str) -> bool, cpu: Cpu) -> Result<Begun, Failure> {
    let mut job = args.job.clone();
    // a search tries several, unless one is given
    if !given("target_as") {
        job.target_as = TargetAs::default();
    }
    let Source::Series(series) = job.data.source()? else {
        let reason =
            "holds windows already cut, but a search needs the rows in their order; give a series, .csv or .npy";
        return Err(job.in_data(Error::Invalid(reason.into())).into());
    };
    let named = job.named(&series)?;
    job.say_holes(&[&named]);
    let (before_test, _) = split(named.table.rows(), args.test_fraction)
        .map_err(|_| Error::Invalid(format!("test-fraction {:?}: must be above 0 and below 1", args.test_fraction)))?;
    // seasons that are given are for the naive forecasts, and for the candidates with seasonal differencing
    let given_seasons = job.season.clone();
    job.keep_season_of_training();
    job.settle_season(&[&named.table.part(before_test)?])?;
    let seasons = if given_seasons.is_empty() { &job.season } else { &given_seasons };
    let base = job.plan()?;
    let mut search = Search::new(&named.table, base.clone(), seasons, args.test_fraction, cpu)
        .map_err(|error| job.in_data(error))?;
    narrow(&mut search, &base, given);
    Ok(Begun { job, named, search })
}

/// Runs the search with a progress bar. Every result is written to the journal at once.
fn run_search(
    args: &SearchArgs,
    search: &Search,
    journal: &Journal,
    path: &Path,
    threads: &Threads,
) -> Result<Found, Error> {
    let start = Instant::now();
    let stop = || signals::came() || args.budget.is_some_and(|budget| start.elapsed() >= budget);
    let tries = args.tries.or(args.budget.is_none().then_some(TRIES));
    let total = tries.map(|tries| search.trainings(tries) as u64);
    let template = match total {
        Some(_) => "{bar:30} {pos}/{len} trainings  best {msg}  {elapsed}",
        None => "{spinner} {pos} trainings  best {msg}  {elapsed}",
    };
    let (bar, best) = (progress::bar(total, template), Mutex::new(f64::INFINITY));
    bar.inc(journal.attempts().len() as u64);
    let seen = |attempt: &Attempt| {
        files::write(path, || journal.add(attempt))?;
        let mut best = best.lock().unwrap_or_else(PoisonError::into_inner);
        *best = attempt.score.unwrap_or(f64::INFINITY).min(*best);
        bar.set_message(format!("{best:.3}"));
        bar.inc(1);
        Ok(())
    };
    let found = search.run(tries, threads, journal.attempts(), &stop, &seen);
    bar.finish_and_clear();
    found
}

/// Prints what was found, and returns comments on it for the recipe.
fn print(
    data: &Files,
    search: &Search,
    found: &Found,
    plan: &Plan,
    attempt: &Attempt,
    screen: &mut Screen,
) -> Result<[String; 2], Failure> {
    let rows = search.rows();
    let counts = format!(
        "{} in {}",
        report::counted(found.candidates, "candidate"),
        report::counted(found.trainings, "training")
    );
    screen.line(format_args!(
        "{}: {counts}, scored on rows {} to {}; rows {} to {} were not used",
        data,
        rows.scored.start + 1,
        rows.scored.end,
        rows.test.start + 1,
        rows.test.end
    ))?;
    screen.line(format_args!("winner: candidate {}, {}", attempt.candidate, in_words(plan)))?;
    let score = attempt.score.unwrap_or(f64::NAN);
    screen.line(format_args!(
        "inside the search, after {}: an error of {score:.3} times that of the best naive forecast",
        report::counted(attempt.epochs as usize, "epoch")
    ))?;
    screen.line(format_args!(
        "this is optimistic: it is the best score of {}, and it chose the winner",
        report::counted(found.candidates, "candidate")
    ))?;
    Ok([
        format!("found by rnnstep search: {counts}"),
        format!("error inside the search, which is optimistic: {score:.3} times that of the best naive forecast"),
    ])
}

/// Removes from the search what is given on the command line.
fn narrow(search: &mut Search, base: &Plan, given: impl Fn(&str) -> bool) {
    let space = search.space();
    if given("cell") {
        space.cells = vec![base.shape.cell()];
    }
    if given("hidden") {
        space.hidden = vec![base.shape.hidden()];
    }
    if given("layers") {
        space.layers = vec![base.shape.layers()];
    }
    if given("seq_len") {
        space.seq_lens = vec![base.seq_len];
    }
    if given("lr") {
        space.lr = (base.recipe.lr, base.recipe.lr);
    }
    if given("target_as") {
        space.transforms = vec![base.transform];
    }
}

/// Everything that decides the result of the search, under the names of the flags. A journal continues only the search
/// that it was begun for.
fn asked(args: &SearchArgs, search: &Search, given: &impl Fn(&str) -> bool) -> Result<serde_json::Value, Failure> {
    let mut asked = serde_json::to_value(&args.job).map_err(|error| Error::Invalid(error.to_string()))?;
    if let Some(asked) = asked.as_object_mut() {
        // the name of the file may change, since the rows themselves are compared
        asked.retain(|name, value| name != "data" && !value.is_null());
        let fixed = ["cell", "hidden", "layers", "seq_len", "lr", "target_as"].into_iter().filter(|id| given(id));
        asked.insert("given".into(), json!(fixed.map(|id| id.replace('_', "-")).collect::<Vec<_>>().join(" ")));
        asked.insert("test-fraction".into(), json!(args.test_fraction));
        asked.insert("program".into(), json!(env!("CARGO_PKG_VERSION")));
        asked.insert("rows".into(), json!(format!("{:016x}", search.fingerprint())));
    }
    Ok(asked)
}

fn print_what_is_known(journal: &Journal, path: &Path) {
    let path = path.display();
    if !journal.attempts().is_empty() {
        eprintln!("continuing: {} are in {path} already", report::counted(journal.attempts().len(), "training"));
    }
    if journal.damaged() > 0 {
        let lines = report::counted(journal.damaged(), "line");
        eprintln!("warning: {path}: {lines} cannot be read, so the trainings there are done again");
    }
}

/// Scores the winner on the rows that the search did not use. This is done once.
fn test(search: &Search, named: &Named, plan: &Plan, screen: &mut Screen) -> Result<(), Failure> {
    let (evaluation, learned) = search.test(&named.table, plan)?;
    let rows = search.rows();
    screen.line("")?;
    screen.line(format_args!(
        "rows {} to {}, forecast one step ahead by the winner, trained on the {} rows before",
        rows.test.start + 1,
        rows.test.end,
        rows.test.start
    ))?;
    for column in &evaluation.columns {
        evaluate::print_one_step(&named.target_names[column.target], column, screen)?;
        screen.line(format_args!("  {}", evaluate::how(column)))?;
    }
    if !learned {
        screen.line(format_args!("note: {}", Outcome::LEARNED_NOTHING))?;
    }
    screen.line("")
}

/// The recipe of the winner, as the text of a file for `train --config`.
fn recipe(job: &Job, plan: &Plan, comments: &[String]) -> Result<String, Failure> {
    let mut job = job.clone();
    (job.cell, job.hidden, job.layers) = (plan.shape.cell(), plan.shape.hidden(), plan.shape.layers());
    (job.seq_len, job.lr) = (plan.seq_len, plan.recipe.lr);
    (job.target_as, job.season) = match plan.transform {
        Target::Auto => (TargetAs::Auto, vec![]),
        Target::Residual | Target::Given(TargetTransform::Residual { .. }) => (TargetAs::Residual, vec![]),
        Target::Given(TargetTransform::Value) => (TargetAs::Value, vec![]),
        Target::Given(TargetTransform::Change) => (TargetAs::Change, vec![]),
        Target::Given(TargetTransform::RelativeChange) => (TargetAs::RelativeChange, vec![]),
        Target::Given(TargetTransform::SeasonalChange { season }) => (TargetAs::SeasonalChange, vec![season]),
    };
    if job.state == StateMode::Carry {
        // with a carried state it must be the length of a window, which was searched
        job.stride = None;
    }
    if let rnnstep::train::Length::Epochs(epochs) = plan.length {
        job.epochs = Some(epochs);
    }
    let json = serde_json::to_value(&job).map_err(|error| Error::Invalid(error.to_string()))?;
    Ok(config::toml(&json, comments).map_err(Error::Invalid)?)
}

fn in_words(plan: &Plan) -> String {
    let transform = match plan.transform {
        Target::Given(TargetTransform::SeasonalChange { season }) => format!("seasonal change over {season} rows"),
        transform => transform.name().replace('-', " "),
    };
    format!("{}, windows of {}, lr {}, target as {transform}", plan.shape, plan.seq_len, plan.recipe.lr)
}

/// `60s`, `5m`, `2h`.
fn time(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a time such as 60s, 5m or 2h".to_string();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let unit = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * unit).map_err(|_| wrong())
}
