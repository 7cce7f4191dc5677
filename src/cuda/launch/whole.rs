//! Complete training steps of a small network in one block, as many as a queue has: `kernels/whole.cuh`.

use super::part::{Part, optional};
use super::recurrent::{Backward, BackwardArgs, Forward, ForwardArgs};
use super::steps::{AdamArgs, Arena, LossArgs, Queue, Scored, Window, WindowArgs};
use crate::cuda::Cuda;
use crate::cuda::driver::{Function, Geometry};
use crate::cuda::plan;
use crate::cuda::plan::Pass;
use crate::error::Result;
use crate::net::shape::Shape;
use crate::objective::optimizer::Update;
use crate::simd::lanes::padded;

/// What a network of one layer has in addition to the layer itself.
#[derive(Debug, Clone, Copy)]
pub struct Ends<'a> {
    /// Packed weight_ih, its bias if there is one; weight and bias of the head.
    pub weights: [Option<Part<'a>>; 4],
    /// Gradients of the same, and of weight_hh and its bias.
    pub grads: [Option<Part<'a>>; 6],
    /// `[rows][Op]`
    pub y: Part<'a>,
    /// `[rows][Hp]`, of the steps that count.
    pub dtop: Part<'a>,
}

/// What the kernel works on: the arguments of the separate kernels, and the ends of the network.
#[derive(Debug, Clone, Copy)]
pub struct Whole<'a> {
    /// The window of a step.
    pub window: Window<'a>,
    /// The layer forward.
    pub forward: Forward<'a>,
    /// The layer backward.
    pub backward: Backward<'a>,
    /// The loss.
    pub scored: Scored<'a>,
    /// The update.
    pub arena: Arena<'a>,
    /// Where the queue stands.
    pub queue: Queue<'a>,
    /// What the network has in addition to the layer.
    pub ends: Ends<'a>,
    /// The loss of each step of the queue.
    pub losses: Part<'a>,
    /// The norm of each step of the queue.
    pub norms: Part<'a>,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct WholeArgs {
    window: WindowArgs,
    forward: ForwardArgs,
    backward: BackwardArgs,
    loss: LossArgs,
    adam: AdamArgs,
    weight_ih: u64,
    bias_ih: u64,
    weight_fc: u64,
    bias_fc: u64,
    y: u64,
    dtop: u64,
    dweight_ih: u64,
    dweight_hh: u64,
    dbias_ih: u64,
    dbias_hh: u64,
    dweight_fc: u64,
    dbias_fc: u64,
    losses: u64,
    norms: u64,
    clips: i32,
    count: i32,
}

/// The compiled kernel.
#[derive(Debug)]
pub struct WholeSteps {
    shape: Shape,
    block: u32,
    pass: Pass,
    train: Function,
}

impl WholeSteps {
    /// Compiles it, or takes it out of a cache; `None` if separate kernels are better for such a network.
    ///
    /// # Errors
    /// If the kernel can neither be found nor compiled.
    pub fn load(cuda: &Cuda, shape: &Shape, steps: usize, batch: usize) -> Result<Option<Self>> {
        let Some(pass) = plan::whole(shape, steps, batch, &plan::Limits::of(cuda.gpu().properties())) else {
            return Ok(None);
        };
        let module = cuda.gpu().load(&cuda.image(&pass.whole_program(shape)?)?)?;
        let train = module.function(&format!("{}_train", shape.cell.name()))?;
        Ok(Some(Self { shape: *shape, block: pass.block_of_whole(), pass, train }))
    }

    /// Runs `count` steps of the queue.
    ///
    /// # Errors
    /// If an array is too short, or the launch fails.
    pub fn run(&self, update: &Update, at: &Whole, barriers: Part<u32>, count: usize) -> Result<()> {
        let shape = &self.shape;
        let (gates, width) = (shape.gates(), padded(shape.hidden));
        let (out, output) = (padded(at.scored.output), at.scored.output);
        let ih = gates * width * shape.input;
        let [weight_ih, bias_ih, weight_fc, bias_fc] = at.ends.weights;
        let [dweight_ih, dweight_hh, dbias_ih, dbias_hh, dweight_fc, dbias_fc] = at.ends.grads;
        let needed = |part: Option<Part<'_>>, what: &'static str, len| match part {
            Some(part) => part.holds(what, len),
            None => Err(crate::error::Error::Length { what, expected: len, got: 0 }),
        };
        let args = WholeArgs {
            window: at.window.args()?,
            forward: at.forward.args(shape, barriers)?,
            backward: at.backward.args(shape, barriers)?,
            loss: at.scored.args()?,
            adam: at.arena.adam(update, at.queue)?,
            weight_ih: needed(weight_ih, "weight_ih", ih)?,
            bias_ih: optional(bias_ih, "bias_ih", gates * width)?,
            weight_fc: needed(weight_fc, "fc.weight", out * shape.hidden)?,
            bias_fc: needed(bias_fc, "fc.bias", out)?,
            y: at.ends.y.holds("y", at.scored.rows * out)?,
            dtop: at.ends.dtop.holds("dtop", at.scored.rows * width)?,
            dweight_ih: needed(dweight_ih, "gradient of weight_ih", ih)?,
            dweight_hh: needed(dweight_hh, "gradient of weight_hh", gates * width * shape.hidden)?,
            dbias_ih: optional(dbias_ih, "gradient of bias_ih", gates * width)?,
            dbias_hh: optional(dbias_hh, "gradient of bias_hh", gates * width)?,
            dweight_fc: needed(dweight_fc, "gradient of fc.weight", out * shape.hidden)?,
            dbias_fc: needed(dbias_fc, "gradient of fc.bias", out)?,
            losses: at.losses.holds("losses", count)?,
            norms: at.norms.holds("norms", count)?,
            clips: at.arena.norm_parts.is_some().into(),
            count: count as i32,
        };
        debug_assert!(output > 0 && at.forward.batch <= self.pass.rows as usize);
        let geometry = Geometry { grid: [1, 1, 1], threads: self.block, shared: 0, cooperative: false };
        // SAFETY: every array is as long as the kernel's comments say; the batch fits one block, as `plan::whole` has
        // checked; the fields are those of `struct Whole`.
        unsafe { self.train.launch(geometry, &args) }
    }
}
