//! events: what has happened and what happens.

use jiff::tz::TimeZone;
use supd_api::Happening;

use crate::ctl::Session;
use crate::ctl::args::EventArgs;
use crate::ctl::client::query;
use crate::ctl::events::Printer;
use crate::ctl::follow::{Again, Source, Text, follow};
use crate::ctl::output::Failure;

/// As many as `logs` shows first.
const LINES: u32 = 15;

/// `events`.
pub(crate) async fn events(args: &EventArgs, session: &mut Session) -> Result<(), Failure> {
    let printer = Printer::new(TimeZone::system(), session.output.style.colour);
    follow(Events { args, printer }, session).await
}

struct Events<'a> {
    args: &'a EventArgs,
    printer: Printer,
}

impl Source for Events<'_> {
    type Item = Happening;

    fn first(&self) -> String {
        let lines = self.args.lines;
        path(self.args, if self.args.nostream { lines } else { lines.or(Some(LINES)) })
    }

    fn again(&self) -> Option<Again> {
        let note =
            "the connection to the supervisor ended: following again, what happened in between is not shown";
        let again = || Again { path: path(self.args, Some(0)), note: Some(note.to_owned()) };
        (!self.args.nostream).then(again)
    }

    fn heed(&mut self, _: &Happening) -> bool {
        true
    }

    fn text(&mut self, happening: &Happening) -> Text {
        Text::Out(self.printer.print(happening))
    }
}

fn path(args: &EventArgs, lines: Option<u32>) -> String {
    let query = query(&args.of.targets);
    let first = if query.is_empty() { '?' } else { '&' };
    let messages = if args.nostream { "" } else { "&messages=true" };
    let lines = lines.map(|lines| format!("&lines={lines}")).unwrap_or_default();
    format!("/v1/events{query}{first}follow={}{lines}{messages}", !args.nostream)
}
