//! Progress bars, which are shown only if stderr is a terminal.

use super::screen::person_reads_stderr;
use indicatif::{ProgressBar, ProgressStyle};

/// A bar of `total` items that looks like `template`; one without an end if the total is not known.
pub fn bar(total: Option<u64>, template: &str) -> ProgressBar {
    if !person_reads_stderr() {
        return ProgressBar::hidden();
    }
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    ProgressStyle::with_template(template).map(|style| bar.clone().with_style(style)).unwrap_or(bar)
}

/// A bar of `total` series or models.
pub fn of_many(total: usize, what: &str) -> ProgressBar {
    bar(Some(total as u64), &format!("{{bar:30}} {{pos}}/{{len}} {what}  {{elapsed}}, {{eta}} left"))
}
