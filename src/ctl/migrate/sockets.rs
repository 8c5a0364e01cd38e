//! On which ports do processes listen? By proc(5): listening sockets of `/proc/net` whose inode is open in one of them. Best effort,
//! as for `cluster::holder`: what cannot be looked into has none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::processes;

/// The TCP ports that these processes and their descendants listen on.
pub(crate) fn ports(pids: &[i32]) -> BTreeSet<u16> {
    let mut listening = BTreeMap::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        if let Ok(text) = fs::read_to_string(table) {
            listening.extend(rows(&text));
        }
    }
    let family = pids.iter().flat_map(|pid| std::iter::once(*pid).chain(processes::descendants(*pid)));
    family.flat_map(open).filter_map(|link| listening.get(&link).copied()).collect()
}

/// What a process has open, as links of `/proc/PID/fd`.
fn open(pid: i32) -> Vec<String> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
    links.map(|link| link.to_string_lossy().into_owned()).collect()
}

/// The listening sockets (state 0A) of a table: link and port.
fn rows(text: &str) -> Vec<(String, u16)> {
    let row = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let port = u16::from_str_radix(fields.get(1)?.rsplit_once(':')?.1, 16).ok()?;
        let listens = fields.get(3) == Some(&"0A");
        listens.then(|| Some((format!("socket:[{}]", fields.get(9)?), port))).flatten()
    };
    text.lines().skip(1).filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn our_own_port_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(ports(&[own]).contains(&port));
        drop(listener);
        assert!(!ports(&[own]).contains(&port));
        assert!(ports(&[]).is_empty());
    }
}
