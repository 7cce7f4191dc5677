//! Weights and data from a formula, so that any language can make them again: `torch_peer.py` has the same formula.

use rnnstep::{Model, Result, Shape, Tensor};

/// Sequence of the values of x; tensor number e of a model has sequence e.
pub const X: u32 = 100;
/// Of the targets.
pub const TARGET: u32 = 101;

/// Value `i` of sequence `of`, evenly from -1 to 1 in steps of 2^-23: an integer hash (a multiply-xorshift mixer).
fn value(of: u32, i: u32) -> f32 {
    let mut z = i.wrapping_mul(0x9E37_79B1).wrapping_add(of.wrapping_mul(0x85EB_CA77));
    z = (z ^ (z >> 15)).wrapping_mul(0x2C1B_3C6D);
    z = (z ^ (z >> 12)).wrapping_mul(0x297A_2D39);
    z ^= z >> 15;
    (z >> 8) as f32 / (1 << 23) as f32 - 1.0
}

/// The first `count` values of a sequence.
pub fn values(of: u32, count: usize) -> Vec<f32> {
    (0..count as u32).map(|i| value(of, i)).collect()
}

/// A network with weights between -1/√H and 1/√H.
pub fn model(shape: Shape) -> Result<Model> {
    let bound = 1.0 / (shape.hidden() as f32).sqrt();
    let entries = rnnstep::net::layout::Layout::new(&shape);
    let tensor = |(e, entry): (usize, &rnnstep::net::layout::Entry)| {
        let of = values(e as u32, entry.dims.iter().product());
        Tensor::new(entry.dims.clone(), of.into_iter().map(|value| bound * value).collect::<Vec<f32>>())
    };
    let weights: Vec<Tensor> = entries.entries().iter().enumerate().map(tensor).collect::<Result<_>>()?;
    Model::from_weights(shape, &weights)
}
