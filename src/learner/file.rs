//! A learner in a model file: the weights, and everything else that it needs to continue to the same bits.

use super::{Learner, LearnerOptions, Numbers, Snapshot};
use crate::error::{Error, Result, brief};
use crate::model::file::{self, LEARNER, Loaded, Metadata};
use crate::simd::isa::Cpu;
use crate::tensor::{Array, Tensor};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::Path;

/// The member of [`Metadata::position`] that a learner writes.
const POSITION: &str = "learner";

/// What to do about a file that lacks a part of its learner.
const DAMAGED: &str = "the file is damaged; take an earlier copy of it, or begin again from the model alone";

/// The learner in the header of a file. Its arrays are tensors of the file.
struct Stored {
    options: LearnerOptions,
    numbers: Numbers,
}

impl Stored {
    /// The learner of a file; `None` if a training or another program wrote the file.
    fn of(loaded: &Loaded) -> Result<Option<Self>> {
        let learner = loaded.metadata.position.as_ref().and_then(|position| position.get(POSITION));
        match learner {
            Some(learner) => {
                Ok(Some(Self { options: member(learner, "options")?, numbers: member(learner, "numbers")? }))
            }
            None if loaded.extra.keys().any(|name| name.starts_with(LEARNER)) => {
                Err(Error::invalid(format!("learner: its tensors are there, its options are not: {DAMAGED}")))
            }
            None => Ok(None),
        }
    }
}

/// A member of the learner in a header.
fn member<T: DeserializeOwned>(learner: &Value, name: &str) -> Result<T> {
    let Some(value) = learner.get(name) else {
        return Err(Error::invalid(format!("learner: {name} is missing: {DAMAGED}")));
    };
    T::deserialize(value).map_err(|error| Error::invalid(format!("learner: {name}: {}: {DAMAGED}", brief(error))))
}

/// An array of the learner in a file.
fn array(loaded: &Loaded, name: &str) -> Option<Array> {
    loaded.extra.get(&format!("{LEARNER}{name}")).cloned()
}

/// Fills `buffer`, called `name`, with what the file has for it.
fn fill<V: Copy>(name: &str, buffer: &mut [V], found: Vec<V>) -> Result<()> {
    if found.len() != buffer.len() {
        let (found, wanted) = (found.len(), buffer.len());
        return Err(Error::invalid(format!("learner: {name} has {found} values, expected {wanted}: {DAMAGED}")));
    }
    buffer.copy_from_slice(&found);
    Ok(())
}

impl Learner {
    /// The options of the learner that [`Learner::save`] wrote into the file of `loaded`; `None` if the file has no
    /// learner.
    ///
    /// # Errors
    /// If they cannot be read, or their window does not fit the rows in the file.
    pub fn stored_options(loaded: &Loaded) -> Result<Option<LearnerOptions>> {
        let Some(Stored { options, .. }) = Stored::of(loaded)? else { return Ok(None) };
        // the file must have as many rows as the window, so that a few damaged bytes cannot ask for much memory
        let rows = loaded.extra.get(&format!("{LEARNER}rows.x")).map_or(0, |rows| rows.dims().iter().product());
        let window = options.window;
        if window.saturating_add(1).saturating_mul(loaded.model.shape().input()) != rows {
            return Err(Error::invalid(format!(
                "learner: rows.x has {rows} values, which do not fit a window of {window}: {DAMAGED}"
            )));
        }
        Ok(Some(options))
    }

    /// Continues, to the same bits, the learner that [`Learner::save`] wrote into the file of `loaded`. If the file has
    /// only a model, a new learner starts from it, as with [`Learner::new`].
    ///
    /// # Errors
    /// Those of [`Learner::new`] and [`Learner::restore`], and if the learner in the file cannot be read or has another
    /// window than `options`.
    pub fn from_file(loaded: &Loaded, options: LearnerOptions, cpu: Cpu) -> Result<Self> {
        let new = || Self::new(loaded.model.clone(), options, cpu);
        let Some(stored) = Stored::of(loaded)? else { return new() };
        if stored.options.window != options.window {
            return Err(Error::invalid(format!(
                "learner: it was saved with a window of {}, not {}: leave the window out",
                stored.options.window, options.window
            )));
        }
        let mut learner = new().map_err(|error| Error::invalid(format!("learner: {error}")))?;
        let mut snapshot = learner.snapshot();
        snapshot.numbers = stored.numbers;
        for (name, buffer) in snapshot.buffers_mut() {
            fill(name, buffer, array(loaded, name).map_or_else(Vec::new, |array| array.narrow().into_data()))?;
        }
        // files of the first release have these in f32
        for (name, values) in snapshot.raw_values_mut() {
            fill(name, values, array(loaded, name).map_or_else(Vec::new, |array| array.wide().into_data()))?;
        }
        learner.restore(&snapshot)?;
        Ok(learner)
    }

    /// Writes the model with its current weights, and everything that [`Learner::from_file`] needs to continue to the
    /// same bits. The file is written completely or not at all. `metadata` names the columns. PyTorch and all commands
    /// can load the file as a model.
    ///
    /// # Errors
    /// If the file cannot be written. An earlier file of that name then stays unchanged.
    pub fn save(&self, path: impl AsRef<Path>, metadata: &Metadata) -> Result<()> {
        let snapshot: Snapshot = self.snapshot();
        let json = |error: serde_json::Error| Error::invalid(error.to_string());
        let numbers = serde_json::to_value(&snapshot.numbers).map_err(json)?;
        let options = serde_json::to_value(self.options()).map_err(json)?;
        let position = Some(json!({ POSITION: { "numbers": numbers, "options": options } }));
        let mut extra = Vec::new();
        for (name, buffer) in snapshot.buffers().into_iter().filter(|(_, buffer)| !buffer.is_empty()) {
            extra.push((format!("{LEARNER}{name}"), Tensor::new([buffer.len()], buffer)?.into()));
        }
        for (name, values) in snapshot.raw_values().into_iter().filter(|(_, values)| !values.is_empty()) {
            extra.push((format!("{LEARNER}{name}"), Tensor::<f64>::new([values.len()], values)?.into()));
        }
        let metadata = Metadata { position, ..Self::metadata(metadata) };
        file::save(path, &self.model(), &metadata, &extra)
    }

    /// The metadata of a model file without what is no longer true after learning: the position of a training, and the
    /// errors of the earlier weights on unseen rows.
    pub fn metadata(before: &Metadata) -> Metadata {
        Metadata { position: None, unseen: None, ..before.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::kind::CellKind;
    use crate::model::Model;
    use crate::net::shape::Shape;

    #[test]
    fn continues_to_the_same_bits() {
        let cpu = Cpu::widest();
        let path = std::env::temp_dir().join(format!("rnnstep-learner-file-{}.safetensors", std::process::id()));
        let model = Model::random(Shape::new(CellKind::Gru, 1, 7, 1, 1).unwrap(), 3).unwrap();
        let options = LearnerOptions { lr: 0.01, window: 5, ..Default::default() };
        let mut learner = Learner::new(model, options, cpu).unwrap();
        let x = |t: usize| [(0.3 * t as f32).sin()];
        for t in 0..600 {
            learner.tick(&x(t), &x(t)).unwrap();
        }
        learner.save(&path, &Metadata::default()).unwrap();
        let loaded = file::load(&path, &file::ReadOptions::default(), cpu).unwrap();
        assert_eq!(Learner::stored_options(&loaded).unwrap(), Some(options));
        let mut other = Learner::from_file(&loaded, options, cpu).unwrap();
        let (here, there) = (learner.snapshot(), other.snapshot());
        assert_eq!(here.numbers, there.numbers);
        for ((name, here), (_, there)) in here.buffers().into_iter().zip(there.buffers()) {
            let same = here.iter().map(|value| value.to_bits()).eq(there.iter().map(|value| value.to_bits()));
            assert!(same && (here.is_empty() || name == "h" || here.iter().any(|value| *value != 0.0)), "{name}");
        }
        for t in 600..640 {
            let (y, learned) = learner.tick(&x(t), &x(t)).unwrap();
            let y = y.to_vec();
            assert_eq!(other.tick(&x(t), &x(t)).unwrap(), (&y[..], learned), "{t}");
        }
        // a learner starts from a file with only a model, and another window is refused
        learner.model().save(&path).unwrap();
        let loaded_model = file::load(&path, &file::ReadOptions::default(), cpu).unwrap();
        assert_eq!(Learner::stored_options(&loaded_model).unwrap(), None);
        assert_eq!(Learner::from_file(&loaded_model, options, cpu).unwrap().ticks(), 0);
        let error = Learner::from_file(&loaded, LearnerOptions { window: 6, ..options }, cpu).unwrap_err();
        assert!(error.to_string().contains("a window of 5, not 6"), "{error}");
        // a file that lost a part says which
        let damaged = |change: &dyn Fn(&mut Loaded)| {
            let mut loaded = loaded.clone();
            change(&mut loaded);
            Learner::from_file(&loaded, options, cpu).unwrap_err().to_string()
        };
        let gone = |name: &'static str| {
            damaged(&|loaded| {
                loaded.metadata.position.as_mut().unwrap()[POSITION].as_object_mut().unwrap().remove(name);
            })
        };
        assert!(gone("options").contains("options is missing") && gone("numbers").contains("numbers is missing"));
        assert!(damaged(&|loaded| loaded.metadata.position = None).contains("its tensors are there"));
        let lost = damaged(&|loaded| drop(loaded.extra.remove("learner.good.v")));
        assert!(lost.contains("good.v has 0 values"), "{lost}");
        std::fs::remove_file(&path).unwrap();
    }
}
