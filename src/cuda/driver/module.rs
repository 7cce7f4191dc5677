//! Images on the device, the kernels in them, and their launches.

use super::sys::{self, CUfunction_attribute as Attribute, CUresult};
use super::{Doing, Doomed, Gpu, result};
use crate::cuda::bytes;
use crate::error::{DeviceErrorKind as Kind, Error, Result};
use std::ffi::{CString, c_void};
use std::fmt;
use std::sync::Arc;

/// The most threads of a block on every architecture.
const MAX_THREADS: u32 = 1024;

/// An image on a device. It stays there until the module and all functions from it are dropped.
#[derive(Clone)]
pub struct Module(Arc<Loaded>);

struct Loaded {
    gpu: Gpu,
    module: sys::CUmodule,
}

// SAFETY: a module's handle may be used from any thread that has made its context current, which every call does.
unsafe impl Send for Loaded {}
// SAFETY: as above; nothing about a module changes after it was loaded.
unsafe impl Sync for Loaded {}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.gpu.0.release(Doomed::Module(self.module));
    }
}

impl Gpu {
    /// Loads an image (a cubin, as [`crate::cuda::image::compile`] makes it) onto the device.
    ///
    /// # Errors
    /// If it is cut short or no image, or was made for another architecture, or by a compiler that is too new for the
    /// driver.
    pub fn load(&self, image: &[u8]) -> Result<Module> {
        check_image(image)?;
        let _entered = self.enter_to_wait("loading a module")?;
        // SAFETY: the driver reads as far as the image's own tables say, which was just checked to be inside it.
        let loaded = unsafe { result::module::load_data(image.as_ptr().cast()) };
        let module = loaded.map_err(|error| self.not_loaded(error))?;
        Ok(Module(Arc::new(Loaded { gpu: self.clone(), module })))
    }

    #[cold]
    fn not_loaded(&self, error: result::DriverError) -> Error {
        let properties = &self.0.properties;
        let what = format!("loading a module on {} ({})", properties.name, properties.arch);
        let of_another = [
            CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU,
            CUresult::CUDA_ERROR_INVALID_IMAGE,
            CUresult::CUDA_ERROR_INVALID_PTX,
            CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION,
        ];
        if !error.is(&of_another) {
            return super::failed(format_args!("{what}"), error);
        }
        Error::device(
            Kind::Unsupported,
            format!(
                "{what}: {}; it was compiled for another architecture, or by an NVRTC that is newer than the driver \
                 (CUDA {}.{}); compile it for this GPU, or update the driver",
                super::describe(error),
                properties.driver.0,
                properties.driver.1
            ),
        )
    }
}

impl Module {
    /// A kernel by its name.
    ///
    /// # Errors
    /// If the module has none of this name.
    pub fn function(&self, name: &str) -> Result<Function> {
        let gpu = &self.0.gpu;
        let _entered = gpu.enter()?;
        let text = CString::new(name)
            .map_err(|_| Error::invalid(format!("kernel {name:?}: the name contains a zero byte")))?;
        // SAFETY: the module is alive.
        match unsafe { result::module::get_function(self.0.module, &text) } {
            Ok(function) => Ok(Function { module: self.clone(), function, name: name.into() }),
            Err(error) if error.is(&[CUresult::CUDA_ERROR_NOT_FOUND]) => Err(Error::device(
                Kind::Unsupported,
                format!("kernel {name}: not in this module, which was compiled from other sources"),
            )),
            Err(error) => Err(super::failed(format_args!("looking for kernel {name}"), error)),
        }
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Module(GPU {})", self.0.gpu.index())
    }
}

/// A kernel on a device.
#[derive(Clone)]
pub struct Function {
    module: Module,
    function: sys::CUfunction,
    name: Arc<str>,
}

// SAFETY: as for the module that it is a part of, and which it keeps.
unsafe impl Send for Function {}
// SAFETY: as above; the driver guards the one attribute that can be set.
unsafe impl Sync for Function {}

/// What a kernel takes of a multiprocessor, as the driver reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resources {
    /// 32-bit registers of a thread.
    pub registers: u32,
    /// Bytes of local memory of a thread: what did not fit into registers, and arrays.
    pub local_bytes: u32,
    /// Bytes of shared memory of a block that the kernel declares itself.
    pub shared_bytes: u32,
}

/// How a kernel is launched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Blocks in x, y and z.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub threads: u32,
    /// Bytes of shared memory of a block on top of what the kernel declares.
    pub shared: u32,
    /// Whether all blocks run at once, so that they may wait for each other.
    pub cooperative: bool,
}

impl Function {
    /// The kernel's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it takes of a multiprocessor.
    ///
    /// # Errors
    /// If the driver refuses.
    pub fn resources(&self) -> Result<Resources> {
        let _entered = self.gpu().enter()?;
        Ok(Resources {
            registers: self.attribute(Attribute::CU_FUNC_ATTRIBUTE_NUM_REGS)?,
            local_bytes: self.attribute(Attribute::CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES)?,
            shared_bytes: self.attribute(Attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES)?,
        })
    }

    /// Allows launches with up to `dynamic` bytes of shared memory on top of what the kernel declares. Needed above 48
    /// KiB.
    ///
    /// # Errors
    /// If a block of this device cannot have so much.
    pub fn allow_dynamic_shared(&self, dynamic: u32) -> Result<()> {
        let _entered = self.gpu().enter()?;
        let own = self.attribute(Attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES)?;
        let properties = self.gpu().properties();
        let wanted = own as usize + dynamic as usize;
        if wanted > properties.shared_per_block {
            let (wanted, most) = (bytes(wanted), bytes(properties.shared_per_block));
            let name = &properties.name;
            return Err(Error::device(
                Kind::Unsupported,
                format!("kernel {}: needs {wanted} of shared memory, and {name} has {most} for a block", self.name),
            ));
        }
        let value = i32::try_from(dynamic).unwrap_or(i32::MAX);
        let attribute = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        // SAFETY: the function lives as long as its module, which is alive.
        unsafe { result::function::set_function_attribute(self.function, attribute, value) }.doing(format_args!(
            "kernel {}: allowing {} of shared memory",
            self.name,
            bytes(dynamic as usize)
        ))
    }

    /// How many blocks a multiprocessor holds at once, each with `threads` threads and `dynamic_shared` bytes.
    ///
    /// # Errors
    /// If the driver refuses.
    pub fn blocks_per_multiprocessor(&self, threads: u32, dynamic_shared: u32) -> Result<u32> {
        let _entered = self.gpu().enter()?;
        let threads = i32::try_from(threads).unwrap_or(i32::MAX);
        // SAFETY: the function lives as long as its module, which is alive.
        let blocks = unsafe { result::function::blocks(self.function, threads, dynamic_shared as usize) };
        let blocks = blocks.doing(format_args!("kernel {}: asking how many blocks fit", self.name))?;
        Ok(u32::try_from(blocks).unwrap_or(0))
    }

    /// Launches the kernel with one argument, a struct of C layout that is copied. Returns at once.
    ///
    /// # Errors
    /// If the geometry is impossible, or the driver refuses it. What the kernel does wrong while it runs shows up
    /// later, see [`crate::cuda::driver`].
    ///
    /// # Safety
    /// `args` is what the kernel declares, field by field. With these arguments and this geometry it reads and writes
    /// inside device memory only, and inside memory that stays alive until the work is done and that nothing else
    /// reads or writes meanwhile from outside the streams of this [`Gpu`].
    pub unsafe fn launch<A: Copy>(&self, geometry: Geometry, args: &A) -> Result<()> {
        let Geometry { grid: [x, y, z], threads, shared, cooperative } = geometry;
        if x == 0 || y == 0 || z == 0 || threads == 0 || threads > MAX_THREADS {
            return Err(Error::invalid(format!(
                "launch of {}: {x} x {y} x {z} blocks of {threads} threads; at least one of each, and {MAX_THREADS} \
                 threads at most",
                self.name
            )));
        }
        let gpu = self.gpu();
        if cooperative && !gpu.properties().cooperative {
            let name = &gpu.properties().name;
            return Err(Error::device(
                Kind::Unsupported,
                format!("launch of {}: {name} has no cooperative launch, which this kernel needs", self.name),
            ));
        }
        let _entered = gpu.enter()?;
        let mut pointers = [std::ptr::from_ref(args).cast_mut().cast::<c_void>()];
        // SAFETY: function and stream are alive and of the current context; the driver copies the argument before it
        // returns; the rest is the caller's promise.
        unsafe { result::launch_kernel(self.function, geometry, gpu.0.stream(), &mut pointers) }
            .doing(format_args!("launch of {} ({x} x {y} x {z} blocks of {threads} threads, {shared} B)", self.name))
    }

    fn gpu(&self) -> &Gpu {
        &self.module.0.gpu
    }

    /// The context must be current already.
    fn attribute(&self, attribute: Attribute) -> Result<u32> {
        // SAFETY: the function lives as long as its module, which is alive.
        let value = unsafe { result::function::get_function_attribute(self.function, attribute) };
        value
            .doing(format_args!("kernel {}: asking what it needs", self.name))
            .map(|value| value.try_into().unwrap_or(0))
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Function({}, GPU {})", self.name, self.gpu().index())
    }
}

/// Checks that an image is a 64-bit little-endian ELF file whose tables, and everything that they point to, are inside
/// it. The driver gets an address and no length, so it would read an image that is cut short beyond its end.
fn check_image(image: &[u8]) -> Result<()> {
    const HEADER: usize = 64;
    const NO_BITS: u64 = 8;
    let number = |at: usize, width: usize| -> Option<u64> {
        let field = image.get(at..at.checked_add(width)?)?;
        Some(field.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    };
    let fits = |at: u64, len: u64| at.checked_add(len).is_some_and(|end| end <= image.len() as u64);
    // (where the table's offset, entry size and count are; least size of an entry; offset, length and type in an entry)
    let table = |[start, size, count]: [usize; 3], least: u64, [offset, length, kind]: [u64; 3]| -> Option<bool> {
        let (start, size, count) = (number(start, 8)?, number(size, 2)?, number(count, 2)?);
        for index in 0..count {
            let entry = start.checked_add(index * size)?;
            if size < least || !fits(entry, size) {
                return Some(false);
            }
            let entry = entry as usize;
            let without_bytes = kind != 0 && number(entry + kind as usize, 4)? == NO_BITS;
            if !without_bytes && !fits(number(entry + offset as usize, 8)?, number(entry + length as usize, 8)?) {
                return Some(false);
            }
        }
        Some(true)
    };
    let elf = image.len() >= HEADER && image.starts_with(b"\x7fELF\x02\x01");
    let whole = || {
        let sections = table([0x28, 0x3a, 0x3c], 64, [0x18, 0x20, 4])?;
        let segments = table([0x20, 0x36, 0x38], 56, [0x08, 0x20, 0])?;
        Some(sections && segments)
    };
    if elf && whole() == Some(true) {
        return Ok(());
    }
    Err(Error::device(
        Kind::Failed,
        if elf { "the image for the GPU is cut short; compile it again" } else { "not an image for a GPU" },
    ))
}

#[cfg(test)]
mod tests {
    use super::check_image;

    /// A file header, one section header with `bytes` bytes, and those.
    fn elf(bytes: usize, kind: u8) -> Vec<u8> {
        let mut image = vec![0; 64 + 64];
        image[..6].copy_from_slice(b"\x7fELF\x02\x01");
        image[0x28] = 64;
        image[0x3a] = 64;
        image[0x3c] = 1;
        image[64 + 4] = kind;
        image[64 + 0x18] = 128;
        image[64 + 0x20..64 + 0x28].copy_from_slice(&(bytes as u64).to_le_bytes());
        image.resize(128 + bytes, 7);
        image
    }

    #[test]
    fn an_image_cut_short_is_not_handed_to_the_driver() {
        let image = elf(100, 1);
        check_image(&image).unwrap();
        for len in 0..image.len() {
            assert!(check_image(&image[..len]).is_err(), "{len} bytes");
        }
        // a section without bytes in the file may be as long as it likes
        check_image(&elf(100, 8)[..128]).unwrap();
        assert!(check_image(b"//\n.version 8.8\n").unwrap_err().to_string().contains("not an image"));
        let mut wild = elf(0, 1);
        wild[64 + 0x18..64 + 0x28].fill(0xff);
        assert!(check_image(&wild).unwrap_err().to_string().contains("cut short"));
        wild[0x28..0x30].fill(0xff);
        assert!(check_image(&wild).is_err());
    }
}
