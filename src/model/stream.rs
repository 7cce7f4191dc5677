//! One step at a time: the state carried, nothing allocated, nothing that can fail.

use crate::cpu::Bound;
use crate::device::{Device, Runner};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::net::state::State;
#[cfg(feature = "std")]
use crate::simd::isa::Cpu;
use crate::tensor::Buffer;
use crate::units::transform::Past;
use alloc::sync::Arc;
use alloc::vec;

/// A running prediction: a model, the state of one sequence, and room to work in.
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
///     tick.advance(); // what can be done before the next x is there: the next step is sooner
/// }
/// # Ok::<(), rnnstep::Error>(())
/// ```
#[derive(Debug)]
pub struct Stream {
    model: Arc<Model>,
    runner: Runner,
    /// It has last values of its own, those of `past`, only once [`Stream::state`] was asked for it: of a long season they are many.
    state: State,
    /// The last values of the columns of which changes are predicted.
    past: Past,
    x: Buffer,
    y: Buffer,
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

    /// The same on a given device. A card takes some microseconds to be asked anything: see docs/guide/gpu.md for the sizes
    /// from which it is worth that.
    ///
    /// # Errors
    /// If the memory cannot be had, or a card cannot run the model. A processor can.
    pub fn on(device: impl Into<Device>, model: impl Into<Arc<Model>>) -> Result<Self> {
        let model = model.into();
        let shape = *model.shape();
        let step = (model.step_weights(), model.step_params());
        let runner = Runner::new(&device.into(), &shape, &model.params, step)?;
        let (x, y) = (Buffer::zeros(shape.input), Buffer::zeros(shape.width_out()));
        let state = State::try_new(&shape, 1)?;
        let past = model.units().map_or_else(Past::default, |units| units.past(1));
        Ok(Self { runner, state, past, x, y, model })
    }

    /// The next prediction: `x` has I values, the answer O (H for a network without a head), both in raw units if
    /// the model has scalers. Allocates nothing.
    ///
    /// # Errors
    /// If `x` has another number of values; the state is then left as it was. To have that checked once and for all,
    /// see [`Stream::ticker`]. And if a card fails.
    pub fn step(&mut self, x: &[f32]) -> Result<&[f32]> {
        Error::check_length("x [I]", self.x.len(), x.len())?;
        self.x.copy_from_slice(x);
        self.model.enter(&mut self.past, &mut self.x);
        self.runner.step(self.model.step_params(), &mut self.state, &self.x, &mut self.y)?;
        self.model.leave(&self.past, &mut self.y);
        Ok(&self.y)
    }

    /// Does what can be done before the next x is there, so that the next step is sooner: a network of one layer then has no
    /// recurrent product left to do. Call it when the last answer is out. It changes no answer, and may be left out or called
    /// twice. A card does nothing ahead.
    pub fn advance(&mut self) {
        self.runner.advance(self.model.step_params(), &mut self.state);
    }

    /// Does now what the first steps would have to wait for: takes a few steps, so that every page of memory and of code that
    /// a step needs is there, and puts the state back, bit for bit, [`Stream::advance`]d or not. After it [`Stream::step`]
    /// and [`Stream::advance`] allocate nothing, take no lock, make no system call and meet no page fault: `tests/streaming/realtime` has
    /// the kernel count them. Allocates itself, room for one state, so it belongs before the loop;
    /// call it there, as what it touches of the stack is what lies below its caller.
    ///
    /// It cannot keep pages where they are: a system that is short of memory takes them back. A program that must not wait
    /// for that calls `mlockall`, then this. A card does not need it.
    pub fn warm_up(&mut self) {
        let Some(stepper) = self.runner.on_cpu() else { return };
        let ahead = stepper.is_ahead();
        let (state, past, x) = (self.state.clone(), self.past.clone(), vec![0.0; self.x.len()]);
        for _ in 0..2 {
            let _ = self.step(&x); // on a processor, of the right length: no error
            self.advance();
        }
        self.state.copy_from(&state);
        self.past.follow(&past);
        self.runner.state_changed();
        if ahead {
            self.advance();
        }
    }

    /// The same stream with I and O known to the compiler, so that a step cannot fail. On a processor only: a card can
    /// always fail.
    ///
    /// # Errors
    /// If the model has another input or output size, or the stream is on a card.
    pub fn ticker<const I: usize, const O: usize>(&mut self) -> Result<Ticker<'_, I, O>> {
        Error::check_length("x [I]", self.x.len(), I)?;
        Error::check_length("y [O]", self.y.len(), O)?;
        let Some(stepper) = self.runner.on_cpu() else {
            return Err(Error::invalid("ticker: a card can fail, so this needs a stream on the CPU"));
        };
        let steps = stepper.bind(self.model.step_params(), &mut self.state);
        Ok(Ticker { steps, past: &mut self.past, model: &self.model })
    }

    /// Back to a state of zero.
    pub fn reset(&mut self) {
        self.state.reset();
        self.past.reset();
        self.runner.state_changed();
    }

    /// The state, to look at or keep.
    ///
    /// # Errors
    /// If a card fails, which it has to be fetched from. On a processor it is here.
    pub fn state(&mut self) -> Result<&State> {
        self.runner.fetch(&mut self.state)?;
        if let Some(units) = self.model.units() {
            self.state.past_of(units).follow(&self.past);
        }
        Ok(&self.state)
    }

    /// Goes on from `state`.
    ///
    /// # Errors
    /// If it is not the state of one sequence of this model's shape; the stream is then as it was.
    pub fn set_state(&mut self, state: &State) -> Result<()> {
        state.check(self.model.shape(), self.model.units(), 1)?;
        self.state.copy_from(state);
        self.past.follow(&state.past);
        self.state.settle(); // a card keeps what a processor counts as zero
        self.runner.state_changed();
        Ok(())
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }
}

/// A stream whose sizes were checked: see [`Stream::ticker`].
#[derive(Debug)]
pub struct Ticker<'a, const I: usize, const O: usize> {
    steps: Bound<'a>,
    past: &'a mut Past,
    model: &'a Model,
}

impl<const I: usize, const O: usize> Ticker<'_, I, O> {
    /// The next prediction, sooner if [`Ticker::advance`] was called since the last. Allocates nothing and cannot fail.
    #[inline]
    pub fn step(&mut self, mut x: [f32; I]) -> [f32; O] {
        let mut y = [0.0; O];
        self.model.enter(self.past, &mut x);
        y.copy_from_slice(self.steps.step(&x));
        self.model.leave(self.past, &mut y);
        y
    }

    /// Does what can be done before the next x is there: see [`Stream::advance`].
    pub fn advance(&mut self) {
        self.steps.advance();
    }

    /// Does now what the first steps would have to wait for: see [`Stream::warm_up`].
    pub fn warm_up(&mut self) {
        let (state, past) = (self.steps.keep(), self.past.clone());
        for _ in 0..2 {
            self.step([0.0; I]);
            self.advance();
        }
        self.past.follow(&past);
        self.steps.put_back(&state);
    }
}
