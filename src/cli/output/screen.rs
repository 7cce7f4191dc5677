//! stdout, as something that can close, fill up or wait without a panic and without a model lost; and what stderr can show.

use crate::cli::failure::Failure;
use crate::cli::signals;
use rnnstep::Error;
use rnnstep::error::{escaped, escaped_lines};
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write, stderr, stdout};
use std::sync::{Mutex, PoisonError};

/// The most that a pipe takes at once after it said that it takes something.
const PIECE: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };

/// Lines of one kind on stderr.
const LINES: usize = 10;

/// Buffered stdout.
pub struct Screen {
    out: BufWriter<Outlet>,
    /// Whether a person looks at it.
    pub terminal: bool,
    /// Whether what is shown goes beside the files that are the work.
    beside_files: bool,
    /// Why nothing is shown any more.
    failed: Option<Failure>,
}

impl Screen {
    pub fn new() -> Self {
        let out = BufWriter::new(Outlet::new());
        Self { out, terminal: stdout().is_terminal(), beside_files: false, failed: None }
    }

    /// From now on the work is files, and what is shown goes beside them: a stdout that fails stops nothing. One that was
    /// closed is forgotten, anything else is told at the end, by [`Screen::finish`].
    pub fn goes_beside_files(&mut self) {
        self.beside_files = true;
    }

    /// A line on stdout. What a terminal would obey in it, line breaks included, is written as in a Rust string.
    pub fn line(&mut self, text: impl std::fmt::Display) -> Result<(), Failure> {
        let written = writeln!(self.out, "{}", escaped(&text.to_string()));
        self.judge(written)
    }

    /// Some lines on stdout that hold no name from a file.
    pub fn lines(&mut self, text: &str) -> Result<(), Failure> {
        text.split('\n').try_for_each(|line| self.line(line))
    }

    /// A picture of letters, with the colours that are in it.
    pub fn picture(&mut self, text: &str) -> Result<(), Failure> {
        let written = writeln!(self.out, "{}", text.trim_end_matches('\n'));
        self.judge(written)
    }

    /// Everything said so far reaches its reader.
    pub fn flush(&mut self) -> Result<(), Failure> {
        let flushed = self.out.flush();
        self.judge(flushed)
    }

    /// Something that writes data to stdout itself: byte for byte, but for a terminal.
    pub fn write(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        let written = match self.terminal {
            true => write(&mut ForTerminal { out: &mut self.out, rest: vec![] }),
            false => write(&mut self.out),
        };
        self.judge(written)
    }

    /// The end: whatever was said reached its reader, or none is left.
    pub fn finish(&mut self) -> Result<(), Failure> {
        self.flush()?;
        match self.failed.take() {
            None | Some(Failure::ClosedPipe | Failure::Interrupted) => Ok(()),
            Some(other) => Err(other),
        }
    }

    /// Whether a line that could not be written stops the work.
    fn judge(&mut self, written: io::Result<()>) -> Result<(), Failure> {
        let Err(error) = written else { return Ok(()) };
        let failure = failed(error);
        // what is still in the buffer would be tried again and again
        self.out.get_mut().closed = true;
        if self.beside_files {
            self.failed.get_or_insert(failure);
            return Ok(());
        }
        Err(failure)
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

/// stdout without a buffer. A wait for whoever reads it ends with a signal that a command watches.
struct Outlet {
    #[cfg(unix)]
    file: io::Result<std::fs::File>,
    /// Whether nothing goes through any more; it is taken then, and gone.
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

/// Data on their way to a terminal: whatever it would obey is escaped, but for the ends of lines.
struct ForTerminal<'a> {
    out: &'a mut dyn Write,
    /// The beginning of a character whose end has not come yet.
    rest: Vec<u8>,
}

impl Write for ForTerminal<'_> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.rest.extend(text);
        let whole = match std::str::from_utf8(&self.rest) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.rest.len(),
        };
        let text_so_far: Vec<u8> = self.rest.drain(..whole).collect();
        self.out.write_all(escaped_lines(&String::from_utf8_lossy(&text_so_far)).as_bytes())?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A line on stderr; its end is the only break in it. One that nobody can be told of is no reason to stop.
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

/// Lines on stderr, the first few and how many more there are.
pub fn tell(lines: &[String], more: &str) {
    for line in lines.iter().take(LINES) {
        eprintln!("{line}");
    }
    if lines.len() > LINES {
        eprintln!("{} {more}", lines.len() - LINES);
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

pub fn failed(error: io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::ClosedPipe,
        _ if signals::Ended::is_why(&error) => Failure::Interrupted,
        _ => Failure::Library(Error::Io { path: "standard output".into(), source: error }),
    }
}

/// A word as one types it in a shell.
pub fn typed(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:,".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}
