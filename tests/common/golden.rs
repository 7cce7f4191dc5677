//! Reads the golden files that `tests/golden/generate.py` made.
#![allow(dead_code, reason = "each test file uses its part")]

use rnnstep::net::layout::Layout;
use rnnstep::{CellKind, Levels, Loss, Model, Nonlinearity, Shape, State, Tensor};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One golden file: its description and its tensors, all as f64.
pub struct Case {
    pub name: String,
    pub about: Value,
    pub tensors: BTreeMap<String, (Vec<usize>, Vec<f64>)>,
}

pub fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// All cases whose file name starts with `prefix`; never none.
pub fn cases(prefix: &str) -> Vec<Case> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(golden_folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "safetensors"))
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no golden file {prefix}*");
    paths.iter().map(|path| Case::read(path)).collect()
}

impl Case {
    pub fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let about = serde_json::from_str(&header.metadata().as_ref().unwrap()["case"]).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = file.iter().map(|(name, view)| {
            let values = match view.dtype() {
                Dtype::F32 => {
                    view.data().chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect()
                }
                Dtype::F64 => view.data().chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
                other => panic!("{}: {other:?}", path.display()),
            };
            (name.to_string(), (view.shape().to_vec(), values))
        });
        let tensors = tensors.collect();
        Self { name: path.file_stem().unwrap().to_str().unwrap().into(), about, tensors }
    }

    pub fn size(&self, key: &str) -> usize {
        self.about[key].as_u64().unwrap_or_else(|| panic!("{}: no {key}", self.name)) as usize
    }

    pub fn text(&self, key: &str) -> &str {
        self.about[key].as_str().unwrap_or_else(|| panic!("{}: no {key}", self.name))
    }

    pub fn f64s(&self, name: &str) -> &[f64] {
        &self.tensors.get(name).unwrap_or_else(|| panic!("{}: no tensor {name}", self.name)).1
    }

    pub fn tensor(&self, name: &str) -> Tensor {
        let (dims, values) = &self.tensors[name];
        Tensor::new(dims.clone(), values.iter().map(|&v| v as f32).collect::<Vec<_>>()).unwrap()
    }

    /// PyTorch float32's own largest error on this tensor.
    pub fn f32_error(&self, name: &str) -> f64 {
        self.about["f32_error"][name].as_f64().unwrap_or_else(|| panic!("{}: no f32 error of {name}", self.name))
    }

    pub fn shape(&self) -> Shape {
        let cell = CellKind::ALL.into_iter().find(|c| c.name() == self.text("cell")).unwrap();
        let nonlinearity = if self.text("nonlinearity") == "relu" { Nonlinearity::Relu } else { Nonlinearity::Tanh };
        Shape::new(cell, self.size("input"), self.size("hidden"), self.size("layers"), 1)
            .unwrap()
            .with_nonlinearity(nonlinearity)
            .unwrap()
            .with_output(self.about["output"].as_u64().map(|o| o as usize))
            .unwrap()
            .with_bias(self.about["bias"].as_bool().unwrap())
            .unwrap()
    }

    /// The quantiles of a case that has `levels`.
    pub fn quantiles(&self) -> Loss {
        let levels = self.about["levels"].as_array().unwrap_or_else(|| panic!("{}: no levels", self.name));
        let levels: Vec<f32> = levels.iter().map(|level| level.as_f64().unwrap() as f32).collect();
        Loss::Quantiles(Levels::new(&levels).unwrap())
    }

    pub fn model(&self) -> Model {
        let shape = self.shape();
        let weights: Vec<Tensor> = Layout::new(&shape).entries().iter().map(|e| self.tensor(&e.name)).collect();
        Model::from_weights(shape, &weights).unwrap()
    }

    pub fn state(&self, batch: usize) -> State {
        let mut state = State::new(&self.shape(), batch);
        if self.tensors.contains_key("h0") {
            state.set_h(self.tensor("h0").data()).unwrap();
        }
        if self.tensors.contains_key("c0") {
            state.set_c(self.tensor("c0").data()).unwrap();
        }
        state
    }
}

/// Largest difference between `found` and the truth; infinite where one is NaN and the other is not.
pub fn largest_error(found: &[f32], truth: &[f64]) -> f64 {
    assert_eq!(found.len(), truth.len());
    let error = |(&a, &b): (&f32, &f64)| match (a.is_nan(), b.is_nan()) {
        (true, true) => 0.0,
        (false, false) if f64::from(a) == b || a == b as f32 => 0.0,
        (false, false) => (f64::from(a) - b).abs(),
        _ => f64::INFINITY,
    };
    found.iter().zip(truth).map(error).fold(0.0, f64::max)
}
