//! Signals as Unix has them.

use super::Ended;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};
use std::io::{self, PipeReader};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

/// The signal that came last; 0 if none did.
static CAME: AtomicUsize = AtomicUsize::new(0);
/// Whether a signal ends the process by itself.
static ENDS: AtomicBool = AtomicBool::new(false);
/// Counts how often a section in which a signal ends the process was entered or left. It is odd inside such a section.
static SECTION: AtomicU32 = AtomicU32::new(0);
/// The pipe into which the handlers write a byte, which ends every wait. Nobody reads the byte, so it stays there.
static WAKE: OnceLock<Option<PipeReader>> = OnceLock::new();
/// After a signal, how long a write waits for a pipe that accepts nothing.
const GRACE: Duration = Duration::from_secs(1);

/// From now on the first signal is a request to end, and only the second one ends the process.
pub fn watch() {
    WAKE.get_or_init(|| {
        let (reader, writer) = io::pipe().ok()?;
        for signal in [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&signal| !is_ignored(signal)) {
            // the order matters: the first signal passes the check of `ENDS` before it sets `ENDS` for the next one.
            // If a handler cannot be set, the signal keeps its default effect
            let set = flag::register_conditional_default(signal, &ENDS)
                .and_then(|_| flag::register_usize(signal, &CAME, signal as usize))
                .and_then(|_| flag::register(signal, &ENDS));
            if let (Ok(_), Ok(writer)) = (set, writer.try_clone()) {
                let _ = low_level::pipe::register(signal, writer);
            }
        }
        Some(reader)
    });
}

/// Whether the process was started to ignore `signal`.
fn is_ignored(signal: i32) -> bool {
    let mut now = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action `sigaction` changes nothing. It writes the present action to `now`, which has the
    // size and the alignment of one, and returns 0 if it did. Only then is `now` read.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), now.as_mut_ptr()) == 0
            && now.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Whether a signal came.
pub fn came() -> bool {
    CAME.load(Ordering::SeqCst) != 0
}

/// From now on a signal ends the process, until [`leave`].
pub fn enter() {
    let section = SECTION.fetch_add(1, Ordering::SeqCst) + 1;
    let before = CAME.load(Ordering::SeqCst);
    ENDS.store(true, Ordering::SeqCst);
    if before != 0 {
        // that signal was a request to end, so this section gets no more time than the grace
        std::thread::spawn(move || {
            std::thread::sleep(GRACE);
            if SECTION.load(Ordering::SeqCst) == section {
                let _ = low_level::emulate_default_handler(before as i32);
            }
        });
    }
}

/// From now on a signal is a request to end again.
pub fn leave() {
    SECTION.fetch_add(1, Ordering::SeqCst);
    ENDS.store(came(), Ordering::SeqCst);
}

/// Waits until there is something to read, or the end. Does nothing without [`watch`].
///
/// # Errors
/// [`Ended`] if a signal comes first or came before.
pub fn wait_to_read(source: impl AsFd) -> io::Result<()> {
    wait(source, PollFlags::IN, None)
}

/// Waits until something can be written. Does nothing without [`watch`].
///
/// # Errors
/// [`Ended`] if a signal comes first. Also if one came before and the wait takes longer than a second.
pub fn wait_to_write(sink: impl AsFd) -> io::Result<()> {
    wait(sink, PollFlags::OUT, Some(GRACE))
}

/// `grace` is how long to wait if a signal came before.
fn wait(on: impl AsFd, what: PollFlags, grace: Option<Duration>) -> io::Result<()> {
    let Some(Some(wake)) = WAKE.get() else { return Ok(()) };
    let ended = || Err(io::Error::other(Ended));
    let timeout = match (came(), grace) {
        (false, _) => None,
        (true, Some(grace)) => Timespec::try_from(grace).ok(),
        (true, None) => return ended(),
    };
    let mut all = [PollFd::new(&on, what), PollFd::new(wake, PollFlags::IN)];
    loop {
        // after an earlier signal its byte is always there, so only the file is waited for
        let waited_for = if timeout.is_some() { &mut all[..1] } else { &mut all[..] };
        match poll(waited_for, timeout.as_ref()) {
            Ok(0) => return ended(),
            Ok(_) if !all[0].revents().is_empty() => return Ok(()),
            Ok(_) => return ended(),
            Err(rustix::io::Errno::INTR) if timeout.is_none() && came() => return ended(),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
