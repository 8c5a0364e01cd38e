//! May this user do that to this file?
//!
//! The caller's own rights are asked from the kernel (access(2)). For another user the mode bits of the file and of every
//! directory above it are read: access control lists, capabilities and the rules of network file systems are not seen.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, Gid, access, getgrouplist};

use super::place::Owner;

/// What is wanted of a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Read,
    Write,
    /// Execute a file, or enter a directory.
    Execute,
}

/// A user with all groups.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    owner: Owner,
    groups: Vec<u32>,
}

impl Who {
    /// As login(1) would see them.
    pub(crate) fn of(owner: &Owner) -> Self {
        let name = CString::new(owner.name.as_str()).unwrap_or_default();
        let groups = getgrouplist(&name, Gid::from_raw(owner.gid)).unwrap_or_default();
        let groups = groups.into_iter().map(Gid::as_raw).chain([owner.gid]).collect();
        Self { owner: owner.clone(), groups }
    }

    /// The user's name.
    pub(crate) fn name(&self) -> &str {
        &self.owner.name
    }

    /// Why this user cannot execute this program; `None`: it can.
    pub(crate) fn cannot_execute(&self, program: &Path) -> Option<String> {
        match fs::metadata(program) {
            Ok(meta) if !meta.is_file() => Some(format!("{} is not a file", program.display())),
            Ok(_) | Err(_) => self.cannot(Wish::Execute, program),
        }
    }

    /// Why this user cannot do that; `None`: it can.
    pub(crate) fn cannot(&self, wish: Wish, path: &Path) -> Option<String> {
        let real = match fs::canonicalize(path) {
            Ok(real) => real,
            Err(error) => return Some(format!("{}: {error}", path.display())),
        };
        if self.owner.is_caller() {
            let flags = match wish {
                Wish::Read => AccessFlags::R_OK,
                Wish::Write => AccessFlags::W_OK,
                Wish::Execute => AccessFlags::X_OK,
            };
            return access(&real, flags).err().map(|errno| format!("{}: {}", path.display(), errno.desc()));
        }
        let closed = real.ancestors().skip(1).find(|above| !self.has(Wish::Execute, above));
        if let Some(closed) = closed {
            return Some(format!("`{}` may not enter {}", self.name(), closed.display()));
        }
        let verb = match wish {
            Wish::Read => "read",
            Wish::Write => "write to",
            Wish::Execute if real.is_dir() => "enter",
            Wish::Execute => "execute",
        };
        (!self.has(wish, &real)).then(|| format!("`{}` may not {verb} {}", self.name(), real.display()))
    }

    fn has(&self, wish: Wish, path: &Path) -> bool {
        let Ok(meta) = fs::metadata(path) else { return false };
        let class = if meta.uid() == self.owner.uid {
            6
        } else if self.groups.contains(&meta.gid()) {
            3
        } else {
            0
        };
        let bit = match wish {
            Wish::Read => 4,
            Wish::Write => 2,
            Wish::Execute => 1,
        };
        // root reads and writes everything, and executes what anybody may (path_resolution(7)).
        if self.owner.uid == 0 {
            return wish != Wish::Execute || meta.is_dir() || meta.mode() & 0o111 != 0;
        }
        meta.mode() >> class & bit != 0
    }
}

/// The part of a path by which somebody but root could put another file in its place: who starts it as root would start
/// theirs.
pub(crate) fn open_to_others(path: &Path) -> Option<PathBuf> {
    let real = fs::canonicalize(path).ok()?;
    let open = |part: &&Path| {
        let Ok(meta) = fs::metadata(part) else { return false };
        let sticky = meta.is_dir() && meta.mode() & 0o1000 != 0;
        meta.uid() != 0 || (meta.mode() & 0o022 != 0 && !sticky)
    };
    real.ancestors().find(open).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use nix::unistd::Uid;

    use super::*;

    #[test]
    fn mode_bits_of_a_file_and_of_the_directories_above() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("program");
        fs::write(&file, "").expect("a file");
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode")
        };
        let meta = fs::metadata(&file).expect("there");
        // Nobody of this machine, by number: of the file's group or of none of ours.
        let who = |groups: Vec<u32>| Who {
            owner: Owner { name: "x".to_owned(), uid: 4_000_000_001, gid: 0, directory: "/".into() },
            groups,
        };
        let (stranger, member) = (who(vec![4_000_000_001]), who(vec![meta.gid()]));
        mode(dir.path(), 0o755);
        mode(&file, 0o654);
        assert_eq!(stranger.cannot(Wish::Read, &file), None);
        assert!(stranger.cannot_execute(&file).is_some_and(|why| why.contains("may not execute")));
        assert_eq!(member.cannot_execute(&file), None);
        assert!(member.cannot(Wish::Write, &file).is_some());
        mode(dir.path(), 0o700);
        assert!(stranger.cannot(Wish::Read, &file).is_some_and(|why| why.contains("may not enter")));
        assert!(
            stranger.cannot(Wish::Read, &dir.path().join("no")).is_some_and(|why| why.contains("No such"))
        );
    }

    #[test]
    fn the_callers_own_rights_are_the_kernels_answer() {
        let me = Who::of(&Owner::of_uid(Uid::effective().as_raw()).expect("a name"));
        assert_eq!(me.cannot_execute(Path::new("/bin/sh")), None);
        assert!(me.cannot_execute(Path::new("/etc/passwd")).is_some());
        assert!(me.cannot_execute(Path::new("/etc")).is_some_and(|why| why.contains("not a file")));
    }
}
