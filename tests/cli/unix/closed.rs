//! A stdout that closes, fills up or was never open costs no file.

use super::{said, shops, trained};
use crate::run::Run;

/// `head` takes two lines and goes; so does `true`, before there is one.
const READERS: [&str; 2] = ["head -n 2", "true"];

/// Runs the command with a reader that goes, and again with a full disk for a stdout; `files` are there after both.
fn keeps(run: &Run, before: &str, command: &str, files: &[&str]) {
    let outputs = || files.iter().for_each(|file| assert!(run.path(file).exists(), "{command}: no {file}"));
    for reader in READERS {
        let clean = files.iter().map(|file| format!("rm -f {file}; ")).collect::<String>();
        // the status of the command itself, not that of its reader
        let script = format!(
            "{clean}{before}\"$R\" {command} 2>err | {reader} >/dev/null; echo ${{PIPESTATUS[0]}}; cat err >&2"
        );
        let (code, stderr, _) = said(run, &script);
        assert_eq!(code, "0\n", "{command} | {reader}\n{stderr}");
        assert!(!stderr.contains("error: "), "{command} | {reader}\n{stderr}");
        outputs();
        if std::path::Path::new("/dev/full").exists() {
            let (_, stderr, code) = said(run, &format!("{clean}{before}\"$R\" {command} >/dev/full"));
            assert_eq!(code, Some(1), "{command}\n{stderr}");
            let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
            assert_eq!(errors, ["error: standard output: No space left on device (os error 28)"], "{command}");
            outputs();
        }
    }
}

#[test]
fn a_closed_or_full_stdout_costs_no_file() {
    let run = Run::new();
    trained(&run);
    shops(&run);
    let flags = "--cell lstm --hidden 4 --epochs 3";
    keeps(
        &run,
        "",
        &format!("train sunspots.csv {flags} --print-every 1 --out q.safetensors"),
        &["q.safetensors", "q.checkpoint.safetensors", "q.svg"],
    );
    keeps(
        &run,
        "",
        "train --steps 200 --print-every 1 --out q.safetensors --log q.csv",
        &["q.safetensors", "q.csv", "q.svg"],
    );
    keeps(
        &run,
        "rm -rf models; ",
        &format!("train all.csv --series shop --per-series {flags} --val-fraction 0.3"),
        &["models/north.safetensors", "models/south.safetensors", "models/west.safetensors", "models/scores.csv"],
    );
    keeps(&run, "", "search sunspots.csv --tries 2 --epochs 2 --hidden 3 --out r.toml", &["r.toml", "r.journal.json"]);
    keeps(
        &run,
        "",
        "evaluate sunspots.csv m.safetensors --horizon 2 --out e.csv --forecasts f.csv --html e.html --plot e.svg",
        &["e.csv", "f.csv", "e.html", "e.svg"],
    );
    keeps(&run, "", "evaluate all.csv models --series shop --out e.csv --forecasts f.csv", &["e.csv", "f.csv"]);
    keeps(&run, "", "bench m.safetensors --seconds 0.2 --device cpu --out b.csv --plot b.svg", &["b.csv", "b.svg"]);
    let lines = "seq 1 50 >in; ";
    let learn = |rest: &str| format!("stream m.safetensors --learn --out l.safetensors {rest} <in");
    keeps(&run, lines, &learn(""), &["l.safetensors", "l.learner.safetensors"]);
}

/// What is shown is all that there is: it ends with its reader, without a word, and a full disk is an error.
#[test]
fn what_is_only_shown_ends_with_its_reader() {
    let run = Run::new();
    trained(&run);
    for command in [
        "predict m.safetensors sunspots.csv",
        "predict m.safetensors sunspots.csv --out /dev/stdout",
        "forecast m.safetensors sunspots.csv --steps 5000",
        "gates m.safetensors sunspots.csv",
        "info m.safetensors",
        "info m.safetensors --recipe",
        "convert m.safetensors --to rust",
        "stream m.safetensors < <(yes 5)",
        "train --help",
        "--version",
    ] {
        let (code, stderr, _) =
            said(&run, &format!("\"$R\" {command} 2>err | true; echo ${{PIPESTATUS[0]}}; cat err >&2"));
        // a reader that goes late has had it all
        let silent =
            stderr.lines().all(|line| line.starts_with("columns: ") || line.contains("the model was worse than"));
        assert!(code == "0\n" && silent, "{command}: {code}{stderr}");
        if !std::path::Path::new("/dev/full").exists() || command.starts_with("stream") {
            continue;
        }
        let (_, stderr, code) = said(&run, &format!("\"$R\" {command} >/dev/full"));
        assert!(code == Some(1) && stderr.contains("No space left on device"), "{command}: {code:?} {stderr}");
    }
}

/// One that is closed from the start: nothing that is written lands in its place.
#[test]
fn standard_descriptors_that_are_not_open() {
    let run = Run::new();
    run.example("sunspots.csv");
    for closed in ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"] {
        let script = format!(
            "rm -f c.*; \"$R\" train sunspots.csv --epochs 2 --print-every 1 --log c.csv --out c.safetensors {closed}"
        );
        let (_, stderr, code) = said(&run, &script);
        assert_eq!(code, Some(0), "{closed}: {stderr}");
        assert!(run.text("c.csv").starts_with("step,loss,lr,val_loss\n0,"), "{closed}");
        // it reads them all once more: no line of talk is in any
        let (_, stderr, code) = said(&run, &format!("\"$R\" predict c.safetensors sunspots.csv --out p.csv {closed}"));
        assert_eq!(code, Some(0), "{closed}: {stderr}");
        assert_eq!(run.text("p.csv").lines().count(), run.text("sunspots.csv").lines().count());
        assert!(run.text("c.svg").starts_with("<svg"), "{closed}");
    }
    let (stdout, stderr, code) = said(&run, "\"$R\" stream c.safetensors --learn --out l.safetensors <&-");
    assert!((code, stdout.as_str()) == (Some(0), "") && stderr.starts_with("learned from 0 lines"), "{stderr}");
}

/// Answers that nobody reads end it, and what was learned is there.
#[test]
fn a_learner_whose_reader_goes() {
    let run = Run::new();
    trained(&run);
    let script = "(seq 1 20; sleep 1; seq 21 100000) | \"$R\" stream m.safetensors --learn --out l.safetensors | head -n 20 | wc -l";
    let (stdout, stderr, _) = said(&run, script);
    assert_eq!(stdout.trim(), "20");
    let ticks = stderr.split("learned from ").nth(1).unwrap_or_else(|| panic!("{stderr}"));
    let ticks: usize = ticks.split(' ').next().unwrap().parse().unwrap();
    assert!((20..100_000).contains(&ticks), "{stderr}");
    run.ok("predict l.safetensors sunspots.csv --out p.csv");
    run.feed_ok("stream l.learner.safetensors --learn", "5\n");
}

/// A log for which there is no room costs no model.
#[test]
fn a_log_that_cannot_be_written() {
    if !std::path::Path::new("/dev/full").exists() {
        return eprintln!("skipped: there is no /dev/full");
    }
    let run = Run::new();
    let answer = run.run("train --steps 9 --no-plot --log /dev/full --out q.safetensors");
    assert!(answer.code == Some(1) && answer.stderr.contains("error: /dev/full: No space left"), "{}", answer.stderr);
    assert!(run.path("q.safetensors").exists());
    let (code, stderr, _) = said(
        &run,
        "rm q.*; \"$R\" train --steps 9 --no-plot --log /dev/stdout --out q.safetensors 2>err | true; echo ${PIPESTATUS[0]}; cat err >&2",
    );
    assert!(code == "0\n" && run.path("q.safetensors").exists(), "{code}{stderr}");
}

/// `/dev/stdout` is where stdout stands, also in the middle of a file.
#[test]
fn dev_stdout_is_stdout() {
    let run = Run::new();
    trained(&run);
    let plain = run.ok("predict m.safetensors sunspots.csv").stdout;
    let (_, _, code) =
        said(&run, "(echo first; \"$R\" predict m.safetensors sunspots.csv --out /dev/stdout; echo last) >all.txt");
    assert_eq!((code, run.text("all.txt")), (Some(0), format!("first\n{plain}last\n")));
    let (_, _, code) = said(
        &run,
        "(echo first; \"$R\" predict m.safetensors sunspots.csv --out /dev/fd/3 3>&1; echo last) | cat >all.txt",
    );
    assert_eq!((code, run.text("all.txt")), (Some(0), format!("first\n{plain}last\n")));
    std::os::unix::fs::symlink("/dev/stdout", run.path("link")).unwrap();
    let (_, stderr, code) = said(&run, "\"$R\" train --steps 9 --no-plot --log link --out q.safetensors >log.txt");
    let log = run.text("log.txt");
    assert!(
        code == Some(0) && log.contains("step,loss,lr,val_loss\n0,") && log.contains("\nmodel "),
        "{stderr}\n{log}"
    );
    assert!(run.path("link").is_symlink());
}
