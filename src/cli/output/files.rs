//! The files that a command writes.

use crate::cli::signals;
use rnnstep::Error;
use std::io::ErrorKind;
use std::path::Path;

/// Writes one of the files of a command. If it is a pipe, a signal ends the wait for its reader. A pipe that its reader
/// has closed is no failure, like a closed stdout: the other files are written all the same.
pub fn write(path: &Path, write: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    match signals::writing(path, write) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Whether a path stands for standard input or output.
pub fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

/// The extension in lower case.
pub fn extension(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default()
}
