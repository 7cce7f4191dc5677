//! Several series: those of a table in long form, or a file each.

use super::paths;
use super::table::{note_on, read_series};
use crate::cli::failure::Failure;
use crate::cli::output::files::extension;
use crate::cli::output::screen::{tell, typed};
use clap::Args;
use rnnstep::Error;
use rnnstep::data::csv::{self, CsvOptions};
use rnnstep::data::series::Series;
use rnnstep::error::{listed, quoted};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The series of a table in long form.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct SeriesArgs {
    /// Series id column: the column of a .csv that names the series of each row
    #[arg(long, value_name = "COLUMN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    /// Use only this series
    #[arg(long, value_name = "NAME", requires = "series")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<String>,
}

impl SeriesArgs {
    /// The flags as they are typed, with a space before each.
    pub fn said(&self) -> String {
        let flag = |name: &str, value: &Option<String>| {
            value.as_ref().map_or_else(String::new, |value| format!(" --{name} {}", typed(value)))
        };
        flag("series", &self.series) + &flag("only", &self.only)
    }
}

/// One of several series.
pub struct OneSeries {
    pub name: String,
    pub file: PathBuf,
    /// Its rows, or why they cannot be used.
    pub series: Result<Series, Error>,
    /// Whether --missing drop left no row of it.
    pub dropped: bool,
}

/// Reads the series of a table in long form.
pub fn read_long(path: &Path, options: &CsvOptions, column: &str) -> Result<Vec<OneSeries>, Failure> {
    if !matches!(extension(path).as_str(), "csv" | "tsv" | "txt" | "") {
        let column = quoted(column);
        let reason = format!("has no column {column} with the ids of the series; --series is for a .csv");
        return Err(Error::File { path: path.into(), reason }.into());
    }
    let all = csv::read_long(path, options, column)?;
    let known = all.iter().filter_map(|(name, series)| Some((quoted(name), series.as_ref().ok()?)));
    let notes = known.flat_map(|(name, series)| {
        series.notes.iter().map(move |note| note_on(&format!("{}: series {name}", path.display()), note))
    });
    tell(&notes.collect::<Vec<_>>(), "more notes");
    let one = |(name, series): (String, Result<Series, Error>)| {
        let dropped = series.as_ref().is_ok_and(Series::is_empty);
        let empty = || Error::File { path: path.into(), reason: NO_ROW.into() };
        OneSeries { name, file: path.into(), series: if dropped { Err(empty()) } else { series }, dropped }
    };
    Ok(all.into_iter().map(one).collect())
}

/// Why a series without rows cannot be used.
pub const NO_ROW: &str = "a value is missing in every row, so --missing drop leaves no row";

/// Reads files, each as a series with the name of its file. If two files have the same name, the path is the name.
pub fn read_files(files: &[PathBuf], options: &CsvOptions) -> Result<Vec<OneSeries>, Failure> {
    let stem = |path: &Path| path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let mut stems: HashMap<String, usize> = HashMap::new();
    if let Some([first, again]) = paths::twice(files) {
        let also = if first == again { String::new() } else { format!(", also as {}", first.display()) };
        return Err(Failure::Usage(format!("{} is given twice{also}", again.display())));
    }
    for path in files {
        *stems.entry(stem(path)).or_default() += 1;
    }
    let read = |path: &PathBuf| {
        let name = stem(path);
        let name = if stems[&name] == 1 { name } else { path.display().to_string() };
        let series = match extension(path).as_str() {
            "safetensors" => {
                let reason = "holds windows already cut; each of several files must be a series, .csv or .npy";
                Err(Error::File { path: path.clone(), reason: reason.into() })
            }
            _ => read_series(path, options).map_err(Failure::into_error),
        };
        OneSeries { name, file: path.clone(), series, dropped: false }
    };
    Ok(files.iter().map(read).collect())
}

/// The series with this name.
pub fn only(mut all: Vec<OneSeries>, name: &str) -> Result<OneSeries, Failure> {
    if let Some(at) = all.iter().position(|one| one.name == name) {
        return Ok(all.swap_remove(at));
    }
    let path = all.first().map(|one| one.file.clone()).unwrap_or_default();
    let (name, others) = (quoted(name), listed(all.iter().map(|one| one.name.as_str())));
    Err(Error::File { path, reason: format!("there is no series {name}; there are {others}") }.into())
}
