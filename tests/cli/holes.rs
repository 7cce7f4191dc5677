//! `--missing mask`: what is missing is neither learned nor scored, and the network gets a mask.

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
    assert!(trained.notes().contains("note: the first 2 rows are left out"), "{}", trained.notes());
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
    // the masks matter: with the last values in the table itself, the answers are others
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
    let without_masks = numbers(&format!("x,z\n{}", run.feed_ok("stream m.safetensors", &filled).stdout), 0);
    assert!(without_masks.len() == 398 && without_masks != streamed);
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
    assert!(
        told.stderr.contains("note: a value of \"z\" is missing, but the model has no mask for it"),
        "{}",
        told.stderr
    );
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

/// Columns that begin at different rows, parts without any value, and models whose training goes on.
#[test]
fn beginnings_and_parts_without_values() {
    let run = Run::new();
    let train = "--missing mask --cell gru --hidden 4 --epochs 1 --no-plot";
    // x on odd rows, z on even ones: every row but the first can be used
    run.file("turns.csv", table(200, |t, column| t % 2 == column));
    let turns = run.ok(&format!("train turns.csv {train} --out turns.safetensors")).stderr;
    assert!(turns.contains("note: the first row is left out") && turns.contains("in 199 of 199 rows"), "{turns}");
    run.ok(&format!("evaluate turns.csv {train}").replace(" --no-plot", ""));
    assert_eq!(run.ok("predict turns.safetensors turns.csv").stdout.lines().count(), 200);
    assert_eq!(run.feed_ok("stream turns.safetensors", "2,\n,3\n4,\n").stdout.lines().count(), 2);
    // targets that begin late, with an input that is there
    run.file("late.csv", table(300, |t, column| column == 0 && t < 150));
    let late =
        run.ok(&format!("train late.csv {train} --column z --target x --target-as value --out late.safetensors"));
    assert!(late.stderr.contains("in 150 of 300 rows a target is missing, which is not scored"), "{}", late.stderr);
    assert!(run.ok("evaluate late.csv late.safetensors").stdout.contains("RMSE"));
    // no target in the part that is held out, or in the other one
    run.file("end.csv", table(300, |t, column| column == 0 && t >= 240));
    let end = run.ok(&format!("train end.csv {train} --out end.safetensors")).stdout;
    assert!(end.contains("x: every value is missing, so nothing is scored") && end.contains("z: RMSE"), "{end}");
    run.ok(&format!("train end.csv {train} --column z --target x --target-as value --out end.safetensors"));
    run.file("none.csv", table(300, |t, column| column == 0 && t < 240));
    let none = format!("train none.csv {train} --column z --target x --target-as value");
    run.fails(&none, &["none.csv", "every target of the training part is missing"]);
    // a series without values is left out by name
    let of = |name: &str, empty: bool| -> String {
        table(120, |t, _| empty || t % 9 == 5).lines().skip(1).map(|line| format!("{name},{line}\n")).collect()
    };
    run.file("shops.csv", format!("shop,time,x,z\n{}{}{}", of("a", false), of("b", true), of("c", false)));
    let shops = run.ok(&format!("train shops.csv --series shop --column x {train} --out shops.safetensors")).stderr;
    assert!(shops.contains("warning: series \"b\" is left out: every value of \"x\" is missing"), "{shops}");
    // a training that goes on has the masks that it began with
    run.file("full.csv", table(300, |_, _| false));
    run.ok(&format!("train full.csv --init turns.safetensors {train} --out again.safetensors")
        .replace("--cell gru --hidden 4 ", ""));
    assert_eq!(run.ok("predict again.safetensors turns.csv").stdout.lines().count(), 200);
    run.ok(&format!("train full.csv {} --out whole.safetensors", train.replace("--missing mask ", "")));
    let no_masks =
        run.ok("train turns.csv --init whole.safetensors --missing mask --epochs 1 --no-plot --out u.safetensors");
    assert!(no_masks.stderr.contains("is missing, but the model has no mask for it"), "{}", no_masks.stderr);
    // rows can be left out in every command, and source for a program without files tells of masks
    run.file("some.csv", table(300, |t, column| column == 0 && t % 7 == 3));
    run.ok(&format!("train some.csv {train} --target-as value --out some.safetensors"));
    run.ok("evaluate some.csv some.safetensors --missing drop");
    run.ok("convert some.safetensors --to rust --out some.rs");
    assert!(run.text("some.rs").contains("Input 2, counted from 0, is a mask: it is 1 where the value of input 0"));
    // a hole that is hidden from a model is said by evaluate as well
    run.file("other.csv", table(300, |t, column| column == 1 && t % 7 == 3));
    let hidden = run.ok("evaluate other.csv some.safetensors").stderr;
    assert!(hidden.contains("note: a value of \"z\" is missing, but the model has no mask for it"), "{hidden}");
}
