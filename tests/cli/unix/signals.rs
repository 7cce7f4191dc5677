//! INT, TERM and HUP save what was learned, and end whatever waits.

use super::{said, shops, trained};
use crate::run::Run;
use rnnstep::Cpu;
use rnnstep::train::checkpoint::Checkpoint;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const SIGNALS: [&str; 3] = ["INT", "TERM", "HUP"];

fn send(id: u32, signal: &str) {
    assert!(Command::new("kill").args([&format!("-{signal}"), &id.to_string()]).status().unwrap().success());
}

/// How it ended, and that this did not take long.
fn end(mut child: Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if start.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
            panic!("does not end");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Until `done`.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// The process waits in the kernel for something: it sleeps now and after a while.
fn waits(id: u32) {
    until("it does not wait", || {
        let sleeps = || {
            let text = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            text.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('S'))
        };
        sleeps() && {
            thread::sleep(Duration::from_millis(100));
            sleeps()
        }
    });
}

fn quiet(run: &Run, args: &str) -> Command {
    let mut command = run.command(args);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn fifo(run: &Run, name: &str) {
    assert!(Command::new("mkfifo").arg(run.path(name)).status().unwrap().success());
}

#[test]
fn every_command_that_learns_saves() {
    for signal in SIGNALS {
        let run = Run::new();
        trained(&run);
        shops(&run);
        let talk = run.talk("train --steps 100000000 --no-plot --save-every 0 --print-every 10 --out t.safetensors");
        (0..3).for_each(|_| drop(talk.hear()));
        send(talk.id(), signal);
        let answer = talk.end();
        assert_eq!(answer.code, Some(1), "{signal}");
        assert!(answer.stdout.contains("continue with: rnnstep train --resume"), "{}", answer.stdout);
        assert!(Checkpoint::load(run.path("t.checkpoint.safetensors"), Cpu::widest()).unwrap().steps_done() > 20);

        let mut talk = run.talk("stream m.safetensors --learn --out l.safetensors");
        for line in 1..=30 {
            talk.say(&format!("{line}\n"));
            talk.hear();
        }
        send(talk.id(), signal);
        let said = talk.hear_error();
        assert!(said.starts_with("interrupted; learned from 30 lines: "), "{said}");
        assert_eq!(talk.end().code, Some(1), "{signal}");
        run.ok("predict l.safetensors sunspots.csv --out p.csv");
        let on = run.feed_ok("stream l.learner.safetensors --learn", "31\n");
        assert!(on.stderr.contains("learned from 31 lines"), "{}", on.stderr);

        let folder =
            quiet(&run, "train all.csv --series shop --per-series --epochs 100000000 --threads 1").spawn().unwrap();
        until("no folder", || run.path("models").is_dir());
        thread::sleep(Duration::from_millis(200));
        send(folder.id(), signal);
        assert_eq!(end(folder).code(), Some(1), "{signal}");
        assert!(run.text("models/scores.csv").contains("interrupted"));

        let search = quiet(&run, "search sunspots.csv --tries 100000 --out r.toml").spawn().unwrap();
        until("no attempt", || run.path("r.journal.json").exists() && run.text("r.journal.json").lines().count() > 2);
        send(search.id(), signal);
        assert_eq!(end(search).code(), Some(1), "{signal}");
        assert!(run.text("r.toml").contains("cell = "));
    }
}

/// What has nothing to save ends as by default.
#[test]
fn what_learns_nothing_ends_at_once() {
    let run = Run::new();
    trained(&run);
    fifo(&run, "pipe");
    for args in [
        "predict m.safetensors pipe --out p.csv",
        "train pipe",
        "evaluate pipe m.safetensors",
        "search pipe",
        "forecast m.safetensors pipe --steps 3",
    ] {
        let child = quiet(&run, args).spawn().unwrap();
        waits(child.id());
        send(child.id(), "TERM");
        assert_eq!(end(child).signal(), Some(15), "{args}");
    }
    let mut stream = quiet(&run, "stream m.safetensors");
    let mut child = stream.stdin(Stdio::piped()).spawn().unwrap();
    let stdin = child.stdin.take();
    waits(child.id());
    send(child.id(), "INT");
    assert_eq!(end(child).signal(), Some(2));
    drop(stdin);
}

/// A pipe that nobody opens at the other end, or nobody reads from.
#[test]
fn a_wait_for_a_pipe_is_ended() {
    let run = Run::new();
    trained(&run);
    fifo(&run, "pipe");
    for signal in SIGNALS {
        // the log of a training that is over, for which nobody comes: all else is there
        let child = quiet(&run, "train --steps 9 --no-plot --log pipe --out a.safetensors").spawn().unwrap();
        until("no model", || run.path("a.safetensors").exists());
        waits(child.id());
        send(child.id(), signal);
        let number = match signal {
            "INT" => 2,
            "TERM" => 15,
            _ => 1,
        };
        assert_eq!(end(child).signal(), Some(number), "{signal}");
        std::fs::remove_file(run.path("a.safetensors")).unwrap();

        // one that is interrupted before: saved, and no longer waited for than a second
        let child = quiet(&run, "train --steps 100000000 --no-plot --save-every 50 --log pipe --out b.safetensors")
            .spawn()
            .unwrap();
        until("no checkpoint", || run.path("b.checkpoint.safetensors").exists());
        send(child.id(), signal);
        assert_eq!(end(child).signal(), Some(number), "{signal}");
        Checkpoint::load(run.path("b.checkpoint.safetensors"), Cpu::widest()).unwrap();
        std::fs::remove_file(run.path("b.checkpoint.safetensors")).unwrap();

        // a stdout that nobody reads: training stops in the middle of a line, and is saved
        let mut command =
            quiet(&run, "train --steps 100000000 --no-plot --save-every 0 --print-every 1 --out c.safetensors");
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take();
        waits(child.id());
        send(child.id(), signal);
        assert_eq!(end(child).code(), Some(1), "{signal}");
        drop(stdout);
        Checkpoint::load(run.path("c.checkpoint.safetensors"), Cpu::widest()).unwrap();
        std::fs::remove_file(run.path("c.checkpoint.safetensors")).unwrap();

        // so do answers that nobody reads
        let mut command = quiet(&run, "stream m.safetensors --learn --out d.safetensors --save-every 1000000");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take());
        let feeder = thread::spawn(move || {
            use std::io::Write;
            for line in 0..1_000_000 {
                if writeln!(stdin, "{}", line % 50).is_err() {
                    break;
                }
            }
        });
        waits(child.id());
        send(child.id(), signal);
        assert_eq!(end(child).code(), Some(1), "{signal}");
        drop(stdout);
        feeder.join().unwrap();
        run.ok("predict d.safetensors sunspots.csv --out p.csv");
        std::fs::remove_file(run.path("d.safetensors")).unwrap();
    }
}

/// A learner fed by a pipe to which nobody writes, and by one that has no writer yet.
#[test]
fn a_learner_that_waits_for_lines() {
    let run = Run::new();
    trained(&run);
    fifo(&run, "lines");
    let script = "exec 3<>lines; \"$R\" stream m.safetensors --learn --out l.safetensors <lines 2>err & P=$!
        sleep 1; kill -TERM $P; wait $P; echo $?; cat err; ls l.*";
    let (stdout, stderr, _) = said(&run, script);
    assert!(stdout.starts_with("1\ninterrupted; learned from 0 lines"), "{stdout}{stderr}");
    assert!(stdout.ends_with("l.learner.safetensors\nl.safetensors\n"), "{stdout}");
}

/// The second signal ends it whatever it does.
#[test]
fn the_second_signal_ends_it() {
    let run = Run::new();
    // one step takes longer than a second signal takes to come
    let child = quiet(&run, "train --hidden 1200 --layers 2 --seq-len 1000 --steps 1000 --no-plot --save-every 0")
        .spawn()
        .unwrap();
    until("no handler", || {
        let text = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0").trim();
        u64::from_str_radix(caught, 16).is_ok_and(|caught| caught & (1 << 14) != 0)
    });
    thread::sleep(Duration::from_millis(300));
    let twice = format!("kill -TERM {0}; sleep 0.02; kill -TERM {0}", child.id());
    assert!(Command::new("bash").args(["-c", &twice]).status().unwrap().success());
    assert_eq!(end(child).signal(), Some(15));
}

/// `nohup`, and what a shell does not want to be told of.
#[test]
fn an_ignored_signal_stays_ignored() {
    let run = Run::new();
    trained(&run);
    for (signal, other) in [("HUP", "TERM"), ("INT", "HUP"), ("TERM", "INT")] {
        let script = format!(
            "trap '' {signal}; exec \"$R\" train --steps 100000000 --no-plot --print-every 10 --save-every 0 --out i.safetensors"
        );
        let mut command = Command::new("bash");
        command.args(["-c", &script]).env("R", env!("CARGO_BIN_EXE_rnnstep")).current_dir(run.folder());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        let step = |line: String| line["step".len()..].split_whitespace().next().unwrap().parse::<u64>().unwrap();
        let before = step(lines.next().unwrap().unwrap());
        send(child.id(), signal);
        send(child.id(), signal);
        // it goes on and on
        let mut later = lines.by_ref().map(|line| step(line.unwrap()));
        assert!(later.any(|step| step > before + 500), "{signal} ended it");
        send(child.id(), other);
        let rest: Vec<String> = lines.map(Result::unwrap).collect();
        assert!(rest.last().is_some_and(|line| line.contains("interrupted")), "{signal}, then {other}: {rest:?}");
        assert_eq!(end(child).code(), Some(1));
    }
}

/// Answers go on where nothing can be saved, and that is said once.
#[test]
fn a_learner_on_a_full_disk_answers_on() {
    let run = Run::new();
    trained(&run);
    let run = run.with_file_size(1);
    let lines: String = (0..50).map(|line| format!("{line}\n")).collect();
    let answer = run.feed("stream m.safetensors --learn --out l.safetensors --save-every 5", lines);
    assert_eq!((answer.code, answer.stdout.lines().count()), (Some(1), 50), "{}", answer.stderr);
    let said: Vec<&str> = answer.stderr.lines().collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[0].starts_with("warning: l.learner.safetensors: File too large") && said[0].contains("continues"),
        "{said:?}"
    );
    assert!(said[1].starts_with("error: l.learner.safetensors: File too large"), "{said:?}");
    assert!(!run.path("l.safetensors").exists());
}
