//! Compiles kernel sources, with the model's sizes, to an image for one architecture. Needs NVRTC but no GPU.

use super::nvrtc::{Failure, Nvrtc};
use super::sources::{HEADER, SOURCES};
use crate::cuda::{Arch, list};
use crate::error::{DeviceErrorKind as Kind, Error, Result};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::time::Instant;

pub use super::nvrtc::nvrtc;
pub use super::usage::Usage;

/// A kernel file, and its constants for one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    file: Cow<'static, str>,
    text: Cow<'static, str>,
    headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    defines: BTreeMap<String, String>,
}

impl Program {
    /// A file of [`SOURCES`], such as `lstm.cu`.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn embedded(file: &str) -> Result<Self> {
        match SOURCES.iter().find(|(name, _)| *name == file) {
            Some((name, text)) => Ok(Self::from_text(*name, *text)),
            None => Err(Error::invalid(format!(
                "kernel file {file:?}: not one of {}",
                list(SOURCES.iter().map(|(name, _)| name))
            ))),
        }
    }

    /// Another source, under the name `file`. It may include the headers of [`SOURCES`].
    pub fn from_text(file: impl Into<Cow<'static, str>>, text: impl Into<Cow<'static, str>>) -> Self {
        let headers = SOURCES.iter().filter(|(name, _)| name.ends_with(HEADER));
        Self {
            file: file.into(),
            text: text.into(),
            headers: headers.map(|&(name, text)| (name.into(), text.into())).collect(),
            defines: BTreeMap::new(),
        }
    }

    /// With `#define name value`.
    #[must_use]
    pub fn define(mut self, name: impl Into<String>, value: impl Display) -> Self {
        self.defines.insert(name.into(), value.to_string());
        self
    }

    /// With one more file that it can include. It replaces another of that name.
    #[must_use]
    pub fn header(mut self, name: impl Into<Cow<'static, str>>, text: impl Into<Cow<'static, str>>) -> Self {
        let name = name.into();
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, text.into()));
        self
    }

    /// The file's name.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What it is compiled with for `arch`.
    fn options(&self, arch: Arch) -> Vec<String> {
        // no fast-math: division, square root and denormal numbers stay what they are on the CPU
        let mut options = vec![format!("--gpu-architecture={arch}"), "--std=c++17".to_string()];
        options.extend(self.defines.iter().map(|(name, value)| format!("-D{name}={value}")));
        options
    }

    /// SHA-256 of the sources and the constants. Two programs that differ in anything other than the architecture and
    /// the compiler have two digests.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        // each text follows its length, so that no two lists of texts give the same bytes
        let mut add = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        for text in [env!("CARGO_PKG_VERSION"), &self.file, &self.text, &self.headers.len().to_string()] {
            add(text);
        }
        let mut headers: Vec<_> = self.headers.iter().collect();
        headers.sort();
        for (name, text) in headers {
            add(name);
            add(text);
        }
        for option in self.options(Arch::new(0, 0)) {
            add(&option);
        }
        hash.finalize().into()
    }
}

impl Display for Program {
    /// `lstm.cu (HIDDEN=64 INPUT=1)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        for (i, (name, value)) in self.defines.iter().enumerate() {
            write!(f, "{}{name}={value}", if i == 0 { " (" } else { " " })?;
        }
        f.write_str(if self.defines.is_empty() { "" } else { ")" })
    }
}

/// The result of a compilation.
#[derive(Debug, Clone)]
pub struct Image {
    /// Machine code for one architecture: what [`crate::cuda::Gpu::load`] takes.
    pub cubin: Vec<u8>,
    /// The compiler's log; empty if it printed nothing.
    pub log: String,
    /// What each kernel takes of a multiprocessor; empty unless `verbose`.
    pub usage: Vec<Usage>,
    /// How long it took.
    pub seconds: f64,
}

/// Compiles `program` for `arch` with the [`nvrtc`] of this machine. With `verbose`, the assembler reports what each
/// kernel takes of a multiprocessor.
///
/// # Errors
/// If there is no NVRTC; if it does not know the architecture (the message is one line, and names those it knows); or
/// if the program does not compile (the compiler's log, with file and line, then follows the first line).
pub fn compile(program: &Program, arch: Arch, verbose: bool) -> Result<Image> {
    compile_with(nvrtc()?, program, arch, verbose)
}

/// [`compile()`] with the given NVRTC.
///
/// # Errors
/// Those of [`compile()`].
pub fn compile_with(nvrtc: &Nvrtc, program: &Program, arch: Arch, verbose: bool) -> Result<Image> {
    if !nvrtc.archs().contains(&arch) {
        return Err(Error::device(
            Kind::Unsupported,
            format!("{nvrtc} does not know {arch}, only {}; use another version of NVRTC", list(nvrtc.archs())),
        ));
    }
    let mut options = program.options(arch);
    if verbose {
        options.push("--ptxas-options=-v".to_string());
    }
    let start = Instant::now();
    let headers: Vec<(&str, &str)> = program.headers.iter().map(|(name, text)| (&**name, &**text)).collect();
    match nvrtc.build(&program.file, &program.text, &headers, &options) {
        Ok((cubin, log)) => {
            let usage = if verbose { super::usage::read(&log) } else { Vec::new() };
            Ok(Image { cubin, log, usage, seconds: start.elapsed().as_secs_f64() })
        }
        Err(Failure { reason, log }) => {
            let first = format!("{program} does not compile for {arch} with NVRTC {}: {reason}", nvrtc.version_text());
            Err(Error::device(Kind::Failed, if log.is_empty() { first } else { format!("{first}\n{log}") }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_changes_with_everything() {
        let program = Program::from_text("a.cu", "x").define("N", 1);
        let others = [
            Program::from_text("b.cu", "x").define("N", 1),
            Program::from_text("a.cu", "y").define("N", 1),
            Program::from_text("a.cu", "x").define("N", 2),
            Program::from_text("a.cu", "x").define("N1", ""),
            Program::from_text("a.cu", "x").define("N", 1).define("M", 1),
            program.clone().header("h.cuh", ""),
            program.clone().header("h.cuh", "x"),
        ];
        let mut digests: Vec<_> = others.iter().chain([&program]).map(Program::digest).collect();
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), others.len() + 1);
        // the order in which constants and headers were given changes nothing
        let one = program.clone().define("A", 1).define("B", 2).header("h", "1").header("i", "2");
        let two = program.clone().header("i", "2").header("h", "0").header("h", "1").define("B", 2).define("A", 1);
        assert_eq!(one.digest(), two.digest());
        assert_eq!(one.to_string(), "a.cu (A=1 B=2 N=1)");
        assert_eq!(Program::from_text("a.cu", "").to_string(), "a.cu");
    }
}
