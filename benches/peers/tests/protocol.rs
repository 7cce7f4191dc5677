//! What keeps the figures honest: wrong answers are refused before anything is timed, and lines of programs in other
//! languages are checked against the protocol of README.md.

use peers::check::{TOLERANCE, check, check_loss};
use peers::nets::{self, Net};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[test]
fn right_answers_are_let_through() {
    let net = Net::lesson();
    let answers: Vec<f32> = net.y.iter().map(|&y| y as f32).collect();
    assert!(check(&answers, &net.y).unwrap() < 1e-7);
    assert!(check_loss(net.loss() as f32, net.loss()).unwrap() < 1e-6);
}

#[test]
fn wrong_answers_are_refused() {
    let net = Net::lesson();
    let right: Vec<f32> = net.y.iter().map(|&y| y as f32).collect();
    let mut wrong = right.clone();
    wrong[7] += 10.0 * TOLERANCE as f32;
    let why = check(&wrong, &net.y).unwrap_err();
    assert!(why.starts_with("answer 7 is "), "{why}");
    wrong[7] = f32::NAN;
    assert!(check(&wrong, &net.y).is_err());
    assert_eq!(check(&right[1..], &net.y).unwrap_err(), "19 answers where there should be 20");
    assert!(check_loss(1.001 * net.loss() as f32, net.loss()).is_err());
}

#[test]
fn a_program_that_keeps_to_the_protocol_is_read() {
    let folder = Folder::new("right");
    let tried = folder.attempt(
        r#"test -f "$1/nets.txt" && test -f "$1/rnn_lesson.weights" || exit 1
        echo 'a line that is no object is ignored'
        echo '{"workload":"lstm_step/H32","threads":1,"error":2e-7,"ns":123.4,"p50":140,"variant":"fake"}'
        echo '{"workload":"rnn_step/H32","threads":1,"left_out":"no Elman RNN"}'"#,
    );
    let said = text(&tried);
    assert!(tried.status.success(), "{said}");
    assert!(said.contains("123.4") && said.contains("program, fake"), "{said}");
    assert!(said.contains("left out: program: no Elman RNN (rnn_step/H32)"), "{said}");
}

#[test]
fn a_program_with_wrong_answers_is_left_out() {
    let tried = Folder::new("wrong").attempt(r#"echo '{"workload":"lstm_step/H32","threads":1,"error":2e-3,"ns":1}'"#);
    let said = text(&tried);
    assert!(said.contains("left out: program: off by 2.0e-03, more than 1e-05 (lstm_step/H32)"), "{said}");
}

#[test]
fn a_bad_line_is_a_clear_error() {
    let bad = [
        (r#"echo '{"workload":"lstm_step/H32"'"#, "program, line 1: not JSON"),
        (r#"echo '{"workload":"lstm_step","threads":1,"error":0,"ns":1}'"#, "workload is not KIND/SIZE"),
        (r#"echo '{"workload":"lstm_step/H32","threads":1,"ns":1}'"#, "error is not a number, so nobody knows"),
        (r#"echo '{"workload":"lstm_step/H32","threads":1,"error":NaN,"ns":1}'"#, "error is not a number"),
        (r#"echo '{"workload":"lstm_step/H32","threads":1,"error":0}'"#, "neither ns nor p50"),
        (r#"echo '{"workload":"lstm_step/H32","threads":1,"error":0,"ns":"1"}'"#, "ns is not a number"),
        (r#"echo '{"workload":"lstm_step/H32","threads":0,"error":0,"ns":1}'"#, "threads is not a number from 1"),
        ("exit 3", "program: exit code 3"),
        ("true", "printed no result"),
    ];
    let folder = Folder::new("bad");
    for (script, expected) in bad {
        let tried = folder.attempt(script);
        let said = text(&tried);
        assert!(!tried.status.success() && said.contains(expected), "{script}: {said}");
        assert!(!said.contains("Traceback"), "{said}");
    }
}

/// A folder with a network in it, gone when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("rnnstep-peers-{}-{name}", std::process::id()));
        nets::write(&folder, &[("lesson", Net::lesson())]).unwrap();
        Self(folder)
    }

    /// What `run --try` makes of a shell script.
    fn attempt(&self, script: &str) -> Output {
        let program = self.0.join("program");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        make_executable(&program);
        let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("run");
        let command = ["--try".as_ref(), program.as_os_str(), "--data".as_ref(), self.0.as_os_str()];
        Command::new("python3").arg("-B").arg(run).args(command).output().expect("python3 is needed for this test")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
