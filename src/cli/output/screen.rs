//! Writing to stdout and stderr. stdout may close, fill up or wait: that causes no panic, and no model is lost by it.

use crate::cli::failure::Failure;
use crate::cli::signals;
use rnnstep::Error;
use rnnstep::error::{escaped, escaped_lines, quoted};
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write, stderr, stdout};
use std::sync::{Mutex, PoisonError};

/// How many bytes a pipe surely accepts in one write after it reported that it accepts something.
const PIECE: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };

/// The most lines of one kind that are printed on stderr.
const LINES: usize = 10;

/// Buffered stdout.
pub struct Screen {
    out: BufWriter<Outlet>,
    /// Whether it is a terminal, which a person looks at.
    pub terminal: bool,
    /// Whether the result of the command is its files, so that a stdout that fails stops nothing.
    beside_files: bool,
    /// Why nothing is printed any more.
    failed: Option<Failure>,
}

impl Screen {
    pub fn new() -> Self {
        let out = BufWriter::new(Outlet::new());
        Self { out, terminal: stdout().is_terminal(), beside_files: false, failed: None }
    }

    /// From now on the result of the command is its files, and stdout only reports on them: a stdout that fails stops
    /// nothing. If it was closed, that is ignored. [`Screen::finish`] reports any other failure.
    pub fn goes_beside_files(&mut self) {
        self.beside_files = true;
    }

    /// Prints a line on stdout. Control characters in it, line breaks included, are escaped as in a Rust string.
    pub fn line(&mut self, text: impl std::fmt::Display) -> Result<(), Failure> {
        let written = writeln!(self.out, "{}", escaped(&text.to_string()));
        self.judge(written)
    }

    /// Prints several lines on stdout. They may not contain a name from a file, since a line break in it would count.
    pub fn lines(&mut self, text: &str) -> Result<(), Failure> {
        text.split('\n').try_for_each(|line| self.line(line))
    }

    /// Prints a plot that is made of characters, with its colours.
    pub fn picture(&mut self, text: &str) -> Result<(), Failure> {
        let written = writeln!(self.out, "{}", text.trim_end_matches('\n'));
        self.judge(written)
    }

    /// Writes out everything that was printed so far.
    pub fn flush(&mut self) -> Result<(), Failure> {
        let flushed = self.out.flush();
        self.judge(flushed)
    }

    /// Calls `write`, which writes data to stdout: byte for byte, or with control characters escaped on a terminal.
    pub fn write(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        let written = match self.terminal {
            true => write(&mut ForTerminal { out: &mut self.out, rest: vec![] }),
            false => write(&mut self.out),
        };
        self.judge(written)
    }

    /// Writes out the rest, and reports a failure that stopped nothing. A stdout that was closed is no failure.
    pub fn finish(&mut self) -> Result<(), Failure> {
        self.flush()?;
        match self.failed.take() {
            None | Some(Failure::ClosedPipe | Failure::Interrupted) => Ok(()),
            Some(other) => Err(other),
        }
    }

    /// Decides whether a failed write stops the command.
    fn judge(&mut self, written: io::Result<()>) -> Result<(), Failure> {
        let Err(error) = written else { return Ok(()) };
        let failure = failed(error);
        // otherwise what is still in the buffer would be written again and again
        self.out.get_mut().closed = true;
        if self.beside_files {
            self.failed.get_or_insert(failure);
            return Ok(());
        }
        Err(failure)
    }

    /// Whether to use colours on stdout: it is a terminal, and `NO_COLOR` is not set.
    pub fn colour(&self) -> bool {
        self.terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
    }

    /// How many columns to print: those of the terminal (`COLUMNS`) or 80, held between 40 and 100.
    pub fn width(&self) -> usize {
        let columns = std::env::var("COLUMNS").ok().and_then(|c| c.parse::<usize>().ok());
        columns.unwrap_or(80).clamp(40, 100)
    }
}

/// stdout without a buffer. A signal that the command watches ends a wait for its reader.
struct Outlet {
    #[cfg(unix)]
    file: io::Result<std::fs::File>,
    /// Whether stdout has failed. What is written after that is dropped.
    closed: bool,
}

impl Outlet {
    fn new() -> Self {
        #[cfg(unix)]
        {
            use std::os::fd::AsFd;
            Self { file: stdout().as_fd().try_clone_to_owned().map(Into::into), closed: false }
        }
        #[cfg(not(unix))]
        Self { closed: false }
    }
}

impl Write for Outlet {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if self.closed {
            return Ok(text.len());
        }
        #[cfg(unix)]
        if let Ok(file) = &mut self.file {
            signals::wait_to_write(&*file)?;
            return file.write(&text[..text.len().min(PIECE)]);
        }
        stdout().write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.closed { Ok(()) } else { stdout().flush() }
    }
}

/// Writes data to a terminal: control characters are escaped, except line breaks.
struct ForTerminal<'a> {
    out: &'a mut dyn Write,
    /// The first bytes of a character that is not complete yet.
    rest: Vec<u8>,
}

impl Write for ForTerminal<'_> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.rest.extend(text);
        let complete = match std::str::from_utf8(&self.rest) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.rest.len(),
        };
        let text_so_far: Vec<u8> = self.rest.drain(..complete).collect();
        self.out.write_all(escaped_lines(&String::from_utf8_lossy(&text_so_far)).as_bytes())?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Prints a line on stderr; line breaks inside it are escaped. If it cannot be written, the command goes on.
pub fn talk(text: &str) {
    let line = escaped(text) + "\n";
    for piece in line.as_bytes().chunks(PIECE) {
        #[cfg(unix)]
        if signals::wait_to_write(stderr()).is_err() {
            return;
        }
        if stderr().write_all(piece).is_err() {
            return;
        }
    }
}

/// Prints lines on stderr: the first few, and how many more there are.
pub fn tell(lines: &[String], more: &str) {
    for line in lines.iter().take(LINES) {
        eprintln!("{line}");
    }
    if lines.len() > LINES {
        eprintln!("{} {more}", lines.len() - LINES);
    }
}

/// Prints on stderr which series failed and why: the first few, and how many more there are.
pub fn tell_failed(failures: &[(String, String)], more: &str) {
    let line = |(name, reason): &(String, String)| format!("failed: series {}: {reason}", quoted(name));
    tell(&failures.iter().map(line).collect::<Vec<_>>(), more);
}

/// Whether stderr is a terminal, which a person reads.
pub fn person_reads_stderr() -> bool {
    stderr().is_terminal()
}

/// Prints a line on stderr, unless one of the same kind was printed before: each of many series would print its own.
pub fn say_once(kind: &'static str, line: &str) {
    static SAID: Mutex<Vec<&str>> = Mutex::new(Vec::new());
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if !said.contains(&kind) {
        eprintln!("{line}");
        said.push(kind);
    }
}

pub fn failed(error: io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::ClosedPipe,
        _ if signals::Ended::is_why(&error) => Failure::Interrupted,
        _ => Failure::Library(Error::Io { path: "standard output".into(), source: error }),
    }
}

/// Quotes a word for a shell, if it needs quotes.
pub fn typed(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:,".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}
