//! The program in a folder of good files: what it says, how it ends, and what it leaves of them.

use crate::campaign::{Outcome, a_line, cut};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a command may take: seconds of a processor, KiB of address space, blocks of a file. More of it is a finding.
const LIMITS: &str = "ulimit -t 20; ulimit -v 2000000; ulimit -f 200000; ulimit -c 0";
/// The most lines on stderr.
const MOST_LINES: usize = 200;
/// After so long a command that takes no time of a processor counts as hung.
const HUNG: Duration = Duration::from_secs(60);

/// Names that a command may write under begin so; every other file has to be as before.
pub const OUTPUT: &str = "out";

/// A folder in which commands run, and what it holds.
pub struct Place {
    folder: PathBuf,
    good: BTreeMap<PathBuf, Vec<u8>>,
}

/// How a command ended, and what it said.
struct Said {
    code: Option<i32>,
    signal: String,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Place {
    /// A folder with one of everything, which the program itself has written.
    pub fn new(folder: &Path) -> Self {
        let mut place = Self { folder: folder.join("place"), good: BTreeMap::new() };
        let _ = fs::remove_dir_all(&place.folder);
        fs::create_dir_all(place.folder.join("folder")).unwrap();
        let rows = |a: f32, from: usize, to: usize| (from..to).map(move |i| (i, (i as f32 * a).sin() * 2.0 + 5.0));
        let write = |name: &str, text: String| fs::write(place.folder.join(name), text).unwrap();
        write(
            "good.csv",
            "time,value\n".to_string() + &rows(0.5, 0, 60).map(|(i, v)| format!("{i},{v}\n")).collect::<String>(),
        );
        write(
            "later.csv",
            "time,value\n".to_string() + &rows(0.5, 0, 90).map(|(i, v)| format!("{i},{v}\n")).collect::<String>(),
        );
        let shops = [("a", 0.5), ("b", 0.3), ("c", 0.7)];
        let long = shops.iter().flat_map(|(shop, a)| rows(*a, 0, 40).map(move |(i, v)| format!("{shop},{i},{v}\n")));
        write("long.csv", "shop,day,sales\n".to_string() + &long.collect::<String>());
        write(
            "config.toml",
            "cell = \"gru\"\nhidden = 4\nepochs = 2\nlr = 0.02\nseq-len = 8\ndata = \"good.csv\"\n".into(),
        );
        for (name, bytes) in crate::good::arrays(folder) {
            fs::write(place.folder.join(name + ".safetensors"), bytes).unwrap();
        }
        rnnstep::data::npy::write(&place.folder.join("x.npy"), &crate::good::series(12, 1)).unwrap();
        let size = "--cell lstm --hidden 4 --seq-len 8 --no-plot";
        for args in [
            format!("train good.csv {size} --epochs 2 --log log.csv --out m.safetensors"),
            format!(
                "train good.csv {size} --epochs 2 --loss quantiles --target-as seasonal-change --season 6 --out q.safetensors"
            ),
            format!("train long.csv --series shop --column sales --per-series {size} --epochs 2 --out shops"),
            "search good.csv --tries 3 --epochs 2 --journal journal.json --out recipe.toml".into(),
            "predict m.safetensors good.csv --out y.csv --final-state state.safetensors".into(),
        ] {
            place.must(&args, b"");
        }
        place.must("stream m.safetensors --learn --window 4 --out l.safetensors", b"1\n2\n3\n4\n5\n6\n7\n8\n");
        place.good = place.files();
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The good files that can be damaged, by name.
    pub fn names(&self) -> Vec<String> {
        self.good.keys().map(|path| path.to_string_lossy().into_owned()).collect()
    }

    /// A good file's bytes.
    pub fn good(&self, name: &str) -> Vec<u8> {
        self.good.get(Path::new(name)).unwrap_or_else(|| panic!("no good file {name}")).clone()
    }

    fn must(&self, args: &str, input: &[u8]) {
        let said = self.start(&args.split(' ').map(String::from).collect::<Vec<_>>(), input);
        assert_eq!(said.code, Some(0), "rnnstep {args}: {}", String::from_utf8_lossy(&said.stderr));
    }

    /// Runs a command with `changed` in the place of good files, looks at all that it did, and puts everything back.
    /// What it may write are names that begin with [`OUTPUT`], and `may_change`.
    pub fn run(&self, args: &[String], input: &[u8], changed: &[(&str, Vec<u8>)], may_change: &[&str]) -> Outcome {
        for (name, bytes) in changed {
            fs::write(self.path(name), bytes).unwrap();
        }
        // an argument cannot hold a zero byte: no system could hand it over
        let args = &args.iter().map(|arg| arg.replace('\0', "\\0")).collect::<Vec<_>>()[..];
        let before: BTreeMap<PathBuf, Vec<u8>> = self
            .good
            .clone()
            .into_iter()
            .chain(changed.iter().map(|(name, bytes)| (name.into(), bytes.clone())))
            .collect();
        let said = self.start(args, input);
        let after = self.files();
        let outcome = looked_at(&said, args).and_then(|()| untouched(&before, &after, said.code, args, may_change));
        self.put_back(&after);
        let in_words = || {
            format!(
                "rnnstep {}: exit {:?}: ",
                args.iter().map(|arg| format!("{arg:?} ")).collect::<String>(),
                said.code
            )
        };
        outcome.map(|()| said.code == Some(0)).map_err(|found| cut(&in_words()) + &found)
    }

    fn put_back(&self, after: &BTreeMap<PathBuf, Vec<u8>>) {
        for path in after.keys().filter(|path| !self.good.contains_key(*path)) {
            let _ = fs::remove_file(self.folder.join(path));
        }
        for (path, bytes) in self.good.iter().filter(|(path, bytes)| after.get(*path) != Some(bytes)) {
            fs::write(self.folder.join(path), bytes).unwrap();
        }
        let _ = fs::create_dir(self.folder.join("folder"));
        for entry in fs::read_dir(&self.folder).unwrap().flatten() {
            if entry.file_name().to_string_lossy().starts_with(OUTPUT) && entry.path().is_dir() {
                fs::remove_dir_all(entry.path()).unwrap();
            }
        }
    }

    fn start(&self, args: &[String], input: &[u8]) -> Said {
        let program = env!("CARGO_BIN_EXE_rnnstep");
        let mut command = if cfg!(unix) {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("{LIMITS}; exec \"$0\" \"$@\""), program]);
            shell
        } else {
            Command::new(program)
        };
        command.args(args).current_dir(&self.folder);
        for name in ["RNNSTEP_ISA", "RNNSTEP_NVRTC", "NO_COLOR", "COLUMNS", "RUST_BACKTRACE", "VIRTUAL_ENV"] {
            command.env_remove(name);
        }
        // on every machine one without a card
        command.env("CUDA_VISIBLE_DEVICES", "-1").env("XDG_CACHE_HOME", self.folder.join("folder"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let read = |mut source: Box<dyn Read + Send>| {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                source.read_to_end(&mut bytes).map(|_| bytes).unwrap_or_default()
            })
        };
        let stdout = read(Box::new(child.stdout.take().unwrap()));
        let stderr = read(Box::new(child.stderr.take().unwrap()));
        let start = Instant::now();
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status.to_string(),
                None if start.elapsed() > HUNG => {
                    let _ = child.kill();
                    break format!("no end within {HUNG:?}");
                }
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        let code = child.wait().unwrap().code();
        writer.join().unwrap();
        Said { code, signal: status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
    }

    /// Every file, with what it holds. Devices and links are none.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let (mut found, mut folders) = (BTreeMap::new(), vec![self.folder.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(path),
                    Ok(kind) if kind.is_file() => {
                        let bytes = fs::read(&path).unwrap_or_default();
                        found.insert(path.strip_prefix(&self.folder).unwrap().to_path_buf(), bytes);
                    }
                    _ => {}
                }
            }
        }
        found
    }
}

/// What was said, and how it ended.
fn looked_at(said: &Said, args: &[String]) -> Result<(), String> {
    let stderr = std::str::from_utf8(&said.stderr).map_err(|_| "stderr is not UTF-8")?;
    let lines: Vec<&str> = stderr.lines().collect();
    if stderr.contains("panicked") || stderr.contains("overflowed its stack") || stderr.contains("memory allocation") {
        return Err(cut(stderr));
    }
    let code = said.code.ok_or_else(|| format!("{}: {}", said.signal, cut(stderr)))?;
    let errors = lines.iter().filter(|line| line.starts_with("error: ")).count();
    match code {
        0 if errors > 0 => return Err(format!("an error and exit 0: {}", cut(stderr))),
        // of many series each that failed has a line of its own
        1 if !lines.iter().any(|line| line.starts_with("failed: "))
            && (errors != 1 || !lines[lines.len() - 1].starts_with("error: ")) =>
        {
            return Err(format!("exit 1 without one error in the last line: {}", cut(stderr)));
        }
        // clap shows a value that it refuses in a message of several lines
        2 if errors == 0 => return Err(format!("exit 2 without an error: {}", cut(stderr))),
        0..=2 => {}
        code => return Err(format!("exit {code}: {}", cut(stderr))),
    }
    if lines.len() > MOST_LINES {
        return Err(format!("{} lines on stderr: {}", lines.len(), cut(stderr)));
    }
    // what was typed is shown again by clap, which is no file's doing
    let typed = code == 2 || args.iter().any(|arg| arg.chars().any(char::is_control));
    for line in lines.iter().filter(|line| !line.trim().is_empty() && !typed) {
        a_line(&line.replace('\t', " "), 2000).map_err(|found| format!("stderr: {found}"))?;
    }
    let stdout = std::str::from_utf8(&said.stdout).map_err(|_| "stdout is not UTF-8")?;
    match stdout.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t' | '\r')) {
        Some(bad) if !typed => Err(format!("stdout has {bad:?}: {}", cut(stdout))),
        _ => Ok(()),
    }
}

/// No input was changed, nothing lies about, and who was refused wrote nothing.
fn untouched(
    before: &BTreeMap<PathBuf, Vec<u8>>,
    after: &BTreeMap<PathBuf, Vec<u8>>,
    code: Option<i32>,
    args: &[String],
    may_change: &[&str],
) -> Result<(), String> {
    for (path, bytes) in before {
        let name = path.to_string_lossy();
        if after.get(path) == Some(bytes) || may_change.contains(&&*name) {
            continue;
        }
        let how = if after.contains_key(path) { "was changed" } else { "is gone" };
        match use_of(&name, args) {
            Use::Output => {}
            Use::Both => return Err(format!("{name} is read and {how}")),
            Use::Other => return Err(format!("{name} {how}, and nobody asked for it")),
        }
    }
    for path in after.keys().filter(|path| !before.contains_key(*path)) {
        let name = path.to_string_lossy();
        if name.contains(".rnnstep-") {
            return Err(format!("{name} was left"));
        }
        let may = may_change.iter().any(|may| name == *may || (may.ends_with('/') && name.starts_with(may)));
        if !name.starts_with(OUTPUT) && !may && !matches!(use_of(&name, args), Use::Output) {
            return Err(format!("{name} was written and nobody asked for it"));
        }
        if code == Some(2) {
            return Err(format!("exit 2, and yet {name} was written"));
        }
    }
    Ok(())
}

/// What a file is to a command.
enum Use {
    Output,
    Both,
    Other,
}

/// Options that name a file to write.
const WRITES: [&str; 8] =
    ["--out", "--log", "--plot", "--save-grads", "--final-state", "--forecasts", "--html", "--journal"];

/// How a command line names a file, the folder that it is in, or the model that it belongs to (`m` of `m.checkpoint.safetensors`).
/// What a training goes on from is to be written: there it goes on where it read, unless another place is named.
fn use_of(name: &str, args: &[String]) -> Use {
    let is = |arg: &str| {
        let arg = arg.strip_prefix("./").unwrap_or(arg);
        let stem = arg.rsplit_once('.').map_or(arg, |(stem, _)| stem);
        // a link to nothing is written through
        arg == name
            || (arg, name) == ("dangling", "absent")
            || name.starts_with(&format!("{arg}/"))
            || (!stem.is_empty() && name.starts_with(&format!("{stem}.")))
    };
    let elsewhere = args.iter().any(|arg| arg.split('=').next() == Some("--out"));
    let goes_on = |arg: &str| !elsewhere && is(&arg.replace(".checkpoint.", "."));
    let (mut written, mut read, mut before) = (false, false, "");
    for arg in args {
        match arg.split_once('=') {
            Some(("--resume", value)) => written |= goes_on(value),
            Some((flag, value)) if WRITES.contains(&flag) => written |= is(value),
            _ if before == "--resume" => written |= goes_on(arg),
            _ if WRITES.contains(&before) => written |= is(arg),
            _ => read |= arg == name,
        }
        before = arg;
    }
    match (written, read) {
        (true, false) => Use::Output,
        (true, true) => Use::Both,
        _ => Use::Other,
    }
}
