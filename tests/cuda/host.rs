//! The host side of the GPU, on a machine that need not have one: what is missing is said in one line, kernels are
//! compiled and kept. What needs NVRTC says why it is skipped where there is none; with `RNNSTEP_NVRTC` set, as
//! `.ci/kernels` does, that is a failure.
#![cfg(feature = "cuda")]

use rnnstep::cuda::image::bundle::Bundle;
use rnnstep::cuda::image::cache::{Cache, Key};
use rnnstep::cuda::image::compile::{Program, Usage, compile, nvrtc};
use rnnstep::cuda::image::nvrtc::Nvrtc;
use rnnstep::cuda::{Arch, Gpu, devices};
use rnnstep::{DeviceErrorKind, Error};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

/// A kernel with shared memory and one that is short of registers.
const PROBE: &str = r#"#include "probe.cuh"
extern "C" __global__ void __launch_bounds__(64) reverse(float* x) {
    __shared__ float s[N];
    s[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    x[threadIdx.x] = s[N - 1 - threadIdx.x];
}
extern "C" __global__ void __launch_bounds__(1024) wide(float* x, int n) {
    float a[96];
#pragma unroll
    for (int i = 0; i < 96; i++) a[i] = x[i * 1024 + threadIdx.x];
    for (int k = 0; k < n; k++) {
#pragma unroll
        for (int i = 0; i < 96; i++) a[i] = a[i] * a[(i + 7) % 96] + x[k];
    }
#pragma unroll
    for (int i = 0; i < 96; i++) x[i * 1024 + threadIdx.x] = a[i];
}
"#;

fn probe(n: usize) -> Program {
    Program::from_text("probe.cu", PROBE).header("probe.cuh", "#pragma once\n").define("N", n)
}

/// The NVRTC of this machine, or why a test is skipped.
fn compiler() -> Option<&'static Nvrtc> {
    match nvrtc() {
        Ok(found) => Some(found),
        Err(error) if std::env::var_os("RNNSTEP_NVRTC").is_some() => panic!("{error}"),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

/// Those of sm_80, sm_87 and sm_90 that this NVRTC knows: all, since CUDA 11.8.
fn archs(nvrtc: &Nvrtc) -> Vec<Arch> {
    let known =
        [Arch::new(8, 0), Arch::new(8, 7), Arch::new(9, 0)].into_iter().filter(|arch| nvrtc.archs().contains(arch));
    let known: Vec<_> = known.collect();
    assert!(!known.is_empty(), "{nvrtc}");
    known
}

fn one_line(error: &rnnstep::Error) -> String {
    let text = error.to_string();
    assert!(text.lines().count() == 1 && text.len() > 20, "{text}");
    text
}

#[test]
fn without_a_driver_one_line_says_so() {
    match devices() {
        Ok(found) => {
            assert!(!found.is_empty());
            eprintln!("not tested: this machine has {}", found[0].name);
        }
        Err(error) => {
            let text = one_line(&error);
            let kinds = [DeviceErrorKind::NoDriver, DeviceErrorKind::NotTrusted, DeviceErrorKind::NoDevice];
            assert!(
                matches!(error, Error::Device { kind, .. } if kinds.contains(&kind)) && text.contains("CPU"),
                "{text}"
            );
            assert_eq!(one_line(&Gpu::open(0).unwrap_err()), text);
            assert_eq!(one_line(&devices().unwrap_err()), text);
        }
    }
}

#[test]
fn kernels_compile_without_a_gpu() {
    let Some(nvrtc) = compiler() else { return };
    eprintln!("{nvrtc}");
    assert!(nvrtc.path().is_file(), "{nvrtc}");
    for arch in archs(nvrtc) {
        let quiet = compile(&probe(64), arch, false).unwrap();
        assert!(quiet.cubin.starts_with(b"\x7fELF") && quiet.cubin.len() > 1000, "{arch}");
        assert_eq!((quiet.log.as_str(), quiet.usage.len()), ("", 0), "{arch}");
        assert!(quiet.seconds > 0.0);
        // the machine code itself does not change from one compilation to the next, but with the constants
        assert!(quiet.cubin == compile(&probe(64), arch, false).unwrap().cubin, "{arch}");
        assert!(quiet.cubin != compile(&probe(32), arch, false).unwrap().cubin, "{arch}");
        let mut usage = compile(&probe(64), arch, true).unwrap().usage;
        usage.sort_by(|a, b| a.kernel.cmp(&b.kernel));
        let [reverse, wide] = &usage[..] else { panic!("{arch}: {usage:?}") };
        assert!((4..=32).contains(&reverse.registers), "{arch}: {reverse:?}");
        let expected =
            Usage { kernel: "reverse".into(), registers: reverse.registers, shared_bytes: 256, ..Usage::default() };
        assert_eq!(*reverse, expected, "{arch}");
        assert!(wide.kernel == "wide" && (1..=64).contains(&wide.registers), "{arch}: {wide:?}");
        assert!(wide.spill_bytes > 0 && wide.stack_bytes > 0, "{arch}: {wide:?}");
    }
}

#[test]
fn a_compile_error_names_file_and_line() {
    let Some(nvrtc) = compiler() else { return };
    let arch = archs(nvrtc)[0];
    let broken = |program: Program| compile(&program, arch, false).unwrap_err().to_string();
    let text = broken(
        Program::from_text("broken.cu", "\nextern \"C\" __global__ void k() {\n  nonsense;\n}\n").define("N", 3),
    );
    let first =
        format!("broken.cu (N=3) does not compile for {arch} with NVRTC {}.{}: ", nvrtc.version().0, nvrtc.version().1);
    assert!(text.starts_with(&first), "{text}");
    assert!(text.contains("broken.cu(3): error") && text.contains("nonsense"), "{text}");
    // in a header it is the header that is named
    let text = broken(Program::from_text("a.cu", "#include \"b.cuh\"\n").header("b.cuh", "\n\nint x = y;\n"));
    assert!(text.contains("b.cuh(3): error"), "{text}");
    let text = broken(Program::from_text("a.cu", "#include \"missing.cuh\"\n"));
    assert!(text.contains("a.cu(1)") && text.contains("missing.cuh"), "{text}");
    // what cannot be handed over at all
    for program in [Program::from_text("a.cu", "\0"), Program::from_text("a.cu", "").define("A", "1\0")] {
        assert!(broken(program).contains("zero byte"));
    }
    // a define cannot smuggle in an option, and one that is none is an error of the compiler
    assert!(broken(Program::from_text("a.cu", "").define("1", 2)).contains("a.cu"));
}

#[test]
fn an_unknown_architecture_names_those_that_are_known() {
    let Some(nvrtc) = compiler() else { return };
    let text = one_line(&compile(&probe(64), Arch::new(1, 9), false).unwrap_err());
    assert!(text.contains("does not know sm_19") && text.contains("sm_90") && text.contains("NVRTC"), "{text}");
    assert!(nvrtc.archs().is_sorted());
}

#[test]
fn threads_compile_at_the_same_time() {
    let Some(nvrtc) = compiler() else { return };
    let arch = archs(nvrtc)[0];
    let alone: Vec<_> = (1..5).map(|n| compile(&probe(n * 16), arch, false).unwrap().cubin).collect();
    std::thread::scope(|scope| {
        for (n, expected) in (1..).zip(&alone) {
            scope.spawn(move || assert!(compile(&probe(n * 16), arch, false).unwrap().cubin == *expected));
        }
    });
}

/// Runs this very program again, with other surroundings.
fn again(test: &str, set: &[(&str, &Path)]) -> (bool, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([&format!("host::{test}"), "--exact", "--nocapture", "--include-ignored", "--test-threads=1"]);
    for name in ["CI", "RNNSTEP_NVRTC", "CUDA_PATH", "CUDA_HOME", "VIRTUAL_ENV", "CONDA_PREFIX", "LD_LIBRARY_PATH"] {
        command.env_remove(name);
    }
    command.envs(set.iter().copied());
    let output = command.output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// Says which NVRTC is found. Ignored by itself: the next test runs it.
#[test]
#[ignore = "a part of the_library_is_found_where_it_lies"]
fn which() {
    eprintln!("which: {}", nvrtc().map_or_else(|error| error.to_string(), ToString::to_string));
    if let Ok(nvrtc) = nvrtc() {
        compile(&probe(16), archs(nvrtc)[0], false).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn the_library_is_found_where_it_lies() {
    let Some(nvrtc) = compiler() else { return };
    let real = fs::canonicalize(nvrtc.path()).unwrap();
    let beside = real.parent().unwrap();
    let root = tempfile::tempdir().unwrap();
    let name = real.file_name().unwrap();
    // links to the library and its second half, where each kind of installation has them
    let install = |folder: &str| {
        let folder = root.path().join(folder);
        fs::create_dir_all(&folder).unwrap();
        for file in fs::read_dir(beside).unwrap().map(|entry| entry.unwrap().path()) {
            if file.file_name().unwrap().to_string_lossy().starts_with("libnvrtc") {
                std::os::unix::fs::symlink(&file, folder.join(file.file_name().unwrap())).unwrap();
            }
        }
        folder.join(name)
    };
    let wheel = install("venv/lib/python3.11/site-packages/nvidia/cu13/lib");
    let toolkit = install("toolkit/lib64");
    let conda = install("conda/targets/x86_64-linux/lib");
    let at = |name: &str| root.path().join(name);
    let cases: [(&[(&str, &Path)], &Path); 6] = [
        (&[("RNNSTEP_NVRTC", &wheel), ("CUDA_PATH", &at("toolkit"))], &wheel),
        (&[("RNNSTEP_NVRTC", &at("venv")), ("CUDA_PATH", &at("toolkit"))], &wheel),
        (&[("RNNSTEP_NVRTC", toolkit.parent().unwrap()), ("VIRTUAL_ENV", &at("venv"))], &toolkit),
        (&[("CUDA_HOME", &at("toolkit")), ("VIRTUAL_ENV", &at("venv"))], &toolkit),
        (&[("VIRTUAL_ENV", &at("venv"))], &wheel),
        (&[("CONDA_PREFIX", &at("conda"))], &conda),
    ];
    let (_, found) = again("which", &[]);
    let by_the_system = !found.contains("which: no NVRTC");
    for (set, expected) in cases {
        if by_the_system && set[0].0 != "RNNSTEP_NVRTC" {
            eprintln!("not tested: the system itself finds one, before {}", set[0].0);
            continue;
        }
        let (passed, text) = again("which", set);
        assert!(passed && text.contains(&format!("({})", expected.display())), "{set:?}: {text}");
    }
    // by the system: a bare name, and it is said where it was
    let (passed, text) = again("which", &[("LD_LIBRARY_PATH", toolkit.parent().unwrap())]);
    assert!(passed && text.contains(&*name.to_string_lossy()) && text.contains("(/"), "{text}");
    // what was chosen and is not there: nothing else is taken
    let (_, text) = again("which", &[("RNNSTEP_NVRTC", &at("nowhere")), ("CUDA_HOME", &at("toolkit"))]);
    assert!(text.contains("which: RNNSTEP_NVRTC: ") && text.contains("nowhere"), "{text}");
    // one without its second half does not compile, and says what is missing
    let bare = at("bare");
    fs::create_dir(&bare).unwrap();
    fs::copy(&real, bare.join(name)).unwrap();
    let (passed, text) = again("which", &[("RNNSTEP_NVRTC", &bare)]);
    assert!(passed || text.contains("libnvrtc-builtins"), "{text}");
}

/// Names of the entries in a cache.
fn entries(folder: &Path) -> BTreeSet<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn key(n: usize, nvrtc: &Nvrtc) -> Key {
    Key::new(&probe(n), Arch::new(8, 0), nvrtc)
}

#[test]
fn an_image_is_compiled_once() {
    let Some(nvrtc) = compiler() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (cache, arch) = (Cache::at(folder.path().join("a/b"), 1 << 20), archs(nvrtc)[0]);
    let (image, hit) = cache.image(&probe(64), arch).unwrap();
    assert!(!hit);
    assert_eq!(cache.image(&probe(64), arch).unwrap(), (image.clone(), true));
    assert!(!cache.image(&probe(32), arch).unwrap().1);
    for other in &archs(nvrtc)[1..] {
        assert!(!cache.image(&probe(64), *other).unwrap().1);
    }
    // none at all
    let off = Cache::new(false);
    assert_eq!(off.folder(), None);
    for _ in 0..2 {
        assert_eq!(off.image(&probe(64), arch).unwrap(), (image.clone(), false));
    }
    // a program that does not compile leaves nothing
    let before = entries(cache.folder().unwrap());
    assert!(cache.image(&Program::from_text("a.cu", "nonsense"), arch).is_err());
    assert_eq!(entries(cache.folder().unwrap()), before);
}

#[test]
fn a_damaged_entry_is_never_taken() {
    let Some(nvrtc) = compiler() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (cache, key) = (Cache::at(folder.path(), 1 << 20), key(1, nvrtc));
    let image: Vec<u8> = (0..200_u8).collect();
    cache.put(&key, &image);
    let path = entries(folder.path()).pop_first().unwrap();
    let whole = fs::read(&path).unwrap();
    assert_eq!(cache.get(&key).as_ref(), Some(&image));
    let mut bad: Vec<Vec<u8>> = (0..whole.len()).map(|len| whole[..len].to_vec()).collect();
    bad.extend((0..whole.len()).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    }));
    bad.push([&whole[..], b"more"].concat());
    for bytes in bad {
        fs::write(&path, &bytes).unwrap();
        assert_eq!(cache.get(&key), None, "{} bytes", bytes.len());
        assert!(!path.exists(), "a bad entry stays");
    }
    // an entry of another program under this name
    let other = Key::new(&probe(2), Arch::new(8, 0), nvrtc);
    cache.put(&other, &image);
    fs::rename(entries(folder.path()).pop_first().unwrap(), &path).unwrap();
    assert_eq!(cache.get(&key), None);
    // and all is well again
    cache.put(&key, &image);
    assert_eq!(cache.get(&key), Some(image));
    cache.remove(&key);
    assert_eq!(cache.get(&key), None);
}

#[test]
fn who_was_used_least_recently_leaves() {
    let Some(nvrtc) = compiler() else { return };
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path(), 4000);
    let (foreign, left) = (folder.path().join("notes.txt"), folder.path().join(".rnnstep-x.tmp"));
    fs::write(&foreign, [0; 9000]).unwrap();
    let mut paths = Vec::new();
    for n in 0..3 {
        let before = entries(folder.path());
        cache.put(&key(n, nvrtc), &[n as u8; 1000]);
        let path = entries(folder.path()).difference(&before).next().unwrap().clone();
        let long_ago = SystemTime::now() - Duration::from_secs(1000 - n as u64);
        fs::File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
        paths.push(path);
    }
    fs::write(&left, "").unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(100_000);
    fs::File::options().write(true).open(&left).unwrap().set_modified(long_ago).unwrap();
    // the oldest is used, so the second goes
    assert!(cache.get(&key(0, nvrtc)).is_some());
    cache.put(&key(3, nvrtc), &[3; 1000]);
    assert_eq!(paths.iter().map(|path| path.exists()).collect::<Vec<_>>(), [true, false, true]);
    assert!(cache.get(&key(3, nvrtc)).is_some());
    assert!(foreign.exists() && !left.exists());
    // what can never fit is not written, and nobody leaves for it
    cache.put(&key(4, nvrtc), &[4; 5000]);
    assert!(cache.get(&key(4, nvrtc)).is_none() && cache.get(&key(0, nvrtc)).is_some());
}

#[test]
fn a_folder_that_cannot_be_written_to_is_no_error() {
    let Some(nvrtc) = compiler() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let cache = Cache::at(file.join("below"), 1 << 20);
    for _ in 0..2 {
        assert!(!cache.image(&probe(64), archs(nvrtc)[0]).unwrap().1);
    }
    // a folder where the entry should be
    let cache = Cache::at(folder.path(), 1 << 20);
    cache.put(&key(1, nvrtc), b"image");
    let path = entries(folder.path()).into_iter().find(|path| *path != file).unwrap();
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    cache.put(&key(1, nvrtc), b"image");
    assert_eq!(cache.get(&key(1, nvrtc)), None);
}

/// One of the processes of the next test.
#[test]
#[ignore = "a part of many_write_the_same_cache"]
fn writer() {
    let folder = PathBuf::from(std::env::var_os("RNNSTEP_CACHE").unwrap());
    let cache = Cache::new(true);
    assert_eq!(cache.folder(), Some(&*folder));
    hammer(&Cache::at(folder, 40_000));
}

/// Writes and reads images that do not all fit; whatever is found must be whole and the right one.
fn hammer(cache: &Cache) {
    let nvrtc = nvrtc().unwrap();
    for round in 0..40 {
        let n = round % 8;
        if let Some(found) = cache.get(&key(n, nvrtc)) {
            assert_eq!(found, vec![n as u8; 8000]);
        }
        cache.put(&key(n, nvrtc), &vec![n as u8; 8000]);
    }
}

#[test]
fn many_write_the_same_cache() {
    if compiler().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let library = nvrtc().unwrap().path();
    std::thread::scope(|scope| {
        let processes: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| again("writer", &[("RNNSTEP_CACHE", folder.path()), ("RNNSTEP_NVRTC", library)])))
            .collect();
        for _ in 0..3 {
            scope.spawn(|| hammer(&Cache::at(folder.path(), 40_000)));
        }
        for process in processes {
            let (passed, text) = process.join().unwrap();
            assert!(passed && text.contains("1 passed"), "{text}");
        }
    });
    let sizes = entries(folder.path()).into_iter().map(|path| {
        assert!(path.extension().is_some_and(|ending| ending == "image"), "{} was left", path.display());
        fs::metadata(path).unwrap().len()
    });
    let total: u64 = sizes.sum();
    assert!((8000..=40_000).contains(&total), "{total} bytes");
}

/// A bundle with images for these architectures, saved.
fn bundle(path: &Path, archs: &[&str]) -> Bundle {
    let mut bundle = Bundle::new("lstm 1-32-1");
    for arch in archs {
        for n in [16, 32] {
            bundle.insert(&probe(n), arch.parse().unwrap(), format!("{arch} {n}").into_bytes());
        }
    }
    bundle.save(path).unwrap();
    bundle
}

#[test]
fn a_bundle_gives_back_what_was_put_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kernels");
    let made = bundle(&path, &["sm_80", "sm_86", "sm_87", "sm_120"]);
    let read = Bundle::load(&path, "lstm 1-32-1").unwrap();
    let archs: Vec<Arch> = ["80", "86", "87", "120"].map(|arch| arch.parse().unwrap()).to_vec();
    assert_eq!((read.archs(), read.len(), made.len()), (archs, 8, 8));
    let find = |card: &str, integrated| read.find(&probe(32), card.parse().unwrap(), integrated).map(<[u8]>::to_vec);
    assert_eq!(find("86", false).unwrap(), b"sm_86 32");
    assert_eq!(find("8.7", true).unwrap(), b"sm_87 32");
    // the nearest below, of the same generation, and never a Jetson's
    assert_eq!(find("89", false).unwrap(), b"sm_86 32");
    assert_eq!(find("121", false).unwrap(), b"sm_120 32");
    assert_eq!(read.find(&probe(16), Arch::new(8, 0), false).unwrap(), b"sm_80 16");
    for (card, integrated) in [("90", false), ("75", false), ("72", true), ("121", true)] {
        let text = one_line(&find(card, integrated).unwrap_err());
        assert!(text.starts_with(&path.display().to_string()), "{text}");
        assert!(text.contains("has kernels for sm_80, sm_86, sm_87, sm_120, and this GPU is sm_"), "{text}");
    }
    let text = one_line(&read.find(&probe(64), Arch::new(8, 6), false).unwrap_err());
    assert!(text.contains("probe.cu (N=64)") && text.contains("compile the bundle again"), "{text}");
}

#[test]
fn a_bundle_that_is_none_or_not_ours_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kernels");
    bundle(&path, &["sm_90"]);
    let whole = fs::read(&path).unwrap();
    let refuse = |shape: &str| one_line(&Bundle::load(&path, shape).unwrap_err());
    assert!(refuse("lstm 1-64-1").contains("for another model"));
    for len in 0..whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        let text = refuse("lstm 1-32-1");
        assert!(text.contains("is not a bundle") || text.contains("is a damaged bundle"), "{text}");
    }
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        if let Ok(read) = Bundle::load(&path, "lstm 1-32-1") {
            // in the header, a change that means nothing
            assert_eq!(read.find(&probe(32), Arch::new(9, 0), false).unwrap(), b"sm_90 32", "byte {at}");
        }
    }
    let mut other = whole.clone();
    let format = b"rnnstep-bundle-1";
    let at = other.windows(format.len()).position(|bytes| bytes == format).unwrap() + format.len() - 1;
    other[at] = b'2';
    fs::write(&path, other).unwrap();
    assert!(refuse("lstm 1-32-1").contains("another version of rnnstep"));
    let text = one_line(&Bundle::load(folder.path(), "").unwrap_err());
    assert!(text.contains("is not a file"), "{text}");
    one_line(&Bundle::load(&folder.path().join("missing"), "").unwrap_err());
    Bundle::new("").save(&path).unwrap();
    let empty = Bundle::load(&path, "").unwrap();
    assert!(
        empty.is_empty() && one_line(&empty.find(&probe(1), Arch::new(9, 0), false).unwrap_err()).contains("empty")
    );
}
