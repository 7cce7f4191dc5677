//! Plain arrays: an aligned buffer for the kernels, and a tensor on the host for inputs and outputs.

use crate::error::{Error, Result};
use crate::memory::{Refused, asking};
use crate::simd::lanes::LANES;
use alloc::{boxed::Box, format, string::ToString, vec, vec::Vec};
use core::ops::{Deref, DerefMut, Range};

/// Sixteen values, one cache line.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([f32; LANES]);

/// A fixed number of f32 that starts and ends at the border of a cache line. It is never reallocated after
/// construction. The values beyond `len` in the last line are zero.
#[derive(Clone)]
pub struct Buffer {
    lines: Box<[Line]>,
    len: usize,
}

impl Buffer {
    /// `len` zeros.
    ///
    /// # Panics
    /// If the memory cannot be had.
    pub fn zeros(len: usize) -> Self {
        // zeroed by the allocator, for which fresh pages are zero already
        Self { lines: bytemuck::zeroed_slice_box(len.div_ceil(LANES)), len }
    }

    /// `len` zeros, for a length that comes from outside, such as from a file.
    ///
    /// # Errors
    /// If the memory cannot be had.
    pub fn try_zeros(len: usize) -> Result<Self> {
        let lines = asking(|| bytemuck::allocation::try_zeroed_slice_box(len.div_ceil(LANES)));
        let refused = |()| Error::invalid(Refused(len.saturating_mul(size_of::<f32>())).to_string());
        Ok(Self { lines: lines.map_err(refused)?, len })
    }

    /// The first moment, the second moment and its maximum, of `len` parameters each; empty for those not `kept`.
    ///
    /// # Errors
    /// If the memory cannot be had.
    pub(crate) fn moments(kept: [bool; 3], len: usize) -> Result<[Self; 3]> {
        let [m, v, v_max] = kept.map(|kept| Self::try_zeros(if kept { len } else { 0 }));
        Ok([m?, v?, v_max?])
    }

    /// A pointer to the first value. Unlike a slice it does not compute the length.
    #[inline]
    pub fn as_ptr(&self) -> *const f32 {
        self.lines.as_ptr().cast()
    }

    /// The same, to write to.
    #[inline]
    pub fn as_mut_ptr(&mut self) -> *mut f32 {
        self.lines.as_mut_ptr().cast()
    }

    /// How many values there are.
    #[inline]
    #[allow(clippy::len_without_is_empty, reason = "the slice has it")]
    pub fn len(&self) -> usize {
        self.len
    }
}

impl Deref for Buffer {
    type Target = [f32];
    #[inline]
    fn deref(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

impl core::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.deref().fmt(f)
    }
}

/// Writes to every page of `values` what is there already, so that the system has to provide the memory now.
pub(crate) fn touch(values: &mut [f32]) {
    const PAGE: usize = 4096; // no system has smaller ones
    let ends = values.len().saturating_sub(1)..values.len();
    for at in (0..values.len()).step_by(PAGE / size_of::<f32>()).chain(ends) {
        values[at] = core::hint::black_box(values[at]); // a value that the compiler cannot know: it has to be written
    }
}

/// The same for the part of `values` that is not in use yet.
pub(crate) fn touch_spare<T: Copy + Default>(values: &mut Vec<T>) {
    for spare in values.spare_capacity_mut() {
        spare.write(core::hint::black_box(T::default()));
    }
}

/// A host array of f32 in row-major order with up to four dimensions, for everything that comes in or goes out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tensor {
    dims: Vec<usize>,
    data: Vec<f32>,
}

impl Tensor {
    /// An array of `dims` that holds `data`, row after row: the last dimension runs fastest.
    ///
    /// # Errors
    /// If `data` is not as long as the product of `dims`.
    pub fn new(dims: impl Into<Vec<usize>>, data: impl Into<Vec<f32>>) -> Result<Self> {
        let (dims, data) = (dims.into(), data.into());
        match length(&dims) {
            Some(len) if len == data.len() => Ok(Self { dims, data }),
            _ => Err(Error::invalid(format!("an array of shape {dims:?} cannot hold {} values", data.len()))),
        }
    }

    /// An array of zeros.
    ///
    /// # Panics
    /// If there are more values than a `usize` can count, as a `Vec` does.
    pub fn zeros(dims: impl Into<Vec<usize>>) -> Self {
        let dims = dims.into();
        let data = vec![0.0; length(&dims).expect("capacity overflow")];
        Self { dims, data }
    }

    /// The size of each dimension.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// The values, row after row.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The values, row after row.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The values, row after row, without the dimensions.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }

    /// How many rows there are when every dimension but the last is counted as rows, and how long one is.
    pub fn rows(&self) -> (usize, usize) {
        let width = self.dims.last().copied().unwrap_or(1);
        (self.data.len().checked_div(width).unwrap_or(0), width)
    }

    /// Some of the first dimension: `[N,..]` becomes `[range.len(),..]`.
    ///
    /// # Errors
    /// If the range is not within it.
    pub fn part(&self, range: Range<usize>) -> Result<Self> {
        let inside = |first: &usize| range.start <= range.end && range.end <= *first;
        let Some((&first, rest)) = self.dims.split_first().filter(|(first, _)| inside(first)) else {
            return Err(Error::invalid(format!("an array of shape {:?} has no part {range:?}", self.dims)));
        };
        let width = self.data.len() / first.max(1);
        let dims = [&[range.len()], rest].concat();
        Self::new(dims, &self.data[range.start * width..range.end * width])
    }

    /// The first two dimensions exchanged: `[B,T,..]` becomes `[T,B,..]` and the other way round.
    ///
    /// # Errors
    /// If there are fewer than two dimensions.
    pub fn swap_batch_and_time(&self) -> Result<Self> {
        let [a, b, rest @ ..] = self.dims.as_slice() else {
            return Err(Error::invalid(format!("an array of shape {:?} has no batch and time to exchange", self.dims)));
        };
        let (a, b) = (*a, *b);
        let mut out = Vec::with_capacity(self.data.len());
        if !self.data.is_empty() {
            let width = self.data.len() / (a * b); // without values, a · b could overflow
            for j in 0..b {
                for i in 0..a {
                    let at = (i * b + j) * width;
                    out.extend_from_slice(&self.data[at..at + width]);
                }
            }
        }
        let dims = [&[b, a], rest].concat();
        Ok(Self { dims, data: out })
    }
}

/// The product of `dims`, if a `usize` can hold it.
fn length(dims: &[usize]) -> Option<usize> {
    // first: an array with a dimension of 0 has no values, even if the product of the others would overflow
    if dims.contains(&0) { Some(0) } else { dims.iter().try_fold(1_usize, |len, &dim| len.checked_mul(dim)) }
}
