//! tract: an ONNX file, optimised into a plan of its own; the states go in and come out as tensors.

use crate::nets::{LESSON_STEPS, Net};
use crate::peer::{Peer, Result, Stream};
use crate::peers::onnx;
use std::sync::Arc;
use tract_onnx::prelude::{
    Framework, InferenceModelExt, IntoRunnable, TValue, TVec, Tensor, TractResult, TypedRunnableModel, tvec,
};

pub struct Tract;

impl Peer for Tract {
    fn name(&self) -> &'static str {
        "tract"
    }

    fn stream(&self, net: &Net) -> Result<Box<dyn Stream>> {
        let (mut plan, mut states, input) = (plan(net)?.spawn()?, zeros(net)?, net.shape().input());
        Ok(Box::new(move |x: &[f32]| {
            let mut step = || {
                let mut values: TVec<TValue> = tvec!(Tensor::from_shape(&[1, 1, input], x)?.into());
                values.append(&mut states);
                let mut out = plan.run(values)?;
                states.extend(out.drain(1..));
                Ok(out[0].to_plain_array_view::<f32>()?[[0, 0, 0]])
            };
            or_nan(step())
        }))
    }

    fn forward(&self, net: &Net, threads: usize) -> Result<Box<dyn FnMut() -> Vec<f32>>> {
        if threads > 1 {
            return Err("one thread".into());
        }
        let (mut plan, states) = (plan(net)?.spawn()?, zeros(net)?);
        let x: TValue = Tensor::from_shape(&[net.steps, net.batch, net.shape().input()], &net.x)?.into();
        Ok(Box::new(move || {
            let mut forward = || {
                let mut values: TVec<TValue> = tvec!(x.clone());
                values.extend(states.iter().cloned());
                let y: TractResult<Vec<f32>> =
                    Ok(plan.run(values)?[0].to_plain_array_view()?.iter().copied().collect());
                y
            };
            forward().unwrap_or_default()
        }))
    }

    fn training(&self, _net: &Net, _threads: usize) -> Result<Box<dyn FnMut() -> f32>> {
        Err("no training".into())
    }

    fn lesson(&self, _net: &Net) -> Result<Box<dyn FnMut() -> [f32; LESSON_STEPS]>> {
        Err("no training".into())
    }
}

fn plan(net: &Net) -> Result<Arc<TypedRunnableModel>> {
    Ok(tract_onnx::onnx().model_for_path(onnx::file(net)?)?.into_optimized()?.into_runnable()?)
}

/// The states of a start from zero, in the order of the graph's inputs.
fn zeros(net: &Net) -> Result<TVec<TValue>> {
    let state = |_| Ok(Tensor::zero::<f32>(&[1, net.batch, net.shape().hidden()])?.into());
    onnx::states(net).map(state).collect()
}

/// A plan that fails in the middle gives an answer that no check lets through.
fn or_nan(y: TractResult<f32>) -> f32 {
    y.unwrap_or(f32::NAN)
}
