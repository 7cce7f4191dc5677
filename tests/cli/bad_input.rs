//! Bad input on the command line ends in one line that says what is wrong, where, and what to do:
//! exit code 1, nothing printed, no file written, no panic, bounded memory and time.

use crate::run::Run;
use rnnstep::model::file;
use rnnstep::tensor::Stored;
use rnnstep::{CellKind, Tensor};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

/// Address space of a command, in KiB: enough for the program and its threads, too little for what bad files claim.
const MEMORY: u64 = 600_000;

/// A folder with a model `good.safetensors` of one column, a table `good.csv` and an array.
fn folder() -> Run {
    let run = Run::new().with_memory(MEMORY);
    run.model("good.safetensors", CellKind::Lstm, [1, 4, 1, 1]);
    let rows: String = (0..60).map(|i| format!("{i},{}\n", (f64::from(i) * 0.5).sin())).collect();
    run.file("good.csv", format!("time,value\n{rows}"));
    rnnstep::data::npy::write(&run.path("good.npy"), &Tensor::<f32>::zeros([5, 1])).unwrap();
    run.ok("predict good.safetensors good.csv");
    run.ok("train good.csv --seq-len 5 --epochs 1 --no-plot");
    run
}

/// A safetensors file of a header and bytes of data.
fn container(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

fn entry(name: &str, dtype: &str, shape: &str, [start, end]: [usize; 2]) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{start},{end}]}}"#)
}

/// Everything that reads a model refuses this one with `words`.
fn model_is_refused(run: &Run, name: &str, words: &[&str]) {
    let words = [&[name], words].concat();
    run.fails(&format!("predict {name} good.csv --out y.csv --final-state s.safetensors"), &words);
    run.fails(&format!("info {name}"), &words);
    run.fails(&format!("stream {name}"), &words);
    run.fails(&format!("forecast {name} good.csv --steps 3 --plot p.svg"), &words);
    run.fails(&format!("gates {name} good.csv --plot p.svg"), &words);
    run.fails(&format!("train --init {name} --steps 1 --log l.csv --save-grads g.safetensors"), &words);
    run.fails(&format!("train --resume {name} --log l.csv"), &words);
}

/// Everything that reads a table refuses this one with `words`.
fn table_is_refused(run: &Run, name: &str, words: &[&str]) {
    let words = [&[name], words].concat();
    run.fails(&format!("train {name} --seq-len 5 --out new.safetensors"), &words);
    run.fails(&format!("predict good.safetensors {name} --out y.csv --final-state s.safetensors"), &words);
    run.fails(&format!("forecast good.safetensors {name} --steps 3 --plot p.svg"), &words);
    run.fails(&format!("gates good.safetensors {name} --plot p.svg"), &words);
}

#[test]
fn model_files_that_are_damaged() {
    let run = folder();
    model_is_refused(&run, "absent.safetensors", &[]);
    model_is_refused(&run, "absent/absent.safetensors", &[]);
    std::fs::create_dir(run.path("folder.safetensors")).unwrap();
    model_is_refused(&run, "folder.safetensors", &["is a folder"]);
    let good = run.bytes("good.safetensors");
    let header = u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let f32s = |name: &str, n: usize| entry(name, "F32", &format!("[{n}]"), [0, 4 * n]);
    for (name, bytes, word) in [
        ("empty", vec![], "is empty"),
        ("short", good[..6].to_vec(), "6 bytes"),
        ("header_cut", good[..header / 2].to_vec(), "cut off"),
        ("data_cut", good[..good.len() - 1].to_vec(), "cut off"),
        ("longer", [good.as_slice(), b"more"].concat(), "4 bytes more"),
        ("oversized_header", [&(1_u64 << 40).to_le_bytes(), b"{}".as_slice()].concat(), "not a safetensors"),
        ("endless_header", [&u64::MAX.to_le_bytes(), b"{}".as_slice()].concat(), "not a safetensors"),
        ("overlapping", container(&format!("{{{},{}}}", f32s("a", 2), f32s("b", 2)), &[0; 8]), "overlap"),
        (
            "beyond",
            container(&format!("{{{}}}", entry("a", "F32", "[1000000000000]", [0, 4_000_000_000_000])), &[0; 4]),
            "cut off",
        ),
        ("twice", container(&format!("{{{},{}}}", f32s("a", 1), f32s("a", 1)), &[0; 4]), "twice"),
        ("deep", container(&"[".repeat(3_000_000), &[]), "header"),
        ("text", b"date,close\n2020-01-01,1.0\n".to_vec(), "not a safetensors"),
        ("pickle", b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20".to_vec(), "save_file("),
        ("zip", b"PK\x03\x04\x00\x00\x08\x08\x00\x00".to_vec(), "save_file("),
    ] {
        let name = format!("{name}.safetensors");
        run.file(&name, bytes);
        model_is_refused(&run, &name, &[word]);
    }
    // 1 TiB that takes no room on the disk: refused by its header
    let sparse = std::fs::File::create(run.path("sparse.safetensors")).unwrap();
    if sparse.set_len(1 << 40).is_ok() {
        run.fails("predict sparse.safetensors good.csv", &["sparse.safetensors"]);
        run.fails("info sparse.safetensors", &["sparse.safetensors"]);
    }
    if Path::new("/dev/zero").exists() {
        run.fails("info /dev/zero", &["/dev/zero"]);
    }
}

#[test]
fn model_files_with_the_wrong_tensors() {
    let run = folder();
    let good = run.tensors("good.safetensors");
    let write = |name: &str, tensors: &BTreeMap<String, Tensor>| {
        let list: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor as &dyn Stored)).collect();
        file::write_tensors(run.path(name), &list).unwrap();
    };
    write("same.safetensors", &good);
    run.ok("predict same.safetensors good.csv");
    for name in ["rnn.weight_ih_l0", "rnn.weight_hh_l0", "rnn.bias_hh_l0", "fc.weight"] {
        let mut tensors = good.clone();
        tensors.remove(name);
        write("missing.safetensors", &tensors);
        model_is_refused(&run, "missing.safetensors", &[name, "is missing"]);
        let dims = good[name].dims().iter().map(|n| n + 1).collect::<Vec<_>>();
        tensors.insert(name.into(), Tensor::zeros(dims.clone()));
        write("shape.safetensors", &tensors);
        model_is_refused(&run, "shape.safetensors", &[&format!("{dims:?}")]);
    }
    for (name, words) in [
        ("norm.weight", ["norm.weight", "supported"]),
        ("rnn.weight_ih_l0_reverse", ["weight_ih_l0_reverse", "bidirectional"]),
        ("rnn.weight_hr_l0", ["weight_hr_l0", "projection"]),
        ("h0", ["h0", "unknown"]),
    ] {
        let mut tensors = good.clone();
        tensors.insert(name.into(), Tensor::zeros([4]));
        write("unknown.safetensors", &tensors);
        model_is_refused(&run, "unknown.safetensors", &words);
    }
    for dtype in ["I32", "U32"] {
        let parts = [("weight_ih_l0", "[16,1]", 64), ("weight_hh_l0", "[16,4]", 256)];
        let mut at = 0;
        let entries = parts.map(|(name, shape, len)| {
            at += len;
            entry(&format!("rnn.{name}"), dtype, shape, [at - len, at])
        });
        run.file("dtype.safetensors", container(&format!("{{{}}}", entries.join(",")), &vec![0; at]));
        model_is_refused(&run, "dtype.safetensors", &["rnn.weight_", dtype]);
    }
    // weights that were changed after training are noticed by the reference in the file
    let mut bytes = run.bytes("good.safetensors");
    let at = bytes.len() - 2;
    bytes[at] ^= 0x40;
    run.file("changed.safetensors", bytes);
    model_is_refused(&run, "changed.safetensors", &["changed or damaged"]);
    // one of two scalers
    let mut parts = file::read(run.path("model.safetensors"), &file::ReadOptions::default()).unwrap();
    parts.metadata.x_scaler = None;
    parts.metadata.reference = None;
    let layout = rnnstep::net::layout::Layout::new(&parts.shape);
    let weights: Vec<_> = layout.entries().iter().map(|entry| entry.name.clone()).zip(parts.weights).collect();
    file::write(run.path("scaler.safetensors"), &parts.shape, &weights, &parts.metadata, &[]).unwrap();
    model_is_refused(&run, "scaler.safetensors", &["scaler"]);
}

#[test]
fn tables_that_are_none() {
    let run = folder();
    let utf16: Vec<u8> = "\u{feff}a,b\n1,2\n3,4\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let utf16_big: Vec<u8> = "\u{feff}a,b\n1,2\n3,4\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let bytes: [(&str, &[u8], &[&str]); 15] = [
        ("empty.csv", b"", &["is empty"]),
        ("blank.csv", b"\n\n\r\n", &["is empty"]),
        ("header.csv", b"time,value\n", &["no rows"]),
        ("ragged.csv", b"a,b\n1,2\n3\n5,6\n", &["line 3", "1 value", "2 values"]),
        ("wider.csv", b"a\n1\n2\n3,4\n", &["line 4"]),
        ("text.csv", b"value\n1\n2\nthree\n4\n", &["line 4", "value", "three", "not a number"]),
        ("words.csv", b"name,city\nAnn,Rome\nBob,Oslo\n", &["no column holds numbers"]),
        ("huge.csv", b"value\n1\n1e400\n2\n", &["line 3", "1e400"]),
        ("nan.csv", b"value\n1\nNaN\n2\n", &["line 3", "missing"]),
        ("inf.csv", b"value\n1\n-inf\n2\n", &["line 3", "-inf"]),
        ("comma.csv", b"value\n\"1.234,5\"\n\"1,234.5\"\n", &["line 2", "--decimal"]),
        ("utf16.csv", &utf16, &["UTF-16", "UTF-8"]),
        ("utf16be.csv", &utf16_big, &["UTF-16", "UTF-8"]),
        ("latin1.csv", b"temp\xe9rature,b\n1,2\n", &["UTF-8"]),
        ("binary.csv", b"\0\0\x01\x02\0\0", &[]),
    ];
    for (name, content, words) in bytes {
        run.file(name, content);
        table_is_refused(&run, name, words);
    }
    for (name, line) in [("line.csv", "7".repeat(64 << 20)), ("quoted.csv", format!("\"{}", "x\n".repeat(16 << 20)))] {
        run.file(name, line);
        table_is_refused(&run, name, &["line 1"]);
    }
    table_is_refused(&run, "absent.csv", &[]);
    std::fs::create_dir(run.path("folder.csv")).unwrap();
    table_is_refused(&run, "folder.csv", &["is a folder"]);
    run.file("series.xlsx", "PK");
    table_is_refused(&run, "series.xlsx", &["xlsx", ".csv", ".npy"]);
    if Path::new("/dev/zero").exists() {
        // a line without an end
        run.fails("train /dev/zero --seq-len 5", &["/dev/zero"]);
    }
}

#[test]
fn arrays_that_are_none() {
    let run = folder();
    let good = run.bytes("good.npy");
    for (name, bytes) in [
        ("empty.npy", vec![]),
        ("cut.npy", good[..good.len() - 1].to_vec()),
        ("head.npy", good[..20].to_vec()),
        ("text.npy", b"1,2,3\n".to_vec()),
        (
            "claims.npy",
            [
                &good[..10],
                String::from_utf8_lossy(&good[10..good.len() - 20]).replace("(5, 1)", "(5000000000, 1)").as_bytes(),
            ]
            .concat(),
        ),
    ] {
        run.file(name, bytes);
        table_is_refused(&run, name, &[]);
    }
    table_is_refused(&run, "absent.npy", &[]);
    // windows
    let write = |name: &str, x: &[usize], target: &[usize]| {
        let (x, target) = (Tensor::<f32>::zeros(x), Tensor::<f32>::zeros(target));
        file::write_tensors(run.path(name), &[("x", &x), ("target", &target)]).unwrap();
        name.to_string()
    };
    for (x, target) in [
        (vec![3, 2, 5], vec![3, 2, 5]),
        (vec![3, 2, 5, 1], vec![4, 2, 5, 1]),
        (vec![3, 2, 5, 1], vec![3, 2, 4, 1]),
        (vec![3, 2, 5, 1], vec![3, 1]),
    ] {
        let name = write("w.safetensors", &x, &target);
        run.fails(&format!("train {name} --out new.safetensors"), &["w.safetensors", "expected"]);
    }
    let name = write("w.safetensors", &[3, 2, 5, 1], &[3, 2, 5, 1]);
    run.fails(&format!("train {name} --val-fraction 0.9 --out new.safetensors"), &["val-fraction"]);
    let large = Tensor::new([3, 2, 5, 1], vec![1e300; 30]).unwrap();
    file::write_tensors(run.path("w.safetensors"), &[("x", &large), ("target", &large)]).unwrap();
    run.fails("train w.safetensors --out new.safetensors", &["w.safetensors", "\"x\"", "beyond the largest f32"]);
    run.fails("train good.safetensors --out new.safetensors", &["good.safetensors", "\"x\"", "a model, not data"]);
    run.fails("predict good.safetensors same.safetensors", &["same.safetensors"]);
}

#[test]
fn columns_that_are_not_there_and_rows_that_are_too_few() {
    let run = folder();
    run.fails("train good.csv --column price", &["good.csv", "price", "value"]);
    run.fails("train good.csv --target price", &["good.csv", "price", "value"]);
    run.fails("train good.csv --column 9", &["good.csv", "9"]);
    run.fails("train good.csv --column 0", &["good.csv", "0"]);
    run.fails("train good.csv --time clock", &["good.csv", "clock"]);
    run.fails("train good.npy --column price --seq-len 2", &["good.npy", "price"]);
    run.file("two.csv", "value,value\n1,2\n3,4\n");
    run.fails("train two.csv --column value --seq-len 1", &["two.csv", "value"]);
    run.file("few.csv", "value\n1\n2\n3\n4\n");
    for flags in [
        "",
        "--state reset",
        "--seq-len 2 --batch 2",
        "--val-fraction 0.9 --seq-len 1",
        "--seq-len 18446744073709551615",
    ] {
        run.fails(&format!("train few.csv {flags} --out new.safetensors"), &["few.csv"]);
    }
    run.fails("train few.csv --state reset --seq-len 4 --batch 1000000", &["few.csv", "rows"]);
    run.ok("train few.csv --seq-len 2 --epochs 1 --no-plot --val-fraction 0");
    // a model that takes other columns
    run.model("three.safetensors", CellKind::Gru, [3, 4, 1, 1]);
    run.fails("predict three.safetensors good.csv", &["good.csv", "3 columns", "value"]);
    run.fails("predict three.safetensors good.npy", &["good.npy", "[T,3]", "[5, 1]"]);
    run.fails("gates three.safetensors good.csv", &["good.csv", "3 columns"]);
    run.fails("forecast three.safetensors good.npy --steps 2", &["good.npy"]);
}

#[test]
fn sizes_that_make_no_sense_are_refused_before_they_are_tried() {
    let run = folder();
    for (flags, word) in [
        ("--hidden 16384 --layers 64 --cell lstm", "parameters"),
        ("--seq-len 18446744073709551615", "at most"),
        ("--seq-len 1000000000000", "at most"),
        ("good.csv --seq-len 1000000000000", "good.csv"),
        ("good.csv --seq-len 9 --batch 18446744073709551615", "good.csv"),
    ] {
        run.fails(&format!("train {flags} --steps 1 --out new.safetensors"), &[word]);
    }
    for flag in ["--hidden", "--layers"] {
        run.misused(&format!("train {flag} 18446744073709551615 --steps 1"), &[flag, "must be"]);
    }
}

#[test]
fn places_that_cannot_be_written() {
    let run = folder();
    let predict = "predict good.safetensors good.csv";
    for flag in ["--out", "--log", "--save-grads", "--plot"] {
        let name = if flag == "--plot" { "absent/f.svg" } else { "absent/f.safetensors" };
        run.fails(&format!("train --steps 3 {flag} {name}"), &[name, "does not exist", "create"]);
        run.fails(&format!("train --steps 3 {flag} good.csv/f.svg"), &["good.csv/f.svg"]);
    }
    for flag in ["--out", "--final-state"] {
        run.fails(&format!("{predict} {flag} absent/y.safetensors"), &["absent/y.safetensors", "does not exist"]);
    }
    run.fails("forecast good.safetensors good.csv --steps 2 --out absent/y.csv", &["absent/y.csv", "does not exist"]);
    run.fails("forecast good.safetensors good.csv --steps 2 --plot absent/p.svg", &["absent/p.svg", "does not exist"]);
    run.fails("gates good.safetensors good.csv --out absent/y.csv", &["absent/y.csv", "does not exist"]);
    std::fs::create_dir(run.path("folder.csv")).unwrap();
    run.fails(&format!("{predict} --out folder.csv"), &["folder.csv", "is a folder"]);
    run.fails("train --steps 3 --out folder.csv", &["folder.csv", "is a folder"]);
    run.fails("gates good.safetensors good.csv --out y.csv --plot p.gif", &["p.gif"]);
    run.fails("train --steps 3 --plot p.gif", &["p.gif", ".svg"]);
    run.fails("forecast good.safetensors good.csv --steps 2 --plot p.gif", &["p.gif", ".svg"]);
    if Path::new("/sys/kernel").is_dir() {
        // refuses new files even to root
        run.fails("train --steps 3 --out /sys/kernel/m.safetensors", &["/sys/kernel/m.safetensors"]);
    }
}

#[cfg(unix)]
#[test]
fn a_folder_that_may_not_be_written() {
    use std::os::unix::fs::PermissionsExt;
    let run = folder();
    std::fs::create_dir(run.path("locked")).unwrap();
    let mode = |mode| std::fs::set_permissions(run.path("locked"), std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o555);
    if std::fs::write(run.path("locked/probe"), "").is_ok() {
        eprintln!("skipped: this user may write into read-only folders");
        return;
    }
    run.fails("train --steps 3 --out locked/m.safetensors", &["locked/m.safetensors", "permission denied"]);
    run.fails("predict good.safetensors good.csv --out locked/y.csv", &["locked/y.csv", "permission denied"]);
    mode(0o755);
}

#[test]
fn a_full_disk() {
    if !Path::new("/dev/full").exists() {
        eprintln!("skipped: there is no /dev/full");
        return;
    }
    let run = folder();
    let full = |args: &str| {
        let answer = run.run(args);
        let error = answer.stderr.lines().last().unwrap_or_default();
        assert_eq!(answer.code, Some(1), "rnnstep {args}\n{}", answer.stderr);
        assert!(
            error.starts_with("error: /dev/full: ") && error.contains("space"),
            "rnnstep {args}\n{}",
            answer.stderr
        );
        answer.stdout
    };
    assert_eq!(full("predict good.safetensors good.csv --out /dev/full"), "");
    assert_eq!(full("gates good.safetensors good.csv --out /dev/full"), "");
    assert_eq!(full("forecast good.safetensors good.csv --steps 9 --out /dev/full"), "");
    full("train --steps 3 --no-plot --out new.safetensors --log /dev/full");
    full("train --steps 3 --no-plot --out new.safetensors --save-grads /dev/full");
    // stdout itself
    let stdout_full = |args: &str| {
        let device = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = run.command(args).stdin(Stdio::null()).stdout(device).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let error = stderr.lines().last().unwrap_or_default();
        assert_eq!(output.status.code(), Some(1), "rnnstep {args}\n{stderr}");
        assert!(error.starts_with("error: standard output: ") && error.contains("space"), "rnnstep {args}\n{stderr}");
        assert!(!stderr.contains("panicked"), "rnnstep {args}\n{stderr}");
    };
    for args in [
        "predict good.safetensors good.csv",
        "forecast good.safetensors good.csv --steps 5",
        "gates good.safetensors good.csv",
        "info",
        "info good.safetensors",
        "train --steps 3 --no-plot --out new.safetensors",
    ] {
        stdout_full(args);
    }
}

#[test]
fn a_closed_pipe_is_a_silent_end() {
    let run = folder();
    // more than any pipe holds
    run.file("long.csv", "value\n".to_string() + &"0.25\n".repeat(100_000));
    for args in [
        "predict good.safetensors long.csv",
        "gates good.safetensors long.csv",
        "forecast good.safetensors long.csv --steps 100000",
        "info good.safetensors",
        "info",
    ] {
        let mut command = run.command(args);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // the reader goes at once
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "rnnstep {args}");
        assert_eq!(output.status.code(), Some(0), "rnnstep {args}");
    }
    let mut child = run
        .command("stream good.safetensors")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    // it ends at the first answer that nobody takes, though more lines come
    while std::io::Write::write_all(&mut stdin, b"0.5\n").is_ok() {}
    let output = child.wait_with_output().unwrap();
    assert_eq!((String::from_utf8_lossy(&output.stderr).as_ref(), output.status.code()), ("", Some(0)));
}

#[test]
fn files_in_the_place_of_another() {
    let run = Run::new();
    run.example("sunspots.csv");
    run.ok("train sunspots.csv --epochs 1 --hidden 4 --no-plot");
    run.file("numbers", "1\n2\n3\n4\n");
    let lines: String = (0..40).map(|line| format!("{}\n", line % 7)).collect();
    assert_eq!(run.feed("stream model.safetensors --learn --out l.safetensors", lines).code, Some(0));
    run.file("two.csv", "a,b\n1,2\n2,3\n3,1\n4,5\n5,2\n6,7\n7,1\n8,3\n9,2\n1,2\n4,1\n2,2\n");
    run.ok("train two.csv --column a,b --target a --seq-len 3 --epochs 1 --no-plot --out two.safetensors");
    std::fs::create_dir(run.path("folder")).unwrap();
    for (command, words) in [
        (
            "train model.safetensors --no-plot --out new.safetensors",
            &["model.safetensors: is a model, not data", "target"][..],
        ),
        ("train --resume l.learner.safetensors", &["l.learner.safetensors: is a learner", "stream MODEL --learn"]),
        ("forecast two.safetensors two.csv --steps 2", &["two.safetensors: the model takes", "--column and --target"]),
        ("train sunspots.csv --config folder", &["folder: is a folder", "a file inside it"]),
        ("predict sunspots.csv model.safetensors", &["sunspots.csv: is text", "a model in safetensors first"]),
    ] {
        run.fails(command, words);
    }
}
