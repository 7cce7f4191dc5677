//! Work that is recorded once and then launched again and again, and events.

use super::sys::{self, CUresult};
use super::{Bound, Doing, Doomed, Gpu, Inner, result, this_thread};
use crate::error::{DeviceErrorKind as Kind, Error, Result};
use std::fmt;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

/// Work that was recorded by [`Gpu::capture`].
pub struct Graph {
    gpu: Gpu,
    graph: sys::CUgraphExec,
}

// SAFETY: a graph may be launched from any thread; not from two at once, so it is not `Sync`.
unsafe impl Send for Graph {}

impl Gpu {
    /// Records the work that `record` queues on this device, on this thread, instead of running it. Calls from other
    /// threads wait until the recording is over, so `record` must not wait for them. During the recording it is an
    /// error to wait for the device or to allocate memory, and what is dropped is freed afterwards. If `record` fails
    /// or panics, nothing is left of the recording.
    ///
    /// # Errors
    /// What `record` returns; or the driver cannot record it.
    ///
    /// # Safety
    /// Launching the graph does all of it again: until the graph is dropped, the memory that the work uses stays where
    /// it is, and pinned memory that it reads is not written to while a launch is under way.
    pub unsafe fn capture(&self, record: impl FnOnce() -> Result<()>) -> Result<Graph> {
        let inner = &*self.0;
        let what = format_args!("recording a graph");
        if inner.recorded_here() {
            return Err(Error::device(
                Kind::Unsupported,
                "a graph is being recorded already; one graph cannot hold another",
            ));
        }
        let _turn = inner.turn.write().unwrap_or_else(PoisonError::into_inner);
        let _bound = Bound::to(inner.context).doing(what)?;
        // so that an error of earlier work is not taken for one of the recording
        inner.wait("waiting for the work before a recording")?;
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is alive, and nobody else uses it while the turn is held.
        unsafe { result::stream::begin_capture(inner.stream, mode) }.doing(what)?;
        inner.recorder.store(this_thread(), Ordering::Release);
        let mut recording = Recording { inner, open: true };
        record()?;
        let recorded = recording.end().doing(what)?;
        drop(recording);
        // SAFETY: the recorded graph is ours; it is not needed once there is one that can be launched.
        let made = unsafe {
            let made = result::graph::instantiate(recorded);
            let _ = result::graph::destroy(recorded);
            made
        };
        let graph = made.doing(format_args!("making a graph of what was recorded"))?;
        Ok(Graph { gpu: self.clone(), graph })
    }

    /// An event that was not recorded yet.
    ///
    /// # Errors
    /// If the driver refuses.
    pub fn event(&self) -> Result<Event> {
        let _entered = self.enter()?;
        let event =
            result::event::create(sys::CUevent_flags::CU_EVENT_DEFAULT).doing(format_args!("making an event"))?;
        Ok(Event { gpu: self.clone(), event })
    }
}

/// Ends a recording in any case, and frees what was dropped during it.
struct Recording<'a> {
    inner: &'a Inner,
    open: bool,
}

impl Recording<'_> {
    fn end(&mut self) -> Result<sys::CUgraph, result::DriverError> {
        self.open = false;
        // SAFETY: this thread began the recording on this stream.
        let graph = unsafe { result::stream::end_capture(self.inner.stream) }?;
        if graph.is_null() {
            Err(result::DriverError(CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED as u32))
        } else {
            Ok(graph)
        }
    }
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        if self.open
            && let Ok(graph) = self.end()
        {
            // SAFETY: the graph is ours and nobody has seen it.
            let _ = unsafe { result::graph::destroy(graph) };
        }
        self.inner.recorder.store(0, Ordering::Release);
        let doomed = std::mem::take(&mut *self.inner.doomed.lock().unwrap_or_else(PoisonError::into_inner));
        for one in doomed {
            self.inner.release(one);
        }
    }
}

impl Graph {
    /// Queues all that was recorded, after all earlier work. Returns at once.
    ///
    /// # Errors
    /// If the driver refuses, or while another graph is recorded.
    pub fn launch(&self) -> Result<()> {
        let inner = &*self.gpu.0;
        if inner.recorded_here() {
            return Err(Error::device(
                Kind::Unsupported,
                "a graph cannot be launched while another is recorded; launch it before or after",
            ));
        }
        let _entered = self.gpu.enter()?;
        // SAFETY: graph and stream are alive and of the current context; that the memory is, too, was promised when it
        // was recorded.
        unsafe { result::graph::launch(self.graph, inner.stream) }.doing(format_args!("launch of a graph"))
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        self.gpu.0.release(Doomed::Graph(self.graph));
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Graph(GPU {})", self.gpu.index())
    }
}

/// An event: a point in the work of a device, and the time when it was reached.
pub struct Event {
    gpu: Gpu,
    event: sys::CUevent,
}

// SAFETY: an event may be used from any thread that has made its context current, which every call does.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    /// Records the event after all work so far. Returns at once.
    ///
    /// # Errors
    /// If the driver refuses, or while a graph is recorded.
    pub fn record(&self) -> Result<()> {
        let _entered = self.gpu.enter_to_wait("recording an event")?;
        // SAFETY: event and stream are alive and of the current context.
        unsafe { result::event::record(self.event, self.gpu.0.stream) }.doing(format_args!("recording an event"))
    }

    /// Waits until the event is reached. Returns at once if it was never recorded.
    ///
    /// # Errors
    /// If a kernel before it failed, or while a graph is recorded.
    pub fn wait(&self) -> Result<()> {
        let _entered = self.gpu.enter_to_wait("waiting for an event")?;
        // SAFETY: the event is alive and its context current.
        unsafe { result::event::synchronize(self.event) }.doing(format_args!("waiting for an event"))
    }

    /// The seconds from `earlier` to this event, by the device's own clock (in steps of half a microsecond). Waits for
    /// both.
    ///
    /// # Errors
    /// If one was never recorded, the two belong to different devices, or a kernel failed.
    pub fn seconds_since(&self, earlier: &Self) -> Result<f64> {
        earlier.wait()?;
        self.wait()?;
        let _entered = self.gpu.enter()?;
        // SAFETY: both events are alive.
        let milliseconds = unsafe { result::event::elapsed(earlier.event, self.event) }
            .doing(format_args!("measuring the time between two events"))?;
        Ok(f64::from(milliseconds) / 1e3)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        self.gpu.0.release(Doomed::Event(self.event));
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Event(GPU {})", self.gpu.index())
    }
}
