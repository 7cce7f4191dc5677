//! One series: how it is walked over, by a model taken unchanged or by networks trained on the way, and what is said of that.

use super::remark::Remark;
use super::{EvaluateArgs, LEARN_LR, Report, plots};
use crate::cli::args::device::Work;
use crate::cli::args::job::{Job, Named};
use crate::cli::args::learn::loss_of;
use crate::cli::failure::Failure;
use crate::cli::output::progress;
use indicatif::ProgressBar;
use rnnstep::data::windows::split;
use rnnstep::evaluate::backtest::{Evaluation, Protocol, Window, evaluate, evaluate_plan};
use rnnstep::model::file::Loaded;
use rnnstep::series::one_step;
use rnnstep::train::HELD_OUT;
use rnnstep::{Device, Error, Shape, TargetTransform};
use std::ops::Range;

/// So many rows into those before the part to forecast and that part.
pub fn split_at(rows: usize, test_fraction: f64) -> Result<(Range<usize>, Range<usize>), Failure> {
    let wrong = |_| Error::Invalid(format!("test-fraction {test_fraction:?}: must be above 0 and below 1"));
    Ok(split(rows, test_fraction).map_err(wrong)?)
}

/// A backtest of one series: by `loaded`, trained anew by its own recipe if --refit is given, or by networks trained on the way.
pub fn walk(args: &EvaluateArgs, job: Job, named: Named, loaded: Option<Loaded>) -> Result<Report, Failure> {
    let test_fraction = args.test_fraction.or(loaded.as_ref().and(job.val_fraction)).unwrap_or(HELD_OUT);
    let (train, test) = split_at(named.table.rows(), test_fraction)?;
    if test.is_empty() {
        let message =
            format!("test-fraction {test_fraction:?}: leaves none of {} rows to forecast", named.table.rows());
        return Err(Error::Invalid(message).into());
    }
    let protocol = protocol(args, &job, loaded.as_ref(), train.end)?;
    let drawn = named.target_names.len();
    let room = plots::columns(args.horizon);
    if args.plot.is_some() && drawn > room {
        let message = format!("--plot: room for {room} columns, not {drawn}; name some with --target");
        return Err(Failure::Usage(message));
    }
    let unchanged = loaded.as_ref().filter(|_| args.refit.is_none());
    let target_as = job.target_as;
    let walked = match unchanged {
        Some(loaded) => by_model(args, &job, &named, loaded, protocol, test_fraction)?,
        None => by_trained(args, job, &named, protocol)?,
    };
    let Walked { device, protocol, evaluation, shape, mut remarks } = walked;
    if let (Some(options), Some(learned)) = (protocol.learner, evaluation.learned) {
        remarks.push(Remark::Learner { options, learned, trainings: evaluation.folds });
    }
    let transform = serde_json::to_value(target_as).ok().and_then(|name| name.as_str().map(String::from));
    let about = format!("{shape}, target as {}, on {device}", transform.unwrap_or_default());
    let rows = rows_said(&protocol, named.table.rows());
    let walk = format!("{rows} {}", said(&protocol, &evaluation, unchanged.is_some()));
    Ok(Report { data: String::new(), about, rows, walk, remarks, named, evaluation })
}

/// How to walk, the first row to forecast being `first`.
fn protocol(args: &EvaluateArgs, job: &Job, loaded: Option<&Loaded>, first: usize) -> Result<Protocol, Failure> {
    let of_model = loaded.map(|loaded| loss_of(&loaded.metadata, &loaded.model)).transpose();
    let loss = of_model.map_err(Error::Invalid)?.unwrap_or(job.loss);
    let learner = args.learn.is_asked(LEARN_LR)?.then(|| args.learn.options(loss));
    // what is wrong with them is no matter of the data
    learner.map_or(Ok(()), |options| options.checked().map(drop))?;
    Ok(Protocol {
        first,
        horizon: args.horizon,
        window: args.sliding.map_or(Window::Expanding, Window::Sliding),
        refit: args.refit,
        gap: args.gap,
        season: job.season,
        lags: job.seq_len,
        warm_up: one_step::warm_up(job.seq_len),
        seed: job.seed,
        learner,
    })
}

/// The result of a backtest, with what it ran on and by which rules.
struct Walked {
    device: Device,
    protocol: Protocol,
    evaluation: Evaluation,
    shape: Shape,
    remarks: Vec<Remark>,
}

/// The device; a learner walks on a processor.
fn device(
    args: &EvaluateArgs,
    protocol: &Protocol,
    shape: &Shape,
    batch: usize,
    work: Work,
) -> Result<Device, Failure> {
    match protocol.learner {
        Some(_) => Ok(args.device.only_cpu("evaluate --learn")?.into()),
        None => args.device.choose(shape, batch, work),
    }
}

/// By a model taken unchanged.
fn by_model(
    args: &EvaluateArgs,
    job: &Job,
    named: &Named,
    loaded: &Loaded,
    mut protocol: Protocol,
    test_fraction: f64,
) -> Result<Walked, Failure> {
    if args.sliding.is_some() || args.gap > 0 {
        let message = "--sliding and --gap: a MODEL that is taken unchanged has been trained; add --refit ROWS";
        return Err(Failure::Usage(message.into()));
    }
    if let Some(TargetTransform::SeasonalChange { season }) = loaded.model.units().map(|units| units.transform()) {
        protocol.season = protocol.season.or(Some(season));
    }
    let held_out = job.held_out();
    let end = loaded.metadata.unseen.as_ref().and_then(|unseen| unseen.first_of(named.table.inputs()));
    let remark = match end.filter(|&end| end > protocol.first) {
        Some(end) => Remark::TrainedOn(end - protocol.first),
        None if loaded.metadata.recipe.is_some() && held_out >= test_fraction && held_out > 0.0 => {
            Remark::ChoseTheWeights
        }
        None => Remark::Unknown,
    };
    let shape = *loaded.model.shape();
    let device = device(args, &protocol, &shape, 1, Work::Sequences)?;
    let evaluation = evaluate(&named.table, &protocol, &device, |_, _, _| Ok(loaded.model.clone()))?;
    Ok(Walked { device, protocol, evaluation, shape, remarks: vec![remark] })
}

/// By networks trained on the way.
fn by_trained(args: &EvaluateArgs, mut job: Job, named: &Named, mut protocol: Protocol) -> Result<Walked, Failure> {
    job.settle_season(&[&named.table.part(0..protocol.first)?])?;
    protocol.season = protocol.season.or(job.season);
    let plan = job.plan()?;
    let (inputs, targets) = named.table.widths();
    let shape = plan.shape_for(inputs, targets)?;
    let device = device(args, &protocol, &shape, plan.batch, Work::Training)?;
    // many series are walked over side by side: one thread for each, and a bar over all
    let (threads, bar) = match named.series {
        Some(_) => (1, ProgressBar::hidden()),
        None => (args.threads.unwrap_or(1), progress::bar(Some(1), "{bar:30} training {pos} of {len}  {elapsed}")),
    };
    let begins = |fold: usize, folds: usize| {
        bar.set_length(folds as u64);
        bar.set_position(fold as u64);
    };
    let (evaluation, silent) =
        evaluate_plan(&named.table, &protocol, &device, &plan, threads, begins).map_err(|error| job.in_data(error))?;
    bar.finish_and_clear();
    let trainings = evaluation.folds;
    let remarks = if silent > 0 { vec![Remark::LearnedNothing { silent, trainings }] } else { vec![] };
    Ok(Walked { device, protocol, evaluation, shape, remarks })
}

/// Which rows are forecast, and how far ahead.
fn rows_said(protocol: &Protocol, rows: usize) -> String {
    format!("rows {} to {rows} of {rows}, forecast {}", protocol.first + 1, ahead_said(protocol.horizon))
}

/// How far ahead.
pub fn ahead_said(horizon: usize) -> String {
    if horizon == 1 { "one step ahead".into() } else { format!("1 to {horizon} steps ahead") }
}

/// By what.
fn said(protocol: &Protocol, evaluation: &Evaluation, as_it_is: bool) -> String {
    let &Protocol { first, gap, .. } = protocol;
    let trained = match (as_it_is, evaluation.folds, protocol.window) {
        (true, ..) => "by a model taken unchanged".to_string(),
        (false, 1, Window::Expanding) => format!("by a model trained once, on the {} before", first - gap),
        (false, 1, Window::Sliding(last)) => format!("by a model trained once, on {} before", last.min(first - gap)),
        (false, folds, Window::Expanding) => format!("by a model trained {folds} times, on all rows until then"),
        (false, folds, Window::Sliding(last)) => format!("by a model trained {folds} times, on {last} rows each"),
    };
    let gap = if gap == 0 { String::new() } else { format!(", {gap} rows left out in between") };
    format!("{trained}{gap}")
}
