//! Memory of the device, and of the host where the device can reach it.

use super::sys::{self, CUresult};
use super::{Doing, Doomed, Gpu, result};
use crate::cuda::bytes;
use crate::error::{DeviceErrorKind as Kind, Error, Result};
use bytemuck::Pod;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

/// `len` values in the memory of a device. Freed when dropped, after the work that uses it.
pub struct Memory<T> {
    gpu: Gpu,
    /// 0 if there are no values.
    address: sys::CUdeviceptr,
    len: usize,
    values: PhantomData<T>,
}

impl Gpu {
    /// `len` zeros in the memory of the device.
    ///
    /// # Errors
    /// If there is not enough memory (the message names how much was asked for, and how much there is), or while a
    /// graph is recorded.
    pub fn zeros<T: Pod>(&self, len: usize) -> Result<Memory<T>> {
        let _entered = self.enter_to_wait("allocating device memory")?;
        let size = size_of_values::<T>(len)?;
        if size == 0 {
            return Ok(Memory { gpu: self.clone(), address: 0, len, values: PhantomData });
        }
        // SAFETY: the context is current; what is in the memory is set below before anybody can read it.
        let address = unsafe { result::malloc_sync(size) }.map_err(|error| self.no_room(size, error))?;
        let memory = Memory { gpu: self.clone(), address, len, values: PhantomData };
        // SAFETY: `size` bytes from `address` were allocated, and all later work is on the same stream.
        unsafe { result::memset_d8_async(address, 0, size, self.0.stream()) }.doing(format_args!("clearing memory"))?;
        Ok(memory)
    }

    /// `len` zeros in the memory of the host, page-locked: the device reads them while the host goes on.
    ///
    /// # Errors
    /// If the operating system does not lock that much, or while a graph is recorded.
    pub fn pinned<T: Pod>(&self, len: usize) -> Result<Pinned<T>> {
        let _entered = self.enter_to_wait("allocating page-locked memory")?;
        let size = size_of_values::<T>(len)?;
        let what = format_args!("locking {} of host memory", bytes(size));
        let event = result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING).doing(what)?;
        // the wrapper is made first, so that the event is freed whatever happens next
        let mut pinned = Pinned { gpu: self.clone(), values: NonNull::dangling(), len: 0, event, busy: false.into() };
        if size > 0 {
            // SAFETY: the context is current; the memory is set below before anybody can read it.
            let address = unsafe { result::malloc_host(size, 0) }.doing(what)?;
            let Some(values) = NonNull::new(address.cast::<T>()) else {
                return Err(Error::device(Kind::OutOfMemory, format!("{what}: the driver returned none")));
            };
            // SAFETY: `size` bytes were allocated, page-aligned; zero bytes are a value of any `Pod`.
            unsafe { values.as_ptr().cast::<u8>().write_bytes(0, size) };
            pinned.values = values;
        }
        pinned.len = len;
        Ok(pinned)
    }

    #[cold]
    fn no_room(&self, size: usize, error: result::DriverError) -> Error {
        let name = &self.0.properties.name;
        if !error.is(&[CUresult::CUDA_ERROR_OUT_OF_MEMORY]) {
            return super::failed(format_args!("allocating {} of memory on {name}", bytes(size)), error);
        }
        let free = result::mem_get_info().map_or(String::new(), |(free, _)| format!("{} are free of ", bytes(free)));
        let all = bytes(self.0.properties.memory);
        Error::device(
            Kind::OutOfMemory,
            format!(
                "{name} has not enough memory: {} asked for, {free}{all}; take a smaller batch or the CPU",
                bytes(size)
            ),
        )
    }
}

impl<T: Pod> Memory<T> {
    /// How many values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its address on the device, as a kernel gets it. A multiple of 256; 0 if there are no values.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// The device that it is on.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Copies `from` to the values from index `at` on, after all earlier work. Waits until they are there.
    ///
    /// # Errors
    /// If they do not fit, the driver refuses, or a graph is being recorded.
    pub fn upload(&mut self, at: usize, from: &[T]) -> Result<()> {
        let address = self.part("upload", at, from.len())?;
        let _entered = self.gpu.enter_to_wait("uploading and waiting")?;
        if size_of_val(from) == 0 {
            return Ok(());
        }
        // SAFETY: the range was checked against the allocation; `from` is borrowed until the wait is over.
        unsafe { result::memcpy_htod_async(address, from, self.gpu.0.stream()) }.doing(format_args!("upload"))?;
        self.gpu.0.wait("upload")
    }

    /// Copies the values from index `at` on into all of `into`, after all earlier work. Waits until they are there.
    ///
    /// # Errors
    /// If there are too few values, the driver refuses, an earlier kernel failed, or a graph is being recorded.
    pub fn download(&self, at: usize, into: &mut [T]) -> Result<()> {
        let address = self.part("download", at, into.len())?;
        let _entered = self.gpu.enter_to_wait("downloading")?;
        if size_of_val(into) == 0 {
            return Ok(());
        }
        // SAFETY: the range was checked against the allocation; `into` is borrowed until the wait is over; any bits are
        // a value of `T`.
        unsafe { result::memcpy_dtoh_async(into, address, self.gpu.0.stream()) }.doing(format_args!("download"))?;
        self.gpu.0.wait("download")
    }

    /// Copies `len` values, from index `from_at` of `from` to index `at` of this memory. Returns at once.
    ///
    /// # Errors
    /// If they do not fit, `from` is on another [`Gpu`], both are one memory and the ranges overlap, or the driver
    /// refuses.
    pub fn copy(&self, at: usize, from: &Self, from_at: usize, len: usize) -> Result<()> {
        let (to, source) = (self.part("copy to", at, len)?, from.part("copy from", from_at, len)?);
        self.same_gpu(&from.gpu)?;
        let _entered = self.gpu.enter()?;
        if len * size_of::<T>() == 0 {
            return Ok(());
        }
        if self.address == from.address && at.abs_diff(from_at) < len {
            return Err(Error::invalid(format!(
                "copy: {len} values from {from_at} to {at} of one memory: they overlap"
            )));
        }
        // SAFETY: both ranges were checked, and do not overlap.
        unsafe { result::memcpy_dtod_async(to, source, len * size_of::<T>(), self.gpu.0.stream()) }
            .doing(format_args!("copy on the device"))
    }

    /// Sets `len` values from index `at` on to zero. Returns at once.
    ///
    /// # Errors
    /// If there are too few values, or the driver refuses.
    pub fn fill_zero(&self, at: usize, len: usize) -> Result<()> {
        let address = self.part("clearing", at, len)?;
        let _entered = self.gpu.enter()?;
        if len * size_of::<T>() == 0 {
            return Ok(());
        }
        // SAFETY: the range was checked against the allocation.
        unsafe { result::memset_d8_async(address, 0, len * size_of::<T>(), self.gpu.0.stream()) }
            .doing(format_args!("clearing memory"))
    }

    /// Copies `range` of `from` to the values from index `at` on. Returns at once: the device fetches them when the
    /// earlier work is done, and [`Pinned`] waits for that before it is written to again.
    ///
    /// # Errors
    /// If they do not fit, `from` belongs to another [`Gpu`], or the driver refuses.
    pub fn upload_async(&mut self, at: usize, from: &Pinned<T>, range: Range<usize>) -> Result<()> {
        let values = from.get(range.clone()).ok_or_else(|| outside("upload from", range.clone(), from.len))?;
        let address = self.part("upload", at, values.len())?;
        self.same_gpu(&from.gpu)?;
        let _entered = self.gpu.enter()?;
        if size_of_val(values) == 0 {
            return Ok(());
        }
        // SAFETY: the range was checked against the allocation; the pinned values neither move nor change until the
        // event below has happened, because writing and freeing wait for it. In a graph, whoever records it promises
        // that.
        unsafe { result::memcpy_htod_async(address, values, self.gpu.0.stream()) }.doing(format_args!("upload"))?;
        if !self.gpu.0.recorded_here() {
            from.busy.store(true, Ordering::Release);
            // SAFETY: the event is the pinned memory's own.
            let recorded =
                unsafe { result::event::record(from.event, self.gpu.0.stream()) }.doing(format_args!("upload"));
            if recorded.is_err() {
                // there is no event that shows when the copy is over
                self.gpu.0.wait("upload")?;
            }
            recorded?;
        }
        Ok(())
    }

    /// The address of the value with index `at`, if there are `len` values from there on.
    fn part(&self, what: &str, at: usize, len: usize) -> Result<sys::CUdeviceptr> {
        match at.checked_add(len) {
            Some(end) if end <= self.len => Ok(self.address + (at * size_of::<T>()) as u64),
            end => Err(outside(what, at..end.unwrap_or(usize::MAX), self.len)),
        }
    }

    fn same_gpu(&self, other: &Gpu) -> Result<()> {
        if self.gpu.is(other) {
            return Ok(());
        }
        Err(Error::invalid("the two memories belong to two devices, or to one opened twice; take them from one Gpu"))
    }
}

impl<T> Drop for Memory<T> {
    fn drop(&mut self) {
        if self.address != 0 {
            self.gpu.0.release(Doomed::Memory(self.address));
        }
    }
}

impl<T> fmt::Debug for Memory<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({:#x}, {} values, GPU {})", self.address, self.len, self.gpu.index())
    }
}

/// Page-locked values of the host that the device can fetch by itself, see [`Memory::upload_async`]. Reading them never
/// waits; writing waits until the device has finished the uploads from here.
pub struct Pinned<T> {
    gpu: Gpu,
    values: NonNull<T>,
    len: usize,
    /// Happens when the last upload from here is done.
    event: sys::CUevent,
    /// Whether there was an upload since the last wait.
    busy: AtomicBool,
}

// SAFETY: it owns its values as a box would, and the driver may be called from any thread.
unsafe impl<T: Send> Send for Pinned<T> {}
// SAFETY: a shared reference only reads the values.
unsafe impl<T: Sync> Sync for Pinned<T> {}

impl<T> Pinned<T> {
    /// Waits until the device has finished the uploads from here. If that fails, the device is lost and fetches nothing
    /// more; the next call returns the error.
    fn settle(&self) {
        // a recording begins with a wait, so nothing is left from before it
        if !self.busy.swap(false, Ordering::AcqRel) || self.gpu.0.recorded_here() {
            return;
        }
        if let Ok(_bound) = super::Bound::to(self.gpu.0.context) {
            // SAFETY: the event is alive and the context current.
            let _ = unsafe { result::event::synchronize(self.event) };
        }
    }
}

impl<T> Deref for Pinned<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `len` values were allocated and set; if there are none the pointer is dangling and aligned.
        unsafe { std::slice::from_raw_parts(self.values.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Pinned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.settle();
        // SAFETY: as above; nobody else has a reference, and the device has finished the uploads from here.
        unsafe { std::slice::from_raw_parts_mut(self.values.as_ptr(), self.len) }
    }
}

impl<T> Drop for Pinned<T> {
    fn drop(&mut self) {
        self.settle();
        self.gpu.0.release(Doomed::Event(self.event));
        if self.len * size_of::<T>() > 0 {
            self.gpu.0.release(Doomed::Pinned(self.values.as_ptr().cast()));
        }
    }
}

impl<T> fmt::Debug for Pinned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pinned({} values, GPU {})", self.len, self.gpu.index())
    }
}

fn size_of_values<T>(len: usize) -> Result<usize> {
    len.checked_mul(size_of::<T>()).filter(|&size| size <= isize::MAX as usize).ok_or_else(|| {
        Error::invalid(format!("{len} values of {} bytes: more than an address reaches", size_of::<T>()))
    })
}

#[cold]
fn outside(what: &str, range: Range<usize>, len: usize) -> Error {
    Error::invalid(format!("{what}: values {}..{} of a memory of {len}", range.start, range.end))
}
