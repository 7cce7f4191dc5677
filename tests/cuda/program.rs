//! The program on a card, from end to end, on the emulated device: what it gives agrees with the CPU, checkpoints move
//! from one to the other, and what cannot be is refused in one line.
#![cfg(feature = "cli")]

use crate::emulator::{Emulator, Kind};
use rnnstep::Cpu;
use rnnstep::Isa;
use rnnstep::train::checkpoint::Checkpoint;
#[cfg(unix)]
use std::io::{BufRead, BufReader};
use std::path::Path;
#[cfg(unix)]
use std::process::Stdio;
use std::process::{Command, Output};
use tempfile::TempDir;

/// A folder to work in, and a device. None without a C++ compiler.
struct Card {
    folder: TempDir,
    emulator: Emulator,
}

impl Card {
    fn new() -> Option<Self> {
        Some(Self { folder: tempfile::tempdir().unwrap(), emulator: Emulator::new(Kind::Plain)? })
    }

    fn command(&self, emulator: &Emulator) -> Command {
        let mut command = emulator.command(env!("CARGO_BIN_EXE_rnnstep"));
        command.current_dir(self.folder.path()).env("RNNSTEP_CACHE", self.folder.path().join("cache"));
        command.env_remove("RNNSTEP_NVRTC");
        command
    }

    fn on(&self, emulator: &Emulator, line: &str) -> Output {
        self.command(emulator).args(line.split(' ')).output().unwrap()
    }

    /// What a command that must succeed says on stdout.
    fn ok(&self, line: &str) -> String {
        let output = self.on(&self.emulator, line);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The one line that a command refuses with.
    fn refused(&self, emulator: &Emulator, line: &str) -> String {
        one_line(&self.on(emulator, line), line)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }
}

fn one_line(output: &Output, line: &str) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{line}: {said}");
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    assert!(errors.len() == 1 && !said.contains("panicked"), "{line}: {said}");
    errors[0].to_string()
}

fn losses(path: &Path) -> Vec<f64> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse().unwrap()).collect()
}

fn numbers(text: &str) -> Vec<f64> {
    text.lines().skip(1).filter_map(|line| line.split(',').next_back()?.parse().ok()).collect()
}

fn near(found: &[f64], truth: &[f64], tolerance: f64) {
    assert_eq!(found.len(), truth.len());
    for (i, (a, b)) in found.iter().zip(truth).enumerate() {
        assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{i}: {a}, not {b}");
    }
}

#[test]
fn a_training_goes_on_elsewhere() {
    let Some(card) = Card::new() else { return };
    card.ok("train --cell gru --steps 40 --no-plot --device cpu --out cpu.safetensors --log whole.csv");
    card.ok("train --resume cpu.checkpoint.safetensors --steps 60 --no-plot --device cpu --log whole.csv");
    let truth = losses(&card.path("whole.csv"));
    for (first, second) in [("cuda", "cpu"), ("cpu", "cuda"), ("cuda", "cuda")] {
        let line = format!("train --cell gru --steps 40 --no-plot --device {first} --out m.safetensors --log log.csv");
        card.ok(&line);
        card.ok(&format!(
            "train --resume m.checkpoint.safetensors --steps 60 --no-plot --device {second} --log log.csv"
        ));
        let found = losses(&card.path("log.csv"));
        assert_eq!(found.len(), 60, "{first}, then {second}");
        near(&found, &truth, 1e-4);
    }
}

/// The order of sums follows the card: whoever goes on on another one is told, and on one of the same words the bits are those
/// of a training that never stopped.
#[test]
fn another_card_is_named() {
    let Some(card) = Card::new() else { return };
    // so many sequences that 16 multiprocessors take two in a block and 64 take one
    let flags = "--cell lstm --hidden 64 --seq-len 3 --batch 33 --state reset --no-plot";
    let rows: String = (0..150).map(|i| format!("{:.4}\n", (f64::from(i) * 0.3).sin())).collect();
    std::fs::write(card.path("x.csv"), format!("v\n{rows}")).unwrap();
    let [small, large] = [16, 64].map(|count| card.emulator.clone().with("EMULATOR_SMS", count));
    let train = |emulator: &Emulator, line: &str| {
        let output = card.on(emulator, line);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{line}: {said}");
        said
    };
    let whole = format!("train x.csv {flags} --device cuda --steps 4 --out whole.safetensors");
    train(&small, &whole);
    let bytes = |name: &str| std::fs::read(card.path(name)).unwrap();
    let first = |emulator: &Emulator, device: &str| {
        train(emulator, &format!("train x.csv {flags} --device {device} --steps 2 --out m.safetensors"));
    };
    let second = |emulator: &Emulator, device: &str| {
        train(emulator, &format!("train --resume m.safetensors --no-plot --device {device} --steps 4"))
    };
    first(&small, "cuda");
    let said = second(&small, "cuda");
    assert!(!said.contains("bits"), "{said}");
    assert!(bytes("m.safetensors") == bytes("whole.safetensors"), "the same card, the same bits");
    assert!(bytes("m.checkpoint.safetensors") == bytes("whole.checkpoint.safetensors"));
    let (sixteen, sixty_four) = ("(sm_80, 16 multiprocessors), f32", "(sm_80, 64 multiprocessors), f32");
    for (before, there, now, here, words) in [
        (&small, "cuda", &large, "cuda", [sixteen, sixty_four]),
        (&small, "cuda", &small, "cpu", [sixteen, "a processor"]),
        (&small, "cpu", &large, "cuda", ["a processor", sixty_four]),
        (&small, "cuda", &small, "cuda --dtype bf16", [sixteen, "(sm_80, 16 multiprocessors), bf16"]),
    ] {
        first(before, there);
        let said = second(now, here);
        let notes: Vec<&str> = said.lines().filter(|line| line.contains("the last bits may differ")).collect();
        assert!(notes.len() == 1 && notes[0].starts_with("note: m.checkpoint.safetensors: "), "{said}");
        assert!(words.iter().all(|word| notes[0].contains(word)), "{said}");
    }
    first(&small, "cpu");
    let said = second(&small, "cpu");
    assert!(!said.contains("bits"), "{said}");
}

/// One value of 60,000 times the range of the training, and then a weight that f16 has no number for.
#[test]
fn what_f16_cannot_hold() {
    let Some(card) = Card::new() else { return };
    let rows = |outlier: f64| -> String {
        let row = |i: i32| if i == 20 { outlier } else { (f64::from(i) * 0.3).sin() };
        (0..60).map(|i| format!("{:.4}\n", row(i))).collect()
    };
    std::fs::write(card.path("x.csv"), format!("v\n{}", rows(0.5))).unwrap();
    std::fs::write(card.path("far.csv"), format!("v\n{}", rows(2e5))).unwrap();
    card.ok("train x.csv --cell lstm --hidden 20 --seq-len 5 --epochs 3 --no-plot --device cpu --out m.safetensors");
    let truth = numbers(&card.ok("predict m.safetensors far.csv --device cpu"));
    assert!(truth.len() > 30 && truth.iter().all(|y| y.is_finite()));
    for dtype in ["f32", "tf32", "bf16", "f16"] {
        let found = numbers(&card.ok(&format!("predict m.safetensors far.csv --device cuda --dtype {dtype}")));
        near(&found, &truth, 0.1);
    }
    let loaded = rnnstep::model::file::load(
        card.path("m.safetensors"),
        &rnnstep::model::file::ReadOptions::default(),
        Cpu::widest(),
    )
    .unwrap();
    let mut weights = loaded.model.weights();
    let (name, weight) = weights.iter_mut().find(|(name, _)| name.ends_with("weight_hh_l0")).unwrap();
    let name = name.clone();
    let mut values = weight.data().to_vec();
    values[7] = 70_000.0;
    *weight = rnnstep::Tensor::new(weight.dims().to_vec(), values).unwrap();
    let weights: Vec<rnnstep::Tensor> = weights.into_iter().map(|(_, tensor)| tensor).collect();
    rnnstep::Model::from_weights(*loaded.model.shape(), &weights).unwrap().save(card.path("big.safetensors")).unwrap();
    for line in ["predict big.safetensors x.csv", "train x.csv --init big.safetensors --no-plot --out n.safetensors"] {
        let said = card.refused(&card.emulator, &format!("{line} --device cuda --dtype f16"));
        assert!(said.contains(&name) && said.contains("70000") && said.contains("f16"), "{said}");
        assert!(!card.path("n.safetensors").exists());
        card.ok(&format!("{line} --device cuda --dtype bf16"));
        let _ = std::fs::remove_file(card.path("n.safetensors"));
    }
}

#[test]
fn answers_agree_with_the_cpu() {
    let Some(card) = Card::new() else { return };
    let rows: Vec<String> = (0..60).map(|i| format!("{:.4}", (f64::from(i) * 0.3).sin())).collect();
    std::fs::write(card.path("x.csv"), format!("v\n{}\n", rows.join("\n"))).unwrap();
    card.ok("train x.csv --cell lstm --hidden 20 --seq-len 5 --epochs 3 --no-plot --device cpu --out m.safetensors");
    for (command, tolerance) in
        [("predict m.safetensors x.csv", 1e-5), ("forecast m.safetensors x.csv --steps 5", 1e-5)]
    {
        let truth = numbers(&card.ok(&format!("{command} --device cpu")));
        for frame in ["one-block", "many-blocks", "step-wise"] {
            let found = numbers(&card.ok(&format!("{command} --device cuda --frame {frame}")));
            near(&found, &truth, tolerance);
        }
        for dtype in ["tf32", "bf16", "f16"] {
            near(&numbers(&card.ok(&format!("{command} --device cuda:0 --dtype {dtype}"))), &truth, 0.1);
        }
    }
    let epochs = "train x.csv --cell gru --hidden 9 --layers 2 --seq-len 4 --batch 3 --epochs 2 --clip 0.5 --dropout 0.2 \
                  --state reset --no-plot --log log.csv";
    card.ok(&format!("{epochs} --device cpu --out a.safetensors"));
    let truth = losses(&card.path("log.csv"));
    card.ok(&format!("{epochs} --device cuda --out b.safetensors"));
    near(&losses(&card.path("log.csv")), &truth, 1e-4);
    let info = card.ok("info m.safetensors --frame step-wise");
    assert!(info.contains("Emulated sm_80, step-wise: a product and a cell for each step"), "{info}");
    assert!(card.ok("info").contains("cuda:0    Emulated sm_80"));
    let info = card.ok("info m.safetensors");
    assert!(
        info.contains(" 1 sequence and 0 KiB of dynamic shared memory in a block, 1 block holds the weights\n"),
        "{info}"
    );
    let info = card.ok("info m.safetensors --frame many-blocks");
    assert!(info.contains(" blocks share the weights\n"), "{info}");
}

#[test]
fn bench() {
    let Some(card) = Card::new() else { return };
    card.ok("train --steps 2 --no-plot --device cpu --out m.safetensors");
    // all that there is, and the card alone
    for (line, devices) in
        [("bench m.safetensors", Isa::available().len() + 1), ("bench m.safetensors --device cuda", 1)]
    {
        let said = card.ok(&format!("{line} --seconds 0.01 --out b.csv"));
        assert!(said.contains("\ncuda:0    Emulated sm_80\n") && said.contains("cuda:0: at most "), "{said}");
        let table = std::fs::read_to_string(card.path("b.csv")).unwrap();
        assert_eq!(table.lines().count(), 1 + 2 + 6 * devices, "{table}");
        assert_eq!(table.lines().filter(|line| line.contains(",f32,cuda:0,")).count(), 6, "{table}");
    }
    // a card that cannot be had is left out where it was not asked for
    let mut command = card.command(&card.emulator);
    let line = "bench m.safetensors --seconds 0.01 --no-cache";
    let output = command.env("RNNSTEP_NVRTC", card.folder.path()).args(line.split(' ')).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("\ncuda:0    left out, "), "{said}");
    assert!(!said.contains("\ncuda:0\n"), "{said}");
    let said = card.ok("bench --isa portable --weights int8 --seconds 0.01");
    assert!(said.contains("\ncuda      left out, ") && said.contains("ask for it with --device cuda"), "{said}");
}

#[test]
fn bundles() {
    let Some(card) = Card::new() else { return };
    std::fs::write(card.path("x.csv"), "v\n0.1\n0.2\n0.3\n").unwrap();
    card.ok("train --steps 2 --no-plot --device cpu --out m.safetensors");
    card.ok("train --steps 2 --hidden 9 --no-plot --device cpu --out other.safetensors");
    card.ok("compile m.safetensors --arch sm_80,sm_87 --out m.bundle");
    let predict = "predict m.safetensors x.csv --device cuda --bundle m.bundle";
    let truth = numbers(&card.ok("predict m.safetensors x.csv --device cpu"));
    // with no compiler at all
    let mut command = card.command(&card.emulator);
    let output = command.env("RNNSTEP_NVRTC", card.folder.path()).args(predict.split(' ')).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    near(&numbers(&String::from_utf8(output.stdout).unwrap()), &truth, 1e-6);
    assert!(!card.path("cache").exists(), "a bundle needs no cache");
    let hopper = card.emulator.clone().with("EMULATOR_ARCH", 90);
    let refusals = [
        (&hopper, predict, "has kernels for sm_80, sm_87, and this GPU is sm_90"),
        (&card.emulator, "predict other.safetensors x.csv --device cuda --bundle m.bundle", "another model"),
        (&card.emulator, "predict m.safetensors x.csv --device cuda --bundle x.csv", "not a bundle"),
        (
            &card.emulator,
            &format!("{predict} --dtype bf16"),
            "compiled for other options; compile the bundle again with the",
        ),
        (
            &card.emulator,
            &format!("{predict} --frame step-wise"),
            "--dtype, --frame and --batch that are asked for here",
        ),
    ];
    for (emulator, line, reason) in refusals {
        let said = card.refused(emulator, line);
        assert!(said.contains(reason), "{line}: {said}");
    }
    let mut command = card.command(&card.emulator);
    let line = "predict m.safetensors x.csv --device cuda --no-cache";
    let output = command.args(line.split(' ')).output().unwrap();
    assert!(output.status.success() && !card.path("cache").exists(), "--no-cache leaves nothing");
}

#[test]
fn what_cannot_be() {
    let Some(card) = Card::new() else { return };
    std::fs::write(card.path("x.csv"), "v\n0.1\n0.2\n0.3\n").unwrap();
    card.ok("train --steps 2 --no-plot --device cpu --out m.safetensors");
    let with = |name, value: u64| card.emulator.clone().with(name, value);
    let lacking = Emulator::lacking(&["cuGraphLaunch"]).unwrap();
    let (none, old) = (with("EMULATOR_DEVICES", 0), with("EMULATOR_DRIVER", 10_020));
    let cases = [
        (&Emulator::broken(), "cuda", "no NVIDIA driver"),
        (&none, "cuda", "sees no GPU"),
        (&old, "cuda", "CUDA 10.2"),
        (&lacking, "cuda", "cuGraphLaunch"),
        (&card.emulator, "cuda:9", "cuda:9"),
    ];
    for (emulator, device, reason) in cases {
        let said = card.refused(emulator, &format!("predict m.safetensors x.csv --device {device}"));
        assert!(said.contains(reason), "{device}: {said}");
        if device == "cuda" {
            let output = card.on(emulator, "predict m.safetensors x.csv --device auto");
            assert!(output.status.success(), "auto goes on: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    assert!(card.refused(&card.emulator, "gates m.safetensors x.csv --device cuda").contains("on the CPU only"));
    let said = card.on(&card.emulator, "predict m.safetensors x.csv").stderr;
    assert!(String::from_utf8_lossy(&said).contains("device auto: cpu, not worth a GPU"));
    // memory that ends here and there, the last time after the training, when the new model is written already
    let before = std::fs::read(card.path("m.safetensors")).unwrap();
    for bytes in [1_000, 20_000, 60_000, 100_000] {
        let emulator = with("EMULATOR_MEMORY", bytes);
        let said = card.refused(&emulator, "train --steps 9 --device cuda --no-plot --out m.safetensors");
        assert!(said.contains("not enough memory"), "{bytes}: {said}");
        if bytes < 100_000 {
            assert_eq!(std::fs::read(card.path("m.safetensors")).unwrap(), before);
        }
        card.ok("info m.safetensors --device cpu");
    }
}

#[test]
fn a_damaged_cache_is_made_anew() {
    let Some(card) = Card::new() else { return };
    std::fs::write(card.path("x.csv"), "v\n0.1\n0.2\n0.3\n").unwrap();
    card.ok("train --steps 2 --no-plot --device cpu --out m.safetensors");
    let truth = card.ok("predict m.safetensors x.csv --device cuda");
    let entries = || std::fs::read_dir(card.path("cache")).unwrap().map(|entry| entry.unwrap().path());
    assert!(entries().count() > 0);
    for damage in [0, 100] {
        for path in entries() {
            let mut bytes = std::fs::read(&path).unwrap();
            bytes.truncate(bytes.len() - damage);
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
        assert_eq!(card.ok("predict m.safetensors x.csv --device cuda"), truth);
    }
}

/// The message has the compiler's own words, with file and line.
#[test]
fn a_kernel_that_does_not_compile() {
    let Some(card) = Card::new() else { return };
    std::fs::write(card.path("x.csv"), "v\n0.1\n0.2\n0.3\n").unwrap();
    card.ok("train --cell lstm --steps 2 --no-plot --device cpu --out m.safetensors");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/kernels/");
    for (file, text, other) in [("lstm.cu", "saved[0] = i,", "saved[0] = iota,"), ("tile.cuh", "= HIDDEN,", "= HIDEN,")]
    {
        let emulator = card.emulator.clone().with_edit([file, text, other]);
        let output = card.on(&emulator, "predict m.safetensors x.csv --device cuda");
        let said = one_line(&output, file);
        assert!(said.starts_with("error: lstm.cu (") && said.contains("does not compile for sm_80"), "{said}");
        let source = std::fs::read_to_string(format!("{folder}{file}")).unwrap();
        let line = source.lines().position(|line| line.contains(text)).unwrap() + 1;
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(
            log.lines().any(|said| said.starts_with(&format!("{file}:{line}:")) && said.contains("error: ")),
            "{log}"
        );
        assert!(log.contains(other) && output.stdout.is_empty(), "{log}");
        // a card that is not asked for by name, and not worth it here, is no hindrance
        assert!(card.on(&emulator, "predict m.safetensors x.csv").status.success());
    }
    assert!(!card.path("cache").exists(), "what does not compile is not kept");
    // one that would be worth it is given up in a line
    let rows: String = (0..2000).map(|i| format!("{}\n", (f64::from(i) * 0.1).sin())).collect();
    std::fs::write(card.path("long.csv"), rows).unwrap();
    let line = "train long.csv --hidden 64 --batch 64 --epochs 1 --no-plot";
    let broken = card.emulator.clone().with_edit(["training.cuh", "// The numbers of one step.", "!"]);
    let mut no_compiler = card.command(&card.emulator);
    let output = no_compiler.env("RNNSTEP_NVRTC", card.folder.path()).args(line.split(' ')).output().unwrap();
    for (output, why) in [(card.on(&broken, line), "training.cu does not compile"), (output, "NVRTC")] {
        let said = String::from_utf8(output.stderr).unwrap();
        let given_up = said.lines().any(|line| line.starts_with("device auto: cpu, ") && line.contains(why));
        assert!(output.status.success() && given_up, "{why}: {said}");
    }
    let said = String::from_utf8(card.on(&card.emulator, line).stderr).unwrap();
    assert!(said.contains("device auto: Emulated sm_80, worth it"), "{said}");
}

/// As on the CPU, `tests/cli/resume.rs`: nothing that was done is lost.
#[cfg(unix)]
#[test]
fn ctrl_c() {
    let Some(card) = Card::new() else { return };
    // one kernel for many steps, and a graph of kernels for each
    for flags in ["train --cell gru --no-plot --device cuda", "train --layers 2 --hidden 9 --no-plot --device cuda"] {
        let mut command = card.command(&card.emulator);
        command.args(format!("{flags} --steps 100000000 --print-every 50 --log log.csv").split(' '));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        for step in [0, 50] {
            let line = stdout.next().unwrap_or_default();
            assert!(line.starts_with(&format!("step {step:>6}  loss ")), "{line}");
        }
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        let last = stdout.last().unwrap_or_default();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        let (done, next) = last.split_once(" steps; continue with: rnnstep ").unwrap_or_else(|| panic!("{last}"));
        assert_eq!(next, "train --resume model.checkpoint.safetensors");
        let done: usize = done.strip_prefix("interrupted after ").unwrap().parse().unwrap();
        assert!(done > 50 && !card.path("model.safetensors").exists());
        assert_eq!(losses(&card.path("log.csv")).len(), done);
        let total = done + 30;
        card.ok(&format!("{next} --no-plot --device cuda --steps {total} --log log.csv"));
        card.ok(&format!("{flags} --steps {total} --out whole.safetensors --log whole.csv"));
        assert_eq!(losses(&card.path("log.csv")), losses(&card.path("whole.csv")), "{flags} after {done}");
        let bytes = |name| std::fs::read(card.path(name)).unwrap();
        assert!(bytes("model.safetensors") == bytes("whole.safetensors"), "{flags} after {done}");
        std::fs::remove_file(card.path("model.safetensors")).unwrap();
    }
}

/// As on the CPU, `tests/cli/killed.rs`: what is saved on the way is all that a training depends on.
#[cfg(unix)]
#[test]
fn killed() {
    let Some(card) = Card::new() else { return };
    // one kernel for many steps, and a graph of kernels for each
    for flags in ["--cell gru", "--layers 2 --hidden 9"] {
        let whole = format!("train {flags} --no-plot --device cuda");
        let line = format!("{whole} --save-every 10 --print-every 10 --steps 100000000 --log log.csv");
        let mut command = card.command(&card.emulator);
        command.args(line.split(' '));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(stdout.take(4).map(Result::unwrap).count(), 4);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!card.path("model.safetensors").exists());
        let checkpoint = card.path("model.checkpoint.safetensors");
        let done = Checkpoint::load(checkpoint, Cpu::widest()).unwrap().steps_done();
        assert!(done >= 20 && done.is_multiple_of(10), "{flags}: {done}");
        let total = done + 15;
        card.ok(&format!("train --resume model.safetensors --no-plot --device cuda --steps {total} --log log.csv"));
        card.ok(&format!("{whole} --steps {total} --out whole.safetensors --log whole.csv"));
        let bytes = |name| std::fs::read(card.path(name)).unwrap();
        assert!(bytes("model.safetensors") == bytes("whole.safetensors"), "{flags} after {done}");
        assert!(bytes("model.checkpoint.safetensors") == bytes("whole.checkpoint.safetensors"), "{flags} after {done}");
        assert!(bytes("log.csv") == bytes("whole.csv"), "{flags} after {done}");
        std::fs::remove_file(card.path("model.safetensors")).unwrap();
    }
}
