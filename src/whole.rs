//! A file is written whole or not at all: whoever reads it sees the old one or the new one, never a part.
//!
//! That holds for any number of processes that write and read at once, and for one that is killed half-way. What such a
//! one leaves, a temporary file, is removed by the next that is about to write there.

use crate::error::{Error, Result};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Writes what `write` gives into a temporary file beside `path`, brings it to the disk and renames it to `path`.
/// On failure the file that was there before is untouched and the temporary one is gone.
///
/// A link is followed and stays a link; an existing file keeps its permissions. A device or a pipe
/// (`/dev/null`, `/dev/stdout`) cannot be replaced by a rename, so it is written to directly.
///
/// # Errors
/// If the folder is missing or cannot be written to, or the disk is full; the message names `path`.
pub(crate) fn write_whole(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let io = |error| Error::io(path, with_advice(error));
    match Place::of(path)? {
        Place::Device(target) => {
            let mut device = OpenOptions::new().write(true).open(target).map_err(io)?;
            write(&mut device).and_then(|()| device.flush()).map_err(io)
        }
        Place::Beside { target, mut temporary, before } => {
            // the file itself, because the wrapper would put its random name into the message
            write(temporary.as_file_mut()).map_err(io)?;
            if let Some(before) = before {
                temporary.as_file().set_permissions(before).map_err(io)?;
            }
            temporary.as_file().sync_all().map_err(io)?;
            temporary.persist(&target).map_err(|error| io(error.error))?;
            sync_folder(folder_of(&target));
            Ok(())
        }
    }
}

/// `Ok` if [`write_whole`] could begin now; leaves no trace, and removes those of processes that were killed there.
///
/// # Errors
/// Those of [`write_whole`], but for a disk that fills up.
pub(crate) fn check(path: &Path) -> Result<()> {
    if let Place::Beside { target, .. } = Place::of(path)? {
        sweep(folder_of(&target));
    }
    Ok(())
}

/// What the operating system said of a file that could not be written to its end, and what to do.
fn with_advice(error: io::Error) -> io::Error {
    let advice = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room there, or name another folder",
        ErrorKind::FileTooLarge => "the file would be larger than this process may write; see ulimit -f",
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{error}; {advice}"))
}

/// Where the bytes go first.
enum Place {
    /// What cannot be replaced by a rename.
    Device(PathBuf),
    /// A temporary file in the folder of the target; gone when dropped.
    Beside { target: PathBuf, temporary: tempfile::NamedTempFile, before: Option<Permissions> },
}

impl Place {
    fn of(path: &Path) -> Result<Self> {
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let before = match fs::metadata(&target) {
            Ok(found) if found.is_dir() => {
                return Err(Error::file(path, "is a folder; give the name of a file inside it"));
            }
            Ok(found) if !found.is_file() => return Ok(Self::Device(target)),
            Ok(found) => Some(found.permissions()),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(Error::io(path, error)),
        };
        let folder = folder_of(&target);
        match temporary_in(folder) {
            Ok(temporary) => Ok(Self::Beside { target, temporary, before }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(Error::file(path, format!("the folder {} does not exist; create it first", folder.display())))
            }
            // only the kind: the rest of the message is the random name of the temporary file
            Err(error) => Err(Error::io(path, error.kind().into())),
        }
    }
}

fn folder_of(target: &Path) -> &Path {
    match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// How the names of temporary files begin and end.
const NAME: [&str; 2] = [".rnnstep-", ".tmp"];

/// A new file with the permissions that any new file gets, not those of a secret.
///
/// It is locked for as long as it is open, which tells it from what a killed process left: the system lets go of a lock
/// when its process ends, however it ends.
fn temporary_in(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(NAME[0]).suffix(NAME[1]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    loop {
        let temporary = builder.tempfile_in(folder)?;
        if keep_from_sweep(temporary.as_file())? {
            return Ok(temporary);
        }
        // swept away before it was locked; its name is no longer ours to remove
        let _ = temporary.keep();
    }
}

/// Locks a new temporary file; false if another process took it for one that was left, and removed it.
#[cfg(unix)]
fn keep_from_sweep(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    // where nothing can be locked, nothing is swept either
    let _ = file.lock();
    Ok(file.metadata()?.nlink() > 0)
}

/// Windows keeps whoever reads the finished file from what is locked in it, so nothing is locked or swept there.
#[cfg(not(unix))]
fn keep_from_sweep(_: &File) -> io::Result<bool> {
    Ok(true)
}

/// Removes the temporary files in `folder` that no living process has. What cannot be removed stays.
fn sweep(folder: &Path) {
    if !cfg!(unix) {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(NAME[0]) && name.ends_with(NAME[1])) {
            let _ = remove_if_left(&entry.path());
        }
    }
}

/// Removes a temporary file if it can be locked. Whoever has the lock is the only one that may rename or remove it, so
/// what is found under the lock stays true: this name is that file.
#[cfg(unix)]
fn remove_if_left(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let same = |a: &fs::Metadata, b: &fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    // asked before opening: a link is none of ours, and opening a pipe would wait
    if !fs::symlink_metadata(path)?.is_file() {
        return Ok(());
    }
    // for writing, because some network file systems lock nothing else; what is in it is not touched
    let file = OpenOptions::new().write(true).open(path)?;
    if file.try_lock().is_ok() && same(&file.metadata()?, &fs::symlink_metadata(path)?) {
        fs::remove_file(path)?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn remove_if_left(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Brings the rename itself to the disk. Some file systems and all of Windows know no such thing, and by now
/// the file is complete under its name: a refusal changes nothing for the caller.
fn sync_folder(folder: &Path) {
    if cfg!(unix) {
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_half_way_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        fs::write(&path, "old").unwrap();
        let error = write_whole(&path, |out| {
            out.write_all(b"half of the new")?;
            Err(ErrorKind::StorageFull.into())
        });
        assert!(error.unwrap_err().to_string().starts_with(&path.display().to_string()));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        write_whole(&path, |out| out.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn what_nobody_has_is_swept_away() {
        let folder = tempfile::tempdir().unwrap();
        let name = |name: &str| folder.path().join(name);
        let names = || {
            let entries = fs::read_dir(folder.path()).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        for other in ["a.tmp", ".rnnstep-notes", ".rnnstep-left.tmp", ".rnnstep-too.tmp"] {
            fs::write(name(other), "half").unwrap();
        }
        fs::create_dir(name(".rnnstep-folder.tmp")).unwrap();
        std::os::unix::fs::symlink(name("a.tmp"), name(".rnnstep-link.tmp")).unwrap();
        let ours = temporary_in(folder.path()).unwrap();
        check(&name("model")).unwrap();
        let kept = ours.path().file_name().unwrap().to_str().unwrap();
        let mut expected = vec![".rnnstep-folder.tmp", ".rnnstep-link.tmp", ".rnnstep-notes", kept, "a.tmp"];
        expected.sort_unstable();
        assert_eq!(names(), expected);
        // a lock ends with its process, and here with its file
        let path = ours.keep().unwrap().1;
        assert!(path.exists());
        check(&name("model")).unwrap();
        assert!(!path.exists());
    }

    #[cfg(unix)]
    #[test]
    fn links_and_permissions_survive() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (path, link, fresh) = (folder.path().join("a"), folder.path().join("b"), folder.path().join("c"));
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&path, &link).unwrap();
        write_whole(&link, |out| out.write_all(b"new")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        // a new file gets the same permissions as any other new file
        write_whole(&fresh, |out| out.write_all(b"new")).unwrap();
        let other = folder.path().join("d");
        fs::write(&other, "").unwrap();
        assert_eq!(fs::metadata(&fresh).unwrap().mode(), fs::metadata(&other).unwrap().mode());
    }
}
