//! `rnnstep stream --learn`: the model learns from what comes in; and how to learn, which `evaluate --learn` asks as well.

use crate::cli::args::paths;
use crate::cli::args::paths::Paths;
use crate::cli::args::{config, many, number};
use crate::cli::{Failure, signals};
use clap::Args;
use rnnstep::error::{brief, quoted};
use rnnstep::learner::Numbers;
use rnnstep::model::file;
use rnnstep::model::file::{LEARNER, Loaded, Metadata};
use rnnstep::objective::optimizer::{Adam, Optimizer};
use rnnstep::{Cpu, Error, Learner, LearnerOptions, Loss, Tensor};
use serde_json::json;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Whether to learn while running, and how.
#[derive(Args, Clone, Debug)]
pub struct HowToLearn {
    /// Learn from every row, after its answer is out
    #[arg(long, help_heading = "Learning")]
    learn: bool,
    /// Update the weights every N rows [default: 1]
    #[arg(long, value_name = "N", value_parser = number::count::<usize>, help_heading = "Learning")]
    every: Option<usize>,
    /// Rows that gradients flow back through [default: 16]
    #[arg(long, value_name = "K", value_parser = number::count::<usize>, help_heading = "Learning")]
    window: Option<usize>,
    /// Learning rate of adam [default: 0.001]
    // an id of its own: beside the options of a training, which have an --lr, it gets another name
    #[arg(id = "learn_lr", long = "lr", value_name = "RATE", value_parser = number::not_negative, help_heading = "Learning")]
    lr: Option<f64>,
    /// Let the scalers follow: how much of their mean and variance they keep from row to row, such as 0.999
    #[arg(long, value_name = "PART", value_parser = number::fraction, help_heading = "Learning")]
    adapt: Option<f64>,
}

impl HowToLearn {
    /// Whether to learn; `lr` is what the flag of the learning rate is called.
    pub fn is_asked(&self, lr: &str) -> Result<bool, Failure> {
        let given = [
            ("--every", self.every.is_some()),
            ("--window", self.window.is_some()),
            (lr, self.lr.is_some()),
            ("--adapt", self.adapt.is_some()),
        ];
        match given.iter().find(|(_, given)| *given && !self.learn) {
            Some((flag, _)) => Err(Failure::Usage(format!("{flag}: says how to learn; add --learn"))),
            None => Ok(self.learn),
        }
    }

    /// What is given here, and for the rest how a model begins that was trained for `loss`.
    pub fn options(&self, loss: Loss) -> LearnerOptions {
        let adam = Optimizer::Adam(Adam::default());
        self.changed(LearnerOptions { loss, optimizer: adam, ..Default::default() })
    }

    /// `options` with what is given here.
    fn changed(&self, mut options: LearnerOptions) -> LearnerOptions {
        options.window = self.window.unwrap_or(options.window);
        options.every = self.every.unwrap_or(options.every);
        options.lr = self.lr.unwrap_or(options.lr);
        options.adapt = self.adapt.or(options.adapt);
        options
    }
}

#[derive(Args)]
pub struct LearnArgs {
    #[command(flatten)]
    how: HowToLearn,
    /// Where the model goes that was learned; beside it NAME.learner.safetensors, which `stream --learn` goes on from
    #[arg(long, value_name = "FILE", help_heading = "Learning")]
    out: Option<PathBuf>,
    /// Write both every N rows as well, not only at the end [default: 1000]
    #[arg(long, value_name = "N", value_parser = number::count::<u64>, help_heading = "Learning")]
    save_every: Option<u64>,
}

/// What else `--out` writes.
const BESIDE: &str = "the learner beside --out";

impl LearnArgs {
    /// Whether to learn.
    pub fn is_asked(&self) -> Result<bool, Failure> {
        let asked = self.how.is_asked("--lr")?;
        let given = [("--out", self.out.is_some()), ("--save-every", self.save_every.is_some())];
        match given.iter().find(|(_, given)| *given && !asked) {
            Some((flag, _)) => Err(Failure::Usage(format!("{flag}: says how to learn; add --learn"))),
            None if self.save_every.is_some() && self.out.is_none() => {
                Err(Failure::Usage("--save-every: say where to, with --out FILE".into()))
            }
            None => Ok(asked),
        }
    }
}

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
        let failed = self.save().err().map(many::why);
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
        paths::write(&beside, || file::save(&beside, &model, &of_learner, &extra))?;
        paths::write(out, || file::save(out, &model, &metadata, &[]))?;
        Ok(())
    }
}

/// `model.safetensors` has its learner in `model.learner.safetensors`.
fn learner_beside(model: &Path) -> PathBuf {
    model.with_extension("learner.safetensors")
}

/// The loss that a model was trained with, as far as its file says; or what is wrong with what it says.
pub fn loss_of(metadata: &Metadata, model: &rnnstep::Model) -> Result<Loss, String> {
    let trained = metadata.recipe.as_ref().map(config::job_of).transpose()?.map(|job| job.loss);
    let says = model.units().map(|units| units.says()).filter(|says| says.is_distribution());
    Ok(says.or(trained).unwrap_or_default())
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
