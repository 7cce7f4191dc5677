//! Scores as text and as tables.

use super::{EvaluateArgs, Report};
use crate::cli::failure::Failure;
use crate::cli::output::files;
use crate::cli::output::screen::Screen;
use rnnstep::data::csv::{self, number};
use rnnstep::error::shown;
use rnnstep::evaluate::backtest::{Column, Comparison, Forecaster, Forecasts, Verdict};

/// The most horizons that a printed table has.
const SHOWN: usize = 12;

/// What a model is compared with, in words: with opponents or without them.
pub const BEST_SIMPLE: &str = "the best simple forecast";
pub const BEST_NAIVE: &str = "the best naive forecast";

/// Whether forecasts that are not naive decide as well.
pub fn has_opponents(column: &Column) -> bool {
    column.forecasters.iter().any(|forecasts| forecasts.forecaster.is_opponent())
}

/// The forecast that the model of a column is compared with, in words.
pub fn best(column: &Column) -> &'static str {
    if has_opponents(column) { BEST_SIMPLE } else { BEST_NAIVE }
}

pub fn print(report: &Report, screen: &mut Screen) -> Result<(), Failure> {
    screen.line(format_args!("{}: {}", report.data, report.walk))?;
    screen.line(&report.about)?;
    for column in &report.evaluation.columns {
        let name = &report.named.target_names[column.target];
        screen.line("")?;
        print_one_step(name, column, screen)?;
        if report.evaluation.horizon > 1 {
            screen.line("")?;
            let shown = horizons(report.evaluation.horizon).into_iter().map(|ahead| by_horizon(column, ahead));
            let rows: Vec<_> = std::iter::once(by_horizon_header(column)).chain(shown).collect();
            let width = rows.iter().map(|row| row[3].len()).max().unwrap_or(0);
            for row in rows {
                let [ahead, rmse, naive, name, skill] = &row[..5] else { continue };
                let learner = match &row[5..] {
                    [rmse, over] => {
                        format!("{:<width$}  {rmse:>10}  {over}", "", width = 26_usize.saturating_sub(skill.len()))
                    }
                    _ => String::new(),
                };
                screen.line(format_args!("  {ahead:<6}  {rmse:>10}  {naive:>10}  {name:<width$}  {skill}{learner}"))?;
            }
        }
        screen.line(format_args!("  {}", how(column)))?;
    }
    for remark in &report.remarks {
        screen.line(format_args!("note: {remark}"))?;
    }
    Ok(())
}

/// Prints the results of a column in sentences, and its scores one step ahead.
pub fn print_one_step(name: &str, column: &Column, screen: &mut Screen) -> Result<(), Failure> {
    for (line, _) in sentences(&shown(name), column) {
        screen.line(line)?;
    }
    let rows = scores_one_step(column);
    let width = rows.iter().map(|row| row[0].chars().count()).max().unwrap_or(0);
    for [name, rmse, mae, mase, direction] in rows {
        screen.line(format_args!("  {name:<width$}  {rmse:>10}  {mae:>10}  {mase:>6}  {direction:>9}"))?;
    }
    Ok(())
}

/// The results of a column in sentences, each with its verdict.
pub fn sentences(name: &str, column: &Column) -> Vec<(String, Verdict)> {
    let many = column.comparisons.len() > 1;
    let ahead = if many { ", one step ahead" } else { "" };
    let model = |comparison: &Comparison, ahead: &str| {
        (format!("{name}{ahead}: {}", comparison.sentence()), comparison.verdict())
    };
    let mut lines = vec![model(&column.comparisons[0], ahead)];
    let last = column.comparisons.len() - 1;
    let ahead_at_last = format!(", {} steps ahead", last + 1);
    if many {
        lines.push(model(&column.comparisons[last], &ahead_at_last));
    }
    lines.extend(learning(name, column, 0, ahead));
    if many {
        lines.extend(learning(name, column, last, &ahead_at_last));
    }
    let rmse = |forecasts: &Forecasts| forecasts.scores[0].rmse();
    let is_linear = |forecasts: &&Forecasts| forecasts.forecaster == Forecaster::Autoregression;
    let (model, linear) = (&column.forecasters[0], column.forecasters.iter().find(is_linear));
    if let Some(linear) = linear.filter(|linear| rmse(linear) < rmse(model)) {
        let by = 100.0 * (1.0 - rmse(linear) / rmse(model));
        lines.push((format!("{name}: a linear autoregression is {by:.1} % better than the model"), Verdict::Unknown));
    }
    if many {
        lines.push(worth(name, column));
    }
    lines
}

/// Up to which horizon the model is worth using, in a sentence with its verdict.
fn worth(name: &str, column: &Column) -> (String, Verdict) {
    let (longest, all) = (column.worth_up_to(), column.comparisons.len());
    let better = format!("better than {}", best(column));
    match longest {
        0 => (format!("{name}: not worth using: one step ahead it is not surely {better}"), Verdict::NoBetter),
        1 => (
            format!("{name}: worth using one step ahead only: two steps ahead it is not surely {better}"),
            Verdict::Better,
        ),
        _ if longest == all => {
            (format!("{name}: worth using up to {all} steps ahead: it is {better} at each of them"), Verdict::Better)
        }
        _ => {
            let next = longest + 1;
            let sentence = format!(
                "{name}: worth using up to {longest} steps ahead: {next} steps ahead it is not surely {better}"
            );
            (sentence, Verdict::Better)
        }
    }
}

/// The result of the learner at the horizon `at`, counted from 0: compared with the frozen model, and with the best
/// naive forecast.
fn learning(name: &str, column: &Column, at: usize, ahead: &str) -> Option<(String, Verdict)> {
    let learning = column.learning.as_ref()?;
    let (model, naive) = (&learning.over_model[at], &learning.over_naive[at]);
    // better than a bad model may still be bad
    let verdict = if model.verdict() == Verdict::Better { naive.verdict() } else { model.verdict() };
    let sentence = format!("{name}, learning while it runs{ahead}: {}; {}", model.sentence(), naive.sentence());
    Some((sentence, verdict))
}

/// The scores one step ahead as a table, with its header first.
pub fn scores_one_step(column: &Column) -> Vec<[String; 5]> {
    let header = ["one step ahead", "RMSE", "MAE", "MASE", "direction"].map(String::from);
    let row = |forecasts: &Forecasts| {
        let score = forecasts.scores[0];
        let direction = score.direction.map_or_else(|| "-".into(), |part| format!("{:.1} %", 100.0 * part));
        [
            forecasts.forecaster.to_string(),
            digits(score.rmse()),
            digits(score.mae),
            format!("{:.3}", score.mase),
            direction,
        ]
    };
    std::iter::once(header).chain(column.forecasters.iter().map(row)).collect()
}

/// The header of [`by_horizon`].
pub fn by_horizon_header(column: &Column) -> Vec<String> {
    let learner = column.learning.iter().flat_map(|_| ["learner", "over the model, 95 %"]);
    let other = if has_opponents(column) { "simple" } else { "naive" };
    ["ahead", "RMSE", other, "", "skill, 95 %"].into_iter().chain(learner).map(String::from).collect()
}

/// The row of the horizon `ahead`: the RMSE of the model and of the best naive forecast, and the skill; of a learner
/// its RMSE and its skill over the model.
pub fn by_horizon(column: &Column, ahead: usize) -> Vec<String> {
    let comparison = &column.comparisons[ahead - 1];
    let rmse = |forecaster: Forecaster| {
        let found = column.forecasters.iter().find(|forecasts| forecasts.forecaster == forecaster);
        found.map_or_else(String::new, |forecasts| digits(forecasts.scores[ahead - 1].rmse()))
    };
    let naive = comparison.other;
    let mut cells = vec![ahead.to_string(), rmse(Forecaster::Model), rmse(naive), naive.to_string(), skill(comparison)];
    if let Some(learning) = &column.learning {
        cells.extend([rmse(Forecaster::Learner), skill(&learning.over_model[ahead - 1])]);
    }
    cells
}

/// `+23.1 % (17.0 to 29.2)`
pub fn skill(comparison: &Comparison) -> String {
    let interval = comparison
        .interval
        .map_or_else(|_| String::new(), |(low, high)| format!(" ({:.1} to {:.1})", 100.0 * low, 100.0 * high));
    format!("{:+.1} %{interval}", 100.0 * comparison.skill)
}

/// How the interval and the p-value were computed.
pub fn how(column: &Column) -> String {
    let comparison = &column.comparisons[0];
    let p = comparison.p_value.map_or_else(|| "not defined".into(), |p| format!("p {p:.2e}"));
    format!(
        "skill: the part by which the RMSE is smaller than that of {}; 95 % interval: circular block bootstrap, {} \
         resamples, blocks of {} rows; Diebold-Mariano test: {p}",
        best(column),
        rnnstep::evaluate::backtest::RESAMPLES,
        comparison.block
    )
}

/// The horizons that a short table shows.
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

/// A number with five significant digits.
pub fn digits(value: f64) -> String {
    match value.abs() {
        v if v.is_nan() => "-".into(),
        v if v == 0.0 || v.is_infinite() => format!("{value}"),
        v if !(1e-3..1e6).contains(&v) => format!("{value:.3e}"),
        v => format!("{value:.*}", (4 - v.log10().floor() as i32).clamp(0, 7) as usize),
    }
}

/// Header and rows.
pub type Cells = (Vec<String>, Vec<Vec<String>>);
/// A function that makes a table from a report.
pub type Make = fn(&Report) -> Cells;

/// Writes the tables that were asked for. `cells` calls the function that makes such a table, for one report or for
/// many.
pub fn write(args: &EvaluateArgs, screen: &mut Screen, cells: impl Fn(Make) -> Cells) -> Result<(), Failure> {
    let tables: [(_, _, Make); 2] = [("scores     ", &args.out, scores), ("forecasts  ", &args.forecasts, forecasts)];
    for (what, path, table) in tables {
        let Some(path) = path else { continue };
        let (header, rows) = cells(table);
        files::write(path, || csv::write(path, &header, rows))?;
        screen.line(format_args!("{what}{}", path.display()))?;
    }
    Ok(())
}

/// Every score: header and rows. With a learner there are more columns at the end: its skill over the model.
fn scores(report: &Report) -> Cells {
    const HEADER: &str =
        "column,ahead,forecast,count,mse,mae,rmse,mase,direction,best_naive,skill,skill_low,skill_high,dm_p_value";
    const OF_LEARNER: &str = "over_model,over_model_low,over_model_high,over_model_dm_p_value";
    let learner = report.evaluation.learned.map(|_| OF_LEARNER);
    let header = HEADER.split(',').chain(learner.iter().flat_map(|names| names.split(',')));
    let mut rows = Vec::new();
    for column in &report.evaluation.columns {
        for forecasts in &column.forecasters {
            for (at, score) in forecasts.scores.iter().enumerate() {
                let learning = column.learning.as_ref().filter(|_| forecasts.forecaster == Forecaster::Learner);
                let over_naive = match forecasts.forecaster {
                    Forecaster::Model => Some(&column.comparisons[at]),
                    _ => learning.map(|learning| &learning.over_naive[at]),
                };
                let mut row = vec![
                    report.named.target_names[column.target].clone(),
                    (at + 1).to_string(),
                    forecasts.forecaster.to_string(),
                    score.count.to_string(),
                ];
                row.extend([score.mse, score.mae, score.rmse(), score.mase].map(|value| known(Some(value))));
                row.push(known(score.direction));
                row.push(over_naive.map_or_else(String::new, |comparison| comparison.other.to_string()));
                row.extend(compared(over_naive));
                if learner.is_some() {
                    row.extend(compared(learning.map(|learning| &learning.over_model[at])));
                }
                rows.push(row);
            }
        }
    }
    (header.map(String::from).collect(), rows)
}

/// A number as text, which is empty if there is none.
fn known(value: Option<f64>) -> String {
    value.filter(|value| !value.is_nan()).map_or_else(String::new, |value| value.to_string())
}

/// Skill, the ends of its interval, and the p-value.
fn compared(comparison: Option<&Comparison>) -> [String; 4] {
    let interval = comparison.and_then(|comparison| comparison.interval.ok());
    [
        comparison.map(|comparison| comparison.skill),
        interval.map(|(low, _)| low),
        interval.map(|(_, high)| high),
        comparison.and_then(|comparison| comparison.p_value),
    ]
    .map(known)
}

/// Every forecast next to the actual value: header and rows.
fn forecasts(report: &Report) -> Cells {
    let evaluation = &report.evaluation;
    let time = report.named.time.as_ref();
    let mut header = vec![time.map_or_else(|| "row".into(), |time| time.name.clone())];
    header.extend(["ahead", "column", "actual"].map(String::from));
    // all columns have the same forecasters, except for the seasonal naive ones: seasons differ
    let mut names: Vec<String> = Vec::new();
    for forecasts in evaluation.columns.iter().flat_map(|column| &column.forecasters) {
        let name = forecasts.forecaster.to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    header.extend(names.iter().cloned());
    let targets = report.named.table.actuals();
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
                    let found = column.forecasters.iter().find(|forecasts| forecasts.forecaster.to_string() == *name);
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
