//! What goes wrong on a card goes wrong on the emulated one in the same way: with the same error, at the same call.

use super::clean::{Add, Ring, Sum, numbers};
use super::gpu::{Gpu, compile};
use super::{Emulator, Kind, Ran};
use cudarc::driver::sys::{self, CUresult};
use cudarc::driver::{CudaContext, DriverError};
use cudarc::nvrtc::Ptx;

/// Runs `body` in a process of its own on the device; gives what it printed to the first process.
fn on(emulator: Option<Emulator>, test: &str, body: fn()) -> Option<Ran> {
    let ran = emulator?.run_inside(&format!("emulator::failures::{test}"), "", body)?;
    assert!(ran.status.success(), "{test}: {}\n{}", ran.status, ran.text);
    Some(ran)
}

fn plain() -> Option<Emulator> {
    Emulator::new(Kind::Plain)
}

#[test]
fn no_library() {
    on(Some(Emulator::broken()), "no_library", || {
        // SAFETY: looking for a library that is none runs nothing of it.
        let present = unsafe { (sys::is_culib_present(), cudarc::nvrtc::sys::is_culib_present()) };
        assert_eq!(present, (false, false));
    });
}

#[test]
fn lacking_symbols() {
    let emulator = Emulator::lacking(&["cuGraphLaunch", "cuMemAllocAsync"]);
    on(emulator, "lacking_symbols", || {
        // SAFETY: the library is the emulated one, the functions are only looked for.
        let (present, culib) = unsafe { (sys::is_culib_present(), sys::culib()) };
        assert!(present);
        let has = |name: &[u8]| unsafe { culib.get::<unsafe extern "C" fn()>(name) }.is_ok();
        assert!(!has(b"cuGraphLaunch") && !has(b"cuMemAllocAsync"));
        assert!(has(b"cuGraphUpload") && has(b"cuMemAlloc_v2") && has(b"cuInit"));
    });
}

#[test]
fn no_device() {
    on(plain().map(|e| e.with("EMULATOR_DEVICES", 0)), "no_device", || {
        assert_eq!(CudaContext::new(0).unwrap_err().0, CUresult::CUDA_ERROR_NO_DEVICE);
    });
}

#[test]
fn old_driver() {
    on(plain().map(|e| e.with("EMULATOR_DRIVER", 10020)), "old_driver", || {
        let mut version = 0;
        // SAFETY: writes one number.
        unsafe { sys::cuDriverGetVersion(&mut version) }.result().unwrap();
        assert_eq!(version, 10020);
        // memory pools, for which cudarc asks, came with CUDA 11.2
        assert_eq!(CudaContext::new(0).unwrap_err().0, CUresult::CUDA_ERROR_INVALID_VALUE);
    });
}

#[test]
fn several_devices_of_an_architecture() {
    let emulator = plain().map(|e| e.with("EMULATOR_DEVICES", 2).with("EMULATOR_ARCH", 87).with("EMULATOR_SMS", 8));
    on(emulator, "several_devices_of_an_architecture", || {
        assert_eq!(CudaContext::device_count().unwrap(), 2);
        let second = CudaContext::new(1).unwrap();
        assert_eq!(second.compute_capability().unwrap(), (8, 7));
        let attribute = |which| second.attribute(which).unwrap();
        assert_eq!(attribute(sys::CUdevice_attribute_enum::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT), 8);
        assert_eq!(attribute(sys::CUdevice_attribute_enum::CU_DEVICE_ATTRIBUTE_INTEGRATED), 1);
        assert_eq!(CudaContext::new(2).unwrap_err().0, CUresult::CUDA_ERROR_INVALID_DEVICE);
    });
}

#[test]
fn out_of_memory() {
    on(plain().map(|e| e.with("EMULATOR_MEMORY", 1_000_000)), "out_of_memory", || {
        let gpu = Gpu::open();
        let first = gpu.fresh(150_000);
        // SAFETY: nothing reads it.
        let second = unsafe { gpu.stream.alloc::<f32>(150_000) };
        assert_eq!(second.unwrap_err().0, CUresult::CUDA_ERROR_OUT_OF_MEMORY);
        assert_eq!(gpu.context.mem_get_info().unwrap(), (400_000, 1_000_000));
        drop(first); // the next allocation waits for what is about to be freed
        let third = gpu.fresh(200_000);
        assert!(gpu.download(&third).iter().all(|x| x.is_nan()), "fresh memory is full of NaN");
    });
}

#[test]
fn images() {
    on(plain(), "images", || {
        let gpu = Gpu::open(); // sm_80
        let load = |image: Vec<u8>| gpu.context.load_module(Ptx::from_binary(image)).map(|_| ()).map_err(|e| e.0);
        let cubin = |arch: &str| compile("add.cu", arch, &[]).unwrap();
        assert_eq!(load(cubin("sm_80")), Ok(()));
        for other in ["sm_75", "sm_86", "sm_87", "sm_90"] {
            assert_eq!(load(cubin(other)), Err(CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU), "{other}");
        }
        assert_eq!(load(b"garbage, and more of it".to_vec()), Err(CUresult::CUDA_ERROR_INVALID_IMAGE));
        assert_eq!(load(vec![0]), Err(CUresult::CUDA_ERROR_INVALID_IMAGE));
        let mut damaged = compile("grid.cu", "sm_80", &["DAMAGED"]).unwrap();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        assert_eq!(load(damaged), Err(CUresult::CUDA_ERROR_INVALID_IMAGE));
        let module = gpu.load("add.cu", &[]);
        assert_eq!(module.load_function("none").unwrap_err().0, CUresult::CUDA_ERROR_NOT_FOUND);
    });
}

#[test]
fn binaries_for_a_desktop_card_of_the_same_family() {
    on(plain().map(|e| e.with("EMULATOR_ARCH", 86)), "binaries_for_a_desktop_card_of_the_same_family", || {
        let gpu = Gpu::open();
        let load = |arch: &str| {
            let image = compile("add.cu", arch, &[]).unwrap();
            gpu.context.load_module(Ptx::from_binary(image)).map(|_| ()).map_err(|e| e.0)
        };
        assert_eq!(load("sm_80"), Ok(()));
        assert_eq!(load("sm_89"), Err(CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU));
    });
}

#[test]
fn what_does_not_compile() {
    on(plain(), "what_does_not_compile", || {
        let log = compile("wrong.cu", "sm_80", &[]).unwrap_err();
        assert!(log.contains("NVRTC_ERROR_COMPILATION") && log.contains("wrong.cu:5:"), "{log}");
        assert!(log.contains("no_such_word"), "{log}");
        let log = compile("wrong.cu", "sm_80", &["WRONG_HEADER"]).unwrap_err();
        assert!(log.contains("wrong.cuh:6:") && log.contains("missing"), "{log}");
        let log = compile("add.cu", "sm_110", &[]).unwrap_err();
        assert!(log.contains("NVRTC_ERROR_INVALID_OPTION") && log.contains("sm_110"), "{log}");
        assert!(compile("add.cu", "compute_80", &[]).unwrap().is_empty(), "PTX is no cubin");
    });
}

#[test]
fn no_compiler() {
    on(plain().map(|e| e.with("CXX", "no-such-compiler")), "no_compiler", || {
        let log = compile("add.cu", "sm_80", &[]).unwrap_err();
        assert!(log.contains("cannot run the C++ compiler `no-such-compiler`"), "{log}");
    });
}

#[test]
fn a_newer_compiler() {
    on(plain().map(|e| e.with("EMULATOR_NVRTC", 13000)), "a_newer_compiler", || {
        let (mut major, mut minor) = (0, 0);
        // SAFETY: writes two numbers.
        unsafe { cudarc::nvrtc::sys::nvrtcVersion(&mut major, &mut minor) }.result().unwrap();
        assert_eq!((major, minor), (13, 0));
        assert!(compile("add.cu", "sm_110", &[]).is_ok());
        assert!(compile("add.cu", "sm_72", &[]).unwrap_err().contains("sm_72"));
    });
}

#[test]
fn limits_of_a_launch() {
    on(plain(), "limits_of_a_launch", || {
        let gpu = Gpu::open();
        let (x, out) = (gpu.upload(&numbers(64)), gpu.fresh(64));
        let invalid = |result: Result<(), DriverError>| {
            assert_eq!(result.unwrap_err().0, CUresult::CUDA_ERROR_INVALID_VALUE);
        };
        let kernel = gpu.kernel("sum.cu", "dynamic_sum", &[]);
        let args = Sum { x: gpu.address(&x), out: gpu.address(&out), n: 64 };
        invalid(gpu.launch(&kernel, 1, 1025, args));
        invalid(gpu.launch(&kernel, 1, 0, args));
        invalid(gpu.launch(&kernel, 0, 32, args));
        invalid(gpu.launch_with(&kernel, (1, 70_000, 1), 32, 0, false, args));
        invalid(gpu.launch_with(&kernel, (1, 1, 1), 32, 50_000, false, args)); // not allowed yet
        invalid(gpu.allow_shared(&kernel, (163 << 10) + 1));
        gpu.allow_shared(&kernel, 163 << 10).unwrap();
        gpu.launch_with(&kernel, (1, 1, 1), 32, 163 << 10, false, args).unwrap();
        invalid(gpu.launch(&gpu.kernel("sum.cu", "sum", &[]), 1, 65, args)); // its launch bounds are 64
        // a true compiler would refuse it; here it is refused when it runs
        gpu.launch(&gpu.kernel("sum.cu", "much_shared", &[]), 1, 32, args).unwrap();
        let error = gpu.stream.synchronize().unwrap_err().error_string().unwrap().to_string_lossy().into_owned();
        assert!(error.contains("sum.cu:84 makes 64000 bytes"), "{error}");
    });
}

#[test]
fn limits_of_a_cooperative_launch() {
    on(plain().map(|e| e.with("EMULATOR_SMS", 2)), "limits_of_a_cooperative_launch", || {
        let gpu = Gpu::open();
        let n = 256 * 17;
        let (x, next, barrier) = (gpu.upload(&numbers(n)), gpu.fresh(n), gpu.zeroed_words(2));
        let kernel = gpu.kernel("grid.cu", "ring", &[]);
        let [x_at, next_at] = [&x, &next].map(|memory| gpu.address(memory));
        let args = Ring { x: x_at, next: next_at, barrier: gpu.address(&barrier), n: n as i32, steps: 2 };
        let launch = |blocks: u32| gpu.launch_with(&kernel, (blocks, 1, 1), 256, 0, true, args).map_err(|e| e.0);
        // two multiprocessors, each with room for 2048 threads
        assert_eq!(launch(17), Err(CUresult::CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE));
        assert_eq!(launch(16), Ok(()));
    });
}

#[test]
fn a_failed_kernel_stays_failed() {
    let ran = on(plain(), "a_failed_kernel_stays_failed", || {
        let gpu = Gpu::open();
        let (x, barrier) = (gpu.upload(&numbers(64)), gpu.zeroed_words(2));
        let kernel = gpu.kernel("grid.cu", "ring", &[]);
        let args = Ring { x: gpu.address(&x), next: gpu.address(&x), barrier: gpu.address(&barrier), n: 64, steps: 1 };
        gpu.launch(&kernel, 1, 64, args).unwrap(); // the error comes when somebody waits
        let error = gpu.stream.synchronize().unwrap_err();
        assert_eq!(error.0, CUresult::CUDA_ERROR_LAUNCH_FAILED);
        let text = error.error_string().unwrap().to_string_lossy().into_owned();
        let parts = ["unspecified launch failure", "`ring`", "thread (0,0,0) of block (0,0,0)", "grid.cu:16"];
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        assert_eq!(gpu.stream.synchronize().unwrap_err().0, CUresult::CUDA_ERROR_LAUNCH_FAILED);
        assert_eq!(gpu.launch(&kernel, 1, 64, args).unwrap_err().0, CUresult::CUDA_ERROR_LAUNCH_FAILED);
    });
    let Some(ran) = ran else { return };
    assert!(ran.text.contains("emulated device: kernel `ring`"), "{}", ran.text);
}

#[test]
fn a_stack_that_is_too_small() {
    on(plain(), "a_stack_that_is_too_small", || {
        let gpu = Gpu::open();
        let x = gpu.upload(&numbers(64));
        let kernel = gpu.kernel("add.cu", "deep", &[]);
        let args = Add { x: gpu.address(&x), y: gpu.address(&x), out: gpu.address(&x), n: 64 };
        gpu.launch(&kernel, 1, 1, args).unwrap();
        let error = gpu.stream.synchronize().unwrap_err();
        assert_eq!(error.0, CUresult::CUDA_ERROR_LAUNCH_FAILED);
        assert!(error.error_string().unwrap().to_string_lossy().contains("64 KiB of stack"));
    });
}

#[test]
fn copies_are_checked() {
    on(plain(), "copies_are_checked", || {
        let gpu = Gpu::open();
        let (x, mut host) = (gpu.upload(&numbers(64)), [0.0_f32; 64]);
        let at = gpu.address(&x);
        let mut copy = |from: u64, bytes: usize| {
            // SAFETY: bytes are at most those of `host`.
            unsafe { sys::cuMemcpyDtoHAsync_v2(host.as_mut_ptr().cast(), from, bytes, gpu.stream.cu_stream()) }
        };
        assert_eq!(copy(at, 256), CUresult::CUDA_SUCCESS);
        assert_eq!(copy(at + 4, 252), CUresult::CUDA_SUCCESS);
        assert_eq!(copy(at + 4, 256), CUresult::CUDA_ERROR_INVALID_VALUE);
        assert_eq!(copy(at - 4, 4), CUresult::CUDA_ERROR_INVALID_VALUE);
        drop(x);
        gpu.stream.synchronize().unwrap();
        assert_eq!(copy(at, 256), CUresult::CUDA_ERROR_INVALID_VALUE, "freed");
    });
}

#[test]
fn polling_for_ever() {
    on(plain(), "polling_for_ever", || {
        let gpu = Gpu::open();
        let (x, barrier) = (gpu.upload(&numbers(64)), gpu.zeroed_words(2));
        let kernel = gpu.kernel("grid.cu", "poll", &[]);
        let args = Ring { x: gpu.address(&x), next: 0, barrier: gpu.address(&barrier), n: 64, steps: 1 };
        gpu.launch(&kernel, 1, 2, args).unwrap();
        let error = gpu.stream.synchronize().unwrap_err();
        assert!(error.error_string().unwrap().to_string_lossy().contains("polls for ever at grid.cu:32"));
    });
}
