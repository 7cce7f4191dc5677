//! The kernels against the CPU path: outputs, states, every gradient, whole trainings. On the card of this machine if it
//! has one, else on the emulated device.
#![cfg(feature = "cuda")]

#[path = "common/card.rs"]
mod card;
#[path = "common/emulator.rs"]
mod emulator;

use card::on_a_card;
use emulator::Kind;
use rnnstep::cpu::{self, Threads};
use rnnstep::cuda::plan::Plan;
use rnnstep::cuda::{self, Cuda, Dtype, Frame};
use rnnstep::pass::{Head, Purpose};
use rnnstep::random::{Purpose as For, Random};
use rnnstep::{CellKind, Cpu, Model, Nonlinearity, Shape, State};

/// What is compared, and how far a card may be off: its tanh and sigmoid are off by 7e-7 and 1.2e-6 relative at the most
/// (kernels/math.cuh), the CPU's by 3.5e-7, and sums are added up in another order.
struct Check {
    shape: Shape,
    steps: usize,
    batch: usize,
    head: Head,
    frame: Option<Frame>,
    dtype: Dtype,
    /// Of outputs and states, which lie around 1.
    output: f64,
    /// Of gradients, as a part of the largest in the same array.
    gradient: f64,
}

fn shape(cell: CellKind, input: usize, hidden: usize, layers: usize, output: usize) -> Shape {
    Shape::new(cell, input, hidden, layers, output).unwrap()
}

impl Check {
    fn new(shape: Shape, steps: usize, batch: usize) -> Self {
        let dtype = Dtype::F32;
        Self { shape, steps, batch, head: Head::All, frame: None, dtype, output: 1e-5, gradient: 3e-5 }
    }

    fn frame(self, frame: Frame) -> Self {
        Self { frame: Some(frame), ..self }
    }

    fn describe(&self) -> String {
        let Self { shape, steps, batch, frame, dtype, .. } = self;
        let frame = frame.map_or("the frame it chose", Frame::name);
        format!(
            "{} I{} H{} L{} O{:?} T{steps} B{batch} {} on {frame}",
            shape.cell.name(),
            shape.input,
            shape.hidden,
            shape.layers,
            shape.output,
            dtype.name()
        )
    }

    /// Forward and backward of one window, from a random state.
    fn run(&self, cuda: &Cuda) {
        let Self { shape, steps, batch, head, .. } = *self;
        let cuda = cuda.clone().with_dtype(self.dtype).with_frame(self.frame);
        let mut random = Random::new(7, For::Weights, (steps * 100 + batch) as u64);
        let mut draw = |n: usize| (0..n).map(|_| 2.0 * random.uniform() - 1.0).collect::<Vec<f32>>();
        let model = Model::random(shape, 3).unwrap();
        let x = draw(steps * batch * shape.input);
        let mut start = State::new(&shape, batch);
        start.set_h(&draw(shape.layers * batch * shape.hidden)).unwrap();
        if shape.cell.has_c() {
            start.set_c(&draw(shape.layers * batch * shape.hidden)).unwrap();
        }

        let mut truth = cpu::Network::new(Cpu::widest(), Threads::default(), &shape, steps, batch, Purpose::Training);
        let mut card = cuda::Network::new(&cuda, &shape, steps, batch, Purpose::Training).unwrap();
        assert!(self.frame.is_none_or(|frame| frame == card.plan().frame()));
        card.set_params(model.params()).unwrap();
        let (mut state, mut state_on_card) = (start.clone(), start);
        truth.forward(model.params(), &x, &mut state, head, None);
        card.forward(&x, &mut state_on_card, head).unwrap();
        let what = self.describe();
        let near = |name: &str, found: &[f32], truth: &[f32], tolerance: f64| {
            assert_eq!(found.len(), truth.len(), "{what}: {name}");
            for (i, (&a, &b)) in found.iter().zip(truth).enumerate() {
                let error = (f64::from(a) - f64::from(b)).abs();
                assert!(
                    error <= tolerance,
                    "{what}: {name}[{i}] is {a}, not {b}: {error:e} off, {tolerance:e} allowed"
                );
            }
        };
        for row in truth.head_rows() {
            near(&format!("y {row}"), card.y(row), truth.y(row), self.output);
        }
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
        truth.backward(model.params(), &mut grads, &x, false);
        card.backward(&dy, &mut found, false).unwrap();
        let part = |truth: &[f32]| self.gradient * truth.iter().fold(0.1, |most: f64, &g| most.max(f64::from(g).abs()));
        for ((name, found), (_, truth)) in model.named(&found).into_iter().zip(model.named(&grads)) {
            near(&format!("d{name}"), found.data(), truth.data(), part(truth.data()));
        }
        near("padding", &found, &grads, part(&grads)); // which is zero
        for row in 0..steps * batch {
            near(&format!("dx {row}"), card.dx(row), truth.dx(row), 10.0 * self.gradient);
        }
        for layer in 0..shape.layers {
            for b in 0..batch {
                for c in [false, true] {
                    let (found, truth) = (card.dstate(layer, b, c), truth.dstate(layer, b, c));
                    near(&format!("dstate {layer} {b} {c}"), found, truth, 10.0 * self.gradient);
                }
            }
        }
    }
}

/// The sizes where something begins: a lane, a vector, a tile, a warp.
const SEAMS: [usize; 12] = [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 100];
/// (T, B) that go round with them.
const WINDOWS: [(usize, usize); 6] = [(20, 3), (2, 33), (100, 1), (1, 3), (20, 1), (5, 33)];

/// All sizes at the seams in the frame that is chosen for them: of one block.
fn seams(cuda: &Cuda, of: impl Fn(usize) -> Shape) {
    for (i, hidden) in SEAMS.into_iter().enumerate() {
        let (steps, batch) = WINDOWS[i % WINDOWS.len()];
        let check = Check::new(of(hidden), steps, batch);
        check.frame(Frame::OneBlock).run(cuda);
    }
}

#[test]
fn rnn_at_the_seams() {
    on_a_card("rnn_at_the_seams", Kind::Plain, 1, |cuda| seams(cuda, |hidden| shape(CellKind::Rnn, 1, hidden, 1, 1)));
}

#[test]
fn relu_at_the_seams() {
    let relu = |hidden| Shape { nonlinearity: Nonlinearity::Relu, ..shape(CellKind::Rnn, 3, hidden, 1, 2) };
    on_a_card("relu_at_the_seams", Kind::Plain, 2, |cuda| seams(cuda, relu));
}

#[test]
fn lstm_at_the_seams() {
    on_a_card("lstm_at_the_seams", Kind::Plain, 3, |cuda| seams(cuda, |hidden| shape(CellKind::Lstm, 2, hidden, 1, 1)));
}

#[test]
fn gru_at_the_seams() {
    on_a_card("gru_at_the_seams", Kind::Plain, 0, |cuda| seams(cuda, |hidden| shape(CellKind::Gru, 1, hidden, 1, 17)));
}

#[test]
fn layers_widths_and_no_bias() {
    on_a_card("layers_widths_and_no_bias", Kind::Plain, 4, |cuda| {
        for cell in CellKind::ALL {
            Check::new(shape(cell, 17, 20, 3, 5), 7, 3).run(cuda);
            Check::new(Shape { bias: false, ..shape(cell, 33, 9, 2, 1) }, 4, 5).run(cuda);
            Check::new(Shape { output: None, ..shape(cell, 2, 9, 2, 1) }, 6, 2).run(cuda);
            Check { head: Head::Last, ..Check::new(shape(cell, 2, 9, 1, 3), 6, 2) }.run(cuda);
            let headless = Shape { output: None, ..shape(cell, 2, 9, 1, 1) };
            Check { head: Head::Last, ..Check::new(headless, 6, 2) }.run(cuda);
        }
    });
}

/// More weights than registers: some in shared memory.
#[test]
fn weights_in_shared_memory() {
    on_a_card("weights_in_shared_memory", Kind::Plain, 5, |cuda| {
        for cell in [CellKind::Lstm, CellKind::Gru] {
            Check::new(shape(cell, 1, 120, 1, 1), 5, 2).frame(Frame::OneBlock).run(cuda);
        }
    });
}

/// Several sequences a block: more of them than the card takes one by one.
#[test]
fn large_batches() {
    on_a_card("large_batches", Kind::Plain, 6, |cuda| {
        for cell in CellKind::ALL {
            Check::new(shape(cell, 2, 64, 1, 1), 3, 70).frame(Frame::OneBlock).run(cuda);
        }
    });
}

#[test]
fn many_blocks() {
    on_a_card("many_blocks", Kind::Plain, 7, |cuda| {
        for cell in CellKind::ALL {
            for (hidden, steps, batch) in [(16, 4, 1), (33, 20, 3), (64, 3, 33), (100, 2, 9)] {
                Check::new(shape(cell, 3, hidden, 1, 2), steps, batch).frame(Frame::ManyBlocks).run(cuda);
            }
            Check::new(shape(cell, 3, 40, 2, 2), 5, 2).frame(Frame::ManyBlocks).run(cuda);
        }
    });
}

#[test]
fn step_by_step() {
    on_a_card("step_by_step", Kind::Plain, 8, |cuda| {
        for cell in CellKind::ALL {
            for (hidden, steps, batch) in [(1, 20, 1), (17, 5, 3), (100, 3, 33)] {
                Check::new(shape(cell, 2, hidden, 2, 1), steps, batch).frame(Frame::Stepwise).run(cuda);
            }
        }
    });
}

/// Factors rounded to fewer bits: as far off as those bits, and the more so the longer the sums.
#[test]
fn rounded_products() {
    on_a_card("rounded_products", Kind::Plain, 9, |cuda| {
        for (dtype, bits) in [(Dtype::Tf32, 10), (Dtype::F16, 10), (Dtype::Bf16, 7)] {
            let off = 8.0 * 0.5_f64.powi(bits);
            for cell in CellKind::ALL {
                for (frame, hidden) in [(Frame::OneBlock, 33), (Frame::ManyBlocks, 40), (Frame::Stepwise, 20)] {
                    let check = Check::new(shape(cell, 3, hidden, 2, 2), 6, 3).frame(frame);
                    Check { dtype, output: off, gradient: 2.0 * off, ..check }.run(cuda);
                }
            }
        }
    });
}

/// Eight sequences and more, spread over many blocks: tensor cores multiply, where the card has them.
#[test]
fn tensor_cores() {
    on_a_card("tensor_cores", Kind::Plain, 10, |cuda| {
        let card = cuda.gpu().properties();
        if card.arch.number() < 80 {
            return println!("SKIPPED: {} has no tensor cores for this", card.name);
        }
        for (dtype, bits) in [(Dtype::Tf32, 10), (Dtype::F16, 10), (Dtype::Bf16, 7)] {
            let off = 8.0 * 0.5_f64.powi(bits);
            for cell in CellKind::ALL {
                for (hidden, steps, batch) in [(40, 3, 40), (100, 2, 33)] {
                    let shape = shape(cell, 3, hidden, 1, 2);
                    let plan = Plan::choose(&shape, batch, dtype, card, Some(Frame::ManyBlocks)).unwrap();
                    assert!(plan.forward.tensor && plan.backward.tensor, "{plan:?}");
                    let check = Check::new(shape, steps, batch).frame(Frame::ManyBlocks);
                    Check { dtype, output: off, gradient: 2.0 * off, ..check }.run(cuda);
                }
            }
        }
    });
}
