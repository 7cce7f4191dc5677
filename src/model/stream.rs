//! One step at a time: the state carried, nothing allocated, nothing that can fail.

use crate::cpu::{Bound, Stepper};
#[cfg(feature = "cuda")]
use crate::cuda;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::Model;
#[cfg(feature = "cuda")]
use crate::net::pass::Purpose;
use crate::net::state::State;
#[cfg(feature = "std")]
use crate::simd::isa::Cpu;
use crate::simd::math::settle;
use crate::tensor::Buffer;
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
///     let [y] = tick.predict([x]); // the short way from x to y
///     assert!(y.is_finite());
///     tick.advance(); // what can be done before the next x is there
/// }
/// # Ok::<(), rnnstep::Error>(())
/// ```
#[derive(Debug)]
pub struct Stream {
    model: Arc<Model>,
    runner: Runner,
    state: State,
    x: Buffer,
    y: Buffer,
}

/// What takes the steps.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one of it, and never a row of them")]
enum Runner {
    Cpu(Stepper),
    /// On a card, and whether the state that counts is there.
    #[cfg(feature = "cuda")]
    Card(cuda::Network, bool),
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
        let runner = match device.into() {
            Device::Cpu(cpu) => Runner::Cpu(Stepper::try_new(cpu, &shape, model.step_weights(), model.step_params())?),
            #[cfg(feature = "cuda")]
            Device::Cuda(cuda) => {
                let mut network = cuda::Network::new(&cuda, &shape, 1, 1, Purpose::Inference)?;
                network.set_params(&model.params)?;
                Runner::Card(network, false)
            }
        };
        let (x, y) = (Buffer::zeros(shape.input), Buffer::zeros(shape.width_out()));
        let mut state = State::try_new(&shape, 1)?;
        if let Some(units) = model.units() {
            state.past_of(units);
        }
        Ok(Self { runner, state, x, y, model })
    }

    /// The next prediction: `x` has I values, the answer O (H for a network without a head), both in raw units if
    /// the model has scalers. Allocates nothing.
    ///
    /// # Errors
    /// If `x` has another number of values; the state is then left as it was. To have that checked once and for all,
    /// see [`Stream::ticker`]. And if a card fails.
    pub fn step(&mut self, x: &[f32]) -> Result<&[f32]> {
        self.predict(x)
    }

    /// The same answer as [`Stream::step`], bit for bit, sooner if [`Stream::advance`] was called since the last: then a
    /// network of one layer has no recurrent product left to do.
    ///
    /// # Errors
    /// Those of [`Stream::step`].
    pub fn predict(&mut self, x: &[f32]) -> Result<&[f32]> {
        Error::check_length("x [I]", self.x.len(), x.len())?;
        self.x.copy_from_slice(x);
        match &mut self.runner {
            Runner::Cpu(stepper) => {
                let mut steps = stepper.bind(self.model.step_params(), &mut self.state);
                predict(&mut steps, &self.model, &mut self.x, &mut self.y);
            }
            #[cfg(feature = "cuda")]
            Runner::Card(network, there) => {
                if !*there {
                    network.set_tick_state(&self.state)?;
                }
                if let Some(units) = self.model.units() {
                    units.take(&mut self.state.past, &mut self.x);
                }
                *there = true;
                self.y.copy_from_slice(network.tick(&self.x)?);
                if let Some(units) = self.model.units() {
                    units.give(&self.state.past, &mut self.y);
                }
            }
        }
        Ok(&self.y)
    }

    /// Does what can be done before the next x is there; call it when the last answer is out. It changes no answer, and
    /// may be left out or called twice. A card does nothing ahead.
    pub fn advance(&mut self) {
        match &mut self.runner {
            Runner::Cpu(stepper) => stepper.bind(self.model.step_params(), &mut self.state).advance(),
            #[cfg(feature = "cuda")]
            Runner::Card(..) => {}
        }
    }

    /// Does now what the first steps would have to wait for: takes a few steps, so that every page of memory and of code that
    /// a step needs is there, and puts the state back, bit for bit, [`Stream::advance`]d or not. After it [`Stream::step`],
    /// [`Stream::predict`] and [`Stream::advance`] allocate nothing, take no lock, make no system call and meet no page fault:
    /// `tests/realtime` has the kernel count them. Allocates itself, room for one state, so it belongs before the loop;
    /// call it there, as what it touches of the stack is what lies below its caller.
    ///
    /// It cannot keep pages where they are: a system that is short of memory takes them back. A program that must not wait
    /// for that calls `mlockall`, then this. A card does not need it.
    pub fn warm_up(&mut self) {
        let ahead = match &self.runner {
            Runner::Cpu(stepper) => stepper.is_ahead(),
            #[cfg(feature = "cuda")]
            Runner::Card(..) => return,
        };
        let (before, x) = (self.state.clone(), vec![0.0; self.x.len()]);
        for _ in 0..2 {
            let _ = self.step(&x); // on a processor, of the right length: no error
            self.advance();
        }
        self.state.copy_from(&before);
        self.state_is_here();
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
        match &mut self.runner {
            Runner::Cpu(stepper) => {
                let steps = stepper.bind(self.model.step_params(), &mut self.state);
                Ok(Ticker { steps, model: &self.model })
            }
            #[cfg(feature = "cuda")]
            Runner::Card(..) => Err(Error::invalid("ticker: a card can fail, so this needs a stream on the CPU")),
        }
    }

    /// Back to a state of zero.
    pub fn reset(&mut self) {
        self.state.reset();
        self.state_is_here();
    }

    /// The state, to look at or keep.
    ///
    /// # Errors
    /// If a card fails, which it has to be fetched from. On a processor it is here.
    pub fn state(&mut self) -> Result<&State> {
        #[cfg(feature = "cuda")]
        if let Runner::Card(network, true) = &mut self.runner {
            network.tick_state(&mut self.state)?;
        }
        Ok(&self.state)
    }

    /// What was made ready for another state is of no use.
    fn state_is_here(&mut self) {
        match &mut self.runner {
            Runner::Cpu(stepper) => stepper.state_changed(),
            #[cfg(feature = "cuda")]
            Runner::Card(_, there) => *there = false,
        }
    }

    /// Goes on from `state`.
    ///
    /// # Errors
    /// If it is not the state of one sequence of this model's shape; the stream is then as it was.
    pub fn set_state(&mut self, state: &State) -> Result<()> {
        state.check(self.model.shape(), self.model.units(), 1)?;
        self.state.copy_from(state);
        self.state.settle(); // a card keeps what a processor counts as zero
        self.state_is_here();
        Ok(())
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }
}

/// One step from `x` to `y`, which are in raw units if the model has any. For a ticker their lengths are constants here.
#[inline(always)]
fn predict(steps: &mut Bound<'_>, model: &Model, x: &mut [f32], y: &mut [f32]) {
    let units = model.units();
    if let Some(units) = units {
        units.take(steps.past, x);
    }
    settle(x);
    y.copy_from_slice(steps.predict(x));
    if let Some(units) = units {
        units.give(steps.past, y);
    }
}

/// A stream whose sizes were checked: see [`Stream::ticker`].
#[derive(Debug)]
pub struct Ticker<'a, const I: usize, const O: usize> {
    steps: Bound<'a>,
    model: &'a Model,
}

impl<const I: usize, const O: usize> Ticker<'_, I, O> {
    /// The next prediction. Allocates nothing and cannot fail.
    #[inline]
    pub fn step(&mut self, x: [f32; I]) -> [f32; O] {
        self.predict(x)
    }

    /// The same answer, sooner if [`Ticker::advance`] was called since the last: see [`Stream::predict`].
    #[inline]
    pub fn predict(&mut self, mut x: [f32; I]) -> [f32; O] {
        let mut y = [0.0; O];
        predict(&mut self.steps, self.model, &mut x, &mut y);
        y
    }

    /// Does what can be done before the next x is there: see [`Stream::advance`].
    pub fn advance(&mut self) {
        self.steps.advance();
    }

    /// Does now what the first steps would have to wait for: see [`Stream::warm_up`].
    pub fn warm_up(&mut self) {
        let kept = self.steps.keep();
        for _ in 0..2 {
            predict(&mut self.steps, self.model, &mut [0.0; I], &mut [0.0; O]);
            self.steps.advance();
        }
        self.steps.put_back(&kept);
    }
}
