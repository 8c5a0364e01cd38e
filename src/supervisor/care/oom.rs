//! Did the kernel end a process because memory was short?
//!
//! Its log names every process that it kills for that (`mm/oom_kill.c`), but not everybody may read it, and in a pid
//! namespace its numbers are others. What everybody may read is how many it has killed (`oom_kill` in `/proc/vmstat`).

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;
use nix::fcntl::OFlag;

/// So many records are looked at, a multiple of what the kernel keeps by default.
const RECORDS_MAX: usize = 100_000;
/// A record is never larger (`PRINTKRB_RECORD_MAX` and its head).
const RECORD_MAX: usize = 8192;
/// The first pid namespace (`PROC_PID_INIT_INO`).
const FIRST_NAMESPACE: &str = "pid:[4026531836]";
/// The clock of the log and `CLOCK_MONOTONIC` may be apart by that much, in microseconds.
const APART: u64 = 2_000_000;

/// How many processes it has killed since the machine was started; `None`: not known.
pub(crate) fn kills() -> Option<u64> {
    let text = fs::read_to_string("/proc/vmstat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.parse().ok()
}

/// Whether the kernel's log says that it killed this process after `since` (`CLOCK_MONOTONIC`, microseconds); `None`: it
/// cannot be read, or speaks of other numbers. Blocks for some milliseconds.
pub(crate) fn names(pid: i32, since: u64) -> Option<bool> {
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    if namespace.to_str() != Some(FIRST_NAMESPACE) {
        return None;
    }
    let flags = OFlag::O_NONBLOCK.bits();
    let mut log = File::options().read(true).custom_flags(flags).open("/dev/kmsg").ok()?;
    let mut record = [0; RECORD_MAX];
    for _ in 0..RECORDS_MAX {
        match log.read(&mut record) {
            Ok(0) => break,
            Ok(length) if is_death(&record[..length], pid, since) => return Some(true),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            // Records were overwritten while we read: the next read goes on behind them.
            Err(error) if error.raw_os_error() == Some(Errno::EPIPE as i32) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    Some(false)
}

/// A record is `priority,number,microseconds,flags[,…];text` (Documentation/ABI/testing/dev-kmsg).
fn is_death(record: &[u8], pid: i32, since: u64) -> bool {
    let record = String::from_utf8_lossy(record);
    let Some((head, text)) = record.split_once(';') else { return false };
    let time = head.split(',').nth(2).and_then(|time| time.parse::<u64>().ok());
    let named = text.split_once("Killed process ").map(|(_, rest)| rest);
    time.is_some_and(|time| time + APART >= since)
        && named.is_some_and(|rest| rest.split(' ').next() == Some(pid.to_string().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_the_kernel() {
        let host =
            b"3,1203,61000000,-;Out of memory: Killed process 4242 (node) total-vm:1kB, anon-rss:1kB\n";
        let group = b"3,1203,61000000,-,caller=T1;Memory cgroup out of memory: Killed process 4242 (node)\n";
        assert!(is_death(host, 4242, 60_000_000) && is_death(group, 4242, 60_000_000));
        assert!(!is_death(host, 424, 60_000_000) && !is_death(host, 4242, 64_000_000));
        for other in [&b"6,1,1,-;usb 1-1: new device\n"[..], b"Killed process 4242", b"\xff;Killed process "]
        {
            assert!(!is_death(other, 4242, 0));
        }
    }

    #[test]
    fn the_kernel_counts() {
        assert!(kills().is_some());
        // Whoever may not read the log is told so.
        assert!(matches!(names(std::process::id().cast_signed(), 0), None | Some(false)));
    }
}
