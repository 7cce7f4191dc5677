//! A training that stops and goes on ends with the same bytes as one that does not.

use super::run::Run;
use rnnstep::model::file;
use rnnstep::net::layout::Layout;
use rnnstep::tensor::Array;
use rnnstep::{CellKind, Tensor};

/// Trains `data` with `flags` for 75 steps at once, and 40 and then to 75; the model files and logs must be the same.
fn forty_and_thirty_five(run: &Run, flags: &str) {
    run.ok(&format!("train {flags} --steps 75 --no-plot --out whole.safetensors --log whole.csv"));
    run.ok(&format!("train {flags} --steps 40 --no-plot --out half.safetensors --log half.csv"));
    assert!(run.bytes("whole.safetensors") != run.bytes("half.safetensors"), "{flags}");
    let rest = "--steps 75 --no-plot --out half.safetensors --log half.csv";
    let answer = run.ok(&format!("train --resume half.checkpoint.safetensors {rest}"));
    assert!(answer.stderr.contains(" 35 steps of "), "{}", answer.stderr);
    assert!(answer.stdout.contains("trained 35 steps"), "{}", answer.stdout);
    assert!(run.bytes("whole.safetensors") == run.bytes("half.safetensors"), "{flags}");
    assert!(run.bytes("whole.checkpoint.safetensors") == run.bytes("half.checkpoint.safetensors"), "{flags}");
    assert_eq!(run.text("whole.csv"), run.text("half.csv"), "{flags}");
}

#[test]
fn the_sine() {
    forty_and_thirty_five(&Run::new(), "");
    forty_and_thirty_five(&Run::new(), "--cell lstm --layers 2 --hidden 9 --amsgrad --clip 0.1");
    forty_and_thirty_five(&Run::new(), "--cell gru --optimizer sgd --momentum 0.9 --nesterov --schedule step:30:0.5");
}

#[test]
fn the_sunspots() {
    let run = Run::new();
    run.example("sunspots.csv");
    forty_and_thirty_five(&run, "sunspots.csv");
    forty_and_thirty_five(&run, "sunspots.csv --cell lstm --batch 4 --seq-len 8 --scale min-max");
    forty_and_thirty_five(
        &run,
        "sunspots.csv --state reset --batch 16 --dropout 0.2 --layers 2 --optimizer adamw --schedule cosine:75",
    );
}

#[test]
fn windows_that_come_cut() {
    let run = Run::new();
    let wave = |n: usize| (0..n).map(|i| (i as f32 * 0.7).sin()).collect::<Vec<_>>();
    let (x, target) = (Tensor::new([9, 2, 5, 2], wave(180)).unwrap(), Tensor::new([9, 2, 3], wave(54)).unwrap());
    file::write_tensors(run.path("w.safetensors"), &[("x", &x), ("target", &target)]).unwrap();
    forty_and_thirty_five(&run, "w.safetensors --cell gru --val-fraction 0.25 --loss huber");
}

#[test]
fn the_checkpoint_is_found_beside_the_model_and_says_what_was_trained() {
    let run = Run::new();
    run.example("sunspots.csv");
    run.ok("train sunspots.csv --cell gru --hidden 7 --seed 3 --target-as value --epochs 2 --no-plot");
    let answer = run.ok("train --resume model.safetensors --epochs 3 --no-plot");
    assert!(answer.stderr.starts_with("GRU 1 -> 7 -> 1 on sunspots.csv"), "{}", answer.stderr);
    assert!(answer.stderr.contains(" 12 steps of "), "{}", answer.stderr);
    run.ok("train sunspots.csv --cell gru --hidden 7 --seed 3 --target-as value --epochs 3 --no-plot --out whole.safetensors");
    assert!(run.bytes("model.safetensors") == run.bytes("whole.safetensors"));
    // saying the same again is no contradiction; another number of threads neither
    run.ok("train sunspots.csv --resume model.safetensors --cell gru --hidden 7 --epochs 3 --no-plot --threads 2");
}

#[test]
fn what_cannot_be_resumed() {
    let run = Run::new();
    run.example("sunspots.csv");
    run.ok("train sunspots.csv --steps 20 --no-plot");
    run.misused("train --resume model.safetensors --hidden 33", &["--hidden 33", "32", "--steps"]);
    run.misused("train --resume model.safetensors --cell lstm", &["--cell", "lstm", "rnn"]);
    run.misused("train --resume model.safetensors --lr 0.5", &["--lr 0.5", "0.01"]);
    run.misused("train --resume model.safetensors --no-bias", &["--no-bias"]);
    run.misused("train --resume model.safetensors --seq-len 10", &["--seq-len 10", "20"]);
    run.misused("train --resume model.safetensors --schedule cosine", &["--schedule", "cosine"]);
    run.misused("train --resume model.safetensors --val-fraction 0.3", &["--val-fraction 0.3"]);
    run.fails("train --resume model.safetensors --steps 10", &["10", "20"]);
    run.fails("train --resume absent.safetensors", &["absent.safetensors"]);
    run.model("bare.safetensors", CellKind::Rnn, [1, 4, 1, 1]);
    run.fails("train --resume bare.safetensors", &["bare.safetensors", "--init"]);
    // the data is needed again, and must still be there
    std::fs::rename(run.path("sunspots.csv"), run.path("moved.csv")).unwrap();
    run.fails("train --resume model.safetensors --steps 30", &["sunspots.csv"]);
    run.ok("train moved.csv --resume model.safetensors --steps 30 --no-plot");
    // a checkpoint that was cut off, or of which something is missing
    let bytes = run.bytes("model.checkpoint.safetensors");
    run.file("cut.safetensors", &bytes[..bytes.len() - 9]);
    run.fails("train --resume cut.safetensors --steps 40", &["cut.safetensors", "cut off"]);
    for name in ["state.h", "exp_avg_sq.fc.bias", "best.rnn.weight_hh_l0"] {
        let mut parts = file::read(run.path("model.checkpoint.safetensors"), &file::ReadOptions::default()).unwrap();
        assert!(parts.extra.remove(name).is_some(), "{name}");
        let layout = Layout::new(&parts.shape);
        let weights: Vec<_> = layout.entries().iter().map(|entry| entry.name.clone()).zip(parts.weights).collect();
        let extra: Vec<_> = parts.extra.into_iter().collect();
        file::write(run.path("part.safetensors"), &parts.shape, &weights, &parts.metadata, &extra).unwrap();
        run.fails("train moved.csv --resume part.safetensors --steps 40", &["part.safetensors", name, "missing"]);
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c() {
    for flags in
        ["", "sunspots.csv --cell lstm", "sunspots.csv --state reset --batch 4 --layers 2 --dropout 0.2 --hidden 8"]
    {
        let run = Run::new();
        run.example("sunspots.csv");
        let flags = format!("train {flags} --no-plot");
        let talk = run.talk(&format!("{flags} --steps 100000000 --print-every 50 --log log.csv"));
        for step in [0, 50] {
            let line = talk.hear();
            assert!(line.starts_with(&format!("step {step:>6}  loss ")), "{line}");
        }
        talk.interrupt();
        let answer = talk.end();
        assert_eq!(answer.code, Some(1), "{}", answer.stderr);
        let said = answer.after("interrupted after ");
        let (done, next) = said.split_once(" steps; continue with: rnnstep ").unwrap();
        assert_eq!(next, "train --resume model.checkpoint.safetensors");
        let done: usize = done.parse().unwrap();
        assert!(done > 50);
        let names: Vec<String> = run.files().into_keys().collect();
        assert_eq!(names, ["log.csv", "model.checkpoint.safetensors", "sunspots.csv"]);
        assert_eq!(run.text("log.csv").lines().count(), done + 1);
        let total = done + 30;
        run.ok(&format!("{next} --no-plot --steps {total}"));
        run.ok(&format!("{flags} --steps {total} --out whole.safetensors"));
        assert!(run.bytes("model.safetensors") == run.bytes("whole.safetensors"), "{flags} after {done}");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_names_the_model_file_to_come() {
    let run = Run::new();
    let talk = run.talk("train --no-plot --steps 100000000 --out mine.safetensors");
    talk.hear();
    talk.interrupt();
    let answer = talk.end();
    let (done, next) = answer.after("interrupted after ").split_once(" steps; continue with: rnnstep ").unwrap();
    let total = done.parse::<usize>().unwrap() + 1;
    run.ok(&format!("{next} --steps {total}"));
    assert!(run.path("mine.safetensors").exists() && !run.path("model.safetensors").exists());
}

#[test]
fn a_resumed_training_goes_on_with_its_own_model_file() {
    let run = Run::new();
    run.ok("train --steps 10 --no-plot --out a.safetensors");
    run.ok("train --resume a.checkpoint.safetensors --steps 20 --no-plot");
    run.ok("train --resume a.safetensors --steps 30 --no-plot");
    assert_eq!(run.files().into_keys().collect::<Vec<_>>(), ["a.checkpoint.safetensors", "a.safetensors"]);
    run.ok("train --steps 30 --no-plot --out b.safetensors");
    assert!(run.bytes("a.safetensors") == run.bytes("b.safetensors"));
}

#[test]
fn two_files_cannot_have_one_name() {
    let run = Run::new();
    for args in ["--out m.svg", "--plot model.svg --log model.svg", "--save-grads model.safetensors"] {
        run.misused(&format!("train {args}"), &["is named for two files"]);
    }
    assert!(run.files().is_empty());
}

/// The lines of a training from the first one that begins with `from` on, but for how long it took and where its files are.
fn said(stdout: &str, from: &str) -> Vec<String> {
    let rest = stdout.lines().skip_while(|line| !line.starts_with(from));
    let changes = ["trained ", "model  ", "checkpoint  ", "plot  ", "next  "];
    rest.filter(|line| !changes.iter().any(|start| line.starts_with(start))).map(String::from).collect()
}

/// Whatever comes between, the pictures are those of a training that was never stopped: in a file, byte for byte, and here.
#[test]
fn the_plot_is_that_of_a_training_that_was_never_stopped() {
    let run = Run::new();
    run.example("sunspots.csv");
    let long: String = (0..160).map(|t| format!("{},{t},{}\n", ["a", "b"][t % 2], (t as f32 * 0.2).sin())).collect();
    run.file("long.csv", format!("shop,day,sold\n{long}"));
    for (flags, ending) in [
        ("", "svg"),
        ("", "png"),
        ("--cell lstm --loss quantiles:0.1,0.5 --seq-len 7", "svg"),
        ("sunspots.csv --cell gru", "svg"),
        ("sunspots.csv --state reset --batch 8", "png"),
        ("long.csv --series shop --column sold --seq-len 4", "svg"),
    ] {
        let whole = run.ok(&format!("train {flags} --steps 80 --out whole.safetensors --plot whole.{ending}"));
        // stopped on a step that is shown, on one that is not, and at the very end
        run.ok(&format!("train {flags} --steps 31 --out half.safetensors --plot half.{ending}"));
        run.ok(&format!("train --resume half.safetensors --steps 44 --plot half.{ending}"));
        let last = run.ok(&format!("train --resume half.safetensors --steps 80 --plot half.{ending}"));
        assert!(run.bytes(&format!("whole.{ending}")) == run.bytes(&format!("half.{ending}")), "{flags}");
        let from = if flags.is_empty() { "step     45" } else { "best loss" };
        assert_eq!(said(&whole.stdout, from), said(&last.stdout, from), "{flags}");
        assert!(!said(&whole.stdout, "step").is_empty());
        // nothing is left to do, and the plot is still the same
        std::fs::remove_file(run.path(&format!("half.{ending}"))).unwrap();
        run.ok(&format!("train --resume half.safetensors --steps 80 --plot half.{ending}"));
        assert!(run.bytes(&format!("whole.{ending}")) == run.bytes(&format!("half.{ending}")), "{flags}, again");
        assert!(run.bytes("whole.checkpoint.safetensors") == run.bytes("half.checkpoint.safetensors"), "{flags}");
    }
}

/// The same after SIGKILL.
#[cfg(unix)]
#[test]
fn the_plot_after_a_kill() {
    let run = Run::new();
    run.ok("train --steps 900 --out whole.safetensors");
    let talk = run.talk("train --steps 100000000 --save-every 7 --out half.safetensors");
    let mut heard = String::new();
    while !heard.starts_with("step    300") {
        heard = talk.hear();
    }
    talk.kill();
    run.ok("train --resume half.checkpoint.safetensors --steps 900");
    assert!(run.bytes("whole.svg") == run.bytes("half.svg"));
}

/// A checkpoint without the windows of a plot, of before they were kept or of `--no-plot`, is gone on with, and that the plot
/// lacks a part is said.
#[test]
fn a_checkpoint_without_windows() {
    let run = Run::new();
    run.ok("train --steps 40 --out half.safetensors");
    let mut parts = file::read(run.path("half.checkpoint.safetensors"), &file::ReadOptions::default()).unwrap();
    let kept = parts.extra.len();
    parts.extra.retain(|name, _| !name.starts_with("beside."));
    assert_eq!(kept - parts.extra.len(), 4); // 0, 15, 30 and the last
    let write = |extra: Vec<(String, Array)>| {
        let layout = Layout::new(&parts.shape);
        let weights: Vec<_> =
            layout.entries().iter().map(|entry| entry.name.clone()).zip(parts.weights.clone()).collect();
        file::write(run.path("half.checkpoint.safetensors"), &parts.shape, &weights, &parts.metadata, &extra).unwrap();
    };
    let extra: Vec<_> = parts.extra.clone().into_iter().collect();
    write(extra.clone());
    let answer = run.ok("train --resume half.safetensors --steps 50");
    let note = "half.checkpoint.safetensors: was trained with --no-plot";
    assert!(answer.stderr.contains(note), "{}", answer.stderr);
    run.ok("train --resume half.safetensors --steps 60 --no-plot");
    assert!(run.ok("train --resume half.safetensors --steps 70").stderr.contains(note));
    assert!(!run.ok("train --resume half.safetensors --steps 80").stderr.contains(note));
    write([extra, vec![("beside.frame.15".into(), Tensor::<f32>::zeros([3]).into())]].concat());
    run.fails("train --resume half.safetensors --steps 50", &["half.checkpoint.safetensors", "frame.15", "[3]"]);
}

/// What was chosen for the rows of the beginning is not taken for others.
#[test]
fn a_chosen_target_belongs_to_its_rows() {
    let run = Run::new();
    run.example("sunspots.csv");
    let answer = run.ok("train sunspots.csv --epochs 2 --no-plot");
    assert!(answer.stderr.contains("target as: residual of an autoregression over 9 rows"), "{}", answer.stderr);
    let said = run.ok("info model.safetensors").stdout;
    assert!(said.contains("what a linear autoregression leaves over") && said.contains(" at lag 1, "), "{said}");
    let before = run.bytes("model.safetensors");
    // the rows that are held out may change; then only the finished model is another one
    let lines: Vec<String> = run.text("sunspots.csv").lines().map(String::from).collect();
    let with = |changed: usize| {
        let line =
            |(i, line): (usize, &String)| if i == changed { format!("{},99\n", 1699 + i) } else { format!("{line}\n") };
        lines.iter().enumerate().map(line).collect::<String>()
    };
    run.file("sunspots.csv", with(300));
    run.ok("train --resume model.safetensors --epochs 2 --no-plot --out other.safetensors");
    run.file("sunspots.csv", with(100));
    run.fails(
        "train --resume model.safetensors --epochs 3 --no-plot",
        &["sunspots.csv", "another autoregression", "train anew"],
    );
    assert!(run.bytes("model.safetensors") == before);
}
