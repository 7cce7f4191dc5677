//! How the cells of a time column are written: read as an instant, and written again in the same way.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Weekday};

/// A point in time: nanoseconds since 1970-01-01 00:00 in UTC, or of the wall clock if the cells name no zone. Of a
/// plain number, billionths.
pub(in crate::data) type Instant = i128;

/// The instant of a cell that could not be read. It is later than all others.
pub(in crate::data) const UNREAD: Instant = Instant::MAX;
/// Nanoseconds of a second, and billionths of one.
pub(in crate::data) const SECOND: Instant = 1_000_000_000;

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
    /// The zone, spelled as in the file.
    zone: String,
    /// How far the zone is ahead of UTC, in seconds.
    pub(super) offset: i32,
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
        // `None < Some(false) < Some(true)`: one cell with a single digit decides
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
pub(super) struct Cell {
    pub at: Instant,
    pub style: Style,
}

impl Cell {
    /// Reads a date written as `pattern`, with what may follow it.
    pub fn read(text: &str, pattern: &'static str) -> Option<Self> {
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

/// Whether there are only digits.
pub(in crate::data) fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn padded(number: u32, short: bool) -> String {
    if short { number.to_string() } else { format!("{number:02}") }
}

impl Style {
    /// How the cells of a column are written of which `before` shows one and `self` a later one.
    pub(super) fn after(mut self, before: &Self) -> Self {
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
