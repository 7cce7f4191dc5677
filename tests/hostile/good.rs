//! Good files, small ones, of every kind that a command reads: what attacks begin with.

use crate::damage::together;
use rnnstep::Cpu;
use rnnstep::cpu::Threads;
use rnnstep::data::windows::Windows;
use rnnstep::model::file;
use rnnstep::model::file::{Columns, End, Metadata, Unseen};
use rnnstep::series::residuals::Residuals;
use rnnstep::tensor::{Array, Stored};
use rnnstep::train::checkpoint;
use rnnstep::train::checkpoint::Best;
use rnnstep::train::{Recipe, Trainer};
use rnnstep::{
    CellKind, Learner, LearnerOptions, Levels, Loss, Model, Nonlinearity, Scaler, Shape, State, TargetTransform,
    Tensor, Units,
};
use serde_json::json;
use std::fs;
use std::path::Path;

/// A file: what it is called, and its bytes.
pub type Good = (String, Vec<u8>);

/// `rows` rows of `width` values, as a series has them.
pub fn series(rows: usize, width: usize) -> Tensor {
    let value = |i: usize| (0.7 * (i / width) as f32 + (i % width) as f32).sin() * 3.0 + 5.0;
    Tensor::new([rows, width], (0..rows * width).map(value).collect::<Vec<_>>()).unwrap()
}

/// Model files as rnnstep writes them: each cell, form and kind of answer, with all that the metadata can say.
pub fn models(folder: &Path) -> Vec<Good> {
    let mut all = vec![];
    let quantiles = Loss::Quantiles(Levels::default());
    let transforms = [
        TargetTransform::Value,
        TargetTransform::Change,
        TargetTransform::RelativeChange,
        TargetTransform::SeasonalChange { season: 5 },
    ];
    for (i, cell) in CellKind::ALL.into_iter().enumerate() {
        for (j, loss) in [Loss::Mse, Loss::Gaussian, quantiles].into_iter().enumerate() {
            let transform = transforms[(i + j) % 4];
            let shape = Shape::new(cell, 2, 3 + j, 1 + i % 2, loss.outputs(2)).unwrap();
            let nonlinearity = if j == 2 && cell == CellKind::Rnn { Nonlinearity::Relu } else { Nonlinearity::Tanh };
            let shape = shape.with_nonlinearity(nonlinearity).unwrap().with_bias(j != 1).unwrap();
            let scaler = |width: usize| Scaler::new(vec![5.0; width], vec![2.0; width]).unwrap();
            let units = Units::scaled(scaler(2), scaler(shape.width_out())).with_loss(loss).unwrap();
            let model =
                Model::random(shape, 7).unwrap().with_units(units.with_transform(transform, &[0, 1]).unwrap()).unwrap();
            let path = folder.join("good.safetensors");
            file::save(&path, &model, &metadata(), &[]).unwrap();
            all.push((format!("{}-{j}", cell.name()), fs::read(path).unwrap()));
        }
    }
    all
}

fn metadata() -> Metadata {
    let names = ["a".to_string(), "b".to_string()];
    let table = series(40, 2).into();
    Metadata {
        columns: Columns {
            inputs: names.to_vec(),
            targets: names.to_vec(),
            time: Some("t".into()),
            decimal: Some(','),
            masks: vec![],
        },
        recipe: Some(json!({ "lr": 0.01, "steps": 75, "loss": "mse", "data": ["good.csv"] })),
        seq_len: Some(20),
        unseen: Some(Unseen {
            ends: vec![End::of(&table, &table, 30)],
            errors: vec![0.1; 2 * Residuals::MOST / 10],
            autoregressions: vec![],
        }),
        ..Metadata::default()
    }
}

/// Models as other programs write them: PyTorch's names under several prefixes, in every type of number.
pub fn foreign() -> Vec<Good> {
    let mut all = vec![];
    for (cell, prefix, head, dtype) in [
        (CellKind::Lstm, "lstm.", "linear.", "F32"),
        (CellKind::Gru, "", "out.", "F16"),
        (CellKind::Rnn, "module.rnn.", "module.fc.", "BF16"),
        (CellKind::Gru, "rnn.", "fc.", "F64"),
    ] {
        let model = Model::random(Shape::new(cell, 1, 4, 2, 1).unwrap(), 3).unwrap();
        let (mut entries, mut data) = (serde_json::Map::new(), vec![]);
        for (name, tensor) in model.weights() {
            let start = data.len();
            for &value in tensor.data() {
                match dtype {
                    "F64" => data.extend(f64::from(value).to_le_bytes()),
                    "BF16" => data.extend(&value.to_le_bytes()[2..]),
                    "F16" => data.extend(0x2e66_u16.to_le_bytes()),
                    _ => data.extend(value.to_le_bytes()),
                }
            }
            let name = name.replace("rnn.", prefix).replace("fc.", head);
            let info = json!({ "dtype": dtype, "shape": tensor.dims(), "data_offsets": [start, data.len()] });
            entries.insert(name, info);
        }
        let header = json!(entries).to_string();
        all.push((format!("foreign-{dtype}"), together(&header, &data)));
    }
    all
}

/// A training that can go on.
pub fn checkpoint(folder: &Path) -> Good {
    let (path, mut trainer) = (folder.join("good.checkpoint.safetensors"), trainer());
    trainer.steps(3, |_| {}).unwrap();
    let best = Best { loss: 0.5, step: 2, model: trainer.model().clone() };
    checkpoint::save(&path, &mut trainer, Some(&best), &metadata()).unwrap();
    ("checkpoint".into(), fs::read(path).unwrap())
}

/// The training that the checkpoint is of.
pub fn trainer() -> Trainer {
    let model = Model::random(Shape::new(CellKind::Lstm, 2, 4, 1, 2).unwrap(), 7).unwrap();
    Trainer::new(model, windows(), Recipe::default(), Cpu::widest(), Threads::default()).unwrap()
}

pub fn windows() -> Windows {
    Windows::lanes(series(30, 2), series(30, 2), 5, 2, false).unwrap()
}

/// Tensors that are no model's: states, windows, sequences.
pub fn arrays(folder: &Path) -> Vec<Good> {
    let path = folder.join("good-arrays.safetensors");
    let write = |name: &str, tensors: &[(&str, &dyn Stored)]| {
        file::write_tensors(&path, tensors).unwrap();
        (name.to_string(), fs::read(&path).unwrap())
    };
    let state = State::new(&Shape::new(CellKind::Lstm, 2, 4, 1, 2).unwrap(), 1);
    let cut = |tensor: Tensor, dims: [usize; 4]| Tensor::new(dims, tensor.into_data()).unwrap();
    let (x, target) = (cut(series(40, 2), [4, 2, 5, 2]), cut(series(40, 2), [4, 2, 5, 2]));
    vec![
        write("state", &[("h", &state.h()), ("c", &state.c().unwrap())]),
        write("windows", &[("x", &x), ("target", &target)]),
        write("sequence", &[("x", &series(12, 2))]),
    ]
}

/// A learner's file, as `stream --learn` writes it.
pub fn learner(folder: &Path) -> Good {
    let path = folder.join("good.learner.safetensors");
    let model = Model::random(Shape::new(CellKind::Gru, 2, 3, 1, 2).unwrap(), 7).unwrap();
    let options = LearnerOptions { window: 4, ..LearnerOptions::default() };
    let mut learner = Learner::new(model, options, Cpu::widest()).unwrap();
    for row in series(20, 2).data().chunks(2) {
        learner.tick(row, row).unwrap();
    }
    let snapshot = learner.snapshot();
    let position = json!({ "learner": { "numbers": snapshot.numbers, "options": learner.options() } });
    let named = |name: &str| format!("{}{name}", file::LEARNER);
    let kept = snapshot.buffers().into_iter().filter(|(_, buffer)| !buffer.is_empty());
    let kept = kept.map(|(name, buffer)| (named(name), Array::F32(Tensor::new([buffer.len()], buffer).unwrap())));
    let raw = snapshot.raw_values().into_iter().filter(|(_, values)| !values.is_empty());
    let raw = raw.map(|(name, values)| (named(name), Array::F64(Tensor::new([values.len()], values).unwrap())));
    let extra: Vec<_> = kept.chain(raw).collect();
    file::save(&path, &learner.model(), &Metadata { position: Some(position), ..metadata() }, &extra).unwrap();
    ("learner".into(), fs::read(path).unwrap())
}
