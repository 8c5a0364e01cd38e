//! How does a line of output read? PM2's prefixes; the bytes of the app itself are left alone.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use supd_api::{AppName, LogLine, Stream};

use super::cells::harmless;
use super::follow::Text;
use super::ink::Ink;
use super::log_args::Form;
use super::output::Style;
use crate::dates::DateFormat;

/// PM2's width of a label, before longer names are seen.
const LABEL_WIDTH: usize = 10;
/// PM2's time in the form of keys and values.
const KEYED_STAMP: &str = "YYYY-MM-DD-HH:mm:ssZZ";
/// How the bounds of a span are told.
const BOUND: &str = "YYYY-MM-DD HH:mm:ss";

/// Turns lines into bytes; the column of labels grows with the longest name seen.
#[derive(Debug)]
pub(crate) struct Printer {
    shape: Shape,
    stamp: Option<DateFormat>,
    highlight: Option<String>,
    titles: bool,
    colour: bool,
    width: usize,
    zone: TimeZone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Only the app's own bytes.
    Raw,
    Labelled,
    Keyed,
}

impl Printer {
    /// As the flags say. Titles and colours are for a terminal.
    pub(crate) fn new(form: &Form, style: Style) -> Self {
        let shape = match (form.raw, form.format) {
            (true, _) => Shape::Raw,
            (false, true) => Shape::Keyed,
            (false, false) => Shape::Labelled,
        };
        let stamp = form.timestamp.as_deref().or((shape == Shape::Keyed).then_some(KEYED_STAMP));
        Self {
            shape,
            stamp: stamp.map(DateFormat::new),
            highlight: form.highlight.clone().filter(|text| style.colour && !text.is_empty()),
            titles: form.titles || (style.width.is_some() && shape == Shape::Labelled),
            colour: style.colour,
            width: LABEL_WIDTH,
            zone: TimeZone::system(),
        }
    }

    /// One line, newline included.
    pub(crate) fn print(&mut self, line: &LogLine) -> Text {
        match line {
            LogLine::File { .. } if !self.titles => Text::Out(Vec::new()),
            LogLine::File { path, lines } => {
                let count = lines.map_or("lines".to_owned(), |lines| format!("last {lines} lines"));
                let text = format!("{} {count}:\n", harmless(path));
                Text::Out(Ink::Grey.on(&text, self.colour).into_bytes())
            }
            LogLine::Missed { lines } => {
                Text::Aside(format!("… {lines} lines left out here: this reader was too slow"))
            }
            LogLine::Gap { path } => Text::Aside(format!(
                "… where this reader was in {} cannot be found any more: lines are left out here",
                harmless(path)
            )),
            LogLine::Undated { path, after, before } => Text::Aside(self.undated(path, *after, *before)),
            // It is for the reader, not for the person.
            LogLine::Position { .. } => Text::Out(Vec::new()),
            LogLine::Line { app, worker, stream, at, text } => {
                let mut bytes = self.prefix(app, *worker, *stream, *at);
                bytes.extend(self.highlighted(text.as_bytes()));
                bytes.push(b'\n');
                Text::Out(bytes)
            }
        }
    }

    fn prefix(&mut self, app: &AppName, worker: Option<u32>, stream: Stream, at: Option<u64>) -> Vec<u8> {
        let stamp = self.stamp.as_ref().zip(at).map(|(format, at)| self.moment(format, at));
        let text = match self.shape {
            Shape::Raw => String::new(),
            Shape::Keyed => {
                let stamp = stamp.map_or(String::new(), |stamp| format!("timestamp={stamp} "));
                let id = worker.map_or(String::new(), |id| format!("id={id} "));
                let kind = match stream {
                    Stream::Out => "out",
                    Stream::Err => "error",
                };
                format!("{stamp}app={app} {id}type={kind} message=")
            }
            Shape::Labelled => {
                let label = worker.map_or_else(|| app.to_string(), |id| format!("{id}|{app}"));
                self.width = self.width.max(label.chars().count() + 1);
                let label = format!("{label:<width$}", width = self.width);
                let bar = match stream {
                    Stream::Out => Ink::Green,
                    Stream::Err => Ink::Red,
                };
                let stamp = stamp.map_or(String::new(), |stamp| stamp + " ");
                let label = Ink::of_name(app.as_str()).on(&label, self.colour);
                format!("{stamp}{label}{} ", bar.on("|", self.colour))
            }
        };
        text.into_bytes()
    }

    fn moment(&self, format: &DateFormat, at: u64) -> String {
        let at = i64::try_from(at).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
        format.at(&at.unwrap_or_default().to_zoned(self.zone.clone()))
    }

    fn undated(&self, path: &str, after: Option<u64>, before: u64) -> String {
        let format = DateFormat::new(BOUND);
        let before = self.moment(&format, before);
        let span = match after {
            Some(after) => format!("between {} and {before}", self.moment(&format, after)),
            None => format!("before {before}"),
        };
        format!("{}: these lines carry no time; they were written {span}", harmless(path))
    }

    /// With every occurrence of what is looked for inverted.
    fn highlighted(&self, text: &[u8]) -> Vec<u8> {
        let Some(wanted) = self.highlight.as_deref().map(str::as_bytes) else { return text.to_vec() };
        let (mut shown, mut rest) = (Vec::with_capacity(text.len() + 16), text);
        while let Some(at) = rest.windows(wanted.len()).position(|window| window == wanted) {
            let (before, found) = rest.split_at(at);
            for piece in [before, b"\x1b[7m", wanted, b"\x1b[27m"] {
                shown.extend_from_slice(piece);
            }
            rest = &found[wanted.len()..];
        }
        shown.extend_from_slice(rest);
        shown
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use supd_api::LogText;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        form: Form,
    }

    fn printer(flags: &str, terminal: bool) -> Printer {
        let words = ["logs"].into_iter().chain(flags.split_whitespace());
        let style = Style { colour: terminal, width: terminal.then_some(80), ..Style::default() };
        let mut printer = Printer::new(&Flags::try_parse_from(words).expect("flags").form, style);
        printer.zone = TimeZone::UTC;
        printer
    }

    fn line(app: &str, worker: Option<u32>, stream: Stream, text: &[u8]) -> LogLine {
        let app = AppName::new(app).unwrap();
        LogLine::Line { app, worker, stream, at: Some(1_795_168_800_000), text: LogText::from(text.to_vec()) }
    }

    fn shown(printer: &mut Printer, line: &LogLine) -> String {
        match printer.print(line) {
            Text::Out(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Text::Err(bytes) => format!("error: {}", String::from_utf8_lossy(&bytes)),
            Text::Aside(text) => format!("aside: {text}"),
        }
    }

    #[test]
    fn labels_are_aligned_and_grow() {
        let mut printer = printer("", false);
        let mut print = |app, worker| shown(&mut printer, &line(app, worker, Stream::Out, b"hello"));
        assert_eq!(print("web", Some(0)), "0|web     | hello\n");
        assert_eq!(print("web", None), "web       | hello\n");
        assert_eq!(print("long-name-of-app", Some(12)), "12|long-name-of-app | hello\n");
        assert_eq!(print("web", Some(0)), "0|web               | hello\n");
    }

    #[test]
    fn bytes_pass_unchanged() {
        let odd = line("web", Some(0), Stream::Err, b"\xff\x1b[1mx");
        let Text::Out(bytes) = printer("--raw", true).print(&odd) else { panic!("it is output") };
        assert_eq!(bytes, b"\xff\x1b[1mx\n");
        let Text::Out(bytes) = printer("", true).print(&odd) else { panic!("it is output") };
        assert!(bytes.ends_with(b"\x1b[31m|\x1b[39m \xff\x1b[1mx\n"), "{}", bytes.escape_ascii());
    }

    #[test]
    fn an_app_has_one_colour_and_apps_differ() {
        let colour =
            |app| shown(&mut printer("", true), &line(app, Some(0), Stream::Out, b""))[..5].to_owned();
        assert_eq!(colour("web"), colour("web"));
        let apps = ["web", "api", "queue", "mail", "cron", "shop", "blog", "auth"].map(colour);
        assert!(apps.iter().collect::<std::collections::BTreeSet<_>>().len() >= 4, "{apps:?}");
    }

    #[test]
    fn forms() {
        let line = line("web", Some(3), Stream::Err, b"a b");
        for (flags, expected) in [
            ("--format", "timestamp=2026-11-20-10:00:00+0000 app=web id=3 type=error message=a b\n"),
            ("--format --timestamp=HH:mm", "timestamp=10:00 app=web id=3 type=error message=a b\n"),
            ("--timestamp", "2026-11-20-10:00:00 3|web     | a b\n"),
            ("--timestamp=HH[h]", "10h 3|web     | a b\n"),
            ("--highlight b", "3|web     | a b\n"),
        ] {
            assert_eq!(shown(&mut printer(flags, false), &line), expected, "{flags}");
        }
        let marked = shown(&mut printer("--highlight b --raw", true), &line);
        assert_eq!(marked, "a \x1b[7mb\x1b[27m\n");
    }

    #[test]
    fn titles_are_for_a_terminal_and_remarks_go_aside() {
        let title = LogLine::File { path: "/l/web-out.log".to_owned(), lines: Some(15) };
        assert_eq!(shown(&mut printer("", false), &title), "");
        assert_eq!(shown(&mut printer("--titles", false), &title), "/l/web-out.log last 15 lines:\n");
        assert!(shown(&mut printer("", true), &title).contains("last 15 lines"));
        assert_eq!(shown(&mut printer("--raw", true), &title), "");
        let raw = &mut printer("--raw", false);
        let gap = LogLine::Missed { lines: 7 };
        assert_eq!(shown(raw, &gap), "aside: … 7 lines left out here: this reader was too slow");
        let undated = LogLine::Undated { path: "/l/web".to_owned(), after: None, before: 1_795_168_800_000 };
        assert_eq!(
            shown(raw, &undated),
            "aside: /l/web: these lines carry no time; they were written before 2026-11-20 10:00:00"
        );
    }
}
