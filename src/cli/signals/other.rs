//! Ctrl-C on systems without Unix signals. It does not end a wait.

use std::io;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

static CAME: AtomicBool = AtomicBool::new(false);
static ENDS: AtomicBool = AtomicBool::new(false);

/// From now on the first Ctrl-C is a request to end, and only the second one ends the process.
pub fn watch() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        // if the handler cannot be set, Ctrl-C ends the process as usual
        let _ = ctrlc::set_handler(|| {
            if ENDS.swap(true, Ordering::SeqCst) {
                std::process::exit(1);
            }
            CAME.store(true, Ordering::SeqCst);
        });
    });
}

/// Whether Ctrl-C was pressed.
pub fn came() -> bool {
    CAME.load(Ordering::SeqCst)
}

pub fn enter() {
    ENDS.store(true, Ordering::SeqCst);
}

pub fn leave() {
    ENDS.store(came(), Ordering::SeqCst);
}

pub fn wait_to_read<T>(_: T) -> io::Result<()> {
    Ok(())
}

pub fn wait_to_write<T>(_: T) -> io::Result<()> {
    Ok(())
}
