//! Loads a model from a file, and saves a model to a file.

use super::{Columns, Metadata, ModelFile, ReadOptions, Reference, Target, read, write_layout};
use crate::error::{Error, Result, brief};
use crate::model::{Model, Order};
use crate::net::state::State;
use crate::objective::loss::Loss;
use crate::simd::isa::Cpu;
use crate::tensor::{Array, Tensor};
use crate::units::Units;
use crate::units::transform::{Fitted, TargetTransform};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// A model from a file, with everything else that the file holds.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The model, with the scalers of the file and the names of its tensors.
    pub model: Model,
    /// The metadata of the file.
    pub metadata: Metadata,
    /// Additional tensors, of a checkpoint or a learner.
    pub extra: BTreeMap<String, Array>,
    /// Warnings for the user, one line each.
    pub warnings: Vec<String>,
    /// What a file of another program does not say and was assumed, one line each.
    pub assumed: Vec<String>,
}

impl Loaded {
    /// The model with which the rows that were held out in its training are scored. If it has autoregressions, they are
    /// those that were fitted to the training rows alone.
    ///
    /// # Errors
    /// If the file has autoregressions of other columns.
    pub fn judged(&self) -> Result<Model> {
        let known = self.metadata.unseen.as_ref().map_or(&[][..], |unseen| &unseen.autoregressions);
        match self.model.units().map(|units| (units, units.transform())) {
            Some((units, TargetTransform::Residual { difference, .. })) if !known.is_empty() => {
                let fitted = Fitted::residual(known.to_vec(), difference);
                self.model.clone().with_units(units.clone().with_transform(fitted, units.columns())?)
            }
            _ => Ok(self.model.clone()),
        }
    }

    /// The loss that the model was trained with: what its file says of it, or else the default.
    ///
    /// # Errors
    /// If the recipe in the file has a loss that nobody knows.
    pub fn loss(&self) -> Result<Loss> {
        let predicts = self.model.units().map(Units::loss).filter(|loss| loss.is_distribution());
        let trained = self.metadata.recipe.as_ref().and_then(|recipe| recipe.get("loss"));
        match (predicts, trained) {
            (Some(loss), _) => Ok(loss),
            (None, Some(loss)) => Loss::deserialize(loss)
                .map_err(|error| Error::invalid(format!("the recipe in the file: loss: {}", brief(error)))),
            (None, None) => Ok(Loss::default()),
        }
    }
}

/// Reads a model. If the file has a reference input and output, it checks that the model still gives that output, for
/// the first sixteen steps.
///
/// # Errors
/// Those of [`read`], and if the scalers do not fit the model or the reference output differs.
pub fn load(path: impl AsRef<Path>, options: &ReadOptions, cpu: Cpu) -> Result<Loaded> {
    let path = path.as_ref();
    let file = read(path, options)?;
    let in_file = |error: Error| Error::file(path, error.to_string());
    let mut model = Model::from_layout(file.shape, file.layout, &file.weights).map_err(in_file)?;
    match (&file.metadata.x_scaler, &file.metadata.target_scaler) {
        (None, None) if file.metadata.needs_no_scalers() => {}
        (None, None) => {
            return Err(Error::file(path, "metadata: there is a target transform, a bound or a mask, but no scalers"));
        }
        (Some(x), Some(y)) => {
            let mut units = Units::scaled(x.clone(), y.clone());
            if let Some(target) = &file.metadata.target {
                units = units.with_transform(target.fitted.clone(), &target.inputs).map_err(in_file)?;
            }
            if let Some(says) = file.metadata.says {
                units = units.with_loss(says).map_err(in_file)?;
            }
            units = units.with_bounds(&file.metadata.bounds).map_err(in_file)?;
            units = units.with_masks(&file.metadata.columns.masks).map_err(in_file)?;
            model = model.with_units(units).map_err(in_file)?;
        }
        _ => return Err(Error::file(path, "metadata: one of the two scalers is missing")),
    }
    if let Some(reference) = &file.metadata.reference {
        verify(&model, reference, cpu).map_err(in_file)?;
    }
    let ModelFile { metadata, extra, warnings, assumed, .. } = file;
    let loaded = Loaded { model, metadata, extra, warnings, assumed };
    loaded.judged().map_err(in_file)?;
    Ok(loaded)
}

/// Writes a model, whole or not at all, with its scalers and a reference input and output. Its tensors have the names
/// that they had in the file that it came from, or else `rnn.*` and `fc.*`. `metadata` has all other fields of the
/// header; `extra` tensors are for checkpoints.
///
/// # Errors
/// Those of [`write()`](super::write()).
pub fn save(path: impl AsRef<Path>, model: &Model, metadata: &Metadata, extra: &[(String, Array)]) -> Result<()> {
    let (x, y) = model.reference(Cpu::widest())?;
    let seq_len = x.rows().0;
    let metadata = Metadata {
        x_scaler: model.scalers().map(|(x, _)| x.clone()),
        target_scaler: model.scalers().map(|(_, y)| y.clone()),
        bounds: model.units().map_or_else(Vec::new, |units| units.bounds().to_vec()),
        says: model.units().map(|units| units.loss()).filter(|says| says.is_distribution()),
        target: model
            .units()
            .filter(|units| units.transform() != TargetTransform::Value)
            .map(|units| Target { fitted: units.fitted().clone(), inputs: units.columns().to_vec() }),
        columns: Columns { masks: model.masks().to_vec(), ..metadata.columns.clone() },
        reference: Some(Reference { x: x.into_data(), y: y.into_data(), seq_len }),
        ..metadata.clone()
    };
    let is_zero = |tensor: &Tensor| tensor.data().iter().all(|value| value.to_bits() == 0);
    let weights = model.weights().into_iter().zip(model.layout().entries());
    let weights: Vec<_> =
        weights.filter(|((_, tensor), entry)| !(entry.optional && is_zero(tensor))).map(|(weight, _)| weight).collect();
    write_layout(path.as_ref(), model.shape(), model.layout(), &weights, &metadata, extra)
}

impl Model {
    /// Reads a model from a safetensors file, of this crate or of PyTorch. [`load`] has more options and also returns
    /// the metadata.
    ///
    /// # Errors
    /// Those of [`load`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Ok(load(path, &ReadOptions::default(), Cpu::detect()?)?.model)
    }

    /// Writes the model into a safetensors file that PyTorch can load, whole or not at all. The tensors of a model that
    /// was loaded keep their names.
    ///
    /// # Errors
    /// If the file cannot be written. An earlier file is then unchanged.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        save(path, self, &Metadata::default(), &[])
    }
}

/// The number of steps of a reference that are computed. This library writes four. More would not check the weights
/// better, and with a long reference a file of a few megabytes could take minutes.
const STEPS: usize = 16;

/// Checks that the model gives the reference output up to float32 rounding, whatever processor wrote the file.
fn verify(model: &Model, reference: &Reference, cpu: Cpu) -> Result<()> {
    let shape = model.shape();
    let steps = reference.seq_len.min(STEPS);
    let x = reference.x.get(..steps * shape.input).unwrap_or_default();
    let x = Tensor::<f32>::new(vec![steps, shape.input], x)?;
    let y = model.clone().raw().forward(cpu, &x, Order::BatchFirst, &mut State::new(shape, 1))?;
    for (i, (&found, &expected)) in y.data().iter().zip(&reference.y).enumerate() {
        let same = found == expected || (found.is_nan() && expected.is_nan());
        let near = (found - expected).abs() <= 1e-5 * expected.abs().max(1.0);
        if !same && !near {
            return Err(Error::invalid(format!(
                "the reference output differs (value {i} is {found}, in the file it is {expected}): the weights were \
                 changed or damaged after training; copy the file again, or train it again"
            )));
        }
    }
    Ok(())
}
