//! Which columns of numbers are no measurements: counters, row numbers and times.

use super::dialect::{Cell, Kind};
use crate::data::series::Reason;
use crate::data::time::notation::Column;

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
    /// Whole numbers, which may turn out to be either.
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
        Look::Whole if name.is_time => Some(2),
        Look::Index => Some(4),
        Look::Whole if name.is_index => Some(5),
        Look::Whole | Look::Other => None,
    }
}

/// The rank of a first column of text that holds no dates. It may name the rows.
pub(super) const LABELS: u8 = 3;

/// The columns to watch out of those that are read, in a table with this many columns.
pub(super) fn watched<'a>(
    columns: &[usize],
    look: impl Fn(usize) -> Look,
    title: impl Fn(usize) -> &'a str,
    long: bool,
) -> Vec<Watch> {
    let may_be = |column: &usize| matches!(look(*column), Look::Time | Look::Index | Look::Whole);
    let most = if long { MOST } else { usize::MAX };
    let mut found: Vec<usize> = columns.iter().copied().filter(may_be).collect();
    // those that look like it first
    found.sort_by_key(|&column| look(column) == Look::Whole);
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

/// A column of numbers that is watched while a table is read, because it may be a counter or a time.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    pub column: usize,
    name: Name,
    /// Whether all are whole numbers.
    whole: bool,
    /// Whether each is above the one before, of the same series.
    increases: bool,
    /// Whether they are dates such as 20240131.
    dates: bool,
    /// The unit since 1970 in which all are plausible times.
    epoch: Epoch,
    /// The commonest difference of neighbours, if there is one, with how often it was seen more than others.
    step: (f64, u64),
    all: Counter,
    /// For each series, its own count and its last number.
    each: Vec<(Counter, f64)>,
    before: f64,
    changes: bool,
}

/// Powers of a thousand by which seconds since 1970 are multiplied; `None` if they are no times.
type Epoch = Option<u32>;

impl Watch {
    /// `name` is that of the column in the file, which may be empty.
    pub fn new(column: usize, name: &str) -> Self {
        Self {
            column,
            name: Name::of(name),
            whole: true,
            increases: true,
            dates: true,
            epoch: None,
            step: (0.0, 0),
            all: Counter::default(),
            each: Vec::new(),
            before: f64::NAN,
            changes: false,
        }
    }

    /// Looks at the cell of the next row, of this series if there are several.
    pub fn see(&mut self, cell: &str, member: Option<usize>) {
        let Cell::Number(value) = Cell::of(cell) else {
            (self.whole, self.increases, self.each) = (false, false, Vec::new());
            return;
        };
        let place = member.unwrap_or(0);
        if !self.whole && !self.increases {
            return;
        }
        if place >= self.each.len() {
            self.each.resize(place + 1, (Counter::default(), f64::NEG_INFINITY));
        }
        self.whole &= value.fract() == 0.0 && value.abs() < 9e15 || epoch_of(value).is_some();
        if let Some((counter, last)) = self.each.get_mut(place) {
            self.increases &= value > *last;
            *last = value;
            if member.is_some() {
                counter.see(value as i64);
            }
        }
        self.all.see(value as i64);
        if self.dates {
            self.dates = Column::of_number_dates(std::iter::once(cell)).is_some();
        }
        let epoch = epoch_of(value);
        self.epoch = if self.all.rows == 1 { epoch } else { self.epoch.filter(|_| self.epoch == epoch) };
        if value != self.before && !self.before.is_nan() {
            self.changes = true;
            let step = (value - self.before).abs();
            match &mut self.step {
                (known, count) if *known == step => *count += 1,
                (known, count @ 0) => (*known, *count) = (step, 1),
                (_, count) => *count -= 1,
            }
        }
        self.before = value;
    }

    /// What the column is, if it is no measurement. Of the `beginning` of a table, few rows are enough.
    pub fn found(&self, beginning: bool) -> Option<Reason> {
        let name = &self.name;
        if !self.changes && !name.is_time {
            return None;
        }
        let enough = |known: bool| known || beginning || self.all.rows >= FEW;
        let is_epoch = self.epoch.is_some() && (name.is_time || self.step.1 > 0);
        if self.whole && enough(name.is_time) && (is_epoch || self.dates) {
            return Some(Reason::Time);
        }
        let year = (1700..=2100).contains(&self.all.least) && self.all.rows <= 400;
        if self.whole && year && enough(name.is_time) && self.all.is_gapless() {
            return Some(Reason::Time);
        }
        let of_each = || {
            self.each.len() > 1 && self.each.iter().all(|(counter, _)| counter.rows == 0 || counter.is_from_0_or_1())
        };
        if self.whole && enough(name.is_index || name.is_time) && (self.all.is_from_0_or_1() || of_each()) {
            return Some(if name.is_time { Reason::Time } else { Reason::Index });
        }
        match () {
            () if !self.increases => None,
            () if name.is_time => Some(Reason::Time),
            () if name.is_index && self.whole => Some(Reason::Index),
            () => None,
        }
    }
}

/// The unit in which a number is a plausible time since 1970, as a power of a thousand.
fn epoch_of(value: f64) -> Epoch {
    (0..4).find(|&power| (1e8..4e9).contains(&(value / 1000_f64.powi(power as i32))))
}

/// What the name of a column suggests.
#[derive(Debug, Clone, Copy)]
struct Name {
    is_time: bool,
    is_index: bool,
}

impl Name {
    fn of(name: &str) -> Self {
        const TIMES: [&str; 24] = [
            "date",
            "dates",
            "datetime",
            "day",
            "days",
            "ds",
            "epoch",
            "hour",
            "hours",
            "minute",
            "minutes",
            "month",
            "period",
            "second",
            "seconds",
            "time",
            "times",
            "timestamp",
            "timestamps",
            "ts",
            "unix",
            "week",
            "year",
            "years",
        ];
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
        let name = name.trim();
        // the last word of open_time, of "Close Time" and of closeTime
        let last = name.rsplit(|c: char| !c.is_alphanumeric()).find(|word| !word.is_empty()).unwrap_or_default();
        let capital = last.rfind(|c: char| c.is_uppercase()).filter(|_| last.contains(char::is_lowercase)).unwrap_or(0);
        let words = [last, last.get(capital..).unwrap_or_default()].map(str::to_lowercase);
        let is_time = words.iter().any(|word| TIMES.contains(&word.as_str()));
        Self { is_time, is_index: INDICES.contains(&name.to_lowercase().as_str()) }
    }
}
