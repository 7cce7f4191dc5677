//! The rules of the source tree: rooms import downward only, `unsafe` stands only where it is
//! allowed, no file is too long, and no path of somebody's machine is written down.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The rooms of the library from the ground up. A room may import from the floors below its own, and from itself.
const FLOORS: &[&[&str]] = &[
    &["error", "memory", "random"],
    &["io", "simd"],
    &["cell", "objective", "plot", "tensor"],
    &["data", "units"],
    &["net"],
    &["cpu", "cuda"], // never import each other
    &["device"],
    &["model"],
    &["learner", "measure", "series"],
    &["train"],
    &["evaluate"],
];

/// Files and folders that may contain `unsafe`: instruction sets, the trait they implement, the GPU, the program's allocator,
/// and one question to the system about signals.
const UNSAFE: &[&str] = &["src/cpu/", "src/cuda/", "src/simd/", "src/cli/memory.rs", "src/cli/signals/unix.rs"];

/// Libraries of others that only one place may name, so that one place knows how they fail.
const NAMED_IN: &[(&str, &str)] = &[("cudarc", "src/cuda/driver/mod.rs"), ("libloading", "src/cuda/library/")];

/// The most lines of a source file.
const LINES: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file under `folder` that a person wrote, as (path from the root of the repository, text). A folder that is
/// not there, as in the published package, has none.
fn files(folder: &str, extensions: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            let name = path.file_name().unwrap().to_string_lossy();
            let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
            if path.is_dir() && !["target", "corpus", "artifacts", "seeds"].contains(&name.as_ref()) {
                folders.push(path);
            } else if path.is_file() && extensions.contains(&extension) {
                let relative = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
                found.push((relative, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found
}

/// The library's own files, less the command line, which is a crate of its own and sees only what is public.
fn library() -> Vec<(String, String)> {
    let files = files("src", &["rs"]);
    files.into_iter().filter(|(path, _)| path != "src/main.rs" && !path.starts_with("src/cli/")).collect()
}

/// The text without comments: documentation may name what code may not. A `//` inside a string ends a line too early,
/// which hides nothing that matters here.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The first names of the paths that follow `prefix` in `code`: of `crate::a::b` it is `a`, of `crate::{a, b::c}`
/// they are `a` and `b`.
fn imported(code: &str, prefix: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        if code[..at].ends_with(|c: char| is_word(c) || c == ':' || c == '$') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        let word = |text: &str| text.trim_start().chars().take_while(|&c| is_word(c)).collect::<String>();
        let Some(list) = rest.strip_prefix('{') else {
            names.push(word(rest));
            continue;
        };
        let (mut depth, mut start) = (0, 0);
        for (i, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                ',' | '}' if depth == 0 => {
                    names.push(word(&list[start..i]));
                    start = i + 1;
                    if c == '}' {
                        break;
                    }
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// What `lib.rs` re-exports at the top, and from which room: `Tensor` is `tensor`'s.
fn reexports() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let mut rooms = BTreeMap::new();
    for line in code(&text).split(';') {
        // an attribute may stand before it
        let Some((room, names)) = line.split_once("pub use ").and_then(|(_, path)| path.split_once("::")) else {
            continue;
        };
        for name in names.split(|c| !is_word(c)).filter(|name| !name.is_empty()) {
            rooms.insert(name.to_string(), room.to_string());
        }
    }
    rooms
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

#[test]
fn imports_run_downward() {
    let reexports = reexports();
    assert_eq!(reexports["Tensor"], "tensor", "how lib.rs is read no longer fits it");
    let mut edges = 0;
    for (path, text) in library().into_iter().filter(|(path, _)| path != "src/lib.rs") {
        let room = path["src/".len()..].split(['/', '.']).next().unwrap().to_string();
        let above =
            floor(&room).unwrap_or_else(|| panic!("{path}: give the room {room} a floor in tests/house/main.rs"));
        let code = code(&text);
        let mut imports = imported(&code, "crate::");
        let top = path.matches('/').count() == 1 || path.ends_with("/mod.rs") && path.matches('/').count() == 2;
        if top {
            // here `super` is the crate itself, but for the tests inside a file
            let outside_tests = code.split("#[cfg(test)]\nmod ").next().unwrap_or("");
            imports.extend(imported(outside_tests, "super::"));
        }
        for name in imports {
            let below = reexports.get(&name).unwrap_or(&name);
            if *below == room {
                continue;
            }
            let floor = floor(below).unwrap_or_else(|| panic!("{path}: imports {name}, which has no floor"));
            assert!(floor < above, "{path}: {room} is on floor {above} and may not import {below} from floor {floor}");
            edges += 1;
        }
    }
    assert!(edges > 50, "only {edges} imports were seen: how they are looked for no longer fits the code");
}

#[test]
fn imports_are_found() {
    let code =
        "use crate::a::{self, b};\nuse crate::{C, d::{e, f}, g};\nlet x = crate::h::i(); mycrate::no; $crate::no";
    assert_eq!(imported(code, "crate::"), ["a", "C", "d", "g", "h"]);
    assert_eq!(imported("use super::{b, c::d};", "super::"), ["b", "c"]);
}

/// `unsafe` code trusts the sizes of a shape, so each is checked where it is made: in its own file, and for networks of a
/// fixed size in constants.
#[test]
fn shapes_are_made_in_one_place() {
    const PLACES: [&str; 3] = ["src/net/shape.rs", "src/cpu/fixed.rs", "src/cpu/stepper.rs"];
    const SIZES: [&str; 7] = ["cell", "nonlinearity", "input", "hidden", "layers", "output", "bias"];
    let mut seen = 0;
    for (path, text) in library() {
        let code = code(&text);
        let made = code.match_indices("Shape {").filter(|(at, _)| {
            let path = code[..*at].trim_end_matches("crate::net::shape::");
            let before = path.trim_end_matches([' ', '&']);
            !path.ends_with(is_word)
                && !["->", "let", "impl", "struct", "for", "mod"].iter().any(|word| before.ends_with(word))
        });
        let changed = SIZES.iter().map(|size| code.matches(&format!("shape.{size} =")).count()).sum::<usize>()
            - SIZES.iter().map(|size| code.matches(&format!("shape.{size} ==")).count()).sum::<usize>();
        let made = made.count() + changed;
        assert!(
            made == 0 || PLACES.contains(&path.as_str()),
            "{path}: make a shape with Shape::new and its with_* functions"
        );
        seen += made;
    }
    assert!(seen > 1, "no shape was seen: how they are looked for no longer fits the code");
}

#[test]
fn unsafe_lives_where_it_is_allowed() {
    let mut seen = 0;
    let sources = ["src", "benches", "examples", "fuzz"].into_iter().flat_map(|folder| files(folder, &["rs"]));
    for (path, text) in sources {
        let found = code(&text).split(|c| !is_word(c)).any(|word| word == "unsafe");
        let allowed = UNSAFE.iter().any(|place| path.starts_with(place));
        assert!(!found || allowed, "{path}: unsafe may only be in {}", UNSAFE.join(" and "));
        seen += usize::from(found);
    }
    assert!(seen > 1, "no unsafe seen at all: how it is looked for no longer fits the code");
}

#[test]
fn some_libraries_are_named_in_one_place() {
    for (library, place) in NAMED_IN {
        let mut seen = 0;
        let sources =
            ["src", "benches", "examples", "tests", "fuzz"].into_iter().flat_map(|folder| files(folder, &["rs"]));
        // the emulated device is tested from outside, by the library that programs use
        let others = |path: &str| path != "tests/house/main.rs" && !path.starts_with("tests/cuda/emulator/");
        for (path, text) in sources.filter(|(path, _)| others(path)) {
            let found = code(&text).split(|c| !is_word(c)).any(|word| word == *library);
            assert!(!found || path.starts_with(place), "{path}: only {place} may name {library}");
            seen += usize::from(found);
        }
        assert!(seen > 0, "{library} was not seen in {place}: how it is looked for no longer fits the code");
    }
}

/// A filter that fits no test runs nothing and reports no failure, so the names in `.ci` are compared with the tests.
#[test]
fn ci_names_tests_that_exist() {
    let tests = files("tests", &["rs"]);
    for (path, text) in files(".ci", &[""]) {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
        for pair in words.windows(2).filter(|pair| pair[0] == "--test") {
            let binary = format!("tests/{}/main.rs", pair[1]);
            assert!(tests.iter().any(|(test, _)| *test == binary), "{path}: there is no {binary}");
        }
        for (module, names) in words.iter().filter_map(|word| word.split_once("::")) {
            if !module.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
                continue;
            }
            let ends = [format!("/{module}.rs"), format!("/{module}/mod.rs")];
            let mut found = tests.iter().filter(|(test, _)| ends.iter().any(|end| test.ends_with(end))).peekable();
            assert!(found.peek().is_some(), "{path}: no file of tests is called {module}");
            let names: Vec<&str> = names.trim_matches(['{', '}']).split(',').filter(|name| !name.is_empty()).collect();
            let has_all = |text: &str| names.iter().all(|name| text.contains(&format!("fn {name}(")));
            assert!(found.any(|(_, text)| has_all(text)), "{path}: {module} has not all of {}", names.join(", "));
        }
    }
}

#[test]
fn no_file_is_too_long() {
    let folders = ["src", "kernels", "benches", "tests", "examples", "fuzz", ".ci"];
    let code = ["rs", "cu", "cuh", "py", "h", "cpp", "", "sh"];
    for (path, text) in folders.into_iter().flat_map(|folder| files(folder, &code)) {
        let lines = text.lines().count();
        assert!(lines <= LINES, "{path}: {lines} lines, {LINES} are enough; divide it");
    }
}

#[test]
fn no_path_of_a_machine() {
    // spelt so that this file does not find itself
    let roots = ["home", "root", "work", "mnt", "Users"].map(|folder| format!("/{folder}/"));
    let folders = ["src", "kernels", "benches", "tests", "examples", "fuzz", ".ci"];
    let text = ["rs", "cu", "cuh", "py", "h", "cpp", "", "sh", "md", "toml"];
    let mut all: Vec<_> = folders.into_iter().flat_map(|folder| files(folder, &text)).collect();
    for name in ["Cargo.toml", "README.md", "DESIGN.md", "CHANGELOG.md"] {
        all.extend(std::fs::read_to_string(root().join(name)).map(|text| (name.to_string(), text)));
    }
    for (path, text) in all {
        for (number, line) in text.lines().enumerate() {
            // a path starts where a word starts; inside a longer path or an address it is something else
            let found = roots.iter().any(|start| {
                line.match_indices(start.as_str())
                    .any(|(at, _)| !line[..at].ends_with(|c: char| is_word(c) || "./-~}".contains(c)))
            });
            assert!(!found, "{path}:{}: a path of somebody's machine: {}", number + 1, line.trim());
        }
    }
}
