//! Running out of memory ends the program with one line and exit code 1, wherever it happens.
//!
//! When an allocation fails, the standard library prints two lines that neither name a file nor say what to do, and
//! ends the process with a signal. So the program has its own allocator, which passes every call on to the system's and
//! ends the process first. An allocation may fail only if a file decides its size (`rnnstep::memory`): the library then
//! returns an error that names the file.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

struct Asked;

#[global_allocator]
static ASKED: Asked = Asked;

// SAFETY: every call goes to the system's allocator with unchanged arguments, and its result is returned unchanged.
// Nothing is kept, and nothing unwinds: if memory is refused, the process ends.
unsafe impl GlobalAlloc for Asked {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the promises of this very function.
        had(unsafe { System.alloc(layout) }, layout.size())
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        had(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    #[inline]
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        had(unsafe { System.realloc(at, layout, size) }, size)
    }

    #[inline]
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[inline]
fn had(at: *mut u8, bytes: usize) -> *mut u8 {
    if at.is_null() && !rnnstep::memory::is_asking() {
        end(bytes);
    }
    at
}

/// Prints the message and ends the process, without allocating. If several threads get here, only the first one prints.
#[cold]
fn end(bytes: usize) -> ! {
    static SAID: AtomicBool = AtomicBool::new(false);
    if !SAID.swap(true, Ordering::Relaxed) {
        let mut line = [0; 160];
        let size = line.len();
        let mut rest = &mut line[..];
        let _ = writeln!(
            rest,
            "error: out of memory: cannot get {bytes} more bytes; use less data, or a smaller model, batch or window"
        );
        let written = size - rest.len();
        say(&line[..written]);
    }
    #[cfg(unix)]
    signal_hook::low_level::exit(1); // at once: open files are left as after a kill
    #[cfg(not(unix))]
    std::process::exit(1);
}

/// Writes to stderr without taking its lock, which this thread may hold already.
fn say(line: &[u8]) {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        if let Ok(stderr) = std::io::stderr().as_fd().try_clone_to_owned() {
            let _ = std::fs::File::from(stderr).write_all(line);
        }
    }
    #[cfg(not(unix))]
    let _ = std::io::stderr().write_all(line);
}
