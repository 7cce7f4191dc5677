//! A whole training: after each epoch it scores the held-out rows, it keeps the best weights, and it returns the
//! outcome.

use super::validation::{Rule, Validation};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::objective::loss::Loss;
use crate::series::residuals::Residuals;
use crate::train::checkpoint::Best;
use crate::train::{Step, Trainer};
use crate::units::autoregression::Autoregression;
use crate::units::transform::{Fitted, TargetTransform};

/// Training steps between two checks whether to stop.
const STEPS: u64 = 256;

/// The outcome of a training.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Outcome {
    /// The model.
    pub model: Model,
    /// Whether it predicts better than a constant output of the network does, such as the mean change.
    pub learned: bool,
    /// Its errors one step ahead on the held-out rows, if there are any.
    pub errors: Option<Residuals>,
    /// The autoregressions with which these errors were made, which know nothing of the held-out rows; empty if there are
    /// none.
    pub judged_by: Vec<Autoregression>,
}

impl Outcome {
    /// What to tell a user where [`Outcome::learned`] is false.
    pub const LEARNED_NOTHING: &str =
        "nothing was learned that shows on the held-out part, so the network's part of a prediction is constant";
}

/// A training that is running. At the end of each epoch it scores the held-out rows, and it keeps the best weights.
#[derive(Debug)]
pub struct Fit {
    /// The trainer, which does the steps.
    pub trainer: Trainer,
    validation: Option<Validation>,
    best: Option<Best>,
    total: u64,
    patience: Option<u64>,
    settled: Option<Fitted>,
}

impl Fit {
    /// A training of `total` steps in all. It continues from the step of `trainer`, with the `best` weights so far.
    pub fn new(
        trainer: Trainer,
        validation: Option<Validation>,
        best: Option<Best>,
        total: u64,
        patience: Option<u64>,
    ) -> Self {
        Self { trainer, validation, best, total, patience, settled: None }
    }

    /// The same with the target transform of the finished model, if it was chosen: see [`Prepared::settled`].
    ///
    /// [`Prepared::settled`]: crate::train::Prepared::settled
    #[must_use]
    pub fn with_settled(mut self, settled: Option<Fitted>) -> Self {
        self.settled = settled;
        self
    }

    /// Trains up to step `to`, or to the end of the epoch if that comes first. The results of the steps go into
    /// `steps`. Returns the held-out loss if an epoch ended and something is held out.
    ///
    /// # Errors
    /// If a loss is not finite, or the GPU fails.
    pub fn advance(&mut self, to: u64, steps: &mut Vec<Step>) -> Result<Option<f64>> {
        let k = self.trainer.steps_done();
        let epoch = self.trainer.windows().steps_per_epoch();
        let to = to
            .min(self.total)
            .min(epoch.map_or(self.total, |n| (k + 1).checked_next_multiple_of(n).unwrap_or(u64::MAX)));
        steps.clear();
        self.trainer.steps(to.saturating_sub(k) as usize, |step| steps.push(step))?;
        if let Some((k, step)) = (k..).zip(steps.iter()).find(|(_, step)| !step.loss.is_finite()) {
            let advice = "take a smaller --lr or set --clip, and look for huge values in the data";
            return Err(Error::invalid(format!(
                "the loss of step {k} is {}: {advice}; no model was written",
                step.loss
            )));
        }
        if epoch.is_none_or(|n| to == k || !to.is_multiple_of(n)) {
            return Ok(None);
        }
        let Some(validation) = &mut self.validation else { return Ok(None) };
        self.trainer.fetch()?;
        let loss = validation.loss(self.trainer.model(), self.trainer.recipe(), self.trainer.device())?;
        if loss.is_finite() && self.best.as_ref().is_none_or(|best| loss < best.loss) {
            let (step, model) = (self.trainer.steps_done(), self.trainer.model().clone());
            self.best = Some(Best { loss, step, model });
        }
        Ok(Some(loss))
    }

    /// Whether all steps are done, or there was no better held-out loss for as many epochs as the patience allows.
    pub fn is_done(&self) -> bool {
        let done = self.trainer.steps_done();
        let tired = match (self.patience, self.trainer.windows().steps_per_epoch(), &self.best) {
            (Some(patience), Some(epoch), Some(best)) => {
                done.saturating_sub(best.step) >= patience.max(1).saturating_mul(epoch)
            }
            _ => false,
        };
        done >= self.total || tired
    }

    /// Trains to the end; see [`Fit::outcome`].
    ///
    /// # Errors
    /// Those of [`Fit::advance`].
    pub fn finish(&mut self) -> Result<Outcome> {
        self.train_until(self.total, || false)?;
        self.outcome()
    }

    /// Trains until `to` steps are done, or to the end if that comes first. It asks `stop` every few hundred steps; if
    /// that returns true, it ends early and returns false.
    ///
    /// # Errors
    /// Those of [`Fit::advance`].
    pub fn train_until(&mut self, to: u64, stop: impl Fn() -> bool) -> Result<bool> {
        let mut steps = Vec::new();
        while self.trainer.steps_done() < to && !self.is_done() {
            if stop() {
                return Ok(false);
            }
            self.advance(to.min(self.trainer.steps_done().saturating_add(STEPS)), &mut steps)?;
        }
        Ok(true)
    }

    /// The output `[O]`, in the network's units, of a network that has learned nothing but the targets of the training
    /// part: the constant with the smallest loss.
    fn constant(&self) -> Result<Vec<f32>> {
        let loss = self.trainer.recipe().loss;
        let (windows, out) = (self.trainer.windows(), self.trainer.model().shape().width_out());
        let (Some((_, rows)), width) = (windows.rows(), windows.output()) else { return Ok(vec![0.0; out]) };
        let mut constant = vec![0.0; out];
        for column in 0..width {
            let mut values: Vec<f32> =
                rows.iter().skip(column).step_by(width).copied().filter(|value| !value.is_nan()).collect();
            if values.is_empty() {
                continue; // every target is missing
            }
            values.sort_by(f32::total_cmp);
            let count = values.len() as f64;
            let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
            let quantile = |level: f32| values[((values.len() - 1) as f32 * level).round() as usize];
            match loss {
                Loss::Mse | Loss::Huber => constant[column] = mean as f32,
                Loss::Mae => constant[column] = quantile(0.5),
                Loss::Gaussian => {
                    let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count;
                    (constant[column], constant[width + column]) = (mean as f32, variance.max(1e-6).ln() as f32);
                }
                Loss::Quantiles(levels) => {
                    for (i, &level) in levels.as_slice().iter().enumerate() {
                        constant[i * width + column] = quantile(level);
                    }
                }
            }
        }
        Ok(constant)
    }

    /// Training steps in all.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The best weights so far, if something is held out.
    pub fn best(&self) -> Option<&Best> {
        self.best.as_ref()
    }

    /// The outcome: the best weights, or the last ones if nothing is held out.
    ///
    /// A network that predicts changes has to show that it learned something. On the held-out rows, its loss must be
    /// smaller, by more than two standard errors, than that of a network that always predicts the constant change that
    /// is best for the loss. If it is not, the outcome is that constant network: the weights of its head are 0.
    ///
    /// If the target transform was chosen, some of the constant is mixed into the outputs: as much as the held-out rows
    /// ask for, which may be all.
    ///
    /// The autoregressions of a chosen target transform are fitted to all rows at the end. The errors are those of
    /// [`Fit::judged`].
    ///
    /// # Errors
    /// If the best weights or the held-out rows are of another network than the one in training, or the GPU fails.
    pub fn outcome(&mut self) -> Result<Outcome> {
        if self.best.as_ref().is_some_and(|best| best.model.shape() != self.trainer.model().shape()) {
            return Err(Error::invalid("the best weights are of another network than the one in training"));
        }
        self.trainer.fetch()?;
        let (recipe, device) = (self.trainer.recipe(), self.trainer.device());
        let (mut model, mut learned) =
            (self.best.as_ref().map_or(self.trainer.model(), |best| &best.model).clone(), true);
        let Some(validation) = &self.validation else {
            return self.settled(model, learned, None);
        };
        let rule = match (&self.settled, model.units()) {
            (Some(_), _) => Some(Rule::SOME),
            (None, Some(units)) if units.transform() != TargetTransform::Value => Some(Rule::ALL),
            _ => None,
        };
        if let Some(rule) = rule {
            let constant = self.constant()?;
            let part = validation.part_worth_taking(&model, &constant, rule, recipe, device)?;
            learned = part > 0.0;
            model = model.with_part_of_head(part, &constant);
        }
        let errors = validation.errors(&model, recipe, device)?;
        self.settled(model, learned, errors)
    }

    /// The outcome, whose model has autoregressions that were fitted to all rows.
    fn settled(&self, mut model: Model, learned: bool, errors: Option<Residuals>) -> Result<Outcome> {
        let judged_by = model.units().map_or_else(Vec::new, |units| units.fitted().autoregressions().to_vec());
        if let (Some(settled), Some(units)) = (&self.settled, model.units()) {
            let units = units.clone().with_transform(settled.clone(), units.columns())?;
            model.put_units(Some(units));
        }
        Ok(Outcome { model, learned, errors, judged_by })
    }

    /// The model with which the held-out rows are scored: its autoregressions were fitted to the training rows alone.
    #[must_use]
    pub fn judged(&self, mut model: Model) -> Model {
        if self.settled.is_some() {
            model.put_units(self.trainer.model().units().cloned());
        }
        model
    }

    /// The mean loss of `model` on what is held out; `None` if nothing is held out.
    ///
    /// # Errors
    /// If the GPU fails.
    pub fn held_out_loss(&mut self, model: &Model) -> Result<Option<f64>> {
        let Some(validation) = &mut self.validation else { return Ok(None) };
        validation.loss(model, self.trainer.recipe(), self.trainer.device()).map(Some)
    }

    /// For a checkpoint: the trainer, and the best weights so far.
    pub fn parts(&mut self) -> (&mut Trainer, Option<&Best>) {
        (&mut self.trainer, self.best.as_ref())
    }
}
