//! logs: the last lines and what follows.

use crate::ctl::Session;
use crate::ctl::args::LogArgs;
use crate::ctl::client::query;
use crate::ctl::follow::{Source, follow};
use crate::ctl::logs::Printer;
use crate::ctl::output::Failure;

/// `logs`.
pub(crate) async fn logs(args: &LogArgs, session: &mut Session) -> Result<(), Failure> {
    let mut printer = Printer::new(args.raw, session.output.style.colour);
    let source = Source {
        first: path(args, args.lines),
        again: (!args.nostream).then(|| path(args, 0)),
        gap: "lines in between are in the log files",
    };
    follow(source, session, |line| printer.print(line)).await
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
