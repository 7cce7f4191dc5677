//! Checks the options of a training before any data is read, and names those that have no effect.

use super::{Job, OptimizerName, StateMode, TargetAs};
use crate::cli::failure::Failure;
use rnnstep::net::pass::HeadSteps;
use rnnstep::objective::optimizer::Adam;
use rnnstep::{Loss, Model};

impl Job {
    /// Whether its options go together.
    pub fn check(&self) -> Result<(), Failure> {
        let job = self.with_some_season();
        job.transform()?;
        job.check_stride()?;
        job.shape(1, 1)?;
        job.recipe(HeadSteps::All, None).map(drop)
    }

    /// Checks the stride: a carried state must see every row once.
    pub fn check_stride(&self) -> Result<(), Failure> {
        if self.state == StateMode::Carry && self.stride.is_some_and(|stride| stride != self.seq_len) {
            let message = "--stride: a carried state goes from window to window without a gap or an overlap; \
                           leave --stride out, or use --state reset";
            return Err(Failure::Usage(message.into()));
        }
        Ok(())
    }

    /// Checks that this job can have trained `model`: the recipe and the tensors of a damaged file may differ.
    pub fn check_model(&self, model: &Model) -> Result<(), String> {
        let shape = model.shape();
        let own = self.shape(shape.input(), shape.width_out()).and_then(|own| Ok(own.with_output(shape.output())?));
        let own = own.map_err(|failure| failure.into_error().to_string())?;
        if own != *shape {
            return Err(format!("its recipe is for {own}, but its tensors are for {shape}"));
        }
        let of_many = |says: Loss| says.is_distribution().then_some(says);
        let says = model.units().map_or(Loss::Mse, |units| units.loss());
        if of_many(self.loss) != of_many(says) {
            return Err(format!("its recipe has --loss {}, but its output kind is that of --loss {says}", self.loss));
        }
        Ok(())
    }

    /// Checks the options that are the same for every series, before any series is read.
    pub fn check_for_each(&self) -> Result<(), Failure> {
        Ok(self.with_some_season().plan()?.check()?)
    }

    /// The same job, with some season if the season is still to be found in the data.
    fn with_some_season(&self) -> Self {
        let mut job = self.clone();
        if job.target_as == TargetAs::SeasonalChange && job.season.is_empty() {
            job.season = vec![1];
        }
        job
    }

    /// Prints a note for each option that has no effect; `held_out` is whether any rows are held out.
    pub fn say_what_is_idle(&self, held_out: bool) {
        let sgd = self.optimizer == OptimizerName::Sgd;
        let adam = Adam::default();
        let (for_sgd, for_adam) = ("only sgd uses it", "only adam and adamw use it");
        let idle = [
            ("patience", self.patience.is_some() && !held_out, "nothing is held out, so the training runs to its end"),
            ("dropout", self.dropout > 0.0 && self.layers == 1, "it acts between two layers, and there is only one"),
            ("momentum", self.momentum != 0.0 && !sgd, for_sgd),
            ("dampening", self.dampening != 0.0 && !sgd, for_sgd),
            ("nesterov", self.nesterov && !sgd, for_sgd),
            ("amsgrad", self.amsgrad && sgd, for_adam),
            ("eps", self.eps != adam.eps && sgd, for_adam),
            ("betas", self.betas[..] != adam.betas && sgd, for_adam),
        ];
        for (flag, _, why) in idle.into_iter().filter(|(_, idle, _)| *idle) {
            eprintln!("note: --{flag} has no effect: {why}");
        }
    }
}
