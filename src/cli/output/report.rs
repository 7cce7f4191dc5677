//! What is said at the end of a training: scores against the last value, plots, what to type next.

use super::screen::Screen;
use crate::cli::Failure;
use crate::cli::args::input::DataArgs;
use crate::cli::args::job::Named;
use crate::cli::args::many;
use rnnstep::data::sine;
use rnnstep::error::shown;
use rnnstep::model::file::Columns;
use rnnstep::plot::{Line, Plot, Role, terminal};
use rnnstep::series::one_step::{Score, scores};
use rnnstep::train::Trainer;
use rnnstep::{CellKind, Device, Error, Model, Nonlinearity, Order, Shape, State, Tensor};
use std::path::Path;
use std::time::Duration;

/// Said of a training after which [`rnnstep::train::Outcome::learned`] is false.
pub const LEARNED_NOTHING: &str =
    "nothing was learned that shows on the held-out part, so the model says the mean change";

/// Rows of a series before the held-out part from which the state is warmed up, in windows.
const WARM_UP: usize = 50;
/// Rows of the held-out part that a plot shows.
const SHOWN: usize = 300;

/// Predictions for the part held out, beside what came.
pub struct HeldOut {
    /// Which of several series it is of.
    pub series: Option<String>,
    names: Vec<String>,
    scores: Vec<Score>,
    /// `[n,O]`, in raw units: what was said at the row before, and what came.
    y: Tensor,
    came: Tensor,
    times: Vec<String>,
    about: String,
}

impl HeldOut {
    /// One step ahead over the held-out rows of a table; the state is warmed up on the rows before them.
    /// `None` if no row is held out.
    pub fn of(named: &Named, model: &Model, device: &Device, seq_len: usize) -> Result<Option<Self>, Failure> {
        let (table, first) = (&named.table, named.train_rows);
        let rows = table.rows();
        if first >= rows {
            return Ok(None);
        }
        let from = first.saturating_sub(WARM_UP.saturating_mul(seq_len).saturating_add(1 + model.lag()));
        let x = table.inputs().part(from..rows - 1)?;
        let y = model.forward(device.clone(), &x, Order::BatchFirst, &mut State::new(model.shape(), 1))?;
        let y = model.point(&y)?.part(first - 1 - from..rows - 1 - from)?;
        let series = table.targets().part(first - 1..rows)?;
        let times = named.time.as_ref().map(|time| time.values[first..rows].to_vec()).unwrap_or_default();
        let about = format!("the last {} rows, held out", rows - first);
        let of = Self::new(named.target_names.clone(), y, series, times, about)?;
        Ok(Some(Self { series: named.series.clone(), ..of }))
    }

    /// The five windows of the sine that follow those of the training.
    pub fn of_sine(trainer: &Trainer) -> Result<Self, Failure> {
        const WINDOWS: u64 = 5;
        let (model, seq_len, next) = (trainer.model(), trainer.windows().seq_len(), trainer.steps_done());
        let windows = next..next + WINDOWS;
        let mut x: Vec<f32> = windows.clone().flat_map(|k| sine::window(k, seq_len).take(seq_len)).collect();
        let last = sine::window(windows.end - 1, seq_len).last();
        let rows = x.len();
        let y = model.forward(
            trainer.device().clone(),
            &Tensor::new([rows, 1], x.clone())?,
            Order::BatchFirst,
            &mut trainer.state().clone(),
        )?;
        let y = model.point(&y)?;
        x.extend(last);
        let about = format!("the {rows} points after the training");
        Self::new(vec!["sine".into()], y, Tensor::new([rows + 1, 1], x)?, vec![], about)
    }

    fn new(names: Vec<String>, y: Tensor, series: Tensor, times: Vec<String>, about: String) -> Result<Self, Failure> {
        Ok(Self { series: None, names, scores: scores(&y, &series)?, y, came: series, times, about })
    }

    /// The scores, and in a sentence whether the model is worth anything.
    pub fn print(&self, screen: &mut Screen) -> Result<(), Failure> {
        screen.line(format_args!("score on {}:", self.about))?;
        for (name, score) in self.names.iter().zip(&self.scores) {
            let verdict = match score.gain() {
                gain if gain == f64::NEG_INFINITY => "the last value is never wrong there: do not use this".into(),
                gain if gain > 0.0 => format!("{:.1} % better than the last value", 100.0 * gain),
                gain if gain < 0.0 => {
                    format!("NO BETTER than the last value ({:.1} % worse): do not use this", -100.0 * gain)
                }
                _ if score.rmse.is_nan() => "its predictions are no numbers: do not use this".into(),
                gain if gain.is_nan() => "the series does not change there".into(),
                _ => "no better than the last value".into(),
            };
            let (model, last) = (score.rmse, score.last_value_rmse);
            let name = shown(name);
            screen.line(format_args!("  {name}: RMSE {model:.5} (last value {last:.5}), {verdict}"))?;
        }
        Ok(())
    }

    /// The predicted columns and how good the model is on each.
    pub fn scores(&self) -> impl Iterator<Item = (&str, &Score)> {
        self.names.iter().map(String::as_str).zip(&self.scores)
    }

    /// Rows that are scored.
    pub fn rows(&self) -> usize {
        self.y.rows().0
    }

    fn title(&self, column: &str) -> String {
        self.series.as_ref().map_or_else(|| column.into(), |series| format!("{series}: {column}"))
    }

    /// One plot for each target: what came and what was said.
    pub fn plots(&self) -> Vec<Plot> {
        let width = self.names.len();
        let rows = self.y.rows().0;
        let first = rows.saturating_sub(SHOWN);
        let points = |tensor: &Tensor, skip: usize, column: usize| -> Vec<(f64, f64)> {
            let values = tensor.data().iter().skip((first + skip) * width + column).step_by(width);
            values.enumerate().map(|(i, &v)| (i as f64, f64::from(v))).collect()
        };
        let plot = |(column, name): (usize, &String)| Plot {
            x_names: self.times.iter().skip(first).cloned().collect(),
            ..Plot::new(self.title(name), if self.times.is_empty() { "held-out row" } else { "" }, "")
                .with(Line::new("target", Role::Target, points(&self.came, 1, column)))
                .with(Line::new("prediction", Role::Prediction, points(&self.y, 0, column)))
        };
        self.names.iter().enumerate().take(rnnstep::plot::MAX_PANELS).map(plot).collect()
    }
}

/// The scores of one model on several series, as a table.
pub fn print_several(all: &[HeldOut], screen: &mut Screen) -> Result<(), Failure> {
    if all.is_empty() {
        return Ok(());
    }
    screen.line("score on the last rows of each series, held out:")?;
    let scores = || all.iter().flat_map(|one| one.scores().map(move |(column, score)| (one, column, score)));
    let rows: Vec<Vec<String>> = scores()
        .map(|(one, column, score)| {
            let name = one.series.clone().unwrap_or_default();
            let numbers = [score.rmse, score.last_value_rmse].map(|value| format!("{value:.5}"));
            [&[name, column.into(), one.rows().to_string()][..], &numbers, &[gain(score.gain())]].concat()
        })
        .collect();
    many::print(&["series", "column", "rows", "RMSE", "last value", "gain"], &rows, screen)?;
    screen.line(summary(&scores().map(|(.., score)| score.gain()).collect::<Vec<_>>()))
}

/// Of several gains over the last value, how many there are.
pub fn summary(gains: &[f64]) -> String {
    let better = gains.iter().filter(|&&gain| gain > 0.0).count();
    let middle = gain(median(gains).unwrap_or(f64::NAN));
    format!("better than the last value: {better} of {}, median gain {middle}", gains.len())
}

/// The median of those that are finite, if there are any.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut known: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    known.sort_by(f64::total_cmp);
    (!known.is_empty()).then(|| (known[(known.len() - 1) / 2] + known[known.len() / 2]) / 2.0)
}

/// `+12.3 %`
pub fn gain(gain: f64) -> String {
    if gain.is_finite() { format!("{:+.1} %", 100.0 * gain) } else { "-".into() }
}

/// What a network said to a window of the sine, before the update that it brought.
#[derive(Clone)]
pub struct SineWindow {
    /// The training step, from 0.
    pub step: u64,
    /// One value for each point of the window.
    pub y: Vec<f32>,
}

impl SineWindow {
    /// That of the last step.
    pub fn last(trainer: &mut Trainer) -> Result<Self, Error> {
        let [.., y] = trainer.last_window()?;
        let point = trainer.recipe().loss.point();
        Ok(Self { step: trainer.steps_done().saturating_sub(1), y: y.iter().map(|row| row[point]).collect() })
    }

    /// The lesson's picture: input and prediction over the times of the window.
    pub fn plot(&self) -> Plot {
        let Self { step, y } = self;
        let points = |values: &mut dyn Iterator<Item = f32>| -> Vec<(f64, f64)> {
            sine::times(*step, y.len()).skip(1).zip(values).map(|(t, value)| (t, f64::from(value))).collect()
        };
        let values = || sine::window(*step, y.len());
        Plot::new(format!("step {step}"), "time", "")
            .with(Line::dots("input", Role::Input, points(&mut values())))
            .with(Line::new("target", Role::Target, points(&mut values().skip(1))))
            .with(Line::dots("prediction", Role::Prediction, points(&mut y.iter().copied())))
    }
}

/// A plot in the terminal.
pub fn plot(plot: &Plot, screen: &mut Screen) -> Result<(), Failure> {
    let text = terminal::render(plot, screen.width(), 14, screen.colour());
    screen.picture(&text)
}

/// A network in a few words: `LSTM 3 -> 32 x 2 -> 1`.
pub fn describe(shape: &Shape) -> String {
    let cell = match (shape.cell(), shape.nonlinearity()) {
        (CellKind::Rnn, Nonlinearity::Relu) => "RNN (relu)".into(),
        (cell, _) => cell.name().to_uppercase(),
    };
    let layers = if shape.layers() == 1 { String::new() } else { format!(" x {}", shape.layers()) };
    let head = shape.output().map_or_else(String::new, |output| format!(" -> {output}"));
    format!("{cell} {} -> {}{layers}{head}", shape.input(), shape.hidden())
}

/// `1 block`, `2 blocks`.
pub fn counted(count: u32, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A time in the unit that suits it.
pub fn duration(time: Duration) -> String {
    match time.as_secs_f64() {
        s if s < 1e-6 => format!("{:.0} ns", s * 1e9),
        s if s < 1e-3 => format!("{:.2} µs", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

/// Nanoseconds as microseconds, with four digits where a microsecond has as many.
pub fn micros(nanoseconds: f64) -> String {
    match nanoseconds / 1e3 {
        us if us < 9.9995 => format!("{us:.3}"),
        us if us < 99.995 => format!("{us:.2}"),
        us if us < 999.95 => format!("{us:.1}"),
        us => format!("{us:.0}"),
    }
}

/// What to type next.
pub fn next(data: &DataArgs, columns: &Columns, model: &Path) -> String {
    let model = many::typed(&model.display().to_string());
    let Some(files) = &data.data else { return format!("rnnstep forecast {model} --steps 40") };
    let path = files.paths()[0].as_path();
    if !matches!(crate::cli::args::input::extension(path).as_str(), "csv" | "npy") {
        return format!("rnnstep info {model}");
    }
    let of = data.many.said();
    let path = many::typed(&path.display().to_string());
    if columns.inputs == columns.targets {
        return format!("rnnstep forecast {model} {path}{of} --steps 20");
    }
    // only a model that predicts all its inputs can feed them back
    format!("rnnstep predict {model} {path}{of} --out predictions.csv")
}
