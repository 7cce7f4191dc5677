//! The report as one HTML page. It contains its pictures, and loads no script, font or picture.

use super::{Report, plots, table};
use crate::cli::failure::Failure;
use rnnstep::evaluate::backtest::Verdict;
use rnnstep::plot::{Figure, Plot, picture};
use std::fmt::Write;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;color:#222;max-width:980px;margin:2em auto;padding:0 1em}\
h1{font-size:1.5em}h2{font-size:1.2em;margin-top:2em}h3{font-size:1em;margin:1.5em 0 .3em}\
table{border-collapse:collapse;margin:.5em 0}td,th{padding:.2em .9em;text-align:right;border-bottom:1px solid #ddd}\
td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto}\
.better{background:#e3f4e8}.no{background:#fbe9e4}.unknown{background:#f0f0f0}\
.verdict{padding:.6em .9em;border-radius:.3em;font-weight:600}.small{color:#666;font-size:.85em}";

pub fn page(report: &Report) -> Result<String, Failure> {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{0}: how good is the forecast?</title>\n<style>{STYLE}</style></head>\n<body>\n\
         <h1>{0}: how good is the forecast?</h1>\n<p>{1}.<br>{2}.</p>\n",
        escaped(&report.data),
        escaped(&report.walk),
        escaped(&report.about),
    );
    for column in &report.evaluation.columns {
        let name = &report.named.target_names[column.target];
        add(&mut page, format_args!("<h2>{}</h2>\n", escaped(name)));
        for (sentence, verdict) in &table::sentences(name, column) {
            let class = match verdict {
                Verdict::Better => "better",
                Verdict::NoBetter | Verdict::Worse => "no",
                Verdict::Unknown => "unknown",
            };
            add(&mut page, format_args!("<p class=\"verdict {class}\">{}</p>\n", escaped(sentence)));
        }
        rows(&mut page, &table::scores_one_step(column));
        add(&mut page, format_args!("<p class=\"small\">{}</p>\n", escaped(&table::how(column))));
        picture(&mut page, "One step ahead, and the actual values", plots::series(report, column))?;
        picture(&mut page, "Errors over time", plots::errors(report, column))?;
        if report.evaluation.horizon > 1 {
            let ahead = 1..=report.evaluation.horizon;
            let other = if table::has_opponents(column) { "simple" } else { "naive" };
            let names = ["steps ahead", "RMSE", &format!("{other} RMSE"), other, "skill, 95 %", "learner RMSE"];
            let names = names.map(String::from);
            let others = table::by_horizon_header(column).into_iter().enumerate();
            let header = others.map(|(i, other)| names.get(i).cloned().unwrap_or(other)).collect();
            let shown: Vec<_> =
                std::iter::once(header).chain(ahead.map(|ahead| table::by_horizon(column, ahead))).collect();
            let title = format!("Skill against {}, by steps ahead", table::best(column));
            picture(&mut page, &title, plots::skill(column))?;
            picture(&mut page, "Errors by steps ahead", plots::by_horizon(column))?;
            page += "<details><summary>Every horizon</summary>\n";
            rows(&mut page, &shown);
            page += "</details>\n";
        }
    }
    for remark in &report.remarks {
        add(&mut page, format_args!("<p class=\"small\">Note: {}.</p>\n", escaped(&remark.to_string())));
    }
    add(&mut page, format_args!("<p class=\"small\">rnnstep {}</p>\n</body></html>\n", env!("CARGO_PKG_VERSION")));
    Ok(page)
}

fn add(page: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = page.write_fmt(text); // writing to a string does not fail
}

fn rows(page: &mut String, rows: &[impl AsRef<[String]>]) {
    *page += "<table>\n";
    for (i, row) in rows.iter().enumerate() {
        let kind = if i == 0 { "th" } else { "td" };
        let cells: String = row.as_ref().iter().map(|cell| format!("<{kind}>{}</{kind}>", escaped(cell))).collect();
        add(page, format_args!("<tr>{cells}</tr>\n"));
    }
    *page += "</table>\n";
}

fn picture(page: &mut String, title: &str, plot: Plot) -> Result<(), Failure> {
    add(page, format_args!("<h3>{}</h3>\n{}\n", escaped(title), picture::svg(&Figure::from(plot))?));
    Ok(())
}

/// Escapes text for HTML.
fn escaped(text: &str) -> String {
    rnnstep::error::escaped(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
