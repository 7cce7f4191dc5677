//! `rnnstep stream --learn`: the model learns from the rows that it reads.

use crate::cli::args::config;
use crate::cli::args::learn::LearnArgs;
use crate::cli::args::paths;
use crate::cli::failure::Failure;
use crate::cli::output::files;
use crate::cli::signals;
use rnnstep::error::quoted;
use rnnstep::model::file;
use rnnstep::model::file::{Loaded, Metadata};
use rnnstep::{Cpu, Error, Learner};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The other file that `--out` writes, in messages.
pub const BESIDE: &str = "the learner next to --out";

/// A running learner, and the files that it is saved to.
pub struct Learning {
    pub learner: Learner,
    /// For each predicted column, the number of the input that it is.
    columns: Vec<usize>,
    actual: Vec<f64>,
    metadata: Metadata,
    out: Option<PathBuf>,
    save_every: u64,
    /// Whether the last attempt to save it failed.
    failed: bool,
}

impl Learning {
    /// Continues the learner in the file `path`, or starts one from the model there.
    pub fn new(args: &LearnArgs, path: &Path, loaded: Loaded, cpu: Cpu) -> Result<Self, Failure> {
        signals::watch();
        let in_file = |reason: String| Failure::from(Error::File { path: path.into(), reason });
        config::check_recipe(&loaded, path)?;
        let stored = Learner::stored_options(&loaded).map_err(|error| in_file(error.to_string()))?;
        let continues = stored.is_some();
        let options = match stored {
            Some(before) => args.how.changed(before),
            None => args.how.options(loaded.loss()?),
        };
        let columns = columns_of(&loaded.metadata, &loaded.model).map_err(in_file)?;
        let actual = vec![0.0; columns.len()];
        // if a learner starts from a model, only the flags can be wrong, so the message does not name the file
        let mut learner = Learner::from_file(&loaded, options, cpu).map_err(|error| match continues {
            true => in_file(error.to_string()),
            false => error.into(),
        })?;
        learner.warm_up();
        let save_every = args.save_every.unwrap_or(1000);
        Ok(Self {
            learner,
            columns,
            actual,
            metadata: loaded.metadata,
            out: args.out.clone(),
            save_every,
            failed: false,
        })
    }

    pub fn predict(&mut self, x: &[f64]) -> Result<&[f64], Error> {
        self.learner.predict_f64(x)
    }

    /// Learns from the values of a row, NaN where they are missing, and saves the learner if it is time.
    pub fn learn(&mut self, values: &[f64]) -> Result<(), Failure> {
        self.actual.iter_mut().zip(&self.columns).for_each(|(actual, &column)| *actual = values[column]);
        let learned = self.learner.learn_f64(&self.actual)?;
        if learned.rolled_back {
            eprintln!("tick {}: learning failed, so the last good weights are taken back", self.learner.ticks());
        }
        if self.learner.ticks().is_multiple_of(self.save_every) {
            self.save_on_the_way();
        }
        Ok(())
    }

    /// Saves the learner while the stream runs. A failure of the disk is reported once, and does not delay the next
    /// prediction.
    fn save_on_the_way(&mut self) {
        let failed = self.save().err().map(Failure::into_error);
        match (&failed, self.failed) {
            (Some(error), false) => eprintln!("warning: {error}; the stream continues and will try again"),
            (None, true) => eprintln!("the model is written again"),
            _ => {}
        }
        self.failed = failed.is_some();
    }

    /// Saves the learner and prints what was learned, and whether a signal ended the stream.
    pub fn finish(self, interrupted: bool) -> Result<(), Failure> {
        self.save()?;
        let (ticks, updates, back) = (self.learner.ticks(), self.learner.updates(), self.learner.rollbacks());
        let place = self.out.as_deref().map_or_else(
            || "; nothing was written, since no --out was given".into(),
            |out| format!("; model {}; continue from {}", out.display(), learner_beside(out).display()),
        );
        let end = if interrupted { "interrupted; " } else { "" };
        eprintln!("{end}learned from {ticks} lines: {updates} updates, weights taken back {back} times{place}");
        Ok(())
    }

    fn save(&self) -> Result<(), Failure> {
        let Some(out) = &self.out else { return Ok(()) };
        let beside = learner_beside(out);
        // the file of the learner first: it holds the weights as well
        files::write(&beside, || self.learner.save(&beside, &self.metadata))?;
        let (model, metadata) = (self.learner.model(), Learner::metadata(&self.metadata));
        files::write(out, || file::save(out, &model, &metadata, &[]))?;
        Ok(())
    }
}

/// The other file that `--out` writes; `/dev/null` if `--out` is a device or a pipe.
pub fn beside(out: &Path) -> PathBuf {
    paths::beside(out, learner_beside)
}

/// The file of the learner: `model.learner.safetensors` for `model.safetensors`.
fn learner_beside(model: &Path) -> PathBuf {
    model.with_extension("learner.safetensors")
}

/// For each predicted column, the number of the input that it is: by name, or in the same order if the file has no
/// names.
fn columns_of(metadata: &Metadata, model: &rnnstep::Model) -> Result<Vec<usize>, String> {
    let (inputs, targets) = (&metadata.columns.inputs, &metadata.columns.targets);
    let wanted = model.units().map_or(model.shape().width_out(), |units| units.targets());
    if targets.len() == wanted {
        // of two inputs with the same name, the first counts
        let places: HashMap<&String, usize> =
            inputs.iter().enumerate().map(|(place, input)| (input, place)).rev().collect();
        let place = |target: &String| {
            places.get(target).copied().ok_or_else(|| {
                let target = quoted(target);
                format!(
                    "--learn: {target} is predicted but is not an input, so its actual values are never read; train a \
                     model with {target} in --column as well"
                )
            })
        };
        return targets.iter().map(place).collect();
    }
    if model.shape().input() - model.masks().len() == wanted {
        return Ok((0..wanted).collect());
    }
    let input = model.shape().input();
    Err(format!(
        "--learn: the model has {input} inputs and {wanted} targets, and its file does not name them; use a model that \
         `rnnstep train` wrote"
    ))
}
