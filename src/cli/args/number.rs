//! The ranges of numbers on the command line. Numbers in a file of options and in the recipe of a model file are held
//! to the same ranges.

use std::ops::RangeInclusive;

/// The largest count where nothing else bounds it.
pub const MOST: u64 = u64::MAX;

/// The most threads.
pub const MOST_THREADS: usize = 1024;

/// A whole number in `range`.
pub fn whole<T: TryFrom<u64>>(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let found =
            text.parse().ok().filter(|number| range.contains(number)).and_then(|number| T::try_from(number).ok());
        found.ok_or_else(|| match (range.start(), range.end()) {
            (least, &MOST) => format!("must be a whole number, {least} or more"),
            (least, most) => format!("must be a whole number between {least} and {most}"),
        })
    }
}

/// A whole number, 1 or more.
pub fn count<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    whole(1..=MOST)(text)
}

/// A whole number, 0 or more.
pub fn count_or_none<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    whole(0..=MOST)(text)
}

/// A number of threads.
pub fn threads(text: &str) -> Result<usize, String> {
    whole(1..=MOST_THREADS as u64)(text)
}

/// A number that `fits`, and that is finite as an f32, since the arithmetic is in f32.
fn number(text: &str, fits: impl Fn(f64) -> bool, wanted: &str) -> Result<f64, String> {
    let finite = |number: &f64| (*number as f32).is_finite();
    text.parse().ok().filter(|number| finite(number) && fits(*number)).ok_or_else(|| format!("must be {wanted}"))
}

/// At least 0 and below 1.
pub fn fraction(text: &str) -> Result<f64, String> {
    number(text, |number| (0.0..1.0).contains(&number), "a number, at least 0 and below 1")
}

/// Between 0 and 1.
pub fn share(text: &str) -> Result<f64, String> {
    number(text, |number| (0.0..=1.0).contains(&number), "a number between 0 and 1")
}

/// Above 0 and below 1.
pub fn part(text: &str) -> Result<f64, String> {
    number(text, |number| number > 0.0 && number < 1.0, "a number above 0 and below 1")
}

/// Above 0 and below 100.
pub fn percent(text: &str) -> Result<f64, String> {
    number(text, |number| number > 0.0 && number < 100.0, "a number above 0 and below 100")
}

/// Any finite number.
pub fn finite(text: &str) -> Result<f64, String> {
    number(text, |_| true, "a finite number")
}

/// 0 or more.
pub fn not_negative(text: &str) -> Result<f64, String> {
    number(text, |number| number >= 0.0, "a finite number, not negative")
}

/// Above 0.
pub fn positive(text: &str) -> Result<f64, String> {
    number(text, |number| number as f32 >= f32::MIN_POSITIVE, "a finite number above 0")
}

/// Above 0 and at most an hour.
pub fn seconds(text: &str) -> Result<f64, String> {
    number(text, |number| (1e-9..=3600.0).contains(&number), "a number above 0 and at most 3600")
}
