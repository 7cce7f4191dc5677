//! The format of a table, detected from its beginning: encoding, delimiter, header or not, columns of numbers.

use super::columns::Look;
use super::rows::Rows;
use crate::error::{Error, Result, quoted};
use crate::io::atomic::FOLDER;
use crate::io::foreign::{self, Foreign};
use std::io::{self, Read};
use std::path::Path;

/// How many bytes are examined.
const SAMPLE: u64 = 1 << 16;

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
    /// A number with a decimal comma, where a point should be.
    DecimalComma,
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
            Err(_) if text.matches(',').count() == 1 && text.replace(',', ".").parse::<f64>().is_ok() => {
                Self::DecimalComma
            }
            Err(_) => Self::Text,
        }
    }

    fn is_numeric(self) -> bool {
        matches!(self, Self::Number(_) | Self::DecimalComma)
    }
}

impl Sample {
    /// Reads the first bytes of `source`.
    ///
    /// # Errors
    /// If they cannot be read, are not text in an encoding that is understood, or there are none.
    pub(super) fn take(source: &mut impl Read, name: &Path) -> Result<Self> {
        let mut bytes = Vec::new();
        source.take(SAMPLE).read_to_end(&mut bytes).map_err(|error| match error.kind() {
            io::ErrorKind::IsADirectory => Error::file(name, FOLDER),
            _ => Error::io(name, error),
        })?;
        let whole = (bytes.len() as u64) < SAMPLE;
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
    fn rows<T>(&self, delimiter: u8, cell: impl Fn(&str) -> T) -> Vec<Vec<T>> {
        let mut rows = Rows::new(self.bytes.as_slice(), delimiter);
        let mut found = Vec::new();
        while let Ok(Some((_, row))) = rows.next() {
            found.push(row.iter().map(|bytes| cell(&String::from_utf8_lossy(bytes))).collect());
        }
        if !self.whole && found.len() > 1 {
            found.pop();
        }
        found
    }
}

impl Dialect {
    /// Detects the format. `delimiter` and `header` are taken as they are if given.
    ///
    /// # Errors
    /// If `delimiter` is a character that cannot be a delimiter.
    pub(super) fn find(sample: &Sample, delimiter: Option<u8>, header: Option<bool>) -> Result<Self> {
        let (delimiter, rows) = match delimiter {
            Some(delimiter) if matches!(delimiter, 0 | b'\n' | b'\r' | b'"' | 0x80..) => {
                let delimiter = quoted(&char::from(delimiter).to_string());
                return Err(Error::invalid(format!("{delimiter} cannot be a delimiter; use one of , ; | tab space")));
            }
            Some(delimiter) => (delimiter, sample.rows(delimiter, Cell::of)),
            None => {
                let mut best = (b',', sample.rows(b',', Cell::of));
                let mut best_score = score(&best.1);
                for &delimiter in &DELIMITERS[1..] {
                    let rows = sample.rows(delimiter, Cell::of);
                    let score = score(&rows);
                    if score > best_score {
                        (best, best_score) = ((delimiter, rows), score);
                    }
                }
                best
            }
        };
        let (first, rest) = match rows.split_first() {
            Some((first, rest)) => (first.as_slice(), rest),
            None => (&[][..], &[][..]),
        };
        let kinds = |rows: &[Vec<Cell>]| -> Vec<Kind> {
            (0..first.len()).map(|column| kind(rows.iter().filter_map(|row| row.get(column).copied()))).collect()
        };
        let below = kinds(rest);
        let header = header.unwrap_or_else(|| is_header(first, &below));
        let kinds = if header { below } else { kinds(&rows) };
        let looks = looks(&sample.rows(delimiter, |cell| cell.to_string()), header, &kinds);
        Ok(Self { delimiter, header, kinds, looks })
    }
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

/// Whether the first row is a header: none of its cells is a number, and at least one name stands above a column of
/// numbers, or there is no column of numbers.
fn is_header(first: &[Cell], below: &[Kind]) -> bool {
    let over_numbers = |(cell, kind): (&Cell, &Kind)| *cell == Cell::Text && *kind == Kind::Numbers;
    first.iter().all(|cell| !cell.is_numeric())
        && first.contains(&Cell::Text)
        && (first.iter().zip(below).any(over_numbers) || !below.contains(&Kind::Numbers))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str) -> Dialect {
        let sample = Sample::take(&mut text.as_bytes(), Path::new("test")).unwrap();
        Dialect::find(&sample, None, None).unwrap()
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
        assert_eq!(Cell::of("1,5"), Cell::DecimalComma);
        assert_eq!(Cell::of("1,234,567"), Cell::Text);
        assert_eq!(Cell::of("0x10"), Cell::Text);
        for missing in ["", "  ", "NA", "n/a", "NaN", "null", "NULL", "?"] {
            assert_eq!(Cell::of(missing), Cell::Missing);
        }
    }
}
