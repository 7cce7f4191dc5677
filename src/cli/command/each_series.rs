//! What is said of each of many series, by a model over all or by one of a folder: one table.

use crate::cli::args::folder::Folder;
use crate::cli::args::model::ModelArgs;
use crate::cli::args::sequences::{Sequences, x_of};
use crate::cli::args::series::{self, OneSeries, SeriesArgs};
use crate::cli::args::table::{TableArgs, options_for};
use crate::cli::failure::Failure;
use crate::cli::output::files::{self, extension};
use crate::cli::output::screen::Screen;
use crate::cli::output::screen::tell;
use rnnstep::Error;
use rnnstep::data::csv;
use rnnstep::error::{listed, quoted};
use rnnstep::model::file::{Columns, Loaded};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Header and rows.
type Said = (Vec<String>, Vec<Vec<String>>);

/// Calls `say` with each series of a table in long form, its model and the file of that, and writes what it gives back, the name of the series in
/// front. What is wrong with one series does not stop the others.
pub fn each_series(
    args: &ModelArgs,
    input: &Path,
    of: &SeriesArgs,
    table: &TableArgs,
    out: Option<&Path>,
    screen: &mut Screen,
    mut say: impl FnMut(Loaded, &Path, &Sequences) -> Result<Said, Failure>,
) -> Result<ExitCode, Failure> {
    if !matches!(out.map(extension).as_deref(), None | Some("csv" | "")) {
        let message = "--series: the names of series go into a table; give --out a .csv".into();
        return Err(Failure::Usage(message));
    }
    let column = of.series.as_deref().unwrap_or_default();
    let models = Models::open(args)?;
    let columns = models.columns()?.unwrap_or_default();
    let mut all = series::read_long(input, &options_for(&columns, table), column)?;
    if let Some(name) = &of.only {
        all = vec![series::only(all, name)?];
    }
    let mut said = |series: &OneSeries| -> Result<Said, Failure> {
        let rows = series.series.as_ref().map_err(|error| Error::Invalid(error.to_string()))?;
        let (loaded, path) = models.of(series)?;
        let x = x_of(rows, input, &loaded.metadata.columns, &loaded.model)?;
        say(loaded, &path, &Sequences { x, time: rows.time.clone() })
    };
    let (mut all, mut failures) = (all.into_iter(), Vec::new());
    // what comes first says what the header is, and whether the flags make sense
    let mut first = None;
    for series in all.by_ref() {
        match said(&series) {
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
        let others = all.filter_map(|series| match said(&series) {
            Ok((others, rows)) if others == names => Some((series.name, rows)),
            Ok((others, _)) => {
                let why = format!("its model predicts other columns than the first one: {}", listed(&others));
                failures.push((series.name, why));
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
    models.end(&failures, nothing)
}

/// Writes the rows of each series, its name in front. One series after the other: the rows of no other are held meanwhile.
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
    /// One for all.
    One(&'a ModelArgs, Box<Loaded>),
    /// One of a folder for each.
    Each(&'a ModelArgs, Folder),
}

impl<'a> Models<'a> {
    /// Says which series failed and why; `nothing` is whether all of them did.
    fn end(&self, failures: &[(String, String)], nothing: bool) -> Result<ExitCode, Failure> {
        // what is wrong with the model is no fault of the series
        if let (Self::One(..), [(_, why), rest @ ..]) = (self, failures)
            && nothing
            && rest.iter().all(|(_, other)| other == why)
        {
            return Err(Error::Invalid(why.clone()).into());
        }
        let failures: Vec<String> =
            failures.iter().map(|(name, why)| format!("failed: series {}: {why}", quoted(name))).collect();
        tell(&failures, "more failed");
        Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }

    fn open(args: &'a ModelArgs) -> Result<Self, Failure> {
        Ok(match Folder::open(&args.model)? {
            Some(folder) => Self::Each(args, folder),
            None => Self::One(args, Box::new(args.load()?)),
        })
    }

    /// The columns that the models take and predict, if any says so.
    fn columns(&self) -> Result<Option<Columns>, Failure> {
        match self {
            Self::One(_, loaded) => Ok(Some(loaded.metadata.columns.clone())),
            Self::Each(args, folder) => Ok(folder.columns(args.device.cpu()?)),
        }
    }

    /// The model of a series, and its file.
    fn of(&self, series: &OneSeries) -> Result<(Loaded, PathBuf), Failure> {
        match self {
            Self::One(args, loaded) => Ok((loaded.as_ref().clone(), args.model.clone())),
            Self::Each(args, folder) => {
                let of_one = ModelArgs { model: folder.model(&series.name)?, ..(*args).clone() };
                Ok((of_one.load()?, of_one.model))
            }
        }
    }
}
