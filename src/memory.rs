//! Memory whose amount comes from outside: a file, a flag. It is asked for, so that a refusal is an error with a name and not
//! the end of the process.
//!
//! The standard library ends a process whose allocation fails. The program (`src/cli/memory.rs`) prints one line first, for
//! every allocation but those that are made here, whose failure is somebody's to report.

use alloc::vec::Vec;
use core::fmt;

/// Memory that could not be had, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused(pub usize);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "out of memory: {} bytes cannot be had; take something smaller, or a machine with more", self.0)
    }
}

#[cfg(feature = "std")]
std::thread_local! {
    static ASKING: core::cell::Cell<bool> = const { core::cell::Cell::new(false) };
}

/// Calls `ask`, in which an allocation of this thread may fail and the caller goes on.
pub fn asking<T>(ask: impl FnOnce() -> T) -> T {
    #[cfg(feature = "std")]
    {
        struct Before(bool);
        // also if `ask` panics
        impl Drop for Before {
            fn drop(&mut self) {
                ASKING.set(self.0);
            }
        }
        let _before = Before(ASKING.replace(true));
        ask()
    }
    #[cfg(not(feature = "std"))]
    ask()
}

/// Whether this thread is within [`asking`]: a global allocator then lets a failure be. Neither allocates nor locks.
#[cfg(feature = "std")]
pub fn is_asking() -> bool {
    ASKING.get()
}

/// An empty list with room for `len` elements.
///
/// # Errors
/// If the memory cannot be had, or is more than an address can reach.
pub fn room<T>(len: usize) -> Result<Vec<T>, Refused> {
    let mut values = Vec::new();
    reserve(&mut values, len)?;
    Ok(values)
}

/// Room in `values` for exactly `more` elements more.
///
/// # Errors
/// If the memory cannot be had, or is more than an address can reach.
pub fn reserve<T>(values: &mut Vec<T>, more: usize) -> Result<(), Refused> {
    asking(|| values.try_reserve_exact(more)).map_err(|_| Refused(more.saturating_mul(size_of::<T>())))
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_had_is_refused() {
        assert_eq!(room::<f32>(usize::MAX), Err(Refused(usize::MAX)));
        assert_eq!(room::<u8>(isize::MAX as usize), Err(Refused(isize::MAX as usize)));
        assert!(room::<f32>(10).is_ok_and(|values| values.capacity() == 10));
        assert!(!is_asking());
        assert!(asking(is_asking) && !is_asking());
        let caught = std::panic::catch_unwind(|| asking(|| panic!("within")));
        assert!(caught.is_err() && !is_asking());
    }
}
