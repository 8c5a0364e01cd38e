//! How does a line of output read on a terminal? PM2's prefixes; the bytes of the app itself are left alone.

use supd_api::{LogLine, Stream};

use super::ink::Ink;

/// PM2's width of a label, before longer names are seen.
const LABEL_WIDTH: usize = 10;

/// Turns lines into bytes; the column of labels grows with the longest name seen.
#[derive(Debug)]
pub(crate) struct Printer {
    raw: bool,
    colour: bool,
    width: usize,
}

impl Printer {
    /// `raw`: only the app's own bytes. `colour`: labels green for output, red for errors, as in PM2.
    pub(crate) fn new(raw: bool, colour: bool) -> Self {
        Self { raw, colour, width: LABEL_WIDTH }
    }

    /// The bytes of one line, newline included.
    pub(crate) fn print(&mut self, line: &LogLine) -> Vec<u8> {
        match line {
            LogLine::File { .. } if self.raw => Vec::new(),
            LogLine::File { path, lines } => {
                let text = format!("{} last {lines} lines:\n", super::cells::harmless(path));
                Ink::Grey.on(&text, self.colour).into_bytes()
            }
            LogLine::Missed { lines } => {
                let text = format!("… {lines} lines left out here: this reader was too slow\n");
                Ink::Grey.on(&text, self.colour).into_bytes()
            }
            LogLine::Line { text, .. } if self.raw => [text.as_bytes(), b"\n"].concat(),
            LogLine::Line { app, worker, stream, text } => {
                let label = worker.map_or_else(|| app.to_string(), |id| format!("{id}|{app}"));
                self.width = self.width.max(label.chars().count() + 1);
                let label = format!("{label:<width$}| ", width = self.width);
                let colour = match stream {
                    Stream::Out => Ink::Green,
                    Stream::Err => Ink::Red,
                };
                [colour.on(&label, self.colour).as_bytes(), text.as_bytes(), b"\n"].concat()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use supd_api::{AppName, LogText};

    fn line(app: &str, worker: Option<u32>, stream: Stream, text: &[u8]) -> LogLine {
        let app = AppName::new(app).unwrap();
        LogLine::Line { app, worker, stream, text: LogText::from(text.to_vec()) }
    }

    #[test]
    fn labels_are_aligned_and_grow() {
        let mut printer = Printer::new(false, false);
        let mut print = |app, worker| {
            String::from_utf8(printer.print(&line(app, worker, Stream::Out, b"hello"))).unwrap()
        };
        assert_eq!(print("web", Some(0)), "0|web     | hello\n");
        assert_eq!(print("web", None), "web       | hello\n");
        assert_eq!(print("long-name-of-app", Some(12)), "12|long-name-of-app | hello\n");
        assert_eq!(print("web", Some(0)), "0|web               | hello\n");
    }

    #[test]
    fn bytes_pass_unchanged() {
        let odd = line("web", Some(0), Stream::Err, b"\xff\x1b[1mx");
        assert_eq!(Printer::new(true, true).print(&odd), b"\xff\x1b[1mx\n");
        assert_eq!(Printer::new(false, true).print(&odd), b"\x1b[31m0|web     | \x1b[39m\xff\x1b[1mx\n");
    }

    #[test]
    fn titles_and_gaps() {
        let title = LogLine::File { path: "/l/web-out.log".to_owned(), lines: 15 };
        let gap = LogLine::Missed { lines: 7 };
        let mut printer = Printer::new(false, false);
        assert_eq!(printer.print(&title), b"/l/web-out.log last 15 lines:\n");
        assert_eq!(
            String::from_utf8(printer.print(&gap)).unwrap(),
            "… 7 lines left out here: this reader was too slow\n"
        );
        assert!(Printer::new(true, false).print(&title).is_empty());
        assert!(!Printer::new(true, false).print(&gap).is_empty(), "a gap is shown in raw output too");
    }
}
