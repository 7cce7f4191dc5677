//! Every number that an option takes is held to a range. The test tries each option that `--help`
//! lists, so a new option without a check is found.

use super::run::Run;
use rnnstep::model::file;
use rnnstep::net::layout::Layout;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Each command with what it needs.
const COMMANDS: [(&str, &str); 11] = [
    ("train", "s.csv"),
    ("predict", "m.safetensors s.csv"),
    ("stream", "m.safetensors --learn"),
    ("forecast", "m.safetensors s.csv --bands 80 --steps 2"),
    ("evaluate", "s.csv --learn"),
    ("search", "s.csv"),
    ("gates", "m.safetensors s.csv"),
    ("convert", "m.safetensors --to rust"),
    ("bench", ""),
    ("compile", "m.safetensors --arch sm_90 --out b"),
    ("info", "m.safetensors"),
];

/// Options that take names, files and words. All others hold numbers.
const WORDS: &str = "arch bundle cell column comment config decimal delimiter device dtype final-state forecasts frame head header html init \
                     init-state isa journal log loss-on missing na nonlinearity only optimizer out plot recurrent resume save-grads scale \
                     series state target target-as thousands time to weights";

/// What no number is allowed to be, but for the exceptions below.
const WRONG: [&str; 9] = ["NaN", "inf", "-inf", "-1", "1e400", "18446744073709551616", "", "0x10", "0"];

/// What is taken all the same, since it means something.
fn means_something(command: &str, option: &str, value: &str) -> bool {
    let words = |list: &str| list.split_whitespace().any(|word| word == option);
    match value {
        // a value of the data
        "-1" | "0" | "18446744073709551616" if words("lower upper") => true,
        // `train --save-every 0` is never, `stream --save-every 0` would be no way to count
        "0" if option == "save-every" => command == "train",
        "0" => {
            words(
                "adapt betas dampening dropout epochs gap learn-lr lr momentum patience seed skip-rows steps val-fraction weight-decay",
            ) && (command, option) != ("forecast", "steps")
        }
        // large, but a number
        "18446744073709551616" => words("clip eps learn-lr lr momentum weight-decay"),
        _ => false,
    }
}

/// The options of a command that take a value, as its help lists them.
fn options(run: &Run, command: &str) -> Vec<String> {
    let help = run.ok(&format!("{command} --help")).stdout;
    let option = |line: &str| {
        let (flag, _) = line.trim_start().strip_prefix("--")?.split_once(" <")?;
        Some(flag.to_string())
    };
    help.lines().filter_map(option).collect()
}

fn folder() -> Run {
    let run = Run::new();
    let row = |t: usize| format!("{}\n", (t as f32 * 0.37).sin());
    run.file("s.csv", format!("wave\n{}", (0..60).map(row).collect::<String>()));
    run.ok("train s.csv --hidden 3 --epochs 1 --no-plot --out m.safetensors");
    run
}

#[test]
fn every_number_of_every_command_has_a_range() {
    let run = folder();
    let (mut numbers, mut words) = (BTreeSet::new(), BTreeSet::new());
    for (command, needs) in COMMANDS {
        for option in options(&run, command) {
            if WORDS.split_whitespace().any(|word| word == option) {
                words.insert(option);
                continue;
            }
            for value in WRONG {
                let needs = needs.replace(&format!("--{option} 2"), "");
                if means_something(command, &option, value) {
                    continue;
                }
                run.misused(&format!("{command} {needs} --{option}={value}"), &[&format!("--{option}")]);
            }
            // also where the number stands by itself
            if !means_something(command, &option, "-1") {
                let needs = needs.replace(&format!("--{option} 2"), "");
                let answer = run.run(&format!("{command} {needs} --{option} -1"));
                assert_eq!(answer.code, Some(2), "{command} --{option} -1\n{}", answer.stderr);
            }
            numbers.insert(option);
        }
    }
    // nothing has become of the lists
    assert!(numbers.len() >= 38, "{numbers:?}");
    assert_eq!(words.into_iter().collect::<Vec<_>>().join(" "), WORDS.split_whitespace().collect::<Vec<_>>().join(" "));
}

#[test]
fn what_means_something_is_taken() {
    let run = folder();
    for flags in [
        "--dropout 0 --val-fraction 0 --lr 0 --betas 0,0 --weight-decay 0 --patience 0 --seed 18446744073709551615",
        "--optimizer sgd --momentum 0 --dampening 0",
        "--optimizer sgd --momentum 0.5 --dampening 1",
        "--epochs 0",
        "--steps 0 --save-every 0",
        "--print-every 18446744073709551615",
        "--clip 1e30 --eps 1e-30 --betas 0.999999,0.99999999",
    ] {
        let length = if flags.contains("--epochs") || flags.contains("--steps") { "" } else { "--epochs 2" };
        run.ok(&format!("train s.csv --hidden 3 {length} {flags} --no-plot --out n.safetensors"));
        let finite = |(_, tensor): (&String, &rnnstep::Tensor)| tensor.data().iter().all(|value| value.is_finite());
        assert!(run.tensors("n.safetensors").iter().all(finite), "{flags}");
    }
    run.ok("search s.csv --tries 2 --epochs 1 --out r.toml");
    run.ok("evaluate s.csv --hidden 3 --epochs 1 --gap 0 --learn --learn-lr 0");
}

#[test]
fn numbers_inside_of_words() {
    let run = folder();
    for (command, option, values) in [
        (
            "train s.csv",
            "schedule",
            "step:0:0.5 step:1:NaN step:1:-1 step:1:1e400 step:1:inf step:-1:0.5 cosine:0 cosine:NaN cosine:3:NaN \
                                     cosine:3:-1 cosine:3:inf step:18446744073709551616:1",
        ),
        (
            "train s.csv",
            "loss",
            "quantiles:NaN quantiles:0 quantiles:1 quantiles:-0.5 quantiles:inf quantiles:0.5,0.5 quantiles:",
        ),
        ("train s.csv", "save-every", "NaNs infs -1s -infs 1e400s s"),
        ("search s.csv", "budget", "NaNs infs -1s 1e400s -infm s 1"),
        ("train s.csv", "betas", "0.9,NaN 0.9,1 1.5,0.9 0.9,-0.1"),
        ("forecast m.safetensors s.csv --steps 2", "bands", "50,NaN 50,100 0,50 50,inf"),
    ] {
        for value in values.split_whitespace() {
            run.misused(&format!("{command} --{option}={value}"), &[&format!("--{option}")]);
        }
    }
    for device in ["cuda:-1", "cuda:NaN", "cuda:18446744073709551616", "cuda:", "cpu:1"] {
        run.misused(&format!("train s.csv --device {device}"), &["device", device]);
    }
}

/// The same numbers in a file of options: exit code 1, and the line that names file and option.
#[test]
fn numbers_in_a_file_of_options() {
    let run = folder();
    for option in options(&run, "train") {
        let said =
            "log plot print-every save-every save-grads threads init resume out device isa dtype frame bundle config";
        if WORDS.split_whitespace().chain(said.split_whitespace()).any(|word| word == option) {
            continue;
        }
        for value in ["nan", "inf", "-inf", "-1", "\"x\""] {
            if means_something("train", &option, value) {
                continue;
            }
            run.file("r.toml", format!("\n{option} = {value}\n"));
            let line = run.fails("train s.csv --no-plot --config r.toml", &["r.toml: line 2: ", &option]);
            assert!(line.len() < 300, "{line}");
        }
    }
}

/// The same file with another value in its recipe, or with another recipe.
fn damage(run: &Run, from: &str, to: &str, key: &str, value: Value) {
    let mut parts = file::read(run.path(from), &file::ReadOptions::default()).unwrap();
    match (key, &mut parts.metadata.recipe) {
        ("", recipe) => *recipe = Some(value),
        (key, Some(recipe)) => recipe[key] = value,
        _ => panic!("no recipe"),
    }
    let names = Layout::new(&parts.shape);
    let weights: Vec<_> = names.entries().iter().map(|entry| entry.name.clone()).zip(parts.weights).collect();
    let extra: Vec<_> = parts.extra.into_iter().collect();
    file::write(run.path(to), &parts.shape, &weights, &parts.metadata, &extra).unwrap();
}

/// A recipe that somebody wrote into a model file is held to the same ranges, in every command that reads it.
#[test]
fn a_damaged_recipe_names_its_file() {
    let run = folder();
    let mut cases = vec![
        ("", json!(5), "not a JSON object"),
        ("", json!([1]), "not a JSON object"),
        ("", json!("x"), "not a JSON object"),
        ("", json!({}), "missing field"),
        ("odd", json!(1), "odd"),
        ("loss", json!("nonsense"), "loss"),
        ("cell", json!("foo"), "cell"),
        ("betas", json!([1]), "betas"),
        ("betas", json!([0.5]), "betas"),
        ("betas", json!([0.5, 0.5, 0.5]), "betas"),
        ("season", json!(3), "season"),
        ("schedule", json!("step:1:-1"), "schedule"),
        ("nesterov", json!("yes"), "nesterov"),
        ("lr", json!(null), "lr"),
        ("hidden", json!(1.5), "hidden"),
        ("data", json!([]), "data"),
    ];
    // every number of a recipe
    let recipe = file::read(run.path("m.safetensors"), &file::ReadOptions::default()).unwrap().metadata.recipe.unwrap();
    let keys: Vec<String> = recipe.as_object().unwrap().keys().cloned().collect();
    let number = |key: &&String| {
        recipe[key.as_str()].is_number() || ["clip", "weight-decay", "stride", "patience"].contains(&key.as_str())
    };
    for key in keys.iter().filter(number) {
        cases.push((key, json!(-1), key));
        cases.push((key, json!("x"), key));
        cases.push((key, json!(1e39), key));
    }
    assert!(cases.len() > 50, "{}", cases.len());
    for (key, value, word) in cases {
        damage(&run, "m.safetensors", "d.safetensors", key, value.clone());
        damage(&run, "m.checkpoint.safetensors", "d.checkpoint.safetensors", key, value);
        run.fails("info d.safetensors --recipe", &["d.safetensors: ", word]);
        let answer = run.run("info d.safetensors");
        let line = answer.error("info d.safetensors");
        assert!(
            line.contains("d.safetensors: ") && line.contains(word) && answer.stdout.contains("fc.weight"),
            "{line}"
        );
        run.fails("evaluate s.csv d.safetensors", &["d.safetensors: ", word]);
        run.fails("evaluate s.csv d.safetensors --refit 30", &["d.safetensors: ", word]);
        run.fails("stream d.safetensors --learn", &["d.safetensors: ", word]);
        run.fails("forecast d.safetensors s.csv --steps 1 --bands 50", &["d.safetensors: ", word]);
        run.fails("forecast d.safetensors --steps 1", &["d.safetensors: ", word]);
        run.fails(
            "train --resume d.checkpoint.safetensors --epochs 3 --no-plot",
            &["d.checkpoint.safetensors: ", word],
        );
        // nothing is asked of it where only weights are wanted
        run.ok("predict d.safetensors s.csv --out p.csv");
        run.ok("train --init d.safetensors --steps 1 --no-plot --out i.safetensors");
    }
}

/// So is that of a model in a folder; the others are not touched by it.
#[test]
fn a_damaged_recipe_in_a_folder() {
    let run = folder();
    let row = |t: usize| format!("{},{t},{}\n", ["a", "b"][t % 2], (t as f32 * 0.2).sin());
    run.file("long.csv", format!("shop,day,sold\n{}", (0..160).map(row).collect::<String>()));
    run.ok("train long.csv --series shop --column sold --hidden 3 --epochs 1 --per-series --out models");
    damage(&run, "models/a.safetensors", "models/a.safetensors", "loss", json!("nonsense"));
    let of_all = "models long.csv --series shop --steps 1 --bands 50";
    run.fails("evaluate long.csv models --series shop --only a", &["models/a.safetensors: ", "loss"]);
    run.ok("evaluate long.csv models --series shop --only b");
    for command in [format!("forecast {of_all}"), "evaluate long.csv models --series shop".into()] {
        let answer = run.run(&command);
        assert_eq!(answer.code, Some(1), "{command}\n{}", answer.stderr);
        let line = answer.stderr.lines().last().unwrap();
        assert!(line.contains("models/a.safetensors: ") && line.contains("loss"), "{command}: {line}");
        assert!(answer.stdout.contains('b') && !answer.stdout.contains("\na,"), "{command}\n{}", answer.stdout);
    }
    let answer = run.run(&format!("forecast {of_all} --only a"));
    assert_eq!(answer.code, Some(1));
    assert!(answer.stderr.contains("models/a.safetensors: "), "{}", answer.stderr);
    // trained anew, since it is not what was asked for
    run.ok("train long.csv --series shop --column sold --hidden 3 --epochs 1 --per-series --resume models");
    run.ok("evaluate long.csv models --series shop --only a");
}
