//! Figures as SVG and PNG: white paper, a light grid, the legend above the plots, 960 pixels wide.
//!
//! plotters draws in whole pixels. So everything is drawn several times as large. The first line of the SVG then sets
//! the real size, and the PNG is averaged down, which also smooths its edges.

use super::axis::{Axis, Tick};
use super::{Area, Colour, Figure, Line, Plot, Role, Style, clean, thin};
use crate::error::{Error, Result};
use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Polygon, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, FontTransform, IntoFont, RGBColor, TextStyle, register_font};
use std::path::Path;
use std::sync::OnceLock;

/// Width of every picture, in pixels.
pub const WIDTH: u32 = 960;

const MARGIN: f64 = 16.0;
const TITLE: f64 = 16.0;
const TEXT: f64 = 12.0;
const SMALL: f64 = 11.0;
const LEGEND_ROW: f64 = 20.0;
const LEGEND_ROWS: usize = 3;
/// The opacity of an area.
const TINT: f64 = 0.22;

const INK: Rgb = (40, 40, 40);
const GREY: Rgb = (110, 110, 110);
const GRID: Rgb = (230, 230, 230);

/// The most corners and dots in a file, however long the series are: some 600 kB of SVG.
const MOST_CORNERS: usize = 40_000;
const MOST_DOTS: usize = 5_000;

type Rgb = (u8, u8, u8);

/// Writes `figure` to `path`: as SVG if the name ends in `.svg`, as PNG if it ends in `.png`.
///
/// # Errors
/// [`Error::Invalid`] for another ending or a figure without panels, [`Error::Io`] if the file cannot be written. Then
/// there is no new file, and an old one is unchanged.
pub fn save(figure: &Figure, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let bytes = if is_svg(path)? { svg(figure)?.into_bytes() } else { png(figure)? };
    crate::io::atomic::write_atomic(path, |out| out.write_all(&bytes))
}

/// `Ok` if [`save`] knows the ending of `path`. It is for a check before long work.
///
/// # Errors
/// [`Error::Invalid`] for another ending than .svg and .png.
pub fn check_ending(path: impl AsRef<Path>) -> Result<()> {
    is_svg(path.as_ref()).map(drop)
}

fn is_svg(path: &Path) -> Result<bool> {
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    match ending.as_str() {
        "svg" => Ok(true),
        "png" => Ok(false),
        _ => Err(Error::invalid(format!(
            "{}: a plot is written as .svg or .png: give the file one of these endings",
            path.display()
        ))),
    }
}

/// The text of an SVG file. The same figure gives the same bytes.
///
/// # Errors
/// [`Error::Invalid`] for a figure without panels or with too many.
pub fn svg(figure: &Figure) -> Result<String> {
    const SCALE: u32 = 10;
    figure.check()?;
    let sheet = Sheet::new(figure);
    let (width, height) = (WIDTH * SCALE, sheet.height * SCALE);
    let mut text = String::with_capacity(1 << 15);
    // SVG's text hangs 0.76 em below its point, and plotters divides its size by 1.24.
    let kind = Kind { scale: f64::from(SCALE), size: 1.24, baseline: 0.76, pieces: false };
    Paper::new(SVGBackend::with_string(&mut text, (width, height)), kind)?.draw(figure, &sheet)?;
    let body = text.split_once('\n').map_or("", |(_, body)| body);
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{}\" viewBox=\"0 0 {width} {height}\" \
         stroke-linejoin=\"round\" stroke-linecap=\"round\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#FFFFFF\"/>\n{body}",
        sheet.height
    ))
}

/// The bytes of a PNG file, 960 pixels wide. The same figure gives the same bytes.
///
/// # Errors
/// [`Error::Invalid`] for a figure without panels or with too many.
pub fn png(figure: &Figure) -> Result<Vec<u8>> {
    figure.check()?;
    let sheet = Sheet::new(figure);
    // Four by four samples a pixel; two by two where that would take a hundred megabytes.
    let scale = if sheet.height <= 1600 { 4 } else { 2 };
    let (width, height) = (WIDTH * scale, sheet.height * scale);
    let mut large = vec![255; width as usize * height as usize * 3];
    // plotters puts the baseline half of a font's height below its point; that height is 1.149 em.
    let kind = Kind { scale: f64::from(scale), size: FONT_HEIGHT, baseline: FONT_HEIGHT / 2.0, pieces: true };
    Paper::new(BitMapBackend::with_buffer(&mut large, (width, height)), kind)?.draw(figure, &sheet)?;
    let pixels = average(&large, width as usize, scale as usize);

    let mut bytes = Vec::with_capacity(1 << 16);
    let mut encoder = png::Encoder::new(&mut bytes, WIDTH, sheet.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(undrawn)?;
    writer.write_image_data(&pixels).map_err(undrawn)?;
    writer.finish().map_err(undrawn)?;
    Ok(bytes)
}

/// Averages each square of `scale` by `scale` RGB pixels into one pixel.
fn average(large: &[u8], width: usize, scale: usize) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(large.len() / (scale * scale));
    let mut sums = vec![0u16; width / scale * 3];
    for rows in large.chunks_exact(width * 3 * scale) {
        sums.fill(0);
        for row in rows.chunks_exact(width * 3) {
            for (sum, square) in sums.chunks_exact_mut(3).zip(row.chunks_exact(3 * scale)) {
                for pixel in square.chunks_exact(3) {
                    for (sum, &value) in sum.iter_mut().zip(pixel) {
                        *sum += u16::from(value);
                    }
                }
            }
        }
        pixels.extend(sums.iter().map(|&sum| (sum / (scale * scale) as u16) as u8));
    }
    pixels
}

/// The height of the font over its em: (ascent - descent) / units per em.
const FONT_HEIGHT: f64 = 1.149;

/// The width of `text` at a size of `em` pixels, and a little more: browsers use another sans-serif font, often a wider
/// one.
fn width_of(text: &str, em: f64) -> f64 {
    let font = ("sans-serif", 10.0 * em * FONT_HEIGHT).into_font();
    font.box_size(text).map_or(0.0, |(width, _)| f64::from(width) / 10.0) * 1.08
}

fn register() -> Result<()> {
    // No font of the machine is used, so pictures are the same everywhere, also where there are no fonts.
    static DONE: OnceLock<bool> = OnceLock::new();
    let done =
        DONE.get_or_init(|| register_font("sans-serif", FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT).is_ok());
    if *done { Ok(()) } else { Err(undrawn("the font that is built in cannot be read")) }
}

fn undrawn(reason: impl std::fmt::Display) -> Error {
    Error::invalid(format!("the plot could not be drawn: {reason}"))
}

/// The layout of a figure, in pixels from the top left corner.
struct Sheet {
    height: u32,
    title: String,
    legend: Vec<(f64, f64, Entry)>,
    panels: Vec<Panel>,
    /// Whether only the last panel has ticks and a label below.
    one_x: bool,
}

struct Panel {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
    x: Axis,
    y: Axis,
    y_ticks: Vec<Tick>,
}

struct Entry {
    name: String,
    colour: Rgb,
    mark: Mark,
}

/// The mark before a name in the legend.
#[derive(Clone, Copy, PartialEq)]
enum Mark {
    Line(Style),
    /// A tint, with the number of times it is drawn.
    Area(usize),
    None,
}

impl Sheet {
    fn new(figure: &Figure) -> Self {
        // Without a font, texts have no width; `Paper::new` reports it.
        let _ = register();
        let (count, columns) = (figure.panels.len(), figure.columns.min(figure.panels.len()).max(1));
        let rows = count.div_ceil(columns);
        let one_x = figure.share_x && columns == 1;

        let title = match figure.panels.as_slice() {
            [only] if figure.title.is_empty() => &only.title,
            _ => &figure.title,
        };
        let title = clean(title, 110);
        let mut top = if title.is_empty() { MARGIN } else { MARGIN + TITLE + 12.0 };
        let legend = legend(figure, top);
        top = legend.last().map_or(top, |entry| entry.1 + LEGEND_ROW);

        let any = |text: fn(&Plot) -> &str| figure.panels.iter().any(|panel| !text(panel).trim().is_empty());
        let strip = if any(|p| &p.title) && (count > 1 || !figure.title.is_empty()) { 24.0 } else { 8.0 };
        let below = 22.0 + if any(|p| &p.x_label) { 18.0 } else { 0.0 };
        let (between, last) = if one_x { (4.0, below) } else { (below, below) };
        let around = top + strip * rows as f64 + between * (rows - 1) as f64 + last + MARGIN * 0.6;
        let least = if rows > 16 { 70.0 } else { 120.0 };
        let height = ((540.0 - around) / rows as f64).max(least);

        let axes: Vec<(Axis, Axis)> = figure.x_axes().into_iter().zip(figure.panels.iter().map(Plot::y_axis)).collect();
        let y_most = (height / 34.0).clamp(2.0, 8.0) as usize;
        let y_ticks: Vec<Vec<Tick>> = axes.iter().map(|(_, y)| y.ticks(y_most)).collect();
        let widest = y_ticks.iter().flatten().map(|tick| width_of(&tick.label, SMALL)).fold(0.0, f64::max);
        let gutter = widest + 8.0 + if any(|p| &p.y_label) { 22.0 } else { 0.0 };
        let column = (f64::from(WIDTH) - MARGIN) / columns as f64;

        let mut panels = Vec::with_capacity(count);
        for (index, ((x, y), y_ticks)) in axes.into_iter().zip(y_ticks).enumerate() {
            panels.push(Panel {
                left: MARGIN + (index % columns) as f64 * column + gutter,
                top: top + strip + (index / columns) as f64 * (strip + height + between),
                width: (column - gutter - MARGIN * 0.75).max(20.0),
                height,
                x,
                y,
                y_ticks,
            });
        }
        let height = (around + height * rows as f64).round() as u32;
        Self { height, title, legend, panels, one_x }
    }
}

/// The legend: each combination of name and colour once, with the position of its mark, in rows from `top` on.
fn legend(figure: &Figure, top: f64) -> Vec<(f64, f64, Entry)> {
    let mut entries: Vec<Entry> = Vec::new();
    for panel in &figure.panels {
        for (line, colour) in panel.lines.iter().zip(panel.colours()) {
            let name = clean(&line.name, 40);
            if !name.is_empty() && !entries.iter().any(|e| e.name == name && e.colour == colour.rgb) {
                entries.push(Entry { name, colour: colour.rgb, mark: Mark::Line(line.style) });
            }
        }
        for (index, area) in panel.areas.iter().enumerate() {
            let (name, colour) = (clean(&area.name, 40), area.role.colour().rgb);
            if !name.is_empty() && !entries.iter().any(|e| e.name == name && e.colour == colour) {
                entries.push(Entry { name, colour, mark: Mark::Area(index + 1) });
            }
        }
    }
    let (mut x, mut row, total) = (MARGIN, 0, entries.len());
    let mut placed = Vec::new();
    for entry in entries {
        let width = 28.0 + width_of(&entry.name, TEXT) + 18.0;
        let last = row + 1 == LEGEND_ROWS;
        // The last row keeps room for "and 99 more".
        if x + width > f64::from(WIDTH) - MARGIN - if last { 100.0 } else { 0.0 } && x > MARGIN {
            if last {
                let more = format!("and {} more", total - placed.len());
                placed.push((x, top + row as f64 * LEGEND_ROW, Entry { name: more, colour: GREY, mark: Mark::None }));
                break;
            }
            (x, row) = (MARGIN, row + 1);
        }
        placed.push((x, top + row as f64 * LEGEND_ROW, entry));
        x += width;
    }
    placed
}

/// The differences between the two backends.
#[derive(Clone, Copy)]
struct Kind {
    /// Backend pixels in one of ours.
    scale: f64,
    /// plotters' font size in one em.
    size: f64,
    /// The distance from the point that plotters is given to the baseline, in em.
    baseline: f64,
    /// Whether a stroke is drawn piece by piece. In bitmaps plotters fills the outline of the whole stroke, and
    /// where short pieces meet at sharp corners, that outline has peaks which are not in the data.
    pieces: bool,
}

struct Paper<DB: DrawingBackend> {
    area: DrawingArea<DB, Shift>,
    kind: Kind,
}

impl<DB: DrawingBackend> Paper<DB> {
    fn new(backend: DB, kind: Kind) -> Result<Self> {
        register()?;
        Ok(Self { area: backend.into_drawing_area(), kind })
    }

    fn draw(self, figure: &Figure, sheet: &Sheet) -> Result<()> {
        self.text(&sheet.title, (MARGIN, MARGIN + TITLE * 0.8), TITLE, INK, HPos::Left, false)?;
        for (x, y, entry) in &sheet.legend {
            let (middle, dark) = (y + 6.0, if entry.mark == Mark::None { GREY } else { INK });
            match entry.mark {
                Mark::Line(Style::Line) => self.path(&[(*x, middle), (x + 22.0, middle)], entry.colour, 2.0)?,
                Mark::Line(Style::Dots) => self.dot((x + 11.0, middle), entry.colour, 3.0)?,
                Mark::Area(tints) => {
                    let (left, right, top, bottom) = (*x, x + 22.0, middle - 6.0, middle + 6.0);
                    for _ in 0..tints {
                        self.tint(&[(left, top), (right, top), (right, bottom), (left, bottom)], entry.colour)?;
                    }
                }
                Mark::None => {}
            }
            let start = if entry.mark == Mark::None { *x } else { x + 28.0 };
            self.text(&entry.name, (start, middle + TEXT * 0.35), TEXT, dark, HPos::Left, false)?;
        }
        let lines: usize = figure.panels.iter().map(|panel| panel.lines.len()).sum();
        let areas: usize = figure.panels.iter().map(|panel| panel.areas.len()).sum();
        for (index, (plot, panel)) in figure.panels.iter().zip(&sheet.panels).enumerate() {
            let last = index + 1 == figure.panels.len();
            self.frame(plot, panel, last || !sheet.one_x, figure.panels.len() > 1 || !figure.title.is_empty())?;
            for area in &plot.areas {
                self.area(area, panel, (MOST_CORNERS / 4 / areas.max(1)).min(panel.width as usize).max(50))?;
            }
            for (line, colour) in plot.lines.iter().zip(plot.colours()) {
                self.line(line, colour, panel, lines)?;
            }
        }
        self.area.present().map_err(undrawn)
    }

    /// Draws everything of a panel except its lines and areas.
    fn frame(&self, plot: &Plot, panel: &Panel, with_x: bool, with_title: bool) -> Result<()> {
        let &Panel { left, top, width, height, x, .. } = panel;
        let (right, bottom) = (left + width, top + height);
        let x_ticks = fitting_ticks(&x, plot, width);
        for tick in &x_ticks {
            let at = left + tick.at * width;
            self.path(&[(at, top), (at, bottom)], GRID, 1.0)?;
        }
        for tick in &panel.y_ticks {
            let at = bottom - tick.at * height;
            self.path(&[(left, at), (right, at)], GRID, 1.0)?;
            self.text(&tick.label, (left - 7.0, at + SMALL * 0.35), SMALL, GREY, HPos::Right, false)?;
        }
        self.path(&[(left, top), (left, bottom), (right, bottom)], GREY, 1.0)?;
        if with_x {
            for tick in &x_ticks {
                let at = left + tick.at * width;
                self.path(&[(at, bottom), (at, bottom + 4.0)], GREY, 1.0)?;
                let half = width_of(&tick.label, SMALL) / 2.0;
                let middle = at.min(f64::from(WIDTH) - half - 2.0).max(half + 2.0);
                self.text(&tick.label, (middle, bottom + 17.0), SMALL, GREY, HPos::Center, false)?;
            }
            let label = clean(&plot.x_label, 80);
            self.text(&label, (left + width / 2.0, bottom + 35.0), TEXT, INK, HPos::Center, false)?;
        }
        if with_title {
            let most = (width / (TEXT * 0.55)) as usize;
            self.text(&clean(&plot.title, most.max(80)), (left, top - 7.0), TEXT, INK, HPos::Left, false)?;
        }
        let widest = panel.y_ticks.iter().map(|tick| width_of(&tick.label, SMALL)).fold(0.0, f64::max);
        let most = (height / (TEXT * 0.55)) as usize;
        let label = clean(&plot.y_label, most.max(2));
        self.text(&label, (left - widest - 17.0, top + height / 2.0), TEXT, INK, HPos::Center, true)
    }

    /// Draws an area: along one edge and back along the other, thinned to at most `strips` strips.
    fn area(&self, area: &Area, panel: &Panel, strips: usize) -> Result<()> {
        let spot = |p: (f64, f64)| (panel.left + p.0 * panel.width, panel.top + (1.0 - p.1) * panel.height);
        let colour = area.role.colour().rgb;
        let [lower, upper] = area.edges().map(|edge| thin::runs(&edge, &panel.x, &panel.y, strips));
        for (lower, upper) in lower.into_iter().zip(upper) {
            let mut around: Vec<(f64, f64)> = lower.into_iter().chain(upper.into_iter().rev()).map(spot).collect();
            if let [low, high] = around[..] {
                // one point of the series: as wide as a line
                let half = 1.5;
                around = vec![
                    (low.0 - half, low.1),
                    (low.0 + half, low.1),
                    (high.0 + half, high.1),
                    (high.0 - half, high.1),
                ];
            }
            self.tint(&around, colour)?;
        }
        Ok(())
    }

    fn line(&self, line: &Line, colour: Colour, panel: &Panel, lines: usize) -> Result<()> {
        let spot = |p: (f64, f64)| (panel.left + p.0 * panel.width, panel.top + (1.0 - p.1) * panel.height);
        let count = line.points.len();
        if line.style == Style::Dots && count <= (MOST_DOTS / lines).clamp(50, 1000) {
            let radius = [(60, 3.0), (300, 2.2)].iter().find(|(most, _)| count <= *most).map_or(1.6, |(_, r)| *r);
            for p in thin::runs(&line.points, &panel.x, &panel.y, count).into_iter().flatten() {
                self.dot(spot(p), colour.rgb, radius)?;
            }
            return Ok(());
        }
        let strips = (MOST_CORNERS / 2 / lines).clamp(50, panel.width as usize + 50);
        let mut runs = thin::runs(&line.points, &panel.x, &panel.y, strips);
        if runs.len() > 500 {
            // There are many gaps: only the wide ones can be seen.
            runs = thin::runs(&line.points, &panel.x, &panel.y, strips / 8);
        }
        let width = match line.role {
            Role::Prediction | Role::Forecast => 2.0,
            Role::Target => 1.6,
            _ => 1.5,
        };
        // Where strokes touch, thin strokes show more detail.
        let width = if count as f64 > panel.width { 1.1 } else { width };
        for run in runs {
            self.path(&run.into_iter().map(spot).collect::<Vec<_>>(), colour.rgb, width)?;
        }
        Ok(())
    }

    fn spot(&self, at: (f64, f64)) -> (i32, i32) {
        ((at.0 * self.kind.scale).round() as i32, (at.1 * self.kind.scale).round() as i32)
    }

    fn dot(&self, at: (f64, f64), colour: Rgb, radius: f64) -> Result<()> {
        let radius = (radius * self.kind.scale).round() as i32;
        self.area.draw(&Circle::new(self.spot(at), radius, rgb(colour).filled())).map_err(undrawn)
    }

    /// Draws the polygon of `points` with one tint.
    fn tint(&self, points: &[(f64, f64)], colour: Rgb) -> Result<()> {
        let spots: Vec<(i32, i32)> = points.iter().map(|&p| self.spot(p)).collect();
        self.area.draw(&Polygon::new(spots, rgb(colour).mix(TINT))).map_err(undrawn)
    }

    /// Draws a stroke through all of `points`; a dot if they are all equal.
    fn path(&self, points: &[(f64, f64)], colour: Rgb, width: f64) -> Result<()> {
        let mut spots: Vec<(i32, i32)> = points.iter().map(|&p| self.spot(p)).collect();
        spots.dedup();
        match (points, spots.len()) {
            ([], _) => Ok(()),
            ([first, ..], 1) => self.dot(*first, colour, width * 0.75),
            _ => {
                let colour = rgb(colour);
                let wide = (width * self.kind.scale).round() as u32;
                if !self.kind.pieces {
                    return self.area.draw(&PathElement::new(spots, colour.stroke_width(wide))).map_err(undrawn);
                }
                for pair in spots.windows(2) {
                    self.area.draw(&PathElement::new(pair, colour.stroke_width(wide))).map_err(undrawn)?;
                }
                for joint in spots.get(1..spots.len() - 1).unwrap_or_default() {
                    self.area.draw(&Circle::new(*joint, wide / 2, colour.filled())).map_err(undrawn)?;
                }
                Ok(())
            }
        }
    }

    /// Draws one line of text of `em` pixels with its baseline at `at`; `upward` turns it by a quarter.
    fn text(&self, text: &str, at: (f64, f64), em: f64, colour: Rgb, align: HPos, upward: bool) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let hang = self.kind.baseline * em;
        let at = self.spot(if upward { (at.0 - hang, at.1) } else { (at.0, at.1 - hang) });
        let font = ("sans-serif", em * self.kind.size * self.kind.scale).into_font();
        let font = if upward { font.transform(FontTransform::Rotate270) } else { font };
        let colour = rgb(colour);
        let style = TextStyle::from(font).color(&colour).pos(Pos::new(align, VPos::Top));
        self.area.draw(&Text::new(text, at, style)).map_err(undrawn)
    }
}

fn rgb((r, g, b): Rgb) -> RGBColor {
    RGBColor(r, g, b)
}

/// As many ticks as there is room for their labels.
fn fitting_ticks(axis: &Axis, plot: &Plot, width: f64) -> Vec<Tick> {
    let mut most = (width / 45.0).clamp(2.0, 12.0) as usize;
    loop {
        let ticks = axis.ticks_of(most, plot);
        let fits = ticks.windows(2).all(|pair| {
            let room = (pair[1].at - pair[0].at) * width;
            room > (width_of(&pair[0].label, SMALL) + width_of(&pair[1].label, SMALL)) / 2.0 + 12.0
        });
        if fits || most <= 2 {
            return ticks;
        }
        most -= 1;
    }
}
