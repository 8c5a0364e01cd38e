//! send, attach, trigger: what is said to workers, in PM2's words.

use supd_api::{
    Accepted, AppView, ExecMode, Fault, FaultCode, InputRequest, LogText, TriggerRequest, Triggered,
};

use crate::ctl::Session;
use crate::ctl::commands::talk;
use crate::ctl::output::Failure;

use super::line::Line;
use super::targets::meant;
use super::{act, query};

/// `send`: to an id only, and to a process in fork mode.
pub(super) async fn send(line: &Line, session: &mut Session) -> Result<(), Failure> {
    let [word, words @ ..] = line.words.as_slice() else { return Ok(()) };
    let apps = session.client.apps(&[]).await?;
    let Some((id, app)) = by_id(word, &apps) else {
        let text = format!("Error: Process with ID <{word}> unknown.");
        return Err(Fault::new(FaultCode::NotFound, text).into());
    };
    if app.declaration.exec_mode == ExecMode::Cluster {
        let text = "Error: Cannot send line to processes in cluster mode";
        return Err(Fault::new(FaultCode::Conflict, text).into());
    }
    let text = LogText::Text(words.join(" ") + "\n");
    let request = InputRequest { targets: vec![id.to_string()], text };
    let accepted: Accepted = session.client.post("/v1/workers/input", &request).await?;
    act::faults(&accepted, session).await?;
    query::show_list(line, session).await
}

/// `attach`: to an id only.
pub(super) async fn attach(line: &Line, session: &mut Session) -> Result<(), Failure> {
    let [word, separator @ ..] = line.words.as_slice() else { return Ok(()) };
    if word.parse::<u32>().is_err() {
        let text = "pm_id must be a process number (not a process name)";
        return Err(Fault::new(FaultCode::Invalid, text).into());
    }
    let apps = session.client.apps(&[]).await?;
    let unknown = || Fault::new(FaultCode::NotFound, format!("Error: Process with ID <{word}> unknown."));
    let (id, _) = by_id(word, &apps).ok_or_else(unknown)?;
    talk::attach_to(id, separator.first().cloned(), session).await
}

/// `trigger`: what each process replied, after how many have been told.
pub(super) async fn trigger(line: &Line, session: &mut Session) -> Result<(), Failure> {
    let [word, action, params @ ..] = line.words.as_slice() else { return Ok(()) };
    let apps = session.client.apps(&[]).await?;
    let nobody = "Not any process has received a command (offline or unexistent)";
    let target = meant(word, &apps).map_err(|fault| {
        let id = word.parse::<u32>().is_ok();
        Fault { message: if id { format!("{word} id unknown") } else { nobody.to_owned() }, ..fault }
    })?;
    let (action, params) = (action.clone(), params.first().cloned());
    let request = TriggerRequest { targets: target.targets(), action, params, timeout: None };
    let triggered: Triggered = match session.client.post("/v1/workers/trigger", &request).await {
        Ok(triggered) => triggered,
        Err(fault) if fault.code == FaultCode::NotFound => {
            let (action, name) =
                (&request.action, target.apps(&apps).first().map(|app| &app.declaration.name));
            let message = match name.filter(|_| target.by_id) {
                Some(name) => format!("Action doesn't exist {action} for {name}"),
                None => nobody.to_owned(),
            };
            return Err(Fault { message, ..fault }.into());
        }
        Err(fault) => return Err(fault.into()),
    };
    let told = triggered.workers.len();
    session.output.say(format!("{told} processes have received command {}", request.action))?;
    for one in triggered.workers.iter().filter(|one| one.failure.is_none()) {
        let namespace = by_id(&one.id.to_string(), &apps).map_or("", |(_, app)| &app.declaration.namespace);
        session.output.line(format!("[{}:{}:{namespace}]={}", one.app, one.id, one.reply))?;
    }
    act::faults(&talk::outcomes(triggered), session).await
}

/// The worker of that number, and its app.
fn by_id<'a>(word: &str, apps: &'a [AppView]) -> Option<(u32, &'a AppView)> {
    let id = word.parse().ok()?;
    apps.iter().find(|app| app.workers.iter().any(|worker| worker.id == id)).map(|app| (id, app))
}
