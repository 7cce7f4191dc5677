//! A series: named columns of numbers over time.

use crate::data::time::Calendar;
use crate::error::{Error, Result, listed, quoted};
use crate::tensor::Tensor;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Named columns of numbers, one row for each time step.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The names of the columns. If the file had no header, these are their numbers, from 1.
    pub columns: Vec<String>,
    /// The number, from 1, of each column in its file. A file may hold columns that were not read (text, the time), so
    /// these are not always 1, 2, 3.
    pub numbers: Vec<usize>,
    /// The values, `[T, columns]`.
    pub values: Tensor<f64>,
    /// The dates or times of the rows, for plots and for the files with predictions.
    pub time: Option<Time>,
    /// The columns of the file that were not read although none was asked for by name, and why.
    pub left_out: Arc<[LeftOut]>,
    /// What stood before the decimals in the file, if it was not a point.
    pub decimal: Option<char>,
    /// What users should know about how the rows were read, one line each: that they were sorted, which times are
    /// missing or there twice.
    pub notes: Vec<String>,
}

/// A column that is no measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The name of the column; empty if it has none.
    pub name: String,
    /// Its number, from 1.
    pub number: usize,
    /// Why it is left out.
    pub reason: Reason,
}

impl LeftOut {
    /// The column at this position among columns with these names. One without a name has its number there.
    pub(super) fn of(names: &[String], column: usize, reason: Reason) -> Self {
        let number = column + 1;
        let name = names.get(column).filter(|name| **name != number.to_string()).cloned().unwrap_or_default();
        Self { name, number, reason }
    }
}

/// Why a column is no measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It holds times.
    Time,
    /// It counts the rows.
    Index,
    /// It holds text.
    Text,
    /// It has no name and no values.
    Empty,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Time => "time",
            Self::Index => "row numbers",
            Self::Text => "text",
            Self::Empty => "empty",
        })
    }
}

/// A column of dates or times, kept as the text of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Time {
    /// The name of the column.
    pub name: String,
    /// One text for each row, T of them.
    pub values: Vec<String>,
}

impl Time {
    /// The times from row `first` on.
    #[must_use]
    pub fn from(&self, first: usize) -> Self {
        Self { name: self.name.clone(), values: self.values.get(first..).unwrap_or_default().to_vec() }
    }

    /// What the times mean; `None` if they are neither dates nor numbers in rising order.
    pub fn calendar(&self) -> Option<Calendar> {
        Calendar::of(&self.values)
    }

    /// The seconds since 1970-01-01 00:00 on the wall clock of each row, for axes; empty if the times are no dates.
    pub fn seconds(&self) -> Vec<i64> {
        self.calendar().and_then(|calendar| calendar.seconds(0)).unwrap_or_default()
    }
}

impl Series {
    /// A series of `values`, `[T, columns]`, whose columns are numbered from 1.
    ///
    /// # Errors
    /// If `values` does not have two dimensions, or if the number of names is not that of the columns, or the number of
    /// times not that of the rows.
    pub fn new(columns: Vec<String>, values: Tensor<f64>, time: Option<Time>) -> Result<Self> {
        let &[rows, width] = values.dims() else {
            return Err(Error::invalid(format!(
                "a series is an array of shape [T, columns]; this one has shape {:?}",
                values.dims()
            )));
        };
        Error::check_length("names of the columns", width, columns.len())?;
        if let Some(time) = &time {
            Error::check_length("times of the rows", rows, time.values.len())?;
        }
        let numbers = (1..=width).collect();
        Ok(Self { numbers, columns, values, time, left_out: Arc::default(), decimal: None, notes: Vec::new() })
    }

    /// How many rows there are, T.
    pub fn len(&self) -> usize {
        self.values.dims().first().copied().unwrap_or(0)
    }

    /// If there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The positions in [`Series::columns`] of the wanted columns, in the order asked for. A column is asked for by its
    /// name or by its number in the file, from 1. If the name of a column is also the number of another, the name wins.
    ///
    /// # Errors
    /// If a column is not there, or if two have the name asked for.
    pub fn positions(&self, wanted: &[String]) -> Result<Vec<usize>> {
        let index = Index::new(&self.columns, &self.numbers);
        wanted.iter().map(|column| index.find(column).map_err(Error::Invalid)).collect()
    }

    /// The wanted columns in the order asked for, `[T, wanted]`; see [`Series::positions`].
    ///
    /// # Errors
    /// If a column is not there, or if two have the name asked for.
    pub fn select(&self, wanted: &[String]) -> Result<Tensor<f64>> {
        let positions = self.positions(wanted)?;
        let (_, width) = self.values.rows();
        let rows = self.values.data().chunks_exact(width.max(1));
        let data: Vec<f64> =
            rows.flat_map(|row| positions.iter().filter_map(|&column| row.get(column).copied())).collect();
        Tensor::new([self.len(), positions.len()], data)
    }
}

/// The positions of columns by name and by number, so that looking up every column takes linear time.
pub(super) struct Index<'a> {
    names: &'a [String],
    /// The position of the first column of each name, and whether there are others of that name.
    named: HashMap<&'a str, (usize, bool)>,
    numbered: HashMap<usize, usize>,
}

impl<'a> Index<'a> {
    /// An index of columns with these names and these numbers.
    pub(super) fn new(names: &'a [String], numbers: &[usize]) -> Self {
        let mut named = HashMap::with_capacity(names.len());
        for (position, name) in names.iter().enumerate() {
            named.entry(name.as_str()).and_modify(|(_, twice)| *twice = true).or_insert((position, false));
        }
        let mut numbered = HashMap::with_capacity(numbers.len());
        for (position, &number) in numbers.iter().enumerate() {
            numbered.entry(number).or_insert(position);
        }
        Self { names, named, numbered }
    }

    /// The position of the first column with exactly this name.
    pub(super) fn named(&self, name: &str) -> Option<usize> {
        self.named.get(name).map(|&(position, _)| position)
    }

    /// The position of the column with the name or the number `wanted`; otherwise a message that lists the columns.
    pub(super) fn find(&self, wanted: &str) -> Result<usize, String> {
        let wanted = wanted.trim();
        match self.named.get(wanted) {
            Some(&(position, false)) => return Ok(position),
            Some((_, true)) => {
                return Err(format!(
                    "two columns have the name {}; ask for the one you mean by its number, from 1",
                    quoted(wanted)
                ));
            }
            None => {}
        }
        let number = wanted.parse::<usize>().ok();
        number.and_then(|number| self.numbered.get(&number).copied()).ok_or_else(|| {
            let names = listed(self.names);
            format!("there is no column {}; the columns are {names} (or their numbers, from 1)", quoted(wanted))
        })
    }
}
