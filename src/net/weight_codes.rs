//! Conversion of weights to their formats, and formats by their names.

use crate::error::{Error, Result};
use crate::net::weight_format::Weights;
use crate::simd::lanes::LANES;
use alloc::format;
use core::str::FromStr;
use half::f16;

impl Weights {
    /// Stores `weight` in `words`, and the scales of its rows in `scales`. `weight` is packed as in the arena of f32,
    /// `[tile][column][gate][lane]`; `words` are `[tile][run of columns][gate][words]`, `scales` `[tile][gate][lane]`.
    /// Afterwards `weight` has the values that were stored.
    ///
    /// # Errors
    /// If a weight is not finite, or too large for the format. `name` is the name of the tensor in the message.
    pub(crate) fn store(
        self,
        name: &str,
        gates: usize,
        columns: usize,
        weight: &mut [f32],
        words: &mut [f32],
        scales: &mut [f32],
    ) -> Result<()> {
        let largest = match self {
            Self::F32 | Self::Bf16 => f32::MAX,
            Self::F16 => f16::MAX.to_f32(),
            Self::Int8 => f32::MAX / 2.0, // 127 times the scale is still a number
        };
        if let Some(value) = weight.iter().find(|value| value.is_nan() || value.abs() > largest) {
            let format = self.name();
            return Err(Error::invalid(format!("{name}: the value {value} does not fit into {format} weights")));
        }
        let words: &mut [u32] = bytemuck::cast_slice_mut(words);
        let panel = gates * LANES;
        match self {
            Self::F32 => words.copy_from_slice(bytemuck::cast_slice(weight)),
            Self::Bf16 => {
                let runs = columns.div_ceil(2) * panel;
                for (tile, words) in weight.chunks_exact_mut(columns * panel).zip(words.chunks_exact_mut(runs)) {
                    for (pair, words) in tile.chunks_mut(2 * panel).zip(words.chunks_exact_mut(panel)) {
                        let (first, second) = pair.split_at_mut(panel);
                        for (i, word) in words.iter_mut().enumerate() {
                            *word = two_bf16(first[i], second.get(i).copied().unwrap_or(0.0));
                            first[i] = f32::from_bits(*word << 16);
                            if let Some(second) = second.get_mut(i) {
                                *second = f32::from_bits(*word);
                            }
                        }
                    }
                }
            }
            Self::F16 => {
                for (value, stored) in weight.iter_mut().zip(bytemuck::cast_slice_mut::<_, u16>(words)) {
                    let half = f16::from_f32(*value);
                    (*stored, *value) = (half.to_bits(), half.to_f32());
                }
            }
            Self::Int8 => {
                let bytes: &mut [i8] = bytemuck::cast_slice_mut(words);
                let tiles = weight.chunks_exact_mut(columns * panel).zip(bytes.chunks_exact_mut(columns * panel));
                for ((tile, bytes), scales) in tiles.zip(scales.chunks_exact_mut(panel)) {
                    for (row, scale) in scales.iter_mut().enumerate() {
                        let values = || tile.iter().skip(row).step_by(panel);
                        let most = values().fold(0.0_f32, |most, value| most.max(value.abs()));
                        // a row too small for a scale of its own is zero
                        *scale = if most / 127.0 >= f32::MIN_POSITIVE { most / 127.0 } else { 1.0 };
                    }
                    for (value, byte) in tile.chunks_exact_mut(panel).zip(bytes.chunks_exact_mut(panel)) {
                        for ((value, byte), &scale) in value.iter_mut().zip(byte).zip(scales.iter()) {
                            *byte = libm::rintf(*value / scale).clamp(-127.0, 127.0) as i8;
                            *value = f32::from(*byte) * scale;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

impl FromStr for Weights {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let known = "f32, bf16, f16, int8";
        let found = Self::ALL.into_iter().find(|weights| weights.name() == name);
        found.ok_or_else(|| Error::invalid(format!("weights {name:?}: not one of {known}")))
    }
}

/// Two weights in one word: the first in the low half, the second in the high half. A step takes the word, read as f32,
/// for the second weight, which costs no instruction. Its upper half is chosen with the lower half in mind. So it is as
/// near to the weight as bf16 gets: within half a unit in the last of its eight bits.
fn two_bf16(first: f32, second: f32) -> u32 {
    /// The upper half of 2^-100. Weights smaller than that become zero. A second weight cannot be zero where the lower
    /// half of its word is not. Then it gets this size, so that it is never a subnormal number, which would be slow.
    const LEAST: u32 = 0x0d80;
    const MOST: u32 = 0x7f7f;
    let parts = |value: f32| (value.to_bits() >> 16 & 0x8000, value.to_bits() & 0x7fff_ffff);
    let upper = |size: u32, lower: u32| ((size + 0x8000).saturating_sub(lower) >> 16).min(MOST);
    let (sign, size) = parts(first);
    let low = match upper(size, 0) {
        0..LEAST => 0,
        upper => sign | upper,
    };
    let (sign, size) = parts(second);
    let high = match upper(size, low) {
        0..LEAST if low == 0 => 0,
        upper => sign | upper.max(LEAST),
    };
    high << 16 | low
}
