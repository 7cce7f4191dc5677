//! How a table is read.

use super::dialect::Cell;
use super::numeral;

/// What to do with a row in which a value is missing. A missing value is an empty cell, or NA, N/A, NaN, null or ? in
/// upper or lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// Stop and say which row it is
    #[default]
    Error,
    /// Take the value of the row before
    ForwardFill,
    /// Leave the row out
    Drop,
    /// Leave a missing target out of the loss and of all scores; in place of a missing input, take the last value, and
    /// give the network one more input, a mask, that is 1 where the value is missing
    Mask,
}

impl Missing {
    /// What to do where a value is missing and nothing was asked for.
    pub const ADVICE: &str = "fill it in, or use --missing forward-fill, drop or mask";

    /// What to do in the tables of a model whose inputs `masks` have a mask: [`Missing::Mask`], unless rows are to be left
    /// out.
    #[must_use]
    pub fn of_a_model(self, masks: &[usize]) -> Self {
        match self {
            Self::Error | Self::ForwardFill if !masks.is_empty() => Self::Mask,
            asked => asked,
        }
    }
}

/// How a table is read. The default detects the format and takes all columns of numbers.
///
/// Numbers may have a currency or a percent sign beside them, which is left out, marks between thousands, a decimal
/// comma, or parentheses instead of a minus. Rows of text above the header, and a row of units below it, are left out.
/// [`Series::notes`](crate::data::series::Series::notes) says so.
#[derive(Debug, Clone, Default)]
pub struct CsvOptions {
    /// What to do about missing values.
    pub missing: Missing,
    /// The column that holds dates or times, by name or by number from 1. `None`: the one that is not among `columns` and
    /// looks most like a time: dates; then numbers that are times; then a first column of text; then a counter.
    pub time: Option<String>,
    /// The name of the time column of the tables before this one: it is the time column of this one too, if it has one of
    /// that name and no other is asked for.
    pub usual_time: Option<String>,
    /// Whether the first row holds names. `None`: it does if none of its cells is a number and one stands above
    /// numbers.
    pub header: Option<bool>,
    /// What stands between the values. `None`: comma, semicolon, tab, bar or space, whichever fits best.
    pub delimiter: Option<u8>,
    /// The columns to read, by name or by number from 1, in the order they should have; each is read once. Empty: all
    /// that hold numbers. A column that is not read may hold anything.
    pub columns: Vec<String>,
    /// If one of `columns` is missing (by its exact name), read all columns that hold numbers instead of failing.
    pub or_all: bool,
    /// Lines at the beginning of the file that are left out.
    pub skip_rows: u64,
    /// Lines that begin with this character are left out.
    pub comment: Option<u8>,
    /// What stands before the decimals. `None`: a point or a comma, whichever fits the columns.
    pub decimal: Option<char>,
    /// What stood before the decimals in the tables before this one: it decides if a column fits both marks.
    pub usual_decimal: Option<char>,
    /// What stands between thousands. `None`: a comma or a point, whichever is not the decimal mark.
    pub thousands: Option<char>,
    /// More texts that mean a missing value, such as `-` or `-999`. A number means all texts of the same number.
    pub na: Vec<String>,
}

impl CsvOptions {
    with_functions! {
        with_missing: missing, Missing;
        with_time: time, Option<String>;
        with_usual_time: usual_time, Option<String>;
        with_header: header, Option<bool>;
        with_delimiter: delimiter, Option<u8>;
        with_columns: columns, Vec<String>;
        with_or_all: or_all, bool;
        with_skip_rows: skip_rows, u64;
        with_comment: comment, Option<u8>;
        with_decimal: decimal, Option<char>;
        with_usual_decimal: usual_decimal, Option<char>;
        with_thousands: thousands, Option<char>;
        with_na: na, Vec<String>;
    }

    /// The text of a cell; empty if it means a missing value.
    pub(super) fn text<'t>(&self, text: &'t str) -> &'t str {
        let text = text.trim();
        let same = |na: &String| {
            let na = na.trim();
            na == text || na.parse::<f64>().is_ok_and(|na| text.parse::<f64>().is_ok_and(|value| value == na))
        };
        if self.na.iter().any(same) { "" } else { text }
    }

    /// What is in a cell with this [`text`](Self::text).
    pub(super) fn cell(&self, text: &str) -> Cell {
        match (Cell::of(text), numeral::given(self.decimal, self.thousands)) {
            (Cell::Text, Some(style)) if style.read(text).is_some() => Cell::Marked,
            (cell, _) => cell,
        }
    }
}
