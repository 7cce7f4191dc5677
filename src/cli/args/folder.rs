//! A folder with a model for each of many series: what the models are called, and the table with the result of each.

use crate::cli::failure::Failure;
use crate::cli::output::files;
use crate::cli::output::report::LEARNED_NOTHING;
use rnnstep::data::csv;
use rnnstep::error::quoted;
use rnnstep::model::file;
use rnnstep::model::file::Columns;
use rnnstep::{Cpu, Error, memory};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// The table of a folder of models.
const SCORES: &str = "scores.csv";
/// The longest table of a folder that is read, in bytes.
const LARGEST: u64 = 1 << 28;
/// The shortest row that names a model, in bytes: `a,b` and a line break.
const SHORTEST_ROW: usize = 4;
/// No file system has a longer name of a file, in bytes.
const LONGEST_FILE: usize = 255;
/// The longest name of a file that is made here, in bytes, without what makes it unlike others and without its ending.
const LONGEST: usize = 100;

/// Names of files for names of series: readable, none twice (also where upper and lower case are the same), and nothing in
/// them that means something to a file system.
pub fn file_names<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    // of each name the number that is the next to try: a million names that are one when made safe need no more looks than that
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
        // hidden files, and the devices that Windows has in every folder
        let device = ["con", "prn", "aux", "nul", "com", "lpt"].iter().any(|device| {
            let stem = safe.split('.').next().unwrap_or_default().to_lowercase();
            stem.strip_prefix(device).is_some_and(|rest| rest.is_empty() || rest.parse::<u8>().is_ok())
        });
        if safe.is_empty() || safe.starts_with('.') || device { format!("_{safe}") } else { safe }
    };
    let unlike = |name: String| {
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
    names.map(safe).map(unlike).collect()
}

/// The result of a series.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    /// There is a model; `learned` as in [`rnnstep::train::Outcome`].
    Done {
        learned: bool,
    },
    /// There is none, and why.
    Failed(String),
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

    /// What there is to say besides.
    fn reason(&self) -> &str {
        match self {
            Self::Done { learned: false } => LEARNED_NOTHING,
            Self::Failed(reason) => reason,
            Self::Done { learned: true } | Self::Interrupted => "",
        }
    }
}

/// What is said of one series, or of one of its predicted columns.
#[derive(Clone, Debug)]
pub struct Row {
    pub series: String,
    /// Its model, as a file of the folder.
    pub file: String,
    pub column: String,
    pub rows: usize,
    pub status: Status,
    pub rmse: Option<f64>,
    pub last_value: Option<f64>,
    pub gain: Option<f64>,
    pub val_loss: Option<f64>,
}

impl Row {
    /// Of a series with so many rows, without a model and scores.
    pub fn new(series: &str, rows: usize, status: Status) -> Self {
        let (file, column) = (String::new(), String::new());
        let series = series.into();
        Self { series, file, column, rows, status, rmse: None, last_value: None, gain: None, val_loss: None }
    }
}

/// A folder with a model for each series, and the table that says which is whose.
pub struct Folder {
    path: PathBuf,
    /// Of each row the series and its file, one after the other: a table of millions of rows takes little more than itself.
    names: String,
    /// By series, then as they stand in the table.
    rows: Vec<Named>,
}

/// A row of the table: where in [`Folder::names`] its series begins, where that ends and the file begins, and where that ends.
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
    /// The folder of that name, if there is a folder. Its table is read up to 256 MiB, into five times the memory.
    pub fn open(path: &Path) -> Result<Option<Self>, Failure> {
        if !path.is_dir() {
            return Ok(None);
        }
        let table = path.join(SCORES);
        let wrong = |reason: String| Error::File { path: table.clone(), reason };
        if !table.is_file() {
            let reason = format!(
                "is not there, so nothing says which model is whose; train with --per-series --resume {} to its end",
                path.display()
            );
            return Err(wrong(reason).into());
        }
        let io = |source| Error::Io { path: table.clone(), source };
        let len = table.metadata().map_err(io)?.len();
        let too_long = || wrong(format!("is longer than {LARGEST} bytes, which no table of models is"));
        if len > LARGEST {
            return Err(too_long().into());
        }
        // at least `a,b` and a line break
        let most = usize::try_from(len).unwrap_or(usize::MAX);
        let refused = |refused: memory::Refused| wrong(refused.to_string());
        let mut folder = Self {
            path: path.into(),
            names: String::new(),
            rows: memory::room(most / SHORTEST_ROW + 1).map_err(refused)?,
        };
        folder.names.try_reserve_exact(most).map_err(|_| wrong("holds more than fits into memory".into()))?;
        csv::read_texts(&table, ["series", "file"], |line, [series, file]| {
            // a table may come from anywhere: it names files of its own folder
            let is_name = file.len() <= LONGEST_FILE && Path::new(file).file_name().is_some_and(|name| name == file);
            if !file.is_empty() && !is_name {
                let reason = format!("{} is no name of a file in this folder", quoted(file));
                return Err(Error::Row { path: table.clone(), line, reason });
            }
            folder.push(series, file);
            // one that grows while it is read
            if folder.names.len() as u64 > LARGEST { Err(too_long()) } else { Ok(()) }
        })?;
        // and each for one series
        let Self { names, rows, .. } = &mut folder;
        rows.sort_unstable_by_key(|row| (row.file(names), row.from));
        if let Some((one, other)) = rows
            .iter()
            .zip(rows.iter().skip(1))
            .find(|(one, other)| one.file(names) == other.file(names) && one.series(names) != other.series(names))
        {
            let (file, one, other) = (quoted(one.file(names)), quoted(one.series(names)), quoted(other.series(names)));
            return Err(wrong(format!("names {file} for two series, {one} and {other}")).into());
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

    /// The columns of its models, which were all trained on the same ones: those of the first that can be read.
    pub fn columns(&self, cpu: Cpu) -> Option<Columns> {
        // what is there: a table may name millions that are not
        let there = std::fs::read_dir(&self.path).into_iter().flatten().flatten();
        let there: HashSet<String> = there.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        let named = self.rows.iter().map(|row| row.file(&self.names));
        let files: BTreeSet<&str> = named.filter(|name| there.contains(*name)).collect();
        let mut loaded = files.into_iter().map(|name| file::load(self.path.join(name), None, cpu));
        loaded.find_map(Result::ok).map(|loaded| loaded.metadata.columns)
    }

    /// The model file of a series.
    pub fn model(&self, series: &str) -> Result<PathBuf, Error> {
        // of several rows the last
        let behind = self.rows.partition_point(|row| row.series(&self.names) <= series);
        match self.rows[..behind].last().filter(|row| row.series(&self.names) == series) {
            Some(row) => Ok(self.path.join(row.file(&self.names))),
            None => Err(Error::File {
                path: self.path.clone(),
                reason: format!("has no model of series {}", quoted(series)),
            }),
        }
    }

    /// Where the table of a folder lies.
    pub fn table(path: &Path) -> PathBuf {
        path.join(SCORES)
    }

    /// Writes the table of a folder.
    pub fn write(path: &Path, rows: &[Row]) -> Result<(), Failure> {
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
        let table = Self::table(path);
        Ok(files::write(&table, || csv::write(&table, &header.map(String::from), rows.iter().map(cells)))?)
    }
}

/// Makes the folder, unless it is there, and takes the table of an earlier training away.
pub fn make_folder(path: &Path) -> Result<(), Failure> {
    match std::fs::create_dir(path) {
        Err(_) if path.is_dir() => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let reason = "is a file; name a folder for the models, or leave --out out";
            return Err(Error::File { path: path.into(), reason: reason.into() }.into());
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let reason = "the folder that it is to lie in does not exist; create it first";
            return Err(Error::File { path: path.into(), reason: reason.into() }.into());
        }
        other => other.map_err(|source| Error::Io { path: path.into(), source })?,
    }
    let table = Folder::table(path);
    file::check_writable(&table)?;
    // until all is done nothing says that it is
    match std::fs::remove_file(&table) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::Io { path: table, source }.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_safe_readable_and_unlike() {
        let names = ["Zürich 1", "a/b", "a b", "A_b", "..", "", "nul", "Com1.x", "common", "-x", "日本"];
        let expected = ["Zürich_1", "a_b", "a_b-2", "A_b-3", "_..", "_", "_nul", "_Com1.x", "common", "-x", "日本"];
        let found = file_names(names.iter().copied());
        assert_eq!(found, expected.map(|name| format!("{name}.safetensors")));
        let long = file_names(["日".repeat(200).as_str(), "日".repeat(300).as_str()].into_iter());
        assert!(long[0].len() <= LONGEST + 12 && long[1].len() <= LONGEST + 14 && long[0] != long[1]);
        // what is unlike already may be what a number would make
        let found = file_names(["a-2", "a", "A"].into_iter());
        assert_eq!(found, ["a-2.safetensors", "a.safetensors", "A-3.safetensors"]);
    }
}
