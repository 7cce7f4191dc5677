//! No command overwrites what it reads, or writes one file twice, whatever name the file has.

use super::{said, shops, trained};
use crate::run::Run;
use std::fs;
use std::os::unix::fs::symlink;

/// Refused with exit 2, everything as before, folders included.
fn refused(run: &Run, args: &str) {
    let below = || {
        let text =
            |folder: &str| said(run, &format!("find {folder} -type f -o -type l | sort | xargs -d '\\n' cksum")).0;
        text(".")
    };
    let before = below();
    run.misused(args, &["give"]);
    assert_eq!(before, below(), "{args}");
}

/// Other names of a file: plain, through folders, a link, a link to a link, a hard link.
fn names(run: &Run, name: &str) -> Vec<String> {
    fs::create_dir_all(run.path("a")).unwrap();
    let of = |kind: &str| format!("{kind}-{name}");
    if !run.path(&of("hard")).exists() {
        symlink(name, run.path(&of("link"))).unwrap();
        symlink(of("link"), run.path(&of("twice"))).unwrap();
        fs::hard_link(run.path(name), run.path(&of("hard"))).unwrap();
    }
    let absolute = run.path(name).display().to_string();
    vec![name.into(), format!("./{name}"), format!("a/../{name}"), absolute, of("link"), of("twice"), of("hard")]
}

/// A command, what it reads with the names of the files, and what it can be told to write.
type Pairs = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

#[test]
fn every_pair_of_every_command() {
    let run = Run::new();
    trained(&run);
    run.ok("predict m.safetensors sunspots.csv --final-state s.safetensors --out p.csv");
    run.file("c.toml", "hidden = 3\n");
    run.ok("search sunspots.csv --tries 1 --epochs 1 --hidden 3 --out r.toml");
    let table: [Pairs; 9] = [
        (
            "train sunspots.csv --epochs 1 --init m.safetensors --config c.toml",
            &[("DATA", "sunspots.csv"), ("--init", "m.safetensors"), ("--config", "c.toml")],
            &["--out", "--log", "--save-grads"],
        ),
        (
            "train sunspots.csv --resume m.safetensors --epochs 2",
            &[("DATA", "sunspots.csv"), ("--resume", "m.checkpoint.safetensors")],
            &["--log", "--save-grads"],
        ),
        (
            "evaluate sunspots.csv m.safetensors",
            &[("DATA", "sunspots.csv"), ("MODEL", "m.safetensors")],
            &["--out", "--forecasts", "--html"],
        ),
        (
            "predict m.safetensors sunspots.csv --init-state s.safetensors",
            &[("INPUT", "sunspots.csv"), ("MODEL", "m.safetensors")],
            &["--final-state"],
        ),
        ("forecast m.safetensors sunspots.csv --steps 3", &[("HISTORY", "sunspots.csv")], &["--out"]),
        ("gates m.safetensors sunspots.csv", &[("INPUT", "sunspots.csv"), ("MODEL", "m.safetensors")], &["--out"]),
        (
            "search sunspots.csv --config c.toml",
            &[("DATA", "sunspots.csv"), ("--config", "c.toml")],
            &["--out", "--journal"],
        ),
        ("stream m.safetensors --learn", &[("MODEL", "m.safetensors")], &["--out"]),
        ("bench m.safetensors --seconds 0.1 --device cpu", &[("MODEL", "m.safetensors")], &["--out"]),
    ];
    for (command, reads, writes) in table {
        for (_, read) in reads {
            for (i, name) in names(&run, read).iter().enumerate() {
                for (j, flag) in writes.iter().enumerate() {
                    // every name with the first flag, every flag with the first name and the links
                    if j == 0 || i == 0 || i > 3 {
                        refused(&run, &format!("{command} {flag} {name}"));
                    }
                }
            }
        }
        for (i, one) in writes.iter().enumerate() {
            for other in &writes[..i] {
                refused(&run, &format!("{command} {one} new.x {other} a/../new.x"));
                refused(&run, &format!("{command} {one} p.csv {other} {}", names(&run, "p.csv")[5]));
            }
        }
    }
    for name in names(&run, "m.safetensors") {
        refused(&run, &format!("convert m.safetensors --to rust --out {name}"));
        refused(&run, &format!("compile m.safetensors --arch sm_90 --out {name}"));
    }
    // what stands beside a model is written as well
    refused(&run, "train sunspots.csv --epochs 1 --out x.safetensors --log x.checkpoint.safetensors");
    refused(&run, "train sunspots.csv --epochs 1 --out m.safetensors --init m.checkpoint.safetensors");
    refused(&run, "train sunspots.csv --epochs 1 --out x.safetensors --plot ./x.svg --save-grads x.svg");
}

/// On purpose: what goes on with a file takes its place.
#[test]
fn what_goes_on_writes_where_it_read() {
    let run = Run::new();
    trained(&run);
    for name in &names(&run, "m.safetensors")[..4] {
        run.ok(&format!("train --resume {name} --epochs 2 --no-plot"));
    }
    run.ok("train --resume m.checkpoint.safetensors --epochs 3 --no-plot --out m.safetensors");
    run.feed_ok("stream m.safetensors --learn --out l.safetensors", "1\n2\n");
    run.feed_ok("stream l.learner.safetensors --learn --out l.safetensors", "3\n");
    // devices take everything, as often as they are asked
    run.ok("evaluate sunspots.csv m.safetensors --out /dev/null --forecasts /dev/null --html /dev/null");
    run.ok("predict m.safetensors sunspots.csv --out /dev/stdout --final-state /dev/null");
}

#[test]
fn a_folder_that_is_read_is_not_written_into() {
    let run = Run::new();
    shops(&run);
    let flags = "--series shop --epochs 1 --hidden 3 --no-plot";
    run.ok(&format!("train all.csv --per-series {flags}"));
    symlink("models", run.path("folder")).unwrap();
    for out in ["models/scores.csv", "models/new.csv", "./folder/north.safetensors"] {
        refused(&run, &format!("evaluate all.csv models --series shop --out {out}"));
        refused(&run, &format!("evaluate all.csv models --series shop --forecasts {out}"));
    }
    refused(&run, "predict models all.csv --series shop --out folder/new.csv");
    // a model that lies elsewhere, and one that has another name there
    fs::rename(run.path("models/north.safetensors"), run.path("elsewhere.safetensors")).unwrap();
    symlink("../elsewhere.safetensors", run.path("models/north.safetensors")).unwrap();
    fs::hard_link(run.path("models/south.safetensors"), run.path("hard.safetensors")).unwrap();
    for out in ["elsewhere.safetensors", "hard.safetensors"] {
        refused(&run, &format!("evaluate all.csv models --series shop --out {out}"));
    }
    refused(&run, "forecast models all.csv --series shop --steps 2 --out models/scores.csv");
    // the table of a folder, as the data that are trained on
    fs::copy(run.path("all.csv"), run.path("models/scores.csv")).unwrap();
    refused(&run, &format!("train models/scores.csv --per-series {flags}"));
    refused(&run, &format!("train models/scores.csv --per-series {flags} --out a/../models").replace("a/../", "./"));
    // the data may lie in the folder otherwise
    fs::copy(run.path("all.csv"), run.path("models/all.csv")).unwrap();
    run.ok(&format!("train models/all.csv --per-series {flags}"));
}

/// The models of a folder may be links: to one file, which would be the model of the last series then, or to the table; also
/// where that file is not there yet.
#[test]
fn models_that_are_links_to_one_file() {
    let run = Run::new();
    shops(&run);
    for (one, other) in [("m", "../m"), ("../m", "../m"), ("scores.csv", "../m")] {
        fs::create_dir(run.path("models")).unwrap();
        symlink(one, run.path("models/north.safetensors")).unwrap();
        symlink(other, run.path("models/south.safetensors")).unwrap();
        let train = "train all.csv --per-series --series shop --epochs 1 --hidden 3 --no-plot";
        if one == "m" {
            run.ok(train);
            assert!(run.path("models/m").is_file() && run.path("m").is_file());
        } else {
            refused(&run, train);
        }
        fs::write(run.path("m"), "something").unwrap();
        if one != "m" {
            refused(&run, train);
        }
        fs::remove_dir_all(run.path("models")).unwrap();
        fs::remove_file(run.path("m")).unwrap();
    }
}

/// What stands where a model of a folder is to stand, and is no file: nothing waits for it, and nothing is lost.
#[test]
fn what_is_no_model_in_a_folder() {
    let run = Run::new().with_time(20);
    shops(&run);
    let train = "train all.csv --per-series --series shop --epochs 1 --hidden 3 --no-plot";
    run.ok(train);
    for make in ["mkfifo models/north.safetensors", "ln -s /dev/null models/north.safetensors"] {
        fs::remove_file(run.path("models/north.safetensors")).unwrap();
        assert_eq!(said(&run, make).2, Some(0));
        for resume in ["", " --resume models"] {
            run.fails(&format!("{train}{resume}"), &["models/north.safetensors", "is not a regular file"]);
            assert!(run.path("models/scores.csv").is_file());
        }
    }
}

/// What the shell sends somewhere is an output as well.
#[test]
fn where_stdout_goes_already() {
    let run = Run::new();
    trained(&run);
    let (_, stderr, code) = said(&run, "\"$R\" predict m.safetensors sunspots.csv --out p.csv >>p.csv");
    assert!(code == Some(2) && stderr.contains("own output"), "{stderr}");
    let (_, stderr, code) = said(&run, "seq 1 9 >in; \"$R\" stream m.safetensors <in >>in");
    assert!(code == Some(1) && stderr.contains("standard input"), "{stderr}");
    assert_eq!(run.text("in").lines().count(), 9);
}

/// A file that is open already is still that file, whatever it is called, and one that was opened to be read is not written.
#[test]
fn what_is_open_already_is_the_same_file() {
    let run = Run::new();
    trained(&run);
    let input = run.bytes("sunspots.csv");
    let model = run.bytes("m.safetensors");
    symlink("/proc/self/fd/3", run.path("three.csv")).unwrap();
    for (command, code) in [
        ("predict m.safetensors sunspots.csv --out /dev/fd/3 3<sunspots.csv", 2),
        ("predict m.safetensors sunspots.csv --out /dev/fd/3 3>>sunspots.csv", 2),
        ("predict m.safetensors sunspots.csv --out three.csv 3>>sunspots.csv", 2),
        ("predict m.safetensors sunspots.csv --final-state /dev/fd/3 3>>m.safetensors", 2),
        ("train sunspots.csv --epochs 1 --no-plot --out t.safetensors --log /dev/fd/3 3>>sunspots.csv", 2),
        ("evaluate sunspots.csv m.safetensors --html /dev/fd/3 3>>sunspots.csv", 2),
        ("evaluate sunspots.csv m.safetensors --out x.csv --forecasts /dev/fd/3 3>>x.csv", 2),
        ("stream m.safetensors --learn --out sunspots.csv <sunspots.csv", 2),
        ("stream m.safetensors --learn --out /dev/stdin <sunspots.csv", 2),
        // another file, but one that may only be read
        ("evaluate sunspots.csv m.safetensors --out /dev/fd/3 3<x.csv", 1),
    ] {
        run.file("x.csv", "kept\n");
        let (_, stderr, found) = said(&run, &format!("\"$R\" {command}"));
        assert_eq!(found, Some(code), "{command}: {stderr}");
        assert!(run.bytes("sunspots.csv") == input && run.bytes("m.safetensors") == model, "{command}");
        assert_eq!(run.text("x.csv"), "kept\n", "{command}");
    }
}

/// Nothing is written beside a device.
#[test]
fn a_device_has_nothing_beside_it() {
    let run = Run::new();
    run.example("sunspots.csv");
    let answer = run.ok("train sunspots.csv --epochs 1 --no-plot --out /dev/null");
    assert!(answer.stdout.contains("checkpoint  /dev/null\n"), "{}", answer.stdout);
    assert!(!std::path::Path::new("/dev/null.checkpoint.safetensors").exists());
}
