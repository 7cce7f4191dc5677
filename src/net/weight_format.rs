//! How the recurrent weights of a step are stored: in f32, or smaller.
//!
//! A step waits for weights that do not fit the first-level cache, and a small board has little memory. In half or a
//! quarter of the size, weights are read sooner. State, inputs, biases, head and every sum stay in f32.

use crate::simd::lanes::LANES;
use core::fmt::{self, Display, Formatter};
use serde::{Deserialize, Serialize};

/// A number format for `weight_ih` and `weight_hh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weights {
    /// 32 bits, as trained.
    #[default]
    F32,
    /// 16 bits with the exponent of f32: off by at most 2^-8 of the weight.
    Bf16,
    /// 16 bits of IEEE 754: off by at most 2^-11 of the weight, at most 65504 large.
    F16,
    /// 8 bits with a scale for each row: off by at most 1/254 of the row's largest weight.
    Int8,
}

impl Weights {
    /// Every format there is.
    pub const ALL: [Self; 4] = [Self::F32, Self::Bf16, Self::F16, Self::Int8];

    /// The name on the command line and in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        }
    }

    /// How many columns of a weight share a word of 32 bits.
    pub const fn run(self) -> usize {
        if matches!(self, Self::Bf16) { 2 } else { 1 }
    }

    /// Words of 32 bits that sixteen rows take for one run of columns.
    pub const fn words(self) -> usize {
        match self {
            Self::F32 | Self::Bf16 => LANES,
            Self::F16 => LANES / 2,
            Self::Int8 => LANES / 4,
        }
    }

    /// Whether each row has a scale.
    pub const fn scaled(self) -> bool {
        matches!(self, Self::Int8)
    }
}

impl Display for Weights {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
