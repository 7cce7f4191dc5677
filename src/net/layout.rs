//! Where every parameter lies in the one flat arena, and the only place that knows.
//!
//! Files and users see PyTorch's tensors: `rnn.weight_ih_l0 [G·H, I]`, rows grouped by gate. The kernels want
//! the sixteen units of a vector side by side and all gates of a unit close together, so in memory the same
//! tensor is `[tile][column][gate][lane]`: unit `u` is lane `u % 16` of tile `u / 16`. A product then reads
//! its weights from front to back. Lanes beyond the last unit are zero, stay zero, and are never exported.
//!
//! Gradients and the moments of the optimiser are shadows of the arena: other buffers, same offsets.

#[cfg(feature = "alloc")]
pub use crate::net::table::{Entry, LayerRanges, Layout};

use crate::net::shape::Shape;
use crate::net::weight_format::Weights;
use crate::simd::lanes::{LANES, padded};

/// The place of one value of a tensor, counted from where the tensor begins. The tensor has `gates` rows for each unit
/// and `columns` columns (1 for a bias).
#[inline]
pub(crate) const fn place(gates: usize, columns: usize, gate: usize, unit: usize, column: usize) -> usize {
    ((unit / LANES * columns + column) * gates + gate) * LANES + unit % LANES
}

/// Where the parameters of a recurrent layer begin in an arena. The compiler knows this where it knows the shape.
///
/// Training has one arena, that of [`Weights::F32`]. Steps, and sequences where a format has scales, can also use
/// smaller arenas. These have the same order, with a scale for each row after a weight whose format has scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offsets {
    /// `weight_ih`
    pub weight_ih: usize,
    /// The scales of its rows, `[tile][gate][lane]`, if the format has them.
    pub scale_ih: usize,
    /// `weight_hh`
    pub weight_hh: usize,
    /// The scales of its rows.
    pub scale_hh: usize,
    /// `bias_ih`, if the network has biases.
    pub bias_ih: usize,
    /// `bias_hh`
    pub bias_hh: usize,
    /// Where the next layer begins, or the head.
    pub end: usize,
}

impl Offsets {
    /// Those of layer `layer`, the bottom one being 0, in words of 32 bits.
    #[inline]
    pub(crate) const fn layer(shape: &Shape, weights: Weights, layer: usize) -> Self {
        let first = Self::from(shape, weights, 0, shape.input);
        if layer == 0 {
            return first;
        }
        let above = Self::from(shape, weights, 0, shape.hidden).end;
        Self::from(shape, weights, first.end + (layer - 1) * above, shape.hidden)
    }

    /// Those of a layer that begins at `weight_ih` and reads `columns` values.
    #[inline]
    const fn from(shape: &Shape, weights: Weights, weight_ih: usize, columns: usize) -> Self {
        let rows = shape.gates() * padded(shape.hidden);
        let scales = if weights.scaled() { rows } else { 0 };
        let biases = if shape.bias { rows } else { 0 };
        let column = rows / LANES * weights.words();
        let scale_ih = weight_ih + column * columns.div_ceil(weights.run());
        let weight_hh = scale_ih + scales;
        let scale_hh = weight_hh + column * shape.hidden.div_ceil(weights.run());
        let bias_ih = scale_hh + scales;
        let bias_hh = bias_ih + biases;
        Self { weight_ih, scale_ih, weight_hh, scale_hh, bias_ih, bias_hh, end: bias_hh + biases }
    }

    /// Where `fc.weight` begins, `fc.bias`, and the end of the arena. Without a head they are the same.
    #[inline]
    pub const fn head(shape: &Shape, weights: Weights) -> (usize, usize, usize) {
        let weight = Self::layer(shape, weights, shape.layers - 1).end;
        let rows = match shape.output {
            Some(output) => padded(output),
            None => 0,
        };
        let bias = weight + rows * shape.hidden;
        (weight, bias, bias + rows)
    }

    /// Length of the arena, padding included.
    #[inline]
    pub const fn arena(shape: &Shape, weights: Weights) -> usize {
        Self::head(shape, weights).2
    }
}
