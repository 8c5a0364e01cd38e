//! How does a happening read? One line: when, who, what.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use supd_api::{Happening, HappeningKind};

use super::cells;
use super::ink::Ink;

/// The column of names before longer ones are seen.
const NAME_WIDTH: usize = 10;

/// Turns happenings into lines; the column of names grows with the longest one seen.
#[derive(Debug)]
pub(crate) struct Printer {
    zone: TimeZone,
    colour: bool,
    width: usize,
}

impl Printer {
    /// With times of this zone. `colour`: names red for what is bad and green for the rest, as in `logs`.
    pub(crate) fn new(zone: TimeZone, colour: bool) -> Self {
        Self { zone, colour, width: NAME_WIDTH }
    }

    /// `2026-11-20 12:00:03  web 0       exited with code 1 after 3 s`, newline included.
    pub(crate) fn print(&mut self, happening: &Happening) -> Vec<u8> {
        let Happening { at, kind, app, worker, text, progress: _, message: _ } = happening;
        let name = worker.map_or_else(|| app.to_string(), |worker| format!("{app} {worker}"));
        self.width = self.width.max(name.chars().count());
        let name = format!("{name:<width$}", width = self.width);
        let (time, name) = (Ink::Grey.on(&self.time(*at), self.colour), ink(*kind).on(&name, self.colour));
        format!("{time}  {name}  {}\n", cells::harmless(text)).into_bytes()
    }

    /// Of the local clock, to the second. What no calendar has is shown as the number it is.
    fn time(&self, unix_millis: u64) -> String {
        let instant = i64::try_from(unix_millis).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let Some(instant) = instant else { return unix_millis.to_string() };
        instant.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
    }
}

fn ink(kind: HappeningKind) -> Ink {
    use HappeningKind as Kind;
    match kind {
        Kind::Failed
        | Kind::Unfit
        | Kind::Oversize
        | Kind::Killed
        | Kind::Waiting
        | Kind::ScalingHeld
        | Kind::GivenUp
        | Kind::ReloadFailed
        | Kind::RolledBack => Ink::Red,
        Kind::Held
        | Kind::Started
        | Kind::Ready
        | Kind::Draining
        | Kind::Stopping
        | Kind::Stopped
        | Kind::Renewed
        | Kind::Scaled
        | Kind::ReloadBegan
        | Kind::ReloadMoved
        | Kind::ReloadDone
        | Kind::Message => Ink::Green,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use supd_api::AppName;

    fn happening(app: &str, worker: Option<u32>, kind: HappeningKind, text: &str) -> Happening {
        let app = AppName::new(app).unwrap();
        Happening {
            at: 1_795_172_403_999,
            kind,
            app,
            worker,
            text: text.to_owned(),
            progress: None,
            message: None,
        }
    }

    #[test]
    fn lines_are_aligned_and_in_local_time() {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let mut printer = Printer::new(zone, false);
        let mut print = |app, worker, text| {
            String::from_utf8(printer.print(&happening(app, worker, HappeningKind::Failed, text))).unwrap()
        };
        assert_eq!(
            print("web", Some(0), "exited with code 1 after 3 s"),
            "2026-11-20 12:00:03  web 0       exited with code 1 after 3 s\n"
        );
        assert_eq!(print("web", None, "a\nb"), "2026-11-20 12:00:03  web         a\\nb\n");
        assert_eq!(print("a-long-name", Some(12), "x"), "2026-11-20 12:00:03  a-long-name 12  x\n");
        assert_eq!(print("web", Some(0), "y"), "2026-11-20 12:00:03  web 0           y\n");
    }

    #[test]
    fn bad_news_is_red() {
        let mut printer = Printer::new(TimeZone::UTC, true);
        let mut print =
            |kind| String::from_utf8(printer.print(&happening("web", Some(0), kind, "x"))).unwrap();
        assert_eq!(
            print(HappeningKind::GivenUp),
            "\x1b[90m2026-11-20 11:00:03\x1b[39m  \x1b[31mweb 0     \x1b[39m  x\n"
        );
        assert!(print(HappeningKind::Ready).contains("\x1b[32mweb 0"));
    }

    #[test]
    fn an_impossible_time_is_no_panic() {
        let mut odd = happening("web", None, HappeningKind::Ready, "x");
        odd.at = u64::MAX;
        let line = String::from_utf8(Printer::new(TimeZone::UTC, false).print(&odd)).unwrap();
        assert!(line.starts_with("18446744073709551615  web "), "{line}");
    }
}
