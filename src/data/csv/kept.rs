//! What is kept of each row besides its values: its time and its line.

use std::collections::TryReserveError;

/// The times of the rows, as text, one after the other.
#[derive(Debug, Default)]
pub(super) struct Times {
    text: String,
    ends: Vec<usize>,
}

impl Times {
    pub fn try_reserve(&mut self, length: usize) -> Result<(), TryReserveError> {
        self.text.try_reserve(length).and_then(|()| self.ends.try_reserve(1))
    }

    pub fn push(&mut self, time: &str) {
        self.text += time;
        self.ends.push(self.text.len());
    }

    pub fn bytes(&self) -> usize {
        self.text.len() + size_of_val(&self.ends[..])
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        (0..self.ends.len()).map(|row| self.get(row))
    }

    pub fn get(&self, row: usize) -> &str {
        let end = |row: usize| self.ends.get(row).copied();
        let start = row.checked_sub(1).and_then(end).unwrap_or(0);
        end(row).and_then(|end| self.text.get(start..end)).unwrap_or_default()
    }
}

/// The line of each row. Nearly always it is one more than that of the row before, so runs of such rows are kept.
#[derive(Debug, Default)]
pub(super) struct Lines {
    rows: usize,
    /// The first row of each run, and its line.
    runs: Vec<(usize, u64)>,
}

impl Lines {
    pub fn push(&mut self, line: u64) {
        if self.runs.last().is_none_or(|&(row, first)| first + (self.rows - row) as u64 != line) {
            self.runs.push((self.rows, line));
        }
        self.rows += 1;
    }

    /// How many rows were kept.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The line of a row that was kept.
    pub fn get(&self, row: usize) -> u64 {
        let before = self.runs.partition_point(|&(first, _)| first <= row);
        let run = before.checked_sub(1).and_then(|run| self.runs.get(run));
        run.map_or(0, |&(first, line)| line + (row - first) as u64)
    }
}
