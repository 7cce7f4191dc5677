//! Pictures of an evaluation.

use super::Report;
use rnnstep::evaluate::{Column, Forecasts};
use rnnstep::plot::{Line, Plot, Role};

/// Forecasts that a picture shows, the last ones.
const SHOWN: usize = 300;

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
    plot.with(Line::new("model", Role::Prediction, said(&column.forecasters[0])))
}

/// The sizes of errors one step ahead over the rows, smoothed, of the model and of the best naive forecast.
pub fn errors(report: &Report, column: &Column) -> Plot {
    let evaluation = &report.evaluation;
    let targets = report.named.table.targets();
    let width = targets.rows().1;
    let over = (evaluation.origins.len() / 40).max(1);
    let line = |name: &str, role: Role| {
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
        Some(Line::new(name, role, (0..sizes.len()).map(|i| (i as f64, mean(i))).collect()))
    };
    let label = if over == 1 { "|error|".to_string() } else { format!("|error|, mean of {over}") };
    let mut plot = Plot::new("", if report.named.time.is_some() { "" } else { "row" }, label);
    let row = evaluation.origins.start + 1;
    plot.x_names = match &report.named.time {
        Some(time) => time.values[row..].to_vec(),
        None => (row + 1..=targets.rows().0).map(|row| row.to_string()).collect(),
    };
    let lines = [line(&column.comparisons[0].naive, Role::History), line("model", Role::Prediction)];
    plot.lines.extend(lines.into_iter().flatten());
    plot
}

/// Root mean squared errors by rows ahead.
pub fn by_horizon(column: &Column) -> Plot {
    let mut plot = Plot::new("", "steps ahead", "RMSE");
    for (i, forecasts) in column.forecasters.iter().enumerate().rev() {
        let points = forecasts.scores.iter().enumerate().map(|(at, score)| ((at + 1) as f64, score.rmse())).collect();
        let role = if i == 0 { Role::Prediction } else { Role::Compared(i) };
        plot.lines.push(Line::new(forecasts.name.clone(), role, points));
    }
    plot
}

/// The skill and its interval by rows ahead.
pub fn skill(column: &Column) -> Plot {
    let mut plot = Plot::new("", "steps ahead", "skill, %");
    let points = |value: &dyn Fn(usize) -> f64| -> Vec<(f64, f64)> {
        (0..column.comparisons.len()).map(|at| ((at + 1) as f64, 100.0 * value(at))).collect()
    };
    let interval = |at: usize| column.comparisons[at].interval.unwrap_or((f64::NAN, f64::NAN));
    // grey, both of them: two lines with the same role would get two colours
    plot.lines.push(Line::new("95 %", Role::Compared(7), points(&|at| interval(at).0)));
    plot.lines.push(Line::new("", Role::Compared(7), points(&|at| interval(at).1)));
    plot.lines.push(Line::new("no skill", Role::Target, points(&|_| 0.0)));
    plot.lines.push(Line::new("model", Role::Prediction, points(&|at| column.comparisons[at].skill)));
    plot
}
