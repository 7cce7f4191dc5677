//! Plain arrays: an aligned buffer for the kernels, and a tensor on the host for inputs and outputs.
//!
//! A network computes in f32. Raw values may have more digits than f32 holds, such as a meter reading of 123,456,789, so
//! arrays of them can be of f64: see [`Value`].

use crate::error::{Error, Result};
use crate::memory::{Refused, asking};
use crate::simd::lanes::LANES;
use alloc::{boxed::Box, format, string::ToString, vec, vec::Vec};
use core::fmt::Debug;
use core::ops::{Add, Deref, DerefMut, Div, Mul, Range, Sub};

/// A type of raw values: f32 or f64. The network computes in f32 in either case; this is the type in which raw values
/// are differenced and scaled before they become its numbers, and in which its outputs become raw values again.
///
/// f32 has 24 bits. It is enough where values are not much larger than their changes from row to row. With f64 a series
/// keeps its changes, and so its forecasts, whatever constant is added to it.
pub trait Value:
    sealed::Number
    + Copy
    + Debug
    + Default
    + PartialEq
    + PartialOrd
    + From<f32>
    + Into<f64>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Send
    + Sync
    + 'static
{
    /// The nearest value of this type.
    fn of(value: f64) -> Self;
    /// The nearest f32.
    fn narrow(self) -> f32;
    /// The value without its sign.
    #[must_use]
    fn size(self) -> Self;
    /// Whether it is neither infinite nor NaN.
    fn is_finite(self) -> bool;
    /// Each value as the nearest f32. Does nothing to values that are f32.
    fn narrow_all(values: Vec<Self>) -> Vec<f32>;
    /// f32 values as this type. Does nothing to values that stay f32.
    fn of_all(values: Vec<f32>) -> Vec<Self>;
}

mod sealed {
    /// A number whose bytes can be looked at.
    pub trait Number: bytemuck::NoUninit {}
    impl Number for f32 {}
    impl Number for f64 {}

    #[cfg(feature = "std")]
    pub trait Sealed {}
}

#[cfg(feature = "std")]
impl<V: Value> sealed::Sealed for Tensor<V> {}
#[cfg(feature = "std")]
impl sealed::Sealed for Array {}

impl Value for f32 {
    #[inline(always)]
    fn of(value: f64) -> Self {
        value as Self
    }

    #[inline(always)]
    fn narrow(self) -> f32 {
        self
    }

    #[inline(always)]
    fn size(self) -> Self {
        libm::fabsf(self)
    }

    #[inline(always)]
    fn is_finite(self) -> bool {
        self.is_finite()
    }

    fn narrow_all(values: Vec<Self>) -> Vec<f32> {
        values
    }

    fn of_all(values: Vec<f32>) -> Vec<Self> {
        values
    }
}

impl Value for f64 {
    #[inline(always)]
    fn of(value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn narrow(self) -> f32 {
        self as f32
    }

    #[inline(always)]
    fn size(self) -> Self {
        libm::fabs(self)
    }

    #[inline(always)]
    fn is_finite(self) -> bool {
        self.is_finite()
    }

    fn narrow_all(values: Vec<Self>) -> Vec<f32> {
        values.into_iter().map(Self::narrow).collect()
    }

    fn of_all(values: Vec<f32>) -> Vec<Self> {
        values.into_iter().map(Self::from).collect()
    }
}

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

/// Writes each value of a row as the nearest f32.
#[inline(always)]
pub(crate) fn narrow_row(wide: &[f64], row: &mut [f32]) {
    row.iter_mut().zip(wide).for_each(|(value, wide)| *value = wide.narrow());
}

/// Writes each value of a row as f64.
#[inline(always)]
pub(crate) fn widen_row(row: &[f32], wide: &mut [f64]) {
    wide.iter_mut().zip(row).for_each(|(wide, &value)| *wide = value.into());
}

/// Writes to every page of `values` what is there already, so that the system has to provide the memory now.
pub(crate) fn touch<V: Value>(values: &mut [V]) {
    const PAGE: usize = 4096; // no system has smaller ones
    let ends = values.len().saturating_sub(1)..values.len();
    for at in (0..values.len()).step_by(PAGE / size_of::<V>()).chain(ends) {
        values[at] = core::hint::black_box(values[at]); // a value that the compiler cannot know: it has to be written
    }
}

/// The same for the part of `values` that is not in use yet.
pub(crate) fn touch_spare<T: Copy + Default>(values: &mut Vec<T>) {
    for spare in values.spare_capacity_mut() {
        spare.write(core::hint::black_box(T::default()));
    }
}

/// A host array in row-major order with up to four dimensions, for everything that comes in or goes out: of f32, or of
/// f64 for raw values.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tensor<V = f32> {
    dims: Vec<usize>,
    data: Vec<V>,
}

impl From<Tensor> for Tensor<f64> {
    fn from(narrow: Tensor) -> Self {
        Self { dims: narrow.dims, data: f64::of_all(narrow.data) }
    }
}

impl From<&Tensor<f64>> for Tensor<f64> {
    fn from(tensor: &Self) -> Self {
        tensor.clone()
    }
}

impl<V: Value> Tensor<V> {
    /// An array of `dims` that holds `data`, row after row: the last dimension runs fastest.
    ///
    /// # Errors
    /// If `data` is not as long as the product of `dims`.
    pub fn new(dims: impl Into<Vec<usize>>, data: impl Into<Vec<V>>) -> Result<Self> {
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
        let data = vec![V::default(); length(&dims).expect("capacity overflow")];
        Self { dims, data }
    }

    /// The size of each dimension.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// The values, row after row.
    pub fn data(&self) -> &[V] {
        &self.data
    }

    /// The values, row after row.
    pub fn data_mut(&mut self) -> &mut [V] {
        &mut self.data
    }

    /// The values, row after row, without the dimensions.
    pub fn into_data(self) -> Vec<V> {
        self.data
    }

    /// How many rows there are when every dimension but the last is counted as rows, and how long one is.
    pub fn rows(&self) -> (usize, usize) {
        let width = self.dims.last().copied().unwrap_or(1);
        (self.data.len().checked_div(width).unwrap_or(0), width)
    }

    /// The same array in f32: each value becomes the nearest one.
    pub fn narrow(self) -> Tensor {
        Tensor { dims: self.dims, data: V::narrow_all(self.data) }
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

/// An array from a file or for one: of f32, or of f64.
#[cfg(feature = "std")]
#[derive(Debug, Clone, PartialEq)]
pub enum Array {
    /// Numbers of a network, or raw values that were stored in f32.
    F32(Tensor),
    /// Raw values.
    F64(Tensor<f64>),
}

#[cfg(feature = "std")]
impl Array {
    /// The size of each dimension.
    pub fn dims(&self) -> &[usize] {
        match self {
            Self::F32(tensor) => tensor.dims(),
            Self::F64(tensor) => tensor.dims(),
        }
    }

    /// The array in f32: each value becomes the nearest one.
    pub fn narrow(self) -> Tensor {
        match self {
            Self::F32(tensor) => tensor,
            Self::F64(tensor) => tensor.narrow(),
        }
    }

    /// The array in f64.
    pub fn wide(self) -> Tensor<f64> {
        match self {
            Self::F32(tensor) => tensor.into(),
            Self::F64(tensor) => tensor,
        }
    }
}

#[cfg(feature = "std")]
impl From<Tensor> for Array {
    fn from(tensor: Tensor) -> Self {
        Self::F32(tensor)
    }
}

#[cfg(feature = "std")]
impl From<Tensor<f64>> for Array {
    fn from(tensor: Tensor<f64>) -> Self {
        Self::F64(tensor)
    }
}

/// What a file can hold: a [`Tensor`] of f32 or f64, or an [`Array`].
#[cfg(feature = "std")]
pub trait Stored: sealed::Sealed {
    /// The size of each dimension.
    fn dims(&self) -> &[usize];
    /// The bytes of one value: 4 or 8.
    fn width(&self) -> usize;
    /// The values, row after row, little-endian.
    fn bytes(&self) -> std::borrow::Cow<'_, [u8]>;
}

#[cfg(feature = "std")]
impl<V: Value> Stored for Tensor<V> {
    fn dims(&self) -> &[usize] {
        &self.dims
    }

    fn width(&self) -> usize {
        size_of::<V>()
    }

    fn bytes(&self) -> std::borrow::Cow<'_, [u8]> {
        let bytes = bytemuck::cast_slice(&self.data);
        if cfg!(target_endian = "little") {
            return bytes.into();
        }
        bytes.chunks_exact(self.width()).flat_map(|value| value.iter().rev().copied()).collect()
    }
}

#[cfg(feature = "std")]
impl Stored for Array {
    fn dims(&self) -> &[usize] {
        Self::dims(self)
    }

    fn width(&self) -> usize {
        match self {
            Self::F32(tensor) => tensor.width(),
            Self::F64(tensor) => tensor.width(),
        }
    }

    fn bytes(&self) -> std::borrow::Cow<'_, [u8]> {
        match self {
            Self::F32(tensor) => tensor.bytes(),
            Self::F64(tensor) => tensor.bytes(),
        }
    }
}

/// The product of `dims`, if a `usize` can hold it.
fn length(dims: &[usize]) -> Option<usize> {
    // first: an array with a dimension of 0 has no values, even if the product of the others would overflow
    if dims.contains(&0) { Some(0) } else { dims.iter().try_fold(1_usize, |len, &dim| len.checked_mul(dim)) }
}
