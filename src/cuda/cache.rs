//! Images on disk, so that a kernel is compiled once on a machine.
//!
//! An entry is found by what it was made from, and believed only if it says so itself and its bytes have the hash that it
//! states. Anything else of that name is removed. A cache never fails: without one, things take longer.

use super::compile::{Image, Program, compile_with, nvrtc};
use super::nvrtc::Nvrtc;
use super::{Arch, hex};
use crate::error::Result;
use crate::whole::write_whole;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The most bytes that entries take on disk, 256 MiB; who was used least recently leaves.
pub const LIMIT: u64 = 256 << 20;

/// An entry begins with this, the key, the length of the image (u64, little-endian), the SHA-256 of the image.
const MAGIC: &[u8; 16] = b"rnnstep image 1\n";
const KEY: usize = 32;
const HEADER: usize = MAGIC.len() + KEY + 8 + 32;
/// The longest image that is read.
const MAX_IMAGE: u64 = 64 << 20;
/// How old a file must be that a writer left behind when it was killed.
const ABANDONED: Duration = Duration::from_secs(3600);
const ENDING: &str = ".image";

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

/// A folder of images, or none.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: Option<PathBuf>,
    limit: u64,
}

impl Cache {
    /// In the folder `RNNSTEP_CACHE`, else in `rnnstep` in the user's cache folder (`$XDG_CACHE_HOME` or `~/.cache`,
    /// `~/Library/Caches`, `%LOCALAPPDATA%`). None at all if not `enabled`, or if there is no such folder.
    pub fn new(enabled: bool) -> Self {
        let chosen = std::env::var_os("RNNSTEP_CACHE").filter(|folder| !folder.is_empty()).map(PathBuf::from);
        let folder = || chosen.or_else(|| users_folder().map(|folder| folder.join("rnnstep")));
        Self { folder: enabled.then(folder).flatten(), limit: LIMIT }
    }

    /// In `folder`, which is made when the first image comes, with at most `limit` bytes.
    pub fn at(folder: impl Into<PathBuf>, limit: u64) -> Self {
        Self { folder: Some(folder.into()), limit }
    }

    /// Where it is, if it is anywhere.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// The image of `program` for `arch`: from here if it is here, else compiled, and then kept here. The second value
    /// says whether it was here.
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

    /// The image of `key`, if there is a sound one.
    pub fn get(&self, key: &Key) -> Option<Vec<u8>> {
        let path = self.path(key)?;
        let mut file = File::open(&path).ok()?;
        let image = read(&mut file, key);
        if image.is_none() {
            drop(file);
            self.remove(key);
            return None;
        }
        // the time of the last use; a folder that is not ours to write to does not care
        let _ = OpenOptions::new().write(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        image
    }

    /// Keeps an image, whole or not at all, and makes room for it. Whoever writes the same one at the same time writes
    /// the same bytes.
    pub fn put(&self, key: &Key, image: &[u8]) {
        let (Some(path), Some(folder)) = (self.path(key), &self.folder) else { return };
        if (HEADER + image.len()) as u64 > self.limit.min(MAX_IMAGE) || make_folder(folder).is_err() {
            return;
        }
        let header = header(key, image);
        let written = write_whole(&path, |out| {
            out.write_all(&header)?;
            out.write_all(image)
        });
        if written.is_ok() {
            self.make_room(&path);
        }
    }

    /// Forgets the image of `key`: one that the driver would not have.
    pub fn remove(&self, key: &Key) {
        if let Some(path) = self.path(key) {
            let _ = fs::remove_file(path);
        }
    }

    fn path(&self, key: &Key) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(hex(&key.0) + ENDING))
    }

    /// Removes what was used least recently until all fits, but not `newest`. Files that are not of this cache are
    /// neither counted nor touched.
    fn make_room(&self, newest: &Path) {
        let now = SystemTime::now();
        let (mut entries, mut total) = (Vec::new(), 0);
        for entry in self.folder.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let Ok(found) = entry.metadata() else { continue };
            let used = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let digits = name.strip_suffix(ENDING).unwrap_or("");
            if digits.len() == 2 * KEY && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                total += found.len();
                entries.push((used, path, found.len()));
            } else if name.starts_with(".rnnstep-") && now.duration_since(used).is_ok_and(|age| age > ABANDONED) {
                let _ = fs::remove_file(path);
            }
        }
        entries.sort();
        for (_, path, len) in entries {
            if total <= self.limit {
                break;
            }
            // gone already if somebody else makes room: counted out all the same
            if path != newest {
                let _ = fs::remove_file(path);
                total -= len;
            }
        }
    }
}

fn header(key: &Key, image: &[u8]) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&key.0);
    header.extend_from_slice(&(image.len() as u64).to_le_bytes());
    header.extend_from_slice(&Sha256::digest(image));
    header
}

/// The image, if the file says that it is this one and holds all of it and nothing else.
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

/// Makes a folder that only its owner may read: what is in it says what somebody computes.
fn make_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(folder)
}

/// The folder of this user for what can be made again.
fn users_folder() -> Option<PathBuf> {
    use etcetera::BaseStrategy;
    etcetera::base_strategy::choose_native_strategy().ok().map(|folders| folders.cache_dir())
}
