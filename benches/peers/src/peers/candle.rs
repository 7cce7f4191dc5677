//! candle, with the layers of candle-nn. It has no Elman RNN: for the lesson one is composed here, in the way of its
//! LSTM.

use crate::nets::{LESSON_STEPS, LESSON_WINDOW, Net, RATE};
use crate::peer::{Peer, Result, Stream};
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::rnn::{GRUConfig, LSTM, LSTMConfig, RNN, gru, lstm};
use candle_nn::{AdamW, Linear, Module, Optimizer, ParamsAdamW, VarBuilder, loss};
use rnnstep::CellKind;
use rnnstep::data::sine;

pub struct Candle;

impl Peer for Candle {
    fn name(&self) -> &'static str {
        "candle"
    }

    fn stream(&self, net: &Net) -> Result<Box<dyn Stream>> {
        let tensors = tensors(net)?;
        let (input, head) = (net.shape().input(), head(&tensors));
        match net.shape().cell() {
            CellKind::Rnn => Err("no Elman RNN".into()),
            CellKind::Lstm => stream(lstm_layers(net, &tensors)?, |state| state.h(), head, input),
            CellKind::Gru if net.shape().layers() == 1 => {
                let layer = gru(input, net.shape().hidden(), GRUConfig::default(), layer(&tensors, 0))?;
                stream(vec![layer], |state| state.h(), head, input)
            }
            CellKind::Gru => Err("no stack of GRUs".into()),
            _ => Err("no such cell".into()),
        }
    }

    /// Its threads are those of `RAYON_NUM_THREADS`.
    fn forward(&self, net: &Net, _threads: usize) -> Result<Box<dyn FnMut() -> Vec<f32>>> {
        let tensors = tensors(net)?;
        let (layers, head) = (lstm_layers(net, &tensors)?, head(&tensors));
        let x = rows(&net.x, net)?;
        Ok(Box::new(move || {
            let y = sequence(&layers, &head, &x).and_then(|y| y.flatten_all()?.to_vec1());
            y.unwrap_or_default()
        }))
    }

    fn training(&self, net: &Net, _threads: usize) -> Result<Box<dyn FnMut() -> f32>> {
        let variables = variables(net)?;
        let tensors: Vec<Tensor> = variables.iter().map(|variable| variable.as_tensor().clone()).collect();
        let (layers, head) = (lstm_layers(net, &tensors)?, head(&tensors));
        let (x, target) = (rows(&net.x, net)?, rows(&net.target, net)?);
        let mut adam = adam(variables)?;
        Ok(Box::new(move || {
            let mut step = || {
                let loss = loss::mse(&sequence(&layers, &head, &x)?, &target)?;
                adam.backward_step(&loss)?;
                loss.to_scalar()
            };
            step().unwrap_or(f32::NAN)
        }))
    }

    fn lesson(&self, net: &Net) -> Result<Box<dyn FnMut() -> [f32; LESSON_STEPS]>> {
        let net = net.clone();
        Ok(Box::new(move || lesson(&net).unwrap_or([f32::NAN; LESSON_STEPS])))
    }
}

fn tensors(net: &Net) -> candle_core::Result<Vec<Tensor>> {
    let tensor = |tensor: rnnstep::Tensor| Tensor::from_slice(tensor.data(), tensor.dims(), &Device::Cpu);
    net.tensors().into_iter().map(tensor).collect()
}

fn variables(net: &Net) -> candle_core::Result<Vec<Var>> {
    tensors(net)?.iter().map(Var::from_tensor).collect()
}

/// `[T,B,·]`.
fn rows(values: &[f32], net: &Net) -> candle_core::Result<Tensor> {
    Tensor::from_slice(values, (net.steps, net.batch, values.len() / (net.steps * net.batch)), &Device::Cpu)
}

/// The weights of a layer under the names that candle-nn looks for.
fn layer(tensors: &[Tensor], layer: usize) -> VarBuilder<'static> {
    let names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"].map(|name| format!("{name}_l{layer}"));
    let named = names.into_iter().zip(tensors[4 * layer..].iter().cloned()).collect();
    VarBuilder::from_tensors(named, DType::F32, &Device::Cpu)
}

fn lstm_layers(net: &Net, tensors: &[Tensor]) -> candle_core::Result<Vec<LSTM>> {
    let shape = net.shape();
    let one = |l| {
        let config = LSTMConfig { layer_idx: l, ..LSTMConfig::default() };
        lstm(shape.layer_input(l), shape.hidden(), config, layer(tensors, l))
    };
    (0..shape.layers()).map(one).collect()
}

fn head(tensors: &[Tensor]) -> Linear {
    Linear::new(tensors[tensors.len() - 2].clone(), tensors.last().cloned())
}

fn stream<R: RNN + 'static>(
    layers: Vec<R>,
    h: impl Fn(&R::State) -> &Tensor + 'static,
    head: Linear,
    input: usize,
) -> Result<Box<dyn Stream>> {
    let mut states = layers.iter().map(|layer| layer.zero_state(1)).collect::<candle_core::Result<Vec<_>>>()?;
    Ok(Box::new(move |x: &[f32]| {
        let mut step = || -> candle_core::Result<f32> {
            let mut x = Tensor::from_slice(x, (1, input), &Device::Cpu)?;
            for (layer, state) in layers.iter().zip(&mut states) {
                *state = layer.step(&x, state)?;
                x = h(state).clone();
            }
            head.forward(&x)?.squeeze(0)?.squeeze(0)?.to_scalar()
        };
        step().unwrap_or(f32::NAN)
    }))
}

/// y `[T,B,1]` of `x [T,B,I]`.
fn sequence(layers: &[LSTM], head: &Linear, x: &Tensor) -> candle_core::Result<Tensor> {
    let mut x = x.clone();
    for layer in layers {
        let states = layer.seq(&x.transpose(0, 1)?)?;
        let outputs: Vec<&Tensor> = states.iter().map(|state| state.h()).collect();
        x = Tensor::stack(&outputs, 0)?;
    }
    head.forward(&x)
}

/// candle's Adam is the one that decays weights, with no decay.
fn adam(variables: Vec<Var>) -> candle_core::Result<AdamW> {
    AdamW::new(variables, ParamsAdamW { lr: RATE, weight_decay: 0.0, ..ParamsAdamW::default() })
}

fn lesson(net: &Net) -> candle_core::Result<[f32; LESSON_STEPS]> {
    let variables = variables(net)?;
    let [weight_ih, weight_hh, bias_ih, bias_hh, weight, bias] = variables.as_slice() else {
        return Err(candle_core::Error::msg("six tensors"));
    };
    let mut adam = adam(variables.clone())?;
    let mut h = Tensor::zeros((1, net.shape().hidden()), DType::F32, &Device::Cpu)?;
    let mut losses = [0.0; LESSON_STEPS];
    for (k, found) in losses.iter_mut().enumerate() {
        let wave: Vec<f32> = sine::window(k as u64, LESSON_WINDOW).collect();
        let x = Tensor::from_slice(&wave[..LESSON_WINDOW], (LESSON_WINDOW, 1), &Device::Cpu)?;
        let target = Tensor::from_slice(&wave[1..], (LESSON_WINDOW, 1), &Device::Cpu)?;
        // the products with x of the whole window at once, then step by step
        let gates_x = x.matmul(&weight_ih.t()?)?.broadcast_add(&(bias_ih.as_tensor() + bias_hh.as_tensor())?)?;
        let turned = weight_hh.t()?;
        let mut outputs = Vec::with_capacity(LESSON_WINDOW);
        for t in 0..LESSON_WINDOW {
            h = (gates_x.narrow(0, t, 1)? + h.matmul(&turned)?)?.tanh()?;
            outputs.push(h.clone());
        }
        let y = Tensor::cat(&outputs, 0)?.matmul(&weight.t()?)?.broadcast_add(bias)?;
        let loss = loss::mse(&y, &target)?;
        adam.backward_step(&loss)?;
        h = h.detach();
        *found = loss.to_scalar()?;
    }
    Ok(losses)
}
