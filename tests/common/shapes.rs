//! Networks whose sizes lie at the seams, drawn by proptest, and numbers to feed them.
#![allow(dead_code, reason = "each test file uses its part")]

use proptest::prelude::*;
use rnnstep::{CellKind, Nonlinearity, Shape};

/// Hidden units around whole vectors and whole blocks.
pub const HIDDEN: [usize; 12] = [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 100];

/// Networks of every kind, with a head and without one.
pub fn shapes() -> impl Strategy<Value = Shape> {
    let output = prop::option::of(prop::sample::select(vec![1, 2, 5, 16, 17]));
    let (cell, hidden) = (prop::sample::select(CellKind::ALL.to_vec()), prop::sample::select(HIDDEN.to_vec()));
    (cell, any::<bool>(), 1..=5_usize, hidden, 1..=3_usize, output, any::<bool>()).prop_map(
        |(cell, relu, input, hidden, layers, output, bias)| shape(cell, relu, [input, hidden, layers], output, bias),
    )
}

/// One of them. Only an Elman RNN can be a `relu` one: of the others that is no matter.
pub fn shape(
    cell: CellKind,
    relu: bool,
    [input, hidden, layers]: [usize; 3],
    output: Option<usize>,
    bias: bool,
) -> Shape {
    let relu = relu && cell == CellKind::Rnn;
    let nonlinearity = if relu { Nonlinearity::Relu } else { Nonlinearity::Tanh };
    let shape = Shape::new(cell, input, hidden, layers, 1).unwrap();
    shape.with_nonlinearity(nonlinearity).unwrap().with_output(output).unwrap().with_bias(bias).unwrap()
}

/// Values with a period that divides no size, so that swapped rows cannot cancel; `seed` shifts them.
pub fn wave(len: usize, seed: u64) -> Vec<f32> {
    (0..len).map(|i| (((i as u64 + seed % 997) * 37 % 251) as f32 / 125.0 - 1.0) * 1.5).collect()
}

/// For comparisons to the bit, in which a NaN is a number like others.
pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}
