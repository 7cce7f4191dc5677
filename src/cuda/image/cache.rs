//! Images on disk, so that a kernel is compiled only once on a machine.
//!
//! An entry is found by the key of what it was made from. It is used only if it contains the same key and its bytes
//! have the hash that it states. Any other file of that name is removed. A cache never fails: without one, kernels are
//! compiled again.
//!
//! Images are code. A hash shows that an entry is complete, but not who wrote it. So the folder is used only if it and
//! all folders above it belong to root or the user and nobody else may write to them. The same holds for each file in
//! it. Links are not followed.

use super::compile::{Image, Program, compile_with, nvrtc};
use super::nvrtc::Nvrtc;
use crate::cuda::library::named;
use crate::cuda::library::trust;
use crate::cuda::library::trust::{Kind, Unfit};
use crate::cuda::{Arch, hex};
use crate::error::Result;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The most bytes that entries take on disk, 256 MiB. Beyond that, the least recently used ones are removed.
pub const LIMIT: u64 = 256 << 20;

/// An entry begins with this, the key, the length of the image (u64, little-endian), the SHA-256 of the image.
const MAGIC: &[u8; 16] = b"rnnstep image 1\n";
const KEY: usize = 32;
const HEADER: usize = MAGIC.len() + KEY + 8 + 32;
/// The longest image that is read.
const MAX_IMAGE: u64 = 64 << 20;
/// An unfinished file that is older than this was left behind by a writer that was killed.
const ABANDONED: Duration = Duration::from_secs(3600);
const ENDING: &str = ".image";
/// How the names of unfinished files begin and end.
const UNFINISHED: [&str; 2] = [".rnnstep-", ".tmp"];

/// What an image was made from: sources, constants, options, architecture, compiler, version of this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key([u8; KEY]);

impl Key {
    /// Of `program`, compiled for `arch` by `nvrtc`.
    pub fn new(program: &Program, arch: Arch, nvrtc: &Nvrtc) -> Self {
        let mut hash = Sha256::new();
        let (major, minor) = nvrtc.version();
        hash.update(program.digest());
        for number in [arch.number(), major, minor] {
            hash.update(number.to_le_bytes());
        }
        // two builds of one version differ in length
        let length = fs::metadata(nvrtc.path()).map_or(0, |found| found.len());
        hash.update(length.to_le_bytes());
        Self(hash.finalize().into())
    }
}

/// Whether a cache is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// There is none.
    None,
    /// The folder is not there yet; it is made for the first image.
    Empty,
    /// The folder is used.
    Used,
    /// The folder is used, except for so many of its files. The line names the first of them, and who could have made
    /// it or could change it.
    Partly(usize, String),
    /// The folder is not used: why, in one line.
    Refused(String),
}

/// A folder of images, or none.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: Option<PathBuf>,
    limit: u64,
    /// Why the folder that was named is not used.
    misnamed: Option<String>,
}

impl Cache {
    /// In the folder `RNNSTEP_CACHE`, else in `rnnstep` in the user's cache folder (`$XDG_CACHE_HOME` or `~/.cache`,
    /// `~/Library/Caches`, `%LOCALAPPDATA%`). None at all if not `enabled`, if there is no such folder, or if its path
    /// is not absolute.
    pub fn new(enabled: bool) -> Self {
        if !enabled {
            return Self { folder: None, limit: LIMIT, misnamed: None };
        }
        let of_the_user = || users_folder().map(|folder| folder.join("rnnstep"));
        let chosen = named("RNNSTEP_CACHE", std::env::var_os("RNNSTEP_CACHE"));
        match chosen.map(|chosen| chosen.or_else(of_the_user)) {
            Ok(folder) => Self { folder, limit: LIMIT, misnamed: None },
            Err(reason) => Self { folder: None, limit: LIMIT, misnamed: Some(reason) },
        }
    }

    /// In `folder`, which is made for the first image, with at most `limit` bytes.
    pub fn at(folder: impl Into<PathBuf>, limit: u64) -> Self {
        Self { folder: Some(folder.into()), limit, misnamed: None }
    }

    /// Its folder, if it has one.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Whether it is used now. It is not used where somebody other than root and the user may have made the files.
    pub fn state(&self) -> State {
        let folder = match self.trusted() {
            None => return State::None,
            Some(Err(Unfit::Missing)) => return State::Empty,
            Some(Err(Unfit::Refused(reason))) => return State::Refused(reason),
            Some(Ok(folder)) => folder,
        };
        let reason = |entry: &fs::DirEntry| match open(&entry.path()) {
            Err(Unfit::Refused(reason)) => Some(reason),
            _ => None,
        };
        let mut reasons = self.entries(&folder).iter().filter_map(reason).collect::<Vec<_>>();
        reasons.sort();
        match reasons.first() {
            None => State::Used,
            Some(first) => State::Partly(reasons.len(), first.clone()),
        }
    }

    /// The image of `program` for `arch`: the cached one, or else a new one, which is then cached. The second value is
    /// true if it was cached already.
    ///
    /// # Errors
    /// Those of [`super::compile::compile()`].
    pub fn image(&self, program: &Program, arch: Arch) -> Result<(Vec<u8>, bool)> {
        let nvrtc = nvrtc()?;
        let key = Key::new(program, arch, nvrtc);
        if let Some(image) = self.get(&key) {
            return Ok((image, true));
        }
        let Image { cubin, .. } = compile_with(nvrtc, program, arch, false)?;
        self.put(&key, &cubin);
        Ok((cubin, false))
    }

    /// The image of `key`, if there is an intact one.
    pub fn get(&self, key: &Key) -> Option<Vec<u8>> {
        let path = self.trusted()?.ok()?.join(name(key));
        let mut file = open(&path).ok()?;
        let image = read(&mut file, key);
        if image.is_none() {
            drop(file);
            self.remove(key);
            return None;
        }
        // Notes the time of the last use. In a folder that this user cannot write to this fails, which does no harm.
        let _ = OpenOptions::new().write(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        image
    }

    /// Stores an image, completely or not at all, and makes room for it. A process that stores the same image at the
    /// same time writes the same bytes.
    pub fn put(&self, key: &Key, image: &[u8]) {
        if (HEADER + image.len()) as u64 > self.limit.min(MAX_IMAGE) {
            return;
        }
        if let (Some(Err(Unfit::Missing)), Some(folder)) = (self.trusted(), &self.folder) {
            // if this fails there is no folder, which the next line finds
            let _ = make_folder(folder);
        }
        let Some(Ok(folder)) = self.trusted() else { return };
        let path = folder.join(name(key));
        if write(&folder, &path, &header(key, image), image).is_ok() {
            self.make_room(&folder, &path);
        }
    }

    /// Removes the image of `key`.
    pub fn remove(&self, key: &Key) {
        if let Some(Ok(folder)) = self.trusted() {
            let _ = fs::remove_file(folder.join(name(key)));
        }
    }

    /// The folder as a path without links, or why it is not used; `None` if this cache has no folder.
    fn trusted(&self) -> Option<Result<PathBuf, Unfit>> {
        match (&self.folder, &self.misnamed) {
            (Some(folder), _) => Some(trust::check(folder, Kind::Folder)),
            (None, Some(reason)) => Some(Err(Unfit::Refused(reason.clone()))),
            (None, None) => None,
        }
    }

    /// The files of this cache in its folder, by their names.
    fn entries(&self, folder: &Path) -> Vec<fs::DirEntry> {
        let is_one = |entry: &fs::DirEntry| {
            let name = entry.file_name();
            let digits = name.to_str().and_then(|name| name.strip_suffix(ENDING)).unwrap_or("");
            digits.len() == 2 * KEY && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        fs::read_dir(folder).into_iter().flatten().flatten().filter(is_one).collect()
    }

    /// Removes what was used least recently until all fits, but not `newest`. Files that are not of this cache are
    /// neither counted nor touched.
    fn make_room(&self, folder: &Path, newest: &Path) {
        let used = |found: &fs::Metadata| found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let (mut entries, mut total) = (Vec::new(), 0);
        for entry in self.entries(folder) {
            let Ok(found) = entry.metadata() else { continue };
            total += found.len();
            entries.push((used(&found), entry.path(), found.len()));
        }
        entries.sort();
        for (_, path, len) in entries {
            if total <= self.limit {
                break;
            }
            // if another process makes room as well, the file may be gone already; either way it no longer counts
            if path != newest {
                let _ = fs::remove_file(path);
                total -= len;
            }
        }
        let now = SystemTime::now();
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let abandoned = |found: fs::Metadata| now.duration_since(used(&found)).is_ok_and(|age| age > ABANDONED);
            let unfinished = entry.file_name().to_string_lossy().starts_with(UNFINISHED[0]);
            if unfinished && entry.metadata().is_ok_and(abandoned) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn name(key: &Key) -> String {
    hex(&key.0) + ENDING
}

/// Opens an entry for reading. A link is refused.
fn open(path: &Path) -> Result<File, Unfit> {
    if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
        return Err(Unfit::Refused(format!("{} is a symbolic link; remove it", trust::shown(path))));
    }
    trust::open(path)
}

/// Writes an entry, completely or not at all. Only its owner may read and write it, whatever the umask. A link of its
/// name is replaced and not followed.
fn write(folder: &Path, path: &Path, header: &[u8], image: &[u8]) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(UNFINISHED[0]).suffix(UNFINISHED[1]).tempfile_in(folder)?;
    file.write_all(header)?;
    file.write_all(image)?;
    file.persist(path)?;
    Ok(())
}

fn header(key: &Key, image: &[u8]) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&key.0);
    header.extend_from_slice(&(image.len() as u64).to_le_bytes());
    header.extend_from_slice(&Sha256::digest(image));
    header
}

/// The image, if the file has this key, all of the image, and nothing else.
fn read(file: &mut File, key: &Key) -> Option<Vec<u8>> {
    let len = file.metadata().ok().filter(fs::Metadata::is_file)?.len();
    if len <= HEADER as u64 || len > MAX_IMAGE {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(len).read_to_end(&mut bytes).ok()?;
    let image = bytes.split_off(bytes.len().min(HEADER));
    (bytes == header(key, &image)).then_some(image)
}

/// Makes a folder that only its owner may read, because its files show what somebody computes.
fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(folder)
}

/// This user's cache folder.
fn users_folder() -> Option<PathBuf> {
    use etcetera::BaseStrategy;
    etcetera::base_strategy::choose_native_strategy().ok().map(|folders| folders.cache_dir())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    const KEYS: [Key; 2] = [Key([1; KEY]), Key([2; KEY])];

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn only_the_owner_may_read_and_write() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path().join("a/b"), 1 << 20);
        assert_eq!(cache.state(), State::Empty);
        cache.put(&KEYS[0], b"image");
        assert_eq!(cache.state(), State::Used);
        let found = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        let folder = cache.folder().unwrap();
        assert_eq!((found(folder), found(&folder.join(name(&KEYS[0])))), (0o700, 0o600));
        assert_eq!(cache.get(&KEYS[0]).unwrap(), b"image");
        assert_eq!(Cache::new(false).state(), State::None);
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("cache");
        let cache = Cache::at(&folder, 1 << 20);
        cache.put(&KEYS[0], b"image");
        let linked = root.path().join("link");
        symlink(&folder, &linked).unwrap();
        let cases = [
            (0o777, &folder, "chmod go-w "),
            (0o1777, &folder, "that others may put files into"),
            (0o700, &linked, "is a symbolic link"),
        ];
        for (bits, path, why) in cases {
            mode(&folder, bits);
            let cache = Cache::at(path, 1 << 20);
            assert_eq!(cache.get(&KEYS[0]), None, "{why}");
            cache.put(&KEYS[1], b"image");
            cache.remove(&KEYS[0]);
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "{why}");
            assert!(matches!(cache.state(), State::Refused(reason) if reason.contains(why)), "{why}");
        }
        // one that is to be made below such a folder
        mode(&folder, 0o777);
        let cache = Cache::at(folder.join("below"), 1 << 20);
        cache.put(&KEYS[1], b"image");
        assert!(!folder.join("below").exists() && matches!(cache.state(), State::Refused(_)));
        mode(&folder, 0o700);
        assert_eq!(Cache::at(&folder, 1 << 20).get(&KEYS[0]).unwrap(), b"image", "and all is well again");
        // a relative folder is none
        let cache = Cache::at("cache", 1 << 20);
        cache.put(&KEYS[0], b"image");
        assert!(!Path::new("cache").exists() && matches!(cache.state(), State::Refused(_)));
    }

    /// A sound entry, whose hash is right: who wrote it is what matters.
    #[test]
    fn a_file_of_others_is_not_read_and_makes_room_for_ones_own() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path().join("cache"), 1 << 20);
        let path = cache.folder().unwrap().join(name(&KEYS[0]));
        let planted = root.path().join("planted");
        fs::create_dir(cache.folder().unwrap()).unwrap();
        mode(cache.folder().unwrap(), 0o755);
        fs::write(&planted, [header(&KEYS[0], b"planted").as_slice(), b"planted"].concat()).unwrap();
        for linked in [false, true] {
            if linked {
                symlink(&planted, &path).unwrap();
            } else {
                fs::copy(&planted, &path).unwrap();
                mode(&path, 0o646);
            }
            assert_eq!(cache.get(&KEYS[0]), None, "{linked}");
            let why = if linked { "is a symbolic link" } else { "chmod go-w " };
            assert!(matches!(cache.state(), State::Partly(1, reason) if reason.contains(why)), "{linked}");
            cache.put(&KEYS[0], b"own");
            assert_eq!(cache.get(&KEYS[0]).unwrap(), b"own", "{linked}");
            assert_eq!(cache.state(), State::Used);
            fs::remove_file(&path).unwrap();
        }
        assert!(fs::read(&planted).unwrap().ends_with(b"planted"), "a link was followed");
    }
}
