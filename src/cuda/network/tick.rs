//! One step at a time, each asked for and waited for: recorded once, with the state left on the card.

use super::Network;
use crate::cuda::Cuda;
use crate::cuda::driver::Graph;
use crate::error::{Error, Result};
use crate::net::pass::{HeadSteps, Mode};
use crate::net::shape::Shape;
use crate::net::state::State;
use crate::simd::lanes::padded;

/// Single steps of one sequence on a card. The twin of [`crate::cpu::Stepper`].
#[derive(Debug)]
pub struct Stepper {
    /// One step, recorded; the state goes from its end to its beginning.
    step: Option<Graph>,
    network: Network,
    /// Whether the state that counts is on the card.
    there: bool,
}

impl Stepper {
    /// A stepper with `params`, packed as [`Layout`](crate::net::layout::Layout) says.
    ///
    /// # Errors
    /// If the card has too little memory, or its kernels cannot be had.
    pub fn new(cuda: &Cuda, shape: &Shape, params: &[f32]) -> Result<Self> {
        let mut network = Network::new(cuda, shape, 1, 1, Mode::Inference)?;
        network.set_params(params)?;
        Ok(Self { step: None, network, there: false })
    }

    /// y of `x [I]`, from the state that the last step left on the card, or from `state` if that has changed.
    ///
    /// # Errors
    /// If x has another number of values, the state is not that of one sequence of this shape, or the card fails.
    pub fn step(&mut self, state: &State, x: &[f32]) -> Result<&[f32]> {
        Error::check_length("x [I]", self.network.shape.input, x.len())?;
        self.network.set_window(1, 1, HeadSteps::All)?;
        if !self.there {
            state.check(&self.network.shape, None, 1)?;
            self.network.write_state(state, 0)?;
            self.there = true;
        }
        let Network { x_host, dtype, .. } = &mut self.network;
        for (to, &x) in x_host.iter_mut().zip(x) {
            *to = dtype.within(x);
        }
        self.network.x.upload_async(0, &self.network.x_host, 0..padded(x.len()))?;
        match &self.step {
            Some(step) => step.launch()?,
            None => {
                let gpu = self.network.gpu.clone();
                // SAFETY: what is recorded reads and writes arrays of this network only, which live as long as the graph.
                let step = unsafe { gpu.capture(|| self.queue())? };
                step.launch()?;
                self.step = Some(step);
            }
        }
        self.network.fetch_y()?;
        Ok(self.network.y(0))
    }

    fn queue(&self) -> Result<()> {
        let network = &self.network;
        network.queue_forward(false)?;
        let width = padded(network.shape.hidden);
        for l in 0..network.shape.layers {
            for states in [Some(&network.h), network.c.as_ref()].into_iter().flatten() {
                states.copy(l * network.layer, states, l * network.layer + width, width)?;
            }
        }
        Ok(())
    }

    /// The state has been changed by somebody else: the next step takes it along.
    pub fn state_changed(&mut self) {
        self.there = false;
    }

    /// Brings the state that the last step left, if one did.
    ///
    /// # Errors
    /// If `state` is not one of one sequence of this shape, or the card fails.
    pub fn fetch(&self, state: &mut State) -> Result<()> {
        if !self.there {
            return Ok(());
        }
        let network = &self.network;
        state.check(&network.shape, None, 1)?;
        let width = padded(network.shape.hidden);
        for l in 0..network.shape.layers {
            network.h.download(l * network.layer, &mut state.h[l * width..(l + 1) * width])?;
            if let Some(c) = &network.c {
                c.download(l * network.layer, &mut state.c[l * width..(l + 1) * width])?;
            }
        }
        Ok(())
    }
}
