//! What the benchmarks hold their answers against: the same networks in float64, written as the formulas are written,
//! one number at a time, from PyTorch's tensors. It shares nothing with the crate but the weights.
#![allow(dead_code, reason = "each benchmark uses its part")]

use rnnstep::{CellKind, Model, Shape};

/// A stack of layers with a head, in float64.
pub struct Reference {
    shape: Shape,
    /// Per layer: W_ih `[G·H, I]`, W_hh `[G·H, H]`, b_ih and b_hh `[G·H]`; at the end the head's `[O, H]` and `[O]`.
    tensors: Vec<Vec<f64>>,
}

/// The states of one sequence, `[L][H]` each.
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
    /// The same network as `model`, which has biases and a head.
    pub fn of(model: &Model) -> Self {
        let shape = *model.shape();
        assert!(shape.bias && shape.output.is_some());
        let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect();
        Self { shape, tensors: model.weights().iter().map(|(_, tensor)| wide(tensor.data())).collect() }
    }

    /// A state of zero.
    pub fn zero(&self) -> State {
        let zeros = || vec![vec![0.0; self.shape.hidden]; self.shape.layers];
        State { h: zeros(), c: zeros() }
    }

    /// y of one time step; `state` moves on.
    pub fn step(&self, x: &[f64], state: &mut State) -> Vec<f64> {
        let hidden = self.shape.hidden;
        let mut x = x.to_vec();
        for layer in 0..self.shape.layers {
            let [weight_ih, weight_hh, bias_ih, bias_hh] = &self.tensors[4 * layer..4 * layer + 4] else {
                unreachable!("four tensors a layer")
            };
            let gates_x = affine(weight_ih, bias_ih, &x);
            let gates_h = affine(weight_hh, bias_hh, &state.h[layer]);
            for u in 0..hidden {
                let (h, c) = (&mut state.h[layer][u], &mut state.c[layer][u]);
                let sum = |gate: usize| gates_x[gate * hidden + u] + gates_h[gate * hidden + u];
                match self.shape.cell {
                    CellKind::Rnn => *h = sum(0).tanh(),
                    CellKind::Lstm => {
                        *c = sigmoid(sum(1)) * *c + sigmoid(sum(0)) * sum(2).tanh();
                        *h = sigmoid(sum(3)) * c.tanh();
                    }
                    CellKind::Gru => {
                        let (r, z) = (sigmoid(sum(0)), sigmoid(sum(1)));
                        let n = (gates_x[2 * hidden + u] + r * gates_h[2 * hidden + u]).tanh();
                        *h = (1.0 - z) * n + z * *h;
                    }
                }
            }
            x = state.h[layer].clone();
        }
        let [.., weight, bias] = self.tensors.as_slice() else { unreachable!("a head") };
        affine(weight, bias, &x)
    }

    /// y `[T,O]` of a sequence `x [T,I]` from a state of zero.
    pub fn forward(&self, x: &[f32]) -> Vec<f64> {
        let mut state = self.zero();
        let wide = |row: &[f32]| row.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        x.chunks(self.shape.input).flat_map(|row| self.step(&wide(row), &mut state)).collect()
    }

    /// Mean squared error over sequences `x [B,T,I]` and `target [B,T,O]`, each from a state of zero.
    pub fn mean_squared_error(&self, x: &[f32], target: &[f32], seq_len: usize) -> f64 {
        let y = x.chunks(seq_len * self.shape.input).flat_map(|x| self.forward(x));
        let squares = y.zip(target).map(|(y, &t)| (y - f64::from(t)) * (y - f64::from(t)));
        squares.sum::<f64>() / target.len() as f64
    }
}

/// Stops the benchmark if `found` is not `truth` to within `tolerance` everywhere.
pub fn check(id: &str, found: impl IntoIterator<Item = f32>, truth: &[f64], tolerance: f64) {
    let found: Vec<f32> = found.into_iter().collect();
    assert_eq!(found.len(), truth.len(), "{id}: number of values");
    for (i, (&y, truth)) in found.iter().zip(truth).enumerate() {
        let error = (f64::from(y) - truth).abs();
        assert!(error <= tolerance, "{id}: value {i} is {y}, should be {truth}");
    }
}

/// `n` values from -0.5 to 0.5 that look irregular.
pub fn values(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * i * 7 + i * 37 + 11) % 101) as f32 / 101.0 - 0.5).collect()
}
