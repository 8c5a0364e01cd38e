//! upgrade: another program takes the daemon's place, and the apps do not notice.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use supd_api::{DaemonView, Fault, FaultCode, UpgradeBegun, UpgradeRequest, UpgradeView, WorkerView};
use tokio::time::{Instant, sleep};

use crate::ctl::Session;
use crate::ctl::args::UpgradeArgs;
use crate::ctl::output::Failure;

/// The daemon itself goes back earlier when the new program does not come up.
const OUTCOME_TIME: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// `upgrade`.
pub(crate) async fn upgrade(args: &UpgradeArgs, session: &mut Session) -> Result<(), Failure> {
    // A daemon that does not run needs no upgrade.
    session.client.launch_no_more();
    let binary = match &args.binary {
        Some(binary) => absolute(binary)?,
        None => beside_us()?,
    };
    let before = session.client.workers(&[]).await?;
    let begun: UpgradeBegun = session.client.post("/v1/daemon/upgrade", &UpgradeRequest { binary }).await?;
    let outcome = outcome(&begun, session).await?;
    if let Some(why) = &outcome.failure {
        let text = format!("no upgrade to {}: {why}", outcome.to);
        let hint =
            format!("{} goes on, and no app has noticed; see also the log of the daemon", outcome.from);
        return Err(Fault::new(FaultCode::Failed, text).hint(hint).into());
    }
    if session.output.style.json {
        return Ok(session.output.json(&outcome)?);
    }
    let after = session.client.workers(&[]).await?;
    let kept = before.iter().filter(|worker| is_kept(worker, &after)).count();
    let workers = if kept == 1 { "worker" } else { "workers" };
    Ok(session.output.say(format!("upgraded {} -> {}; {kept} {workers} kept", outcome.from, outcome.to))?)
}

/// Whether it is still the same process.
fn is_kept(worker: &WorkerView, after: &[WorkerView]) -> bool {
    worker.pid.is_some() && after.iter().any(|other| (other.id, other.pid) == (worker.id, worker.pid))
}

/// Asks until a supervisor answers that knows what came of it. Between two of them connections wait or break.
async fn outcome(begun: &UpgradeBegun, session: &Session) -> Result<UpgradeView, Fault> {
    let until = Instant::now() + OUTCOME_TIME;
    loop {
        let told = match session.client.get::<DaemonView>("/v1/daemon").await {
            Ok(daemon) => daemon.last_upgrade.filter(|upgrade| upgrade.attempt >= begun.attempt),
            Err(fault) if fault.code == FaultCode::Unreachable => None,
            Err(fault) => return Err(fault),
        };
        if let Some(upgrade) = told {
            return Ok(upgrade);
        }
        if Instant::now() > until {
            let text =
                format!("what came of the upgrade to {} is not known after {OUTCOME_TIME:?}", begun.to);
            return Err(Fault::new(FaultCode::Unreachable, text).hint("see the log of the daemon"));
        }
        sleep(LOOK_AGAIN).await;
    }
}

fn absolute(binary: &Path) -> Result<PathBuf, Fault> {
    std::path::absolute(binary)
        .map_err(|error| Fault::new(FaultCode::Invalid, format!("{}: {error}", binary.display())))
}

/// The `supd` that was installed together with this program.
fn beside_us() -> Result<PathBuf, Fault> {
    let beside = env::current_exe().map(|us| us.with_file_name("supd"));
    beside.map_err(|error| Fault::new(FaultCode::NotFound, format!("no supd beside supctl: {error}")))
}
