//! Many series on the command line: one global model over all of them, or a local model for each.

use super::run::{Answer, Run, numbers};
use rnnstep::Cpu;
use rnnstep::model::file;
use std::collections::BTreeMap;
use std::fs;

pub const SHORT: &str = "--column sold --cell gru --hidden 5 --seq-len 8 --epochs 3";
pub const SHOPS: [&str; 4] = ["north", "south/east", "south east", "Zürich"];

/// What shop number `n` sold on day `t`.
fn sold(n: usize, t: usize) -> f64 {
    let (n, t) = (n as f64, t as f64);
    40.0 + 10.0 * n + 8.0 * (t * (0.5 + 0.1 * n)).sin() + 2.0 * (t * t * 0.37 + n).sin()
}

/// A table for each shop, and one of all: `all.csv`, a day of all shops after the other, and `sorted.csv`, a shop after the other.
pub fn shops(run: &Run) {
    let row = |n: usize, t: usize| format!("{t},{},{:.3},{}\n", SHOPS[n], sold(n, t), (t + n) % 3);
    let header = "day,shop,sold,open\n";
    let days = |n: usize| 90 + 10 * n;
    let all: String = (0..120).flat_map(|t| (0..4).filter(move |&n| t < days(n)).map(move |n| row(n, t))).collect();
    let sorted: String = (0..4).flat_map(|n| (0..days(n)).map(move |t| row(n, t))).collect();
    run.file("all.csv", format!("{header}{all}"));
    run.file("sorted.csv", format!("{header}{sorted}"));
    for n in 0..4 {
        let rows: String = (0..days(n)).map(|t| format!("{t},{:.3},{}\n", sold(n, t), (t + n) % 3)).collect();
        fs::write(run.path(&format!("shop{n}.csv")), format!("day,sold,open\n{rows}")).unwrap();
    }
}

/// The files of a folder.
fn folder(run: &Run, name: &str) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(run.path(name)).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

/// The rows of a table by their first cell.
pub fn table(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let rows = reader.records().map(|row| row.unwrap().iter().map(String::from).collect::<Vec<_>>());
    rows.map(|row| (row[0].clone(), row)).collect()
}

pub fn failed(answer: &Answer) -> Vec<&str> {
    answer.stderr.lines().filter(|line| line.starts_with("failed: ")).collect()
}

#[test]
fn one_series_of_a_long_table_is_that_series() {
    let run = Run::new();
    shops(&run);
    let alone: String =
        run.text("sorted.csv").lines().filter(|line| !line.contains("south")).map(|line| format!("{line}\n")).collect();
    let north: String = alone.lines().filter(|line| !line.contains("Z")).map(|line| format!("{line}\n")).collect();
    run.file("north.csv", &north);
    for (flags, same) in [("", "--state reset --batch 32"), ("--state carry --target-as change", "--target-as change")]
    {
        let long = run.ok(&format!("train north.csv --series shop {SHORT} {flags} --out a.safetensors --no-plot"));
        let plain = run.ok(&format!("train shop0.csv {SHORT} {same} --out b.safetensors --no-plot"));
        assert_eq!(run.tensors("a.safetensors"), run.tensors("b.safetensors"), "{flags}");
        let rmse = |answer: &Answer| answer.stdout.lines().find(|line| line.contains("RMSE ")).unwrap().to_string();
        let said = rmse(&plain);
        let said = said.split("RMSE ").nth(1).unwrap().split(' ').next().unwrap();
        assert!(
            long.stdout.lines().any(|line| line.starts_with("north  ") && line.contains(said)),
            "{said}\n{}",
            long.stdout
        );
        // one of many, by its name
        run.ok(&format!("train all.csv --series shop --only north {SHORT} {same} --out c.safetensors --no-plot"));
        assert_eq!(run.tensors("c.safetensors"), run.tensors("b.safetensors"), "{flags}");
    }
}

#[test]
fn one_model_over_all() {
    let run = Run::new();
    shops(&run);
    let train = |data: &str, out: &str| run.ok(&format!("train {data} {SHORT} --out {out}.safetensors --no-plot"));
    let answer = train("all.csv --series shop", "all");
    assert!(answer.stderr.starts_with("GRU 1 -> 5 -> 1 on all.csv, 4 series: "), "{}", answer.stderr);
    for (n, shop) in SHOPS.iter().enumerate() {
        let line = answer.stdout.lines().find(|line| line.starts_with(shop)).unwrap();
        assert_eq!(line[shop.len()..].split_whitespace().nth(1).unwrap(), (18 + 2 * n).to_string(), "{line}");
    }
    assert!(answer.stdout.contains("better than the last value: "), "{}", answer.stdout);
    // how the rows of two series lie between each other says nothing, nor where they come from
    train("sorted.csv --series shop", "sorted");
    train("shop0.csv shop1.csv shop2.csv shop3.csv", "files");
    assert_eq!(run.tensors("all.safetensors"), run.tensors("sorted.safetensors"));
    assert_eq!(run.tensors("all.safetensors"), run.tensors("files.safetensors"));
    train("shop0.csv shop1.csv shop3.csv", "three");
    assert_ne!(run.tensors("all.safetensors"), run.tensors("three.safetensors"));
    // a number instead of the name
    train("all.csv --series 2", "number");
    assert_eq!(run.tensors("all.safetensors"), run.tensors("number.safetensors"));
    // every shape of window, and pictures
    for flags in
        ["--state carry", "--state carry --batch 2", "--stride 3", "--target-as relative-change", "--loss-on last"]
    {
        run.ok(&format!("train all.csv --series shop {SHORT} {flags} --out x.safetensors"));
    }
    assert!(run.text("x.svg").contains("south east: sold"));
}

#[test]
fn one_model_over_all_goes_on_to_the_same_bytes() {
    let run = Run::new();
    shops(&run);
    let common = "--column sold --cell gru --hidden 5 --seq-len 8 --no-plot";
    for data in [
        "all.csv --series shop",
        "all.csv --series shop --state carry --batch 2 --target-as change",
        "shop0.csv shop1.csv --state reset --batch 5 --target-as seasonal-change --season 5",
    ] {
        run.ok(&format!("train {data} {common} --steps 60 --out whole.safetensors --log whole.csv"));
        run.ok(&format!("train {data} {common} --steps 25 --out half.safetensors --log half.csv"));
        assert!(run.bytes("whole.safetensors") != run.bytes("half.safetensors"), "{data}");
        let rest = "--no-plot --steps 60 --log half.csv";
        let answer = run.ok(&format!("train --resume half.safetensors {rest}"));
        assert!(answer.stdout.contains("trained 35 steps"), "{}", answer.stdout);
        assert!(run.bytes("whole.safetensors") == run.bytes("half.safetensors"), "{data}");
        assert!(run.bytes("whole.checkpoint.safetensors") == run.bytes("half.checkpoint.safetensors"), "{data}");
        assert_eq!(run.text("whole.csv"), run.text("half.csv"), "{data}");
        // the recipe says which series
        run.file("r.toml", run.ok("info whole.safetensors --recipe").stdout);
        run.ok("train --config r.toml --no-plot --out again.safetensors");
        assert!(run.bytes("whole.safetensors") == run.bytes("again.safetensors"), "{data}");
    }
    run.misused("train shop0.csv --resume half.safetensors", &["has 2 files, not 1"]);
    run.ok("train shop0.csv shop1.csv --resume half.safetensors --steps 61 --no-plot");
    let recipe = run.text("r.toml");
    assert!(recipe.contains("data = [\"shop0.csv\", \"shop1.csv\"]"), "{recipe}");
    run.fails("evaluate --config r.toml", &["r.toml", "data: ", "takes one file"]);
    // of one file as it always was
    run.ok(&format!("train shop0.csv {common} --steps 5"));
    let bytes = run.bytes("model.safetensors");
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("\\\"data\\\":\\\"shop0.csv\\\""), "{text}");
    assert!(!text.contains("series") && !text.contains("only"));
}

#[test]
fn a_model_for_each_is_what_plain_training_makes() {
    let run = Run::new();
    shops(&run);
    for flags in ["", "--target-as change --loss huber", "--state reset --batch 4 --patience 1"] {
        for (threads, out) in [(1, "one"), (3, "three")] {
            run.ok(&format!(
                "train all.csv --series shop --per-series {SHORT} {flags} --threads {threads} --out {out}"
            ));
        }
        assert!(folder(&run, "one") == folder(&run, "three"), "{flags}");
        let names: Vec<String> = folder(&run, "one").into_keys().collect();
        let files = [
            "Zürich.safetensors",
            "north.safetensors",
            "scores.csv",
            "south_east-2.safetensors",
            "south_east.safetensors",
        ];
        assert_eq!(names, files);
        let scores = table(&run.text("one/scores.csv"));
        for (n, shop) in SHOPS.iter().enumerate() {
            let answer = run.ok(&format!("train shop{n}.csv {SHORT} {flags} --out plain.safetensors --no-plot"));
            let row = &scores[*shop];
            assert_eq!(row[2..5], ["sold", (90 + 10 * n).to_string().as_str(), "ok"]);
            assert_eq!(run.tensors(&format!("one/{}", row[1])), run.tensors("plain.safetensors"), "{shop} {flags}");
            let rmse = answer.stdout.split("RMSE ").nth(1).unwrap().split(' ').next().unwrap();
            assert_eq!(format!("{:.5}", row[6].parse::<f64>().unwrap()), rmse);
            let recipe = run.ok(&format!("info one/{} --recipe", row[1])).stdout;
            assert!(recipe.contains(&format!("only = \"{shop}\"")), "{recipe}");
            if let (true, false) = (flags.is_empty(), answer.stdout.contains("note:")) {
                let loss = answer.stdout.split("held-out part ").nth(1).unwrap().split(',').next().unwrap();
                assert_eq!(format!("{:.4e}", row[9].parse::<f64>().unwrap()), loss);
            }
            run.file("r.toml", recipe);
            run.ok("train --config r.toml --out again.safetensors --no-plot");
            assert!(run.bytes("again.safetensors") == run.bytes(&format!("one/{}", row[1])), "{shop}");
        }
    }
    // files of their own give the very bytes
    run.ok(&format!("train shop0.csv shop1.csv --per-series {SHORT} --out files"));
    for n in 0..2 {
        run.ok(&format!("train shop{n}.csv {SHORT} --out plain.safetensors --no-plot"));
        assert!(run.bytes(&format!("files/shop{n}.safetensors")) == run.bytes("plain.safetensors"));
    }
}

#[test]
fn a_failure_of_one_stops_no_other() {
    let run = Run::new();
    shops(&run);
    let mut text = run.text("all.csv") + "1,short,5,1\n2,short,6,1\n";
    for t in 0..60 {
        text += &format!(
            "{t},text,{},0\n{t},gap,{},1\n{t},flat,7,1\n",
            if t == 30 { "x".into() } else { t.to_string() },
            if t == 9 { "NaN".into() } else { t.to_string() }
        );
    }
    run.file("bad.csv", &text);
    let train = format!("train bad.csv --series shop --per-series {SHORT}");
    let answer = run.run(&train);
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    let lines = failed(&answer);
    assert_eq!(lines.len(), 3, "{}", answer.stderr);
    assert!(lines[0].starts_with("failed: series \"short\": bad.csv: 2 rows to train on"), "{lines:?}");
    assert!(
        lines[1].contains("\"text\": bad.csv: line ") && lines[1].contains("column \"sold\": \"x\" is not a number")
    );
    assert!(lines[2].contains("\"gap\": bad.csv: line ") && lines[2].contains("the value is missing"));
    assert!(answer.stdout.contains("5 of 8 models in "), "{}", answer.stdout);
    let scores = table(&run.text("models/scores.csv"));
    assert_eq!(scores["text"][..5], ["text", "", "", "0", "failed"]);
    assert!(scores["flat"][4] == "ok" && scores["flat"][8].is_empty(), "{:?}", scores["flat"]);
    // the others are as if the bad ones were not there
    run.ok(&format!("train all.csv --series shop --per-series {SHORT} --out good"));
    let (good, all) = (folder(&run, "good"), folder(&run, "models"));
    for name in good.keys().filter(|name| name.ends_with("safetensors")) {
        let (one, other) = (run.tensors(&format!("good/{name}")), run.tensors(&format!("models/{name}")));
        assert_eq!(one, other, "{name}");
    }
    assert_eq!((good.len(), all.len()), (5, 6));
    // what can be filled in is, from the same series alone
    let filled = run.run(&format!("{train} --missing forward-fill"));
    assert_eq!(failed(&filled).len(), 2, "{}", filled.stderr);
    // a file that is not there is one of them; with one model over all it is an error, as a bad value is
    let answer = run.run(&format!("train shop0.csv nosuch.csv --per-series {SHORT} --out files"));
    assert_eq!(answer.code, Some(1));
    assert!(failed(&answer)[0].starts_with("failed: series \"nosuch\": nosuch.csv: "), "{}", answer.stderr);
    assert_eq!(folder(&run, "files").len(), 2);
    run.fails(&format!("train shop0.csv nosuch.csv {SHORT}"), &["nosuch.csv"]);
    run.fails(&format!("train bad.csv --series shop {SHORT}"), &["bad.csv: line ", "is not a number"]);
    // too short for one model over all is left out, and said
    run.file("short.csv", run.text("all.csv") + "1,short,5,1\n2,short,6,1\n");
    let answer = run.ok(&format!("train short.csv --series shop {SHORT} --target-as value --no-plot"));
    let warning = "warning: series \"short\" is left out: 2 rows to train on, 9 are needed\n";
    assert!(answer.stderr.starts_with(warning), "{}", answer.stderr);
    assert!(answer.stderr.contains("4 series"), "{}", answer.stderr);
    run.ok(&format!("train all.csv --series shop {SHORT} --target-as value --no-plot --out all.safetensors"));
    assert_eq!(run.tensors("model.safetensors"), run.tensors("all.safetensors"));
    let few: String = "shop,sold\n".to_string() + &(0..30).map(|t| format!("s{t},1\ns{t},2\n")).collect::<String>();
    run.file("few.csv", few);
    run.fails(
        "train few.csv --series shop",
        &["few.csv: none of the 30 series can be trained on: 2 rows to train on, 21 are"],
    );
    let mut some = run.text("all.csv");
    (0..30).for_each(|n| some += &format!("1,s{n},1,1\n"));
    run.file("some.csv", some);
    let answer = run.ok(&format!("train some.csv --series shop {SHORT} --no-plot"));
    assert_eq!(answer.stderr.matches("warning: series").count(), 10);
    assert!(answer.stderr.contains("\n20 more series are left out\n"), "{}", answer.stderr);
}

#[test]
fn only_what_is_missing_or_of_another_recipe_is_trained_again() {
    let run = Run::new();
    shops(&run);
    let train = format!("train all.csv --series shop --per-series {SHORT}");
    run.ok(&train);
    let whole = folder(&run, "models");
    let kept = |answer: &Answer| {
        let line = answer.stdout.lines().find(|line| line.contains(" models in ")).unwrap();
        line.split_once(", ").map_or(0, |(_, rest)| rest.split(' ').next().unwrap().parse::<usize>().unwrap())
    };
    fs::remove_file(run.path("models/north.safetensors")).unwrap();
    fs::write(run.path("models/Zürich.safetensors"), "damaged").unwrap();
    fs::remove_file(run.path("models/scores.csv")).unwrap();
    assert_eq!(kept(&run.ok(&format!("{train} --resume models"))), 2);
    assert!(folder(&run, "models") == whole);
    assert_eq!(kept(&run.ok(&format!("{train} --resume models"))), 4);
    assert!(folder(&run, "models") == whole);
    assert_eq!(kept(&run.ok(&train)), 0);
    // another recipe, and other rows of one series
    run.ok(&format!("{train} --lr 0.02 --out other"));
    assert_eq!(kept(&run.ok(&format!("{train} --lr 0.02 --resume models"))), 0);
    assert!(folder(&run, "models") == folder(&run, "other"));
    run.ok(&train);
    run.file("all.csv", run.text("all.csv").replacen(",north,40", ",north,41", 1));
    assert_eq!(kept(&run.ok(&format!("{train} --resume models"))), 3);
    assert!(run.bytes("models/north.safetensors") != whole["north.safetensors"]);
    run.misused(&format!("{train} --resume models --out others"), &["--out others", "models"]);
    run.fails(&format!("{train} --out all.csv"), &["all.csv", "is a file"]);
}

#[cfg(unix)]
#[test]
fn killed_or_interrupted_it_goes_on() {
    let run = Run::new();
    shops(&run);
    let mut text = String::from("shop,sold\n");
    for t in 0..300 {
        (0..40).for_each(|n| text += &format!("shop{n},{:.3}\n", sold(n, t)));
    }
    run.file("many.csv", text);
    let train = "train many.csv --series shop --per-series --hidden 24 --epochs 60 --threads 2";
    run.ok(&format!("{train} --out whole"));
    let whole = folder(&run, "whole");
    for interrupt in [false, true] {
        let out = if interrupt { "interrupted" } else { "killed" };
        // what an earlier training says of the folder no longer holds
        fs::create_dir(run.path(out)).unwrap();
        fs::write(run.path(out).join("scores.csv"), "series,file\n").unwrap();
        let talk = run.talk(&format!("{train} --out {out}"));
        talk.hear_error();
        let models = || {
            fs::read_dir(run.path(out))
                .unwrap()
                .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "safetensors"))
                .count()
        };
        while !run.path(out).is_dir() || models() < 3 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        if interrupt {
            talk.interrupt();
            let answer = talk.end();
            assert_eq!(answer.code, Some(1), "{}", answer.stderr);
            assert!(
                answer.stdout.contains("continue with the same command and --resume interrupted"),
                "{}",
                answer.stdout
            );
            let scores = table(&run.text("interrupted/scores.csv"));
            assert_eq!((scores.len(), scores["shop39"][4].as_str()), (40, "interrupted"));
        } else {
            talk.kill();
            run.fails("evaluate many.csv killed --series shop", &["killed/scores.csv", "--resume killed"]);
        }
        let done = models();
        assert!((3..40).contains(&done), "{done}");
        // what is there is whole
        for (name, bytes) in folder(&run, out).iter().filter(|(name, _)| name.ends_with(".safetensors")) {
            assert!(*bytes == whole[name], "{name}");
        }
        let answer = run.ok(&format!("{train} --resume {out}"));
        assert!(answer.stdout.contains(&format!(", {done} of them were there already")), "{}", answer.stdout);
        assert!(folder(&run, out) == whole, "{out}");
    }
}

#[test]
fn evaluate_says_how_good_each_is() {
    let run = Run::new();
    shops(&run);
    let flags = format!("{SHORT} --target-as change");
    let each = run.ok(&format!(
        "evaluate all.csv --series shop --per-series {flags} --horizon 2 --out s.csv --forecasts f.csv --threads 2"
    ));
    assert!(
        each.stdout.starts_with(
            "all.csv: the last rows of each of 4 series, forecast 1 to 2 steps ahead by a local model trained for each\n"
        ),
        "{}",
        each.stdout
    );
    let (scores, forecasts) = (run.text("s.csv"), run.text("f.csv"));
    for (n, shop) in SHOPS.iter().enumerate() {
        let alone = run.ok(&format!("evaluate shop{n}.csv {flags} --horizon 2 --out one.csv --forecasts onef.csv"));
        let of = |text: &str| {
            text.lines()
                .filter_map(|line| line.strip_prefix(&format!("{shop},")))
                .map(|line| format!("{line}\n"))
                .collect::<String>()
        };
        assert_eq!(of(&scores), run.text("one.csv").split_once('\n').unwrap().1, "{shop}");
        // a season that only some series have is an empty cell of the others
        let (mine, own) = (of(&forecasts), run.text("onef.csv"));
        assert_eq!(mine.lines().count(), own.lines().count() - 1);
        assert_eq!(mine.lines().next().unwrap()[..12], own.lines().nth(1).unwrap()[..12]);
        let line = each.stdout.lines().find(|line| line.starts_with(shop)).unwrap();
        // what stands in the line is what is said of the series alone
        let cells: Vec<&str> = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        let scores = run.text("one.csv");
        let model: Vec<&str> = scores.lines().find(|line| line.contains(",1,model,")).unwrap().split(',').collect();
        let number = |at: usize| model[at].parse::<f64>().unwrap();
        let [skill, low, high] = [10, 11, 12].map(|at| 100.0 * number(at));
        assert_eq!(cells[4..6], [model[9], &format!("{skill:+.1} % ({low:.1} to {high:.1})")], "{line}");
        assert!((cells[2].parse::<f64>().unwrap() / number(6) - 1.0).abs() < 1e-4, "{line}");
        let sentence = alone.stdout.lines().find_map(|line| line.strip_prefix("sold, one step ahead: ")).unwrap();
        assert!(sentence.starts_with(&format!("{} than", cells[6])), "{line}\n{sentence}");
    }
    let last = each.stdout.lines().find(|line| line.starts_with("of 4: ")).unwrap();
    let counted: usize = last.split([' ', ',']).filter_map(|word| word.parse::<usize>().ok()).sum();
    assert!(counted == 4 && last.contains("median skill "), "{last}");
    let threads =
        |n: usize| run.ok(&format!("evaluate all.csv --series shop --per-series {flags} --threads {n}")).stdout;
    assert_eq!(threads(1), threads(3));
    // a folder of models, and one model: taken as they are
    run.ok(&format!("train all.csv --series shop --per-series {flags}"));
    let by_folder = run.ok("evaluate all.csv models --series shop --out s.csv").stdout;
    assert!(by_folder.contains("by the models in models"), "{by_folder}");
    run.ok(&format!("train all.csv --series shop {flags} --no-plot --out one.safetensors"));
    run.ok("evaluate all.csv one.safetensors --series shop --out t.csv");
    for (file, model) in [("s.csv", "models/south_east-2.safetensors"), ("t.csv", "one.safetensors")] {
        run.ok(&format!("evaluate shop2.csv {model} --out one.csv"));
        let mine: String = run
            .text(file)
            .lines()
            .filter_map(|line| line.strip_prefix("south east,"))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(mine, run.text("one.csv").split_once('\n').unwrap().1, "{model}");
    }
    // one model, trained on the way on what comes before the part that is forecast
    let over_all = run.ok(&format!("evaluate all.csv --series shop {flags} --out s.csv"));
    assert!(
        over_all.stdout.contains("by one global model, trained on the earlier rows of all series"),
        "{}",
        over_all.stdout
    );
    let before: String = {
        let text = run.text("sorted.csv");
        let keep = |line: &&str| {
            let shop = SHOPS.iter().position(|shop| line.contains(shop));
            shop.is_none_or(|n| line.split(',').next().unwrap().parse::<usize>().unwrap() < 72 + 8 * n)
        };
        text.lines().filter(keep).map(|line| format!("{line}\n")).collect()
    };
    run.file("before.csv", before);
    run.ok(&format!("train before.csv --series shop {flags} --no-plot --out before.safetensors"));
    run.ok("evaluate all.csv before.safetensors --series shop --out t.csv");
    assert_eq!(run.text("s.csv"), run.text("t.csv"));
    // one without a season is one of them
    let walk: String = (0..120).map(|t| format!("{t},walk,{},1\n", (t * t) % 97 + (t * 31) % 13)).collect();
    run.file("walk.csv", run.text("all.csv") + &walk);
    for (flags, list) in [("--per-series", "evaluate"), ("--per-series --out folder", "train")] {
        let answer = run.run(&format!("{list} walk.csv --series shop {flags} {SHORT} --target-as seasonal-change"));
        let lines = failed(&answer);
        let why = "failed: series \"walk\": walk.csv: --target-as seasonal-change: no season was found";
        assert!(answer.code == Some(1) && lines.len() == 1 && lines[0].starts_with(why), "{list}\n{}", answer.stderr);
        assert!(answer.stdout.contains(if list == "train" { "4 of 5 models" } else { "of 4: " }), "{}", answer.stdout);
    }
    // what fails is listed, and stops no other
    run.file("bad.csv", run.text("all.csv") + "1,short,5,1\n5,none,,2\n");
    for more in ["--per-series", "", "models", "one.safetensors"] {
        let train = if more.contains("e.") || more == "models" { "" } else { flags.as_str() };
        let answer = run.run(&format!("evaluate bad.csv {more} --series shop {train} --out s.csv"));
        assert_eq!(answer.code, Some(1), "{more}\n{}", answer.stderr);
        let lines = failed(&answer);
        assert!(
            lines.len() == 2 && lines[1].starts_with("failed: series \"none\": bad.csv: line "),
            "{}",
            answer.stderr
        );
        assert!(answer.stdout.contains("of 4: "), "{}", answer.stdout);
    }
}

#[test]
fn predictions_and_forecasts_of_each() {
    let run = Run::new();
    shops(&run);
    run.ok(&format!("train all.csv --series shop --per-series {SHORT} --target-as change"));
    run.ok(&format!("train all.csv --series shop {SHORT} --target-as change --no-plot --out one.safetensors"));
    let files = ["north", "south_east", "south_east-2", "Zürich"].map(|name| format!("models/{name}.safetensors"));
    for (model, of) in [("models", files), ("one.safetensors", [(); 4].map(|()| "one.safetensors".to_string()))] {
        for (command, flags) in
            [("predict", ""), ("forecast", "--steps 3 --bands 50,80 --paths 100"), ("forecast", "--steps 3")]
        {
            let said = run.ok(&format!("{command} {model} all.csv --series shop {flags}")).stdout;
            let mut expected = String::new();
            for (n, shop) in SHOPS.iter().enumerate() {
                let one = run.ok(&format!("{command} {} shop{n}.csv {flags}", of[n])).stdout;
                if n == 0 {
                    expected += &format!("shop,{}\n", one.lines().next().unwrap());
                }
                one.lines().skip(1).for_each(|line| expected += &format!("{shop},{line}\n"));
            }
            assert_eq!(said, expected, "{command} {model}");
            run.ok(&format!("{command} {model} all.csv --series shop {flags} --out o.csv"));
            assert_eq!(run.text("o.csv"), said);
            let north = run.ok(&format!("{command} {model} all.csv --series shop --only north {flags}")).stdout;
            let lines = |text: &str| {
                text.lines().filter(|line| line.starts_with("north,")).map(String::from).collect::<Vec<_>>()
            };
            assert_eq!((lines(&north), north.lines().count()), (lines(&said), lines(&said).len() + 1));
        }
    }
    assert!(numbers(&run.text("o.csv"), 1).iter().flatten().all(|value| value.is_finite()));
    // a model over all knows where the training of each ended, and how far off it is on all of them
    let bands = run.ok("forecast one.safetensors all.csv --series shop --steps 2 --bands 80");
    assert!(!bands.stderr.contains("does not hold the end"), "{}", bands.stderr);
    let metadata =
        file::load(run.path("one.safetensors"), &file::ReadOptions::default(), Cpu::widest()).unwrap().metadata;
    let unseen = metadata.unseen.unwrap();
    assert_eq!(unseen.ends.iter().map(|end| end.train_rows).collect::<Vec<_>>(), [72, 80, 88, 96]);
    assert_eq!(unseen.errors.len(), 18 + 20 + 22 + 24);
    // one without a model and one that cannot be read stop no other
    run.file("bad.csv", run.text("all.csv") + "1,new,5,1\n1,text,x,1\n");
    let answer = run.run("predict models bad.csv --series shop");
    assert_eq!((answer.code, failed(&answer).len()), (Some(1), 2), "{}", answer.stderr);
    assert!(answer.stderr.contains("models: has no model of series \"new\""), "{}", answer.stderr);
    assert_eq!(answer.stdout, run.ok("predict models all.csv --series shop").stdout);
    // what is wrong with the model is said once
    run.ok("train all.csv --series shop --column sold,open --target sold --epochs 1 --no-plot --out t.safetensors");
    run.fails("forecast t.safetensors all.csv --series shop --steps 2", &["predicts \"sold\""]);
}

#[test]
fn what_makes_no_sense() {
    let run = Run::new();
    shops(&run);
    run.ok(&format!("train all.csv --series shop {SHORT} --no-plot"));
    run.ok(&format!("train all.csv --series shop --per-series {SHORT}"));
    run.file("x.npy", "");
    fs::create_dir(run.path("empty")).unwrap();
    for (args, words) in [
        (
            "train all.csv --series nosuch",
            &["all.csv", "no column \"nosuch\"", "\"day\", \"shop\", \"sold\", \"open\""][..],
        ),
        ("train all.csv --series nosuch --per-series", &["no column \"nosuch\""]),
        ("train all.csv --series shop --only nosuch", &["all.csv", "no series \"nosuch\"", "\"north\""]),
        ("train all.csv --series shop --column shop", &["\"shop\" is the series id column"]),
        ("train all.csv --series shop --time shop", &["\"shop\" cannot be both"]),
        ("train x.npy --series shop", &["x.npy", "--series is for a .csv"]),
        (
            "train shop0.csv model.safetensors --column sold --out new.safetensors",
            &["model.safetensors", "windows already cut"],
        ),
        ("predict model.safetensors x.npy --series shop", &["x.npy", "--series is for a .csv"]),
        (
            "evaluate all.csv empty --series shop",
            &["empty/scores.csv", "is missing, so the model of each series is not known"],
        ),
        ("train all.csv --series shop --per-series --out a/b", &["a/b: its parent folder does not exist"]),
        ("train --resume models", &["models", "is a folder"]),
    ] {
        run.fails(args, words);
    }
    assert!(run.path("models/scores.csv").exists(), "what fails before it begins changes nothing");
    for (args, words) in [
        ("train --series shop", &["--series", "DATA is missing"][..]),
        ("train all.csv --series shop --per-series --seq-len 0", &["--seq-len", "1 or more"]),
        ("train all.csv --series shop --per-series --val-fraction 1", &["--val-fraction", "below 1"]),
        ("evaluate all.csv --series shop --per-series --batch 0", &["--batch", "1 or more"]),
        ("train all.csv --series shop --batch 0", &["--batch", "1 or more"]),
        ("evaluate all.csv --series shop --test-fraction 2", &["--test-fraction", "above 0 and below 1"]),
        ("train all.csv --only north", &["--series"]),
        ("train all.csv --per-series", &["--series COLUMN, or several files"]),
        ("train all.csv --series shop --only north --per-series", &["--only"]),
        ("train shop0.csv shop0.csv", &["shop0.csv is given twice"]),
        ("train all.csv shop0.csv --series shop", &["--series", "leave it out"]),
        ("train all.csv --series shop --per-series --log l.csv", &["--log"]),
        ("train all.csv --series shop --per-series --state carry --stride 3", &["--stride"]),
        ("search all.csv --series shop", &["--only NAME"]),
        ("evaluate shop0.csv --per-series", &["--series COLUMN"]),
        ("evaluate all.csv models --series shop --per-series", &["--per-series"]),
        ("evaluate all.csv --series shop --html r.html", &["--html", "--only NAME"]),
        ("evaluate all.csv --series shop --plot e.svg", &["--plot", "--only NAME"]),
        ("evaluate all.csv --series shop --refit 5", &["--refit", "--per-series"]),
        ("evaluate all.csv model.safetensors --series shop --hidden 9", &["--hidden: a MODEL has its own recipe"]),
        ("predict model.safetensors all.csv --series shop --out p.npy", &["--out a .csv"]),
        ("predict model.safetensors all.csv --series shop --final-state p.safetensors", &["--series"]),
        ("predict model.safetensors all.csv --series shop --time-major", &["--time-major", "--series"]),
        ("forecast model.safetensors all.csv --series shop --steps 2 --plot p.svg", &["--series"]),
        ("forecast model.safetensors --series shop --steps 2", &["HISTORY is missing"]),
    ] {
        run.misused(args, words);
    }
    // columns of several files must be the same
    run.file("other.csv", "sold,closed\n1,2\n3,4\n5,6\n");
    run.fails("train shop0.csv other.csv", &["other.csv", "\"closed\"", "--column"]);
    // those to predict as well, where a number says which
    run.file("ab.csv", "a,b,c\n1,2,3\n4,5,6\n");
    run.file("ac.csv", "a,c,b\n1,2,3\n4,5,6\n");
    let words = ["ac.csv", "the columns to predict \"c\", but an earlier series has \"b\"", "--target"];
    run.fails("train ab.csv ac.csv --column a --target 2", &words);
    // a table of so many series shows its head and its tail
    let text: String = (0..40).flat_map(|n| (0..30).map(move |t| format!("s{n},{:.3}\n", sold(n, t)))).collect();
    run.file("forty.csv", format!("shop,sold\n{text}"));
    let said = run.ok("train forty.csv --series shop --seq-len 5 --epochs 1 --no-plot").stdout;
    assert!(said.contains("\n... 20 more ...\ns35 "), "{said}");
}

/// A series beyond the bounds is left out of a global model by name, and does not stop the others.
#[test]
fn bounds_hold_for_each_series() {
    let run = Run::new();
    let row = |t: usize, shop: &str, value: i32| format!("{t},{shop},{value}\n");
    let rows: String =
        (0..60).map(|t| row(t, "good", (t as i32 * 7) % 11) + &row(t, "bad", (t as i32 * 5) % 13 - 4)).collect();
    run.file("t.csv", format!("day,shop,sold\n{rows}"));
    let train = "train t.csv --series shop --lower 0 --epochs 1 --hidden 4 --no-plot";
    let answer = run.ok(train);
    let line = "series \"bad\" is left out: the value of row 1 is -4, below --lower 0";
    assert!(answer.stderr.contains(line), "{}", answer.stderr);
    run.fails(&format!("{train} --only bad"), &["t.csv", "the value of row 1 is -4, below --lower 0"]);
    run.fails(&train.replace("--lower 0", "--lower 0,1"), &["2 bounds are given: give one for all predicted columns"]);
}
