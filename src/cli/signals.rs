//! The signals INT, TERM and HUP, for a command that has something to save.
//!
//! The first signal is a request: [`came`] returns true, waiting for the other end of a pipe stops, and the command
//! saves and ends. The second signal ends the process, as it does by default. A signal that the process was started to
//! ignore (`nohup`, `trap '' INT`) stays ignored. Without [`watch`] every signal has its default effect: a command that
//! has nothing to save ends at once, even while it waits.

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

/// While this value lives, there is nothing to save, or nothing can be saved: a signal ends the process at once, as it
/// does by default. A signal that came earlier ends the process after a short wait.
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

/// Calls `write`, which writes to `path`. If that is a pipe, the call may wait for a reader for ever, and a signal ends
/// the process.
pub fn writing<T>(path: &Path, write: impl FnOnce() -> T) -> T {
    let regular = std::fs::metadata(path).map_or(true, |found| found.is_file());
    let _at_once = (!regular).then(AtOnce::new);
    write()
}

/// The error of a wait that a signal ended.
#[derive(Debug)]
pub struct Ended;

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Ended {}

impl Ended {
    /// Whether a signal is the reason for `error`.
    pub fn is_why(error: &std::io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}
