//! How the cells of a time column are written: read as an instant, and written again in the same way.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Weekday};

/// A point in time: nanoseconds since 1970-01-01 00:00 in UTC, or of the wall clock if the cells name no zone. Of a
/// plain number, billionths.
pub(in crate::data) type Instant = i128;

/// The instant of a cell that could not be read. It is later than all others.
pub(in crate::data) const UNREAD: Instant = Instant::MAX;
/// Nanoseconds of a second, and billionths of one.
pub(super) const SECOND: Instant = 1_000_000_000;

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
    /// Whether days, months and hours below ten have one digit.
    short: bool,
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
    short: bool,
    long: bool,
    case: Option<Case>,
}

impl Fields {
    fn read(text: &mut Front, pattern: &str) -> Option<Self> {
        let mut fields = Self::default();
        let joined = !pattern.contains(|c: char| !c.is_ascii_lowercase());
        let mut number = |text: &mut Front| {
            let (value, digits) = text.digits(if joined { 2 } else { 1 }, 2)?;
            fields.short |= digits == 1;
            Some(value)
        };
        let (mut year, mut month, mut day, mut week, mut of_year, mut name) = (None, None, None, None, None, None);
        for field in pattern.chars() {
            match field {
                'y' => year = Some(text.digits(4, 4)?.0).filter(|year| (1..=9999).contains(year)),
                // the century that strptime takes
                'z' => year = text.digits(2, 2).map(|(year, _)| if year < 69 { 2000 + year } else { 1900 + year }),
                'm' => month = Some(number(text)?),
                'd' => day = Some(number(text)?),
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
    fn read(text: &mut Front) -> Option<(Self, NaiveTime, bool)> {
        let (mut hour, digits) = text.digits(1, 2)?;
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
        Some((Self { colon, minutes, seconds, fraction, half }, time, digits == 1))
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
            joint = ["T", ", ", " ", "_", ":"].into_iter().find(|joint| front.literal(joint).is_some())?.into();
            joint = text.trim().get(text.trim().len() - front.0.len() - joint.len()..)?.get(..joint.len())?.into();
            let (style, of_day, one_digit) = Clock::read(&mut front)?;
            (clock, time, short) = (Some(style), of_day, short || one_digit);
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

fn padded(number: u32, short: bool) -> String {
    if short { number.to_string() } else { format!("{number:02}") }
}

impl Style {
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
                'm' => text += &padded(date.month(), self.short),
                'd' => text += &padded(date.day(), self.short),
                'q' => text += &date.month().div_ceil(3).to_string(),
                'w' => text += &format!("{:02}", date.iso_week().week()),
                'j' => text += &format!("{:03}", date.ordinal()),
                'b' => text += &self.month(date.month0() as usize)?,
                other => text.push(other),
            }
        }
        if let Some(clock) = &self.clock {
            text += &self.joint;
            text += &clock.write(wall.time(), self.short);
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
    /// Another way to write dates in which every cell can be read, if there is one: 01/02 is a day in January or in
    /// February.
    pub ambiguous: Option<&'static str>,
}

impl Column {
    /// Reads a column of dates or of numbers; `None` if it holds other text.
    pub fn of<'a>(cells: impl Iterator<Item = &'a str> + Clone) -> Option<Self> {
        let numbers = Self::of_number_dates(cells.clone()).or_else(|| Self::of_numbers(cells.clone()));
        numbers.or_else(|| Self::of_dates(cells))
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
        Some(Self { notation, at, ambiguous: None })
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
        // of several ways, one in which the rows go forward, or at least back in order
        let mut readings: Vec<(&'static str, Self)> =
            patterns.into_iter().take(2).filter_map(|pattern| Some((pattern, read(pattern)?))).collect();
        let in_order = |column: &Self| {
            let at = column.at.iter().filter(|at| **at != UNREAD);
            at.clone().is_sorted() || at.is_sorted_by(|a, b| a >= b)
        };
        let best = readings.iter().position(|(_, column)| in_order(column)).unwrap_or(0);
        let (_, mut chosen) = (best < readings.len()).then(|| readings.swap_remove(best))?;
        if let Some((other, column)) = readings.pop()
            && in_order(&column) == in_order(&chosen)
        {
            chosen.ambiguous = Some(other);
        }
        Some(chosen)
    }

    /// Reads all cells as written in one way; `None` if that fails for most.
    fn written<'a>(cells: impl Iterator<Item = &'a str>, pattern: &'static str) -> Option<Self> {
        let (mut last, mut short, mut long): (Option<Style>, _, _) = (None, false, false);
        let mut at = Vec::with_capacity(cells.size_hint().0);
        for cell in cells {
            let cell = Cell::read(cell, pattern);
            at.push(cell.as_ref().map_or(UNREAD, |cell| cell.at));
            if let Some(Cell { style, .. }) = cell {
                (short, long) = (short | style.short, long | style.long);
                last = Some(style);
            }
        }
        let known = at.iter().filter(|at| **at != UNREAD).count();
        let style = last.filter(|_| known * 2 > at.len())?;
        Some(Self { notation: Notation::Calendar(Style { short, long, ..style }), at, ambiguous: None })
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
