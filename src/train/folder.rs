//! A folder with a local model for each of many series: the names of the model files, and the table of the results.

use super::Outcome;
use crate::data::csv;
use crate::error::{Error, Result, quoted};
use crate::memory;
use crate::model::file;
use crate::model::file::Columns;
use crate::simd::isa::Cpu;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// The table of a folder of models.
const SCORES: &str = "scores.csv";
/// The longest table of a folder that is read, in bytes.
const LARGEST: u64 = 1 << 28;
/// The shortest row that names a model, in bytes: `a,b` and a line break.
const SHORTEST_ROW: usize = 4;
/// The longest name of a file that any file system allows, in bytes.
const LONGEST_FILE: usize = 255;
/// The longest name of a file that is made here, in bytes, without its number and its extension.
const LONGEST: usize = 100;

/// Names of files for names of series. They are readable and unique, even if upper and lower case count as the same,
/// and have no characters with a meaning to a file system.
pub fn file_names<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    // for each safe name the next number to try: a million series with the same safe name then need a million tries
    let (mut taken, mut next) = (HashSet::new(), HashMap::<String, usize>::new());
    let safe = |name: &str| {
        let mut safe = String::new();
        for letter in name.chars() {
            let plain = letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.');
            if safe.len() + letter.len_utf8() > LONGEST {
                break;
            }
            safe.push(if plain { letter } else { '_' });
        }
        // not a hidden file, and not a device, which Windows has in every folder
        let device = ["con", "prn", "aux", "nul", "com", "lpt"].iter().any(|device| {
            let stem = safe.split('.').next().unwrap_or_default().to_lowercase();
            stem.strip_prefix(device).is_some_and(|rest| rest.is_empty() || rest.parse::<u8>().is_ok())
        });
        if safe.is_empty() || safe.starts_with('.') || device { format!("_{safe}") } else { safe }
    };
    let unique = |name: String| {
        let lower = name.to_lowercase();
        if taken.insert(lower.clone()) {
            return format!("{name}.safetensors");
        }
        let number = next.entry(lower.clone()).or_insert(2);
        while !taken.insert(format!("{lower}-{number}")) {
            *number += 1;
        }
        format!("{name}-{number}.safetensors")
    };
    names.map(safe).map(unique).collect()
}

/// How the training of a series ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// There is a model.
    Done {
        /// As [`Outcome::learned`].
        learned: bool,
    },
    /// There is no model, and why.
    Failed(String),
    /// There is no model yet: the training was interrupted before or during this series.
    Interrupted,
}

impl Status {
    fn word(&self) -> &'static str {
        match self {
            Self::Done { .. } => "ok",
            Self::Failed(_) => "failed",
            Self::Interrupted => "interrupted",
        }
    }

    /// The text of the column `reason`.
    fn reason(&self) -> &str {
        match self {
            Self::Done { learned: false } => Outcome::LEARNED_NOTHING,
            Self::Failed(reason) => reason,
            Self::Done { learned: true } | Self::Interrupted => "",
        }
    }
}

/// A row of the table: the result of one series, or of one of its predicted columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The series.
    pub series: String,
    /// The name of its model file, without the folder; empty if there is no model.
    pub file: String,
    /// The predicted column; empty if there is no model.
    pub column: String,
    /// Rows of the series.
    pub rows: usize,
    /// How its training ended.
    pub status: Status,
    /// Root mean squared error one step ahead over the held-out rows, in raw units.
    pub rmse: Option<f64>,
    /// The same of persistence, which repeats the last value.
    pub last_value: Option<f64>,
    /// The part of persistence's error that the model avoids: 1 - `rmse` / `last_value`.
    pub gain: Option<f64>,
    /// The loss over the held-out windows, in the network's units.
    pub val_loss: Option<f64>,
}

impl Row {
    /// The row of a series with `rows` rows, without a model and scores.
    pub fn new(series: &str, rows: usize, status: Status) -> Self {
        let (file, column) = (String::new(), String::new());
        let series = series.into();
        Self { series, file, column, rows, status, rmse: None, last_value: None, gain: None, val_loss: None }
    }
}

/// A folder with a model for each series, and a table that names the model of each series.
///
/// ```no_run
/// use rnnstep::train::folder::Folder;
/// use rnnstep::{Model, Stream};
///
/// // `rnnstep train sales.csv --series shop --per-series` wrote it
/// if let Some(folder) = Folder::open("models")? {
///     let mut stream = Stream::new(Model::load(folder.model("north")?)?)?;
///     println!("{:?}", stream.step(&[120.0])?);
/// }
/// # Ok::<(), rnnstep::Error>(())
/// ```
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// The series and the file of each row, one after the other, so that a table of millions of rows takes little more
    /// memory than its file.
    names: String,
    /// Sorted by series, then by their order in the table.
    rows: Vec<Named>,
}

/// A row of the table that names a model, as places in [`Folder::names`]: where its series begins, where the series
/// ends and the file begins, and where the file ends.
#[derive(Debug)]
struct Named {
    from: u32,
    middle: u32,
    end: u32,
}

impl Named {
    fn series<'a>(&self, names: &'a str) -> &'a str {
        &names[self.from as usize..self.middle as usize]
    }

    fn file<'a>(&self, names: &'a str) -> &'a str {
        &names[self.middle as usize..self.end as usize]
    }
}

impl Folder {
    /// Opens the folder at `path`; `None` if there is no folder. Its table may have 256 MiB, and takes up to five times
    /// as much memory.
    ///
    /// # Errors
    /// If the table is missing, cannot be read or is too large; names a file outside of the folder; or names one file
    /// for two series.
    pub fn open(path: impl AsRef<Path>) -> Result<Option<Self>> {
        let path = path.as_ref();
        if !path.is_dir() {
            return Ok(None);
        }
        let table = path.join(SCORES);
        let wrong = |reason: String| Error::file(&table, reason);
        if !table.is_file() {
            let reason = format!(
                "is missing, so the model of each series is not known; run the training to its end with --per-series \
                 --resume {}",
                path.display()
            );
            return Err(wrong(reason));
        }
        let io = |source| Error::io(&table, source);
        let len = table.metadata().map_err(io)?.len();
        let too_long = || wrong(format!("is longer than {LARGEST} bytes, the most that is read"));
        if len > LARGEST {
            return Err(too_long());
        }
        let most = usize::try_from(len).unwrap_or(usize::MAX);
        let refused = |refused: memory::Refused| wrong(refused.to_string());
        let mut folder = Self {
            path: path.into(),
            names: String::new(),
            rows: memory::room(most / SHORTEST_ROW + 1).map_err(refused)?,
        };
        folder.names.try_reserve_exact(most).map_err(|_| wrong("does not fit into memory".into()))?;
        csv::read_texts(&table, ["series", "file"], |line, [series, file]| {
            // a table may come from anybody, so it may only name files in its own folder
            let is_name = file.len() <= LONGEST_FILE && Path::new(file).file_name().is_some_and(|name| name == file);
            if !file.is_empty() && !is_name {
                let reason = format!("the model file {} must be a plain file name, without a folder", quoted(file));
                return Err(Error::row(&table, line, reason));
            }
            folder.push(series, file);
            // the file may grow while it is read
            if folder.names.len() as u64 > LARGEST { Err(too_long()) } else { Ok(()) }
        })?;
        // and no file may belong to two series
        let Self { names, rows, .. } = &mut folder;
        rows.sort_unstable_by_key(|row| (row.file(names), row.from));
        if let Some((one, other)) = rows
            .iter()
            .zip(rows.iter().skip(1))
            .find(|(one, other)| one.file(names) == other.file(names) && one.series(names) != other.series(names))
        {
            let (file, one, other) = (quoted(one.file(names)), quoted(one.series(names)), quoted(other.series(names)));
            return Err(wrong(format!("names {file} for two series, {one} and {other}")));
        }
        rows.sort_unstable_by_key(|row| (row.series(names), row.from));
        Ok(Some(folder))
    }

    fn push(&mut self, series: &str, file: &str) {
        // a series that has no model has no file
        if file.is_empty() {
            return;
        }
        let at = |names: &String| u32::try_from(names.len()).unwrap_or(u32::MAX);
        let from = at(&self.names);
        self.names += series;
        let middle = at(&self.names);
        self.names += file;
        self.rows.push(Named { from, middle, end: at(&self.names) });
    }

    /// The columns of its models, which were all trained on the same columns. They are those of the first model that
    /// can be read; `None` if none can.
    pub fn columns(&self, cpu: Cpu) -> Option<Columns> {
        // only files that exist are tried, since a table may name millions that do not
        let existing = std::fs::read_dir(&self.path).into_iter().flatten().flatten();
        let existing: HashSet<String> = existing.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        let named = self.rows.iter().map(|row| row.file(&self.names));
        let files: BTreeSet<&str> = named.filter(|name| existing.contains(*name)).collect();
        let mut loaded =
            files.into_iter().map(|name| file::load(self.path.join(name), &file::ReadOptions::default(), cpu));
        loaded.find_map(Result::ok).map(|loaded| loaded.metadata.columns)
    }

    /// The path of the model of a series.
    ///
    /// # Errors
    /// If the table has no model of that series.
    pub fn model(&self, series: &str) -> Result<PathBuf> {
        // a series may have several rows: the last one counts
        let end = self.rows.partition_point(|row| row.series(&self.names) <= series);
        match self.rows[..end].last().filter(|row| row.series(&self.names) == series) {
            Some(row) => Ok(self.path.join(row.file(&self.names))),
            None => Err(Error::file(&self.path, format!("has no model of series {}", quoted(series)))),
        }
    }

    /// The path of the table in the folder at `path`.
    pub fn table(path: &Path) -> PathBuf {
        path.join(SCORES)
    }

    /// Creates the folder, unless it exists, and removes the table of an earlier training, so that there is no table
    /// until all models are written.
    ///
    /// # Errors
    /// If there is a file at `path`, its parent folder does not exist, or the system refuses.
    pub fn make(path: &Path) -> Result<()> {
        match std::fs::create_dir(path) {
            Err(_) if path.is_dir() => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(Error::file(path, "is a file, but the models need a folder; give --out another name"));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::file(path, "its parent folder does not exist; create that folder first"));
            }
            other => other.map_err(|source| Error::io(path, source))?,
        }
        let table = Self::table(path);
        file::check_writable(&table)?;
        match std::fs::remove_file(&table) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::io(table, source)),
            _ => Ok(()),
        }
    }

    /// Writes the table of the folder at `path`, completely or not at all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(path: &Path, rows: &[Row]) -> Result<()> {
        let header =
            ["series", "file", "column", "rows", "status", "reason", "rmse", "last_value_rmse", "gain", "val_loss"];
        let shown =
            |value: Option<f64>| value.filter(|value| value.is_finite()).map_or_else(String::new, |v| v.to_string());
        let cells = |row: &Row| {
            let text = [&row.series, &row.file, &row.column].map(String::clone);
            let numbers = [row.rmse, row.last_value, row.gain, row.val_loss].map(shown);
            let middle = [row.rows.to_string(), row.status.word().into(), row.status.reason().into()];
            [&text[..], &middle, &numbers].concat()
        };
        csv::write(&Self::table(path), &header.map(String::from), rows.iter().map(cells))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_safe_readable_and_unique() {
        let names = ["Zürich 1", "a/b", "a b", "A_b", "..", "", "nul", "Com1.x", "common", "-x", "日本"];
        let expected = ["Zürich_1", "a_b", "a_b-2", "A_b-3", "_..", "_", "_nul", "_Com1.x", "common", "-x", "日本"];
        let found = file_names(names.iter().copied());
        assert_eq!(found, expected.map(|name| format!("{name}.safetensors")));
        let long = file_names(["日".repeat(200).as_str(), "日".repeat(300).as_str()].into_iter());
        assert!(long[0].len() <= LONGEST + 12 && long[1].len() <= LONGEST + 14 && long[0] != long[1]);
        // a name may be the same as another one with a number
        let found = file_names(["a-2", "a", "A"].into_iter());
        assert_eq!(found, ["a-2.safetensors", "a.safetensors", "A-3.safetensors"]);
    }
}
