//! NVIDIA's two libraries: where they may be, and how they are opened. The only place that names libloading.
//!
//! No library is opened by a bare name. The system would look for it along the loader's path, where an empty entry is
//! the working directory, and it would run before anything could be checked. Instead, this module searches the loader's
//! path itself, and opens each file by its own path once [`trust`] has accepted it.

mod places;
pub mod trust;

pub use places::Places;

use crate::cuda::library::trust::{Kind, Unfit};
use std::path::{Path, PathBuf};

/// A library that was opened. One that is used must stay in memory until the program ends, because it has threads and
/// exit handlers of its own: see [`Library::keep`].
pub struct Library(libloading::Library);

/// Why a library is not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// It was not opened: somebody else may have made it, or could change it. One line, with what to do.
    Refused(String),
    /// The system could not open it. One line.
    Broken(String),
}

impl Closed {
    /// One line.
    pub fn reason(&self) -> &str {
        match self {
            Self::Refused(reason) | Self::Broken(reason) => reason,
        }
    }
}

impl Library {
    /// Opens the library at this absolute path, if it is trusted.
    ///
    /// # Safety
    /// Opening a library runs its start-up code: it is one of NVIDIA's, if it is what its name says.
    pub unsafe fn open(path: &Path) -> Result<Self, Closed> {
        trust::check(path, Kind::Library).map_err(|unfit| match unfit {
            Unfit::Missing => Closed::Broken(unfit.into_reason()),
            Unfit::Refused(reason) => Closed::Refused(reason),
        })?;
        // by this path and not by the one without links: a library may look for others next to the name that was opened
        // SAFETY: the caller's promise.
        let opened = unsafe { open(path) };
        opened.map(Self).map_err(|error| Closed::Broken(one_line(&error.to_string())))
    }

    /// The driver of Windows, which is in the system's own folder and nowhere else.
    ///
    /// # Safety
    /// As for [`Library::open`].
    #[cfg(windows)]
    pub unsafe fn open_of_the_system(name: &str) -> Result<Self, Closed> {
        use libloading::os::windows::{LOAD_LIBRARY_SEARCH_SYSTEM32, Library};
        // SAFETY: the caller's promise.
        let opened = unsafe { Library::load_with_flags(name, LOAD_LIBRARY_SEARCH_SYSTEM32) };
        opened.map(|library| Self(library.into())).map_err(|error| Closed::Broken(one_line(&error.to_string())))
    }

    /// A function by its name.
    ///
    /// # Safety
    /// `F` is the type of a pointer to that function.
    pub unsafe fn get<F: Copy>(&self, name: &str) -> Option<F> {
        // SAFETY: the caller's promise.
        unsafe { self.0.get::<F>(name.as_bytes()) }.ok().map(|function| *function)
    }

    /// Never closes it.
    pub fn keep(self) {
        std::mem::forget(self.0);
    }
}

#[cfg(not(windows))]
unsafe fn open(path: &Path) -> Result<libloading::Library, libloading::Error> {
    // SAFETY: the caller's promise.
    unsafe { libloading::Library::new(path) }
}

/// The system looks for what the library needs next to it and in its own folder, not in the working directory.
#[cfg(windows)]
unsafe fn open(path: &Path) -> Result<libloading::Library, libloading::Error> {
    use libloading::os::windows::{LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR, LOAD_LIBRARY_SEARCH_SYSTEM32, Library};
    // SAFETY: the caller's promise.
    unsafe { Library::load_with_flags(path, LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_SYSTEM32) }
        .map(Into::into)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a search found and did not use: lines for `rnnstep info`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refused {
    lines: Vec<String>,
    /// The reasons in these lines: a folder because of which many files are refused gives one line.
    reasons: Vec<String>,
}

impl Refused {
    /// Adds a file, and why it was not opened.
    pub fn file(&mut self, file: &Path, reason: &str) {
        if !self.reasons.iter().any(|known| known == reason) {
            self.reasons.push(reason.to_string());
            self.lines.push(format!("{} is not opened: {reason}", trust::shown(file)));
        }
    }

    /// Adds a place that was not searched.
    pub fn place(&mut self, line: String) {
        if !self.lines.contains(&line) {
            self.lines.push(line);
        }
    }

    /// Whether a file was refused.
    pub fn has_files(&self) -> bool {
        !self.reasons.is_empty()
    }

    /// One line each.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}

/// The folder or file that an environment variable names, if it is set. The error is why that is not used, in one line.
pub fn named(variable: &str, value: Option<std::ffi::OsString>) -> Result<Option<PathBuf>, String> {
    let Some(path) = value.filter(|value| !value.is_empty()).map(PathBuf::from) else { return Ok(None) };
    if path.is_absolute() {
        return Ok(Some(path));
    }
    Err(format!("{variable} is {}, which depends on the working directory; give an absolute path", trust::shown(&path)))
}
