//! Images made ahead of time, for a machine that has a driver and no compiler.
//!
//! A bundle is a safetensors file. Every image is a tensor of bytes, named by the digest of its program and its
//! architecture. The metadata name the model and the sources that the images are for.
//!
//! Its images are code. Its hash shows that it is complete, but not who made it. So it is read only if it and the
//! folders that it is in belong to root or the user, and nobody else may write to them.

use super::compile::Program;
use super::sources::SOURCES;
use crate::cuda::library::trust;
use crate::cuda::library::trust::Unfit;
use crate::cuda::{Arch, hex, list};
use crate::error::{Error, Result};
use crate::io::atomic::write_atomic;
use crate::memory::asking;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// What the metadata call the format.
const FORMAT: &str = "rnnstep-bundle-1";
/// The longest file that is read, 1 GiB.
const MAX_FILE: u64 = 1 << 30;
/// The longest header, 8 MiB: some fifty thousand images.
const MAX_HEADER: u64 = 8 << 20;

/// Images for one model, for one or more architectures.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// Where it was read from, for messages.
    path: PathBuf,
    /// SHA-256 of the model's shape line.
    shape: String,
    /// SHA-256 of the kernels' text and the version of this crate.
    sources: String,
    images: BTreeMap<Name, Vec<u8>>,
}

/// The name of an image: the file that it was compiled from, which is for people; the digest of its program; the
/// architecture.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    file: String,
    digest: String,
    arch: Arch,
}

impl Name {
    fn of(program: &Program, arch: Arch) -> Self {
        Self { file: program.file().to_string(), digest: hex(&program.digest()), arch }
    }

    fn text(&self) -> String {
        format!("{}/{}/{}", self.arch, self.file, self.digest)
    }

    fn parse(text: &str) -> Option<Self> {
        let (arch, rest) = text.split_once('/')?;
        let (file, digest) = rest.rsplit_once('/')?;
        Some(Self { file: file.to_string(), digest: digest.to_string(), arch: arch.parse().ok()? })
    }
}

impl Bundle {
    /// An empty one for a model whose shape is `shape`, the line with everything that its kernels depend on.
    pub fn new(shape: &str) -> Self {
        let shape = hex(&Sha256::digest(shape));
        Self { path: PathBuf::from("bundle"), shape, sources: sources(), images: BTreeMap::new() }
    }

    /// Adds an image. It replaces one for the same program and architecture.
    pub fn insert(&mut self, program: &Program, arch: Arch, image: Vec<u8>) {
        self.images.insert(Name::of(program, arch), image);
    }

    /// The architectures that it has images for.
    pub fn archs(&self) -> Vec<Arch> {
        let archs: BTreeSet<Arch> = self.images.keys().map(|name| name.arch).collect();
        archs.into_iter().collect()
    }

    /// How many images it holds.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// Writes it completely or not at all. Only its owner may write to the file, whatever the umask; otherwise
    /// [`Bundle::load`] would refuse it.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut tensors = Vec::new();
        for (name, image) in &self.images {
            let view = TensorView::new(Dtype::U8, vec![image.len()], image);
            tensors.push((name.text(), view.map_err(|error| Error::file(path, error.to_string()))?));
        }
        let (shape, sources) = (self.shape.clone(), self.sources.clone());
        let metadata = [("format", FORMAT.to_string()), ("shape", shape), ("sources", sources), ("sha256", self.sum())];
        let metadata = metadata.map(|(name, value)| (name.to_string(), value));
        let bytes = safetensors::serialize(tensors, Some(HashMap::from(metadata)));
        let bytes = bytes.map_err(|error| Error::file(path, error.to_string()))?;
        write_atomic(path, |out| out.write_all(&bytes))?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mut permissions = fs::metadata(path).map_err(|error| Error::io(path, error))?.permissions();
            let mode = permissions.mode();
            // the mode of a device such as /dev/null must not change
            if mode & 0o022 != 0 && path.is_file() {
                permissions.set_mode(mode & !0o022);
                fs::set_permissions(path, permissions).map_err(|error| Error::io(path, error))?;
            }
        }
        Ok(())
    }

    /// Reads one for a model whose shape is `shape`. Memory is three times the file and 64 MiB at most, time linear.
    ///
    /// # Errors
    /// If the file is no bundle, is damaged, or is for another model; or if somebody other than root and the user may
    /// have made it, or could change it.
    pub fn load(path: &Path, shape: &str) -> Result<Self> {
        let refuse = |reason: &str| Error::file(path, reason);
        let found = fs::metadata(path).map_err(|error| Error::io(path, error))?;
        if !found.is_file() {
            return Err(refuse("is not a file; give the name of a bundle"));
        }
        let file = trust::open(path).map_err(|unfit| match unfit {
            Unfit::Missing => Error::io(path, ErrorKind::NotFound.into()),
            Unfit::Refused(reason) => refuse(&format!("is not read, because kernels are code: {reason}")),
        })?;
        let mut bytes = Vec::new();
        // at most one byte more than a bundle may have, whatever becomes of the file meanwhile
        asking(|| file.take(MAX_FILE + 1).read_to_end(&mut bytes)).map_err(|error| Error::io(path, error))?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(refuse("is too long for a bundle; give the file that rnnstep compile wrote"));
        }
        let not_a_bundle = || refuse("is not a bundle of kernels; give the file that rnnstep compile wrote");
        // the crate safetensors accepts headers of a hundred megabytes, and takes a dozen times as much memory for them
        if bytes.first_chunk().is_none_or(|&n| u64::from_le_bytes(n) > MAX_HEADER) {
            return Err(not_a_bundle());
        }
        let metadata = SafeTensors::read_metadata(&bytes).map_err(|_| not_a_bundle())?.1.metadata().clone();
        let metadata = metadata.unwrap_or_default();
        match metadata.get("format").map(String::as_str) {
            Some(FORMAT) => {}
            Some(format) if format.starts_with("rnnstep-bundle-") => {
                return Err(refuse("is a bundle of another version of rnnstep; compile it again with this one"));
            }
            _ => return Err(not_a_bundle()),
        }
        let damaged = || refuse("is a damaged bundle; copy it again, or compile it again");
        let tensors = SafeTensors::deserialize(&bytes).map_err(|_| damaged())?;
        let [shape_there, sources] = ["shape", "sources"].map(|name| metadata.get(name).cloned().unwrap_or_default());
        let mut bundle = Self { path: path.to_path_buf(), shape: shape_there, sources, images: BTreeMap::new() };
        for (name, view) in tensors.iter() {
            let name = Name::parse(name).filter(|_| view.dtype() == Dtype::U8).ok_or_else(damaged)?;
            bundle.images.insert(name, view.data().to_vec());
        }
        if metadata.get("sha256") != Some(&bundle.sum()) {
            return Err(damaged());
        }
        if bundle.shape != hex(&Sha256::digest(shape)) {
            return Err(refuse("is a bundle for another model; compile one for this model"));
        }
        Ok(bundle)
    }

    /// The image of `program` for a GPU of architecture `card`, which is `integrated` if it is a Jetson's. This is the
    /// one for exactly this architecture; without it, the nearest lower one that runs on the GPU (see
    /// [`Arch::runs_on`]).
    ///
    /// # Errors
    /// If it has no images for such a GPU, or its images were made from other sources or for other options. The message
    /// is one line, and names the architectures that it has images for.
    pub fn find(&self, program: &Program, card: Arch, integrated: bool) -> Result<&[u8]> {
        let wanted = Name::of(program, card);
        let fitting = |name: &&Name| name.arch.runs_on(card, integrated);
        let same = |name: &&Name| name.file == wanted.file && name.digest == wanted.digest;
        let best = self.images.iter().filter(|(name, _)| same(name) && fitting(name)).max_by_key(|(name, _)| name.arch);
        if let Some((_, image)) = best {
            return Ok(image);
        }
        let reason = if self.images.is_empty() {
            "is an empty bundle; compile it again".to_string()
        } else if !self.images.keys().any(|name| fitting(&name)) {
            let archs = list(self.archs());
            format!("has kernels for {archs}, and this GPU is {card}; compile a bundle with --arch {card}")
        } else if self.sources == sources() {
            // it has every program of this model that such a GPU may ask for with the options of `rnnstep compile`
            format!(
                "has no {program}: it was compiled for other options; compile the bundle again with the --dtype, --frame \
                 and --batch that are asked for here, and with --training to train"
            )
        } else {
            format!("has no {program} as this version of rnnstep wants it; compile the bundle again with this version")
        };
        Err(Error::file(&self.path, reason))
    }

    /// SHA-256 of everything, which shows a bit that was flipped on the way.
    fn sum(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(&self.shape);
        hash.update(&self.sources);
        for (name, image) in &self.images {
            let name = name.text();
            hash.update((name.len() as u64).to_le_bytes());
            hash.update(name);
            hash.update((image.len() as u64).to_le_bytes());
            hash.update(image);
        }
        hex(&hash.finalize())
    }
}

/// A digest of what images are made from, without a program's own constants.
fn sources() -> String {
    let mut hash = Sha256::new();
    for (name, text) in SOURCES.iter().chain(&[("version", env!("CARGO_PKG_VERSION"))]) {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update(text);
    }
    hex(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_an_image_is_missing() {
        let program = |n: usize| Program::from_text("probe.cu", "").define("N", n);
        let arch = Arch::new(8, 0);
        let mut bundle = Bundle::new("a shape");
        bundle.insert(&program(1), arch, vec![1]);
        let missing = |bundle: &Bundle| bundle.find(&program(2), arch, false).unwrap_err().to_string();
        assert!(missing(&bundle).contains("has no probe.cu (N=2): it was compiled for other options"));
        bundle.sources = "those of another version".into();
        assert!(missing(&bundle).contains("has no probe.cu (N=2) as this version of rnnstep wants it"));
    }

    #[cfg(unix)]
    #[test]
    fn one_that_others_may_change_is_not_read() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("folder");
        fs::create_dir(&folder).unwrap();
        let path = folder.join("kernels");
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        Bundle::new("a shape").save(&path).unwrap();
        let link = root.path().join("link");
        symlink(&path, &link).unwrap();
        for (spoilt, bits, back) in [(&path, 0o666, 0o644), (&folder, 0o777, 0o755)] {
            mode(spoilt, bits);
            for path in [&path, &link] {
                let error = Bundle::load(path, "a shape").unwrap_err().to_string();
                let begins = format!("{}: is not read, because kernels are code: ", path.display());
                let ends = format!("(mode {bits:o}); chmod go-w {}", spoilt.display());
                assert!(error.starts_with(&begins) && error.ends_with(&ends), "{error}");
            }
            mode(spoilt, back);
            Bundle::load(&link, "a shape").unwrap();
        }
        // one that is written over a file that others may write to is read again
        mode(&path, 0o666);
        Bundle::new("a shape").save(&path).unwrap();
        Bundle::load(&path, "a shape").unwrap();
    }
}
