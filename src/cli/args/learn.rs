//! Whether a model learns while it runs, and how: what `stream --learn` and `evaluate --learn` ask.

use super::{config, number};
use crate::cli::failure::Failure;
use clap::Args;
use rnnstep::model::file::Metadata;
use rnnstep::objective::optimizer::{Adam, Optimizer};
use rnnstep::{LearnerOptions, Loss, Model};
use std::path::PathBuf;

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
    pub fn changed(&self, mut options: LearnerOptions) -> LearnerOptions {
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
    pub how: HowToLearn,
    /// Where the model goes that was learned; beside it NAME.learner.safetensors, which `stream --learn` goes on from
    #[arg(long, value_name = "FILE", help_heading = "Learning")]
    pub out: Option<PathBuf>,
    /// Write both every N rows as well, not only at the end [default: 1000]
    #[arg(long, value_name = "N", value_parser = number::count::<u64>, help_heading = "Learning")]
    pub save_every: Option<u64>,
}

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

/// The loss that a model was trained with, as far as its file says; or what is wrong with what it says.
pub fn loss_of(metadata: &Metadata, model: &Model) -> Result<Loss, String> {
    let trained = metadata.recipe.as_ref().map(config::job_of).transpose()?.map(|job| job.loss);
    let says = model.units().map(|units| units.loss()).filter(|says| says.is_distribution());
    Ok(says.or(trained).unwrap_or_default())
}
