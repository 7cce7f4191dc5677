//! The kernels against the CPU path: outputs, states, every gradient, whole trainings. On the card of this machine if it
//! has one, else on the emulated device.
#![cfg(feature = "cuda")]

use crate::agree::{Check, shape};
use crate::card;
use crate::emulator::Kind;
use rnnstep::cuda::image::compile::{Program, compile};
use rnnstep::cuda::plan::Plan;
use rnnstep::cuda::{Cuda, Dtype, Frame, Gpu, Network};
use rnnstep::net::pass::{HeadSteps, Mode};
use rnnstep::{CellKind, DeviceErrorKind, Error, Model, Nonlinearity, Shape, State, Stream, Tensor};

/// `test` of this file on a card, see [`card::on_a_card`].
fn on_a_card(test: &str, kind: Kind, seed: u64, body: impl FnOnce(&Cuda)) {
    card::on_a_card(&format!("kernels::{test}"), kind, seed, body);
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
    let relu = |hidden| shape(CellKind::Rnn, 3, hidden, 1, 2).with_nonlinearity(Nonlinearity::Relu).unwrap();
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
fn mgu_at_the_seams() {
    on_a_card("mgu_at_the_seams", Kind::Plain, 1, |cuda| seams(cuda, |hidden| shape(CellKind::Mgu, 2, hidden, 1, 1)));
}

#[test]
fn layers_widths_and_no_bias() {
    on_a_card("layers_widths_and_no_bias", Kind::Plain, 4, |cuda| {
        for cell in CellKind::ALL {
            Check::new(shape(cell, 17, 20, 3, 5), 7, 3).run(cuda);
            Check::new(shape(cell, 33, 9, 2, 1).with_bias(false).unwrap(), 4, 5).run(cuda);
            Check::new(shape(cell, 2, 9, 2, 1).with_output(None).unwrap(), 6, 2).run(cuda);
            Check { head: HeadSteps::Last, ..Check::new(shape(cell, 2, 9, 1, 3), 6, 2) }.run(cuda);
            let headless = shape(cell, 2, 9, 1, 1).with_output(None).unwrap();
            Check { head: HeadSteps::Last, ..Check::new(headless, 6, 2) }.run(cuda);
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

/// One input far beyond all others, in every frame: the rows after it, the other sequences and the gradients are those of the
/// CPU in f32. 20, 33 and 40 units leave a part of the last sixteen unused, whose weights of zero must not meet an infinity.
fn outliers(cuda: &Cuda, dtype: Dtype, off: Option<f64>) {
    let tensor_cores = cuda.gpu().properties().arch.number() >= 80 && dtype != Dtype::F32;
    let (output, gradient) = off.map_or((1e-5, 3e-5), |off| (off, 2.0 * off));
    for (cell, outlier) in CellKind::ALL.into_iter().flat_map(|cell| [1e5, -1e30, f32::INFINITY].map(|x| (cell, x))) {
        let run = |frame, hidden, steps, batch| {
            let check = Check::new(shape(cell, 3, hidden, 2, 2), steps, batch).frame(frame);
            Check { dtype, outlier: Some(outlier), output, gradient, ..check }.run(cuda);
        };
        run(Frame::OneBlock, 33, 4, 2);
        run(Frame::ManyBlocks, 40, 4, 2);
        run(Frame::Stepwise, 20, 4, 2);
        if tensor_cores {
            run(Frame::ManyBlocks, 40, 3, 40);
        }
    }
}

#[test]
fn outliers_in_f32() {
    on_a_card("outliers_in_f32", Kind::Plain, 11, |cuda| outliers(cuda, Dtype::F32, None));
}

#[test]
fn outliers_in_tf32() {
    on_a_card("outliers_in_tf32", Kind::Plain, 11, |cuda| outliers(cuda, Dtype::Tf32, Some(8.0 / 1024.0)));
}

#[test]
fn outliers_in_f16() {
    on_a_card("outliers_in_f16", Kind::Plain, 11, |cuda| outliers(cuda, Dtype::F16, Some(8.0 / 1024.0)));
}

#[test]
fn outliers_in_bf16() {
    on_a_card("outliers_in_bf16", Kind::Plain, 11, |cuda| outliers(cuda, Dtype::Bf16, Some(8.0 / 128.0)));
}

/// In f16, what lies beyond its largest number is that number to the bit, in x, in the state and inside: of sequences, single
/// steps, and a relu, which has no bound of its own. A weight that lies beyond is an error.
#[test]
fn f16_ends_at_its_largest() {
    on_a_card("f16_ends_at_its_largest", Kind::Plain, 12, |cuda| {
        let largest = 65504.0;
        let relu = shape(CellKind::Rnn, 2, 20, 2, 1).with_nonlinearity(Nonlinearity::Relu).unwrap();
        for (of, frame) in
            Frame::ALL.into_iter().flat_map(|frame| [(relu, frame), (shape(CellKind::Gru, 2, 20, 2, 1), frame)])
        {
            let cuda = cuda.clone().with_dtype(Dtype::F16).with_frame(Some(frame));
            let model = Model::random(of, 5).unwrap();
            let run = |outlier: f32, h: f32| {
                let mut x = vec![0.25; 2 * 2 * 6];
                x[6] = outlier;
                let mut state = State::new(&of, 2);
                state.set_h(&vec![h; 2 * 2 * 20]).unwrap();
                let mut network = Network::new(&cuda, &of, 6, 2, Mode::Inference).unwrap();
                network.set_params(model.params()).unwrap();
                network.forward(&x, &mut state, HeadSteps::All).unwrap();
                let y: Vec<f32> = (0..12).flat_map(|row| network.y(row).to_vec()).collect();
                let mut stream = Stream::on(cuda.clone(), model.clone()).unwrap();
                let ticks = x.chunks(4).map(|x| stream.step(&x[..2]).unwrap()[0]);
                y.into_iter().chain(state.h().into_data()).chain(ticks.collect::<Vec<_>>()).collect::<Vec<f32>>()
            };
            let truth = run(largest, 0.1);
            assert!(truth.iter().all(|y| y.is_finite()), "{frame:?} {truth:?}");
            for outlier in [65505.0, 1e5, 1e30, f32::INFINITY] {
                assert_eq!(run(outlier, 0.1), truth, "{frame:?}: {outlier:e} in x");
                assert!(run(-outlier, -outlier.min(1e30)).iter().all(|y| y.is_finite()), "{frame:?}: {outlier:e} in h");
            }
            let mut params = model.params().to_vec();
            params[3] = -70_000.0;
            let mut network = Network::new(&cuda, &of, 1, 1, Mode::Inference).unwrap();
            let error = network.set_params(&params).unwrap_err().to_string();
            assert!(error.starts_with("rnn.weight_ih_l0: the value -70000 does not fit into f16 products"), "{error}");
        }
    });
}

/// A program tells by the kind of an error what it can do about it.
#[test]
fn errors_of_a_device_say_their_kind() {
    on_a_card("errors_of_a_device_say_their_kind", Kind::Plain, 1, |cuda| {
        let kind = |error| match error {
            Error::Device { kind, .. } => kind,
            other => panic!("{other}"),
        };
        assert_eq!(kind(Gpu::open(1000).unwrap_err()), DeviceErrorKind::NoDevice);
        // four terabytes
        assert_eq!(kind(cuda.gpu().zeros::<f32>(1 << 40).unwrap_err()), DeviceErrorKind::OutOfMemory);
        let in_one_block = cuda.clone().with_frame(Some(Frame::OneBlock));
        let large = shape(CellKind::Lstm, 1, 4096, 1, 1);
        let error = Network::new(&in_one_block, &large, 1, 1, Mode::Inference).unwrap_err();
        assert_eq!(kind(error), DeviceErrorKind::Unsupported);
        let nonsense = Program::from_text("nonsense.cu", "no kernel");
        assert_eq!(kind(compile(&nonsense, cuda.gpu().properties().arch, false).unwrap_err()), DeviceErrorKind::Failed);
    });
}

/// The input projection of the next piece of a window runs beside the time loop of this one.
#[test]
fn windows_in_pieces() {
    on_a_card("windows_in_pieces", Kind::Plain, 2, |cuda| {
        for (i, cell) in CellKind::ALL.into_iter().enumerate() {
            let cuda = cuda.clone().with_pieces(Some(2 + i % 3));
            for frame in [Frame::OneBlock, Frame::ManyBlocks] {
                Check::new(shape(cell, 3, 20, 2, 1), 7, 3).frame(frame).run(&cuda);
            }
            // more pieces than steps
            Check::new(shape(cell, 3, 20, 1, 1), 2, 1).run(&cuda);
        }
    });
}

/// tanh and sigmoid keep the relative errors that `kernels/math.cuh` states: an RNN of one unit is tanh(x), and a GRU with
/// a state of one and nothing in its new gate is sigmoid(x).
#[test]
fn activations() {
    on_a_card("activations", Kind::Plain, 0, |cuda| {
        let sizes = (-3500..205).map(|i| 10f32.powf(i as f32 / 100.0)).chain((0..2000).map(|i| 0.4 + i as f32 * 2e-4));
        let sizes: Vec<f32> = sizes.chain([0.0, 1e30, f32::INFINITY]).collect();
        let x: Vec<f32> = sizes.iter().flat_map(|&size| [size, -size]).chain([f32::NAN]).collect();
        let exactly = |x: f32| f64::from(x).tanh();
        let tanh = one_unit(cuda, CellKind::Rnn, &[1.0], &x);
        for (&x, &y) in x.iter().zip(&tanh) {
            let (truth, y) = (exactly(x), f64::from(y));
            assert!(truth.is_nan() == y.is_nan() && (y.is_nan() || y.abs() <= 1.0), "tanh({x:e}) is {y:e}");
            assert!(x.is_nan() || (y - truth).abs() <= 6.6e-7 * truth.abs(), "tanh({x:e}) is {y:e}, not {truth:e}");
        }
        let sigmoid = one_unit(cuda, CellKind::Gru, &[0.0, 1.0, 0.0], &x);
        // infinity by the weights of nothing is not a number
        for (&x, &y) in x.iter().zip(&sigmoid).filter(|(x, _)| !x.is_infinite()) {
            let (truth, y) = (1.0 / (1.0 + (-f64::from(x)).exp()), f64::from(y));
            // 2^-126 is the least number before subnormal ones, which become zero
            let allowed = (8e-7 + 6.5e-8 * f64::from(-x).max(0.0)).min(1e-5) * truth + 1.2e-38;
            assert!(truth.is_nan() == y.is_nan(), "sigmoid({x:e}) is {y:e}");
            assert!(x.is_nan() || (y - truth).abs() <= allowed, "sigmoid({x:e}) is {y:e}, not {truth:e}");
        }
    });
}

/// h after one step of a cell with one unit and a state of one, for each x, with these weights of x and none of h.
fn one_unit(cuda: &Cuda, cell: CellKind, weight_ih: &[f32], x: &[f32]) -> Vec<f32> {
    let shape = shape(cell, 1, 1, 1, 1).with_output(None).unwrap().with_bias(false).unwrap();
    let column = |values: &[f32]| Tensor::new([values.len(), 1], values.to_vec()).unwrap();
    let weights = [column(weight_ih), column(&vec![0.0; weight_ih.len()])];
    let model = Model::from_weights(shape, &weights).unwrap();
    let mut network = Network::new(cuda, &shape, 1, x.len(), Mode::Inference).unwrap();
    network.set_params(model.params()).unwrap();
    let mut state = State::new(&shape, x.len());
    state.set_h(&vec![1.0; x.len()]).unwrap();
    network.forward(x, &mut state, HeadSteps::All).unwrap();
    state.h().data().to_vec()
}
