//! `rnnstep train`

mod each;
mod outputs;
mod save;
mod sine;

use crate::cli::args::config;
use crate::cli::args::device::{DeviceArgs, Work};
use crate::cli::args::input::DataArgs;
use crate::cli::args::job::{Job, Named, Ready, TargetAs};
use crate::cli::args::model::TensorArgs;
use crate::cli::args::number;
use crate::cli::args::paths::Paths;
use crate::cli::args::threads::threads;
use crate::cli::failure::Failure;
use crate::cli::output::files::{self, extension};
use crate::cli::output::progress;
use crate::cli::output::report;
use crate::cli::output::report::Scored;
use crate::cli::output::screen::Screen;
use crate::cli::output::screen::typed;
use crate::cli::signals;
use crate::cli::signals::AtOnce;
use clap::Args;
use outputs::{Outputs, checkpoint_beside};
use rnnstep::cpu::Threads;
use rnnstep::data::series::Time;
use rnnstep::error::listed;
use rnnstep::model::file;
use rnnstep::model::file::{Columns, End, Metadata, Unseen};
use rnnstep::plot::{Figure, Plot};
use rnnstep::series::one_step::{self, HeldOut};
use rnnstep::tensor::Stored;
use rnnstep::train::checkpoint;
use rnnstep::train::checkpoint::Checkpoint;
use rnnstep::train::{Fit, Outcome};
use rnnstep::{Device, Error, Model};
use save::{SaveEvery, Saver};
use sine::{SineWindow, frames_of};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The file of the model, by default.
const OUT: &str = "model.safetensors";
/// The longest row of a log that a resumed training keeps, in bytes.
const LONGEST_ROW: u64 = 1024;
/// The most steps between two looks at Ctrl-C, the progress bar and the clock.
const STEPS: u64 = 256;
/// About the most time between two such looks, if steps are slow.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Args)]
#[command(mut_arg("recurrent", |arg| arg.requires("init").help_heading("Files")))]
#[command(mut_arg("head", |arg| arg.requires("init").help_heading("Files")))]
pub struct TrainArgs {
    #[command(flatten)]
    job: Job,
    /// More files like DATA, each a series
    #[arg(value_name = "MORE", requires = "data", help_heading = "Data")]
    more: Vec<PathBuf>,
    /// Train a local model for each series, in a folder, instead of one global model
    #[arg(long, conflicts_with_all = ["only", "init", "log", "save_every", "save_grads", "plot", "print_every"], help_heading = "Data")]
    per_series: bool,
    /// Start from the weights of this model file, with its cell and sizes
    #[arg(long, value_name = "FILE", conflicts_with = "resume", help_heading = "Files")]
    init: Option<PathBuf>,
    #[command(flatten)]
    tensors: TensorArgs,
    /// Continue the training of this checkpoint, or of the model next to it; with --per-series, of a folder: models
    /// that are finished are kept
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    resume: Option<PathBuf>,
    /// Model file to write; the checkpoint is written next to it [default: model.safetensors, or the model of the
    /// training to resume; with --per-series the folder models]
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    out: Option<PathBuf>,
    /// Write the loss of every step, along with each checkpoint
    #[arg(long, value_name = "FILE.csv", help_heading = "Files")]
    log: Option<PathBuf>,
    /// Write the checkpoint during the training, every so many steps (500) or seconds (10s): from there --resume
    /// continues a training that was killed, to the same bits. 0: only at the end and on Ctrl-C [default: 5s, or less
    /// often if that would take more than a hundredth of the time]
    #[arg(long, value_name = "STEPS|SECONDSs", help_heading = "Files")]
    save_every: Option<SaveEvery>,
    /// Write the gradients of the first step, before clipping
    #[arg(long, value_name = "FILE.safetensors", help_heading = "Files")]
    save_grads: Option<PathBuf>,
    /// Write a plot of inputs, targets and predictions [default: OUT with .svg]
    #[arg(long, value_name = "FILE.svg|png", help_heading = "Files")]
    plot: Option<PathBuf>,
    /// Print no plots, and write none
    #[arg(long, conflicts_with = "plot", help_heading = "Files")]
    no_plot: bool,
    /// Print the loss every N steps [default: 15 for the sine, else a tenth of all steps]
    #[arg(long, value_name = "N", value_parser = number::count::<u64>, help_heading = "Files")]
    print_every: Option<u64>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Threads to train on; no more are started. With --per-series, this many models are trained at the same time
    /// [default: 1, or all cores with --per-series]
    #[arg(long, value_name = "N", value_parser = number::threads)]
    threads: Option<usize>,
}

/// A running training.
struct Run<'a> {
    args: &'a TrainArgs,
    outputs: Outputs,
    job: Job,
    fit: Fit,
    /// The table, or those of several series.
    tables: Vec<Named>,
    metadata: Metadata,
    log: String,
    /// The first step of this run.
    first: u64,
    /// Windows of the built-in sine that were shown, also by the runs before a stop.
    frames: Vec<SineWindow>,
    /// The last window, whether it was shown or not.
    last: Option<SineWindow>,
}

pub fn run(args: &TrainArgs, matches: &clap::ArgMatches, screen: &mut Screen) -> Result<ExitCode, Failure> {
    screen.goes_beside_files();
    if args.per_series {
        return each::run(args, screen);
    }
    let threads = threads(args.threads.unwrap_or(1))?;
    let outputs = Outputs::of(args)?;
    let mut run = match &args.resume {
        Some(path) => Run::resume(args, outputs, matches, path, threads)?,
        None => Run::start(args, outputs, matches, threads)?,
    };
    let (total, first) = (run.fit.total(), run.fit.trainer.steps_done());
    run.announce(total)?;
    let (spent, interrupted) = run.train(total, screen)?;
    run.finish(first, spent, interrupted, screen)
}

/// Whether checkpoint and log could be written.
struct Saved {
    checkpoint: Result<(), Error>,
    log: Result<(), Error>,
}

impl<'a> Run<'a> {
    fn start(
        args: &'a TrainArgs,
        outputs: Outputs,
        matches: &clap::ArgMatches,
        threads: Threads,
    ) -> Result<Self, Failure> {
        let mut job = job_of(args);
        if job.data.has_several() {
            job.settle_several(matches);
        }
        let init = match &args.init {
            Some(path) => Some(job.take_shape_of(path, &args.tensors, matches, args.device.cpu()?)?),
            None => None,
        };
        // an impossible shape is refused before the data is read
        job.shape(1, 1)?;
        let Ready { plan, data, tables } = job.prepare()?;
        job.say_what_is_idle(data.validation.is_some());
        let shape = match &init {
            Some(model) => *model.shape(),
            None => plan.shape_for(data.windows.input(), data.windows.output())?,
        };
        let device = args.device.choose(&shape, data.windows.batch(), Work::Training)?;
        let fit = plan.begin(data, init, device, threads)?;
        Self::new(args, outputs, job, fit, tables)
    }

    fn resume(
        args: &'a TrainArgs,
        outputs: Outputs,
        matches: &clap::ArgMatches,
        path: &Path,
        threads: Threads,
    ) -> Result<Self, Failure> {
        // `path` may name the model, whose checkpoint is next to it; the model exists only after the end of the
        // training
        let beside = checkpoint_beside(path);
        let path = if beside.exists() { beside.as_path() } else { path };
        if !path.exists() {
            let reason = "there is no such checkpoint; a training that ended before its first one (--save-every) has \
                          to start again, without --resume";
            return Err(Error::File { path: path.into(), reason: reason.into() }.into());
        }
        let checkpoint = Checkpoint::load(path, args.device.cpu()?)?;
        let Some(stored) = &checkpoint.metadata().recipe else {
            let reason = "the checkpoint has no recipe, so it cannot be resumed; train without --resume".into();
            return Err(Error::File { path: path.into(), reason }.into());
        };
        let mut job = config::resumed(&job_of(args), path, stored, matches)?;
        outputs.spare(&job)?;
        let wrong = |reason| Error::File { path: path.into(), reason };
        job.check_model(checkpoint.model()).map_err(wrong)?;
        job.take_masks_of(checkpoint.model());
        let Ready { plan, data, tables } = job.prepare()?;
        same_columns(&job, &tables, &checkpoint.metadata().columns)?;
        data.check_continues(checkpoint.model()).map_err(|error| job.in_data(error))?;
        let device = args.device.choose(checkpoint.model().shape(), data.windows.batch(), Work::Training)?;
        let (frames, last) = frames_of(&checkpoint, path, &job, !args.no_plot)?;
        if let Some(moved) = checkpoint.moved_to(&device) {
            eprintln!("note: {moved}");
        }
        let fit = plan.resume(checkpoint, data, device, threads)?;
        let mut run = Self::new(args, outputs, job, fit, tables)?;
        run.log = run.log_so_far();
        Ok(Self { frames, last, ..run })
    }

    fn new(args: &'a TrainArgs, outputs: Outputs, job: Job, fit: Fit, tables: Vec<Named>) -> Result<Self, Failure> {
        let metadata = metadata(&job, tables.first())?;
        let log = "step,loss,lr,val_loss\n".into();
        let first = fit.trainer.steps_done();
        Ok(Self { args, outputs, job, fit, tables, metadata, log, first, frames: vec![], last: None })
    }

    /// The rows of an earlier log for the steps before this run. It was written before the checkpoint, so it has them
    /// all.
    fn log_so_far(&self) -> String {
        let Some(path) = self.outputs.log.as_ref() else { return String::new() };
        let done = self.fit.trainer.steps_done();
        let step = |line: &str| line.split(',').next()?.parse::<u64>().ok();
        let (mut log, mut rows, mut last) = (self.log.clone(), 0, None);
        // line by line: only rows of this training are kept, each once
        let file = if path.is_file() { std::fs::File::open(path).ok() } else { None };
        let mut lines = file.map(BufReader::new);
        let mut line = Vec::new();
        while let Some(lines) = &mut lines {
            line.clear();
            if !matches!(lines.by_ref().take(LONGEST_ROW).read_until(b'\n', &mut line), Ok(1..)) {
                break;
            }
            let Ok(line) = std::str::from_utf8(&line) else { break };
            let found = step(line).filter(|&step| step < done && last.is_none_or(|last| step > last));
            if found.is_some() && (line.len() as u64) < LONGEST_ROW {
                log = log + line.trim_end_matches(['\n', '\r']) + "\n";
                (rows, last) = (rows + 1, found);
            }
        }
        let missing = done.saturating_sub(rows);
        if missing > 0 {
            eprintln!("note: {}: has no rows for {missing} of the first {done} steps", path.display());
        }
        log
    }

    /// Writes the log, then the checkpoint. So the log has all rows up to the checkpoint: a resumed training drops rows
    /// that are too many, but could not restore missing ones. If the log cannot be written, the checkpoint still is.
    fn save(&mut self) -> Saved {
        let Outputs { log: to_log, checkpoint: to, .. } = &self.outputs;
        let log = to_log.as_ref().map_or(Ok(()), |path| self.write_log(path));
        let checkpoint = sine::kept(&self.frames, self.last.as_ref()).and_then(|looks| {
            let (trainer, best) = self.fit.parts();
            files::write(to, || checkpoint::save_beside(to, trainer, best, &self.metadata, &looks))
        });
        Saved { checkpoint, log }
    }

    fn write_log(&self, path: &Path) -> Result<(), Error> {
        files::write(path, || file::write_text(path, &self.log))
    }

    /// Takes the log away if it is a pipe or a device, which cannot be replaced. The complete log is written there at
    /// the end: that may wait for a reader, and nothing else may.
    fn take_pipe(&mut self) -> Option<PathBuf> {
        self.outputs.log.take_if(|path| matches!(file::replaced(path), Ok(None)))
    }

    /// Saves during the training, and returns a line for the user, if there is news. A failure of the disk does not
    /// stop the training, one of the GPU does.
    fn save_on_the_way(&mut self, saver: &mut Saver) -> Result<Option<String>, Error> {
        let start = Instant::now();
        self.fit.trainer.fetch()?;
        self.look()?;
        let pipe = self.take_pipe();
        let Saved { checkpoint, log } = self.save();
        let outcome = checkpoint.and(log);
        self.outputs.log = self.outputs.log.take().or(pipe);
        Ok(saver.tried(start, outcome))
    }

    fn announce(&self, total: u64) -> Result<(), Failure> {
        let (trainer, data) = (&self.fit.trainer, self.job.data.data.as_ref());
        let shape = trainer.model().shape();
        let mut data = data.map_or_else(|| "the built-in sine".into(), ToString::to_string);
        if self.job.data.has_several() {
            data += &format!(", {} series", self.tables.len());
        }
        eprintln!(
            "{} on {data}: {} parameters, {} steps of {} x {}, {}",
            shape,
            shape.parameters(),
            total - trainer.steps_done(),
            trainer.windows().batch(),
            trainer.windows().seq_len(),
            trainer.device(),
        );
        self.tables.iter().take(1).for_each(Named::say_columns);
        if let (TargetAs::Auto | TargetAs::Residual, Some(units)) = (self.job.target_as, trainer.model().units())
            && self.job.data.data.is_some()
        {
            eprintln!("target as: {}", report::target_in_words(units.transform()));
        }
        Ok(())
    }

    /// Trains up to `total` steps. Returns how long the steps took, and whether Ctrl-C stopped them.
    fn train(&mut self, total: u64, screen: &mut Screen) -> Result<(Duration, bool), Failure> {
        signals::watch();
        let bar = progress::bar(Some(total), "{bar:30} {pos}/{len}  loss {msg}  {per_sec}  {eta} left");
        bar.set_position(self.fit.trainer.steps_done());
        bar.reset_eta();
        let sine = self.job.data.data.is_none();
        let every = self.args.print_every.unwrap_or(if sine { 15 } else { (total / 10).max(1) });
        let mut spent = Duration::ZERO;
        let mut grads_wanted = self.outputs.grads.take();
        let (mut not_printed, mut steps) = (None, Vec::new());
        let (mut saver, mut most) = (Saver::new(self.args.save_every), 1);
        while !self.fit.is_done() && !signals::came() {
            let k = self.fit.trainer.steps_done();
            // up to the step at which something is printed, looked at or written: until then a GPU needs no host
            let to_print = k.checked_next_multiple_of(every).map_or(u64::MAX, |k| k.saturating_add(1));
            let to = if grads_wanted.is_some() { k + 1 } else { to_print.min(k + most).min(saver.next(k)) };
            let start = Instant::now();
            let held_out = self.fit.advance(to, &mut steps)?;
            let took = start.elapsed();
            spent += took;
            let looks = LOOK.as_secs_f64() / took.as_secs_f64();
            most = ((steps.len() as f64 * looks) as u64).clamp(1, STEPS);
            if let Some(path) = grads_wanted.take() {
                let trainer = &mut self.fit.trainer;
                trainer.fetch()?;
                let grads = trainer.model().named(trainer.grads());
                let tensors: Vec<_> =
                    grads.iter().map(|(name, tensor)| (name.as_str(), tensor as &dyn Stored)).collect();
                files::write(&path, || file::write_tensors(&path, &tensors))?;
            }
            let last = self.fit.trainer.steps_done() - 1;
            for (k, step) in (k..).zip(&steps) {
                let shown = held_out.filter(|_| k == last).map_or_else(String::new, |loss| loss.to_string());
                self.log += &format!("{k},{},{},{shown}\n", step.loss, step.lr);
                not_printed = Some((k, step.loss));
                if k.is_multiple_of(every) {
                    bar.suspend(|| self.show(k, step.loss, sine, screen))?;
                    not_printed = None;
                }
                bar.set_message(format!("{:.3e}", step.loss));
            }
            bar.set_position(last + 1);
            // the last step is saved by `finish`
            let continues = !self.fit.is_done() && !signals::came();
            if continues
                && saver.is_due(last + 1)
                && let Some(news) = self.save_on_the_way(&mut saver)?
            {
                bar.suspend(|| eprintln!("{news}"));
            }
        }
        bar.finish_and_clear();
        if let Some((k, loss)) = not_printed {
            screen.line(loss_line(k, loss))?;
        }
        Ok((spent, signals::came() && !self.fit.is_done()))
    }

    fn show(&mut self, k: u64, loss: f32, sine: bool, screen: &mut Screen) -> Result<(), Failure> {
        screen.line(loss_line(k, loss))?;
        if sine && !self.args.no_plot {
            let frame = SineWindow::last(&mut self.fit.trainer)?;
            report::plot(&frame.plot(), screen)?;
            if self.frames.len() < rnnstep::plot::MAX_PANELS - 1 {
                self.frames.push(frame);
            }
        }
        screen.flush()
    }

    /// Keeps the last window of the sine, if any step was done and plots are wanted.
    fn look(&mut self) -> Result<(), Error> {
        if self.job.data.data.is_none() && self.fit.trainer.steps_done() > self.first {
            let trainer = &mut self.fit.trainer;
            self.last = (!self.args.no_plot).then(|| SineWindow::last(trainer)).transpose()?;
        }
        Ok(())
    }

    /// Writes all files and prints the results.
    fn finish(
        mut self,
        first: u64,
        spent: Duration,
        interrupted: bool,
        screen: &mut Screen,
    ) -> Result<ExitCode, Failure> {
        self.look()?;
        // if the log cannot be written, the model still is
        let pipe = self.take_pipe();
        let Saved { checkpoint: saved, log: logged } = self.save();
        saved?;
        let outcome = self.fit.outcome()?;
        let Self { outputs, fit, metadata, .. } = &self;
        let trainer = &fit.trainer;
        let Outputs { model: out, checkpoint, plot, .. } = outputs;
        if interrupted {
            let (done, path) = (trainer.steps_done(), checkpoint.display());
            let next = format!("rnnstep train --resume {path}");
            screen.line(format_args!("interrupted after {done} steps; continue with: {next}"))?;
            screen.flush()?;
            logged.and_then(|()| pipe.map_or(Ok(()), |pipe| self.write_log(&pipe)))?;
            return Ok(ExitCode::from(1));
        }
        write_model(out, &outcome, metadata, &self.tables)?;
        // the model is saved, so from here on a signal ends the process at once
        let _at_once = AtOnce::new();
        screen.flush()?;
        let logged = logged.and_then(|()| pipe.map_or(Ok(()), |pipe| self.write_log(&pipe)));
        let steps = trainer.steps_done() - first;
        screen.line(format_args!("trained {steps} steps in {}", report::duration(spent)))?;
        if let Some(best) = fit.best() {
            screen.line(format_args!("best loss on the held-out part {:.4e}, after step {}", best.loss, best.step))?;
        }
        if !outcome.learned {
            screen.line(format_args!("note: {}", Outcome::LEARNED_NOTHING))?;
        }
        let held_out = self.held_out(&fit.judged(outcome.model))?;
        let figure = self.figure(&held_out, screen)?;
        if self.job.data.has_several() {
            report::print_several(&held_out, screen)?;
        } else if let Some(held_out) = held_out.first() {
            held_out.print(screen)?;
        }
        screen.line(format_args!("model       {}", out.display()))?;
        screen.line(format_args!("checkpoint  {}", checkpoint.display()))?;
        if let (Some(path), Some(figure)) = (plot, figure) {
            files::write(path, || rnnstep::plot::picture::save(&figure, path))?;
            screen.line(format_args!("plot        {}", path.display()))?;
        }
        screen.line(format_args!("next        {}", next(&self.job.data, &metadata.columns, out)))?;
        logged?;
        Ok(ExitCode::SUCCESS)
    }

    /// The model's predictions for the held-out rows of each table; for the built-in sine, for the windows after the training.
    fn held_out(&self, model: &Model) -> Result<Vec<Scored>, Failure> {
        let trainer = &self.fit.trainer;
        let mut held_out = Vec::new();
        for table in &self.tables {
            held_out.extend(scored(table, model, trainer.device(), self.job.seq_len)?);
        }
        if self.job.data.data.is_none() {
            held_out.push(sine::scored(trainer)?);
        }
        Ok(held_out)
    }

    /// The content of the plot file. The plots of a table are printed as well.
    fn figure(&self, held_out: &[Scored], screen: &mut Screen) -> Result<Option<Figure>, Failure> {
        if self.args.no_plot {
            return Ok(None);
        }
        let title = format!("{}, one step ahead", self.fit.trainer.model().shape());
        if self.job.data.data.is_none() {
            let shown = self.frames.last().map(|frame| frame.step);
            let last = self.last.iter().filter(|last| shown != Some(last.step));
            let frames: Vec<Plot> = self.frames.iter().chain(last).map(SineWindow::plot).collect();
            return Ok((!frames.is_empty()).then(|| Figure::grid(title, frames, 3)));
        }
        let mut plots: Vec<Plot> = held_out.iter().flat_map(Scored::plots).collect();
        plots.truncate(rnnstep::plot::MAX_PANELS);
        // the plots of several series would hide the scores
        for plot in plots.iter().filter(|_| !self.job.data.has_several()) {
            report::plot(plot, screen)?;
        }
        Ok((!plots.is_empty()).then(|| Figure::stacked(title, plots)))
    }
}

/// Checks that a resumed training has the columns that it began with, by name if there are names.
fn same_columns(job: &Job, tables: &[Named], began: &Columns) -> Result<(), Failure> {
    let Some(table) = tables.first().filter(|_| !began.inputs.is_empty()) else { return Ok(()) };
    let now = [&table.input_names, &table.target_names];
    if now == [&began.inputs, &began.targets] {
        return Ok(());
    }
    let in_words = |[inputs, targets]: [&Vec<String>; 2]| format!("{}, predicting {}", listed(inputs), listed(targets));
    let (now, began) = (in_words(now), in_words([&began.inputs, &began.targets]));
    let message = format!(
        "the columns are {now}; the training to resume has {began}; give the same table, or train without --resume"
    );
    Err(job.in_data(Error::Invalid(message)).into())
}

/// The job with all files that were named.
fn job_of(args: &TrainArgs) -> Job {
    let mut job = args.job.clone();
    if let Some(files) = &mut job.data.data {
        files.extend(&args.more);
    }
    job
}

/// The files that a training reads.
fn job_paths(args: &TrainArgs) -> Paths<'_> {
    args.job.paths().reads("DATA", &args.more).reads("--bundle", args.device.bundle())
}

/// Predicts the held-out rows of a table one step ahead and scores them; `None` if no row is held out.
fn scored(named: &Named, model: &Model, device: &Device, seq_len: usize) -> Result<Option<Scored>, Failure> {
    let (table, rows) = (&named.table, named.train_rows..named.table.rows());
    if rows.is_empty() {
        return Ok(None);
    }
    let warm_up = one_step::warm_up(seq_len);
    let held_out = HeldOut::of(model, device, table.inputs(), table.actuals(), rows.clone(), warm_up)?;
    let about = format!("the last {} rows, held out", rows.len());
    let times = named.time.as_ref().map(|time| time.values[rows.clone()].to_vec()).unwrap_or_default();
    let seconds = named.time.as_ref().map(Time::seconds).unwrap_or_default().into_iter().skip(rows.start).collect();
    let (series, names) = (named.series.clone(), named.target_names.clone());
    Ok(Some(Scored { series, names, held_out, times, seconds, about }))
}

/// What a model file stores besides the weights: the names of the columns, from the `first` table, and the recipe.
fn metadata(job: &Job, first: Option<&Named>) -> Result<Metadata, Failure> {
    let columns = first.map_or_else(Columns::default, |table| Columns {
        inputs: table.input_names.clone(),
        targets: table.target_names.clone(),
        time: table.time.as_ref().map(|time| time.name.clone()),
        decimal: table.decimal,
        masks: table.table.masks().to_vec(),
    });
    let recipe = serde_json::to_value(job).map_err(|error| Error::Invalid(error.to_string()))?;
    Ok(Metadata { columns, recipe: Some(recipe), seq_len: Some(job.seq_len), ..Metadata::default() })
}

/// Where the training of each table ends.
fn ends(tables: &[Named]) -> Vec<End> {
    let end = |named: &Named| End::of(named.table.inputs(), named.table.targets(), named.train_rows);
    tables.iter().map(end).collect()
}

/// Writes the outcome of a training.
fn write_model(path: &Path, outcome: &Outcome, metadata: &Metadata, tables: &[Named]) -> Result<(), Error> {
    let errors = outcome.errors.as_ref().map_or_else(Vec::new, |errors| errors.values().to_vec());
    let autoregressions = outcome.judged_by.clone();
    let unseen = (!tables.is_empty()).then(|| Unseen { ends: ends(tables), errors, autoregressions });
    let metadata = Metadata { unseen, ..metadata.clone() };
    files::write(path, || file::save(path, &outcome.model, &metadata, &[]))
}

fn loss_line(k: u64, loss: f32) -> String {
    format!("step {k:>6}  loss {loss:.4e}")
}

/// The command to type next.
fn next(data: &DataArgs, columns: &Columns, model: &Path) -> String {
    let model = typed(&model.display().to_string());
    let Some(files) = &data.data else { return format!("rnnstep forecast {model} --steps 40") };
    let path = files.paths()[0].as_path();
    if !matches!(extension(path).as_str(), "csv" | "npy") {
        return format!("rnnstep info {model}");
    }
    let flags = data.many.said();
    let path = typed(&path.display().to_string());
    if columns.inputs == columns.targets {
        return format!("rnnstep forecast {model} {path}{flags} --steps 20");
    }
    // only a model that predicts all its inputs can feed them back
    format!("rnnstep predict {model} {path}{flags} --out predictions.csv")
}
