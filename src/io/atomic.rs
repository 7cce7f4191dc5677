//! Writes a file completely or not at all: a reader sees the old file or the new file, never a part.
//!
//! That holds for any number of processes that write and read at the same time, and for a process that is killed
//! half-way. Such a process leaves a temporary file, which is removed by the next process that is about to write there.
//! [`open`] is for readers: the length that it returns is that of the file that it opened.

use crate::error::{Error, Result};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Writes what `write` gives into a temporary file in the folder of `path`, brings it to the disk and renames it to
/// `path`. On failure the earlier file is unchanged and the temporary file is removed.
///
/// A link is followed and stays a link, even if the file that it names does not exist yet. The new file has the
/// permissions of the old one, without its setuid and setgid bits. It also has the owner and the group of the old one,
/// if this process may set them. If it may not set the group, the new file's group gets no more permissions than
/// everybody. Access control lists and extended attributes are not copied.
///
/// A device, a pipe or a file that this process has open (`/dev/null`, `/dev/stdout`, `/dev/fd/3`) cannot be replaced
/// by a rename, so it is written to directly.
///
/// # Errors
/// If the folder is missing or cannot be written to, or the disk is full; the message names `path`.
pub(crate) fn write_atomic(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let io = |error| Error::io(path, with_advice(error));
    match Place::of(path)? {
        Place::Device(mut device) => write(&mut device).and_then(|()| device.flush()).map_err(io),
        Place::Beside { target, mut temporary } => {
            // the file itself is written to, because the wrapper would put its random name into error messages
            write(temporary.as_file_mut()).map_err(io)?;
            temporary.as_file().sync_all().map_err(io)?;
            temporary.persist(&target).map_err(|error| io(error.error))?;
            sync_folder(folder_of(&target));
            Ok(())
        }
    }
}

/// `Ok` if [`write_atomic`] could begin now. It leaves no file, and removes temporary files of processes that were
/// killed there.
///
/// # Errors
/// Those of [`write_atomic`], except for a disk that becomes full and a pipe that nobody reads.
pub(crate) fn check(path: &Path) -> Result<()> {
    if let Some(target) = replaced(path)? {
        Place::beside(path, &target)?;
        sweep(folder_of(&target));
    } else if let Some(number) = descriptor(path) {
        may_be_written(number).map_err(|error| Error::io(path, error))?;
    }
    Ok(())
}

/// Checks that an open file of this process was opened for writing, if the system can tell. Opening it again by its
/// name would check only the permissions of the file.
fn may_be_written(number: u32) -> io::Result<()> {
    let about = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
    let flags = about.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    let read_only = flags.is_some_and(|flags| flags & 0b11 == 0);
    if !read_only {
        return Ok(());
    }
    Err(io::Error::new(ErrorKind::PermissionDenied, "was opened for reading only; open it for writing, as in 3>FILE"))
}

/// The file that [`write_atomic`] replaces, after all links are followed, whether it exists or not.
/// `None` if `path` is written to directly.
///
/// # Errors
/// If `path` is a folder, or a loop of links.
pub(crate) fn replaced(path: &Path) -> Result<Option<PathBuf>> {
    match fs::metadata(path) {
        Ok(_) if descriptor(path).is_some() => Ok(None),
        Ok(found) if found.is_dir() => Err(Error::file(path, FOLDER)),
        Ok(found) if !found.is_file() => Ok(None),
        Ok(_) => fs::canonicalize(path).map(Some).map_err(|error| Error::io(path, error)),
        // a name that ends with a slash cannot be a file; without this check it would fail only after all the work
        Err(error) if error.kind() == ErrorKind::NotFound => match path.as_os_str().as_encoded_bytes() {
            [.., b'/'] => Err(Error::file(path, FOLDER)),
            _ => Ok(Some(end_of_links(path))),
        },
        Err(error) => Err(Error::io(path, error)),
    }
}

/// The message for a folder where a file should be.
pub(crate) const FOLDER: &str = "is a folder; give the name of a file inside it";

/// Opens a regular file for reading, and returns the length of the opened file. It never waits: a pipe is refused, not
/// opened.
///
/// # Errors
/// If it does not exist, may not be read, or is not a regular file.
pub(crate) fn open(path: &Path) -> Result<(File, u64)> {
    let io = |error| Error::io(path, error);
    let refuse_other = |found: &Metadata| match (found.is_dir(), found.is_file()) {
        (true, _) => Err(Error::file(path, FOLDER)),
        (_, false) => Err(Error::file(path, "is not a regular file; copy its content into one first")),
        _ => Ok(()),
    };
    // before it is opened, because opening a device can have an effect
    refuse_other(&fs::metadata(path).map_err(io)?)?;
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // in case it was replaced by a pipe in the meantime
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
    }
    let file = options.read(true).open(path).map_err(io)?;
    // again for the file that was opened, because another file may have had its name before
    let found = file.metadata().map_err(io)?;
    refuse_other(&found)?;
    Ok((file, found.len()))
}

/// Adds advice to the error of a file that could not be written completely.
fn with_advice(error: io::Error) -> io::Error {
    let advice = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room there, or name another folder",
        ErrorKind::FileTooLarge => "the file would be larger than this process may write; see ulimit -f",
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{error}; {advice}"))
}

/// Where the bytes are written.
enum Place {
    /// A file that cannot be replaced by a rename.
    Device(File),
    /// A temporary file in the folder of the target. It is removed when dropped.
    Beside { target: PathBuf, temporary: tempfile::NamedTempFile },
}

impl Place {
    fn of(path: &Path) -> Result<Self> {
        let io = |error| Error::io(path, error);
        if let Some(number) = descriptor(path) {
            return open_descriptor(path, number).map(Self::Device).map_err(io);
        }
        match replaced(path)? {
            Some(target) => Self::beside(path, &target),
            None => OpenOptions::new().write(true).open(path).map(Self::Device).map_err(io),
        }
    }

    fn beside(path: &Path, target: &Path) -> Result<Self> {
        let folder = folder_of(target);
        let temporary = temporary_in(folder).map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                Error::file(path, format!("the folder {} does not exist; create it first", folder.display()))
            }
            _ => Error::io(path, without_path(error)),
        })?;
        // before it holds anything that not everybody may read
        if let Ok(before) = fs::metadata(target) {
            take_after(temporary.as_file(), &before).map_err(|error| Error::io(path, error))?;
        }
        Ok(Self::Beside { target: target.into(), temporary })
    }
}

/// The system's error about a temporary file, without its random name.
fn without_path(error: io::Error) -> io::Error {
    match error.to_string().rsplit_once(" at path ") {
        Some((reason, _)) => io::Error::new(error.kind(), reason),
        None => error,
    }
}

/// Gives a new file the owner, the group and the permissions of the file that it replaces.
#[cfg(unix)]
fn take_after(file: &File, before: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let now = file.metadata()?;
    let group_kept = now.gid() == before.gid() || fchown(file, None, Some(before.gid())).is_ok();
    if now.uid() != before.uid() {
        // only a privileged process may
        let _ = fchown(file, Some(before.uid()), None);
    }
    // without setuid and setgid: a program that ran as its old owner must not run as the user who writes it now
    let mode = before.mode() & 0o777;
    let mode = if group_kept { mode } else { mode & (0o707 | (mode & 0o007) << 3) };
    file.set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn take_after(file: &File, before: &Metadata) -> io::Result<()> {
    file.set_permissions(before.permissions())
}

/// How many links are followed one after the other; as many as Linux follows.
const LINKS: usize = 40;

/// Where a link leads, even if there is no file; `path` if it is not a link.
fn end_of_links(path: &Path) -> PathBuf {
    let mut at = path.to_path_buf();
    for _ in 0..LINKS {
        match fs::read_link(&at) {
            Ok(next) => at = folder_of(&at).join(next),
            Err(_) => break,
        }
    }
    at
}

/// The number of an open file of this process, if `path` is a name for it: `/dev/stdout`, `/dev/fd/3` or a link to one
/// of them.
#[cfg(unix)]
fn descriptor(path: &Path) -> Option<u32> {
    let folders = ["/dev/fd", "/proc/self/fd"].map(|folder| fs::canonicalize(folder).ok());
    let mut at = path.to_path_buf();
    for _ in 0..LINKS {
        let folder = fs::canonicalize(folder_of(&at)).ok()?;
        if folders.iter().flatten().any(|of_descriptors| *of_descriptors == folder) {
            return at.file_name()?.to_str()?.parse().ok();
        }
        at = folder.join(fs::read_link(&at).ok()?);
    }
    None
}

#[cfg(not(unix))]
fn descriptor(_: &Path) -> Option<u32> {
    None
}

/// Opens an open file of this process again and continues at its current position. Opening it by its name would begin
/// at its start.
#[cfg(unix)]
fn open_descriptor(path: &Path, number: u32) -> io::Result<File> {
    use std::os::fd::AsFd;
    match number {
        1 => io::stdout().as_fd().try_clone_to_owned().map(File::from),
        2 => io::stderr().as_fd().try_clone_to_owned().map(File::from),
        // opened by its name, as there is no object for it here; appending keeps what is in it
        _ => may_be_written(number).and_then(|()| OpenOptions::new().append(true).open(path)),
    }
}

#[cfg(not(unix))]
fn open_descriptor(path: &Path, _: u32) -> io::Result<File> {
    OpenOptions::new().append(true).open(path)
}

fn folder_of(target: &Path) -> &Path {
    match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The beginning and the end of the names of temporary files.
const NAME: [&str; 2] = [".rnnstep-", ".tmp"];

/// Makes a temporary file with the permissions that any new file gets; `tempfile` would make it private.
///
/// The file is locked while it is open. The system releases the lock when the process ends, even if it is killed. So a
/// temporary file without a lock is a leftover.
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
        // it was swept before it was locked, so the name is not ours any more and must not be removed
        let _ = temporary.keep();
    }
}

/// Locks a new temporary file. Returns false if another process took it for a leftover and removed it.
#[cfg(unix)]
fn keep_from_sweep(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    // if the file system has no locks, nothing is swept either
    let _ = file.lock();
    Ok(file.metadata()?.nlink() > 0)
}

/// On Windows a lock would keep others from reading the finished file, so nothing is locked or swept there.
#[cfg(not(unix))]
fn keep_from_sweep(_: &File) -> io::Result<bool> {
    Ok(true)
}

/// Removes the temporary files in `folder` that belong to no running process. Files that cannot be removed are left
/// there.
fn sweep(folder: &Path) {
    if !cfg!(unix) {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        // `tempfile` puts six letters and digits between the two: a file with another name is not ours
        let between = name.to_str().and_then(|name| name.strip_prefix(NAME[0])?.strip_suffix(NAME[1]));
        if between.is_some_and(|name| name.len() == 6 && name.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
            let _ = remove_if_left(&entry.path());
        }
    }
}

/// Removes a temporary file if it can be locked. Only the holder of the lock may rename or remove the file, so while it
/// is locked the name belongs to this file.
#[cfg(unix)]
fn remove_if_left(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let same = |a: &fs::Metadata, b: &fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    // checked before it is opened: we make no links, and opening a pipe would wait
    if !fs::symlink_metadata(path)?.is_file() {
        return Ok(());
    }
    // opened for writing, because some network file systems lock only such files; its content is not touched
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

/// Brings the rename itself to the disk. Some file systems, and Windows, cannot do this. An error is ignored, because
/// by now the file is complete under its name.
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
        let error = write_atomic(&path, |out| {
            out.write_all(b"half of the new")?;
            Err(ErrorKind::StorageFull.into())
        });
        assert!(error.unwrap_err().to_string().starts_with(&path.display().to_string()));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        write_atomic(&path, |out| out.write_all(b"new")).unwrap();
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
        for other in ["a.tmp", ".rnnstep-notes", ".rnnstep-model.tmp", ".rnnstep-aB3dE6.tmp", ".rnnstep-000000.tmp"] {
            fs::write(name(other), "half").unwrap();
        }
        fs::create_dir(name(".rnnstep-folder.tmp")).unwrap();
        std::os::unix::fs::symlink(name("a.tmp"), name(".rnnstep-linked.tmp")).unwrap();
        let ours = temporary_in(folder.path()).unwrap();
        check(&name("model")).unwrap();
        let kept = ours.path().file_name().unwrap().to_str().unwrap();
        // a name that no temporary file gets is not ours
        let mut expected =
            vec![".rnnstep-folder.tmp", ".rnnstep-linked.tmp", ".rnnstep-model.tmp", ".rnnstep-notes", kept, "a.tmp"];
        expected.sort_unstable();
        assert_eq!(names(), expected);
        // a lock ends with its process; here it ends when the file is closed
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
        symlink(&path, &link).unwrap();
        // a new file must not run as its owner or group
        for (before, after) in [(0o640, 0o640), (0o4755, 0o755), (0o2750, 0o750), (0o1600, 0o600)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(before)).unwrap();
            write_atomic(&link, |out| out.write_all(b"new")).unwrap();
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            assert_eq!(fs::read(&path).unwrap(), b"new");
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, after);
        }
        // a new file gets the same permissions as any other new file
        write_atomic(&fresh, |out| out.write_all(b"new")).unwrap();
        let other = folder.path().join("d");
        fs::write(&other, "").unwrap();
        assert_eq!(fs::metadata(&fresh).unwrap().mode(), fs::metadata(&other).unwrap().mode());
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_is_never_open_to_others() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        write_atomic(&path, |out| {
            let written: Vec<_> = fs::read_dir(folder.path())?.map(|entry| entry.unwrap().metadata()).collect();
            assert_eq!(written.len(), 2);
            written.into_iter().for_each(|file| assert_eq!(file.unwrap().mode() & 0o077, 0));
            out.write_all(b"new")
        })
        .unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_nothing_stays_a_link() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let name = |name: &str| folder.path().join(name);
        fs::create_dir(name("far")).unwrap();
        symlink("second", name("first")).unwrap();
        symlink("far/model", name("second")).unwrap();
        assert_eq!(replaced(&name("first")).unwrap(), Some(name("far/model")));
        check(&name("first")).unwrap();
        assert_eq!(fs::read_dir(name("far")).unwrap().count(), 0);
        write_atomic(&name("first"), |out| out.write_all(b"new")).unwrap();
        assert_eq!(fs::read(name("far/model")).unwrap(), b"new");
        assert_eq!(fs::read_link(name("first")).unwrap(), Path::new("second"));
        assert_eq!(fs::read_link(name("second")).unwrap(), Path::new("far/model"));
        // nowhere to write
        symlink("gone/model", name("third")).unwrap();
        assert!(check(&name("third")).unwrap_err().to_string().contains("gone does not exist"));
        symlink("circle", name("circle")).unwrap();
        assert!(check(&name("circle")).is_err());
        assert!(fs::symlink_metadata(name("circle")).unwrap().is_symlink());
    }

    #[cfg(unix)]
    #[test]
    fn what_is_open_already_is_no_file_to_replace() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink("/dev/stdout", &link).unwrap();
        for (path, number) in [("/dev/stdout", 1), ("/dev/stderr", 2), ("/dev/fd/7", 7)] {
            assert_eq!(descriptor(Path::new(path)), Some(number), "{path}");
        }
        assert_eq!(descriptor(&link), Some(1));
        assert_eq!(replaced(&link).unwrap(), None);
        assert_eq!(replaced(Path::new("/dev/null")).unwrap(), None);
        for path in ["/dev/null", "/dev/fd", "1", "/dev/fd/x"] {
            assert_eq!(descriptor(Path::new(path)), None, "{path}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn only_a_regular_file_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "four").unwrap();
        assert_eq!(open(&path).unwrap().1, 4);
        assert!(open(folder.path()).unwrap_err().to_string().contains("is a folder"));
        assert!(open(Path::new("/dev/null")).unwrap_err().to_string().contains("is not a regular file"));
        assert!(open(&folder.path().join("absent")).is_err());
    }
}
