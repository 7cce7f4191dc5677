//! `--missing mask`: what is missing is neither learned nor scored, and the network is told.

use crate::run::{Run, numbers};

/// Two columns of hourly waves; `hole(t, column)` says where a value is missing.
fn table(rows: usize, hole: impl Fn(usize, usize) -> bool) -> String {
    let noise = |t: usize, by: u64| ((t as u64 * by) % 97) as f64 / 97.0 - 0.5;
    let mut text = "time,x,z\n".to_string();
    for t in 0..rows {
        let (day, hour) = (t / 24 + 1, t % 24);
        let values = [(t as f64 * 0.26).sin() * 3.0 + noise(t, 53), (t as f64 * 0.26).cos() + noise(t, 31)];
        let cell = |column: usize| if hole(t, column) { String::new() } else { values[column].to_string() };
        text += &format!("2024-01-{day:02} {hour:02}:00,{},{}\n", cell(0), cell(1));
    }
    text
}

/// In every seventh row x is missing, in every eleventh z, and in the first two rows z has not begun.
fn holes(t: usize, column: usize) -> bool {
    if column == 0 { t % 7 == 3 } else { t % 11 == 5 || t < 2 }
}

const TRAIN: &str = "train holes.csv --missing mask --target-as value --cell gru --hidden 5 --epochs 3 --no-plot";

#[test]
fn trains_scores_and_answers() {
    let run = Run::new();
    run.file("holes.csv", table(400, holes));
    run.fails("train holes.csv --epochs 1", &["holes.csv", "line 2", "missing", "forward-fill, drop or mask"]);
    let trained = run.ok(&format!("{TRAIN} --out m.safetensors"));
    assert!(trained.notes().contains("in 88 of 398 rows a value is missing"), "{}", trained.notes());
    assert!(trained.notes().contains("a mask of \"x\", \"z\""), "{}", trained.notes());
    assert!(run.ok("info m.safetensors").stdout.contains("masks       the last inputs say where"), "info");
    // every row of a table has an answer, and a stream gives the same ones; the first rows are left out
    let answers = run.ok("predict m.safetensors holes.csv");
    assert!(answers.notes().contains("the first 2 rows are left out"), "{}", answers.notes());
    let text = table(400, holes);
    let rows: String = text.lines().skip(3).map(|line| line.split_once(',').unwrap().1.to_string() + "\n").collect();
    let streamed = run.feed_ok("stream m.safetensors", &rows).stdout;
    let (predicted, streamed) = (numbers(&answers.stdout, 1), numbers(&format!("x,z\n{streamed}"), 0));
    assert_eq!((predicted.len(), &predicted), (398, &streamed));
    // what the model is told matters: the last value alone gives another answer
    let mut last = vec![String::new(); 2];
    let filled: String = rows
        .lines()
        .map(|line| {
            for (last, cell) in last.iter_mut().zip(line.split(',')).filter(|(_, cell)| !cell.is_empty()) {
                *last = cell.into();
            }
            last.join(",") + "\n"
        })
        .collect();
    let untold = numbers(&format!("x,z\n{}", run.feed_ok("stream m.safetensors", &filled).stdout), 0);
    assert!(untold.len() == 398 && untold != streamed);
    // forecasts, with intervals, and a value that is missing at the end
    let ahead = run.ok("forecast m.safetensors holes.csv --steps 5 --bands 80");
    assert!(numbers(&ahead.stdout, 1).len() == 5 && ahead.stdout.contains("2024-01-17 16:00"), "{}", ahead.stdout);
    run.ok("gates m.safetensors holes.csv --out g.csv");
}

/// The scores are those of the rows whose value is there.
#[test]
fn missing_rows_are_not_scored() {
    let run = Run::new();
    run.file("holes.csv", table(400, holes));
    run.ok("evaluate holes.csv --missing mask --column x --cell gru --hidden 5 --epochs 2 --horizon 2 --forecasts f.csv --out s.csv");
    let rows = run.text("f.csv");
    let header: Vec<&str> = rows.lines().next().unwrap().split(',').collect();
    let place = |name: &str| header.iter().position(|other| *other == name).unwrap();
    let scores = run.text("s.csv");
    let named: Vec<&str> = scores.lines().next().unwrap().split(',').collect();
    for name in ["model", "last value", "autoregression", "mean"] {
        let mut errors = vec![];
        for row in rows.lines().skip(1).map(|row| row.split(',').collect::<Vec<_>>()) {
            let (ahead, actual) = (row[place("ahead")], row[place("actual")]);
            let actual = actual.parse::<f64>().ok().filter(|actual| !actual.is_nan());
            if let (Some(actual), "1") = (actual, ahead) {
                errors.push(actual - row[place(name)].parse::<f64>().unwrap());
            }
        }
        assert_eq!(errors.len(), 69, "80 rows, of which 11 have no x");
        let rmse = (errors.iter().map(|e| e * e).sum::<f64>() / 69.0).sqrt();
        let at = |what: &str| named.iter().position(|other| *other == what).unwrap();
        let line = scores.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let mut found = line
            .filter(|line| line[at("ahead")] == "1" && line.contains(&name))
            .map(|line| line[at("rmse")].to_string());
        let found: f64 = found.next_back().unwrap().parse().unwrap();
        assert!((found - rmse).abs() < 1e-9 * rmse, "{name}: {found}, not {rmse}");
    }
}

/// A hole that no training saw changes nothing but the value that stands in its place, and that is said.
#[test]
fn models_without_masks_and_columns_without_holes() {
    let run = Run::new();
    run.file("holes.csv", table(400, |t, column| column == 0 && t % 7 == 3));
    run.file("whole.csv", table(400, |_, _| false));
    let train = |data: &str, out: &str| {
        run.ok(&format!("train {data} --missing mask --cell gru --hidden 5 --epochs 1 --no-plot --out {out}"))
    };
    assert!(
        train("whole.csv", "w.safetensors").notes().contains("no value is missing, so --missing mask changes nothing")
    );
    for command in [
        "predict w.safetensors holes.csv",
        "forecast w.safetensors holes.csv --steps 1",
        "gates w.safetensors holes.csv --out g.csv",
    ] {
        run.misused(
            &format!("{command} --missing mask"),
            &["--missing mask", "was not trained with it", "forward-fill"],
        );
    }
    assert_eq!(run.feed("stream w.safetensors --missing mask", "1,2\n").code, Some(2));
    train("holes.csv", "m.safetensors");
    let told = run.feed_ok("stream m.safetensors", "1,2\n,3\n2,\n");
    assert_eq!(told.stdout.lines().count(), 3);
    assert!(told.stderr.contains("note: a value of input 2 is missing"), "{}", told.stderr);
    // a column that has no value at all
    run.file("empty.csv", table(400, |_, column| column == 1));
    run.fails("train empty.csv --missing mask --column x,z", &["empty.csv", "every value of \"z\" is missing"]);
    // rows can still be left out, and a learner is not taught what is missing
    run.ok("predict m.safetensors holes.csv --missing drop --out d.csv");
    assert_eq!(run.text("d.csv").lines().count(), 344);
    let learned = run.feed_ok("stream m.safetensors --learn --out l.safetensors", "1,2\n,3\n2,3\n1,\n,\n1,2\n");
    assert!(
        learned.stdout.lines().count() == 6 && learned.stderr.contains("learned from 6 lines"),
        "{}",
        learned.stderr
    );
    let again = run.feed_ok("stream l.learner.safetensors --learn", "1,2\n,3\n");
    assert_eq!(again.stdout.lines().count(), 2);
}

/// Several series have the masks of all of them, and an array has NaN where a table has an empty cell.
#[test]
fn several_series_and_arrays() {
    let run = Run::new();
    let mut long = "shop,time,x\n".to_string();
    for (shop, every) in [("a", 9), ("b", 1000), ("c", 13)] {
        for (t, line) in table(120, |t, _| t % every == 5).lines().skip(1).enumerate() {
            let (time, x) = line.split_once(',').unwrap();
            assert!(t < 120);
            long += &format!("{shop},{time},{}\n", x.split(',').next().unwrap());
        }
    }
    run.file("long.csv", long);
    let train = "long.csv --series shop --missing mask --cell gru --hidden 4 --epochs 1";
    run.ok(&format!("train {train} --no-plot --out m.safetensors"));
    let each = run.ok("forecast m.safetensors long.csv --series shop --steps 2 --bands 80").stdout;
    assert_eq!(each.lines().count(), 7, "{each}");
    run.ok(&format!("evaluate {train} --test-fraction 0.25"));
    run.ok("evaluate long.csv m.safetensors --series shop --test-fraction 0.25");
    run.ok(&format!("evaluate {train} --per-series --test-fraction 0.25"));
    run.ok(&format!("train {train} --per-series --no-plot --out folder"));
    run.ok("evaluate long.csv folder --series shop --test-fraction 0.25");
    assert_eq!(run.ok("predict folder long.csv --series shop").stdout.lines().count(), 361);
    // an array
    let values: Vec<f64> = (0..200).map(|t| if t % 9 == 4 { f64::NAN } else { (t as f64 * 0.3).sin() }).collect();
    let array = rnnstep::Tensor::new([200, 1], values).unwrap();
    rnnstep::data::npy::write(&run.path("x.npy"), &array).unwrap();
    run.ok("train x.npy --missing mask --cell gru --hidden 4 --epochs 1 --no-plot --out n.safetensors");
    assert_eq!(run.ok("predict n.safetensors x.npy").stdout.lines().count(), 201);
    run.ok("evaluate x.npy n.safetensors");
}
