//! Links, owners and permissions of what is written are kept, and what is not a regular file is not
//! read as one.

use super::{said, trained};
use crate::run::Run;
use rnnstep::model::file;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

#[test]
fn a_link_to_nothing_stays_a_link() {
    let run = Run::new();
    trained(&run);
    fs::create_dir(run.path("far")).unwrap();
    let outputs = [
        ("train --steps 2 --no-plot --out", "t.safetensors"),
        ("predict m.safetensors sunspots.csv --out", "p.csv"),
        ("predict m.safetensors sunspots.csv --out", "p.npy"),
        ("convert m.safetensors --to rust --out", "m.rs"),
        ("evaluate sunspots.csv m.safetensors --html", "e.html"),
        ("forecast m.safetensors sunspots.csv --steps 3 --plot", "f.png"),
        ("search sunspots.csv --tries 1 --epochs 1 --hidden 3 --journal", "s.json"),
    ];
    for (command, name) in outputs {
        symlink(format!("far/{name}"), run.path(name)).unwrap();
        run.ok(&format!("{command} {name}"));
        assert_eq!(fs::read_link(run.path(name)).unwrap().to_str().unwrap(), format!("far/{name}"), "{command}");
        assert!(fs::metadata(run.path(name)).unwrap().len() > 0, "{command}");
        // and once more, where it leads to a file
        if !command.starts_with("search") {
            run.ok(&format!("{command} {name}"));
            assert!(run.path(name).is_symlink() && !run.path(&format!("far/{name}")).is_symlink());
        }
    }
}

#[test]
fn permissions_stay_and_what_runs_as_its_owner_does_not() {
    let run = Run::new();
    trained(&run);
    let (root, path) = (fs::metadata(run.folder()).unwrap().uid() == 0, run.path("p.csv"));
    for (before, after) in [(0o600, 0o600), (0o664, 0o664), (0o4755, 0o755), (0o2775, 0o775)] {
        run.file("p.csv", "old");
        if root {
            std::os::unix::fs::chown(&path, Some(12345), Some(54321)).unwrap();
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(before)).unwrap();
        let answer = run.ok("predict m.safetensors sunspots.csv --out p.csv");
        let dropped =
            "note: p.csv: its setuid and setgid bits are dropped, so that the new file cannot run as another user\n";
        assert_eq!(answer.notes(), if before & 0o6000 == 0 { "" } else { dropped });
        let found = fs::metadata(&path).unwrap();
        assert_eq!(found.mode() & 0o7777, after, "{before:o}");
        if root {
            assert_eq!((found.uid(), found.gid()), (12345, 54321));
        }
    }
    if !root || Command::new("setpriv").arg("--version").output().is_err() {
        return eprintln!("skipped: only root can try what others may do");
    }
    // somebody else, in a folder that is open to all: the group cannot be kept, so it loses what others have not
    fs::set_permissions(run.folder(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
    let (_, stderr, code) = said(
        &run,
        "cp \"$R\" program; chmod 755 program; setpriv --reuid=777 --regid=777 --clear-groups ./program predict m.safetensors sunspots.csv --out p.csv",
    );
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("note: p.csv: belongs to user 12345, but to you once it is written"), "{stderr}");
    let found = fs::metadata(&path).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (777, 777, 0o644));
}

/// Nothing hangs on what is no file, and every reader says so in a line.
#[test]
fn what_is_no_file_to_read() {
    let run = Run::new();
    trained(&run);
    assert!(Command::new("mkfifo").args([run.path("pipe.npy"), run.path("pipe")]).status().unwrap().success());
    fs::create_dir(run.path("folder.npy")).unwrap();
    let regular = "is not a regular file";
    for (args, words) in [
        ("predict pipe sunspots.csv", regular),
        ("info /dev/null", regular),
        ("stream /dev/zero", regular),
        ("train --init pipe", regular),
        ("train --resume pipe", regular),
        ("predict m.safetensors sunspots.csv --init-state pipe", regular),
        ("train pipe.npy", regular),
        ("predict m.safetensors pipe.npy", regular),
        ("train folder.npy", "is a folder"),
        ("info folder.npy", "is a folder"),
    ] {
        let line = run.fails(args, &[words]);
        assert!(!line.contains("os error"), "{line}");
    }
    // a table may come from a pipe
    let (stdout, stderr, code) =
        said(&run, "\"$R\" predict m.safetensors <(cat sunspots.csv) --out q.csv && wc -l <q.csv");
    assert_eq!((code, stdout.trim()), (Some(0), "310"), "{stderr}");
}

/// What has the name of a file may change while it is opened; what is read is one file from front to back.
#[test]
fn a_reader_sees_one_file() {
    let run = Run::new();
    trained(&run);
    let models = [
        "train --steps 1 --hidden 3 --no-plot --out a.safetensors",
        "train --steps 1 --hidden 90 --layers 2 --no-plot --out b.safetensors",
    ];
    models.into_iter().for_each(|args| drop(run.ok(args)));
    let (a, b, path) = (run.path("a.safetensors"), run.path("b.safetensors"), run.path("x.safetensors"));
    fs::copy(&a, &path).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for from in [&a, &b].into_iter().cycle() {
                fs::copy(from, run.path("next")).unwrap();
                fs::rename(run.path("next"), &path).unwrap();
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let read: Vec<_> = (0..3000).map(|_| file::read(&path, &file::ReadOptions::default())).collect();
        done.store(true, Ordering::Relaxed);
        for found in read {
            assert!(found.is_ok(), "{}", found.unwrap_err());
        }
    });
}
