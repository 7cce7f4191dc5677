//! Reads tables of numbers as text into a [`Series`], CSV with any delimiter, with or without a header; and writes CSV.
//!
//! Rows are counted as a text editor counts lines, columns from 1. Empty lines are skipped, except in a table of one
//! column, where they are missing values.

mod columns;
mod dialect;
mod finish;
mod kept;
mod numeral;
mod options;
mod rows;
pub(super) mod text;

use crate::data::long::Members;
use crate::data::series::{Index, LeftOut, Reason, Series};
use crate::error::{Error, Result, quoted};
use crate::io::atomic::{FOLDER, write_atomic};
use crate::memory::{Refused, asking};
use crate::tensor::Value;
use columns::Watch;
use csv::ByteRecord;
pub use dialect::is_missing;
use dialect::{Cell, Dialect, Kind, Sample};
use kept::{Lines, Times};
use numeral::Style;
pub use options::{CsvOptions, Missing};
use rows::{Layout, Rows};
use std::fmt::{Display, LowerExp};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Write};
use std::path::Path;
pub use text::text;
use text::{NOT_UTF8, QUOTE, is_formula};

/// Reads a table from a file.
///
/// # Errors
/// If the file cannot be read or is no table of numbers; the message names the line and the column.
pub fn read(path: &Path, options: &CsvOptions) -> Result<Series> {
    read_from(open(path)?, path, options)
}

/// Reads a table from any source; `name` is its name in messages.
///
/// **Bounds.** Time is linear in the length of the source, but for sorting rows that go back. Memory is 8 bytes for each
/// number that is kept, and 50 plus its own length for each time, both up to three times that while they grow and are
/// sorted. The current row and the names take at
/// most 128 MiB, because a row has at most a mebibyte.
///
/// # Errors
/// If the source cannot be read or is no table of numbers; the message names the line and the column.
pub fn read_from(source: impl Read, name: &Path, options: &CsvOptions) -> Result<Series> {
    table(source, name, options, None)?.finish()
}

/// Reads a table in long form: the rows of many series, in any order. `column` is the series id column, which names the
/// series of each row. Returns each series with its name, in the order in which they begin. A value that is not a
/// number is an error of its own series only. A missing value is filled in from the row before of the same series. A
/// series of which every row is left out has no rows.
///
/// # Errors
/// If the source cannot be read or is no table, or a row does not name its series; the message names the line and the
/// column.
pub fn read_long(path: &Path, options: &CsvOptions, column: &str) -> Result<Vec<(String, Result<Series>)>> {
    read_long_from(open(path)?, path, options, column)
}

/// The same from any source; `name` is its name in messages.
///
/// # Errors
/// Those of [`read_long`].
pub fn read_long_from(
    source: impl Read,
    name: &Path,
    options: &CsvOptions,
    column: &str,
) -> Result<Vec<(String, Result<Series>)>> {
    table(source, name, options, Some(column))?.finish_long()
}

/// Opens a file; one that was compressed by gzip is read as what it was.
fn open(path: &Path) -> Result<impl Read + use<>> {
    let file = File::open(path).map_err(|error| Error::io(path, error))?;
    if file.metadata().is_ok_and(|found| found.is_dir()) {
        return Err(Error::file(path, FOLDER));
    }
    let mut file = BufReader::with_capacity(1 << 16, file);
    let is_gzip = file.fill_buf().map_err(|error| Error::io(path, error))?.starts_with(&[0x1f, 0x8b]);
    Ok(unpacked(file, is_gzip))
}

#[cfg(feature = "gzip")]
fn unpacked(file: BufReader<File>, is_gzip: bool) -> Box<dyn Read> {
    if is_gzip { Box::new(Unpacked(flate2::bufread::MultiGzDecoder::new(file))) } else { Box::new(file) }
}

/// The content of a compressed file. Its errors say so.
#[cfg(feature = "gzip")]
struct Unpacked<R>(flate2::bufread::MultiGzDecoder<R>);

#[cfg(feature = "gzip")]
impl<R: BufRead> Read for Unpacked<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => io::Error::other("is compressed by gzip and cut off; copy it again"),
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                io::Error::other(format!("is compressed by gzip and damaged ({error}); copy it again"))
            }
            _ => error,
        })
    }
}

#[cfg(not(feature = "gzip"))]
fn unpacked(file: BufReader<File>, _: bool) -> BufReader<File> {
    file
}

fn table<'a>(source: impl Read, name: &'a Path, options: &CsvOptions, series: Option<&str>) -> Result<Table<'a>> {
    let mut source = BufReader::with_capacity(1 << 16, source);
    let sample = Sample::take(&mut source, name, options)?;
    let dialect = Dialect::find(&sample, options)?;
    let layout = Layout { delimiter: dialect.delimiter, skip: options.skip_rows, comment: options.comment };
    let mut rows = Rows::new(Cursor::new(sample.bytes).chain(source), layout);
    let mut table: Option<Table> = None;
    let (mut above, mut units) = (Vec::new(), dialect.units);
    let missing = ByteRecord::from(vec![""]);
    while let Some((line, row, empty)) = rows.next().map_err(|(line, stop)| stop.into_error(name, line))? {
        if above.len() < dialect.above {
            above.push(line);
            continue;
        }
        let Some(table) = &mut table else {
            let mut fresh = Table::new(name, line, row, &dialect, options, series)?;
            fresh.note_above(&above);
            if !dialect.header {
                fresh.push(line, row)?;
            }
            table = Some(fresh);
            continue;
        };
        if core::mem::take(&mut units) {
            table.notes.push(format!("line {line} holds the units of the columns and is left out"));
            continue;
        }
        // an empty line is no row of several columns, but in a single column it is a value that is missing
        let single = table.width == 1;
        for &line in empty.iter().filter(|_| single) {
            table.push(line, &missing)?;
        }
        table.push(line, row)?;
    }
    table.ok_or_else(|| {
        let reason = match (options.skip_rows, options.comment) {
            (0, None) => "is empty; it should hold rows of numbers",
            _ => "holds no rows besides those that are skipped and the comments",
        };
        Error::file(name, reason)
    })
}

/// Reads a table that [`write()`] wrote. For each row, `each` is given the line and the cells of the columns `names`,
/// as [`text`]. One row at a time is in memory, and no row is longer than 1 MiB.
///
/// # Errors
/// If the file cannot be read, lacks one of the columns, has a row with more or fewer cells than its header, or is not
/// UTF-8; and the errors of `each`.
pub fn read_texts<const N: usize>(
    path: &Path,
    names: [&str; N],
    mut each: impl FnMut(u64, [&str; N]) -> Result<()>,
) -> Result<()> {
    let mut rows = Rows::new(open(path)?, b',');
    let mut header: Option<(usize, [usize; N])> = None;
    while let Some((line, row, _)) = rows.next().map_err(|(line, stop)| stop.into_error(path, line))? {
        let Some((width, places)) = header else {
            let mut places = [0; N];
            for (place, name) in places.iter_mut().zip(names) {
                let found = row.iter().position(|cell| cell == name.as_bytes());
                *place = found.ok_or_else(|| Error::file(path, format!("has no column {name:?}")))?;
            }
            header = Some((row.len(), places));
            continue;
        };
        if row.len() != width {
            return Err(Error::row(path, line, format!("has {} cells, but the header has {width}", row.len())));
        }
        let mut cells = [""; N];
        for (cell, place) in cells.iter_mut().zip(places) {
            let bytes = core::str::from_utf8(&row[place]);
            *cell = text(bytes.map_err(|_| Error::row(path, line, "is not UTF-8"))?);
        }
        each(line, cells)?;
    }
    header.map(drop).ok_or_else(|| Error::file(path, "is empty; its first row should name its columns"))
}

/// Writes a table to a file, whole or not at all. An empty `header` is not written.
///
/// # Errors
/// If the file cannot be written, or if a row is not as long as those before it.
pub fn write(path: &Path, header: &[String], rows: impl IntoIterator<Item = Vec<String>>) -> Result<()> {
    write_atomic(path, |out| write_to(out, header, rows))
}

/// Writes a table with commas and line feeds, and with quotes where they are needed. An empty `header` is not written.
///
/// A text that a spreadsheet would take for a formula, because it begins with `=`, `+`, `-`, `@`, a tab or the like,
/// gets a `'` before it; numbers are written unchanged. The readers of this module return the text without the `'`: see
/// [`text`].
///
/// # Errors
/// If `out` fails, or if a row is not as long as those before it.
pub fn write_to(out: impl Write, header: &[String], rows: impl IntoIterator<Item = Vec<String>>) -> io::Result<()> {
    // the kind of the error is kept, because callers treat a closed pipe differently from a full disk
    let io = |error: csv::Error| match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    };
    let mut writer = csv::Writer::from_writer(out);
    if !header.is_empty() {
        write_record(&mut writer, header).map_err(io)?;
    }
    for row in rows {
        write_record(&mut writer, &row).map_err(io)?;
    }
    writer.flush()
}

fn write_record<W: Write>(writer: &mut csv::Writer<W>, cells: &[String]) -> csv::Result<()> {
    for cell in cells {
        if is_formula(cell) {
            writer.write_field(format!("{QUOTE}{cell}"))?;
        } else {
            writer.write_field(cell)?;
        }
    }
    writer.write_record(None::<&[u8]>)
}

/// The mark of a value that is missing and will be filled in. No value that is read is NaN.
const MISSING: f64 = f64::NAN;

/// The shortest decimal number that reads back as the same value. Very large and very small values have an exponent.
pub fn number<V: Value + LowerExp + Display>(value: V) -> String {
    let size: f64 = value.size().into();
    if size == 0.0 || !value.is_finite() || (1e-5..1e16).contains(&size) {
        value.to_string()
    } else {
        format!("{value:e}")
    }
}

/// A table that is being read. `finish.rs` makes series of it.
struct Table<'a> {
    name: &'a Path,
    header: bool,
    /// The line of the first row, and how many cells it has.
    first_line: u64,
    width: usize,
    /// The names of all columns, read or not.
    names: Vec<String>,
    /// The columns that are read, from 0.
    wanted: Vec<usize>,
    time: Option<TimeColumn>,
    /// The column of times of day that belong to the dates in the time column.
    clock: Option<usize>,
    /// `[T, wanted]`.
    values: Vec<f64>,
    times: Times,
    lines: Lines,
    rows: usize,
    /// The series of each row, in a table in long form.
    members: Option<Members>,
    /// Columns that may be no measurements.
    watched: Vec<Watch>,
    left_out: Vec<LeftOut>,
    options: CsvOptions,
    /// For each column of the file, how its numbers are written if it is read, and the first cell that is not a plain
    /// number.
    styles: Vec<Style>,
    marked: Vec<Option<String>>,
    /// What users should know about how the file was read.
    notes: Vec<String>,
}

/// The column that the time is taken from.
struct TimeColumn {
    column: usize,
    guess: Guess,
}

/// How it was decided that a column is the time.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Guess {
    /// It was asked for, or it holds text: dates, or other names of the rows.
    Certain,
    /// It holds numbers that look like a time at the beginning. Whether they are one shows at the end.
    Numbers,
}

impl<'a> Table<'a> {
    fn new(
        name: &'a Path,
        first_line: u64,
        first: &ByteRecord,
        dialect: &Dialect,
        options: &CsvOptions,
        series: Option<&str>,
    ) -> Result<Self> {
        let names = names(first, dialect.header).map_err(|reason| Error::row(name, first_line, reason))?;
        let numbers: Vec<usize> = (1..=names.len()).collect();
        let index = Index::new(&names, &numbers);
        let position = |column: &String| index.find(column).map_err(|reason| Error::file(name, reason));
        let kind = |column: usize| dialect.kinds.get(column).copied().unwrap_or(Kind::Empty);
        let series = series.map(|column| position(&column.to_string())).transpose()?;

        let (mut wanted, mut taken) = (Vec::new(), vec![false; names.len()]);
        let is_there = |column: &String| index.named(column).is_some_and(|column| Some(column) != series);
        let asked = if options.or_all && !options.columns.iter().all(is_there) { &[][..] } else { &options.columns };
        for column in asked {
            let column = position(column)?;
            if Some(column) == series {
                let name_of = quoted(&names[column]);
                let reason =
                    format!("column {name_of} is the series id column, so it can be neither an input nor a target");
                return Err(Error::file(name, reason));
            }
            if !core::mem::replace(&mut taken[column], true) {
                wanted.push(column);
            }
        }
        let title = |column: usize| if dialect.header { first.get(column).unwrap_or_default() } else { b"-" };
        let title = |column: usize| core::str::from_utf8(title(column)).unwrap_or_default();
        let look = |column: usize| dialect.looks.get(column).copied().unwrap_or_default();
        // if there is only one column besides the series id, it is the one to learn, whatever it holds
        let alone = names.len() <= 1 + usize::from(series.is_some());
        let first_column = usize::from(series == Some(0));
        let labels = |column: usize| column == first_column && kind(column) == Kind::Text;
        let rank = |column: &usize| match columns::rank(look(*column), title(*column)) {
            None if labels(*column) => Some(columns::LABELS),
            rank => rank,
        };
        let free = |column: &usize| !taken[*column] && Some(*column) != series && !alone;
        let usual = options.usual_time.as_ref().and_then(|usual| names.iter().position(|name| name == usual));
        let time = match (&options.time, usual.filter(free)) {
            (Some(time), _) => Some(TimeColumn { column: position(time)?, guess: Guess::Certain }),
            (None, Some(column)) => Some(TimeColumn { column, guess: Guess::Certain }),
            (None, None) => {
                let likeliest = (0..names.len()).filter(free).filter(|column| rank(column).is_some()).min_by_key(rank);
                likeliest.map(|column| {
                    let guess = if kind(column) == Kind::Text { Guess::Certain } else { Guess::Numbers };
                    TimeColumn { column, guess }
                })
            }
        };
        let dates = time.as_ref().map(|time| time.column).filter(|&column| look(column) == columns::Look::Dates);
        let may_be_clock = |column: &usize| free(column) && Some(*column) != dates && kind(*column) == Kind::Text;
        let clock = dates.and_then(|dates| {
            (0..names.len()).filter(may_be_clock).find(|&clock| columns::belong(&dialect.texts, dates, clock))
        });
        if let Some(time) = time.as_ref().filter(|time| Some(time.column) == series) {
            let name_of = quoted(&names[time.column]);
            let reason = format!("column {name_of} cannot be both the time column and the series id column");
            return Err(Error::file(name, reason));
        }
        let (mut watched, mut left_out) = (Vec::new(), Vec::new());
        if asked.is_empty() {
            let certain = time.as_ref().filter(|time| time.guess != Guess::Numbers).map(|time| time.column);
            // a delimiter at the end of each line makes no column; but a column with a name and without values is an
            // error
            let stray = |column: usize| kind(column) == Kind::Empty && first.get(column).is_none_or(<[u8]>::is_empty);
            let others = (0..names.len()).filter(|&column| Some(column) != certain && Some(column) != series);
            for column in others.filter(|&column| Some(column) != clock) {
                let reason = match kind(column) {
                    Kind::Text if look(column) == columns::Look::Dates => Reason::Time,
                    Kind::Text => Reason::Text,
                    _ if stray(column) => Reason::Empty,
                    _ => {
                        wanted.push(column);
                        continue;
                    }
                };
                left_out.push(LeftOut::of(&names, column, reason));
            }
            if !alone {
                watched =
                    columns::watched(&wanted, time.as_ref().map(|time| time.column), look, title, series.is_some());
            }
        } else if let Some(TimeColumn { column, guess: Guess::Numbers }) = time {
            watched.push(Watch::new(column, title(column)));
        }
        let mut styles = vec![Style::POINT; names.len()];
        let of_wanted = numeral::styles(&dialect.texts, &wanted, options);
        wanted.iter().zip(of_wanted).for_each(|(&column, style)| styles[column] = style);
        let table = Self {
            name,
            header: dialect.header,
            first_line,
            width: names.len(),
            names,
            wanted,
            time,
            clock,
            values: Vec::new(),
            times: Times::default(),
            lines: Lines::default(),
            rows: 0,
            members: series.map(Members::new),
            watched,
            left_out,
            marked: vec![None; styles.len()],
            styles,
            options: options.clone(),
            notes: Vec::new(),
        };
        Ok(table)
    }

    fn push(&mut self, line: u64, row: &ByteRecord) -> Result<()> {
        if row.len() != self.width {
            if row.iter().all(<[u8]>::is_empty) || (row.len() == 1 && row.as_slice().trim_ascii().is_empty()) {
                return Ok(());
            }
            return Err(self.ragged(line, row.len()));
        }
        self.rows += 1;
        let Some(member) = self.member(line, row)? else { return Ok(()) };
        for watch in &mut self.watched {
            let cell = String::from_utf8_lossy(row.get(watch.column).unwrap_or_default());
            watch.see(self.options.text(&cell), self.members.as_ref().map(|_| member));
        }
        let time = self.time.as_ref().map_or(Ok("".into()), |time| self.time_of(line, time.column, row))?;
        let room =
            asking(|| self.values.try_reserve(self.wanted.len()).and_then(|()| self.times.try_reserve(time.len())));
        if room.is_err() {
            let bytes = size_of_val(&self.values[..]) + self.times.bytes();
            return Err(Error::row(self.name, line, Refused(bytes).to_string()));
        }
        let start = self.values.len();
        match self.push_values(line, row) {
            Ok(true) => {}
            Ok(false) => {
                self.values.truncate(start);
                return Ok(());
            }
            Err(error) => {
                let Some(members) = &mut self.members else { return Err(error) };
                members.fail(member, error);
                self.values.truncate(start);
                return Ok(());
            }
        }
        if let Some(members) = &mut self.members {
            members.keep(member);
        }
        self.lines.push(line);
        if self.time.is_some() {
            self.times.push(&time);
        }
        Ok(())
    }

    /// The number of the series of the row; `None` if it is not wanted.
    fn member(&mut self, line: u64, row: &ByteRecord) -> Result<Option<usize>> {
        let Some(members) = &mut self.members else { return Ok(Some(0)) };
        let column = members.column();
        match members.of(row.get(column).unwrap_or_default()) {
            Ok(member) if members.failed(member) => Ok(None),
            Ok(member) => Ok(Some(member)),
            Err(_) if self.options.missing == Missing::Drop && is_blank(row.get(column)) => Ok(None),
            Err(reason) => Err(self.error(line, column, reason)),
        }
    }

    /// Adds the values of a row to all others; a value that is missing and will be filled in is NaN. Returns false if
    /// the row is to be left out.
    fn push_values(&mut self, line: u64, row: &ByteRecord) -> Result<bool> {
        for position in 0..self.wanted.len() {
            let column = self.wanted[position];
            match self.value(line, column, row.get(column).unwrap_or_default())? {
                Some(value) => self.values.push(value),
                None if self.options.missing == Missing::Drop => return Ok(false),
                None => self.values.push(MISSING),
            }
        }
        Ok(true)
    }

    /// The value of a cell; `None` if it is missing.
    fn value(&mut self, line: u64, column: usize, cell: &[u8]) -> Result<Option<f64>> {
        let Ok(text) = core::str::from_utf8(cell) else {
            return Err(self.error(line, column, NOT_UTF8));
        };
        let text = self.options.text(text);
        let style = self.styles.get(column).copied().unwrap_or(Style::POINT);
        let found = self.options.cell(text);
        let value = match found {
            Cell::Missing if self.options.missing == Missing::Error => {
                return Err(self.error(line, column, &format!("the value is missing; {}", Missing::ADVICE)));
            }
            Cell::Missing => return Ok(None),
            // a point may stand between thousands
            Cell::Number(value) if style.decimal == '.' || !text.contains('.') => Some(value),
            Cell::Text => None,
            Cell::Number(_) | Cell::Marked => {
                if let Some(first @ None) = self.marked.get_mut(column) {
                    *first = Some(text.into());
                }
                style.read(text)
            }
        };
        match value {
            Some(value) if (value as f32).is_finite() => Ok(Some(value)),
            Some(_) => {
                let reason = format!("{} is not finite as a 32-bit number; the largest is 3.4e38", quoted(text));
                Err(self.error(line, column, &reason))
            }
            None if found == Cell::Text => Err(self.error(line, column, &format!("{} is not a number", quoted(text)))),
            None => {
                let reason = format!(
                    "{} is no number in a column with {:?} before decimals; if that is wrong, give --decimal",
                    quoted(text),
                    style.decimal
                );
                Err(self.error(line, column, &reason))
            }
        }
    }

    /// Notes the lines above the table, which are left out.
    fn note_above(&mut self, lines: &[u64]) {
        self.notes.extend(match lines {
            [] => None,
            [line] => Some(format!("line {line} is above the table and is left out")),
            [first, .., last] => Some(format!("lines {first} to {last} are above the table and are left out")),
        });
    }

    /// What stands before the decimals of the columns that are read, if it is not a point.
    fn decimal(&self) -> Option<char> {
        let marks = self.wanted.iter().filter_map(|&column| self.styles.get(column)).map(|style| style.decimal);
        marks.into_iter().find(|mark| *mark != '.')
    }

    /// Notes how the numbers of the columns were read that are not plain.
    fn note_numbers(&mut self) {
        for &column in &self.wanted {
            let (Some(Some(text)), Some(style)) = (self.marked.get(column), self.styles.get(column)) else { continue };
            let (Some(value), name) = (style.read(text), self.names.get(column)) else { continue };
            let name = name.map(|name| quoted(name)).unwrap_or_default();
            // in the other style it would be another number
            let other = if style.decimal == '.' { Style::COMMA } else { Style::POINT };
            let advice = match other.read(text) {
                Some(another) if another != value && self.options.decimal.is_none() => {
                    format!("; if {:?} stands before its decimals, add --decimal {}", other.decimal, other.decimal)
                }
                _ => String::new(),
            };
            self.notes.push(format!("column {name}: {} is read as {}{advice}", quoted(text), number(value)));
        }
    }

    fn error(&self, line: u64, column: usize, reason: &str) -> Error {
        let name = self.names.get(column).map(|name| quoted(name)).unwrap_or_default();
        Error::row(self.name, line, format!("column {name}: {reason}"))
    }

    fn ragged(&self, line: u64, width: usize) -> Error {
        let values = |n: usize| if n == 1 { "1 value".to_string() } else { format!("{n} values") };
        let (got, expected, first) = (values(width), values(self.width), self.first_line);
        let reason = format!(
            "holds {got}, but line {first} holds {expected}; every row needs the same number (lines that are no rows can \
             be left out with --skip-rows and --comment)"
        );
        Error::row(self.name, line, reason)
    }
}

/// Whether a cell is blank, so that it names no series: see [`Members`].
fn is_blank(cell: Option<&[u8]>) -> bool {
    cell.is_none_or(|cell| core::str::from_utf8(cell).is_ok_and(|text| text.trim().is_empty()))
}

/// The names in the first row. Where there is no name, it is the number of the column.
fn names(first: &ByteRecord, header: bool) -> Result<Vec<String>, String> {
    let name = |(column, cell): (usize, &[u8])| match core::str::from_utf8(cell) {
        Ok(name) if header && !name.trim().is_empty() => Ok(text(name.trim()).to_string()),
        Err(_) if header => Err(NOT_UTF8.to_string()),
        _ => Ok((column + 1).to_string()),
    };
    first.iter().enumerate().map(name).collect()
}
