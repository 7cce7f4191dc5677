//! The kernels under the address, undefined-behaviour and race checkers: each cell in each frame,
//! products of every kind, training as a recorded graph and as one kernel. Smaller than in
//! `kernels.rs`, since a checked access is slow.
#![cfg(feature = "cuda")]

use crate::agree::{Check, shape};
use crate::emulator::{Emulator, Kind};
use rnnstep::cpu::Threads;
use rnnstep::cuda::{Cuda, Dtype, Frame, Images};
use rnnstep::data::windows::Windows;
use rnnstep::objective::optimizer::{Optimizer, Sgd};
use rnnstep::train::{Recipe, Trainer};
use rnnstep::{CellKind, Loss, Model, Nonlinearity, Tensor};

/// Runs `body` with kernels checked in this way; all blocks of a launch run side by side.
fn checked(test: &str, kind: Kind, seed: u64, body: impl FnOnce(&Cuda)) {
    let Some(emulator) = Emulator::new(kind) else { return };
    let emulator = emulator.with("EMULATOR_SEED", seed).with("EMULATOR_RESIDENT", 1);
    let body = || body(&Cuda::open(0, Images::new(false)).unwrap());
    if let Some(ran) = emulator.run_inside(&format!("sanitized::{test}"), &format!("{kind:?} {seed}"), body) {
        assert!(ran.status.success(), "{test} on {kind:?}, seed {seed}: {}\n{}", ran.status, ran.text);
    }
}

fn layers(cuda: &Cuda) {
    for cell in CellKind::ALL {
        for frame in Frame::ALL {
            Check::new(shape(cell, 3, 20, 2, 2), 3, 3).frame(frame).run(cuda);
        }
    }
    let relu = shape(CellKind::Rnn, 1, 9, 1, 1).with_nonlinearity(Nonlinearity::Relu).unwrap();
    Check::new(relu, 4, 1).run(cuda);
    // some weights in shared memory; several sequences a block; an odd number of steps
    Check::new(shape(CellKind::Lstm, 1, 120, 1, 1), 3, 1).frame(Frame::OneBlock).run(cuda);
    Check::new(shape(CellKind::Gru, 2, 20, 1, 1), 3, 70).frame(Frame::OneBlock).run(cuda);
}

fn rounded(cuda: &Cuda) {
    for (dtype, bits) in [(Dtype::Tf32, 10), (Dtype::F16, 10), (Dtype::Bf16, 7)] {
        let off = 8.0 * 0.5_f64.powi(bits);
        for (frame, batch) in [(Frame::OneBlock, 2), (Frame::ManyBlocks, 40)] {
            let check = Check::new(shape(CellKind::Lstm, 3, 20, 1, 2), 2, batch).frame(frame);
            Check { dtype, output: off, gradient: 2.0 * off, ..check }.run(cuda);
        }
    }
}

fn trainings_with(recipe: &Recipe, cuda: &Cuda) {
    let rows = |width: usize| {
        let values: Vec<f32> = (0..60 * width).map(|i| (i as f32 * 0.37).sin()).collect();
        Tensor::new([60, width], values).unwrap()
    };
    let windows = Windows::lanes(rows(2), rows(3), 5, 3, false).unwrap();
    // one sequence is a layer of one warp for an RNN, in a block of four
    let lonely = Windows::lanes(rows(2), rows(3), 5, 1, false).unwrap();
    for cell in CellKind::ALL {
        for (layers, windows) in [(1, &windows), (1, &lonely), (2, &windows)] {
            let model = Model::random(shape(cell, 2, 20, layers, 3), 1).unwrap();
            let (windows, threads) = (windows.clone(), Threads::default());
            let mut trainer = Trainer::new(model, windows, recipe.clone(), cuda.clone(), threads).unwrap();
            trainer.steps(2, |step| assert!(step.loss.is_finite())).unwrap();
            trainer.fetch().unwrap();
            assert!(trainer.model().params().iter().all(|p| p.is_finite()));
        }
    }
}

/// Adam with everything that has a kernel of its own.
fn adam(cuda: &Cuda) {
    trainings_with(&Recipe { clip: Some(0.05), loss: Loss::Huber, dropout: 0.3, ..Recipe::default() }, cuda);
}

fn sgd(cuda: &Cuda) {
    let sgd = Sgd { momentum: 0.9, dampening: 0.0, nesterov: true, weight_decay: 0.01 };
    trainings_with(&Recipe { optimizer: Optimizer::Sgd(sgd), ..Recipe::default() }, cuda);
}

#[test]
fn layers_stay_inside_their_arrays() {
    checked("layers_stay_inside_their_arrays", Kind::Address, 1, layers);
}

#[test]
fn layers_have_no_races() {
    checked("layers_have_no_races", Kind::Thread, 2, layers);
}

#[test]
fn rounded_products_stay_inside_their_arrays() {
    checked("rounded_products_stay_inside_their_arrays", Kind::Address, 0, rounded);
}

#[test]
fn rounded_products_have_no_races() {
    checked("rounded_products_have_no_races", Kind::Thread, 3, rounded);
}

#[test]
fn adam_stays_inside_its_arrays() {
    checked("adam_stays_inside_its_arrays", Kind::Address, 2, adam);
}

#[test]
fn adam_has_no_races() {
    checked("adam_has_no_races", Kind::Thread, 1, adam);
}

#[test]
fn sgd_stays_inside_its_arrays() {
    checked("sgd_stays_inside_its_arrays", Kind::Address, 2, sgd);
}

#[test]
fn sgd_has_no_races() {
    checked("sgd_has_no_races", Kind::Thread, 1, sgd);
}
