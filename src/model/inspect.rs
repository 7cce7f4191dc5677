//! The values of the gates at every step.
//!
//! LSTM: forget is f, learn is i·g (the new part that is let in), remember is c (the long memory after the step), use
//! is o·tanh c, which is h. A GRU has r, z, n and h; an MGU has f, n and h; an Elman RNN has only h. [`Cell::SHOWN`]
//! lists the values of each cell.

use crate::cell::{Cell, CellState, Shown, Visitor};
use crate::cpu::{Network, Threads};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::net::pass::{HeadSteps, Mode};
use crate::net::state::State;
use crate::simd::isa::Cpu;
use crate::simd::math::settle;
use crate::tensor::{Tensor, Value};
use crate::units::transform::Past;

/// The number of steps that go through the network at once.
const STEPS: usize = 1024;

/// The values of the gates of a network over a sequence.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The names of the values of a unit.
    pub names: Vec<&'static str>,
    /// T
    pub steps: usize,
    /// L
    pub layers: usize,
    /// H
    pub hidden: usize,
    /// `[T][L][H][names]`
    values: Vec<f32>,
}

impl Reading {
    /// The values of one unit of a layer at a step, one for each name.
    ///
    /// # Panics
    /// If there is no such step, layer or unit.
    pub fn value(&self, step: usize, layer: usize, unit: usize) -> &[f32] {
        let width = self.names.len();
        &self.values[((step * self.layers + layer) * self.hidden + unit) * width..][..width]
    }

    /// All values: step, layer, unit, values.
    pub fn rows(&self) -> impl Iterator<Item = (usize, usize, usize, &[f32])> {
        // the sizes are public, so they may have been set to 0
        let (layers, hidden) = (self.layers.max(1), self.hidden.max(1));
        self.values
            .chunks_exact(self.names.len().max(1))
            .enumerate()
            .map(move |(i, values)| (i / hidden / layers, i / hidden % layers, i % hidden, values))
    }
}

/// Visits a cell for the list of values that it shows.
struct All;

impl Visitor for All {
    type Output = &'static [Shown];
    fn visit<C: Cell>(self) -> Self::Output {
        C::SHOWN
    }
}

/// Runs `x [T,I]` (in raw units, if the model has scalers) through the model from a state of zero and reads the gates.
///
/// # Errors
/// If x does not have as many columns as the model has inputs.
pub fn read<V: Value>(model: &Model, cpu: Cpu, x: &Tensor<V>) -> Result<Reading> {
    let shape = *model.shape();
    let (steps, input) = x.rows();
    Error::check_length("x [T,I]: columns", shape.input, input)?;
    let mut x = x.data().to_vec();
    let mut past = model.units().map_or_else(Past::default, |units| units.past(1));
    if let Some(units) = model.units() {
        units.enter_rows(&mut past, &mut x, 1);
    }
    let mut x = V::narrow_all(x);
    settle(&mut x);
    let shown = shape.visit_cell(All);
    let names: Vec<&'static str> = shown.iter().map(|&(name, _)| name).collect();
    let (weights, params) = model.pass_params();
    let network = Network::new(cpu, Threads::default(), &shape, STEPS.min(steps.max(1)), 1, Mode::Training)?;
    let mut network = network.with_weights(weights);
    let mut state = State::new(&shape, 1);
    let mut values = Vec::with_capacity(steps * shape.layers * shape.hidden * names.len());
    let mut gates = Vec::new();
    for window in x.chunks(STEPS * input) {
        network.forward(params, window, &mut state, HeadSteps::All, None);
        for row in 0..window.len() / input {
            for layer in 0..shape.layers {
                network.gates(layer, row, &mut gates);
                let (h, c) = (network.state_at(layer, row, false), network.state_at(layer, row, true));
                for unit in 0..shape.hidden {
                    let gates = core::array::from_fn(|g| gates.get(g * shape.hidden + unit).copied().unwrap_or(0.0));
                    let after = CellState { h: h[unit], c: c[unit] };
                    values.extend(shown.iter().map(|(_, value)| value(gates, after)));
                }
            }
        }
    }
    Ok(Reading { names, steps, layers: shape.layers, hidden: shape.hidden, values })
}
