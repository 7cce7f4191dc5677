//! The driver's functions with a `Result` each: like cudarc's module of this name, but on the library of [`api`].
//!
//! [`api`]: super::api

use super::Geometry;
use super::api::{Driver, Status, driver};
use super::sys::{self, CUresult};
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ptr::null_mut;

/// An error of the driver, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DriverError(pub Status);

impl DriverError {
    /// Whether it is one of these.
    pub fn is(self, kinds: &[CUresult]) -> bool {
        kinds.iter().any(|&kind| kind as Status == self.0)
    }

    /// NVIDIA's name for it, such as `CUDA_ERROR_OUT_OF_MEMORY`.
    pub fn name(self) -> Option<&'static CStr> {
        self.text(driver()?.error_name)
    }

    /// What it means.
    pub fn meaning(self) -> Option<&'static CStr> {
        self.text(driver()?.error_text)
    }

    fn text(self, ask: unsafe extern "C" fn(Status, *mut *const c_char) -> Status) -> Option<&'static CStr> {
        let mut text = std::ptr::null();
        // SAFETY: the function takes any number, and writes one pointer.
        let answer = unsafe { ask(self.0, &mut text) };
        // SAFETY: a text of the driver ends with a zero and lives as long as the library, which is never closed.
        (answer == 0 && !text.is_null()).then(|| unsafe { CStr::from_ptr(text) })
    }
}

fn done(status: Status) -> Result<(), DriverError> {
    if status == 0 { Ok(()) } else { Err(DriverError(status)) }
}

/// The open driver. Where there is a [`super::Gpu`], there is one.
fn open() -> Result<&'static Driver, DriverError> {
    driver().ok_or(DriverError(CUresult::CUDA_ERROR_NOT_INITIALIZED as Status))
}

/// Calls a function of the driver.
macro_rules! call {
    ($name:ident($($argument:expr),*)) => {{
        let function = open()?.functions.$name;
        // SAFETY: the caller of this wrapper promises what the function requires of its arguments, or it can be seen
        // here.
        unsafe { function($($argument),*) }
    }};
}

pub fn init() -> Result<(), DriverError> {
    done(call!(cuInit(0)))
}

pub fn mem_get_info() -> Result<(usize, usize), DriverError> {
    let (mut free, mut total) = (0, 0);
    done(call!(cuMemGetInfo_v2(&mut free, &mut total)))?;
    Ok((free, total))
}

/// # Safety
/// A context is current.
pub unsafe fn malloc_sync(size: usize) -> Result<sys::CUdeviceptr, DriverError> {
    let mut address = 0;
    done(call!(cuMemAlloc_v2(&mut address, size)))?;
    Ok(address)
}

/// # Safety
/// The address came from [`malloc_sync`] and is freed once.
pub unsafe fn free_sync(address: sys::CUdeviceptr) -> Result<(), DriverError> {
    done(call!(cuMemFree_v2(address)))
}

/// # Safety
/// A context is current.
pub unsafe fn malloc_host(size: usize, flags: c_uint) -> Result<*mut c_void, DriverError> {
    let mut address = null_mut();
    done(call!(cuMemHostAlloc(&mut address, size, flags)))?;
    Ok(address)
}

/// # Safety
/// The address came from [`malloc_host`] and is freed once.
pub unsafe fn free_host(address: *mut c_void) -> Result<(), DriverError> {
    done(call!(cuMemFreeHost(address)))
}

/// # Safety
/// `size` bytes are allocated there, and the stream is alive.
pub unsafe fn memset_d8_async(
    address: sys::CUdeviceptr,
    value: u8,
    size: usize,
    stream: sys::CUstream,
) -> Result<(), DriverError> {
    done(call!(cuMemsetD8Async(address, value, size, stream)))
}

/// # Safety
/// As many bytes as `from` has are allocated there; nobody moves or changes `from` until the copy is done.
pub unsafe fn memcpy_htod_async<T>(
    address: sys::CUdeviceptr,
    from: &[T],
    stream: sys::CUstream,
) -> Result<(), DriverError> {
    done(call!(cuMemcpyHtoDAsync_v2(address, from.as_ptr().cast(), size_of_val(from), stream)))
}

/// # Safety
/// As many bytes as `into` has are allocated there, and are values of `T`; `into` is borrowed until the copy is done.
pub unsafe fn memcpy_dtoh_async<T>(
    into: &mut [T],
    address: sys::CUdeviceptr,
    stream: sys::CUstream,
) -> Result<(), DriverError> {
    done(call!(cuMemcpyDtoHAsync_v2(into.as_mut_ptr().cast(), address, size_of_val(into), stream)))
}

/// # Safety
/// `size` bytes are allocated at both addresses, and do not overlap.
pub unsafe fn memcpy_dtod_async(
    to: sys::CUdeviceptr,
    from: sys::CUdeviceptr,
    size: usize,
    stream: sys::CUstream,
) -> Result<(), DriverError> {
    done(call!(cuMemcpyDtoDAsync_v2(to, from, size, stream)))
}

/// # Safety
/// The function is alive, the parameters are those that it declares, and what it does with them is sound.
pub unsafe fn launch_kernel(
    function: sys::CUfunction,
    Geometry { grid: [x, y, z], threads, shared, cooperative }: Geometry,
    stream: sys::CUstream,
    parameters: &mut [*mut c_void],
) -> Result<(), DriverError> {
    let parameters = parameters.as_mut_ptr();
    done(match cooperative {
        true => call!(cuLaunchCooperativeKernel(function, x, y, z, threads, 1, 1, shared, stream, parameters)),
        false => call!(cuLaunchKernel(function, x, y, z, threads, 1, 1, shared, stream, parameters, null_mut())),
    })
}

/// Devices by their number.
pub mod device {
    use super::*;

    pub fn get_count() -> Result<c_int, DriverError> {
        let mut count = 0;
        done(call!(cuDeviceGetCount(&mut count)))?;
        Ok(count)
    }

    pub fn get(ordinal: c_int) -> Result<sys::CUdevice, DriverError> {
        let mut device = 0;
        done(call!(cuDeviceGet(&mut device, ordinal)))?;
        Ok(device)
    }

    /// # Safety
    /// The device came from [`get`].
    pub unsafe fn total_mem(device: sys::CUdevice) -> Result<usize, DriverError> {
        let mut size = 0;
        done(call!(cuDeviceTotalMem_v2(&mut size, device)))?;
        Ok(size)
    }

    /// # Safety
    /// The device came from [`get`].
    pub unsafe fn get_attribute(
        device: sys::CUdevice,
        attribute: sys::CUdevice_attribute,
    ) -> Result<c_int, DriverError> {
        let mut value = 0;
        done(call!(cuDeviceGetAttribute(&mut value, attribute, device)))?;
        Ok(value)
    }

    /// Writes the name with a zero behind it, into less than all of `text`.
    ///
    /// # Safety
    /// The device came from [`get`].
    pub unsafe fn get_name(text: &mut [u8], device: sys::CUdevice) -> Result<(), DriverError> {
        let room = c_int::try_from(text.len().saturating_sub(1)).unwrap_or(c_int::MAX);
        done(call!(cuDeviceGetName(text.as_mut_ptr().cast(), room, device)))
    }
}

/// The context that is shared within a process.
pub mod primary_ctx {
    use super::*;

    /// # Safety
    /// The device came from [`device::get`].
    pub unsafe fn retain(device: sys::CUdevice) -> Result<sys::CUcontext, DriverError> {
        let mut context = null_mut();
        done(call!(cuDevicePrimaryCtxRetain(&mut context, device)))?;
        Ok(context)
    }

    /// # Safety
    /// Its context was retained, and is released as often as that.
    pub unsafe fn release(device: sys::CUdevice) -> Result<(), DriverError> {
        done(call!(cuDevicePrimaryCtxRelease_v2(device)))
    }
}

/// The context of the calling thread.
pub mod ctx {
    use super::*;

    pub fn get_current() -> Result<Option<sys::CUcontext>, DriverError> {
        let mut context: sys::CUcontext = null_mut();
        done(call!(cuCtxGetCurrent(&mut context)))?;
        Ok((!context.is_null()).then_some(context))
    }

    /// # Safety
    /// The context is alive.
    pub unsafe fn set_current(context: sys::CUcontext) -> Result<(), DriverError> {
        done(call!(cuCtxSetCurrent(context)))
    }
}

/// Images and their functions.
pub mod module {
    use super::*;

    /// # Safety
    /// The image is complete.
    pub unsafe fn load_data(image: *const c_void) -> Result<sys::CUmodule, DriverError> {
        let mut module = null_mut();
        done(call!(cuModuleLoadData(&mut module, image)))?;
        Ok(module)
    }

    /// # Safety
    /// The module is alive, and nothing uses it any more.
    pub unsafe fn unload(module: sys::CUmodule) -> Result<(), DriverError> {
        done(call!(cuModuleUnload(module)))
    }

    /// # Safety
    /// The module is alive.
    pub unsafe fn get_function(module: sys::CUmodule, name: &CStr) -> Result<sys::CUfunction, DriverError> {
        let mut function = null_mut();
        done(call!(cuModuleGetFunction(&mut function, module, name.as_ptr())))?;
        Ok(function)
    }
}

/// Attributes of a function.
pub mod function {
    use super::*;

    /// # Safety
    /// The function is alive.
    pub unsafe fn get_function_attribute(
        function: sys::CUfunction,
        attribute: sys::CUfunction_attribute,
    ) -> Result<c_int, DriverError> {
        let mut value = 0;
        done(call!(cuFuncGetAttribute(&mut value, attribute, function)))?;
        Ok(value)
    }

    /// # Safety
    /// The function is alive.
    pub unsafe fn set_function_attribute(
        function: sys::CUfunction,
        attribute: sys::CUfunction_attribute,
        value: c_int,
    ) -> Result<(), DriverError> {
        done(call!(cuFuncSetAttribute(function, attribute, value)))
    }

    /// How many blocks a multiprocessor holds.
    ///
    /// # Safety
    /// The function is alive.
    pub unsafe fn blocks(function: sys::CUfunction, threads: c_int, shared: usize) -> Result<c_int, DriverError> {
        let mut blocks = 0;
        done(call!(cuOccupancyMaxActiveBlocksPerMultiprocessor(&mut blocks, function, threads, shared)))?;
        Ok(blocks)
    }
}

/// Queues of work. For each function: the handles are alive and of the current context.
pub mod stream {
    use super::*;

    /// A stream that is not in step with the default one.
    pub fn create() -> Result<sys::CUstream, DriverError> {
        let mut stream = null_mut();
        done(call!(cuStreamCreate(&mut stream, sys::CUstream_flags::CU_STREAM_NON_BLOCKING as c_uint)))?;
        Ok(stream)
    }

    /// # Safety
    /// See the module; it is destroyed once.
    pub unsafe fn destroy(stream: sys::CUstream) -> Result<(), DriverError> {
        done(call!(cuStreamDestroy_v2(stream)))
    }

    /// # Safety
    /// See the module.
    pub unsafe fn synchronize(stream: sys::CUstream) -> Result<(), DriverError> {
        done(call!(cuStreamSynchronize(stream)))
    }

    /// # Safety
    /// See the module.
    pub unsafe fn wait_event(stream: sys::CUstream, event: sys::CUevent) -> Result<(), DriverError> {
        done(call!(cuStreamWaitEvent(stream, event, 0)))
    }

    /// # Safety
    /// See the module.
    pub unsafe fn begin_capture(stream: sys::CUstream, mode: sys::CUstreamCaptureMode) -> Result<(), DriverError> {
        done(call!(cuStreamBeginCapture_v2(stream, mode)))
    }

    /// # Safety
    /// See the module; this thread began the recording.
    pub unsafe fn end_capture(stream: sys::CUstream) -> Result<sys::CUgraph, DriverError> {
        let mut graph = null_mut();
        done(call!(cuStreamEndCapture(stream, &mut graph)))?;
        Ok(graph)
    }
}

/// Recorded work. For each function: the handles are alive.
pub mod graph {
    use super::*;

    /// # Safety
    /// See the module.
    pub unsafe fn instantiate(graph: sys::CUgraph) -> Result<sys::CUgraphExec, DriverError> {
        let mut made = null_mut();
        done(call!(cuGraphInstantiateWithFlags(&mut made, graph, 0)))?;
        Ok(made)
    }

    /// # Safety
    /// See the module; what the graph uses is alive.
    pub unsafe fn launch(graph: sys::CUgraphExec, stream: sys::CUstream) -> Result<(), DriverError> {
        done(call!(cuGraphLaunch(graph, stream)))
    }

    /// # Safety
    /// See the module; it is destroyed once.
    pub unsafe fn destroy(graph: sys::CUgraph) -> Result<(), DriverError> {
        done(call!(cuGraphDestroy(graph)))
    }

    /// # Safety
    /// See the module; it is destroyed once.
    pub unsafe fn exec_destroy(graph: sys::CUgraphExec) -> Result<(), DriverError> {
        done(call!(cuGraphExecDestroy(graph)))
    }
}

/// Events. For each function: the handles are alive and of the current context.
pub mod event {
    use super::*;

    pub fn create(flags: sys::CUevent_flags) -> Result<sys::CUevent, DriverError> {
        let mut event = null_mut();
        done(call!(cuEventCreate(&mut event, flags as c_uint)))?;
        Ok(event)
    }

    /// # Safety
    /// See the module; it is destroyed once.
    pub unsafe fn destroy(event: sys::CUevent) -> Result<(), DriverError> {
        done(call!(cuEventDestroy_v2(event)))
    }

    /// # Safety
    /// See the module.
    pub unsafe fn record(event: sys::CUevent, stream: sys::CUstream) -> Result<(), DriverError> {
        done(call!(cuEventRecord(event, stream)))
    }

    /// # Safety
    /// See the module.
    pub unsafe fn synchronize(event: sys::CUevent) -> Result<(), DriverError> {
        done(call!(cuEventSynchronize(event)))
    }

    /// Milliseconds from one to the other.
    ///
    /// # Safety
    /// See the module.
    pub unsafe fn elapsed(earlier: sys::CUevent, later: sys::CUevent) -> Result<f32, DriverError> {
        let mut milliseconds = 0.0;
        // SAFETY: the caller's promise; one float is written.
        done(unsafe { (open()?.elapsed)(&mut milliseconds, earlier, later) })?;
        Ok(milliseconds)
    }
}
