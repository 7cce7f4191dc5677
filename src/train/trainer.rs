//! Training: truncated back-propagation through time, one window after the other.

use crate::cpu::{Network, Threads};
#[cfg(feature = "cuda")]
use crate::cuda;
use crate::data::windows::Windows;
use crate::device;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::net::pass::{Dropout, Head, Purpose as For};
use crate::net::shape::Shape;
use crate::net::state::State;
use crate::objective::loss::Loss;
use crate::objective::optimizer::{Optimizer, Schedule, check_clip, norm, not_negative};
use crate::random::{Purpose, Random};
use crate::tensor::Buffer;
use serde::{Deserialize, Serialize};

/// How to train. The default is the lesson's: mean squared error, Adam at 0.01, the state carried on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// What to make small.
    pub loss: Loss,
    /// Whether every step of a window counts, or the last one only.
    pub loss_on: Head,
    /// The optimiser.
    pub optimizer: Optimizer,
    /// Learning rate at the start.
    pub lr: f64,
    /// What becomes of it.
    pub schedule: Schedule,
    /// Steps that the whole training will have, for a schedule that wants to know.
    pub steps: Option<u64>,
    /// Largest global norm of the gradient, `torch.nn.utils.clip_grad_norm_`.
    pub clip: Option<f64>,
    /// Whether the state at the end of a window starts the next one (detached from its history), or zero does.
    pub carry: bool,
    /// Probability to drop an element between two layers.
    pub dropout: f64,
    /// Whether to climb instead, PyTorch's `maximize`.
    pub maximize: bool,
    /// Seed of the initial weights, the order of windows and dropout.
    pub seed: u64,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            loss: Loss::Mse,
            loss_on: Head::All,
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
}

/// What one training step found.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Step {
    /// The loss before the update.
    pub loss: f32,
    /// The learning rate of the update.
    pub lr: f64,
    /// Global norm of the gradient before clipping; only worked out when it is clipped.
    pub norm: Option<f64>,
}

/// A model in training. The same seed and data give the same bits on the same device, also after a stop: on any processor,
/// whatever the number of threads or the instruction set; on a card with the same options and any other of the same model.
///
/// On a card the weights stay there: [`Trainer::fetch`] brings them back before one looks at them.
#[derive(Debug)]
pub struct Trainer {
    recipe: Recipe,
    device: Device,
    pub(crate) model: Model,
    windows: Windows,
    work: Work,
    pub(crate) state: State,
    pub(crate) step: u64,
    grads: Buffer,
    /// First moment, second moment, its maximum; empty where the optimiser has none.
    pub(crate) moments: [Buffer; 3],
    x: Buffer,
    target: Buffer,
    batch: usize,
}

/// What does the work.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one of it, and never a row of them")]
enum Work {
    Cpu(Network),
    #[cfg(feature = "cuda")]
    Cuda(cuda::Training),
}

impl Trainer {
    /// A trainer at step 0. `threads` are those of a processor; a card has its own.
    ///
    /// # Errors
    /// If the recipe is out of range, windows and model differ in I, the model has not as many outputs as the loss
    /// takes for the target columns of the windows, the memory cannot be had, or a card cannot run the model.
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
        if windows.last_only() != (recipe.loss_on == Head::Last) {
            return Err(Error::invalid("loss-on: targets [N,B,O] go with last, targets [N,B,T,O] with all"));
        }
        let (steps, batch) = (windows.seq_len(), windows.batch());
        let len = model.params.len();
        let target_steps = if windows.last_only() { 1 } else { steps };
        let work = match &device {
            Device::Cpu(cpu) => Work::Cpu(Network::new(*cpu, threads, &shape, steps, batch, For::Training)?),
            #[cfg(feature = "cuda")]
            Device::Cuda(cuda) => {
                let task = cuda::Task {
                    head: recipe.loss_on,
                    loss: recipe.loss,
                    targets: windows.output(),
                    update: recipe.optimizer.update(1, recipe.lr),
                    clip: recipe.clip,
                    maximize: recipe.maximize,
                    drops: recipe.dropout > 0.0,
                };
                Work::Cuda(cuda::Training::new(cuda, &shape, steps, batch, task)?)
            }
        };
        Ok(Self {
            work,
            device,
            state: State::try_new(&shape, batch)?,
            step: 0,
            grads: Buffer::try_zeros(len)?,
            moments: Buffer::moments(recipe.optimizer.keeps(), len)?,
            x: Buffer::try_zeros(steps * batch * shape.input)?,
            target: Buffer::try_zeros(target_steps * batch * windows.output())?,
            batch,
            recipe,
            model,
            windows,
        })
    }

    /// One step: window, forward, loss, backward, update. On a processor it allocates nothing, but for a new order of
    /// windows at the start of an epoch, and cannot fail.
    ///
    /// # Errors
    /// If a card fails.
    pub fn step(&mut self) -> Result<Step> {
        if matches!(self.work, Work::Cpu(_)) {
            return Ok(self.step_on_cpu());
        }
        let mut last = None;
        self.steps(1, |step| last = Some(step))?;
        last.ok_or_else(|| Error::invalid("a step without a result"))
    }

    /// So many steps, each given to `seen` in its turn. A card does them without coming back to the host in between.
    ///
    /// # Errors
    /// If a card fails.
    pub fn steps(&mut self, count: usize, mut seen: impl FnMut(Step)) -> Result<()> {
        match &self.work {
            Work::Cpu(_) => (0..count).for_each(|_| seen(self.step_on_cpu())),
            #[cfg(feature = "cuda")]
            Work::Cuda(_) => {
                let mut left = count;
                while left > 0 {
                    left -= self.steps_on_card(left, &mut seen)?;
                }
            }
        }
        Ok(())
    }

    fn step_on_cpu(&mut self) -> Step {
        let loss = self.gradients();
        let lr = self.recipe.schedule.rate(self.recipe.lr, self.step, self.recipe.steps);
        let norm = self.recipe.clip.map(|_| norm(&self.grads));
        // PyTorch's clip_grad_norm_, its small constant included
        let clipped = match (self.recipe.clip, norm) {
            (Some(clip), Some(norm)) => (clip / (norm + 1e-6)).min(1.0),
            _ => 1.0,
        };
        let scale = if self.recipe.maximize { -clipped } else { clipped };
        self.step += 1;
        let update = self.recipe.optimizer.update(self.step, lr);
        let [m, v, v_max] = &mut self.moments;
        if let Work::Cpu(network) = &self.work {
            network.update(update, scale as f32, &mut self.model.params, &self.grads, [m, v, v_max]);
        }
        Step { loss, lr, norm }
    }

    /// Loss and gradients of the window of this step, without an update. Moves the state on.
    fn gradients(&mut self) -> f32 {
        let k = self.step;
        self.batch = self.windows.fill(k, &mut self.x, &mut self.target);
        if !self.recipe.carry || self.windows.starts_again(k) {
            self.state.start(self.batch);
        }
        let x = &self.x[..self.windows.seq_len() * self.batch * self.model.shape().input];
        let mut masks = Masks::of(&self.recipe, k);
        let drops = self.recipe.dropout > 0.0;
        let dropout: Option<&mut dyn Dropout> = if drops { Some(&mut masks) } else { None };
        let Work::Cpu(network) = &mut self.work else { return f32::NAN };
        network.forward(&self.model.params, x, &mut self.state, self.recipe.loss_on, dropout);
        let loss = loss(network, self.recipe.loss, &self.target, self.windows.output());
        self.grads.fill(0.0);
        network.backward(&self.model.params, &mut self.grads, x, drops);
        loss
    }

    /// Up to `count` steps in one queue. Gives back how many.
    #[cfg(feature = "cuda")]
    fn steps_on_card(&mut self, mut count: usize, seen: &mut impl FnMut(Step)) -> Result<usize> {
        let Work::Cuda(card) = &mut self.work else { return Ok(count) };
        if !card.has_weights() {
            card.write(&self.model.params, &self.moments, &self.state)?;
        }
        if self.recipe.dropout > 0.0 {
            count = 1; // the masks of a step are drawn here
            card.set_masks(self.windows.batch_at(self.step), &mut Masks::of(&self.recipe, self.step))?;
        }
        let mut rates = Vec::new();
        let results = card.run(&mut self.windows, self.step, count, |k, windows| {
            let lr = self.recipe.schedule.rate(self.recipe.lr, k, self.recipe.steps);
            rates.push(lr);
            cuda::Turn {
                update: self.recipe.optimizer.update(k + 1, lr),
                restart: !self.recipe.carry || windows.starts_again(k),
            }
        })?;
        for (&(loss, norm), &lr) in results.iter().zip(&rates) {
            seen(Step { loss, lr, norm: self.recipe.clip.map(|_| f64::from(norm)) });
        }
        self.step += results.len() as u64;
        self.batch = card.batch();
        Ok(results.len())
    }

    /// Brings parameters, gradients, moments and state back from a card. On a processor they are here anyway.
    ///
    /// # Errors
    /// If a card fails.
    pub fn fetch(&mut self) -> Result<()> {
        match &mut self.work {
            Work::Cpu(_) => {}
            #[cfg(feature = "cuda")]
            Work::Cuda(card) => {
                if card.has_weights() {
                    self.state.set_batch(card.batch());
                    card.read(&mut self.model.params, &mut self.grads, &mut self.moments, &mut self.state)?;
                }
            }
        }
        Ok(())
    }

    /// The window of the last step and what the model said to it before the update: `x`, `target` and `y` of the
    /// first sequence, one row a step (of y and target only the last, when only that one counts). Rows of y have O
    /// values, those of the target one for each target column.
    ///
    /// # Errors
    /// If a card fails.
    pub fn last_window(&mut self) -> Result<[Vec<Vec<f32>>; 3]> {
        let (input, columns) = (self.model.shape().input, self.windows.output());
        let batch = self.batch;
        let first = |rows: &[f32], width: usize| {
            rows.chunks_exact(width).step_by(batch).map(<[f32]>::to_vec).collect::<Vec<_>>()
        };
        let (rows, y) = match &mut self.work {
            Work::Cpu(network) => {
                let rows = network.head_rows();
                let y = rows.clone().step_by(batch).map(|row| network.y(row).to_vec()).collect();
                (rows, y)
            }
            #[cfg(feature = "cuda")]
            Work::Cuda(card) => {
                self.windows.fill(self.step.saturating_sub(1), &mut self.x, &mut self.target);
                card.fetch_y()?;
                let rows = card.head_rows();
                let y = rows.clone().step_by(batch).map(|row| card.y(row).to_vec()).collect();
                (rows, y)
            }
        };
        let x = &self.x[..self.windows.seq_len() * batch * input];
        let target = &self.target[..rows.len() * columns];
        Ok([first(x, input), first(target, columns), y])
    }

    /// The gradients of the last step, before clipping; packed like the parameters. See [`Trainer::fetch`].
    pub fn grads(&self) -> &[f32] {
        &self.grads
    }

    /// Steps done.
    pub fn steps_done(&self) -> u64 {
        self.step
    }

    /// The model as it is now. See [`Trainer::fetch`].
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Where the windows come from.
    pub fn windows(&self) -> &Windows {
        &self.windows
    }

    /// The state at the end of the last window. See [`Trainer::fetch`].
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Where it trains.
    pub fn device(&self) -> &Device {
        &self.device
    }
}

/// The mean loss of `model` over one epoch of `windows`, without training; the state is carried or reset as in
/// `recipe`, and nothing is dropped.
///
/// # Errors
/// If windows and model differ in I, the model has not as many outputs as the loss takes, the memory cannot be had, or a card
/// fails.
pub fn mean_loss(model: &Model, windows: &mut Windows, recipe: &Recipe, device: impl Into<Device>) -> Result<f64> {
    let (shape, steps, batch, columns) = (*model.shape(), windows.seq_len(), windows.batch(), windows.output());
    check_widths(&shape, windows, recipe.loss)?;
    let (weights, params) = model.pass_params();
    let mut network = device::Network::new(&device.into(), &shape, &model.params, weights, steps, batch)?;
    let mut state = State::try_new(&shape, batch)?;
    let mut x = Buffer::try_zeros(steps * batch * shape.input)?;
    let mut target = Buffer::try_zeros(steps * batch * columns)?;
    let mut dy = Buffer::try_zeros(shape.width_out())?; // of no use here
    let (mut sum, mut count) = (0.0, 0.0);
    for k in 0..windows.steps_per_epoch().unwrap_or(1) {
        let found = windows.fill(k, &mut x, &mut target);
        if !recipe.carry || windows.starts_again(k) {
            state.start(found);
        }
        network.forward(params, &x[..steps * found * shape.input], &mut state, recipe.loss_on)?;
        let rows = network.head_rows();
        let elements = (rows.len() * recipe.loss.elements(columns)) as f64;
        let rows = target.chunks_exact(columns).zip(rows);
        let losses = rows.map(|(target, row)| recipe.loss.row(network.y(row), target, &mut dy));
        sum += losses.sum::<f64>() / elements * found as f64;
        count += found as f64;
    }
    Ok(sum / count)
}

/// Whether a model of this shape takes what the windows give, and says what the loss wants to know.
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

/// The loss of the last forward, and its gradient at y. `target [rows,columns]`.
fn loss(network: &mut Network, loss: Loss, target: &[f32], columns: usize) -> f32 {
    let rows = network.head_rows();
    let count = (rows.len() * loss.elements(columns)) as f32;
    let mut sum = 0.0;
    for (target, row) in target.chunks_exact(columns).zip(rows) {
        let (y, dy) = network.y_and_dy(row);
        sum += loss.row(y, target, dy);
        for dy in dy {
            *dy /= count;
        }
    }
    (sum / f64::from(count)) as f32
}

/// Dropout of one training step.
struct Masks {
    random: Random,
    drop: f32,
}

impl Masks {
    /// Those of training step `k`.
    fn of(recipe: &Recipe, k: u64) -> Self {
        Self { random: Random::new(recipe.seed, Purpose::Dropout, k), drop: recipe.dropout as f32 }
    }
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
