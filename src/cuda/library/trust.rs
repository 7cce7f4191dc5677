//! Whether somebody else may have made what is about to be run, or may change it: libraries, compiled kernels.
//!
//! A path is trusted if everything on it, from the root folder down to the file, belongs to root or to the user that
//! this process runs as, and nobody else may write to it. Links are followed one by one: each link, the folder that it
//! is in, and all that it leads to are a part of the path.
//!
//! - A folder that everybody may write to and that has the sticky bit, such as `/tmp`, may be on the way: nobody can
//!   rename or remove there what belongs to another, and everything below it is checked itself. It may not be the
//!   folder that a library is in: others could put a second library next to it, which the first one loads.
//! - On Linux a group that has no other member than the user does not count as somebody else, because many systems give
//!   each user such a group and let it write. Root has no such group.
//! - Nothing in `/proc` is trusted: what it names, such as `/proc/self/cwd`, is another thing for each process that
//!   asks.
//! - A library whose path has a `$` in it is not trusted. The loader replaces `$ORIGIN`, `$LIB` and `$PLATFORM`, so it
//!   would open another file than the one that was checked.
//! - On Windows the path only has to be absolute.
//!
//! There is no gap between the check and the opening that somebody else could use: on a path that passed, only root
//! and the user can exchange anything.

use crate::error::escaped;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// What a path should lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cuda) enum Kind {
    /// A file that is loaded, and may load others from the same folder.
    Library,
    /// A file that is read.
    Data,
    /// A folder in which files are looked for and made. It must not be a link.
    Folder,
}

/// Why a path is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cuda) enum Unfit {
    /// There is nothing at this path. What there is of the path is trusted.
    Missing,
    /// One line: which part of the path, why, and what to do.
    Refused(String),
}

impl Unfit {
    /// One line.
    pub fn into_reason(self) -> String {
        match self {
            Self::Missing => io::Error::from(ErrorKind::NotFound).to_string(),
            Self::Refused(reason) => reason,
        }
    }
}

/// Checks everything on `path`, which must be absolute. Returns the path without links.
pub(in crate::cuda) fn check(path: &Path, kind: Kind) -> Result<PathBuf, Unfit> {
    if !path.is_absolute() {
        return Err(Unfit::Refused(format!("{} depends on the working directory; give an absolute path", shown(path))));
    }
    system::check(path, kind)
}

/// Opens a file for reading, if [`check`] accepts it. The open file is checked once more: it must be the file that was
/// meant, and no pipe, on which reading could wait.
pub(in crate::cuda) fn open(path: &Path) -> Result<File, Unfit> {
    let path = std::path::absolute(path).map_err(|error| failed(path, &error))?;
    let real = check(&path, Kind::Data)?;
    system::open(&real)
}

/// A path for a message. Whatever its name contains, this is one line and cannot control a terminal.
pub fn shown(path: &Path) -> String {
    escaped(&path.to_string_lossy())
}

fn failed(path: &Path, error: &io::Error) -> Unfit {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Unfit::Missing,
        _ => Unfit::Refused(format!("{}: {error}", shown(path))),
    }
}

#[cfg(unix)]
mod system {
    use super::{File, Kind, Path, PathBuf, Unfit, failed, shown};
    use rustix::fs::OFlags;
    use std::ffi::OsString;
    use std::fs::{self, Metadata, OpenOptions};
    use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
    use std::path::Component;

    /// As many links as Linux follows.
    const MOST_LINKS: usize = 40;
    const ROOT: u32 = 0;
    const STICKY: u32 = 0o1000;
    const WRITTEN_BY_GROUP: u32 = 0o020;
    const WRITTEN_BY_OTHERS: u32 = 0o002;

    pub fn check(path: &Path, kind: Kind) -> Result<PathBuf, Unfit> {
        if kind == Kind::Library && path.as_os_str().as_encoded_bytes().contains(&b'$') {
            let reason = format!("{} has a $ in it, which the loader reads as something else; rename it", shown(path));
            return Err(Unfit::Refused(reason));
        }
        let mut here = PathBuf::from("/");
        // what is still to be walked, the next at the end
        let mut rest = Vec::new();
        push(&mut rest, path);
        let mut links = 0;
        let found = |at: &Path| fs::symlink_metadata(at).map_err(|error| failed(at, &error));
        judge(&found(&here)?, &here, rest.is_empty() && kind == Kind::Folder)?;
        while let Some(name) = rest.pop() {
            if name == ".." {
                here.pop(); // it has no links in it
                continue;
            }
            let last = rest.is_empty();
            if last && kind == Kind::Library {
                judge(&found(&here)?, &here, true)?;
            }
            let next = here.join(name);
            if next == Path::new("/proc") {
                return Err(Unfit::Refused(format!(
                    "{} leads through /proc, which is another place for each process; give the path itself",
                    shown(path)
                )));
            }
            let there = found(&next)?;
            if there.is_symlink() {
                belongs(&there, &next)?;
                links += 1;
                if links > MOST_LINKS || last && kind == Kind::Folder {
                    let what = if links > MOST_LINKS { "has too many links in it" } else { "is a symbolic link" };
                    return Err(Unfit::Refused(format!("{} {what}; name the folder itself", shown(&next))));
                }
                let target = fs::read_link(&next).map_err(|error| failed(&next, &error))?;
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                push(&mut rest, &target);
                continue;
            }
            judge(&there, &next, last && kind == Kind::Folder)?;
            let right = if last && kind != Kind::Folder { there.is_file() } else { there.is_dir() };
            if !right {
                let what = match () {
                    () if there.is_dir() => "is a folder, not a file",
                    () if there.is_file() => "is a file, not a folder",
                    () => what_it_is(&there),
                };
                return Err(Unfit::Refused(format!("{} {what}", shown(&next))));
            }
            here = next;
        }
        Ok(here)
    }

    pub fn open(real: &Path) -> Result<File, Unfit> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
        let file = options.open(real).map_err(|error| failed(real, &error))?;
        let there = file.metadata().map_err(|error| failed(real, &error))?;
        judge(&there, real, false)?;
        if !there.is_file() {
            return Err(Unfit::Refused(format!("{} {}", shown(real), what_it_is(&there))));
        }
        Ok(file)
    }

    fn what_it_is(there: &Metadata) -> &'static str {
        if there.file_type().is_fifo() { "is a pipe" } else { "is neither a file nor a folder" }
    }

    fn push(rest: &mut Vec<OsString>, path: &Path) {
        let names = path.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
        let names: Vec<OsString> = names.map(|part| part.as_os_str().to_os_string()).collect();
        rest.extend(names.into_iter().rev());
    }

    /// `Ok` if nobody but root and the user can change this file or folder. With `closed`, others may not even put
    /// files into the folder.
    fn judge(there: &Metadata, at: &Path, closed: bool) -> Result<(), Unfit> {
        belongs(there, at)?;
        let mode = there.mode() & 0o7777;
        let by_others = mode & WRITTEN_BY_OTHERS != 0;
        let by_group = mode & WRITTEN_BY_GROUP != 0;
        if !by_others && (!by_group || group::is_the_users_own(there, at)) {
            return Ok(());
        }
        let name = shown(at);
        if there.is_dir() && mode & STICKY != 0 {
            if !closed {
                return Ok(());
            }
            return Err(Unfit::Refused(format!(
                "{name} is a folder that others may put files into (mode {mode:o}); use a folder of your own below it"
            )));
        }
        let who = if by_others { "everybody" } else { "its group" };
        Err(Unfit::Refused(format!("{name} may be written to by {who} (mode {mode:o}); chmod go-w {name}")))
    }

    fn belongs(there: &Metadata, at: &Path) -> Result<(), Unfit> {
        let (owner, user) = (there.uid(), rustix::process::geteuid().as_raw());
        if owner == ROOT || owner == user {
            return Ok(());
        }
        let not = if user == ROOT { "root".to_string() } else { format!("you (user {user}) or root") };
        Err(Unfit::Refused(format!(
            "{} belongs to user {owner}, not to {not}; use one of your own, or chown it",
            shown(at)
        )))
    }

    /// Groups that have one member.
    #[cfg(target_os = "linux")]
    mod group {
        use super::{Metadata, MetadataExt, Path, ROOT, fs};
        use std::sync::OnceLock;

        pub fn is_the_users_own(there: &Metadata, at: &Path) -> bool {
            static OWN: OnceLock<Option<u32>> = OnceLock::new();
            let own = OWN.get_or_init(|| {
                let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
                of(rustix::process::geteuid().as_raw(), &read("/etc/passwd"), &read("/etc/group"))
            });
            *own == Some(there.gid()) && !has_access_list(at)
        }

        /// With an access list, the group's part of the mode is the most that the list allows to anybody on it.
        fn has_access_list(at: &Path) -> bool {
            use rustix::io::Errno;
            let answer = rustix::fs::getxattr(at, "system.posix_acl_access", &mut [0_u8; 0][..]);
            !matches!(answer, Err(Errno::NODATA | Errno::NOTSUP))
        }

        /// The group of this user that nobody else is in, from the tables of users and groups.
        pub fn of(user: u32, users: &str, groups: &str) -> Option<u32> {
            if user == ROOT {
                return None;
            }
            // name, password, number, group
            let users: Vec<(&str, u32, u32)> = users
                .lines()
                .filter_map(|line| {
                    let mut fields = line.split(':');
                    let (name, _, number, group) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
                    Some((name, number.parse().ok()?, group.parse().ok()?))
                })
                .collect();
            let &(name, _, group) = users.iter().find(|(_, number, _)| *number == user)?;
            let shared = users.iter().any(|&(_, number, other)| other == group && number != user);
            // name, password, number, members
            let mut same = groups.lines().filter_map(|line| {
                let mut fields = line.split(':');
                let (group_name, number, members) = (fields.next()?, fields.nth(1)?, fields.next()?);
                (number.parse() == Ok(group)).then_some((group_name, members))
            });
            let mut seen = false;
            let own = same.all(|(group_name, members)| {
                seen = true;
                group_name == name && members.split(',').all(|member| member.is_empty() || member == name)
            });
            (seen && own && !shared).then_some(group)
        }
    }

    #[cfg(not(target_os = "linux"))]
    mod group {
        use super::{Metadata, Path};

        pub fn is_the_users_own(_: &Metadata, _: &Path) -> bool {
            false
        }
    }

    #[cfg(all(test, target_os = "linux"))]
    #[test]
    fn a_group_of_ones_own() {
        let users = "root:x:0:0::/:/bin/sh\nann:x:1000:1000::/:\nbob:x:1001:1001::/:\neve:x:1002:100::/:\nkim:x:1003:1001::/:\n";
        let groups = "root:x:0:\nann:x:1000:\nbob:x:1001:\nusers:x:100:\n";
        let of = |user, groups: &str| group::of(user, users, groups);
        assert_eq!(of(1000, groups), Some(1000));
        assert_eq!(of(1000, "ann:x:1000:ann\n"), Some(1000));
        // root; one that is shared as a first group; one that is not named for the user; users and groups not known
        for (user, groups) in [(0, groups), (1001, groups), (1002, groups), (7, groups), (1000, ""), (1000, "ann:x\n")]
        {
            assert_eq!(of(user, groups), None, "{user} {groups}");
        }
        assert_eq!(of(1000, "ann:x:1000:eve\n"), None);
        assert_eq!(of(1000, "ann:x:1000:\nstaff:x:1000:eve\n"), None);
    }
}

#[cfg(not(unix))]
mod system {
    use super::{File, Kind, Path, PathBuf, Unfit, failed};

    pub fn check(path: &Path, _: Kind) -> Result<PathBuf, Unfit> {
        std::fs::metadata(path).map(|_| path.to_path_buf()).map_err(|error| failed(path, &error))
    }

    pub fn open(path: &Path) -> Result<File, Unfit> {
        File::open(path).map_err(|error| failed(path, &error))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

    /// Folders `a/b` and `a/c`, the file `a/b/f`, all of which only their owner may write to.
    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new() -> Self {
            let tree = Self(tempfile::tempdir().unwrap());
            for folder in ["a", "a/b", "a/c"] {
                fs::create_dir(tree.at(folder)).unwrap();
                tree.mode(folder, 0o755);
            }
            fs::write(tree.at("a/b/f"), "text").unwrap();
            tree.mode("a/b/f", 0o644);
            tree
        }

        fn at(&self, name: &str) -> PathBuf {
            fs::canonicalize(self.0.path()).unwrap().join(name)
        }

        fn mode(&self, name: &str, mode: u32) {
            fs::set_permissions(self.at(name), Permissions::from_mode(mode)).unwrap();
        }

        fn refused(&self, name: &str, kind: Kind) -> Option<String> {
            match check(&self.at(name), kind) {
                Ok(_) => None,
                Err(Unfit::Refused(reason)) => {
                    assert_eq!(reason.lines().count(), 1);
                    Some(reason)
                }
                Err(Unfit::Missing) => panic!("{name} is missing"),
            }
        }
    }

    #[test]
    fn a_path_that_only_its_owner_can_change() {
        let tree = Tree::new();
        symlink("../b/f", tree.at("a/c/near")).unwrap();
        symlink(tree.at("a/c/near"), tree.at("a/far")).unwrap();
        symlink("c", tree.at("a/folder")).unwrap();
        for name in ["a/b/f", "a/c/near", "a/far", "a/folder/near", "a/./c/../b/f"] {
            assert_eq!(check(&tree.at(name), Kind::Library), Ok(tree.at("a/b/f")), "{name}");
            let mut text = String::new();
            io::Read::read_to_string(&mut open(&tree.at(name)).unwrap(), &mut text).unwrap();
            assert_eq!(text, "text");
        }
        assert_eq!(check(&tree.at("a/b"), Kind::Folder), Ok(tree.at("a/b")));
        for name in ["a/x", "x/y"] {
            assert_eq!(check(&tree.at(name), Kind::Data), Err(Unfit::Missing), "{name}");
        }
        assert!(tree.refused("a/b/f/x", Kind::Data).unwrap().ends_with("a/b/f is a file, not a folder"));
    }

    #[test]
    fn each_part_of_a_path_counts() {
        for (part, mode) in [("a", 0o757), ("a/b", 0o757), ("a/b/f", 0o646), ("a/b/f", 0o602)] {
            let tree = Tree::new();
            tree.mode(part, mode);
            for kind in [Kind::Library, Kind::Data] {
                let reason = tree.refused("a/b/f", kind).unwrap();
                let path = tree.at(part);
                let expected =
                    format!("{0} may be written to by everybody (mode {mode:o}); chmod go-w {0}", path.display());
                assert_eq!(reason, expected);
                assert!(open(&tree.at("a/b/f")).is_err());
                // what it says mends it
                tree.mode(part, mode & !0o022);
                assert_eq!(tree.refused("a/b/f", kind), None);
                tree.mode(part, mode);
            }
        }
    }

    #[test]
    fn a_folder_of_all_with_the_sticky_bit() {
        let tree = Tree::new();
        tree.mode("a", 0o1777);
        for (name, kind) in [("a/b/f", Kind::Library), ("a/b/f", Kind::Data), ("a/b", Kind::Folder)] {
            assert_eq!(tree.refused(name, kind), None, "on the way to {name}");
        }
        tree.mode("a/b", 0o1777);
        assert_eq!(tree.refused("a/b/f", Kind::Data), None, "a file alone");
        let what = "is a folder that others may put files into (mode 1777); use a folder of your own below it";
        assert!(tree.refused("a/b/f", Kind::Library).unwrap().ends_with(what));
        assert!(tree.refused("a/b", Kind::Folder).unwrap().ends_with(what));
        // also where only a link to the library is in it
        symlink(tree.at("a/b/f"), tree.at("a/link")).unwrap();
        tree.mode("a/b", 0o755);
        assert!(tree.refused("a/link", Kind::Library).unwrap().ends_with(what));
    }

    #[test]
    fn links_are_a_part_of_the_path() {
        let tree = Tree::new();
        symlink(tree.at("a/b"), tree.at("a/c/folder")).unwrap();
        symlink("folder/f", tree.at("a/c/file")).unwrap();
        // the folder that the link is in
        tree.mode("a/c", 0o777);
        for name in ["a/c/file", "a/c/folder/f"] {
            assert!(tree.refused(name, Kind::Library).unwrap().contains("a/c may be written to"), "{name}");
        }
        tree.mode("a/c", 0o755);
        assert_eq!(tree.refused("a/c/file", Kind::Library), None);
        let reason = tree.refused("a/c/folder", Kind::Folder).unwrap();
        assert!(reason.ends_with("a/c/folder is a symbolic link; name the folder itself"), "{reason}");
        symlink("loop", tree.at("a/loop")).unwrap();
        assert!(tree.refused("a/loop", Kind::Data).unwrap().contains("too many links"));
    }

    #[test]
    fn what_belongs_to_another() {
        let tree = Tree::new();
        if rustix::process::geteuid().as_raw() != 0 {
            // what is root's may be loaded by everybody
            assert!(check(Path::new("/usr"), Kind::Folder).is_ok());
            return eprintln!("SKIPPED, files of another user: only root can make some");
        }
        for part in ["a", "a/b", "a/b/f"] {
            let owner = fs::metadata(tree.at(part)).unwrap().uid();
            chown(tree.at(part), Some(54321), None).unwrap();
            let reason = tree.refused("a/b/f", Kind::Data).unwrap();
            let expected = "belongs to user 54321, not to root; use one of your own, or chown it";
            assert_eq!(reason, format!("{} {expected}", tree.at(part).display()));
            chown(tree.at(part), Some(owner), None).unwrap();
        }
        // root has no group of its own
        tree.mode("a/b", 0o775);
        assert!(tree.refused("a/b/f", Kind::Data).unwrap().contains("by its group (mode 775)"));
    }

    #[test]
    fn what_is_no_file_or_no_folder() {
        let tree = Tree::new();
        assert!(tree.refused("a/b", Kind::Library).unwrap().ends_with("is a folder, not a file"));
        assert!(tree.refused("a/b/f", Kind::Folder).unwrap().ends_with("is a file, not a folder"));
        rustix::fs::mknodat(
            rustix::fs::CWD,
            tree.at("a/pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert!(tree.refused("a/pipe", Kind::Data).unwrap().ends_with("is a pipe"));
        assert!(check(Path::new("a/b"), Kind::Folder).is_err());
    }

    #[test]
    fn a_name_moves_nothing_on_a_terminal() {
        assert_eq!(shown(Path::new("/a b/\u{1b}[2J\n\u{7}é")), "/a b/\\u{1b}[2J\\n\\u{7}é");
    }
}
