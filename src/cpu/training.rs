//! Training on a processor: the window of each step, forward, loss, backward, clipping and update, one after the other.

use super::{Network, Threads};
use crate::data::windows::Windows;
use crate::error::Result;
use crate::net::pass::{Dropout, Mode};
use crate::net::recipe::{Recipe, Step, Trained};
use crate::net::shape::Shape;
use crate::objective::optimizer::{clipped, norm};
use crate::simd::isa::Cpu;
use crate::tensor::Buffer;
use core::ops::Range;

/// A network that trains on a processor. It works on parameters, moments and state in place. The twin of
/// `cuda::Training`, with the same functions; none of them fails here.
#[derive(Debug)]
pub struct Training {
    recipe: Recipe,
    network: Network,
    /// `[T,B,I]`
    x: Buffer,
    /// `[T,B,D]`, or `[B,D]` if only the last step counts.
    target: Buffer,
}

impl Training {
    /// Allocates the memory for the windows.
    ///
    /// # Errors
    /// If they are larger than makes sense, or the memory cannot be allocated.
    pub fn new(cpu: Cpu, threads: Threads, shape: &Shape, windows: &Windows, recipe: &Recipe) -> Result<Self> {
        let (steps, batch) = (windows.seq_len(), windows.batch());
        let target_steps = if windows.last_only() { 1 } else { steps };
        Ok(Self {
            recipe: recipe.clone(),
            network: Network::new(cpu, threads, shape, steps, batch, Mode::Training)?,
            x: Buffer::try_zeros(steps * batch * shape.input)?,
            target: Buffer::try_zeros(target_steps * batch * windows.output())?,
        })
    }

    /// Runs step number `k`, gives it to `seen`, and returns 1: the number of steps that it ran. Allocates nothing,
    /// except for a new order of windows at the start of an epoch.
    pub fn steps(
        &mut self,
        windows: &mut Windows,
        at: Trained<'_>,
        k: u64,
        _count: usize,
        seen: &mut dyn FnMut(Step),
    ) -> Result<usize> {
        let Trained { params, grads, moments: [m, v, v_max], state } = at;
        let recipe = &self.recipe;
        let batch = windows.fill(k, &mut self.x, &mut self.target);
        if recipe.restarts(k, windows) {
            state.start(batch);
        }
        let x = &self.x[..windows.seq_len() * batch * windows.input()];
        let mut masks = recipe.masks(k);
        let drops = masks.is_some();
        let dropout = masks.as_mut().map(|masks| masks as &mut dyn Dropout);
        self.network.forward(params, x, state, recipe.loss_on, dropout);
        let loss = self.network.score(recipe.loss, &self.target, windows.output());
        grads.fill(0.0);
        self.network.backward(params, grads, x, drops);
        let norm = recipe.clip.map(|_| norm(grads));
        let clipped = norm.map_or(1.0, |norm| clipped(recipe.clip, norm));
        let scale = if recipe.maximize { -clipped } else { clipped };
        self.network.update(recipe.update(k), scale as f32, params, grads, [m, v, v_max]);
        seen(Step { loss, lr: recipe.rate(k), norm });
        Ok(1)
    }

    /// Does nothing: everything is there already.
    pub fn fetch(&self, _: Trained<'_>) -> Result<()> {
        Ok(())
    }

    /// Does nothing: y is there already.
    pub fn fetch_y(&mut self) -> Result<()> {
        Ok(())
    }

    /// Rows of y that were asked for.
    pub fn head_rows(&self) -> Range<usize> {
        self.network.head_rows()
    }

    /// The output of row `row = t·B + b` of the last window, O values.
    ///
    /// # Panics
    /// If the network has no room for such a row.
    pub fn y(&self, row: usize) -> &[f32] {
        self.network.y(row)
    }
}
