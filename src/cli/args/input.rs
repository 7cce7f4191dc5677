//! What comes in from files: series, windows, sequences, states.

use super::many::{self, OneSeries};
use crate::cli::Failure;
use crate::cli::args::value;
use clap::Args;
use clap::builder::{PathBufValueParser, TypedValueParser};
use rnnstep::data::csv::{self, CsvOptions, Missing};
use rnnstep::data::npy;
use rnnstep::data::series::{Series, Time};
use rnnstep::error::{escaped, listed, quoted};
use rnnstep::model::file;
use rnnstep::model::file::Columns;
use rnnstep::{Error, Form, Model, State, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
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
    /// Columns that go in, by name or number from 1, separated by commas [default: all that hold numbers]
    #[arg(long, value_delimiter = ',', value_name = "COLUMNS")]
    pub column: Vec<String>,
    /// Columns to predict [default: those that go in]
    #[arg(long, value_delimiter = ',', value_name = "COLUMNS")]
    pub target: Vec<String>,
    #[command(flatten)]
    #[serde(flatten)]
    pub table: TableArgs,
}

/// The series of a table in long form.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct SeriesArgs {
    /// Column of a .csv that says which of many series a row belongs to
    #[arg(long, value_name = "COLUMN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    /// Of those series this one alone
    #[arg(long, value_name = "NAME", requires = "series")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<String>,
}

/// How to read a table.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct TableArgs {
    /// What to do about missing values of a .csv
    #[arg(long, value_parser = value::missing(), default_value = "error")]
    pub missing: Missing,
    /// Column of a .csv that says when [default: found out]
    #[arg(long, value_name = "COLUMN")]
    pub time: Option<String>,
    /// Whether the first line of a .csv holds names [default: found out]
    #[arg(long, value_name = "true|false")]
    pub header: Option<bool>,
    /// Delimiter of a .csv, one character or \t [default: found out]
    #[arg(long, value_parser = delimiter, value_name = "CHARACTER")]
    pub delimiter: Option<u8>,
}

impl SeriesArgs {
    /// The flags once more, with a space before them.
    pub fn said(&self) -> String {
        let flag = |name: &str, value: &Option<String>| {
            value.as_ref().map_or_else(String::new, |value| format!(" --{name} {}", many::typed(value)))
        };
        flag("series", &self.series) + &flag("only", &self.only)
    }
}

/// Files of data, one at least. In a recipe one is a text, several are a list.
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
    /// One file more for each of `more`.
    pub fn extend(&mut self, more: &[PathBuf]) {
        self.0.extend_from_slice(more);
    }

    pub fn paths(&self) -> &[PathBuf] {
        &self.0
    }

    /// The file, if there is no other.
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
                Some(only) => Ok(Source::Series(many::only(all, only)?.series?)),
            };
        };
        if extension(path) == "safetensors" {
            let mut tensors = file::read_tensors(path, &["x", "target"], &[])?;
            let mut take = |name: &str| tensors.remove(name).unwrap_or_default();
            return Ok(Source::Windows { x: take("x"), target: take("target") });
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
            (Some(column), [path]) => many::read_long(path, &self.options(), column),
            (Some(_), _) => {
                let message = "--series: goes with one table; of several files each is a series, so leave it out";
                Err(Failure::Usage(message.into()))
            }
            (None, paths) => many::read_files(paths, &self.options()),
        }
    }

    /// How to read, of a table the columns that have to be.
    fn options(&self) -> CsvOptions {
        let all = self.column.is_empty();
        csv_options(&self.table, if all { vec![] } else { [&self.column[..], &self.target[..]].concat() })
    }

    /// The columns that go in.
    pub fn input_columns(&self, series: &Series) -> Result<Vec<String>, Failure> {
        Ok(if self.column.is_empty() { series.columns.clone() } else { self.column.clone() })
    }

    /// The columns to predict.
    pub fn target_columns(&self, series: &Series) -> Result<Vec<String>, Failure> {
        if self.target.is_empty() { self.input_columns(series) } else { Ok(self.target.clone()) }
    }
}

/// The most columns of an .npy, each of which gets a name: as many as a row of a .csv has room for.
const MOST_COLUMNS: usize = 1 << 19;

/// A table from a .csv or .npy file.
pub fn read_series(path: &Path, options: &CsvOptions) -> Result<Series, Failure> {
    match extension(path).as_str() {
        "npy" => {
            let values = npy::read(path)?;
            let [_, columns] = *values.dims() else {
                let reason = format!("expected an array [T, columns], got {:?}", values.dims());
                return Err(Error::File { path: path.into(), reason }.into());
            };
            if columns > MOST_COLUMNS {
                let reason = format!("has {columns} columns; {MOST_COLUMNS} are the most");
                return Err(Error::File { path: path.into(), reason }.into());
            }
            Ok(Series::new((1..=columns).map(|c| c.to_string()).collect(), values, None)?)
        }
        "csv" | "tsv" | "txt" | "" => Ok(csv::read(path, options)?),
        other => Err(unknown_extension(path, other)),
    }
}

/// How to read a .csv, of it the `wanted` columns.
fn csv_options(table: &TableArgs, wanted: Vec<String>) -> CsvOptions {
    CsvOptions {
        missing: table.missing,
        time: table.time.clone(),
        header: table.header,
        delimiter: table.delimiter,
        columns: wanted,
        or_all: false,
    }
}

/// The same for a model: the columns that go in, if they are there. What is wrong with another one is of no interest.
pub fn options_for(columns: &Columns, table: &TableArgs) -> CsvOptions {
    CsvOptions { or_all: true, ..csv_options(table, columns.inputs.clone()) }
}

/// Sequences for a model, in raw units.
pub struct Sequences {
    /// `[T,I]` or `[B,T,I]`
    pub x: Tensor,
    /// The time of each row, of a table.
    pub time: Option<Time>,
}

/// Reads x for `model`: columns by the names that the model was trained on, else all of them.
pub fn read_sequences(path: &Path, table: &TableArgs, columns: &Columns, model: &Model) -> Result<Sequences, Failure> {
    let input = model.shape().input();
    let x = match extension(path).as_str() {
        "safetensors" => file::read_tensors(path, &["x"], &[])?.remove("x").unwrap_or_default(),
        "npy" => npy::read(path)?,
        _ => {
            let series = read_series(path, &options_for(columns, table))?;
            return Ok(Sequences { x: x_of(&series, path, columns, model)?, time: series.time });
        }
    };
    match x.dims() {
        [.., width] if matches!(x.dims().len(), 2 | 3) && *width == input => Ok(Sequences { x, time: None }),
        dims => {
            let reason = format!("x: the model takes [T,{input}] or [B,T,{input}], this is {dims:?}");
            Err(Error::File { path: path.into(), reason }.into())
        }
    }
}

/// x of a series for `model`.
pub fn x_of(series: &Series, path: &Path, columns: &Columns, model: &Model) -> Result<Tensor, Failure> {
    let input = model.shape().input();
    let there: HashSet<&String> = series.columns.iter().collect();
    let known = !columns.inputs.is_empty() && columns.inputs.iter().all(|name| there.contains(name));
    let x = if known { series.select(&columns.inputs)? } else { series.values.clone() };
    if x.rows().1 != input {
        let found = listed(&series.columns);
        let names = if columns.inputs.is_empty() { String::new() } else { format!(" ({})", listed(&columns.inputs)) };
        let reason = format!("the model takes {input} columns{names}, the file has {found}");
        return Err(Error::File { path: path.into(), reason }.into());
    }
    Ok(x)
}

/// The state of `batch` sequences: that of a file with `h [L,B,H]` (and `c`, and `past` where changes are predicted), or zero.
pub fn read_state(path: Option<&Path>, model: &Model, batch: usize) -> Result<State, Failure> {
    let mut state = State::new(model.shape(), batch);
    let Some(path) = path else { return Ok(state) };
    let has_c = model.shape().cell().has_c();
    let mut tensors = file::read_tensors(path, if has_c { &["h", "c"] } else { &["h"] }, &["past"])?;
    let past = tensors.remove("past");
    if let Some(units) = model.units().filter(|units| units.form() != Form::Value) {
        let wrong = |reason: String| Error::Tensor { path: path.into(), tensor: "past".into(), reason };
        let expected = [units.form().lag(), batch, units.columns().len()];
        let Some(past) = past else {
            let reason = "is missing; a model that predicts changes goes on from the last values as well".into();
            return Err(wrong(reason).into());
        };
        if past.dims() != expected {
            let reason =
                format!("expected the shape {expected:?} (rows back, B, predicted columns), got {:?}", past.dims());
            return Err(wrong(reason).into());
        }
        state.set_past(units, past.data())?;
    }
    let expected = [model.shape().layers(), batch, model.shape().hidden()];
    for (name, tensor) in &tensors {
        if tensor.dims() != expected {
            let reason = format!("expected the shape {expected:?} (L,B,H), got {:?}", tensor.dims());
            return Err(Error::Tensor { path: path.into(), tensor: name.clone(), reason }.into());
        }
        if name == "h" { state.set_h(tensor.data())? } else { state.set_c(tensor.data())? }
    }
    Ok(state)
}

/// The extension in lower case.
pub fn extension(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default()
}

/// A file whose extension says nothing that is known.
pub fn unknown_extension(path: &Path, extension: &str) -> Failure {
    let reason = format!("extension {}: expected .csv, .npy or .safetensors", quoted(extension));
    Error::File { path: path.into(), reason }.into()
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() => Ok(*byte),
        _ => Err("expected one ASCII character, or \\t".into()),
    }
}
