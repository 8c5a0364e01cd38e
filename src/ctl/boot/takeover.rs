//! The unit is started, and with it the running daemon becomes its own: without a restart of the apps where systemd allows
//! it, with one only when that was asked for, and never so that the apps stay away.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde::de::IgnoredAny;
use serde_json::json;
use supd_api::{DaemonView, Fault, FaultCode};
use tokio::time::{Instant, sleep};

use super::place::{Owner, Place};
use super::steps::Steps;
use super::unit::Scope;
use crate::ctl::client::{Client, Dialled, dial};
use crate::ctl::launch;
use crate::ctl::output::Failure;
use crate::processes::unit_of;

/// How long a daemon that was stopped may take to go.
const END_TIME: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(10);
/// How a daemon begins to say why it cannot be taken over.
const REFUSAL: &str = "cannot be taken over: ";

/// Starts the unit.
///
/// # Errors
/// `Failed` with the unit's last lines when no daemon runs under it in the end although `now` allowed everything, or when none
/// ran before either.
pub(crate) async fn take_over(
    place: &Place,
    now: bool,
    client: &Client,
    mut steps: Steps<'_>,
) -> Result<(), Failure> {
    let home = place.home.path().display();
    let before = daemon(client).await?;
    if let Some(daemon) = before.as_ref().filter(|daemon| is_of_unit(daemon, place)) {
        let text = format!(
            "{} starts the daemon of {home} at boot, and has it already: process {}",
            place.unit, daemon.keeper_pid
        );
        return steps.tell("already", &text);
    }
    let started = steps.systemctl(&["start", &place.unit]);
    let after = daemon(client).await?;
    match (&before, &after, started) {
        (Some(before), Some(after), Ok(())) if before.keeper_pid == after.keeper_pid => {
            let text = format!(
                "{} starts the daemon of {home} at boot, and has taken over the running one, process {}: no app was restarted. \
                 Limits and watchdog of the unit count from its next start",
                place.unit, after.keeper_pid
            );
            steps.tell("handed over", &text)
        }
        (_, Some(after), Ok(())) => {
            let text = format!(
                "{} starts the daemon of {home} at boot, and has started it now: process {}",
                place.unit, after.keeper_pid
            );
            steps.tell("started", &text)
        }
        (Some(_), Some(_), Err(_)) if now => restart(place, client, steps).await,
        (Some(_), Some(_), Err(why)) => later(place, why, steps),
        (_, _, Err(why)) => Err(not_up(place, why, &steps)),
        (_, None, Ok(())) => Err(not_up(place, silent(), &steps)),
    }
}

/// The daemon of this home, if one runs.
async fn daemon(client: &Client) -> Result<Option<DaemonView>, Fault> {
    match dial(client.home()).await? {
        Dialled::Absent => Ok(None),
        Dialled::Open(_) => Ok(Some(client.get("/v1/daemon").await?)),
    }
}

fn is_of_unit(daemon: &DaemonView, place: &Place) -> bool {
    unit_of(daemon.keeper_pid)
        .is_some_and(|unit| unit.name == place.unit && unit.user == (place.scope == Scope::User))
}

/// The running daemon stays what it is until the machine is booted; if the unit is any good.
fn later(place: &Place, why: Failure, mut steps: Steps<'_>) -> Result<(), Failure> {
    let unit = &place.unit;
    let lines = steps.systemd().last_lines(unit);
    let refusal = lines.lines().rev().find_map(|line| Some(line.split_once(REFUSAL)?.1));
    let Some(refusal) = refusal else {
        let failure = not_up(place, why, &steps);
        // It would try for ever.
        steps.systemctl(&["stop", unit])?;
        return Err(failure);
    };
    steps.systemctl(&["reset-failed", unit])?;
    steps.output.warning(&format!(
        "the running daemon goes on outside {unit}: {refusal}\n`supctl startup --now` restarts it and its apps under systemd"
    ));
    let text = format!("{unit} starts the daemon of {} from the next boot on", place.home.path().display());
    steps.tell("at next boot", &text)
}

/// Stops the daemon and starts the unit; what ran comes back by the ledger. If it does not, the daemon comes back as it was.
async fn restart(place: &Place, client: &Client, mut steps: Steps<'_>) -> Result<(), Failure> {
    steps.systemctl(&["reset-failed", &place.unit])?;
    client.post::<IgnoredAny>("/v1/daemon/stop", &json!({})).await?;
    let until = Instant::now() + END_TIME;
    while let Dialled::Open(_) = dial(client.home()).await? {
        if Instant::now() > until {
            return Err(
                Fault::new(FaultCode::Failed, "the daemon was told to stop, but still listens").into()
            );
        }
        sleep(LOOK).await;
    }
    let started = steps.systemctl(&["start", &place.unit]);
    let why = match (started, daemon(client).await?) {
        (Ok(()), Some(_)) => {
            let (unit, home) = (&place.unit, place.home.path().display());
            let text =
                format!("{unit} starts the daemon of {home} at boot, and has restarted it and its apps");
            return steps.tell("restarted", &text);
        }
        (Ok(()), None) => silent(),
        (Err(why), _) => why,
    };
    let failure = not_up(place, why, &steps);
    // It may be trying again and again; there must be one daemon only.
    steps.systemctl(&["stop", &place.unit])?;
    bring_back(place)?;
    steps.output.warning("the daemon was started again outside systemd; its apps are back");
    Err(failure)
}

fn silent() -> Failure {
    Fault::new(FaultCode::Unreachable, "it started, but no daemon answers").into()
}

fn not_up(place: &Place, why: Failure, steps: &Steps<'_>) -> Failure {
    let why = match why {
        Failure::Fault(fault) => fault.message,
        other @ (Failure::Told(_)
        | Failure::Output(_)
        | Failure::Interrupted
        | Failure::Differs
        | Failure::Ended(_)) => return other,
    };
    let lines = steps.systemd().last_lines(&place.unit);
    Fault::new(FaultCode::Failed, format!("{} does not come up: {why}\n{lines}", place.unit))
        .hint("the unit stays enabled; `supctl startup` tries again, `supctl unstartup` removes it")
        .into()
}

/// Starts a daemon outside systemd, as its owner.
fn bring_back(place: &Place) -> Result<(), Fault> {
    let program = launch::find()?;
    let Owner { name, directory, .. } = &place.owner;
    let mut command = if place.owner.is_caller() {
        Command::new(&program)
    } else {
        let mut command = Command::new("runuser");
        command.args(["-u", name, "--"]).arg(&program).current_dir("/").env("HOME", directory);
        command
    };
    let ended = command
        .args(["--daemon", "--home"])
        .arg(place.home.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(status.to_string()),
        Err(error) => Err(error.to_string()),
    }
    .map_err(|why| {
        Fault::new(
            FaultCode::Failed,
            format!("the unit does not come up, and {} --daemon neither: {why}", program.display()),
        )
        .hint(format!("see {}", place.home.daemon_log().display()))
    })
}
