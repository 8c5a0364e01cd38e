//! From facts to reasons, each with a remedy. Pure: what was looked at is in [`Facts`].
//!
//! A reason is certain where the kernel or the daemon has told it, or where it can be seen now. What only the last words of
//! a program suggest is probable.

use serde::Serialize;
use supd_api::{
    AppDeclaration, AppView, Cause, CrashReport, ExecMode, Exit, RestartPolicy, Status, WorkerView,
};

use super::facts::{Defect, Facts, Held, Port};
use super::words;
use crate::ctl::cells;
use crate::ctl::cells::{duration, memory};
use crate::ctl::difference::brief;
use crate::ctl::policy;

/// PM2's default of `max_restarts`.
const PM2_MAX_RESTARTS: u32 = 16;

/// Why something is as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Reason {
    /// For programs; the list is in `packaging/docs/supctl.md`.
    pub(super) kind: &'static str,
    pub(super) text: String,
    /// `false`: probably.
    pub(super) certain: bool,
    /// The line that it was read in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seen: Option<String>,
    pub(super) remedy: String,
}

impl Reason {
    pub(super) fn new(kind: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { kind, text: text.into(), certain: true, seen: None, remedy: remedy.into() }
    }

    /// A line of the program's suggests it.
    pub(super) fn seen(self, line: &str) -> Self {
        Self { seen: Some(line.trim().to_owned()), ..self }
    }

    pub(super) fn probably(self) -> Self {
        Self { certain: false, ..self }
    }
}

/// What explains the latest end, the most telling first; what had changed before it comes last.
pub(crate) fn of_end(facts: &Facts<'_>) -> Vec<Reason> {
    let Some(report) = facts.latest else { return Vec::new() };
    let mut reasons: Vec<Reason> = report.cause.map(|cause| of_cause(cause, report)).into_iter().collect();
    reasons.extend(facts.ports.iter().map(|port| of_port(port, report)));
    if let Exit::NotStarted(why) = &report.exit {
        reasons.extend(of_start(why, report, facts));
    }
    if reasons.is_empty() {
        reasons.extend(words::reasons(report, facts.app));
    }
    if reasons.is_empty() {
        reasons.extend(of_exit(&report.exit, facts.app));
    }
    reasons.extend(of_change(report, facts.app));
    reasons
}

fn of_cause(cause: Cause, report: &CrashReport) -> Reason {
    let text = cause.to_string();
    let peak = report.peak_memory.map(|bytes| format!("; it had at most {}", memory(bytes)));
    let less = || {
        format!(
            "let it use less, or give more to the machine or its control group{}",
            peak.unwrap_or_default()
        )
    };
    match cause {
        Cause::MemoryMax => {
            let had = report.peak_memory.map(|bytes| format!("; its largest process had {}", memory(bytes)));
            let remedy = format!("let it use less, or raise `memory_max`{}", had.unwrap_or_default());
            Reason::new("memory_max", text, remedy)
        }
        Cause::OutOfMemory => Reason::new("out_of_memory", text, less()),
        // Its text says how sure it is.
        Cause::PerhapsOutOfMemory => Reason::new("out_of_memory", text, less()).probably(),
        Cause::HeapFull => {
            let remedy =
                "find what it keeps, or raise the limit: `node_args = \"--max-old-space-size=MEGABYTES\"`";
            Reason::new("heap_full", text, remedy)
        }
        Cause::Client => Reason::new("signal", text, "nothing to be repaired: somebody wanted it"),
        Cause::Stranger => Reason::new(
            "signal",
            text,
            "look for who sends it: a script that deploys, cron, another supervisor",
        ),
    }
}

fn of_port(port: &Port, report: &CrashReport) -> Reason {
    let Port { address, line, declared, held } = port;
    let ours = matches!(&report.exit, Exit::NotStarted(why) if why == line);
    let Some(address) = address else {
        let text = "a port that it wants is taken; its words do not say which";
        let remedy =
            "`ss -ltnp` shows who listens where; set PORT or `listen`, so that supd can tell next time";
        return Reason::new("port_taken", text, remedy).seen(line).probably();
    };
    let wanted = if *declared { "that it is declared to have" } else { "that it wants" };
    let taken = format!("the port {address} {wanted} is taken");
    let (text, remedy) = match held {
        Held::By { pid, command, worker: Some(worker) } => (
            format!("{taken} by worker {worker} (pid {pid}: {command})"),
            "let one of the two have another port; workers of one app share it with `exec_mode = \"cluster\"` or `listen`"
                .to_owned(),
        ),
        Held::By { pid, command, worker: None } => (
            format!("{taken} by pid {pid} ({command}), which is none of supd's"),
            format!("stop that process (`kill {pid}`), or choose another port"),
        ),
        Held::Daemon { app } => {
            let whom = app.as_deref().unwrap_or("one that shares its port among workers");
            (
                format!("{taken} by supd itself, for the app {whom}"),
                "let one of the two have another port".to_owned(),
            )
        }
        Held::Hidden { user } => {
            let whose = user.as_ref().map_or_else(String::new, |user| format!(" of user {user}"));
            (
                format!("{taken} by a process{whose} that you may not look into"),
                "`sudo supctl why` with the same --home, or `sudo ss -ltnp`, names it; stop it, or choose another port"
                    .to_owned(),
            )
        }
        Held::Nobody => (
            format!("the port {address} {wanted} was taken; nobody has it now"),
            "nothing, it will get it with its next start; if it comes again, look for what else starts with it"
                .to_owned(),
        ),
    };
    let reason = Reason::new("port_taken", text, remedy).seen(line);
    // Its word and what can be seen now agree, or it is the daemon's own word.
    let agree = *held != Held::Nobody && !declared;
    if ours || agree { reason } else { reason.probably() }
}

/// The daemon's word why there was no process, or none that got ready, and what is wrong with the files now.
fn of_start(why: &str, report: &CrashReport, facts: &Facts<'_>) -> Vec<Reason> {
    if !facts.ports.is_empty() {
        return Vec::new();
    }
    let name = &facts.app.declaration.name;
    if why.starts_with("was not ready") || why.starts_with("failed its check") {
        return vec![of_readiness(why, report, facts.app)];
    }
    let found: Vec<Reason> = facts.files.iter().map(of_defect).collect();
    if !found.is_empty() {
        return found;
    }
    let again = format!("then `supctl restart {name}`");
    let (kind, remedy) = match why {
        _ if why.contains("is not in its PATH") => (
            "program_missing",
            format!("install it, or give its absolute path; `supctl env {name}` shows its PATH; {again}"),
        ),
        _ if why.contains("does not exist") || why.contains("No such file") => {
            ("program_missing", format!("it is there now, as far as you may see: `supctl restart {name}`"))
        }
        _ if why.contains("cannot become user") => {
            ("permission", "run supd as root, or leave `uid` and `gid` out".to_owned())
        }
        _ if why.contains("ermission") => {
            ("permission", format!("let its user execute it, and enter every directory above it; {again}"))
        }
        _ if why.contains("Exec format") => (
            "not_executable",
            format!(
                "it is no program of this machine: build it for this one, or begin it with `#!`; {again}"
            ),
        ),
        _ if why.contains("there is no user") || why.contains("there is no group") => {
            ("permission", format!("create it, or name another one in `uid` or `gid`; {again}"))
        }
        _ => ("not_started", format!("see `supctl daemon logs`; {again}")),
    };
    vec![Reason::new(kind, why, remedy)]
}

fn of_defect(defect: &Defect) -> Reason {
    match defect {
        Defect::NoDirectory(path) => Reason::new(
            "directory_missing",
            format!("its working directory {} does not exist", path.display()),
            "create it, or correct `cwd`",
        ),
        Defect::Missing(path) => Reason::new(
            "program_missing",
            format!("{} does not exist", path.display()),
            "put it there, or correct `script` or `interpreter`",
        ),
        Defect::NotExecutable(path) => Reason::new(
            "not_executable",
            format!("{} may not be executed", path.display()),
            format!("`chmod +x {}`, or name its `interpreter`", path.display()),
        ),
        Defect::NoInterpreter { file, interpreter } => Reason::new(
            "interpreter_missing",
            format!(
                "the first line of {} names {}, which does not exist",
                file.display(),
                interpreter.display()
            ),
            format!("install {}, or name another `interpreter`", interpreter.display()),
        ),
    }
}

fn of_readiness(why: &str, report: &CrashReport, app: &AppView) -> Reason {
    let declared = &app.declaration;
    let asked = declared.ready.probe.is_some() || declared.ready.startup.is_some();
    let answer = report.answer.as_deref();
    let text = match answer {
        Some(answer) => format!("it {why}; the last answer of its probe: {answer}"),
        None => format!("it {why}"),
    };
    let heard = answer.unwrap_or(why);
    let limit = duration(declared.ready.timeout);
    let remedy = if !asked {
        "let it tell that it is ready (`process.send('ready')`, or READY=1), or leave `wait_ready` out"
            .to_owned()
    } else if heard.contains("refused") {
        format!("let it listen there within {limit} (`ready_timeout`), or correct the address of the probe")
    } else if words::has_status(heard) {
        format!(
            "the app itself answers so: see `supctl logs {}`, or correct the path of the probe",
            declared.name
        )
    } else {
        format!("let it pass `{}` within {limit} (`ready_timeout`)", policy::readiness(declared))
    };
    Reason::new("not_ready", text, remedy)
}

/// What the bare end tells, where nothing else does.
fn of_exit(exit: &Exit, app: &AppView) -> Option<Reason> {
    match exit {
        Exit::Code(0) => Some(Reason::new(
            "ended",
            "it ended by itself, without an error",
            "if it has done its work, declare `autorestart = false`; a server must stay in the foreground",
        )),
        Exit::Code(126) => Some(
            Reason::new("not_executable", "a shell may not execute what it was told to", "see its last words")
                .probably(),
        ),
        Exit::Code(127) => Some(
            Reason::new(
                "program_missing",
                "a shell does not find a command",
                format!("see its last words; `supctl env {}` shows its PATH", app.declaration.name),
            )
            .probably(),
        ),
        Exit::Code(code @ 129..=159) => Some(
            Reason::new(
                "signal",
                format!("signal {} ended a command that its main process, a shell, waited for", code - 128),
                "see its last words; begin the last command of a script with `exec`, then supd sees the signal itself",
            )
            .probably(),
        ),
        // SIGILL, SIGBUS, SIGFPE, SIGSEGV.
        Exit::Signal(4 | 7 | 8 | 11) => Some(Reason::new(
            "defect",
            "the processor refused what it did: a defect in compiled code",
            "look at native modules and libraries that are new; `coredumpctl info` may know more",
        )),
        Exit::TimedOut(limit) => Some(Reason::new(
            "timed_out",
            format!("it took longer than it may, and was stopped after {}", cells::span(*limit)),
            format!("see `supctl logs {}` for what it was at, or let `job.timeout` be longer", app.declaration.name),
        )),
        Exit::Code(_) | Exit::Signal(_) | Exit::NotStarted(_) | Exit::Unknown => None,
    }
}

/// What the version that ended had changed. Not said to be the reason.
fn of_change(report: &CrashReport, app: &AppView) -> Option<Reason> {
    let difference = report.changed.as_ref().filter(|difference| !difference.changes.is_empty())?;
    let (since, own) = (difference.since, report.revision);
    let changes: Vec<String> = difference.changes.iter().map(brief).collect();
    let text = format!("revision {own} has changed since revision {since}: {}", changes.join("; "));
    let name = &app.declaration.name;
    let remedy = match app.previous_revision {
        _ if app.revision == since => {
            format!("revision {since} is back; correct the change and apply it again")
        }
        Some(previous) if previous == since && app.revision == own => {
            format!("`supctl rollback {name}` brings revision {since} back")
        }
        Some(_) | None => "compare with what runs now: `supctl diff`".to_owned(),
    };
    Some(Reason::new("changed", text, remedy))
}

/// Whether it has to do something to count as up.
fn proves(app: &AppDeclaration) -> bool {
    let ready = &app.ready;
    let asked = ready.wait_ready || ready.probe.is_some() || ready.startup.is_some();
    asked || app.exec_mode == ExecMode::Cluster
}

/// After so many short lives in a row it is given up (`RestartPolicy` tells the rules); `None`: never.
fn limit(policy: &RestartPolicy) -> Option<u32> {
    let RestartPolicy { min_uptime, max_restarts, restart_delay, exp_backoff_restart_delay, .. } = policy;
    let by_pm2 = min_uptime.is_some() || restart_delay.is_some();
    let default = (by_pm2 && exp_backoff_restart_delay.is_none()).then_some(PM2_MAX_RESTARTS);
    max_restarts.or(default)
}

/// What explains the state of a worker, besides its last end; `None`: all is well.
pub(crate) fn of_state(worker: &WorkerView, app: &AppView) -> Option<Reason> {
    let (name, policy) = (&worker.app, &app.declaration.restart);
    let short = worker.unstable_restarts;
    if worker.reason.starts_with("stopped by a signal") {
        let text = "somebody has sent it SIGSTOP: it exists and does nothing";
        return Some(Reason::new("held", text, format!("`supctl signal CONT {}`", worker.id)));
    }
    match worker.status {
        Status::Waiting => {
            let end = limit(policy).map_or_else(
                || "it is never given up".to_owned(),
                |limit| format!("after {limit} it is given up"),
            );
            let text = format!("{short} short lives in a row so far; {end}");
            Some(Reason::new("back_off", text, format!("`supctl restart {name}` does not wait")))
        }
        Status::Errored => Some(Reason::new(
            "given_up",
            format!("after {short} short lives in a row it is not started again (`max_restarts`)"),
            format!("remove the cause, then `supctl restart {name}`"),
        )),
        Status::Stopped if worker.reason == "stopped as asked" => {
            Some(Reason::new("stopped", "somebody has stopped it", format!("`supctl start {name}`")))
        }
        Status::Stopped if worker.last_exit.is_none() => Some(Reason::new(
            "not_started_yet",
            "it was registered and never started (`autostart = false`)",
            format!("`supctl start {name}`"),
        )),
        Status::Stopped => {
            let field = if policy.autorestart { "stop_exit_codes" } else { "autorestart = false" };
            let text = format!("its end was final, as declared (`{field}`)");
            Some(Reason::new("ended", text, format!("`supctl start {name}` starts it again")))
        }
        Status::Launching if proves(&app.declaration) => {
            let text = format!("it counts as up when this is so: {}", policy::readiness(&app.declaration));
            Some(Reason::new("not_ready", text, format!("`supctl logs {name}` shows what it does meanwhile")))
        }
        Status::Online if worker.reason.starts_with("not ready") => Some(Reason::new(
            "not_ready",
            "it was ready once, and its readiness probe fails now; it is not replaced for that (`live` would)",
            format!("see `supctl logs {name}`"),
        )),
        Status::Online | Status::Stopping | Status::Launching | Status::Scheduled | Status::Idle => None,
    }
}
