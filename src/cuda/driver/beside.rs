//! Two streams at once: kernels on a second stream, which events keep in step with the first.

use super::{BESIDE, Doing, Doomed, Gpu, result, sys};
use crate::error::{DeviceErrorKind as Kind, Error, Result};
use crate::memory;
use std::fmt;

/// Work in pieces. The first half of each piece runs ahead on a second stream, and the second half follows it on the
/// first stream.
pub struct Beside {
    gpu: Gpu,
    /// Where the second stream may begin, and the end of each piece.
    points: Vec<sys::CUevent>,
}

// SAFETY: an event may be used from any thread that has made its context current, which every call does.
unsafe impl Send for Beside {}
// SAFETY: as above.
unsafe impl Sync for Beside {}

impl Gpu {
    /// Makes what work in up to `pieces` pieces needs.
    ///
    /// # Errors
    /// If they are more than any memory holds, or the driver refuses.
    pub fn beside(&self, pieces: usize) -> Result<Beside> {
        let room = memory::room(pieces.saturating_add(1));
        let points = room.map_err(|refused| Error::invalid(format!("{pieces} pieces of work: {refused}")))?;
        let _entered = self.enter()?;
        let mut beside = Beside { gpu: self.clone(), points };
        for _ in 0..=pieces {
            let event = result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING);
            beside.points.push(event.doing(format_args!("making an event"))?);
        }
        Ok(beside)
    }
}

impl Beside {
    /// Queues `ahead(0)`, `ahead(1)`, ... on the second stream, one after the other and after all work so far. On the
    /// first stream it queues `after(0)`, `after(1)`, ..., each of which waits for the `ahead` of its number. All work
    /// that is queued later runs after both. `ahead` may only launch kernels, and set and copy memory of the device. It
    /// must not touch what the `after` of an earlier piece works on.
    ///
    /// # Errors
    /// What `ahead` and `after` return; or there are more pieces than this was made for, or the driver refuses.
    pub fn run(
        &self,
        pieces: usize,
        ahead: impl Fn(usize) -> Result<()>,
        after: impl Fn(usize) -> Result<()>,
    ) -> Result<()> {
        let Some((&start, ends)) = self.points.split_first().filter(|(_, ends)| (1..=ends.len()).contains(&pieces))
        else {
            return Err(Error::device(
                Kind::Unsupported,
                format!("{pieces} pieces of work side by side; this was made for {}", self.points.len() - 1),
            ));
        };
        let (first, second) = (self.gpu.0.stream, self.gpu.0.side);
        self.mark(start, first)?;
        self.wait(second, start)?;
        let queued = {
            let _side = Side::of(&self.gpu);
            (0..pieces).try_for_each(|piece| {
                ahead(piece)?;
                self.mark(ends[piece], second)
            })
        };
        if queued.is_err() {
            // The second stream joins the first in any case. A recording requires it, and memory that the second stream
            // uses may be freed soon.
            self.mark(start, second)?;
            self.wait(first, start)?;
            return queued;
        }
        for (piece, &end) in ends[..pieces].iter().enumerate() {
            self.wait(first, end)?;
            if let Err(error) = after(piece) {
                return self.wait(first, ends[pieces - 1]).and(Err(error));
            }
        }
        Ok(())
    }

    fn mark(&self, point: sys::CUevent, stream: sys::CUstream) -> Result<()> {
        let _entered = self.gpu.enter()?;
        // SAFETY: both are alive and of the current context.
        unsafe { result::event::record(point, stream) }.doing(format_args!("recording an event"))
    }

    fn wait(&self, stream: sys::CUstream, point: sys::CUevent) -> Result<()> {
        let _entered = self.gpu.enter()?;
        // SAFETY: both are alive and of the current context.
        unsafe { result::stream::wait_event(stream, point) }.doing(format_args!("waiting for an event"))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        for &point in &self.points {
            self.gpu.0.release(Doomed::Event(point));
        }
    }
}

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Beside({} pieces, GPU {})", self.points.len() - 1, self.gpu.index())
    }
}

/// While it lives, this thread's work goes to the second stream.
struct Side {
    before: usize,
}

impl Side {
    fn of(gpu: &Gpu) -> Self {
        Self { before: BESIDE.replace(std::sync::Arc::as_ptr(&gpu.0).addr()) }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        BESIDE.set(self.before);
    }
}
