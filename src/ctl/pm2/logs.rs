//! logs: PM2's flags on our reader, and its JSON.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;
use supd_api::{Fault, FaultCode, LogLine, Stream};

use crate::ctl::Session;
use crate::ctl::args::OptionalTargets;
use crate::ctl::commands::logs::{self as reading, Print};
use crate::ctl::develop::STAMP;
use crate::ctl::follow::Text;
use crate::ctl::log_args::{Choice, Form, LogArgs};
use crate::ctl::logs::Printer;
use crate::ctl::output::Failure;
use crate::dates::DateFormat;

use super::flags::Opt;
use super::line::Line;

/// PM2's.
const LINES: u32 = 15;

/// `logs`.
pub(super) async fn logs(line: &Line, session: &mut Session) -> Result<(), Failure> {
    let lines = match line.value(Opt::Lines) {
        None => LINES,
        // PM2 takes the sign away.
        Some(text) => text.trim_start_matches('-').parse().map_err(|_| {
            Fault::new(FaultCode::Invalid, format!("--lines {text}: expected a number of lines"))
        })?,
    };
    let json = line.has(Opt::Json);
    // In PM2 these two are of what happens from now on.
    let live = (json || line.has(Opt::Format)) && !line.has(Opt::NoStream);
    let args = LogArgs {
        of: OptionalTargets { targets: line.words.clone() },
        lines: Some(if live { 0 } else { lines }),
        nostream: line.has(Opt::NoStream),
        follow: false,
        choice: choice(line.has(Opt::Out), line.has(Opt::Err)),
        form: Form {
            raw: line.has(Opt::Raw),
            format: line.has(Opt::Format),
            timestamp: line
                .has(Opt::Timestamp)
                .then(|| line.value(Opt::Timestamp).unwrap_or(STAMP).to_owned()),
            highlight: line.value(Opt::Highlight).map(str::to_owned),
            titles: !line.has(Opt::Raw) && !line.has(Opt::Format) && lines > 0,
        },
    };
    let print: Print = match json {
        true => Box::new(|line| Text::Out(object(line))),
        false if args.form.raw => raw(&args, session),
        false if args.form.format => labelled(&args, session),
        false => {
            header(&args, lines, session)?;
            labelled(&args, session)
        }
    };
    reading::show(&args, print, session).await
}

/// What these workers write from now on, after their last lines.
pub(super) async fn follow(targets: Vec<String>, session: &mut Session) -> Result<(), Failure> {
    let args = LogArgs {
        of: OptionalTargets { targets },
        lines: Some(LINES),
        nostream: false,
        follow: true,
        choice: choice(false, false),
        form: Form { raw: false, format: false, timestamp: None, highlight: None, titles: false },
    };
    let print = labelled(&args, session);
    reading::show(&args, print, session).await
}

fn choice(out: bool, err: bool) -> Choice {
    // Both together are all there is.
    let (out, err) = (out && !err, err && !out);
    Choice { err, out, grep: None, since: None, until: None, this_run: false, previous: false }
}

fn header(args: &LogArgs, lines: u32, session: &mut Session) -> Result<(), Failure> {
    let which = match args.of.targets.as_slice() {
        [] => "[all] processes".to_owned(),
        targets => format!("[{}] process", targets.join(", ")),
    };
    let text =
        format!("[TAILING] Tailing last {lines} lines for {which} (change the value with --lines option)");
    session.output.say(text)?;
    Ok(session.output.flush()?)
}

fn labelled(args: &LogArgs, session: &Session) -> Print {
    let mut printer = Printer::new(&args.form, session.output.style);
    Box::new(move |line| printer.print(line))
}

/// The bytes as they are, each stream where it belongs.
fn raw(args: &LogArgs, session: &Session) -> Print {
    let mut print = labelled(args, session);
    Box::new(move |line| match (print(line), line) {
        (Text::Out(bytes), LogLine::Line { stream: Stream::Err, .. }) => Text::Err(bytes),
        (text, _) => text,
    })
}

/// PM2's object of a line; nothing for anything else.
fn object(line: &LogLine) -> Vec<u8> {
    let LogLine::Line { app, worker, stream, at, text } = line else { return Vec::new() };
    let kind = match stream {
        Stream::Out => "out",
        Stream::Err => "err",
    };
    let object = json!({
        "message": String::from_utf8_lossy(text.as_bytes()),
        "timestamp": at.map(moment),
        "type": kind,
        "process_id": worker,
        "app_name": app,
    });
    format!("{object}\n").into_bytes()
}

fn moment(at: u64) -> String {
    let at = i64::try_from(at).ok().and_then(|at| Timestamp::from_millisecond(at).ok()).unwrap_or_default();
    DateFormat::new("YYYY-MM-DDTHH:mm:ss.SSSZ").at(&at.to_zoned(TimeZone::system()))
}

#[cfg(test)]
mod tests {
    use supd_api::{AppName, LogText};

    use super::*;

    #[test]
    fn a_line_is_an_object_of_pm2s() {
        let line = LogLine::Line {
            app: AppName::new("web").unwrap(),
            worker: Some(3),
            stream: Stream::Err,
            at: None,
            text: LogText::from(b"a \"b\"".to_vec()),
        };
        let text = String::from_utf8(object(&line)).unwrap();
        let expected =
            r#"{"message":"a \"b\"","timestamp":null,"type":"err","process_id":3,"app_name":"web"}"#;
        assert_eq!(text, format!("{expected}\n"));
        assert!(object(&LogLine::Missed { lines: 1 }).is_empty());
    }
}
