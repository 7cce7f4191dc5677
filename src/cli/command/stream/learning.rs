//! `rnnstep stream --learn`: the model learns from what comes in.

use crate::cli::args::learn::{LearnArgs, loss_of};
use crate::cli::args::paths;
use crate::cli::args::paths::Paths;
use crate::cli::failure::Failure;
use crate::cli::output::files;
use crate::cli::signals;
use rnnstep::error::{brief, quoted};
use rnnstep::learner::Numbers;
use rnnstep::model::file;
use rnnstep::model::file::{LEARNER, Loaded, Metadata};
use rnnstep::{Cpu, Error, Learner, LearnerOptions, Tensor};
use serde_json::json;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What else `--out` writes.
const BESIDE: &str = "the learner beside --out";

/// A learner at work, and where it is kept.
pub struct Learning {
    learner: Learner,
    /// Which input each predicted column is.
    columns: Vec<usize>,
    came: Vec<f32>,
    metadata: Metadata,
    out: Option<PathBuf>,
    save_every: u64,
    /// Whether the last time that it was written on the way it could not be.
    failed: bool,
}

impl Learning {
    /// A learner from the model in `path`, or the one that was written there.
    pub fn new(args: &LearnArgs, path: &Path, loaded: Loaded, cpu: Cpu) -> Result<Self, Failure> {
        let Loaded { model, metadata, extra, .. } = loaded;
        let beside = args.out.as_deref().map(|out| paths::beside(out, learner_beside));
        // it goes on where it stood, and writes down where it stands then
        let reads = Paths::default().reads("MODEL", [path]).may_replace("MODEL", BESIDE);
        reads.writes("--out", &args.out).writes(BESIDE, &beside).check()?;
        signals::watch();
        let in_file = |reason: String| Failure::from(Error::File { path: path.into(), reason });
        let before = metadata.position.as_ref().and_then(|position| position.get("learner"));
        let stored = |name: &str| before.and_then(|before| before.get(name)).cloned();
        let options = match stored("options") {
            Some(options) => {
                let before: LearnerOptions =
                    serde_json::from_value(options).map_err(|error| in_file(format!("learner: {}", brief(error))))?;
                // what a learner takes in memory the rows in its file have to account for
                let rows = extra.get(&format!("{LEARNER}rows.x")).map_or(0, |rows| rows.data().len());
                if before.window.saturating_add(1).saturating_mul(model.shape().input()) != rows {
                    let window = before.window;
                    return Err(in_file(format!(
                        "learner: rows.x has {rows} values, which is not a window of {window}"
                    )));
                }
                args.how.changed(before)
            }
            None => args.how.options(loss_of(&metadata, &model).map_err(in_file)?),
        };
        let columns = columns_of(&metadata, &model).map_err(in_file)?;
        let came = vec![0.0; columns.len()];
        // what is wrong with options that were written down is no matter of the flags
        let mut learner = Learner::new(model, options, cpu).map_err(|error| match before {
            Some(_) => in_file(format!("learner: {error}")),
            None => error.into(),
        })?;
        if let Some(numbers) = stored("numbers") {
            let mut snapshot = learner.snapshot();
            snapshot.numbers = serde_json::from_value::<Numbers>(numbers)
                .map_err(|error| in_file(format!("learner: {}", brief(error))))?;
            for (name, buffer) in snapshot.buffers_mut() {
                let found = extra.get(&format!("{LEARNER}{name}")).map_or(&[][..], Tensor::data);
                if found.len() != buffer.len() {
                    let (found, wanted) = (found.len(), buffer.len());
                    return Err(in_file(format!(
                        "learner: {name} has {found} values, expected {wanted}: it was written with another --window"
                    )));
                }
                buffer.copy_from_slice(found);
            }
            learner.restore(&snapshot).map_err(|error| in_file(error.to_string()))?;
        }
        learner.warm_up();
        let save_every = args.save_every.unwrap_or(1000);
        Ok(Self { learner, columns, came, metadata, out: args.out.clone(), save_every, failed: false })
    }

    pub fn predict(&mut self, x: &[f32]) -> Result<&[f32], Error> {
        self.learner.predict(x)
    }

    /// Learns from a row, and writes the model down if it is time to.
    pub fn learn(&mut self, x: &[f32]) -> Result<(), Failure> {
        self.came.iter_mut().zip(&self.columns).for_each(|(came, &column)| *came = x[column]);
        let learned = self.learner.learn(&self.came)?;
        if learned.rolled_back {
            eprintln!("tick {}: learning went wrong; back to the last good weights", self.learner.ticks());
        }
        if self.learner.ticks().is_multiple_of(self.save_every) {
            self.save_on_the_way();
        }
        Ok(())
    }

    /// Writes the model down; a disk that refuses is said once, and does not keep the next answer back.
    fn save_on_the_way(&mut self) {
        let failed = self.save().err().map(Failure::into_error);
        match (&failed, self.failed) {
            (Some(error), false) => eprintln!("warning: {error}; answering goes on and will try again"),
            (None, true) => eprintln!("the model is written again"),
            _ => {}
        }
        self.failed = failed.is_some();
    }

    /// Writes the model down and says what was learned, and whether a signal was the end of it.
    pub fn finish(self, interrupted: bool) -> Result<(), Failure> {
        self.save()?;
        let (ticks, updates, back) = (self.learner.ticks(), self.learner.updates(), self.learner.rollbacks());
        let place = self.out.as_deref().map_or_else(
            || "; nothing was written, since no --out was given".into(),
            |out| format!("; model {}, to go on {}", out.display(), learner_beside(out).display()),
        );
        let end = if interrupted { "interrupted; " } else { "" };
        eprintln!("{end}learned from {ticks} lines: {updates} updates, taken back {back} times{place}");
        Ok(())
    }

    fn save(&self) -> Result<(), Failure> {
        let Some(out) = &self.out else { return Ok(()) };
        let (model, snapshot) = (self.learner.model(), self.learner.snapshot());
        // what the weights were before they learned says nothing of how far off they are now
        let metadata = Metadata { position: None, unseen: None, ..self.metadata.clone() };
        // first what can be gone on from: it holds the weights as well
        let json = |error: serde_json::Error| Error::Invalid(error.to_string());
        let numbers = serde_json::to_value(&snapshot.numbers).map_err(json)?;
        let options = serde_json::to_value(self.learner.options()).map_err(json)?;
        let position = Some(json!({ "learner": { "numbers": numbers, "options": options } }));
        let mut extra = Vec::new();
        for (name, buffer) in snapshot.buffers().into_iter().filter(|(_, buffer)| !buffer.is_empty()) {
            extra.push((format!("{LEARNER}{name}"), Tensor::new([buffer.len()], buffer)?));
        }
        let beside = learner_beside(out);
        let of_learner = Metadata { position, ..metadata.clone() };
        files::write(&beside, || file::save(&beside, &model, &of_learner, &extra))?;
        files::write(out, || file::save(out, &model, &metadata, &[]))?;
        Ok(())
    }
}

/// `model.safetensors` has its learner in `model.learner.safetensors`.
fn learner_beside(model: &Path) -> PathBuf {
    model.with_extension("learner.safetensors")
}

/// Which input each predicted column is: by name, or all of them in order where nobody knows names.
fn columns_of(metadata: &Metadata, model: &rnnstep::Model) -> Result<Vec<usize>, String> {
    let (inputs, targets) = (&metadata.columns.inputs, &metadata.columns.targets);
    let wanted = model.units().map_or(model.shape().width_out(), |units| units.targets());
    if targets.len() == wanted {
        // of two of one name the first
        let places: HashMap<&String, usize> =
            inputs.iter().enumerate().map(|(place, input)| (input, place)).rev().collect();
        let place = |target: &String| {
            places.get(target).copied().ok_or_else(|| {
                let target = quoted(target);
                format!("--learn: {target} is predicted and not among the inputs, so the truth never comes in")
            })
        };
        return targets.iter().map(place).collect();
    }
    if model.shape().input() == wanted {
        return Ok((0..wanted).collect());
    }
    let input = model.shape().input();
    Err(format!("--learn: {input} columns go in and {wanted} are predicted, and nothing says which are which"))
}
