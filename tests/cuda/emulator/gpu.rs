//! What the tests of the emulated device need of a GPU: compile, load, launch, read back. It goes through cudarc, as
//! the library does.

use cudarc::driver::sys::CUfunction_attribute;
use cudarc::driver::{
    CudaContext, CudaFunction, CudaModule, CudaSlice, CudaStream, DevicePtr, DeviceRepr, DriverError, LaunchConfig,
    PushKernelArg,
};
use cudarc::nvrtc::{Ptx, result, sys};
use std::ffi::{CStr, CString};
use std::path::Path;
use std::sync::Arc;

/// Compiles `planted/<file>` with these macros. The other error is what the compiler said.
pub fn compile(file: &str, arch: &str, defines: &[&str]) -> Result<Vec<u8>, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cuda/emulator/planted");
    let read = |name: &str| CString::new(std::fs::read(folder.join(name)).unwrap()).unwrap();
    let (source, name, header) = (read(file), CString::new(file).unwrap(), read("wrong.cuh"));
    let mut options = vec![format!("--gpu-architecture={arch}"), "--std=c++17".into()];
    options.extend(defines.iter().map(|define| format!("-D{define}")));
    let (texts, names) = ([header.as_ptr()], [c"wrong.cuh".as_ptr()]);
    let mut program = std::ptr::null_mut();
    // SAFETY: all strings live to the end of the function, the program is destroyed once, sizes are asked for first.
    unsafe {
        sys::nvrtcCreateProgram(&mut program, source.as_ptr(), name.as_ptr(), 1, texts.as_ptr(), names.as_ptr())
            .result()
            .unwrap();
        let compiled = result::compile_program(program, &options);
        let log = result::get_program_log(program).unwrap();
        let log = CStr::from_ptr(log.as_ptr()).to_string_lossy().into_owned();
        let mut cubin = Vec::new();
        if compiled.is_ok() {
            let mut size = 0;
            sys::nvrtcGetCUBINSize(program, &mut size).result().unwrap();
            cubin.resize(size, 0_u8);
            if size > 0 {
                sys::nvrtcGetCUBIN(program, cubin.as_mut_ptr().cast()).result().unwrap();
            }
        }
        result::destroy_program(program).unwrap();
        compiled.map(|()| cubin).map_err(|error| format!("{error:?}: {log}"))
    }
}

/// The arguments of a kernel. It is a struct of plain data, of the layout that the kernel has.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Args<A: Copy>(pub A);

// SAFETY: the tests pass `repr(C)` structs of pointers and numbers.
unsafe impl<A: Copy> DeviceRepr for Args<A> {}

pub struct Gpu {
    pub context: Arc<CudaContext>,
    pub stream: Arc<CudaStream>,
}

impl Gpu {
    pub fn open() -> Self {
        let context = CudaContext::new(0).unwrap();
        // SAFETY: every test uses one stream, or orders its streams by hand.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().unwrap();
        Self { context, stream }
    }

    pub fn load(&self, file: &str, defines: &[&str]) -> Arc<CudaModule> {
        let (major, minor) = self.context.compute_capability().unwrap();
        let cubin = compile(file, &format!("sm_{major}{minor}"), defines).unwrap();
        self.context.load_module(Ptx::from_binary(cubin)).unwrap()
    }

    pub fn kernel(&self, file: &str, name: &str, defines: &[&str]) -> CudaFunction {
        self.load(file, defines).load_function(name).unwrap()
    }

    pub fn upload(&self, data: &[f32]) -> CudaSlice<f32> {
        self.stream.clone_htod(data).unwrap()
    }

    /// Memory as it comes.
    pub fn fresh(&self, len: usize) -> CudaSlice<f32> {
        // SAFETY: the emulated device fills it; what the tests read of it are floats of any value.
        unsafe { self.stream.alloc(len).unwrap() }
    }

    pub fn zeroed_words(&self, len: usize) -> CudaSlice<u32> {
        self.stream.alloc_zeros(len).unwrap()
    }

    /// The address for a kernel's arguments.
    pub fn address<T>(&self, memory: &CudaSlice<T>) -> u64 {
        memory.device_ptr(&self.stream).0
    }

    /// Puts a launch into the stream.
    pub fn launch<A: Copy>(&self, kernel: &CudaFunction, grid: u32, block: u32, args: A) -> Result<(), DriverError> {
        self.launch_with(kernel, (grid, 1, 1), block, 0, false, args)
    }

    pub fn launch_with<A: Copy>(
        &self,
        kernel: &CudaFunction,
        grid_dim: (u32, u32, u32),
        block: u32,
        shared_mem_bytes: u32,
        cooperative: bool,
        args: A,
    ) -> Result<(), DriverError> {
        let args = Args(args);
        let mut builder = self.stream.launch_builder(kernel);
        builder.arg(&args);
        let config = LaunchConfig { grid_dim, block_dim: (block, 1, 1), shared_mem_bytes };
        // SAFETY: the kernels check their bounds, but for those that are to be caught.
        unsafe { if cooperative { builder.launch_cooperative(config) } else { builder.launch(config) } }.map(|_| ())
    }

    pub fn allow_shared(&self, kernel: &CudaFunction, bytes: i32) -> Result<(), DriverError> {
        kernel.set_attribute(CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, bytes)
    }

    /// Waits, and brings the numbers here.
    pub fn download(&self, memory: &CudaSlice<f32>) -> Vec<f32> {
        self.stream.clone_dtoh(memory).unwrap()
    }
}
