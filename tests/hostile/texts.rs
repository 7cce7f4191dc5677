//! Every kind of file, damaged, through every command that reads it: recipes, journals, logs, tables of scores, states, learners,
//! checkpoints, models and series.

use crate::campaign::campaign;
use crate::damage;
use crate::dice::Dice;
use crate::program::Place;

/// The file that is damaged, the command, and what else it may change.
type Reader = (&'static str, &'static str, &'static [&'static str]);

const READERS: &[Reader] = &[
    ("config.toml", "train --config config.toml --no-plot --out out.safetensors", &[]),
    ("config.toml", "evaluate --config config.toml", &[]),
    ("config.toml", "search --config config.toml --tries 2 --journal out.json --out out.toml", &[]),
    ("recipe.toml", "train good.csv --config recipe.toml --epochs 2 --no-plot --out out.safetensors", &[]),
    ("journal.json", "search good.csv --tries 3 --epochs 2 --journal journal.json --out out.toml", &["journal.json"]),
    (
        "log.csv",
        "train later.csv --resume m.safetensors --epochs 3 --log log.csv --no-plot --out out.safetensors",
        &["log.csv"],
    ),
    ("shops/scores.csv", "evaluate long.csv shops --series shop --out out.csv", &[]),
    ("shops/scores.csv", "train --resume shops --no-plot --threads 1", &["shops/scores.csv"]),
    ("good.csv", "train good.csv --epochs 1 --seq-len 5 --hidden 3 --out out.safetensors --plot out.svg", &[]),
    ("good.csv", "train --resume m.safetensors --epochs 3 --no-plot --out out.safetensors", &[]),
    ("good.csv", "evaluate good.csv m.safetensors --horizon 2 --out out.csv --html out.html", &[]),
    ("good.csv", "predict m.safetensors good.csv --out out.npy", &[]),
    ("good.csv", "forecast m.safetensors good.csv --steps 3 --bands 50,90 --paths 50 --plot out.png", &[]),
    ("good.csv", "gates m.safetensors good.csv --out out.csv --plot out.svg", &[]),
    (
        "long.csv",
        "train long.csv --series shop --column sales --epochs 1 --hidden 3 --seq-len 5 --no-plot --out out.safetensors",
        &[],
    ),
    (
        "long.csv",
        "train long.csv --series shop --column sales --per-series --epochs 1 --hidden 3 --seq-len 5 --no-plot --out out",
        &[],
    ),
    ("long.csv", "predict shops long.csv --series shop --out out.csv", &[]),
    ("long.csv", "evaluate long.csv shops --series shop", &[]),
    ("x.npy", "predict m.safetensors x.npy", &[]),
    ("x.npy", "train x.npy --epochs 1 --seq-len 4 --no-plot --out out.safetensors", &[]),
    ("m.safetensors", "info m.safetensors", &[]),
    ("m.safetensors", "info m.safetensors --recipe", &[]),
    ("m.safetensors", "predict m.safetensors good.csv --out out.csv --final-state out.safetensors", &[]),
    (
        "m.safetensors",
        "forecast m.safetensors good.csv --steps 4 --bands 80 --paths 50 --out out.csv --plot out.svg",
        &[],
    ),
    ("m.safetensors", "stream m.safetensors --latency", &[]),
    ("m.safetensors", "gates m.safetensors good.csv --plot out.svg", &[]),
    ("m.safetensors", "evaluate good.csv m.safetensors --html out.html --plot out.png", &[]),
    ("m.safetensors", "convert m.safetensors --to rust --out out.rs", &[]),
    ("m.safetensors", "train good.csv --init m.safetensors --epochs 1 --no-plot --out out.safetensors", &[]),
    ("m.safetensors", "bench m.safetensors --seconds 0.01", &[]),
    ("q.safetensors", "info q.safetensors", &[]),
    ("q.safetensors", "forecast q.safetensors good.csv --steps 3 --bands 50,95 --paths 60 --out out.npy", &[]),
    ("q.safetensors", "predict q.safetensors good.csv --weights int8", &[]),
    ("q.safetensors", "convert q.safetensors --to rust --weights int8", &[]),
    ("q.safetensors", "stream q.safetensors --learn --window 3 --out out.safetensors", &[]),
    ("shops/a.safetensors", "predict shops long.csv --series shop", &[]),
    (
        "m.checkpoint.safetensors",
        "train --resume m.checkpoint.safetensors --epochs 3 --no-plot --out out.safetensors",
        &[],
    ),
    ("l.learner.safetensors", "stream l.learner.safetensors --learn --out out.safetensors --save-every 2", &[]),
    (
        "state.safetensors",
        "predict m.safetensors good.csv --init-state state.safetensors --final-state out.safetensors",
        &[],
    ),
    ("windows.safetensors", "train windows.safetensors --epochs 1 --no-plot --out out.safetensors", &[]),
    ("sequence.safetensors", "predict m.safetensors sequence.safetensors", &[]),
];

#[test]
fn files() {
    campaign("texts::files", 1500, |folder| {
        let place = Place::new(folder);
        move |case| {
            let dice = &mut case.dice;
            let &(name, command, may_change) = &READERS[dice.below(READERS.len())];
            let mut bytes = place.good(name);
            for _ in 0..dice.one(&[0, 1, 1, 1, 1, 2, 2, 3]) {
                let mut worse = bytes.clone();
                damaged(dice, name, &mut worse);
                if !(name.ends_with(".toml") && damage::asks_for_much(&worse)) {
                    bytes = worse;
                }
            }
            let input = input(dice);
            let args: Vec<String> = command.split(' ').map(String::from).collect();
            place.run(&args, &input, &[(name, bytes)], may_change)
        }
    });
}

/// Damages a file as one that knows what it is.
pub fn damaged(dice: &mut Dice, name: &str, bytes: &mut Vec<u8>) {
    if name.ends_with(".safetensors") {
        damage::container(dice, bytes);
    } else if name.ends_with(".npy") {
        damage::bytes(dice, bytes);
    } else if name.ends_with(".json") && dice.once_in(2) {
        // a value in a line
        let mut lines: Vec<Vec<u8>> = bytes.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
        let at = dice.below(lines.len());
        if let Ok(mut value) = serde_json::from_slice(&lines[at]) {
            damage::json(dice, &mut value);
            lines[at] = damage::json_text(&value).into_bytes();
        }
        *bytes = lines.join(&b'\n');
    } else {
        damage::text(dice, bytes);
    }
}

/// Lines for a command that reads from stdin.
pub fn input(dice: &mut Dice) -> Vec<u8> {
    let mut lines: Vec<u8> = (0..12).flat_map(|_| format!("{}\n", dice.value()).into_bytes()).collect();
    for _ in 0..dice.below(4) {
        damage::text(dice, &mut lines);
    }
    lines
}
