//! The kernels against the CPU path: outputs, states, every gradient, whole trainings. On the card of this machine if it
//! has one, else on the emulated device.
#![cfg(feature = "cuda")]

#[path = "common/agree.rs"]
mod agree;
#[path = "common/card.rs"]
mod card;
#[path = "common/emulator.rs"]
mod emulator;

use agree::{Check, shape};
use card::on_a_card;
use emulator::Kind;
use rnnstep::cuda::plan::Plan;
use rnnstep::cuda::{Cuda, Dtype, Frame};
use rnnstep::pass::Head;
use rnnstep::{CellKind, Nonlinearity, Shape};

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
