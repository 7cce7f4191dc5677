//! Any bytes as a table: a series, or several, or an error of one line, under every option. The first byte picks the options,
//! the rest is the table.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rnnstep::data::csv::{CsvOptions, Missing, read_from, read_long_from};
use rnnstep::data::series::Series;
use rnnstep::error::Error;
use std::path::Path;

fuzz_target!(|bytes: &[u8]| {
    let Some((&pick, table)) = bytes.split_first() else { return };
    let columns: &[&str] = [&[][..], &["x"], &["2", "x"], &["1", "3"]][usize::from(pick & 3)];
    let options = CsvOptions {
        columns: columns.iter().map(|name| name.to_string()).collect(),
        missing: [Missing::Error, Missing::ForwardFill, Missing::Drop, Missing::Mask][usize::from(pick >> 2 & 3)],
        header: [None, Some(true), Some(false), None][usize::from(pick >> 4 & 3)],
        delimiter: [None, Some(b';'), Some(b'\t'), Some(b' ')][usize::from(pick >> 6)],
        or_all: pick & 0b11 == 2,
        time: (pick & 0b11 == 3).then(|| "2".to_string()),
        ..CsvOptions::default()
    };
    let holes = options.missing == Missing::Mask;
    check(read_from(table, Path::new("fuzz"), &options), 1, holes);
    // and as one in long form: every series by itself is one
    match read_long_from(table, Path::new("fuzz"), &options, "1") {
        Ok(all) => {
            assert!(!all.is_empty() && all.iter().all(|(name, _)| !name.is_empty()));
            // of one of several, each row may have been dropped
            let least = usize::from(options.missing != Missing::Drop);
            all.into_iter().for_each(|(_, series)| check(series, least, holes));
        }
        Err(error) => check(Err(error), 1, holes),
    }
});

/// What is let in has at least so many rows of numbers, and NaN in its holes if these stay; else there is a message of one
/// line.
fn check(series: Result<Series, Error>, least: usize, holes: bool) {
    match series {
        Ok(series) => {
            assert!(series.values.data().iter().all(|value| value.is_finite() || holes && value.is_nan()));
            let (rows, width) = series.values.rows();
            assert!(rows >= least && width > 0 && width == series.columns.len());
            assert!(series.time.is_none_or(|time| time.values.len() == rows));
        }
        Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{error}"),
    }
}
