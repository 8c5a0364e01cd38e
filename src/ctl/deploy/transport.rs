//! How does a script get to its host, and how did it end?

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::{Command, ExitStatus, Stdio};

use supd_api::{Fault, FaultCode, Secret};

use super::plan::{Plan, quoted};
use super::target::{Target, is_here};

/// Reads all of the script before it begins, so that no command in it takes the rest for its input.
const READ_FIRST: &str = "eval \"$(cat)\"";
/// ssh's own failures (ssh(1)).
const SSH_FAILED: i32 = 255;

/// What came of it.
pub(super) struct Ran {
    /// What it printed, if it was to be caught.
    pub(super) output: Option<String>,
}

/// Carries the plan out on a host. `catch`: its output is wanted as a text.
///
/// # Errors
/// Which host, which step, and what to do.
pub(super) fn run(plan: &Plan, target: &Target, host: &str, catch: bool) -> Result<Ran, Fault> {
    let script = plan.script();
    let by_argument = target.needs_tty && !is_here(host);
    let mut command = command(target, host, by_argument.then_some(script.as_str()));
    command.stdin(if by_argument { Stdio::inherit() } else { Stdio::piped() });
    command.stdout(if catch { Stdio::piped() } else { Stdio::inherit() });
    let program = command.get_program().to_string_lossy().into_owned();
    let ended = command.spawn().and_then(|mut child| {
        if let Some(mut input) = child.stdin.take() {
            // Whoever does not read it to its end says why by its code.
            let _ = input.write_all(script.as_bytes());
        }
        child.wait_with_output()
    });
    let ended = ended.map_err(|error| not_started(&program, &error))?;
    if ended.status.success() {
        let output = catch.then(|| String::from_utf8_lossy(&ended.stdout).into_owned());
        return Ok(Ran { output });
    }
    Err(failed(plan, target, host, ended.status))
}

/// A hook of this side.
///
/// # Errors
/// It could not be run, or failed.
pub(super) fn here(hook: &str, env: &BTreeMap<String, Secret>) -> Result<(), Fault> {
    let mut command = Command::new("sh");
    command.args(["-c", hook]).envs(env.iter().map(|(name, value)| (name, value.reveal())));
    let status = command.status().map_err(|error| not_started("sh", &error))?;
    if status.success() {
        return Ok(());
    }
    Err(Fault::new(FaultCode::Failed, format!("this machine: pre-deploy-local failed: {status}"))
        .hint("nothing was done on any host"))
}

fn command(target: &Target, host: &str, script: Option<&str>) -> Command {
    if is_here(host) {
        let mut command = Command::new("sh");
        command.args(["-c", READ_FIRST]);
        return command;
    }
    let mut command = Command::new("ssh");
    command.args(&target.ssh);
    if script.is_some() {
        command.arg("-tt");
    }
    let destination = match &target.user {
        Some(user) => format!("{user}@{host}"),
        None => host.to_owned(),
    };
    // The user's shell there need not be a POSIX one.
    let there = format!("exec sh -c {}", quoted(script.unwrap_or(READ_FIRST)));
    command.args(["--", &destination, &there]);
    command
}

fn not_started(program: &str, error: &io::Error) -> Fault {
    Fault::new(FaultCode::Failed, format!("`{program}` cannot be run: {error}")).hint("install it")
}

fn failed(plan: &Plan, target: &Target, host: &str, status: ExitStatus) -> Fault {
    if status.code() == Some(SSH_FAILED) && !is_here(host) {
        let user = target.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        return Fault::new(FaultCode::Failed, format!("{host}: cannot connect by ssh")).hint(
            format!("`ssh {} {user}{host} true` must work", target.ssh.join(" ")).replace("ssh  ", "ssh "),
        );
    }
    match status.code().and_then(|code| plan.failed(code)) {
        Some(step) => Fault::new(FaultCode::Failed, format!("{host}: {}: {} failed", plan.title, step.name))
            .hint(step.remedy),
        None => Fault::new(FaultCode::Failed, format!("{host}: {}: {status}", plan.title)),
    }
}
