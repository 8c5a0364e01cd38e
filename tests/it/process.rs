//! Processes of this machine, seen through /proc.

use std::fs;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

/// Sends a signal to one process.
pub fn signal(pid: i32, signal: Signal) {
    assert!(pid > 1, "{pid} is nobody of ours");
    match signal::kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => panic!("{signal} to {pid}: {errno}"),
    }
}

/// Ends a process without asking it.
pub fn kill(pid: i32) {
    signal(pid, Signal::SIGKILL);
}

/// Whether it runs. A zombie does not.
pub fn is_alive(pid: i32) -> bool {
    state(pid).is_some_and(|state| state != 'Z' && state != 'X')
}

/// The letter of its state (proc_pid_stat(5)).
pub fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Its parent.
pub fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// Every process that was given this directory as its `SUPD_HOME`: the daemon, its workers and all they started, but
/// not `supctl`.
pub fn of_home(home: &Path) -> Vec<i32> {
    let wanted = format!("SUPD_HOME={}", home.display());
    let has = |pid: &i32| {
        fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| {
            environ.split(|&byte| byte == 0).any(|variable| variable == wanted.as_bytes())
        })
    };
    all().into_iter().filter(has).filter(|&pid| is_alive(pid) && !is_supctl(pid)).collect()
}

/// Whether it is a client.
pub fn is_supctl(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == "supctl")
}

/// Every process there is.
pub fn all() -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// What it was called with.
pub fn command_line(pid: i32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ").trim_end().to_owned()
}

/// How many descriptors it has open.
pub fn descriptors(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// The memory that is its own whoever else runs the same binary, in KiB: what it has written to (heap, stacks).
pub fn memory(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap_or("0 kB");
    line.trim().trim_end_matches("kB").trim().parse().unwrap_or(0)
}
