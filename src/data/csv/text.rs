//! Cells that a spreadsheet would compute, written as text and read as they were.

/// What a spreadsheet takes for the sign of a text, and what it leaves out.
pub(super) const QUOTE: char = '\'';

/// Whether a text in a cell, behind any signs that it is a text, would be a formula.
pub(super) fn is_formula(cell: &str) -> bool {
    let behind = cell.trim_start_matches(QUOTE);
    behind.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']) && behind.parse::<f64>().is_err()
}

/// What a cell says, without the `'` that [`write_to`](super::write_to) put before what a spreadsheet would take for a formula. Of names in the
/// header, of series and of times [`read`](super::read) and [`read_long`](super::read_long) give this.
pub fn text(cell: &str) -> &str {
    cell.strip_prefix(QUOTE).filter(|_| is_formula(cell)).unwrap_or(cell)
}
