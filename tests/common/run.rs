//! Calls the program as a user does: in a folder of its own, with arguments, looking at what it prints and leaves.
#![allow(dead_code, reason = "each test file uses its part")]

use rnnstep::model::file;
use rnnstep::{CellKind, Model, Nonlinearity, Shape, Tensor};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// After so long a command counts as hung and is killed.
const HUNG: Duration = Duration::from_secs(120);

/// A folder in which commands run.
pub struct Run {
    folder: TempDir,
    env: Vec<(&'static str, String)>,
    /// What a shell says before a command: the limits under which it runs.
    limits: String,
}

/// How a command ended.
pub struct Answer {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), env: vec![], limits: String::new() }
    }

    /// The same folder with a variable of the environment.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// The same folder with commands that may take so many KiB of address space, where the system can say so.
    pub fn with_memory(mut self, kib: u64) -> Self {
        if cfg!(target_os = "linux") {
            self.limits += &format!("ulimit -v {kib}; ");
        }
        self
    }

    /// The same folder with commands that may take so many seconds of a processor, where the system can say so.
    pub fn with_time(mut self, seconds: u64) -> Self {
        if cfg!(unix) {
            self.limits += &format!("ulimit -t {seconds}; ");
        }
        self
    }

    /// The same folder with commands that may write files of so many blocks, of 512 or 1024 bytes as the shell likes it.
    pub fn with_file_size(mut self, blocks: u64) -> Self {
        self.limits += &format!("ulimit -f {blocks}; ");
        self
    }

    /// The same folder with commands as they are.
    pub fn without_limits(mut self) -> Self {
        self.limits.clear();
        self
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file and gives its name back.
    pub fn file<'a>(&self, name: &'a str, content: impl AsRef<[u8]>) -> &'a str {
        fs::write(self.path(name), content).unwrap();
        name
    }

    /// A copy of a series that is shipped.
    pub fn example<'a>(&self, name: &'a str) -> &'a str {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data").join(name);
        fs::copy(from, self.path(name)).unwrap();
        name
    }

    /// Writes a model with random weights and gives it back.
    pub fn model(&self, name: &str, cell: CellKind, [input, hidden, layers, output]: [usize; 4]) -> Model {
        let model = Model::random(Shape::new(cell, input, hidden, layers, output).unwrap(), 7).unwrap();
        model.save(self.path(name)).unwrap();
        model
    }

    pub fn tensors(&self, name: &str) -> BTreeMap<String, Tensor> {
        file::read_all_tensors(self.path(name)).unwrap()
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.bytes(name)).unwrap()
    }

    /// All files, with what they hold.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.folder.path()).unwrap().map(Result::unwrap);
        let files =
            entries.filter(|entry| entry.metadata().is_ok_and(|found| found.is_file() && found.len() < 1 << 28));
        files.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
    }

    /// A command in the folder, not yet started. Arguments are separated by spaces.
    pub fn command(&self, args: &str) -> Command {
        let program = env!("CARGO_BIN_EXE_rnnstep");
        let mut command = if self.limits.is_empty() {
            Command::new(program)
        } else {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("{}exec \"$0\" \"$@\"", self.limits), program]);
            shell
        };
        command.args(args.split_whitespace()).current_dir(self.folder.path()).env("RUST_BACKTRACE", "1");
        for name in ["RNNSTEP_ISA", "NO_COLOR", "COLUMNS"] {
            command.env_remove(name);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end, without anything on its stdin.
    pub fn run(&self, args: &str) -> Answer {
        self.feed(args, "")
    }

    /// Runs a command to its end, with `input` on its stdin.
    pub fn feed(&self, args: &str, input: impl AsRef<[u8]>) -> Answer {
        let mut command = self.command(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.as_ref().to_vec();
        // a program that has ended does not read on: that is no fault here
        let writer = thread::spawn(move || drop(stdin.write_all(&input)));
        let stdout = read_all(child.stdout.take().unwrap());
        let stderr = read_all(child.stderr.take().unwrap());
        let code = wait(&mut child, args);
        writer.join().unwrap();
        let answer = Answer { code, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() };
        assert!(!answer.stderr.contains("panicked"), "rnnstep {args}\n{}", answer.stderr);
        answer
    }

    /// Runs a command that must work.
    pub fn ok(&self, args: &str) -> Answer {
        self.feed_ok(args, "")
    }

    pub fn feed_ok(&self, args: &str, input: impl AsRef<[u8]>) -> Answer {
        let answer = self.feed(args, input);
        assert_eq!(answer.code, Some(0), "rnnstep {args}\n{}", answer.stderr);
        answer
    }

    /// Runs a command that must fail: exit 1, one line on stderr that contains all of `words`, nothing on stdout,
    /// and every file as before. Gives the line back.
    pub fn fails(&self, args: &str, words: &[&str]) -> String {
        let before = self.files();
        let answer = self.run(args);
        let line = answer.error(args);
        assert_eq!(answer.stdout, "", "rnnstep {args}");
        for word in words {
            assert!(line.contains(word), "rnnstep {args}\n{line}\nlacks {word:?}");
        }
        let after = self.files();
        assert!(before == after, "rnnstep {args}\nleft {:?}", after.keys().collect::<Vec<_>>());
        line
    }

    /// Runs a command whose flags make no sense: exit 2, something on stderr, nothing on stdout, and every file as
    /// before.
    pub fn misused(&self, args: &str, words: &[&str]) {
        let before = self.files();
        let Answer { code, stdout, stderr } = self.run(args);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "rnnstep {args}\n{stderr}");
        assert!(stderr.starts_with("error: "), "rnnstep {args}\n{stderr}");
        for word in words {
            assert!(stderr.contains(word), "rnnstep {args}\n{stderr}\nlacks {word:?}");
        }
        assert!(before == self.files(), "rnnstep {args}");
    }

    /// Starts a command to talk to.
    pub fn talk(&self, args: &str) -> Talk {
        let mut command = self.command(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdin, args) = (child.stdin.take(), args.to_string());
        let (stdout, stderr) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        Talk { child, stdin, stdout, stderr, args }
    }
}

impl Answer {
    /// The one line on stderr of a command that failed with exit code 1.
    pub fn error(&self, args: &str) -> String {
        let Self { code, stderr, .. } = self;
        assert_eq!(*code, Some(1), "rnnstep {args}\n{stderr}");
        assert_eq!(stderr.lines().count(), 1, "rnnstep {args}\n{stderr}");
        assert!(
            stderr.starts_with("error: ") && stderr.ends_with('\n') && stderr.len() < 1000,
            "rnnstep {args}\n{stderr}"
        );
        assert!(!stderr.contains("RUST_BACKTRACE"), "rnnstep {args}\n{stderr}");
        stderr.trim_end().into()
    }

    /// What stands on stderr but for the line that says which columns are used.
    pub fn notes(&self) -> String {
        self.stderr.split_inclusive('\n').filter(|line| !line.starts_with("columns: ")).collect()
    }

    /// The rest of the line on stdout that begins with `start`.
    pub fn after<'a>(&'a self, start: &str) -> &'a str {
        let line = self.stdout.lines().find_map(|line| line.strip_prefix(start));
        line.unwrap_or_else(|| panic!("no line {start:?} in\n{}", self.stdout)).trim()
    }
}

/// A command under way.
pub struct Talk {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    args: String,
}

impl Talk {
    pub fn say(&mut self, text: &str) {
        self.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// The next line on stdout, while stdin is open.
    pub fn hear(&self) -> String {
        self.stdout.recv_timeout(HUNG).expect("a line on stdout")
    }

    /// The next line on stdout, if it comes in time.
    pub fn hear_within(&self, time: Duration) -> Option<String> {
        self.stdout.recv_timeout(time).ok()
    }

    /// The next line on stderr.
    pub fn hear_error(&self) -> String {
        self.stderr.recv_timeout(HUNG).expect("a line on stderr")
    }

    /// Ctrl-C.
    #[cfg(unix)]
    pub fn interrupt(&self) {
        let status = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as nothing can prevent: SIGKILL.
    pub fn kill(mut self) -> Answer {
        self.child.kill().unwrap();
        self.end()
    }

    /// Closes stdin and waits; what else was said.
    pub fn end(mut self) -> Answer {
        self.stdin = None;
        let code = wait(&mut self.child, &self.args);
        let rest = |lines: &Receiver<String>| lines.iter().map(|line| line + "\n").collect();
        Answer { code, stdout: rest(&self.stdout), stderr: rest(&self.stderr) }
    }
}

impl Drop for Talk {
    /// Nothing runs on after a test that failed.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A shape of an Elman RNN with relu.
pub fn relu(input: usize, hidden: usize) -> Shape {
    Shape::new(CellKind::Rnn, input, hidden, 1, 1).unwrap().with_nonlinearity(Nonlinearity::Relu).unwrap()
}

/// The numbers of a table with a header, row after row.
pub fn numbers(csv: &str, first_column: usize) -> Vec<Vec<f64>> {
    let row = |line: &str| line.split(',').skip(first_column).map(|text| text.parse().unwrap()).collect();
    csv.lines().skip(1).map(row).collect()
}

/// The same for the numbers of a network without units, which are f32: the shortest text is that of an f32.
pub fn numbers_in_f32(csv: &str, first_column: usize) -> Vec<Vec<f32>> {
    let row = |line: &str| line.split(',').skip(first_column).map(|text| text.parse().unwrap()).collect();
    csv.lines().skip(1).map(row).collect()
}

fn wait(child: &mut Child, args: &str) -> Option<i32> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if start.elapsed() > HUNG {
            child.kill().unwrap();
            panic!("rnnstep {args}: does not end");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn read_all(mut source: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        source.read_to_end(&mut bytes).unwrap();
        String::from_utf8(bytes).expect("UTF-8")
    })
}

fn lines(source: impl Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = channel();
    thread::spawn(move || {
        for line in BufReader::new(source).lines() {
            if send.send(line.unwrap()).is_err() {
                break;
            }
        }
    });
    receive
}
