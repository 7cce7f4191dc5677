//! The format of a table, detected from its beginning: encoding, delimiter, header or not, columns of numbers.

use super::CsvOptions;
use super::columns::Look;
use super::numeral;
use super::rows::{Layout, Rows};
use crate::data::time::column::Column;
use crate::error::{Error, Result, quoted};
use crate::io::atomic::FOLDER;
use crate::io::foreign::{self, Foreign};
use std::io::{self, BufRead, Read};
use std::path::Path;

/// How many bytes of rows are examined.
const SAMPLE: usize = 1 << 16;

/// How many bytes are kept to find these rows behind lines that are left out.
const LONGEST_SAMPLE: usize = 1 << 24;

/// The possible delimiters, the likeliest first.
const DELIMITERS: [u8; 5] = *b",;\t| ";

/// The texts that mean a missing value, in upper or lower case.
const MISSING: [&str; 6] = ["", "na", "n/a", "nan", "null", "?"];

/// The beginning of a table.
pub(super) struct Sample {
    pub(super) bytes: Vec<u8>,
    /// Whether the sample is the whole table.
    whole: bool,
}

/// The detected format.
#[derive(Debug)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    /// Whether the first row holds names.
    pub(super) header: bool,
    /// For each column, what it holds.
    pub(super) kinds: Vec<Kind>,
    /// For each column, whether it may be a time or a counter.
    pub(super) looks: Vec<Look>,
    /// The cells of the rows of the sample, without the header.
    pub(super) texts: Vec<Vec<String>>,
    /// The rows above the table: a title, and the like.
    pub(super) above: usize,
    /// Whether the row below the header holds units.
    pub(super) units: bool,
}

/// What a column holds, as far as the beginning shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Mostly numbers. Anything else in it is an error.
    Numbers,
    /// Mostly text.
    Text,
    /// Nothing.
    Empty,
}

/// What is in one cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell {
    Number(f64),
    /// A number with marks: a decimal comma, marks between thousands, a currency.
    Marked,
    Missing,
    Text,
}

impl Cell {
    pub(super) fn of(text: &str) -> Self {
        let text = text.trim();
        if MISSING.iter().any(|missing| missing.eq_ignore_ascii_case(text)) {
            return Self::Missing;
        }
        match text.parse::<f64>() {
            Ok(value) => Self::Number(value),
            Err(_) if numeral::is_marked(text) => Self::Marked,
            Err(_) => Self::Text,
        }
    }

    fn is_numeric(self) -> bool {
        matches!(self, Self::Number(_) | Self::Marked)
    }
}

impl Sample {
    /// Reads the first bytes of `source`. Lines that `options` leave out do not count, so that rows are seen behind them.
    ///
    /// # Errors
    /// If they cannot be read, are not text in an encoding that is understood, or there are none.
    pub(super) fn take(source: &mut impl BufRead, name: &Path, options: &CsvOptions) -> Result<Self> {
        let (mut bytes, mut of_rows, mut skip, mut whole) = (Vec::new(), 0, options.skip_rows, false);
        while of_rows < SAMPLE && bytes.len() < LONGEST_SAMPLE && !whole {
            let start = bytes.len();
            let mut part = source.by_ref().take((SAMPLE - of_rows) as u64);
            let read = part.read_until(b'\n', &mut bytes).map_err(|error| match error.kind() {
                io::ErrorKind::IsADirectory => Error::file(name, FOLDER),
                _ => Error::io(name, error),
            })?;
            whole = read == 0;
            if skip == 0 && bytes.get(start).copied() != options.comment {
                of_rows += read;
            }
            skip = skip.saturating_sub(1);
        }
        if bytes.starts_with(b"\xef\xbb\xbf") {
            bytes.drain(..3);
        }
        match foreign::recognise(bytes.get(..foreign::HEAD).unwrap_or(&bytes)) {
            None | Some(Foreign::Text) => {}
            Some(other) => return Err(Error::file(name, other.instead_of_table())),
        }
        match bytes.as_slice() {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, 1..=255, ..] | [1..=255, 0, ..] => {
                Err(Error::file(name, "is text in UTF-16, or not text at all; save it as UTF-8"))
            }
            bytes if bytes.iter().all(u8::is_ascii_whitespace) && whole => {
                Err(Error::file(name, "is empty; it should hold rows of numbers"))
            }
            _ => Ok(Self { bytes, whole }),
        }
    }

    /// The rows of the sample, up to the first that cannot be read. A last row that the sample cuts off is left out.
    fn rows<T>(&self, layout: Layout, cell: impl Fn(&str) -> T) -> Vec<Vec<T>> {
        let mut rows = Rows::new(self.bytes.as_slice(), layout);
        let mut found = Vec::new();
        while let Ok(Some((_, row, _))) = rows.next() {
            found.push(row.iter().map(|bytes| cell(&String::from_utf8_lossy(bytes))).collect());
        }
        if !self.whole && found.len() > 1 {
            found.pop();
        }
        found
    }
}

impl Dialect {
    /// Detects the format, except for what `options` give.
    ///
    /// # Errors
    /// If a mark is given that cannot be one.
    pub(super) fn find(sample: &Sample, options: &CsvOptions) -> Result<Self> {
        check_marks(options)?;
        let layout = |delimiter| Layout { delimiter, skip: options.skip_rows, comment: options.comment };
        let cells = |delimiter| sample.rows(layout(delimiter), |text| options.cell(options.text(text)));
        let (delimiter, mut rows) = match options.delimiter {
            Some(delimiter) => (delimiter, cells(delimiter)),
            None => {
                let mut best = (b',', cells(b','));
                let mut best_score = score(&best.1);
                for &delimiter in &DELIMITERS[1..] {
                    let rows = cells(delimiter);
                    let score = score(&rows);
                    if score > best_score {
                        (best, best_score) = ((delimiter, rows), score);
                    }
                }
                // in a single column of numbers with a decimal comma, a comma is no delimiter
                let is_single = |(head, rest): (&Vec<Cell>, &[Vec<Cell>])| {
                    let halves = |row: &Vec<Cell>| matches!(row[..], [Cell::Number(_), Cell::Number(_)]);
                    head[..] == [Cell::Text] && !rest.is_empty() && rest.iter().all(halves)
                };
                if best.0 == b',' && best.1.split_first().is_some_and(is_single) { (b';', cells(b';')) } else { best }
            }
        };
        let above = above(&rows);
        rows.drain(..above);
        let mut texts = sample.rows(layout(delimiter), |text| options.text(text).to_string());
        texts.drain(..above.min(texts.len()));
        let (first, rest) = match rows.split_first() {
            Some((first, rest)) => (first.as_slice(), rest),
            None => (&[][..], &[][..]),
        };
        let kinds = |rows: &[Vec<Cell>]| -> Vec<Kind> {
            (0..first.len()).map(|column| kind(rows.iter().filter_map(|row| row.get(column).copied()))).collect()
        };
        let header = options.header.unwrap_or_else(|| is_header(first, rest, &kinds(rest)));
        let mut data = if header { rest } else { &rows };
        let mut units = false;
        if let Some((second, others)) = data.split_first().filter(|_| header && texts.len() > 2) {
            let below = kinds(others);
            let of_others = [&texts[..1], &texts[2..]].concat();
            units = are_units(second, &texts[1], &below, &looks(&of_others, header, &below));
            if units {
                (data, texts) = (others, of_others);
            }
        }
        let kinds = kinds(data);
        let looks = looks(&texts, header, &kinds);
        texts.drain(..usize::from(header).min(texts.len()));
        Ok(Self { delimiter, header, kinds, looks, texts, above, units })
    }
}

/// Checks the marks that `options` give.
fn check_marks(options: &CsvOptions) -> Result<()> {
    let wrong = |mark: char, reason: &str| Err(Error::invalid(format!("{} {reason}", quoted(&mark.to_string()))));
    if let Some(delimiter @ (0 | b'\n' | b'\r' | b'"' | 0x80..)) = options.delimiter {
        return wrong(delimiter.into(), "cannot be a delimiter; use one of , ; | tab space");
    }
    if let Some(comment @ (0 | b'\n' | b'\r' | b'"' | b'0'..=b'9' | 0x80..)) = options.comment {
        return wrong(comment.into(), "cannot begin comments; use # or the like");
    }
    for (mark, what) in [(options.decimal, "before decimals"), (options.thousands, "between thousands")] {
        if let Some(mark) = mark.filter(|mark| mark.is_alphanumeric() || "+-\u{2212}\"".contains(*mark)) {
            return wrong(mark, &format!("cannot stand {what}"));
        }
    }
    match options.decimal {
        Some(mark) if options.thousands == Some(mark) => {
            wrong(mark, "cannot stand both before decimals and between thousands; give two marks")
        }
        _ => Ok(()),
    }
}

/// The most rows above a table that are looked for.
const MOST_ABOVE: usize = 20;

/// The number of rows above the table: rows of text that fill at most half of its columns, or another number of
/// columns, above a row of names in all columns.
fn above(rows: &[Vec<Cell>]) -> usize {
    let mut widths: Vec<usize> = rows.iter().map(Vec::len).collect();
    widths.sort_unstable();
    let Some(width) = widths.chunk_by(|a, b| a == b).max_by_key(|run| run.len()).map(|run| run[0]) else { return 0 };
    // a delimiter at the end of each line makes a column without anything in it
    let is_used = |column: &usize| rows.iter().any(|row| row.get(*column).is_some_and(|cell| *cell != Cell::Missing));
    let used: Vec<usize> = (0..width).filter(is_used).collect();
    let are_names = |row: &Vec<Cell>| row.len() == width && used.iter().all(|&column| row[column] == Cell::Text);
    let Some(first) = rows.iter().take(MOST_ABOVE).position(are_names).filter(|_| used.len() > 1) else { return 0 };
    let is_title = |row: &Vec<Cell>| {
        let texts = row.iter().filter(|cell| **cell == Cell::Text).count();
        // names of all columns but the first, which holds the names of the rows
        let may_be_header = row.len() == width && row.first() == Some(&Cell::Missing) && texts + 1 == used.len();
        let is_text = row.iter().all(|cell| matches!(cell, Cell::Text | Cell::Missing));
        is_text && !may_be_header && (row.len() != width || 2 * texts <= used.len())
    };
    if rows[..first].iter().all(is_title) { first } else { 0 }
}

/// Texts that stand for no value in some tables, and are no units.
const NO_UNITS: [&str; 12] =
    ["-", "--", ".", "..", "none", "nil", "closed", "error", "missing", "no data", "nodata", "unknown"];

/// Whether the row below a header holds units: text above columns of numbers, and no number. Where the rows have names
/// or dates, it has nothing, or no date. `texts` is the same row as text.
fn are_units(row: &[Cell], texts: &[String], below: &[Kind], looks: &[Look]) -> bool {
    let fits = |(place, cell): (usize, &Cell)| {
        let text = texts.get(place).map(String::as_str).unwrap_or_default();
        match (cell, below.get(place), looks.get(place)) {
            (Cell::Missing, ..) => true,
            (Cell::Text, Some(Kind::Numbers), _) => !NO_UNITS.iter().any(|none| none.eq_ignore_ascii_case(text)),
            (Cell::Text, _, Some(Look::Dates)) => Column::of_dates(std::iter::once(text)).is_none(),
            _ => false,
        }
    };
    let over_numbers = |(cell, kind): (&Cell, &Kind)| *cell == Cell::Text && *kind == Kind::Numbers;
    row.len() > 1 && row.iter().enumerate().all(fits) && row.iter().zip(below).any(over_numbers)
}

/// Whether the text of a cell stands for a missing value: see [`Missing`](super::Missing).
pub fn is_missing(text: &str) -> bool {
    Cell::of(text) == Cell::Missing
}

/// What each column looks like, of the rows of a sample.
fn looks(rows: &[Vec<String>], header: bool, kinds: &[Kind]) -> Vec<Look> {
    let (names, rows) = match rows.split_first() {
        Some((names, rest)) if header => (Some(names), rest),
        _ => (None, rows),
    };
    let look = |(column, &kind): (usize, &Kind)| {
        let name = names.and_then(|names| names.get(column));
        let cells: Vec<&str> = rows.iter().filter_map(|row| row.get(column).map(String::as_str)).collect();
        // without a header, a column has no name and not an empty one
        Look::of(name.map_or("-", String::as_str), kind, &cells)
    };
    kinds.iter().enumerate().map(look).collect()
}

/// How well a delimiter fits: the share of rows that have the commonest number of cells, plus the share of cells that
/// are numbers. It is 0 if the commonest number of cells is one.
fn score(rows: &[Vec<Cell>]) -> f64 {
    let mut widths: Vec<usize> = rows.iter().map(Vec::len).collect();
    widths.sort_unstable();
    let runs = widths.chunk_by(|a, b| a == b);
    let Some(run) = runs.max_by_key(|run| run.len()).filter(|run| run[0] > 1) else { return 0.0 };
    let cells = widths.iter().sum::<usize>();
    let numbers = rows.iter().flatten().filter(|cell| cell.is_numeric()).count();
    run.len() as f64 / rows.len() as f64 + numbers as f64 / cells as f64
}

/// A column holds numbers if at least half of its cells that are not empty are numbers.
fn kind(cells: impl Iterator<Item = Cell>) -> Kind {
    let (mut numbers, mut texts) = (0, 0);
    for cell in cells {
        numbers += usize::from(cell.is_numeric());
        texts += usize::from(cell == Cell::Text);
    }
    match (numbers, texts) {
        (0, 0) => Kind::Empty,
        _ if numbers >= texts => Kind::Numbers,
        _ => Kind::Text,
    }
}

/// Whether the first row is a header: each of its cells is a name or empty, and at least one name stands above a column
/// of numbers, or there is no column of numbers. A number with marks, such as `10%`, is a name above plain numbers.
fn is_header(first: &[Cell], rest: &[Vec<Cell>], below: &[Kind]) -> bool {
    let is_plain = |column: usize| {
        let mut cells = rest.iter().filter_map(|row| row.get(column));
        below.get(column) == Some(&Kind::Numbers) && cells.all(|cell| *cell != Cell::Marked)
    };
    let is_name = |(column, cell): (usize, &Cell)| match cell {
        Cell::Text => true,
        Cell::Marked => is_plain(column),
        Cell::Number(_) | Cell::Missing => false,
    };
    let over_numbers =
        |(column, cell): (usize, &Cell)| is_name((column, cell)) && below.get(column) == Some(&Kind::Numbers);
    let (mut cells, mut names) = (first.iter().enumerate(), first.iter().enumerate());
    cells.all(|(column, cell)| *cell == Cell::Missing || is_name((column, cell)))
        && first.contains(&Cell::Text)
        && (names.any(over_numbers) || !below.contains(&Kind::Numbers))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str) -> Dialect {
        let sample = Sample::take(&mut text.as_bytes(), Path::new("test"), &CsvOptions::default()).unwrap();
        Dialect::find(&sample, &CsvOptions::default()).unwrap()
    }

    #[test]
    fn delimiters_are_found() {
        for (delimiter, text) in [
            (b',', "a,b\n1,2\n3,4\n"),
            (b';', "a;b\n1;2\n3;4\n"),
            (b';', "a;b\n1,5;2,5\n3,5;4,5\n"),
            (b'\t', "a\tb\n1\t2\n"),
            (b'|', "a|b\n1|2\n"),
            (b' ', "1 2\n3 4\n"),
            (b',', "1, 2, 3\n4, 5, 6\n"),
            (b',', "when,x\n2012-01-01 00:00:00,1\n2012-01-02 00:00:00,2\n"),
            (b';', "when;x\n\"a,b\";1\n\"c,d\";2\n"),
            (b',', "the value\n1\n2\n"),
            (b',', "a,b\n1,2\n3\n5,6\n"),
        ] {
            assert_eq!(char::from(find(text).delimiter), char::from(delimiter), "{text}");
        }
    }

    #[test]
    fn headers_are_found() {
        for text in ["a,b\n1,2\n", "a,b\n", "date,x\n2012,1\n", "a,b\n1,?\n", "a,\n1,2\n", "name,city\nx,y\n"] {
            assert!(find(text).header, "{text}");
        }
        for text in ["1,2\n3,4\n", "2012-01-01,1\n2012-01-02,2\n", "1\n2\n", "2012-01-01,NA\n2012-01-02,2\n", "NA\n1\n"]
        {
            assert!(!find(text).header, "{text}");
        }
    }

    #[test]
    fn cells() {
        assert_eq!(Cell::of(" 1.5 "), Cell::Number(1.5));
        assert_eq!(Cell::of("-1e3"), Cell::Number(-1000.0));
        assert_eq!(Cell::of("1,5"), Cell::Marked);
        assert_eq!(Cell::of("1,234,567"), Cell::Marked);
        assert_eq!(Cell::of("1,23,4"), Cell::Text);
        assert_eq!(Cell::of("0x10"), Cell::Text);
        for missing in ["", "  ", "NA", "n/a", "NaN", "null", "NULL", "?"] {
            assert_eq!(Cell::of(missing), Cell::Missing);
        }
    }
}
