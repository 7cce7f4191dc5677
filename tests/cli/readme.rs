//! What the commands of the README print, against a committed transcript, `readme.txt`: whoever changes a word or a number of the
//! output sees it there. Times and instruction sets are blanked out. All instruction sets give the same bits, so the numbers are those of every
//! machine. To write the transcript anew: `RNNSTEP_TRANSCRIPT=write cargo test --release --test cli readme`.

use crate::run::Run;
use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;

/// Three stores in long form; the values are whole numbers, so that no library of mathematics has a say in them.
fn sales() -> String {
    let mut table = String::from("date,store,sales\n");
    for day in 0..160 {
        for (i, store) in ["north", "south", "east"].iter().enumerate() {
            let week = [0, 3, 7, 12, 20, 31, 24][(day + i) % 7];
            table += &format!("2024-{day:03},{store},{}\n", 100 * (i + 1) + week + day / 4 + (day * 37 + i * 11) % 9);
        }
    }
    table
}

/// A folder with the data of the README.
fn folder() -> Run {
    let run = Run::new();
    fs::create_dir_all(run.path("examples/data")).unwrap();
    for name in ["sunspots.csv", "seattle-weather.csv"] {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data").join(name);
        fs::copy(from, run.path("examples/data").join(name)).unwrap();
    }
    let sunspots = run.text("examples/data/sunspots.csv");
    let numbers: Vec<&str> = sunspots.lines().skip(1).map(|line| line.split(',').nth(1).unwrap()).collect();
    run.file("numbers", numbers.join("\n") + "\n");
    run.file("sales.csv", sales());
    run
}

/// What a command prints, `arguments [< FILE] [> FILE]`, without what differs from run to run or from machine to machine.
fn answer(run: &Run, line: &str) -> String {
    let (line, out) = line.split_once(" > ").map_or((line, None), |(line, out)| (line, Some(out)));
    let (arguments, input) = line.split_once(" < ").map_or((line, None), |(line, input)| (line, Some(input)));
    let stdin = input.map_or_else(Stdio::null, |name| File::open(run.path(name)).unwrap().into());
    let found = run.command(arguments).stdin(stdin).output().unwrap();
    let stdout = String::from_utf8(found.stdout).unwrap();
    if let Some(name) = out {
        run.file(name, &stdout);
        return String::new();
    }
    let of_card = ["  on cuda ", "              forward: ", "              backward: "];
    let lines = stdout.lines().filter(|line| !of_card.iter().any(|start| line.starts_with(start)));
    let mut text: String = lines.map(|line| blanked(line) + "\n").collect();
    if found.status.code() != Some(0) {
        text += &format!("[exit {:?}] {}", found.status.code(), String::from_utf8_lossy(&found.stderr));
    }
    text
}

/// `trained 75 steps in 420.59 µs` without the time, and `on avx2` without the instruction set.
fn blanked(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let mut line = line.trim_end().to_string();
    for group in words.windows(3) {
        let unit = group[2].trim_end_matches(',');
        if group[0] == "in" && group[1].parse::<f64>().is_ok() && ["ns", "µs", "ms", "s"].contains(&unit) {
            line = line.replace(&format!("in {} {unit}", group[1]), "in TIME");
        }
    }
    for isa in ["portable", "avx2", "avx512", "neon"] {
        if let Some(before) = line.strip_suffix(&format!(", on {isa}")) {
            line = format!("{before}, on ISA");
        }
    }
    line
}

#[test]
fn the_commands_of_the_readme_print_what_they_printed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/readme.txt");
    let expected = fs::read_to_string(&path).unwrap();
    let run = folder();
    let mut found = String::new();
    for line in expected.lines().filter_map(|line| line.strip_prefix("$ rnnstep ")) {
        found += &format!("$ rnnstep {line}\n{}", answer(&run, line));
    }
    if std::env::var_os("RNNSTEP_TRANSCRIPT").is_some_and(|what| what == "write") {
        fs::write(&path, &found).unwrap();
        return;
    }
    let mut command = "";
    for (expected, found) in expected.lines().zip(found.lines()) {
        if expected.starts_with("$ ") {
            command = expected;
        }
        assert_eq!(found, expected, "after {command}; see the first lines of this file");
    }
    assert_eq!(found.lines().count(), expected.lines().count(), "lines of the transcript");
}
