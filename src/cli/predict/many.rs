//! What is said of each of many series, by a model over all or by one of a folder: one table.

use super::extension;
use crate::cli::input::{Sequences, SeriesArgs, TableArgs, x_of};
use crate::cli::many::{self, Folder, OneSeries};
use crate::cli::screen::Screen;
use crate::cli::{Failure, ModelArgs};
use rnnstep::Error;
use rnnstep::data::csv;
use rnnstep::file::Loaded;
use std::path::Path;
use std::process::ExitCode;

/// Header and rows.
type Said = (Vec<String>, Vec<Vec<String>>);

/// Calls `say` with each series of a table in long form and its model, and writes what it gives back, the name of the series in
/// front. What is wrong with one series does not stop the others.
pub fn each_series(
    args: &ModelArgs,
    input: &Path,
    of: &SeriesArgs,
    table: &TableArgs,
    out: Option<&Path>,
    screen: &mut Screen,
    mut say: impl FnMut(Loaded, &Sequences) -> Result<Said, Failure>,
) -> Result<ExitCode, Failure> {
    if !matches!(out.map(extension).as_deref(), None | Some("csv" | "")) {
        let message = "--series: the names of series go into a table; give --out a .csv".into();
        return Err(Failure::Usage(message));
    }
    let column = of.series.as_deref().unwrap_or_default();
    let folder = Folder::open(&args.model)?;
    let one = if folder.is_none() { Some(args.load()?) } else { None };
    let mut all = many::read_long(input, table, &[], column)?;
    if let Some(name) = &of.only {
        all = vec![many::only(all, name)?];
    }
    let model_of = |one_series: &OneSeries| -> Result<Loaded, Failure> {
        match (&folder, &one) {
            (Some(folder), _) => ModelArgs { model: folder.model(&one_series.name)?, ..args.clone() }.load(),
            (None, Some(one)) => Ok(one.clone()),
            (None, None) => args.load(),
        }
    };
    let (mut header, mut rows, mut failures) = (None, Vec::new(), Vec::new());
    for series in all {
        let mut said = || -> Result<Said, Failure> {
            let rows = series.series.as_ref().map_err(|error| Error::Invalid(error.to_string()))?;
            let loaded = model_of(&series)?;
            let x = x_of(rows, input, &loaded.metadata.columns, &loaded.model)?;
            let said = say(loaded, &Sequences { x, time: rows.time.clone() })?;
            if header.get_or_insert_with(|| said.0.clone()) != &said.0 {
                let message = format!("its model predicts other columns than the first one: {}", many::few(&said.0));
                return Err(Error::Invalid(message).into());
            }
            Ok(said)
        };
        match said() {
            Ok((_, said)) => {
                rows.extend(said.into_iter().map(|row| [&[series.name.clone()][..], &row].concat()));
            }
            Err(Failure::Usage(message)) => return Err(Failure::Usage(message)),
            Err(failure) => failures.push((series.name.clone(), many::why(failure).to_string())),
        }
    }
    let nothing = header.is_none();
    if let Some(header) = header {
        let header = [&[column.to_string()][..], &header].concat();
        match out {
            Some(path) => csv::write(path, &header, rows)?,
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
    let failures: Vec<String> = failures.iter().map(|(name, why)| format!("failed: series {name:?}: {why}")).collect();
    many::tell(&failures, "more failed");
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
