//! A series: named columns of numbers over time.

use crate::error::{Error, Result, listed, quoted};
use crate::tensor::Tensor;

/// Named columns of numbers, one row a time step.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The names of the columns; for a file without a header their numbers, from 1.
    pub columns: Vec<String>,
    /// The number, from 1, that each column has in the file it came from. A file may hold columns that were not
    /// read (text, the time), so these are not always 1, 2, 3.
    pub numbers: Vec<usize>,
    /// The values, `[T, columns]`.
    pub values: Tensor,
    /// The dates or times of the rows, for plots and for what is written next to a prediction.
    pub time: Option<Time>,
}

/// A column of dates or times, kept as the text that stood in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Time {
    /// The name of the column.
    pub name: String,
    /// One text a row, T of them.
    pub values: Vec<String>,
}

impl Series {
    /// A series of `values`, `[T, columns]`, whose columns are numbered from 1.
    ///
    /// # Errors
    /// If `values` is not of two dimensions, or there are not as many names as columns, or as many times as rows.
    pub fn new(columns: Vec<String>, values: Tensor, time: Option<Time>) -> Result<Self> {
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
        Ok(Self { numbers: (1..=width).collect(), columns, values, time })
    }

    /// How many rows there are, T.
    pub fn len(&self) -> usize {
        self.values.dims().first().copied().unwrap_or(0)
    }

    /// If there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where in [`Series::columns`] the wanted ones lie, in the order asked for. A column is asked for by its name or
    /// by its number in the file, from 1; where a name is also a number, the name wins.
    ///
    /// # Errors
    /// If a column is not there, or if two have the name asked for.
    pub fn positions(&self, wanted: &[String]) -> Result<Vec<usize>> {
        wanted.iter().map(|column| find(column, &self.columns, &self.numbers).map_err(Error::Invalid)).collect()
    }

    /// The wanted columns in the order asked for, `[T, wanted]`; see [`Series::positions`].
    ///
    /// # Errors
    /// If a column is not there, or if two have the name asked for.
    pub fn select(&self, wanted: &[String]) -> Result<Tensor> {
        let positions = self.positions(wanted)?;
        let (_, width) = self.values.rows();
        let rows = self.values.data().chunks_exact(width.max(1));
        let data: Vec<f32> =
            rows.flat_map(|row| positions.iter().filter_map(|&column| row.get(column).copied())).collect();
        Tensor::new([self.len(), positions.len()], data)
    }
}

/// The position in `names` of the column that `wanted` names, or whose number it is; else a message that says what
/// there is.
pub(super) fn find(wanted: &str, names: &[String], numbers: &[usize]) -> Result<usize, String> {
    let wanted = wanted.trim();
    let mut named = names.iter().enumerate().filter(|(_, name)| *name == wanted).map(|(position, _)| position);
    if let Some(position) = named.next() {
        return match named.next() {
            None => Ok(position),
            Some(_) => Err(format!(
                "two columns have the name {}; ask for the one you mean by its number, from 1",
                quoted(wanted)
            )),
        };
    }
    let number = wanted.parse::<usize>().ok();
    number.and_then(|number| numbers.iter().position(|&other| other == number)).ok_or_else(|| {
        format!("there is no column {}; the columns are {} (or their numbers, from 1)", quoted(wanted), listed(names))
    })
}
