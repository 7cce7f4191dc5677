//! Scores as text and as tables.

use super::Report;
use crate::cli::Failure;
use crate::cli::screen::Screen;
use rnnstep::data::csv::number;
use rnnstep::evaluate::{Column, Comparison, Forecasts};

/// The most horizons that a table on the screen has.
const SHOWN: usize = 12;

pub fn print(report: &Report, screen: &mut Screen) -> Result<(), Failure> {
    screen.line(format_args!("{}: {}", report.data, report.walk))?;
    screen.line(&report.about)?;
    for column in &report.evaluation.columns {
        let name = &report.named.target_names[column.target];
        screen.line("")?;
        print_one_step(name, column, screen)?;
        if report.evaluation.horizon > 1 {
            screen
                .line(format_args!("\n  {:<6}  {:>10}  {:>10}  {:<12}  skill, 95 %", "ahead", "RMSE", "naive", ""))?;
            for ahead in horizons(report.evaluation.horizon) {
                let [ahead, rmse, naive, name, skill] = by_horizon(column, ahead);
                screen.line(format_args!("  {ahead:<6}  {rmse:>10}  {naive:>10}  {name:<12}  {skill}"))?;
            }
        }
        screen.line(format_args!("  {}", how(&column.comparisons[0])))?;
    }
    for remark in &report.remarks {
        screen.line(format_args!("note: {remark}"))?;
    }
    Ok(())
}

/// What there is to say of a column, and its scores one step ahead.
pub fn print_one_step(name: &str, column: &Column, screen: &mut Screen) -> Result<(), Failure> {
    for line in sentences(name, column) {
        screen.line(line)?;
    }
    let rows = scores_one_step(column);
    let width = rows.iter().map(|row| row[0].chars().count()).max().unwrap_or(0);
    for [name, rmse, mae, mase, direction] in rows {
        screen.line(format_args!("  {name:<width$}  {rmse:>10}  {mae:>10}  {mase:>6}  {direction:>9}"))?;
    }
    Ok(())
}

/// What there is to say of a column.
pub fn sentences(name: &str, column: &Column) -> Vec<String> {
    let ahead = if column.comparisons.len() > 1 { ", one step ahead" } else { "" };
    let mut lines = vec![format!("{name}{ahead}: {}", column.comparisons[0].sentence())];
    if let Some((last, comparison)) = column.comparisons.iter().enumerate().next_back().filter(|(at, _)| *at > 0) {
        lines.push(format!("{name}, {} steps ahead: {}", last + 1, comparison.sentence()));
    }
    let rmse = |forecasts: &Forecasts| forecasts.scores[0].rmse();
    let (model, linear) = (&column.forecasters[0], column.forecasters.iter().skip(1).find(|one| !one.naive));
    if let Some(linear) = linear.filter(|linear| rmse(linear) < rmse(model)) {
        let by = 100.0 * (1.0 - rmse(linear) / rmse(model));
        lines.push(format!("{name}: a linear autoregression is {by:.1} % better than the model"));
    }
    lines
}

/// The table of one step ahead, its header first.
pub fn scores_one_step(column: &Column) -> Vec<[String; 5]> {
    let header = ["one step ahead", "RMSE", "MAE", "MASE", "direction"].map(String::from);
    let row = |forecasts: &Forecasts| {
        let score = forecasts.scores[0];
        let season = column.season.filter(|_| forecasts.name == "season ago");
        let name = season.map_or_else(|| forecasts.name.clone(), |season| format!("season ago ({season} rows)"));
        let direction = score.direction.map_or_else(|| "-".into(), |part| format!("{:.1} %", 100.0 * part));
        [name, digits(score.rmse()), digits(score.mae), format!("{:.3}", score.mase), direction]
    };
    std::iter::once(header).chain(column.forecasters.iter().map(row)).collect()
}

/// Of so many rows ahead: RMSE of the model and of the best naive forecast, and the skill.
pub fn by_horizon(column: &Column, ahead: usize) -> [String; 5] {
    let comparison = &column.comparisons[ahead - 1];
    let rmse = |name: &str| {
        let found = column.forecasters.iter().find(|forecasts| forecasts.name == name);
        found.map_or_else(String::new, |forecasts| digits(forecasts.scores[ahead - 1].rmse()))
    };
    [ahead.to_string(), rmse("model"), rmse(&comparison.naive), comparison.naive.clone(), skill(comparison)]
}

/// `+23.1 % (17.0 to 29.2)`
pub fn skill(comparison: &Comparison) -> String {
    let interval = comparison
        .interval
        .map_or_else(String::new, |(low, high)| format!(" ({:.1} to {:.1})", 100.0 * low, 100.0 * high));
    format!("{:+.1} %{interval}", 100.0 * comparison.skill)
}

/// How interval and p-value were found.
pub fn how(comparison: &Comparison) -> String {
    let p = comparison.p_value.map_or_else(|| "no answer".into(), |p| format!("p {p:.2e}"));
    format!(
        "skill: part by which the RMSE is smaller than that of the best naive forecast; 95 % by circular block bootstrap, \
         {} resamples, blocks of {}; Diebold-Mariano: {p}",
        rnnstep::evaluate::RESAMPLES,
        comparison.block
    )
}

/// Horizons that a short table shows.
pub fn horizons(horizon: usize) -> Vec<usize> {
    let shown = horizon.min(SHOWN);
    let mut all: Vec<usize> = (0..shown)
        .map(|i| {
            if shown == horizon { i + 1 } else { (horizon as f64).powf(i as f64 / (shown - 1) as f64).round() as usize }
        })
        .collect();
    all.dedup();
    all
}

/// Five digits.
pub fn digits(value: f64) -> String {
    match value.abs() {
        v if v == 0.0 || !v.is_finite() => format!("{value}"),
        v if !(1e-3..1e6).contains(&v) => format!("{value:.3e}"),
        v => format!("{value:.*}", (4 - v.log10().floor() as i32).clamp(0, 7) as usize),
    }
}

/// Every score: header and rows.
pub fn scores(report: &Report) -> (Vec<String>, Vec<Vec<String>>) {
    let header = [
        "column",
        "ahead",
        "forecast",
        "count",
        "mse",
        "mae",
        "rmse",
        "mase",
        "direction",
        "best_naive",
        "skill",
        "skill_low",
        "skill_high",
        "dm_p_value",
    ];
    let mut rows = Vec::new();
    for column in &report.evaluation.columns {
        for forecasts in &column.forecasters {
            for (ahead, score) in forecasts.scores.iter().enumerate() {
                let comparison = Some(&column.comparisons[ahead]).filter(|_| forecasts.name == "model");
                let low_high = comparison.and_then(|comparison| comparison.interval);
                let shown =
                    |value: Option<f64>| value.filter(|v| !v.is_nan()).map_or_else(String::new, |v| v.to_string());
                rows.push(vec![
                    report.named.target_names[column.target].clone(),
                    (ahead + 1).to_string(),
                    forecasts.name.clone(),
                    score.count.to_string(),
                    shown(Some(score.mse)),
                    shown(Some(score.mae)),
                    shown(Some(score.rmse())),
                    shown(Some(score.mase)),
                    shown(score.direction),
                    comparison.map_or_else(String::new, |comparison| comparison.naive.clone()),
                    shown(comparison.map(|comparison| comparison.skill)),
                    shown(low_high.map(|(low, _)| low)),
                    shown(low_high.map(|(_, high)| high)),
                    shown(comparison.and_then(|comparison| comparison.p_value)),
                ]);
            }
        }
    }
    (header.map(String::from).to_vec(), rows)
}

/// Every forecast beside what came: header and rows.
pub fn forecasts(report: &Report) -> (Vec<String>, Vec<Vec<String>>) {
    let evaluation = &report.evaluation;
    let time = report.named.time.as_ref();
    let mut header = vec![time.map_or_else(|| "row".into(), |time| time.name.clone())];
    header.extend(["ahead", "column", "came"].map(String::from));
    // the same forecasters for every column, but for a season that only some have
    let mut names: Vec<&str> = Vec::new();
    for forecasts in evaluation.columns.iter().flat_map(|column| &column.forecasters) {
        if !names.contains(&forecasts.name.as_str()) {
            names.push(&forecasts.name);
        }
    }
    header.extend(names.iter().map(|name| name.to_string()));
    let targets = report.named.table.targets();
    let (rows_in_all, width) = targets.rows();
    let mut rows = Vec::new();
    for (i, origin) in evaluation.origins.clone().enumerate() {
        for ahead in 1..=evaluation.horizon.min(rows_in_all - 1 - origin) {
            for column in &evaluation.columns {
                let row = origin + ahead;
                let mut line = vec![time.map_or_else(|| (row + 1).to_string(), |time| time.values[row].clone())];
                line.push(ahead.to_string());
                line.push(report.named.target_names[column.target].clone());
                line.push(number(targets.data()[row * width + column.target]));
                for name in &names {
                    let found = column.forecasters.iter().find(|forecasts| forecasts.name == *name);
                    line.push(found.map_or_else(String::new, |forecasts| {
                        number(forecasts.values[i * evaluation.horizon + ahead - 1])
                    }));
                }
                rows.push(line);
            }
        }
    }
    (header, rows)
}
