//! The same networks in float64, written as the formulas are written, one number at a time, from PyTorch's tensors: what
//! float32 and smaller weights are held against. It shares nothing with the fast paths but the weights.

use crate::error::Result;
use crate::model::Model;
use crate::shape::{CellKind, Nonlinearity, Shape};
use crate::stream::Stream;
use crate::weights::Weights;
use crate::{Cpu, Tensor};

/// A stack of layers with or without a head, in float64. Slow.
#[derive(Debug, Clone)]
pub struct Reference {
    shape: Shape,
    layers: Vec<Layer>,
    /// `[O, H]` and `[O]`
    head: Option<(Vec<f64>, Vec<f64>)>,
}

/// `[G·H, I or H]`, `[G·H, H]`, `[G·H]` twice; biases of zero where the network has none.
#[derive(Debug, Clone)]
struct Layer {
    weight_ih: Vec<f64>,
    weight_hh: Vec<f64>,
    bias_ih: Vec<f64>,
    bias_hh: Vec<f64>,
}

/// The states of one sequence, `[L][H]` each.
#[derive(Debug, Clone)]
pub struct State {
    h: Vec<Vec<f64>>,
    c: Vec<Vec<f64>>,
}

/// `W x + b`, `W [rows, x.len()]`.
fn affine(weight: &[f64], bias: &[f64], x: &[f64]) -> Vec<f64> {
    let rows = weight.chunks(x.len()).zip(bias);
    rows.map(|(row, b)| b + row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>()).collect()
}

fn sigmoid(a: f64) -> f64 {
    1.0 / (1.0 + (-a).exp())
}

impl Reference {
    /// The same network as `model`, without its scalers.
    pub fn of(model: &Model) -> Self {
        let shape = *model.shape();
        let wide = |(_, tensor): (String, Tensor)| tensor.data().iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let mut tensors = model.weights().into_iter().map(wide);
        let mut next = || tensors.next().unwrap_or_default();
        let rows = shape.gates() * shape.hidden;
        let layers = (0..shape.layers)
            .map(|_| {
                let (weight_ih, weight_hh) = (next(), next());
                let (bias_ih, bias_hh) = if shape.bias { (next(), next()) } else { (vec![0.0; rows], vec![0.0; rows]) };
                Layer { weight_ih, weight_hh, bias_ih, bias_hh }
            })
            .collect();
        let head = shape.output.map(|_| (next(), next()));
        Self { shape, layers, head }
    }

    /// A state of zero.
    pub fn zero(&self) -> State {
        let zeros = || vec![vec![0.0; self.shape.hidden]; self.shape.layers];
        State { h: zeros(), c: zeros() }
    }

    /// y of one time step `x [I]`; `state` moves on. Formulas: PyTorch, `torch.nn.RNN`, `LSTM` and `GRU`.
    pub fn step(&self, x: &[f64], state: &mut State) -> Vec<f64> {
        let hidden = self.shape.hidden;
        let mut x = x.to_vec();
        for (l, layer) in self.layers.iter().enumerate() {
            let gates_x = affine(&layer.weight_ih, &layer.bias_ih, &x);
            let gates_h = affine(&layer.weight_hh, &layer.bias_hh, &state.h[l]);
            for u in 0..hidden {
                let (h, c) = (&mut state.h[l][u], &mut state.c[l][u]);
                let sum = |gate: usize| gates_x[gate * hidden + u] + gates_h[gate * hidden + u];
                match (self.shape.cell, self.shape.nonlinearity) {
                    (CellKind::Rnn, Nonlinearity::Tanh) => *h = sum(0).tanh(),
                    (CellKind::Rnn, Nonlinearity::Relu) => *h = sum(0).max(0.0),
                    (CellKind::Lstm, _) => {
                        *c = sigmoid(sum(1)) * *c + sigmoid(sum(0)) * sum(2).tanh();
                        *h = sigmoid(sum(3)) * c.tanh();
                    }
                    (CellKind::Gru, _) => {
                        let (r, z) = (sigmoid(sum(0)), sigmoid(sum(1)));
                        let n = (gates_x[2 * hidden + u] + r * gates_h[2 * hidden + u]).tanh();
                        *h = (1.0 - z) * n + z * *h;
                    }
                }
            }
            x.clone_from(&state.h[l]);
        }
        match &self.head {
            Some((weight, bias)) => affine(weight, bias, &x),
            None => x,
        }
    }

    /// y `[T,O]` of a sequence `x [T,I]` from a state of zero.
    pub fn forward(&self, x: &[f32]) -> Vec<f64> {
        let mut state = self.zero();
        let wide = |row: &[f32]| row.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        x.chunks(self.shape.input).flat_map(|row| self.step(&wide(row), &mut state)).collect()
    }
}

/// How far the steps of a model are from float64.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Deviation {
    /// The largest difference of a value of y.
    pub most: f64,
    /// The root of the mean of the squares of all differences.
    pub root_mean_square: f64,
    /// The largest value of y, in float64: what the others are to be held against.
    pub largest: f64,
}

/// Steps that [`deviation`] takes.
pub const STEPS: usize = 256;

/// How far `model`, its steps with `weights`, is from the model as it is in float64: over [`STEPS`] steps from a state of
/// zero, x being two waves of 9 and 41 steps and of size 1 at most, as standardised series are. Without scalers: in the
/// network's own units.
///
/// # Errors
/// Those of [`Model::with_weights`].
pub fn deviation(model: &Model, weights: Weights, cpu: Cpu) -> Result<Deviation> {
    let input = model.shape().input;
    let wave = |i: usize| {
        let (t, column) = ((i / input) as f32, (i % input) as f32);
        0.6 * (t * 0.7 + column).sin() + 0.4 * (t * 0.153 - column).cos()
    };
    let x: Vec<f32> = (0..STEPS * input).map(wave).collect();
    let truth = Reference::of(model).forward(&x);
    let mut stream = Stream::on(cpu, model.clone().raw().with_weights(weights)?)?;
    let (mut most, mut squares, mut largest) = (0.0_f64, 0.0, 0.0_f64);
    for (x, truth) in x.chunks(input).zip(truth.chunks(model.shape().width_out())) {
        for (&y, truth) in stream.step(x)?.iter().zip(truth) {
            let off = (f64::from(y) - truth).abs();
            (most, squares, largest) = (most.max(off), squares + off * off, largest.max(truth.abs()));
        }
    }
    Ok(Deviation { most, root_mean_square: (squares / truth.len() as f64).sqrt(), largest })
}
