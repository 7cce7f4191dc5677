//! Nothing runs from where somebody else may write. Libraries whose start-up code leaves a mark are planted in every place
//! that is forbidden, and in those that are allowed: `rnnstep info` loads the latter and not one of the former. The same
//! for kernels that were compiled before: the cache and bundles.
#![cfg(all(feature = "cli", target_os = "linux"))]

use crate::emulator::{Emulator, Kind, user};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use tempfile::TempDir;

/// Writes the file that it was loaded from into the file that `PLANTED` names.
const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
__attribute__((constructor)) static void planted(void) {
    const char* mark = getenv("PLANTED");
    FILE* out = mark ? fopen(mark, "a") : 0;
    Dl_info info;
    if (out && dladdr((void*)planted, &info)) fprintf(out, "%s\n", info.dli_fname);
    if (out) fclose(out);
}
"#;
/// Somebody who is neither root nor whoever runs the tests.
const OTHER: u32 = 54321;
const NVRTC: [&str; 4] = ["libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2"];
const DRIVER: [&str; 2] = ["libcuda.so.1", "libcuda.so"];
const SECOND_HALF: &str = "libnvrtc-builtins.so.12.9";
const WHEEL: &str = "lib/python3.11/site-packages/nvidia/cuda_nvrtc/lib";
const VARIABLES: [&str; 5] = ["CUDA_PATH", "CUDA_HOME", "VIRTUAL_ENV", "CONDA_PREFIX", "RNNSTEP_NVRTC"];

/// The library; None without a C compiler, which is said, and under `CI` a failure.
fn library() -> Option<&'static [u8]> {
    static MADE: OnceLock<Result<Vec<u8>, String>> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let (source, library) = (folder.path().join("planted.c"), folder.path().join("planted.so"));
        fs::write(&source, SOURCE).unwrap();
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
        let output = cc.output().map_err(|error| format!("cc: {error}"))?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(fs::read(library).unwrap())
    });
    match made {
        Ok(bytes) => Some(bytes),
        Err(why) if std::env::var_os("CI").is_some() => panic!("no library to plant: {why}"),
        Err(why) => {
            eprintln!("SKIPPED, no library to plant: {why}");
            None
        }
    }
}

/// A folder that only its owner may write to, with one to work in.
struct Ground {
    root: TempDir,
}

impl Ground {
    fn new() -> Self {
        let ground = Self { root: tempfile::tempdir().unwrap() };
        fs::create_dir(ground.at("work")).unwrap();
        ground
    }

    fn at(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Plants libraries of these names in a folder.
    fn plant(&self, folder: &str, names: &[&str]) {
        let folder = self.at(folder);
        fs::create_dir_all(&folder).unwrap();
        for name in names {
            fs::write(folder.join(name), library().unwrap()).unwrap();
            mode(&folder.join(name), 0o755);
        }
    }

    /// Plants NVRTC with its second half, and the driver.
    fn plant_all(&self, folder: &str) {
        self.plant(folder, &NVRTC);
        self.plant(folder, &[SECOND_HALF]);
        self.plant(folder, &DRIVER);
    }

    /// A folder that is a toolkit, a virtual environment and a place on the loader's path at once.
    fn plant_tree(&self, folder: &str) {
        for below in ["", "lib64", WHEEL] {
            self.plant_all(&format!("{folder}/{below}"));
        }
    }

    fn command(&self, folder: &str, set: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rnnstep"));
        for name in VARIABLES.iter().chain(&["LD_LIBRARY_PATH", "LD_PRELOAD"]) {
            command.env_remove(name);
        }
        command.current_dir(self.at(folder)).env("PLANTED", self.at("mark")).env("RNNSTEP_CACHE", self.at("cache"));
        command.envs(set.iter().copied());
        command
    }

    /// What `info` prints in this folder with these variables, and the libraries whose start-up code ran.
    fn info(&self, folder: &str, set: &[(&str, &str)]) -> (String, Vec<PathBuf>) {
        let _ = fs::remove_file(self.at("mark"));
        let output = self.command(folder, set).arg("info").output().unwrap();
        assert!(output.status.success(), "{set:?}: {}", String::from_utf8_lossy(&output.stderr));
        let ran = fs::read_to_string(self.at("mark")).unwrap_or_default();
        (String::from_utf8(output.stdout).unwrap(), ran.lines().map(PathBuf::from).collect())
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Whether files can be given to somebody else; says so if not.
fn is_root() -> bool {
    let root = user() == 0;
    if !root {
        eprintln!("SKIPPED, files of another user: only root can make some, and these tests run as {}", user());
    }
    root
}

/// What went wrong, all of it at once.
#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    /// Nothing ran, and the answer has these words.
    fn if_ran(&mut self, what: &str, (said, ran): (String, Vec<PathBuf>), words: &[&str]) {
        if !ran.is_empty() {
            self.0.push(format!("{what}: start-up code ran: {ran:?}"));
        } else if let Some(word) = words.iter().find(|word| !said.contains(*word)) {
            self.0.push(format!("{what}: {word:?} is not said: {said}"));
        }
    }

    fn panic_if_any(self) {
        assert!(self.0.is_empty(), "{} places:\n{}", self.0.len(), self.0.join("\n"));
    }
}

#[test]
fn what_is_in_an_allowed_place_runs() {
    let Some(_) = library() else { return };
    let ground = Ground::new();
    ground.plant("toolkit/lib64", &["libnvrtc.so.12", SECOND_HALF]);
    ground.plant(&format!("venv/{WHEEL}"), &["libnvrtc.so.12", SECOND_HALF]);
    ground.plant("driver", &["libcuda.so.1"]);
    symlink(ground.at("toolkit"), ground.at("link")).unwrap();
    let at = |name: &str| ground.at(name).to_str().unwrap().to_string();
    let compilers = [
        ("RNNSTEP_NVRTC", at("toolkit"), "toolkit/lib64"),
        ("RNNSTEP_NVRTC", at("toolkit/lib64/libnvrtc.so.12"), "toolkit/lib64"),
        ("RNNSTEP_NVRTC", at("venv"), &format!("venv/{WHEEL}")),
        ("LD_LIBRARY_PATH", at("toolkit/lib64"), "toolkit/lib64"),
        // the empty entry is passed over, and what is behind it is not
        ("LD_LIBRARY_PATH", format!(":{}", at("toolkit/lib64")), "toolkit/lib64"),
        ("CUDA_PATH", at("toolkit"), "toolkit/lib64"),
        ("CUDA_HOME", at("link"), "link/lib64"),
        ("VIRTUAL_ENV", at("venv"), &format!("venv/{WHEEL}")),
        ("CONDA_PREFIX", at("venv"), &format!("venv/{WHEEL}")),
    ];
    let by_itself = ground.info("work", &[]).0;
    for (variable, value, folder) in compilers {
        if !["RNNSTEP_NVRTC", "LD_LIBRARY_PATH"].contains(&variable) && by_itself.contains("\nnvrtc     NVRTC ") {
            eprintln!("not tested: the system itself finds NVRTC, before {variable}");
            continue;
        }
        let (said, ran) = ground.info("work", &[(variable, &value)]);
        let expected = [SECOND_HALF, "libnvrtc.so.12"].map(|name| ground.at(folder).join(name));
        assert_eq!(ran, expected, "{variable}={value}: {said}");
        assert!(!said.contains("\nrefused   /"), "{variable}={value}: {said}");
    }
    let (said, ran) = ground.info("work", &[("LD_LIBRARY_PATH", &at("driver"))]);
    assert_eq!(ran, [ground.at("driver/libcuda.so.1")], "{said}");
    // somebody's own folder in /tmp is one of these: `ground` is there, or should be
    let (said, ran) = ground.info("work", &[("LD_LIBRARY_PATH", &format!(".:{}", at("driver")))]);
    assert_eq!(ran, [ground.at("driver/libcuda.so.1")], "{said}");
    assert!(said.contains("\nrefused   LD_LIBRARY_PATH has an empty entry"), "{said}");
}

#[test]
fn the_working_directory_and_those_above_it() {
    let Some(_) = library() else { return };
    let ground = Ground::new();
    let mut wrong = Wrong::default();
    ground.plant_tree("work");
    ground.plant_tree("work/.venv");
    ground.plant_tree("work/tree");
    fs::create_dir_all(ground.at("work/below/this")).unwrap();
    for folder in ["work", "work/.venv", "work/below", "work/below/this"] {
        wrong.if_ran(&format!("nothing set, in {folder}"), ground.info(folder, &[]), &[]);
    }
    for path in
        ["", ":", "::", ":/nowhere", "/nowhere:", ".", "./", "..", "tree", "tree:/nowhere", "/nowhere:tree/lib64"]
    {
        for folder in ["work", "work/tree"] {
            let words: &[&str] =
                if path.is_empty() { &[] } else { &["\nrefused   LD_LIBRARY_PATH has ", "remove that entry"] };
            let answer = ground.info(folder, &[("LD_LIBRARY_PATH", path)]);
            wrong.if_ran(&format!("LD_LIBRARY_PATH={path}, in {folder}"), answer, words);
        }
    }
    for variable in VARIABLES {
        for value in [".", "./", "tree", "./tree", "../work/tree", ".venv", "libnvrtc.so.12", "tree/libnvrtc.so.12"] {
            let words = [&format!("{variable} is "), "give an absolute path"];
            wrong.if_ran(&format!("{variable}={value}"), ground.info("work", &[(variable, value)]), &words);
        }
    }
    // absolute, and yet the working directory; and names that the loader, but nobody else, reads as other ones
    for other in ["haswell", "xeon_phi", "x86_64"] {
        ground.plant_tree(other);
        mode(&ground.at(other), 0o777);
    }
    ground.plant_tree("$PLATFORM");
    ground.plant_tree("work/$ORIGIN");
    for variable in VARIABLES {
        for value in ["/proc/self/cwd/tree", "/proc/self/cwd/tree/lib64/libnvrtc.so.12", "/proc/thread-self/cwd/tree"] {
            let answer = ground.info("work", &[(variable, value)]);
            wrong.if_ran(&format!("{variable}={value}"), answer, &[]);
        }
        for name in ["$PLATFORM", "work/$ORIGIN"] {
            let value = ground.at(name);
            let answer = ground.info("work", &[(variable, value.to_str().unwrap())]);
            wrong.if_ran(&format!("{variable}={}", value.display()), answer, &[]);
        }
    }
    let answer = ground.info("work", &[("LD_LIBRARY_PATH", "/proc/self/cwd/tree/lib64")]);
    wrong.if_ran("LD_LIBRARY_PATH through /proc", answer, &[]);
    // what NVRTC would have the system look for: its second half is nowhere but here
    ground.plant("toolkit/lib64", &["libnvrtc.so.12"]);
    let toolkit = ground.at("toolkit");
    for path in [":", "tree"] {
        let set = [("RNNSTEP_NVRTC", toolkit.to_str().unwrap()), ("LD_LIBRARY_PATH", path)];
        let answer = ground.info("work", &set);
        wrong.if_ran("no second half", answer, &["has no libnvrtc-builtins.so next to it", "LD_LIBRARY_PATH"]);
    }
    wrong.panic_if_any();
}

/// What makes a place one where others may write.
type Spoil = (&'static str, fn(&Ground), &'static str);

fn spoilt() -> Vec<Spoil> {
    let mut spoilt: Vec<Spoil> = vec![
        ("the tree, by all", |ground| mode(&ground.at("tree"), 0o777), "by everybody (mode 777); chmod go-w "),
        ("the folder, by all", |ground| mode(&ground.at("tree/lib64"), 0o777), "by everybody (mode 777); chmod go-w "),
        (
            "files, by all",
            |ground| {
                for name in NVRTC.iter().chain(&DRIVER) {
                    mode(&ground.at("tree/lib64").join(name), 0o666);
                }
            },
            "by everybody (mode 666); chmod go-w ",
        ),
        ("a sticky folder", |ground| mode(&ground.at("tree/lib64"), 0o1777), "use a folder of your own below it"),
        (
            "a file that is a link to a folder of all",
            |ground| {
                ground.plant_all("open");
                for name in NVRTC.iter().chain(&DRIVER) {
                    fs::remove_file(ground.at("tree/lib64").join(name)).unwrap();
                    symlink(ground.at("open").join(name), ground.at("tree/lib64").join(name)).unwrap();
                }
                mode(&ground.at("open"), 0o777);
            },
            "/open may be written to by everybody",
        ),
        (
            "a folder that is a link through a folder of all",
            |ground| {
                fs::rename(ground.at("tree/lib64"), ground.at("safe")).unwrap();
                fs::create_dir(ground.at("open")).unwrap();
                symlink("../safe", ground.at("open/there")).unwrap();
                symlink("../open/there", ground.at("tree/lib64")).unwrap();
                mode(&ground.at("open"), 0o777);
            },
            "/open may be written to by everybody",
        ),
    ];
    if is_root() {
        let more: [Spoil; 5] = [
            // any other user may have a group of its own
            ("the folder, by its group", |ground| mode(&ground.at("tree/lib64"), 0o775), "by its group (mode 775)"),
            (
                "the tree, of another",
                |ground| chown(ground.at("tree"), Some(OTHER), None).unwrap(),
                "belongs to user 54321, not to root",
            ),
            (
                "the folder, of another",
                |ground| chown(ground.at("tree/lib64"), Some(OTHER), None).unwrap(),
                "belongs to user 54321",
            ),
            (
                "files, of another",
                |ground| {
                    for name in NVRTC.iter().chain(&DRIVER) {
                        chown(ground.at("tree/lib64").join(name), Some(OTHER), None).unwrap();
                    }
                },
                "belongs to user 54321",
            ),
            (
                "links of another in a sticky folder",
                |ground| {
                    fs::rename(ground.at("tree/lib64"), ground.at("safe")).unwrap();
                    fs::create_dir(ground.at("sticky")).unwrap();
                    mode(&ground.at("sticky"), 0o1777);
                    symlink(ground.at("safe"), ground.at("sticky/link")).unwrap();
                    std::os::unix::fs::lchown(ground.at("sticky/link"), Some(OTHER), None).unwrap();
                    symlink(ground.at("sticky/link"), ground.at("tree/lib64")).unwrap();
                },
                "/sticky/link belongs to user 54321",
            ),
        ];
        spoilt.extend(more);
    }
    spoilt
}

#[test]
fn where_others_may_write() {
    let Some(_) = library() else { return };
    let mut wrong = Wrong::default();
    let mut tried = 0;
    for (what, spoil, words) in spoilt() {
        let ground = Ground::new();
        ground.plant_all("tree/lib64");
        spoil(&ground);
        let at = |name: &str| ground.at(name).to_str().unwrap().to_string();
        let mut sets = vec![("LD_LIBRARY_PATH", at("tree/lib64")), ("RNNSTEP_NVRTC", at("tree/lib64/libnvrtc.so"))];
        sets.extend(VARIABLES.map(|variable| (variable, at("tree"))));
        for (variable, value) in sets {
            let answer = ground.info("work", &[(variable, &value)]);
            if variable.starts_with("LD_") {
                let driver = answer.0.lines().find(|line| line.contains("libcuda.so.1 is not opened: "));
                if !driver.is_some_and(|line| line.starts_with("refused   ") && line.contains(words)) {
                    wrong.0.push(format!("{what}: the driver's file is not refused: {}", answer.0));
                }
            }
            wrong.if_ran(&format!("{what}, {variable}"), answer, &[words, "libnvrtc.so"]);
            tried += 1;
        }
    }
    assert!(tried >= 42, "{tried}");
    wrong.panic_if_any();
}

/// NVRTC loads it by itself, so that it is looked at first.
#[test]
fn a_second_half_that_others_may_write() {
    let Some(_) = library() else { return };
    let mut wrong = Wrong::default();
    for linked in [false, true] {
        let ground = Ground::new();
        ground.plant("tree/lib64", &["libnvrtc.so.12", SECOND_HALF]);
        let half = ground.at("tree/lib64").join(SECOND_HALF);
        if linked {
            ground.plant("open", &[SECOND_HALF]);
            mode(&ground.at("open"), 0o777);
            fs::remove_file(&half).unwrap();
            symlink(ground.at("open").join(SECOND_HALF), &half).unwrap();
        } else {
            mode(&half, 0o757);
        }
        let tree = ground.at("tree");
        for variable in VARIABLES {
            let answer = ground.info("work", &[(variable, tree.to_str().unwrap())]);
            wrong.if_ran(&format!("{variable}, {linked}"), answer, &["its second library ", "chmod go-w "]);
        }
    }
    wrong.panic_if_any();
}

/// `info` names what was loaded, and a driver that was found and not opened is news to `--device auto`.
#[test]
fn what_is_loaded_is_said() {
    let Some(emulator) = Emulator::new(Kind::Plain) else { return };
    let ground = Ground::new();
    let run = |emulator: &Emulator, words: &str| -> Output {
        let mut command = emulator.command(env!("CARGO_BIN_EXE_rnnstep"));
        command.current_dir(ground.at("work")).env("RNNSTEP_CACHE", ground.at("cache")).env_remove("RNNSTEP_NVRTC");
        command.args(words.split(' ')).output().unwrap()
    };
    let said = String::from_utf8(run(&emulator, "info").stdout).unwrap();
    let folder = emulator.folder().display();
    assert!(said.contains(&format!("\ndriver    {folder}/libcuda.so.1\n")), "{said}");
    assert!(said.contains(&format!("\nnvrtc     NVRTC 12.9 ({folder}/libnvrtc.so)\n")), "{said}");
    let cache = ground.at("cache");
    assert!(said.contains(&format!("\ncache     {}, created when the first ", cache.display())), "{said}");
    fs::write(ground.at("work/x.csv"), "v\n0.1\n0.2\n0.3\n").unwrap();
    assert!(run(&emulator, "train --steps 2 --no-plot --device cpu --out m.safetensors").status.success());
    assert!(run(&emulator, "predict m.safetensors x.csv --device cuda").status.success());
    let said = String::from_utf8(run(&emulator, "info").stdout).unwrap();
    assert!(said.contains(&format!("\ncache     {}, in use\n", cache.display())), "{said}");
    // the same library where others may write
    fs::create_dir(ground.at("open")).unwrap();
    fs::copy(emulator.folder().join("libcuda.so.1"), ground.at("open/libcuda.so.1")).unwrap();
    mode(&ground.at("open"), 0o777);
    for (device, code) in [("auto", 0), ("cuda", 1)] {
        let mut command = ground.command("work", &[("LD_LIBRARY_PATH", ground.at("open").to_str().unwrap())]);
        let output = command.args(["predict", "m.safetensors", "x.csv", "--device", device]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        if output.status.code() != Some(code) && code == 1 {
            eprintln!("not tested: the system itself has a driver");
            continue;
        }
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.lines().any(|line| line.contains("chmod go-w ") && line.contains("/open")), "{device}: {said}");
    }
}

/// A bundle and the cache: images that would run on the card.
#[test]
fn kernels_that_others_may_write() {
    let Some(emulator) = Emulator::new(Kind::Plain) else { return };
    let ground = Ground::new();
    let run = |set: &[(&str, &Path)], line: &str| -> Output {
        // whatever the umask: what is made here is used here
        let mut command = emulator.command("sh");
        command.args(["-c", "umask 000; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_rnnstep")]).args(line.split(' '));
        command.current_dir(ground.at("work")).env_remove("RNNSTEP_NVRTC").envs(set.iter().copied());
        command.output().unwrap()
    };
    let bits = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let entries = |path: &Path| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let cache = ground.at("cache");
    let set: &[(&str, &Path)] = &[("RNNSTEP_CACHE", &cache)];
    fs::write(ground.at("work/x.csv"), "v\n0.1\n0.2\n0.3\n").unwrap();
    for line in [
        "train --steps 2 --no-plot --device cpu --out m.safetensors",
        "compile m.safetensors --arch sm_80 --out m.bundle",
        "predict m.safetensors x.csv --device cuda --bundle m.bundle",
        "predict m.safetensors x.csv --device cuda",
    ] {
        let output = run(set, line);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(bits(&ground.at("work/m.bundle")), 0o644);
    assert_eq!(bits(&cache), 0o700);
    assert!(!entries(&cache).is_empty() && entries(&cache).iter().all(|path| bits(path) == 0o600));
    mode(&ground.at("work/m.bundle"), 0o666);
    let output = run(set, "predict m.safetensors x.csv --device cuda --bundle m.bundle");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{said}");
    assert!(said.starts_with("error: m.bundle: is not read, because kernels are code: ") && said.lines().count() == 1);
    assert!(said.trim_end().ends_with("work/m.bundle"), "{said}");
    // what is not used is not filled either, and all goes on without it
    fs::remove_dir_all(&cache).unwrap();
    fs::create_dir(&cache).unwrap();
    mode(&cache, 0o777);
    assert!(run(set, "predict m.safetensors x.csv --device cuda").status.success());
    assert!(entries(&cache).is_empty());
    let said = String::from_utf8(run(set, "info").stdout).unwrap();
    assert!(said.contains(", not used: ") && said.contains("chmod go-w "), "{said}");
    // nothing is made in the working directory
    fs::create_dir(ground.at("home")).unwrap();
    let before = entries(&ground.at("work")).len();
    let (home, here) = (ground.at("home"), Path::new("here"));
    let none = Path::new("");
    let sets: [(&[(&str, &Path)], &str); 3] = [
        (&[("RNNSTEP_CACHE", here)], "\ncache     none, not used: RNNSTEP_CACHE is here, which "),
        (&[("RNNSTEP_CACHE", none), ("XDG_CACHE_HOME", here), ("HOME", &home)], "home/.cache/rnnstep, "),
        (&[("RNNSTEP_CACHE", none), ("XDG_CACHE_HOME", none), ("HOME", here)], "\ncache     "),
    ];
    for (set, words) in sets {
        let output = run(set, "predict m.safetensors x.csv --device cuda");
        assert!(output.status.success(), "{set:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(entries(&ground.at("work")).len(), before, "{set:?}");
        let said = String::from_utf8(run(set, "info").stdout).unwrap();
        assert!(said.contains(words), "{set:?}: {said}");
    }
}
