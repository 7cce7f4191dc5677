//! Parts of a call that contradict each other are refused: a table and the model that it is for, a
//! recipe and its tensors, one file under two names, a table and the stream that reads its rows.

use crate::run::Run;
use rnnstep::model::file;
use rnnstep::tensor::Array;
use rnnstep::{Cpu, Loss, Tensor, Units};
use serde_json::json;
use std::collections::BTreeMap;

/// Two waves, `a` and `b`, under these names.
fn waves(names: &str, swapped: bool) -> String {
    let row = |i: u32| {
        let (a, b) = (10.0 + (f64::from(i) / 5.0).sin(), 5.0 + (f64::from(i) / 7.0).cos());
        if swapped { format!("{b:.4},{a:.4}\n") } else { format!("{a:.4},{b:.4}\n") }
    };
    format!("{names}\n{}", (0..120).map(row).collect::<String>())
}

fn trained(run: &Run) {
    run.file("n.csv", waves("a,b", false));
    run.ok("train n.csv --epochs 1 --hidden 4 --no-plot --out m.safetensors");
}

/// A number as text is one f32, in a table and in a line: rounded to f64 first, to f32 then.
#[test]
fn a_table_and_a_stream_read_one_number() {
    let run = Run::new();
    run.file("one.csv", format!("a\n{}", (0..60).map(|i| format!("{}\n", f64::from(i).sin())).collect::<String>()));
    run.ok("train one.csv --epochs 1 --hidden 4 --no-plot --out m.safetensors");
    let numbers = ["1.00000005960464477539062500001", "0.1", "-3.4e38", "1e-45", "16777217.0000001", "5e-324", "+2"];
    for number in numbers {
        run.file("x.csv", format!("a\n{number}\n"));
        for flag in ["--raw", ""] {
            let table = run.ok(&format!("predict m.safetensors x.csv {flag}"));
            let stream = run.feed_ok(&format!("stream m.safetensors {flag}"), format!("{number}\n"));
            assert_eq!(table.stdout.lines().last(), stream.stdout.lines().last(), "{number}");
        }
    }
}

/// An empty field is a value that is missing: it does not move the others.
#[test]
fn an_empty_field_is_no_field_less() {
    let run = Run::new();
    trained(&run);
    for (line, reason) in [
        ("1,,2", "expected 2 numbers, got 3"),
        ("1,2,", "expected 2 numbers, got 3"),
        (",2", "the value of \"a\" is missing"),
        ("1;", "the value of \"b\" is missing"),
        (" , 2", "the value of \"a\" is missing"),
        ("1\t", "the value of \"b\" is missing"),
        ("1,NA", "the value of \"b\" is missing"),
    ] {
        let answer = run.feed_ok("stream m.safetensors", format!("{line}\n10,5\n"));
        assert_eq!(answer.stdout.lines().count(), 1, "{line}");
        assert!(answer.stderr.contains(&format!("line 1: {reason}")), "{line}: {}", answer.stderr);
    }
    for line in ["10,5", "10 5", "10;5", " 10 , 5 ", "10\t5", "10, 5"] {
        assert_eq!(run.feed_ok("stream m.safetensors", format!("{line}\n")).stderr, "", "{line}");
    }
}

/// A number that is finite and makes what comes after it infinite: said, by all that answer.
#[test]
fn answers_that_are_not_finite_are_said() {
    let run = Run::new();
    trained(&run);
    // a unit has weights of one sign for both, or of two: one of the rows adds up an infinity and one below zero
    let rows = "10,5\n3e38,-3e38\n3e38,3e38\n10,5\n";
    let stream = run.feed_ok("stream m.safetensors", rows);
    assert!(stream.stdout.lines().last().unwrap().contains("NaN"), "{}", stream.stdout);
    assert_eq!(stream.stderr.lines().count(), 1, "{}", stream.stderr);
    assert!(stream.stderr.starts_with("note: line ") && stream.stderr.contains("not finite"), "{}", stream.stderr);
    run.file("big.csv", format!("a,b\n{rows}"));
    let predicted = run.ok("predict m.safetensors big.csv");
    assert!(predicted.stderr.contains("rows of predictions are not finite, row "), "{}", predicted.stderr);
    assert!(run.ok("forecast m.safetensors big.csv --steps 2").stderr.contains("not finite"));
    assert!(run.ok("gates m.safetensors big.csv").stderr.starts_with("note: gates are not finite from row "));
    assert_eq!(run.ok("predict m.safetensors n.csv").notes(), "");
    assert_eq!(run.ok("gates m.safetensors n.csv").notes(), "");
}

/// The state goes on only if the predictions before it were written: who asks again would count rows twice.
#[test]
fn a_state_does_not_go_on_without_its_predictions() {
    let run = Run::new();
    trained(&run);
    run.file("x.csv", "a,b\n9,5\n");
    run.ok("predict m.safetensors x.csv --final-state s.safetensors --out y.csv");
    let before = run.bytes("s.safetensors");
    let again = "predict m.safetensors x.csv --init-state s.safetensors --final-state s.safetensors --out";
    if cfg!(target_os = "linux") {
        run.fails(&format!("{again} /dev/full"), &["/dev/full"]);
    }
    run.fails(&format!("{again} none/y.csv"), &["none"]);
    assert!(run.bytes("s.safetensors") == before);
    run.ok(&format!("{again} y.csv"));
    assert!(run.bytes("s.safetensors") != before);
}

/// A training goes on only with the columns that it began with, by their names.
#[test]
fn a_training_goes_on_with_its_own_columns() {
    let run = Run::new();
    trained(&run);
    for (name, table) in [("swapped.csv", waves("b,a", true)), ("other.csv", waves("x,y", false))] {
        run.file(name, table);
        let line = run.fails(&format!("train --resume m.safetensors {name} --epochs 3 --no-plot"), &[name, "\"a\""]);
        assert!(line.contains("the training to resume has"), "{line}");
    }
    // the same under another name of the file is the same
    run.file("moved.csv", waves("a,b", false));
    run.ok("train --resume m.safetensors moved.csv --epochs 2 --no-plot");
}

/// A recipe that says other sizes, or another loss, than the tensors have.
#[test]
fn a_recipe_is_of_its_own_model() {
    let run = Run::new();
    trained(&run);
    let loaded = file::load(run.path("m.safetensors"), &file::ReadOptions::default(), Cpu::widest()).unwrap();
    let changed = [
        ("hidden", json!(16384)),
        ("cell", json!("lstm")),
        ("layers", json!(3)),
        ("no-bias", json!(true)),
        ("nonlinearity", json!("relu")),
        ("loss", json!("gaussian")),
        ("loss", json!("quantiles:0.1,0.5")),
    ];
    for (option, value) in changed {
        let mut metadata = loaded.metadata.clone();
        metadata.recipe.as_mut().unwrap()[option] = value;
        file::save(run.path("h.safetensors"), &loaded.model, &metadata, &[]).unwrap();
        for refit in ["", "--refit 10"] {
            let line = run.fails(&format!("evaluate n.csv h.safetensors {refit}"), &["h.safetensors", "its recipe"]);
            assert!(line.len() < 300, "{option}: {line}");
        }
    }
    // what a checkpoint says of a row of its answers
    run.ok("train n.csv --loss quantiles:0.1,0.5,0.9 --epochs 1 --hidden 4 --no-plot --out q.safetensors");
    let loaded =
        file::load(run.path("q.checkpoint.safetensors"), &file::ReadOptions::default(), Cpu::widest()).unwrap();
    let units = loaded.model.units().unwrap();
    assert!(matches!(units.loss(), Loss::Quantiles(_)));
    let units = Units::scaled(units.x().clone(), units.y().clone());
    let model = loaded.model.clone().with_units(units).unwrap();
    let extra: Vec<_> = loaded.extra.into_iter().collect();
    file::save(run.path("q.checkpoint.safetensors"), &model, &loaded.metadata, &extra).unwrap();
    let line = run.fails("train --resume q.checkpoint.safetensors --epochs 4 --no-plot --out new.safetensors", &[]);
    assert!(line.contains("q.checkpoint.safetensors") && line.contains("quantiles"), "{line}");
}

/// Flags that a model has an answer to already are refused, not passed over.
#[test]
fn a_model_has_its_own_answers() {
    let run = Run::new();
    trained(&run);
    for (flags, word) in [("--target nosuch", "--target"), ("--target a", "--column"), ("--seed 1", "--seed")] {
        run.misused(&format!("evaluate n.csv m.safetensors {flags}"), &[word]);
        run.misused(&format!("evaluate n.csv m.safetensors --refit 10 {flags}"), &[word]);
    }
    run.ok("evaluate n.csv m.safetensors --column a,b --target a,b");
}

#[test]
fn one_file_under_two_names_is_one_series() {
    let run = Run::new();
    run.file("n.csv", waves("a,b", false));
    let mut names = vec!["n.csv", "./n.csv"];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("n.csv", run.path("link.csv")).unwrap();
        std::fs::hard_link(run.path("n.csv"), run.path("hard.csv")).unwrap();
        names.extend(["link.csv", "hard.csv"]);
    }
    for name in names {
        let train = format!("train n.csv {name} --epochs 1 --hidden 4 --no-plot --out m.safetensors");
        run.misused(&train, &[name, "is given twice"]);
    }
}

/// What is no table is not written under the name of something else.
#[test]
fn a_table_has_the_name_of_one() {
    let run = Run::new();
    trained(&run);
    for out in ["t.npy", "t.safetensors", "t.html"] {
        run.fails(&format!("gates m.safetensors n.csv --out {out}"), &[out, ".csv"]);
        run.fails(&format!("evaluate n.csv m.safetensors --out {out}"), &[out, ".csv"]);
        run.fails(&format!("evaluate n.csv m.safetensors --forecasts {out}"), &[out, ".csv"]);
    }
}

/// What is wrong in a file of options is said of the file, whole, with the exit code of a wrong file.
#[test]
fn options_that_do_not_go_together_in_a_file() {
    let run = Run::new();
    run.file("n.csv", waves("a,b", false));
    let cases = [
        ("only = \"x\"\n", "--series"),
        ("betas = [0.9]\n", "two numbers"),
        ("stride = 3\n", "--stride"),
        ("season = 5\n", "--season"),
        ("optimizer = \"sgd\"\nnesterov = true\n", "nesterov"),
        ("cell = \"lstm\"\nnonlinearity = \"relu\"\n", "relu"),
    ];
    for (text, word) in cases {
        run.file("c.toml", text);
        let line = run.run("train n.csv --config c.toml --epochs 1 --no-plot").error(text);
        assert!(line.contains("c.toml") && line.contains(word) && line.len() < 300, "{text}: {line}");
    }
    // what was typed is no fault of the file
    run.file("c.toml", "hidden = 4\n");
    run.misused("train n.csv --config c.toml --stride 3 --epochs 1 --no-plot", &["--stride"]);
}

/// The best weights of a checkpoint are weights, and their loss is one.
#[test]
fn best_weights_that_cannot_be_are_refused() {
    let run = Run::new();
    run.file("n.csv", waves("a,b", false));
    run.ok("train n.csv --epochs 2 --hidden 4 --no-plot --out m.safetensors");
    let loaded =
        || file::load(run.path("m.checkpoint.safetensors"), &file::ReadOptions::default(), Cpu::widest()).unwrap();
    let good = loaded();
    let written = |metadata: &file::Metadata, extra: &BTreeMap<String, Array>| {
        let extra: Vec<_> = extra.iter().map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
        file::save(run.path("b.checkpoint.safetensors"), &good.model, metadata, &extra).unwrap();
        run.fails("train --resume b.checkpoint.safetensors --epochs 4 --no-plot --out b.safetensors", &["b.checkpoint"])
    };
    let mut metadata = good.metadata.clone();
    metadata.position.as_mut().unwrap()["best"][0] = json!(-1.0);
    assert!(written(&metadata, &good.extra).contains("best loss"));
    let mut extra = loaded().extra;
    let (_, tensor) = extra.iter_mut().find(|(name, _)| name.starts_with("best.")).unwrap();
    let (dims, count) = (tensor.dims().to_vec(), tensor.dims().iter().product());
    *tensor = Tensor::new(dims, vec![f32::NAN; count]).unwrap().into();
    assert!(written(&good.metadata, &extra).contains("not finite"));
}

/// A score is a part of an error: below 0 it is none, and what claims it is done again.
#[test]
fn a_journal_cannot_claim_less_than_no_error() {
    let run = Run::new();
    run.file("n.csv", waves("a,b", false));
    let search = "search n.csv --tries 3 --epochs 2 --out r.toml";
    run.ok(search);
    let (recipe, journal) = (run.text("r.toml"), run.text("r.journal.json"));
    let at = journal.find("\"score\":").unwrap() + 8;
    let end = at + journal[at..].find(',').unwrap();
    for score in ["-5", "-1e300"] {
        run.file("r.journal.json", format!("{}{score}{}", &journal[..at], &journal[end..]));
        let again = run.ok(search);
        assert!(run.text("r.toml") == recipe, "{}", again.stdout);
    }
}
