//! Tables are read from CSV as they were meant, and a bad table is an error of one line that names
//! the file.
#![cfg(feature = "std")]

use proptest::prelude::*;
use rnnstep::data::csv::{self, CsvOptions, Missing};
use rnnstep::data::npy;
use rnnstep::data::series::{Series, Time};
use rnnstep::{Error, Tensor};
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

fn read(text: impl AsRef<[u8]>, options: &CsvOptions) -> Result<Series, Error> {
    csv::read_from(text.as_ref(), Path::new("t.csv"), options)
}

fn table(text: impl AsRef<[u8]>) -> Series {
    read(text, &CsvOptions::default()).unwrap()
}

/// The message, which has to be one line that names the file.
fn message(error: &Error) -> String {
    let message = error.to_string();
    assert!(message.starts_with("t.csv: "), "{message}");
    assert!(!message.chars().any(char::is_control), "{message:?}");
    assert!(message.len() < 300, "{message}");
    message
}

/// What is said about a file that cannot be read.
fn bad_with(text: impl AsRef<[u8]>, options: &CsvOptions) -> String {
    message(&read(text, options).unwrap_err())
}

fn bad(text: impl AsRef<[u8]>) -> String {
    bad_with(text, &CsvOptions::default())
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn wanted(columns: &[&str]) -> CsvOptions {
    CsvOptions { columns: strings(columns), ..Default::default() }
}

fn time(series: &Series) -> (&str, Vec<&str>) {
    let Time { name, values } = series.time.as_ref().expect("a time column");
    (name, values.iter().map(String::as_str).collect())
}

fn contains(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
}

#[test]
fn the_same_table_in_many_dialects() {
    let plain = "a,b\n1,2\n3,4.5\n";
    let expected = Series::new(strings(&["a", "b"]), Tensor::new([2, 2], [1., 2., 3., 4.5]).unwrap(), None).unwrap();
    let mut variants = vec![plain.to_string(), plain.trim_end().into(), plain.replace('\n', "\r\n")];
    variants.push(plain.replace('\n', "\r"));
    variants.push(format!("\u{feff}{plain}"));
    variants.push(format!("\n\n{}\n\n", plain.replace('\n', "\n\n")));
    variants.extend([";", "\t", "|", " ", ", ", "   "].map(|delimiter| plain.replace(',', delimiter)));
    variants.push("\"a\",\"b\"\r\n\"1\",\"2\"\r\n\"3\",\"4.5\"".into());
    for text in variants {
        assert_eq!(table(&text), expected, "{text:?}");
    }
    let forced = CsvOptions { delimiter: Some(b':'), ..Default::default() };
    assert_eq!(read(plain.replace(',', ":"), &forced).unwrap(), expected);
    assert!(bad_option(CsvOptions { delimiter: Some(b'\n'), ..Default::default() }).contains("cannot be a delimiter"));
}

fn bad_option(options: CsvOptions) -> String {
    read("1,2\n", &options).unwrap_err().to_string()
}

#[test]
fn quoted_fields_hold_delimiters_quotes_and_line_breaks() {
    let series = table("\"a, \"\"b\"\"\nc\",\"d\"\n\"1\",2\n");
    assert_eq!(series.columns, ["a, \"b\"\nc", "d"]);
    assert_eq!(series.values.data(), [1., 2.]);
}

#[test]
fn no_header_gives_numbers_as_names() {
    let series = table("1,2\n3,4\n");
    assert_eq!(series.columns, ["1", "2"]);
    assert_eq!(series.values.dims(), [2, 2]);
    // names that are numbers need saying
    let options = CsvOptions { header: Some(true), ..Default::default() };
    let series = read("2020,2021\n1,2\n", &options).unwrap();
    assert_eq!((series.columns, series.values.data()), (strings(&["2020", "2021"]), &[1., 2.][..]));
    let options = CsvOptions { header: Some(false), ..Default::default() };
    contains(&bad_with("a,b\n1,2\n", &options), &["line 1", "column \"1\"", "\"a\" is not a number"]);
}

#[test]
fn columns_are_asked_for_by_name_or_number() {
    let text = "date,a,b,note\n2012-01-01,1,2,x\n2012-01-02,3,4,\n";
    let series = read(text, &wanted(&["b", "2", "a", "3"])).unwrap();
    assert_eq!((series.columns.clone(), series.numbers.clone()), (strings(&["b", "a"]), vec![3, 2]));
    assert_eq!(series.values.data(), [2., 1., 4., 3.]);
    assert_eq!(time(&series).0, "date");
    // numbers go on meaning the columns of the file
    assert_eq!(series.positions(&strings(&["2", "b", "3"])).unwrap(), [1, 0, 0]);
    assert_eq!(series.select(&strings(&["2", "b"])).unwrap(), Tensor::new([2, 2], [1., 2., 3., 4.]).unwrap());
    let missing = series.select(&strings(&["c"])).unwrap_err();
    assert!(matches!(&missing, Error::Invalid(_)));
    contains(&missing.to_string(), &["\"c\"", "\"b\", \"a\""]);
    assert!(series.select(&strings(&["0"])).is_err());
    assert!(series.select(&strings(&["1"])).is_err());

    contains(&bad_with(text, &wanted(&["c"])), &["no column \"c\"", "\"date\", \"a\", \"b\", \"note\""]);
    contains(&bad_with(text, &wanted(&["5"])), &["no column \"5\""]);
    contains(&bad_with(text, &wanted(&["note"])), &["line 2", "column \"note\"", "\"x\" is not a number"]);
    contains(&bad_with("a,a\n1,2\n", &wanted(&["a"])), &["two columns", "\"a\"", "number"]);
    assert_eq!(read("a,a\n1,2\n", &wanted(&["2"])).unwrap().values.data(), [2.]);
    // a name wins over a number
    let series = read("2,b\n5,6\n", &CsvOptions { header: Some(true), ..wanted(&["2"]) }).unwrap();
    assert_eq!(series.values.data(), [5.]);
}

#[test]
fn text_in_columns_that_are_not_read_does_not_matter() {
    let text = b"a,note,b\n1,\xff\xfe,2\n3,?,4\n5,\"x,y\",6\n";
    assert_eq!(table(text).columns, ["a", "b"]);
    assert_eq!(read(text, &wanted(&["b"])).unwrap().values.data(), [2., 4., 6.]);
    // but one wrong number among right ones does
    contains(&bad("a,b\n1,2\n3,4x\n5,6\n"), &["line 3", "\"b\"", "\"4x\""]);
    // what a delimiter at the end of the line leaves is no column
    assert_eq!(table("a,b,\n1,2,\n3,4,\n").columns, ["a", "b"]);
}

#[test]
fn time_columns() {
    let series = table("when,x\n2012-01-01,1\n2012-01-02,2\n");
    assert_eq!((time(&series), &*series.columns), (("when", vec!["2012-01-01", "2012-01-02"]), &strings(&["x"])[..]));
    assert_eq!(series.numbers, [2]);
    // without a header
    let series = table("2012-01-01,1\n2012-01-02,2\n");
    assert_eq!((time(&series).0, &*series.columns), ("1", &strings(&["2"])[..]));
    // numbers with a name that says so
    let series = table("YEAR,x\n1700,5\n1701,11\n");
    assert_eq!((time(&series), series.values.data()), (("YEAR", vec!["1700", "1701"]), &[5., 11.][..]));
    // seconds since 1970 differ by less than an f32 can show
    assert!(table("timestamp,x\n1700000000,1\n1700000001,2\n").time.is_some());
    for text in ["day,x\n1,5\n2,6\n1,7\n", "day,x\n1,5\n1,6\n2,7\n", "height,x\n1,5\n2,6\n3,7\n"] {
        let series = table(text);
        assert_eq!((series.time, series.values.dims()), (None, &[3, 2][..]), "{text}");
    }
    // asked for
    let options = CsvOptions { time: Some("3".into()), ..Default::default() };
    let series = read("a,b,c\n1,2,x\n3,4,y\n", &options).unwrap();
    assert_eq!((time(&series), &*series.columns), (("c", vec!["x", "y"]), &strings(&["a", "b"])[..]));
    let options = CsvOptions { time: Some("d".into()), ..Default::default() };
    contains(&bad_with("a,b,c\n1,2,x\n", &options), &["no column \"d\"", "\"c\""]);
    // a column that is to be learned is no time, and one column alone neither
    assert_eq!(read("year,x\n1,5\n2,6\n", &wanted(&["year"])).unwrap().values.data(), [1., 2.]);
    assert_eq!(table("time\n1\n2\n").values.dims(), [2, 1]);
}

#[test]
fn missing_values() {
    for missing in ["", " ", "NA", "n/a", "NaN", "null", "?"] {
        let text = format!("t,x,y\r\na,1,2\r\nb,{missing},4\r\nc,5,6\r\n");
        contains(&bad(&text), &["line 3", "\"x\"", "--missing forward-fill", "drop"]);
        let options = CsvOptions { missing: Missing::ForwardFill, ..Default::default() };
        assert_eq!(read(&text, &options).unwrap().values.data(), [1., 2., 1., 4., 5., 6.]);
        let options = CsvOptions { missing: Missing::Drop, ..Default::default() };
        let series = read(&text, &options).unwrap();
        assert_eq!((series.values.data(), time(&series).1), (&[1., 2., 5., 6.][..], vec!["a", "c"]));
        // not in a column that is not read
        assert_eq!(read(&text, &wanted(&["y"])).unwrap().values.data(), [2., 4., 6.]);
    }
    let fill = CsvOptions { missing: Missing::ForwardFill, ..Default::default() };
    contains(&bad_with("x,y\n1,\n2,3\n", &fill), &["line 2", "\"y\"", "none before"]);
    let drop = CsvOptions { missing: Missing::Drop, ..Default::default() };
    contains(&bad_with("x,y\n1,\n2,?\n", &drop), &["every row"]);
    // a column of nothing is not forgotten in silence
    contains(&bad("x,y\n1,\n2,\n"), &["line 2", "\"y\"", "missing"]);
    // pandas writes a missing value alone in its row as quotes
    contains(&bad("x\n1\n\"\"\n3\n"), &["line 3", "missing"]);
}

#[test]
fn bad_tables() {
    contains(&bad("a,b\n1,2\n3\n5,6\n"), &["line 3", "1 value", "line 1", "2 values"]);
    contains(&bad("1,2\n\n\n3,4,5\n"), &["line 4", "3 values"]);
    contains(&bad("a\n1\nx\u{1b}[31m\u{7}y\n2\n3\n"), &["line 3", "\\u{1b}", "not a number"]);
    let long = bad(format!("a\n1\n{}\n2\n", "z".repeat(5000)));
    contains(&long, &["line 3", "zzz", "..."]);
    for empty in ["", "\n\n", "  \n", "\u{feff}"] {
        contains(&bad(empty), &["is empty"]);
    }
    contains(&bad("a,b\n"), &["header", "no rows"]);
    contains(&bad("a,b"), &["header", "no rows"]);
    contains(&bad("a,b\nx,y\nz,w\n"), &["no column holds numbers"]);
    contains(&bad("year,note\n1,x\n2,y\n"), &["no column holds numbers except the time column"]);
    for infinite in ["1e400", "-1e400", "3.5e38", "inf", "-Infinity"] {
        contains(&bad(format!("a,b\n1,2\n3,{infinite}\n")), &["line 3", "\"b\"", "not finite"]);
    }
    contains(&bad(b"a,b\n1,2\n3,\xff\n5,6\n"), &["line 3", "\"b\"", "UTF-8"]);
    contains(&bad(b"\xe9,b\n1,2\n"), &["line 1", "UTF-8"]);
    contains(&bad("a,b\n1,2\n\"3,4\n5,6\n"), &["line 3", "quote"]);
    for text in [&b"a,b\n1,2\n3\0,4\n"[..], b"a,b\n1,2\n\0\0\0\0"] {
        contains(&bad(text), &["line 3", "NUL"]);
    }
    for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
        for text in ["\u{feff}a,b\n1,2\n", "a,b\n1,2\n"] {
            let utf16: Vec<u8> = text.encode_utf16().flat_map(bytes).collect();
            contains(&bad(utf16), &["UTF-16", "save it as UTF-8"]);
        }
    }
}

/// Counts what is taken from it.
struct Counted<R>(R, u64);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(out)?;
        self.1 += read as u64;
        Ok(read)
    }
}

#[test]
fn one_huge_line_is_not_read_to_its_end() {
    let starts = ["", "a,b\n1,2\n", "a,b\n1,2\n\""];
    for (start, byte) in starts.iter().flat_map(|start| b"1x, \n;\"".map(|byte| (start, byte))) {
        let endless = byte == b'\n' && !start.ends_with('"');
        let mut source = Counted(start.as_bytes().chain(io::repeat(byte).take(200_000_000)), 0);
        let found = csv::read_from(&mut source, Path::new("t.csv"), &CsvOptions::default());
        match found {
            // empty lines are no line at all, but so many are no table either
            Err(error) => contains(&message(&error), &["line ", "more than 1048576 bytes"]),
            Ok(_) => assert!(endless),
        }
        assert!(source.1 < 4 << 20, "{} bytes read of {start:?} and {byte}", source.1);
    }
    // a line that is long but not too long
    let row = vec!["1"; 300_000].join(",");
    assert_eq!(table(format!("{row}\n{row}\n")).values.dims(), [2, 300_000]);
}

#[test]
fn lines_far_from_the_start_are_counted_right() {
    let mut text = String::from("x,\"y\r\nz\"\r\n");
    for row in 0..50_000 {
        text += &format!("{},{}\r\n\r\n", row * 3, row * 2);
    }
    let series = table(&text);
    assert_eq!(series.values.dims(), [50_000, 2]);
    assert_eq!(series.columns, ["x", "y\nz"]);
    contains(&bad(text.clone() + "1,oops\r\n"), &["line 100003:", "oops"]);
    contains(&bad(text + "\r\n1\r\n"), &["line 100004:", "1 value"]);
}

#[test]
fn files_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("t.npy");
    let named = |error: Error, path: &Path| {
        let message = error.to_string();
        assert!(message.starts_with(&path.display().to_string()) && !message.contains('\n'), "{message}");
        message
    };
    named(csv::read(&absent, &CsvOptions::default()).unwrap_err(), &absent);
    named(npy::read(&absent).unwrap_err(), &absent);
    contains(&named(csv::read(folder.path(), &CsvOptions::default()).unwrap_err(), folder.path()), &["folder"]);
    contains(&named(npy::read(folder.path()).unwrap_err(), folder.path()), &["folder"]);
    // nor written, and then nothing is left behind
    let inside = folder.path().join("absent").join("t.csv");
    named(csv::write(&inside, &[], vec![strings(&["1"])]).unwrap_err(), &inside);
    let path = folder.path().join("t.csv");
    let ragged = vec![strings(&["1", "2"]), strings(&["3"])];
    named(csv::write(&path, &strings(&["a", "b"]), ragged).unwrap_err(), &path);
    named(npy::write(&inside, &Tensor::<f32>::zeros([1])).unwrap_err(), &inside);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn shipped_series() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data");
    let sunspots = csv::read(&data.join("sunspots.csv"), &CsvOptions::default()).unwrap();
    assert_eq!((sunspots.len(), &*sunspots.columns), (309, &strings(&["sunspots"])[..]));
    assert_eq!((time(&sunspots).1[0], time(&sunspots).1[308]), ("1700", "2008"));
    let weather = csv::read(&data.join("seattle-weather.csv"), &wanted(&["temp_max", "5"])).unwrap();
    assert_eq!((weather.len(), &*weather.columns), (1461, &strings(&["temp_max", "wind"])[..]));
    assert_eq!((time(&weather).0, &weather.values.data()[..2]), ("date", &[12.8, 4.7][..]));
}

#[test]
fn a_failing_source_or_target_is_an_error() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the cable is out"))
        }
    }
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for start in [String::new(), "1,2\n".repeat(100_000)] {
        let source = start.as_bytes().chain(Broken);
        let error = csv::read_from(source, Path::new("t.csv"), &CsvOptions::default()).unwrap_err();
        contains(&message(&error), &["the cable is out"]);
    }
    let error = csv::write_to(Broken, &strings(&["a"]), vec![strings(&["1"])]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

fn finite() -> impl Strategy<Value = f32> {
    any::<u32>().prop_map(f32::from_bits).prop_filter("finite", |value| value.is_finite())
}

/// Rows and columns of a table, and its values.
fn array() -> impl Strategy<Value = (usize, usize, Vec<f32>)> {
    (1..20_usize, 1..6_usize)
        .prop_flat_map(|(rows, width)| (Just(rows), Just(width), prop::collection::vec(finite(), rows * width)))
}

proptest! {
    #[test]
    fn csv_written_is_csv_read((rows, width, values) in array(), tail in "[a-z ,;|\t\"'é\n]{0,8}") {
        let header: Vec<String> = (0..width).map(|column| format!("c{column}{tail}x")).collect();
        let cells = values.chunks(width).map(|row| row.iter().map(|&value| csv::number(f64::from(value))).collect());
        let mut bytes = Vec::new();
        csv::write_to(&mut bytes, &header, cells).unwrap();
        let options = CsvOptions { delimiter: Some(b','), ..Default::default() };
        let series = read(&bytes, &options).unwrap();
        prop_assert_eq!(&series.columns, &header);
        prop_assert_eq!(series.values.dims(), [rows, width]);
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(series.values.data()), bits(&values.iter().map(|&v| v.into()).collect::<Vec<f64>>()));
        // and so without a header, delimiter found
        let cells = values.chunks(width).map(|row| row.iter().map(|&value| csv::number(f64::from(value))).collect());
        let mut bytes = Vec::new();
        csv::write_to(&mut bytes, &[], cells).unwrap();
        let series = table(&bytes);
        prop_assert_eq!(bits(series.values.data()), bits(&values.iter().map(|&v| v.into()).collect::<Vec<f64>>()));
    }

    #[test]
    fn random_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Err(error) = read(&bytes, &CsvOptions::default()) {
            message(&error);
        }
    }

    #[test]
    fn random_tables_do_not_panic(
        text in "[-0-9a,;|\t \r\n\"?.éN\u{feff}]{0,200}",
        missing in 0..3_usize, header in any::<Option<bool>>(), columns in prop::collection::vec("[0-3a]", 0..3),
        time in prop::option::of("[0-3a]"),
    ) {
        let missing = [Missing::Error, Missing::ForwardFill, Missing::Drop][missing];
        let options = CsvOptions { missing, header, columns, time, ..Default::default() };
        match read(&text, &options) {
            Ok(series) => {
                prop_assert_eq!(series.values.dims(), [series.len(), series.columns.len()]);
                prop_assert!(!series.is_empty() && series.values.data().iter().all(|value| value.is_finite()));
                prop_assert!(series.time.is_none_or(|time| time.values.len() == series.values.dims()[0]));
            }
            Err(error) => { message(&error); }
        }
    }
}

/// Numbers as people write them, with the values that `pandas.read_csv` gives when it is told of the marks.
#[test]
fn numbers_with_marks_are_read_and_said() {
    let values = |text: &str, options: &CsvOptions| read(text.as_bytes(), options).unwrap();
    for (cells, expected, said) in [
        (["\"52,040\"", "\"59,078\"", "\"1,052,040\""], [52040.0, 59078.0, 1_052_040.0], "\"52,040\" is read as 52040"),
        (["\"52,040.92\"", "\"59,078.35\"", "7"], [52040.92, 59078.35, 7.0], "\"52,040.92\" is read as 52040.92"),
        (["$52.04", "-$1.5", "$0"], [52.04, -1.5, 0.0], "\"$52.04\" is read as 52.04"),
        (["€ 5", "6 €", "EUR 7.5"], [5.0, 6.0, 7.5], "\"€ 5\" is read as 5"),
        (["12.5%", "7 %", "-1%"], [12.5, 7.0, -1.0], "\"12.5%\" is read as 12.5"),
        (["\u{2212}9.5", "1", "2"], [-9.5, 1.0, 2.0], "is read as -9.5"),
        (["(3.25)", "1", "2"], [-3.25, 1.0, 2.0], "\"(3.25)\" is read as -3.25"),
        (["1'234.5", "1", "2"], [1234.5, 1.0, 2.0], "is read as 1234.5"),
    ] {
        let rows: String = cells.iter().zip([1, 2, 4]).map(|(cell, y)| format!("{cell},{y}\n")).collect();
        let series = values(&format!("x,y\n{rows}"), &CsvOptions::default());
        let x: Vec<f64> = series.values.data().chunks(2).map(|row| row[0]).collect();
        assert_eq!((x, series.columns.len()), (expected.to_vec(), 2), "{cells:?}");
        assert!(series.notes.iter().any(|note| note.contains("\"x\"") && note.contains(said)), "{:?}", series.notes);
    }
    // decimal commas, where one column tells of all
    let german = values("a;b\n1.234;0,5\n2.345;1,5\n3.456;2,25\n", &CsvOptions::default());
    assert_eq!(german.values.data(), [1234.0, 0.5, 2345.0, 1.5, 3456.0, 2.25]);
    // no thousands begin with 0
    let zeros = values("a;b\n0,703;0,831\n0,712;0,845\n", &CsvOptions::default());
    assert_eq!(zeros.values.data(), [0.703, 0.831, 0.712, 0.845]);
    // a single column: the comma stands before decimals
    let single = values("x\n18,86\n10,23\n", &CsvOptions::default());
    assert_eq!((single.values.data(), single.columns[0].as_str()), (&[18.86, 10.23][..], "x"));
    // another column, which is not read, says nothing about this one
    let versions = values("version,v\n1.234.567,11.113\n1.234.568,11.5\n1.234.570,12.001\n", &wanted(&["v"]));
    assert_eq!(versions.values.data(), [11.113, 11.5, 12.001]);
    // names of columns that look like numbers with a mark
    let quantiles = values("date,10%,50%,90%\n2021-01-01,1,2,3\n2021-01-02,2,3,4\n", &CsvOptions::default());
    assert_eq!((quantiles.columns, quantiles.values.data().len()), (strings(&["10%", "50%", "90%"]), 6));
    // thousands that could be decimals: what was taken is said, and how to say otherwise
    let ambiguous = "x;y\n52,040;1\n59,078;2\n";
    let series = values(ambiguous, &CsvOptions::default());
    assert!(series.notes[0].contains("add --decimal ,"), "{:?}", series.notes);
    let series = values(ambiguous, &CsvOptions { decimal: Some(','), ..Default::default() });
    assert_eq!(series.values.data(), [52.04, 1.0, 59.078, 2.0]);
    let series = values("x;y\n1_000;1\n2_000;2\n", &CsvOptions { thousands: Some('_'), ..Default::default() });
    assert_eq!(series.values.data(), [1000.0, 1.0, 2000.0, 2.0]);
    // a number that does not fit the others of its column is named
    let error = read(b"x;y\n1.234,5;1\n1,234.5;2\n".as_slice(), &CsvOptions::default()).unwrap_err().to_string();
    assert!(error.contains("line 2: column \"x\"") && error.contains("--decimal"), "{error}");
    for (decimal, thousands) in [(Some(','), Some(',')), (Some('5'), None), (None, Some('-'))] {
        let options = CsvOptions { decimal, thousands, ..Default::default() };
        assert!(read(ambiguous.as_bytes(), &options).unwrap_err().to_string().contains("cannot stand"));
    }
}

#[test]
fn lines_that_are_no_rows() {
    let plain = table(b"date,x,y\n2021-01-01,1,2\n2021-01-02,3,5\n2021-01-03,4,9\n");
    let rows = "2021-01-01,1,2\n2021-01-02,3,5\n2021-01-03,4,9\n";
    let same = |text: &str, options: &CsvOptions, note: Option<&str>| {
        let series = read(text.as_bytes(), options).unwrap();
        assert_eq!(
            (&series.columns, &series.values, &series.time),
            (&plain.columns, &plain.values, &plain.time),
            "{text}"
        );
        match note {
            Some(note) => assert!(series.notes.iter().any(|one| one.contains(note)), "{:?}", series.notes),
            None => assert!(series.notes.is_empty(), "{:?}", series.notes),
        }
    };
    let default = CsvOptions::default();
    same(&format!("Monthly report,,\n,,\ndate,x,y\n{rows}"), &default, Some("lines 1 to 2 are above the table"));
    same(&format!("Monthly report\n\ndate,x,y\n{rows}"), &default, Some("line 1 is above the table"));
    same(&format!("date,x,y\n,°C,m/s\n{rows}"), &default, Some("line 2 holds the units"));
    same(&format!("day,,\nand,,\ndate,x,y\n,°C,m/s\n{rows}"), &default, Some("line 4 holds the units"));
    let comments = CsvOptions { comment: Some(b'#'), ..Default::default() };
    same(
        &format!("# made by a logger\n# units: C, m/s\ndate,x,y\n{}", rows.replace("2021-01-02", "#,,\n2021-01-02")),
        &comments,
        None,
    );
    let skip = CsvOptions { skip_rows: 2, ..Default::default() };
    for (end, first) in [("\n", "a,b,c\n1,2,3\n"), ("\r\n", "a,b,c\r\n1,2,3\r\n"), ("\r", "a,b,c\r1,2,3\r")] {
        same(&format!("{first}{}", format!("date,x,y\n{rows}").replace('\n', end)), &skip, None);
    }
    // what is left out belongs to no row, and may be longer than one
    let long = format!("# {}\n", "x".repeat(100)).repeat(20_000);
    same(
        &format!("{}date,x,y\n{}", &long[..103 * 4000], rows.replace("2021-01-02", &format!("{long}2021-01-02"))),
        &comments,
        None,
    );
    // lines are still those of the file
    let error = |text: &str, options: &CsvOptions| read(text.as_bytes(), options).unwrap_err().to_string();
    assert!(
        error("t\nu\nx,y\n1,2\n3,z\n4,5\n", &skip).contains("line 5"),
        "{}",
        error("t\nu\nx,y\n1,2\n3,z\n4,5\n", &skip)
    );
    assert!(error("#\nx,y\n#\n1,2\n3,z\n4,5\n", &comments).contains("line 5"));
    assert!(
        error("1,2\n3,4\n", &CsvOptions { skip_rows: 9, ..Default::default() })
            .contains("no rows besides those that are skipped")
    );
    for comment in [b'\n', b'"', b'5', 0xff] {
        assert!(
            error(rows, &CsvOptions { comment: Some(comment), ..Default::default() }).contains("cannot begin comments")
        );
    }
    // the first column of pandas has no name, and is no title
    assert_eq!(table(b",x,y\n0,1,2\n1,3,4\n2,7,1\n").columns[..].last().unwrap(), "y");
    // a delimiter at the end of each line
    let trailing = table(b"Sales of a shop;;;\nDate;Sales;Cost;\n2020-01-01;5;3;\n2020-01-02;6;4;\n2020-01-03;7;5;\n");
    assert_eq!((&trailing.columns[..], trailing.len()), (&strings(&["Sales", "Cost"])[..], 3));
    let named_rows = table(b",temp,wind\ntime,C,m/s\n1,7,5\n2,8,6\n3,9,6\n");
    assert_eq!(named_rows.columns, ["temp", "wind"]);
    assert_eq!(named_rows.values.data(), [7.0, 5.0, 8.0, 6.0, 9.0, 6.0]);
}

/// Text below the header that stands for no value is not a unit.
#[test]
fn what_is_no_unit() {
    for none in [".", "-", "none", "closed", "Missing"] {
        let error = bad(format!("date,value\n2020-01-01,{none}\n2020-01-02,1.5\n2020-01-03,2.5\n2020-01-04,3.5\n"));
        assert!(error.contains("line 2"), "{none}: {error}");
    }
    // the row has a date of its own
    let error = bad("date,value\n2020-01-01,high\n2020-01-02,1.5\n2020-01-03,2.5\n2020-01-04,3.5\n");
    assert!(error.contains("line 2"), "{error}");
    let error = bad(",x\nr0,none\nr1,1.5\nr2,2.5\n");
    assert!(error.contains("line 2"), "{error}");
}

/// In a table of one column an empty line is a value that is missing, and not no line.
#[test]
fn empty_lines_of_one_column() {
    let text = b"v\n1\n\n3\n4\n\n\n7\n\n";
    let error = read(text.as_slice(), &CsvOptions::default()).unwrap_err().to_string();
    assert!(error.contains("line 3: column \"v\": the value is missing"), "{error}");
    let with = |missing| read(text.as_slice(), &CsvOptions { missing, ..Default::default() }).unwrap();
    assert_eq!(with(Missing::ForwardFill).values.data(), [1.0, 1.0, 3.0, 4.0, 4.0, 4.0, 7.0]);
    assert_eq!(with(Missing::Drop).values.data(), [1.0, 3.0, 4.0, 7.0]);
    assert_eq!(table(b"a,b\n1,2\n\n3,4\n").values.data(), [1.0, 2.0, 3.0, 4.0], "of several columns it is no row");
    let commented = CsvOptions { comment: Some(b'#'), ..Default::default() };
    assert_eq!(read(b"v\n1\n# two\n3\n".as_slice(), &commented).unwrap().values.data(), [1.0, 3.0]);
}

/// Only the reader of compressed files speaks of compression.
#[test]
fn an_error_of_a_source_is_its_own() {
    struct Fails(io::ErrorKind);
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
    }
    for kind in [io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof, io::ErrorKind::InvalidInput] {
        let source = b"x\n1\n2\n".chain(Fails(kind));
        let error = csv::read_from(source, Path::new("t.csv"), &CsvOptions::default()).unwrap_err().to_string();
        assert!(error.starts_with("t.csv") && !error.contains("gzip"), "{error}");
    }
}

#[test]
fn more_texts_that_mean_missing() {
    let na = |na: &[&str], missing| CsvOptions {
        na: na.iter().map(ToString::to_string).collect(),
        missing,
        ..Default::default()
    };
    let text = b"x,y\n1,2\n-,3\n-999,4\n-999.0,5\n6,missing\n7,8\n";
    let all = na(&["-", "-999", "missing"], Missing::Drop);
    assert_eq!(read(text.as_slice(), &all).unwrap().values.data(), [1.0, 2.0, 7.0, 8.0]);
    let spaced = na(&["-", " -999", " missing "], Missing::Drop);
    assert_eq!(read(text.as_slice(), &spaced).unwrap().values.data(), [1.0, 2.0, 7.0, 8.0]);
    let error = read(text.as_slice(), &na(&["-"], Missing::Error)).unwrap_err().to_string();
    assert!(error.contains("line 3") && error.contains("missing"), "{error}");
}

#[test]
#[cfg(feature = "gzip")]
fn compressed_tables() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv.gz");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(b"x,y\n1,2\n3,4.5\n").unwrap();
    let packed = packed.finish().unwrap();
    std::fs::write(&path, &packed).unwrap();
    assert_eq!(csv::read(&path, &CsvOptions::default()).unwrap().values.data(), [1.0, 2.0, 3.0, 4.5]);
    std::fs::write(&path, &packed[..packed.len() - 9]).unwrap();
    assert!(csv::read(&path, &CsvOptions::default()).unwrap_err().to_string().contains("t.csv.gz"));
}
