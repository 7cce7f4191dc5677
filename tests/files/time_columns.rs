//! A time column is found by what it holds, its rows are put in order, and what is odd about them is said. Counters and
//! row numbers are no measurements.
#![cfg(feature = "std")]

use rnnstep::Error;
use rnnstep::data::csv::{self, CsvOptions, Missing};
use rnnstep::data::series::{Reason, Series};
use std::path::Path;

fn read(text: &str, options: &CsvOptions) -> Result<Series, Error> {
    csv::read_from(text.as_bytes(), Path::new("t.csv"), options)
}

fn table(text: &str) -> Series {
    read(text, &CsvOptions::default()).unwrap()
}

fn time(series: &Series) -> &str {
    series.time.as_ref().map_or("", |time| &time.name)
}

/// A table with these columns, each with a function of the row, from 0.
fn rows(header: &str, count: usize, row: impl Fn(usize) -> String) -> String {
    header.to_string() + "\n" + &(0..count).map(|i| row(i) + "\n").collect::<String>()
}

/// A value that looks measured.
fn x(row: usize) -> f64 {
    52.0 + ((row * 37) % 101) as f64 / 10.0
}

/// The days from 2021-01-01 on.
fn day(row: usize) -> String {
    let (month, day) = if row < 31 { (1, row) } else { (2, row - 31) };
    format!("2021-{month:02}-{:02}", day + 1)
}

/// The one line that is said.
fn note(series: &Series) -> &str {
    assert_eq!(series.notes.len(), 1, "{:?}", series.notes);
    &series.notes[0]
}

#[test]
fn a_time_has_any_name_and_any_place() {
    let names = [
        "date",
        "Date",
        "ds",
        "when",
        "period",
        "month",
        "Zeit",
        "Datum",
        "fecha",
        "timestamp",
        "time",
        "open_time",
        "OpenTime",
        "ts",
        "index",
        "x1",
        "valid from",
        "_",
        "Unnamed: 0",
        "t",
    ];
    for name in names {
        for header in [format!("{name},x,y"), format!("x,{name},y"), format!("x,y,{name}")] {
            let place = header.split(',').position(|column| column == name).unwrap();
            let text = rows(&header, 40, |i| {
                let mut cells = vec![x(i).to_string(), x(i + 7).to_string()];
                cells.insert(place, day(i));
                cells.join(",")
            });
            let series = table(&text);
            assert_eq!(
                (time(&series), &series.columns[..]),
                (name, &["x".to_string(), "y".to_string()][..]),
                "{header}"
            );
            assert_eq!(series.notes, [""; 0], "{header}");
        }
    }
}

#[test]
fn counters_and_row_numbers_are_no_measurements() {
    for (header, first) in
        [("id,x", 0), (",x", 0), (",x", 1), ("no,x", 1), ("t,x", 0), ("step,x", 1), ("anything,x", 0)]
    {
        let series = table(&rows(header, 30, |i| format!("{},{}", i + first, x(i))));
        assert_eq!(series.columns, ["x"], "{header}");
        assert!(series.time.is_some(), "{header}");
    }
    // beside dates they are left out
    for name in ["", "id", "Unnamed: 0", "row", "whatever"] {
        let series = table(&rows(&format!("{name},date,x"), 30, |i| format!("{i},{},{}", day(i), x(i))));
        assert_eq!((time(&series), &series.columns[..]), ("date", &["x".to_string()][..]), "{name:?}");
        assert_eq!(series.left_out.iter().map(|one| one.reason).collect::<Vec<_>>(), [Reason::Index], "{name:?}");
    }
    // also in any order, and with ids that have gaps
    let series = table(&rows("n,date,x", 30, |i| format!("{},{},{}", (i * 7) % 30, day(i), x(i))));
    assert_eq!(series.columns, ["x"]);
    let series = table(&rows("id,date,x", 30, |i| format!("{},{},{}", i * i + 5, day(i), x(i))));
    assert_eq!(series.columns, ["x"]);
    // of each series, and of the whole table
    for number in [|row: usize| row / 2, |row: usize| row] {
        let text = rows("n,shop,day,x", 40, |i| format!("{},{},{},{}", number(i), i % 2, day(i / 2), x(i)));
        for (_, series) in
            csv::read_long_from(text.as_bytes(), Path::new("t.csv"), &CsvOptions::default(), "shop").unwrap()
        {
            let series = series.unwrap();
            assert_eq!((time(&series), &series.columns[..]), ("day", &["x".to_string()][..]));
        }
    }
    // but they are read if they are asked for
    let options = CsvOptions { columns: vec!["id".into(), "x".into()], ..Default::default() };
    assert_eq!(read(&rows("id,x", 30, |i| format!("{i},{}", x(i))), &options).unwrap().columns, ["id", "x"]);
}

#[test]
fn numbers_that_are_times() {
    let one_of = |header: &str, number: fn(usize) -> String| {
        let series = table(&rows(header, 40, |i| format!("{},{}", number(i), x(i))));
        assert_eq!(series.columns, ["x"], "{header}: {}", number(1));
        series.notes.clone()
    };
    for name in ["open_time,x", "anything,x"] {
        assert_eq!(one_of(name, |i| (1_609_459_200 + 60 * i).to_string()), [""; 0]);
        assert_eq!(one_of(name, |i| (1_609_459_200_000 + 60_000 * i as u64).to_string()), [""; 0]);
        assert_eq!(one_of(name, |i| (1_609_459_200_000_000 + 60_000_000 * i as u64).to_string()), [""; 0]);
        assert_eq!(one_of(name, |i| (1_609_459_200_000_000_000 + 60_000_000_000 * i as u64).to_string()), [""; 0]);
        assert_eq!(one_of(name, |i| day(i).replace('-', "")), [""; 0]);
        assert_eq!(one_of(name, |i| (1900 + i).to_string()), [""; 0]);
    }
    // a second time is no input either
    let text = rows("open_time,x,close_time", 40, |i| {
        let start = 1_609_459_200_000 + 60_000 * i as u64;
        format!("{start},{},{}", x(i), start + 59_999)
    });
    let series = table(&text);
    assert_eq!((time(&series), &series.columns[..]), ("open_time", &["x".to_string()][..]));
    assert_eq!((series.left_out[0].name.as_str(), series.left_out[0].reason), ("close_time", Reason::Time));
}

#[test]
fn a_measurement_that_rises_is_no_counter() {
    let numbers: [fn(usize) -> String; 7] = [
        |i| (i * 2).to_string(),
        |i| (i + 5).to_string(),
        |i| (i as f64 / 2.0).to_string(),
        |i| (i + usize::from(i > 20)).to_string(),
        |i| (1800 + 3 * i).to_string(),
        |i| (i % 24).to_string(),
        |i| (i * 1_000_003).to_string(),
    ];
    for number in numbers {
        let series = table(&rows("height,x", 40, |i| format!("{},{}", number(i), x(i))));
        assert_eq!(series.columns, ["height", "x"], "{}", number(1));
    }
    // one column is the series, whatever it holds
    assert_eq!(table(&rows("id", 40, |i| i.to_string())).columns, ["id"]);
}

#[test]
fn large_measurements_are_no_counts_since_1970() {
    let spread = |i: usize| (i * 7919) % 10_007;
    let numbers: [fn(usize) -> String; 8] = [
        |i| (1_200_000_000 + (i * 7919) % 10_007 * 90_001).to_string(),
        |i| format!("{}.5", 1_200_000_000 + (i * 7919) % 10_007 * 90_001),
        // a meter, whose commonest step makes up little more than half
        |i| (123_456_789 + 5 * i + i / 2).to_string(),
        |i| (123_456_789 + 5 * i + i / 3).to_string(),
        |i| (123_456_789 + 10 * (i + i / 3)).to_string(),
        // a population, and bytes in blocks
        |i| (331_000_000 + i * 1_000_003 + i % 3).to_string(),
        |i| (120_000_000_000_u64 + 4096 * (i as u64 + (i as u64).pow(2))).to_string(),
        |i| (2_000_000_000_000_000_u64 + 1_000_000 * ((i as u64 * 7919) % 10_007)).to_string(),
    ];
    for count in [20, 21, 40, 41] {
        for number in numbers {
            for header in ["revenue,x", "Volume,x"] {
                let series = table(&rows(header, count, |i| format!("{},{}", number(i), x(i))));
                assert_eq!((series.columns.len(), time(&series)), (2, ""), "{count}: {}", number(1));
                assert!(series.notes.is_empty() && series.left_out.is_empty(), "{:?}", series.notes);
            }
        }
    }
    // a name that says time is enough, in any order; else they have to be in order, up or down
    let epoch = |i: usize| 1_609_459_200 + 3600 * i;
    let shuffled = table(&rows("open_time,x", 40, |i| format!("{},{}", epoch(i * 7 % 40), x(i * 7 % 40))));
    assert_eq!((time(&shuffled), shuffled.values.data()[1]), ("open_time", x(1)));
    let down = table(&rows("k,x", 40, |i| format!("{},{}", epoch(39 - i), x(39 - i))));
    assert_eq!((time(&down), down.values.data()[1]), ("k", x(1)));
    let unsure = table(&rows("k,x", 40, |i| format!("{},{}", epoch(i * 7 % 40), x(spread(i)))));
    assert_eq!((unsure.columns.len(), unsure.values.data()[1]), (2, x(spread(0))));
    // no column without such a name puts rows in order if it has none itself
    for first in [0, 1, 1850] {
        let series = table(&rows("k,x", 40, |i| format!("{},{}", i * 7 % 40 + first, x(i))));
        assert_eq!(series.values.data().last(), Some(&x(39)), "{first}");
        assert_eq!(time(&series), "", "{first}");
    }
    // with gaps, over weekends and of months
    let with_gaps: [fn(usize) -> usize; 3] =
        [|i| 3600 * (i + i / 20 * 5), |i| 86_400 * (i + i / 5 * 2), |i| 86_400 * (30 * i + i / 2 + i / 12 % 3)];
    for gaps in with_gaps {
        let series = table(&rows("k,x", 40, |i| format!("{},{}", 1_609_459_200 + gaps(i), x(i))));
        assert_eq!((time(&series), series.columns.len()), ("k", 1), "{}", gaps(1));
    }
}

#[test]
fn rows_from_the_newest_to_the_oldest_are_reversed() {
    let hours = |clock: fn(usize) -> String| {
        table(&rows("date,hour,x", 96, |i| {
            let i = 95 - i;
            format!("{},{},{}", day(i / 24), clock(i % 24), x(i))
        }))
    };
    for clock in [|hour: usize| hour.to_string(), |hour| format!("{hour:02}:00")] {
        let series = hours(clock);
        let place = series.columns.iter().position(|name| name == "x").unwrap();
        let found: Vec<f64> = series.values.data().chunks(series.columns.len()).map(|row| row[place]).collect();
        assert_eq!(found, (0..96).map(x).collect::<Vec<_>>());
        assert!(series.notes.iter().any(|note| note.starts_with("rows are sorted by \"date")), "{:?}", series.notes);
        let calendar = series.time.as_ref().unwrap().calendar();
        assert!(calendar.is_none_or(|found| found.after(1).is_none_or(|next| next[0] != "2021-01-05")));
    }
    // hours in a column of their own put the rows of a day in order, whichever way the days go
    let order: [fn(usize) -> (usize, usize); 3] =
        [|i| (3 - i / 24, i % 24), |i| (i / 24, 23 - i % 24), |i| (i * 7 % 96 / 24, i * 7 % 24)];
    for order in order {
        let series = table(&rows("date,hour,x", 96, |i| {
            let (of, hour) = order(i);
            format!("{},{hour},{}", day(of), x(24 * of + hour))
        }));
        let found: Vec<f64> = series.values.data().chunks(2).map(|row| row[1]).collect();
        assert_eq!(found, (0..96).map(x).collect::<Vec<_>>());
        assert_eq!(series.notes[..1], ["\"hour\" holds the hours of the days in \"date\""]);
    }
    // the counter of each series may go down, one series after the other or in turn
    for of in [|i: usize| (i / 20, i % 20), |i: usize| (i % 2, i / 2)] {
        for name in ["n", "step", "id", "t"] {
            for first in [0, 1] {
                let text = rows(&format!("shop,x,{name}"), 40, |i| {
                    let (shop, i) = of(i);
                    format!("s{shop},{},{}", x(19 - i), 19 - i + first)
                });
                let all = csv::read_long_from(text.as_bytes(), Path::new("t.csv"), &CsvOptions::default(), "shop");
                for (_, series) in all.unwrap() {
                    let series = series.unwrap();
                    assert_eq!(series.values.data(), (0..20).map(x).collect::<Vec<_>>(), "{name} {first}");
                    assert!(series.notes[0].contains("rows are sorted by"), "{:?}", series.notes);
                }
            }
        }
    }
}

#[test]
fn rows_are_put_in_order() {
    let forward = table(&rows("date,x", 40, |i| format!("{},{}", day(i), x(i))));
    type Order = fn(usize) -> usize;
    let orders: [(Order, u64); 3] = [(|i| 39 - i, 3), (|i| (i * 7) % 40, 8), (|i| i ^ 1, 3)];
    for (order, line) in orders {
        let series = table(&rows("date,x", 40, |i| format!("{},{}", day(order(i)), x(order(i)))));
        assert_eq!((&series.values, &series.time), (&forward.values, &forward.time));
        assert_eq!(note(&series), format!("rows are sorted by \"date\": the file goes backwards from line {line} on"));
    }
    // missing values are filled in afterwards, and lines are those of the file
    let fill = CsvOptions { missing: Missing::ForwardFill, ..Default::default() };
    let text = "date,x,y\n2021-01-03,,6\n2021-01-02,2,5\n2021-01-01,1,4\n";
    assert_eq!(read(text, &fill).unwrap().values.data(), [1., 4., 2., 5., 2., 6.]);
    let error = read("date,x\n2021-01-02,2\n\n2021-01-01,\n", &fill).unwrap_err().to_string();
    assert!(error.contains("line 4") && error.contains("none before"), "{error}");
    // each series for itself
    let text = rows("date,shop,x", 80, |i| format!("{},{},{}", day((i * 7) % 40), i % 2, x((i * 7) % 40)));
    for (name, series) in
        csv::read_long_from(text.as_bytes(), Path::new("t.csv"), &CsvOptions::default(), "shop").unwrap()
    {
        let series = series.unwrap();
        assert!(series.time.as_ref().unwrap().values.is_sorted(), "{name}");
        assert!(series.notes[0].starts_with("rows are sorted by \"date\""), "{:?}", series.notes);
    }
}

#[test]
fn dates_that_look_like_decimal_numbers() {
    let month = |i: usize| (2013 + i / 12, i % 12 + 1);
    let next_of = |text: &str| {
        let series = table(text);
        assert_eq!((time(&series), &series.columns[..]), ("k", &["x".to_string()][..]), "{text}");
        assert!(series.notes.is_empty(), "{:?}", series.notes);
        series.time.as_ref().unwrap().calendar().unwrap().after(1).unwrap().remove(0)
    };
    let monthly = |written: fn((usize, usize)) -> String| {
        next_of(&rows("x,k", 36, |i| format!("{},{}", x(i), written(month(i)))))
    };
    assert_eq!(monthly(|(year, month)| format!("{year}.{month:02}")), "2016.01");
    assert_eq!(monthly(|(year, month)| format!("{month:02}.{year}")), "01.2016");
    assert_eq!(monthly(|(year, month)| format!("{year}.{month}")), "2016.1");
    // as a table of floats has it, where October loses its zero
    assert_eq!(monthly(|(year, month)| format!("{}", year as f64 + month as f64 / 100.0)), "2016.01");
    // the same without zeros before the other months, from January or from March on, in files of several years
    for first in [0, 2, 9] {
        let text = rows("x,k", 36, |i| {
            let (year, month) = month(i + first);
            format!("{},{year}.{}", x(i), month.to_string().trim_end_matches('0'))
        });
        let series = table(&text);
        if first < 9 {
            assert_eq!(series.notes, Vec::<String>::new(), "{text}");
            let at = series.time.as_ref().unwrap().seconds();
            assert!(at.is_sorted_by(|a, b| a < b), "{text}");
            assert_eq!(series.values.data(), table(&rows("x", 36, |i| format!("{}", x(i)))).values.data());
        }
    }
    // seconds with decimals, and names with units
    for name in ["time", "sec", "elapsed", "Zeit", "time (s)", "Time [ms]", "t [s]", "elapsed_ms", "timestamp_utc"] {
        let series = table(&rows(&format!("{name},k"), 40, |i| format!("{:.2},{}", 0.05 * i as f64, x(i))));
        assert_eq!((time(&series), series.columns.len()), (name, 1), "{name}");
    }
    let series = table(&rows("time,k", 40, |i| format!("2023-08-28T10:00:00.{:03},{}", 8 * i, x(i))));
    assert_eq!(series.time.as_ref().unwrap().calendar().unwrap().step().unwrap().to_string(), "every 8 milliseconds");
    // times of day behind the date, in few rows as well
    for count in [4, 30] {
        let hours = |seconds: &str| {
            next_of(&rows("k,x", count, |i| {
                format!("202002{:02}{:02}00{seconds},{}", 28 + (15 + i) / 24, (15 + i) % 24, x(i))
            }))
        };
        let next = if count == 4 { "2020022819" } else { "2020022921" };
        assert_eq!([hours(""), hours("00")], [format!("{next}00"), format!("{next}0000")]);
    }
    // rates and prices are no months
    for rate in [|i: usize| format!("1.{}", 1950 + i * 37 % 101), |i| format!("{}.{:02}", 1890 + i % 5, i * 5 % 12 + 1)]
    {
        assert_eq!(table(&rows("rate,x", 36, |i| format!("{},{}", rate(i), x(i)))).columns, ["rate", "x"]);
    }
}

#[test]
fn months_begin_by_the_clock_of_each_row() {
    let text = rows("d,x", 20, |i| {
        let (year, month) = (2023 + i / 12, i % 12 + 1);
        let offset = if (4..=10).contains(&month) { 2 } else { 1 };
        format!("{year}-{month:02}-01T00:00:00+0{offset}:00,{}", x(i))
    });
    let series = table(&text);
    assert!(series.notes.is_empty(), "{:?}", series.notes);
    assert_eq!(series.time.unwrap().calendar().unwrap().after(1).unwrap(), ["2024-09-01T00:00:00+02:00"]);
}

#[test]
fn what_cannot_be_sorted_is_refused() {
    for (text, parts) in [
        ("date,x\n2021-01-02,1\n2021-01-01,2\nsoon,3\n2021-01-05,4\n", ["line 3", "line 4", "\"soon\""]),
        ("date,x\n02/01/2021,1\n01/02/2021,2\n05/06/2021,3\n03/04/2021,4\n", ["line 3", "MM/DD/YYYY", "DD/MM/YYYY"]),
    ] {
        let error = read(text, &CsvOptions::default()).unwrap_err().to_string();
        assert!(error.starts_with("t.csv: ") && parts.iter().all(|part| error.contains(part)), "{error}");
    }
    // what is in order stays, and what could not be read is counted
    let series = table("date,x\n2021-01-01,1\nsoon,2\n2021-01-05,3\nlater,4\n2021-01-06,5\n");
    assert_eq!(note(&series), "2 rows have no \"date\" that can be read; the first is \"soon\" in line 3");
}

#[test]
fn days_and_months_are_told_apart_over_the_whole_column() {
    let dates = |text: &str| {
        let series = table(text);
        let calendar = series.time.as_ref().unwrap().calendar().unwrap();
        (calendar.step().unwrap().to_string(), calendar.after(1).unwrap().remove(0), series.notes.len())
    };
    let written = |date: fn(usize) -> String| rows("d,x", 20, |i| format!("{},{}", date(i), x(i)));
    assert_eq!(dates(&written(|i| format!("{:02}/01/2024", i + 1))), ("every day".into(), "21/01/2024".into(), 0));
    assert_eq!(dates(&written(|i| format!("01/{:02}/2024", i + 1))), ("every day".into(), "01/21/2024".into(), 0));
    assert_eq!(dates(&written(|i| format!("{:02}.01.2024", i + 1))), ("every day".into(), "21.01.2024".into(), 0));
    // of two readings, that with regular steps
    let months = written(|i| format!("01/{:02}/{}", i % 12 + 1, 2020 + i / 12));
    assert_eq!(dates(&months), ("every month".into(), "01/09/2021".into(), 0));
    let months = rows("d,x", 20, |i| format!("01/{:02}/{},{}", (19 - i) % 12 + 1, 2020 + (19 - i) / 12, x(i)));
    assert_eq!(dates(&months), ("every month".into(), "01/09/2021".into(), 1));
    // nothing decides: it is said
    let both = table(&rows("d,x", 9, |i| format!("0{}/01/2024,{}", i + 1, x(i))));
    assert!(note(&both).contains("MM/DD/YYYY") && note(&both).contains("DD/MM/YYYY"), "{:?}", both.notes);
}

#[test]
fn gaps_and_rows_that_are_there_twice_are_counted() {
    let without = |left_out: &[usize]| {
        let kept: Vec<usize> = (0..40).filter(|i| !left_out.contains(i)).collect();
        table(&rows("date,x", kept.len(), |i| format!("{},{}", day(kept[i]), x(kept[i]))))
    };
    assert_eq!(
        note(&without(&[9, 10, 20])),
        "\"date\" goes every day, but has 2 gaps, in which 3 rows are missing; the first is between \"2021-01-09\" and \
         \"2021-01-12\" in line 11"
    );
    let twice = table(&rows("date,x", 40, |i| format!("{},{}", day(i - usize::from(i > 4)), x(i))));
    assert_eq!(note(&twice), "1 row has the same \"date\" as the row before; the first is \"2021-01-05\" in line 7");
    let uneven = table("t,x\n2021-01-01 00:00,1\n2021-01-01 01:00,2\n2021-01-01 02:00,3\n2021-01-01 03:30,4\n");
    assert_eq!(
        note(&uneven),
        "\"t\" goes every hour, but 1 row comes at another time; the first is \"2021-01-01 03:30\" in line 5"
    );
    // weekends are no gaps of business days, but a holiday is one
    let workdays = |rows: &[&str]| {
        table(&("d,x\n".to_string() + &rows.iter().map(|d| format!("2024-03-{d},1\n")).collect::<String>()))
    };
    let weeks =
        ["04", "05", "06", "07", "08", "11", "12", "13", "14", "15", "18", "19", "20", "21", "22", "25", "26", "27"];
    assert_eq!(workdays(&weeks).notes, [""; 0]);
    let holiday: Vec<&str> = weeks.into_iter().filter(|day| *day != "11").collect();
    assert!(note(&workdays(&holiday)).contains("1 gap, in which 1 row is missing"), "{:?}", workdays(&holiday).notes);
}

/// Dates and times of day in two columns are one time, in any order of rows and columns; a column of times alone is text.
#[test]
fn times_of_day_belong_to_the_dates_beside_them() {
    let at = |row: usize| (day(row / 48), format!("{:02}:{:02}", row / 2 % 24, 30 * (row % 2)));
    let forward: Vec<String> = (0..200).map(|row| format!("{},{}", at(row).0, at(row).1)).collect();
    for (order, seconds) in [([0, 1, 2], ""), ([1, 0, 2], ""), ([2, 1, 0], ":00")] {
        for shuffled in [false, true] {
            let place = |row: usize| if shuffled { row * 77 % 200 } else { row };
            let row = |row: usize| {
                let (date, clock) = at(place(row));
                let cells = [date, clock + seconds, x(place(row)).to_string()];
                order.map(|column| cells[column].clone()).join(";")
            };
            let header = order.map(|column| ["Date", "Time", "kw"][column]).join(";");
            let series = table(&rows(&header, 200, row));
            assert_eq!((time(&series), &series.columns[..]), ("Date Time", &["kw".to_string()][..]), "{header}");
            assert!(series.left_out.is_empty(), "{:?}", series.left_out);
            let times = &series.time.as_ref().unwrap().values;
            let expected: Vec<String> = forward.iter().map(|at| at.replace(',', " ") + seconds).collect();
            assert_eq!(*times, expected, "{header} {shuffled}");
            assert!(series.values.data().iter().enumerate().all(|(row, value)| *value == x(row)));
            let calendar = series.time.as_ref().unwrap().calendar().unwrap();
            assert_eq!(calendar.after(1).unwrap(), [format!("2021-01-05 04:00{seconds}")]);
            assert_eq!(series.notes.len(), usize::from(shuffled), "{:?}", series.notes);
        }
    }
    // days with the same clock, a clock that is asked for otherwise, a day that has none
    let daily = table(&rows("Date,Time,x", 40, |row| format!("{},16:00,{}", day(row), x(row))));
    assert_eq!((time(&daily), daily.notes.len()), ("Date Time", 0));
    let other = table(&rows("Date,lap,x", 40, |row| format!("{},{}:99,{}", day(row), row, x(row))));
    assert_eq!((time(&other), other.left_out[0].reason), ("Date", Reason::Text));
    let one = rows("Date,Time,x", 40, |row| format!("{},{},{}", day(row / 2), ["", "12:00"][row % 2], x(row)));
    assert_eq!(time(&table(&one)), "Date Time");
}
