//! Pictures of an evaluation.

use super::Report;
use rnnstep::evaluate::{Column, Comparison, Forecasts, LEARNER, MODEL};
use rnnstep::plot::{Area, Figure, Line, MAX_PANELS, Plot, Role};

/// Forecasts that a picture shows, the last ones.
const SHOWN: usize = 300;

/// The most columns that [`figure`] has room for.
pub const COLUMNS: usize = MAX_PANELS / 3;

/// The pictures of the report on one sheet, under what there is to say of one step ahead.
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
            panels
                .push(titled(format!("{name}: skill against the best naive forecast, by steps ahead"), skill(column)));
        }
    }
    Figure::grid(format!("{}, {}", report.data, report.rows), panels, 1)
}

/// What a forecaster is in every picture, so that it has one colour.
fn role(name: &str) -> Role {
    match name {
        MODEL => Role::Prediction,
        LEARNER => Role::Forecast,
        "last value" => Role::History,
        "season ago" => Role::Compared(2),
        "drift" => Role::Compared(3),
        _ => Role::Compared(4),
    }
}

/// What came and what was said, one step ahead.
pub fn series(report: &Report, column: &Column) -> Plot {
    let evaluation = &report.evaluation;
    let first = evaluation.origins.len().saturating_sub(SHOWN);
    let row = evaluation.origins.start + first + 1;
    let targets = report.named.table.targets();
    let came = targets.data().iter().skip(row * targets.rows().1 + column.target).step_by(targets.rows().1);
    let points = |values: &mut dyn Iterator<Item = f32>| -> Vec<(f64, f64)> {
        values.enumerate().map(|(i, value)| (i as f64, f64::from(value))).collect()
    };
    let said =
        |forecasts: &Forecasts| points(&mut forecasts.values.iter().step_by(evaluation.horizon).skip(first).copied());
    let time = report.named.time.as_ref();
    let mut plot = Plot::new("", if time.is_some() { "" } else { "row" }, "").with(Line::new(
        "what came",
        Role::Target,
        points(&mut came.copied()),
    ));
    plot.x_names = match time {
        Some(time) => time.values[row..].to_vec(),
        None => (row + 1..=targets.rows().0).map(|row| row.to_string()).collect(),
    };
    let shown = column.forecasters.iter().filter(|forecasts| [MODEL, LEARNER].contains(&forecasts.name.as_str()));
    plot.lines.extend(shown.map(|forecasts| Line::new(&forecasts.name, role(&forecasts.name), said(forecasts))));
    plot
}

/// The sizes of errors one step ahead over the rows, smoothed, of the model, the learner and the best naive forecast.
pub fn errors(report: &Report, column: &Column) -> Plot {
    let evaluation = &report.evaluation;
    let targets = report.named.table.targets();
    let width = targets.rows().1;
    let over = (evaluation.origins.len() / 40).max(1);
    let line = |name: &str| {
        let forecasts = column.forecasters.iter().find(|forecasts| forecasts.name == name)?;
        let sizes: Vec<f64> = evaluation
            .origins
            .clone()
            .zip(forecasts.values.iter().step_by(evaluation.horizon))
            .map(|(origin, &said)| f64::from((said - targets.data()[(origin + 1) * width + column.target]).abs()))
            .collect();
        let mean = |i: usize| {
            let some = &sizes[(i + 1).saturating_sub(over)..=i];
            some.iter().sum::<f64>() / some.len() as f64
        };
        Some(Line::new(name, role(name), (0..sizes.len()).map(|i| (i as f64, mean(i))).collect()))
    };
    let label = if over == 1 { "|error|".to_string() } else { format!("|error|, mean of {over}") };
    let mut plot = Plot::new("", if report.named.time.is_some() { "" } else { "row" }, label);
    let row = evaluation.origins.start + 1;
    plot.x_names = match &report.named.time {
        Some(time) => time.values[row..].to_vec(),
        None => (row + 1..=targets.rows().0).map(|row| row.to_string()).collect(),
    };
    let lines = [&column.comparisons[0].naive, MODEL, LEARNER].map(line);
    plot.lines.extend(lines.into_iter().flatten());
    plot
}

/// Root mean squared errors by rows ahead.
pub fn by_horizon(column: &Column) -> Plot {
    let mut plot = Plot::new("", "steps ahead", "RMSE");
    for forecasts in column.forecasters.iter().rev() {
        let points = forecasts.scores.iter().enumerate().map(|(at, score)| ((at + 1) as f64, score.rmse())).collect();
        plot.lines.push(Line::new(&forecasts.name, role(&forecasts.name), points));
    }
    plot
}

/// The skill and its interval by rows ahead; of a learner the skill.
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
    plot.areas.push(Area::new("95 %", role(MODEL), edges.collect()));
    plot.lines.push(Line::new("", Role::Compared(7), points(model, &|_| 0.0)));
    plot.lines.push(Line::new(MODEL, role(MODEL), points(model, &|comparison| comparison.skill)));
    if let Some(learning) = &column.learning {
        let learner = points(&learning.over_naive, &|comparison| comparison.skill);
        plot.lines.push(Line::new(LEARNER, role(LEARNER), learner));
    }
    plot
}
