//! The bar that says how far a command has come.

use crate::cli::output::screen::person_reads_stderr;
use indicatif::{ProgressBar, ProgressStyle};

/// A bar of so many things, or a spinner where nobody knows how many, as indicatif's `template` has it; where a person reads
/// stderr.
pub fn progress(all: Option<u64>, template: &str) -> ProgressBar {
    if !person_reads_stderr() {
        return ProgressBar::hidden();
    }
    let bar = all.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    ProgressStyle::with_template(template).map(|style| bar.clone().with_style(style)).unwrap_or(bar)
}
