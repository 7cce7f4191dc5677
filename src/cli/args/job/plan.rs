//! The plan of a training, from its options.

use super::{EPOCHS, Job, TargetAs};
use crate::cli::failure::Failure;
use crate::cli::output::screen::say_once;
use rnnstep::net::pass::HeadSteps;
use rnnstep::train::{HELD_OUT, Length, Plan, TargetAs as Target};
use rnnstep::units::bounds::Bounds;
use rnnstep::{Loss, TargetTransform};

impl Job {
    /// The target transform, or how it is chosen.
    pub fn transform(&self) -> Result<Target, Failure> {
        if !self.season.is_empty() && self.target_as != TargetAs::SeasonalChange {
            return Err(Failure::Usage("--season: goes only with --target-as seasonal-change".into()));
        }
        Ok(Target::Given(match self.target_as {
            TargetAs::Auto => return Ok(Target::Auto),
            TargetAs::Residual => return Ok(Target::Residual),
            TargetAs::Value => TargetTransform::Value,
            TargetAs::Change => TargetTransform::Change,
            TargetAs::RelativeChange => TargetTransform::RelativeChange,
            TargetAs::SeasonalChange => {
                let season = match self.season[..] {
                    [] => 0,
                    [season] => season,
                    _ => {
                        let message = "--season: a training takes one season, the one for --target-as seasonal-change";
                        return Err(Failure::Usage(message.into()));
                    }
                };
                TargetTransform::SeasonalChange { season }.checked()?
            }
        }))
    }

    /// The bounds of the target columns.
    fn bounds(&self) -> Result<Vec<Bounds>, Failure> {
        let (lower, upper) = (&self.lower, &self.upper);
        let count = lower.len().max(upper.len());
        if let [a, b] = [lower.len(), upper.len()].map(|len| len.max(1))
            && a != b
            && a.min(b) > 1
        {
            return Err(Failure::Usage(format!("--lower has {a} values and --upper has {b}: give as many of both")));
        }
        // one value stands for all columns
        let of = |all: &[f64], d: usize| all.get(d).or(all.first()).copied();
        Ok((0..count).map(|d| Bounds::new(of(lower, d), of(upper, d))).collect::<Result<_, _>>()?)
    }

    /// The part of a table that is held out.
    pub fn held_out(&self) -> f64 {
        self.val_fraction.unwrap_or(HELD_OUT)
    }

    /// The plan of a training on tables.
    pub fn plan(&self) -> Result<Plan, Failure> {
        self.check_stride()?;
        self.say_what_is_named();
        self.plan_with(self.transform()?, self.held_out())
    }

    /// The plan of a training on windows. They have no columns to scale, and nothing is held out unless an option asks
    /// for it.
    pub(super) fn plan_of_windows(&self) -> Result<Plan, Failure> {
        self.plan_with(TargetTransform::Value.into(), self.val_fraction.unwrap_or(0.0))
    }

    fn plan_with(&self, transform: Target, val_fraction: f64) -> Result<Plan, Failure> {
        Ok(Plan {
            shape: self.shape(1, 1)?,
            seq_len: self.seq_len,
            stride: self.stride.unwrap_or(1),
            batch: self.batch,
            val_fraction,
            scaling: self.scale.unwrap_or_default(),
            transform,
            bounds: self.bounds()?,
            length: self.steps.map_or(Length::Epochs(self.epochs.unwrap_or(EPOCHS)), Length::Steps),
            patience: self.patience,
            recipe: self.recipe(self.loss_on.unwrap_or(HeadSteps::All), None)?,
        })
    }

    /// Prints a note if no level is near 0.5: the one value of scores and forecasts is then no median.
    fn say_what_is_named(&self) {
        let Loss::Quantiles(levels) = self.loss else { return };
        let level = levels.as_slice()[self.loss.point()];
        if !(0.4..=0.6).contains(&level) {
            let line = format!(
                "note: scores and single-value forecasts use the quantile {level} of --loss {}; add 0.5 for medians",
                self.loss
            );
            say_once("quantiles", &line);
        }
    }
}
