//! The functions of NVIDIA's driver, from the library that was found and checked.
//!
//! The types are cudarc's, and a test compares the signatures with its own. The calls are not cudarc's, because it
//! opens the driver by some twenty bare names and cannot be given a library. With an empty entry in `LD_LIBRARY_PATH`
//! it would take a file from the working directory. It also panics where a function is missing, and its enum of errors
//! has no value for a number that it does not know yet.

use super::sys::{
    CUcontext, CUdevice, CUdevice_attribute, CUdeviceptr, CUevent, CUfunction, CUfunction_attribute, CUgraph,
    CUgraphExec, CUmodule, CUstream, CUstreamCaptureMode,
};
use crate::cuda::library::{Library, Refused};
use std::ffi::{c_char, c_int, c_uchar, c_uint, c_ulonglong, c_void};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

/// What a function of the driver answers: 0, or the number of an error.
pub type Status = c_uint;

macro_rules! functions {
    ($($name:ident($($argument:ty),*);)*) => {
        /// The functions by NVIDIA's names, with the types of `cuda.h`.
        #[allow(non_snake_case, reason = "NVIDIA's names")]
        pub struct Functions {
            $(pub $name: unsafe extern "C" fn($($argument),*) -> Status,)*
        }

        impl Functions {
            /// # Safety
            /// The library's functions of these names are those of NVIDIA's driver.
            unsafe fn of(library: &Library) -> Result<Self, &'static str> {
                // SAFETY: each type is that of the function of its name in cuda.h.
                Ok(unsafe { Self { $($name: library.get(stringify!($name)).ok_or(stringify!($name))?,)* } })
            }
        }

        /// Compiles only if the arguments are those of cudarc's bindings, which are generated from cuda.h.
        #[cfg(test)]
        #[allow(non_snake_case, reason = "NVIDIA's names")]
        mod as_in_cudarc {
            use super::*;
            use crate::cuda::driver::sys;
            $(const _: unsafe fn($($argument),*) -> sys::CUresult = sys::$name;)*
        }
    };
}

functions! {
    cuInit(c_uint);
    cuDeviceGetCount(*mut c_int);
    cuDeviceGet(*mut CUdevice, c_int);
    cuDeviceGetName(*mut c_char, c_int, CUdevice);
    cuDeviceTotalMem_v2(*mut usize, CUdevice);
    cuDeviceGetAttribute(*mut c_int, CUdevice_attribute, CUdevice);
    cuDevicePrimaryCtxRetain(*mut CUcontext, CUdevice);
    cuDevicePrimaryCtxRelease_v2(CUdevice);
    cuCtxGetCurrent(*mut CUcontext);
    cuCtxSetCurrent(CUcontext);
    cuMemGetInfo_v2(*mut usize, *mut usize);
    cuMemAlloc_v2(*mut CUdeviceptr, usize);
    cuMemFree_v2(CUdeviceptr);
    cuMemHostAlloc(*mut *mut c_void, usize, c_uint);
    cuMemFreeHost(*mut c_void);
    cuMemcpyHtoDAsync_v2(CUdeviceptr, *const c_void, usize, CUstream);
    cuMemcpyDtoHAsync_v2(*mut c_void, CUdeviceptr, usize, CUstream);
    cuMemcpyDtoDAsync_v2(CUdeviceptr, CUdeviceptr, usize, CUstream);
    cuMemsetD8Async(CUdeviceptr, c_uchar, usize, CUstream);
    cuModuleLoadData(*mut CUmodule, *const c_void);
    cuModuleUnload(CUmodule);
    cuModuleGetFunction(*mut CUfunction, CUmodule, *const c_char);
    cuFuncGetAttribute(*mut c_int, CUfunction_attribute, CUfunction);
    cuFuncSetAttribute(CUfunction, CUfunction_attribute, c_int);
    cuOccupancyMaxActiveBlocksPerMultiprocessor(*mut c_int, CUfunction, c_int, usize);
    cuLaunchKernel(
        CUfunction, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, CUstream, *mut *mut c_void, *mut *mut c_void
    );
    cuLaunchCooperativeKernel(
        CUfunction, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, CUstream, *mut *mut c_void
    );
    cuStreamCreate(*mut CUstream, c_uint);
    cuStreamDestroy_v2(CUstream);
    cuStreamSynchronize(CUstream);
    cuStreamBeginCapture_v2(CUstream, CUstreamCaptureMode);
    cuStreamEndCapture(CUstream, *mut CUgraph);
    cuStreamWaitEvent(CUstream, CUevent, c_uint);
    cuGraphInstantiateWithFlags(*mut CUgraphExec, CUgraph, c_ulonglong);
    cuGraphLaunch(CUgraphExec, CUstream);
    cuGraphDestroy(CUgraph);
    cuGraphExecDestroy(CUgraphExec);
    cuEventCreate(*mut CUevent, c_uint);
    cuEventDestroy_v2(CUevent);
    cuEventRecord(CUevent, CUstream);
    cuEventSynchronize(CUevent);
}

/// The type of `cuGetErrorName` and `cuGetErrorString`. They take a number, because a new error is no value of cudarc's
/// enum.
type Text = unsafe extern "C" fn(Status, *mut *const c_char) -> Status;

/// The driver's library and its functions.
pub struct Driver {
    pub functions: Functions,
    pub error_name: Text,
    pub error_text: Text,
    /// `cuEventElapsedTime` as every driver has it. There is a newer form, which drivers before CUDA 12.8 lack. Which
    /// of the two cudarc knows depends on the toolkit of the machine that builds.
    pub elapsed: unsafe extern "C" fn(*mut f32, CUevent, CUevent) -> Status,
    /// Its CUDA version, (12, 6) for 12.6.
    pub version: (u32, u32),
    path: PathBuf,
}

/// Why there is no driver.
pub enum Absent {
    /// There is no library, or none that may be opened. The text is the end of a message; it is empty if none was
    /// found.
    None(String),
    /// The library lacks a function: the version of the driver, if it has one, and the function's name.
    Lacks(Option<(u32, u32)>, &'static str),
}

static DRIVER: OnceLock<Driver> = OnceLock::new();
/// What the last search did not open.
static REFUSED: Mutex<Option<Refused>> = Mutex::new(None);

/// The driver, if it was opened.
pub fn driver() -> Option<&'static Driver> {
    DRIVER.get()
}

/// The driver; opens it if it is not open.
pub fn open() -> Result<&'static Driver, Absent> {
    if let Some(driver) = DRIVER.get() {
        return Ok(driver);
    }
    let mut refused = Refused::default();
    let found = find(&mut refused);
    *REFUSED.lock().unwrap_or_else(PoisonError::into_inner) = Some(refused);
    let (library, path) = found.map_err(Absent::None)?;
    // SAFETY: the library bears the name of NVIDIA's driver, and only root or the user can have put it there.
    let driver = unsafe { Driver::of(&library, path) };
    // also if it turns out to be no use: its start-up code has run
    library.keep();
    let driver = driver?;
    Ok(DRIVER.get_or_init(|| driver))
}

/// The file of the driver's library, if it is open.
pub fn library() -> Option<&'static Path> {
    DRIVER.get().map(|driver| &*driver.path)
}

/// What the search for the driver found and did not use, because somebody other than root and the user may have made
/// it. Each is one line with the reason and what to do.
pub fn refused() -> Vec<String> {
    let refused = REFUSED.lock().unwrap_or_else(PoisonError::into_inner);
    refused.as_ref().map_or_else(Vec::new, |refused| refused.lines().to_vec())
}

/// Whether a file that has the driver's name was among these.
pub fn withheld() -> bool {
    REFUSED.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(Refused::has_files)
}

#[cfg(not(windows))]
fn find(refused: &mut Refused) -> Result<(Library, PathBuf), String> {
    use crate::cuda::library::trust;
    use crate::cuda::library::{Closed, Places};
    let places = Places::of_this_process();
    places.say(refused);
    let mut first = String::new();
    for file in ["libcuda.so.1", "libcuda.so"].iter().flat_map(|name| places.files(name)) {
        // SAFETY: it bears the name of NVIDIA's driver.
        let reason = match unsafe { Library::open(&file) } {
            Ok(library) => return Ok((library, file)),
            Err(closed) => closed,
        };
        let said = format!("; {}: {}", trust::shown(&file), reason.reason());
        match reason {
            Closed::Refused(reason) => refused.file(&file, &reason),
            // as in the loader: if the first file that it finds cannot be opened, that is an error
            Closed::Broken(_) => return Err(said),
        }
        if first.is_empty() {
            first = said;
        }
    }
    Err(first)
}

#[cfg(windows)]
fn find(_: &mut Refused) -> Result<(Library, PathBuf), String> {
    const NAME: &str = "nvcuda.dll";
    // SAFETY: NVIDIA's driver is in the system's folder, where only administrators may write.
    match unsafe { Library::open_of_the_system(NAME) } {
        Ok(library) => Ok((library, PathBuf::from(NAME))),
        Err(closed) => Err(format!("; {}", closed.reason())),
    }
}

impl Driver {
    /// # Safety
    /// The library's functions are those of NVIDIA's driver.
    unsafe fn of(library: &Library, path: PathBuf) -> Result<Self, Absent> {
        // SAFETY: the types are those of cuda.h.
        let version = unsafe { library.get("cuDriverGetVersion") }.and_then(version);
        let lacks = |name| Absent::Lacks(version, name);
        // SAFETY: as above.
        unsafe {
            let get = |name| library.get::<Text>(name).ok_or_else(|| lacks(name));
            Ok(Self {
                functions: Functions::of(library).map_err(lacks)?,
                error_name: get("cuGetErrorName")?,
                error_text: get("cuGetErrorString")?,
                elapsed: library.get("cuEventElapsedTime").ok_or_else(|| lacks("cuEventElapsedTime"))?,
                version: version.ok_or_else(|| lacks("a version"))?,
                path,
            })
        }
    }
}

/// The driver's CUDA version; works before `cuInit`.
fn version(ask: unsafe extern "C" fn(*mut c_int) -> Status) -> Option<(u32, u32)> {
    let mut number = 0;
    // SAFETY: the function writes one int.
    let answer = unsafe { ask(&mut number) };
    let number = u32::try_from(number).ok().filter(|&number| answer == 0 && number > 0)?;
    Some((number / 1000, number % 1000 / 10))
}
