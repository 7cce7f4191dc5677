//! The places that the system's loader looks in, in its order.

use super::Refused;
use crate::cuda::library::trust;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What sets the loader's path.
const VARIABLE: &str = if cfg!(windows) { "PATH" } else { "LD_LIBRARY_PATH" };

/// Where the loader would look for a library, given only its name.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// `LD_LIBRARY_PATH`, and what the program itself was linked with.
    first: Vec<PathBuf>,
    /// The names and files in the loader's table.
    table: Vec<(String, PathBuf)>,
    /// The system's own folders.
    last: Vec<PathBuf>,
    /// The entries of the path that depend on the working directory.
    relative: Vec<PathBuf>,
}

impl Places {
    /// Those of this process.
    pub fn of_this_process() -> Self {
        let (first, last) = system::folders();
        Self::new(first, system::table(), last)
    }

    fn new(first: Vec<PathBuf>, table: Vec<(String, PathBuf)>, last: Vec<PathBuf>) -> Self {
        let absolute = |folders: Vec<PathBuf>| folders.into_iter().partition(|folder| folder.is_absolute());
        let (first, mut relative): (_, Vec<PathBuf>) = absolute(first);
        let (last, more): (_, Vec<PathBuf>) = absolute(last);
        relative.extend(more);
        Self { first, table, last, relative }
    }

    /// The files of this name, in the order in which the loader would take them.
    pub fn files(&self, name: &str) -> Vec<PathBuf> {
        let in_folders = |folders: &[PathBuf]| folders.iter().map(|folder| folder.join(name)).collect::<Vec<_>>();
        let in_table = self.table.iter().filter(|(known, _)| known == name).map(|(_, file)| file.clone());
        let mut files: Vec<PathBuf> = Vec::new();
        for file in in_folders(&self.first).into_iter().chain(in_table).chain(in_folders(&self.last)) {
            if !files.contains(&file) && file.is_file() && !is_of_another_width(&file) {
                files.push(file);
            }
        }
        files
    }

    /// The folders that come before the loader's table.
    pub fn first(&self) -> &[PathBuf] {
        &self.first
    }

    /// Why the loader could look in the working directory for what a library loads by itself; `None` if it could not.
    pub fn open_to_the_working_directory(&self) -> Option<String> {
        let entry = self.relative.first()?;
        let what = if entry.as_os_str().is_empty() || entry == Path::new(".") {
            "an empty entry (or .), which is the working directory".to_string()
        } else {
            format!("the entry {}, which depends on the working directory", trust::shown(entry))
        };
        Some(format!("{VARIABLE} has {what}"))
    }

    /// Adds to `refused` what is not searched.
    pub fn say(&self, refused: &mut Refused) {
        if let Some(what) = self.open_to_the_working_directory() {
            refused.place(format!(
                "{what}: rnnstep does not look there, but the system does, for every program; remove that entry"
            ));
        }
    }
}

/// Whether this is a library for the other width of addresses (32 or 64 bits), which the loader passes over.
fn is_of_another_width(file: &Path) -> bool {
    let mut start = [0; 5];
    let read = File::open(file).and_then(|mut file| file.read_exact(&mut start));
    let width = if cfg!(target_pointer_width = "64") { 2 } else { 1 };
    read.is_ok() && start.starts_with(b"\x7fELF") && start[4] != width
}

#[cfg(windows)]
mod system {
    use super::PathBuf;

    pub fn folders() -> (Vec<PathBuf>, Vec<PathBuf>) {
        let beside = std::env::current_exe().ok().and_then(|file| file.parent().map(PathBuf::from));
        let path = std::env::var_os("PATH").unwrap_or_default();
        (beside.into_iter().collect(), std::env::split_paths(&path).filter(|path| path.is_absolute()).collect())
    }

    pub fn table() -> Vec<(String, PathBuf)> {
        Vec::new()
    }
}

#[cfg(not(windows))]
mod system {
    use super::PathBuf;
    use crate::cuda::library::trust;
    use std::io::Read;
    use std::path::Path;

    /// The folders before the loader's table and those after it.
    pub fn folders() -> (Vec<PathBuf>, Vec<PathBuf>) {
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        let asked = super::loader::folders();
        #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
        let asked: Option<Vec<PathBuf>> = None;
        let folders = asked.unwrap_or_else(|| {
            let path = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
            let named = if path.is_empty() { vec![] } else { std::env::split_paths(&path).collect() };
            let own = ["/lib", "/usr/lib", "/usr/local/lib"].map(PathBuf::from);
            [named, own.into()].concat()
        });
        let of_the_system = |folder: &Path| ["/lib", "/usr/lib"].iter().any(|own| starts(folder, own));
        let behind = folders.iter().rev().take_while(|folder| of_the_system(folder)).count();
        let (first, last) = folders.split_at(folders.len() - behind);
        (first.to_vec(), last.to_vec())
    }

    /// `/lib/...` and `/lib64/...`, but not `/library/...`.
    fn starts(folder: &Path, own: &str) -> bool {
        ["", "32", "64", "x32"].iter().any(|width| folder.starts_with(format!("{own}{width}")))
    }

    pub fn table() -> Vec<(String, PathBuf)> {
        let mut bytes = Vec::new();
        let read =
            trust::open(Path::new("/etc/ld.so.cache")).is_ok_and(|mut file| file.read_to_end(&mut bytes).is_ok());
        if read { super::read_table(&bytes) } else { Vec::new() }
    }
}

/// glibc's own list of where it looks.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod loader {
    use std::ffi::{CStr, OsStr, c_char, c_int, c_uint, c_void};
    use std::os::unix::ffi::OsStrExt;
    use std::path::PathBuf;

    /// `RTLD_DI_SERINFO` and `RTLD_DI_SERINFOSIZE` of `dlfcn.h`.
    const LIST: c_int = 4;
    const SIZE: c_int = 5;

    /// `Dl_serinfo` without its entries.
    #[repr(C)]
    struct Head {
        size: usize,
        count: c_uint,
    }

    /// `Dl_serpath`.
    #[repr(C)]
    struct Entry {
        name: *const c_char,
        flags: c_uint,
    }

    /// The folders that `dlopen` searches for a bare name, without its table of files; `None` if glibc does not list
    /// them.
    pub fn folders() -> Option<Vec<PathBuf>> {
        let program = libloading::os::unix::Library::this();
        // SAFETY: the type is that of the function in dlfcn.h.
        let ask = unsafe { program.get::<unsafe extern "C" fn(*mut c_void, c_int, *mut c_void) -> c_int>(b"dlinfo") };
        let ask = *ask.ok()?;
        let program = program.into_raw();
        let mut head = Head { size: 0, count: 0 };
        // SAFETY: the handle is that of the program itself, which is never closed; a head is written.
        if unsafe { ask(program, SIZE, (&raw mut head).cast()) } != 0 || head.size < size_of::<Head>() {
            return None;
        }
        // aligned as a head is; the entries and their names follow the head
        let mut list = vec![0_u64; head.size.div_ceil(size_of::<u64>())];
        let start = list.as_mut_ptr().cast::<Head>();
        // SAFETY: the list has room for a head. dlinfo expects the length of the list in it.
        unsafe { start.write(head) };
        // SAFETY: the list has as many bytes as the loader asked for; it writes the head, the entries and their names.
        if unsafe { ask(program, LIST, start.cast()) } != 0 {
            return None;
        }
        // SAFETY: a head was written above.
        let count = unsafe { (*start).count } as usize;
        let fits = count.checked_mul(size_of::<Entry>()).is_some_and(|len| size_of::<Head>() + len <= 8 * list.len());
        if !fits {
            return None;
        }
        // SAFETY: the entries begin where the head ends, and were seen to be inside the list.
        let entries = unsafe { std::slice::from_raw_parts(start.add(1).cast::<Entry>(), count) };
        let name = |entry: &Entry| {
            // SAFETY: the loader has written a text that ends with a zero for each entry into the list, which is alive.
            let text = unsafe { CStr::from_ptr(entry.name) };
            PathBuf::from(OsStr::from_bytes(text.to_bytes()))
        };
        Some(entries.iter().map(name).collect())
    }
}

/// The libraries for this processor in glibc's table, `/etc/ld.so.cache`, in its order; none if it is no such table.
#[cfg(not(windows))]
fn read_table(bytes: &[u8]) -> Vec<(String, PathBuf)> {
    const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
    const HEAD: usize = 48;
    const ENTRY: usize = 24;
    /// The second byte of an entry's flags is the processor that the library is for.
    const PROCESSOR: Option<u8> = match () {
        () if cfg!(all(target_arch = "x86_64", target_pointer_width = "64")) => Some(3),
        () if cfg!(target_arch = "aarch64") => Some(10),
        () => None,
    };
    // an older table may stand before it
    let Some(at) = bytes.windows(MAGIC.len()).position(|window| window == MAGIC) else { return Vec::new() };
    let bytes = &bytes[at..];
    let number = |at: usize| -> Option<usize> {
        let field = bytes.get(at..at.checked_add(4)?)?;
        usize::try_from(u32::from_ne_bytes(field.try_into().ok()?)).ok()
    };
    let text = |at: usize| -> Option<&str> {
        let rest = bytes.get(at..)?;
        let end = rest.iter().position(|&byte| byte == 0)?;
        std::str::from_utf8(&rest[..end]).ok()
    };
    let entry = |index: usize| -> Option<(String, PathBuf)> {
        let at = HEAD + index * ENTRY;
        let flags = u32::try_from(number(at)?).ok()?;
        if PROCESSOR.is_some_and(|wanted| flags.to_le_bytes()[1] != wanted) {
            return None;
        }
        Some((text(number(at + 4)?)?.to_string(), PathBuf::from(text(number(at + 8)?)?)))
    };
    let count = number(MAGIC.len()).unwrap_or(0).min(bytes.len() / ENTRY);
    (0..count).filter_map(entry).filter(|(_, file)| file.is_absolute()).collect()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_order_and_what_is_left_out() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for folder in ["first", "table", "last"] {
            std::fs::create_dir(at(folder)).unwrap();
            std::fs::write(at(folder).join("libx.so"), "").unwrap();
        }
        std::fs::create_dir(at("empty")).unwrap();
        // a library of 32 bits, or of 64 where these are not ours
        std::fs::create_dir(at("other")).unwrap();
        let other = if cfg!(target_pointer_width = "64") { 1 } else { 2 };
        std::fs::write(at("other").join("libx.so"), [b"\x7fELF".as_slice(), &[other]].concat()).unwrap();
        let table = vec![("libx.so".into(), at("table/libx.so")), ("liby.so".into(), at("first/libx.so"))];
        let first = vec![PathBuf::new(), at("other"), at("empty"), at("first"), PathBuf::from("sub")];
        let places = Places::new(first, table, vec![at("last"), at("first")]);
        assert_eq!(places.files("libx.so"), ["first", "table", "last"].map(|folder| at(folder).join("libx.so")));
        assert!(places.files("libz.so").is_empty());
        assert_eq!(places.relative, [PathBuf::new(), PathBuf::from("sub")]);
        let said = places.open_to_the_working_directory().unwrap();
        assert_eq!(said, "LD_LIBRARY_PATH has an empty entry (or .), which is the working directory");
        let places = Places::new(vec![at("first"), PathBuf::from("sub\n")], vec![], vec![]);
        let said = places.open_to_the_working_directory().unwrap();
        assert_eq!(said, "LD_LIBRARY_PATH has the entry sub\\n, which depends on the working directory");
        assert_eq!(Places::new(vec![at("first")], vec![], vec![at("last")]).open_to_the_working_directory(), None);
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn what_the_system_has_is_found() {
        // the C library is loaded already, so it is in one of the places, if glibc wrote a table or lists its folders
        let places = Places::of_this_process();
        assert!(!places.files("libc.so.6").is_empty(), "{places:?}");
    }

    #[test]
    fn a_damaged_table_is_read_as_far_as_it_goes() {
        let mut table = b"glibc-ld.so.cache1.1".to_vec();
        let word = |table: &mut Vec<u8>, number: u32| table.extend(number.to_ne_bytes());
        word(&mut table, 2);
        table.resize(48, 0);
        let processor = if cfg!(target_arch = "aarch64") { 0x0a03 } else { 0x0303 };
        for (flags, name, file) in [(processor, 96, 105), (0x0803, 96, 105)] {
            for number in [flags, name, file, 0, 0, 0] {
                word(&mut table, number);
            }
        }
        table.extend(b"libx.so.\0/usr/libx.so\0");
        let whole = [("libx.so.".to_string(), PathBuf::from("/usr/libx.so"))];
        if cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
            assert_eq!(read_table(&table), whole);
            assert_eq!(read_table(&[b"an older one", table.as_slice()].concat()), whole);
        }
        for len in 0..table.len() {
            assert!(read_table(&table[..len]).is_empty());
        }
        for at in 0..table.len() {
            let mut other = table.clone();
            other[at] = 0xff;
            read_table(&other);
        }
    }
}
