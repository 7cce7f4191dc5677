//! Command lines: every option that `--help` names, with values that are right, wrong, twice, against each other, and with files
//! that are good, damaged, absent, folders, links and devices.

use crate::campaign::campaign;
use crate::dice::{Dice, NASTY_NUMBERS, NASTY_TEXTS, NASTY_U64};
use crate::program::Place;
use crate::texts::{damaged, input};
use std::process::Command;

/// The commands, and what each of them is given that a case says nothing else of: enough of it to come far, little enough
/// work to be done soon.
const COMMANDS: [(&str, &str); 14] = [
    ("train", "good.csv --epochs 2 --hidden 3 --seq-len 5 --no-plot --out out.safetensors"),
    ("train", "--steps 20 --hidden 3 --out out.safetensors --plot out.svg"),
    (
        "train",
        "long.csv --series shop --column sales --per-series --epochs 1 --hidden 3 --seq-len 5 --no-plot --out out",
    ),
    ("train", "--resume m.checkpoint.safetensors --epochs 3 --no-plot --out out.safetensors"),
    ("predict", "m.safetensors good.csv"),
    ("stream", "m.safetensors"),
    ("forecast", "m.safetensors good.csv --steps 3"),
    ("evaluate", "good.csv m.safetensors"),
    ("evaluate", "good.csv --epochs 1 --hidden 3 --seq-len 5"),
    ("search", "good.csv --tries 2 --epochs 2 --journal out.json --out out.toml"),
    ("gates", "m.safetensors good.csv"),
    ("convert", "m.safetensors --to rust"),
    ("bench", "m.safetensors --seconds 0.01"),
    ("info", "m.safetensors"),
];

/// Options that say how much work is asked for. Whoever may ask may ask for much, so they get no large numbers here.
const WORK: [&str; 18] = [
    "--hidden",
    "--layers",
    "--seq-len",
    "--batch",
    "--epochs",
    "--steps",
    "--tries",
    "--paths",
    "--budget",
    "--seconds",
    "--horizon",
    "--threads",
    "--window",
    "--season",
    "--patience",
    "--schedule",
    "--refit",
    "--print-every",
];

/// Values of options that take none of the usual kinds.
const VALUES: [(&str, &[&str]); 20] = [
    (
        "--loss",
        &[
            "mse",
            "huber",
            "gaussian",
            "quantiles",
            "quantiles:0.1,0.9",
            "quantiles:",
            "quantiles:0.5,0.5",
            "quantiles:2",
        ],
    ),
    (
        "--schedule",
        &["constant", "step:5:0.5", "cosine", "cosine:9:0.001", "step:0:1", "cosine:-1", "step:1:nan", "step:"],
    ),
    ("--device", &["auto", "cpu", "cuda", "cuda:1", "cuda:99999999999", "tpu"]),
    ("--isa", &["portable", "avx2", "avx512", "neon", "sse"]),
    ("--bands", &["50", "50,90", "90,50", "0", "100", "nan", "1e-9", "50,50,50", ","]),
    ("--budget", &["1s", "0.5s", "0", "1m", "-1s", "s", "1e-9s", "nans"]),
    ("--save-every", &["1", "0", "0.001s", "2s", "-1", "nans", "1e999s"]),
    ("--column", &["value", "time", "1", "2", "1,2", "value,value", "absent", "0", ",", "99999999999999999999"]),
    ("--target", &["value", "time", "1", "2", "absent", ","]),
    ("--series", &["shop", "value", "absent", "1"]),
    ("--only", &["a", "absent", ""]),
    ("--time", &["time", "1", "value", "absent"]),
    ("--delimiter", &[",", ";", "\\t", "ab", "\"", " "]),
    ("--header", &["true", "false", "maybe"]),
    ("--betas", &["0.9", "0.9,0.99", "1", "-1,2", "nan"]),
    ("--config", &["config.toml", "recipe.toml", "good.csv", "absent"]),
    ("--resume", &["m.safetensors", "m.checkpoint.safetensors", "shops", "absent", "good.csv"]),
    ("--init", &["m.safetensors", "q.safetensors", "windows.safetensors", "absent"]),
    ("--init-state", &["state.safetensors", "m.safetensors", "absent"]),
    ("--seconds", &["0.01", "0", "-1", "nan", "1e-300"]),
];

/// An option as `--help` shows it.
struct Flag {
    name: String,
    /// What its value is called; `None` if it takes none.
    meta: Option<String>,
    /// What it may be, where help says so.
    possible: Vec<String>,
}

#[test]
fn lines() {
    campaign("commands::lines", 1500, |folder| {
        let place = Place::new(folder);
        #[cfg(unix)]
        for (name, to) in [("link", "good.csv"), ("loop", "loop"), ("dangling", "absent")] {
            std::os::unix::fs::symlink(to, place.path(name)).unwrap();
        }
        let options = COMMANDS.map(|(command, _)| options(command));
        let names = place.names();
        move |case| {
            let dice = &mut case.dice;
            let at = dice.below(COMMANDS.len());
            let (command, usual) = COMMANDS[at];
            let mut changed = vec![];
            if dice.once_in(3) {
                let name = names[dice.below(names.len())].as_str();
                let mut bytes = place.good(name);
                damaged(dice, name, &mut bytes);
                changed.push((name, bytes));
            }
            let mut args = vec![command.to_string()];
            args.extend(line(dice, usual, &options[at]));
            let input = input(dice);
            // where a training goes that is told nothing else
            place.run(
                &args,
                &input,
                &changed,
                &["model.safetensors", "model.checkpoint.safetensors", "model.svg", "models/"],
            )
        }
    });
}

/// What stands behind the name of the command.
fn line(dice: &mut Dice, usual: &str, options: &[Flag]) -> Vec<String> {
    let mut args: Vec<String> = usual.split_whitespace().map(String::from).collect();
    for _ in 0..dice.one(&[0, 1, 1, 2, 2, 3, 5]) {
        let option = &options[dice.below(options.len())];
        // mostly in the place of what is usual; twice is refused
        if let Some(at) = args.iter().position(|arg| *arg == option.name).filter(|_| !dice.once_in(8)) {
            let values = usize::from(option.meta.is_some() && at + 1 < args.len());
            args.drain(at..=at + values);
        }
        let Some(meta) = &option.meta else {
            args.push(option.name.clone());
            continue;
        };
        let value = value(dice, &option.name, meta, &option.possible);
        if dice.once_in(3) {
            args.push(format!("{}={value}", option.name));
        } else {
            args.extend([option.name.clone(), value]);
        }
    }
    match dice.below(12) {
        // an argument changed, gone, twice or in another place
        0 if !args.is_empty() => {
            let at = dice.below(args.len());
            args[at] = any_file(dice).into();
        }
        1 if !args.is_empty() => drop(args.remove(dice.below(args.len()))),
        2 => args.push(any_file(dice).into()),
        3 => args.insert(
            dice.below(args.len() + 1),
            dice.one(&["--", "-", "--help", "-x", "--no-such", "--no-plot"]).into(),
        ),
        4 if !args.is_empty() => {
            let at = dice.below(args.len());
            args.rotate_left(at);
        }
        _ => {}
    }
    args
}

fn any_file(dice: &mut Dice) -> &'static str {
    dice.one(&[
        "good.csv",
        "./good.csv",
        "long.csv",
        "x.npy",
        "m.safetensors",
        "q.safetensors",
        "windows.safetensors",
        "sequence.safetensors",
        "shops",
        "folder",
        "absent.csv",
        "absent/absent.csv",
        "config.toml",
        "link",
        "loop",
        "dangling",
        "/dev/null",
        "",
        ".",
        "-",
        "good.csv/x",
    ])
}

fn value(dice: &mut Dice, name: &str, meta: &str, possible: &[String]) -> String {
    let work = WORK.contains(&name);
    if !possible.is_empty() && !dice.once_in(6) {
        return possible[dice.below(possible.len())].clone();
    }
    if let Some((_, values)) = VALUES.iter().find(|(option, _)| *option == name)
        && !dice.once_in(8)
    {
        return dice.one(values).into();
    }
    if meta.contains("FILE") && !dice.once_in(8) {
        return output(dice).into();
    }
    match dice.below(10) {
        0..=2 => dice.below(6).to_string(),
        3 | 4 if !work => format!("{}", f64::from(dice.small().abs())),
        5 if !work => dice.one(&NASTY_U64).to_string(),
        // for seconds 1e3 is a number
        6 if name == "--seconds" => dice.one(&["0", "-1", "nan", "1e-3", "0x3"]).into(),
        6 if work => dice.one(&["0", "-1", "nan", "1e3", "99999999999999999999", "0x3", "1.5", "3 "]).into(),
        6 | 7 => dice.one(&NASTY_NUMBERS).into(),
        8 => dice.one(&NASTY_TEXTS).into(),
        _ if meta.contains("FILE") => output(dice).into(),
        _ => "1".into(),
    }
}

/// Where something is to be written.
fn output(dice: &mut Dice) -> &'static str {
    dice.one(&[
        "out2.csv",
        "out3.safetensors",
        "out4.svg",
        "out5.png",
        "out6.npy",
        "out7.html",
        "out8.toml",
        "out",
        "out.safetensors",
        "out9",
        "absent/out.csv",
        "folder",
        "/dev/null",
        "/dev/full",
        "out/out.csv",
        "",
        "good.csv/out.csv",
    ])
}

/// The options that a command names in its help.
fn options(command: &str) -> Vec<Flag> {
    let help = Command::new(env!("CARGO_BIN_EXE_rnnstep")).args([command, "--help"]).output().unwrap();
    let mut options: Vec<Flag> = vec![];
    for line in String::from_utf8(help.stdout).unwrap().lines() {
        if let Some(option) = line.strip_prefix("      --") {
            let (name, meta) =
                option.split_once(' ').map_or((option, None), |(name, meta)| (name, Some(meta.to_string())));
            options.push(Flag { name: format!("--{name}"), meta, possible: vec![] });
        } else if let Some(last) = options.last_mut() {
            let line = line.trim();
            let listed = line.strip_prefix("[possible values: ").and_then(|rest| rest.strip_suffix(']'));
            last.possible.extend(listed.into_iter().flat_map(|list| list.split(", ").map(String::from)));
            last.possible
                .extend(line.strip_prefix("- ").and_then(|one| one.split_once(':')).map(|(name, _)| name.to_string()));
        }
    }
    assert!(
        options.len() > 3,
        "{command} --help: {} options; how they are looked for no longer fits it",
        options.len()
    );
    options
}
