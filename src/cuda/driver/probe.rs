//! What must be there before the first call: the library, every function in it that is used here, a driver that is
//! new enough, a device.

use super::api::{self, Absent};
use super::sys::{self, CUdevice_attribute as Attribute, CUresult};
use super::{Doing, describe, result};
use crate::cuda::Arch;
use crate::error::{DeviceErrorKind as Kind, Error, Result};
use std::sync::OnceLock;

/// The oldest CUDA version that the driver may have: the first whose graphs are instantiated with flags, and the one of
/// JetPack 5.
const OLDEST: (u32, u32) = (11, 4);

/// The properties of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Properties {
    /// NVIDIA's name for it.
    pub name: String,
    /// The architecture that images must be made for.
    pub arch: Arch,
    /// How many multiprocessors.
    pub multiprocessors: u32,
    /// The most shared memory of one block, in bytes, if a kernel asks for it.
    pub shared_per_block: usize,
    /// Shared memory of one multiprocessor, in bytes.
    pub shared_per_multiprocessor: usize,
    /// The most 32-bit registers of one block.
    pub registers_per_block: u32,
    /// Whether all blocks of a launch can run at once and wait for each other.
    pub cooperative: bool,
    /// Whether it shares its memory with the processor, as a Jetson does.
    pub integrated: bool,
    /// Its memory in bytes.
    pub memory: usize,
    /// Its second-level cache in bytes.
    pub l2: usize,
    /// Its clock in kHz.
    pub clock_khz: u32,
    /// The CUDA version of the driver, (12, 6) for 12.6.
    pub driver: (u32, u32),
}

/// The devices of this machine, in the driver's order; `CUDA_VISIBLE_DEVICES` can hide some.
///
/// # Errors
/// One line that names what is missing: the driver, a function in it, a version, a device.
pub fn devices() -> Result<Vec<Properties>> {
    let driver = ready()?;
    (0..count(driver)?).map(|index| properties(index, driver).map(|(_, properties)| properties)).collect()
}

/// The CUDA version of the driver, after a check that the library, its functions and its version can be used.
pub(super) fn ready() -> Result<(u32, u32)> {
    static READY: OnceLock<(u32, u32)> = OnceLock::new();
    if let Some(&version) = READY.get() {
        return Ok(version);
    }
    let driver = api::open().map_err(|absent| match absent {
        Absent::None(reason) => Error::device(if api::withheld() { Kind::NotTrusted } else { Kind::NoDriver }, format!(
            "no NVIDIA driver: the system finds no libcuda.so.1 (Windows: nvcuda.dll) that can be opened{reason}; install \
             the driver of this machine's GPU, or use the CPU"
        )),
        Absent::Lacks(Some(version), _) if version < OLDEST => too_old(version),
        Absent::Lacks(version, missing) => {
            let version = version.map_or(String::new(), |(major, minor)| format!(" (CUDA {major}.{minor})"));
            Error::device(Kind::NoDriver, format!(
                "the NVIDIA driver{version} lacks {missing}, so it is not complete; install the driver of this machine's \
                 GPU again, or use the CPU"
            ))
        }
    })?;
    if driver.version < OLDEST {
        return Err(too_old(driver.version));
    }
    initialise(driver.version)?;
    Ok(*READY.get_or_init(|| driver.version))
}

fn too_old((major, minor): (u32, u32)) -> Error {
    Error::device(
        Kind::NoDriver,
        format!(
            "the NVIDIA driver is too old: it has CUDA {major}.{minor}, rnnstep needs {}.{} or later; update the driver, or \
         use the CPU",
            OLDEST.0, OLDEST.1
        ),
    )
}

fn initialise((major, minor): (u32, u32)) -> Result<()> {
    let Err(error) = result::init() else { return Ok(()) };
    Err(if error.is(&[CUresult::CUDA_ERROR_NO_DEVICE]) {
        no_device((major, minor))
    } else if error.is(&[CUresult::CUDA_ERROR_STUB_LIBRARY]) {
        Error::device(
            Kind::NoDriver,
            "the libcuda that the system finds is the toolkit's stub, not a driver; take its folder (…/stubs) out of \
             LD_LIBRARY_PATH, or use the CPU",
        )
    } else if error.is(&[CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH]) {
        Error::device(
            Kind::NoDriver,
            format!(
                "the NVIDIA driver's library (CUDA {major}.{minor}) and its kernel module are of different versions; restart \
             the machine, or use the CPU"
            ),
        )
    } else {
        Error::device(
            Kind::NoDriver,
            format!(
                "the NVIDIA driver (CUDA {major}.{minor}) does not start: {}; install it again, or use the CPU",
                describe(error)
            ),
        )
    })
}

fn no_device((major, minor): (u32, u32)) -> Error {
    let hidden = match std::env::var("CUDA_VISIBLE_DEVICES") {
        Ok(list) => format!("CUDA_VISIBLE_DEVICES is {list:?}; change it"),
        Err(_) => "check that it is plugged in and that this user may open /dev/nvidia*".to_string(),
    };
    Error::device(
        Kind::NoDevice,
        format!("the NVIDIA driver (CUDA {major}.{minor}) sees no GPU: {hidden}, or use the CPU"),
    )
}

/// How many devices there are; at least one.
pub(super) fn count(driver: (u32, u32)) -> Result<usize> {
    let count = result::device::get_count().doing(format_args!("counting the GPUs"))?;
    usize::try_from(count).ok().filter(|&count| count > 0).ok_or_else(|| no_device(driver))
}

/// The handle and the properties of a device.
pub(super) fn properties(index: usize, driver: (u32, u32)) -> Result<(sys::CUdevice, Properties)> {
    let what = format_args!("asking for the properties of GPU {index}");
    let handle = result::device::get(i32::try_from(index).unwrap_or(i32::MAX)).doing(what)?;
    let ask = |attribute| {
        // SAFETY: the handle came from the driver just now.
        let value = unsafe { result::device::get_attribute(handle, attribute) }.doing(what)?;
        Ok(u32::try_from(value).unwrap_or(0))
    };
    let size = |attribute| ask(attribute).map(|value| value as usize);
    // SAFETY: as above.
    let memory = unsafe { result::device::total_mem(handle) }.doing(what)?;
    let properties = Properties {
        name: name(handle, index)?,
        arch: Arch::new(
            ask(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            ask(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ),
        multiprocessors: ask(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        shared_per_block: size(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
        shared_per_multiprocessor: size(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR)?,
        registers_per_block: ask(Attribute::CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK)?,
        cooperative: ask(Attribute::CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH)? != 0,
        integrated: ask(Attribute::CU_DEVICE_ATTRIBUTE_INTEGRATED)? != 0,
        memory,
        l2: size(Attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?,
        clock_khz: ask(Attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE)?,
        driver,
    };
    Ok((handle, properties))
}

/// The name of a device; whatever the driver writes, no panic.
fn name(handle: sys::CUdevice, index: usize) -> Result<String> {
    let mut text = [0_u8; 256];
    // SAFETY: the handle came from the driver.
    unsafe { result::device::get_name(&mut text, handle) }.doing(format_args!("asking for the name of GPU {index}"))?;
    let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
    Ok(String::from_utf8_lossy(&text[..end]).into_owned())
}
