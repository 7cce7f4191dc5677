//! How to train, step by step, on any device.

use crate::data::windows::Windows;
use crate::error::{Error, Result};
use crate::net::pass::{Dropout, HeadSteps};
use crate::net::state::State;
use crate::objective::loss::Loss;
use crate::objective::optimizer::{Optimizer, Schedule, Update, check_clip, not_negative};
use crate::random::{Purpose, Random};
use crate::tensor::Buffer;
use serde::{Deserialize, Serialize};

/// How to train. The default is the lesson's: mean squared error, Adam at 0.01, the state carried on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// The loss, which is minimised.
    pub loss: Loss,
    /// Whether every step of a window counts, or the last one only.
    pub loss_on: HeadSteps,
    /// The optimiser.
    pub optimizer: Optimizer,
    /// Learning rate at the start.
    pub lr: f64,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// How many steps the training will have, for a schedule that depends on it.
    pub steps: Option<u64>,
    /// Largest global norm of the gradient, `torch.nn.utils.clip_grad_norm_`.
    pub clip: Option<f64>,
    /// Whether the state at the end of a window starts the next one (detached from its history), or zero does.
    pub carry: bool,
    /// Probability to drop an element between two layers.
    pub dropout: f64,
    /// Whether to maximise the loss instead, PyTorch's `maximize`.
    pub maximize: bool,
    /// Seed of the initial weights, the order of windows and dropout.
    pub seed: u64,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            loss: Loss::Mse,
            loss_on: HeadSteps::All,
            optimizer: Optimizer::default(),
            lr: 0.01,
            schedule: Schedule::Constant,
            steps: None,
            clip: None,
            carry: true,
            dropout: 0.0,
            maximize: false,
            seed: 0,
        }
    }
}

impl Recipe {
    /// The recipe itself, if its numbers are in range.
    ///
    /// # Errors
    /// If one is not.
    pub fn checked(self) -> Result<Self> {
        self.optimizer.checked()?;
        self.schedule.checked()?;
        not_negative("lr", self.lr)?;
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::invalid(format!("dropout {:?}: must be at least 0 and below 1", self.dropout)));
        }
        check_clip(self.clip)?;
        Ok(self)
    }

    /// The learning rate of step `k`.
    pub(crate) fn rate(&self, k: u64) -> f64 {
        self.schedule.rate(self.lr, k, self.steps)
    }

    /// The numbers of the optimiser in step `k`.
    pub(crate) fn update(&self, k: u64) -> Update {
        self.optimizer.update(k + 1, self.rate(k))
    }

    /// Whether step `k` starts from a state of zero.
    pub(crate) fn restarts(&self, k: u64, windows: &Windows) -> bool {
        !self.carry || windows.starts_again(k)
    }

    /// What step `k` drops between layers; `None` if nothing is ever dropped.
    pub(crate) fn masks(&self, k: u64) -> Option<Masks> {
        let random = || Random::new(self.seed, Purpose::Dropout, k);
        (self.dropout > 0.0).then(|| Masks { random: random(), drop: self.dropout as f32 })
    }
}

/// The figures of one training step.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Step {
    /// The loss before the update.
    pub loss: f32,
    /// The learning rate of the update.
    pub lr: f64,
    /// Global norm of the gradient before clipping; `None` if it is not clipped.
    pub norm: Option<f64>,
}

/// What a training changes. On a processor it is always up to date, on a GPU only after it was fetched.
#[derive(Debug)]
pub(crate) struct Trained<'a> {
    /// The parameters, packed.
    pub params: &'a mut [f32],
    /// The gradients of the last step, before clipping; packed like the parameters.
    pub grads: &'a mut [f32],
    /// First moment, second moment, its maximum; empty where the optimiser has none.
    pub moments: &'a mut [Buffer; 3],
    /// The state at the end of the last window.
    pub state: &'a mut State,
}

/// Dropout of one training step.
pub(crate) struct Masks {
    random: Random,
    drop: f32,
}

impl Dropout for Masks {
    fn factors(&mut self, _: usize, rows: &mut dyn Iterator<Item = &mut [f32]>) {
        let kept = 1.0 / (1.0 - self.drop);
        for row in rows {
            for factor in row {
                *factor = if self.random.uniform() < self.drop { 0.0 } else { kept };
            }
        }
    }
}
