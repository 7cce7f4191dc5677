//! Many series: where they come from, what their models are called in a folder, and tables that say what became of each.

use super::input::{extension, read_series};
use super::paths;
use crate::cli::Failure;
use crate::cli::output::report::LEARNED_NOTHING;
use crate::cli::output::screen::{Screen, person_reads_stderr};
use indicatif::{ProgressBar, ProgressStyle};
use rnnstep::cpu::Threads;
use rnnstep::data::csv::{self, CsvOptions};
use rnnstep::data::series::Series;
use rnnstep::error::{listed, quoted, shown};
use rnnstep::model::file;
use rnnstep::model::file::Columns;
use rnnstep::{Cpu, Error, memory};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// The table of a folder of models.
const SCORES: &str = "scores.csv";
/// Rows of a table on the screen, from its head and from its end, if there are more than both together.
const SHOWN: [usize; 2] = [15, 5];
/// Lines of one kind on stderr.
const LINES: usize = 10;
/// The longest table of a folder that is read, in bytes.
const LARGEST: u64 = 1 << 28;
/// The shortest row that names a model, in bytes: `a,b` and a line break.
const SHORTEST_ROW: usize = 4;
/// No file system has a longer name of a file, in bytes.
const LONGEST_FILE: usize = 255;
/// The longest name of a file that is made here, in bytes, without what makes it unlike others and without its ending.
const LONGEST: usize = 100;

/// One of several series.
pub struct OneSeries {
    pub name: String,
    pub file: PathBuf,
    /// Its rows, or why there are none.
    pub series: Result<Series, Error>,
}

/// The series of a table in long form.
pub fn read_long(path: &Path, options: &CsvOptions, column: &str) -> Result<Vec<OneSeries>, Failure> {
    if !matches!(extension(path).as_str(), "csv" | "tsv" | "txt" | "") {
        let column = quoted(column);
        let reason = format!("has no column {column} with the ids of the series; --series is for a .csv");
        return Err(Error::File { path: path.into(), reason }.into());
    }
    let all = csv::read_long(path, options, column)?;
    Ok(all.into_iter().map(|(name, series)| OneSeries { name, file: path.into(), series }).collect())
}

/// Files, each a series with the name of the file; where two have the same one, with the whole path.
pub fn read_files(files: &[PathBuf], options: &CsvOptions) -> Result<Vec<OneSeries>, Failure> {
    let stem = |path: &Path| path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let mut stems: HashMap<String, usize> = HashMap::new();
    if let Some([first, again]) = paths::twice(files) {
        let also = if first == again { String::new() } else { format!(", as {} as well", first.display()) };
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
                let reason = "holds windows already cut; several files are several series, .csv or .npy";
                Err(Error::File { path: path.clone(), reason: reason.into() })
            }
            _ => read_series(path, options).map_err(why),
        };
        OneSeries { name, file: path.clone(), series }
    };
    Ok(files.iter().map(read).collect())
}

/// Of all series the one with this name.
pub fn only(mut all: Vec<OneSeries>, name: &str) -> Result<OneSeries, Failure> {
    if let Some(at) = all.iter().position(|one| one.name == name) {
        return Ok(all.swap_remove(at));
    }
    let path = all.first().map(|one| one.file.clone()).unwrap_or_default();
    let (name, others) = (quoted(name), listed(all.iter().map(|one| one.name.as_str())));
    Err(Error::File { path, reason: format!("there is no series {name}; there are {others}") }.into())
}

/// A word as one types it in a shell.
pub fn typed(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:,".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// A failure as an error that can be kept.
pub fn why(failure: Failure) -> Error {
    match failure {
        Failure::Library(error) => error,
        Failure::Usage(message) => Error::Invalid(message),
        Failure::ClosedPipe => Error::Invalid("whoever read the output has gone".into()),
        Failure::Interrupted => Error::Invalid("interrupted".into()),
    }
}

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

/// What became of a series.
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
        Ok(paths::write(&table, || csv::write(&table, &header.map(String::from), rows.iter().map(cells)))?)
    }
}

/// Calls `work` with the numbers below `count`, on all threads, and gives back what it gave, in order; `None` where `stop`
/// came first. Who does what changes nothing.
pub fn side_by_side<T: Send>(
    threads: &Threads,
    count: usize,
    stop: impl Fn() -> bool + Sync,
    work: impl Fn(usize) -> T + Sync,
) -> Vec<Option<T>> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new((0..count).map(|_| None).collect::<Vec<Option<T>>>()));
    threads.split(threads.count().min(count), |_| {
        while !stop() {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= count {
                break;
            }
            let result = work(i);
            done.lock().unwrap_or_else(PoisonError::into_inner)[i] = Some(result);
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// A bar of so many series or models, where a person reads stderr.
pub fn progress(all: usize, what: &str) -> ProgressBar {
    if !person_reads_stderr() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(all as u64);
    let style = ProgressStyle::with_template(&format!("{{bar:30}} {{pos}}/{{len}} {what}  {{elapsed}}, {{eta}} left"));
    style.map(|style| bar.clone().with_style(style)).unwrap_or(bar)
}

/// So many threads as the machine has cores.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The first column to the left, the others to the right; of many rows the first and the last.
pub fn print(header: &[&str], rows: &[Vec<String>], screen: &mut Screen) -> Result<(), Failure> {
    let [head, tail] = SHOWN;
    let (first, last) = match rows.len() {
        n if n > head + tail => (&rows[..head], &rows[n - tail..]),
        _ => (rows, &[][..]),
    };
    let cells = |row: &Vec<String>, column: usize| row.get(column).map_or(0, |cell| shown(cell).chars().count());
    let width = |column: usize| {
        let widest = first.iter().chain(last).map(|row| cells(row, column)).max().unwrap_or(0);
        widest.max(header[column].chars().count())
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = String>| {
        let cells = cells.zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    screen.line(line(&mut header.iter().map(ToString::to_string)))?;
    for row in first {
        screen.line(line(&mut row.iter().map(|cell| shown(cell))))?;
    }
    if !last.is_empty() {
        screen.line(format_args!("... {} more ...", rows.len() - head - tail))?;
    }
    for row in last {
        screen.line(line(&mut row.iter().map(|cell| shown(cell))))?;
    }
    Ok(())
}

/// Lines on stderr, the first few and how many more there are.
pub fn tell(lines: &[String], more: &str) {
    for line in lines.iter().take(LINES) {
        eprintln!("{line}");
    }
    if lines.len() > LINES {
        eprintln!("{} {more}", lines.len() - LINES);
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

    #[test]
    fn results_stand_in_order_whoever_found_them() {
        for threads in [1, 3, 8] {
            let threads = Threads::new(threads).unwrap();
            let found = side_by_side(&threads, 20, || false, |i| i * i);
            assert_eq!(found, (0..20).map(|i| Some(i * i)).collect::<Vec<_>>());
            assert!(side_by_side(&threads, 0, || false, |i| i).is_empty());
            assert_eq!(side_by_side(&threads, 3, || true, |i| i), [None; 3]);
        }
    }
}
