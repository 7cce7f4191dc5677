//! Plots as text: braille, eight dots to a character.
//!
//! It is written here because no crate does what is needed: ratatui-widgets draws such charts, but needs some forty
//! crates and distinguishes lines only by colour; textplots and drawille have no ticks and no legend.

use super::axis::{Axis, Tick};
use super::{Area, Colour, Figure, Line, Plot, Style, clean, thin};
use std::fmt::Write;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What marks the lines of a plot without colours.
const MARKS: [char; 8] = ['o', 'x', '+', '*', '#', '@', '%', '&'];
/// The mark of a dot in colour.
const DOT: char = '•';
/// The distance from one mark of a line to the next, in characters.
const MARK_EVERY: usize = 12;
/// The largest width and height of a plot, in characters.
const MOST: usize = 1000;

/// `plot` as text of at most `height` lines, each `width` characters wide and ended by a line feed.
///
/// With `colour`, lines are distinguished by escape sequences for a terminal with 256 colours, otherwise by letters
/// along the lines. Below 20 by 5 characters there is no room for a plot, and the text is empty. It grows up to 1000 by
/// 1000 characters.
pub fn render(plot: &Plot, width: usize, height: usize, colour: bool) -> String {
    let size = (width.min(MOST), height.min(MOST));
    draw(plot, &plot.x_axis(), size, colour, Parts { legend: true, foot: true })
}

/// The panels of `figure` one above the other, each with at most `height` lines; see [`render`]. If neighbouring panels
/// have the same lines, only the first has a legend. If all share one x axis, only the last panel has it.
pub fn render_figure(figure: &Figure, width: usize, height: usize, colour: bool) -> String {
    let (width, height) = (width.min(MOST), height.min(MOST));
    let mut text = String::new();
    if !figure.title.trim().is_empty() && width >= 20 {
        text = Text::new(&figure.title, width).padded(width) + "\n";
    }
    let same = |a: &Plot, b: &Plot| {
        let key = |line: &Line| (line.name.clone(), line.role, line.style);
        a.lines.iter().map(key).eq(b.lines.iter().map(key))
    };
    let mut before = None;
    for (index, (panel, x)) in figure.panels.iter().zip(figure.x_axes()).enumerate() {
        let legend = !before.is_some_and(|before| same(before, panel));
        let foot = !figure.share_x || index + 1 == figure.panels.len();
        text += &draw(panel, &x, (width, height), colour, Parts { legend, foot });
        before = Some(panel);
    }
    text
}

/// What is drawn around a plot.
struct Parts {
    legend: bool,
    /// The numbers and the name of the x axis.
    foot: bool,
}

fn draw(plot: &Plot, x: &Axis, (width, height): (usize, usize), colour: bool, parts: Parts) -> String {
    if width < 20 || height < 5 {
        return String::new();
    }
    let series = series(plot, colour);
    let mut head = Vec::new();
    if !plot.title.trim().is_empty() {
        head.push(Text::new(&plot.title, width));
    }
    let areas = plot.areas.iter().map(|area| Series {
        name: clean(&area.name, 40),
        ansi: area.role.colour().ansi.filter(|_| colour),
        style: Style::Line,
        mark: Some('⠂'),
    });
    let areas: Vec<Series> = areas.collect();
    let listed = series.iter().chain(&areas).filter(|_| parts.legend);
    head.extend(legend(&plot.y_label, listed, width, (height / 6).max(1)));
    let x_label = Text::new(&plot.x_label, width);
    // Below the plot: the axis, its numbers, its name. If there is no room, these are left out, not the plot.
    let foot = match (parts.foot, x_label.width > 0 && height >= 8) {
        (false, _) => 1,
        (true, named) => 2 + usize::from(named),
    };
    head.truncate(height.saturating_sub(foot + 2));
    let rows = height - foot - head.len();

    let y = plot.y_axis();
    let y_ticks = y_ticks(&y, rows);
    let gutter = y_ticks.iter().map(|tick| tick.label.width()).max().unwrap_or(0).min(width / 2) + 1;
    let columns = width - gutter - 1;
    let mut canvas = Canvas::new(columns, rows);
    for area in &plot.areas {
        canvas.edges(area, x, &y, area.role.colour().ansi.filter(|_| colour));
    }
    for (index, (line, series)) in plot.lines.iter().zip(&series).enumerate() {
        canvas.line(line, x, &y, series, index);
    }

    let mut out = String::with_capacity((width * 3 + 16) * height);
    for text in head {
        out += &text.padded(width);
        out.push('\n');
    }
    let mut labels = vec![None; rows];
    for tick in &y_ticks {
        labels[row_of(tick.at, rows)].get_or_insert(tick.label.as_str());
    }
    for (row, label) in labels.into_iter().enumerate() {
        let (text, edge) = label.map_or((String::new(), '│'), |label| (clean(label, gutter - 1), '┤'));
        let _ = write!(out, "{text:>width$} {edge}", width = gutter - 1);
        canvas.write_row(row, &mut out);
        out.push('\n');
    }
    below(&x_ticks(x, plot, columns), gutter, columns, parts.foot, &mut out);
    if foot == 3 {
        let before = gutter + 1 + columns.saturating_sub(x_label.width) / 2;
        let before = before.min(width - x_label.width);
        out += &" ".repeat(before);
        out += &x_label.padded(width - before);
        out.push('\n');
    }
    out
}

/// How one line of the plot looks.
struct Series {
    name: String,
    ansi: Option<u8>,
    style: Style,
    /// The mark on the line; `None` if braille alone is enough.
    mark: Option<char>,
}

fn series(plot: &Plot, colour: bool) -> Vec<Series> {
    let alone = plot.lines.len() == 1;
    let look = |(index, (line, Colour { ansi, .. })): (usize, (&Line, Colour))| {
        let letter = if colour { DOT } else { MARKS[index % MARKS.len()] };
        let mark = (line.style == Style::Dots || !(colour || alone)).then_some(letter);
        Series { name: clean(&line.name, 40), ansi: ansi.filter(|_| colour), style: line.style, mark }
    };
    plot.lines.iter().zip(plot.colours()).enumerate().map(look).collect()
}

/// A piece of text with its width on the screen; it may contain colours.
#[derive(Default)]
struct Text {
    text: String,
    width: usize,
}

impl Text {
    /// As much of `text` as fits into `most` characters.
    fn new(text: &str, most: usize) -> Self {
        let mut out = Self::default();
        // Characters that join others change their width, and terminals differ in by how much.
        for c in clean(text, most).chars().filter(|c| !matches!(c, '\u{200d}' | '\u{fe0e}' | '\u{fe0f}')) {
            let wide = c.width().unwrap_or(0);
            if out.width + wide > most {
                break;
            }
            out.text.push(c);
            out.width += wide;
        }
        // Some sequences are wider than the sum of their characters. Then no text is better than a crooked plot.
        if out.text.width() == out.width { out } else { Self::default() }
    }

    fn push(&mut self, other: &Self) {
        self.text += &other.text;
        self.width += other.width;
    }

    fn padded(mut self, width: usize) -> String {
        self.text.extend(std::iter::repeat_n(' ', width.saturating_sub(self.width)));
        self.text
    }
}

/// The label of the y axis and the legend of the lines, in at most `most` lines.
fn legend<'a>(y_label: &str, series: impl Iterator<Item = &'a Series>, width: usize, most: usize) -> Vec<Text> {
    let label = Text::new(y_label, width);
    let mut entries: Vec<Text> = if label.width > 0 { vec![label] } else { Vec::new() };
    for one in series.filter(|one| !one.name.is_empty()) {
        let mark = match (one.style, one.mark) {
            (Style::Dots, mark) => mark.unwrap_or(DOT).to_string(),
            (Style::Line, Some(mark)) => format!("⠒{mark}⠒"),
            (Style::Line, None) => "⠒⠒⠒".into(),
        };
        let mut entry = Text { width: mark.width() + 1, text: coloured(&mark, one.ansi) + " " };
        entry.push(&Text::new(&one.name, width - entry.width));
        entries.push(entry);
    }

    let mut lines: Vec<Text> = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let left = entries.len() - index;
        // The last line keeps room for "and 99 more".
        let full = lines.len() == most;
        let reserve = if full && left > 1 { 15 } else { 0 };
        match lines.last_mut() {
            Some(line) if line.width + 3 + entry.width + reserve <= width => {
                line.push(&Text { text: "   ".into(), width: 3 });
                line.push(entry);
            }
            Some(line) if full => {
                let more = format!("   and {left} more");
                if line.width + more.len() <= width {
                    line.push(&Text { width: more.len(), text: more });
                }
                break;
            }
            _ => lines.push(Text { text: entry.text.clone(), width: entry.width }),
        }
    }
    lines
}

fn coloured(text: &str, ansi: Option<u8>) -> String {
    ansi.map_or_else(|| text.to_owned(), |code| format!("\x1b[38;5;{code}m{text}\x1b[0m"))
}

fn row_of(at: f64, rows: usize) -> usize {
    (((1.0 - at) * rows as f64) as usize).min(rows - 1)
}

fn column_of(at: f64, columns: usize) -> usize {
    ((at * columns as f64) as usize).min(columns - 1)
}

/// Ticks in at least two of the rows: if two lie in one row, only one of them has its label.
fn y_ticks(y: &Axis, rows: usize) -> Vec<Tick> {
    let most = (rows / 2).clamp(2, 8);
    let in_two_rows = |ticks: &Vec<Tick>| {
        let first = ticks.first().map(|tick| row_of(tick.at, rows));
        ticks.iter().any(|tick| Some(row_of(tick.at, rows)) != first)
    };
    (most..most + 8).map(|most| y.ticks(most)).find(in_two_rows).unwrap_or_else(|| y.ticks(most))
}

/// As many ticks as have room for their labels.
fn x_ticks(x: &Axis, plot: &Plot, columns: usize) -> Vec<Tick> {
    let mut most = (columns / 8).clamp(2, 10);
    loop {
        let ticks = x.ticks_of(most, plot);
        let wanted: usize = ticks.iter().map(|tick| tick.label.width() + 2).sum();
        if wanted <= columns || most == 2 {
            return ticks;
        }
        most -= 1;
    }
}

/// The x axis and the numbers below it.
fn below(ticks: &[Tick], gutter: usize, columns: usize, with_labels: bool, out: &mut String) {
    let width = gutter + 1 + columns;
    let mut axis = vec!['─'; columns];
    let mut labels = Text::default();
    for tick in ticks {
        let column = column_of(tick.at, columns);
        let label = Text::new(&tick.label, columns);
        let start = (gutter + 1 + column).saturating_sub(label.width / 2).min(width - label.width);
        if labels.width > 0 && start <= labels.width {
            continue;
        }
        axis[column] = '┬';
        labels = Text { text: labels.padded(start), width: start };
        labels.push(&label);
    }
    out.extend(std::iter::repeat_n(' ', gutter));
    out.push('└');
    out.extend(axis);
    out.push('\n');
    if with_labels {
        *out += &labels.padded(width);
        out.push('\n');
    }
}

/// One character of the canvas.
#[derive(Clone, Copy, Default)]
struct Cell {
    /// Braille dots: the low bits of its code point.
    dots: u8,
    /// Is shown instead of the dots.
    mark: Option<char>,
    ansi: Option<u8>,
}

/// Characters of two by four dots each.
struct Canvas {
    columns: usize,
    rows: usize,
    cells: Vec<Cell>,
}

impl Canvas {
    fn new(columns: usize, rows: usize) -> Self {
        Self { columns, rows, cells: vec![Cell::default(); columns * rows] }
    }

    /// Draws line number `index` of the plot.
    fn line(&mut self, line: &Line, x: &Axis, y: &Axis, series: &Series, index: usize) {
        let (wide, high) = (self.columns * 2, self.rows * 4);
        let spot = |p: (f64, f64)| (column_of(p.0, wide) as i64, row_of(p.1, high) as i64);
        // More dots than columns hide each other.
        let dots = line.style == Style::Dots && line.points.len() <= self.columns * 2;
        let marked = series.mark.filter(|_| line.style == Style::Line);
        for run in thin::runs(&line.points, x, y, wide) {
            let spots: Vec<(i64, i64)> = run.into_iter().map(spot).collect();
            if dots {
                for &at in &spots {
                    self.mark(at, series.mark.unwrap_or(DOT), series.ansi);
                }
                continue;
            }
            for pair in spots.windows(2) {
                self.stroke(pair[0], pair[1], series.ansi);
            }
            if let [only] = spots.as_slice() {
                self.stroke(*only, *only, series.ansi);
            }
            // Lines that run together show their letters alternately.
            let Some(letter) = marked else { continue };
            let mut next = index * 3 % MARK_EVERY;
            for &at in &spots {
                let column = at.0 as usize / 2;
                if column >= next {
                    self.mark(at, letter, series.ansi);
                    next = column + MARK_EVERY;
                }
            }
        }
    }

    /// Draws every other dot of both edges of an area, because braille has no tints.
    fn edges(&mut self, area: &Area, x: &Axis, y: &Axis, ansi: Option<u8>) {
        let (wide, high) = (self.columns * 2, self.rows * 4);
        for run in area.edges().iter().flat_map(|edge| thin::runs(edge, x, y, wide)) {
            if let [only] = run[..] {
                let at = (column_of(only.0, wide) as i64, row_of(only.1, high) as i64);
                self.stroke(at, at, ansi);
            }
            for pair in run.windows(2) {
                let [from, to] = [pair[0], pair[1]].map(|p| (column_of(p.0, wide) as i64, row_of(p.1, high) as i64));
                for at in (from.0..=to.0).filter(|at| at % 2 == 0) {
                    let part = (at - from.0) as f64 / (to.0 - from.0).max(1) as f64;
                    let level = (from.1 as f64 + part * (to.1 - from.1) as f64).round() as i64;
                    self.stroke((at, level), (at, level), ansi);
                }
            }
        }
    }

    fn cell(&mut self, (x, y): (i64, i64)) -> Option<&mut Cell> {
        let (column, row) = (usize::try_from(x).ok()? / 2, usize::try_from(y).ok()? / 4);
        if column < self.columns { self.cells.get_mut(row * self.columns + column) } else { None }
    }

    fn mark(&mut self, at: (i64, i64), mark: char, ansi: Option<u8>) {
        if let Some(cell) = self.cell(at) {
            (cell.mark, cell.ansi) = (Some(mark), ansi);
        }
    }

    /// Draws all dots from `from` to `to`.
    fn stroke(&mut self, from: (i64, i64), to: (i64, i64), ansi: Option<u8>) {
        // Unicode numbers the dots of a cell down the left column, down the right one, then the bottom two.
        const BITS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let steps = dx.abs().max(dy.abs());
        for step in 0..=steps {
            let along = |d: i64| if steps == 0 { 0 } else { (2 * d * step + steps * d.signum()) / (2 * steps) };
            let (x, y) = (from.0 + along(dx), from.1 + along(dy));
            let bit = BITS[(y & 3) as usize][(x & 1) as usize];
            if let Some(cell) = self.cell((x, y)) {
                cell.dots |= bit;
                if cell.mark.is_none() {
                    cell.ansi = ansi;
                }
            }
        }
    }

    fn write_row(&self, row: usize, out: &mut String) {
        let mut now = None;
        for cell in &self.cells[row * self.columns..(row + 1) * self.columns] {
            let c = match (cell.mark, cell.dots) {
                (Some(mark), _) => mark,
                (None, 0) => ' ',
                (None, dots) => char::from_u32(0x2800 + u32::from(dots)).unwrap_or(' '),
            };
            // A space has no colour.
            if c != ' ' && cell.ansi != now {
                match cell.ansi {
                    Some(code) => _ = write!(out, "\x1b[38;5;{code}m"),
                    None => *out += "\x1b[0m",
                }
                now = cell.ansi;
            }
            out.push(c);
        }
        if now.is_some() {
            *out += "\x1b[0m";
        }
    }
}
