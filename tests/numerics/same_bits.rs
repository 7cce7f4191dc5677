//! The same bits on every machine: a short training and a few steps of a stream, reduced to one number each, which
//! is written down here. Every instruction set and every number of threads must give it, on x86-64 and on ARM alike.
//!
//! Nothing here asks the machine's own mathematics library for anything: the inputs are whole numbers divided once.
//! A change that is meant to alter a sum or a formula alters the numbers; the failing test prints the new ones.

use rnnstep::cpu::Threads;
use rnnstep::data::windows::Windows;
use rnnstep::objective::optimizer::{Adam, Optimizer, Schedule, Sgd};
use rnnstep::train::{Recipe, Trainer};
use rnnstep::{CellKind, Cpu, Isa, Loss, Model, Nonlinearity, Shape, Stream, Tensor};

/// Input, hidden and output are no whole vectors, so that the padding takes part.
const INPUT: usize = 3;
const HIDDEN: usize = 21;
const OUTPUT: usize = 2;
const STEPS: u64 = 6;

/// FNV-1a, 64 bits, over the bits of every value. The sign of a NaN is the machine's affair, so there must be none.
fn digest(values: impl IntoIterator<Item = f32>) -> u64 {
    values.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, value| {
        assert!(value.is_finite());
        value.to_bits().to_le_bytes().iter().fold(hash, |h, &byte| (h ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
    })
}

/// Values from -0.5 to 0.5 that look irregular; one division each, which rounds the same way everywhere.
fn values(n: usize, salt: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * i * 7 + i * 37 + salt) % 101) as f32 / 101.0 - 0.5).collect()
}

fn shape(cell: CellKind, nonlinearity: Nonlinearity) -> Shape {
    Shape::new(cell, INPUT, HIDDEN, 2, 1)
        .unwrap()
        .with_nonlinearity(nonlinearity)
        .unwrap()
        .with_output(Some(OUTPUT))
        .unwrap()
}

fn windows() -> Windows {
    let (count, batch, seq_len) = (3, 5, 11);
    let x = Tensor::new(vec![count, batch, seq_len, INPUT], values(count * batch * seq_len * INPUT, 11)).unwrap();
    let target = Tensor::new(vec![count, batch, seq_len, OUTPUT], values(count * batch * seq_len * OUTPUT, 5)).unwrap();
    Windows::cut(x, target).unwrap()
}

/// Everything that a training step may do: clipping, weight decay, dropout, a schedule, a carried state.
fn recipe(optimizer: Optimizer) -> Recipe {
    Recipe {
        loss: Loss::Huber,
        optimizer,
        schedule: Schedule::Cosine { steps: Some(STEPS), min: 1e-4 },
        clip: Some(0.1),
        dropout: 0.25,
        seed: 7,
        ..Recipe::default()
    }
}

/// The losses of every step and the weights after the last.
fn train(shape: Shape, optimizer: Optimizer, isa: Isa, threads: usize) -> u64 {
    let model = Model::random(shape, 42).unwrap();
    let (cpu, threads) = (Cpu::new(isa).unwrap(), Threads::new(threads).unwrap());
    let mut trainer = Trainer::new(model, windows(), recipe(optimizer), cpu, threads).unwrap();
    let losses: Vec<f32> = (0..STEPS).map(|_| trainer.step().unwrap().loss).collect();
    digest(losses.into_iter().chain(trainer.model().params().iter().copied()))
}

/// Every prediction of a stream of 50 steps.
fn stream(shape: Shape, isa: Isa) -> u64 {
    let mut stream = Stream::on(Cpu::new(isa).unwrap(), Model::random(shape, 42).unwrap()).unwrap();
    digest(values(50 * INPUT, 3).chunks(INPUT).flat_map(|x| stream.step(x).unwrap().to_vec()).collect::<Vec<_>>())
}

#[test]
fn training() {
    let adam = Optimizer::AdamW(Adam { weight_decay: 0.01, amsgrad: true, ..Adam::default() });
    let sgd = Optimizer::Sgd(Sgd { momentum: 0.9, nesterov: true, ..Sgd::default() });
    for (cell, nonlinearity, optimizer, expected) in [
        (CellKind::Rnn, Nonlinearity::Tanh, adam, 0x0b5f_c6c4_a6f1_e851),
        (CellKind::Rnn, Nonlinearity::Relu, sgd, 0xcf76_e70a_4e50_1b36),
        (CellKind::Lstm, Nonlinearity::Tanh, adam, 0x9e56_5d24_ad58_dc99),
        (CellKind::Gru, Nonlinearity::Tanh, adam, 0xaea0_d153_c186_c60a),
        (CellKind::Mgu, Nonlinearity::Tanh, adam, 0x67ac_4880_4c62_266e),
    ] {
        for (isa, threads) in Isa::available().into_iter().flat_map(|isa| [(isa, 1), (isa, 2)]) {
            let found = train(shape(cell, nonlinearity), optimizer, isa, threads);
            println!("training {cell:?} {nonlinearity:?} {isa:?} {threads} threads: {found:#018x}");
            assert_eq!(found, expected, "{cell:?} {nonlinearity:?} on {isa:?}: found {found:#018x}");
        }
    }
}

#[test]
fn streaming() {
    for (cell, nonlinearity, expected) in [
        (CellKind::Rnn, Nonlinearity::Tanh, 0x42df_f849_fb27_4e18),
        (CellKind::Rnn, Nonlinearity::Relu, 0x9328_29e4_e8a0_7e4f),
        (CellKind::Lstm, Nonlinearity::Tanh, 0x5878_4f11_4538_4271),
        (CellKind::Gru, Nonlinearity::Tanh, 0xa37e_7774_311c_9e9f),
        (CellKind::Mgu, Nonlinearity::Tanh, 0x4249_dcb3_35ba_c844),
    ] {
        for isa in Isa::available() {
            let found = stream(shape(cell, nonlinearity), isa);
            println!("streaming {cell:?} {nonlinearity:?} {isa:?}: {found:#018x}");
            assert_eq!(found, expected, "{cell:?} {nonlinearity:?} on {isa:?}: found {found:#018x}");
        }
    }
}
