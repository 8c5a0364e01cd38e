//! Why can nothing be watched, and what helps?

use std::path::Path;

use nix::errno::Errno;

/// The limits of inotify(7).
const LIMITS: &str = "/proc/sys/fs/inotify";

/// In words, with the remedy. `had`: so many directories were watched already.
pub(super) fn told(step: Step<'_>, errno: Errno, had: usize) -> String {
    match (step, errno) {
        (Step::Directory(_), Errno::ENOSPC | Errno::ENOMEM) => no_room(had, limit("max_user_watches")),
        (Step::Begin, Errno::EMFILE) => no_instance(limit("max_user_instances")),
        (Step::Directory(path), errno) => format!("{}: {}", path.display(), errno.desc()),
        (Step::Begin, errno) => format!("inotify: {}", errno.desc()),
        (Step::Read, errno) => format!("inotify does not tell: {}", errno.desc()),
    }
}

/// What was being done.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'a> {
    Begin,
    Directory(&'a Path),
    Read,
}

fn no_room(had: usize, limit: Option<u64>) -> String {
    let more = limit.map_or(1 << 20, |limit| (limit * 2).max(1 << 19));
    let limit = limit.map_or_else(String::new, |limit| format!(" = {limit}"));
    format!(
        "after {had} directories this user has no inotify watch left (fs.inotify.max_user_watches{limit}): leave out large directories with `ignore_watch`, or allow more with `sysctl fs.inotify.max_user_watches={more}`, and restart it"
    )
}

fn no_instance(limit: Option<u64>) -> String {
    let more = limit.map_or(1024, |limit| (limit * 2).max(1024));
    let limit = limit.map_or_else(String::new, |limit| format!(" = {limit}"));
    format!(
        "this user has no inotify instance left (fs.inotify.max_user_instances{limit}): allow more with `sysctl fs.inotify.max_user_instances={more}`, and restart it"
    )
}

fn limit(name: &str) -> Option<u64> {
    std::fs::read_to_string(Path::new(LIMITS).join(name)).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_are_named_with_their_values() {
        let text = no_room(8000, Some(8192));
        assert!(text.contains("fs.inotify.max_user_watches = 8192") && text.contains("=524288`"), "{text}");
        assert!(no_room(1, Some(1 << 20)).contains("=2097152`"));
        let text = told(Step::Begin, Errno::EMFILE, 0);
        let now = limit("max_user_instances").expect("Linux");
        assert!(text.contains(&format!("fs.inotify.max_user_instances = {now}")), "{text}");
        let text = told(Step::Directory(Path::new("/x")), Errno::ENOENT, 0);
        assert_eq!(text, "/x: No such file or directory");
    }
}
