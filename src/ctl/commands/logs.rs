//! logs: the last lines and what follows.

use std::fmt::Write;

use supd_api::LogLine;

use crate::ctl::Session;
use crate::ctl::client::{escape, query};
use crate::ctl::follow::{Again, Source, Text, follow};
use crate::ctl::log_args::LogArgs;
use crate::ctl::logs::Printer;
use crate::ctl::output::Failure;
use crate::ctl::places::Places;

/// `logs`.
pub(crate) async fn logs(args: &LogArgs, session: &mut Session) -> Result<(), Failure> {
    let mut printer = Printer::new(&args.form, session.output.style);
    show(args, Box::new(move |line| printer.print(line)), session).await
}

/// How a line reads.
pub(crate) type Print = Box<dyn FnMut(&LogLine) -> Text>;

/// The lines that are asked for, as `print` has them.
pub(crate) async fn show(args: &LogArgs, print: Print, session: &mut Session) -> Result<(), Failure> {
    follow(Logs { args, print, places: Places::default() }, session).await
}

struct Logs<'a> {
    args: &'a LogArgs,
    print: Print,
    places: Places,
}

impl Source for Logs<'_> {
    type Item = LogLine;

    fn first(&self) -> String {
        let mut path = path(self.args);
        let choice = &self.args.choice;
        let run = [(choice.this_run, "this"), (choice.previous, "previous")].into_iter().find(|(on, _)| *on);
        if let Some(lines) = self.args.lines {
            add(&mut path, "lines", lines);
        }
        for (name, time) in [("since", choice.since), ("until", choice.until)] {
            if let Some(time) = time {
                add(&mut path, name, time);
            }
        }
        if let Some((_, run)) = run {
            add(&mut path, "run", run);
        }
        path
    }

    fn again(&self) -> Option<Again> {
        if !self.args.follows() {
            return None;
        }
        let mut path = path(self.args);
        if let Some(places) = self.places.query() {
            add(&mut path, "from", places);
            return Some(Again { path, note: None });
        }
        add(&mut path, "lines", 0);
        let note =
            "the connection to the supervisor ended: following again, lines in between are in the log files";
        Some(Again { path, note: Some(note.to_owned()) })
    }

    fn heed(&mut self, line: &LogLine) -> bool {
        !self.places.heed(line)
    }

    fn text(&mut self, line: &LogLine) -> Text {
        (self.print)(line)
    }
}

/// What holds for every attempt.
fn path(args: &LogArgs) -> String {
    let query = query(&args.of.targets);
    let first = if query.is_empty() { '?' } else { '&' };
    let mut path = format!("/v1/logs{query}{first}follow={}", args.follows());
    if args.follows() {
        add(&mut path, "positions", true);
    }
    match (args.choice.out, args.choice.err) {
        (true, _) => add(&mut path, "stream", "out"),
        (false, true) => add(&mut path, "stream", "err"),
        (false, false) => {}
    }
    if let Some(grep) = &args.choice.grep {
        add(&mut path, "grep", escape(grep));
    }
    path
}

fn add(path: &mut String, name: &str, value: impl std::fmt::Display) {
    // A String takes everything.
    let _ = write!(path, "&{name}={value}");
}
