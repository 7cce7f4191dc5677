//! ONNX Runtime through the crate `ort`. Inputs and outputs are bound to tensors once; the states have two sets of
//! them, which swap their roles at each step, so that nothing is copied.

use crate::nets::{LESSON_STEPS, Net};
use crate::peer::{Peer, Result, Stream};
use crate::peers::onnx;
use ort::environment::Environment;

use ort::memory::Allocator;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{IoBinding, Session};
use ort::value::Tensor;
use std::sync::OnceLock;

pub struct OnnxRuntime;

impl Peer for OnnxRuntime {
    fn name(&self) -> &'static str {
        "ONNX Runtime"
    }

    fn stream(&self, net: &Net) -> Result<Box<dyn Stream>> {
        Ok(Box::new(Bound::new(net, 1, 1)?))
    }

    fn forward(&self, net: &Net, threads: usize) -> Result<Box<dyn FnMut() -> Vec<f32>>> {
        let mut bound = Bound::new(net, net.steps, threads)?;
        bound.x.extract_tensor_mut().1.copy_from_slice(&net.x);
        // always the first binding: its states going in stay those of zero
        Ok(Box::new(move || bound.run(0).map_or_else(|_| Vec::new(), <[f32]>::to_vec)))
    }

    fn training(&self, _net: &Net, _threads: usize) -> Result<Box<dyn FnMut() -> f32>> {
        Err("no training".into())
    }

    fn lesson(&self, _net: &Net) -> Result<Box<dyn FnMut() -> [f32; LESSON_STEPS]>> {
        Err("no training".into())
    }
}

/// A session whose tensors stay where they are.
struct Bound {
    session: Session,
    bindings: [IoBinding; 2],
    x: Tensor<f32>,
    y: Tensor<f32>,
    /// The binding of the next step.
    next: usize,
}

impl Bound {
    fn new(net: &Net, steps: usize, threads: usize) -> Result<Self> {
        let mut builder = Session::builder(environment()?)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(threads)?
            .with_inter_threads(1)?;
        let session = builder.commit_from_file(onnx::file(net)?)?;
        let tensor = |dims: [usize; 3]| -> Result<Tensor<f32>> {
            let mut tensor = Tensor::new(&Allocator::default(), dims)?;
            tensor.extract_tensor_mut().1.fill(0.0);
            Ok(tensor)
        };
        let (shape, batch) = (net.shape(), net.batch);
        let (x, mut y) = (tensor([steps, batch, shape.input()])?, tensor([steps, batch, 1])?);
        let mut bindings = [session.create_binding()?, session.create_binding()?];
        for binding in &mut bindings {
            binding.bind_input("x", &x)?;
            binding.bind_output("y", &mut y)?;
        }
        for name in onnx::states(net) {
            let mut pair = [tensor([1, batch, shape.hidden()])?, tensor([1, batch, shape.hidden()])?];
            for (i, binding) in bindings.iter_mut().enumerate() {
                binding.bind_input(name.as_str(), &pair[i])?;
                binding.bind_output(format!("{name}_next"), &mut pair[1 - i])?;
            }
        }
        Ok(Self { session, bindings, x, y, next: 0 })
    }

    fn run(&mut self, binding: usize) -> Result<&[f32]> {
        self.session.run_binding(&self.bindings[binding])?;
        Ok(self.y.extract_tensor().1)
    }
}

impl Stream for Bound {
    fn step(&mut self, x: &[f32]) -> f32 {
        self.x.extract_tensor_mut().1.copy_from_slice(x);
        let binding = self.next;
        self.next = 1 - binding;
        self.run(binding).map_or(f32::NAN, |y| y[0])
    }
}

/// The library's one environment; the shared library is the one that `ORT_DYLIB_PATH` names.
fn environment() -> Result<&'static Environment> {
    static ENVIRONMENT: OnceLock<std::result::Result<Environment, String>> = OnceLock::new();
    let made = ENVIRONMENT.get_or_init(|| {
        let path = std::env::var("ORT_DYLIB_PATH").map_err(|_| "ORT_DYLIB_PATH is not set".to_string())?;
        let builder = ort::init_from(path).map_err(|error| error.to_string())?;
        builder.build().map_err(|error| error.to_string())
    });
    made.as_ref().map_err(|error| error.clone().into())
}
