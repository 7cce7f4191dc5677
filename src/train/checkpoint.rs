//! Checkpoints, from which a training can be resumed: a model file that holds, besides the weights, all that a training
//! step depends on.
//!
//! Random numbers are a function of seed and position (see [`crate::random`]), so the position is their state.

use crate::cpu::Threads;
use crate::data::windows::Windows;
use crate::device::Device;
use crate::error::{Error, Result, brief};
use crate::model::Model;
use crate::model::file;
use crate::model::file::{Loaded, Metadata};
use crate::objective::loss::Loss;
use crate::objective::optimizer::Optimizer;
use crate::simd::isa::Cpu;
use crate::simd::math::all_finite;
use crate::tensor::{Array, Buffer, Tensor};
use crate::train::{Recipe, Trainer};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The best weights on the validation part so far.
#[derive(Debug, Clone)]
pub struct Best {
    /// Loss on the validation part.
    pub loss: f64,
    /// After which training step.
    pub step: u64,
    /// The model then.
    pub model: Model,
}

/// The progress of a training.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Position {
    step: u64,
    best: Option<(f64, u64)>,
    /// The [`Device::order_of_sums`] of the device that trained it. Older files do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device: Option<String>,
}

impl Position {
    /// The most training steps that a file may claim. More are not plausible, and computing with them could overflow.
    const MOST: u64 = 1 << 53;

    fn check(&self) -> Result<(), String> {
        let best = self.best.map_or(0, |(_, step)| step);
        if self.step > Self::MOST {
            return Err(format!(
                "{} steps are more than can have been done; at most {} make sense",
                self.step,
                Self::MOST
            ));
        }
        if best > self.step {
            return Err(format!("the best weights are of step {best}, but only {} steps were done", self.step));
        }
        Ok(())
    }
}

/// A checkpoint that was read.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    loaded: Loaded,
    position: Position,
}

/// Tensors with this prefix belong to the caller, not to the training.
const BESIDE: &str = "beside.";

/// Writes a checkpoint, whole or not at all. `metadata` is that of the final model file.
///
/// # Errors
/// If the best weights are of another network, the file cannot be written, or the GPU fails.
pub fn save(path: impl AsRef<Path>, trainer: &mut Trainer, best: Option<&Best>, metadata: &Metadata) -> Result<()> {
    save_beside(path, trainer, best, metadata, &[])
}

/// The same with additional tensors, which the caller gets back when the training is resumed: see
/// [`Checkpoint::beside`].
///
/// # Errors
/// Those of [`save`], and if two of these tensors have the same name.
pub fn save_beside(
    path: impl AsRef<Path>,
    trainer: &mut Trainer,
    best: Option<&Best>,
    metadata: &Metadata,
    beside: &[(String, Tensor)],
) -> Result<()> {
    if best.is_some_and(|best| best.model.shape() != trainer.model.shape()) {
        return Err(Error::invalid("checkpoint: the best weights are of another network than the one in training"));
    }
    trainer.fetch()?;
    let mut extra = Vec::new();
    let mut shadow = |prefix: &str, arena: &[f32]| {
        let tensors = trainer.model.named(arena).into_iter();
        extra.extend(tensors.map(|(name, tensor)| (format!("{prefix}.{name}"), Array::from(tensor))));
    };
    for (name, moment) in moment_names(&trainer.recipe().optimizer).iter().zip(&trainer.moments) {
        if !moment.is_empty() {
            shadow(name, moment);
        }
    }
    if let Some(best) = best {
        shadow("best", &best.model.params);
    }
    extra.push(("state.h".into(), trainer.state.h().into()));
    if let Some(c) = trainer.state.c() {
        extra.push(("state.c".into(), c.into()));
    }
    extra.extend(beside.iter().map(|(name, tensor)| (format!("{BESIDE}{name}"), tensor.clone().into())));
    let device = Some(trainer.device().order_of_sums());
    let position = Position { step: trainer.step, best: best.map(|best| (best.loss, best.step)), device };
    let position = serde_json::to_value(position).map_err(|e| Error::file(path.as_ref(), e.to_string()))?;
    let metadata = Metadata { position: Some(position), ..metadata.clone() };
    file::save(path, &trainer.model, &metadata, &extra)
}

impl Checkpoint {
    /// Reads a checkpoint. The bounds are those of [`file::read`].
    ///
    /// # Errors
    /// Those of [`file::load`], and if the file is a model without a training, or its position is not possible.
    pub fn load(path: impl AsRef<Path>, cpu: Cpu) -> Result<Self> {
        let path = path.as_ref();
        let loaded = file::load(path, &file::ReadOptions::default(), cpu)?;
        let Some(position) = loaded.metadata.position.clone() else {
            let reason = "holds a model, but no training to resume; resume from its checkpoint, or start a new \
                          training from its weights with --init";
            return Err(Error::file(path, reason));
        };
        if position.get("learner").is_some() {
            return Err(Error::file(
                path,
                "is a learner, not a checkpoint; continue it with rnnstep stream MODEL --learn",
            ));
        }
        let position: Position = serde_json::from_value(position)
            .map_err(|e| Error::file(path, format!("metadata: position: {}", brief(e))))?;
        position.check().map_err(|reason| Error::file(path, format!("metadata: position: {reason}")))?;
        Ok(Self { path: path.into(), loaded, position })
    }

    /// The metadata of the file.
    pub fn metadata(&self) -> &Metadata {
        &self.loaded.metadata
    }

    /// The model with the weights of the checkpoint.
    pub fn model(&self) -> &Model {
        &self.loaded.model
    }

    /// Training steps done.
    pub fn steps_done(&self) -> u64 {
        self.position.step
    }

    /// The tensors that [`save_beside`] was given, by name.
    pub fn beside(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        let tensors = self.loaded.extra.iter().filter_map(|(name, array)| match array {
            Array::F32(tensor) => Some((name, tensor)),
            Array::F64(_) => None, // never written
        });
        tensors.filter_map(|(name, tensor)| Some((name.strip_prefix(BESIDE)?, tensor)))
    }

    /// A line of text if the training is about to be resumed on a device that may add in another order. Then its last
    /// bits may differ from those of a training that never stopped. `None` on a device like the one before, and if the
    /// file does not name the device.
    pub fn moved_to(&self, device: &Device) -> Option<String> {
        let (before, now) = (self.position.device.as_ref()?, device.order_of_sums());
        (*before != now).then(|| {
            let path = self.path.display();
            format!("{path}: now on {now}, was trained on {before}: the last bits may differ from those without a stop")
        })
    }

    /// The trainer, which continues as if it had never stopped, and the best weights so far. On another device the last
    /// bits may differ: see [`Checkpoint::moved_to`].
    ///
    /// # Errors
    /// If the tensors of the checkpoint are not those that model, windows and recipe need.
    pub fn into_trainer(
        self,
        windows: Windows,
        recipe: Recipe,
        device: impl Into<Device>,
        threads: Threads,
    ) -> Result<(Trainer, Option<Best>)> {
        let Self { path, loaded, position } = self;
        let arena = |prefix: &str| shadow_of(&path, &loaded, prefix);
        let best = match position.best {
            Some((loss, step)) => {
                let params = arena("best")?;
                // only the negative log-likelihood of a Gaussian can be below 0
                if !loss.is_finite() || loss < 0.0 && recipe.loss != Loss::Gaussian {
                    return Err(Error::file(&path, format!("the best loss is {loss:?}, which no loss can be")));
                }
                if !all_finite(&params) {
                    let reason = "holds weights that are not finite; the best weights always are";
                    return Err(Error::tensor(&path, "rnnstep.best", reason));
                }
                Some(Best { loss, step, model: loaded.model.with_params(params) })
            }
            None => None,
        };
        let names = moment_names(&recipe.optimizer);
        let mut trainer = Trainer::new(loaded.model.clone(), windows, recipe, device, threads)?;
        for (name, moment) in names.iter().zip(&mut trainer.moments) {
            if !moment.is_empty() {
                *moment = arena(name)?;
            }
        }
        let [layers, batch, hidden] = *tensor(&path, &loaded, "state.h")?.dims() else {
            return Err(Error::tensor(&path, "rnnstep.state.h", "expected the shape [L,B,H]"));
        };
        let shape = trainer.model.shape();
        if (layers, hidden) != (shape.layers, shape.hidden) || batch == 0 || batch > trainer.state.batch() {
            return Err(Error::tensor(
                &path,
                "rnnstep.state.h",
                "does not fit the model and the batch of the training",
            ));
        }
        trainer.state.start(batch);
        trainer.state.set_h(tensor(&path, &loaded, "state.h")?.data())?;
        if shape.cell.has_c() {
            trainer.state.set_c(tensor(&path, &loaded, "state.c")?.data())?;
        } else if loaded.extra.contains_key("state.c") {
            let reason = format!("a {} has no c; the checkpoint is of another training", shape.cell);
            return Err(Error::tensor(&path, "rnnstep.state.c", reason));
        }
        trainer.step = position.step;
        Ok((trainer, best))
    }
}

/// The tensors under `prefix`, packed like the parameters.
fn shadow_of(path: &Path, loaded: &Loaded, prefix: &str) -> Result<Buffer> {
    let layout = loaded.model.layout();
    let mut arena = Buffer::try_zeros(layout.len())?;
    for entry in layout.entries() {
        let name = format!("{prefix}.{}", entry.name);
        let found = tensor(path, loaded, &name)?;
        if found.dims() != entry.dims {
            let reason = format!("expected the shape {:?}, got {:?}", entry.dims, found.dims());
            return Err(Error::tensor(path, format!("rnnstep.{name}"), reason));
        }
        entry.pack(found.data(), &mut arena);
    }
    Ok(arena)
}

fn tensor<'a>(path: &Path, loaded: &'a Loaded, name: &str) -> Result<&'a Tensor> {
    let error = |reason| Error::tensor(path, format!("rnnstep.{name}"), reason);
    match loaded.extra.get(name) {
        Some(Array::F32(tensor)) => Ok(tensor),
        Some(Array::F64(_)) => Err(error("its values are F64; a checkpoint has F32 there")),
        None => Err(error("is missing; the checkpoint is of another training")),
    }
}

/// PyTorch's names of what an optimiser keeps for each parameter.
fn moment_names(optimizer: &Optimizer) -> [&'static str; 3] {
    match optimizer {
        Optimizer::Adam(_) | Optimizer::AdamW(_) => ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"],
        Optimizer::Sgd(_) => ["momentum_buffer", "", ""],
    }
}
