//! Plots to look at: as text in a terminal ([`terminal`]) and as SVG or PNG pictures ([`picture`]).
//!
//! A [`Plot`] is a title, two axes, some lines, and areas behind them; a [`Figure`] is several plots on one sheet. Both
//! are plain data, and the two renderers decide how they look. A line has a [`Role`], not a colour, so that an input
//! looks the same in every picture.
//!
//! Nothing here panics, whatever the numbers are: a point that is not finite is a gap, and a million points are
//! thinned to what can be seen.

mod axis;
mod dates;
pub mod picture;
pub mod terminal;
mod thin;

use crate::error::{Error, Result};
use axis::Axis;

/// What a line shows. The role decides the colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The inputs of the network: red.
    Input,
    /// The actual values: black.
    Target,
    /// The predictions: blue.
    Prediction,
    /// The forecast of rows after the history: orange.
    Forecast,
    /// The history, before the forecast begins: grey.
    History,
    /// One unit of a gate, counted from 0: one of eight colours, which repeat.
    Gate(usize),
    /// One of several lines that are compared, counted from 0: the same eight colours.
    Compared(usize),
}

impl Role {
    fn colour(self) -> Colour {
        match self {
            Self::Input => VERMILLION,
            Self::Target => BLACK,
            Self::Prediction => BLUE,
            Self::Forecast => ORANGE,
            Self::History => GREY,
            Self::Gate(index) | Self::Compared(index) => CYCLE[index % CYCLE.len()],
        }
    }
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Style {
    /// Neighbours are joined; a point that is not finite leaves a gap.
    #[default]
    Line,
    /// A dot at each point. More than a thousand points are drawn as a line, because dots would hide each other.
    Dots,
}

/// One series of a plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its name in the legend; a line without one is not listed there.
    pub name: String,
    /// `(x, y)`. Drawn in the order of x; points that are not finite are left out.
    pub points: Vec<(f64, f64)>,
    /// What it shows.
    pub role: Role,
    /// How it is drawn.
    pub style: Style,
}

impl Line {
    /// A joined line.
    pub fn new(name: impl Into<String>, role: Role, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points, role, style: Style::Line }
    }

    /// Separate dots.
    pub fn dots(name: impl Into<String>, role: Role, points: Vec<(f64, f64)>) -> Self {
        Self { style: Style::Dots, ..Self::new(name, role, points) }
    }
}

/// A range of values: a tinted area behind the lines. Where areas overlap the tint is darker.
#[derive(Debug, Clone, PartialEq)]
pub struct Area {
    /// Its name in the legend; an area without one is not listed there.
    pub name: String,
    /// `(x, lower y, upper y)`, drawn in the order of x; if one of them is not finite there is a gap.
    pub points: Vec<(f64, f64, f64)>,
    /// What it shows.
    pub role: Role,
}

impl Area {
    /// An area between two edges.
    pub fn new(name: impl Into<String>, role: Role, points: Vec<(f64, f64, f64)>) -> Self {
        Self { name: name.into(), points, role }
    }

    /// Its edges, the lower and the upper one, with the same gaps.
    fn edges(&self) -> [Vec<(f64, f64)>; 2] {
        let edge = |pick: fn(f64, f64) -> f64| {
            let both = |low: f64, high: f64| low.is_finite() && high.is_finite();
            let point =
                |&(x, low, high): &(f64, f64, f64)| (x, if both(low, high) { pick(low, high) } else { f64::NAN });
            self.points.iter().map(point).collect()
        };
        [edge(|low, _| low), edge(|_, high| high)]
    }
}

/// The scale of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Scale {
    /// Equal distances are equal differences.
    #[default]
    Linear,
    /// Equal distances are equal ratios. Points that are not above zero are drawn at the low end.
    Log,
}

/// Two axes and the lines between them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plot {
    /// The title above the plot; may be empty.
    pub title: String,
    /// The label below the x axis; may be empty.
    pub x_label: String,
    /// The label next to the y axis; may be empty.
    pub y_label: String,
    /// Names of x = 0, 1, 2, ..., for example the time column of a table. Beyond the last name, if there are no names,
    /// and on a logarithmic axis, the ticks are numbers.
    pub x_names: Vec<String>,
    /// Times of x = 0, 1, 2, ..., in seconds since 1970-01-01 00:00 on the wall clock, in rising order. Then the ticks are
    /// round dates: the starts of years, months, days or hours.
    pub x_times: Vec<i64>,
    /// The scale of the x axis.
    pub x_scale: Scale,
    /// The scale of the y axis.
    pub y_scale: Scale,
    /// The areas behind the lines.
    pub areas: Vec<Area>,
    /// The lines; later ones lie on top.
    pub lines: Vec<Line>,
}

impl Plot {
    /// A plot without lines.
    pub fn new(title: impl Into<String>, x_label: impl Into<String>, y_label: impl Into<String>) -> Self {
        Self { title: title.into(), x_label: x_label.into(), y_label: y_label.into(), ..Self::default() }
    }

    /// The same plot with one more line.
    #[must_use]
    pub fn with(mut self, line: Line) -> Self {
        self.lines.push(line);
        self
    }

    /// The same plot with one more area behind its lines.
    #[must_use]
    pub fn over(mut self, area: Area) -> Self {
        self.areas.push(area);
        self
    }

    /// All points that the axes must include.
    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        let edges = self.areas.iter().flat_map(|area| area.edges().into_iter().flatten());
        self.lines.iter().flat_map(|line| line.points.iter().copied()).chain(edges).filter(|p| seen(&p))
    }

    /// The colour of each line: that of its role, or the next free colour if an earlier line has it already.
    fn colours(&self) -> Vec<Colour> {
        let mut colours: Vec<Colour> = Vec::with_capacity(self.lines.len());
        for (index, line) in self.lines.iter().enumerate() {
            let own = line.role.colour();
            let taken = !matches!(line.role, Role::Gate(_) | Role::Compared(_)) && colours.contains(&own);
            let free = || CYCLE.into_iter().find(|c| !colours.contains(c)).unwrap_or(CYCLE[index % CYCLE.len()]);
            let colour = if taken { free() } else { own };
            colours.push(colour);
        }
        colours
    }

    fn x_axis(&self) -> Axis {
        Axis::over(self.points().map(|p| p.0), 0.015, self.x_scale)
    }

    fn y_axis(&self) -> Axis {
        Axis::over(self.points().map(|p| p.1), 0.06, self.y_scale)
    }
}

/// Several plots on one sheet, such as the gates of a cell one above the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// The title above all panels; may be empty.
    pub title: String,
    /// The panels, row by row, from the top.
    pub panels: Vec<Plot>,
    /// The number of panels side by side, at least 1.
    pub columns: usize,
    /// Whether all panels share one x axis, drawn once below each column. It has the scale of the first panel.
    pub share_x: bool,
}

/// The most panels of a figure.
pub const MAX_PANELS: usize = 64;

impl Figure {
    /// Panels one above the other, with one x axis.
    pub fn stacked(title: impl Into<String>, panels: Vec<Plot>) -> Self {
        Self { title: title.into(), panels, columns: 1, share_x: true }
    }

    /// Panels in rows of `columns`, each with its own x axis.
    pub fn grid(title: impl Into<String>, panels: Vec<Plot>, columns: usize) -> Self {
        Self { title: title.into(), panels, columns, share_x: false }
    }

    /// The x axis of each panel.
    fn x_axes(&self) -> Vec<Axis> {
        let mut axes: Vec<Axis> = self.panels.iter().map(Plot::x_axis).collect();
        if self.share_x {
            let scale = self.panels.first().map_or(Scale::Linear, |panel| panel.x_scale);
            let all = Axis::over(self.panels.iter().flat_map(Plot::points).map(|p| p.0), 0.015, scale);
            axes.fill(all);
        }
        axes
    }

    fn check(&self) -> Result<()> {
        match self.panels.len() {
            0 => Err(Error::invalid("a figure without panels cannot be drawn: give it at least one plot")),
            n if n > MAX_PANELS => Err(Error::invalid(format!(
                "a figure holds at most {MAX_PANELS} panels, this one has {n}: draw fewer layers or columns at a time"
            ))),
            _ if self.columns == 0 => Err(Error::invalid("a figure needs at least one column of panels, got 0")),
            _ => Ok(()),
        }
    }
}

impl From<Plot> for Figure {
    /// A figure of one panel.
    fn from(plot: Plot) -> Self {
        Self::grid("", vec![plot], 1)
    }
}

/// A colour on white paper, and the nearest one of a terminal's 256 that can be read on black and on white.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Colour {
    rgb: (u8, u8, u8),
    /// `None` is the terminal's own text colour.
    ansi: Option<u8>,
}

// The colours of Okabe and Ito, which people with any kind of colour vision can tell apart. Their yellow is replaced by
// grey, because it cannot be seen on white.
const BLACK: Colour = Colour { rgb: (0, 0, 0), ansi: None };
const ORANGE: Colour = Colour { rgb: (230, 159, 0), ansi: Some(214) };
const SKY: Colour = Colour { rgb: (86, 180, 233), ansi: Some(80) };
const GREEN: Colour = Colour { rgb: (0, 158, 115), ansi: Some(35) };
const BLUE: Colour = Colour { rgb: (0, 114, 178), ansi: Some(33) };
const VERMILLION: Colour = Colour { rgb: (213, 94, 0), ansi: Some(196) };
const PURPLE: Colour = Colour { rgb: (204, 121, 167), ansi: Some(170) };
const GREY: Colour = Colour { rgb: (128, 128, 128), ansi: Some(245) };
const CYCLE: [Colour; 8] = [BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, BLACK, GREY];

/// Whether a point can be drawn.
fn seen(point: &&(f64, f64)) -> bool {
    point.0.is_finite() && point.1.is_finite()
}

/// `text` on one line, without characters that XML forbids or that a terminal would obey, and with at most `most`
/// characters.
fn clean(text: &str, most: usize) -> String {
    let forbidden = |c: char| {
        c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}')
    };
    let mut out: String = text.trim().chars().take(most).map(|c| if forbidden(c) { ' ' } else { c }).collect();
    if text.trim().chars().nth(most).is_some() {
        out.pop();
        out.push('…');
    }
    out
}
