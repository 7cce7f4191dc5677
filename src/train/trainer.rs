//! Training: truncated back-propagation through time, one window after the other.

use crate::cpu::Threads;
use crate::data::windows::Windows;
use crate::device;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::net::pass::HeadSteps;
use crate::net::recipe::{Recipe, Step, Trained};
use crate::net::shape::Shape;
use crate::net::state::State;
use crate::objective::loss::Loss;
use crate::tensor::Buffer;

/// A model in training. The same seed and data give the same bits, also after a stop: on all processors, with any
/// number of threads and any instruction set; and on all GPUs of the same model with the same options.
///
/// On a GPU the weights stay on the GPU. Call [`Trainer::fetch`] before you look at them.
#[derive(Debug)]
pub struct Trainer {
    recipe: Recipe,
    device: Device,
    pub(crate) model: Model,
    windows: Windows,
    work: device::Training,
    pub(crate) state: State,
    pub(crate) step: u64,
    grads: Buffer,
    /// The first moment, the second moment and its maximum; empty for those that the optimiser does not keep.
    pub(crate) moments: [Buffer; 3],
}

impl Trainer {
    /// A trainer at step 0. `threads` are those of a processor; a GPU has its own.
    ///
    /// # Errors
    /// If the recipe is out of range, windows and model differ in I, the number of outputs of the model is not the one
    /// that the loss needs for the target columns of the windows, the memory cannot be had, or the GPU cannot run the
    /// model.
    pub fn new(
        model: Model,
        windows: Windows,
        recipe: Recipe,
        device: impl Into<Device>,
        threads: Threads,
    ) -> Result<Self> {
        let (recipe, device) = (recipe.checked()?, device.into());
        let shape = *model.shape();
        check_widths(&shape, &windows, recipe.loss)?;
        if windows.last_only() != (recipe.loss_on == HeadSteps::Last) {
            return Err(Error::invalid("loss-on: targets [N,B,O] need last, targets [N,B,T,O] need all"));
        }
        let (len, batch) = (model.params.len(), windows.batch());
        Ok(Self {
            work: device::Training::new(&device, threads, &shape, &windows, &recipe)?,
            device,
            state: State::try_new(&shape, batch)?,
            step: 0,
            grads: Buffer::try_zeros(len)?,
            moments: Buffer::moments(recipe.optimizer.keeps(), len)?,
            recipe,
            model,
            windows,
        })
    }

    /// One step: window, forward, loss, backward, update. On a processor it cannot fail, and it allocates nothing
    /// except the new order of windows at the start of an epoch.
    ///
    /// # Errors
    /// If the GPU fails.
    pub fn step(&mut self) -> Result<Step> {
        let mut done = Step { loss: f32::NAN, lr: 0.0, norm: None };
        self.steps(1, |step| done = step)?;
        Ok(done)
    }

    /// Does `count` steps and gives the result of each to `seen`. A GPU does them without returning to the host in
    /// between.
    ///
    /// # Errors
    /// If the GPU fails.
    pub fn steps(&mut self, count: usize, mut seen: impl FnMut(Step)) -> Result<()> {
        let mut left = count;
        while left > 0 {
            let Self { work, windows, model, grads, moments, state, .. } = self;
            let at = Trained { params: &mut model.params, grads, moments, state };
            let done = work.steps(windows, at, self.step, left, &mut seen)?;
            self.step += done as u64;
            left -= done;
        }
        Ok(())
    }

    /// Copies parameters, gradients, moments and state back from a GPU. On a processor they are here anyway.
    ///
    /// # Errors
    /// If the GPU fails.
    pub fn fetch(&mut self) -> Result<()> {
        let Self { work, model, grads, moments, state, .. } = self;
        work.fetch(Trained { params: &mut model.params, grads, moments, state })
    }

    /// The window of the last step, and the outputs of the model for it before the update: `x`, `target` and `y` of the
    /// first sequence, one row for each step. If only the last step counts, y and target have only that row. A row of y
    /// has O values, a row of the target has one for each target column.
    ///
    /// # Errors
    /// If the GPU fails.
    pub fn last_window(&mut self) -> Result<[Vec<Vec<f32>>; 3]> {
        let (steps, most) = (self.windows.seq_len(), self.windows.batch());
        let (input, columns) = (self.windows.input(), self.windows.output());
        let (mut x, mut target) = (vec![0.0; steps * most * input], vec![0.0; steps * most * columns]);
        let batch = self.windows.fill(self.step.saturating_sub(1), &mut x, &mut target);
        self.work.fetch_y()?;
        let rows = self.work.head_rows();
        let first = |rows: &[f32], width: usize| {
            rows.chunks_exact(width).step_by(batch).map(<[f32]>::to_vec).collect::<Vec<_>>()
        };
        let (x, target) = (first(&x[..steps * batch * input], input), first(&target[..rows.len() * columns], columns));
        Ok([x, target, rows.step_by(batch).map(|row| self.work.y(row).to_vec()).collect()])
    }

    /// The gradients of the last step, before clipping, packed like the parameters. See [`Trainer::fetch`].
    pub fn grads(&self) -> &[f32] {
        &self.grads
    }

    /// Steps done.
    pub fn steps_done(&self) -> u64 {
        self.step
    }

    /// The model with its current weights; on a GPU those of the last [`Trainer::fetch`].
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The windows that it trains on.
    pub fn windows(&self) -> &Windows {
        &self.windows
    }

    /// The state at the end of the last window. See [`Trainer::fetch`].
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The device that it trains on.
    pub fn device(&self) -> &Device {
        &self.device
    }
}

/// The mean loss of `model` over one epoch of `windows`, without training. The state is carried or reset as in
/// `recipe`, and there is no dropout.
///
/// # Errors
/// If windows and model differ in I, the number of outputs of the model is not the one that the loss needs, the memory
/// cannot be had, or the GPU fails.
pub fn mean_loss(model: &Model, windows: &mut Windows, recipe: &Recipe, device: impl Into<Device>) -> Result<f64> {
    let (shape, steps, batch, columns) = (*model.shape(), windows.seq_len(), windows.batch(), windows.output());
    check_widths(&shape, windows, recipe.loss)?;
    let (weights, params) = model.pass_params();
    let mut network = device::Network::new(&device.into(), &shape, &model.params, weights, steps, batch)?;
    let mut state = State::try_new(&shape, batch)?;
    let mut x = Buffer::try_zeros(steps * batch * shape.input)?;
    let mut target = Buffer::try_zeros(steps * batch * columns)?;
    let mut dy = Buffer::try_zeros(shape.width_out())?; // the loss writes its gradient here; it is not used
    let (mut sum, mut count) = (0.0, 0.0);
    for k in 0..windows.steps_per_epoch().unwrap_or(1) {
        let found = windows.fill(k, &mut x, &mut target);
        if recipe.restarts(k, windows) {
            state.start(found);
        }
        network.forward(params, &x[..steps * found * shape.input], &mut state, recipe.loss_on)?;
        let rows = network.head_rows();
        let known = recipe.loss.known(&target[..rows.len() * columns]);
        if known == 0 {
            continue;
        }
        // a step with fewer sequences, or with missing targets, counts for less
        let weight = known as f64 / (rows.len() * recipe.loss.elements(columns)) as f64 * found as f64;
        let rows = target.chunks_exact(columns).zip(rows);
        let losses = rows.map(|(target, row)| recipe.loss.row(network.y(row), target, &mut dy));
        sum += losses.sum::<f64>() / known as f64 * weight;
        count += weight;
    }
    Ok(sum / count)
}

/// Whether a model of this shape has the inputs of the windows and the outputs that the loss needs.
fn check_widths(shape: &Shape, windows: &Windows, loss: Loss) -> Result<()> {
    let (input, output, columns) = (shape.input, shape.width_out(), windows.output());
    if input != windows.input() {
        return Err(Error::invalid(format!("input: the model has {input}, the data has {}", windows.input())));
    }
    let wanted = loss.outputs(columns);
    if output == wanted {
        return Ok(());
    }
    Err(Error::invalid(if wanted == columns {
        format!("output: the model has {output}, the data has {columns}")
    } else {
        format!("output: the model has {output}, the loss {loss} takes {wanted} (target columns: {columns})")
    }))
}
