//! A helper: the models that the files in `written` were written from.

use rnnstep::units::scaler::Scaling;
use rnnstep::{CellKind, Model, Scaler, Shape, Weights};

/// Name of the file, title, model.
pub fn all() -> [(&'static str, &'static str, Model); 3] {
    [
        ("lstm", "LSTM 2 -> 5 x 2 -> 1", model(CellKind::Lstm, [2, 5, 2], Some(1), Weights::F32)),
        ("gru_bf16", "GRU 1 -> 6", model(CellKind::Gru, [1, 6, 1], None, Weights::Bf16)),
        ("rnn_int8", "RNN 1 -> 7 -> 2", model(CellKind::Rnn, [1, 7, 1], Some(2), Weights::Int8)),
    ]
}

fn model(cell: CellKind, [input, hidden, layers]: [usize; 3], output: Option<usize>, weights: Weights) -> Model {
    let shape = Shape::new(cell, input, hidden, layers, 1).unwrap().with_output(output).unwrap();
    let model = Model::random(shape, 11).unwrap();
    let rows: Vec<f32> = (0..12).map(|i| (i * i % 7) as f32 * 2.5 + 30.0).collect();
    let scaler = |width| Scaler::fit(Scaling::Standard, &rows[..rows.len() / width * width], width).unwrap();
    let model = match output {
        Some(output) => model.with_scalers(scaler(input), scaler(output)).unwrap(),
        None => model,
    };
    model.with_weights(weights).unwrap()
}
