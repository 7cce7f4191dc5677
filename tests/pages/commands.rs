//! Each command of a page runs, in order, in a folder with the example data; what a page shows of its output is what it prints.

use crate::{Page, complete, pages};
use std::process::Stdio;

/// Whether `text` is what `shown` says, where `...` stands for anything.
fn matches(shown: &str, text: &str) -> bool {
    let (first, rest) = match shown.split_once("...") {
        None => return shown == text,
        Some(parts) => parts,
    };
    let Some(text) = text.strip_prefix(first) else { return false };
    (0..=text.len()).filter(|&at| text.is_char_boundary(at)).any(|at| matches(rest, &text[at..]))
}

/// Whether `printed` is what a page shows: a line `...` stands for any number of lines.
fn lines_match(shown: &[String], printed: &[String]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((line, rest)) if line == "..." => (0..=printed.len()).any(|skip| lines_match(rest, &printed[skip..])),
        Some((line, rest)) => {
            printed.split_first().is_some_and(|(first, after)| matches(line, first) && lines_match(rest, after))
        }
    }
}

/// A line without what differs from run to run: how long something took. Spaces at its end do not show on a page.
fn without_times(line: &str) -> String {
    let mut words: Vec<&str> = line.split(' ').collect();
    for at in 1..words.len() {
        let unit = words[at].trim_end_matches([',', ';']);
        if ["ns", "µs", "ms", "s"].contains(&unit) && words[at - 1].parse::<f64>().is_ok() {
            words[at - 1] = "TIME";
            words[at] = words[at].trim_start_matches(unit);
        }
    }
    words.join(" ").trim_end().to_string()
}

#[test]
fn output_is_compared() {
    let lines = |text: &str| text.lines().map(without_times).collect::<Vec<_>>();
    assert!(lines_match(&lines("a\n...\nb ... d"), &lines("a\nx\ny\nb c d")));
    assert!(lines_match(&lines("a\n..."), &lines("a")));
    assert!(!lines_match(&lines("a\n...\nb"), &lines("a\nx")));
    assert!(lines_match(&lines("took 3.1 µs, 4 lines"), &lines("took 12 ms, 4 lines")));
    assert!(!lines_match(&lines("took 3.1 µs, 4 lines"), &lines("took 12 ms, 5 lines")));
}

/// A command of a page, with what the page shows of its output.
struct Command {
    line: usize,
    text: String,
    shown: Option<Vec<String>>,
}

/// The commands of a page that are to run, and the reasons of those that are not.
fn commands(page: &Page) -> (Vec<Command>, Vec<String>) {
    let (mut run, mut left_out) = (Vec::new(), Vec::new());
    for block in page.blocks() {
        let (language, rest) = block.info.split_once(' ').unwrap_or((&block.info, ""));
        if language != "sh" && language != "console" {
            continue;
        }
        let place = format!("{}:{}", page.path, block.line);
        if !rest.is_empty() {
            let why = rest.strip_prefix("not-run: ").unwrap_or_else(|| panic!("{place}: what is `{rest}`?"));
            left_out.push(format!("{place}: {why}"));
            continue;
        }
        let mut continued = false;
        for (at, line) in block.lines.iter().enumerate() {
            let command = match language {
                "console" => line.strip_prefix("$ "),
                _ => Some(line.as_str()).filter(|line| !line.is_empty() && !line.starts_with('#')),
            };
            match (command, run.last_mut()) {
                (_, Some(Command { text, .. })) if continued => {
                    text.push('\n');
                    text.push_str(line);
                }
                (Some(text), _) => {
                    let shown = (language == "console").then(Vec::new);
                    run.push(Command { line: block.line + 1 + at, text: text.into(), shown });
                }
                (None, Some(Command { shown: Some(shown), .. })) => shown.push(line.clone()),
                (None, _) => assert!(language == "sh", "{place}: a block of a console begins with `$ `"),
            }
            continued = line.ends_with('\\');
        }
    }
    (run, left_out)
}

/// Runs the commands of a page and returns what went wrong.
fn run(page: &Page) -> Result<usize, String> {
    let (commands, _) = commands(page);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["examples/data", "bin"] {
        std::fs::create_dir_all(at(name)).unwrap();
    }
    for entry in std::fs::read_dir(crate::root().join("examples/data")).unwrap().map(Result::unwrap) {
        std::fs::copy(entry.path(), at("examples/data").join(entry.file_name())).unwrap();
    }
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rnnstep"), at("bin/rnnstep")).unwrap();
    let path = format!("{}:{}", at("bin").display(), std::env::var("PATH").unwrap_or_default());
    for command in &commands {
        let text = command.text.replace("cargo run --release --", "rnnstep");
        let place = format!("{}:{}: `{}`", page.path, command.line, command.text);
        if text.split_whitespace().next() == Some("cargo") {
            return Err(format!("{place}: cargo does not run in this test; mark the block with not-run"));
        }
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("exec 2>&1\n{text}")]).current_dir(folder.path()).stdin(Stdio::null());
        shell.env("PATH", &path);
        for name in ["RNNSTEP_ISA", "NO_COLOR", "COLUMNS"] {
            shell.env_remove(name);
        }
        let output = shell.output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            return Err(format!("{place}: {}\n{printed}", output.status));
        }
        if let Some(shown) = &command.shown {
            let shown: Vec<_> = shown.iter().map(|line| without_times(line)).collect();
            if !lines_match(&shown, &printed.lines().map(without_times).collect::<Vec<_>>()) {
                return Err(format!("{place}: the page shows\n{}\nit prints\n{printed}", shown.join("\n")));
            }
        }
    }
    Ok(commands.len())
}

#[test]
fn every_command_of_a_page_runs() {
    if !complete() {
        return;
    }
    let pages = pages();
    let results: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = pages.iter().map(|page| scope.spawn(|| run(page))).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    let left_out: Vec<String> = pages.iter().flat_map(|page| commands(page).1).collect();
    println!("{} blocks are not run here:\n{}", left_out.len(), left_out.join("\n"));
    let wrong: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).cloned().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    let ran: usize = results.iter().flatten().sum();
    println!("{ran} commands ran");
    assert!(ran > 40, "only {ran} commands were found: how they are looked for no longer fits the pages");
}
