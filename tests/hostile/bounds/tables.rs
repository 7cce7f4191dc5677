//! Reading tables, arrays, journals and bundles is bounded in memory and time.

#[cfg(feature = "cuda")]
use super::with_header;
use super::{assert_short, is_bounded, is_linear};
use rnnstep::data::csv::{self, CsvOptions, Missing};
use rnnstep::data::npy;
use rnnstep::evaluate::search::Journal;
use serde_json::json;
use std::path::Path;

const MIB: usize = 1 << 20;

/// `count` names or cells, with commas.
fn row(count: usize, cell: impl Fn(usize) -> String) -> String {
    (0..count).map(cell).collect::<Vec<_>>().join(",") + "\n"
}

fn wide(columns: usize) -> String {
    row(columns, |i| format!("c{i}")) + &row(columns, |_| "1".into()).repeat(2)
}

fn read(text: &str, options: &CsvOptions) -> Result<(), String> {
    csv::read_from(text.as_bytes(), Path::new("t.csv"), options).map(|_| ()).map_err(|error| error.to_string())
}

fn read_long(text: &str, options: &CsvOptions) -> Result<usize, String> {
    let all = csv::read_long_from(text.as_bytes(), Path::new("t.csv"), options, "id");
    all.map(|all| all.len()).map_err(|error| error.to_string())
}

#[test]
fn time_of_a_wide_table_is_linear() {
    let options = CsvOptions::default();
    is_linear("columns", 10_000, |count| {
        let (text, options) = (wide(count), options.clone());
        Box::new(move || read(&text, &options).unwrap())
    });
    // those that are asked for, by name and by number, with one that is not there
    for or_all in [false, true] {
        for by_number in [false, true] {
            is_linear("columns asked for", 10_000, |count| {
                let name = |i: usize| if by_number { (i + 1).to_string() } else { format!("c{i}") };
                let columns = (0..count).rev().map(name).collect();
                let (text, options) = (wide(count), CsvOptions { columns, or_all, ..CsvOptions::default() });
                Box::new(move || read(&text, &options).unwrap())
            });
        }
    }
    is_linear("columns selected", 10_000, |count| {
        let series = csv::read_from(wide(count).as_bytes(), Path::new("t.csv"), &CsvOptions::default()).unwrap();
        let names = series.columns.clone();
        Box::new(move || assert_eq!(series.select(&names).unwrap().dims(), [2, count]))
    });
}

#[test]
fn time_of_a_long_table_is_linear() {
    for (what, cell) in [("series", "1"), ("series that fail", "x")] {
        is_linear(what, 20_000, |count| {
            let text = "id,v\n".to_string() + &(0..count).map(|i| format!("s{i},{cell}\n")).collect::<String>();
            let columns = vec!["v".to_string()];
            Box::new(move || {
                let options = CsvOptions { columns: columns.clone(), ..CsvOptions::default() };
                assert_eq!(read_long(&text, &options), Ok(count));
            })
        });
    }
}

#[test]
fn memory_of_a_table_is_a_multiple_of_its_length() {
    let all = CsvOptions::default();
    let fill = CsvOptions { missing: Missing::ForwardFill, ..CsvOptions::default() };
    let lines = |line: &str, size: usize| line.repeat(size / line.len());
    for size in [MIB, 8 * MIB] {
        let numbers = lines("1\n", size);
        let times = "time,x\n".to_string() + &(0..size / 10).map(|i| format!("{i},1\n")).collect::<String>();
        let holes = "x,y,z,v\n1,1,1,1\n".to_string() + &lines(",,,\n", size);
        // a number of two bytes takes eight, and as much for its line; both may double while they grow
        for (what, text, options) in [("numbers", &numbers, &all), ("times", &times, &all), ("holes", &holes, &fill)] {
            let _ = is_bounded(what, text.len(), 4 * MIB, 24, || read(text, options));
        }
        for (what, text) in [
            ("one line", lines("7", size)),
            ("a quote", lines("\"", 1) + &lines("x\n", size)),
            ("an open quote at the end", lines("1\n", size) + "\"" + &lines("y", MIB)),
            ("empty lines", lines("\n", size)),
            ("quotes", lines("\"\"", size)),
        ] {
            let read = is_bounded(what, text.len(), 4 * MIB, 16, || read(&text, &all));
            assert_short(what, &read.unwrap_err());
        }
    }
    // a row of half a million cells
    let cells = lines("1,", MIB - 2) + "1\n";
    is_bounded("one row", cells.len(), 128 * MIB, 16, || read(&cells, &all)).unwrap();
    let names = lines("a,", MIB - 2) + "a\n" + &cells;
    is_bounded("one row of names", names.len(), 128 * MIB, 16, || read(&names, &all)).unwrap();
}

#[test]
fn memory_of_many_series_is_a_kilobyte_each() {
    let count = 100_000;
    for (what, cell) in [("good", "1"), ("bad", "x")] {
        let text = "id,v\n".to_string() + &(0..count).map(|i| format!("{i},{cell}\n")).collect::<String>();
        let options = CsvOptions { columns: vec!["v".into()], ..CsvOptions::default() };
        let read = is_bounded(what, text.len(), count * 1024, 16, || read_long(&text, &options));
        assert_eq!(read, Ok(count));
    }
    // names of columns that each series would have for itself
    let text =
        format!("id,{0},{0}b\n", "a".repeat(400_000)) + &(0..count).map(|i| format!("{i},1,1\n")).collect::<String>();
    let error = is_bounded("long names", text.len(), count * 1024, 16, || read_long(&text, &CsvOptions::default()));
    let error = error.unwrap_err();
    assert!(error.contains("too many for each of 100000 series"), "{error}");
    assert_short("long names", &error);
}

#[test]
fn more_series_than_make_sense() {
    let text = "id,v\n".to_string() + &(0..(1 << 20) + 1).map(|i| format!("{i:x},1\n")).collect::<String>();
    let error = read_long(&text, &CsvOptions { columns: vec!["v".into()], ..CsvOptions::default() }).unwrap_err();
    assert!(error.contains("line 1048578") && error.contains("more than 1048576 series"), "{error}");
}

/// An .npy with this shape, of `data` zeros.
fn array(dtype: &str, fortran: &str, shape: &str, data: usize) -> Vec<u8> {
    let header = format!("{{'descr': '{dtype}', 'fortran_order': {fortran}, 'shape': ({shape},), }}\n");
    let mut bytes = [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes()].concat();
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn memory_of_an_array_is_a_multiple_of_its_length() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    for dtype in ["|u1", "<f2", "<f4", "<f8"] {
        for fortran in ["False", "True"] {
            let size = dtype[2..].parse::<usize>().unwrap() * 1_000_000;
            let bytes = array(dtype, fortran, "1000, 1000", size);
            std::fs::write(&path, &bytes).unwrap();
            is_bounded(dtype, bytes.len(), MIB, 16, || npy::read(&path)).unwrap();
        }
    }
    let numbers = [
        "0",
        "1",
        "2147483647",
        "2147483648",
        "4294967296",
        "9223372036854775807",
        "18446744073709551615",
        "99999999999999999999",
        "-1",
    ];
    for first in numbers {
        for second in numbers {
            let bytes = array("<f4", "False", &format!("{first}, {second}, 2, 2"), 16);
            std::fs::write(&path, &bytes).unwrap();
            let read = is_bounded("shape", bytes.len(), MIB, 16, || npy::read(&path));
            match read {
                Ok(array) => assert_eq!((first, second, array.dims().iter().product()), ("1", "1", 4_usize)),
                Err(error) => assert_short("shape", &error.to_string()),
            }
        }
    }
}

#[test]
fn memory_of_a_journal_is_a_multiple_of_its_length() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j.jsonl");
    let asked = json!({ "rows": 1 });
    drop(Journal::open(&path, &asked).unwrap());
    let head = std::fs::read_to_string(&path).unwrap();
    let objects = vec![r#"{"a":0}"#; 500_000].join(",");
    let line = r#"{"candidate":18446744073709551615,"epochs":18446744073709551615,"score":null}"#.to_string() + "\n";
    for (what, text) in [
        ("attempts", head.clone() + &line.repeat(40_000)),
        ("nothing", head.clone() + &"\n".repeat(4 * MIB)),
        ("noise", head.clone() + &"x\n".repeat(2 * MIB)),
        ("objects", head + &format!("[{objects}]\n")),
        ("a long head", format!(r#"{{"rnnstep-search":1,"asked":[{objects}]}}"#) + "\n"),
    ] {
        std::fs::write(&path, &text).unwrap();
        let opened = is_bounded(what, text.len(), MIB, 5, || Journal::open(&path, &asked).map(|_| ()));
        if let Err(error) = opened {
            assert_short(what, &error.to_string());
        }
    }
}

#[cfg(feature = "cuda")]
#[test]
fn memory_of_a_bundle_is_a_multiple_of_its_length() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.safetensors");
    let texts: Vec<String> = (0..400_000).map(|i| format!(r#""{i:x}":"""#)).collect();
    let short = with_header(&format!(r#"{{"__metadata__":{{{}}}}}"#, texts.join(",")), 0);
    let long = with_header(&" ".repeat(9 * MIB), 0);
    for (what, bytes) in [("texts", short), ("a long header", long)] {
        std::fs::write(&path, &bytes).unwrap();
        let read =
            is_bounded(what, bytes.len(), 64 * MIB, 3, || rnnstep::cuda::image::bundle::Bundle::load(&path, "a shape"));
        let error = read.map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("is not a bundle"), "{error}");
    }
}
