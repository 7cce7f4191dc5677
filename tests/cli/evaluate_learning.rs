//! `rnnstep evaluate --learn` scores the model that learns next to the one that does not, and
//! `--plot` draws both.

use super::run::{Run, numbers};
use rnnstep::objective::optimizer::{Adam, Optimizer};
use rnnstep::{Cpu, Learner, LearnerOptions, Model};

/// A wave that becomes nearly four times as fast where the part to forecast begins, and one that does not.
fn series(run: &Run) {
    let mut state = 7_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 24) - 0.5
    };
    let mut text = String::from("day,new,old\n");
    for t in 0..1500 {
        let time = f64::from(t);
        let new = (if t < 1000 { 0.3 } else { 1.1 } * time).sin() * 5.0 + 20.0 + 0.2 * noise();
        text += &format!("{t},{new:.4},{:.4}\n", (time * 0.6).sin() * 5.0 + 20.0 + 3.0 * noise());
    }
    run.file("s.csv", text);
}

fn rows_of(text: &str) -> Vec<Vec<String>> {
    text.lines().map(|line| line.split(',').map(String::from).collect()).collect()
}

#[test]
fn says_whether_learning_is_worth_anything() {
    let run = Run::new();
    series(&run);
    let train = "--cell gru --hidden 8 --epochs 20 --target-as value --test-fraction 0.333";
    let files = "--out o.csv --forecasts f.csv --html r.html --plot p.svg";
    let said = run.ok(&format!("evaluate s.csv --column new {train} --learn --learn-lr 0.003 {files}")).stdout;
    assert!(said.contains("new, learning while it runs: better than the same model frozen by "), "{said}");
    assert!(said.contains("; better than the ") && said.contains("\n  learner "), "{said}");
    assert!(said.contains("every 1, window 16, learning rate 0.003; 499 updates, weights taken back "), "{said}");
    // the scores are those of the forecasts that were written, and the skill over the model is that of the scores
    let (forecasts, scores) = (rows_of(&run.text("f.csv")), rows_of(&run.text("o.csv")));
    assert_eq!(forecasts[0][..6], ["day", "ahead", "column", "actual", "model", "learner"]);
    let rmse = |at: usize| {
        let error = |row: &Vec<String>| (row[at].parse::<f64>().unwrap() - row[3].parse::<f64>().unwrap()).powi(2);
        (forecasts[1..].iter().map(error).sum::<f64>() / (forecasts.len() - 1) as f64).sqrt()
    };
    let number = |row: usize, name: &str| {
        let column = scores[0].iter().position(|found| found == name).unwrap();
        scores[row][column].parse::<f64>().unwrap_or(f64::NAN)
    };
    assert_eq!((scores[1][2].as_str(), scores[2][2].as_str()), ("model", "learner"));
    assert!((number(1, "rmse") - rmse(4)).abs() < 1e-4 && (number(2, "rmse") - rmse(5)).abs() < 1e-4);
    let skill = 1.0 - number(2, "rmse") / number(1, "rmse");
    assert!((number(2, "over_model") - skill).abs() < 1e-9 && skill > 0.3, "{skill}");
    assert!(number(2, "over_model_low") > 0.0 && number(2, "over_model_high") > skill);
    assert!(number(2, "over_model_dm_p_value") < 0.01 && number(2, "dm_p_value") < 0.01);
    let naive = scores.iter().position(|row| row[1] == "1" && row[2] == scores[2][9]).unwrap();
    assert!((number(2, "skill") - (1.0 - number(2, "rmse") / number(naive, "rmse"))).abs() < 1e-9);
    // nothing of that stands beside another forecast
    assert!(scores[1][14..].iter().chain(&scores[3][9..]).all(String::is_empty), "{scores:?}");
    let (page, plot) = (run.text("r.html"), run.text("p.svg"));
    assert!(
        page.contains("<p class=\"verdict better\">new, learning while it runs: better than the same model frozen")
    );
    assert_eq!(page.matches("\nlearner\n").count(), 2, "in the series and in the errors");
    roxmltree::Document::parse(&plot).unwrap();
    assert!(plot.contains("\nlearner\n") && plot.contains("new, learning while it runs: better than "), "{plot}");

    // where the rule stays there is little to learn, and at this rate a good deal to spoil
    let said = run.ok(&format!("evaluate s.csv --column old {train} --learn --learn-lr 0.03 --html r.html")).stdout;
    let sentence = said.lines().find(|line| line.starts_with("old, learning while it runs: ")).unwrap();
    assert!(sentence.contains(": no better than the same model frozen (") || sentence.contains("do not let it learn"));
    assert!(run.text("r.html").contains("<p class=\"verdict no\">old, learning while it runs: "));
    // nobody asked for a learner
    let said = run.ok(&format!("evaluate s.csv --column old {train} --out o.csv")).stdout;
    assert!(!said.contains("learn") && !run.text("o.csv").contains("over_model"), "{said}");
}

/// What the flags say reaches the learner: its forecasts are those of one that is driven by hand.
#[test]
fn a_model_that_learns_as_it_is_told() {
    let run = Run::new();
    series(&run);
    run.ok("train s.csv --column new,old --target old --cell lstm --hidden 7 --epochs 2 --target-as change --no-plot");
    let how = "--learn --every 2 --window 7 --learn-lr 0.01 --adapt 0.99";
    let said = run.ok(&format!("evaluate s.csv model.safetensors {how} --forecasts f.csv")).stdout;
    assert!(said.contains("every 2, window 7, learning rate 0.01, adapt 0.99; 149 updates, "), "{said}");
    let options = LearnerOptions {
        every: 2,
        window: 7,
        lr: 0.01,
        adapt: Some(0.99),
        optimizer: Optimizer::Adam(Adam::default()),
        ..LearnerOptions::default()
    };
    let model = Model::load(run.path("model.safetensors")).unwrap();
    let mut learner = Learner::new(model, options, Cpu::detect().unwrap()).unwrap();
    learner.pause();
    let forecasts: Vec<String> = rows_of(&run.text("f.csv"))[1..].iter().map(|row| row[5].clone()).collect();
    assert_eq!(forecasts.len(), 300);
    for (t, row) in numbers(&run.text("s.csv"), 1)[..1499].iter().enumerate().skip(198) {
        // 50 windows of 20 rows before the first origin, and one more for the change
        let y = learner.predict_f64(row).unwrap()[0];
        learner.learn_f64(&row[1..]).unwrap();
        if t >= 1199 {
            learner.resume();
            assert_eq!(forecasts[t - 1199].parse::<f64>().unwrap().to_bits(), y.to_bits(), "{t}");
        }
    }
}

#[test]
fn learns_with_every_kind_of_model() {
    let run = Run::new();
    series(&run);
    let train = "--cell gru --hidden 6 --epochs 2 --test-fraction 0.1 --learn";
    for (more, says) in [
        ("--column new,old --horizon 3 --plot p.png", "new, learning while it runs, 3 steps ahead: "),
        ("--column new --target old", "old, learning while it runs: "),
        ("--column old --target-as change --loss gaussian", "old, learning while it runs: "),
        ("--column old --loss quantiles --horizon 2", "old, learning while it runs, one step ahead: "),
        (
            "--column old --refit 50 --sliding 400",
            "147 updates, weights taken back 0 times; it starts again after each training",
        ),
    ] {
        let said = run.ok(&format!("evaluate s.csv {train} {more}")).stdout;
        assert!(said.contains(says), "{more}: {said}");
        assert_eq!(said.contains("over the model, 95 %"), more.contains("--horizon"), "{said}");
    }
    assert!(run.bytes("p.png").starts_with(b"\x89PNG"));
    // a file of options says the same as the flags
    run.file("c.toml", "column = \"old\"\nhidden = 6\nepochs = 2\nlearn = true\nlearn-lr = 0.004\nevery = 3\n");
    let typed = run.ok("evaluate s.csv --column old --hidden 6 --epochs 2 --learn --learn-lr 0.004 --every 3").stdout;
    assert_eq!(run.ok("evaluate s.csv --config c.toml").stdout, typed);
    assert!(typed.contains("every 3, window 16, learning rate 0.004; 99 updates"), "{typed}");
}

#[test]
fn what_does_not_go_together_is_said_before_the_work() {
    let run = Run::new();
    series(&run);
    let wide: String = (0..40)
        .map(|t| (0..33).map(|c| format!("{}", (7 * t + c) % 13)).collect::<Vec<_>>().join(",") + "\n")
        .collect();
    run.file("wide.csv", wide);
    for (wrong, code, says) in [
        ("--every 2", 2, "--every: goes only with --learn; add --learn"),
        ("--learn-lr 0.1", 2, "--learn-lr: goes only with --learn; add --learn"),
        ("--adapt 0.9", 2, "--adapt: goes only with --learn; add --learn"),
        ("--learn --save-every 5", 2, "--save-every"),
        ("--learn --every 0", 2, "'--every <N>': must be a whole number, 1 or more"),
        ("--learn --window 0", 2, "'--window <K>': must be a whole number, 1 or more"),
        ("--learn --learn-lr=-1", 2, "'--learn-lr <RATE>': must be a finite number"),
        ("--learn --adapt 0.9 --loss gaussian", 1, "adapt: only for a model that predicts one value"),
        ("--learn --device cuda", 1, "evaluate --learn runs on the CPU only"),
        ("--plot p.jpg", 1, "a plot is written as .svg or .png"),
        ("--plot no/p.svg", 1, "create it first"),
    ] {
        // so long a training would be noticed
        let args = format!("evaluate s.csv --epochs 100000000 {wrong}");
        match code {
            1 => drop(run.fails(&args, &[says])),
            _ => run.misused(&args, &[says]),
        }
    }
    let words = ["room for 32 columns, not 33; name some"];
    run.misused("evaluate wide.csv --epochs 100000000 --plot p.svg", &words);
    let words = ["room for 21 columns, not 33; name some"];
    run.misused("evaluate wide.csv --epochs 100000000 --horizon 2 --plot p.svg", &words);
    // a column has two pictures one step ahead, and three further on
    let columns = |count: usize| (1..=count).map(|c| c.to_string()).collect::<Vec<_>>().join(",");
    for (count, horizon) in [(32, 1), (21, 2)] {
        let column = columns(count);
        let flags = "--hidden 2 --seq-len 3 --epochs 1 --plot p.svg";
        run.ok(&format!("evaluate wide.csv --column {column} --horizon {horizon} {flags}"));
    }
}
