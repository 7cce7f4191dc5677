//! The files of a command, and what it does with each: nothing that is read is overwritten, and nothing is written twice.

use crate::cli::failure::Failure;
use rnnstep::Error;
use rnnstep::model::file;
use std::collections::HashMap;
use std::io::{stderr, stdin, stdout};
use std::path::{Path, PathBuf};

/// What a command does with its files. One name may come in several ways: through links, `./` and `a/../`, or as another name
/// of the same file.
#[derive(Default)]
pub struct Paths<'a> {
    reads: Vec<(&'static str, &'a Path)>,
    writes: Vec<(&'static str, &'a Path)>,
    /// What is read and, on purpose, written.
    on_purpose: Vec<[&'static str; 2]>,
}

/// One file, by whatever name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Identity {
    /// A file that is there: its device, and its number on it.
    #[cfg(unix)]
    There(u64, u64),
    /// One that is not there yet, or whose number nobody knows.
    Path(PathBuf),
}

impl<'a> Paths<'a> {
    /// A file or folder to read, under the name of its flag or argument.
    pub fn reads(
        mut self,
        what: &'static str,
        paths: impl IntoIterator<Item = &'a (impl AsRef<Path> + ?Sized + 'a)>,
    ) -> Self {
        self.reads.extend(paths.into_iter().map(|path| (what, path.as_ref())));
        self
    }

    /// A file to write.
    pub fn writes(
        mut self,
        what: &'static str,
        paths: impl IntoIterator<Item = &'a (impl AsRef<Path> + ?Sized + 'a)>,
    ) -> Self {
        self.writes.extend(paths.into_iter().map(|path| (what, path.as_ref())));
        self
    }

    /// `reads` and `writes` may be one file: what goes on with it takes its place.
    pub fn may_replace(mut self, reads: &'static str, writes: &'static str) -> Self {
        self.on_purpose.push([reads, writes]);
        self
    }

    /// Whether each file that is written can be, and is none that is read or written besides. Nothing is touched; temporary files
    /// that killed processes left there are removed. Devices and pipes may stand for several.
    ///
    /// # Errors
    /// The first file of which that is not so.
    pub fn check(&self) -> Result<(), Failure> {
        let mut written: Vec<(&'static str, &Path, Identity)> = Vec::new();
        let own = own_streams();
        if let Some((what, source)) =
            self.reads.iter().find(|(_, source)| source.is_file() && own.contains(&Identity::of(source)))
        {
            return Err(Failure::Usage(format!(
                "{what} {}: is where this command's own output goes; give that another name",
                source.display()
            )));
        }
        for &(what, path) in &self.writes {
            let target = file::replaced(path)?;
            // a device or a pipe is no file; what this process has open may be one, by another name
            if target.is_none() && !path.is_file() {
                file::check_writable(path)?;
                continue;
            }
            let open_already = target.is_none();
            let target = target.unwrap_or_else(|| path.into());
            let identity = Identity::of(&target);
            self.check_against_reads(what, path, &target, &identity)?;
            if let Some((_, other, _)) = written.iter().find(|(.., other)| *other == identity) {
                let (shown, as_well) = (
                    path.display(),
                    if *other == path { String::new() } else { format!(", as {} as well", other.display()) },
                );
                return Err(Failure::Usage(format!("{shown} is named for two files{as_well}; give each its own name")));
            }
            let own = own.contains(&identity);
            if own && open_already {
                // the file that stdout is, as /dev/stdout: what comes next is written behind what is there
                file::check_writable(path)?;
                continue;
            }
            if own {
                return Err(Failure::Usage(format!(
                    "{what} {}: is where this command's own output goes already; give another name",
                    path.display()
                )));
            }
            written.push((what, path, identity));
        }
        // all before any: what cannot be written is no reason to sweep elsewhere
        for (_, path, _) in &written {
            file::check_writable(path)?;
            note_what_changes(path);
        }
        Ok(())
    }

    /// Whether a file to write is none that is read, by whatever name.
    fn check_against_reads(
        &self,
        what: &'static str,
        path: &Path,
        target: &Path,
        identity: &Identity,
    ) -> Result<(), Failure> {
        if read_from_stdin().is_some_and(|input| input == *identity) {
            return Err(Failure::Usage(format!(
                "{what} {}: is what standard input reads; give another name",
                path.display()
            )));
        }
        for &(read, source) in &self.reads {
            let on_purpose = self.on_purpose.contains(&[read, what]);
            if !on_purpose && source.exists() && Identity::of(source) == *identity {
                let (shown, read) = (path.display(), named(read, source, path));
                return Err(Failure::Usage(format!(
                    "{what} {shown}: would overwrite {read}, which is to be read; give another name"
                )));
            }
            if !on_purpose && source.is_dir() && (lies_in(target, source) || holds(source, identity)) {
                let (shown, folder) = (path.display(), source.display());
                return Err(Failure::Usage(format!(
                    "{what} {shown}: belongs to {folder}, which is to be read as a whole; give a name elsewhere"
                )));
            }
        }
        Ok(())
    }
}

/// The first of several files that is one before it, also by another name, and that one.
pub fn twice(files: &[PathBuf]) -> Option<[&Path; 2]> {
    let mut places = HashMap::new();
    files.iter().find_map(|file| {
        let before = *places.entry(Identity::of(file)).or_insert(file.as_path());
        (!std::ptr::eq(before, file.as_path())).then_some([before, file.as_path()])
    })
}

/// What is read, and under which name if that is another one.
fn named(what: &str, source: &Path, written: &Path) -> String {
    if source == written { what.into() } else { format!("{what} {}", source.display()) }
}

/// Whether a file, there or not, lies below a folder.
fn lies_in(target: &Path, folder: &Path) -> bool {
    match (absolute(target), folder.canonicalize()) {
        (Identity::Path(target), Ok(folder)) => target.starts_with(folder),
        _ => false,
    }
}

/// Whether an entry of a folder is that file, through a link or by another name.
fn holds(folder: &Path, file: &Identity) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| path.is_file() && Identity::of(&path) == *file)
}

/// A path without links in its folder.
fn absolute(path: &Path) -> Identity {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.into());
    Identity::Path(path.file_name().map_or_else(|| folder.clone(), |name| folder.join(name)))
}

impl Identity {
    fn of(path: &Path) -> Self {
        match std::fs::metadata(path) {
            #[cfg(unix)]
            Ok(found) => Self::found(&found),
            #[cfg(not(unix))]
            Ok(_) => path.canonicalize().map_or_else(|_| absolute(path), Self::Path),
            Err(_) => absolute(path),
        }
    }

    #[cfg(unix)]
    fn found(found: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self::There(found.dev(), found.ino())
    }
}

/// Where the file goes that a command writes beside `path`: into the same nothing if that is a device or a pipe.
pub fn beside(path: &Path, name: impl FnOnce(&Path) -> PathBuf) -> PathBuf {
    match file::replaced(path) {
        Ok(None) if cfg!(unix) => "/dev/null".into(),
        _ => name(path),
    }
}

/// The file that stdin is, where it is a regular one.
fn read_from_stdin() -> Option<Identity> {
    #[cfg(unix)]
    return regular(stdin());
    #[cfg(not(unix))]
    None
}

/// The files that stdout and stderr are, where they are regular ones.
fn own_streams() -> Vec<Identity> {
    #[cfg(unix)]
    return [regular(stdout()), regular(stderr())].into_iter().flatten().collect();
    #[cfg(not(unix))]
    vec![]
}

/// The regular file that is open there.
#[cfg(unix)]
fn regular(stream: impl std::os::fd::AsFd) -> Option<Identity> {
    let found = std::fs::File::from(stream.as_fd().try_clone_to_owned().ok()?).metadata().ok()?;
    found.is_file().then(|| Identity::found(&found))
}

/// Refuses a stdin that is the file which stdout is: answers would be read as questions, without an end.
pub fn check_streams() -> Result<(), Failure> {
    #[cfg(unix)]
    if let (Some(read), Some(written)) = (regular(stdin()), regular(stdout()))
        && read == written
    {
        let reason = "is where the answers go as well, which would be read again; send them elsewhere";
        return Err(Error::File { path: "standard input".into(), reason: reason.into() }.into());
    }
    Ok(())
}

/// Says if a file will belong to somebody else, or run as nobody else, once a new one has taken its place.
fn note_what_changes(path: &Path) {
    #[cfg(unix)]
    if let Ok(found) = std::fs::metadata(path) {
        use std::os::unix::fs::MetadataExt;
        let (owner, own, mode) = (found.uid(), rustix::process::geteuid(), found.mode());
        if found.is_file() && mode & 0o6000 != 0 {
            let path = path.display();
            eprintln!(
                "note: {path}: its setuid and setgid bits are dropped, so that what is written runs as nobody else"
            );
        }
        if found.is_file() && owner != own.as_raw() && !own.is_root() {
            let path = path.display();
            eprintln!(
                "note: {path}: belongs to user {owner}, and to you once it is written; only root could keep that"
            );
        }
    }
}
