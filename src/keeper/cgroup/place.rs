//! Where is a process in the hierarchy, and was that place given to it?

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where systemd shows that it runs (sd_booted(3)).
const BOOTED: &str = "/run/systemd/system";
/// By these systemd tells whom it has delegated a group to: the first to everybody, from systemd 251 on, the second to root.
const DELEGATE: [&str; 2] = ["user.delegate", "trusted.delegate"];

/// The directory of a process's group; `None`: no file system shows it.
pub(crate) fn group_of(pid: i32) -> Option<PathBuf> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounts.lines().find_map(|mount| shown(mount, own))
}

/// Where this mount shows a group. The fields are those of proc_pid_mountinfo(5): root and mount point are the fourth and the fifth,
/// the type is the one behind the dash.
fn shown(mount: &str, group: &str) -> Option<PathBuf> {
    let (before, after) = mount.split_once(" - ")?;
    let mut fields = before.split(' ').skip(3);
    let (root, point) = (fields.next()?, fields.next()?);
    let below = Path::new(group).strip_prefix(root).ok()?;
    // A parent of what we may see is none of ours.
    let within = after.starts_with("cgroup2 ") && !group.contains("/..") && !point.contains('\\');
    within.then(|| Path::new(point).join(below).components().collect())
}

/// The group at this place, or the one above (`DelegateSubgroup=`), that is ours to arrange.
pub(super) fn delegated(own: &Path) -> Option<PathBuf> {
    if Path::new(BOOTED).exists() {
        // Root may write everywhere, and a user everywhere below its own systemd: only what systemd says counts.
        let above = own.parent().filter(|_| !is_unit(own));
        return [Some(own), above].into_iter().flatten().find(|group| is_marked(group)).map(Path::to_owned);
    }
    // In a container what can be written was meant to be. The machine's root, which has no type, is nobody's.
    own.join("cgroup.type").exists().then(|| own.to_owned())
}

/// Whether it is a unit's own group: what is above belongs to a slice, or to systemd itself.
fn is_unit(group: &Path) -> bool {
    let kind = group.extension().and_then(|kind| kind.to_str());
    matches!(kind, Some("service" | "scope" | "slice"))
}

fn is_marked(group: &Path) -> bool {
    DELEGATE.into_iter().any(|attribute| attribute_of(group, attribute).is_some_and(|value| value == b'1'))
}

/// Our own group, if it belongs to our user and nobody has noted whether it was delegated to us. Root needs no note: what it may
/// write says nothing, and systemd tells root.
pub fn unmarked() -> Option<PathBuf> {
    let own = group_of(std::process::id() as i32).filter(|_| Path::new(BOOTED).exists())?;
    let user = nix::unistd::geteuid();
    let is_ours = fs::metadata(&own).is_ok_and(|group| group.uid() == user.as_raw());
    (!user.is_root() && is_ours && delegated(&own).is_none()).then_some(own)
}

/// Notes that a group was delegated, as systemd does it.
pub fn mark(group: &Path) {
    let Ok(path) = CString::new(group.as_os_str().as_bytes()) else { return };
    // SAFETY: two C strings, and a value with its size, which the call only reads. Where it fails (Linux before 5.7) there is no note.
    unsafe { libc::setxattr(path.as_ptr(), c"user.delegate".as_ptr(), c"1".as_ptr().cast(), 1, 0) };
}

/// The first byte of an extended attribute.
fn attribute_of(path: &Path, name: &str) -> Option<u8> {
    let (path, name) = (CString::new(path.as_os_str().as_bytes()).ok()?, CString::new(name).ok()?);
    let mut value = [0u8; 16];
    // SAFETY: two C strings, and a place with its size; the call writes no more than that.
    let length =
        unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    (length > 0).then_some(value[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_by_their_mount() {
        let whole = "31 23 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate";
        let part = "31 23 0:27 /docker/1 /sys/fs/cgroup ro - cgroup2 cgroup rw";
        let one = "32 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory";
        for (mount, group, found) in [
            (whole, "/", Some("/sys/fs/cgroup")),
            (whole, "/system.slice/supd.service", Some("/sys/fs/cgroup/system.slice/supd.service")),
            (part, "/docker/1/supd-4/daemon", Some("/sys/fs/cgroup/supd-4/daemon")),
            (part, "/docker/2", None),
            (whole, "/../beside", None),
            (one, "/", None),
            ("nonsense", "/", None),
        ] {
            assert_eq!(shown(mount, group).as_deref(), found.map(Path::new), "{mount} {group}");
        }
    }

    #[test]
    fn a_mark_is_an_attribute() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a directory");
        assert!(!is_marked(dir.path()) && !is_marked(Path::new("/nonexistent")));
        mark(dir.path());
        assert!(is_marked(dir.path()));
    }
}
