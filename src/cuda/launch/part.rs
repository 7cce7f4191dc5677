//! Parts of device memory, as kernels get them: an address and a checked length.

use crate::cuda::driver::Memory;
use crate::error::{Error, Result};
use bytemuck::Pod;
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeBounds;

/// Part of an array on a GPU. Which kernel writes it is not tracked: all work of a GPU runs in one order.
pub struct Part<'a, T = f32> {
    address: u64,
    len: usize,
    memory: PhantomData<&'a Memory<T>>,
}

impl<T> Clone for Part<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Part<'_, T> {}

impl<T> fmt::Debug for Part<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Part({} values)", self.len)
    }
}

impl<'a, T: Pod> Part<'a, T> {
    /// All of an array.
    pub fn of(memory: &'a Memory<T>) -> Self {
        Self { address: memory.address(), len: memory.len(), memory: PhantomData }
    }

    /// A range of it.
    ///
    /// # Errors
    /// If it ends before the range does.
    pub fn range(self, range: impl RangeBounds<usize>) -> Result<Self> {
        use std::ops::Bound;
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&start) => start + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&end) => end + 1,
            Bound::Excluded(&end) => end,
            Bound::Unbounded => self.len,
        };
        if start > end || end > self.len {
            return Err(Error::invalid(format!("device memory: {start}..{end} of {} values", self.len)));
        }
        Ok(Self { address: self.address + (start * size_of::<T>()) as u64, len: end - start, memory: PhantomData })
    }

    /// How many values.
    pub fn len(self) -> usize {
        self.len
    }

    /// Its address, if it has at least `len` values.
    ///
    /// # Errors
    /// If it has fewer; `what` is the name of the array in the message.
    pub fn holds(self, what: &'static str, len: usize) -> Result<u64> {
        if self.len >= len { Ok(self.address) } else { Err(Error::Length { what, expected: len, got: self.len }) }
    }
}

/// The address of an array that may be missing; null if it is.
pub fn optional<T: Pod>(part: Option<Part<'_, T>>, what: &'static str, len: usize) -> Result<u64> {
    part.map_or(Ok(0), |part| part.holds(what, len))
}
