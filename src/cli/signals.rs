//! INT, TERM and HUP, for a command that has something to save.
//!
//! The first one asks: [`came`] says so, waits for a reader or a writer of a pipe end, and the command saves and ends. The
//! second one ends the process as it would have without all this. One that the process was started to ignore
//! (`nohup`, `trap '' INT`) stays ignored. Without [`watch`] every signal does what it does by default: a command that has
//! nothing to save ends at once, wherever it waits.

#[cfg(not(unix))]
mod other;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
use other as system;
#[cfg(unix)]
use unix as system;

use std::path::Path;

pub use system::{came, wait_to_read, wait_to_write, watch};

/// While it lives there is nothing to save, or nothing that could be: a signal ends the process at once, as it does by
/// default. One that came before it ends it soon after.
pub struct AtOnce(());

impl AtOnce {
    pub fn new() -> Self {
        system::enter();
        Self(())
    }
}

impl Drop for AtOnce {
    fn drop(&mut self) {
        system::leave();
    }
}

/// Calls what writes to `path`. If that is a pipe, it may wait for a reader for ever: a signal ends that wait and the process.
pub fn writing<T>(path: &Path, write: impl FnOnce() -> T) -> T {
    let regular = std::fs::metadata(path).map_or(true, |found| found.is_file());
    let _at_once = (!regular).then(AtOnce::new);
    write()
}

/// That a wait was ended by a signal.
#[derive(Debug)]
pub struct Ended;

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Ended {}

impl Ended {
    /// Whether this is why something could not be read or written.
    pub fn is_why(error: &std::io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}
