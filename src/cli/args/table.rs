//! Tables: how they are read, and under which names one is written.

use crate::cli::args::value;
use crate::cli::failure::Failure;
use crate::cli::output::files::extension;
use clap::Args;
use rnnstep::Error;
use rnnstep::data::csv::{self, CsvOptions, Missing};
use rnnstep::data::npy;
use rnnstep::data::series::Series;
use rnnstep::error::quoted;
use rnnstep::model::file::Columns;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How to read a table.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct TableArgs {
    /// What to do about missing values of a .csv
    #[arg(long, value_parser = value::missing(), default_value = "error")]
    pub missing: Missing,
    /// Time column of a .csv [default: detected]
    #[arg(long, value_name = "COLUMN")]
    pub time: Option<String>,
    /// Whether the first line of a .csv holds names [default: detected]
    #[arg(long, value_name = "true|false")]
    pub header: Option<bool>,
    /// Delimiter of a .csv, one character or \t [default: detected]
    #[arg(long, value_parser = delimiter, value_name = "CHARACTER")]
    pub delimiter: Option<u8>,
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
pub fn csv_options(table: &TableArgs, wanted: Vec<String>) -> CsvOptions {
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

/// A file whose extension says nothing that is known.
pub fn unknown_extension(path: &Path, extension: &str) -> Failure {
    let reason = format!("extension {}: expected .csv, .npy or .safetensors", quoted(extension));
    Error::File { path: path.into(), reason }.into()
}

/// Whether [`write`](crate::cli::output::rows::write) knows what to write there; what has no extension gets a table.
pub fn check_extension(out: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = out else { return Ok(()) };
    match extension(path).as_str() {
        "npy" | "safetensors" | "csv" | "" => Ok(()),
        other => Err(unknown_extension(path, other)),
    }
}

/// A table is written under the name of one: what ends in .npy would be read as that.
pub fn check_table(out: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = out else { return Ok(()) };
    match extension(path).as_str() {
        "csv" | "tsv" | "txt" | "" => Ok(()),
        other => Err(Error::File { path: path.into(), reason: format!("is a table: .csv, not .{other}") }.into()),
    }
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() => Ok(*byte),
        _ => Err("expected one ASCII character, or \\t".into()),
    }
}
