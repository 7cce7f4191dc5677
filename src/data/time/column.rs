//! What a whole column of times holds: in which way its cells are written, and the instant of each.

use super::notation::{Cell, Instant, Notation, SECOND, Style, UNREAD, is_digits};
use super::step::Step;

/// The ways to write a date. Lower letters are fields: `y` a year of four digits, `z` of two, `m` a month, `d` a day,
/// `b` the name of a month, `q` a quarter, `w` a week (ISO 8601), `j` a day of the year. Everything else stands for
/// itself. Of two that fit a column equally well, the first is taken.
const DATES: [&str; 42] = [
    "y-m-d", "y/m/d", "y.m.d", "y_m_d", "d.m.y", "m/d/y", "d/m/y", "m-d-y", "d-m-y", "d.m.z", "m/d/z", "d/m/z", "ymd",
    "d b y", "d-b-y", "d-b-z", "d/b/y", "d. b y", "b d, y", "b d y", "y-b-d", "y b d", "b y", "b-y", "b-z", "b z",
    "y b", "y-b", "y-m", "y/m", "m/y", "m.y", "yMm", "yQq", "y-Qq", "y Qq", "Qq y", "Qq/y", "Qq-y", "y-Ww", "yWw",
    "y-j",
];
/// The ways to write a date as a number.
const NUMBER_DATES: [&str; 2] = ["ymd", "ym"];

/// Nanoseconds of one unit of a count since 1970: seconds, milliseconds, microseconds, nanoseconds.
const EPOCHS: [Instant; 4] = [SECOND, 1_000_000, 1_000, 1];
/// The seconds since 1970 of a plausible time: March 1973 to 2096, narrow enough that a count fits one unit only.
const PLAUSIBLE: std::ops::Range<i64> = 100_000_000..4_000_000_000;

/// The unit in which a number is a plausible time since 1970, as the power of a thousand by which seconds are
/// multiplied.
pub(in crate::data) fn epoch_of(value: f64) -> Option<u32> {
    let plausible = PLAUSIBLE.start as f64..PLAUSIBLE.end as f64;
    (0..4).find(|&power| plausible.contains(&(value / 1000_f64.powi(power as i32))))
}

/// Whether a cell is a date that is written as a number, such as 20240131.
pub(in crate::data) fn is_number_date(cell: &str) -> bool {
    let cell = cell.trim();
    let year = cell.get(..4).and_then(|year| year.parse().ok());
    year.is_some_and(|year| (1800..2200).contains(&year))
        && NUMBER_DATES.iter().any(|pattern| Cell::read(cell, pattern).is_some())
}

/// What a whole column holds.
#[derive(Debug)]
pub(in crate::data) struct Column {
    /// How its cells are written; the small things, such as the zone, as in its last cell.
    pub notation: Notation,
    /// The instant of each cell; [`UNREAD`] if it cannot be read.
    pub at: Vec<Instant>,
    /// How far the zone of each cell is ahead of UTC, in seconds. Empty if all are the same. Cells beyond its end have
    /// the zone of the last cell.
    pub offsets: Vec<i32>,
    /// Another way to write dates in which every cell can be read, if there is one: 01/02 is a day in January or in
    /// February.
    pub ambiguous: Option<&'static str>,
}

impl Column {
    /// Reads a column of dates or of numbers; `None` if it holds other text.
    pub fn of<'a>(cells: impl Iterator<Item = &'a str> + Clone) -> Option<Self> {
        let dates = Self::of_number_dates(cells.clone()).or_else(|| Self::of_number_months(cells.clone()));
        dates.or_else(|| Self::of_numbers(cells.clone())).or_else(|| Self::of_dates(cells))
    }

    /// Reads a column of dates; `None` if most of its cells are no dates.
    pub fn of_dates<'a>(cells: impl Iterator<Item = &'a str> + Clone) -> Option<Self> {
        Self::among(cells, DATES.to_vec())
    }

    /// Reads a column of numbers that are dates, such as 20240131; `None` if they are not.
    pub fn of_number_dates<'a>(cells: impl Iterator<Item = &'a str> + Clone) -> Option<Self> {
        if !cells.clone().all(is_number_date) {
            return None;
        }
        Self::among(cells, NUMBER_DATES.to_vec()).filter(|column| !column.at.contains(&UNREAD))
    }

    /// Reads a column of months as decimal numbers, such as 2015.12 or 12.2015; `None` if they do not go in regular
    /// steps, so that they are other numbers.
    pub fn of_number_months<'a>(cells: impl Iterator<Item = &'a str> + Clone) -> Option<Self> {
        let months: Vec<NumberMonth> = cells.map(NumberMonth::of).collect::<Option<_>>()?;
        let pattern = if months.first()?.year_first { "y.m" } else { "m.y" };
        // 2015.1 is October where the zeros of other months are there, as in 2015.01
        let tenth = months.iter().all(|one| one.month.len() == 2 || one.month == "1");
        let mut before = None;
        let text = |one: &NumberMonth| {
            let month = one.count(before);
            before = Some(month);
            match one.year_first {
                true if one.month == "1" && (tenth || month % 12 == 9) => format!("{}.10", one.year),
                true => format!("{}.{}", one.year, one.month),
                false => format!("{}.{}", one.month, one.year),
            }
        };
        let texts: Vec<String> = months.iter().map(text).collect();
        let column = Self::written(texts.iter().map(String::as_str), pattern)?;
        (!column.at.contains(&UNREAD) && column.irregular().is_some()).then_some(column)
    }

    /// How many steps are others than the commonest, if the rows are put in order; `None` if more than one out of ten
    /// are.
    fn irregular(&self) -> Option<usize> {
        let known = (0..self.at.len()).filter_map(|row| self.on_last_clock(row)).filter(|at| *at != UNREAD);
        let mut at: Vec<Instant> = known.collect();
        at.sort_unstable();
        at.dedup();
        let offset = self.notation.offset();
        let step = Step::of_instants(&at, offset)?;
        let other = |pair: &&[Instant]| step.after(pair[0], 1, offset) != Some(pair[1]);
        let irregular = at.windows(2).filter(other).count();
        (irregular * 10 < at.len()).then_some(irregular)
    }

    /// Reads a column of numbers: counts since 1970 if all are plausible, else numbers. `None` if a cell is none, or has
    /// more than nine decimals.
    pub fn of_numbers<'a>(cells: impl Iterator<Item = &'a str>) -> Option<Self> {
        let (mut at, mut decimals) = (Vec::with_capacity(cells.size_hint().0), 0);
        for cell in cells {
            let (number, places) = billionths(cell)?;
            decimals = decimals.max(places);
            at.push(number);
        }
        let plausible = Instant::from(PLAUSIBLE.start)..Instant::from(PLAUSIBLE.end);
        let fits = |unit: Instant| at.iter().all(|at| plausible.contains(&(at / SECOND * unit / SECOND)));
        let (notation, unit) = match EPOCHS.into_iter().find(|&unit| decimals == 0 && !at.is_empty() && fits(unit)) {
            Some(unit) => (Notation::Epoch(unit), unit),
            None => (Notation::Number(decimals), SECOND),
        };
        if unit != SECOND {
            at.iter_mut().for_each(|at| *at = *at / SECOND * unit);
        }
        Some(Self { notation, at, offsets: Vec::new(), ambiguous: None })
    }

    fn among<'a>(cells: impl Iterator<Item = &'a str> + Clone, mut patterns: Vec<&'static str>) -> Option<Self> {
        let all = patterns.len();
        for cell in cells.clone() {
            if patterns.len() == 1 {
                break;
            }
            let fits = |pattern: &&'static str| Cell::read(cell, pattern).is_some();
            let left: Vec<&'static str> = patterns.iter().copied().filter(fits).collect();
            if !left.is_empty() {
                patterns = left;
            }
        }
        if patterns.len() == all && all > 2 {
            return None;
        }
        let read = |pattern: &'static str| Self::written(cells.clone(), pattern);
        // of several ways, one in which the rows go forward, or at least back in order, in regular steps
        let mut readings: Vec<Self> = patterns.into_iter().take(2).filter_map(read).collect();
        let several = readings.len() > 1;
        let doubt = |column: &Self| {
            let at = column.at.iter().filter(|at| **at != UNREAD);
            let in_order = at.clone().is_sorted() || at.is_sorted_by(|a, b| a >= b);
            (!in_order, column.irregular().unwrap_or(usize::MAX))
        };
        let doubts: Vec<_> = readings.iter().filter(|_| several).map(doubt).collect();
        let best = usize::from(doubts.first() > doubts.get(1));
        let mut chosen = (best < readings.len()).then(|| readings.swap_remove(best))?;
        if let Some(other) = readings.pop()
            && doubts.first() == doubts.get(1)
        {
            chosen.ambiguous = other.notation.pattern();
        }
        Some(chosen)
    }

    /// Reads all cells as written in one way; `None` if that fails for most.
    fn written<'a>(cells: impl Iterator<Item = &'a str>, pattern: &'static str) -> Option<Self> {
        let (mut style, mut offsets): (Option<Style>, _) = (None, Vec::new());
        let mut at = Vec::with_capacity(cells.size_hint().0);
        for cell in cells {
            let Some(cell) = Cell::read(cell, pattern) else {
                at.push(UNREAD);
                continue;
            };
            let offset = style.as_ref().map_or(cell.style.offset, |style| style.offset);
            if offset != cell.style.offset || !offsets.is_empty() {
                offsets.resize(at.len(), offset);
                offsets.push(cell.style.offset);
            }
            at.push(cell.at);
            style = Some(match &style {
                Some(before) => cell.style.after(before),
                None => cell.style,
            });
        }
        let known = at.iter().filter(|at| **at != UNREAD).count();
        let style = style.filter(|_| known * 2 > at.len())?;
        Some(Self { notation: Notation::Calendar(style), at, offsets, ambiguous: None })
    }

    /// The instant of a row, moved so that the clock of the last row shows what the clock of this row shows.
    pub(super) fn on_last_clock(&self, row: usize) -> Option<Instant> {
        let at = self.at.get(row).copied()?;
        let offset = self.offsets.get(row).copied().unwrap_or(self.notation.offset());
        Some(if at == UNREAD { at } else { at + Instant::from(offset - self.notation.offset()) * SECOND })
    }
}

/// A month that is written as a decimal number, such as 2015.12 or 12.2015.
pub(in crate::data) struct NumberMonth<'a> {
    pub year: u32,
    /// As it is written: 1 may also be a 10 that lost its zero.
    pub month: &'a str,
    pub year_first: bool,
}

impl<'a> NumberMonth<'a> {
    /// Months since the year 0. 2015.1 is January, or October without its zero: whichever is nearer to the month
    /// `before`, if that is at most a quarter away.
    pub fn count(&self, before: Option<i64>) -> i64 {
        let of_year = |month: i64| i64::from(self.year) * 12 + month - 1;
        let far = |month: i64| before.map_or(i64::MAX, |before| (of_year(month) - before).abs());
        let is_october = self.year_first && self.month == "1" && far(10) < far(1) && far(10) <= 3;
        of_year(if is_october { 10 } else { self.month.parse().unwrap_or(1) })
    }

    pub fn of(cell: &'a str) -> Option<Self> {
        let (one, other) = cell.trim().split_once('.')?;
        let year_first = one.len() == 4;
        let (year, month) = if year_first { (one, other) } else { (other, one) };
        let may_be = year.len() == 4 && (1..=2).contains(&month.len()) && is_digits(year) && is_digits(month);
        let year = year.parse().ok().filter(|year| may_be && (1800..2200).contains(year))?;
        let is_month = month.parse().is_ok_and(|month: u32| (1..=12).contains(&month));
        is_month.then_some(Self { year, month, year_first })
    }
}

/// A decimal number in billionths, and how many decimals it is written with.
fn billionths(cell: &str) -> Option<(Instant, usize)> {
    let cell = cell.trim();
    let (whole, fraction) = cell.split_once('.').unwrap_or((cell, ""));
    // 2020.0 is how pandas writes a year next to a missing one
    let fraction = fraction.trim_end_matches('0');
    let digits = whole.strip_prefix(['-', '+']).unwrap_or(whole);
    if digits.is_empty() || digits.len() > 20 || fraction.len() > 9 || !is_digits(digits) || !is_digits(fraction) {
        return None;
    }
    let size = format!("{digits}{fraction:0<9}").parse::<Instant>().ok()?;
    Some((if whole.starts_with('-') { -size } else { size }, fraction.len()))
}
