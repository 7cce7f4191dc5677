//! What a column of times means: how its cells are written, in which steps it goes, and which times come next.
//!
//! The calendar is that of chrono, and a zone is a text that is kept: an offset such as `+02:00` counts, a name such as
//! `Europe/Berlin` does not. So the next hour is 3600 seconds later on every clock.

pub(super) mod column;
pub(super) mod notation;
pub(super) mod order;
mod step;

use column::Column;
use notation::{Instant, Notation, SECOND, UNREAD};
pub use step::Step;

/// The times of a series that could be read, in rising order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    notation: Notation,
    at: Vec<Instant>,
    step: Option<Step>,
}

impl Calendar {
    /// Reads the times of the rows of a series. `None` if one of them is neither a date nor a number, or if they do not
    /// rise.
    pub fn of(values: &[String]) -> Option<Self> {
        let column = Column::of(values.iter().map(String::as_str))?;
        let known = !column.at.contains(&UNREAD) && column.at.is_sorted();
        known.then(|| Self::new(&column, &(0..column.at.len()).collect::<Vec<_>>()))
    }

    /// The times of some rows of a column, which rise.
    pub(super) fn new(column: &Column, rows: &[usize]) -> Self {
        let notation = column.notation.clone();
        let at: Vec<Instant> = rows.iter().filter_map(|&row| column.at.get(row).copied()).collect();
        let offset = notation.offset();
        let same = at.windows(2).filter(|pair| pair[0] == pair[1]).count();
        if same * 2 > at.len() {
            // most rows are no step from the one before, as those of hours that only have a date
            return Self { notation, at, step: None };
        }
        if !column.offsets.is_empty() {
            // where the clocks change, days and months begin by the clock of each row
            let on_clock: Vec<Instant> = rows.iter().filter_map(|&row| column.on_last_clock(row)).collect();
            let step = Step::of_instants(&on_clock, offset).filter(|step| step.is_of_days());
            if step.is_some() && on_clock.is_sorted() {
                return Self { notation, at: on_clock, step };
            }
        }
        let step = match notation {
            Notation::Number(_) => Step::of_numbers(&at),
            _ => Step::of_instants(&at, offset),
        };
        Self { notation, at, step }
    }

    /// The step from one row to the next, taken from the commonest difference; `None` if none makes up half of all.
    pub fn step(&self) -> Option<Step> {
        self.step
    }

    /// The times of the `steps` rows after the last, written as those of the series. `None` without a step, or if they
    /// go beyond the year 9999.
    pub fn after(&self, steps: usize) -> Option<Vec<String>> {
        let (step, last) = (self.step?, *self.at.last()?);
        let next = |ahead: usize| {
            let at = step.after(last, ahead as u64, self.notation.offset())?;
            self.notation.write(at)
        };
        (1..=steps).map(next).collect()
    }

    /// The seconds since 1970-01-01 00:00 on the wall clock of each row and of `steps` rows after them; for axes.
    /// `None` if the times are plain numbers.
    pub fn seconds(&self, steps: usize) -> Option<Vec<i64>> {
        let offset = Instant::from(self.notation.offset());
        let second = |at: Instant| i64::try_from(at.div_euclid(SECOND) + offset).ok();
        let last = *self.at.last().filter(|_| self.notation.is_calendar())?;
        let next = |ahead: usize| self.step?.after(last, ahead as u64, self.notation.offset());
        let rows = self.at.iter().copied().map(second);
        rows.chain((1..=steps).map(|ahead| second(next(ahead)?))).collect()
    }
}

#[cfg(test)]
mod tests;
