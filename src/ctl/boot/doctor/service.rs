//! Will the daemon itself be started, by whom, and with what?

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use supd_api::DaemonView;

use super::findings::Findings;
use crate::ctl::boot::access::{Who, Wish, open_to_others};
use crate::ctl::boot::place::Owner;
use crate::ctl::boot::startup::lingers;
use crate::ctl::boot::steps::Systemd;
use crate::ctl::boot::unit::Scope;
use crate::ctl::boot::units::{self, Found};
use crate::home::Home;
use crate::processes::unit_of;

/// Descriptors that keeper or supervisor need for a worker (two pipes, a channel, a socket, and what is made of them), and
/// for themselves.
const FILES_PER_WORKER: u64 = 10;
const FILES_AT_LEAST: u64 = 256;

/// The unit that will start the daemon.
#[derive(Debug)]
pub(crate) struct Service {
    /// It may bind ports below 1024 without being root.
    pub(crate) binds_privileged: bool,
}

/// Checks the unit of this home, and what it says.
pub(crate) fn check(
    home: &Home,
    owner: &Owner,
    daemon: Option<&DaemonView>,
    workers: usize,
    findings: &mut Findings,
) -> Option<Service> {
    let found = enabled(home, owner, findings);
    let Some(unit) = found else {
        if daemon.is_none() {
            findings.failure("daemon", "supd", "no daemon runs", "`supctl ping` starts it");
        }
        return None;
    };
    let systemd = Systemd::new(unit.scope, owner);
    if unit.scope == Scope::User {
        linger(owner, findings);
    }
    program(&unit, &systemd, owner, daemon, findings);
    runs_under(&unit, daemon, findings);
    limits(&unit, &systemd, workers, findings);
    let capabilities = systemd.property(&unit.name, "AmbientCapabilities");
    Some(Service { binds_privileged: capabilities.contains("cap_net_bind_service") })
}

/// The one unit that is enabled.
fn enabled(home: &Home, owner: &Owner, findings: &mut Findings) -> Option<Found> {
    let command = if owner.is_caller() {
        "supctl startup".to_owned()
    } else {
        format!("sudo supctl startup -u {}", owner.name)
    };
    let remedy = format!("`{command}` writes and enables one");
    let mut found = units::of_home(home.path(), owner);
    if found.is_empty() {
        let text = format!("no unit starts the daemon of {} at boot", home.path().display());
        findings.failure("unit", "supd", text, remedy);
        return None;
    }
    let state = |unit: &Found| Systemd::new(unit.scope, owner).property(&unit.name, "UnitFileState");
    let states: Vec<String> = found.iter().map(state).collect();
    let on: Vec<usize> = (0..found.len()).filter(|at| states[*at] == "enabled").collect();
    match on.as_slice() {
        [at] => {
            let unit = found.swap_remove(*at);
            findings.ok("unit", "supd", format!("{} is enabled", unit.file.display()));
            Some(unit)
        }
        [] => {
            let (unit, state) = (&found[0], &states[0]);
            let state = if state.is_empty() { "unknown to systemd" } else { state.as_str() };
            findings.failure(
                "unit",
                "supd",
                format!("{} is {state}", unit.file.display()),
                format!("`{command}` enables it"),
            );
            None
        }
        [first, second, ..] => {
            let (first, second) = (&found[*first].file, &found[*second].file);
            let text =
                format!("{} and {} both start a daemon for this home", first.display(), second.display());
            findings.failure(
                "unit",
                "supd",
                text,
                "disable one of them: `systemctl disable`, or `supctl unstartup`",
            );
            None
        }
    }
}

fn linger(owner: &Owner, findings: &mut Findings) {
    if lingers(owner) {
        return findings.ok("linger", "supd", format!("`{}` lingers: its units start at boot", owner.name));
    }
    findings.failure(
        "linger",
        "supd",
        format!(
            "`{}` does not linger: its units start when it logs in, and end with its last session",
            owner.name
        ),
        format!("sudo loginctl enable-linger {}", owner.name),
    );
}

/// The daemon's program, as systemd has it with all drop-ins.
fn program(
    unit: &Found,
    systemd: &Systemd,
    owner: &Owner,
    daemon: Option<&DaemonView>,
    findings: &mut Findings,
) {
    let line = systemd.property(&unit.name, "ExecStart");
    let told = line.split_once("path=").and_then(|(_, rest)| Some(PathBuf::from(rest.split_once(" ;")?.0)));
    let program = told.or_else(|| unit.said.program.clone()).unwrap_or_default();
    let shown = program.display();
    let remedy = "install supd there, or write the unit anew where it is: `supctl startup`";
    if let Some(why) = Who::of(owner).cannot_execute(&program) {
        return findings.failure("binary", "supd", why, remedy);
    }
    let open = open_to_others(&program).filter(|_| owner.uid == 0 && unit.scope == Scope::System);
    if let Some(open) = open {
        let text = format!("root starts {shown}, and others than root may change {}", open.display());
        let remedy = "install supd and supctl into /usr/local/bin as root, then `supctl startup` from there";
        findings.warning("binary", "supd", text, remedy);
    }
    match (version(&program), daemon) {
        (Err(why), _) => findings.failure("binary", "supd", format!("{shown} --version: {why}"), remedy),
        (Ok(version), Some(daemon)) if daemon.version != version => {
            let text = format!("{shown} is version {version}, the running daemon {}", daemon.version);
            findings.warning(
                "binary",
                "supd",
                text,
                "the next boot starts the one in the unit; see `supctl version`",
            );
        }
        (Ok(version), _) => findings.ok("binary", "supd", format!("{shown} is version {version}")),
    }
}

fn version(program: &Path) -> Result<String, String> {
    let ended = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    let ended = ended.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    let version = text.trim().strip_prefix("supd ").filter(|_| ended.status.success());
    version.map(str::to_owned).ok_or_else(|| format!("it is no supd that works: {}", ended.status))
}

/// Whether systemd looks after the daemon that runs now.
fn runs_under(unit: &Found, daemon: Option<&DaemonView>, findings: &mut Findings) {
    let Found { name, scope, .. } = unit;
    let user = *scope == Scope::User;
    let Some(daemon) = daemon else {
        let remedy = format!("systemctl {}start {name}", if user { "--user " } else { "" });
        return findings.failure("daemon", "supd", format!("no daemon runs under {name}"), remedy);
    };
    let pid = daemon.keeper_pid;
    if unit_of(pid).is_some_and(|of| of.name == *name && of.user == user) {
        return findings.ok("daemon", "supd", format!("process {pid} runs under {name}"));
    }
    findings.warning(
        "daemon",
        "supd",
        format!("process {pid} runs outside {name}: systemd does not start it again when it dies"),
        "`supctl startup` hands it over without restarting apps",
    );
}

fn limits(unit: &Found, systemd: &Systemd, workers: usize, findings: &mut Findings) {
    let text = systemd.property(&unit.name, "LimitNOFILE");
    let limit = if text == "infinity" { u64::MAX } else { text.parse().unwrap_or(0) };
    let needed = FILES_AT_LEAST + FILES_PER_WORKER * workers as u64;
    if limit < needed {
        let text = format!("{} allows {limit} open files; {workers} workers need {needed}", unit.name);
        return findings.failure("limit", "supd", text, "raise LimitNOFILE= in a drop-in: `systemctl edit`");
    }
    findings.ok("limit", "supd", format!("{text} open files for {workers} workers"));
}

/// A log of its own that the daemon may not write to costs what it would tell, and nothing else.
pub(crate) fn own_log(home: &Home, owner: &Owner, findings: &mut Findings) {
    let log = home.daemon_log();
    if let Some(why) = Who::of(owner).cannot(Wish::Write, &log).filter(|_| log.exists()) {
        let remedy = format!("let `{0}` write to it: chown {0} {1}", owner.name, log.display());
        findings.warning("log", "supd", why, remedy);
    }
}

/// Ledger, logs and socket are for their owner alone.
pub(crate) fn private(home: &Home, owner: &Owner, findings: &mut Findings) {
    let shown = home.path().display();
    match fs::metadata(home.path()) {
        Ok(meta) if meta.mode() & 0o077 != 0 => findings.failure(
            "home",
            "supd",
            format!(
                "{shown} has mode {:o}: others can look into ledger and logs, which hold values of variables",
                meta.mode() & 0o777
            ),
            format!("chmod 700 {shown}"),
        ),
        Ok(_) => findings.ok("home", "supd", format!("{shown} is private to `{}`", owner.name)),
        Err(error) => findings.failure("home", "supd", format!("{shown}: {error}"), "`supctl ping` makes it"),
    }
}
