//! What is wrong with the options of a training, before any data is read; and which of them have no effect.

use super::{Job, OptimizerName, TargetAs};
use crate::cli::Failure;
use rnnstep::pass::Head;

impl Job {
    /// Whether its options go together.
    pub fn check(&self) -> Result<(), Failure> {
        let job = self.with_some_season();
        job.form()?;
        job.shape(1, 1)?;
        job.recipe(Head::All, None).map(drop)
    }

    /// What is wrong with the options is wrong for every series, and said before any is read.
    pub fn check_for_each(&self) -> Result<(), Failure> {
        Ok(self.with_some_season().plan()?.check()?)
    }

    /// The same with a season where one is still to be found in the data.
    fn with_some_season(&self) -> Self {
        let season = match self.target_as {
            TargetAs::SeasonalChange => self.season.or(Some(1)),
            _ => self.season,
        };
        Self { season, ..self.clone() }
    }

    /// Says on stderr which options have no effect here; `held_out` is whether something is.
    pub fn say_what_is_idle(&self, held_out: bool) {
        let sgd = self.optimizer == OptimizerName::Sgd;
        let (for_sgd, for_adam) = ("only sgd has it", "only adam and adamw have it");
        let idle = [
            ("patience", self.patience.is_some() && !held_out, "nothing is held out, so the training runs to its end"),
            ("dropout", self.dropout > 0.0 && self.layers == 1, "it drops between two layers, and there is one"),
            ("momentum", self.momentum != 0.0 && !sgd, for_sgd),
            ("dampening", self.dampening != 0.0 && !sgd, for_sgd),
            ("nesterov", self.nesterov && !sgd, for_sgd),
            ("amsgrad", self.amsgrad && sgd, for_adam),
        ];
        for (flag, _, why) in idle.into_iter().filter(|(_, idle, _)| *idle) {
            eprintln!("note: --{flag} has no effect: {why}");
        }
    }
}
