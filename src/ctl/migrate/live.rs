//! How are apps moved while they run? One after the other: what does not come up here goes on there.

use std::time::Duration;

use serde_json::json;
use supd_api::{Accepted, AppDeclaration, Fault, FaultCode, StartApps, Status, TargetRequest};

use super::plan::{Plan, Planned, Way};
use super::source::Pm2;
use crate::ctl::Session;
use crate::ctl::client::Client;
use crate::ctl::output::Failure;

/// Without a probe, or a word of its own, an app proves that it works by living so long. What cannot have its port ends sooner.
const PROOF: Duration = Duration::from_secs(2);

/// What came of an app.
#[derive(Debug)]
pub(crate) struct Moved {
    name: String,
    /// `None`: it runs here.
    failure: Option<String>,
}

/// Moves all apps of the plan that are declared.
pub(crate) async fn all(
    plan: &Plan,
    declared: &[AppDeclaration],
    pm2: &Pm2,
    session: &mut Session,
) -> Result<Vec<Moved>, Failure> {
    let present = session.client.apps(&[]).await?;
    let mut moved = Vec::new();
    for planned in &plan.apps {
        let name = &planned.app.name;
        let declaration = declared.iter().find(|app| app.name.as_str() == name);
        let known = present.iter().any(|app| app.declaration.name.as_str() == name);
        let done = match declaration {
            None => Err("it is not in the file: it stays with PM2".to_owned()),
            Some(_) if known => {
                Err(format!("supd has it already (`supctl delete {name}` forgets it): nothing done"))
            }
            Some(declaration) => one(planned, declaration.clone(), pm2, &session.client).await,
        };
        let output = &mut session.output;
        match &done {
            Ok(()) => output.say(format!("moved {name}"))?,
            Err(why) => output.error(&format!("{name}: {why}")),
        }
        output.flush()?;
        moved.push(Moved { name: name.clone(), failure: done.err() });
    }
    Ok(moved)
}

/// Moves one; whatever fails, it runs in one place in the end, or the text says that it does not.
async fn one(planned: &Planned, app: AppDeclaration, pm2: &Pm2, client: &Client) -> Result<(), String> {
    let ids: Vec<String> = planned.app.ids.iter().map(u64::to_string).collect();
    let ordered = |verb: &'static str| -> Vec<&str> {
        std::iter::once(verb).chain(ids.iter().map(String::as_str)).collect()
    };
    let name = app.name.to_string();
    match &planned.way {
        Way::Stopped => match start(app, client).await {
            Ok(()) => Ok(()),
            Err(why) => Err(format!("{why}; {}", withdraw(&name, client).await)),
        },
        Way::Beside => {
            if let Err(why) = start(app, client).await {
                return Err(format!("{why}; {}; PM2's goes on", withdraw(&name, client).await));
            }
            match pm2.run(&ordered("stop")) {
                Ok(_) => Ok(()),
                Err(fault) => {
                    let withdrawn = withdraw(&name, client).await;
                    Err(format!("PM2 does not stop its own: {}; {withdrawn}", fault.message))
                }
            }
        }
        Way::StopFirst(_) => {
            pm2.run(&ordered("stop"))
                .map_err(|fault| format!("PM2 does not stop its own: {}", fault.message))?;
            let Err(why) = start(app, client).await else { return Ok(()) };
            let withdrawn = withdraw(&name, client).await;
            match pm2.run(&ordered("restart")) {
                Ok(_) => Err(format!("{why}; {withdrawn}; PM2 has started its own again")),
                Err(fault) => Err(format!("{why}; {withdrawn}; it runs NOWHERE: {}", fault.message)),
            }
        }
    }
}

/// Starts an app and waits for its proof.
async fn start(app: AppDeclaration, client: &Client) -> Result<(), String> {
    let name = app.name.to_string();
    let up = app.autostart;
    let request = StartApps { apps: vec![app], reload: false, no_wait: false, timeout: None };
    let accepted: Accepted = client.post("/v1/apps", &request).await.map_err(|fault| fault.message)?;
    if let Some(why) = accepted.workers.into_iter().find_map(|worker| worker.failure) {
        return Err(why);
    }
    if up {
        tokio::time::sleep(PROOF).await;
        let workers = client.workers(std::slice::from_ref(&name)).await.map_err(|fault| fault.message)?;
        let unfit = |worker: &&supd_api::WorkerView| worker.status != Status::Online || worker.restarts > 0;
        if let Some(worker) = workers.iter().find(unfit) {
            let last = worker.last_exit.as_ref().map(|exit| exit.text.clone());
            return Err(format!("it does not stay up here: {}", last.unwrap_or(worker.reason.clone())));
        }
    }
    Ok(())
}

/// Forgets an app that did not come up, and says so.
async fn withdraw(name: &str, client: &Client) -> String {
    let request = TargetRequest { targets: vec![name.to_owned()] };
    match client.post::<Accepted>("/v1/workers/delete", &request).await {
        Ok(_) => "deleted here".to_owned(),
        // Refused before there was anything.
        Err(fault) if fault.code == FaultCode::NotFound => "nothing is left here".to_owned(),
        Err(fault) => format!("it could not be deleted here: {}", fault.message),
    }
}

/// Tells the outcome, and what is left to do with PM2.
pub(crate) fn end(moved: &[Moved], save: bool, pm2: &Pm2, session: &mut Session) -> Result<(), Failure> {
    let output = &mut session.output;
    let names = |failed: bool| -> Vec<&str> {
        moved
            .iter()
            .filter(|moved| moved.failure.is_some() == failed)
            .map(|moved| moved.name.as_str())
            .collect()
    };
    let (done, failed) = (names(false), names(true));
    let saved = match save && !done.is_empty() {
        true => pm2.run(&["save"]).map(|_| true)?,
        false => false,
    };
    if output.style.json {
        let failures = moved
            .iter()
            .filter_map(|moved| Some(json!({ "name": moved.name, "why": moved.failure.as_ref()? })));
        output.json(&json!({ "moved": done, "failed": failures.collect::<Vec<_>>(), "saved": saved }))?;
    }
    if !done.is_empty() {
        output.say(format!(
            "{} of {} apps run here; in PM2's list they are stopped",
            done.len(),
            moved.len()
        ))?;
        if !saved {
            output.say("`pm2 save` keeps them stopped there: without it PM2 starts them again at the next boot, beside ours")?;
        }
        if failed.is_empty() {
            output.say("`pm2 unstartup` disables PM2's unit, `pm2 kill` ends PM2; `supctl startup` starts supd at boot")?;
        }
        output.say("the way back: `supctl delete NAME`, then `pm2 restart NAME`")?;
    }
    output.flush()?;
    if failed.is_empty() {
        return Ok(());
    }
    let fault = Fault::new(FaultCode::Failed, format!("not moved: {}", failed.join(", ")));
    output.error(&fault.message);
    Err(Failure::Told(fault.code))
}
