//! What is done with a table once all its rows are there: it is decided which columns are no measurements, the rows are
//! put in order, missing values are filled in, and the rows are divided into series.

use super::{Guess, MISSING, Missing, NOT_UTF8, Table, TimeColumn, text};
use crate::data::long::Members;
use crate::data::series::{LeftOut, Reason, Series, Time};
use crate::data::time::Calendar;
use crate::data::time::column::Column;
use crate::data::time::notation::{Instant, SECOND, UNREAD};
use crate::data::time::order::{first_back, never_rises, oddities, two_ways, unsortable};
use crate::error::{Error, Result, listed, quoted};
use crate::tensor::Tensor;
use csv::ByteRecord;
use std::borrow::Cow;

impl Table<'_> {
    /// Divides a table in long form into its series.
    pub(super) fn finish_long(mut self) -> Result<Vec<(String, Result<Series>)>> {
        let Some(members) = &self.members else {
            return Err(Error::invalid("the table has no series id column"));
        };
        let name = self.name;
        // no row was kept because every series failed: then the errors are theirs, not the file's
        let no_row = self.values.is_empty() && !self.wanted.is_empty() && members.any_failed();
        let all = if no_row { None } else { Some(self.finish()?) };
        let Some(members) = self.members.take() else { return Ok(Vec::new()) };
        if let Some(all) = &all {
            members.check_names(all).map_err(|reason| Error::file(name, reason))?;
        }
        Ok(members.split(name, all))
    }

    /// Makes one series of all rows. In long form, what is noted about each series goes to its member.
    pub(super) fn finish(&mut self) -> Result<Series> {
        self.check_rows()?;
        let time = self.leave_out()?;
        let order = Order::of(self, time)?;
        if let Some(order) = &order {
            self.sort(order);
        }
        self.fill(order.as_ref())?;
        self.note_numbers();
        let notes = self.note(time, order.as_ref());
        let name_of = |&column: &usize| self.names.get(column).cloned().unwrap_or_default();
        let text = |row| self.times.get(order.as_ref().map_or(row, |order| order.row(row))).to_string();
        let rows = self.lines.rows();
        Ok(Series {
            columns: self.wanted.iter().map(name_of).collect(),
            numbers: self.wanted.iter().map(|column| column + 1).collect(),
            time: time.map(|column| Time { name: self.name_of_time(column), values: (0..rows).map(text).collect() }),
            values: Tensor::new([rows, self.wanted.len()], std::mem::take(&mut self.values))?,
            left_out: std::mem::take(&mut self.left_out).into(),
            decimal: self.decimal(),
            notes,
        })
    }

    /// The text of the time of a row: the date, and the time of day that belongs to it.
    pub(super) fn time_of<'r>(&self, line: u64, column: usize, row: &'r ByteRecord) -> Result<Cow<'r, str>> {
        let cell = |column: usize| {
            let cell = core::str::from_utf8(row.get(column).unwrap_or_default());
            cell.map(|cell| text(cell.trim())).map_err(|_| self.error(line, column, NOT_UTF8))
        };
        let date = cell(column)?;
        Ok(match self.clock.map(cell).transpose()? {
            Some(clock) if !clock.is_empty() => format!("{date} {clock}").into(),
            _ => date.into(),
        })
    }

    /// The name of the time: that of its column, and that of the column of times of day that belong to it.
    fn name_of_time(&self, column: usize) -> String {
        let names = [Some(column), self.clock].into_iter().flatten().filter_map(|column| self.names.get(column));
        names.map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    /// Whether there is anything to read.
    fn check_rows(&self) -> Result<()> {
        if self.wanted.is_empty() {
            let names = listed(&self.names);
            return Err(Error::file(self.name, format!("no column holds numbers; the columns are {names}")));
        }
        if !self.values.is_empty() {
            return Ok(());
        }
        let reason = if self.rows > 0 {
            "a value is missing in every row, so --missing drop leaves no row; choose other columns"
        } else if self.header {
            "holds a header and no rows; add rows of numbers under it"
        } else {
            "holds no rows of numbers"
        };
        Err(Error::file(self.name, reason))
    }

    /// Leaves out the columns that turned out to be no measurements, and returns the one with the time.
    fn leave_out(&mut self) -> Result<Option<usize>> {
        let found: Vec<(usize, Reason)> =
            self.watched.iter().filter_map(|watch| Some((watch.column, watch.found(false)?))).collect();
        let is_found = |column: usize| found.iter().any(|(found, _)| *found == column);
        let may_sort = |column: usize| self.watched.iter().any(|watch| watch.column == column && watch.may_sort());
        let time = match self.time.take() {
            Some(TimeColumn { column, guess: Guess::Numbers }) => {
                Some(column).filter(|&column| is_found(column) && may_sort(column))
            }
            time => time.map(|time| time.column),
        };
        let others = found.iter().filter(|(column, _)| Some(*column) != time && self.wanted.contains(column));
        self.left_out.extend(others.map(|&(column, reason)| LeftOut::of(&self.names, column, reason)));

        let stays: Vec<bool> = self.wanted.iter().map(|&column| !is_found(column)).collect();
        if !stays.contains(&true) {
            let column = time.or_else(|| found.first().map(|(column, _)| *column)).unwrap_or_default();
            let name = self.names.get(column).map(|name| quoted(name)).unwrap_or_default();
            let reason = format!("no column holds numbers except the time column {name}; add a column of numbers");
            return Err(Error::file(self.name, reason));
        }
        if stays.contains(&false) {
            let mut stay = stays.iter().cycle();
            self.values.retain(|_| stay.next().is_none_or(|&stays| stays));
            self.wanted.retain(|&column| !is_found(column));
        }
        Ok(time)
    }

    fn sort(&mut self, order: &Order) {
        let Some(places) = &order.places else { return };
        let width = self.wanted.len();
        let row = |&row: &usize| self.values.get(row * width..(row + 1) * width).unwrap_or_default();
        self.values = places.iter().flat_map(row).copied().collect();
        if let Some(members) = &mut self.members {
            members.sort(places);
        }
    }

    /// The rows of each series.
    fn groups(&self) -> Vec<Vec<usize>> {
        self.members.as_ref().map_or_else(|| vec![(0..self.lines.rows()).collect()], Members::rows)
    }

    /// Fills in missing values from the row before of the same series, unless they stay as they are.
    fn fill(&mut self, order: Option<&Order>) -> Result<()> {
        if self.options.missing == Missing::Mask || !self.values.iter().any(|value| value.is_nan()) {
            return Ok(());
        }
        let width = self.wanted.len();
        for (member, rows) in self.groups().into_iter().enumerate() {
            let mut before = vec![MISSING; width];
            for row in rows {
                let values = self.values.get_mut(row * width..(row + 1) * width).unwrap_or_default();
                for (value, before) in values.iter_mut().zip(&mut before) {
                    *value = if value.is_nan() { *before } else { *value };
                    *before = *value;
                }
                let Some(position) = before.iter().position(|value| value.is_nan()) else { continue };
                let line = self.lines.get(order.map_or(row, |order| order.row(row)));
                let column = self.wanted.get(position).copied().unwrap_or_default();
                let reason = "the value is missing and there is none before it to fill in; begin the file later or use \
                              --missing drop";
                let error = self.error(line, column, reason);
                match &mut self.members {
                    Some(members) => members.fail(member, error),
                    None => return Err(error),
                }
                break;
            }
        }
        Ok(())
    }

    /// What users should know about the file and about the times of each series. The lines of a single series are
    /// returned; of several, those about the file go to the first.
    fn note(&mut self, time: Option<usize>, order: Option<&Order>) -> Vec<String> {
        let mut all = std::mem::take(&mut self.notes);
        if let Some(name) = time.map(|column| self.name_of_time(column)) {
            all.extend(match order {
                Some(order) => order.about_all(&name, self),
                None => {
                    let name = quoted(&name);
                    vec![format!("{name} is not read as a time, so the rows stay in the order of the file")]
                }
            });
            for (member, rows) in self.groups().into_iter().enumerate() {
                all.extend(order.map(|order| order.notes(&name, member, &rows, self)).unwrap_or_default());
                if let Some(members) = &mut self.members {
                    members.note(member, std::mem::take(&mut all));
                }
            }
        } else if let Some(members) = &mut self.members {
            members.note(0, std::mem::take(&mut all));
        }
        all
    }
}

/// The order of the rows in time.
struct Order {
    column: Column,
    /// The column whose hours were added to the days of `column`, if there is one.
    hours: Option<usize>,
    /// The old place of each row; `None` if all rows stay.
    places: Option<Vec<usize>>,
    /// For each series, the line from which on it goes back, if it does.
    back: Vec<Option<u64>>,
}

impl Order {
    /// The order of the rows of `table` by the column `time`; `None` if there is no time, or none that can be read.
    fn of(table: &Table, time: Option<usize>) -> Result<Option<Self>> {
        let Some((time, mut column)) = time.and_then(|time| Some((time, Column::of(table.times.iter())?))) else {
            return Ok(None);
        };
        let line = |row| table.lines.get(row);
        let groups = table.groups();
        let hours = Self::add_hours(table, &groups, &mut column);
        let back: Vec<Option<usize>> = groups.iter().map(|rows| first_back(&column, rows)).collect();
        let Some(first) = back.iter().flatten().min().copied() else {
            return Ok(Some(Self { column, hours, places: None, back: vec![None; back.len()] }));
        };
        if let Some(reason) = unsortable(&column, |row| table.times.get(row).into(), line) {
            let reason = format!("the file goes backwards here, and cannot be sorted: {reason}");
            return Err(table.error(line(first), time, &reason));
        }
        let mut places: Vec<usize> = (0..table.lines.rows()).collect();
        // rows of the same time are in the order of the file, which may be that from the newest to the oldest
        for rows in groups.iter().filter(|rows| never_rises(&column, rows)) {
            for (&row, &last) in rows.iter().zip(rows.iter().rev()) {
                if let Some(place) = places.get_mut(row) {
                    *place = last;
                }
            }
        }
        places.sort_by_key(|&row| column.at.get(row).copied().unwrap_or(UNREAD));
        let back = back.into_iter().map(|row| row.map(line)).collect();
        Ok(Some(Self { column, hours, places: Some(places), back }))
    }

    /// Adds hours to days that are there several times, if a column holds them, and returns that column.
    fn add_hours(table: &Table, groups: &[Vec<usize>], column: &mut Column) -> Option<usize> {
        let at_of = |at: &[Instant], row: usize| at.get(row).copied().unwrap_or(UNREAD);
        let differ = |at: &[Instant]| {
            groups.iter().all(|rows| {
                let mut at: Vec<Instant> = rows.iter().map(|&row| at_of(at, row)).collect();
                at.sort_unstable();
                at.is_sorted_by(|a, b| a < b)
            })
        };
        if !column.notation.is_calendar() || column.at.contains(&UNREAD) || differ(&column.at) {
            return None;
        }
        let named = table.watched.iter().filter(|watch| watch.says_hours()).map(|watch| watch.column);
        named.into_iter().find(|&hours| {
            let Some(place) = table.wanted.iter().position(|&column| column == hours) else { return false };
            let values = table.values.chunks_exact(table.wanted.len()).filter_map(|row| row.get(place));
            let with_hour = |(at, hour): (&Instant, &f64)| {
                (0.0..=24.0).contains(hour).then_some(at + *hour as Instant * 3600 * SECOND)
            };
            let with_hours: Option<Vec<Instant>> = column.at.iter().zip(values).map(with_hour).collect();
            let found = with_hours.filter(|at| at.len() == column.at.len() && differ(at));
            found.map(|at| column.at = at).is_some()
        })
    }

    /// The old place of a row.
    fn row(&self, row: usize) -> usize {
        self.places.as_ref().map_or(row, |places| places.get(row).copied().unwrap_or(row))
    }

    /// What users should know about the times of the whole table.
    fn about_all(&self, name: &str, table: &Table) -> Vec<String> {
        let hours = self.hours.and_then(|hours| table.names.get(hours));
        let hours = hours.map(|hours| format!("{} holds the hours of the days in {}", quoted(hours), quoted(name)));
        two_ways(name, &self.column).into_iter().chain(hours).collect()
    }

    /// What users should know about the times of a series, whose rows these are.
    fn notes(&self, name: &str, member: usize, rows: &[usize], table: &Table) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(line) = self.back.get(member).copied().flatten() {
            let name = quoted(name);
            notes.push(format!("rows are sorted by {name}: the file goes backwards from line {line} on"));
        }
        let old: Vec<usize> = rows.iter().map(|&row| self.row(row)).collect();
        let at: Vec<_> = old.iter().filter_map(|&row| self.column.at.get(row).copied()).collect();
        let place = |row: usize| old.get(row).copied().unwrap_or(usize::MAX);
        let (text, line) = (|row| table.times.get(place(row)).to_string(), |row| table.lines.get(place(row)));
        let unread = at.iter().filter(|at| **at == UNREAD).count();
        if let Some(row) = at.iter().position(|at| *at == UNREAD) {
            let (text, line) = (quoted(&text(row)), line(row));
            let rows = if unread == 1 { "1 row has".into() } else { format!("{unread} rows have") };
            notes.push(format!("{rows} no {} that can be read; the first is {text} in line {line}", quoted(name)));
            return notes;
        }
        notes.extend(oddities(name, &Calendar::new(&self.column, &old), text, line));
        notes
    }
}
