//! The emulated device of this folder. This file builds its two libraries when they are first asked
//! for, and runs programs, or a part of a test, with them instead of NVIDIA's. The modules below
//! test the device itself: kernels without a mistake are right and no sanitizer reports anything,
//! every planted mistake is found, and errors of a card are errors here in the same way.
//!
//! The loader looks at `LD_LIBRARY_PATH` when a program starts and never again, so a test that wants to talk to the
//! device starts itself once more, for that one test:
//!
//! ```ignore
//! #[test]
//! fn adds() {
//!     emulator::inside("kernels::adds", Kind::Plain, 1, || { /* cudarc finds the emulated device here */ });
//! }
//! ```
#![allow(dead_code, reason = "each test file uses its part")]

mod clean;
mod failures;
mod gpu;
mod mistakes;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// After so long a program counts as hung and is killed.
const HUNG: Duration = Duration::from_secs(300);

/// Which part of a test is meant, in the environment of a process that was started for that part.
const INSIDE: &str = "EMULATOR_INSIDE";

/// The driver's sources and the compiler's.
const DRIVER: [&str; 9] = ["driver", "memory", "stream", "graph", "module", "runtime", "warp", "fiber", "crash"];
const COMPILER: [&str; 2] = ["compiler", "scan"];

/// What kernels are compiled with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// Nothing: fast.
    Plain,
    /// The address and undefined-behaviour sanitizers: every access out of bounds ends the process.
    Address,
    /// The race checker; blocks run concurrently. The process ends with an error when races were seen.
    Thread,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Plain, Self::Address, Self::Thread];

    /// `EMULATOR_SANITIZE`, and the libraries that must be loaded before all others, as gcc and as clang call them.
    fn sanitizer(self) -> Option<(&'static str, &'static [[&'static str; 2]])> {
        match self {
            Self::Plain => None,
            Self::Address => Some(("address", &[["libasan.so", "libclang_rt.asan"], ["libubsan.so", ""]])),
            Self::Thread => Some(("thread", &[["libtsan.so", "libclang_rt.tsan"]])),
        }
    }
}

/// The emulated device, ready for use.
#[derive(Clone, Debug)]
pub struct Emulator {
    folder: PathBuf,
    wrapper: Vec<String>,
    environment: BTreeMap<&'static str, OsString>,
}

/// How a program ended, with all that it printed.
pub struct Ran {
    pub status: ExitStatus,
    pub text: String,
}

impl Emulator {
    /// None where there is no C++ compiler, or no sanitizer of this kind; that is said, and under `CI` it is a failure.
    pub fn new(kind: Kind) -> Option<Self> {
        if let Some(here) = Self::here() {
            return Some(here);
        }
        static MADE: Mutex<BTreeMap<Kind, Option<Emulator>>> = Mutex::new(BTreeMap::new());
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        made.entry(kind)
            .or_insert_with(|| match Self::make(kind) {
                Ok(emulator) => Some(emulator),
                Err(why) if std::env::var_os("CI").is_some() => panic!("the emulated device ({kind:?}): {why}"),
                Err(why) => {
                    eprintln!("SKIPPED, no emulated device ({kind:?}): {why}");
                    None
                }
            })
            .clone()
    }

    /// In a process that was started on the device there is nothing to build.
    fn here() -> Option<Self> {
        std::env::var_os(INSIDE)?;
        Some(Self { folder: PathBuf::new(), wrapper: vec![], environment: BTreeMap::new() })
    }

    fn make(kind: Kind) -> Result<Self, String> {
        if !cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))) {
            return Err("it needs Linux on x86-64 or aarch64".into());
        }
        let cxx = Cxx::find()?;
        let folder = build(&cxx)?;
        let mut emulator = Self { folder, wrapper: vec![], environment: BTreeMap::new() };
        emulator.environment.insert("CXX", cxx.command.join(" ").into());
        if let Some((name, libraries)) = kind.sanitizer() {
            emulator.load_sanitizer(&cxx, name, libraries)?;
        }
        Ok(emulator)
    }

    /// The libraries of a sanitizer must come before all others; so must the one that throws exceptions, which the
    /// sanitizers want to see.
    fn load_sanitizer(&mut self, cxx: &Cxx, name: &str, libraries: &[[&str; 2]]) -> Result<(), String> {
        let mut preload: Vec<String> = libraries.iter().filter_map(|names| cxx.library(*names)).collect();
        if preload.is_empty() {
            return Err(format!("{} has no library for -fsanitize={name}", cxx.command[0]));
        }
        preload.extend(cxx.library(["libstdc++.so.6", ""]));
        let mut set = |name, value: &str| self.environment.insert(name, value.into());
        set("EMULATOR_SANITIZE", name);
        set("LD_PRELOAD", &preload.join(":"));
        if name == "thread" {
            set("EMULATOR_RESIDENT", "1");
            // Rust's own code is not instrumented: what it does through libc says nothing about races.
            set("TSAN_OPTIONS", "ignore_noninstrumented_modules=1 report_thread_leaks=0 history_size=2 exitcode=66");
        } else {
            set("ASAN_OPTIONS", "detect_leaks=0 alloc_dealloc_mismatch=0 handle_segv=1");
            set("UBSAN_OPTIONS", "print_stacktrace=1");
        }
        // With many random bits in its addresses a system leaves the race checker no room; some can be asked not to.
        let works = |emulator: &Self| emulator.command("true").status().is_ok_and(|status| status.success());
        if works(self) {
            return Ok(());
        }
        self.wrapper = vec!["setarch".into(), "-R".into()];
        if works(self) { Ok(()) } else { Err(format!("programs do not start with {}", preload[0])) }
    }

    /// A device whose driver lacks these functions, as an older one would.
    pub fn lacking(symbols: &[&str]) -> Option<Self> {
        if let Some(here) = Self::here() {
            return Some(here);
        }
        let mut emulator = Self::new(Kind::Plain)?;
        let whole = fs::read(emulator.folder.join("libcuda.so.1")).unwrap();
        let name = format!("lacking-{:016x}", hash(&symbols));
        let folder = emulator.folder.join(name);
        make_folder(&folder, |partial| {
            let mut bytes = whole.clone();
            for symbol in symbols {
                // the name in the table of symbols becomes another one, which nobody looks for
                let name = [&[0], symbol.as_bytes(), &[0]].concat();
                let places: Vec<usize> =
                    (0..bytes.len() - name.len()).filter(|&at| bytes[at..].starts_with(&name)).collect();
                assert!(!places.is_empty(), "the emulated driver has no {symbol}");
                places.into_iter().for_each(|at| bytes[at + 1] = b'x');
            }
            fs::write(partial.join("libcuda.so.1"), bytes).map_err(|e| e.to_string())?;
            copy_rest(&emulator.folder, partial)
        })
        .unwrap();
        emulator.folder = folder;
        Some(emulator)
    }

    /// Files that have the names of the libraries and are none: a machine where nothing can be loaded. It hides a
    /// driver that the machine may have, and needs no compiler.
    pub fn broken() -> Self {
        let folder = root().join("broken");
        make_folder(&folder, |partial| {
            for name in DRIVER_NAMES.iter().chain(&COMPILER_NAMES) {
                fs::write(partial.join(name), "this is no library\n").map_err(|e| e.to_string())?;
            }
            Ok(())
        })
        .unwrap();
        Self { folder, wrapper: vec![], environment: BTreeMap::new() }
    }

    /// The same device with a variable of the environment; see `tests/cuda/emulator/README.md` for those that it knows.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.environment.insert(name, value.to_string().into());
        self
    }

    /// The same device with a compiler that reads `other` where the kernel file `file` has `text`, which must be there
    /// once: for tests of what finds mistakes.
    #[must_use]
    pub fn with_edit(self, [file, text, other]: [&str; 3]) -> Self {
        assert!([file, text, other].iter().all(|part| !part.contains('@')), "an @ divides the parts");
        self.with("EMULATOR_EDIT", format!("@{file}@{text}@{other}"))
    }

    /// Where `libcuda.so.1` and `libnvrtc.so` are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A command in whose process the loader finds the emulated device.
    pub fn command(&self, program: impl Into<OsString>) -> Command {
        let mut words: Vec<OsString> = self.wrapper.iter().map(OsString::from).collect();
        words.push(program.into());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        for name in
            ["SEED", "ARCH", "SMS", "MEMORY", "DEVICES", "DRIVER", "NVRTC", "RESIDENT", "SANITIZE", "TRACE", "EDIT"]
        {
            command.env_remove(format!("EMULATOR_{name}"));
        }
        let mut path = OsString::from(&self.folder);
        if let Some(rest) = std::env::var_os("LD_LIBRARY_PATH").filter(|rest| !rest.is_empty()) {
            path.push(":");
            path.push(rest);
        }
        command.env("LD_LIBRARY_PATH", path).envs(&self.environment);
        command
    }

    /// Runs `body`, which stands in the test of this full name, in a process of its own on this device, and says how
    /// that ended. `part` tells it from other calls in the same test. In that process it gives None, after the body.
    pub fn run_inside(&self, test: &str, part: &str, body: impl FnOnce()) -> Option<Ran> {
        let label = format!("{test} {part}");
        let reached = format!("inside {label}: the end was reached");
        if let Some(wanted) = std::env::var_os(INSIDE) {
            if wanted == *label {
                body();
                println!("{reached}");
            }
            return None;
        }
        let mut command = self.command(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture", "--include-ignored", "--test-threads=1"]).env(INSIDE, &label);
        let ran = Ran::wait_for(command);
        let complete = !ran.status.success() || ran.text.contains(&reached);
        assert!(complete, "no test `{test}` ran `{part}`: is the name right?\n{}", ran.text);
        Some(ran)
    }
}

impl Ran {
    /// Lets a command run to its end.
    pub fn wait_for(mut command: Command) -> Self {
        let output = tempfile::tempfile().unwrap();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output.try_clone().unwrap())
            .spawn()
            .unwrap();
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if start.elapsed() > HUNG {
                child.kill().unwrap();
                break child.wait().unwrap();
            }
            thread::sleep(Duration::from_millis(2));
        };
        let mut bytes = Vec::new();
        let mut output = output;
        io::Seek::rewind(&mut output).unwrap();
        io::Read::read_to_end(&mut output, &mut bytes).unwrap();
        Self { status, text: String::from_utf8_lossy(&bytes).into_owned() }
    }
}

/// Runs `body` on the emulated device in a process of its own, with threads in the order of this seed, and fails if
/// that process does. `test` is the full name of the test that this call stands in.
pub fn inside(test: &str, kind: Kind, seed: u64, body: impl FnOnce()) {
    let Some(emulator) = Emulator::new(kind) else { return };
    let emulator = emulator.with("EMULATOR_SEED", seed);
    if let Some(ran) = emulator.run_inside(test, &format!("{kind:?} {seed}"), body) {
        assert!(ran.status.success(), "{test} on {kind:?}, seed {seed}: {}\n{}", ran.status, ran.text);
        print!("{}", ran.text);
    }
}

/// The C++ compiler of this machine.
struct Cxx {
    command: Vec<String>,
    /// What it says of itself.
    version: String,
}

impl Cxx {
    /// `CXX`, or whatever there is.
    fn find() -> Result<Self, String> {
        let named = std::env::var("CXX").ok();
        let names = named.as_deref().map_or_else(|| vec!["c++", "g++", "clang++"], |name| vec![name]);
        for name in &names {
            let command: Vec<String> = name.split_whitespace().map(String::from).collect();
            let Some((program, first)) = command.split_first() else { continue };
            let answer = Command::new(program).args(first).arg("--version").output();
            if let Some(output) = answer.ok().filter(|output| output.status.success()) {
                let version = String::from_utf8_lossy(&output.stdout).into_owned();
                return Ok(Self { command, version });
            }
        }
        Err(format!("no C++ compiler; tried {}", names.join(", ")))
    }

    fn start(&self) -> Command {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).env_remove("LD_PRELOAD");
        command
    }

    /// The path of a library that the compiler would link with, if it is there. clang adds the processor to its names.
    fn library(&self, [gcc, clang]: [&str; 2]) -> Option<String> {
        let processor = std::env::consts::ARCH;
        let names = [gcc.to_string(), format!("{clang}-{processor}.so"), format!("{clang}.so")];
        let names = if self.version.contains("clang") { &names[..] } else { &names[..1] };
        names.iter().rev().find_map(|name| {
            let output = self.start().arg(format!("-print-file-name={name}")).output().ok()?;
            let path = String::from_utf8(output.stdout).ok()?.trim().to_string();
            let bytes = fs::read(&path).ok()?;
            if bytes.starts_with(b"\x7fELF") {
                return Some(path);
            }
            // some systems have a script for the linker there: INPUT ( /usr/lib64/libasan.so.8.0.0 )
            let script = String::from_utf8(bytes).ok()?;
            script.split_whitespace().find(|word| word.starts_with('/')).map(String::from)
        })
    }
}

const DRIVER_NAMES: [&str; 2] = ["libcuda.so.1", "libcuda.so"];
/// The names by which programs look for NVRTC. That of the file itself is the first.
const COMPILER_NAMES: [&str; 4] = ["libnvrtc.so.12", "libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.11.2"];

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cuda/emulator")
}

/// `target/emulator`; or a folder among the temporary ones where others may write to what that is in: what is there is
/// not loaded.
fn root() -> PathBuf {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    let make = || {
        let beside = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        #[cfg(unix)]
        if !is_only_ours(beside) {
            return in_temporary();
        }
        beside.join("emulator")
    };
    ROOT.get_or_init(make).clone()
}

/// The user that this process runs as.
#[cfg(unix)]
pub fn user() -> u32 {
    std::os::unix::fs::MetadataExt::uid(&tempfile::tempfile().unwrap().metadata().unwrap())
}

/// Whether all folders down to this one belong to root or this user, and others may not exchange what is in them.
#[cfg(unix)]
fn is_only_ours(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let user = user();
    let closed = |folder: &Path| {
        let found = fs::metadata(folder).unwrap();
        [0, user].contains(&found.uid()) && (found.mode() & 0o022 == 0 || found.mode() & 0o1000 != 0)
    };
    fs::canonicalize(folder).is_ok_and(|folder| folder.ancestors().all(closed))
}

#[cfg(unix)]
fn in_temporary() -> PathBuf {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};
    let user = user();
    let folder = std::env::temp_dir().join(format!("rnnstep-emulator-{user}"));
    let _ = fs::DirBuilder::new().mode(0o700).create(&folder);
    let found = fs::symlink_metadata(&folder).unwrap();
    let ours = found.is_dir() && found.uid() == user && found.mode() & 0o077 == 0;
    assert!(ours, "{}: somebody else's; remove it", folder.display());
    folder
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Makes a folder whole or not at all: one process makes it, the others wait.
fn make_folder(folder: &Path, fill: impl FnOnce(&Path) -> Result<(), String>) -> Result<(), String> {
    if folder.exists() {
        return Ok(());
    }
    let in_words = |error: io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(root()).map_err(in_words)?;
    let lock = File::create(root().join("lock")).map_err(in_words)?;
    lock.lock().map_err(in_words)?;
    if folder.exists() {
        return Ok(());
    }
    let partial = folder.with_extension("partial");
    let _ = fs::remove_dir_all(&partial); // left by a process that was killed
    fs::create_dir_all(&partial).map_err(in_words)?;
    fill(&partial)?;
    fs::rename(&partial, folder).map_err(in_words)
}

/// Builds the libraries, if these sources have not been built with this compiler before.
fn build(cxx: &Cxx) -> Result<PathBuf, String> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(sources()).map_err(|e| format!("{}: {e}", sources().display()))? {
        let path = entry.map_err(|e| e.to_string())?.path();
        if path.extension().is_some_and(|extension| extension == "h" || extension == "cpp") {
            texts.push((path.file_name().map(OsString::from), fs::read(&path).map_err(|e| e.to_string())?));
        }
    }
    texts.sort();
    let folder = root().join(format!("{:016x}", hash(&(&texts, &cxx.command, &cxx.version, FLAGS))));
    make_folder(&folder, |partial| {
        let mut compilers = Vec::new();
        for (files, names) in [(&DRIVER[..], &DRIVER_NAMES[..]), (&COMPILER[..], &COMPILER_NAMES[..])] {
            let mut command = cxx.start();
            command.args(FLAGS).arg(format!("-Wl,-soname,{}", names[0])).arg("-o").arg(partial.join(names[0]));
            command
                .args(files.iter().map(|file| sources().join(file).with_extension("cpp")))
                .args(["-ldl", "-lpthread"]);
            compilers.push(thread::spawn(move || command.output()));
        }
        for compiler in compilers {
            let output = compiler.join().unwrap().map_err(|e| e.to_string())?;
            // a compiler that cannot build these sources is a mistake in them, not a reason to leave out the tests
            assert!(output.status.success(), "the emulated device: {}", String::from_utf8_lossy(&output.stderr));
        }
        for header in ["device.h", "machine.h"] {
            fs::copy(sources().join(header), partial.join(header)).map_err(|e| e.to_string())?;
        }
        link_names(partial)
    })?;
    Ok(folder)
}

const FLAGS: [&str; 10] = [
    "-std=c++17",
    "-O2",
    "-g1",
    "-fPIC",
    "-shared",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
    "-Wl,-Bsymbolic",
    "-Wl,-z,defs",
];

/// The other names of the libraries.
fn link_names(folder: &Path) -> Result<(), String> {
    for names in [&DRIVER_NAMES[..], &COMPILER_NAMES[..]] {
        for other in &names[1..] {
            #[cfg(unix)]
            std::os::unix::fs::symlink(names[0], folder.join(other)).map_err(|e| e.to_string())?;
        }
    }
    Ok(())
}

/// All but the driver.
fn copy_rest(from: &Path, to: &Path) -> Result<(), String> {
    for name in [COMPILER_NAMES[0], "device.h", "machine.h"] {
        fs::copy(from.join(name), to.join(name)).map_err(|e| e.to_string())?;
    }
    link_names(to)
}
