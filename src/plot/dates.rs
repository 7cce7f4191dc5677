//! Ticks of an axis whose rows have times: they stand where a round date begins.

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveDateTime, Timelike};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// What ticks are apart.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Unit {
    /// Seconds, up to a day.
    Seconds(i64),
    /// From Monday to Monday.
    Week,
    /// Months, up to many years.
    Months(i32),
}

/// The distances of ticks, the finest first.
const UNITS: [Unit; 33] = [
    Unit::Seconds(1),
    Unit::Seconds(2),
    Unit::Seconds(5),
    Unit::Seconds(10),
    Unit::Seconds(15),
    Unit::Seconds(30),
    Unit::Seconds(MINUTE),
    Unit::Seconds(2 * MINUTE),
    Unit::Seconds(5 * MINUTE),
    Unit::Seconds(10 * MINUTE),
    Unit::Seconds(15 * MINUTE),
    Unit::Seconds(30 * MINUTE),
    Unit::Seconds(HOUR),
    Unit::Seconds(2 * HOUR),
    Unit::Seconds(3 * HOUR),
    Unit::Seconds(6 * HOUR),
    Unit::Seconds(12 * HOUR),
    Unit::Seconds(DAY),
    Unit::Week,
    Unit::Months(1),
    Unit::Months(2),
    Unit::Months(3),
    Unit::Months(6),
    Unit::Months(12),
    Unit::Months(2 * 12),
    Unit::Months(5 * 12),
    Unit::Months(10 * 12),
    Unit::Months(20 * 12),
    Unit::Months(50 * 12),
    Unit::Months(100 * 12),
    Unit::Months(200 * 12),
    Unit::Months(500 * 12),
    Unit::Months(1000 * 12),
];

impl Unit {
    /// Seconds, of a month the fewest.
    fn length(self) -> i64 {
        match self {
            Self::Seconds(seconds) => seconds,
            Self::Week => 7 * DAY,
            Self::Months(months) => i64::from(months) * 28 * DAY,
        }
    }

    /// The latest round date that is not after `time`.
    fn begin(self, time: i64) -> Option<i64> {
        match self {
            Self::Seconds(seconds) => Some(time.div_euclid(seconds) * seconds),
            Self::Week => {
                let date = clock(time)?.date();
                Some(midnight(date.week(chrono::Weekday::Mon).checked_first_day()?))
            }
            Self::Months(months) => {
                let date = clock(time)?.date();
                let month = (date.year() * 12 + date.month0() as i32).div_euclid(months) * months;
                NaiveDate::from_ymd_opt(month.div_euclid(12), month.rem_euclid(12) as u32 + 1, 1).map(midnight)
            }
        }
    }

    /// The round date after the round date `begin`.
    fn next(self, begin: i64) -> Option<i64> {
        match self {
            Self::Seconds(_) | Self::Week => begin.checked_add(self.length()),
            Self::Months(months) => {
                clock(begin)?.date().checked_add_months(Months::new(months.unsigned_abs())).map(midnight)
            }
        }
    }

    /// The label of a round date, behind that of `before`: what is new in it.
    fn label(self, time: i64, before: Option<i64>) -> Option<String> {
        let now = clock(time)?;
        let before = before.and_then(clock);
        let new_year = before.is_none_or(|before| before.year() != now.year());
        let new_day = before.is_none_or(|before| before.date() != now.date());
        let is_midnight = now.num_seconds_from_midnight() == 0;
        let format = match self {
            Self::Months(months) if months % 12 == 0 => "%Y",
            Self::Months(_) if new_year => "%b %Y",
            Self::Months(_) => "%b",
            Self::Week | Self::Seconds(DAY) if new_year => "%-d %b %Y",
            Self::Week | Self::Seconds(DAY) => "%-d %b",
            Self::Seconds(_) if is_midnight && new_year => "%-d %b %Y",
            Self::Seconds(_) if is_midnight => "%-d %b",
            Self::Seconds(MINUTE..) if new_day => "%-d %b %H:%M",
            Self::Seconds(MINUTE..) => "%H:%M",
            Self::Seconds(_) if new_day => "%-d %b %H:%M:%S",
            Self::Seconds(_) => "%H:%M:%S",
        };
        Some(now.format(format).to_string())
    }
}

fn clock(time: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp(time, 0).map(|time| time.naive_utc())
}

fn midnight(date: NaiveDate) -> i64 {
    date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp()
}

/// The rows at which a round date begins, and their labels: at most `most`, and at least two if two rows begin one. `times`
/// are the times of rows 0, 1, 2, ... in seconds since 1970 on the wall clock, in rising order; only those from `first` to
/// `last` count.
pub(super) fn round_dates(times: &[i64], first: usize, last: usize, most: usize) -> Vec<(usize, String)> {
    let Some((&from, &to)) = times.get(first).zip(times.get(last)) else { return Vec::new() };
    let span = to.saturating_sub(from);
    let rows_of = |unit: Unit| {
        let (mut rows, mut begin) = (Vec::new(), unit.begin(from));
        while let Some(time) = begin.filter(|&time| time <= to) {
            begin = unit.next(time);
            let row = times.partition_point(|&at| at < time);
            // the first row of all may stand in the middle of a month, and after a gap there may be no row of it
            let begins =
                times.get(row).is_some_and(|&at| if row == 0 { at == time } else { begin.is_none_or(|end| at < end) });
            if begins && (first..=last).contains(&row) {
                rows.push((row, time));
            }
        }
        rows
    };
    // a unit of which there would be far too many is not counted out
    let in_question = UNITS.into_iter().filter(|unit| span / unit.length() <= 8 * most as i64);
    let mut finer: Option<(Unit, Vec<(usize, i64)>)> = None;
    for unit in in_question {
        let rows = rows_of(unit);
        if rows.len() <= most {
            let enough = rows.len() >= 2 || finer.is_none();
            return labelled(if enough { (unit, rows) } else { finer.unwrap_or((unit, Vec::new())) }, most);
        }
        finer = Some((unit, rows));
    }
    Vec::new()
}

/// At most `most` of the rows, with labels.
fn labelled((unit, rows): (Unit, Vec<(usize, i64)>), most: usize) -> Vec<(usize, String)> {
    let mut before = None;
    let every = rows.len().div_ceil(most.max(1)).max(1);
    let label = |(row, time)| Some((row, unit.label(time, before.replace(time))?));
    rows.into_iter().step_by(every).filter_map(label).collect()
}
