//! `rnnstep convert` writes a model as Rust source. `tests/streaming/fixed` proves that the source
//! gives the model's bits.

use super::run::Run;
use rnnstep::model::fixed;
use rnnstep::{CellKind, Model, Weights};

#[test]
fn as_rust_on_stdout_or_in_a_file() {
    let run = Run::new();
    let model = run.model("net.safetensors", CellKind::Gru, [2, 7, 2, 3]);
    let answer = run.ok("convert net.safetensors --to rust");
    assert_eq!(answer.stdout, fixed::source(&model, "GRU 2 -> 7 x 2 -> 3").unwrap());
    assert!(answer.stdout.contains("// rnn.weight_hh_l1 [21, 7]") && answer.stdout.contains("// fc.bias [3]"));
    let written = run.ok("convert net.safetensors --to rust --out net.rs");
    assert_eq!(written.stdout, "");
    assert_eq!(std::fs::read_to_string(run.path("net.rs")).unwrap(), answer.stdout);
}

#[test]
fn weights_and_scalers_go_along() {
    let run = Run::new();
    run.example("sunspots.csv");
    run.ok("train sunspots.csv --cell lstm --hidden 8 --epochs 1 --target-as value --no-plot");
    let text = run.ok("convert model.safetensors --to rust --weights int8").stdout;
    assert!(text.contains("weights: Int8") && text.contains("Model::packed(&[") && text.contains(".with_scalers("));
    let model = rnnstep::model::file::load(
        run.path("model.safetensors"),
        &rnnstep::model::file::ReadOptions::default(),
        rnnstep::Cpu::widest(),
    )
    .unwrap()
    .model;
    assert_eq!(text, fixed::source(&model.with_weights(Weights::Int8).unwrap(), "LSTM 1 -> 8 -> 1").unwrap());
}

#[test]
fn what_cannot_be() {
    let run = Run::new();
    let shape = *run.model("net.safetensors", CellKind::Rnn, [1, 4, 1, 1]).shape();
    run.fails("convert net.safetensors --to rust --out missing/net.rs", &["missing"]);
    run.fails("convert absent.safetensors --to rust", &["absent.safetensors"]);
    run.misused("convert net.safetensors --to onnx", &["onnx", "rust"]);
    run.misused("convert net.safetensors", &["--to"]);
    // a weight that f16 cannot hold
    let model = Model::random(shape, 0).unwrap();
    let mut weights: Vec<_> = model.weights().into_iter().map(|(_, tensor)| tensor).collect();
    weights[1].data_mut()[0] = 1e6;
    Model::from_weights(shape, &weights).unwrap().save(run.path("large.safetensors")).unwrap();
    run.fails("convert large.safetensors --to rust --weights f16 --out large.rs", &["rnn.weight_hh_l0", "1000000"]);
    assert!(!run.path("large.rs").exists());
}
