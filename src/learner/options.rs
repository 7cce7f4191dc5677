//! The options of a learner.

use crate::error::{Error, Result};
use crate::net::pass::HeadSteps;
use crate::objective::loss::Loss;
use crate::objective::optimizer::{Optimizer, check_clip, not_negative};
use alloc::format;
use serde::{Deserialize, Serialize};

/// How a [`Learner`](super::Learner) learns. It can be serialised with serde; a missing field gets its default.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LearnerOptions {
    /// K, the number of rows that back-propagation goes back, 1 or more. Until there are so many rows, it uses those
    /// there are.
    pub window: usize,
    /// The number of predictions with a known actual value after which there is an update, 1 or more. Together with K
    /// it bounds the work.
    pub every: usize,
    /// The loss to minimise.
    pub loss: Loss,
    /// Whether every row of the window counts, or only the newest one.
    pub loss_on: HeadSteps,
    /// The optimiser.
    pub optimizer: Optimizer,
    /// The learning rate. It is lower for a while after weights had to be taken back: see [`Learner`](super::Learner).
    pub lr: f64,
    /// Largest global norm of a gradient, `torch.nn.utils.clip_grad_norm_`.
    pub clip: Option<f64>,
    /// Weights are taken back at once if their loss (a running mean over some 32 ticks) is more than this many times
    /// that of the last good weights on the same ticks. Above 1. `None`: the losses are not compared, and weights are
    /// taken back only if numbers are not finite.
    pub explode: Option<f64>,
    /// How much of their mean and variance the scalers keep from one tick to the next, at least 0 and below 1, such as
    /// 0.999; `None`: the scalers do not change. With a value, the model must have scalers.
    pub adapt: Option<f64>,
}

impl Default for LearnerOptions {
    fn default() -> Self {
        Self {
            window: 16,
            every: 1,
            loss: Loss::Mse,
            loss_on: HeadSteps::All,
            optimizer: Optimizer::default(),
            lr: 1e-3,
            clip: Some(1.0),
            explode: Some(4.0),
            adapt: None,
        }
    }
}

impl LearnerOptions {
    with_functions! {
        with_window: window, usize;
        with_every: every, usize;
        with_loss: loss, Loss;
        with_loss_on: loss_on, HeadSteps;
        with_optimizer: optimizer, Optimizer;
        with_lr: lr, f64;
        with_clip: clip, Option<f64>;
        with_explode: explode, Option<f64>;
        with_adapt: adapt, Option<f64>;
    }

    /// The options themselves, if their numbers are in range.
    ///
    /// # Errors
    /// If one is not.
    pub fn checked(self) -> Result<Self> {
        self.optimizer.checked()?;
        for (name, count) in [("window", self.window), ("every", self.every)] {
            if count == 0 {
                return Err(Error::invalid(format!("{name} 0: must be 1 or more")));
            }
        }
        not_negative("lr", self.lr)?;
        check_clip(self.clip)?;
        if let Some(explode) = self.explode.filter(|explode| !(*explode > 1.0 && (*explode as f32).is_finite())) {
            return Err(Error::invalid(format!("explode {explode:?}: must be a finite number above 1")));
        }
        if let Some(adapt) = self.adapt.filter(|adapt| !(0.0..1.0).contains(adapt)) {
            return Err(Error::invalid(format!("adapt {adapt:?}: must be at least 0 and below 1")));
        }
        if self.adapt.is_some() && self.loss.is_distribution() {
            return Err(Error::invalid("adapt: only for a model that predicts one value for each column"));
        }
        Ok(self)
    }
}
