//! How tables are read, and which names of files they may be written to.

use crate::cli::args::{number, value};
use crate::cli::failure::Failure;
use crate::cli::output::files::{extension, is_standard};
use crate::cli::output::screen::tell;
use clap::Args;
use rnnstep::Error;
use rnnstep::data::csv::{self, CsvOptions, Missing};
use rnnstep::data::series::{LeftOut, Series, Time};
use rnnstep::data::{holes, npy};
use rnnstep::error::{escaped, listed, quoted};
use rnnstep::model::file::Columns;
use serde::{Deserialize, Serialize};
use std::io::stdin;
use std::path::Path;

/// How to read a table.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct TableArgs {
    /// What to do about missing values: empty cells, NA and the like in a .csv, NaN in an .npy
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
    /// Leave out so many lines at the beginning of a .csv
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, value_parser = number::count_or_none::<u64>)]
    #[serde(skip_serializing_if = "is_zero")]
    pub skip_rows: u64,
    /// Leave out the lines of a .csv that begin with this character, such as #
    #[arg(long, value_parser = delimiter, value_name = "CHARACTER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<u8>,
    /// Decimal mark of the numbers in a .csv: . or , [default: detected]
    #[arg(long, value_parser = mark, value_name = "CHARACTER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimal: Option<char>,
    /// Mark between the thousands of the numbers in a .csv [default: detected]
    #[arg(long, value_parser = mark, value_name = "CHARACTER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thousands: Option<char>,
    /// More texts of a .csv that mean a missing value, separated by commas, such as -,-999
    #[arg(long, value_name = "TEXT,...", value_delimiter = ',', allow_hyphen_values = true)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub na: Vec<String>,
}

fn is_zero(rows: &u64) -> bool {
    *rows == 0
}

/// How to read a table for a trained model.
#[derive(Args, Clone, Debug)]
pub struct ModelTableArgs {
    #[command(flatten)]
    pub table: TableArgs,
    /// Take the columns of numbers in their order, whatever they are called
    #[arg(long)]
    pub by_position: bool,
}

/// The most columns of an .npy, each of which gets a name: as many as a row of a .csv has room for.
const MOST_COLUMNS: usize = 1 << 19;

/// A table from a .csv file, which may be compressed (.csv.gz), from standard input (-), or from an .npy file.
pub fn read_series(path: &Path, options: &CsvOptions) -> Result<Series, Failure> {
    let kind = match extension(path).as_str() {
        "gz" => extension(Path::new(path.file_stem().unwrap_or_default())),
        kind => kind.into(),
    };
    match kind.as_str() {
        "npy" => {
            let values = npy::read(path)?.wide();
            let [_, columns] = *values.dims() else {
                let reason = format!("expected an array [T, columns], got {:?}", values.dims());
                return Err(Error::File { path: path.into(), reason }.into());
            };
            if columns > MOST_COLUMNS {
                let reason = format!("has {columns} columns; at most {MOST_COLUMNS} can be read");
                return Err(Error::File { path: path.into(), reason }.into());
            }
            let in_file = |reason: String| Error::File { path: path.into(), reason };
            let values = holes::filled(values, options.missing).map_err(in_file)?;
            Ok(Series::new((1..=columns).map(|c| c.to_string()).collect(), values, None)?)
        }
        "csv" | "tsv" | "txt" | "" => {
            let standard_input = Path::new("standard input");
            let (series, path) = match is_standard(path) {
                true => (csv::read_from(stdin().lock(), standard_input, options)?, standard_input),
                false => (csv::read(path, options)?, path),
            };
            let path = path.display().to_string();
            tell(&series.notes.iter().map(|note| note_on(&path, note)).collect::<Vec<_>>(), "more notes");
            Ok(series)
        }
        other => Err(unknown_extension(path, other)),
    }
}

/// A line about how a table was read; `what` is its name.
pub fn note_on(what: &str, note: &str) -> String {
    escaped(&format!("note: {what}: {note}"))
}

/// The most columns that are listed as left out.
const LISTED: usize = 8;

/// A line that says which columns of a table are used as what, and which are left out and why. No names of targets
/// mean that they are not known.
pub fn columns_line(inputs: &[String], targets: &[String], time: Option<&Time>, left_out: &[LeftOut]) -> String {
    let mut line = format!("columns: reads {}", listed(inputs));
    if !targets.is_empty() {
        line += &format!(", predicts {}", listed(targets));
    }
    if let Some(time) = time {
        let step = time.calendar().and_then(|calendar| calendar.step());
        let step = step.map_or_else(String::new, |step| format!(" ({step})"));
        line += &format!(", time {}{step}", quoted(&time.name));
    }
    let named = |LeftOut { name, number, reason }: &LeftOut| match name.as_str() {
        "" => format!("column {number} ({reason})"),
        name => format!("{} ({reason})", quoted(name)),
    };
    if !left_out.is_empty() {
        let some: Vec<String> = left_out.iter().take(LISTED).map(named).collect();
        line += &format!(", leaves out {}", some.join(", "));
    }
    if left_out.len() > LISTED {
        line += &format!(" and {} more", left_out.len() - LISTED);
    }
    line
}

/// How to read the `wanted` columns of a .csv.
pub fn csv_options(table: &TableArgs, wanted: Vec<String>) -> CsvOptions {
    CsvOptions {
        missing: table.missing,
        time: table.time.clone(),
        header: table.header,
        delimiter: table.delimiter,
        columns: wanted,
        or_all: false,
        skip_rows: table.skip_rows,
        comment: table.comment,
        decimal: table.decimal,
        usual_decimal: None,
        usual_time: None,
        thousands: table.thousands,
        na: table.na.clone(),
    }
}

/// How to read a .csv for a model: its input columns, or all that hold numbers if the file lacks one of them or they are
/// to be taken by their position. Errors in other columns do not matter.
pub fn options_for(columns: &Columns, args: &ModelTableArgs) -> CsvOptions {
    let wanted = if args.by_position { Vec::new() } else { columns.inputs.clone() };
    let missing = args.table.missing.of_a_model(&columns.masks);
    let usual_time = columns.time.clone();
    CsvOptions { or_all: true, usual_decimal: columns.decimal, usual_time, missing, ..csv_options(&args.table, wanted) }
}

/// The error of a file with an unknown extension.
pub fn unknown_extension(path: &Path, extension: &str) -> Failure {
    let reason = format!("extension {}: expected .csv, .npy or .safetensors", quoted(extension));
    Error::File { path: path.into(), reason }.into()
}

/// Checks that [`write`](crate::cli::output::rows::write) knows the extension of `out`. Without one it writes a table.
pub fn check_extension(out: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = out else { return Ok(()) };
    match extension(path).as_str() {
        "npy" | "safetensors" | "csv" | "" => Ok(()),
        other => Err(unknown_extension(path, other)),
    }
}

/// Checks that a table gets the extension of a table: a file that ends in .npy would be read as an array.
pub fn check_table(out: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = out else { return Ok(()) };
    match extension(path).as_str() {
        "csv" | "tsv" | "txt" | "" => Ok(()),
        other => {
            let reason = format!("is written as a table; end its name in .csv, not .{other}");
            Err(Error::File { path: path.into(), reason }.into())
        }
    }
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() => Ok(*byte),
        _ => Err("expected one ASCII character, or \\t".into()),
    }
}

fn mark(text: &str) -> Result<char, String> {
    text.parse().map_err(|_| "expected one character".into())
}
