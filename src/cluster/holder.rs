//! Who has the port we cannot get?
//!
//! By proc(5): the inode of a listening socket from `/proc/net`, then the process with a descriptor of that inode.
//! Best effort: other users' processes cannot be looked into without privilege, other network namespaces not at
//! all. It reads a file per descriptor of the machine, so it belongs on a blocking task.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::Endpoint;

/// A process that has a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: i32,
    /// Its command name (`/proc/PID/comm`, at most 15 bytes).
    pub command: String,
}

/// Who keeps others from binding an endpoint, as far as we may know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holding {
    /// Nobody.
    Nobody,
    /// This process.
    By(Holder),
    /// A process that we may not look into. Whose the socket is; `None`: not told.
    Hidden {
        /// The user's id.
        uid: Option<u32>,
    },
}

/// A socket in the tables of the kernel.
struct Entry {
    inode: String,
    /// Of whoever made it.
    uid: Option<u32>,
}

/// Finds a process that keeps others from binding this endpoint.
pub fn holder(endpoint: &Endpoint) -> Option<Holder> {
    match holding(endpoint) {
        Holding::By(holder) => Some(holder),
        Holding::Nobody | Holding::Hidden { .. } => None,
    }
}

/// Finds out who keeps others from binding this endpoint.
pub fn holding(endpoint: &Endpoint) -> Holding {
    let entries: Vec<Entry> = match endpoint {
        Endpoint::Tcp { address, .. } => internet_sockets(["tcp", "tcp6"], "0A", *address),
        Endpoint::Udp { address, .. } => internet_sockets(["udp", "udp6"], "07", *address),
        Endpoint::Unix(path) => unix_sockets(path),
    };
    let Some(first) = entries.first() else { return Holding::Nobody };
    let links: Vec<String> = entries.iter().map(|entry| format!("socket:[{}]", entry.inode)).collect();
    let processes = fs::read_dir("/proc").into_iter().flatten();
    let mut pids: Vec<i32> =
        processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    let Some(pid) = pids.into_iter().find(|pid| has_one_of(*pid, &links)) else {
        return Holding::Hidden { uid: first.uid };
    };
    let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned();
    Holding::By(Holder { pid, command })
}

fn has_one_of(pid: i32, links: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .any(|target| links.iter().any(|link| target.as_os_str().as_bytes() == link.as_bytes()))
}

/// The sockets in this state whose address stands in the way of this one.
fn internet_sockets(tables: [&str; 2], state: &str, wanted: SocketAddr) -> Vec<Entry> {
    let tables = tables.into_iter().filter_map(|name| fs::read_to_string(format!("/proc/net/{name}")).ok());
    tables
        .flat_map(|table| {
            let rows = table.lines().skip(1).filter_map(|row| {
                let fields: Vec<&str> = row.split_ascii_whitespace().collect();
                let address = parse_address(fields.get(1)?)?;
                let fits = fields.get(3) == Some(&state) && overlap(address, wanted);
                let uid = fields.get(7).and_then(|uid| uid.parse().ok());
                fits.then(|| fields.get(9).map(|inode| Entry { inode: (*inode).to_owned(), uid })).flatten()
            });
            rows.collect::<Vec<_>>()
        })
        .collect()
}

fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let same = a.ip().to_canonical() == b.ip().to_canonical();
    a.port() == b.port() && (same || a.ip().is_unspecified() || b.ip().is_unspecified())
}

/// `0100007F:1F90`: the address as 32-bit words in the machine's byte order, the port as a plain number.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = [0u8; 16];
    let words = ip.as_bytes().chunks(8);
    if words.len() > 4 {
        return None;
    }
    for (word, place) in words.zip(bytes.chunks_mut(4)) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        place.copy_from_slice(&word.to_ne_bytes());
    }
    let ip = match (ip.len(), bytes) {
        (8, [a, b, c, d, ..]) => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        (32, bytes) => IpAddr::V6(Ipv6Addr::from(bytes)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// Rows of `/proc/net/unix`: `Num RefCount Protocol Flags Type St Inode Path`.
fn unix_sockets(path: &Path) -> Vec<Entry> {
    let Ok(table) = fs::read("/proc/net/unix") else { return Vec::new() };
    let rows = table.split(|byte| *byte == b'\n').filter_map(|row| {
        let row = row.strip_suffix(path.as_os_str().as_bytes())?.strip_suffix(b" ")?;
        let inode = std::str::from_utf8(row).ok()?.split_ascii_whitespace().nth(6)?.to_owned();
        Some(Entry { inode, uid: None })
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use supd_api::Balance;

    use super::*;
    use crate::cluster::bind;

    #[test]
    fn addresses_of_proc_net() {
        if cfg!(target_endian = "little") {
            let v4 = parse_address("0100007F:1F90").expect("v4");
            assert_eq!(v4.to_string(), "127.0.0.1:8080");
            let v6 = parse_address("00000000000000000000000001000000:0050").expect("v6");
            assert_eq!(v6.to_string(), "[::1]:80");
        }
        for bad in ["", ":", "0100007F", "0100007F:", "0100:1", &format!("{}:1", "0".repeat(64)), "é00007F:1"]
        {
            assert_eq!(parse_address(bad), None, "{bad}");
        }
    }

    #[test]
    fn finds_this_process() {
        let directory = tempfile::tempdir().expect("directory");
        let me = i32::try_from(std::process::id()).expect("pid");
        let address = "127.0.0.1:0".parse().expect("address");
        for endpoint in [
            Endpoint::Tcp { address, ipv6_only: false },
            Endpoint::Tcp { address: "[::]:0".parse().expect("address"), ipv6_only: false },
            Endpoint::Udp { address, ipv6_only: false, reuse_address: false },
            Endpoint::Unix(directory.path().join("a b.sock")),
        ] {
            let bound = bind(&endpoint, Balance::Shared).expect("bind");
            let holder = holder(&bound.endpoint).expect("found");
            assert_eq!(holder.pid, me, "{endpoint}");
            assert!(!holder.command.is_empty());
        }
        assert_eq!(holder(&Endpoint::Unix("/no/such.sock".into())), None);
    }
}
