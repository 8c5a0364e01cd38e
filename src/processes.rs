//! Other processes of this machine, as proc(5) shows them.
//!
//! Question answered here: *who descends from whom, and which of systemd's units has a process?* It only looks.

use std::collections::BTreeMap;
use std::fs;

/// One of systemd's units, by its name, and which systemd has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Such as `supd.service`.
    pub name: String,
    /// The control group in the hierarchy that systemd uses.
    pub group: String,
    /// It is a user's systemd that has it; else the machine's.
    pub user: bool,
}

/// The service that has this process; `None`: no service has it, or it is gone.
pub fn unit_of(pid: i32) -> Option<Unit> {
    unit(&group_of(pid)?)
}

/// The control group by which systemd knows this process (cgroups(7)).
pub fn group_of(pid: i32) -> Option<String> {
    group(&fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?)
}

/// All processes below this one, in the order of their numbers.
pub fn descendants(ancestor: i32) -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for pid in pids {
        if let Some(parent) = parent_of(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let (mut found, mut next) = (Vec::new(), vec![ancestor]);
    while let Some(pid) = next.pop() {
        // Taken out once, so that numbers used anew while we read cannot lead in a circle.
        let below = children.remove(&pid).unwrap_or_default();
        found.extend(&below);
        next.extend(below);
    }
    found.sort_unstable();
    found
}

/// What a process was started with, words separated by spaces; `None`: it is gone, a zombie, or none of our business.
pub fn command_line(pid: i32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let text = String::from_utf8_lossy(&bytes).replace('\0', " ").trim_end().to_owned();
    (!text.is_empty()).then_some(text)
}

/// The fourth field of proc_pid_stat(5). The second one, in parentheses, may hold anything, `)` too.
fn parent_of(pid: i32) -> Option<i32> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    std::str::from_utf8(&stat[after_name..]).ok()?.split_whitespace().nth(1)?.parse().ok()
}

/// Version 2 has one hierarchy, with the number 0, which systemd uses where it is mounted. Where it is not, everything is in
/// its root, and systemd uses one of version 1 that bears its name.
fn group(text: &str) -> Option<String> {
    let two = text.lines().find_map(|line| line.strip_prefix("0::"));
    let one = || text.lines().find_map(|line| Some(line.split_once(":name=systemd:")?.1));
    two.filter(|group| *group != "/").or_else(one).or(two).map(str::to_owned)
}

/// A service may arrange groups below its own; the last part that is a service is the one.
fn unit(group: &str) -> Option<Unit> {
    let parts: Vec<&str> = group.split('/').collect();
    let at = parts.iter().rposition(|part| part.ends_with(".service"))?;
    let user = parts[..at].iter().any(|part| part.starts_with("user@"));
    // The user's systemd itself is no service of ours, nor is what it keeps beside its units.
    let itself = parts[at].starts_with("user@");
    let group = parts[..=at].join("/");
    (!itself).then(|| Unit { name: parts[at].to_owned(), group, user })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    /// Longer than any machine takes.
    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn units_by_their_control_group() {
        let users = "/user.slice/user-1000.slice/user@1000.service";
        let of = |group: &str| unit(group).map(|unit| (unit.name, unit.group, unit.user));
        let found = |name: &str, group: &str, user| Some((name.to_owned(), group.to_owned(), user));
        let system = "/system.slice/supd.service";
        assert_eq!(of(system), found("supd.service", system, false));
        assert_eq!(of(&format!("{system}/below")), found("supd.service", system, false));
        let own = format!("{users}/app.slice/supd.service");
        assert_eq!(of(&own), found("supd.service", &own, true));
        for none in ["/", "/user.slice/user-1000.slice/session-3.scope", &format!("{users}/init.scope")] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    #[test]
    fn the_group_that_systemd_knows() {
        assert_eq!(group("0::/a.service\n").as_deref(), Some("/a.service"));
        assert_eq!(group("1:name=systemd:/..\n0::/a.service\n").as_deref(), Some("/a.service"));
        assert_eq!(group("12:pids:/x\n1:name=systemd:/a.service\n0::/\n").as_deref(), Some("/a.service"));
        assert_eq!(group("3:cpu:/x\n"), None);
    }

    #[test]
    fn children_and_their_children() {
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 1000 & echo $!; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut line = String::new();
        BufReader::new(shell.stdout.as_mut().expect("its output")).read_line(&mut line).expect("a line");
        let below: i32 = line.trim().parse().expect("a process id");
        let shell_pid = i32::try_from(shell.id()).expect("a process id");
        assert_eq!(descendants(shell_pid), [below]);
        // Until it is executed, it has the command line of its parent.
        let (is_executed, limit) =
            (|| command_line(below).as_deref() == Some("sleep 1000"), Instant::now() + PATIENCE);
        while !is_executed() && Instant::now() < limit {
            std::thread::yield_now();
        }
        assert!(is_executed());
        let ours = descendants(i32::try_from(std::process::id()).expect("a process id"));
        assert!(ours.contains(&shell_pid) && ours.contains(&below), "{ours:?}");
        let pid = nix::unistd::Pid::from_raw(below);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("it is ours");
        shell.wait().expect("its end");
    }
}
