//! What the program does when memory runs out, wherever that is: one line, exit 1.
//!
//! The standard library ends a process whose allocation fails by a signal, after two lines that name neither file nor way
//! out. So the program's allocator, which hands everything on to the system's, ends it first. Memory that the library asks
//! for where a file says how much (`rnnstep::memory`) is let fail: there is an error then, which says of what file.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

struct Asked;

#[global_allocator]
static ASKED: Asked = Asked;

// SAFETY: every call is handed on to the system's allocator with the arguments as they came, and what that gives back is
// given back; nothing is kept, and nothing unwinds: where memory was refused, the process ends.
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

/// Says so and ends, without allocating. Of several threads the first one speaks.
#[cold]
fn end(bytes: usize) -> ! {
    static SAID: AtomicBool = AtomicBool::new(false);
    if !SAID.swap(true, Ordering::Relaxed) {
        let mut line = [0; 160];
        let size = line.len();
        let mut rest = &mut line[..];
        let _ = writeln!(
            rest,
            "error: out of memory: {bytes} bytes more cannot be had; take less data, a smaller model, batch or window"
        );
        let written = size - rest.len();
        say(&line[..written]);
    }
    #[cfg(unix)]
    signal_hook::low_level::exit(1); // at once: what else is open is as after a kill
    #[cfg(not(unix))]
    std::process::exit(1);
}

/// To stderr past its lock, which this thread may hold.
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
