//! Predictions or forecasts of many series in one table, by a global model or by a folder of local models.

use crate::cli::args::model::ModelArgs;
use crate::cli::args::sequences::{Sequences, sequences_of};
use crate::cli::args::series::{self, OneSeries, SeriesArgs};
use crate::cli::args::table::{ModelTableArgs, options_for};
use crate::cli::failure::Failure;
use crate::cli::output::files::{self, extension};
use crate::cli::output::screen::Screen;
use crate::cli::output::screen::tell_failed;
use rnnstep::Error;
use rnnstep::data::csv;
use rnnstep::error::listed;
use rnnstep::model::file::{Columns, Loaded};
use rnnstep::train::folder::Folder;
use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Header and rows.
type Cells = (Vec<String>, Vec<Vec<String>>);

/// Calls `predict` with the name of each series of a table in long form, its model, the file of the model and its rows. Writes the rows that
/// it returns, with the name of the series in front. An error in one series does not stop the others.
pub fn each_series(
    args: &ModelArgs,
    input: &Path,
    many: &SeriesArgs,
    table: &ModelTableArgs,
    out: Option<&Path>,
    screen: &mut Screen,
    mut predict: impl FnMut(&str, Loaded, &Path, &Sequences) -> Result<Cells, Failure>,
) -> Result<ExitCode, Failure> {
    check_out(out)?;
    let column = many.series.as_deref().unwrap_or_default();
    let models = Models::open(args)?;
    let columns = models.columns()?.unwrap_or_default();
    let mut all = series::read_long(input, &options_for(&columns, table), column)?;
    if let Some(name) = &many.only {
        all = vec![series::only(all, name)?];
    }
    let answered = OnceCell::new();
    let mut predict_one = |series: &OneSeries| -> Result<Cells, Failure> {
        let rows = series.series.as_ref().map_err(|error| Error::Invalid(error.to_string()))?;
        let (loaded, path) = models.load(series)?;
        let x = sequences_of(rows, input, &loaded.metadata.columns, table, &loaded.model)?;
        let cells = predict(&series.name, loaded, &path, &x)?;
        let _ = answered.set(x); // all have the same columns, so one of them says which
        Ok(cells)
    };
    let (mut all, mut failures) = (all.into_iter(), Vec::new());
    // the first series that succeeds gives the header; an error in the flags ends the command
    let mut first = None;
    for series in all.by_ref() {
        match predict_one(&series) {
            Ok((header, rows)) => {
                first = Some((series.name, header, rows));
                break;
            }
            Err(Failure::Usage(message)) => return Err(Failure::Usage(message)),
            Err(failure) => failures.push((series.name, failure.into_error().to_string())),
        }
    }
    let nothing = first.is_none();
    if let Some((name, names, rows)) = first {
        let others = all.filter_map(|series| match predict_one(&series) {
            Ok((others, rows)) if others == names => Some((series.name, rows)),
            Ok((others, _)) => {
                let reason = format!("its model predicts other columns than the first one: {}", listed(&others));
                failures.push((series.name, reason));
                None
            }
            Err(failure) => {
                failures.push((series.name, failure.into_error().to_string()));
                None
            }
        });
        write(out, column, &names, std::iter::once((name, rows)).chain(others), screen)?;
    }
    screen.flush()?;
    answered.get().into_iter().for_each(Sequences::say_columns);
    models.end(&failures, nothing)
}

/// Checks that the result, a table with the names of the series, gets the extension of one.
fn check_out(out: Option<&Path>) -> Result<(), Failure> {
    match out.map(extension).as_deref() {
        None | Some("csv" | "") => Ok(()),
        Some(_) => {
            let message = "--series: the result is a table with the names of the series; give --out a .csv";
            Err(Failure::Usage(message.into()))
        }
    }
}

/// Writes the rows of each series, with its name in front, one series after the other: the rows of only one series are
/// in memory at a time.
fn write(
    out: Option<&Path>,
    column: &str,
    names: &[String],
    all: impl Iterator<Item = (String, Vec<Vec<String>>)>,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let rows = all.flat_map(|(name, rows)| {
        rows.into_iter().map(move |mut row| {
            row.insert(0, name.clone());
            row
        })
    });
    let header = [&[column.to_string()][..], names].concat();
    match out {
        Some(path) => Ok(files::write(path, || csv::write(path, &header, rows))?),
        None => screen.write(|out| csv::write_to(out, &header, rows)),
    }
}

/// Where the model of a series comes from.
enum Models<'a> {
    /// A global model.
    One(&'a ModelArgs, Box<Loaded>),
    /// A local model for each series, from a folder.
    Each(&'a ModelArgs, Folder),
}

impl<'a> Models<'a> {
    /// Prints which series failed and why; `nothing` is whether all of them did. Returns the exit code.
    fn end(&self, failures: &[(String, String)], nothing: bool) -> Result<ExitCode, Failure> {
        // if all series fail for the same reason, the model is at fault and not the series
        if let (Self::One(..), [(_, reason), rest @ ..]) = (self, failures)
            && nothing
            && rest.iter().all(|(_, other)| other == reason)
        {
            return Err(Error::Invalid(reason.clone()).into());
        }
        tell_failed(failures, "more failed");
        Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }

    fn open(args: &'a ModelArgs) -> Result<Self, Failure> {
        Ok(match Folder::open(&args.model)? {
            Some(folder) => Self::Each(args, folder),
            None => Self::One(args, Box::new(args.load()?)),
        })
    }

    /// The columns that the models take and predict, if a model file names them.
    fn columns(&self) -> Result<Option<Columns>, Failure> {
        match self {
            Self::One(_, loaded) => Ok(Some(loaded.metadata.columns.clone())),
            Self::Each(args, folder) => Ok(folder.columns(args.device.cpu()?)),
        }
    }

    /// Loads the model of a series, and returns it with its file.
    fn load(&self, series: &OneSeries) -> Result<(Loaded, PathBuf), Failure> {
        match self {
            Self::One(args, loaded) => Ok((loaded.as_ref().clone(), args.model.clone())),
            Self::Each(args, folder) => {
                let of_one = ModelArgs { model: folder.model(&series.name)?, ..(*args).clone() };
                Ok((of_one.load()?, of_one.model))
            }
        }
    }
}
