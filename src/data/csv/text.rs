//! Cells that a spreadsheet would take for a formula. They are written with a mark and read back without it.

/// The message for bytes that are not text.
pub(in crate::data) const NOT_UTF8: &str = "holds bytes that are not UTF-8; save the file as UTF-8";

/// The mark by which a spreadsheet knows that a cell is text. It does not show the mark.
pub(super) const QUOTE: char = '\'';

/// Whether the text of a cell, without any marks at its start, would be taken for a formula.
pub(super) fn is_formula(cell: &str) -> bool {
    let behind = cell.trim_start_matches(QUOTE);
    behind.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']) && behind.parse::<f64>().is_err()
}

/// The text of a cell without the `'` that [`write_to`](super::write_to) puts before text that a spreadsheet would take
/// for a formula. [`read`](super::read) and [`read_long`](super::read_long) give the names of columns, the names of
/// series and the times in this form.
pub fn text(cell: &str) -> &str {
    cell.strip_prefix(QUOTE).filter(|_| is_formula(cell)).unwrap_or(cell)
}
