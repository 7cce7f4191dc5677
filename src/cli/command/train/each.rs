//! `rnnstep train --per-series`: a model for each series, in a folder.

use super::{TrainArgs, job_of, job_paths, metadata, scored, write_model};
use crate::cli::args::job::{Job, Named};
use crate::cli::args::series::OneSeries;
use crate::cli::args::threads::{cores, threads};
use crate::cli::failure::Failure;
use crate::cli::output::report;
use crate::cli::output::screen::Screen;
use crate::cli::output::screen::{tell_failed, typed};
use crate::cli::output::{columns, files, progress};
use crate::cli::signals;
use rnnstep::cpu::Threads;
use rnnstep::model::file;
use rnnstep::train::Outcome;
use rnnstep::train::folder::{self, Folder, Row, Status};
use rnnstep::{Cpu, Error, Model};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The folder of the models, by default.
const OUT: &str = "models";

/// The trainings of all series, several at the same time.
struct Each<'a> {
    job: Job,
    folder: &'a Path,
    cpu: Cpu,
    /// Whether finished models of an earlier run are kept.
    resumes: bool,
    kept: AtomicUsize,
}

pub fn run(args: &TrainArgs, screen: &mut Screen) -> Result<ExitCode, Failure> {
    let mut job = job_of(args);
    if !job.data.has_several() {
        return Err(Failure::Usage("--per-series: give --series COLUMN, or several files".into()));
    }
    let folder = folder_of(args)?;
    let cpu = args.device.only_cpu("train --per-series")?;
    let threads = threads(args.threads.unwrap_or_else(cores))?;
    job.check_for_each()?;
    // the name of the table is known before the data is read, those of the models only afterwards
    let table = Folder::table(&folder);
    if folder.is_dir() {
        job_paths(args).writes("the table of --out", [&table]).check()?;
    }
    let all = job.data.several()?;
    // the same masks in all models, so that each can read what any of them can
    job.settle_masks(&all)?;
    let files = folder::file_names(all.iter().map(|one| one.name.as_str()));
    if folder.is_dir() {
        check_models(args, &folder, &files)?;
    }
    Folder::make(&folder)?;
    // a signal stops the trainings; models that are finished are in the folder already
    signals::watch();
    let each = Each { job, folder: &folder, cpu, resumes: args.resume.is_some(), kept: AtomicUsize::new(0) };
    let data = each.job.data.data.as_ref().map_or_else(String::new, ToString::to_string);
    let side = threads.count().min(all.len());
    let device = rnnstep::Device::from(cpu);
    eprintln!("a local model for each of {} series of {data}, {side} at the same time, {device}", all.len());

    let (start, bar) = (Instant::now(), progress::of_many(all.len(), "models"));
    let found = threads.map(all.len(), signals::came, |i| {
        let rows = each.one(&all[i], &files[i]);
        bar.inc(1);
        rows
    });
    bar.finish_and_clear();
    let spent = start.elapsed();
    let interrupted = |one: &OneSeries| vec![Row::new(&one.name, rows_of(one), Status::Interrupted)];
    let rows: Vec<Vec<Row>> =
        all.iter().zip(found).map(|(one, found)| found.flatten().unwrap_or_else(|| interrupted(one))).collect();
    let rows = rows.concat();
    files::write(&Folder::table(&folder), || Folder::write(&folder, &rows))?;
    each.finish(all.len(), &rows, spent, screen)
}

/// The folder of the models.
fn folder_of(args: &TrainArgs) -> Result<PathBuf, Failure> {
    let folder = match (&args.resume, &args.out) {
        (Some(resume), Some(out)) if resume != out => {
            let (resume, out) = (resume.display(), out.display());
            let message = format!("--out {out}: --resume names the folder {resume}; give only --resume");
            return Err(Failure::Usage(message));
        }
        (Some(folder), _) | (None, Some(folder)) => folder.clone(),
        (None, None) => PathBuf::from(OUT),
    };
    if let Some(folder) = args.resume.as_deref().filter(|folder| !folder.is_dir()) {
        let reason = "is not a folder of models that can be continued; train without --resume first";
        return Err(Error::File { path: folder.into(), reason: reason.into() }.into());
    }
    Ok(folder)
}

/// Checks that no model replaces a file that is read, the table or another model: names that exist already may be links
/// to any file.
fn check_models(args: &TrainArgs, folder: &Path, files: &[String]) -> Result<(), Failure> {
    let paths = files.iter().map(|file| folder.join(file));
    let models: Vec<PathBuf> = paths.filter(|path| path.symlink_metadata().is_ok()).collect();
    // a pipe would wait for its reader, and a device keeps no model
    if let Some(path) = models.iter().find(|path| path.metadata().is_ok_and(|found| !found.is_file())) {
        let reason = "is not a regular file, but the model of a series must be written there; remove it";
        return Err(Error::File { path: path.clone(), reason: reason.into() }.into());
    }
    let table = Folder::table(folder);
    job_paths(args).writes("the table of --out", [&table]).writes("the model of a series", &models).check()
}

impl Each<'_> {
    /// Prints the result of each of `all` series.
    fn finish(&self, all: usize, rows: &[Row], spent: Duration, screen: &mut Screen) -> Result<ExitCode, Failure> {
        let done: Vec<&Row> = rows.iter().filter(|row| matches!(row.status, Status::Done { .. })).collect();
        if !done.is_empty() {
            print(&done, screen)?;
        }
        let kept = match self.kept.load(Ordering::Relaxed) {
            0 => String::new(),
            kept => format!(", {kept} of them were there already"),
        };
        let (ok, failed, left) = (
            counted(rows, |status| matches!(status, Status::Done { .. })),
            counted(rows, |status| matches!(status, Status::Failed(_))),
            counted(rows, |status| *status == Status::Interrupted),
        );
        let folder = typed(&self.folder.display().to_string());
        screen.line(format_args!("{ok} of {all} models in {}{kept}", report::duration(spent)))?;
        screen.line(format_args!("models  {}", self.folder.display()))?;
        screen.line(format_args!("scores  {}", Folder::table(self.folder).display()))?;
        if left > 0 {
            let how = format!("continue with the same command and --resume {folder}");
            screen.line(format_args!("interrupted, {left} series are left; {how}"))?;
        } else if let (Some(_), Some(files), 1..) = (&self.job.data.many.series, &self.job.data.data, ok) {
            let flags = self.job.data.many.said();
            screen.line(format_args!("next    rnnstep evaluate {files} {folder}{flags}"))?;
        }
        screen.flush()?;
        let reason = |row: &Row| match &row.status {
            Status::Failed(reason) => Some((row.series.clone(), reason.clone())),
            _ => None,
        };
        let failures: Vec<(String, String)> = rows.iter().filter_map(reason).collect();
        tell_failed(&failures, "more failed; the table has them all");
        Ok(if failed + left > 0 { ExitCode::from(1) } else { ExitCode::SUCCESS })
    }

    /// The result of one series: a row for each predicted column, or one with the reason why there is no model. `None`
    /// if Ctrl-C was pressed first.
    fn one(&self, one: &OneSeries, file: &str) -> Option<Vec<Row>> {
        match self.train(one, file) {
            Ok(rows) => rows,
            Err(reason) => Some(vec![Row::new(&one.name, rows_of(one), Status::Failed(reason))]),
        }
    }

    fn train(&self, one: &OneSeries, file: &str) -> Result<Option<Vec<Row>>, String> {
        let text = |failure: Failure| failure.into_error().to_string();
        let series = one.series.as_ref().map_err(Error::to_string)?;
        let mut job = self.job.of_one(one);
        let (path, cpu) = (self.folder.join(file), self.cpu);
        let mut work = || -> Result<Option<Vec<Row>>, Failure> {
            let (plan, data, named) = job.prepare_series(series)?;
            let metadata = metadata(&job, Some(&named))?;
            let mut fit = plan.begin(data, None, cpu, Threads::default())?;
            named.say_columns();
            let model = match self.finished(&path, &metadata, &named) {
                Some(model) => model,
                None => {
                    if !fit.train_until(u64::MAX, signals::came)? {
                        return Ok(None);
                    }
                    let outcome = fit.outcome()?;
                    write_model(&path, &outcome, &metadata, std::slice::from_ref(&named))?;
                    outcome.model
                }
            };
            let model = fit.judged(model);
            let status = Status::Done { learned: !model.has_constant_head() };
            let row = Row::new(&one.name, series.len(), status);
            let row = Row { file: file.into(), val_loss: fit.held_out_loss(&model)?, ..row };
            let rows: Vec<Row> = match &scored(&named, &model, &cpu.into(), job.seq_len)? {
                None => named.target_names.iter().map(|column| Row { column: column.clone(), ..row.clone() }).collect(),
                Some(scored) => scored
                    .scores()
                    .map(|(column, score)| Row {
                        column: column.into(),
                        rmse: (!score.is_unknown()).then_some(score.rmse),
                        last_value: (!score.is_unknown()).then_some(score.persistence_rmse),
                        gain: (!score.is_unknown()).then(|| score.gain()),
                        ..row.clone()
                    })
                    .collect(),
            };
            Ok(Some(rows))
        };
        work().map_err(text)
    }

    /// The model of an earlier run, if it was trained with the same recipe on the same rows.
    fn finished(&self, path: &Path, metadata: &file::Metadata, named: &Named) -> Option<Model> {
        if !self.resumes || !path.is_file() {
            return None;
        }
        let found = file::load(path, &file::ReadOptions::default(), self.cpu).ok()?;
        let (inputs, targets) = (named.table.inputs(), named.table.targets());
        let is_end = |end: &[file::End]| matches!(end, [end] if end.is_of(inputs, targets, named.train_rows));
        let same_rows = found.metadata.unseen.is_some_and(|unseen| is_end(&unseen.ends));
        let same = same_rows && found.metadata.recipe == metadata.recipe;
        if same {
            self.kept.fetch_add(1, Ordering::Relaxed);
        }
        same.then_some(found.model)
    }
}

/// How many series have a status. A row is one column of a series.
fn counted(rows: &[Row], status: impl Fn(&Status) -> bool) -> usize {
    let mut names: Vec<&str> = rows.iter().filter(|row| status(&row.status)).map(|row| row.series.as_str()).collect();
    names.dedup();
    names.len()
}

fn rows_of(one: &OneSeries) -> usize {
    one.series.as_ref().map_or(0, |series| series.len())
}

fn print(done: &[&Row], screen: &mut Screen) -> Result<(), Failure> {
    let number = |value: Option<f64>| value.map_or_else(|| "-".into(), report::number);
    let rows: Vec<Vec<String>> = done
        .iter()
        .map(|row| {
            let gain = row.gain.map_or_else(|| "-".into(), report::gain);
            let text = [row.series.clone(), row.column.clone(), row.rows.to_string()];
            [&text[..], &[number(row.rmse), number(row.last_value), gain]].concat()
        })
        .collect();
    columns::print(&["series", "column", "rows", "RMSE", "last value", "gain"], &rows, screen)?;
    let gains: Vec<f64> = done.iter().filter_map(|row| row.gain).collect();
    if !gains.is_empty() {
        screen.line(report::summary(&gains))?;
    }
    let silent = done.iter().filter(|row| row.status == Status::Done { learned: false });
    let mut silent: Vec<&str> = silent.map(|row| row.series.as_str()).collect();
    silent.dedup();
    if !silent.is_empty() {
        screen.line(format_args!("note: in {} series, {}", silent.len(), Outcome::LEARNED_NOTHING))?;
    }
    Ok(())
}
