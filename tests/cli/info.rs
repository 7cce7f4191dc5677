//! `rnnstep info` describes the machine, or a model.

use super::run::{Run, relu};
use rnnstep::{CellKind, Cpu, Isa, Model, Weights};

#[test]
fn the_machine() {
    let run = Run::new();
    let answer = run.ok("info");
    assert!(answer.stdout.starts_with("rnnstep "), "{}", answer.stdout);
    let sets = answer.after("isa ");
    for isa in Isa::available() {
        assert!(sets.contains(isa.name()), "{sets}");
    }
    assert!(sets.contains(&format!("{} (chosen)", Cpu::widest().isa().name())));
    assert!(run.ok("info --isa portable").stdout.contains("portable (chosen)"));
    assert!(answer.stdout.contains("\ncuda") && answer.stdout.contains("\nnvrtc "));
    assert!(answer.after("cache ").contains("rnnstep"));
    assert!(answer.after("features ").contains("cli"));
    assert!(answer.after("cpu ").contains(std::env::consts::ARCH));
    assert!(Run::new().with("RNNSTEP_ISA", "portable").ok("info").stdout.contains("portable (chosen)"));
}

#[test]
fn the_lessons_dimension_check() {
    let run = Run::new();
    run.ok("train --hidden 10 --layers 2 --steps 1 --no-plot");
    let answer = run.ok("info model.safetensors");
    assert!(answer.stdout.starts_with("model.safetensors: RNN 1 -> 10 x 2 -> 1\n"), "{}", answer.stdout);
    assert!(answer.after("  input ").starts_with("(1, 20, 1) "));
    assert_eq!(answer.after("  output "), "(1, 20, 1)");
    assert!(answer.after("  hidden ").starts_with("(2, 1, 10) "));
    assert_eq!(answer.after("  scaler "), "none");
}

#[test]
fn a_table_of_what_is_in_a_model() {
    let run = Run::new();
    run.example("seattle-weather.csv");
    run.ok(
        "train seattle-weather.csv --cell lstm --hidden 6 --column 2,wind --seq-len 7 --epochs 1 --lr 0.02 --no-plot",
    );
    let answer = run.ok("info model.safetensors");
    for (name, shape, count) in [
        ("rnn.weight_ih_l0", "[24, 2]", 48),
        ("rnn.weight_hh_l0", "[24, 6]", 144),
        ("rnn.bias_ih_l0", "[24]", 24),
        ("rnn.bias_hh_l0", "[24]", 24),
        ("fc.weight", "[2, 6]", 12),
        ("fc.bias", "[2]", 2),
    ] {
        let row = answer.after(&format!("  {name} "));
        assert!(row.starts_with(shape) && row.ends_with(&format!(" {count}")), "{name}: {row}");
    }
    assert!(answer.after("  parameters ").starts_with("254, 1016 bytes in f32"), "{}", answer.stdout);
    // a product and a sum for every weight at least
    let operations: usize = answer.after("  operations ").split_whitespace().next().unwrap().parse().unwrap();
    assert!((2 * 204..2 * 204 + 100).contains(&operations), "{operations}");
    assert!(answer.after("  input ").starts_with("(1, 7, 2) "));
    assert!(answer.after("  output ").starts_with("(1, 7, 2)"));
    assert!(answer.after("  hidden ").starts_with("(1, 1, 6) ") && answer.after("  hidden ").contains("c the same"));
    for name in ["input temp_max", "input wind", "output temp_max", "output wind"] {
        assert!(answer.after(&format!("  scaler      {name}:")).starts_with("(value - "), "{name}");
    }
    let recipe = answer.after("  recipe ");
    for word in ["cell \"lstm\"", "lr 0.02", "epochs 1", "seq-len 7", "data \"seattle-weather.csv\""] {
        assert!(recipe.contains(word), "{word}: {recipe}");
    }
}

#[test]
fn a_model_from_elsewhere() {
    let run = Run::new();
    run.model("m.safetensors", CellKind::Gru, [3, 4, 1, 2]);
    let answer = run.ok("info m.safetensors");
    assert!(answer.stdout.starts_with("m.safetensors: GRU 3 -> 4 -> 2\n"));
    assert_eq!(answer.after("  recipe "), "none");
    Model::random(relu(1, 4), 0).unwrap().save(run.path("relu.safetensors")).unwrap();
    assert!(run.ok("info relu.safetensors").stdout.starts_with("relu.safetensors: RNN (relu) 1 -> 4 -> 1\n"));
    run.fails("info absent.safetensors", &["absent.safetensors"]);
}

#[test]
fn what_each_format_of_the_weights_costs() {
    let run = Run::new();
    run.model("m.safetensors", CellKind::Lstm, [2, 32, 2, 1]);
    let answer = run.ok("info m.safetensors");
    let start = answer.stdout.lines().position(|line| line.trim_start().starts_with("weights ")).unwrap();
    let rows: Vec<Vec<&str>> =
        answer.stdout.lines().skip(start).take(4).map(|line| line.split_whitespace().collect()).collect();
    let names: Vec<&str> = rows.iter().enumerate().map(|(i, row)| row[usize::from(i == 0)]).collect();
    assert_eq!(names, Weights::ALL.map(Weights::name));
    let after = |row: &[&str], word: &str, skip: usize| -> f64 {
        let at = row.iter().position(|&w| w == word).unwrap();
        row[at + skip].trim_end_matches(',').parse().unwrap()
    };
    let bytes: Vec<usize> =
        rows.iter().map(|row| row[row.iter().position(|&w| w == "bytes").unwrap() - 1].parse().unwrap()).collect();
    assert!(bytes[1] < bytes[0] * 2 / 3 && bytes[1] == bytes[2] && bytes[3] < bytes[1] * 3 / 4, "{bytes:?}");
    let off: Vec<f64> = rows.iter().map(|row| after(row, "most", 1)).collect();
    assert!(off[0] < 1e-5 && off[1] > 100.0 * off[0] && off[1] < 0.02, "{off:?}");
    assert!(off[2] < off[1] && off[3] < 0.02, "{off:?}");
    for (row, most) in rows.iter().zip(&off) {
        assert!(after(row, "by", 1) <= *most, "the mean is above the largest: {row:?}");
    }
}

/// Of a large model fewer steps are taken, since those of a small one would take minutes: the work has a bound.
#[test]
fn the_work_on_a_large_model_is_bounded() {
    let run = Run::new();
    let steps = |hidden: usize| {
        run.model("m.safetensors", CellKind::Lstm, [1, hidden, 1, 1]);
        let stdout = run.ok("info m.safetensors").stdout;
        let words: Vec<&str> = stdout.split_whitespace().collect();
        let at = words.windows(2).position(|pair| pair == ["steps", "of"]).unwrap();
        words[at - 1].parse::<usize>().unwrap()
    };
    assert_eq!(steps(8), 256);
    let found = steps(700);
    assert!(found < 256 && found * 4 * 700 * 700 <= 1 << 28, "{found}");
    // 256 MB
    let shape = rnnstep::Shape::new(CellKind::Lstm, 1, 4000, 1, 1).unwrap();
    assert_eq!(rnnstep::measure::reference64::steps(&shape), 4);
}
