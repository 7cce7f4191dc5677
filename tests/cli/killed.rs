//! Nothing is lost: a training that is killed at any moment goes on to the bits of one that never
//! stopped, a file with several writers is never seen in part, and a full disk costs only the new
//! file.
#![cfg(all(unix, feature = "cli"))]

use crate::run::Run;
use rnnstep::Cpu;
use rnnstep::model::file;
use rnnstep::train::checkpoint::Checkpoint;
use rnnstep::{CellKind, Model, Shape};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Kills of one chain.
const KILLS: usize = 25;

/// Random numbers that are the same in every run of the test.
struct Dice(u64);

impl Dice {
    /// From 0 to below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn temporary_files(run: &Run) -> usize {
    run.files().keys().filter(|name| name.starts_with(".rnnstep-")).count()
}

fn steps_done(run: &Run, name: &str) -> Option<u64> {
    let path = run.path(name);
    // a checkpoint that is there is whole
    path.exists().then(|| Checkpoint::load(path, Cpu::widest()).unwrap().steps_done())
}

/// What a chain of kills saw.
#[derive(Default)]
struct Seen {
    kills: usize,
    /// Killed before there was a checkpoint.
    early: usize,
    /// Killed while a file was written.
    writing: usize,
    /// Chains that came to their end although they were killed all the time.
    ended: usize,
}

/// Trains with `flags` and kills it at random moments, again and again, until it has come to its end or was killed often
/// enough; then lets it. Its files must be those of a training that nobody killed.
fn chain(flags: &str, seed: u64, seen: &mut Seen) {
    let run = Run::new();
    run.example("sunspots.csv");
    run.file("later.csv", run.text("sunspots.csv").replace(",1", ",2"));
    let common = "--no-plot --print-every 1000000";
    run.ok(&format!("train {flags} {common} --save-every 0 --out whole.safetensors --log whole.csv"));
    let (model, log) = (run.bytes("whole.safetensors"), run.text("whole.csv"));
    let checkpoint = "m.checkpoint.safetensors";
    let mut dice = Dice(seed);
    // in microseconds; more where a machine is so slow that nothing gets done
    let mut longest = 20_000;
    let mut done = None;
    for kill in 0.. {
        let start = match done {
            Some(_) => format!("train --resume {checkpoint}"),
            None => format!("train {flags} --out m.safetensors"),
        };
        let every = ["1", "1", "3", "0.001s"][dice.below(4) as usize];
        let mut command = run.command(&format!("{start} {common} --log m.csv --save-every {every}"));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        if kill < KILLS {
            thread::sleep(Duration::from_micros(dice.below(longest)));
            child.kill().unwrap();
        }
        let output = child.wait_with_output().unwrap();
        if output.status.signal() != Some(9) {
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{flags}, kill {kill}: {said}");
            seen.ended += usize::from(kill < KILLS);
            break;
        }
        seen.kills += 1;
        seen.writing += usize::from(temporary_files(&run) > 0);
        let now = steps_done(&run, checkpoint);
        assert!(now >= done, "{flags}, kill {kill}: {done:?} steps, then {now:?}");
        if now == done {
            longest += longest / 8;
        }
        done = now;
        if let Some(done) = done {
            let rows = run.text("m.csv");
            assert!(log.starts_with(&rows) && rows.lines().count() as u64 > done, "{flags}, kill {kill}: the log");
        } else {
            seen.early += 1;
            let error = run.run(&format!("train --resume {checkpoint}")).error(flags);
            assert!(error.contains(&format!("{checkpoint}: there is no such checkpoint")), "{error}");
            assert_eq!(temporary_files(&run), 0, "{flags}, kill {kill}");
        }
        if run.path("m.safetensors").exists() {
            assert!(run.bytes("m.safetensors") == model, "{flags}, kill {kill}");
        }
    }
    assert!(run.bytes("m.safetensors") == model, "{flags}: the model");
    assert!(run.bytes(checkpoint) == run.bytes("whole.checkpoint.safetensors"), "{flags}: the checkpoint");
    assert_eq!(run.text("m.csv"), log, "{flags}: the log");
    let names: Vec<String> = run.files().into_keys().filter(|name| name.starts_with(['.', 'm'])).collect();
    assert_eq!(names, [checkpoint, "m.csv", "m.safetensors"], "{flags}");
}

#[test]
fn two_hundred_kills() {
    let trainings = [
        "--hidden 4 --steps 200",
        "--cell lstm --layers 2 --hidden 5 --steps 200 --amsgrad --clip 0.1",
        "--cell gru --hidden 3 --steps 200 --optimizer sgd --momentum 0.9 --schedule step:30:0.5",
        "sunspots.csv --hidden 4 --epochs 15",
        "sunspots.csv --cell lstm --hidden 4 --batch 4 --seq-len 8 --epochs 40 --patience 30",
        "sunspots.csv --cell gru --hidden 4 --target-as change --epochs 15",
        "sunspots.csv --layers 2 --hidden 3 --state reset --batch 16 --dropout 0.2 --epochs 12 --schedule cosine",
        "sunspots.csv --cell gru --hidden 4 --loss huber --epochs 15 --optimizer adamw",
        "sunspots.csv later.csv --hidden 3 --seq-len 9 --epochs 8",
    ];
    let mut seen = Seen::default();
    let mut seed = 0;
    while seen.kills < 200 {
        chain(trainings[seed as usize % trainings.len()], seed, &mut seen);
        seed += 1;
    }
    let Seen { kills, early, writing, ended } = seen;
    println!(
        "{kills} kills in {seed} chains: {writing} during a write, {early} before the first; {ended} ended by themselves"
    );
    assert!(writing > 0 && early > 0 && early < kills, "the moments are badly chosen");
}

#[test]
fn a_training_without_its_checkpoint() {
    let run = Run::new();
    let words = ["absent.checkpoint.safetensors", "no such checkpoint", "start again"];
    run.fails("train --resume absent.checkpoint.safetensors", &words);
    run.fails("train --resume absent.safetensors", &["absent.safetensors", "no such checkpoint", "start again"]);
    run.misused("train --save-every often", &["--save-every", "10s"]);
    // the name of the model to come is enough, and the log must be there to be gone on with
    let talk = run.talk("train --steps 100000000 --no-plot --save-every 10 --print-every 10 --log m.csv");
    (0..5).for_each(|_| drop(talk.hear()));
    talk.kill();
    let done = steps_done(&run, "model.checkpoint.safetensors").unwrap();
    let answer = run.ok(&format!("train --resume model.safetensors --steps {} --no-plot --log new.csv", done + 2));
    let note = format!("note: new.csv: has no rows for {done} of the first {done} steps\n");
    assert!(answer.stderr.contains(&note), "{}", answer.stderr);
    assert_eq!(run.text("new.csv").lines().count(), 3);
}

#[test]
fn a_log_that_cannot_be_replaced_is_told_once() {
    let run = Run::new();
    let answer = run.ok("train --steps 9 --no-plot --save-every 1 --log /dev/stdout");
    assert_eq!(answer.stdout.matches("step,loss,lr,val_loss\n").count(), 1, "{}", answer.stdout);
    assert_eq!(answer.stdout.lines().filter(|line| line.ends_with(",0.01,")).count(), 9, "{}", answer.stdout);
}

/// Ends what waits for it when it goes out of scope, also by a panic: a test that fails does not hang.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Reads `names` for as long as `work` works; whatever is read must be `whole`.
fn while_read(run: &Run, names: &[&str], whole: impl Fn(&str, &[u8]) -> bool + Sync, work: impl FnOnce()) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !done.load(Ordering::Relaxed) {
                for name in names {
                    if let Ok(bytes) = fs::read(run.path(name)) {
                        assert!(whole(name, &bytes), "{name}: {} bytes, which nobody wrote", bytes.len());
                        reads += 1;
                    }
                }
            }
            reads
        });
        let end = End(&done);
        work();
        drop(end);
        assert!(reader.join().unwrap() > 0);
    });
    assert_eq!(temporary_files(run), 0);
}

#[test]
fn two_write_one_model() {
    let run = Run::new();
    // long enough that a write takes a while, and not of one length
    let [a, b] = [(CellKind::Lstm, 150), (CellKind::Gru, 160)]
        .map(|(cell, hidden)| Model::random(Shape::new(cell, 1, hidden, 1, 1).unwrap(), 7).unwrap());
    let bytes = [("a", &a), ("b", &b)].map(|(name, model)| {
        model.save(run.path(name)).unwrap();
        run.bytes(name)
    });
    let path = &run.path("m");
    let done = AtomicBool::new(false);
    while_read(
        &run,
        &["m"],
        |_, read| bytes.iter().any(|bytes| bytes == read),
        || {
            thread::scope(|scope| {
                let writers =
                    [&a, &b].map(|model| scope.spawn(move || (0..100).for_each(|_| model.save(path).unwrap())));
                // and a third that looks all the time for files that somebody left
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        file::check_writable(path).unwrap();
                    }
                });
                let _end = End(&done);
                for writer in writers {
                    writer.join().unwrap();
                }
            });
        },
    );
}

#[test]
fn two_trainings_with_one_name() {
    let run = Run::new();
    let flags = ["--cell lstm --hidden 9", "--cell gru --hidden 20 --seed 4"]
        .map(|flags| format!("train {flags} --steps 4 --save-every 1 --no-plot"));
    let bytes = ["a", "b"].map(|name| format!("{name}.safetensors"));
    let bytes: Vec<Vec<u8>> = flags
        .iter()
        .zip(&bytes)
        .map(|(flags, name)| {
            run.ok(&format!("{flags} --out {name}"));
            run.bytes(name)
        })
        .collect();
    let whole = |name: &str, read: &[u8]| match name {
        "m.safetensors" => bytes.iter().any(|bytes| bytes == read),
        // of each step one
        _ => file::read_bytes(read, Path::new(name), &file::ReadOptions::default())
            .is_ok_and(|read| read.metadata.position.is_some()),
    };
    while_read(&run, &["m.safetensors", "m.checkpoint.safetensors"], whole, || {
        thread::scope(|scope| {
            for flags in &flags {
                let run = &run;
                scope.spawn(move || (0..20).for_each(|_| drop(run.ok(&format!("{flags} --out m.safetensors")))));
            }
        });
    });
}

/// Files that grow too large: the disk is full for one process.
#[test]
fn no_room() {
    let run = Run::new();
    run.example("sunspots.csv");
    run.ok("train sunspots.csv --target-as value --steps 20 --no-plot");
    let before = run.files();
    let run = run.with_file_size(4);
    let line = "train sunspots.csv --steps 30 --seed 2 --no-plot --save-every 7";
    let answer = run.run(line);
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    let [_, _, _, warning, error] = answer.stderr.lines().collect::<Vec<_>>()[..] else { panic!("{}", answer.stderr) };
    let reason = "model.checkpoint.safetensors: File too large (os error 27); the file would be larger than this process \
                  may write; see ulimit -f";
    assert_eq!(warning, format!("warning: {reason}; the training continues and will try again"));
    assert_eq!(error, format!("error: {reason}"));
    run.fails("predict model.safetensors sunspots.csv --out p.csv", &["p.csv", "ulimit -f"]);
    run.fails("convert model.safetensors --to rust --out m.rs", &["m.rs", "ulimit -f"]);
    assert!(run.files() == before, "{:?}", run.files().keys());
    run.without_limits().ok(line);
}

/// A disk of its own, where one can be had without being asked who one is.
#[test]
fn a_full_disk() {
    let run = Run::new();
    run.ok("train --steps 3 --no-plot --out m.safetensors");
    fs::create_dir(run.path("disk")).unwrap();
    let script = "mount -t tmpfs -o size=128k tmpfs disk 2>/dev/null || exit 77; cp m.* disk; cd disk
        dd if=/dev/zero of=fill bs=1024 count=1024 2>/dev/null
        dd if=/dev/null of=fill bs=1024 seek=$(($(stat -c %s fill) / 1024 - 8)) 2>/dev/null
        \"$0\" train --steps 30 --seed 2 --no-plot --out m.safetensors --save-every 1; echo exit $?
        ls -A; cmp m.safetensors ../m.safetensors; cmp m.checkpoint.safetensors ../m.checkpoint.safetensors
        rm fill; \"$0\" train --resume m.safetensors --steps 5 --no-plot; echo exit $?";
    let mut command = Command::new("unshare");
    command.args(["-Urm", "sh", "-c", script, env!("CARGO_BIN_EXE_rnnstep")]).current_dir(run.folder());
    let output = match command.output() {
        Ok(output) if output.status.success() => output,
        _ => return eprintln!("skipped: no disk can be mounted here"),
    };
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said));
    assert!(stdout.contains("\nexit 1\nfill\nm.checkpoint.safetensors\nm.safetensors\n"), "{stdout}\n{stderr}");
    assert!(stdout.ends_with("\nexit 0\n"), "{stdout}\n{stderr}");
    let said =
        "m.checkpoint.safetensors: No space left on device (os error 28); make room there, or name another folder";
    let lines: Vec<&str> = stderr.lines().filter(|line| line.contains("No space")).collect();
    let warning = format!("warning: {said}; the training continues and will try again");
    assert_eq!(lines, [warning, format!("error: {said}")]);
}

/// A disk that fills up in the middle of a training, and is emptied again.
#[cfg(target_os = "linux")]
#[test]
fn room_comes_and_goes() {
    if Command::new("prlimit").arg("--version").output().is_err() {
        return eprintln!("skipped: there is no prlimit");
    }
    let run = Run::new();
    let flags = "--cell gru --hidden 8 --no-plot";
    let talk = run.talk(&format!("train {flags} --steps 100000000 --save-every 20 --print-every 200"));
    let room = |soft: &str| {
        let arguments = ["--pid", &talk.id().to_string(), &format!("--fsize={soft}:")].map(str::to_string);
        assert!(Command::new("prlimit").args(arguments).status().unwrap().success());
    };
    let (name, start) = ("model.checkpoint.safetensors", Instant::now());
    while !run.path(name).exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "no checkpoint");
        thread::sleep(Duration::from_millis(1));
    }
    assert!(talk.hear_error().starts_with("GRU "));
    room("1000");
    let said = talk.hear_error();
    assert!(said.starts_with(&format!("warning: {name}: ")) && said.contains("continues"), "{said}");
    let kept = steps_done(&run, name).unwrap();
    // it goes on, and what there was stays
    let printed = || talk.hear()["step".len()..].split_whitespace().next().unwrap().parse::<u64>().unwrap();
    while printed() < kept + 1000 {}
    assert_eq!(steps_done(&run, name), Some(kept));
    room("unlimited");
    assert_eq!(talk.hear_error(), "checkpoints are written again");
    assert!(steps_done(&run, name).unwrap() > kept);
    // and full again when it is interrupted: the last good one is kept
    room("1000");
    assert!(talk.hear_error().starts_with("warning: "));
    let kept = steps_done(&run, name).unwrap();
    talk.interrupt();
    let answer = talk.end();
    let error = answer.error("");
    assert!(error.contains(name) && error.contains("ulimit -f"), "{error}");
    assert_eq!(run.files().into_keys().collect::<Vec<_>>(), [name]);
    let total = kept + 10;
    run.ok(&format!("train --resume {name} --steps {total} --no-plot"));
    run.ok(&format!("train {flags} --steps {total} --out whole.safetensors"));
    assert!(run.bytes("model.safetensors") == run.bytes("whole.safetensors"));
    assert!(run.bytes(name) == run.bytes("whole.checkpoint.safetensors"));
}

/// Nobody can be told of it, so it is no reason to stop.
#[test]
fn a_full_stderr() {
    let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") else {
        return std::eprintln!("skipped: there is no /dev/full");
    };
    let run = Run::new();
    let mut command = run.command("train --steps 3 --no-plot");
    let output = command.stderr(full).stdout(Stdio::null()).status().unwrap();
    assert_eq!(output.code(), Some(0));
    assert!(run.path("model.safetensors").exists());
}
