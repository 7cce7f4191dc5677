//! Proves that the pages are true: each command in them runs and prints what the page shows, each link and each path leads
//! to a file, and the map in DESIGN.md is that of the floors in the test of the house.
//!
//! A block of commands is ```` ```sh ```` (run, and may not fail) or ```` ```console ```` (run, and its output compared). One that
//! cannot run in a test says why behind its language: ```` ```sh not-run: needs a card ````.
#![cfg_attr(not(all(unix, feature = "cli")), allow(dead_code, reason = "commands need a shell and the program"))]

#[cfg(all(unix, feature = "cli"))]
mod commands;
mod map;
mod paths;

use std::path::{Path, PathBuf};

/// Folders that hold what was built, found or generated, and no page or source.
const SKIPPED: [&str; 7] = ["target", ".git", "corpus", "artifacts", "seeds", "__pycache__", "venv"];

/// A Markdown file: its path from the root of the repository, and its text.
struct Page {
    path: String,
    text: String,
}

/// A fenced block of a page.
struct Block {
    /// What stands behind the opening fence, such as `sh`.
    info: String,
    /// The number of the opening line, from 1.
    line: usize,
    lines: Vec<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whether all of the repository is here. The published package lacks some folders that pages lead to; nothing is checked
/// there, and the test says so.
fn complete() -> bool {
    let complete = root().join(".ci").is_dir();
    if !complete {
        println!("skipped: this is the published package, which lacks some of the files that pages name");
    }
    complete
}

/// Every file and folder of the repository, as paths from its root with `/` between the parts.
fn everything() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_path_buf()];
    while let Some(folder) = folders.pop() {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            if SKIPPED.contains(&path.file_name().unwrap().to_string_lossy().as_ref()) {
                continue;
            }
            found.push(path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/"));
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

/// Every page of the repository.
fn pages() -> Vec<Page> {
    let mut pages: Vec<Page> = everything()
        .into_iter()
        .filter(|path| path.ends_with(".md"))
        .map(|path| Page { text: std::fs::read_to_string(root().join(&path)).unwrap(), path })
        .collect();
    pages.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(pages.iter().any(|page| page.path == "README.md"), "no pages were found");
    pages
}

impl Page {
    fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (number, line) in self.text.lines().enumerate() {
            match (open.as_mut(), line.trim_start().strip_prefix("```")) {
                (None, Some(info)) => {
                    open = Some(Block { info: info.trim().into(), line: number + 1, lines: Vec::new() });
                }
                (Some(block), None) => block.lines.push(line.into()),
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block is not closed", self.path);
        blocks
    }

    /// The lines outside of blocks, with their numbers from 1.
    fn prose(&self) -> Vec<(usize, &str)> {
        let mut inside = false;
        let mut prose = Vec::new();
        for (number, line) in self.text.lines().enumerate() {
            let fence = line.trim_start().starts_with("```");
            if !inside && !fence {
                prose.push((number + 1, line));
            }
            inside ^= fence;
        }
        prose
    }
}
