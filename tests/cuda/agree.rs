//! A helper: runs a network on a card and on the CPU and compares all results.

use rnnstep::cpu::{self, Threads};
use rnnstep::cuda::{self, Cuda, Dtype, Frame};
use rnnstep::net::pass::{HeadSteps, Mode};
use rnnstep::random::{Purpose, Random};
use rnnstep::{CellKind, Cpu, Model, Shape, State};

/// What is compared, and how far a card may be off: its tanh and sigmoid are off by some 1e-6 relative
/// (kernels/math.cuh), the CPU's by 3.5e-7, and sums are added up in another order.
pub struct Check {
    pub shape: Shape,
    pub steps: usize,
    pub batch: usize,
    pub head: HeadSteps,
    pub frame: Option<Frame>,
    pub dtype: Dtype,
    /// What the first column of x is in the second step of the first sequence, if it is not like the others.
    pub outlier: Option<f32>,
    /// Of outputs and states, which lie around 1.
    pub output: f64,
    /// Of gradients, as a part of the largest in the same array.
    pub gradient: f64,
}

/// A network with biases and a head.
pub fn shape(cell: CellKind, input: usize, hidden: usize, layers: usize, output: usize) -> Shape {
    Shape::new(cell, input, hidden, layers, output).unwrap()
}

impl Check {
    pub fn new(shape: Shape, steps: usize, batch: usize) -> Self {
        let dtype = Dtype::F32;
        let (frame, outlier) = (None, None);
        Self { shape, steps, batch, head: HeadSteps::All, frame, dtype, outlier, output: 1e-5, gradient: 3e-5 }
    }

    pub fn frame(self, frame: Frame) -> Self {
        Self { frame: Some(frame), ..self }
    }

    fn describe(&self) -> String {
        let Self { shape, steps, batch, frame, dtype, .. } = self;
        let outlier = self.outlier.map_or(String::new(), |x| format!(" with {x:e} in x"));
        let frame = frame.map_or("the frame it chose", Frame::name);
        format!(
            "{} I{} H{} L{} O{:?} T{steps} B{batch} {} on {frame}{outlier}",
            shape.cell().name(),
            shape.input(),
            shape.hidden(),
            shape.layers(),
            shape.output(),
            dtype.name()
        )
    }

    /// Forward and backward of one window, from a random state.
    pub fn run(&self, cuda: &Cuda) {
        let Self { shape, steps, batch, head, .. } = *self;
        let cuda = cuda.clone().with_dtype(self.dtype).with_frame(self.frame);
        let mut random = Random::new(7, Purpose::Weights, (steps * 100 + batch) as u64);
        let mut draw = |n: usize| (0..n).map(|_| 2.0 * random.uniform() - 1.0).collect::<Vec<f32>>();
        let model = Model::random(shape, 3).unwrap();
        let mut x = draw(steps * batch * shape.input());
        if let Some(outlier) = self.outlier {
            x[batch * shape.input()] = outlier;
        }
        // what f16 has no number for counts as the largest it has
        let largest = if self.dtype == Dtype::F16 { 65504.0 } else { f32::INFINITY };
        let within: Vec<f32> = x.iter().map(|x| x.clamp(-largest, largest)).collect();
        let mut start = State::new(&shape, batch);
        start.set_h(&draw(shape.layers() * batch * shape.hidden())).unwrap();
        if shape.cell().has_c() {
            start.set_c(&draw(shape.layers() * batch * shape.hidden())).unwrap();
        }

        let mut truth =
            cpu::Network::new(Cpu::widest(), Threads::default(), &shape, steps, batch, Mode::Training).unwrap();
        let mut card = cuda::Network::new(&cuda, &shape, steps, batch, Mode::Training).unwrap();
        assert!(self.frame.is_none_or(|frame| frame == card.plan().frame()));
        card.set_params(model.params()).unwrap();
        let (mut state, mut unrounded, mut state_on_card) = (start.clone(), start.clone(), start);
        truth.forward(model.params(), &x, &mut unrounded, head, None);
        let y_of_x: Vec<Vec<f32>> = truth.head_rows().map(|row| truth.y(row).to_vec()).collect();
        truth.forward(model.params(), &within, &mut state, head, None);
        card.forward(&x, &mut state_on_card, head).unwrap();
        let what = self.describe();
        let near = |name: &str, found: &[f32], truth: &[f32], tolerance: f64| {
            assert_eq!(found.len(), truth.len(), "{what}: {name}");
            for (i, (&a, &b)) in found.iter().zip(truth).enumerate() {
                let error = (f64::from(a) - f64::from(b)).abs();
                let same = a == b || a.is_nan() && b.is_nan();
                assert!(
                    same || error <= tolerance,
                    "{what}: {name}[{i}] is {a}, not {b}: {error:e} off, {tolerance:e} allowed"
                );
            }
        };
        for (row, y_of_x) in truth.head_rows().zip(&y_of_x) {
            near(&format!("y {row}"), card.y(row), truth.y(row), self.output);
            near(&format!("y {row} of x as it is"), card.y(row), y_of_x, self.output);
        }
        near("h of x as it is", state_on_card.h().data(), unrounded.h().data(), self.output);
        near("h", state_on_card.h().data(), state.h().data(), self.output);
        if let (Some(found), Some(truth)) = (state_on_card.c(), state.c()) {
            near("c", found.data(), truth.data(), 2.0 * self.output);
        }

        let dy = draw(truth.head_rows().len() * shape.width_out());
        for (row, dy) in truth.head_rows().zip(dy.chunks(shape.width_out())) {
            truth.y_and_dy(row).1.copy_from_slice(dy);
        }
        let mut grads = vec![0.0; model.params().len()];
        let mut found = vec![f32::NAN; grads.len()];
        truth.backward(model.params(), &mut grads, &within, false);
        card.backward(&dy, &mut found, false).unwrap();
        let part = |truth: &[f32]| {
            let finite = truth.iter().filter(|g| g.is_finite());
            self.gradient * finite.fold(0.1, |most: f64, &g| most.max(f64::from(g).abs()))
        };
        for ((name, found), (_, truth)) in model.named(&found).into_iter().zip(model.named(&grads)) {
            near(&format!("d{name}"), found.data(), truth.data(), part(truth.data()));
        }
        near("padding", &found, &grads, part(&grads)); // which is zero
        for row in 0..steps * batch {
            near(&format!("dx {row}"), card.dx(row), truth.dx(row), 10.0 * self.gradient);
        }
        for layer in 0..shape.layers() {
            for b in 0..batch {
                for c in [false, true] {
                    let (found, truth) = (card.dstate(layer, b, c), truth.dstate(layer, b, c));
                    near(&format!("dstate {layer} {b} {c}"), found, truth, 10.0 * self.gradient);
                }
            }
        }
    }
}
