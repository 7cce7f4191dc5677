//! What is wrong with the options of a training, before any data is read; and which of them have no effect.

use super::{Job, OptimizerName, StateMode, TargetAs};
use crate::cli::failure::Failure;
use rnnstep::net::pass::HeadSteps;
use rnnstep::objective::optimizer::Adam;
use rnnstep::{Loss, Model, Shape};

impl Job {
    /// Whether its options go together.
    pub fn check(&self) -> Result<(), Failure> {
        let job = self.with_some_season();
        job.transform()?;
        job.check_stride()?;
        job.shape(1, 1)?;
        job.recipe(HeadSteps::All, None).map(drop)
    }

    /// A state that is carried on comes to every row once.
    pub fn check_stride(&self) -> Result<(), Failure> {
        if self.state == StateMode::Carry && self.stride.is_some_and(|stride| stride != self.seq_len) {
            let message = "--stride: a carried state goes from window to window without a gap or an overlap; \
                           leave it out, or use --state reset";
            return Err(Failure::Usage(message.into()));
        }
        Ok(())
    }

    /// `Ok` if a model may come of this job: a file could say one thing in its recipe and another in its tensors.
    pub fn check_model(&self, model: &Model) -> Result<(), String> {
        let shape = model.shape();
        let own = self.shape(shape.input(), shape.width_out()).and_then(|own| Ok(own.with_output(shape.output())?));
        let own = own.map_err(|failure| failure.into_error().to_string())?;
        if own != *shape {
            let of = |shape: &Shape| format!("{shape}{}", if shape.bias() { "" } else { " without bias" });
            return Err(format!("its recipe is for {}, its tensors are {}", of(&own), of(shape)));
        }
        let of_many = |says: Loss| says.is_distribution().then_some(says);
        let says = model.units().map_or(Loss::Mse, |units| units.loss());
        if of_many(self.loss) != of_many(says) {
            return Err(format!("its recipe has --loss {}, and what it predicts is that of {says}", self.loss));
        }
        Ok(())
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
        let adam = Adam::default();
        let (for_sgd, for_adam) = ("only sgd has it", "only adam and adamw have it");
        let idle = [
            ("patience", self.patience.is_some() && !held_out, "nothing is held out, so the training runs to its end"),
            ("dropout", self.dropout > 0.0 && self.layers == 1, "it drops between two layers, and there is one"),
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
