//! The kernels of a recurrent layer, `kernels/recurrent.cuh`, compiled for one shape and plan.

use super::part::{Part, optional};
use crate::cuda::Cuda;
use crate::cuda::driver::{Function, Geometry, Memory};
use crate::cuda::plan::{Direction, Frame, Pass, Plan};
use crate::error::{DeviceErrorKind, Error, Result};
use crate::net::pass::Mode;
use crate::net::shape::Shape;
use crate::simd::lanes::padded;

/// Words from the barrier of one group of blocks to that of the next, as in `kernels/passes.cuh`.
const BARRIER: usize = 32;

/// What forward of a layer reads and writes: `struct Forward` of `kernels/passes.cuh`, with its shapes.
#[derive(Debug, Clone, Copy)]
pub struct Forward<'a> {
    /// Packed.
    pub weight_hh: Part<'a>,
    /// `[G·Hp]`
    pub bias_hh: Option<Part<'a>>,
    /// `[T·B][G·Hp]`
    pub gates_x: Part<'a>,
    /// `[(T+1)·B][Hp]`, beginning with the state before the window.
    pub h: Part<'a>,
    /// The same for a cell that has c.
    pub c: Option<Part<'a>>,
    /// `[T·B][tile][SAVED][lane]`, when backward will follow.
    pub saved: Option<Part<'a>>,
    /// T
    pub steps: usize,
    /// B
    pub batch: usize,
}

/// What backward of a layer reads and writes: `struct Backward`.
#[derive(Debug, Clone, Copy)]
pub struct Backward<'a> {
    /// Packed.
    pub weight_hh: Part<'a>,
    /// What forward left.
    pub saved: Option<Part<'a>>,
    /// `[(T+1)·B][Hp]`
    pub h: Part<'a>,
    /// The same for a cell that has c.
    pub c: Option<Part<'a>>,
    /// `[T·B][Hp]`
    pub dabove: Part<'a>,
    /// `[T·B][G·Hp]`
    pub dgates_x: Part<'a>,
    /// The same for a cell that resets.
    pub dgates_h: Option<Part<'a>>,
    /// `[B][Hp]`: before the pass the gradient at the state after the window, then that at the state before it.
    pub dh: Part<'a>,
    /// The same for a cell that has c.
    pub dc: Option<Part<'a>>,
    /// T
    pub steps: usize,
    /// B
    pub batch: usize,
}

impl Forward<'_> {
    /// The `steps` steps of the window from step `from` on. They begin with the state that the steps before them left.
    ///
    /// # Errors
    /// If the window has fewer steps.
    pub fn piece(&self, shape: &Shape, from: usize, steps: usize) -> Result<Self> {
        let row = from * self.batch * padded(shape.hidden);
        Ok(Self {
            gates_x: self.gates_x.range(shape.gates() * row..)?,
            h: self.h.range(row..)?,
            c: self.c.map(|c| c.range(row..)).transpose()?,
            saved: self.saved.map(|part| part.range(shape.cell.saved() * row..)).transpose()?,
            steps,
            ..*self
        })
    }

    pub(in crate::cuda) fn args(&self, shape: &Shape, barriers: Part<u32>) -> Result<ForwardArgs> {
        let (gates, width) = (shape.gates(), padded(shape.hidden));
        let (rows, states) = (self.steps * self.batch, (self.steps + 1) * self.batch * width);
        Ok(ForwardArgs {
            weight_hh: self.weight_hh.holds("weight_hh [G·Hp,H]", gates * width * shape.hidden)?,
            bias_hh: optional(self.bias_hh, "bias_hh [G·Hp]", gates * width)?,
            gates_x: self.gates_x.holds("gates_x [T·B,G·Hp]", rows * gates * width)?,
            h: self.h.holds("h [(T+1)·B,Hp]", states)?,
            c: needed(shape.cell.has_c(), self.c, "c [(T+1)·B,Hp]", states)?,
            saved: optional(self.saved, "saved [T·B,SAVED·Hp]", rows * shape.cell.saved() * width)?,
            barrier: barriers.holds("barriers", BARRIER)?,
            steps: self.steps as i32,
            batch: self.batch as i32,
        })
    }
}

impl Backward<'_> {
    pub(in crate::cuda) fn args(&self, shape: &Shape, barriers: Part<u32>) -> Result<BackwardArgs> {
        let (gates, width, cell) = (shape.gates(), padded(shape.hidden), shape.cell);
        let (rows, row) = (self.steps * self.batch, self.batch * width);
        Ok(BackwardArgs {
            weight_hh: self.weight_hh.holds("weight_hh [G·Hp,H]", gates * width * shape.hidden)?,
            saved: needed(cell.saved() > 0, self.saved, "saved [T·B,SAVED·Hp]", rows * cell.saved() * width)?,
            h: self.h.holds("h [(T+1)·B,Hp]", rows * width + row)?,
            c: needed(cell.has_c(), self.c, "c [(T+1)·B,Hp]", rows * width + row)?,
            dabove: self.dabove.holds("dabove [T·B,Hp]", rows * width)?,
            dgates_x: self.dgates_x.holds("dgates_x [T·B,G·Hp]", rows * gates * width)?,
            dgates_h: match self.dgates_h {
                Some(dgates_h) => dgates_h.holds("dgates_h [T·B,G·Hp]", rows * gates * width)?,
                None => needed(cell.resets(), None, "dgates_h [T·B,G·Hp]", rows * gates * width)?,
            },
            dh: self.dh.holds("dh [B,Hp]", row)?,
            dc: needed(cell.has_c(), self.dc, "dc [B,Hp]", row)?,
            barrier: barriers.holds("barriers", BARRIER)?,
            steps: self.steps as i32,
            batch: self.batch as i32,
        })
    }
}

/// The address of an array that not every cell needs; null if this one does not.
fn needed(needed: bool, part: Option<Part<'_>>, what: &'static str, len: usize) -> Result<u64> {
    match part {
        Some(part) if needed => part.holds(what, len),
        None if needed => Err(crate::error::Error::Length { what, expected: len, got: 0 }),
        _ => Ok(0),
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(in crate::cuda) struct ForwardArgs {
    weight_hh: u64,
    bias_hh: u64,
    gates_x: u64,
    h: u64,
    c: u64,
    saved: u64,
    barrier: u64,
    steps: i32,
    batch: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(in crate::cuda) struct BackwardArgs {
    weight_hh: u64,
    saved: u64,
    h: u64,
    c: u64,
    dabove: u64,
    dgates_x: u64,
    dgates_h: u64,
    dh: u64,
    dc: u64,
    barrier: u64,
    steps: i32,
    batch: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct StepArgs {
    gates_x: u64,
    gates_h: u64,
    h: u64,
    c: u64,
    h_after: u64,
    c_after: u64,
    saved: u64,
    batch: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct StepBackwardArgs {
    saved: u64,
    h: u64,
    c: u64,
    h_after: u64,
    c_after: u64,
    dabove: u64,
    dgates_x: u64,
    dgates_h: u64,
    dh: u64,
    dc: u64,
    batch: i32,
}

/// The compiled kernels.
#[derive(Debug)]
pub struct Recurrent {
    shape: Shape,
    plan: Plan,
    forward: Function,
    backward: Option<Function>,
    barriers: Memory<u32>,
}

impl Recurrent {
    /// Compiles, or takes out of a cache, what `plan` asks for.
    ///
    /// # Errors
    /// If a kernel can neither be found nor compiled, or does not fit the GPU after all.
    pub fn load(cuda: &Cuda, shape: &Shape, plan: Plan, purpose: Mode) -> Result<Self> {
        let (training, gpu) = (purpose == Mode::Training, cuda.gpu());
        let cell = shape.cell.name();
        let load = |pass: &Pass, direction: Direction| {
            let module = gpu.load(&cuda.image(&pass.program(shape, direction, cuda.dtype())?)?)?;
            let name = match (pass.frame, direction) {
                (Frame::Stepwise, Direction::Forward) => format!("{cell}_step"),
                (Frame::Stepwise, Direction::Backward) => format!("{cell}_step_backward"),
                (_, Direction::Forward) => format!("{cell}_forward"),
                (_, Direction::Backward) => format!("{cell}_backward"),
            };
            let function = module.function(&name)?;
            if pass.shared > 0 {
                function.allow_dynamic_shared(pass.shared)?;
            }
            Ok(function)
        };
        let forward = load(&plan.forward, Direction::Forward)?;
        let backward = if training { Some(load(&plan.backward, Direction::Backward)?) } else { None };
        let groups = plan.forward.groups.max(plan.backward.groups) as usize;
        Ok(Self { shape: *shape, forward, backward, barriers: gpu.zeros(groups * BARRIER)?, plan })
    }

    /// The barriers at which groups of blocks meet.
    pub fn barriers(&self) -> Part<'_, u32> {
        Part::of(&self.barriers)
    }

    /// Which frame runs, and why.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Runs a layer over a window. Not for the step-wise frame.
    ///
    /// # Errors
    /// If an array is too short, or the launch fails.
    pub fn forward(&self, at: &Forward) -> Result<()> {
        let args = at.args(&self.shape, Part::of(&self.barriers))?;
        // SAFETY: every array is as long as the kernel's comments say for this shape, T and B; the fields are those of
        // `struct Forward`.
        unsafe { self.forward.launch(geometry(&self.plan.forward, at.batch), &args) }
    }

    /// Runs a layer backwards over a window. Not for the step-wise frame.
    ///
    /// # Errors
    /// If an array is too short, the kernels were loaded for inference, or the launch fails.
    pub fn backward(&self, at: &Backward) -> Result<()> {
        let args = at.args(&self.shape, Part::of(&self.barriers))?;
        // SAFETY: as in forward, for `struct Backward`.
        unsafe { self.for_backward()?.launch(geometry(&self.plan.backward, at.batch), &args) }
    }

    /// The cell of step `t` of the window, after its product. `gates_h` are those of this step only.
    ///
    /// # Errors
    /// If an array is too short, or the launch fails.
    pub fn step(&self, t: usize, gates_h: Part, at: &Forward) -> Result<()> {
        let (gates, width, cell) = (self.shape.gates(), padded(self.shape.hidden), self.shape.cell);
        let (row, now, next) = (at.batch * width, t * at.batch, (t + 1) * at.batch);
        let after = |state: Part<'_>| state.range(next * width..)?.holds("h [(T+1)·B,Hp]", row);
        let saved = match at.saved {
            Some(all) => all.range(now * cell.saved() * width..)?.holds("saved", row * cell.saved())?,
            None => 0,
        };
        let args = StepArgs {
            gates_x: at.gates_x.range(now * gates * width..)?.holds("gates_x [B,G·Hp]", row * gates)?,
            gates_h: gates_h.holds("gates_h [B,G·Hp]", row * gates)?,
            h: at.h.range(now * width..)?.holds("h [B,Hp]", row)?,
            c: match at.c {
                Some(c) => c.range(now * width..)?.holds("c [B,Hp]", row)?,
                None => needed(cell.has_c(), None, "c [B,Hp]", row)?,
            },
            h_after: after(at.h)?,
            c_after: at.c.map_or(Ok(0), after)?,
            saved,
            batch: at.batch as i32,
        };
        // SAFETY: as in forward, for `struct Step`, whose pointers are at the first sequence of the step.
        unsafe { self.forward.launch(self.pointwise(row), &args) }
    }

    /// Backward through the cell of step `t`. Afterwards dh still lacks the part that runs through gates_h.
    ///
    /// # Errors
    /// If an array is too short, the kernels were loaded for inference, or the launch fails.
    pub fn step_backward(&self, t: usize, at: &Backward) -> Result<()> {
        let (gates, width, cell) = (self.shape.gates(), padded(self.shape.hidden), self.shape.cell);
        let (row, now, next) = (at.batch * width, t * at.batch, (t + 1) * at.batch);
        let state = |state: Part<'_>, row_at: usize| state.range(row_at * width..)?.holds("state [B,Hp]", row);
        let dgates = |all: Part<'_>| all.range(now * gates * width..)?.holds("dgates [B,G·Hp]", row * gates);
        let args = StepBackwardArgs {
            saved: match at.saved {
                Some(all) => all.range(now * cell.saved() * width..)?.holds("saved", row * cell.saved())?,
                None => needed(cell.saved() > 0, None, "saved", row * cell.saved())?,
            },
            h: state(at.h, now)?,
            c: at.c.map_or_else(|| needed(cell.has_c(), None, "c", row), |c| state(c, now))?,
            h_after: state(at.h, next)?,
            c_after: at.c.map_or(Ok(0), |c| state(c, next))?,
            dabove: at.dabove.range(now * width..)?.holds("dabove [B,Hp]", row)?,
            dgates_x: dgates(at.dgates_x)?,
            dgates_h: at.dgates_h.map_or_else(|| needed(cell.resets(), None, "dgates_h", row), dgates)?,
            dh: at.dh.holds("dh [B,Hp]", row)?,
            dc: needed(cell.has_c(), at.dc, "dc [B,Hp]", row)?,
            batch: at.batch as i32,
        };
        // SAFETY: as in forward, for `struct StepBackward`.
        unsafe { self.for_backward()?.launch(self.pointwise(row), &args) }
    }

    fn for_backward(&self) -> Result<&Function> {
        let error = || Error::device(DeviceErrorKind::Unsupported, "backward: the kernels were loaded for inference");
        self.backward.as_ref().ok_or_else(error)
    }

    /// A thread for each of `units` units.
    fn pointwise(&self, units: usize) -> Geometry {
        let threads = self.plan.forward.threads;
        let blocks = units.div_ceil(threads as usize) as u32;
        Geometry { grid: [blocks, 1, 1], threads, shared: 0, cooperative: false }
    }
}

/// Blocks of a pass over a batch.
fn geometry(pass: &Pass, batch: usize) -> Geometry {
    let tiles = batch.div_ceil(pass.rows as usize) as u32;
    let grid = match pass.frame {
        Frame::ManyBlocks => [pass.blocks, pass.groups.min(tiles), 1],
        _ => [tiles, 1, 1],
    };
    Geometry { grid, threads: pass.threads, shared: pass.shared, cooperative: pass.frame == Frame::ManyBlocks }
}
