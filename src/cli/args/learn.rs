//! Whether a model learns while it runs, and how: options of `stream --learn` and `evaluate --learn`.

use super::number;
use crate::cli::failure::Failure;
use clap::Args;
use rnnstep::objective::optimizer::{Adam, Optimizer};
use rnnstep::{LearnerOptions, Loss};
use std::path::PathBuf;

/// Whether to learn while running, and how.
#[derive(Args, Clone, Debug)]
pub struct HowToLearn {
    /// Learn from every row, after its prediction was printed
    #[arg(long, help_heading = "Learning")]
    learn: bool,
    /// Update the weights every N rows [default: 1]
    #[arg(long, value_name = "N", value_parser = number::count::<usize>, help_heading = "Learning")]
    every: Option<usize>,
    /// Rows that gradients flow back through [default: 16]
    #[arg(long, value_name = "K", value_parser = number::count::<usize>, help_heading = "Learning")]
    window: Option<usize>,
    /// Learning rate of adam [default: 0.001]
    // an id of its own: next to the options of a training, which have an --lr, this one is renamed
    #[arg(id = "learn_lr", long = "lr", value_name = "RATE", value_parser = number::not_negative, help_heading = "Learning")]
    lr: Option<f64>,
    /// Let the scalers follow the series: the part of their mean and variance that they keep at each row, such as 0.999
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
            Some((flag, _)) => Err(Failure::Usage(format!("{flag}: goes only with --learn; add --learn"))),
            None => Ok(self.learn),
        }
    }

    /// The options that are given here, and for the rest the defaults of a model that was trained with `loss`.
    pub fn options(&self, loss: Loss) -> LearnerOptions {
        let adam = Optimizer::Adam(Adam::default());
        self.changed(LearnerOptions { loss, optimizer: adam, ..Default::default() })
    }

    /// `options`, changed by the options that are given here.
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
    /// File for the learned model; next to it NAME.learner.safetensors, from which `stream --learn` continues
    #[arg(long, value_name = "FILE", help_heading = "Learning")]
    pub out: Option<PathBuf>,
    /// Write both files every N rows, and not only at the end [default: 1000]
    #[arg(long, value_name = "N", value_parser = number::count::<u64>, help_heading = "Learning")]
    pub save_every: Option<u64>,
}

impl LearnArgs {
    /// Whether to learn.
    pub fn is_asked(&self) -> Result<bool, Failure> {
        let asked = self.how.is_asked("--lr")?;
        let given = [("--out", self.out.is_some()), ("--save-every", self.save_every.is_some())];
        match given.iter().find(|(_, given)| *given && !asked) {
            Some((flag, _)) => Err(Failure::Usage(format!("{flag}: goes only with --learn; add --learn"))),
            None if self.save_every.is_some() && self.out.is_none() => {
                Err(Failure::Usage("--save-every: give the file to write with --out FILE".into()))
            }
            None => Ok(asked),
        }
    }
}
