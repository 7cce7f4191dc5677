//! stdout, as something that can close or fill up without a panic; and what stderr can show.

use super::Failure;
use rnnstep::Error;
use std::io::{BufWriter, ErrorKind, IsTerminal, Stdout, Write, stderr, stdout};
use std::sync::{Mutex, PoisonError};

/// Buffered stdout.
pub struct Screen {
    out: BufWriter<Stdout>,
    /// Whether a person looks at it.
    pub terminal: bool,
}

impl Screen {
    pub fn new() -> Self {
        Self { out: BufWriter::new(stdout()), terminal: stdout().is_terminal() }
    }

    /// A line on stdout.
    pub fn line(&mut self, text: impl std::fmt::Display) -> Result<(), Failure> {
        writeln!(self.out, "{text}").map_err(failed)
    }

    /// Everything said so far reaches its reader.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(failed)
    }

    /// Something that writes to stdout itself.
    pub fn write(&mut self, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<(), Failure> {
        write(&mut self.out).map_err(failed)
    }

    /// Whether to use colours on stdout: a terminal, and nobody asked for none.
    pub fn colour(&self) -> bool {
        self.terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
    }

    /// Columns of the terminal, or of a page.
    pub fn width(&self) -> usize {
        let columns = std::env::var("COLUMNS").ok().and_then(|c| c.parse::<usize>().ok());
        columns.unwrap_or(80).clamp(40, 100)
    }
}

/// Whether talk on stderr goes to a person.
pub fn person_reads_stderr() -> bool {
    stderr().is_terminal()
}

/// A line on stderr that many series would say, each in its own words: the first of its kind, and no other.
pub fn say_once(kind: &'static str, line: &str) {
    static SAID: Mutex<Vec<&str>> = Mutex::new(Vec::new());
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if !said.contains(&kind) {
        eprintln!("{line}");
        said.push(kind);
    }
}

fn failed(error: std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::ClosedPipe,
        _ => Failure::Library(Error::Io { path: "standard output".into(), source: error }),
    }
}
