//! A table on the screen.

use crate::cli::failure::Failure;
use crate::cli::output::screen::Screen;
use rnnstep::error::shown;

/// Rows of a table on the screen, from its head and from its end, if there are more than both together.
const SHOWN: [usize; 2] = [15, 5];

/// The first column to the left, the others to the right; of many rows the first and the last.
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
