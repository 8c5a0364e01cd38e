//! A unit is started while a daemon that systemd did not start serves the same home.
//!
//! Question answered here: *how does that daemon become the unit's main process, while its apps go on?* By systemd's own
//! rules: its processes are moved into the unit's control group (`AttachProcessesToUnit`, org.freedesktop.systemd1(5)),
//! then systemd is told which of them is the main one (`MAINPID=`, sd_notify(3); it believes that of a process in that
//! group). We are the process that the unit was started with, and end when this is done.
//!
//! What the unit sets for new processes, above all limits, cannot reach the running ones: it counts from the next start.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use supd_keeper::Notifier;

use crate::home::Home;
use crate::processes::{Unit, descendants, group_of, unit_of};

/// How long moving the apps' processes may take.
const MOVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes the daemon of this home the main process of the unit that we were started by; its process id.
///
/// # Errors
/// Why that is not possible; for the apps nothing has changed then.
pub(super) fn hand_over(home: &Home, notifier: &Notifier) -> io::Result<i32> {
    let keeper = keeper_of(home)?;
    UnixStream::connect(home.socket())
        .map_err(|error| io::Error::other(format!("it does not answer: {error}")))?;
    // A program further down in a unit may have been given a NOTIFY_SOCKET too, by whoever supervises it.
    let own = i32::try_from(std::process::id()).map_err(io::Error::other)?;
    let unit = unit_of(own).filter(|unit| main_of(unit) == Some(own));
    let unit = unit.ok_or_else(|| io::Error::other("we are not the main process of a unit"))?;
    if let Some(other) = unit_of(keeper).filter(|other| main_of(other) == Some(keeper)) {
        return Err(io::Error::other(format!("it is the main process of {} already", other.name)));
    }
    move_family(keeper, &unit)?;
    // Nobody has told that process where to send signs of life, so none may be waited for. All in one message: with
    // the main process we lose the right to speak.
    notifier.tell(&format!("MAINPID={keeper}\nWATCHDOG_USEC=0\nREADY=1"));
    Ok(keeper)
}

/// The process that has the lock of this home.
fn keeper_of(home: &Home) -> io::Result<i32> {
    let unknown = || io::Error::other(format!("{} does not name it", home.pid_file().display()));
    let pid: i32 = fs::read_to_string(home.pid_file())?.trim().parse().map_err(|_| unknown())?;
    let lock = fs::metadata(home.lock())?;
    let is_lock = |file: fs::Metadata| (file.dev(), file.ino()) == (lock.dev(), lock.ino());
    let mut files = fs::read_dir(format!("/proc/{pid}/fd"))?.flatten();
    let holds = pid > 1 && files.any(|file| fs::metadata(file.path()).is_ok_and(is_lock));
    if holds { Ok(pid) } else { Err(unknown()) }
}

/// The main process of a unit.
fn main_of(unit: &Unit) -> Option<i32> {
    let scope = if unit.user { "--user" } else { "--system" };
    let asked = Command::new("systemctl")
        .args([scope, "show", "--property", "MainPID", "--value", &unit.name])
        .stdin(Stdio::null())
        .output();
    String::from_utf8(asked.ok()?.stdout).ok()?.trim().parse().ok()
}

/// Moves the keeper, so that whatever it starts from here on is in the unit too, and then all that descend from it. One
/// that may not be moved, such as another user's, stays where it is; the keeper stops it as it always would.
fn move_family(keeper: i32, unit: &Unit) -> io::Result<()> {
    attach(keeper, unit)?;
    let outside = || -> Vec<i32> {
        let is_outside = |pid: &i32| group_of(*pid).is_some_and(|group| !group.starts_with(&unit.group));
        descendants(keeper).into_iter().filter(is_outside).collect()
    };
    let until = Instant::now() + MOVE_TIMEOUT;
    let mut left = outside();
    while !left.is_empty() && Instant::now() < until {
        let refusals: Vec<io::Error> = left.iter().filter_map(|pid| attach(*pid, unit).err()).collect();
        let still = outside();
        if still == left {
            refusals.iter().for_each(|refusal| eprintln!("supd: {refusal}"));
            break;
        }
        left = still;
    }
    Ok(())
}

/// Asks systemd to move a process. It does so for any process of the unit's user, also out of a login session, where that
/// user could not do it by writing to the control groups.
fn attach(pid: i32, unit: &Unit) -> io::Result<()> {
    let asked = Command::new("busctl")
        .arg(if unit.user { "--user" } else { "--system" })
        .args(["call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1"])
        .args(["org.freedesktop.systemd1.Manager", "AttachProcessesToUnit", "ssau", &unit.name, "", "1"])
        .arg(pid.to_string())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| io::Error::other(format!("busctl, by which systemd is asked: {error}")))?;
    if asked.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&asked.stderr);
    Err(io::Error::other(format!("systemd does not move process {pid} into {}: {}", unit.name, said.trim())))
}
