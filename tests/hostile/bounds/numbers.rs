//! Each number of every header and of all metadata is replaced by ones that break sums, products
//! and places; reading stays bounded.

use super::{Duration, assert_short, peak, time_of};
use crate::run::Run;
use rnnstep::model::file;
use rnnstep::train::checkpoint::Checkpoint;
use rnnstep::{CellKind, Cpu, Stream};
use serde_json::{Value, json};

/// As JSON: what does not fit into a number of Rust is among them.
const NASTY: [&str; 16] = [
    "0",
    "1",
    "-1",
    "0.5",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "-1e-320",
    "null",
];

/// Where the numbers of a JSON value are; of a list of numbers the first two and the last.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Number(_) => found.push(at.into()),
        Value::Array(values) => {
            let ends = |&(i, _): &(usize, &Value)| i < 2 || i + 1 == values.len();
            values.iter().enumerate().filter(ends).for_each(|(i, value)| places(value, &format!("{at}/{i}"), found));
        }
        Value::Object(values) => {
            for (name, value) in values {
                places(value, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        _ => {}
    }
}

/// The same JSON with `number` at `place`.
fn with(value: &Value, place: &str, number: &str) -> String {
    const MARK: &str = "put a number here";
    let mut value = value.clone();
    *value.pointer_mut(place).unwrap() = MARK.into();
    value.to_string().replace(&format!("{MARK:?}"), number)
}

/// The file `bytes` in all its wrong forms, each with what was put where: first the metadata, then the header itself.
fn wrong_forms(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..end]).unwrap();
    let inside: Value = serde_json::from_str(header["__metadata__"]["rnnstep"].as_str().unwrap()).unwrap();
    let file = |header: &str| [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes[end..]].concat();
    let mut transforms = Vec::new();
    let (mut outer, mut inner) = (vec![], vec![]);
    places(&header, "", &mut outer);
    places(&inside, "", &mut inner);
    for number in NASTY {
        for place in &inner {
            let mut header = header.clone();
            header["__metadata__"]["rnnstep"] = with(&inside, place, number).into();
            transforms.push((format!("{place} {number}"), file(&header.to_string())));
        }
        // of all tensors, one of a matrix, one of a list
        for place in outer.iter().filter(|place| place.contains("hh_l0/") || place.contains("rows.x/")) {
            transforms.push((format!("{place} {number}"), file(&with(&header, place, number))));
        }
    }
    transforms
}

/// A model, its checkpoint and a learner of it, with all that metadata can say.
fn files(run: &Run) {
    let rows: String = (0..80).map(|i| format!("{i},{}\n", 10 + i % 4)).collect();
    run.file("t.csv", format!("time,x\n{rows}"));
    run.ok("train t.csv --hidden 3 --seq-len 6 --epochs 2 --no-plot --target-as seasonal-change --season 4 --loss gaussian \
            --schedule cosine --patience 9 --clip 1 --out seasonal.safetensors");
    run.ok("train t.csv --hidden 3 --seq-len 6 --epochs 2 --no-plot --out m.safetensors");
    run.feed_ok(
        "stream m.safetensors --learn --adapt 0.99 --window 5 --out l.safetensors",
        "11\n12\n13\n10\n11\n12\n13\n",
    );
}

#[test]
fn no_number_of_a_model_file_breaks_it() {
    let run = Run::new();
    files(&run);
    let path = run.path("wrong.safetensors");
    let (mut seen, mut refused) = (0, 0);
    for name in
        ["seasonal.safetensors", "seasonal.checkpoint.safetensors", "m.checkpoint.safetensors", "l.learner.safetensors"]
    {
        for (what, bytes) in wrong_forms(&run.bytes(name)) {
            std::fs::write(&path, &bytes).unwrap();
            let mut result = Ok(());
            let time = time_of(|| {
                let (found, most) = peak(|| -> Result<(), String> {
                    let said = |error: rnnstep::Error| error.to_string();
                    let loaded = file::load(&path, &file::ReadOptions::default(), Cpu::widest()).map_err(said)?;
                    let mut stream = Stream::new(loaded.model).map_err(said)?;
                    stream.step(&[1.0]).map_err(said)?;
                    if name.contains("checkpoint") {
                        Checkpoint::load(&path, Cpu::widest()).map_err(said)?;
                    }
                    Ok(())
                });
                assert!(most < 40 << 20, "{name}: {what}: {most} bytes");
                result = found;
            });
            assert!(time < Duration::from_secs(2), "{name}: {what}: {time:?}");
            if let Err(error) = result {
                assert_short(&what, &error);
                assert!(error.contains("wrong.safetensors"), "{name}: {what}: {error}");
                refused += 1;
            }
            seen += 1;
        }
    }
    println!("{seen} files, {refused} of them refused");
    assert!(seen > 1000 && refused > seen / 4 && refused < seen, "{seen} {refused}");
}

/// What goes on from a file: at most a few seconds of work and half a gigabyte, and one line if it fails.
fn goes_on(name: &str, wanted: impl Fn(&str) -> bool, command: &str, input: &str) {
    let run = Run::new();
    files(&run);
    let limited = run.with_memory(1_000_000).with_time(20);
    let mut seen = 0;
    for (what, bytes) in wrong_forms(&limited.bytes(name)) {
        // an integer beyond all others, a wrap, or a fraction: the rest is for the test above
        let nasty = ["2147483648", "9223372036854775808", "18446744073709551615", "1e308"];
        if !wanted(&what) || !nasty.iter().any(|number| what.ends_with(&format!(" {number}"))) {
            continue;
        }
        std::fs::write(limited.path(name), &bytes).unwrap();
        let answer = limited.feed(command, input);
        if answer.code != Some(0) {
            assert!(matches!(answer.code, Some(1 | 2)), "{what}: {:?}\n{}", answer.code, answer.stderr);
            assert!(answer.stderr.lines().last().is_some_and(|line| line.len() < 1000), "{what}\n{}", answer.stderr);
        }
        seen += 1;
    }
    println!("{command}: {seen} files");
    assert!(seen > 50, "{seen}");
}

#[test]
fn no_number_of_a_learner_breaks_it() {
    let wanted = |what: &str| what.starts_with("/position/") || what.contains("rows.x");
    goes_on("l.learner.safetensors", wanted, "stream l.learner.safetensors --learn", "11\n12\n13\n10\n");
}

#[test]
fn no_number_of_a_checkpoint_breaks_it() {
    let wanted = |what: &str| what.starts_with("/position/") || what.starts_with("/recipe/");
    let command = "train --resume seasonal.checkpoint.safetensors --steps 30 --no-plot --out new.safetensors";
    goes_on("seasonal.checkpoint.safetensors", wanted, command, "");
}

#[test]
fn a_learner_is_what_its_rows_account_for() {
    let run = Run::new();
    files(&run);
    let bytes = run.bytes("l.learner.safetensors");
    let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..end]).unwrap();
    let inside: Value = serde_json::from_str(header["__metadata__"]["rnnstep"].as_str().unwrap()).unwrap();
    let run = run.with_memory(1_000_000).with_time(20);
    for (place, number, word) in [
        ("/position/learner/options/window", json!(u64::MAX), Some("do not fit a window of 18446744073709551615")),
        ("/position/learner/options/window", json!(100_000_000), Some("do not fit a window of 100000000")),
        ("/position/learner/options/every", json!(u64::MAX), None),
        ("/position/learner/options/every", json!(1_u64 << 63), None),
        ("/position/learner/numbers/ticks", json!(u64::MAX), Some("its counters fit no learner")),
        ("/position/learner/numbers/since", json!(u64::MAX), Some("its counters fit no learner")),
        ("/position/learner/numbers/guard/seen", json!(u64::MAX), Some("its counters fit no learner")),
        ("/position/learner/numbers/guard/strikes", json!(u32::MAX), Some("its counters fit no learner")),
        ("/position/learner/numbers/guard/ease", json!(-1e300), Some("its counters fit no learner")),
    ] {
        let mut wrong = inside.clone();
        *wrong.pointer_mut(place).unwrap_or_else(|| panic!("{place}")) = number;
        let mut header = header.clone();
        header["__metadata__"]["rnnstep"] = wrong.to_string().into();
        let header = header.to_string();
        let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes[end..]].concat();
        run.file("w.safetensors", file);
        match word {
            Some(word) => drop(run.fails("stream w.safetensors --learn", &["w.safetensors", word])),
            None => assert_eq!(run.feed_ok("stream w.safetensors --learn", "11\n12\n13\n").stdout.lines().count(), 3),
        }
    }
}

/// What is warmed up is one window, not one for each of its rows: a hundred thousand of them in a moment.
#[test]
fn a_long_window_is_warmed_up_in_a_moment() {
    let run = Run::new().with_time(20);
    run.model("m.safetensors", CellKind::Lstm, [1, 8, 1, 1]);
    run.feed_ok("stream m.safetensors --learn --window 100000", "1\n");
    run.feed_ok("stream m.safetensors --learn --every 1000000000000", "1\n");
}
