//! Which data to train on.

use super::series::{self, OneSeries, SeriesArgs};
use super::table::{TableArgs, csv_options, read_series};
use crate::cli::failure::Failure;
use crate::cli::output::files::extension;
use clap::Args;
use clap::builder::{PathBufValueParser, TypedValueParser};
use rnnstep::data::csv::{CsvOptions, Missing};
use rnnstep::data::holes;
use rnnstep::data::series::Series;
use rnnstep::error::escaped;
use rnnstep::model::file;
use rnnstep::{Error, Tensor};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Which data to train on.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Data")]
pub struct DataArgs {
    /// Series: .csv, .npy [T, columns], or .safetensors with windows `x [N,B,T,I]` and `target [N,B,T,O]` or `[N,B,O]`
    /// [default: the built-in sine]
    #[arg(value_name = "DATA", value_parser = PathBufValueParser::new().map(Files::from))]
    pub data: Option<Files>,
    #[command(flatten)]
    #[serde(flatten)]
    pub many: SeriesArgs,
    /// Input columns, by name or number from 1, separated by commas [default: all that hold numbers]
    #[arg(long, value_delimiter = ',', value_name = "COLUMNS")]
    pub column: Vec<String>,
    /// Columns to predict [default: the input columns]
    #[arg(long, value_delimiter = ',', value_name = "COLUMNS")]
    pub target: Vec<String>,
    #[command(flatten)]
    #[serde(flatten)]
    pub table: TableArgs,
    /// The input columns that get a mask, from 0, if that is known already: from a model, or from all series.
    #[arg(skip)]
    #[serde(skip)]
    pub masks: Option<Vec<usize>>,
    /// The time column of the table that a model was trained on.
    #[arg(skip)]
    #[serde(skip)]
    pub usual_time: Option<String>,
}

/// One or more files of data. A recipe stores one file as a text and several as a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Files(Vec<PathBuf>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Stored {
    One(PathBuf),
    Several(Vec<PathBuf>),
}

impl From<PathBuf> for Files {
    fn from(path: PathBuf) -> Self {
        Self(vec![path])
    }
}

impl TryFrom<Stored> for Files {
    type Error = &'static str;

    fn try_from(stored: Stored) -> Result<Self, &'static str> {
        match stored {
            Stored::One(path) => Ok(path.into()),
            Stored::Several(paths) if paths.is_empty() => Err("data: expected a file or a list of files"),
            Stored::Several(paths) => Ok(Self(paths)),
        }
    }
}

impl From<Files> for Stored {
    fn from(mut files: Files) -> Self {
        match files.0.pop() {
            Some(only) if files.0.is_empty() => Self::One(only),
            last => Self::Several(files.0.into_iter().chain(last).collect()),
        }
    }
}

impl std::fmt::Display for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0[..] {
            [only] => write!(f, "{}", escaped(&only.display().to_string())),
            paths => write!(f, "{} files", paths.len()),
        }
    }
}

impl Files {
    /// Adds the files `more`.
    pub fn extend(&mut self, more: &[PathBuf]) {
        self.0.extend_from_slice(more);
    }

    pub fn paths(&self) -> &[PathBuf] {
        &self.0
    }

    /// The file, if it is the only one.
    pub fn one(&self) -> Option<&Path> {
        if let [only] = &self.0[..] { Some(only) } else { None }
    }
}

/// Where windows come from.
pub enum Source {
    Sine,
    Windows { x: Tensor, target: Tensor },
    Series(Series),
    Several(Vec<OneSeries>),
}

/// Checks that windows have only finite values, or NaN where values may be missing.
fn check_window(array: &Tensor, may_be_missing: bool) -> Result<(), String> {
    let Some((place, value)) = holes::first_odd(array, may_be_missing) else { return Ok(()) };
    let names: &[&str] = match place.len() {
        4 => &["window", "sequence", "step", "column"],
        _ => &["window", "sequence", "column"], // a target of the last step only
    };
    let named = |(name, place): (&&str, &usize)| format!("{name} {place}");
    let place: Vec<String> = names.iter().zip(&place).map(named).collect();
    Err(format!("{} holds {value}; a training needs finite numbers, so leave this window out", place.join(", ")))
}

impl DataArgs {
    /// Reads the data.
    pub fn source(&self) -> Result<Source, Failure> {
        let Some(files) = &self.data else {
            return match self.many.series {
                None => Ok(Source::Sine),
                Some(_) => Err(Failure::Usage("--series: DATA is missing; give the .csv that has the column".into())),
            };
        };
        let Some(path) = files.one().filter(|_| self.many.series.is_none()) else {
            let all = self.several()?;
            return match &self.many.only {
                None => Ok(Source::Several(all)),
                Some(only) => Ok(Source::Series(series::only(all, only)?.series?)),
            };
        };
        if extension(path) == "safetensors" {
            let mut tensors = file::read_tensors(path, &["x", "target"], &[]).map_err(|error| {
                if file::read(path, &file::ReadOptions::default()).is_err() {
                    return error;
                }
                let reason = "is a model, not data; give a table, or a file with the tensors \"x\" and \"target\"";
                Error::File { path: path.into(), reason: reason.into() }
            })?;
            // windows have no columns for masks, so that only a target may be missing
            let mut take = |name: &str| {
                let array: Tensor = tensors.remove(name).unwrap_or_default();
                let may_be_missing = name == "target" && self.table.missing == Missing::Mask;
                check_window(&array, may_be_missing).map_err(|reason| Error::Tensor {
                    path: path.into(),
                    tensor: name.into(),
                    reason,
                })?;
                Ok::<Tensor, Error>(array)
            };
            return Ok(Source::Windows { x: take("x")?, target: take("target")? });
        }
        Ok(Source::Series(read_series(path, &self.options())?))
    }

    /// How many files there are.
    pub fn files(&self) -> usize {
        self.data.as_ref().map_or(0, |files| files.paths().len())
    }

    /// Whether there may be more than one series.
    pub fn has_several(&self) -> bool {
        self.many.only.is_none()
            && (self.many.series.is_some() || self.data.as_ref().is_some_and(|files| files.one().is_none()))
    }

    /// Each series, of a table in long form or of several files.
    pub fn several(&self) -> Result<Vec<OneSeries>, Failure> {
        let paths = self.data.as_ref().map_or(&[][..], Files::paths);
        match (&self.many.series, paths) {
            (Some(column), [path]) => series::read_long(path, &self.options(), column),
            (Some(_), _) => {
                let message = "--series: goes with one table only; each of several files is a series, so leave it out";
                Err(Failure::Usage(message.into()))
            }
            (None, paths) => series::read_files(paths, &self.options()),
        }
    }

    /// How to read a table: the columns that are named, or all that hold numbers.
    fn options(&self) -> CsvOptions {
        let all = self.column.is_empty();
        let wanted = if all { vec![] } else { [&self.column[..], &self.target[..]].concat() };
        CsvOptions { usual_time: self.usual_time.clone(), ..csv_options(&self.table, wanted) }
    }

    /// The input columns.
    pub fn input_columns(&self, series: &Series) -> Result<Vec<String>, Failure> {
        Ok(if self.column.is_empty() { series.columns.clone() } else { self.column.clone() })
    }

    /// The columns to predict.
    pub fn target_columns(&self, series: &Series) -> Result<Vec<String>, Failure> {
        if self.target.is_empty() { self.input_columns(series) } else { Ok(self.target.clone()) }
    }
}
