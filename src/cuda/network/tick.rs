//! Single steps, where the caller waits for each. A step is recorded once, and the state stays on the GPU.

use super::Network;
use crate::cuda::Cuda;
use crate::cuda::driver::Graph;
use crate::error::{Error, Result};
use crate::net::pass::{HeadSteps, Mode};
use crate::net::shape::Shape;
use crate::net::state::State;
use crate::simd::lanes::padded;

/// Single steps of one sequence on a GPU. The twin of [`crate::cpu::Stepper`].
#[derive(Debug)]
pub struct Stepper {
    /// One recorded step. At its end, the state is copied to where the next step begins.
    step: Option<Graph>,
    network: Network,
    /// Whether the GPU has the current state.
    there: bool,
}

impl Stepper {
    /// A stepper with `params`, packed as [`Layout`](crate::net::layout::Layout) says.
    ///
    /// # Errors
    /// If the GPU has too little memory, or its kernels can neither be found nor compiled.
    pub fn new(cuda: &Cuda, shape: &Shape, params: &[f32]) -> Result<Self> {
        let mut network = Network::new(cuda, shape, 1, 1, Mode::Inference)?;
        network.set_params(params)?;
        Ok(Self { step: None, network, there: false })
    }

    /// y of `x [I]`, from the state that the last step left on the GPU, or from `state` if that has changed.
    ///
    /// # Errors
    /// If x has another number of values, the state is not that of one sequence of this shape, or the GPU fails.
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
                // SAFETY: what is recorded reads and writes arrays of this network only, which live as long as the
                // graph.
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

    /// The caller has changed the state: the next step copies it to the GPU.
    pub fn state_changed(&mut self) {
        self.there = false;
    }

    /// Copies the state that the last step left to `state`, if there was a step.
    ///
    /// # Errors
    /// If `state` is not that of one sequence of this shape, or the GPU fails.
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
