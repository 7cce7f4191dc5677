//! NVIDIA's run-time compiler: where it is, and the few functions of it that are used.
//!
//! It is opened by path and not through cudarc. cudarc finds neither a wheel in a virtual environment nor the library
//! of CUDA 11 (JetPack 5), and may open another library than the one that was chosen. It looks in the working directory
//! where the loader does, and panics where a function is missing.

mod search;

pub use search::Search;

use crate::cuda::Arch;
use crate::cuda::library::trust;
use crate::cuda::library::{Closed, Library, Places, Refused};
use crate::error::{Error, Result};
use search::{
    LIBRARY, Surroundings, builtins_beside, builtins_elsewhere, first_of, first_that_opens, is_half_of, libraries_under,
};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// An NVRTC that was opened. It stays in memory until the program ends.
pub struct Nvrtc {
    path: PathBuf,
    version: (u32, u32),
    archs: Vec<Arch>,
    functions: Functions,
}

/// Why a program did not become an image.
pub(super) struct Failure {
    pub reason: String,
    pub log: String,
}

impl Failure {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), log: String::new() }
    }
}

/// The NVRTC of this machine, looked for once, in this order:
///
/// 1. `RNNSTEP_NVRTC`, a library file, or a folder to look in: its own files, a toolkit, a virtual environment. If it
///    is set, no other place is searched.
/// 2. Where the system looks for libraries.
/// 3. The toolkit in `CUDA_PATH`, `CUDA_HOME`, `/usr/local/cuda`, `/usr/local/cuda-*` (the newest first), `/opt/cuda`.
/// 4. The Python packages of NVIDIA in `VIRTUAL_ENV` and `CONDA_PREFIX`, which an active environment sets.
///
/// All of these must be absolute paths. A relative one depends on the working directory, where somebody else may have
/// put files, and is not searched. A library is opened only if it and the folders that it is in belong to root or the
/// user and nobody else may write to them.
///
/// # Errors
/// One line with the places that were searched, and what was wrong with what was found.
pub fn nvrtc() -> Result<&'static Nvrtc> {
    static FOUND: OnceLock<Nvrtc> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return Ok(found);
    }
    let found = search().found?;
    Ok(FOUND.get_or_init(|| found))
}

/// Searches again, as [`nvrtc`] does. The result also has what was found on the way and not used.
pub fn search() -> Search {
    first_that_opens(Surroundings::of_this_process())
}

impl Nvrtc {
    /// Opens a library file, or the newest that is in a folder, a toolkit or a virtual environment.
    ///
    /// # Errors
    /// If there is none, it cannot be opened, or is older than CUDA 11.2; if the path is not absolute, or somebody
    /// other than root and the user may have made what is there. One line.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, &Places::of_this_process(), &mut Refused::default())
    }

    /// [`Nvrtc::open`], which also adds to `refused` what it passed over.
    fn open_with(path: &Path, places: &Places, refused: &mut Refused) -> Result<Self> {
        if !path.is_absolute() {
            return Err(Error::file(path, "depends on the working directory; give an absolute path"));
        }
        let files = if path.is_dir() { libraries_under(path) } else { vec![path.to_path_buf()] };
        let mut reason = format!("no {LIBRARY} in it, its lib folders or its Python packages");
        if !files.is_empty() {
            match first_of(&files, places, refused) {
                Ok(found) => return Ok(found),
                // a file that the user named is not named twice
                Err((file, why)) if file == path => reason = why,
                Err((file, why)) => reason = format!("{}: {why}", trust::shown(&file)),
            }
        }
        Err(Error::file(path, format!("no NVRTC: {reason}")))
    }

    /// The library's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its CUDA version, (12, 9) for 12.9.
    pub fn version(&self) -> (u32, u32) {
        self.version
    }

    /// The architectures that it compiles for.
    pub fn archs(&self) -> &[Arch] {
        &self.archs
    }

    pub(super) fn version_text(&self) -> String {
        format!("{}.{}", self.version.0, self.version.1)
    }

    /// Compiles a program. Returns the image and the log.
    pub(super) fn build(
        &self,
        file: &str,
        text: &str,
        headers: &[(&str, &str)],
        options: &[String],
    ) -> Result<(Vec<u8>, String), Failure> {
        let c_string = |text: &str| CString::new(text).map_err(|_| Failure::new(format!("{file} has a zero byte")));
        let c_strings = |texts: &mut dyn Iterator<Item = &str>| texts.map(c_string).collect::<Result<Vec<_>, _>>();
        let (name, text) = (c_string(file)?, c_string(text)?);
        let names = c_strings(&mut headers.iter().map(|(name, _)| *name))?;
        let texts = c_strings(&mut headers.iter().map(|(_, text)| *text))?;
        let options = c_strings(&mut options.iter().map(String::as_str))?;
        let (names, texts, options) = (pointers(&names), pointers(&texts), pointers(&options));

        let mut running = Running { functions: &self.functions, program: std::ptr::null_mut() };
        // SAFETY: all strings end with a zero and outlive the call, the two lists are equally long.
        let status = unsafe {
            (self.functions.create)(
                &mut running.program,
                text.as_ptr(),
                name.as_ptr(),
                texts.len() as c_int,
                texts.as_ptr(),
                names.as_ptr(),
            )
        };
        running.check(status)?;
        // SAFETY: the program was made above, the options end with a zero and outlive the call.
        let status = unsafe { (self.functions.compile)(running.program, options.len() as c_int, options.as_ptr()) };
        let log = running.log();
        running.check(status).map_err(|failure| Failure { log: log.clone(), ..failure })?;
        Ok((running.image()?, log))
    }
}

impl fmt::Display for Nvrtc {
    /// `NVRTC 12.9 (/usr/local/cuda/lib64/libnvrtc.so.12)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NVRTC {} ({})", self.version_text(), trust::shown(&self.path))
    }
}

impl fmt::Debug for Nvrtc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    texts.iter().map(|text| text.as_ptr()).collect()
}

type Status = c_int;
type Handle = *mut c_void;
type Texts = *const *const c_char;

/// The functions by their types in NVIDIA's `nvrtc.h`, the same since CUDA 11.2.
struct Functions {
    create: unsafe extern "C" fn(*mut Handle, *const c_char, *const c_char, c_int, Texts, Texts) -> Status,
    destroy: unsafe extern "C" fn(*mut Handle) -> Status,
    compile: unsafe extern "C" fn(Handle, c_int, Texts) -> Status,
    image_size: unsafe extern "C" fn(Handle, *mut usize) -> Status,
    image: unsafe extern "C" fn(Handle, *mut c_char) -> Status,
    log_size: unsafe extern "C" fn(Handle, *mut usize) -> Status,
    log: unsafe extern "C" fn(Handle, *mut c_char) -> Status,
    error: unsafe extern "C" fn(Status) -> *const c_char,
}

/// A program inside the compiler; destroyed when dropped.
struct Running<'a> {
    functions: &'a Functions,
    program: Handle,
}

impl Running<'_> {
    fn check(&self, status: Status) -> Result<(), Failure> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: the function gives a text of its own for every number, or nothing.
        let text = unsafe { (self.functions.error)(status) };
        if text.is_null() {
            return Err(Failure::new(format!("NVRTC error {status}")));
        }
        // SAFETY: it ends with a zero and lives as long as the library, which is never closed.
        Err(Failure::new(unsafe { CStr::from_ptr(text) }.to_string_lossy()))
    }

    /// The compiler's log, without empty lines at its ends. Empty if the compiler does not give it.
    fn log(&self) -> String {
        let text = self.read(self.functions.log_size, self.functions.log).unwrap_or_default();
        let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
        String::from_utf8_lossy(&text[..end]).trim_matches(['\n', '\r']).to_string()
    }

    fn image(&self) -> Result<Vec<u8>, Failure> {
        let image = self.read(self.functions.image_size, self.functions.image)?;
        if image.is_empty() { Err(Failure::new("NVRTC returned an empty image")) } else { Ok(image) }
    }

    fn read(
        &self,
        size: unsafe extern "C" fn(Handle, *mut usize) -> Status,
        get: unsafe extern "C" fn(Handle, *mut c_char) -> Status,
    ) -> Result<Vec<u8>, Failure> {
        let mut len = 0;
        // SAFETY: the program is alive; one number is written.
        self.check(unsafe { size(self.program, &mut len) })?;
        let mut bytes = vec![0_u8; len];
        if len > 0 {
            // SAFETY: the compiler writes as many bytes as it reported.
            self.check(unsafe { get(self.program, bytes.as_mut_ptr().cast()) })?;
        }
        Ok(bytes)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.program.is_null() {
            // SAFETY: made by `create`, destroyed once.
            let _ = unsafe { (self.functions.destroy)(&mut self.program) };
        }
    }
}

/// Its functions, version and architectures.
type Opened = (Functions, (u32, u32), Vec<Arch>);

/// Opens one library. The error is the reason, without the file's name.
fn open(file: &Path, places: &Places) -> Result<Nvrtc, Closed> {
    trust::check(file, trust::Kind::Library).map_err(|unfit| Closed::Refused(unfit.into_reason()))?;
    // Before anything of it runs, its second half (the builtins) is checked, which it opens itself.
    let parts = builtins_beside(file);
    if parts.is_empty() {
        builtins_elsewhere(places).map_err(Closed::Refused)?;
    }
    for part in &parts {
        // some wheels do not know where their second half is, but find it if it is open already
        // SAFETY: it bears the name of NVIDIA's, and only root or the user can have put it there.
        match unsafe { Library::open(part) } {
            Ok(part) => part.keep(),
            Err(Closed::Refused(reason)) => {
                return Err(Closed::Refused(format!("its second library {}: {reason}", trust::shown(part))));
            }
            Err(Closed::Broken(_)) => {}
        }
    }
    // SAFETY: as above.
    let library = unsafe { Library::open(file) }?;
    // SAFETY: the types are those of nvrtc.h.
    let (functions, version, archs) = unsafe { functions(&library) }.map_err(Closed::Broken)?;
    library.keep();
    // it looks for its second half, that of its own version, when it first compiles
    if !parts.iter().any(|part| is_half_of(part, version)) {
        builtins_elsewhere(places).map_err(Closed::Refused)?;
    }
    Ok(Nvrtc { path: file.to_path_buf(), version, archs, functions })
}

/// # Safety
/// If the library has functions of these names they are NVRTC's.
unsafe fn functions(library: &Library) -> Result<Opened, String> {
    /// # Safety
    /// `F` is the type of the function.
    unsafe fn get<F: Copy>(library: &Library, name: &str) -> Result<F, String> {
        // SAFETY: passed on to the caller.
        unsafe { library.get::<F>(name) }
            .ok_or_else(|| format!("it lacks {name}; NVRTC of CUDA 11.2 or later is needed"))
    }
    // SAFETY: each type is that of the function of this name in nvrtc.h, and they are called as it says.
    unsafe {
        let version: unsafe extern "C" fn(*mut c_int, *mut c_int) -> Status = get(library, "nvrtcVersion")?;
        let count: unsafe extern "C" fn(*mut c_int) -> Status = get(library, "nvrtcGetNumSupportedArchs")?;
        let fill: unsafe extern "C" fn(*mut c_int) -> Status = get(library, "nvrtcGetSupportedArchs")?;
        let functions = Functions {
            create: get(library, "nvrtcCreateProgram")?,
            destroy: get(library, "nvrtcDestroyProgram")?,
            compile: get(library, "nvrtcCompileProgram")?,
            image_size: get(library, "nvrtcGetCUBINSize")?,
            image: get(library, "nvrtcGetCUBIN")?,
            log_size: get(library, "nvrtcGetProgramLogSize")?,
            log: get(library, "nvrtcGetProgramLog")?,
            error: get(library, "nvrtcGetErrorString")?,
        };
        let (mut major, mut minor, mut len) = (0, 0, 0);
        let answers = [version(&mut major, &mut minor), count(&mut len)];
        let mut archs = vec![0; usize::try_from(len).unwrap_or(0)];
        if answers != [0, 0] || archs.is_empty() || fill(archs.as_mut_ptr()) != 0 {
            return Err("it does not report its version and its architectures".to_string());
        }
        let number = |number: c_int| u32::try_from(number).unwrap_or(0);
        let archs = archs.into_iter().map(|arch| Arch::new(number(arch) / 10, number(arch) % 10)).collect();
        Ok((functions, (number(major), number(minor)), archs))
    }
}
