//! A folder of models is read one model by name; damaged models and columns that no model takes are
//! refused.

use super::many_series::{SHOPS, SHORT, failed, shops, table};
use super::run::Run;
use std::fs;

#[test]
fn one_series_by_its_model_in_the_folder() {
    let run = Run::new();
    shops(&run);
    run.ok(&format!("train all.csv --series shop --per-series {SHORT}"));
    let said =
        run.ok("evaluate all.csv models --series shop --only north --out a.csv --html r.html --plot p.svg").stdout;
    assert!(said.contains("by a model used unchanged") && run.text("r.html").contains("<svg"), "{said}");
    run.ok("evaluate shop0.csv models/north.safetensors --out b.csv");
    assert_eq!(run.text("a.csv"), run.text("b.csv"));
    run.ok("evaluate all.csv models --series shop --only north --refit 9");
    run.file("new.csv", run.text("all.csv") + "1,new,5,1\n");
    run.fails("evaluate new.csv models --series shop --only new", &["models: has no model of series \"new\""]);
    run.fails("evaluate all.csv models --series shop --only nosuch", &["nosuch"]);
    run.fails("evaluate shop0.csv models", &["models", "is a folder"]);
}

#[test]
fn a_damaged_model_is_one_failure() {
    let run = Run::new();
    shops(&run);
    run.ok(&format!("train all.csv --series shop --per-series {SHORT}"));
    // a column that no model takes may hold anything
    let text = run.text("all.csv");
    run.file("holes.csv", text.replacen(",0\n", ",\n", 9).replacen(",1\n", ",closed\n", 9));
    let whole = run.ok("predict models all.csv --series shop").stdout;
    assert_eq!(run.ok("predict models holes.csv --series shop").stdout, whole);
    run.ok("evaluate holes.csv models --series shop");
    let ahead = "all.csv --series shop --steps 3";
    let forecast = run.ok(&format!("forecast models {ahead}")).stdout;
    assert_eq!(run.ok(&format!("forecast models {}", ahead.replace("all", "holes"))).stdout, forecast);
    // the first of the folder by name
    fs::write(run.path("models/Zürich.safetensors"), "damaged").unwrap();
    for (command, count) in [("evaluate holes.csv models", ""), ("predict models holes.csv", "shop,day,sold_next")] {
        let answer = run.run(&format!("{command} --series shop"));
        let lines = failed(&answer);
        assert_eq!((answer.code, lines.len()), (Some(1), 1), "{}", answer.stderr);
        assert!(lines[0].starts_with("failed: series \"Zürich\": models/Zürich.safetensors: "), "{lines:?}");
        let others = SHOPS[..3].iter().all(|shop| answer.stdout.contains(&format!("\n{shop}")));
        assert!(others && !answer.stdout.contains("\nZ") && answer.stdout.contains(count), "{}", answer.stdout);
    }
    // all of them
    for name in ["north", "south_east", "south_east-2"] {
        fs::write(run.path(&format!("models/{name}.safetensors")), "damaged").unwrap();
    }
    for command in ["evaluate all.csv models", "predict models all.csv"] {
        let answer = run.run(&format!("{command} --series shop"));
        assert_eq!((answer.code, failed(&answer).len(), answer.stdout.as_str()), (Some(1), 4, ""), "{}", answer.stderr);
    }
}

#[test]
fn a_model_reads_the_columns_that_it_takes() {
    let run = Run::new();
    shops(&run);
    let common = "--epochs 1 --seq-len 5 --no-plot";
    run.ok(&format!("train all.csv --series shop --column sold {common} --out all.safetensors"));
    run.ok(&format!("train shop0.csv --column sold {common} --out one.safetensors"));
    let holes = |text: String| text.replacen(",0\n", ",\n", 9).replacen(",1\n", ",closed\n", 9);
    run.file("holes.csv", holes(run.text("all.csv")));
    run.file("hole.csv", holes(run.text("shop0.csv")));
    let said = |args: &str| run.ok(&format!("predict {args}")).stdout;
    assert_eq!(said("all.safetensors holes.csv --series shop"), said("all.safetensors all.csv --series shop"));
    assert_eq!(said("one.safetensors hole.csv"), said("one.safetensors shop0.csv"));
    // rows are dropped for what the model takes alone
    assert_eq!(said("one.safetensors hole.csv --missing drop"), said("one.safetensors shop0.csv"));
    // under other names a column is taken by its place if that is asked for; a number is no name
    let renamed = run.text("all.csv").replace(",open\n", "\n").replace(",0\n", "\n").replace(",1\n", "\n");
    run.file("renamed.csv", renamed.replace(",2\n", "\n").replace("sold", "gone"));
    run.fails("predict all.safetensors renamed.csv --series shop", &["renamed.csv", "lacks \"sold\""]);
    let by_position = "all.safetensors renamed.csv --series shop --by-position";
    assert_eq!(said(by_position), said("all.safetensors all.csv --series shop"));
    run.file("bare.csv", "1\n2\n4\n3\n5\n7\n6\n8\n9\n11\n10\n12\n13\n15\n");
    run.ok(&format!("train bare.csv {common} --val-fraction 0.1 --out bare.safetensors"));
    run.file("named.csv", "day,sold\n1,1\n2,2\n3,4\n");
    run.file("plain.csv", "1\n2\n4\n");
    let answers =
        |text: String| text.lines().skip(1).map(|l| l.rsplit(',').next().unwrap().to_string()).collect::<Vec<_>>();
    assert_eq!(answers(said("bare.safetensors named.csv")), answers(said("bare.safetensors plain.csv")));
    // what is wrong with a column that it takes is said
    run.file("bad.csv", run.text("shop0.csv").replacen("\n5,", "\n5,x", 1));
    run.fails("predict one.safetensors bad.csv", &["bad.csv: line 7: column \"sold\": \"x"]);
}

/// A series of two columns is one series, also where nothing was learned of it.
#[test]
fn notes_count_series() {
    let run = Run::new();
    let mut state = 5_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 24) - 0.5
    };
    let mut text = String::from("shop,a,b\n");
    for shop in 0..4 {
        let (mut a, mut b) = (10.0, 20.0);
        for _ in 0..120 {
            (a, b) = (a + noise(), b + noise());
            text += &format!("{shop},{a:.4},{b:.4}\n");
        }
    }
    run.file("walks.csv", text);
    let flags = "--series shop --per-series --target-as change --hidden 5 --epochs 2";
    let said = run.ok(&format!("train walks.csv {flags}")).stdout;
    let scores = table(&run.text("models/scores.csv"));
    let silent = scores.values().filter(|row| !row[5].is_empty()).count();
    assert!(silent > 0 && scores.len() == 4, "{scores:?}");
    assert!(said.contains(&format!("note: in {silent} series, nothing was learned")), "{said}");
    let said = run.ok(&format!("evaluate walks.csv {flags}")).stdout;
    assert!(said.contains(" series, nothing was learned"), "{said}");
}

/// Where nobody said that there are many series, and where there is nothing to go on with.
#[test]
fn a_folder_in_the_place_of_something_else() {
    let run = Run::new();
    shops(&run);
    run.ok(&format!("train all.csv --series shop --per-series {SHORT}"));
    for command in ["predict models shop0.csv", "forecast models shop0.csv --steps 2", "info models"] {
        run.fails(command, &["models: is a folder", "--series COLUMN"]);
    }
    run.fails("train all.csv --series shop --per-series --resume modles", &["modles: is not a folder of models"]);
    assert!(!run.path("modles").exists());
}

/// Of each series whether learning on the way is worth it, and of all of them.
#[test]
fn learners_stand_in_the_table() {
    let run = Run::new();
    shops(&run);
    run.ok(&format!("train all.csv --series shop --per-series {SHORT}"));
    let plain = run.ok("evaluate all.csv models --series shop").stdout;
    assert!(!plain.contains("learn"), "{plain}");
    let said = run.ok("evaluate all.csv models --series shop --learn --learn-lr 0.01").stdout;
    let alone = run.ok("evaluate shop0.csv models/north.safetensors --learn --learn-lr 0.01 --out a.csv").stdout;
    let line = alone.lines().find(|line| line.contains("learning while it runs")).unwrap();
    let row = said.lines().find(|line| line.trim_start().starts_with("north")).unwrap();
    let verdict = if line.contains(": better than the same model frozen") {
        "better"
    } else if line.contains(": worse than the same model frozen") {
        "worse"
    } else {
        "no better"
    };
    assert!(row.trim_end().ends_with(verdict), "{row}\n{line}");
    let scores = run.text("a.csv");
    let rmse = |name: &str| -> f64 {
        let row = scores.lines().find(|row| row.split(',').any(|cell| cell == name)).unwrap();
        let at = scores.lines().next().unwrap().split(',').position(|column| column == "rmse").unwrap();
        row.split(',').nth(at).unwrap().parse().unwrap()
    };
    for name in ["model", "learner"] {
        let found = row.split_whitespace().filter_map(|cell| cell.parse::<f64>().ok());
        assert!(found.into_iter().any(|cell| (cell - rmse(name)).abs() < 1e-3), "{name} {} in {row}", rmse(name));
    }
    let sum = said.lines().find(|line| line.starts_with("learning while it runs, of 4: "));
    assert!(sum.is_some_and(|sum| sum.contains("the same model frozen")), "{said}");
}
