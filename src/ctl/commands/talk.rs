//! send, attach, message, trigger: what a person says to a worker, and what it answers.

use std::io::{self, BufRead, Read};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use supd_api::{
    Accepted, Fault, FaultCode, InputRequest, LogText, MessageRequest, TriggerRequest, Triggered,
    WorkerOutcome,
};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::ctl::args::{AttachArgs, MessageArgs, OptionalTargets, SendArgs, TriggerArgs};
use crate::ctl::client::Client;
use crate::ctl::commands::logs;
use crate::ctl::log_args::{Choice, Form, LogArgs};
use crate::ctl::output::Failure;
use crate::ctl::{Session, cells};

/// Until a worker that reads slowly is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// `send`.
pub(crate) async fn send(args: SendArgs, session: &mut Session) -> Result<(), Failure> {
    let SendArgs { target, text } = args;
    let text = LogText::Text(format!("{text}\n"));
    say("/v1/workers/input", &InputRequest { targets: vec![target], text }, session).await
}

/// `message`.
pub(crate) async fn message(args: MessageArgs, session: &mut Session) -> Result<(), Failure> {
    let MessageArgs { target, data, kind, topic } = args;
    let data = serde_json::from_str(&data).unwrap_or(Value::String(data));
    let topic = topic.map_or_else(MessageRequest::default_topic, Value::String);
    let request = MessageRequest { targets: vec![target], kind, topic, data };
    say("/v1/workers/message", &request, session).await
}

/// Without the table that follows what changes something: nothing of it has changed.
async fn say(path: &str, request: &impl Serialize, session: &mut Session) -> Result<(), Failure> {
    let accepted: Accepted = session.client.post(path, request).await?;
    session.output.done("sent to", &accepted)?;
    session.output.troubles(&accepted)
}

/// `trigger`.
pub(crate) async fn trigger(args: TriggerArgs, session: &mut Session) -> Result<(), Failure> {
    let TriggerArgs { target, action, params, timeout } = args;
    let request = TriggerRequest { targets: vec![target], action, params, timeout };
    let triggered: Triggered = session.client.post("/v1/workers/trigger", &request).await?;
    let output = &mut session.output;
    if output.style.json {
        output.json(&triggered)?;
    } else {
        for one in triggered.workers.iter().filter(|one| one.failure.is_none()) {
            output.line(format!("{} {}: {}", one.app, one.id, cells::harmless(&one.reply.to_string())))?;
        }
    }
    output.troubles(&outcomes(triggered))
}

/// Who replied and who did not.
pub(crate) fn outcomes(triggered: Triggered) -> Accepted {
    let outcome = |one: supd_api::Reply| WorkerOutcome { id: one.id, app: one.app, failure: one.failure };
    let workers = triggered.workers.into_iter().map(outcome).collect();
    Accepted { workers, ..Accepted::default() }
}

/// `attach`.
pub(crate) async fn attach(args: AttachArgs, session: &mut Session) -> Result<(), Failure> {
    let workers = session.client.workers(std::slice::from_ref(&args.target)).await?;
    let [worker] = workers.as_slice() else {
        let ids: Vec<String> = workers.iter().map(|worker| worker.id.to_string()).collect();
        let text = format!("`{}` has {} workers", args.target, ids.len());
        return Err(Fault::new(FaultCode::Invalid, text)
            .hint(format!("name one of {}", ids.join(", ")))
            .into());
    };
    attach_to(worker.id, args.separator, session).await
}

/// Shows what a worker writes from now on and gives it what is typed, until nothing more can be.
pub(crate) async fn attach_to(
    worker: u32,
    separator: Option<String>,
    session: &mut Session,
) -> Result<(), Failure> {
    let target = worker.to_string();
    let feeder = Client::new(session.client.home().clone(), None);
    let args = LogArgs {
        of: OptionalTargets { targets: vec![target.clone()] },
        lines: Some(0),
        nostream: false,
        follow: true,
        choice: Choice::default(),
        form: Form { raw: true, format: false, timestamp: None, highlight: None, titles: false },
    };
    let separator = separator.unwrap_or_else(|| "\n".to_owned()).into_bytes();
    tokio::select! {
        shown = logs::logs(&args, session) => shown,
        fed = feed(&feeder, &target, &separator) => fed,
    }
}

/// Gives a worker line by line what comes from our standard input, up to its end.
async fn feed(client: &Client, target: &str, separator: &[u8]) -> Result<(), Failure> {
    let mut lines = typed();
    while let Some(line) = lines.recv().await {
        let text = [&line?[..], separator].concat();
        if text.is_empty() {
            continue;
        }
        let request = InputRequest { targets: vec![target.to_owned()], text: LogText::from(text) };
        let accepted = loop {
            match client.post::<Accepted>("/v1/workers/input", &request).await {
                Err(fault) if fault.code == FaultCode::Limit => sleep(AGAIN).await,
                settled => break settled?,
            }
        };
        if let Some((app, why)) = accepted.workers.into_iter().find_map(|one| Some((one.app, one.failure?))) {
            return Err(Fault::new(FaultCode::Failed, format!("{app} {target}: {why}")).into());
        }
    }
    Ok(())
}

/// What comes from our standard input, without line feeds. Read by a thread that nobody waits for.
fn typed() -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (lines, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let mut line = Vec::new();
            // A longer one is cut there, and the daemon says that it is too long.
            let limit = InputRequest::MAX as u64 + 1;
            let next = match input.by_ref().take(limit).read_until(b'\n', &mut line) {
                Ok(0) => return,
                Ok(_) => {
                    line.pop_if(|last| *last == b'\n');
                    Ok(line)
                }
                Err(error) => Err(error),
            };
            let last = next.is_err();
            // It fails when nobody wants more.
            if lines.blocking_send(next).is_err() || last {
                return;
            }
        }
    });
    receiver
}
