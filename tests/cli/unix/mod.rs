//! The command line keeps the rules of Unix: signals, pipes, links, descriptors, and names that a
//! terminal would obey.
#![cfg(all(unix, feature = "cli"))]

mod closed;
mod files;
mod names;
mod same;
mod signals;

use crate::run::Run;
use std::process::{Command, Output};

/// Runs a shell in the folder of `run`; `$R` is the program.
fn shell(run: &Run, script: &str) -> Output {
    let mut command = Command::new("bash");
    command.args(["-c", script]).env("R", env!("CARGO_BIN_EXE_rnnstep")).current_dir(run.folder());
    command.output().unwrap()
}

/// The same; what it said on stdout and on stderr, and how the shell ended.
fn said(run: &Run, script: &str) -> (String, String, Option<i32>) {
    let Output { stdout, stderr, status } = shell(run, script);
    let [stdout, stderr] = [stdout, stderr].map(|said| String::from_utf8(said).unwrap());
    assert!(!stderr.contains("panicked"), "{script}\n{stderr}");
    (stdout, stderr, status.code())
}

/// A model of the sunspots.
fn trained(run: &Run) {
    run.example("sunspots.csv");
    run.ok("train sunspots.csv --cell gru --hidden 4 --epochs 1 --target-as value --no-plot --out m.safetensors");
}

/// Three series of one table, in long form.
fn shops(run: &Run) {
    let mut text = String::from("shop,day,sold\n");
    for day in 0..60 {
        for shop in ["north", "south", "west"] {
            text += &format!("{shop},{day},{}\n", (day * 7 + shop.len()) % 13);
        }
    }
    run.file("all.csv", text);
}
