//! One step at a time, each asked for and waited for: recorded once, with the state left on the card.

use super::Network;
use crate::error::{Error, Result};
use crate::net::pass::Head;
use crate::net::state::State;
use crate::simd::lanes::padded;

impl Network {
    /// One step of one sequence, from the state that the last one left or [`Network::set_tick_state`] gave: y of `x [I]`.
    /// The state stays on the card. Nothing but ticks may run on such a network in between.
    ///
    /// # Errors
    /// If x has another number of values, or the card fails.
    pub fn tick(&mut self, x: &[f32]) -> Result<&[f32]> {
        Error::check_length("x [I]", self.shape.input, x.len())?;
        self.set_window(1, 1, Head::All)?;
        for (to, &x) in self.x_host.iter_mut().zip(x) {
            *to = self.dtype.within(x);
        }
        self.x.upload_async(0, &self.x_host, 0..padded(x.len()))?;
        match &self.tick {
            Some(tick) => tick.launch()?,
            None => {
                let gpu = self.gpu.clone();
                // SAFETY: what is recorded reads and writes arrays of this network only, which live as long as the graph.
                let tick = unsafe { gpu.capture(|| self.queue_tick())? };
                tick.launch()?;
                self.tick = Some(tick);
            }
        }
        self.fetch_y()?;
        Ok(self.y(0))
    }

    fn queue_tick(&self) -> Result<()> {
        self.queue_forward(false)?;
        let width = padded(self.shape.hidden);
        for l in 0..self.shape.layers {
            for states in [Some(&self.h), self.c.as_ref()].into_iter().flatten() {
                states.copy(l * self.layer, states, l * self.layer + width, width)?;
            }
        }
        Ok(())
    }

    /// The state that the next tick starts from.
    ///
    /// # Errors
    /// If it is not the state of one sequence of this shape, or the card fails.
    pub fn set_tick_state(&mut self, state: &State) -> Result<()> {
        state.check(&self.shape, None, 1)?;
        self.set_window(1, 1, Head::All)?;
        self.write_state(state, 0)
    }

    /// The state that the last tick left.
    ///
    /// # Errors
    /// If `state` is not one of one sequence of this shape, or the card fails.
    pub fn tick_state(&self, state: &mut State) -> Result<()> {
        state.check(&self.shape, None, 1)?;
        let width = padded(self.shape.hidden);
        for l in 0..self.shape.layers {
            self.h.download(l * self.layer, &mut state.h[l * width..(l + 1) * width])?;
            if let Some(c) = &self.c {
                c.download(l * self.layer, &mut state.c[l * width..(l + 1) * width])?;
            }
        }
        Ok(())
    }
}
