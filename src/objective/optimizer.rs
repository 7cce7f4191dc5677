//! How parameters follow their gradients: the options of optimisers, and schedules of the learning rate.
//! Names, defaults and formulas: PyTorch, `torch.optim`.

use crate::error::{Error, Result};
use crate::simd::lanes::LANES;
use alloc::format;
use alloc::string::String;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// An optimiser and its options.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum Optimizer {
    /// `torch.optim.Adam`: `weight_decay · p` is added to the gradient.
    Adam(Adam),
    /// `torch.optim.AdamW`: parameters shrink by `lr · weight_decay` first.
    AdamW(Adam),
    /// `torch.optim.SGD`.
    Sgd(Sgd),
}

/// Options of Adam and AdamW.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Adam {
    /// Decay rates of the first and of the second moment: the part that is kept from step to step.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
    /// L2 penalty of Adam, decoupled decay of AdamW.
    pub weight_decay: f64,
    /// Whether the largest second moment so far is used.
    pub amsgrad: bool,
}

/// Options of stochastic gradient descent.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Sgd {
    /// How much of the last direction is kept.
    pub momentum: f64,
    /// How much of the new gradient is held back when there is momentum.
    pub dampening: f64,
    /// Whether to look ahead along the direction.
    pub nesterov: bool,
    /// L2 penalty.
    pub weight_decay: f64,
}

impl Default for Adam {
    fn default() -> Self {
        Self { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0, amsgrad: false }
    }
}

impl Default for Optimizer {
    fn default() -> Self {
        Self::Adam(Adam::default())
    }
}

impl Optimizer {
    /// The optimiser itself, if its options are in range.
    ///
    /// # Errors
    /// As in PyTorch: for a beta outside [0, 1), a negative eps, decay or momentum, or Nesterov without momentum or
    /// with dampening. Also if a number is not finite as an f32, eps is zero as an f32, or the dampening is not between
    /// 0 and 1.
    pub fn checked(self) -> Result<Self> {
        let (decay, momentum) = match self {
            Self::Adam(adam) | Self::AdamW(adam) => {
                for beta in adam.betas {
                    if !(0.0..1.0).contains(&beta) {
                        return Err(Error::invalid(format!("betas {beta:?}: must be at least 0 and below 1")));
                    }
                }
                // the padding of a layer has gradient 0, which must not be divided by 0
                if !is_positive(adam.eps) {
                    return Err(Error::invalid(format!("eps {:?}: must be a finite number above 0", adam.eps)));
                }
                (adam.weight_decay, 0.0)
            }
            Self::Sgd(sgd) => {
                if sgd.nesterov && (sgd.momentum <= 0.0 || sgd.dampening != 0.0) {
                    return Err(Error::invalid("nesterov: needs a momentum above 0 and no dampening"));
                }
                if !(0.0..=1.0).contains(&sgd.dampening) {
                    return Err(Error::invalid(format!("dampening {:?}: must be between 0 and 1", sgd.dampening)));
                }
                (sgd.weight_decay, sgd.momentum)
            }
        };
        not_negative("weight-decay", decay)?;
        not_negative("momentum", momentum)?;
        Ok(self)
    }

    /// Whether the optimiser keeps a first moment (or direction), a second moment, and the maximum of that.
    pub fn keeps(&self) -> [bool; 3] {
        match self {
            Self::Adam(adam) | Self::AdamW(adam) => [true, true, adam.amsgrad],
            Self::Sgd(sgd) => [sgd.momentum != 0.0, false, false],
        }
    }

    /// The numbers of update `step`, counted from 1.
    pub fn update(&self, step: u64, lr: f64) -> Update {
        match *self {
            Self::Adam(adam) => adam_update(adam, step, lr, adam.weight_decay, 1.0),
            Self::AdamW(adam) => adam_update(adam, step, lr, 0.0, 1.0 - lr * adam.weight_decay),
            Self::Sgd(sgd) => Update::Sgd {
                lr: lr as f32,
                momentum: sgd.momentum as f32,
                fresh: if step == 1 { 1.0 } else { (1.0 - sgd.dampening) as f32 },
                nesterov: sgd.nesterov,
                weight_decay: sgd.weight_decay as f32,
            },
        }
    }
}

/// The numbers of one update, computed from the options and the count of updates so far.
#[derive(Debug, Clone, Copy)]
pub enum Update {
    /// Adam and AdamW.
    Adam {
        /// `lr / (1 - beta1^step)`
        step_size: f32,
        /// beta2
        beta2: f32,
        /// `1 - beta1` and `1 - beta2`, computed before rounding to f32.
        fresh: [f32; 2],
        /// `1 / sqrt(1 - beta2^step)`
        scale_v: f32,
        /// Added to the root.
        eps: f32,
        /// Added to the gradient as `weight_decay · p` (Adam).
        weight_decay: f32,
        /// What each parameter is multiplied by first, `1 - lr · weight_decay` (AdamW), or 1.
        shrink: f32,
        /// Whether the largest second moment so far is used.
        amsgrad: bool,
    },
    /// Stochastic gradient descent.
    Sgd {
        /// Learning rate.
        lr: f32,
        /// How much of the last direction is kept; 0 for none.
        momentum: f32,
        /// `1 - dampening`, or 1 in the first update.
        fresh: f32,
        /// Whether to look ahead along the direction.
        nesterov: bool,
        /// Added to the gradient as `weight_decay · p`.
        weight_decay: f32,
    },
}

fn adam_update(adam: Adam, step: u64, lr: f64, weight_decay: f64, shrink: f64) -> Update {
    let correction = |beta: f64| 1.0 - libm::pow(beta, step as f64);
    let [beta1, beta2] = adam.betas;
    Update::Adam {
        step_size: (lr / correction(beta1)) as f32,
        beta2: beta2 as f32,
        fresh: [(1.0 - beta1) as f32, (1.0 - beta2) as f32],
        scale_v: (1.0 / libm::sqrt(correction(beta2))) as f32,
        eps: adam.eps as f32,
        weight_decay: weight_decay as f32,
        shrink: shrink as f32,
        amsgrad: adam.amsgrad,
    }
}

/// How the learning rate changes from step to step.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum Schedule {
    /// Always the same.
    #[default]
    Constant,
    /// Times `gamma` after every `every` steps: `torch.optim.lr_scheduler.StepLR`.
    Step {
        /// Training steps between two changes.
        every: u64,
        /// The factor.
        gamma: f64,
    },
    /// Half a cosine from the full rate down to `min` in `steps` steps: `CosineAnnealingLR`.
    Cosine {
        /// Training steps from the full rate to `min`; `None` for as many as the training has.
        steps: Option<u64>,
        /// Rate at the bottom.
        min: f64,
    },
}

impl Schedule {
    /// The schedule itself, if its numbers are in range.
    ///
    /// # Errors
    /// If a count is 0, or another number is negative or not finite as an f32.
    pub fn checked(self) -> Result<Self> {
        let (name, count, number) = match self {
            Self::Constant => return Ok(self),
            Self::Step { every, gamma } => ("step", every, gamma),
            Self::Cosine { steps, min } => ("cosine", steps.unwrap_or(1), min),
        };
        if count == 0 {
            return Err(Error::invalid(format!("schedule {name}: 0 steps; must be 1 or more")));
        }
        not_negative(&format!("schedule {name}:"), number)?;
        Ok(self)
    }

    /// The rate of step `step` (from 0) of `total`, when `lr` is the rate to begin with.
    pub fn rate(&self, lr: f64, step: u64, total: Option<u64>) -> f64 {
        match *self {
            Self::Constant => lr,
            Self::Step { every, gamma } => lr * libm::pow(gamma, (step / every.max(1)) as f64),
            Self::Cosine { steps, min } => {
                let turn = core::f64::consts::PI * step as f64 / steps.or(total).unwrap_or(1).max(1) as f64;
                min + (lr - min) * (1.0 + libm::cos(turn)) / 2.0
            }
        }
    }
}

/// `constant`, `step:EVERY:GAMMA`, `cosine`, `cosine:STEPS` or `cosine:STEPS:MIN`.
impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<f64>().ok();
        let count = |text: &str| text.parse::<u64>().ok();
        let parts: alloc::vec::Vec<&str> = text.split(':').collect();
        let schedule = match parts.as_slice() {
            ["constant"] => Some(Self::Constant),
            ["step", every, gamma] => count(every).zip(number(gamma)).map(|(every, gamma)| Self::Step { every, gamma }),
            ["cosine"] => Some(Self::Cosine { steps: None, min: 0.0 }),
            ["cosine", steps] => count(steps).map(|steps| Self::Cosine { steps: Some(steps), min: 0.0 }),
            ["cosine", steps, min] => {
                count(steps).zip(number(min)).map(|(steps, min)| Self::Cosine { steps: Some(steps), min })
            }
            _ => None,
        };
        let schedule = schedule.ok_or("expected constant, step:EVERY:GAMMA or cosine[:STEPS[:MIN]]")?;
        schedule.checked().map_err(|error| format!("{error}"))
    }
}

/// Euclidean norm of all gradients, summed in f64 in sixteen parts.
pub(crate) fn norm(grads: &[f32]) -> f64 {
    let mut sums = [0.0_f64; LANES];
    for vector in grads.chunks_exact(LANES) {
        for (sum, &g) in sums.iter_mut().zip(vector) {
            *sum += f64::from(g) * f64::from(g);
        }
    }
    libm::sqrt(sums.iter().sum())
}

/// The factor that clips gradients of this norm: PyTorch's `clip_grad_norm_`, including its small constant.
pub(crate) fn clipped(clip: Option<f64>, norm: f64) -> f64 {
    clip.map_or(1.0, |clip| (clip / (norm + 1e-6)).min(1.0))
}

/// `Ok` if `value` is 0 or more, and finite as the f32 that is used in computations.
pub(crate) fn not_negative(name: &str, value: f64) -> Result<()> {
    if value >= 0.0 && (value as f32).is_finite() {
        return Ok(());
    }
    Err(Error::invalid(format!("{name} {value:?}: must be a finite number, not negative")))
}

/// Whether `value` is above 0 and finite as the f32 that is used in computations.
fn is_positive(value: f64) -> bool {
    value as f32 >= f32::MIN_POSITIVE && (value as f32).is_finite()
}

/// `Ok` if a gradient can be clipped to this norm: above 0, and finite.
pub(crate) fn check_clip(clip: Option<f64>) -> Result<()> {
    match clip.filter(|&clip| !is_positive(clip)) {
        Some(clip) => Err(Error::invalid(format!("clip {clip:?}: must be a finite number above 0"))),
        None => Ok(()),
    }
}
