//! How the cells of a time column are written: read as an instant, and written again in the same way.

use super::step::Step;
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Weekday};

/// A point in time: nanoseconds since 1970-01-01 00:00 in UTC, or of the wall clock if the cells name no zone. Of a
/// plain number, billionths.
pub(in crate::data) type Instant = i128;

/// The instant of a cell that could not be read. It is later than all others.
pub(in crate::data) const UNREAD: Instant = Instant::MAX;
/// Nanoseconds of a second, and billionths of one.
pub(in crate::data) const SECOND: Instant = 1_000_000_000;

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

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Nanoseconds of one unit of a count since 1970: seconds, milliseconds, microseconds, nanoseconds.
const EPOCHS: [Instant; 4] = [SECOND, 1_000_000, 1_000, 1];
/// The seconds since 1970 of a plausible time: from March 1973, so that ten digits are seconds, to the year 2096.
const PLAUSIBLE: std::ops::Range<Instant> = 100_000_000..4_000_000_000;

/// How the cells of a column are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::data) enum Notation {
    /// A date, perhaps with a time of day and a zone.
    Calendar(Style),
    /// A count since 1970, with this many nanoseconds a unit.
    Epoch(Instant),
    /// A number that is no date: a year, a counter, seconds since some start. With this many decimals.
    Number(usize),
}

/// How a date is written, apart from its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::data) struct Style {
    date: &'static str,
    short: Short,
    /// Whether the names of months are written out.
    long: bool,
    case: Case,
    /// What stands between date and time.
    joint: String,
    clock: Option<Clock>,
    /// What stands behind the time, as it is in the file.
    zone: String,
    /// How far the zone is ahead of UTC, in seconds.
    offset: i32,
}

/// Whether months, days and hours below ten have one digit; `None` where none of them is below ten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Short {
    month: Option<bool>,
    day: Option<bool>,
    hour: Option<bool>,
}

impl Short {
    fn of(value: u32, digits: usize) -> Option<bool> {
        (value < 10).then_some(digits == 1)
    }

    /// What two cells of a column show together.
    fn and(self, other: Self) -> Self {
        // no is below yes, and above nothing
        let any = Option::max;
        Self { month: any(self.month, other.month), day: any(self.day, other.day), hour: any(self.hour, other.hour) }
    }

    /// Whether each has one digit, from the others where it does not show.
    fn month(self) -> bool {
        self.month.or(self.day).or(self.hour).unwrap_or(false)
    }

    fn day(self) -> bool {
        self.day.or(self.month).or(self.hour).unwrap_or(false)
    }

    fn hour(self) -> bool {
        self.hour.or(self.day).or(self.month).unwrap_or(false)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Title,
    Upper,
    Lower,
}

/// How a time of day is written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Clock {
    /// Whether colons stand between hours, minutes and seconds, as not in `120000`.
    colon: bool,
    minutes: bool,
    seconds: bool,
    /// Digits of a fraction of a second, behind this mark.
    fraction: Option<(char, usize)>,
    /// What stands before AM and PM, if they are there, and whether these are capitals.
    half: Option<(String, bool)>,
}

/// Text that is read from its front.
#[derive(Clone, Copy)]
struct Front<'a>(&'a str);

impl<'a> Front<'a> {
    fn digits(&mut self, least: usize, most: usize) -> Option<(u32, usize)> {
        let count = self.0.bytes().take(most).take_while(u8::is_ascii_digit).count();
        let digits = self.0.get(..count).filter(|_| count >= least)?;
        self.0 = self.0.get(count..)?;
        Some((digits.parse().ok()?, count))
    }

    fn literal(&mut self, wanted: &str) -> Option<()> {
        let start = self.0.get(..wanted.len()).filter(|start| start.eq_ignore_ascii_case(wanted))?;
        self.0 = self.0.get(start.len()..)?;
        Some(())
    }

    fn word(&mut self) -> &'a str {
        let length = self.0.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (word, rest) = self.0.split_at_checked(length).unwrap_or_default();
        self.0 = rest;
        word
    }
}

/// What the fields of a date hold.
#[derive(Default)]
struct Fields {
    year: i32,
    month: Option<u32>,
    day: Option<u32>,
    week: Option<u32>,
    of_year: Option<u32>,
    short: Short,
    long: bool,
    case: Option<Case>,
}

impl Fields {
    fn read(text: &mut Front, pattern: &str) -> Option<Self> {
        let mut fields = Self::default();
        let joined = !pattern.contains(|c: char| !c.is_ascii_lowercase());
        let number = |text: &mut Front, short: &mut Option<bool>| {
            let (value, digits) = text.digits(if joined { 2 } else { 1 }, 2)?;
            *short = Short::of(value, digits);
            Some(value)
        };
        let (mut year, mut month, mut day, mut week, mut of_year, mut name) = (None, None, None, None, None, None);
        for field in pattern.chars() {
            match field {
                'y' => year = Some(text.digits(4, 4)?.0).filter(|year| (1..=9999).contains(year)),
                // the century that strptime takes
                'z' => year = text.digits(2, 2).map(|(year, _)| if year < 69 { 2000 + year } else { 1900 + year }),
                'm' => month = Some(number(text, &mut fields.short.month)?),
                'd' => day = Some(number(text, &mut fields.short.day)?),
                'q' => {
                    month = Some(text.digits(1, 1)?.0).filter(|q| (1..=4).contains(q)).map(|quarter| quarter * 3 - 2)
                }
                'w' => week = Some(text.digits(2, 2)?.0),
                'j' => of_year = Some(text.digits(3, 3)?.0),
                'b' => name = Some(text.word()),
                other => text.literal(other.encode_utf8(&mut [0; 4]))?,
            }
        }
        if let Some(name) = name {
            let known = |month: &&str| {
                name.eq_ignore_ascii_case(month) || month.get(..3).is_some_and(|start| name.eq_ignore_ascii_case(start))
            };
            month = Some(MONTHS.iter().position(known)? as u32 + 1);
            fields.long = name.len() > 3;
            fields.case = Some(match name.as_bytes() {
                [_, rest @ ..] if rest.iter().all(u8::is_ascii_uppercase) => Case::Upper,
                [first, ..] if first.is_ascii_lowercase() => Case::Lower,
                _ => Case::Title,
            });
        }
        fields.year = i32::try_from(year?).ok()?;
        (fields.month, fields.day, fields.week, fields.of_year) = (month, day, week, of_year);
        Some(fields)
    }

    fn date(&self) -> Option<NaiveDate> {
        match (self.week, self.of_year) {
            (Some(week), _) => NaiveDate::from_isoywd_opt(self.year, week, Weekday::Mon),
            (None, Some(day)) => NaiveDate::from_yo_opt(self.year, day),
            (None, None) => NaiveDate::from_ymd_opt(self.year, self.month.unwrap_or(1), self.day.unwrap_or(1)),
        }
    }
}

impl Clock {
    /// Reads a time of day, such as `9:30`, `09:30:00.250`, `9:30 PM` or `093000`.
    fn read(text: &mut Front) -> Option<(Self, NaiveTime, Option<bool>)> {
        let (mut hour, digits) = text.digits(1, 2)?;
        let short = Short::of(hour, digits);
        let colon = text.literal(":").is_some();
        let digit_follows = |text: &Front| text.0.starts_with(|c: char| c.is_ascii_digit());
        let minutes = colon || digit_follows(text);
        let minute = if minutes { text.digits(2, 2)?.0 } else { 0 };
        let seconds = minutes && if colon { text.literal(":").is_some() } else { digit_follows(text) };
        let second = if seconds { text.digits(2, 2)?.0 } else { 0 };
        let mut fraction = None;
        let mut nanos = 0;
        if let Some(mark) = text.0.chars().next().filter(|mark| seconds && ['.', ','].contains(mark)) {
            let mut behind = Front(text.0.get(1..)?);
            let (value, digits) = behind.digits(1, 9)?;
            nanos = value * 10u32.pow(9 - digits as u32);
            fraction = Some((mark, digits));
            *text = behind;
        }
        let mut half = None;
        for space in ["", " "] {
            let mut behind = *text;
            if half.is_none() && behind.literal(space).is_some() {
                let word = behind.word();
                let afternoon = word.eq_ignore_ascii_case("pm");
                if afternoon || word.eq_ignore_ascii_case("am") {
                    hour = Some(hour).filter(|hour| (1..=12).contains(hour))? % 12 + if afternoon { 12 } else { 0 };
                    half = Some((space.to_string(), word.starts_with(|c: char| c.is_ascii_uppercase())));
                    *text = behind;
                }
            }
        }
        let time = NaiveTime::from_hms_nano_opt(hour, minute, second, nanos)?;
        Some((Self { colon, minutes, seconds, fraction, half }, time, short))
    }

    /// A clock that shows all that this one and another of the same column show.
    fn and(mut self, other: &Self) -> Self {
        self.minutes |= other.minutes;
        self.seconds |= other.seconds;
        let digits = |clock: &Self| clock.fraction.map_or(0, |(_, digits)| digits);
        if digits(other) > digits(&self) {
            self.fraction = other.fraction;
        }
        self
    }

    fn write(&self, time: NaiveTime, short: bool) -> String {
        let hour = if self.half.is_some() { (time.hour() + 11) % 12 + 1 } else { time.hour() };
        let colon = if self.colon { ":" } else { "" };
        let mut text = padded(hour, short);
        if self.minutes {
            text += &format!("{colon}{:02}", time.minute());
        }
        if self.seconds {
            text += &format!("{colon}{:02}", time.second());
        }
        if let Some((mark, digits)) = self.fraction {
            let all = format!("{:09}", time.nanosecond());
            text.push(mark);
            text += all.get(..digits).unwrap_or(&all);
        }
        if let Some((space, capitals)) = &self.half {
            let name = if time.hour() < 12 { "am" } else { "pm" };
            text += space;
            text += &if *capitals { name.to_uppercase() } else { name.to_string() };
        }
        text
    }
}

/// How far a zone is ahead of UTC, in seconds: `Z`, `+02:00`, `+0200`, `+02`, `UTC`, and with or without those a name
/// such as `Europe/Berlin` or `[Europe/Berlin]`, which is kept but not looked up.
fn offset(zone: &str) -> Option<i32> {
    let mut text = Front(zone.trim_start());
    if text.0.is_empty() {
        return Some(0);
    }
    let sign = match text.0.as_bytes() {
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => 0,
    };
    let mut offset = 0;
    if sign != 0 {
        text.0 = text.0.get(1..)?;
        let (hours, _) = text.digits(2, 2)?;
        let colon = text.literal(":").is_some();
        let minutes = match text.digits(2, 2) {
            Some((minutes, _)) => minutes,
            None if colon => return None,
            None => 0,
        };
        if hours > 18 || minutes > 59 {
            return None;
        }
        offset = sign * (hours * 3600 + minutes * 60) as i32;
    }
    let name = text.0.trim_matches(['[', ']', ' ', '(', ')']);
    let of_name = |c: char| c.is_ascii_alphanumeric() || "/_+-".contains(c);
    (name.len() <= 40 && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(of_name)).then_some(offset)
}

/// A cell that was read.
struct Cell {
    at: Instant,
    style: Style,
}

impl Cell {
    /// Reads a date written as `pattern`, with what may follow it.
    fn read(text: &str, pattern: &'static str) -> Option<Self> {
        let mut front = Front(text.trim());
        let fields = Fields::read(&mut front, pattern)?;
        let (mut joint, mut clock, mut time, mut short) = (String::new(), None, NaiveTime::MIN, fields.short);
        if !front.0.is_empty() {
            // only a whole date is followed by a time of day
            fields.day?;
            // 202401311200 and 20240131120000, but no number of ten digits, which counts seconds
            let is_joined = pattern == "ymd" && matches!(front.0.len(), 4 | 6) && is_digits(front.0);
            let mut joints = ["T", ", ", " ", "_", ":"].into_iter().chain(is_joined.then_some(""));
            joint = joints.find(|joint| front.literal(joint).is_some())?.into();
            joint = text.trim().get(text.trim().len() - front.0.len() - joint.len()..)?.get(..joint.len())?.into();
            let (style, of_day, hour) = Clock::read(&mut front)?;
            (clock, time, short) = (Some(style), of_day, Short { hour, ..short });
        }
        let offset = offset(front.0)?;
        let wall = NaiveDateTime::new(fields.date()?, time).and_utc();
        let seconds = Instant::from(wall.timestamp()) - Instant::from(offset);
        let style = Style {
            date: pattern,
            short,
            long: fields.long,
            case: fields.case.unwrap_or(Case::Title),
            joint,
            clock,
            zone: front.0.into(),
            offset,
        };
        Some(Self { at: seconds * SECOND + Instant::from(wall.timestamp_subsec_nanos()), style })
    }
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn padded(number: u32, short: bool) -> String {
    if short { number.to_string() } else { format!("{number:02}") }
}

impl Style {
    /// How the cells of a column are written of which `before` shows one and `self` a later one.
    fn after(mut self, before: &Self) -> Self {
        self.short = self.short.and(before.short);
        self.long |= before.long;
        match (self.clock.take(), &before.clock) {
            (Some(clock), Some(other)) => self.clock = Some(clock.and(other)),
            // a day alone is its midnight
            (None, Some(other)) => (self.clock, self.joint) = (Some(other.clone()), before.joint.clone()),
            (clock, None) => self.clock = clock,
        }
        self
    }

    fn write(&self, at: Instant) -> Option<String> {
        let wall = wall(at, self.offset)?;
        let date = wall.date();
        let year = if self.date.contains('w') { date.iso_week().year() } else { date.year() };
        if !(1..=9999).contains(&year) {
            return None;
        }
        let mut text = String::new();
        for field in self.date.chars() {
            match field {
                'y' => text += &format!("{year:04}"),
                'z' => text += &format!("{:02}", year % 100),
                'm' => text += &padded(date.month(), self.short.month()),
                'd' => text += &padded(date.day(), self.short.day()),
                'q' => text += &date.month().div_ceil(3).to_string(),
                'w' => text += &format!("{:02}", date.iso_week().week()),
                'j' => text += &format!("{:03}", date.ordinal()),
                'b' => text += &self.month(date.month0() as usize)?,
                other => text.push(other),
            }
        }
        if let Some(clock) = &self.clock {
            text += &self.joint;
            text += &clock.write(wall.time(), self.short.hour());
        }
        Some(text + &self.zone)
    }

    fn month(&self, month: usize) -> Option<String> {
        let name = MONTHS.get(month)?;
        let name = if self.long { name } else { name.get(..3)? };
        Some(match self.case {
            Case::Lower => name.to_string(),
            Case::Upper => name.to_uppercase(),
            Case::Title => name.get(..1)?.to_uppercase() + name.get(1..)?,
        })
    }
}

/// The date and time on a clock that is `offset` seconds ahead of UTC.
pub(super) fn wall(at: Instant, offset: i32) -> Option<NaiveDateTime> {
    let seconds = i64::try_from(at.div_euclid(SECOND) + Instant::from(offset)).ok()?;
    Some(DateTime::from_timestamp(seconds, at.rem_euclid(SECOND) as u32)?.naive_utc())
}

/// What a whole column holds.
#[derive(Debug)]
pub(in crate::data) struct Column {
    /// How its cells are written; the small things, such as the zone, as in its last cell.
    pub notation: Notation,
    /// The instant of each cell; [`UNREAD`] if it cannot be read.
    pub at: Vec<Instant>,
    /// How far the zone of each cell is ahead of UTC, in seconds; may end early, where the zone is that of the last
    /// cell, and is empty if all have the same.
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
        let year =
            |cell: &str| cell.get(..4).and_then(|year| year.parse().ok()).is_some_and(|y| (1800..2200).contains(&y));
        let column = Self::among(cells.clone(), NUMBER_DATES.to_vec())?;
        (!column.at.contains(&UNREAD) && cells.clone().all(|cell| year(cell.trim()))).then_some(column)
    }

    /// Reads a column of months as decimal numbers, such as 2015.12 or 12.2015; `None` if they do not go in regular
    /// steps, so that they are other numbers.
    pub fn of_number_months<'a>(cells: impl Iterator<Item = &'a str> + Clone) -> Option<Self> {
        let months: Vec<NumberMonth> = cells.map(NumberMonth::of).collect::<Option<_>>()?;
        let pattern = if months.first()?.year_first { "y.m" } else { "m.y" };
        // 2015.1 is October where the zeros of other months are there, as in 2015.01
        let tenth = months.iter().all(|one| one.month.len() == 2 || one.month == "1");
        let text = |NumberMonth { year, month, year_first }: &NumberMonth| match year_first {
            true if tenth && *month == "1" => format!("{year}.10"),
            true => format!("{year}.{month}"),
            false => format!("{month}.{year}"),
        };
        let texts: Vec<String> = months.iter().map(text).collect();
        let column = Self::written(texts.iter().map(String::as_str), pattern)?;
        (!column.at.contains(&UNREAD) && column.is_regular(10)).then_some(column)
    }

    /// Whether at most one out of `of` steps is another than the commonest.
    fn is_regular(&self, of: usize) -> bool {
        self.irregular().is_some_and(|(irregular, all)| irregular * of <= all)
    }

    /// How many steps are others than the commonest, out of how many, if the rows are put in order; `None` if none is
    /// the commonest.
    fn irregular(&self) -> Option<(usize, usize)> {
        let known = (0..self.at.len()).filter_map(|row| self.on_last_clock(row)).filter(|at| *at != UNREAD);
        let mut at: Vec<Instant> = known.collect();
        at.sort_unstable();
        at.dedup();
        let offset = self.notation.offset();
        let step = Step::of_instants(&at, offset)?;
        let other = |pair: &&[Instant]| step.after(pair[0], 1, offset) != Some(pair[1]);
        Some((at.windows(2).filter(other).count(), at.len() - 1))
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
        let fits = |unit: Instant| at.iter().all(|at| PLAUSIBLE.contains(&(at / SECOND * unit / SECOND)));
        let epoch = EPOCHS.into_iter().find(|&unit| !at.is_empty() && (decimals == 0 || unit == SECOND) && fits(unit));
        let (notation, unit) = match epoch {
            Some(unit) if decimals == 0 => (Notation::Epoch(unit), unit),
            _ => (Notation::Number(decimals), SECOND),
        };
        if unit != SECOND {
            at.iter_mut().for_each(|at| *at = *at / SECOND * unit);
        }
        Some(Self { notation, at, offsets: Vec::new(), ambiguous: None })
    }

    fn among<'a>(cells: impl Iterator<Item = &'a str> + Clone, mut patterns: Vec<&'static str>) -> Option<Self> {
        let all = patterns.len();
        for cell in cells.clone() {
            let fits = |pattern: &&'static str| Cell::read(cell, pattern).is_some();
            match patterns.as_slice() {
                [_] => break,
                left if left.iter().any(fits) => patterns.retain(fits),
                _ => {}
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
            let irregular = column.irregular().filter(|(irregular, all)| irregular * 10 <= *all);
            (!in_order, irregular.map_or(usize::MAX, |(irregular, _)| irregular))
        };
        let doubts: Vec<_> = readings.iter().filter(|_| several).map(doubt).collect();
        let best = usize::from(doubts.first() > doubts.get(1) && several);
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
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if digits.is_empty() || digits.len() > 20 || fraction.len() > 9 || !plain(digits) || !plain(fraction) {
        return None;
    }
    let size = format!("{digits}{fraction:0<9}").parse::<Instant>().ok()?;
    Some((if whole.starts_with('-') { -size } else { size }, fraction.len()))
}

impl Notation {
    /// How far the zone of the last cell is ahead of UTC, in seconds.
    pub(super) fn offset(&self) -> i32 {
        if let Self::Calendar(style) = self { style.offset } else { 0 }
    }

    /// The way in which the date is written, if it is one; see [`in_letters`].
    pub fn pattern(&self) -> Option<&'static str> {
        if let Self::Calendar(style) = self { Some(style.date) } else { None }
    }

    /// Whether it names a point in time, and is not just a number.
    pub fn is_calendar(&self) -> bool {
        !matches!(self, Self::Number(_))
    }

    /// An instant in this notation; `None` if it has no room for it.
    pub(super) fn write(&self, at: Instant) -> Option<String> {
        match self {
            Self::Calendar(style) => style.write(at),
            Self::Epoch(unit) => Some((at / unit).to_string()),
            Self::Number(decimals) => {
                let (sign, size) = (if at < 0 { "-" } else { "" }, at.unsigned_abs());
                let whole = size / SECOND.unsigned_abs();
                let fraction = format!("{:09}", size % SECOND.unsigned_abs());
                let fraction = fraction.get(..*decimals).unwrap_or(&fraction);
                Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
            }
        }
    }
}

/// A way to write dates, in the letters that people use for it: `MM/DD/YYYY`.
pub(in crate::data) fn in_letters(pattern: &str) -> String {
    let letters = |field| match field {
        'y' => "YYYY".into(),
        'z' => "YY".into(),
        'm' => "MM".into(),
        'd' => "DD".into(),
        other => String::from(other),
    };
    pattern.chars().map(letters).collect()
}
