//! Functions that make plans and recipes and change single options.

use crate::net::shape::Shape;
use crate::objective::loss::Loss;
use crate::objective::optimizer::{Optimizer, Schedule};
use crate::train::{HeadSteps, Length, Plan, Recipe, TargetAs};
use crate::units::bounds::Bounds;
use crate::units::scaler::Scaling;
use crate::units::transform::TargetTransform;

impl Plan {
    /// A plan for a network of `shape`, trained for `length`. Windows have 20 rows and follow one after the other; the
    /// last fifth of the rows is held out; columns are scaled to mean 0 and deviation 1; targets are values, not
    /// changes; the recipe is the default.
    pub fn new(shape: Shape, length: Length) -> Self {
        Self {
            shape,
            seq_len: 20,
            stride: 1,
            batch: 1,
            val_fraction: 0.2,
            scaling: Scaling::default(),
            transform: TargetTransform::Value.into(),
            bounds: Vec::new(),
            length,
            patience: None,
            recipe: Recipe::default(),
        }
    }

    with_functions! {
        with_seq_len: seq_len, usize;
        with_stride: stride, usize;
        with_batch: batch, usize;
        with_val_fraction: val_fraction, f64;
        with_scaling: scaling, Scaling;
        with_bounds: bounds, Vec<Bounds>;
        with_patience: patience, Option<u64>;
        with_recipe: recipe, Recipe;
    }

    /// These options with another [`transform`](Self::transform).
    #[must_use]
    pub fn with_transform(mut self, transform: impl Into<TargetAs>) -> Self {
        self.transform = transform.into();
        self
    }
}

impl Recipe {
    with_functions! {
        with_loss: loss, Loss;
        with_loss_on: loss_on, HeadSteps;
        with_optimizer: optimizer, Optimizer;
        with_lr: lr, f64;
        with_schedule: schedule, Schedule;
        with_steps: steps, Option<u64>;
        with_clip: clip, Option<f64>;
        with_carry: carry, bool;
        with_dropout: dropout, f64;
        with_maximize: maximize, bool;
        with_seed: seed, u64;
    }
}
