//! Whether the rows of a series go forward in time, and what is odd about their times.

use super::Calendar;
use super::column::Column;
use super::notation::{Instant, UNREAD, in_letters};
use crate::error::quoted;

/// The first row whose time is before that of the row before it, among `rows`, which are those of one series.
pub(in crate::data) fn first_back(column: &Column, rows: &[usize]) -> Option<usize> {
    let mut latest: Option<Instant> = None;
    for &row in rows {
        let Some(at) = column.at.get(row).copied().filter(|at| *at != UNREAD) else { continue };
        if latest.is_some_and(|latest| at < latest) {
            return Some(row);
        }
        latest = Some(at);
    }
    None
}

/// Whether no time is after that of the row before it, among `rows`, which are those of one series, and some are before.
pub(in crate::data) fn never_rises(column: &Column, rows: &[usize]) -> bool {
    let at = || rows.iter().filter_map(|&row| column.at.get(row));
    at().is_sorted_by(|a, b| a >= b) && at().min() < at().max()
}

/// Why rows that go back cannot be sorted, if they cannot. `text` gives the text of a row's time, `line` its line.
pub(in crate::data) fn unsortable(
    column: &Column,
    text: impl Fn(usize) -> String,
    line: impl Fn(usize) -> u64,
) -> Option<String> {
    if let Some(row) = column.at.iter().position(|at| *at == UNREAD) {
        let (line, text) = (line(row), quoted(&text(row)));
        return Some(format!("line {line} holds {text}, which is no time like the others; correct it"));
    }
    let ways = column.notation.pattern().zip(column.ambiguous);
    ways.map(|(one, other)| {
        let (one, other) = (in_letters(one), in_letters(other));
        format!("the dates may be {one} or {other}; write them as YYYY-MM-DD")
    })
}

/// What is odd about the times of one series, as lines for users: times that occur twice, gaps, uneven steps. `text`
/// and `line` give the text and the line of one of its rows.
pub(in crate::data) fn oddities(
    name: &str,
    calendar: &Calendar,
    text: impl Fn(usize) -> String,
    line: impl Fn(usize) -> u64,
) -> Vec<String> {
    let (name, mut lines) = (quoted(name), Vec::new());
    let (at, offset) = (&calendar.at, calendar.notation.offset());
    let pairs = || at.windows(2).enumerate();
    let mut twice = pairs().filter(|(_, pair)| pair[0] == pair[1]);
    if let Some((row, _)) = twice.next() {
        let (count, time, line) = (1 + twice.count(), quoted(&text(row + 1)), line(row + 1));
        let rows = if count == 1 { "1 row has".into() } else { format!("{count} rows have") };
        lines.push(format!("{rows} the same {name} as the row before; the first is {time} in line {line}"));
    }
    let Some(step) = calendar.step else {
        if at.len() > 2 {
            lines.push(format!("the times in {name} are uneven, and each row counts as one step"));
        }
        return lines;
    };
    let (mut gaps, mut missing, mut uneven, mut first_gap, mut first_uneven) = (0_usize, 0_u64, 0_usize, None, None);
    for (row, pair) in pairs().filter(|(_, pair)| pair[0] < pair[1]) {
        if step.after(pair[0], 1, offset).is_none_or(|next| next == pair[1]) {
            continue;
        }
        match step.missing(pair[0], pair[1], offset) {
            0 => {
                uneven += 1;
                first_uneven.get_or_insert(row + 1);
            }
            between => {
                gaps += 1;
                missing = missing.saturating_add(between);
                first_gap.get_or_insert(row + 1);
            }
        }
    }
    if let Some(row) = first_gap {
        let gaps = if gaps == 1 { "1 gap".into() } else { format!("{gaps} gaps") };
        let missing = if missing == 1 { "1 row is".into() } else { format!("{missing} rows are") };
        let (from, to, line) = (quoted(&text(row - 1)), quoted(&text(row)), line(row));
        lines.push(format!(
            "{name} goes {step}, but has {gaps}, in which {missing} missing; the first is between {from} and {to} in line \
             {line}"
        ));
    }
    if let Some(row) = first_uneven {
        let rows = if uneven == 1 { "1 row comes".into() } else { format!("{uneven} rows come") };
        let (time, line) = (quoted(&text(row)), line(row));
        lines.push(format!("{name} goes {step}, but {rows} at another time; the first is {time} in line {line}"));
    }
    lines
}

/// The line for a column whose dates can be read in two ways, both in order.
pub(in crate::data) fn two_ways(name: &str, column: &Column) -> Option<String> {
    let (one, other) = column.notation.pattern().zip(column.ambiguous)?;
    let (name, one, other) = (quoted(name), in_letters(one), in_letters(other));
    Some(format!("the dates in {name} are read as {one}, but {other} fits as well; YYYY-MM-DD leaves no doubt"))
}
