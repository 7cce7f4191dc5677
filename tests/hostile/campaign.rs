//! Runs the cases of one kind of attack. They run in a process of their own, so that an abort, a stack that overflows, a hang
//! or memory without end is a finding with a number like any other, and the cases after it run all the same.

use crate::dice::Dice;
use crate::known::KNOWN;
use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// What became of a case: `true` if the input was taken, `false` if it was refused as it should be; else what went wrong.
pub type Outcome = Result<bool, String>;

/// One case.
pub struct Case<'a> {
    pub dice: Dice,
    /// A folder for its files.
    pub folder: &'a Path,
}

/// After so long a case counts as hung.
const HUNG: Duration = Duration::from_secs(90);
/// Address space of the process that runs the cases, in KiB.
const MEMORY: u64 = 6 << 20;
/// After so many findings the rest is left out.
const MOST: usize = 20;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: expected a whole number")))
}

fn seed() -> u64 {
    number("RNNSTEP_HOSTILE_SEED").unwrap_or(1)
}

/// Runs `cases` cases of the attack that `prepare` makes, or as many as the environment says. `name` is the path of the test
/// that calls this.
pub fn campaign<A: FnMut(&mut Case) -> Outcome>(name: &str, cases: u64, prepare: impl FnOnce(&Path) -> A) {
    if let Some(first) = number("RNNSTEP_HOSTILE_FIRST") {
        let folder =
            PathBuf::from(std::env::var_os("RNNSTEP_HOSTILE_FOLDER").expect("the folder goes with the first case"));
        return run(name, &folder, first..number("RNNSTEP_HOSTILE_END").unwrap_or(first + 1), prepare(&folder));
    }
    let temporary = tempfile::tempdir().unwrap();
    match number("RNNSTEP_HOSTILE_CASE") {
        Some(case) => {
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hostile");
            let _ = std::fs::remove_dir_all(&folder);
            std::fs::create_dir_all(&folder).unwrap();
            println!("{name}: case {case} leaves its files in {}", folder.display());
            watch(name, &folder, case, case + 1);
        }
        None => {
            let cases =
                number("RNNSTEP_HOSTILE_CASES").unwrap_or_else(|| cases * number("RNNSTEP_HOSTILE_TIMES").unwrap_or(1));
            watch(name, temporary.path(), 0, cases);
        }
    }
}

/// The cases themselves, in the process that is watched. What it says is read by [`watch`].
fn run<A: FnMut(&mut Case) -> Outcome>(name: &str, folder: &Path, cases: std::ops::Range<u64>, mut attack: A) {
    static PANIC: Mutex<String> = Mutex::new(String::new());
    std::panic::set_hook(Box::new(|panic| *PANIC.lock().unwrap() = panic.to_string()));
    println!();
    for number in cases {
        println!("hostile at {number}");
        let mut case = Case { dice: Dice::new(seed(), name, number), folder };
        match catch_unwind(AssertUnwindSafe(|| attack(&mut case))) {
            Ok(Ok(taken)) => println!("hostile {}", if taken { "taken" } else { "refused" }),
            Ok(Err(found)) => println!("hostile found {found:?}"),
            Err(_) => println!("hostile found {:?}", *PANIC.lock().unwrap()),
        }
    }
    println!("hostile done");
}

/// Starts processes that run the cases, until all are done; fails if something was found that nobody knows of.
fn watch(name: &str, folder: &Path, first: u64, end: u64) {
    let (mut next, mut taken, mut refused, mut known) = (first, 0_u64, 0_u64, 0_u64);
    let mut found: Vec<(u64, String)> = Vec::new();
    while next < end && found.len() < MOST {
        let said = folder.join("stderr-of-the-cases");
        let mut command = limited(&std::env::current_exe().unwrap());
        command.args([name, "--exact", "--nocapture", "--test-threads=1"]);
        command.env("RNNSTEP_HOSTILE_FIRST", next.to_string()).env("RNNSTEP_HOSTILE_END", end.to_string());
        command.env("RNNSTEP_HOSTILE_FOLDER", folder).env("RUST_BACKTRACE", "0");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(std::fs::File::create(&said).unwrap());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let (mut at, mut done, mut news) = (None, false, Vec::new());
        while !done && found.len() + news.len() < MOST {
            match lines.recv_timeout(HUNG) {
                Ok(line) => {
                    match line.strip_prefix("hostile ").map(|line| line.split_once(' ').unwrap_or((line, ""))) {
                        Some(("at", number)) => at = number.parse::<u64>().ok(),
                        Some(("taken", _)) => taken += 1,
                        Some(("refused", _)) => refused += 1,
                        Some(("found", text)) => news.push((at.unwrap_or(next), text.to_string())),
                        Some(("done", _)) => done = true,
                        _ => {}
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    news.push((at.unwrap_or(next), format!("does not end within {HUNG:?}")));
                    break;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = child.wait().unwrap();
                    let said = std::fs::read_to_string(&said).unwrap_or_default();
                    let last: Vec<&str> = said.lines().rev().filter(|line| !line.trim().is_empty()).take(3).collect();
                    news.push((at.unwrap_or(next), format!("the process ended with {status}: {}", last.join(" | "))));
                    break;
                }
            }
        }
        let _ = child.kill();
        let _ = child.wait();
        next = if done { end } else { at.map_or(end, |at| at + 1) };
        for (number, text) in news {
            match KNOWN.iter().find(|known| text.contains(known.part)) {
                Some(one) => {
                    known += 1;
                    println!("{name}: case {number}, known, section {}: {text}", one.section);
                }
                None => found.push((number, text)),
            }
        }
    }
    println!("{name}: seed {}, {} cases, {taken} taken, {refused} refused, {known} known", seed(), end - first);
    for (number, text) in &found {
        println!("{name}: case {number}: {text}");
        let seed = seed();
        println!(
            "  RNNSTEP_HOSTILE_SEED={seed} RNNSTEP_HOSTILE_CASE={number} cargo test --release --test hostile -- {name}"
        );
    }
    assert!(found.is_empty(), "{name}: {} of {} cases went wrong; see above", found.len(), end - first);
    // an attack that is always refused at the door, or never, has stopped being one
    let many = end - first >= 200;
    assert!(
        !many || (taken * 50 > end - first && refused * 50 > end - first),
        "{name}: {taken} taken, {refused} refused"
    );
}

/// A program that may take so much memory and no more, where a shell can say so.
fn limited(program: &Path) -> Command {
    if !cfg!(target_os = "linux") {
        return Command::new(program);
    }
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -v {MEMORY}; exec \"$0\" \"$@\"")]).arg(program);
    shell
}

/// `Ok` if a message is one that a user may be shown: a line, not too long, that no terminal takes for an order.
pub fn a_line(text: &str, most: usize) -> Result<(), String> {
    let bad = text.chars().find(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'));
    match bad {
        Some(bad) => Err(format!("a message with {bad:?}: {}", cut(text))),
        None if text.len() > most => Err(format!("a message of {} bytes: {}", text.len(), cut(text))),
        None if text.trim().is_empty() => Err("an empty message".into()),
        None => Ok(()),
    }
}

/// The same of an error that should name the file `path`.
pub fn names_file(error: &rnnstep::Error, path: &Path) -> Result<(), String> {
    let text = error.to_string();
    a_line(&text, 600)?;
    let named = text.contains(&*path.to_string_lossy());
    if named { Ok(()) } else { Err(format!("a message that does not name its file: {}", cut(&text))) }
}

/// A result that may be an error, if that is one fit to be shown.
pub fn allowed<T>(result: rnnstep::Result<T>) -> Result<Option<T>, String> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) => a_line(&error.to_string(), 600).map(|()| None),
    }
}

/// The beginning of a text.
pub fn cut(text: &str) -> String {
    text.chars().take(400).collect()
}
