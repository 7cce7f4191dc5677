//! Each relative link of a page and each path that a page or a comment names leads to a file or folder of the repository.

use crate::{Page, complete, everything, pages, root};
use std::collections::BTreeSet;

/// A word that begins with one of these is a path.
const FOLDERS: [&str; 8] = ["src/", "kernels/", "tests/", "benches/", "examples/", "docs/", "fuzz/", ".ci/"];

/// A word that ends with one of these is the name of a source or a page. Data is not among them: its names are often made up.
const SOURCES: [&str; 7] = [".rs", ".cu", ".cuh", ".cpp", ".h", ".py", ".md"];

/// Names that stand for no file of this repository, with the reason.
const ELSEWHERE: [(&str, &str); 6] = [
    ("cuda.h", "NVIDIA's"),
    ("nvrtc.h", "NVIDIA's"),
    ("dlfcn.h", "the C library's"),
    ("grid.md", "written by the benches on a machine with a GPU"),
    ("fuzz/artifacts", "written by the fuzzer"),
    ("benches/peers/target", "made by benches/peers/run"),
];

/// Pages about a day in the past may name what was there on that day.
fn is_history(page: &str) -> bool {
    page == "CHANGELOG.md" || page.starts_with("benches/record/")
}

/// Every way to name a file or folder: its path, and each end of its path.
fn names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for path in everything() {
        for (at, _) in path.match_indices('/') {
            names.insert(path[at + 1..].to_string());
        }
        names.insert(path);
    }
    names
}

/// `a/{b,c}.cu` as `a/b.cu` and `a/c.cu`.
fn expanded(word: &str) -> Vec<String> {
    let parts = word.split_once('{').and_then(|(start, rest)| Some((start, rest.split_once('}')?)));
    match parts {
        Some((start, (list, end))) => list.split(',').map(|part| format!("{start}{part}{end}")).collect(),
        None => vec![word.to_string()],
    }
}

/// The words of a line that name a file or folder of the repository.
fn paths_in(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for word in line.split(|c: char| c.is_whitespace() || "`()[]<>\"'|;:=#".contains(c)) {
        let word = word.trim_end_matches(['.', ',', '/', '?', '!', '*', '\\']);
        let word = word.trim_start_matches("../").trim_start_matches("./");
        let is_path = FOLDERS.iter().any(|folder| word.starts_with(folder))
            || SOURCES.iter().any(|end| word.strip_suffix(end).is_some_and(|name| !name.is_empty()));
        if !is_path || word.contains("//") {
            continue;
        }
        for path in expanded(word) {
            let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "_./-".contains(c));
            // in MACHINE.json the capitals stand for any name
            let any_name =
                path.split(['/', '.']).any(|part| part.len() > 1 && part.chars().all(|c| c.is_ascii_uppercase()));
            if plain && (!any_name || path.ends_with(".md")) {
                found.push(path);
            }
        }
    }
    found
}

/// What follows the mark of a comment in each line of a source.
fn comments<'a>(path: &str, text: &'a str) -> Vec<(usize, &'a str)> {
    let mark = if [".rs", ".cu", ".cuh", ".cpp", ".h"].iter().any(|end| path.ends_with(end)) { "//" } else { "#" };
    let lines = text.lines().enumerate();
    lines.filter_map(|(number, line)| Some((number + 1, line.split_once(mark)?.1))).collect()
}

fn is_source(path: &str) -> bool {
    let folders = ["src/", "kernels/", "tests/", "benches/", ".ci/"];
    let ends = [".rs", ".cu", ".cuh", ".cpp", ".h", ".py"];
    folders.iter().any(|folder| path.starts_with(folder))
        && (ends.iter().any(|end| path.ends_with(end)) || path.starts_with(".ci/"))
        // it has paths that are made up, to test itself
        && path != "tests/pages/paths.rs"
}

#[test]
fn paths_are_found() {
    let found =
        paths_in("see `src/cpu/product.rs`, kernels/{lstm,gru}.cu (tests/cli/). benches/record/MACHINE.json: no");
    assert_eq!(found, ["src/cpu/product.rs", "kernels/lstm.cu", "kernels/gru.cu", "tests/cli"]);
    assert_eq!(paths_in("`tile.cuh` of https://a.b/c.rs and *.rs"), ["tile.cuh"]);
}

#[test]
fn every_path_in_a_page_or_a_comment_exists() {
    if !complete() {
        return;
    }
    let names = names();
    let (mut seen, mut wrong) = (0, Vec::new());
    let mut check = |place: &str, lines: Vec<(usize, &str)>| {
        for (number, line) in lines {
            for path in paths_in(line) {
                seen += 1;
                let elsewhere = ELSEWHERE.iter().any(|(name, _)| *name == path);
                if !names.contains(&path) && !elsewhere {
                    wrong.push(format!("{place}:{number}: there is no {path}"));
                }
            }
        }
    };
    for page in pages().iter().filter(|page| !is_history(&page.path)) {
        check(&page.path, page.prose());
    }
    for path in everything().into_iter().filter(|path| is_source(path) && root().join(path).is_file()) {
        let text = std::fs::read_to_string(root().join(&path)).unwrap();
        check(&path, comments(&path, &text));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 100, "only {seen} paths were seen: how they are looked for no longer fits the code");
}

/// The targets of the links and pictures of a line.
fn links(line: &str) -> Vec<&str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target).collect()
}

/// What a heading is called in a link, by GitHub's rule.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    heading.trim().to_lowercase().chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn has_heading(page: &Page, name: &str) -> bool {
    page.prose().into_iter().any(|(_, line)| line.starts_with('#') && anchor(line.trim_start_matches('#')) == name)
}

#[test]
fn every_link_of_a_page_leads_somewhere() {
    if !complete() {
        return;
    }
    let pages = pages();
    let (mut seen, mut wrong) = (0, Vec::new());
    for page in &pages {
        let folder = page.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (number, line) in page.prose() {
            for target in links(line) {
                if target.contains("://") || target.starts_with("mailto:") {
                    continue;
                }
                seen += 1;
                let (file, heading) = target.split_once('#').unwrap_or((target, ""));
                let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
                for part in file.split('/').filter(|part| !part.is_empty() && *part != ".") {
                    if part == ".." {
                        parts.pop();
                    } else {
                        parts.push(part);
                    }
                }
                let path = if file.is_empty() { page.path.clone() } else { parts.join("/") };
                let there = root().join(&path).exists();
                let target_page = pages.iter().find(|page| page.path == path);
                if !there || !heading.is_empty() && !target_page.is_some_and(|page| has_heading(page, heading)) {
                    wrong.push(format!("{}:{number}: the link {target} leads nowhere", page.path));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 20, "only {seen} links were seen: how they are looked for no longer fits the pages");
}

/// A guide is read in an editor and in a diff as well: lines of prose end by a hundred characters. Tables and links cannot.
#[test]
fn lines_of_the_pages_are_short() {
    let short = |path: &str| {
        ["README.md", "DESIGN.md", "CONTRIBUTING.md", "SECURITY.md"].contains(&path) || path.starts_with("docs/")
    };
    for page in pages().iter().filter(|page| short(&page.path)) {
        for (number, line) in page.text.lines().enumerate() {
            let free = line.starts_with('|') || line.contains("](");
            let length = line.chars().count();
            assert!(length <= 100 || free, "{}:{}: {length} characters", page.path, number + 1);
        }
    }
    let readme = pages().into_iter().find(|page| page.path == "README.md").unwrap();
    let lines = readme.text.lines().count();
    assert!(lines <= 150, "README.md has {lines} lines, 150 are enough: move some of it to the guide");
}
