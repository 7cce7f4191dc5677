//! Which columns of numbers are no measurements: counters, row numbers and times.

use super::dialect::{Cell, Kind};
use crate::data::series::Reason;
use crate::data::time::column::{Column, NumberMonth, epoch_of, is_number_date};
use crate::data::time::notation::UNREAD;

/// Fewer rows than these that are 0, 1, 2 or 1, 2, 3 may be a measurement.
const FEW: u64 = 8;
/// The most columns of a table in long form that are watched for each series.
const MOST: usize = 16;

/// What a column may be, as far as the beginning of a table shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Look {
    /// Dates as text.
    Dates,
    /// A number in each row, which looks like a time.
    Time,
    /// A number in each row, which looks like that of the row.
    Index,
    /// Whole numbers from 0 or 1 on, most of which follow the one before: perhaps a counter of each series.
    Runs,
    /// Whole numbers, which may turn out to be a time or a counter.
    Whole,
    #[default]
    Other,
}

impl Look {
    /// What the cells of a column with this name look like.
    pub fn of(name: &str, kind: Kind, cells: &[&str]) -> Self {
        let known: Vec<&str> = cells.iter().copied().filter(|cell| Cell::of(cell) != Cell::Missing).collect();
        match kind {
            Kind::Text if Column::of_dates(known.iter().copied()).is_some() => Self::Dates,
            Kind::Numbers if known.len() == cells.len() => {
                let mut watch = Watch::new(0, name);
                for cell in &known {
                    watch.see(cell, None);
                }
                match watch.found(true) {
                    Some(Reason::Time) => Self::Time,
                    Some(Reason::Index) => Self::Index,
                    _ if watch.whole && watch.steps.are_runs() && matches!(watch.all.least, 0 | 1) => Self::Runs,
                    _ if watch.whole && known.len() > 1 => Self::Whole,
                    _ => Self::Other,
                }
            }
            _ => Self::Other,
        }
    }
}

/// How likely a column of this look and name is the time of the rows, the likeliest first; `None` if it is not.
pub(super) fn rank(look: Look, name: &str) -> Option<u8> {
    let name = Name::of(name);
    match look {
        Look::Dates => Some(0),
        Look::Time => Some(1),
        Look::Whole | Look::Runs if name.is_time => Some(2),
        Look::Index => Some(4),
        Look::Whole | Look::Runs if name.is_index => Some(5),
        Look::Runs => Some(6),
        Look::Whole | Look::Other => None,
    }
}

/// Whether the column `clock` holds times of day, such as 17:24:00, that belong to the dates in the column `dates` of the
/// same rows: both together are dates with a time.
pub(super) fn belong(rows: &[Vec<String>], dates: usize, clock: usize) -> bool {
    let cell = |row: &'_ Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
    let is_clock = |text: &String| text.contains(':') && text.starts_with(|first: char| first.is_ascii_digit());
    let known = rows.iter().filter(|row| !cell(row, dates).is_empty() && !cell(row, clock).is_empty());
    let both: Vec<String> = known.clone().map(|row| format!("{} {}", cell(row, dates), cell(row, clock))).collect();
    let are_clocks = !both.is_empty() && known.clone().all(|row| is_clock(&cell(row, clock)));
    are_clocks && Column::of_dates(both.iter().map(String::as_str)).is_some_and(|column| !column.at.contains(&UNREAD))
}

/// The rank of a first column of text that holds no dates. It may name the rows.
pub(super) const LABELS: u8 = 3;

/// The columns to watch out of those that are read: the `time` column, and others that may be one.
pub(super) fn watched<'a>(
    columns: &[usize],
    time: Option<usize>,
    look: impl Fn(usize) -> Look,
    title: impl Fn(usize) -> &'a str,
    long: bool,
) -> Vec<Watch> {
    let may_be = |column: &usize| matches!(look(*column), Look::Time | Look::Index | Look::Runs | Look::Whole);
    let most = if long { MOST } else { usize::MAX };
    let mut found: Vec<usize> = columns.iter().copied().filter(may_be).collect();
    // those that look like it first
    found.sort_by_key(|&column| (Some(column) != time, look(column) == Look::Whole));
    found.truncate(most);
    found.into_iter().map(|column| Watch::new(column, title(column))).collect()
}

/// A count of the numbers seen, which knows whether they are neighbours, each once, in any order.
#[derive(Debug, Clone, Copy, Default)]
struct Counter {
    rows: u64,
    least: i64,
    /// The sum of a mixture of each number. Two sets of numbers hardly ever have the same.
    sum: u64,
}

impl Counter {
    fn see(&mut self, number: i64) {
        self.least = if self.rows == 0 { number } else { self.least.min(number) };
        self.rows += 1;
        self.sum = self.sum.wrapping_add(mixed(number));
    }

    fn is_gapless(&self) -> bool {
        let all = (0..self.rows as i64).map(|step| mixed(self.least.wrapping_add(step)));
        self.rows > 0 && all.fold(0, u64::wrapping_add) == self.sum
    }

    fn is_from_0_or_1(&self) -> bool {
        matches!(self.least, 0 | 1) && self.is_gapless()
    }
}

/// A number whose bits are mixed, as in SplitMix64.
fn mixed(number: i64) -> u64 {
    let mut bits = (number as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// How many different steps from one number to the next are counted.
const STEPS: usize = 32;
/// The seconds of a step below a minute that a clock may have. All others are whole minutes.
const SECONDS: [i64; 7] = [1, 2, 5, 10, 15, 20, 30];
const DAY: i64 = 86_400;

/// The steps from each number to the next of its series.
#[derive(Debug, Clone, Default)]
struct Steps {
    /// The first different steps, with how often each was seen; a step back is below zero.
    seen: Vec<(i64, u64)>,
    all: u64,
    /// How many are whole days, if the numbers are times in `unit`.
    days: u64,
}

impl Steps {
    fn see(&mut self, step: i64, unit: Option<u32>) {
        self.all += 1;
        if let Some(unit) = unit {
            self.days += u64::from(step != 0 && step % DAY.saturating_mul(1000_i64.pow(unit)) == 0);
        }
        if let Some((_, count)) = self.seen.iter_mut().find(|(seen, _)| *seen == step) {
            *count += 1;
        } else if self.seen.len() < STEPS {
            self.seen.push((step, 1));
        }
    }

    fn are_nearly_all(&self, count: u64) -> bool {
        count > 0 && count.saturating_mul(10) >= self.all.saturating_mul(9)
    }

    /// The commonest step other than 0, and how often it was seen.
    fn commonest(&self) -> (i64, u64) {
        self.seen.iter().copied().filter(|(step, _)| *step != 0).max_by_key(|(_, count)| *count).unwrap_or_default()
    }

    /// Whether nearly all are the same.
    fn are_equal(&self) -> bool {
        self.are_nearly_all(self.commonest().1)
    }

    /// Whether most of the numbers that differ from the one before follow it, or go before it.
    fn are_runs(&self) -> bool {
        let still: u64 = self.seen.iter().filter(|(step, _)| *step == 0).map(|(_, count)| count).sum();
        let (step, count) = self.commonest();
        step.abs() == 1 && count * 2 > self.all - still
    }

    /// Whether they are those of a clock: nearly all are whole days, or most are one step that clocks have and nearly
    /// all are multiples of it. Steps below a minute have to be nearly all equal, because a meter may also rise by
    /// multiples of 5.
    fn are_of_a_clock(&self, unit: u32) -> bool {
        if self.are_nearly_all(self.days) {
            return true;
        }
        let ((step, count), second) = (self.commonest(), 1000_i64.pow(unit));
        let multiples = || self.seen.iter().filter(|(seen, _)| *seen != 0 && seen % step == 0).map(|(_, count)| count);
        match step.abs() / second {
            _ if step % second != 0 || step == 0 => false,
            seconds if seconds % 60 == 0 => count * 2 >= self.all && self.are_nearly_all(multiples().sum()),
            seconds => SECONDS.contains(&seconds) && self.are_nearly_all(count),
        }
    }
}

/// A column of numbers that is watched while a table is read, because it may be a counter or a time.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    pub column: usize,
    name: Name,
    /// Whether all are whole numbers.
    whole: bool,
    /// Whether all are numbers that may be kept as whole ones or times.
    countable: bool,
    /// Whether each is above the one before, of the same series; or below it.
    strictly: [bool; 2],
    /// Whether none is below the one before, of the same series; or above it.
    weakly: [bool; 2],
    /// Whether they are dates such as 20240131.
    dates: bool,
    /// The unit since 1970 in which all are plausible times.
    epoch: Option<u32>,
    steps: Steps,
    /// The steps in months, if all are months such as 2015.12.
    months: Option<Steps>,
    all: Counter,
    /// For each series, its own count, its last number and its last month.
    each: Vec<(Counter, f64, Option<i64>)>,
    changes: bool,
}

impl Watch {
    /// `name` is that of the column in the file, which may be empty.
    pub fn new(column: usize, name: &str) -> Self {
        Self {
            column,
            name: Name::of(name),
            whole: true,
            countable: true,
            strictly: [true; 2],
            weakly: [true; 2],
            dates: true,
            epoch: None,
            steps: Steps::default(),
            months: Some(Steps::default()),
            all: Counter::default(),
            each: Vec::new(),
            changes: false,
        }
    }

    /// Looks at the cell of the next row, of this series if there are several.
    pub fn see(&mut self, cell: &str, member: Option<usize>) {
        let Cell::Number(value) = Cell::of(cell) else {
            (self.countable, self.whole, self.dates, self.months) = (false, false, false, None);
            (self.strictly, self.weakly, self.each) = ([false; 2], [false; 2], Vec::new());
            return;
        };
        if !self.countable && self.strictly == [false; 2] && self.months.is_none() {
            return;
        }
        let place = member.unwrap_or(0);
        if place >= self.each.len() {
            self.each.resize(place + 1, (Counter::default(), f64::NAN, None));
        }
        let epoch = epoch_of(value);
        self.whole &= value.fract() == 0.0 && (value.abs() < 9e15 || epoch.is_some());
        self.countable &= self.whole || epoch.is_some();
        self.epoch = if self.all.rows == 0 { epoch } else { self.epoch.filter(|_| self.epoch == epoch) };
        if let Some((counter, last, month)) = self.each.get_mut(place) {
            if !last.is_nan() {
                self.strictly = [self.strictly[0] && value > *last, self.strictly[1] && value < *last];
                self.weakly = [self.weakly[0] && value >= *last, self.weakly[1] && value <= *last];
                self.changes |= value != *last;
                self.steps.see((value as i64).saturating_sub(*last as i64), self.epoch);
            }
            *last = value;
            if member.is_some() {
                counter.see(value as i64);
            }
            if let Some(months) = &mut self.months {
                let next = NumberMonth::of(cell).map(|next| next.count(*month));
                if let (Some(next), Some(last)) = (next, *month) {
                    months.see(next - last, None);
                }
                *month = next;
            }
            if month.is_none() {
                self.months = None;
            }
        }
        self.all.see(value as i64);
        if self.dates {
            self.dates = is_number_date(cell);
        }
    }

    /// What the column is, if it is no measurement. Of the `beginning` of a table, few rows are enough.
    pub fn found(&self, beginning: bool) -> Option<Reason> {
        let name = &self.name;
        if !self.changes && !name.is_time {
            return None;
        }
        let enough = |known: bool| known || beginning || self.all.rows >= FEW;
        let in_order = name.is_time || self.is_in_order();
        // without a name that says so, counts since 1970 are times only if they go as a clock does
        let is_epoch = match self.epoch {
            Some(_) if name.is_time => self.countable,
            Some(unit) => self.whole && in_order && self.steps.are_of_a_clock(unit),
            None => false,
        };
        // with a time of day, a few are enough
        let with_time = self.dates && self.all.least >= 180_001_010_000;
        let is_date = self.whole && self.dates && (in_order || self.all.least >= 18_000_101);
        if enough(name.is_time || with_time) && (is_epoch || is_date) {
            return Some(Reason::Time);
        }
        let is_year = || {
            let years = (1700..=2100).contains(&self.all.least) && self.all.rows <= 400;
            self.whole && in_order && years && self.all.is_gapless()
        };
        if enough(name.is_time) && (self.are_months() || is_year()) {
            return Some(Reason::Time);
        }
        let of_each = || {
            self.each.len() > 1 && self.each.iter().all(|(counter, ..)| counter.rows == 0 || counter.is_from_0_or_1())
        };
        if self.whole && enough(name.is_index || name.is_time) && (self.all.is_from_0_or_1() || of_each()) {
            return Some(if name.is_time { Reason::Time } else { Reason::Index });
        }
        match () {
            () if self.strictly == [false; 2] => None,
            () if name.is_time => Some(Reason::Time),
            () if name.is_index && self.whole => Some(Reason::Index),
            () => None,
        }
    }

    /// Whether these may be the hours of days that stand in another column.
    pub fn says_hours(&self) -> bool {
        self.whole && self.name.is_hour
    }

    /// Whether the numbers rise in each series, or fall in each.
    fn is_in_order(&self) -> bool {
        self.weakly != [false; 2]
    }

    /// Whether rows may be sorted by the column: not by numbers in any order whose name does not say what they are.
    pub fn may_sort(&self) -> bool {
        self.name.is_time || self.name.is_index || self.dates || self.is_in_order() || self.are_months()
    }

    /// Whether these are months in equal steps. Those such as 12.2015 do not rise as numbers.
    fn are_months(&self) -> bool {
        self.months.as_ref().is_some_and(Steps::are_equal)
    }
}

/// What the name of a column suggests.
#[derive(Debug, Clone, Copy)]
struct Name {
    is_time: bool,
    is_index: bool,
    is_hour: bool,
}

/// Names of times, by their last word.
const TIMES: [&str; 29] = [
    "date",
    "dates",
    "datetime",
    "datum",
    "day",
    "days",
    "ds",
    "elapsed",
    "epoch",
    "hour",
    "hours",
    "minute",
    "minutes",
    "month",
    "period",
    "sec",
    "second",
    "seconds",
    "secs",
    "time",
    "times",
    "timestamp",
    "timestamps",
    "ts",
    "unix",
    "week",
    "year",
    "years",
    "zeit",
];

/// Units and zones behind the name of a time: "time (s)", "elapsed_ms".
const UNITS: [&str; 16] =
    ["s", "sec", "secs", "seconds", "ms", "us", "µs", "ns", "min", "mins", "h", "hr", "hrs", "utc", "gmt", "local"];

/// Names of row numbers.
const INDICES: [&str; 18] = [
    "",
    "#",
    "id",
    "idx",
    "index",
    "level_0",
    "no",
    "no.",
    "nr",
    "nr.",
    "row",
    "row_id",
    "row_number",
    "rowid",
    "rownames",
    "rownum",
    "sno",
    "unnamed: 0",
];

impl Name {
    fn of(name: &str) -> Self {
        let name = name.trim();
        // the last word of open_time, of "Close Time" and of closeTime
        let mut parts = name.rsplit(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        let mut last = parts.next().unwrap_or_default();
        let unit = parts.next().filter(|_| UNITS.contains(&last.to_lowercase().as_str()));
        let is_t = unit.is_some_and(|before| before.eq_ignore_ascii_case("t"));
        last = unit.unwrap_or(last);
        let capital = last.rfind(|c: char| c.is_uppercase()).filter(|_| last.contains(char::is_lowercase)).unwrap_or(0);
        let words = [last, last.get(capital..).unwrap_or_default()].map(str::to_lowercase);
        let is_time = is_t || words.iter().any(|word| TIMES.contains(&word.as_str()));
        let is_hour = words.iter().any(|word| ["hour", "hours", "hr", "h", "time"].contains(&word.as_str()));
        Self { is_time, is_hour, is_index: INDICES.contains(&name.to_lowercase().as_str()) }
    }
}
