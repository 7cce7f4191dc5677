//! How numbers are written in a table: with a decimal point or comma, with marks between thousands, with the sign of a
//! currency or of a percentage.

use super::CsvOptions;
use crate::data::time::notation::is_digits;

/// The names of currencies that may stand beside a number (ISO 4217), and their signs.
const CURRENCIES: [&str; 24] = [
    "USD", "EUR", "GBP", "JPY", "CHF", "CNY", "INR", "AUD", "CAD", "SEK", "NOK", "DKK", "PLN", "CZK", "BRL", "KRW",
    "RUB", "ZAR", "MXN", "TRY", "HKD", "SGD", "NZD", "US$",
];
const SIGNS: [char; 18] = ['$', '€', '£', '¥', '₹', '₩', '₽', '₺', '₴', '₦', '฿', '₫', '₪', '₱', '%', '％', '‰', '¢'];
/// Characters that are a minus.
const MINUS: [char; 4] = ['-', '\u{2212}', '\u{fe63}', '\u{ff0d}'];
/// Marks that stand between thousands only.
const SPACES: [char; 6] = [' ', '\u{a0}', '\u{202f}', '\u{2009}', '\'', '\u{2019}'];

/// The marks inside the numbers of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    /// What stands before the decimals.
    pub decimal: char,
    /// What may stand between thousands besides a space or an apostrophe.
    pub thousands: char,
}

impl Style {
    /// 1,234.5
    pub const POINT: Self = Self { decimal: '.', thousands: ',' };
    /// 1.234,5
    pub const COMMA: Self = Self { decimal: ',', thousands: '.' };

    /// The number that `text` stands for, if it is one in this style.
    pub fn read(self, text: &str) -> Option<f64> {
        let (negative, body) = bare(text)?;
        let (mantissa, exponent) = match body.find(['e', 'E']) {
            Some(at) => (&body[..at], &body[at..]),
            None => (body, ""),
        };
        let (whole, decimals) = match mantissa.split_once(self.decimal) {
            Some((whole, decimals)) => (whole, Some(decimals)),
            None => (mantissa, None),
        };
        let groups: Vec<&str> = whole.split(|c| c == self.thousands || SPACES.contains(&c)).collect();
        if !are_thousands(&groups) || !decimals.is_none_or(is_digits) {
            return None;
        }
        let plain = format!("{}.{}{exponent}", groups.concat(), decimals.unwrap_or("0"));
        let value = plain.parse::<f64>().ok().filter(|_| plain.bytes().any(|byte| byte.is_ascii_digit()))?;
        Some(if negative { -value } else { value })
    }
}

/// Whether these are the groups of digits of a number: all but the first have three, or two but for the last, as in
/// India. One group may have any number.
fn are_thousands(groups: &[&str]) -> bool {
    let digits = groups.iter().all(|group| is_digits(group));
    match groups {
        [_] => digits,
        [first, middle @ .., last] => {
            let rest = |size: usize| middle.iter().all(|group| group.len() == size);
            let leads = (1..=3).contains(&first.len()) && !first.starts_with('0');
            digits && leads && last.len() == 3 && (rest(3) || rest(2) && first.len() < 3)
        }
        [] => false,
    }
}

/// Whether the number is below zero, and the text without signs, currency and parentheses; `None` if that does not
/// begin with a digit or a decimal mark.
fn bare(text: &str) -> Option<(bool, &str)> {
    let text = text.trim();
    let (mut negative, mut rest) = match text.strip_prefix('(').and_then(|text| text.strip_suffix(')')) {
        Some(inside) => (true, inside.trim()), // as in accounting
        None => (false, text),
    };
    let mut signed = negative;
    loop {
        let before = rest;
        if let Some(after) = rest.strip_prefix(MINUS).or_else(|| rest.strip_prefix('+')) {
            if signed {
                return None;
            }
            (negative, signed) = (rest.starts_with(MINUS), true);
            rest = after.trim_start();
        }
        rest = rest.strip_prefix(SIGNS).or_else(|| rest.strip_suffix(SIGNS)).unwrap_or(rest).trim();
        for name in CURRENCIES {
            rest = rest.strip_prefix(name).or_else(|| rest.strip_suffix(name)).unwrap_or(rest).trim();
        }
        if rest == before {
            break;
        }
    }
    rest.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '.' | ',')).then_some((negative, rest))
}

/// Whether `text` is a number in either style and has marks that `f64::from_str` does not read.
pub(super) fn is_marked(text: &str) -> bool {
    Style::POINT.read(text).is_some() || Style::COMMA.read(text).is_some()
}

/// The style that these marks give, if one is given.
pub(super) fn given(decimal: Option<char>, thousands: Option<char>) -> Option<Style> {
    match (decimal, thousands) {
        (None, None) => None,
        (Some(decimal), Some(thousands)) => Some(Style { decimal, thousands }),
        (Some(','), None) | (None, Some('.')) => Some(Style::COMMA),
        (Some(decimal), None) => Some(Style { decimal, ..Style::POINT }),
        (None, Some(thousands)) => Some(Style { thousands, ..Style::POINT }),
    }
}

/// The style of each of the columns `wanted`, from the cells of a sample. A column whose numbers fit both styles has a
/// decimal comma if another one has: commas mean the same in all of a table. If no column tells, the usual decimal
/// mark decides where there are commas. Marks that are given hold for all.
pub(super) fn styles(rows: &[Vec<String>], wanted: &[usize], options: &CsvOptions) -> Vec<Style> {
    if let Some(given) = given(options.decimal, options.thousands) {
        return vec![given; wanted.len()];
    }
    let cells = |column: usize| rows.iter().filter_map(move |row| row.get(column)).filter(|cell| is_marked(cell));
    let fits = |column: usize, style: Style| cells(column).all(|cell| style.read(cell).is_some());
    let fitting: Vec<[bool; 2]> =
        wanted.iter().map(|&column| [fits(column, Style::POINT), fits(column, Style::COMMA)]).collect();
    let has_comma = |column: usize| cells(column).any(|cell| cell.contains(','));
    let mut sure = wanted.iter().zip(&fitting);
    let comma = sure.any(|(&column, fits)| *fits == [false, true] && has_comma(column));
    let point = fitting.contains(&[true, false]);
    let usual = options.usual_decimal == Some(',') && !point;
    let style = |(&column, fits): (&usize, &[bool; 2])| match fits {
        [true, false] => Style::POINT,
        [false, true] => Style::COMMA,
        _ if comma && !point || usual && has_comma(column) => Style::COMMA,
        _ => Style::POINT,
    };
    wanted.iter().zip(&fitting).map(style).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_write_them() {
        for (text, value) in [
            ("$52.04", 52.04),
            ("52.04 €", 52.04),
            ("-$1,234.50", -1234.5),
            ("$-1,234.50", -1234.5),
            ("($3.25)", -3.25),
            ("\u{2212}9.5", -9.5),
            ("12.5%", 12.5),
            ("USD 1,234", 1234.0),
            ("1 234 567.25", 1_234_567.25),
            ("1'234.5", 1234.5),
            ("12,34,567", 1_234_567.0),
            ("+7", 7.0),
            (".5", 0.5),
            ("1,234e3", 1_234_000.0),
        ] {
            assert_eq!(Style::POINT.read(text), Some(value), "{text}");
        }
        for (text, value) in [("1.234,5", 1234.5), ("0,5", 0.5), ("-1.234.567", -1_234_567.0), ("12,5 %", 12.5)] {
            assert_eq!(Style::COMMA.read(text), Some(value), "{text}");
        }
        for text in
            ["", "-", "$", "abc", "1-2", "12:30", "1,23", "1,2345", "1.2.3", "--5", "5 kg", "(5", ".", "2021-01-01"]
        {
            assert_eq!(Style::POINT.read(text), None, "{text}");
        }
    }

    #[test]
    fn a_column_has_one_style() {
        let with = |options: CsvOptions, columns: &[&[&str]]| {
            let rows: Vec<Vec<String>> =
                (0..columns[0].len()).map(|row| columns.iter().map(|cells| cells[row].to_string()).collect()).collect();
            styles(&rows, &(0..columns.len()).collect::<Vec<_>>(), &options)
        };
        let style = |columns: &[&[&str]]| with(CsvOptions::default(), columns);
        assert_eq!(style(&[&["52,040", "59,078"]]), [Style::POINT], "of thousands");
        assert_eq!(style(&[&["52,04", "59,078"]]), [Style::COMMA], "one has two decimals");
        assert_eq!(style(&[&["1.234", "0.5"]]), [Style::POINT]);
        assert_eq!(style(&[&["1.234", "5.678"], &["0,5", "1,5"]]), [Style::COMMA; 2], "the other column tells");
        assert_eq!(style(&[&["0,703", "0,831"]]), [Style::COMMA], "no thousands begin with 0");
        assert_eq!(style(&[&["1.234.567", "5"], &["11.113", "12.5"]]), [Style::COMMA, Style::POINT]);
        assert_eq!(style(&[&["1,234.5", "5"], &["1,234", "2,345"]]), [Style::POINT; 2]);
        let usual = || CsvOptions::default().with_usual_decimal(Some(','));
        assert_eq!(with(usual(), &[&["1,234"], &["1.234"]]), [Style::COMMA, Style::POINT]);
        assert_eq!(with(usual(), &[&["1,234"], &["1,234.5"]]), [Style::POINT; 2]);
        assert_eq!(styles(&[], &[0, 1], &CsvOptions::default().with_decimal(Some(','))), [Style::COMMA; 2]);
        let given = CsvOptions::default().with_thousands(Some('_'));
        assert_eq!(styles(&[], &[3], &given), [Style { decimal: '.', thousands: '_' }]);
    }
}
