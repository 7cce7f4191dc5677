//! One step at a time: the state carried, nothing allocated, nothing that can fail.

use crate::cpu::{Cpu, Head, Network, Purpose, Threads};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::state::State;
use crate::tensor::Buffer;
use alloc::format;
use alloc::sync::Arc;

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
/// }
/// # Ok::<(), rnnstep::Error>(())
/// ```
#[derive(Debug)]
pub struct Stream {
    model: Arc<Model>,
    network: Network,
    state: State,
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
        Ok(Self::on(Cpu::detect()?, model))
    }

    /// The same on a given processor.
    pub fn on(cpu: Cpu, model: impl Into<Arc<Model>>) -> Self {
        let model = model.into();
        let shape = *model.shape();
        Self {
            network: Network::new(cpu, Threads::default(), &shape, 1, 1, Purpose::Inference),
            state: State::new(&shape, 1),
            x: Buffer::zeros(shape.input),
            y: Buffer::zeros(shape.width_out()),
            model,
        }
    }

    /// The next prediction: `x` has I values, the answer O (H for a network without a head), both in raw units if
    /// the model has scalers. Allocates nothing.
    ///
    /// # Errors
    /// If `x` has another number of values; the state is then left as it was. To have that checked once and for all,
    /// see [`Stream::ticker`].
    pub fn step(&mut self, x: &[f32]) -> Result<&[f32]> {
        Error::check_length("x [I]", self.x.len(), x.len())?;
        self.x.copy_from_slice(x);
        Ok(self.advance())
    }

    /// The same stream with I and O known to the compiler, so that a step cannot fail.
    ///
    /// # Errors
    /// If the model has another input or output size.
    pub fn ticker<const I: usize, const O: usize>(&mut self) -> Result<Ticker<'_, I, O>> {
        Error::check_length("x [I]", self.x.len(), I)?;
        Error::check_length("y [O]", self.y.len(), O)?;
        Ok(Ticker { stream: self })
    }

    /// Back to a state of zero.
    pub fn reset(&mut self) {
        self.state.reset();
    }

    /// The state, to look at or keep.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Goes on from `state`.
    ///
    /// # Errors
    /// If it is not the state of one sequence of this model's shape.
    pub fn set_state(&mut self, state: &State) -> Result<()> {
        let (here, there) = (self.state.h(), state.h());
        if here.dims() != there.dims() {
            let (here, there) = (here.dims(), there.dims());
            return Err(Error::invalid(format!("state: expected h of the shape {here:?} (L,B,H), got {there:?}")));
        }
        self.state.set_h(there.data())?;
        state.c().map_or(Ok(()), |c| self.state.set_c(c.data()))
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// One step from `self.x` to `self.y`.
    fn advance(&mut self) -> &[f32] {
        let scalers = self.model.scalers();
        if let Some((scaler, _)) = scalers {
            scaler.apply(&mut self.x);
        }
        self.network.forward(&self.model.params, &self.x, &mut self.state, Head::All, None);
        self.y.copy_from_slice(self.network.y(0));
        if let Some((_, scaler)) = scalers {
            scaler.undo(&mut self.y);
        }
        &self.y
    }
}

/// A stream whose sizes were checked: see [`Stream::ticker`].
#[derive(Debug)]
pub struct Ticker<'a, const I: usize, const O: usize> {
    stream: &'a mut Stream,
}

impl<const I: usize, const O: usize> Ticker<'_, I, O> {
    /// The next prediction. Allocates nothing and cannot fail.
    pub fn step(&mut self, x: [f32; I]) -> [f32; O] {
        self.stream.x.copy_from_slice(&x);
        let mut y = [0.0; O];
        y.copy_from_slice(self.stream.advance());
        y
    }
}
