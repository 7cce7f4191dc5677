//! Between a file and a model that works.

use super::{Metadata, Reference, Target, read, write};
use crate::cell::kind::Nonlinearity;
use crate::error::{Error, Result};
use crate::model::{Model, Order};
use crate::net::state::State;
use crate::simd::isa::Cpu;
use crate::tensor::Tensor;
use crate::units::Units;
use crate::units::transform::TargetTransform;
use std::collections::BTreeMap;
use std::path::Path;

/// A model as it came out of a file, with what the file says besides.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The model, with the scalers of the file.
    pub model: Model,
    /// The rest of the file's header.
    pub metadata: Metadata,
    /// Tensors of a checkpoint.
    pub extra: BTreeMap<String, Tensor>,
    /// Lines that a user should see.
    pub warnings: Vec<String>,
}

/// Reads a model and, where the file has a reference input and output, checks that the model still gives it, over its first
/// sixteen steps.
///
/// # Errors
/// Those of [`read`]; scalers that do not fit the model; a reference that is not met.
pub fn load(path: impl AsRef<Path>, nonlinearity: Option<Nonlinearity>, cpu: Cpu) -> Result<Loaded> {
    let path = path.as_ref();
    let file = read(path, nonlinearity)?;
    let in_file = |error: Error| Error::file(path, error.to_string());
    let mut model = Model::from_weights(file.shape, &file.weights).map_err(in_file)?;
    match (&file.metadata.x_scaler, &file.metadata.target_scaler) {
        (None, None) if file.metadata.target.is_none() => {}
        (None, None) => return Err(Error::file(path, "metadata: a form of the target without scalers")),
        (Some(x), Some(y)) => {
            let mut units = Units::scaled(x.clone(), y.clone());
            if let Some(target) = &file.metadata.target {
                units = units.with_transform(target.transform, &target.inputs).map_err(in_file)?;
            }
            if let Some(says) = file.metadata.says {
                units = units.with_loss(says).map_err(in_file)?;
            }
            model = model.with_units(units).map_err(in_file)?;
        }
        _ => return Err(Error::file(path, "metadata: one scaler of two is missing")),
    }
    if let Some(reference) = &file.metadata.reference {
        verify(&model, reference, cpu).map_err(in_file)?;
    }
    Ok(Loaded { model, metadata: file.metadata, extra: file.extra, warnings: file.warnings })
}

/// Writes a model, whole or not at all, with its scalers and a reference input and output. `metadata` says the rest;
/// `extra` tensors are for checkpoints.
///
/// # Errors
/// Those of [`write()`].
pub fn save(path: impl AsRef<Path>, model: &Model, metadata: &Metadata, extra: &[(String, Tensor)]) -> Result<()> {
    let (x, y) = model.reference(Cpu::widest())?;
    let seq_len = x.rows().0;
    let metadata = Metadata {
        x_scaler: model.scalers().map(|(x, _)| x.clone()),
        target_scaler: model.scalers().map(|(_, y)| y.clone()),
        says: model.units().map(|units| units.loss()).filter(|says| says.is_distribution()),
        target: model
            .units()
            .filter(|units| units.transform() != TargetTransform::Value)
            .map(|units| Target { transform: units.transform(), inputs: units.columns().to_vec() }),
        reference: Some(Reference { x: x.into_data(), y: y.into_data(), seq_len }),
        ..metadata.clone()
    };
    write(path, model.shape(), &model.weights(), &metadata, extra)
}

impl Model {
    /// Reads a model from a safetensors file, of this crate or of PyTorch; see [`load`] for more control and for
    /// what the file says besides.
    ///
    /// # Errors
    /// Those of [`load`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Ok(load(path, None, Cpu::detect()?)?.model)
    }

    /// Writes the model into a safetensors file that PyTorch can load, whole or not at all.
    ///
    /// # Errors
    /// If the file cannot be written; one that was there before is then still there.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        save(path, self, &Metadata::default(), &[])
    }
}

/// As many steps of a reference are computed; what this library writes has four. More would tell no more of the weights, and a
/// file of a few megabytes could ask for minutes.
const STEPS: usize = 16;

/// The reference output must come out again to float32 rounding, whatever processor wrote the file.
fn verify(model: &Model, reference: &Reference, cpu: Cpu) -> Result<()> {
    let shape = model.shape();
    let steps = reference.seq_len.min(STEPS);
    let x = reference.x.get(..steps * shape.input).unwrap_or_default();
    let x = Tensor::new(vec![steps, shape.input], x)?;
    let y = model.clone().raw().forward(cpu, &x, Order::BatchFirst, &mut State::new(shape, 1))?;
    for (i, (&found, &expected)) in y.data().iter().zip(&reference.y).enumerate() {
        let same = found == expected || (found.is_nan() && expected.is_nan());
        let near = (found - expected).abs() <= 1e-5 * expected.abs().max(1.0);
        if !same && !near {
            return Err(Error::invalid(format!(
                "the reference output is not met (value {i} is {found}, the file says {expected}): the weights were \
                 changed or damaged after training"
            )));
        }
    }
    Ok(())
}
