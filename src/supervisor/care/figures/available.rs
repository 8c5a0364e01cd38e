//! How much memory could the machine give to one worker more?

use std::fs;
use std::path::Path;

use supd_core::Bytes;

const GROUPS: &str = "/sys/fs/cgroup";

/// What the kernel thinks is available without swapping (proc_meminfo(5)), or less where the daemon's control group or one
/// above it has less left: in a container the machine's own figure says nothing. `None`: not known.
pub(super) fn available() -> Option<Bytes> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| of_machine(&text));
    let group = fs::read_to_string("/proc/self/cgroup").ok();
    let path = group.as_deref().and_then(|text| text.lines().find_map(|line| line.strip_prefix("0::/")));
    let groups = path.and_then(|path| of_groups(Path::new(GROUPS), path));
    machine.into_iter().chain(groups).min().map(Bytes)
}

fn of_machine(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The least that any of the groups from `root/path` up to the root has left. A group without a limit has no say.
fn of_groups(root: &Path, path: &str) -> Option<u64> {
    let group = root.join(path);
    group.ancestors().take_while(|group| group.starts_with(root)).filter_map(of_group).min()
}

/// Files that the kernel would give up at once count as left, as they do in `MemAvailable` (Documentation/admin-guide/cgroup-v2.rst).
fn of_group(group: &Path) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(group.join(name)).ok();
    let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
    let (limit, used) = (number("memory.max")?, number("memory.current")?);
    let stat = read("memory.stat").unwrap_or_default();
    let cached = stat.lines().find_map(|line| line.strip_prefix("inactive_file "));
    let cached = cached.and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
    Some(limit.saturating_sub(used.saturating_sub(cached)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_this_machine() {
        let Some(Bytes(bytes)) = available() else { panic!("every Linux since 3.14 tells") };
        assert!((1 << 20..1 << 50).contains(&bytes), "{bytes}");
        assert_eq!(of_machine("MemTotal: 9 kB\nMemAvailable:     2048 kB\n"), Some(2 << 20));
        assert_eq!(of_machine("MemTotal: 9 kB\n"), None);
    }

    #[test]
    fn the_tightest_group_counts() {
        let root = tempfile::tempdir().expect("a directory");
        let group = |path: &str, max: &str, current: &str, stat: &str| {
            let group = root.path().join(path);
            fs::create_dir_all(&group).expect("a directory");
            for (name, text) in [("memory.max", max), ("memory.current", current), ("memory.stat", stat)] {
                fs::write(group.join(name), text).expect("a file");
            }
        };
        group("a", "1000\n", "900\n", "anon 1\ninactive_file 50\n");
        group("a/b", "max\n", "800\n", "");
        group("a/b/c", "500\n", "100\n", "");
        assert_eq!(of_groups(root.path(), "a/b/c"), Some(150));
        assert_eq!(of_groups(root.path(), "a/b"), Some(150));
        assert_eq!(of_groups(root.path(), ""), None);
        group("full", "100\n", "120\n", "");
        assert_eq!(of_groups(root.path(), "full"), Some(0));
    }
}
