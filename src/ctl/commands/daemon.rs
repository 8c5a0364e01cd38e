//! ping, kill, version: the daemon itself.

use std::time::Duration;

use serde::de::IgnoredAny;
use serde_json::json;
use supd_api::{Accepted, DaemonView, Fault, FaultCode};
use tokio::time::{sleep, timeout};

use crate::ctl::client::{Dialled, dial};
use crate::ctl::output::Failure;
use crate::ctl::{Session, cells};

/// Of this program.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The daemon answers only when all workers are gone; what it has left to do then is short.
const END_TIME: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(10);

/// `ping`.
pub(crate) async fn ping(session: &mut Session) -> Result<(), Failure> {
    let daemon: DaemonView = session.client.get("/v1/daemon").await?;
    if session.output.style.json {
        return Ok(session.output.json(&daemon)?);
    }
    Ok(session.output.line(format!(
        "pong: supd {}, process {}, up {}, apps {}, workers {}",
        daemon.version,
        daemon.keeper_pid,
        cells::span(daemon.uptime),
        daemon.apps,
        daemon.workers
    ))?)
}

/// `kill`. Where no daemon runs there is nothing to do, which is what was wanted.
pub(crate) async fn kill(session: &mut Session) -> Result<(), Failure> {
    let accepted = stop(session).await?;
    session.output.done("stopped", &accepted)?;
    let home = session.client.home().path().display().to_string();
    session.output.say(format!("no daemon runs in {home} now"))?;
    session.output.troubles(&accepted)
}

/// Ends the daemon; what came of its workers. When this returns it has gone.
pub(crate) async fn stop(session: &mut Session) -> Result<Accepted, Failure> {
    let home = session.client.home().clone();
    let accepted = match dial(&home).await? {
        Dialled::Absent => Accepted::default(),
        Dialled::Open(probe) => {
            drop(probe);
            // Within a limit, which stopping has not: a daemon whose supervisor does not come up never answers.
            session.client.get::<IgnoredAny>("/v1/daemon").await?;
            session.client.post("/v1/daemon/stop", &json!({})).await?
        }
    };
    let gone = async {
        while let Dialled::Open(_) = dial(&home).await? {
            sleep(LOOK).await;
        }
        Ok::<(), Fault>(())
    };
    match timeout(END_TIME, gone).await {
        Ok(gone) => {
            gone?;
            Ok(accepted)
        }
        Err(_) => {
            let limit = END_TIME.as_secs();
            Err(Fault::new(FaultCode::Failed, format!("the daemon still listens after {limit} s"))
                .hint(format!("see {}", home.daemon_log().display()))
                .into())
        }
    }
}

/// `version`.
pub(crate) async fn version(session: &mut Session) -> Result<(), Failure> {
    let running = match dial(session.client.home()).await? {
        Dialled::Absent => None,
        Dialled::Open(_) => Some(session.client.get::<DaemonView>("/v1/daemon").await?),
    };
    let output = &mut session.output;
    if output.style.json {
        let supd = running.as_ref().map(|daemon| &daemon.version);
        return Ok(output.json(&json!({ "supctl": VERSION, "supd": supd }))?);
    }
    output.line(format!("supctl {VERSION}"))?;
    match running {
        None => output.line("supd is not running")?,
        Some(daemon) => {
            output.line(format!("supd {} (running, process {})", daemon.version, daemon.keeper_pid))?;
            if daemon.version != VERSION {
                output.flush()?;
                output.hint("the daemon is of another version: `supctl upgrade` moves it to this one");
            }
        }
    }
    Ok(())
}
