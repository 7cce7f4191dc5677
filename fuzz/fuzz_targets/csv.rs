//! Any bytes as a table: a series or an error of one line, under every option. The first byte picks the options,
//! the rest is the table.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rnnstep::data::csv::{CsvOptions, Missing, read_from};
use std::path::Path;

fuzz_target!(|bytes: &[u8]| {
    let Some((&pick, table)) = bytes.split_first() else { return };
    let columns: &[&str] = [&[][..], &["x"], &["2", "x"], &["1", "3"]][usize::from(pick & 3)];
    let options = CsvOptions {
        columns: columns.iter().map(|name| name.to_string()).collect(),
        missing: [Missing::Error, Missing::ForwardFill, Missing::Drop][usize::from(pick >> 2 & 3) % 3],
        header: [None, Some(true), Some(false), None][usize::from(pick >> 4 & 3)],
        delimiter: [None, Some(b';'), Some(b'\t'), Some(b' ')][usize::from(pick >> 6)],
        time: (pick & 0b11 == 3).then(|| "2".to_string()),
    };
    match read_from(table, Path::new("fuzz"), &options) {
        // what is let in can be trained on
        Ok(series) => {
            assert!(series.values.data().iter().all(|value| value.is_finite()));
            let (rows, width) = series.values.rows();
            assert!(rows > 0 && width > 0 && width == series.columns.len());
            assert!(series.time.is_none_or(|time| time.values.len() == rows));
        }
        Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{error}"),
    }
});
