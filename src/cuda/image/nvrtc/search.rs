//! Where NVRTC may be.

use super::{Nvrtc, open};
use crate::cuda::library::trust;
use crate::cuda::library::{Closed, Places, Refused, named};
use crate::error::{DeviceErrorKind as Kind, Error, Result};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The library's name without its version.
pub(super) const LIBRARY: &str = if cfg!(windows) { "nvrtc64_" } else { "libnvrtc.so" };
/// The name of its second half, the builtins, without its version.
const BUILTINS: &str = if cfg!(windows) { "nvrtc-builtins64_" } else { "libnvrtc-builtins.so" };
/// The names that the system is asked for. CUDA 11.3 to 11.8 call theirs 11.2.
const NAMES: &[&str] = if cfg!(windows) {
    &["nvrtc64_130_0.dll", "nvrtc64_120_0.dll", "nvrtc64_112_0.dll"]
} else {
    &["libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2"]
};

/// What decides where NVRTC is looked for.
pub(super) struct Surroundings {
    /// `RNNSTEP_NVRTC`, or what is wrong with it.
    chosen: Result<Option<PathBuf>, String>,
    /// Where the loader looks for libraries.
    places: Places,
    /// Toolkits.
    toolkits: Vec<PathBuf>,
    /// Virtual environments.
    environments: Vec<PathBuf>,
    /// Variables that are set and not used.
    refused: Refused,
}

impl Surroundings {
    pub fn of_this_process() -> Self {
        Self::of(|name| std::env::var_os(name), Path::new("/usr/local"), Places::of_this_process())
    }

    fn of(variable: impl Fn(&str) -> Option<OsString>, local: &Path, places: Places) -> Self {
        let mut refused = Refused::default();
        places.say(&mut refused);
        let mut path = |name| {
            named(name, variable(name)).unwrap_or_else(|reason| {
                refused.place(format!("not searched: {reason}"));
                None
            })
        };
        let mut toolkits: Vec<PathBuf> = ["CUDA_PATH", "CUDA_HOME"].into_iter().filter_map(&mut path).collect();
        toolkits.push(local.join("cuda"));
        toolkits.extend(children(local, "cuda-"));
        toolkits.push(PathBuf::from("/opt/cuda"));
        let environments = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(path).collect();
        toolkits.retain(|folder| folder.is_absolute()); // no root of that name on Windows
        let chosen = named("RNNSTEP_NVRTC", variable("RNNSTEP_NVRTC"));
        Self { chosen, places, toolkits, environments, refused }
    }

    /// Every file to try, in order.
    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = NAMES.iter().flat_map(|name| self.places.files(name)).collect();
        files.extend(
            self.toolkits.iter().flat_map(|root| toolkit_folders(root)).flat_map(|folder| libraries_in(&folder)),
        );
        let packages = self.environments.iter().flat_map(|root| environment_folders(root));
        files.extend(packages.flat_map(|folder| libraries_in(&folder)));
        files
    }
}

/// The result of a search.
pub struct Search {
    /// The first NVRTC that opened, or one line that says why there is none.
    pub found: Result<Nvrtc>,
    /// What was found before it and not used: one line each, with the reason and what to do.
    pub refused: Vec<String>,
}

pub(super) fn first_that_opens(surroundings: Surroundings) -> Search {
    let Surroundings { chosen, places, .. } = &surroundings;
    let mut refused = surroundings.refused.clone();
    let found = match chosen {
        Err(reason) => Err(reason.clone()),
        Ok(Some(chosen)) => Nvrtc::open_with(chosen, places, &mut refused).map_err(|error| format!("RNNSTEP_NVRTC: {error}")),
        Ok(None) => first_of(&surroundings.files(), places, &mut refused).map_err(|(file, why)| {
            let met = if why.is_empty() { why } else { format!("; {}: {why}", trust::shown(&file)) };
            format!(
                "no NVRTC (NVIDIA's run-time compiler): it is neither where the system looks for libraries, nor in \
                 CUDA_PATH, CUDA_HOME, /usr/local/cuda* or an active virtual environment{met}; install it (pip install \
                 nvidia-cuda-nvrtc in a virtual environment, and activate it), set RNNSTEP_NVRTC to its file or folder, \
                 or bring a bundle that was compiled elsewhere"
            )
        }),
    };
    let kind = if refused.has_files() { Kind::NotTrusted } else { Kind::NoCompiler };
    let found = found.map_err(|message| Error::device(kind, message));
    Search { found, refused: refused.lines().to_vec() }
}

/// The first of these files that opens. If none does, one that did not open and the reason; both are empty if there are
/// no files.
pub(super) fn first_of(files: &[PathBuf], places: &Places, refused: &mut Refused) -> Result<Nvrtc, (PathBuf, String)> {
    let (mut broken, mut closed) = (None, None);
    for file in files {
        match open(file, places) {
            Ok(found) => return Ok(found),
            Err(Closed::Refused(reason)) => {
                refused.file(file, &reason);
                closed.get_or_insert((file.clone(), reason));
            }
            Err(Closed::Broken(reason)) => {
                broken.get_or_insert((file.clone(), reason));
            }
        }
    }
    // first a file that the user can put right at once, by its mode or its owner
    Err(closed.or(broken).unwrap_or_default())
}

/// The libraries in a folder that the user named: in itself, as in a toolkit, as in a virtual environment.
pub(super) fn libraries_under(root: &Path) -> Vec<PathBuf> {
    let folders = std::iter::once(root.to_path_buf()).chain(toolkit_folders(root)).chain(environment_folders(root));
    let mut files: Vec<PathBuf> = Vec::new();
    for file in folders.flat_map(|folder| libraries_in(&folder)) {
        if !files.contains(&file) {
            files.push(file);
        }
    }
    files
}

/// The folders of a toolkit that libraries are in.
fn toolkit_folders(root: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = ["lib64", "lib", "bin", "bin/x64"].iter().map(|name| root.join(name)).collect();
    folders.extend(children(&root.join("targets"), "").into_iter().map(|target| target.join("lib")));
    folders
}

/// The folders of a virtual environment that NVIDIA's packages put libraries in; conda puts them where a toolkit does.
fn environment_folders(root: &Path) -> Vec<PathBuf> {
    let mut sites: Vec<PathBuf> = children(&root.join("lib"), "python");
    sites.push(root.join("Lib")); // Windows
    let mut folders = Vec::new();
    for site in sites {
        let nvidia = site.join("site-packages").join("nvidia");
        let packages = children(&nvidia, "cu").into_iter().filter(|path| {
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or("");
            name == "cuda_nvrtc" || name[2..].bytes().all(|byte| byte.is_ascii_digit())
        });
        folders.extend(packages.flat_map(|package| ["lib", "bin", "bin/x86_64"].map(|name| package.join(name))));
    }
    folders.extend(toolkit_folders(root));
    folders
}

/// The NVRTC libraries in a folder, the newest first.
fn libraries_in(folder: &Path) -> Vec<PathBuf> {
    let mut files = children(folder, LIBRARY);
    files.retain(|file| file.is_file() && !file.to_string_lossy().contains(".alt."));
    files
}

/// The second half of the library: in its folder, and in the folder of the file that it is a link to.
pub(super) fn builtins_beside(file: &Path) -> Vec<PathBuf> {
    let own = file.parent().map(Path::to_path_buf);
    let real = std::fs::canonicalize(file).ok().and_then(|file| file.parent().map(Path::to_path_buf));
    let other = real.filter(|real| own.as_ref() != Some(real));
    own.iter().chain(&other).flat_map(|folder| builtins_in(folder)).collect()
}

fn builtins_in(folder: &Path) -> Vec<PathBuf> {
    let mut files = children(folder, BUILTINS);
    files.retain(|file| !file.to_string_lossy().contains(".alt."));
    files
}

/// Whether this is the second half of NVRTC of this version: `libnvrtc-builtins.so.12.9`, `nvrtc-builtins64_129.dll`.
pub(super) fn is_half_of(part: &Path, (major, minor): (u32, u32)) -> bool {
    let name = part.file_name().unwrap_or_default().to_string_lossy();
    let rest = name.strip_prefix(BUILTINS).unwrap_or_default();
    let version = if cfg!(windows) { format!("{major}{minor}.dll") } else { format!(".{major}.{minor}") };
    rest.strip_prefix(&version).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// An error if a library that has no second half next to it must not be used. Such a library lets the system's loader
/// look for the second half, and the loader takes whatever it finds.
pub(super) fn builtins_elsewhere(places: &Places) -> Result<(), String> {
    if let Some(what) = places.open_to_the_working_directory() {
        let half =
            format!("it has no {BUILTINS} next to it, so the system would look for one, but {what}; remove that entry");
        return Err(half);
    }
    for file in places.first().iter().flat_map(|folder| builtins_in(folder)) {
        if let Err(trust::Unfit::Refused(reason)) = trust::check(&file, trust::Kind::Library) {
            return Err(format!(
                "it has no {BUILTINS} next to it, so the system would take {}: {reason}",
                trust::shown(&file)
            ));
        }
    }
    Ok(())
}

/// The entries of `folder` whose names begin with `prefix`, the highest version first.
fn children(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let version = |name: &str| -> Vec<u64> {
        name.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| name.starts_with(prefix));
    names.sort_by_key(|name| std::cmp::Reverse((version(name), name.clone())));
    names.into_iter().map(|name| folder.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with empty files of these names in it.
    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        folder
    }

    #[cfg(unix)]
    #[test]
    fn places_in_their_order() {
        let python = "lib/python3.11/site-packages/nvidia";
        let files = [
            "path/lib64/libnvrtc.so.12".to_string(),
            "path/lib64/libnvrtc-builtins.so.12.9".to_string(),
            "home/targets/aarch64-linux/lib/libnvrtc.so.11.2".to_string(),
            "local/cuda/lib64/libnvrtc.so".to_string(),
            "local/cuda-9.2/lib64/libnvrtc.so".to_string(),
            "local/cuda-12.10/lib64/libnvrtc.so".to_string(),
            "local/cuda-12.9/lib64/libnvrtc.so".to_string(),
            format!("venv/{python}/cuda_nvrtc/lib/libnvrtc.so.12"),
            format!("venv/{python}/cuda_nvrtc/lib/libnvrtc.alt.so.12"),
            format!("venv/{python}/cuda_nvrtc/lib/libnvrtc-builtins.so.12.9"),
            format!("venv/{python}/cu13/lib/libnvrtc.so.13"),
            format!("venv/{python}/cudnn/lib/libnvrtc.so.13"),
            "conda/lib/libnvrtc.so.12.9.86".to_string(),
            "conda/lib/libnvrtc.so.12".to_string(),
        ];
        let root = folder(&files.each_ref().map(String::as_str));
        let variables =
            [("CUDA_PATH", "path"), ("CUDA_HOME", "home"), ("VIRTUAL_ENV", "venv"), ("CONDA_PREFIX", "conda")];
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| root.path().join(value).into_os_string())
        };
        let surroundings = Surroundings::of(variable, &root.path().join("local"), Places::default());
        let files = surroundings.files();
        let found: Vec<_> = files
            .iter()
            .filter_map(|file| file.strip_prefix(root.path()).ok().map(|file| file.to_str().unwrap()))
            .collect();
        let expected = [
            "path/lib64/libnvrtc.so.12",
            "home/targets/aarch64-linux/lib/libnvrtc.so.11.2",
            "local/cuda/lib64/libnvrtc.so",
            "local/cuda-12.10/lib64/libnvrtc.so",
            "local/cuda-12.9/lib64/libnvrtc.so",
            "local/cuda-9.2/lib64/libnvrtc.so",
            &format!("venv/{python}/cu13/lib/libnvrtc.so.13"),
            &format!("venv/{python}/cuda_nvrtc/lib/libnvrtc.so.12"),
            "conda/lib/libnvrtc.so.12.9.86",
            "conda/lib/libnvrtc.so.12",
        ];
        assert_eq!(found, expected);
        let second = builtins_beside(&root.path().join("path/lib64/libnvrtc.so.12"));
        assert_eq!(second, [root.path().join("path/lib64/libnvrtc-builtins.so.12.9")]);
        assert!(surroundings.refused.lines().is_empty());
        assert!(is_half_of(&second[0], (12, 9)) && !is_half_of(&second[0], (12, 90)));
        assert!(!is_half_of(&second[0], (12, 8)) && !is_half_of(Path::new("/libnvrtc.so.12.9"), (12, 9)));
        assert!(is_half_of(Path::new("/libnvrtc-builtins.so.12.9.86"), (12, 9)));
    }

    #[test]
    fn what_depends_on_the_working_directory_is_said_and_not_looked_at() {
        for value in ["venv", ".", "..", "./a/b", "~/venv"] {
            let surroundings = Surroundings::of(|_| Some(value.into()), Path::new("/nowhere"), Places::default());
            assert!(surroundings.toolkits.iter().chain(&surroundings.environments).all(|path| path.is_absolute()));
            let lines = surroundings.refused.lines();
            let names = ["CUDA_PATH", "CUDA_HOME", "VIRTUAL_ENV", "CONDA_PREFIX"];
            for (line, name) in lines.iter().zip(names) {
                assert!(line.contains(name) && line.contains(value) && line.contains("absolute"), "{line}");
            }
            assert_eq!(lines.len(), names.len());
            let error = first_that_opens(surroundings).found.unwrap_err().to_string();
            assert!(error.contains("RNNSTEP_NVRTC") && error.contains("give an absolute path"), "{error}");
        }
        // not set is nothing odd
        let surroundings = Surroundings::of(|_| Some("".into()), Path::new("/nowhere"), Places::default());
        assert!(surroundings.refused.lines().is_empty() && surroundings.environments.is_empty());
    }

    fn only(chosen: Option<PathBuf>, toolkits: Vec<PathBuf>) -> Surroundings {
        let (places, refused) = (Places::default(), Refused::default());
        Surroundings { chosen: Ok(chosen), places, toolkits, environments: vec![], refused }
    }

    #[test]
    fn what_the_user_chose_and_is_no_nvrtc_is_an_error() {
        let root = folder(&["a/readme", "libnvrtc.so.12"]);
        let chosen = |path: PathBuf| first_that_opens(only(Some(path), vec![])).found.unwrap_err().to_string();
        let error = chosen(root.path().join("a"));
        assert!(error.starts_with("RNNSTEP_NVRTC: ") && error.contains("no NVRTC: no "), "{error}");
        for file in [root.path().join("libnvrtc.so.12"), root.path().join("missing.so"), root.path().to_path_buf()] {
            let error = chosen(file);
            assert!(error.starts_with("RNNSTEP_NVRTC: ") && error.lines().count() == 1, "{error}");
        }
    }

    fn kind(surroundings: Surroundings) -> Kind {
        match first_that_opens(surroundings).found.unwrap_err() {
            Error::Device { kind, .. } => kind,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn none_and_one_that_is_not_trusted_are_two_kinds() {
        let root = folder(&["a/readme", "lib64/libnvrtc.so.12"]);
        assert_eq!(kind(only(None, vec![])), Kind::NoCompiler);
        assert_eq!(kind(only(Some(root.path().join("a")), vec![])), Kind::NoCompiler);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let file = root.path().join("lib64/libnvrtc.so.12");
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o666)).unwrap();
            assert_eq!(kind(only(None, vec![root.path().to_path_buf()])), Kind::NotTrusted);
            assert_eq!(kind(only(Some(file), vec![])), Kind::NotTrusted);
        }
    }

    #[test]
    fn a_broken_one_is_passed_over_and_named() {
        let root = folder(&["lib64/libnvrtc.so.12", "lib64/nvrtc64_120_0.dll"]);
        let error = first_that_opens(only(None, vec![root.path().to_path_buf()])).found.unwrap_err().to_string();
        assert!(error.starts_with("no NVRTC") && error.contains("12"), "{error}");
        assert!(error.contains("lib64") && error.lines().count() == 1, "{error}");
    }
}
