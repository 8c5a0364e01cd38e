//! events: what has happened and what happens.

use jiff::tz::TimeZone;

use crate::ctl::Session;
use crate::ctl::args::EventArgs;
use crate::ctl::client::query;
use crate::ctl::events::Printer;
use crate::ctl::follow::{Source, follow};
use crate::ctl::output::Failure;

/// As many as `logs` shows first.
const LINES: u32 = 15;

/// `events`.
pub(crate) async fn events(args: &EventArgs, session: &mut Session) -> Result<(), Failure> {
    let mut printer = Printer::new(TimeZone::system(), session.output.style.colour);
    let source = Source {
        first: path(args, if args.nostream { args.lines } else { args.lines.or(Some(LINES)) }),
        again: (!args.nostream).then(|| path(args, Some(0))),
        gap: "what happened in between is not shown",
    };
    follow(source, session, |happening| printer.print(happening)).await
}

fn path(args: &EventArgs, lines: Option<u32>) -> String {
    let query = query(&args.targets);
    let first = if query.is_empty() { '?' } else { '&' };
    let lines = lines.map(|lines| format!("&lines={lines}")).unwrap_or_default();
    format!("/v1/events{query}{first}follow={}{lines}", !args.nostream)
}
