//! The kernels of a training step other than the network's own: the window, the loss, the update.

use super::part::{Part, optional};
use crate::cuda::Cuda;
use crate::cuda::driver::{Function, Geometry};
use crate::cuda::image::compile::Program;
use crate::error::{DeviceErrorKind, Error, Result};
use crate::objective::loss::{Levels, Loss};
use crate::objective::optimizer::Update;
use crate::simd::lanes::padded;

/// Threads of a block and the most blocks, as in `kernels/training.cuh`.
const THREADS: u32 = 256;
/// How many numbers a sum over many blocks leaves.
pub const PARTS: usize = 64;

/// What changes from one training step to the next: `struct Numbers` of `kernels/training.cuh`.
#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Numbers {
    rate: f32,
    scale_v: f32,
    shrink: f32,
    known: f32,
    restart: i32,
}

impl Numbers {
    /// Those of an update after a loss that is averaged over `known` elements, whose targets are there; `restart` if the
    /// state starts at zero.
    pub fn new(update: &Update, known: usize, restart: bool) -> Self {
        let (rate, scale_v, shrink) = match *update {
            Update::Adam { step_size, scale_v, shrink, .. } => (step_size, scale_v, shrink),
            Update::Sgd { lr, fresh, .. } => (lr, fresh, 1.0),
        };
        Self { rate, scale_v, shrink, known: known.max(1) as f32, restart: restart.into() }
    }
}

/// Where the queue of steps stands.
#[derive(Debug, Clone, Copy)]
pub struct Queue<'a> {
    /// The numbers of each step.
    pub numbers: Part<'a, Numbers>,
    /// Which step is next, one word.
    pub step: Part<'a, u32>,
}

/// The start of a step: `struct Window` of `kernels/training.cuh`.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    /// `[.][I]`
    pub x_rows: Part<'a>,
    /// `[.][D]`
    pub target_rows: Part<'a>,
    /// `[steps of the queue][2·B]`
    pub starts: Part<'a, i32>,
    /// Where the queue stands.
    pub queue: Queue<'a>,
    /// `[T·B][Ip]`
    pub x: Part<'a>,
    /// `[target_steps·B][D]`
    pub target: Part<'a>,
    /// `[L]` times `layer` values, each `[(T+1)·B][Hp]` or longer.
    pub h: Part<'a>,
    /// The same for a cell that has c.
    pub c: Option<Part<'a>>,
    /// Values of h from one layer to the next.
    pub layer: usize,
    /// Rows of the data from one time step to the next.
    pub apart: usize,
    /// T, B, I, D
    pub sizes: [usize; 4],
    /// Time steps that have a target.
    pub target_steps: usize,
    /// L, H
    pub network: [usize; 2],
}

impl Window<'_> {
    pub(in crate::cuda) fn args(&self) -> Result<WindowArgs> {
        let [steps, batch, input, targets] = self.sizes;
        let [layers, hidden] = self.network;
        let states = (layers - 1) * self.layer + (steps + 1) * batch * padded(hidden);
        Ok(WindowArgs {
            x_rows: self.x_rows.holds("rows of x", input)?,
            target_rows: self.target_rows.holds("rows of the target", targets)?,
            starts: self.starts.holds("starts [2·B]", 2 * batch)?,
            numbers: self.queue.numbers.holds("numbers", 1)?,
            step: self.queue.step.holds("step", 1)?,
            x: self.x.holds("x [T·B,Ip]", steps * batch * padded(input))?,
            target: self.target.holds("target", self.target_steps * batch * targets)?,
            h: self.h.holds("h", states)?,
            c: optional(self.c, "c", states)?,
            layer: self.layer as u64,
            apart: self.apart as i32,
            steps: steps as i32,
            batch: batch as i32,
            input: input as i32,
            targets: targets as i32,
            target_steps: self.target_steps as i32,
            layers: layers as i32,
            hidden: padded(hidden) as i32,
        })
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(in crate::cuda) struct WindowArgs {
    x_rows: u64,
    target_rows: u64,
    starts: u64,
    numbers: u64,
    step: u64,
    x: u64,
    target: u64,
    h: u64,
    c: u64,
    layer: u64,
    apart: i32,
    steps: i32,
    batch: i32,
    input: i32,
    targets: i32,
    target_steps: i32,
    layers: i32,
    hidden: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(in crate::cuda) struct LossArgs {
    y: u64,
    target: u64,
    dy: u64,
    parts: u64,
    numbers: u64,
    step: u64,
    rows: i32,
    output: i32,
    targets: i32,
    elements: i32,
    width: i32,
    kind: i32,
    levels: [f32; Levels::MOST],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(in crate::cuda) struct ArenaArgs {
    params: u64,
    grads: u64,
    numbers: u64,
    step: u64,
    norm_parts: u64,
    clip: f32,
    sign: f32,
    length: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(in crate::cuda) struct AdamArgs {
    arena: ArenaArgs,
    m: u64,
    v: u64,
    v_max: u64,
    beta2: f32,
    fresh_m: f32,
    fresh_v: f32,
    eps: f32,
    weight_decay: f32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct SgdArgs {
    arena: ArenaArgs,
    direction: u64,
    momentum: f32,
    weight_decay: f32,
    nesterov: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct NormArgs {
    grads: u64,
    parts: u64,
    length: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct FinishArgs {
    loss_parts: u64,
    norm_parts: u64,
    losses: u64,
    norms: u64,
    numbers: u64,
    step: u64,
    loss_blocks: i32,
    norm_blocks: i32,
}

/// Where y is, what it is compared with, and where its gradient goes.
#[derive(Debug, Clone, Copy)]
pub struct Scored<'a> {
    /// The loss.
    pub loss: Loss,
    /// The queue, whose numbers say over how many elements it is averaged.
    pub queue: Queue<'a>,
    /// `[rows][width]`
    pub y: Part<'a>,
    /// `[rows][D]`
    pub target: Part<'a>,
    /// `[rows][width]`
    pub dy: Part<'a>,
    /// `[PARTS]`
    pub parts: Part<'a>,
    /// Rows that count.
    pub rows: usize,
    /// O
    pub output: usize,
    /// D
    pub targets: usize,
}

impl Scored<'_> {
    /// Elements of the loss, with those that are missing.
    fn elements(&self) -> usize {
        self.rows * self.loss.elements(self.targets)
    }

    pub(in crate::cuda) fn args(&self) -> Result<LossArgs> {
        Error::check_length("a row of y [O]", self.loss.outputs(self.targets), self.output)?;
        let width = padded(self.output);
        let len = self.rows * width;
        let mut levels = [0.0; Levels::MOST];
        let kind = match self.loss {
            Loss::Mse => 0,
            Loss::Mae => 1,
            Loss::Huber => 2,
            Loss::Gaussian => 3,
            Loss::Quantiles(given) => {
                levels[..given.as_slice().len()].copy_from_slice(given.as_slice());
                4
            }
        };
        Ok(LossArgs {
            y: self.y.holds("y", len)?,
            target: self.target.holds("target", self.rows * self.targets)?,
            dy: self.dy.holds("dy", len)?,
            parts: self.parts.holds("parts of the loss", PARTS)?,
            numbers: self.queue.numbers.holds("numbers", 1)?,
            step: self.queue.step.holds("step", 1)?,
            rows: self.rows as i32,
            output: self.output as i32,
            targets: self.targets as i32,
            elements: self.loss.elements(self.targets) as i32,
            width: width as i32,
            kind,
            levels,
        })
    }
}

/// The arena of the parameters, and the arrays of the same layout.
#[derive(Debug, Clone, Copy)]
pub struct Arena<'a> {
    /// The parameters.
    pub params: Part<'a>,
    /// Their gradients.
    pub grads: Part<'a>,
    /// First moment or direction, second moment, its maximum; where there are any.
    pub moments: [Option<Part<'a>>; 3],
    /// `[PARTS]`, when gradients are clipped.
    pub norm_parts: Option<Part<'a>>,
    /// The largest norm that gradients may have.
    pub clip: f32,
    /// Whether to maximise the loss.
    pub maximize: bool,
}

impl Arena<'_> {
    fn args(&self, queue: Queue) -> Result<ArenaArgs> {
        let len = self.params.len();
        Ok(ArenaArgs {
            params: self.params.holds("parameters", len)?,
            grads: self.grads.holds("gradients", len)?,
            numbers: queue.numbers.holds("numbers", 1)?,
            step: queue.step.holds("step", 1)?,
            norm_parts: optional(self.norm_parts, "parts of the norm", PARTS)?,
            clip: self.clip,
            sign: if self.maximize { -1.0 } else { 1.0 },
            length: len as i32,
        })
    }

    /// The arguments of the kernel `adam`.
    ///
    /// # Errors
    /// If an array is too short, or the update is another one.
    pub(in crate::cuda) fn adam(&self, update: &Update, queue: Queue) -> Result<AdamArgs> {
        let Update::Adam { beta2, fresh, eps, weight_decay, amsgrad, .. } = *update else {
            return Err(Error::device(DeviceErrorKind::Unsupported, "the update is not that of Adam"));
        };
        let (len, [m, v, v_max]) = (self.params.len(), self.moments);
        Ok(AdamArgs {
            arena: self.args(queue)?,
            m: moment(m, "first moments", len)?,
            v: moment(v, "second moments", len)?,
            v_max: if amsgrad { moment(v_max, "largest second moments", len)? } else { 0 },
            beta2,
            fresh_m: fresh[0],
            fresh_v: fresh[1],
            eps,
            weight_decay,
        })
    }
}

fn moment(part: Option<Part<'_>>, what: &'static str, len: usize) -> Result<u64> {
    match part {
        Some(part) => part.holds(what, len),
        None => Err(Error::Length { what, expected: len, got: 0 }),
    }
}

/// The compiled kernels.
#[derive(Debug)]
pub struct Steps {
    window: Function,
    loss: Function,
    norm: Function,
    adam: Function,
    sgd: Function,
    finish: Function,
}

impl Steps {
    /// Compiles them, or takes them out of a cache.
    ///
    /// # Errors
    /// If that fails.
    pub fn load(cuda: &Cuda) -> Result<Self> {
        let module = cuda.gpu().load(&cuda.image(&Program::embedded("training.cu")?)?)?;
        Ok(Self {
            window: module.function("window")?,
            loss: module.function("loss")?,
            norm: module.function("grad_norm")?,
            adam: module.function("adam")?,
            sgd: module.function("sgd")?,
            finish: module.function("finish")?,
        })
    }

    /// Takes the window of the next step out of the data.
    ///
    /// # Errors
    /// If an array is too short, or the launch fails.
    pub fn window(&self, at: &Window) -> Result<()> {
        let [steps, batch, input, targets] = at.sizes;
        let [layers, hidden] = at.network;
        let args = at.args()?;
        let values = steps * batch * (input + targets) + layers * batch * hidden;
        // SAFETY: the arrays are as long as the kernel's comments say; that the starts of the queue lie inside the rows
        // was checked when they were made (`Training::lay_out`).
        unsafe { self.window.launch(spread(values, 1024), &args) }
    }

    /// The loss and its gradient.
    ///
    /// # Errors
    /// If an array is too short, or the launch fails.
    pub fn loss(&self, at: &Scored) -> Result<()> {
        let args = at.args()?;
        // SAFETY: the arrays are as long as the kernel's comments say.
        unsafe { self.loss.launch(spread(at.elements(), PARTS), &args) }
    }

    /// The update, with the norm and the clipping of the gradients before it.
    ///
    /// # Errors
    /// If an array is too short, or a launch fails.
    pub fn update(&self, update: &Update, queue: Queue, at: &Arena) -> Result<()> {
        let len = at.params.len();
        let grads = at.grads.holds("gradients", len)?;
        let norm_parts = optional(at.norm_parts, "parts of the norm", PARTS)?;
        if norm_parts != 0 {
            let args = NormArgs { grads, parts: norm_parts, length: len as i32 };
            // SAFETY: the arrays are as long as the kernel's comments say.
            unsafe { self.norm.launch(spread(len, PARTS).blocks(PARTS as u32), &args)? };
        }
        let arena = at.args(queue)?;
        let [m, ..] = at.moments;
        let moment = |part, what| moment(part, what, len);
        let geometry = spread(len, 2048);
        match *update {
            Update::Adam { .. } => {
                let args = at.adam(update, queue)?;
                // SAFETY: the arrays are as long as the kernel's comments say.
                unsafe { self.adam.launch(geometry, &args) }
            }
            Update::Sgd { momentum, nesterov, weight_decay, .. } => {
                let direction = if momentum == 0.0 { 0 } else { moment(m, "directions")? };
                let args = SgdArgs { arena, direction, momentum, weight_decay, nesterov: nesterov.into() };
                // SAFETY: the arrays are as long as the kernel's comments say.
                unsafe { self.sgd.launch(geometry, &args) }
            }
        }
    }

    /// The end of a step: stores the loss and the norm, and moves the queue on.
    ///
    /// # Errors
    /// If an array is too short, or the launch fails.
    pub fn finish(&self, scored: &Scored, arena: &Arena, losses: Part, norms: Part) -> Result<()> {
        let elements = scored.elements();
        let args = FinishArgs {
            loss_parts: scored.parts.holds("parts of the loss", PARTS)?,
            norm_parts: optional(arena.norm_parts, "parts of the norm", PARTS)?,
            losses: losses.holds("losses", 1)?,
            norms: norms.holds("norms", 1)?,
            numbers: scored.queue.numbers.holds("numbers", 1)?,
            step: scored.queue.step.holds("step", 1)?,
            loss_blocks: spread(elements, PARTS).grid[0] as i32,
            norm_blocks: PARTS as i32,
        };
        // SAFETY: the arrays are as long as the kernel's comments say; the queue is no longer than losses and norms.
        unsafe { self.finish.launch(spread(1, 1), &args) }
    }
}

impl Geometry {
    fn blocks(self, blocks: u32) -> Self {
        Self { grid: [blocks, 1, 1], ..self }
    }
}

/// Blocks for `values` values, four to a thread; at most `most` blocks.
fn spread(values: usize, most: usize) -> Geometry {
    let blocks = values.div_ceil(4 * THREADS as usize).clamp(1, most) as u32;
    Geometry { grid: [blocks, 1, 1], threads: THREADS, shared: 0, cooperative: false }
}
