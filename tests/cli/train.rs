//! `rnnstep train` without data trains the tutorial; the options that hold for any data do what
//! `--help` says.

use super::run::Run;
use rnnstep::{CellKind, Cpu, Isa, Model, Shape};

/// The printed losses: step and loss.
fn losses(stdout: &str) -> Vec<(usize, f64)> {
    let line = |line: &str| {
        let (step, loss) = line.strip_prefix("step ")?.split_once("loss")?;
        Some((step.trim().parse().unwrap(), loss.trim().parse().unwrap()))
    };
    stdout.lines().filter_map(line).collect()
}

/// The rows of a log: step, loss, learning rate, loss on the held-out part.
fn log(text: &str) -> Vec<(usize, f64, f64, Option<f64>)> {
    assert_eq!(text.lines().next(), Some("step,loss,lr,val_loss"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cells.len(), 4, "{line}");
        (cells[0].parse().unwrap(), cells[1].parse().unwrap(), cells[2].parse().unwrap(), cells[3].parse().ok())
    };
    text.lines().skip(1).map(row).collect()
}

#[test]
fn the_tutorial() {
    let run = Run::new();
    let answer = run.ok("train --log losses.csv");
    assert_eq!(
        answer.stderr,
        format!(
            "RNN 1 -> 32 -> 1 on the built-in sine: 1153 parameters, 75 steps of 1 x 20, {}\n",
            Cpu::widest().isa().name()
        )
    );
    let printed = losses(&answer.stdout);
    assert_eq!(printed.iter().map(|&(step, _)| step).collect::<Vec<_>>(), [0, 15, 30, 45, 60, 74]);
    assert!(printed[0].1 > 0.1 && printed[5].1 < 0.02, "{printed:?}");
    let rows = log(&run.text("losses.csv"));
    assert_eq!(rows.len(), 75);
    for (step, loss) in printed {
        assert_eq!(rows[step].0, step);
        assert!((rows[step].1 - loss).abs() <= 1e-4 * loss, "step {step}: {} printed as {loss}", rows[step].1);
    }
    // a plot each time: a title, a legend and braille
    for k in [0, 15, 30, 45, 60] {
        let title = format!("step {k}");
        assert!(answer.stdout.lines().any(|line| line.trim_end() == title), "{}", answer.stdout);
    }
    assert_eq!(answer.stdout.matches("o input").count(), 5);
    assert!(answer.stdout.contains('⠒') && !answer.stdout.contains('\u{1b}'), "colours where no terminal is");
    assert!(answer.after("trained 75 steps in").ends_with('s'));
    assert!(answer.stdout.contains("sine: RMSE ") && answer.stdout.contains("better than the last value"));
    assert_eq!(answer.after("model "), "model.safetensors");
    assert_eq!(answer.after("checkpoint "), "model.checkpoint.safetensors");
    assert_eq!(answer.after("plot "), "model.svg");
    let files = run.files();
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(names, ["losses.csv", "model.checkpoint.safetensors", "model.safetensors", "model.svg"]);
    let picture = run.text("model.svg");
    let picture = roxmltree::Document::parse(&picture).unwrap();
    assert!(
        picture
            .descendants()
            .filter(|node| node.has_tag_name("text"))
            .any(|node| node.text().is_some_and(|text| text.contains("step 60")))
    );
    // PyTorch's names and nothing else
    let tensors = run.tensors("model.safetensors");
    let names: Vec<&str> = tensors.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["fc.bias", "fc.weight", "rnn.bias_hh_l0", "rnn.bias_ih_l0", "rnn.weight_hh_l0", "rnn.weight_ih_l0"]
    );
    // and what it says to type next works
    let next = answer.after("next ").strip_prefix("rnnstep ").unwrap().to_string();
    assert_eq!(run.ok(&next).stdout.lines().count(), 41);
}

#[test]
fn how_much_is_printed_and_plotted() {
    let run = Run::new();
    let answer = run.ok("train --steps 12 --print-every 5 --no-plot --out a.safetensors");
    let steps: Vec<usize> = losses(&answer.stdout).into_iter().map(|(step, _)| step).collect();
    assert_eq!(steps, [0, 5, 10, 11]);
    assert!(!answer.stdout.contains("input") && !answer.stdout.contains("plot "), "{}", answer.stdout);
    assert_eq!(run.files().len(), 2);
    let answer = run.ok("train --steps 3 --plot p.png --out b.safetensors");
    assert_eq!(answer.after("plot "), "p.png");
    assert!(run.bytes("p.png").starts_with(b"\x89PNG"));
    // the same training, plotted or not
    let answer = run.ok("train --steps 12 --print-every 1000 --out c.safetensors");
    assert_eq!(losses(&answer.stdout).into_iter().map(|(step, _)| step).collect::<Vec<_>>(), [0, 11]);
    assert!(run.bytes("a.safetensors") == run.bytes("c.safetensors"));
    // as wide as the terminal is said to be
    let answer = run.with("COLUMNS", "50").ok("train --steps 1");
    assert!(answer.stdout.lines().any(|line| line.contains("└──") && line.chars().count() == 50), "{}", answer.stdout);
}

#[test]
fn no_steps_write_the_weights_of_the_start() {
    let run = Run::new();
    run.ok("train --steps 0 --seed 4");
    let start = Model::random(Shape::new(CellKind::Rnn, 1, 32, 1, 1).unwrap(), 4).unwrap();
    for (name, tensor) in start.weights() {
        assert_eq!(run.tensors("model.safetensors")[&name], tensor);
    }
    // and a finished training resumed has nothing to do
    run.ok("train --steps 3 --out b.safetensors");
    let before = run.bytes("b.safetensors");
    run.ok("train --resume b.safetensors --out b.safetensors");
    assert!(run.bytes("b.safetensors") == before);
    // but for the plot that it had
    let answer = run.ok("train --resume b.safetensors --out b.safetensors --plot again.svg");
    assert_eq!(answer.after("plot "), "again.svg");
    assert!(run.bytes("again.svg") == run.bytes("b.svg"));
}

#[test]
fn the_same_seed_gives_the_same_bytes_whatever_computes_them() {
    let run = Run::new();
    let model = |args: &str| {
        run.ok(&format!("train --steps 30 --no-plot {args}"));
        run.bytes("model.safetensors")
    };
    let (first, other) = (model(""), model("--seed 1"));
    assert!(first == model("--seed 0"));
    assert!(other == model("--seed 1"));
    assert!(first != other);
    for isa in Isa::available() {
        assert!(first == model(&format!("--isa {}", isa.name())), "{}", isa.name());
    }
    for cell in CellKind::ALL.map(CellKind::name) {
        run.example("sunspots.csv");
        let args = format!("sunspots.csv --cell {cell} --hidden 33 --layers 2 --batch 9 --dropout 0.3 --state reset");
        let one = model(&args);
        assert!(one == model(&format!("{args} --threads 2")), "{cell}: threads");
        for isa in Isa::available() {
            assert!(one == model(&format!("{args} --isa {}", isa.name())), "{cell}: {}", isa.name());
        }
    }
}

#[test]
fn the_instruction_set_is_chosen_and_said() {
    for isa in Isa::available() {
        let run = Run::new().with("RNNSTEP_ISA", isa.name());
        assert!(run.ok("train --steps 1 --no-plot").stderr.trim_end().ends_with(isa.name()));
        // the flag goes before the variable
        let answer = run.ok("train --steps 1 --no-plot --isa portable");
        assert!(answer.stderr.trim_end().ends_with("portable"), "{}", answer.stderr);
    }
    Run::new().with("RNNSTEP_ISA", "mmx").fails("train --steps 1", &["RNNSTEP_ISA", "mmx"]);
    let run = Run::new();
    run.fails("train --steps 1 --isa mmx", &["mmx", "portable"]);
    let absent = if cfg!(target_arch = "x86_64") { "neon" } else { "avx2" };
    run.fails(&format!("train --steps 1 --isa {absent}"), &[absent]);
}

#[test]
fn gradients_of_the_first_step() {
    let run = Run::new();
    let start = Model::random(Shape::new(CellKind::Lstm, 1, 5, 1, 1).unwrap(), 3).unwrap();
    run.ok(
        "train --cell lstm --hidden 5 --seed 3 --steps 1 --no-plot --optimizer sgd --lr 0.5 --save-grads g.safetensors",
    );
    let (grads, after) = (run.tensors("g.safetensors"), run.tensors("model.safetensors"));
    assert_eq!(grads.len(), 6);
    let norm = grads.values().flat_map(|tensor| tensor.data()).map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
    for (name, before) in start.weights() {
        assert_eq!(grads[&name].dims(), before.dims());
        assert!(grads[&name].data().iter().any(|&g| g != 0.0), "{name}");
        for ((w0, w1), g) in before.data().iter().zip(after[&name].data()).zip(grads[&name].data()) {
            assert!((w0 - 0.5 * g - w1).abs() < 1e-6, "{name}: {w0} - 0.5 * {g} is not {w1}");
        }
    }
    // of the first step only, and before clipping; clipping then shortens the step
    let flags =
        "train --cell lstm --hidden 5 --seed 3 --no-plot --optimizer sgd --lr 0.5 --save-grads clipped.safetensors";
    run.ok(&format!("{flags} --steps 1 --clip 0.01"));
    assert!(run.bytes("g.safetensors") == run.bytes("clipped.safetensors"));
    let clipped = run.tensors("model.safetensors");
    let moved: f64 = start
        .weights()
        .iter()
        .flat_map(|(name, before)| {
            before
                .data()
                .iter()
                .zip(clipped[name].data())
                .map(|(w0, w1)| f64::from(w1 - w0).powi(2))
                .collect::<Vec<_>>()
        })
        .sum();
    assert!(norm > 0.01 && (moved.sqrt() - 0.005).abs() < 1e-6, "gradient {norm}, moved {}", moved.sqrt());
    run.ok(&format!("{flags} --steps 9"));
    assert!(run.bytes("g.safetensors") == run.bytes("clipped.safetensors"));
}

#[test]
fn learning_rates_follow_the_schedule() {
    let run = Run::new();
    let rates = |args: &str| {
        run.ok(&format!("train --steps 8 --lr 0.08 --no-plot --log log.csv {args}"));
        log(&run.text("log.csv")).into_iter().map(|row| row.2).collect::<Vec<_>>()
    };
    assert_eq!(rates(""), [0.08; 8]);
    let halved: Vec<f64> = (0..8).map(|k| 0.08 * 0.5_f64.powi(k / 3)).collect();
    for (found, expected) in rates("--schedule step:3:0.5").iter().zip(halved) {
        assert!((found - expected).abs() < 1e-12, "{found} instead of {expected}");
    }
    let cosine: Vec<f64> = (0..8).map(|k| 0.04 * (1.0 + (std::f64::consts::PI * f64::from(k) / 8.0).cos())).collect();
    for args in ["--schedule cosine", "--schedule cosine:8"] {
        for (found, expected) in rates(args).iter().zip(&cosine) {
            assert!((found - expected).abs() < 1e-12, "{found} instead of {expected}");
        }
    }
}

#[test]
fn starts_from_the_weights_of_a_file() {
    let run = Run::new();
    let model = run.model("start.safetensors", CellKind::Gru, [1, 6, 2, 1]);
    let answer = run.ok("train --init start.safetensors --steps 0 --no-plot");
    assert!(answer.stderr.starts_with("GRU 1 -> 6 x 2 -> 1 on"), "{}", answer.stderr);
    for (name, tensor) in model.weights() {
        assert_eq!(run.tensors("model.safetensors")[&name], tensor);
    }
    // what the file says may be said again, but not otherwise
    run.ok("train --init start.safetensors --cell gru --hidden 6 --layers 2 --steps 1 --no-plot");
    run.fails("train --init start.safetensors --hidden 7 --steps 1", &["start.safetensors", "--hidden"]);
    run.fails("train --init start.safetensors --cell lstm --steps 1", &["start.safetensors", "--cell"]);
    run.fails("train --init start.safetensors --no-bias --steps 1", &["start.safetensors", "--no-bias"]);
    run.fails("train --init absent.safetensors", &["absent.safetensors"]);
}

#[test]
fn options_that_cannot_be() {
    let run = Run::new();
    for (args, words) in [
        ("--layers 60 --hidden 16000", ["parameters", "smaller"]),
        ("--optimizer sgd --nesterov", ["nesterov", "momentum"]),
        ("--nonlinearity relu --cell gru", ["relu", "gru"]),
        ("--device cuda:77", ["cuda:77", "GPU"]),
    ] {
        run.fails(&format!("train --steps 2 {args}"), &words);
    }
    for (args, words) in [
        ("--hidden 0", ["hidden", "0"]),
        ("--hidden 1000000", ["hidden", "1000000"]),
        ("--layers 0", ["layers", "0"]),
        ("--layers 1000", ["layers", "1000"]),
        ("--seq-len 0", ["seq-len", "0"]),
        ("--lr nan", ["lr", "nan"]),
        ("--lr inf", ["lr", "inf"]),
        ("--lr=-1", ["lr", "-1"]),
        ("--dropout 1", ["dropout", "1"]),
        ("--dropout nan", ["dropout", "nan"]),
        ("--betas 1 0.9", ["betas", "1"]),
        ("--eps=-1", ["eps", "-1"]),
        ("--clip 0", ["clip", "0"]),
        ("--clip nan", ["clip", "nan"]),
        ("--weight-decay=-0.1", ["weight-decay", "-0.1"]),
        ("--optimizer sgd --momentum nan", ["momentum", "nan"]),
        ("--threads 0", ["threads", "0"]),
        ("--threads 100000", ["threads", "100000"]),
    ] {
        run.misused(&format!("train --steps 2 {args}"), &words);
    }
    run.example("sunspots.csv");
    for (args, words) in [
        ("--batch 0", ["batch", "0"]),
        ("--state reset --stride 0", ["stride", "0"]),
        ("--seq-len 0", ["seq-len", "0"]),
        ("--val-fraction 1", ["val-fraction", "1"]),
        ("--val-fraction=-0.1", ["val-fraction", "-0.1"]),
        ("--val-fraction nan", ["val-fraction", "nan"]),
    ] {
        run.misused(&format!("train sunspots.csv --steps 2 {args}"), &words);
    }
    for (args, word) in [
        ("--flag", "--flag"),
        ("--loss median", "expected mse, mae, huber, gaussian or quantiles"),
        ("--loss quantiles:0.9,0.1", "quantiles: level 0.1 after 0.9: must be above it"),
        ("--hidden many", "many"),
        ("--hidden=-1", "-1"),
        ("--cell transformer", "lstm"),
        ("--schedule linear", "cosine"),
        ("--steps 1 --epochs 1", "--epochs"),
        ("--init a --resume b", "--resume"),
        ("--no-plot --plot p.svg", "--plot"),
        ("--device tpu", "cpu"),
        ("--state reset", "sine"),
        ("--batch 2", "sine"),
        ("--stride 3", "sine"),
        ("--column 1", "sine"),
        ("--scale standard", "sine"),
        ("--loss-on last", "last"),
        ("--delimiter ab", "character"),
    ] {
        run.misused(&format!("train {args}"), &[word]);
    }
    run.misused("teach", &["teach"]);
    run.misused("predict", &["MODEL"]);
}

#[test]
fn help_says_units_and_defaults() {
    let run = Run::new();
    let help = run.ok("--help").stdout;
    for command in ["train", "predict", "stream", "forecast", "gates", "info"] {
        assert!(help.contains(command));
        let help = run.ok(&format!("{command} --help")).stdout;
        assert!(help.contains("Usage: rnnstep") && help.contains("--device"), "{command}");
    }
    let help = run.ok("train --help").stdout;
    let flags = "column target cell nonlinearity hidden layers dropout seq-len stride batch epochs steps state loss-on lr \
                 betas eps momentum optimizer weight-decay clip schedule loss val-fraction patience seed init resume out \
                 log save-grads plot print-every device isa threads missing series only per-series";
    for flag in flags.split_whitespace() {
        assert!(help.contains(&format!("--{flag} ")) || help.contains(&format!("--{flag}\n")), "--{flag}");
    }
    for default in ["[default: 32]", "[default: 20]", "[default: 0.01]", "[default: 75 for the sine]"] {
        let words: String = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(default), "{default}");
    }
    assert!(run.ok("--version").stdout.starts_with("rnnstep "));
    // no arguments at all: help, but nothing was done
    assert_eq!(run.run("").code, Some(2));
}

#[test]
fn a_loss_that_runs_away_ends_the_training() {
    let run = Run::new();
    let answer = run.run("train --lr 1e30 --optimizer sgd --nonlinearity relu --steps 50 --no-plot");
    assert_eq!(answer.code, Some(1), "{}", answer.stdout);
    let last = answer.stderr.lines().last().unwrap();
    assert!(last.starts_with("error: the loss of step ") && last.contains("--lr"), "{last}");
    assert!(run.files().is_empty(), "{:?}", run.files().keys());
}

#[test]
fn options_without_an_effect_are_said() {
    let run = Run::new();
    run.example("sunspots.csv");
    for (flags, says) in [
        ("--patience 3 --val-fraction 0", "note: --patience has no effect: nothing is held out"),
        ("--dropout 0.5", "note: --dropout has no effect: "),
        ("--momentum 0.9", "note: --momentum has no effect: only sgd"),
        ("--dampening 0.1", "note: --dampening has no effect: only sgd"),
        ("--nesterov", "note: --nesterov has no effect: only sgd"),
        ("--optimizer sgd --amsgrad", "note: --amsgrad has no effect: only adam"),
        ("--optimizer sgd --eps 1", "note: --eps has no effect: only adam"),
        ("--optimizer sgd --betas 0.1,0.2", "note: --betas has no effect: only adam"),
        ("--device cpu --dtype bf16", "note: --dtype has no effect: it is for a GPU"),
        ("--device cpu --frame one-block", "note: --frame has no effect: it is for a GPU"),
        ("--device cpu --no-cache", "note: --no-cache has no effect: it is for a GPU"),
        ("--device cpu --bundle none", "note: --bundle has no effect: it is for a GPU"),
    ] {
        let stderr = run.ok(&format!("train sunspots.csv --epochs 1 --no-plot {flags}")).stderr;
        assert!(stderr.contains(says) && stderr.matches("note: ").count() == 1, "{flags}\n{stderr}");
    }
    let flags = "--patience 3 --layers 2 --dropout 0.5 --optimizer sgd --momentum 0.9 --dampening 0.1";
    let stderr = run.ok(&format!("train sunspots.csv --epochs 1 --no-plot {flags}")).stderr;
    assert!(!stderr.contains("note: "), "{stderr}");
}
