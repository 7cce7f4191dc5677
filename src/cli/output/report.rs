//! What is printed at the end of a training: the scores of the model next to those of the last value, and plots.

use super::columns;
use super::screen::Screen;
use crate::cli::failure::Failure;
use rnnstep::error::shown;
use rnnstep::plot::{Line, Plot, Role, terminal};
use rnnstep::series::one_step::{HeldOut, Score};
use rnnstep::{TargetTransform, Tensor};
use std::time::Duration;

/// Rows of the held-out part that a plot shows.
const SHOWN: usize = 300;

/// Predictions for the part held out, next to the actual values, with their names.
pub struct Scored {
    /// The name of the series, if there are several.
    pub series: Option<String>,
    /// The predicted columns.
    pub names: Vec<String>,
    pub held_out: HeldOut,
    /// The time of each row, if it has one.
    pub times: Vec<String>,
    /// The same in seconds since 1970, if they are dates.
    pub seconds: Vec<i64>,
    /// Which rows are scored, in words.
    pub about: String,
}

impl Scored {
    /// Prints the scores, and in words whether the model is worth using.
    pub fn print(&self, screen: &mut Screen) -> Result<(), Failure> {
        screen.line(format_args!("score on {}:", self.about))?;
        for (name, score) in self.names.iter().zip(&self.held_out.scores) {
            if score.is_unknown() {
                screen.line(format_args!("  {}: every value is missing, so nothing is scored", shown(name)))?;
                continue;
            }
            let verdict = match score.gain() {
                gain if gain == f64::NEG_INFINITY => {
                    "the last value is never wrong in these rows: do not use this".into()
                }
                gain if gain > 0.0 => format!("{:.1} % better than the last value", 100.0 * gain),
                gain if gain < 0.0 => {
                    format!("NO BETTER than the last value ({:.1} % worse): do not use this", -100.0 * gain)
                }
                _ if score.rmse.is_nan() => "its predictions are not numbers: do not use this".into(),
                gain if gain.is_nan() => "the series does not change in these rows".into(),
                _ => "no better than the last value".into(),
            };
            let (model, last) = (score.rmse, score.persistence_rmse);
            let name = shown(name);
            let (model, last) = (number(model), number(last));
            screen.line(format_args!("  {name}: RMSE {model} (last value {last}), {verdict}"))?;
        }
        Ok(())
    }

    /// The predicted columns and how good the model is on each.
    pub fn scores(&self) -> impl Iterator<Item = (&str, &Score)> {
        self.names.iter().map(String::as_str).zip(&self.held_out.scores)
    }

    /// Rows that are scored.
    pub fn rows(&self) -> usize {
        self.held_out.predictions.rows().0
    }

    fn title(&self, column: &str) -> String {
        self.series.as_ref().map_or_else(|| column.into(), |series| format!("{series}: {column}"))
    }

    /// One plot for each target: actual values and predictions.
    pub fn plots(&self) -> Vec<Plot> {
        let width = self.names.len();
        let rows = self.held_out.predictions.rows().0;
        let first = rows.saturating_sub(SHOWN);
        let points = |tensor: &Tensor<f64>, skip: usize, column: usize| -> Vec<(f64, f64)> {
            let values = tensor.data().iter().skip((first + skip) * width + column).step_by(width);
            values.enumerate().map(|(i, &v)| (i as f64, v)).collect()
        };
        let plot = |(column, name): (usize, &String)| Plot {
            x_names: self.times.iter().skip(first).cloned().collect(),
            x_times: self.seconds.iter().skip(first).copied().collect(),
            ..Plot::new(self.title(name), if self.times.is_empty() { "held-out row" } else { "" }, "")
                .with(Line::new("target", Role::Target, points(&self.held_out.actuals, 1, column)))
                .with(Line::new("prediction", Role::Prediction, points(&self.held_out.predictions, 0, column)))
        };
        self.names.iter().enumerate().take(rnnstep::plot::MAX_PANELS).map(plot).collect()
    }
}

/// Prints the scores of one model on several series, as a table.
pub fn print_several(all: &[Scored], screen: &mut Screen) -> Result<(), Failure> {
    if all.is_empty() {
        return Ok(());
    }
    screen.line("score on the last rows of each series, held out:")?;
    let scores = || all.iter().flat_map(|one| one.scores().map(move |(column, score)| (one, column, score)));
    let rows: Vec<Vec<String>> = scores()
        .map(|(one, column, score)| {
            let name = one.series.clone().unwrap_or_default();
            let numbers = match score.is_unknown() {
                true => ["-", "-", "-"].map(String::from),
                false => [number(score.rmse), number(score.persistence_rmse), gain(score.gain())],
            };
            [&[name, column.into(), one.rows().to_string()][..], &numbers].concat()
        })
        .collect();
    columns::print(&["series", "column", "rows", "RMSE", "last value", "gain"], &rows, screen)?;
    let known = scores().filter(|(.., score)| !score.is_unknown());
    screen.line(summary(&known.map(|(.., score)| score.gain()).collect::<Vec<_>>()))
}

/// An error with five decimals, or with five digits and an exponent if it is very small or large.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size > 0.0 && size < 1e-3 || size >= 1e9 && size.is_finite() => format!("{value:.4e}"),
        _ => format!("{value:.5}"),
    }
}

/// How many of these gains over the last value are above zero, and their median.
pub fn summary(gains: &[f64]) -> String {
    let better = gains.iter().filter(|&&gain| gain > 0.0).count();
    let middle = gain(median(gains).unwrap_or(f64::NAN));
    format!("better than the last value: {better} of {}, median gain {middle}", gains.len())
}

/// The median of the finite values, if there are any.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut known: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    known.sort_by(f64::total_cmp);
    (!known.is_empty()).then(|| (known[(known.len() - 1) / 2] + known[known.len() / 2]) / 2.0)
}

/// `+12.3 %`
pub fn gain(gain: f64) -> String {
    if gain.is_finite() { format!("{:+.1} %", 100.0 * gain) } else { "-".into() }
}

/// Prints a plot on the terminal.
pub fn plot(plot: &Plot, screen: &mut Screen) -> Result<(), Failure> {
    let text = terminal::render(plot, screen.width(), 14, screen.colour());
    screen.picture(&text)
}

/// What a network predicts, in words.
pub fn target_in_words(transform: TargetTransform) -> String {
    match transform {
        TargetTransform::SeasonalChange { season } => format!("change over {season} rows"),
        TargetTransform::Residual { lag, .. } => format!("residual of an autoregression over {}", counted(lag, "row")),
        other => other.name().replace('-', " "),
    }
}

/// `1 block`, `2 blocks`.
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A time in the unit that suits its size.
pub fn duration(time: Duration) -> String {
    match time.as_secs_f64() {
        s if s < 1e-6 => format!("{:.0} ns", s * 1e9),
        s if s < 1e-3 => format!("{:.2} µs", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

/// Nanoseconds as microseconds, with four significant digits, or as a whole number if that has more.
pub fn micros(nanoseconds: f64) -> String {
    match nanoseconds / 1e3 {
        us if us < 9.9995 => format!("{us:.3}"),
        us if us < 99.995 => format!("{us:.2}"),
        us if us < 999.95 => format!("{us:.1}"),
        us => format!("{us:.0}"),
    }
}
