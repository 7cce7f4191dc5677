//! Kernels compiled ahead of time, on any machine that has a compiler, for GPUs of other machines.

use super::bundle::Bundle;
use super::compile::Program;
use crate::cuda::Arch;
use crate::cuda::card::shape_line;
use crate::cuda::plan::{Direction, Dtype, Frame, Limits, Pass, Plan};
use crate::error::Result;
use crate::net::pass::Mode;
use crate::net::shape::Shape;

/// What kernels are compiled for.
#[derive(Debug, Clone)]
pub struct Order {
    /// The network.
    pub shape: Shape,
    /// The largest batch.
    pub batch: usize,
    /// How factors of products will be rounded.
    pub dtype: Dtype,
    /// The frame of the recurrent layers; the fastest that fits if none is given.
    pub frame: Option<Frame>,
    /// Whether the network will also be trained.
    pub purpose: Mode,
}

/// A program, and the pass of the recurrent layers that it contains, if it contains one.
#[derive(Debug, Clone)]
pub struct Part {
    /// What to compile.
    pub program: Program,
    /// What it is for.
    pub pass: Option<(Direction, Pass)>,
    /// Sequences of a block, where programs differ in it.
    pub rows: Option<u32>,
}

/// An empty bundle for a model of this shape.
pub fn bundle(shape: &Shape) -> Bundle {
    Bundle::new(&shape_line(shape))
}

impl Order {
    /// Every program that a GPU of architecture `arch` may ask for.
    ///
    /// # Errors
    /// If the frame that is asked for does not fit such a GPU.
    pub fn parts(&self, arch: Arch) -> Result<Vec<Part>> {
        let training = self.purpose == Mode::Training;
        let limits = Limits::of_arch(arch);
        let mut parts = Vec::new();
        for direction in [Direction::Forward, Direction::Backward] {
            if direction == Direction::Backward && !training {
                continue;
            }
            for pass in Plan::possible(&self.shape, self.batch, self.dtype, &limits, self.frame, direction)? {
                let program = pass.program(&self.shape, direction, self.dtype)?;
                parts.push(Part { program, pass: Some((direction, pass)), rows: Some(pass.rows) });
            }
        }
        for batch in [1, 2, 4].into_iter().filter(|&batch| training && batch < self.batch.saturating_mul(2)) {
            if let Some(pass) = crate::cuda::plan::whole(&self.shape, 1, batch, &limits) {
                parts.push(Part { program: pass.whole_program(&self.shape)?, pass: None, rows: Some(pass.rows) });
            }
        }
        let mut others = vec![self.dtype.product()?, Program::embedded("dropout.cu")?];
        if training {
            if self.dtype.of_gradients() != self.dtype {
                others.push(self.dtype.of_gradients().product()?);
            }
            others.push(Program::embedded("training.cu")?);
        }
        parts.extend(others.into_iter().map(|program| Part { program, pass: None, rows: None }));
        Ok(parts)
    }
}
