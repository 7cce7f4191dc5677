//! NVIDIA's two libraries: where they may lie, and how they are opened. The only place that names libloading.
//!
//! Nothing is opened by a bare name: the system would look for it by the loader's path, an empty entry of which is the
//! working directory, and nothing could be looked at before it runs. The places of the loader's path are gone through
//! here instead, and each file is opened by its own path once [`trust`] has nothing against it.

mod places;
pub mod trust;

pub use places::Places;

use crate::cuda::library::trust::{Kind, Unfit};
use std::path::{Path, PathBuf};

/// A library that was opened. It stays in memory until the program ends: it has threads and exit handlers of its own.
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
        // not the path without links: a library may look for others beside the name that it was opened by
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

/// What the library needs is looked for beside it and in the system's own folder, not in the working directory.
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

/// What was met on a search and not used: lines for `rnnstep info`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refused {
    lines: Vec<String>,
    /// The reasons in them: a folder that refuses many files is said once.
    reasons: Vec<String>,
}

impl Refused {
    /// A file, and why it was not opened.
    pub fn file(&mut self, file: &Path, reason: &str) {
        if !self.reasons.iter().any(|known| known == reason) {
            self.reasons.push(reason.to_string());
            self.lines.push(format!("{} is not opened: {reason}", trust::shown(file)));
        }
    }

    /// A place that was not looked at.
    pub fn place(&mut self, line: String) {
        if !self.lines.contains(&line) {
            self.lines.push(line);
        }
    }

    /// Whether a file was met.
    pub fn has_files(&self) -> bool {
        !self.reasons.is_empty()
    }

    /// One line each.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}

/// The folder or file that a variable of the environment names, if it is set. The error is the line that says that it
/// was not looked at.
pub fn named(variable: &str, value: Option<std::ffi::OsString>) -> Result<Option<PathBuf>, String> {
    let Some(path) = value.filter(|value| !value.is_empty()).map(PathBuf::from) else { return Ok(None) };
    if path.is_absolute() {
        return Ok(Some(path));
    }
    Err(format!("{variable} is {}, which depends on the working directory; give an absolute path", trust::shown(&path)))
}
