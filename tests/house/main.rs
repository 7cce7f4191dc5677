//! The rules of the source tree: rooms import downward only, `unsafe` stands only where it is
//! allowed, no file is too long, and no path of somebody's machine is written down.

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

/// The rooms of the command line from the ground up, held to the same rule.
const FLOORS_OF_CLI: &[&[&str]] = &[&["failure", "memory", "signals"], &["output"], &["args"], &["command"]];

/// What was asked, from the ground up: no file of it knows one above.
const FLOORS_OF_ARGS: &[&[&str]] = &[
    &["number", "value"],
    &["device", "paths", "table"],
    &["model", "sequences", "series", "threads"],
    &["input"],
    &["job"],
    &["config"],
    &["learn"],
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

fn floor(room: &str) -> Option<usize> {
    floor_of(FLOORS, room)
}

fn floor_of(floors: &[&[&str]], room: &str) -> Option<usize> {
    floors.iter().position(|rooms| rooms.contains(&room))
}

#[test]
fn imports_run_downward() {
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
            if name == room {
                continue;
            }
            // a name that is no room comes from the root of the crate, which is for users of the library
            let floor = floor(&name).unwrap_or_else(|| panic!("{path}: imports {name}, which is no room with a floor"));
            assert!(floor < above, "{path}: {room} is on floor {above} and may not import {name} from floor {floor}");
            edges += 1;
        }
    }
    assert!(edges > 50, "only {edges} imports were seen: how they are looked for no longer fits the code");
}

/// The rooms of a folder import downward only: those that `floors` lists, in files under `folder`, by paths from `prefix` on. How
/// many such imports there are.
fn downward(floors: &[&[&str]], folder: &str, prefix: &str) -> usize {
    let mut edges = 0;
    for (path, text) in files(folder, &["rs"]) {
        let room = path[folder.len() + 1..].split(['/', '.']).next().unwrap().to_string();
        if room == "mod" {
            continue;
        }
        let above = floor_of(floors, &room).unwrap_or_else(|| panic!("{path}: give {room} a floor in tests/house.rs"));
        let code = code(&text);
        let mut imports = imported(&code, prefix);
        let top = path.matches('/').count() == folder.matches('/').count() + 1;
        if top || path.ends_with(&format!("/{room}/mod.rs")) {
            imports.extend(imported(code.split("#[cfg(test)]\nmod ").next().unwrap_or(""), "super::"));
        }
        for name in imports.iter().filter(|name| **name != room) {
            // what is no room is a macro or an item of the folder itself
            let Some(below) = floor_of(floors, name) else { continue };
            assert!(below < above, "{path}: {room} is on floor {above} and may not import {name} from floor {below}");
            edges += 1;
        }
    }
    edges
}

/// What was asked and what is printed know no command, and there is no circle among what was asked.
#[test]
fn imports_of_the_command_line_run_downward() {
    let edges = downward(FLOORS_OF_CLI, "src/cli", "crate::cli::");
    let of_args = downward(FLOORS_OF_ARGS, "src/cli/args", "crate::cli::args::");
    assert!(edges > 40 && of_args > 10, "only {edges} and {of_args} imports were seen");
}

/// The most lines of a function.
const LINES_OF_FUNCTION: usize = 60;

/// Longer functions that are still to be divided, by their files and names.
const LONGER: &[(&str, &str)] = &[
    ("src/cpu/batch/mod.rs", "block"),
    ("src/cpu/network/backward.rs", "backward"),
    ("src/cpu/network/mod.rs", "forward"),
    ("src/cpu/product.rs", "sums"),
    ("src/cuda/network/mod.rs", "new"),
    ("src/cuda/plan/fit.rs", "many_blocks"),
    ("src/cuda/training.rs", "lay_out"),
    ("src/data/csv/mod.rs", "new"),
    ("src/learner/mod.rs", "new"),
    ("src/net/weight_codes.rs", "store"),
    ("src/plot/terminal.rs", "draw"),
];

/// The functions of a file as rustfmt writes it, by name, and how many lines each has: from the line with `fn` to the brace
/// that stands as far to the left.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let words: Vec<&str> = line.split("//").next().unwrap_or("").split_whitespace().collect();
        let Some(at) = words.iter().position(|word| *word == "fn") else { continue };
        let before = ["pub", "pub(crate)", "pub(super)", "const", "unsafe", "extern", "\"C\""];
        if !words[..at].iter().all(|word| before.contains(word)) || line.ends_with('}') || line.ends_with(';') {
            continue;
        }
        let name = words.get(at + 1).map_or("", |name| name.split(|c| !is_word(c)).next().unwrap_or(""));
        let ends = |line: &&str| {
            line.len() - line.trim_start().len() == indent && (line.trim() == "}" || line.trim_end().ends_with(';'))
        };
        let rest = lines[i + 1..].iter().position(ends).unwrap_or(0);
        found.push((name.to_string(), rest + 2));
    }
    found
}

#[test]
fn no_function_is_too_long() {
    let (mut seen, mut longest) = (0, 0);
    for (path, text) in files("src", &["rs"]) {
        for (name, lines) in functions(&text) {
            let known = LONGER.contains(&(path.as_str(), name.as_str()));
            assert!(
                lines <= LINES_OF_FUNCTION || known,
                "{path}: {name} has {lines} lines, {LINES_OF_FUNCTION} are enough; divide it"
            );
            (seen, longest) = (seen + 1, longest.max(lines));
        }
    }
    assert!(
        seen > 1000 && longest > 50,
        "{seen} functions of up to {longest} lines were seen: how they are found is wrong"
    );
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
            let path = code[..*at].trim_end_matches("net::shape::").trim_end_matches("crate::");
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
