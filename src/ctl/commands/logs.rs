//! logs: the last lines and what follows, also over a restart of the supervisor.

use std::time::Duration;

use supd_api::{Fault, FaultCode, LogLine};
use tokio::time::sleep;

use crate::ctl::Session;
use crate::ctl::args::LogArgs;
use crate::ctl::client::query;
use crate::ctl::logs::Printer;
use crate::ctl::output::Failure;

/// Before a new attempt, so that a daemon that hangs up at once is not hammered.
const PAUSE: Duration = Duration::from_millis(100);

/// `logs`.
pub(crate) async fn logs(args: &LogArgs, session: &mut Session) -> Result<(), Failure> {
    let mut printer = Printer::new(args.raw, session.output.style.colour);
    let mut lines = args.lines;
    loop {
        let mut stream = session.client.stream(&path(args, lines)).await?;
        // Following must not bring back a daemon that somebody ended meanwhile.
        session.client.launch_no_more();
        while let Some(line) = stream.next().await? {
            print(&line, &mut printer, session)?;
        }
        if args.nostream {
            return Ok(());
        }
        session.output.note(
            "the connection to the supervisor ended: following again, lines in between are in the log files",
        );
        sleep(PAUSE).await;
        lines = 0;
    }
}

fn path(args: &LogArgs, lines: u32) -> String {
    let query = query(&args.targets);
    let first = if query.is_empty() { '?' } else { '&' };
    let stream = match (args.out, args.err) {
        (true, _) => "&stream=out",
        (false, true) => "&stream=err",
        (false, false) => "",
    };
    format!("/v1/logs{query}{first}lines={lines}&follow={}{stream}", !args.nostream)
}

fn print(line: &[u8], printer: &mut Printer, session: &mut Session) -> Result<(), Failure> {
    if session.output.style.json {
        session.output.bytes(line)?;
        session.output.bytes(b"\n")?;
    } else {
        let line: LogLine = serde_json::from_slice(line).map_err(|error| {
            Fault::new(FaultCode::Internal, format!("a line of the daemon was not understood: {error}"))
                .hint("is it of another version? See `supctl version`")
        })?;
        session.output.bytes(&printer.print(&line))?;
    }
    // Each line at once: a terminal and a pipe alike show what has happened.
    Ok(session.output.flush()?)
}
