//! The one error type. Every message is a single line that says what is wrong, where, and what to do.

use alloc::string::String;
#[cfg(feature = "std")]
use std::path::PathBuf;

/// Short for `core::result::Result<T, rnnstep::Error>`.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// What can go wrong. Nothing here can happen inside a step: sizes are checked before the first one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option, a size or a combination of them that cannot be.
    #[error("{0}")]
    Invalid(String),

    /// A slice, an array or a row that has another number of values than the shape asks for.
    #[error("{what}: expected {expected} values, got {got}")]
    Length {
        /// What was handed over, in the words of the shape comments.
        what: &'static str,
        /// How many values the shape asks for.
        expected: usize,
        /// How many there were.
        got: usize,
    },

    /// A handle that names no open stream of the [`Streams`](crate::Streams) it was given to, or names one twice.
    #[error("stream handle {row}: {reason}")]
    Handle {
        /// Its place among the handles of the call, from 0.
        row: usize,
        /// What is wrong with it and what to do.
        reason: &'static str,
    },

    /// A device or an instruction set that this machine does not have.
    #[error("{0}")]
    Device(String),

    /// A file that was read but does not hold what it should.
    #[cfg(feature = "std")]
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and what to do.
        reason: String,
    },

    /// A tensor inside a file.
    #[cfg(feature = "std")]
    #[error("{}: tensor {tensor:?}: {reason}", path.display())]
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
    #[error("{}: line {line}: {reason}", path.display())]
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
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

impl Error {
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
