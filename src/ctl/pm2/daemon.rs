//! kill, update, flush, reloadLogs, sendSignal: the daemon itself, and files and signals.

use serde_json::json;
use supd_api::{Accepted, AppView, Fault, FaultCode, SignalRequest, TargetRequest};

use crate::ctl::Session;
use crate::ctl::args::UpgradeArgs;
use crate::ctl::client::{Dialled, dial};
use crate::ctl::commands::{daemon, upgrade};
use crate::ctl::output::Failure;

use super::line::Line;
use super::targets::meant;
use super::{act, query};

/// `kill`: what runs is stopped and forgotten, as with PM2; `resurrect` brings back what was saved.
pub(super) async fn kill(session: &mut Session) -> Result<(), Failure> {
    session.client.launch_no_more();
    if let Dialled::Open(_) = dial(session.client.home()).await? {
        if session.client.workers(&[]).await?.is_empty() {
            session.output.warn("No process found");
        } else {
            let targets = vec!["all".to_owned()];
            let accepted: Accepted =
                session.client.post("/v1/workers/delete", &TargetRequest { targets }).await?;
            act::faults(&accepted, session).await?;
        }
    }
    session.output.announce("[v] All Applications Stopped")?;
    let accepted = daemon::stop(session).await?;
    act::faults(&accepted, session).await?;
    Ok(session.output.announce("[v] PM2 Daemon Stopped")?)
}

/// `update`: the installed supd takes over from the running one; apps do not notice.
pub(super) async fn update(session: &mut Session) -> Result<(), Failure> {
    if let Dialled::Open(_) = dial(session.client.home()).await? {
        upgrade::upgrade(&UpgradeArgs { binary: None }, session).await?;
    }
    Ok(session.output.say(">>>>>>>>>> PM2 updated")?)
}

/// `flush`.
pub(super) async fn flush(line: &Line, session: &mut Session) -> Result<(), Failure> {
    let apps: Vec<AppView> = session.client.apps(&[]).await?;
    let mut targets = Vec::new();
    let words = if line.words.is_empty() { vec!["all".to_owned()] } else { line.words.clone() };
    for word in words {
        match meant(&word, &apps) {
            Ok(found) => targets.extend(found.targets()),
            Err(_) if word == "all" => {}
            Err(fault) => return Err(fault.into()),
        }
    }
    if !targets.is_empty() {
        let workers = session.client.workers(&targets).await?;
        for worker in workers {
            session.output.announce("Flushing:")?;
            for file in worker.out_file.iter().chain(&worker.error_file) {
                session.output.announce(&file.display().to_string())?;
            }
        }
        let _: Accepted = session.client.post("/v1/logs/flush", &json!({ "targets": targets })).await?;
    }
    Ok(session.output.announce("Logs flushed")?)
}

/// `reloadLogs`: the daemon opens its files anew, as after SIGUSR2.
pub(super) async fn reload_logs(session: &mut Session) -> Result<(), Failure> {
    session.output.say("Reloading all logs...")?;
    session.client.post::<Accepted>("/v1/logs/reopen", &json!({})).await?;
    Ok(session.output.say("All logs reloaded")?)
}

/// `sendSignal`.
pub(super) async fn send_signal(line: &Line, session: &mut Session) -> Result<(), Failure> {
    let [signal, word, ..] = line.words.as_slice() else { return Ok(()) };
    let apps = session.client.apps(&[]).await?;
    let target = meant(word, &apps)?;
    let kind = if target.by_id { "id" } else { "name" };
    session.output.announce(&format!("Sending signal to process {kind} {word}"))?;
    let request = SignalRequest { targets: target.targets(), signal: signal.clone() };
    let accepted: Accepted = match session.client.post("/v1/workers/signal", &request).await {
        Ok(accepted) => accepted,
        Err(fault) if fault.code == FaultCode::Invalid => {
            return Err(Fault { message: format!("Unknown signal: {signal}"), ..fault }.into());
        }
        Err(fault) => return Err(fault.into()),
    };
    act::faults(&accepted, session).await?;
    session.output.say(format!("successfully sent signal {signal} to process {kind} {word}"))?;
    query::show_list(line, session).await
}
