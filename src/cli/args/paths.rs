//! The files that a command reads and writes: no file that is read is overwritten, and none is written twice.

use crate::cli::failure::Failure;
use crate::cli::output::files::is_standard;
use rnnstep::Error;
use rnnstep::model::file;
use std::collections::HashMap;
use std::io::{stderr, stdin, stdout};
use std::path::{Path, PathBuf};

/// The files that a command reads and writes. One file may be given under several names: through links, `./` and
/// `a/../`, or as a hard link.
#[derive(Default)]
pub struct Paths<'a> {
    reads: Vec<(&'static str, &'a Path)>,
    writes: Vec<(&'static str, &'a Path)>,
    /// Pairs of a file to read and a file to write that may be the same.
    on_purpose: Vec<[&'static str; 2]>,
}

/// What identifies a file, whatever its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Identity {
    /// A file that exists: the numbers of its device and of its inode.
    #[cfg(unix)]
    There(u64, u64),
    /// A file that does not exist yet, or any file where there are no such numbers.
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
        let paths = paths.into_iter().map(AsRef::as_ref).filter(|path: &&Path| !is_standard(path));
        self.writes.extend(paths.map(|path| (what, path)));
        self
    }

    /// `reads` and `writes` may be the same file: a command that continues from a file may replace it.
    pub fn may_replace(mut self, reads: &'static str, writes: &'static str) -> Self {
        self.on_purpose.push([reads, writes]);
        self
    }

    /// Checks that each file to write can be written, and is not another file that is read or written. No file is
    /// changed, but temporary files that killed processes left there are removed. A device or a pipe may be given
    /// several times.
    ///
    /// # Errors
    /// The first file that fails a check.
    pub fn check(&self) -> Result<(), Failure> {
        let mut written: Vec<(&'static str, &Path, Identity)> = Vec::new();
        let own = own_streams();
        if let Some((what, source)) =
            self.reads.iter().find(|(_, source)| source.is_file() && own.contains(&Identity::of(source)))
        {
            return Err(Failure::Usage(format!(
                "{what} {}: this command's own output goes to the same file; give the output another name",
                source.display()
            )));
        }
        for &(what, path) in &self.writes {
            let target = file::replaced(path)?;
            // a device or a pipe may be shared; an open file of this process, such as `/dev/fd/3`, is checked below
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
                    if *other == path { String::new() } else { format!(", also as {}", other.display()) },
                );
                return Err(Failure::Usage(format!("{shown} is named for two files{as_well}; give each its own name")));
            }
            let own = own.contains(&identity);
            if own && open_already {
                // such as `/dev/stdout`, where stdout is a file: the output is appended to what was written before
                file::check_writable(path)?;
                continue;
            }
            if own {
                return Err(Failure::Usage(format!(
                    "{what} {}: this command's own output goes to the same file already; give another name",
                    path.display()
                )));
            }
            written.push((what, path, identity));
        }
        // only now, since this removes temporary files: a command that is refused must not remove any
        for (_, path, _) in &written {
            file::check_writable(path)?;
            note_what_changes(path);
        }
        Ok(())
    }

    /// Checks that a file to write is not one that is read, whatever its name.
    fn check_against_reads(
        &self,
        what: &'static str,
        path: &Path,
        target: &Path,
        identity: &Identity,
    ) -> Result<(), Failure> {
        if read_from_stdin().is_some_and(|input| input == *identity) {
            return Err(Failure::Usage(format!(
                "{what} {}: standard input is read from the same file; give another name",
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
                    "{what} {shown}: belongs to {folder}, a folder that is to be read; give a name outside of it"
                )));
            }
        }
        Ok(())
    }
}

/// The first pair of names for the same file, in the order of `files`.
pub fn twice(files: &[PathBuf]) -> Option<[&Path; 2]> {
    let mut places = HashMap::new();
    files.iter().find_map(|file| {
        let before = *places.entry(Identity::of(file)).or_insert(file.as_path());
        (!std::ptr::eq(before, file.as_path())).then_some([before, file.as_path()])
    })
}

/// The argument that is read, with its name if that is not the name that is written.
fn named(what: &str, source: &Path, written: &Path) -> String {
    if source == written { what.into() } else { format!("{what} {}", source.display()) }
}

/// Whether a file, which may not exist yet, lies below a folder.
fn lies_in(target: &Path, folder: &Path) -> bool {
    match (absolute(target), folder.canonicalize()) {
        (Identity::Path(target), Ok(folder)) => target.starts_with(folder),
        _ => false,
    }
}

/// Whether an entry of a folder is that file, also through a link.
fn holds(folder: &Path, file: &Identity) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| path.is_file() && Identity::of(&path) == *file)
}

/// A path without links in the name of its folder.
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

/// The path of a file that a command writes next to `path`. If `path` is a device or a pipe, it is `/dev/null`.
pub fn beside(path: &Path, name: impl FnOnce(&Path) -> PathBuf) -> PathBuf {
    match file::replaced(path) {
        Ok(None) if cfg!(unix) => "/dev/null".into(),
        _ => name(path),
    }
}

/// The file that stdin reads, if it is a regular one.
fn read_from_stdin() -> Option<Identity> {
    #[cfg(unix)]
    return regular(stdin());
    #[cfg(not(unix))]
    None
}

/// The files that stdout and stderr write, if they are regular ones.
fn own_streams() -> Vec<Identity> {
    #[cfg(unix)]
    return [regular(stdout()), regular(stderr())].into_iter().flatten().collect();
    #[cfg(not(unix))]
    vec![]
}

/// The file that a stream reads or writes, if it is a regular one.
#[cfg(unix)]
fn regular(stream: impl std::os::fd::AsFd) -> Option<Identity> {
    let found = std::fs::File::from(stream.as_fd().try_clone_to_owned().ok()?).metadata().ok()?;
    found.is_file().then(|| Identity::found(&found))
}

/// Refuses a stdin and a stdout that are the same file: predictions would be read as input, without an end.
pub fn check_streams() -> Result<(), Failure> {
    #[cfg(unix)]
    if let (Some(read), Some(written)) = (regular(stdin()), regular(stdout()))
        && read == written
    {
        let reason = "is the file that the predictions go to, so they would be read again; write them to another file";
        return Err(Error::File { path: "standard input".into(), reason: reason.into() }.into());
    }
    Ok(())
}

/// Prints a note if the new file at `path` will have another owner, or no setuid and setgid bits any more.
fn note_what_changes(path: &Path) {
    #[cfg(unix)]
    if let Ok(found) = std::fs::metadata(path) {
        use std::os::unix::fs::MetadataExt;
        let (owner, own, mode) = (found.uid(), rustix::process::geteuid(), found.mode());
        if found.is_file() && mode & 0o6000 != 0 {
            let path = path.display();
            eprintln!(
                "note: {path}: its setuid and setgid bits are dropped, so that the new file cannot run as another user"
            );
        }
        if found.is_file() && owner != own.as_raw() && !own.is_root() {
            let path = path.display();
            eprintln!(
                "note: {path}: belongs to user {owner}, but to you once it is written; only root could keep the owner"
            );
        }
    }
}
