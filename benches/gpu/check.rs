//! The answers of the GPU, before anything is timed: compared with the processor's here, and written down for PyTorch.

use crate::values::{self, TARGET, X};
use rnnstep::cpu::{self, Threads};
use rnnstep::cuda::{self, Dtype};
use rnnstep::net::pass::{HeadSteps, Mode};
use rnnstep::{Cpu, Error, Model, Result, State};
use serde_json::{Value, json};

/// Steps of the window that is compared.
pub const STEPS: usize = 20;
/// Values of y that are written down, the last ones.
const PROBES: usize = 4;

/// Answers of the processor on one window: y, and the gradients of the mean squared error.
pub struct Truth {
    x: Vec<f32>,
    target: Vec<f32>,
    y: Vec<f32>,
    grads: Vec<f32>,
}

/// How far off y may be (its values are around 1), and how far gradients, as a part of the largest. The reasons are
/// sums in another order, or factors with few bits over twenty steps.
fn tolerances(dtype: Dtype) -> [f64; 2] {
    let rounded = |bits: i32| [8.0 * 0.5_f64.powi(bits), 32.0 * 0.5_f64.powi(bits)];
    match dtype {
        Dtype::F32 => [2e-5, 1e-4],
        Dtype::Tf32 | Dtype::F16 => rounded(10),
        Dtype::Bf16 => rounded(7),
    }
}

/// Gradient of the mean squared error at y.
fn gradient<'a>(y: &'a [f32], target: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
    let rows = target.len() as f32;
    y.iter().zip(target).map(move |(y, target)| 2.0 * (y - target) / rows)
}

impl Truth {
    pub fn of(model: &Model, batch: usize) -> Result<Self> {
        let (shape, rows) = (*model.shape(), STEPS * batch);
        let (x, target) = (values::values(X, rows * shape.input()), values::values(TARGET, rows));
        let threads = Threads::new(std::thread::available_parallelism().map_or(1, usize::from))?;
        let mut network = cpu::Network::new(Cpu::widest(), threads, &shape, STEPS, batch, Mode::Training).unwrap();
        network.forward(model.params(), &x, &mut State::new(&shape, batch), HeadSteps::All, None);
        let y: Vec<f32> = (0..rows).map(|row| network.y(row)[0]).collect();
        for (row, dy) in gradient(&y, &target).enumerate() {
            network.y_and_dy(row).1[0] = dy;
        }
        let mut grads = vec![0.0; model.params().len()];
        network.backward(model.params(), &mut grads, &x, false);
        Ok(Self { x, target, y, grads })
    }

    /// Compares, and returns what `torch_peer.py` compares once more: the last values of y and the norm of each
    /// gradient.
    pub fn hold(&self, card: &mut cuda::Network, model: &Model, batch: usize, dtype: Dtype) -> Result<Value> {
        let shape = *card.shape();
        card.forward(&self.x, &mut State::new(&shape, batch), HeadSteps::All)?;
        let y: Vec<f32> = (0..STEPS * batch).map(|row| card.y(row)[0]).collect();
        let dy: Vec<f32> = gradient(&y, &self.target).collect();
        let mut grads = vec![f32::NAN; self.grads.len()];
        card.backward(&dy, &mut grads, false)?;
        let largest = self.grads.iter().fold(0.0, |most: f64, &g| most.max(f64::from(g).abs()));
        let found = [off(&y, &self.y), off(&grads, &self.grads) / largest];
        let allowed = tolerances(dtype);
        if found.iter().zip(allowed).any(|(found, allowed)| *found > allowed) {
            let text = format!("y and gradients differ from the processor's by {found:?}; {allowed:?} is allowed");
            return Err(Error::Invalid(text));
        }
        let norm = |values: &[f32]| values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        let norms: Vec<(String, Value)> =
            model.named(&grads).iter().map(|(name, grad)| (name.clone(), norm(grad.data()).into())).collect();
        Ok(json!({
            "T": STEPS, "off_y": found[0], "off_gradients": found[1], "y": y[y.len() - y.len().min(PROBES)..],
            "gradients": serde_json::Map::from_iter(norms),
        }))
    }
}

/// The largest difference; infinite if anything is not a number.
fn off(found: &[f32], truth: &[f32]) -> f64 {
    let pairs = found.iter().zip(truth).map(|(&a, &b)| (f64::from(a) - f64::from(b)).abs());
    pairs.fold(0.0, |most, error| if error.is_nan() { f64::INFINITY } else { most.max(error) })
}
