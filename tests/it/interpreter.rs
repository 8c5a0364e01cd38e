//! Languages that a machine may lack.

use std::io::{Write, stderr};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

/// Whether stories that need this command can be told here. Where everything is installed (`CI` is set), they must be.
pub fn is_there(command: &[&str]) -> bool {
    let mut check = Command::new(command[0]);
    let ran =
        check.args(&command[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = ran.is_ok_and(|status| status.success());
    let line = format!("`{}` does not work here", command.join(" "));
    assert!(found || std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "{line}, and this is CI");
    if !found {
        // Not by a macro: the test harness would keep it to itself.
        let _ = writeln!(stderr(), "left out: {line}");
    }
    found
}

/// An address on all interfaces for programs that are told a port only; each is given out once. Below the ports that the
/// kernel gives to outgoing connections (ip(7), `ip_local_port_range`).
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 10_000 + u16::try_from(std::process::id() % 5000).unwrap_or_default() * 4;
    let free = |port: &u16| std::net::TcpListener::bind(("::", *port)).is_ok();
    let next = std::iter::from_fn(|| Some(start + NEXT.fetch_add(1, Ordering::Relaxed)));
    next.take_while(|&port| port < 32_000).find(free).expect("a free port")
}
