//! A table on the screen.

use crate::cli::failure::Failure;
use crate::cli::output::screen::Screen;
use rnnstep::error::shown;

/// How many rows of a long table are shown, from its head and from its end.
const SHOWN: [usize; 2] = [15, 5];

/// Prints a table, the first column aligned to the left, the others to the right. A long one is cut in the middle.
pub fn print(header: &[&str], rows: &[Vec<String>], screen: &mut Screen) -> Result<(), Failure> {
    let [head, tail] = SHOWN;
    let (first, last) = match rows.len() {
        n if n > head + tail => (&rows[..head], &rows[n - tail..]),
        _ => (rows, &[][..]),
    };
    let cells = |row: &Vec<String>, column: usize| row.get(column).map_or(0, |cell| shown(cell).chars().count());
    let width = |column: usize| {
        let widest = first.iter().chain(last).map(|row| cells(row, column)).max().unwrap_or(0);
        widest.max(header[column].chars().count())
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = String>| {
        let cells = cells.zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    screen.line(line(&mut header.iter().map(ToString::to_string)))?;
    for row in first {
        screen.line(line(&mut row.iter().map(|cell| shown(cell))))?;
    }
    if !last.is_empty() {
        screen.line(format_args!("... {} more ...", rows.len() - head - tail))?;
    }
    for row in last {
        screen.line(line(&mut row.iter().map(|cell| shown(cell))))?;
    }
    Ok(())
}
