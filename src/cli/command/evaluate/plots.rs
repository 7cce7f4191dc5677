//! The plots of a backtest.

use super::{Report, table};
use rnnstep::evaluate::backtest::{Column, Comparison, Forecaster, Forecasts};
use rnnstep::plot::{Area, Figure, Line, MAX_PANELS, Plot, Role};

/// The forecasts that a plot shows: the last ones.
const SHOWN: usize = 300;

/// The most columns that [`figure`] has room for.
pub fn columns(horizon: usize) -> usize {
    MAX_PANELS / if horizon > 1 { 3 } else { 2 }
}

/// The plots of the report on one sheet. The titles have the results of one step ahead.
pub fn figure(report: &Report) -> Figure {
    let mut panels = Vec::new();
    for column in &report.evaluation.columns {
        let name = &report.named.target_names[column.target];
        let one = if report.evaluation.horizon > 1 { ", one step ahead" } else { "" };
        let titled = |title: String, plot: Plot| Plot { title, ..plot };
        panels.push(titled(format!("{name}{one}: {}", column.comparisons[0].sentence()), series(report, column)));
        let title = match &column.learning {
            Some(learning) => format!("{name}, learning while it runs{one}: {}", learning.over_model[0].sentence()),
            None => format!("{name}: errors over time{one}"),
        };
        panels.push(titled(title, errors(report, column)));
        if report.evaluation.horizon > 1 {
            let best = table::best(column);
            panels.push(titled(format!("{name}: skill against {best}, by steps ahead"), skill(column)));
        }
    }
    Figure::grid(format!("{}, {}", report.data, report.rows), panels, 1)
}

/// The role of a forecaster, so that it has the same colour in every plot.
fn role(forecaster: Forecaster) -> Role {
    match forecaster {
        Forecaster::Model => Role::Prediction,
        Forecaster::Learner => Role::Forecast,
        Forecaster::Persistence => Role::History,
        Forecaster::SeasonalNaive(_) => Role::Compared(2),
        Forecaster::Drift => Role::Compared(3),
        Forecaster::Mean => Role::Compared(5),
        Forecaster::Autoregression => Role::Compared(4),
        Forecaster::ExponentialSmoothing => Role::Compared(6),
        Forecaster::Mstl => Role::Compared(1),
    }
}

/// A line with the name and the colour of a forecaster.
fn line(forecaster: Forecaster, points: Vec<(f64, f64)>) -> Line {
    Line::new(forecaster.to_string(), role(forecaster), points)
}

/// The actual values, and the forecasts one step ahead.
pub fn series(report: &Report, column: &Column) -> Plot {
    let evaluation = &report.evaluation;
    let first = evaluation.origins.len().saturating_sub(SHOWN);
    let row = evaluation.origins.start + first + 1;
    let targets = report.named.table.actuals();
    let actuals = targets.data().iter().skip(row * targets.rows().1 + column.target).step_by(targets.rows().1);
    let points = |values: &mut dyn Iterator<Item = f64>| -> Vec<(f64, f64)> {
        values.enumerate().map(|(i, value)| (i as f64, value)).collect()
    };
    let predicted =
        |forecasts: &Forecasts| points(&mut forecasts.values.iter().step_by(evaluation.horizon).skip(first).copied());
    let mut plot =
        over_rows(report, row, String::new()).with(Line::new("actual", Role::Target, points(&mut actuals.copied())));
    let of_model = |one: &&Forecasts| matches!(one.forecaster, Forecaster::Model | Forecaster::Learner);
    let shown = column.forecasters.iter().filter(of_model);
    plot.lines.extend(shown.map(|forecasts| line(forecasts.forecaster, predicted(forecasts))));
    plot
}

/// An empty plot over the rows from `row` on, or over their times.
fn over_rows(report: &Report, row: usize, label: String) -> Plot {
    let time = report.named.time.as_ref();
    let x_names = match time {
        Some(time) => time.values[row..].to_vec(),
        None => (row + 1..=report.named.table.rows()).map(|row| row.to_string()).collect(),
    };
    let x_times = time.map(|time| time.seconds().into_iter().skip(row).collect()).unwrap_or_default();
    Plot { x_names, x_times, ..Plot::new("", if time.is_some() { "" } else { "row" }, label) }
}

/// Running means: for each value the mean of the last `over` values, itself included, or of fewer at the start. Each
/// value is added only twice, whatever `over` is.
fn running_means(values: &[f64], over: usize) -> Vec<f64> {
    // in blocks of `over` values: sums from the start of the block, and sums to its end. A value that is not finite
    // then affects only the means that it belongs to
    let (mut from_start, mut to_end) = (values.to_vec(), values.to_vec());
    for i in (1..values.len()).filter(|i| !i.is_multiple_of(over)) {
        from_start[i] += from_start[i - 1];
    }
    for i in (1..values.len()).rev().filter(|i| !i.is_multiple_of(over)) {
        to_end[i - 1] += to_end[i];
    }
    let mean = |i: usize| {
        let first = (i + 1).saturating_sub(over);
        let before = if first.is_multiple_of(over) { 0.0 } else { to_end[first] };
        (before + from_start[i]) / (i + 1 - first) as f64
    };
    (0..values.len()).map(mean).collect()
}

/// The absolute errors one step ahead over the rows, smoothed: of the model, the learner and the best naive forecast.
pub fn errors(report: &Report, column: &Column) -> Plot {
    let evaluation = &report.evaluation;
    let targets = report.named.table.actuals();
    let width = targets.rows().1;
    let over = (evaluation.origins.len() / 40).max(1);
    let errors_of = |forecaster: Forecaster| {
        let forecasts = column.forecasters.iter().find(|forecasts| forecasts.forecaster == forecaster)?;
        let sizes = evaluation
            .origins
            .clone()
            .zip(forecasts.values.iter().step_by(evaluation.horizon))
            .map(|(origin, &y)| (y - targets.data()[(origin + 1) * width + column.target]).abs());
        // there is no error where the actual value is missing
        let (places, sizes): (Vec<usize>, Vec<f64>) = sizes.enumerate().filter(|(_, size)| !size.is_nan()).unzip();
        let means = places.into_iter().zip(running_means(&sizes, over));
        Some(line(forecaster, means.map(|(i, mean)| (i as f64, mean)).collect()))
    };
    let label = if over == 1 { "|error|".to_string() } else { format!("|error|, mean of {over}") };
    let mut plot = over_rows(report, evaluation.origins.start + 1, label);
    let lines = [column.comparisons[0].other, Forecaster::Model, Forecaster::Learner].map(errors_of);
    plot.lines.extend(lines.into_iter().flatten());
    plot
}

/// The root mean squared error at each horizon.
pub fn by_horizon(column: &Column) -> Plot {
    let mut plot = Plot::new("", "steps ahead", "RMSE");
    for forecasts in column.forecasters.iter().rev() {
        let points = forecasts.scores.iter().enumerate().map(|(at, score)| ((at + 1) as f64, score.rmse())).collect();
        plot.lines.push(line(forecasts.forecaster, points));
    }
    plot
}

/// The skill of the model and its interval at each horizon, and the skill of a learner.
pub fn skill(column: &Column) -> Plot {
    let mut plot = Plot::new("", "steps ahead", "skill, %");
    let points = |of: &[Comparison], value: &dyn Fn(&Comparison) -> f64| -> Vec<(f64, f64)> {
        of.iter().enumerate().map(|(at, comparison)| ((at + 1) as f64, 100.0 * value(comparison))).collect()
    };
    let model = &column.comparisons[..];
    let edges = model.iter().enumerate().map(|(at, comparison)| {
        let (low, high) = comparison.interval.unwrap_or((f64::NAN, f64::NAN));
        ((at + 1) as f64, 100.0 * low, 100.0 * high)
    });
    plot.areas.push(Area::new("95 %", role(Forecaster::Model), edges.collect()));
    plot.lines.push(Line::new("", Role::Compared(7), points(model, &|_| 0.0)));
    plot.lines.push(line(Forecaster::Model, points(model, &|comparison| comparison.skill)));
    if let Some(learning) = &column.learning {
        let learner = points(&learning.over_naive, &|comparison| comparison.skill);
        plot.lines.push(line(Forecaster::Learner, learner));
    }
    plot
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_mean_is_that_of_the_last_values() {
        let mut values: Vec<f64> = (0..40).map(|i| f64::from(i * i % 17)).collect();
        values[23] = f64::INFINITY;
        for over in 1..=45 {
            let found = running_means(&values, over);
            let by_hand = |i: usize| {
                let some = &values[(i + 1).saturating_sub(over)..=i];
                some.iter().sum::<f64>() / some.len() as f64
            };
            for (i, &found) in found.iter().enumerate() {
                assert!(found == by_hand(i) || (found - by_hand(i)).abs() < 1e-12, "{over} {i} {found}");
            }
        }
        assert!(running_means(&[], 3).is_empty());
    }

    #[test]
    fn as_many_columns_as_there_is_room_for() {
        assert_eq!([1, 2].map(columns), [32, 21]);
    }
}
