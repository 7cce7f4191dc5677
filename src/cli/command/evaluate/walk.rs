//! The backtest of one series and its report. The forecasts come from a model that is used unchanged, or from networks
//! that are trained during the backtest.

use super::remark::Remark;
use super::{EvaluateArgs, LEARN_LR, Report, plots};
use crate::cli::args::device::Work;
use crate::cli::args::job::{Job, Named};
use crate::cli::failure::Failure;
use crate::cli::output::{progress, report};
use indicatif::ProgressBar;
use rnnstep::data::windows::split;
use rnnstep::evaluate::backtest::{Evaluation, Protocol, Window, evaluate, evaluate_plan};
use rnnstep::model::file::Loaded;
use rnnstep::series::one_step;
use rnnstep::train::{HELD_OUT, Table};
use rnnstep::{Device, Error, Shape};
use std::ops::Range;

/// Splits `rows` rows into those before the part to forecast, and that part.
pub fn split_at(rows: usize, test_fraction: f64) -> Result<(Range<usize>, Range<usize>), Failure> {
    let wrong = |_| Error::Invalid(format!("test-fraction {test_fraction:?}: must be above 0 and below 1"));
    Ok(split(rows, test_fraction).map_err(wrong)?)
}

/// Backtests one series. If there is a model, `loaded`, it makes the forecasts, and --refit trains it again by its own
/// recipe. Otherwise networks are trained during the backtest.
pub fn walk(args: &EvaluateArgs, job: Job, named: Named, loaded: Option<Loaded>) -> Result<Report, Failure> {
    let test_fraction = args.test_fraction.or(loaded.as_ref().and(job.val_fraction)).unwrap_or(HELD_OUT);
    let (train, test) = split_at(named.table.rows(), test_fraction)?;
    if test.is_empty() {
        let message = format!(
            "test-fraction {test_fraction:?}: leaves none of {} rows to forecast; give a larger one",
            named.table.rows()
        );
        return Err(Error::Invalid(message).into());
    }
    let protocol = protocol(args, &job, loaded.as_ref(), train.end)?;
    let drawn = named.target_names.len();
    let room = plots::columns(args.horizon);
    if args.plot.is_some() && drawn > room {
        let message = format!("--plot: has room for {room} columns, not {drawn}; name some with --target");
        return Err(Failure::Usage(message));
    }
    let unchanged = loaded.as_ref().filter(|_| args.refit.is_none());
    let walked = match unchanged {
        Some(loaded) => by_model(args, &job, &named, loaded, protocol)?,
        None => by_trained(args, job, &named, protocol)?,
    };
    let Walked { device, protocol, evaluation, shape, mut remarks } = walked;
    if let (Some(options), Some(learned)) = (protocol.learner, evaluation.learned) {
        remarks.push(Remark::Learner { options, learned, trainings: evaluation.folds });
    }
    for column in &evaluation.columns {
        let name = &named.target_names[column.target];
        let out = column.not_fitted.iter().map(|&(opponent, reason)| (name.clone(), opponent, reason));
        remarks.extend(out.map(|(column, opponent, reason)| Remark::NotFitted { column, opponent, reason }));
    }
    let about = format!("{shape}, target as {}, on {device}", report::target_in_words(evaluation.transform));
    let rows = rows_in_words(&protocol, named.table.rows());
    let walk = format!("{rows} {}", model_in_words(&protocol, &evaluation, unchanged.is_some()));
    Ok(Report { data: String::new(), about, rows, walk, remarks, named, evaluation })
}

/// The rules of the backtest, in which `first` is the first row to forecast.
fn protocol(args: &EvaluateArgs, job: &Job, loaded: Option<&Loaded>, first: usize) -> Result<Protocol, Failure> {
    let loss = loaded.map(Loaded::loss).transpose()?.unwrap_or(job.loss);
    let learner = args.learn.is_asked(LEARN_LR)?.then(|| args.learn.options(loss));
    // checked here, so that an error in these options does not name the data file
    learner.map_or(Ok(()), |options| options.checked().map(drop))?;
    Ok(Protocol {
        first,
        horizon: args.horizon,
        window: args.sliding.map_or(Window::Expanding, Window::Sliding),
        refit: args.refit,
        gap: args.gap,
        seasons: args.job.season.clone(),
        lags: job.seq_len,
        warm_up: one_step::warm_up(job.seq_len),
        seed: job.seed,
        learner,
        opponents: args.against.iter().copied().map(Into::into).collect(),
    })
}

/// The result of a backtest, with its device and its rules.
struct Walked {
    device: Device,
    protocol: Protocol,
    evaluation: Evaluation,
    shape: Shape,
    remarks: Vec<Remark>,
}

/// Chooses the device. A learner runs on the CPU.
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

/// The backtest of a model that is used unchanged.
fn by_model(
    args: &EvaluateArgs,
    job: &Job,
    named: &Named,
    loaded: &Loaded,
    protocol: Protocol,
) -> Result<Walked, Failure> {
    if args.sliding.is_some() || args.gap > 0 {
        let message = "--sliding and --gap: a MODEL is trained only with --refit; leave them out, or add --refit ROWS";
        return Err(Failure::Usage(message.into()));
    }
    let remark = remark(loaded, job.held_out(), &named.table, protocol.first);
    let shape = *loaded.model.shape();
    let device = device(args, &protocol, &shape, 1, Work::Sequences)?;
    // rows that its autoregression was fitted to at the end are forecast by the one before
    let knows = matches!(remark, Some(Remark::TrainedOn(_) | Remark::ChoseTheWeights { .. }));
    let model = if knows { loaded.judged()? } else { loaded.model.clone() };
    let evaluation =
        evaluate(&named.table, &protocol, &device, |_, _, _| Ok(model.clone())).map_err(|error| job.in_data(error))?;
    Ok(Walked { device, protocol, evaluation, shape, remarks: remark.into_iter().collect() })
}

/// What the training of a model has seen of the rows from `first` on, as far as its file tells. Its training held out
/// the part `held_out` of its own rows.
fn remark(loaded: &Loaded, held_out: f64, table: &Table, first: usize) -> Option<Remark> {
    let Some((end, training)) = loaded.metadata.unseen.as_ref().and_then(|unseen| unseen.end_in(table.inputs())) else {
        return Some(Remark::Unknown);
    };
    // the rows that were held out follow those that were trained on
    let chose = (training.train_rows as f64 / (1.0 - held_out)).ceil() as usize;
    let chose = chose.saturating_sub(training.train_rows);
    let chosen_until = end.saturating_add(chose);
    match first {
        first if first < end => Some(Remark::TrainedOn(end - first)),
        first if first < chosen_until => Some(Remark::ChoseTheWeights { all: table.rows() <= chosen_until }),
        _ => None,
    }
}

/// The backtest of networks that are trained during it.
fn by_trained(args: &EvaluateArgs, mut job: Job, named: &Named, protocol: Protocol) -> Result<Walked, Failure> {
    job.keep_season_of_training();
    job.settle_season(&[&named.table.part(0..protocol.first)?])?;
    let plan = job.plan()?;
    let (inputs, targets) = named.table.widths();
    let shape = plan.shape_for(inputs, targets)?;
    let device = device(args, &protocol, &shape, plan.batch, Work::Training)?;
    // several series are evaluated at the same time, each on one thread, and share one progress bar
    let (threads, bar) = match named.series {
        Some(_) => (1, ProgressBar::hidden()),
        None => (args.threads.unwrap_or(1), progress::bar(Some(1), "{bar:30} training {pos} of {len}  {elapsed}")),
    };
    let begins = |training: usize, trainings: usize| {
        bar.set_length(trainings as u64);
        bar.set_position(training as u64);
    };
    let (evaluation, silent) =
        evaluate_plan(&named.table, &protocol, &device, &plan, threads, begins).map_err(|error| job.in_data(error))?;
    bar.finish_and_clear();
    let trainings = evaluation.folds;
    let remarks = if silent > 0 { vec![Remark::LearnedNothing { silent, trainings }] } else { vec![] };
    Ok(Walked { device, protocol, evaluation, shape, remarks })
}

/// The rows that are forecast, and the horizon.
fn rows_in_words(protocol: &Protocol, rows: usize) -> String {
    format!("rows {} to {rows} of {rows}, forecast {}", protocol.first + 1, ahead_said(protocol.horizon))
}

/// The horizon in words.
pub fn ahead_said(horizon: usize) -> String {
    if horizon == 1 { "one step ahead".into() } else { format!("1 to {horizon} steps ahead") }
}

/// Which model forecasts, and what it was trained on. `unchanged` is whether it comes from a file and is not trained.
fn model_in_words(protocol: &Protocol, evaluation: &Evaluation, unchanged: bool) -> String {
    let &Protocol { first, gap, .. } = protocol;
    let trained = match (unchanged, evaluation.folds, protocol.window) {
        (true, ..) => "by a model used unchanged".to_string(),
        (false, 1, Window::Expanding) => format!("by a model trained once, on the {} rows before", first - gap),
        (false, 1, Window::Sliding(last)) => {
            format!("by a model trained once, on the last {} rows before", last.min(first - gap))
        }
        (false, times, Window::Expanding) => format!("by a model trained {times} times, each time on all rows before"),
        (false, times, Window::Sliding(last)) => {
            format!("by a model trained {times} times, each time on the last {last} rows before")
        }
    };
    let gap = if gap == 0 { String::new() } else { format!(", {gap} rows left out in between") };
    format!("{trained}{gap}")
}
