//! `rnnstep forecast`: many steps ahead.

use super::run::{Run, numbers};
use rnnstep::data::{npy, sine};
use rnnstep::{CellKind, Model, Stream, Tensor, file};

/// Predictions fed back by hand after `history`.
fn by_hand(model: Model, history: &[f32], steps: usize) -> Vec<f32> {
    let width = model.shape().input;
    let mut stream = Stream::new(model).unwrap();
    let mut y = vec![];
    for x in history.chunks(width) {
        y = stream.step(x).unwrap().to_vec();
    }
    let mut all = y.clone();
    for _ in 1..steps {
        y = stream.step(&y).unwrap().to_vec();
        all.extend_from_slice(&y);
    }
    all
}

#[test]
fn continues_a_series() {
    let run = Run::new();
    run.example("sunspots.csv");
    run.ok("train sunspots.csv --cell lstm --epochs 10 --no-plot");
    let answer = run.ok("forecast model.safetensors sunspots.csv --steps 20 --plot f.svg");
    let lines: Vec<&str> = answer.stdout.lines().collect();
    assert_eq!((lines[0], lines.len()), ("step,sunspots", 21));
    assert!(lines[1].starts_with("1,") && lines[20].starts_with("20,"));
    let history = numbers(&run.text("sunspots.csv"), 1).concat();
    let model = Model::load(run.path("model.safetensors")).unwrap();
    let expected = by_hand(model, &history, 20);
    assert_eq!(numbers(&answer.stdout, 1).concat(), expected);
    assert!(expected.iter().any(|y| *y > 10.0), "sunspots, not the network's units: {expected:?}");
    let picture = run.text("f.svg");
    for word in ["history", "one step ahead", "forecast", "LSTM 1 -&gt; 32 -&gt; 1, 20 steps ahead"] {
        assert!(picture.contains(word), "no {word:?} in the plot");
    }
    roxmltree::Document::parse(&picture).unwrap();
    let written = run.ok("forecast model.safetensors sunspots.csv --steps 20 --out f.csv --plot f.png");
    assert_eq!((written.stdout.as_str(), run.text("f.csv")), ("", answer.stdout));
    assert!(run.bytes("f.png").starts_with(b"\x89PNG"));
}

#[test]
fn arrays_and_several_columns() {
    let run = Run::new();
    let model = run.model("m.safetensors", CellKind::Gru, [3, 7, 2, 3]);
    let history = Tensor::new([11, 3], (0..33).map(|i| (i as f32).sin()).collect::<Vec<_>>()).unwrap();
    npy::write(&run.path("h.npy"), &history).unwrap();
    file::write_tensors(run.path("h.safetensors"), &[("x", &history)]).unwrap();
    let expected = Tensor::new([9, 3], by_hand(model, history.data(), 9)).unwrap();
    for input in ["h.npy", "h.safetensors"] {
        run.ok(&format!("forecast m.safetensors {input} --steps 9 --out y.npy"));
        assert_eq!(npy::read(&run.path("y.npy")).unwrap(), expected);
        run.ok(&format!("forecast m.safetensors {input} --steps 9 --out y.safetensors"));
        assert_eq!(run.tensors("y.safetensors")["y"], expected);
    }
    assert!(run.ok("forecast m.safetensors h.npy --steps 1").stdout.starts_with("step,y_1,y_2,y_3\n1,"));
    let batch = Tensor::new([1, 11, 3], history.data()).unwrap();
    npy::write(&run.path("batch.npy"), &batch).unwrap();
    run.fails("forecast m.safetensors batch.npy --steps 2", &["batch.npy", "[1, 11, 3]", "[T,I]"]);
}

#[test]
fn the_sine_needs_no_history() {
    let run = Run::new();
    run.ok("train --steps 2000 --no-plot");
    let answer = run.ok("forecast model.safetensors --steps 40");
    let found = numbers(&answer.stdout, 1).concat();
    let history: Vec<f32> = (0..4).flat_map(|k| sine::window(k, 20).take(20)).collect();
    assert_eq!(found, by_hand(Model::load(run.path("model.safetensors")).unwrap(), &history, 40));
    // after four windows the sine goes on at 4 pi
    let truth = (0..40).map(|i| ((80 + i) as f32 * std::f32::consts::PI / 20.0).sin());
    for (i, (found, truth)) in found.iter().zip(truth).enumerate() {
        assert!((found - truth).abs() < 0.25, "step {i}: {found}, not {truth}");
    }
    run.model("other.safetensors", CellKind::Rnn, [1, 4, 1, 1]);
    run.misused("forecast other.safetensors --steps 3", &["HISTORY", "missing"]);
}

#[test]
fn what_cannot_be_continued() {
    let run = Run::new();
    run.example("seattle-weather.csv");
    run.ok("train seattle-weather.csv --target wind --epochs 1 --hidden 4 --no-plot");
    run.fails("forecast model.safetensors seattle-weather.csv --steps 3", &["temp_max", "wind", "--target"]);
    run.model("m.safetensors", CellKind::Rnn, [2, 4, 1, 1]);
    run.file("two.csv", "1,2\n3,4\n");
    run.fails("forecast m.safetensors two.csv --steps 3", &["takes 2", "gives 1"]);
    run.fails("forecast m.safetensors two.csv --steps 0", &["steps 0"]);
    run.fails("forecast m.safetensors two.csv --steps 99999999999", &["steps 99999999999"]);
    run.misused("forecast m.safetensors two.csv", &["--steps"]);
}
