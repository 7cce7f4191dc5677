//! NVIDIA's driver, as far as a network needs it. The only place that names cudarc.
//!
//! A [`Gpu`] is an open device with one stream. Everything runs in the order in which it was queued, except for kernels
//! that [`Beside`] puts on a second stream, which is kept in step with the first. A call that copies values to or from
//! the host waits until they are there, except [`Memory::upload_async`]; all other calls return at once. Memory and
//! modules are freed when they are dropped, and keep their device open until then. A size or a range that does not fit
//! is an error, never a panic, and never an access out of bounds.
//!
//! An error of a running kernel shows up at the next call that waits, or at any later call, with the driver's name for
//! it. After such an error this process cannot use the device any more.

mod api;
mod beside;
mod graph;
mod memory;
mod module;
mod probe;
mod result;

pub use api::{library, refused, withheld};
pub use beside::Beside;
pub use graph::{Event, Graph};
pub use memory::{Memory, Pinned};
pub use module::{Function, Geometry, Module, Resources};
pub use probe::{Properties, devices};

use crate::error::{DeviceErrorKind as Kind, Error, Result};
use cudarc::driver::sys::{self, CUresult};
use result::DriverError;
use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

/// An open device. Cheap to clone; all clones share one stream, and so do all threads that use them.
#[derive(Clone)]
pub struct Gpu(Arc<Inner>);

struct Inner {
    index: usize,
    device: sys::CUdevice,
    context: sys::CUcontext,
    stream: sys::CUstream,
    /// The second stream.
    side: sys::CUstream,
    properties: Properties,
    /// Locked for reading by every call, and for writing while a graph is recorded. Otherwise the work of another
    /// thread would end up in the graph.
    turn: RwLock<()>,
    /// Which thread is recording, see [`this_thread`]; 0 if none.
    recorder: AtomicUsize,
    /// What the recording thread has dropped. It must not free anything until the recording is over.
    doomed: Mutex<Vec<Doomed>>,
}

// SAFETY: the driver's handles may be used from any thread that has made the context its own, which every call here
// does first. Work on the one stream is ordered by the driver.
unsafe impl Send for Inner {}
// SAFETY: as above; the driver locks its own structures.
unsafe impl Sync for Inner {}

/// Something to give back to the driver.
enum Doomed {
    Memory(sys::CUdeviceptr),
    Pinned(*mut std::ffi::c_void),
    Module(sys::CUmodule),
    Event(sys::CUevent),
    Graph(sys::CUgraphExec),
}

impl Gpu {
    /// Opens a device by its place in [`devices`].
    ///
    /// # Errors
    /// Those of [`devices`]; or there are fewer devices, or the driver refuses.
    pub fn open(index: usize) -> Result<Self> {
        let driver = probe::ready()?;
        let count = probe::count(driver)?;
        if index >= count {
            let have = if count == 1 { "only cuda:0".to_string() } else { format!("cuda:0 to cuda:{}", count - 1) };
            return Err(Error::device(Kind::NoDevice, format!("cuda:{index}: this machine has {have}")));
        }
        let (handle, properties) = probe::properties(index, driver)?;
        let what = format_args!("opening GPU {index} ({})", properties.name);
        // SAFETY: the handle is the driver's own.
        let context = unsafe { result::primary_ctx::retain(handle) }.doing(what)?;
        // not in step with the default stream, which belongs to whoever else uses the device in this process
        let stream = result::stream::create;
        let both = Bound::to(context).and_then(|_bound| {
            let first = stream()?;
            let second = stream().inspect_err(|_| {
                // SAFETY: nobody has used it.
                let _ = unsafe { result::stream::destroy(first) };
            })?;
            Ok((first, second))
        });
        let (stream, side) = both.doing(what).inspect_err(|_| {
            // SAFETY: retained above, once.
            let _ = unsafe { result::primary_ctx::release(handle) };
        })?;
        Ok(Self(Arc::new(Inner {
            index,
            device: handle,
            context,
            stream,
            side,
            properties,
            turn: RwLock::new(()),
            recorder: AtomicUsize::new(0),
            doomed: Mutex::new(Vec::new()),
        })))
    }

    /// The properties of the device.
    pub fn properties(&self) -> &Properties {
        &self.0.properties
    }

    /// Its place in [`devices`].
    pub fn index(&self) -> usize {
        self.0.index
    }

    /// Waits until all work is done.
    ///
    /// # Errors
    /// If a kernel before it failed, or while a graph is recorded.
    pub fn synchronize(&self) -> Result<()> {
        let _entered = self.enter_to_wait("waiting")?;
        self.0.wait("waiting for the work before")
    }

    /// How many bytes of its memory are free now.
    ///
    /// # Errors
    /// If the driver refuses.
    pub fn free_memory(&self) -> Result<usize> {
        let _entered = self.enter()?;
        result::mem_get_info().doing(format_args!("asking for the free memory")).map(|(free, _)| free)
    }

    /// Makes the device current for the calling thread, until dropped. Waits while another thread records a graph.
    fn enter(&self) -> Result<Entered<'_>> {
        self.0.enter()
    }

    /// [`Gpu::enter`] for calls that wait, which a graph cannot contain.
    fn enter_to_wait(&self, what: &str) -> Result<Entered<'_>> {
        if self.0.recorded_here() {
            return Err(Error::device(
                Kind::Unsupported,
                format!("{what} is not possible while a graph is recorded; do it before or after"),
            ));
        }
        if self.0.is_beside() {
            return Err(Error::device(
                Kind::Unsupported,
                format!("{what} is not possible in work for the second stream; do it before or after"),
            ));
        }
        self.enter()
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gpu({}: {}, {})", self.0.index, self.0.properties.name, self.0.properties.arch)
    }
}

impl Inner {
    fn enter(&self) -> Result<Entered<'_>> {
        // the lock guards no data that a panic could leave half changed
        let turn = (!self.recorded_here()).then(|| self.turn.read().unwrap_or_else(PoisonError::into_inner));
        let bound = Bound::to(self.context).doing(format_args!("making GPU {} current", self.index))?;
        Ok(Entered { _bound: bound, _turn: turn })
    }

    fn recorded_here(&self) -> bool {
        self.recorder.load(Ordering::Acquire) == this_thread()
    }

    /// The stream that work of this thread goes to.
    fn stream(&self) -> sys::CUstream {
        if self.is_beside() { self.side } else { self.stream }
    }

    /// Whether this thread is in the first half of [`Beside::run`] on this device.
    fn is_beside(&self) -> bool {
        BESIDE.get() == std::ptr::from_ref(self).addr()
    }

    fn wait(&self, what: &str) -> Result<()> {
        // SAFETY: the stream lives as long as `self`, and the context is current.
        unsafe { result::stream::synchronize(self.stream) }.doing(format_args!("{what}"))
    }

    /// Gives something back to the driver, now or when the recording is over. Never fails: a device that is lost has
    /// nothing to give back.
    fn release(&self, doomed: Doomed) {
        if self.recorded_here() {
            self.doomed.lock().unwrap_or_else(PoisonError::into_inner).push(doomed);
            return;
        }
        let Ok(_bound) = Bound::to(self.context) else { return };
        // SAFETY: each handle came from the driver, is owned by the one value that is being dropped, and no work that
        // uses it is left after the wait; memory and pinned memory are waited for by the driver itself.
        let _ = unsafe {
            match doomed {
                Doomed::Memory(address) => result::free_sync(address),
                Doomed::Pinned(address) => result::free_host(address),
                Doomed::Event(event) => result::event::destroy(event),
                Doomed::Module(module) => {
                    let _ = result::stream::synchronize(self.stream);
                    result::module::unload(module)
                }
                Doomed::Graph(graph) => {
                    let _ = result::stream::synchronize(self.stream);
                    result::graph::exec_destroy(graph)
                }
            }
        };
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let bound = Bound::to(self.context);
        if bound.is_ok() {
            for stream in [self.side, self.stream] {
                // SAFETY: both were made in `open`, and everything that uses them holds an `Arc` of `self`.
                let _ = unsafe { result::stream::synchronize(stream).and(result::stream::destroy(stream)) };
            }
        }
        drop(bound);
        // SAFETY: retained once in `open`.
        let _ = unsafe { result::primary_ctx::release(self.device) };
    }
}

thread_local! {
    /// The address of the device to whose second stream the work of this thread goes; 0 if none.
    static BESIDE: Cell<usize> = const { Cell::new(0) };
}

/// What a call holds while it talks to the driver.
struct Entered<'a> {
    _bound: Bound,
    _turn: Option<RwLockReadGuard<'a, ()>>,
}

/// A context made current on this thread. When it is dropped, the context before becomes current again: it may be
/// somebody else's.
struct Bound {
    before: Option<sys::CUcontext>,
}

impl Bound {
    fn to(context: sys::CUcontext) -> Result<Self, DriverError> {
        let before = result::ctx::get_current()?;
        if before == Some(context) {
            return Ok(Self { before: None });
        }
        // SAFETY: whoever holds the handle has retained it.
        unsafe { result::ctx::set_current(context) }?;
        Ok(Self { before })
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            // SAFETY: it was current on this thread when this was made.
            let _ = unsafe { result::ctx::set_current(before) };
        }
    }
}

/// A number that no other living thread has and that is not 0: the address of a value of this thread.
fn this_thread() -> usize {
    thread_local! {
        static OWN: u8 = const { 0 };
    }
    OWN.with(|own| std::ptr::from_ref(own).addr())
}

/// Adds to an error of the driver what was being done.
trait Doing<T> {
    fn doing(self, what: fmt::Arguments<'_>) -> Result<T>;
}

impl<T> Doing<T> for Result<T, DriverError> {
    fn doing(self, what: fmt::Arguments<'_>) -> Result<T> {
        self.map_err(|error| failed(what, error))
    }
}

#[cold]
fn failed(what: fmt::Arguments<'_>, error: DriverError) -> Error {
    let of_a_kernel = [
        CUresult::CUDA_ERROR_ILLEGAL_ADDRESS,
        CUresult::CUDA_ERROR_MISALIGNED_ADDRESS,
        CUresult::CUDA_ERROR_INVALID_ADDRESS_SPACE,
        CUresult::CUDA_ERROR_ILLEGAL_INSTRUCTION,
        CUresult::CUDA_ERROR_INVALID_PC,
        CUresult::CUDA_ERROR_HARDWARE_STACK_ERROR,
        CUresult::CUDA_ERROR_LAUNCH_FAILED,
    ];
    let hint = if error.is(&of_a_kernel) {
        "; this kernel or an earlier one did it; run with CUDA_LAUNCH_BLOCKING=1 to see which"
    } else if error.is(&[CUresult::CUDA_ERROR_LAUNCH_TIMEOUT]) {
        "; this GPU also drives a display, which limits how long a kernel may run; use another GPU, or the CPU"
    } else {
        ""
    };
    let kind = if error.is(&[CUresult::CUDA_ERROR_OUT_OF_MEMORY]) {
        Kind::OutOfMemory
    } else if error.is(&[CUresult::CUDA_ERROR_NO_DEVICE]) {
        Kind::NoDevice
    } else {
        Kind::Failed
    };
    Error::device(kind, format!("{what}: {}{hint}", describe(error)))
}

/// `CUDA_ERROR_INVALID_VALUE (invalid argument)`, on one line.
fn describe(error: DriverError) -> String {
    let one_line = |text: &std::ffi::CStr| text.to_string_lossy().split_whitespace().collect::<Vec<_>>().join(" ");
    let name = error.name().map_or_else(|| format!("CUDA error {}", error.0), one_line);
    match error.meaning() {
        Some(text) => format!("{name} ({})", one_line(text)),
        None => name,
    }
}
