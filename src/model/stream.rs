//! Prediction one step at a time: the state is carried, and a step allocates nothing.

use crate::cpu::Bound;
use crate::device::{Device, Runner};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::net::state::State;
#[cfg(feature = "std")]
use crate::simd::isa::Cpu;
use crate::simd::math::{copy_row, settle};
use crate::tensor::{Buffer, narrow_row, widen_row};
use crate::units::transform::Past;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;

/// A running prediction: a model, the state of one sequence, and scratch memory.
///
/// Many streams can share one model. A step gives the same bits as the same row inside a long sequence.
///
/// ```
/// use rnnstep::{CellKind, Model, Shape, Stream};
///
/// let model = Model::random(Shape::new(CellKind::Lstm, 1, 32, 1, 1)?, 0)?;
/// let mut stream = Stream::new(model)?;
/// let mut tick = stream.ticker::<1, 1>()?; // the sizes are checked once, here
/// for x in [0.1, 0.2, 0.3] {
///     let [y] = tick.step([x]);
///     assert!(y.is_finite());
///     tick.advance(); // does what needs no x yet, so that the next step is faster
/// }
/// # Ok::<(), rnnstep::Error>(())
/// ```
#[derive(Debug)]
pub struct Stream {
    model: Arc<Model>,
    runner: Runner,
    /// It gets a copy of `past` only in [`Stream::state`], because a long season has many values.
    state: State,
    /// The last values of the columns whose changes are predicted.
    past: Past,
    x: Buffer,
    y: Buffer,
    /// The same for rows of f64, in raw units.
    x_wide: Box<[f64]>,
    y_wide: Box<[f64]>,
}

impl Stream {
    /// A stream that starts from a state of zero, on the processor's widest instruction set or the one that
    /// `RNNSTEP_ISA` names.
    ///
    /// # Errors
    /// If `RNNSTEP_ISA` names what this processor lacks.
    #[cfg(feature = "std")]
    pub fn new(model: impl Into<Arc<Model>>) -> Result<Self> {
        Self::on(Cpu::detect()?, model)
    }

    /// The same on a given device. Every call to a GPU takes some microseconds: see docs/guide/gpu.md for the sizes
    /// from which it is worth that.
    ///
    /// # Errors
    /// If the memory cannot be had, or the GPU cannot run the model. A processor can run every model.
    pub fn on(device: impl Into<Device>, model: impl Into<Arc<Model>>) -> Result<Self> {
        let model = model.into();
        let shape = *model.shape();
        let step = (model.step_weights(), model.step_params());
        let runner = Runner::new(&device.into(), &shape, &model.params, step)?;
        let (x, y) = (Buffer::zeros(shape.input), Buffer::zeros(shape.width_out()));
        let (x_wide, y_wide) = (vec![0.0; x.len()].into(), vec![0.0; y.len()].into());
        let state = State::try_new(&shape, 1)?;
        let past = model.units().map_or_else(Past::default, |units| units.past(1));
        Ok(Self { runner, state, past, x, y, x_wide, y_wide, model })
    }

    /// The next prediction: `x` has I values, the prediction O (H for a network without a head), both in raw units if
    /// the model has scalers. Allocates nothing.
    ///
    /// # Errors
    /// If `x` has another number of values; the state is then unchanged. [`Stream::ticker`] checks this once, before
    /// the steps. Also if the GPU fails.
    pub fn step(&mut self, x: &[f32]) -> Result<&[f32]> {
        Error::check_length("x [I]", self.x.len(), x.len())?;
        copy_row(&mut self.x, x);
        let (model, past) = (&self.model, &mut self.past);
        let rows = [&mut self.x[..], &mut self.y[..]];
        self.runner.step(model.step_params(), &mut self.state, rows, |x| {
            model.enter(past, x);
            settle(x);
        })?;
        self.model.leave(&self.past, &mut self.y);
        Ok(&self.y)
    }

    /// The same for values of f64: they are differenced and scaled in f64 before the network, which computes in f32,
    /// sees them, and its outputs become raw values in f64. Take this way if the model has units and values are large
    /// beside their changes: f32 has seven digits, so a meter that reads 123,456,789 cannot move by less than 8. A
    /// model without units gives the same numbers in both ways. Both can be called in turn, and both allocate nothing.
    ///
    /// # Errors
    /// Those of [`Stream::step`].
    pub fn step_f64(&mut self, x: &[f64]) -> Result<&[f64]> {
        Error::check_length("x [I]", self.x.len(), x.len())?;
        self.x_wide.copy_from_slice(x);
        let (model, past, wide) = (&self.model, &mut self.past, &mut self.x_wide);
        let rows = [&mut self.x[..], &mut self.y[..]];
        self.runner.step(model.step_params(), &mut self.state, rows, |x| {
            model.enter(past, wide);
            narrow_row(wide, x);
            settle(x);
        })?;
        widen_row(&self.y, &mut self.y_wide);
        self.model.leave(&self.past, &mut self.y_wide);
        Ok(&self.y_wide)
    }

    /// Does the part of the next step that does not need x, so that the next step is faster: a network of one layer
    /// then has no recurrent product left to do. Call it after the last prediction was used. It changes no prediction,
    /// and may be left out or called twice. On a GPU it does nothing.
    pub fn advance(&mut self) {
        self.runner.advance(self.model.step_params(), &mut self.state);
    }

    /// Does in advance what would slow down the first steps. It takes a few steps, so that every page of memory and of
    /// code that a step needs is loaded, and restores the state, bit for bit, [`Stream::advance`]d or not. After it,
    /// [`Stream::step`] and [`Stream::advance`] allocate nothing, take no lock, make no system call and cause no page
    /// fault: `tests/streaming/realtime` lets the kernel count them. It allocates room for one state, so call it before
    /// the loop. Call it from the function that has the loop, because it touches only the stack below its caller.
    ///
    /// It cannot keep pages in memory: a system that is short of memory takes them back. A program that must not wait
    /// for that calls `mlockall` first. A GPU does not need it.
    pub fn warm_up(&mut self) {
        let Some(stepper) = self.runner.on_cpu() else { return };
        let ahead = stepper.is_ahead();
        let (state, past, x) = (self.state.clone(), self.past.clone(), vec![0.0; self.x.len()]);
        let wide = vec![0.0; x.len()];
        for _ in 0..2 {
            let _ = self.step(&x); // on a processor, of the right length: no error
            self.advance();
            let _ = self.step_f64(&wide);
            self.advance();
        }
        self.state.copy_from(&state);
        self.past.follow(&past);
        self.runner.state_changed();
        if ahead {
            self.advance();
        }
    }

    /// The same stream with I and O known to the compiler, so that a step cannot fail. Only on a processor, because a
    /// GPU can always fail.
    ///
    /// # Errors
    /// If the model has another input or output size, or the stream is on a GPU.
    pub fn ticker<const I: usize, const O: usize>(&mut self) -> Result<Ticker<'_, I, O>> {
        Error::check_length("x [I]", self.x.len(), I)?;
        Error::check_length("y [O]", self.y.len(), O)?;
        let Some(stepper) = self.runner.on_cpu() else {
            return Err(Error::invalid("ticker: a step on a GPU can fail, so this needs a stream on the CPU"));
        };
        let steps = stepper.bind(self.model.step_params(), &mut self.state);
        Ok(Ticker { steps, past: &mut self.past, model: &self.model })
    }

    /// Goes back to a state of zero.
    pub fn reset(&mut self) {
        self.state.reset();
        self.past.reset();
        self.runner.state_changed();
    }

    /// The state. On a GPU it is fetched from there first.
    ///
    /// # Errors
    /// If the GPU fails.
    pub fn state(&mut self) -> Result<&State> {
        self.runner.fetch(&mut self.state)?;
        if let Some(units) = self.model.units() {
            self.state.past_of(units).follow(&self.past);
        }
        Ok(&self.state)
    }

    /// Continues from `state`.
    ///
    /// # Errors
    /// If it is not the state of one sequence of this model's shape; the stream is then unchanged.
    pub fn set_state(&mut self, state: &State) -> Result<()> {
        state.check(self.model.shape(), self.model.units(), 1)?;
        self.state.copy_from(state);
        self.past.follow(&state.past);
        self.state.settle(); // a GPU keeps tiny numbers that a processor counts as zero
        self.runner.state_changed();
        Ok(())
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }
}

/// A stream whose sizes are checked: see [`Stream::ticker`].
#[derive(Debug)]
pub struct Ticker<'a, const I: usize, const O: usize> {
    steps: Bound<'a>,
    past: &'a mut Past,
    model: &'a Model,
}

impl<const I: usize, const O: usize> Ticker<'_, I, O> {
    /// The next prediction; faster if [`Ticker::advance`] was called since the last one. Allocates nothing and cannot
    /// fail.
    #[inline]
    pub fn step(&mut self, mut x: [f32; I]) -> [f32; O] {
        let mut y = [0.0; O];
        self.model.enter(self.past, &mut x);
        settle(&mut x);
        y.copy_from_slice(self.steps.step(&x));
        self.model.leave(self.past, &mut y);
        y
    }

    /// The same for values of f64: see [`Stream::step_f64`]. Allocates nothing and cannot fail.
    #[inline]
    pub fn step_f64(&mut self, mut x: [f64; I]) -> [f64; O] {
        let (mut narrow, mut y) = ([0.0; I], [0.0; O]);
        self.model.enter(self.past, &mut x);
        narrow_row(&x, &mut narrow);
        settle(&mut narrow);
        widen_row(self.steps.step(&narrow), &mut y);
        self.model.leave(self.past, &mut y);
        y
    }

    /// Does the part of the next step that does not need x: see [`Stream::advance`].
    pub fn advance(&mut self) {
        self.steps.advance();
    }

    /// Does in advance what would slow down the first steps: see [`Stream::warm_up`].
    pub fn warm_up(&mut self) {
        let (state, past) = (self.steps.keep(), self.past.clone());
        for _ in 0..2 {
            self.step([0.0; I]);
            self.advance();
            self.step_f64([0.0; I]);
            self.advance();
        }
        self.past.follow(&past);
        self.steps.put_back(&state);
    }
}
