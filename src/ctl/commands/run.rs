//! run: a job runs once, now, and its output is shown until it has ended.

use std::time::Duration;

use serde_json::json;
use supd_api::{Accepted, Exit, Fault, FaultCode, LogLine, RunRequest, WorkerOutcome};
use tokio::time::timeout;

use crate::ctl::Session;
use crate::ctl::args::RunArgs;
use crate::ctl::client::{Client, JsonLines, query};
use crate::ctl::follow::Text;
use crate::ctl::log_args::Form;
use crate::ctl::logs::Printer;
use crate::ctl::order::interrupted;
use crate::ctl::output::{Failure, Output};

/// As timeout(1) says that time was up.
const TIMED_OUT: u8 = 124;
/// As a shell says which signal it was.
const SIGNALLED: i32 = 128;
/// The last lines come by another connection than the answer: so long nothing more may come until they are taken for complete.
const GRACE: Duration = Duration::from_millis(250);

/// `run`: ends as the job does.
pub(crate) async fn run(args: RunArgs, session: &mut Session) -> Result<(), Failure> {
    let RunArgs { target, no_wait } = args;
    let request = RunRequest { targets: vec![target.clone()], no_wait };
    let Session { client, output } = session;
    if no_wait {
        let accepted: Accepted = client.post("/v1/workers/run", &json!(request)).await?;
        if output.style.json {
            return Ok(output.json(&accepted)?);
        }
        return Ok(output.say(format!("asked for a run of {target}; `supctl events` shows how it goes"))?);
    }
    let Some(accepted) = attend(&request, client, output).await? else {
        output
            .note(&format!("interrupted: the run of {target} goes on; `supctl stop {target}` would end it"));
        return Err(Failure::Interrupted);
    };
    if output.style.json {
        output.json(&accepted)?;
    }
    let mut outcome = Ok(());
    for one in &accepted.workers {
        outcome = outcome.and(told(one, output));
    }
    outcome
}

/// Asks for the run and shows what the job writes; `None`: interrupted before its end.
async fn attend(
    request: &RunRequest,
    client: &Client,
    output: &mut Output,
) -> Result<Option<Accepted>, Failure> {
    // They are a convenience: without them the job runs all the same.
    let path = format!("/v1/logs{}&follow=true&lines=0", query(&request.targets));
    let mut lines = if output.speaks() { client.stream(&path).await.ok() } else { None };
    let form = Form { raw: true, format: false, timestamp: None, highlight: None, titles: false };
    let mut printer = Printer::new(&form, output.style);
    let answer = client.post::<Accepted>("/v1/workers/run", request);
    let interrupt = interrupted();
    tokio::pin!(answer, interrupt);
    let accepted = loop {
        tokio::select! {
            biased;
            () = &mut interrupt => return Ok(None),
            Some(line) = next(&mut lines) => show(&line, &mut printer, output)?,
            answer = &mut answer => break answer?,
        }
    };
    while let Ok(Some(line)) = timeout(GRACE, next(&mut lines)).await {
        show(&line, &mut printer, output)?;
    }
    Ok(Some(accepted))
}

/// The next line that makes sense; `None` once there are no more.
async fn next(stream: &mut Option<JsonLines>) -> Option<LogLine> {
    loop {
        match stream.as_mut()?.next().await {
            Ok(Some(line)) => {
                if let Ok(line) = serde_json::from_slice(&line) {
                    return Some(line);
                }
            }
            Ok(None) | Err(_) => *stream = None,
        }
    }
}

fn show(line: &LogLine, printer: &mut Printer, output: &mut Output) -> Result<(), Failure> {
    let is_error = matches!(line, LogLine::Line { stream: supd_api::Stream::Err, .. });
    match printer.print(line) {
        Text::Out(bytes) if is_error => output.error_bytes(&bytes),
        Text::Out(bytes) => output.bytes(&bytes)?,
        Text::Err(bytes) => output.error_bytes(&bytes),
        Text::Aside(text) => output.note(&text),
    }
    Ok(output.flush()?)
}

/// Says how a run ended, and ends as it did.
fn told(outcome: &WorkerOutcome, output: &mut Output) -> Result<(), Failure> {
    let WorkerOutcome { app, failure, exit, .. } = outcome;
    let Some(why) = failure else {
        output.note(&format!("{app} has completed"));
        return Ok(());
    };
    let Some(exit) = exit else {
        let fault = Fault::new(FaultCode::Failed, format!("{app}: {why}"));
        return Err(fault.hint(format!("`supctl describe {app}` shows what it does now")).into());
    };
    output.error(&format!("{app}: {why}"));
    output.hint(&format!("`supctl why {app}` explains, `supctl logs {app}` shows what it wrote"));
    Err(Failure::Ended(match exit {
        Exit::Code(code) => u8::try_from(*code).unwrap_or(1),
        Exit::Signal(signal) => u8::try_from(SIGNALLED + signal).unwrap_or(1),
        Exit::TimedOut(_) => TIMED_OUT,
        Exit::NotStarted(_) | Exit::Unknown => FaultCode::Failed.exit_code(),
    }))
}
