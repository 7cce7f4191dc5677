//! The one error type. Every message is a single line that says what is wrong, where, and what to do.
//!
//! Names come from files, and files from anywhere: [`shown`], [`quoted`] and [`listed`] put them into a message so that
//! a terminal obeys nothing in them and a million of them fill no screen. What an [`Error`] displays is escaped once
//! more as a whole.

use alloc::string::String;
#[cfg(feature = "std")]
use std::path::{Path, PathBuf};

/// Short for `core::result::Result<T, rnnstep::Error>`.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// What can go wrong. Nothing here can happen inside a step: sizes are checked before the first one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option, a size or a combination of them that is not possible.
    #[error("{}", one_line(.0))]
    Invalid(String),

    /// A slice, an array or a row whose number of values is not the one that the shape asks for.
    #[error("{what}: expected {expected} values, got {got}")]
    Length {
        /// What was handed over, in the words of the shape comments.
        what: &'static str,
        /// How many values the shape asks for.
        expected: usize,
        /// How many there were.
        got: usize,
    },

    /// A handle that names no open stream of the [`Streams`](crate::model::streams::Streams) it was given to, or names
    /// one twice.
    #[error("stream handle {row}: {reason}")]
    Handle {
        /// Its place among the handles of the call, from 0.
        row: usize,
        /// What is wrong with it and what to do.
        reason: &'static str,
    },

    /// A device that is missing, or that cannot do what is asked of it. A compiler's message may have several lines.
    #[error("{}", escaped_lines(message))]
    Device {
        /// The reason, so that a program can decide whether to try another device.
        kind: DeviceErrorKind,
        /// What is wrong and what to do.
        message: String,
    },

    /// A file that was read, but whose content is wrong.
    #[cfg(feature = "std")]
    #[error("{}: {}", place(path), one_line(reason))]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and what to do.
        reason: String,
    },

    /// A tensor inside a file.
    #[cfg(feature = "std")]
    #[error("{}: tensor {}: {}", place(path), quoted(tensor), one_line(reason))]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name in it.
        tensor: String,
        /// What is wrong with it and what to do.
        reason: String,
    },

    /// A row of a table. Rows are counted as a text editor counts lines, from 1.
    #[cfg(feature = "std")]
    #[error("{}: line {}: {}", place(path), .line, one_line(reason))]
    Row {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it and what to do.
        reason: String,
    },

    /// The operating system refused to read or write.
    #[cfg(feature = "std")]
    #[error("{}: {}", place(path), one_line(&source.to_string()))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
}

/// Why a device cannot be used: the kind of an [`Error::Device`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceErrorKind {
    /// There is no such device: no GPU, or none of this number; no instruction set of this name, or not in this
    /// processor.
    NoDevice,
    /// There is no driver, or it is too old, not complete or does not start.
    NoDriver,
    /// There is no compiler for the kernels.
    NoCompiler,
    /// A driver or a compiler is there, but was not opened, because another user could have changed it.
    NotTrusted,
    /// The device has too little memory, or the host has none that it could share with the device.
    OutOfMemory,
    /// The device, its driver or the compiler cannot do what is asked of it, or cannot do it at this time.
    Unsupported,
    /// The device or the compiler failed at its work.
    Failed,
}

impl Error {
    pub(crate) fn device(kind: DeviceErrorKind, message: impl Into<String>) -> Self {
        Self::Device { kind, message: message.into() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }

    /// `Ok` if `got == expected`.
    pub(crate) fn check_length(what: &'static str, expected: usize, got: usize) -> Result<()> {
        if got == expected { Ok(()) } else { Err(Self::Length { what, expected, got }) }
    }
}

#[cfg(feature = "std")]
impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    pub(crate) fn file(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::File { path: path.into(), reason: reason.into() }
    }

    pub(crate) fn tensor(path: impl Into<PathBuf>, tensor: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Tensor { path: path.into(), tensor: tensor.into(), reason: reason.into() }
    }

    pub(crate) fn row(path: impl Into<PathBuf>, line: u64, reason: impl Into<String>) -> Self {
        Self::Row { path: path.into(), line, reason: reason.into() }
    }
}

/// How many characters of a name a message shows.
const LONGEST: usize = 60;
/// How many characters of a reason.
const LONGEST_REASON: usize = 2000;
/// How many characters of a path.
#[cfg(feature = "std")]
const LONGEST_PATH: usize = 500;
/// How many characters of a parser's message.
#[cfg(feature = "std")]
const LONGEST_SAID: usize = 160;
/// How many names of a list.
const LISTED: usize = 10;

/// A name from a file as a message shows it: on one line, at most 60 characters, and without anything that a terminal
/// obeys.
pub fn shown(name: &str) -> String {
    written(name, LONGEST, |c| must_be_escaped(c).then_some(c))
}

/// The same in quotes. A quote inside the name gets a backslash before it.
pub fn quoted(name: &str) -> String {
    let inside = written(name, LONGEST, |c| (must_be_escaped(c) || matches!(c, '"' | '\\')).then_some(c));
    alloc::format!("\"{inside}\"")
}

/// The first few of many names, each as [`quoted`] has it, and how many more there are; `nothing` if there is none.
pub fn listed<'a>(names: impl IntoIterator<Item = &'a (impl AsRef<str> + ?Sized + 'a)>) -> String {
    let (mut names, mut text) = (names.into_iter(), String::new());
    for name in names.by_ref().take(LISTED) {
        text += if text.is_empty() { "" } else { ", " };
        text += &quoted(name.as_ref());
    }
    match names.count() {
        0 if text.is_empty() => "nothing".into(),
        0 => text,
        more => alloc::format!("{text} and {more} more"),
    }
}

/// `text` unchanged, except for what a terminal obeys and what is invisible: that is written as in a Rust string, for
/// example `\n` and `\u{1b}`.
pub fn escaped(text: &str) -> String {
    written(text, usize::MAX, |c| must_be_escaped(c).then_some(c))
}

/// The same for a text that may have several lines.
pub fn escaped_lines(text: &str) -> String {
    written(text, usize::MAX, |c| (c != '\n' && must_be_escaped(c)).then_some(c))
}

/// Control characters, which include the commands of a terminal; characters that break a line, turn the direction of
/// writing or are invisible. The two that join letters are kept, because some scripts need them.
fn must_be_escaped(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}

/// The first `most` characters of `text`. Those that `escape` picks are written with a backslash.
fn written(text: &str, most: usize, escape: impl Fn(char) -> Option<char>) -> String {
    let mut out = String::new();
    let mut letters = text.chars();
    for letter in letters.by_ref().take(most) {
        match escape(letter) {
            None => out.push(letter),
            Some('\n' | '\r' | '\t' | '"' | '\\') => out.extend(letter.escape_default()),
            Some(_) => out.extend(letter.escape_unicode()),
        }
    }
    if letters.next().is_some() {
        out.push_str("...");
    }
    out
}

/// The message of another crate's parser, which may quote half of the file: shortened to one line.
#[cfg(feature = "std")]
pub fn brief(said: impl core::fmt::Display) -> String {
    written(&alloc::format!("{said}"), LONGEST_SAID, |c| must_be_escaped(c).then_some(c))
}

/// A reason in one line.
fn one_line(reason: &str) -> String {
    written(reason, LONGEST_REASON, |c| must_be_escaped(c).then_some(c))
}

/// The name of a file; if it is too long, only its end.
#[cfg(feature = "std")]
fn place(path: &Path) -> String {
    let path = path.to_string_lossy();
    match path.char_indices().rev().nth(LONGEST_PATH - 1) {
        Some((from, _)) if from > 0 => alloc::format!("...{}", escaped(&path[from..])),
        _ => escaped(&path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_shows_is_short_and_one_line() {
        assert_eq!(quoted("temp"), "\"temp\"");
        let long = |count: usize| Error::file("é".repeat(count), "is too long").to_string();
        assert_eq!(long(LONGEST_PATH), format!("{}: is too long", "é".repeat(LONGEST_PATH)));
        assert_eq!(long(LONGEST_PATH + 1), format!("...{}: is too long", "é".repeat(LONGEST_PATH)));
        assert_eq!(quoted("it's\nb\u{1b}[31m\"\\"), r#""it's\nb\u{1b}[31m\"\\""#);
        assert_eq!(
            shown("\r\t\u{7}\u{9b}2J\u{202e}txt\u{2066}\u{feff}"),
            r"\r\t\u{7}\u{9b}2J\u{202e}txt\u{2066}\u{feff}"
        );
        assert_eq!(shown(&"x".repeat(1 << 20)), "x".repeat(60) + "...");
        assert_eq!(shown(&"é".repeat(60)), "é".repeat(60));
        // letters of any script stay as they are
        for name in ["Zürich", "日本", "e\u{301}", "می\u{200c}خواهم", "👨\u{200d}👩\u{200d}👧", "a\\b \"c\""]
        {
            assert_eq!(shown(name), name);
        }
    }

    #[test]
    fn a_million_names_are_a_few_and_how_many_more() {
        let many: Vec<String> = (0..1_000_000).map(|n| n.to_string()).collect();
        let text = listed(&many);
        assert!(text.starts_with("\"0\", \"1\"") && text.ends_with("\"9\" and 999990 more"), "{text}");
        assert_eq!(listed(["a", "b"]), "\"a\", \"b\"");
        assert_eq!(listed([""; 0]), "nothing");
    }

    #[cfg(feature = "std")]
    #[test]
    fn every_error_is_one_line_that_no_terminal_obeys() {
        let bad = "a\u{1b}]0;x\u{7}\nb\rc\u{202e}";
        let file = || PathBuf::from(bad);
        let all = [
            Error::Invalid(bad.into()),
            Error::file(bad, bad),
            Error::tensor(bad, bad, bad),
            Error::row(bad, 3, bad),
            Error::io(file(), std::io::Error::other(bad)),
        ];
        for error in all {
            let text = error.to_string();
            assert!(!text.chars().any(must_be_escaped), "{text:?}");
            assert!(text.contains(r"a\u{1b}]0;x\u{7}\nb\rc\u{202e}"), "{text}");
        }
        let said = Error::device(DeviceErrorKind::Failed, "two\nlines \u{1b}[2J").to_string();
        assert_eq!(said, "two\nlines \\u{1b}[2J");
        assert!(Error::Invalid("x".repeat(1 << 20)).to_string().len() < 3000);
    }
}
