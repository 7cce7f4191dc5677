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
use rnnstep::model::file::Loaded;
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
    let folder = Folder::open(&args.model)?;
    let one = if folder.is_none() { Some(args.load()?) } else { None };
    let columns = match (&folder, &one) {
        (Some(folder), _) => folder.columns(args.device.cpu()?),
        (None, one) => one.as_ref().map(|one| one.metadata.columns.clone()),
    };
    let mut all = series::read_long(input, &options_for(&columns.unwrap_or_default(), table), column)?;
    if let Some(name) = &of.only {
        all = vec![series::only(all, name)?];
    }
    let model_of = |one_series: &OneSeries| -> Result<(Loaded, PathBuf), Failure> {
        let of_one = match &folder {
            Some(folder) => ModelArgs { model: folder.model(&one_series.name)?, ..args.clone() },
            None => args.clone(),
        };
        let loaded = one.clone().map_or_else(|| of_one.load(), Ok)?;
        Ok((loaded, of_one.model))
    };
    let mut said = |series: &OneSeries| -> Result<Said, Failure> {
        let rows = series.series.as_ref().map_err(|error| Error::Invalid(error.to_string()))?;
        let (loaded, path) = model_of(series)?;
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
        // one series after the other: the rows of no other are held meanwhile
        let rows = std::iter::once((name, rows)).chain(others).flat_map(|(name, rows)| {
            rows.into_iter().map(move |mut row| {
                row.insert(0, name.clone());
                row
            })
        });
        let header = [&[column.to_string()][..], &names].concat();
        match out {
            Some(path) => files::write(path, || csv::write(path, &header, rows))?,
            None => screen.write(|out| csv::write_to(out, &header, rows))?,
        }
    }
    screen.flush()?;
    // what is wrong with the model is no fault of the series
    if let (Some(_), [(_, why), rest @ ..]) = (&one, &failures[..])
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
