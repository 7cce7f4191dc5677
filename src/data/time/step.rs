//! The step from one row to the next.

use super::notation::{Instant, SECOND, wall};
use chrono::{Datelike, Days, Months, NaiveDate, Weekday};
use std::fmt;

const DAY: Instant = 86_400 * SECOND;

/// The step from one row to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A length of time that is always the same, in nanoseconds.
    Fixed(i128),
    /// A number that grows by the same amount, in billionths.
    Number(i128),
    /// From Monday to Friday.
    BusinessDays,
    /// Some months, always on this day of the month or on the last if the month is shorter. The last day is 31.
    Months {
        /// How many months, at least one.
        months: u32,
        /// The day of the month.
        day: u32,
    },
}

/// The value that is the commonest, if it makes up at least half of all.
fn majority<T: Ord + Copy>(mut values: Vec<T>) -> Option<T> {
    let all = values.len();
    values.sort_unstable();
    let longest = values.chunk_by(|a, b| a == b).max_by_key(|run| run.len())?;
    longest.first().copied().filter(|_| longest.len() * 2 >= all)
}

fn date(at: Instant, offset: i32) -> Option<NaiveDate> {
    wall(at, offset).map(|wall| wall.date())
}

/// Months since the year 0.
fn month(date: NaiveDate) -> i64 {
    i64::from(date.year()) * 12 + i64::from(date.month0())
}

fn is_weekend(date: NaiveDate) -> bool {
    matches!(date.weekday(), Weekday::Sat | Weekday::Sun)
}

fn is_last_of_month(date: NaiveDate) -> bool {
    date.succ_opt().is_none_or(|next| next.day() == 1)
}

impl Step {
    /// The step of numbers in rising order: the commonest difference.
    pub(super) fn of_numbers(at: &[Instant]) -> Option<Self> {
        let steps = at.windows(2).map(|pair| pair[1] - pair[0]).filter(|&step| step > 0).collect();
        majority(steps).map(Self::Number)
    }

    /// The step of instants in rising order, on a clock `offset` seconds ahead of UTC.
    pub(super) fn of_instants(at: &[Instant], offset: i32) -> Option<Self> {
        let steps: Vec<Instant> = at.windows(2).map(|pair| pair[1] - pair[0]).filter(|&step| step > 0).collect();
        let least = steps.iter().min().copied()?;
        if least >= 28 * DAY
            && let Some(months) = Self::of_months(at, offset)
        {
            return Some(months);
        }
        let step = majority(steps)?;
        let on_weekend = |at: &Instant| date(*at, offset).is_some_and(is_weekend);
        let over_weekend = |pair: &[Instant]| pair[1] - pair[0] == 3 * DAY;
        if step == DAY && at.windows(2).any(over_weekend) && !at.iter().any(on_weekend) {
            return Some(Self::BusinessDays);
        }
        Some(Self::Fixed(step))
    }

    /// Whether each step leads to the same hour of another day.
    pub(super) fn is_of_days(self) -> bool {
        match self {
            Self::Fixed(step) => step % DAY == 0,
            Self::Number(_) => false,
            Self::BusinessDays | Self::Months { .. } => true,
        }
    }

    fn of_months(at: &[Instant], offset: i32) -> Option<Self> {
        let dates: Vec<NaiveDate> = at.iter().map(|&at| date(at, offset)).collect::<Option<_>>()?;
        let months = majority(dates.windows(2).map(|pair| month(pair[1]) - month(pair[0])).collect())?;
        let months = u32::try_from(months).ok().filter(|&months| months > 0)?;
        let day = dates.iter().map(|date| date.day()).max()?;
        let day = if dates.iter().all(|&date| is_last_of_month(date)) { 31 } else { day };
        let on_day = |date: &NaiveDate| date.day() == day || (date.day() < day && is_last_of_month(*date));
        dates.iter().all(on_day).then_some(Self::Months { months, day })
    }

    /// The instant `steps` steps after `at`; `None` beyond what a calendar holds.
    pub(super) fn after(self, at: Instant, steps: u64, offset: i32) -> Option<Instant> {
        match self {
            Self::Fixed(step) | Self::Number(step) => at.checked_add(step.checked_mul(Instant::from(steps))?),
            Self::BusinessDays => {
                // whole weeks at once, and the rest day by day
                let mut date = date(at, offset)?.checked_add_days(Days::new(steps.checked_div(5)?.checked_mul(7)?))?;
                let start = date;
                for _ in 0..steps % 5 {
                    date = date.succ_opt()?;
                    while is_weekend(date) {
                        date = date.succ_opt()?;
                    }
                }
                let weeks = Instant::from(steps / 5) * 7 * DAY;
                at.checked_add(weeks + Instant::from((date - start).num_days()) * DAY)
            }
            Self::Months { months, day } => {
                let from = date(at, offset)?;
                let months = u32::try_from(steps).ok()?.checked_mul(months)?;
                let first = from.with_day(1)?.checked_add_months(Months::new(months))?;
                let last = first.checked_add_months(Months::new(1))?.pred_opt()?;
                let to = first.with_day(day.min(last.day()))?;
                at.checked_add(Instant::from((to - from).num_days()) * DAY)
            }
        }
    }

    /// How many rows are missing between two neighbours: those that would stand between them.
    pub(super) fn missing(self, from: Instant, to: Instant, offset: i32) -> u64 {
        let steps = match self {
            Self::Fixed(step) | Self::Number(step) if step > 0 => (to - from) / step,
            Self::Fixed(_) | Self::Number(_) => 0,
            Self::BusinessDays => {
                let days = (to - from) / DAY;
                let is_workday = |day: &Instant| date(from + day * DAY, offset).is_some_and(|date| !is_weekend(date));
                days / 7 * 5 + (1..=days % 7).filter(is_workday).count() as Instant
            }
            Self::Months { months, .. } => match (date(from, offset), date(to, offset)) {
                (Some(from), Some(to)) => Instant::from(month(to) - month(from)) / Instant::from(months.max(1)),
                _ => 0,
            },
        };
        u64::try_from(steps - 1).unwrap_or(0)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [
            (7 * DAY, "week"),
            (DAY, "day"),
            (3600 * SECOND, "hour"),
            (60 * SECOND, "minute"),
            (SECOND, "second"),
            (SECOND / 1000, "millisecond"),
            (SECOND / 1_000_000, "microsecond"),
        ];
        let (count, unit) = match *self {
            Self::BusinessDays => (1, "business day"),
            Self::Months { months, .. } if months % 12 == 0 => (i128::from(months / 12), "year"),
            Self::Months { months, .. } if months % 3 == 0 => (i128::from(months / 3), "quarter"),
            Self::Months { months, .. } => (i128::from(months), "month"),
            Self::Fixed(step) => match units.iter().find(|(unit, _)| step % unit == 0) {
                Some((unit, name)) => (step / unit, *name),
                None => (step, "nanosecond"),
            },
            Self::Number(step) if step % SECOND == 0 => return write!(f, "in steps of {}", step / SECOND),
            Self::Number(step) => return write!(f, "in steps of {}", step as f64 / SECOND as f64),
        };
        match count {
            1 => write!(f, "every {unit}"),
            _ => write!(f, "every {count} {unit}s"),
        }
    }
}
