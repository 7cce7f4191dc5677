//! burn, on the backend that it recommends for a processor, `flex`. Its modules keep the gates apart, and their weights
//! are transposed compared with PyTorch's.

use crate::nets::{LESSON_STEPS, LESSON_WINDOW, Net, RATE};
use crate::peer::{Peer, Result, Stream};
use burn::module::Param;
use burn::nn::{GateController, Gru, GruConfig, Linear, LinearConfig, Lstm, LstmConfig, Rnn, RnnConfig, RnnState};
use burn::optim::{AdamConfig, GradientsParams};
use burn::prelude::{Device, Module, Tensor, TensorData};
use rnnstep::CellKind;
use rnnstep::data::sine;

pub struct Burn;

impl Peer for Burn {
    fn name(&self) -> &'static str {
        "burn"
    }

    fn stream(&self, net: &Net) -> Result<Box<dyn Stream>> {
        let (device, weights, input) = (Device::flex(), Weights::of(net), net.shape().input());
        let head = weights.head(&device);
        let row = move |x: &[f32]| Tensor::<3>::from_data(TensorData::new(x.to_vec(), [1, 1, input]), &Device::flex());
        let y = move |h: Tensor<3>| values(head.forward(h))[0];
        Ok(match net.shape().cell() {
            CellKind::Rnn => {
                let (rnn, mut state) = (weights.rnn(&device), None);
                Box::new(move |x: &[f32]| {
                    let (out, next) = rnn.forward(row(x), state.take());
                    state = Some(next);
                    y(out)
                })
            }
            CellKind::Lstm => {
                let layers: Vec<Lstm> = (0..net.shape().layers()).map(|layer| weights.lstm(layer, &device)).collect();
                let mut states: Vec<_> = layers.iter().map(|_| None).collect();
                Box::new(move |x: &[f32]| {
                    let mut x = row(x);
                    for (layer, state) in layers.iter().zip(&mut states) {
                        let (out, next) = layer.forward(x, state.take());
                        *state = Some(next);
                        x = out;
                    }
                    y(x)
                })
            }
            CellKind::Gru => {
                let (gru, hidden, mut state) = (weights.gru(&device), net.shape().hidden(), None);
                Box::new(move |x: &[f32]| {
                    let out = gru.forward(row(x), state.take());
                    state = Some(out.clone().reshape([1, hidden]));
                    y(out)
                })
            }
            _ => return Err("no such cell".into()),
        })
    }

    fn forward(&self, net: &Net, _threads: usize) -> Result<Box<dyn FnMut() -> Vec<f32>>> {
        let device = Device::flex();
        let sequence = Sequence { lstm: Weights::of(net).lstm(0, &device), head: Weights::of(net).head(&device) };
        let x = batch_first(&net.x, net, &device);
        Ok(Box::new(move || values(sequence.forward(x.clone()).swap_dims(0, 1))))
    }

    fn training(&self, net: &Net, _threads: usize) -> Result<Box<dyn FnMut() -> f32>> {
        let device = Device::flex().autodiff();
        let (x, target) = (batch_first(&net.x, net, &device), batch_first(&net.target, net, &device));
        let start = Sequence { lstm: Weights::of(net).lstm(0, &device), head: Weights::of(net).head(&device) };
        let (mut sequence, mut adam) = (Some(start), adam().init());
        Ok(Box::new(move || {
            let Some(before) = sequence.take() else { return f32::NAN };
            let loss = squared(before.forward(x.clone()) - target.clone());
            let gradients = GradientsParams::from_grads(loss.backward(), &before);
            sequence = Some(adam.step(RATE, before, gradients));
            values(loss)[0]
        }))
    }

    fn lesson(&self, net: &Net) -> Result<Box<dyn FnMut() -> [f32; LESSON_STEPS]>> {
        let net = net.clone();
        Ok(Box::new(move || {
            let (device, weights) = (Device::flex().autodiff(), Weights::of(&net));
            let mut lesson = Lesson { rnn: weights.rnn(&device), head: weights.head(&device) };
            let (mut adam, mut state) = (adam().init(), None::<RnnState<2>>);
            std::array::from_fn(|k| {
                let wave: Vec<f32> = sine::window(k as u64, LESSON_WINDOW).collect();
                let part = |values: &[f32]| {
                    Tensor::<3>::from_data(TensorData::new(values.to_vec(), [1, LESSON_WINDOW, 1]), &device)
                };
                let (out, next) = lesson.rnn.forward(part(&wave[..LESSON_WINDOW]), state.take());
                state = Some(RnnState::new(next.hidden.detach()));
                let loss = squared(lesson.head.forward(out) - part(&wave[1..]));
                let gradients = GradientsParams::from_grads(loss.backward(), &lesson);
                lesson = adam.step(RATE, lesson.clone(), gradients);
                values(loss)[0]
            })
        }))
    }
}

#[derive(Module, Debug)]
struct Sequence {
    lstm: Lstm,
    head: Linear,
}

impl Sequence {
    /// y `[B,T,1]` of `x [B,T,I]`.
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.head.forward(self.lstm.forward(x, None).0)
    }
}

#[derive(Module, Debug)]
struct Lesson {
    rnn: Rnn,
    head: Linear,
}

/// PyTorch's Adam; burn's own epsilon is larger.
fn adam() -> AdamConfig {
    AdamConfig::new().with_epsilon(1e-8)
}

fn squared(error: Tensor<3>) -> Tensor<1> {
    (error.clone() * error).mean()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap_or_default()
}

/// `[T,B,·]` as `[B,T,·]`.
fn batch_first(values: &[f32], net: &Net, device: &Device) -> Tensor<3> {
    let dims = [net.steps, net.batch, values.len() / (net.steps * net.batch)];
    Tensor::<3>::from_data(TensorData::new(values.to_vec(), dims), device).swap_dims(0, 1)
}

/// The tensors of a network, and the modules of burn made of them.
struct Weights {
    tensors: Vec<rnnstep::Tensor>,
    input: usize,
    hidden: usize,
}

impl Weights {
    fn of(net: &Net) -> Self {
        Self { tensors: net.tensors(), input: net.shape().input(), hidden: net.shape().hidden() }
    }

    /// The linear map of gate `gate`: `weight [G·H, columns]` and `bias [G·H]`.
    fn linear(&self, weight: usize, bias: usize, gate: usize, rows: usize, device: &Device) -> Linear {
        let (weight, bias) = (&self.tensors[weight], &self.tensors[bias]);
        let columns = weight.dims()[1];
        let part = weight.data()[gate * rows * columns..][..rows * columns].to_vec();
        let offset = bias.data()[gate * rows..][..rows].to_vec();
        let mut linear = LinearConfig::new(columns, rows).init(device);
        let weight = Tensor::<2>::from_data(TensorData::new(part, [rows, columns]), device).transpose();
        linear.weight = Param::from_tensor(weight);
        linear.bias = Some(Param::from_tensor(Tensor::<1>::from_data(TensorData::new(offset, [rows]), device)));
        linear
    }

    fn gate(&self, layer: usize, gate: usize, device: &Device) -> GateController {
        let first = 4 * layer;
        let input_transform = self.linear(first, first + 2, gate, self.hidden, device);
        let hidden_transform = self.linear(first + 1, first + 3, gate, self.hidden, device);
        GateController { input_transform, hidden_transform }
    }

    fn rnn(&self, device: &Device) -> Rnn {
        let mut rnn = RnnConfig::new(self.input, self.hidden, true).init(device);
        rnn.gate = self.gate(0, 0, device);
        rnn
    }

    fn lstm(&self, layer: usize, device: &Device) -> Lstm {
        let input = if layer == 0 { self.input } else { self.hidden };
        let mut lstm = LstmConfig::new(input, self.hidden, true).init(device);
        lstm.input_gate = self.gate(layer, 0, device);
        lstm.forget_gate = Some(self.gate(layer, 1, device));
        lstm.cell_gate = self.gate(layer, 2, device);
        lstm.output_gate = self.gate(layer, 3, device);
        lstm
    }

    fn gru(&self, device: &Device) -> Gru {
        let mut gru = GruConfig::new(self.input, self.hidden, true).init(device);
        gru.reset_gate = self.gate(0, 0, device);
        gru.update_gate = self.gate(0, 1, device);
        gru.new_gate = self.gate(0, 2, device);
        gru
    }

    fn head(&self, device: &Device) -> Linear {
        let count = self.tensors.len();
        self.linear(count - 2, count - 1, 0, 1, device)
    }
}
