//! Why is an app as it is? One screen: the state of its workers, the reasons with their remedies, and the latest end that
//! nobody asked for.
//!
//! * `facts`: what the client can find out; it looks at the machine.
//! * `reasons`: what follows from the facts; `port` and `words` read a program's last words. Pure.

mod facts;
mod port;
mod reasons;
mod words;

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use supd_api::{AppView, CrashReport, LogText, Millis, OversizeView, Status, WorkerView};

pub(crate) use facts::{Facts, Others};
use reasons::{Reason, of_end, of_state};

use super::cells::{self, harmless};
use super::ink::Ink;
use super::last_lines::printable;
use super::output::Style;
use super::policy;
use super::table::left;

/// So many ends before the latest are listed.
const EARLIER: usize = 5;
/// The column of what is told of an end.
const LABELS: usize = 12;

/// Where and when it is told.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    zone: TimeZone,
    colour: bool,
    /// Unix time in milliseconds.
    now: u64,
}

impl Setting {
    /// Here and now.
    pub(crate) fn new(style: Style) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map(Millis::from).unwrap_or_default();
        Self { zone: TimeZone::system(), colour: style.colour, now: now.0 }
    }
}

/// The screen of one app. Its reports come latest first.
pub(crate) fn explain(facts: &Facts<'_>, reports: &[&CrashReport], setting: &Setting) -> String {
    let app = facts.app;
    let mut lines = Vec::new();
    for worker in &app.workers {
        lines.push(state(worker, setting));
        if let Some(Reason { text, remedy, .. }) = of_state(worker, app) {
            lines.extend([told("because", &harmless(&text)), told("remedy", &harmless(&remedy))]);
        }
        lines.extend(worker.message.iter().map(|text| format!("  it says: {}", harmless(text))));
        lines.extend(worker.last_oversize.as_ref().map(|it| oversize(it, setting)));
    }
    let mut notices: Vec<&str> = app.workers.iter().filter_map(|it| it.notice.as_deref()).collect();
    notices.dedup();
    lines.extend(notices.into_iter().map(|notice| format!("note: {}", harmless(notice))));
    let reload =
        app.progress.map(|it| format!("a reload is in progress: {} of {} workers moved", it.done, it.of));
    lines.extend(reload);
    lines.extend(policy::autoscale(app).map(|text| format!("autoscale {text}")));
    lines.extend(because(facts, setting));
    match reports {
        [] => lines.push("No crash is on record.".to_owned()),
        [latest, earlier @ ..] => {
            lines.push(String::new());
            lines.extend(crash(latest, app, setting));
            lines.extend(before(earlier, setting));
        }
    }
    lines.join("\n")
}

/// Everything that explains an app, for programs.
pub(crate) fn shape(facts: &Facts<'_>) -> Vec<Value> {
    let name = &facts.app.declaration.name;
    let of_workers = facts.app.workers.iter().filter_map(|it| Some((Some(it.id), of_state(it, facts.app)?)));
    let all = of_workers.chain(of_end(facts).into_iter().map(|reason| (None, reason)));
    all.map(|(worker, reason)| {
        let mut shape = json!(reason);
        shape["app"] = json!(name);
        shape["worker"] = json!(worker);
        shape
    })
    .collect()
}

/// The reasons of the latest end, under a heading that says whether it is over.
fn because(facts: &Facts<'_>, setting: &Setting) -> Vec<String> {
    let reasons = of_end(facts);
    if reasons.is_empty() {
        return Vec::new();
    }
    let well = facts.app.workers.iter().all(|worker| worker.status == Status::Online);
    let title = if well { "Why it ended last:" } else { "Why:" };
    let mut lines = vec![String::new(), Ink::Yellow.on(title, setting.colour)];
    for Reason { text, certain, seen, remedy, .. } in &reasons {
        let text = harmless(text);
        lines.push(format!("  {}{text}", if *certain { "" } else { "probably " }));
        lines.extend(seen.iter().map(|line| format!("    seen in   {}", harmless(line))));
        lines.push(format!("    remedy    {}", harmless(remedy)));
    }
    lines
}

/// `web 0  waiting restart: exited with code 1 (3s left), 4 restarts`
fn state(worker: &WorkerView, setting: &Setting) -> String {
    let ink = match worker.status {
        Status::Online => Ink::Green,
        Status::Launching => Ink::Label(34),
        Status::Stopping | Status::Stopped | Status::Errored | Status::Waiting => Ink::Red,
    };
    let status = ink.on(worker.status.as_str(), setting.colour);
    let reason =
        if worker.reason.is_empty() { String::new() } else { format!(": {}", harmless(&worker.reason)) };
    let up = worker.uptime.map(|uptime| format!(", up {}", cells::span(uptime))).unwrap_or_default();
    let restarts = match worker.restarts {
        0 => String::new(),
        1 => ", started again once".to_owned(),
        times => format!(", started again {times} times"),
    };
    format!("{} {} {status}{reason}{}{up}{restarts}", worker.app, worker.id, left(worker.remaining))
}

/// `  was too large 5s ago: uses 310.2mb of memory, its limit is 300.0mb`
fn oversize(oversize: &OversizeView, setting: &Setting) -> String {
    let ago = cells::span(Millis(setting.now.saturating_sub(oversize.at)));
    format!("  was too large {ago} ago, at {}: {}", time(oversize.at, setting), harmless(&oversize.text))
}

/// One report, line by line.
pub(crate) fn crash(report: &CrashReport, app: &AppView, setting: &Setting) -> Vec<String> {
    let CrashReport { worker, run, revision, pid, peak_memory, cause, text, answer, .. } = report;
    let ago = cells::span(Millis(setting.now.saturating_sub(report.at)));
    let title = format!("Latest crash: worker {worker}, {ago} ago, at {}", time(report.at, setting));
    let pid = pid.map(|pid| format!("pid {pid}, ")).unwrap_or_default();
    let own = if *revision == app.revision { String::new() } else { format!(" (now {})", app.revision) };
    let mut lines = vec![Ink::Yellow.on(&title, setting.colour), told("how", &harmless(text))];
    lines.extend(cause.map(|cause| told("cause", &cause.to_string())));
    lines.extend(answer.iter().map(|answer| told("its probe", &harmless(answer))));
    lines.push(told("process", &format!("{pid}run {run} of revision {revision}{own}")));
    lines.extend(peak_memory.map(|bytes| told("memory", &format!("at most {}", cells::memory(bytes)))));
    lines.extend(words("Its last words on standard error:", &report.err));
    lines.extend(words("Its last words on standard output:", &report.out));
    if report.err.is_empty() && report.out.is_empty() {
        lines.push("It wrote nothing into its log files.".to_owned());
    }
    lines
}

fn told(label: &str, text: &str) -> String {
    format!("  {label:<LABELS$}{text}")
}

fn words(title: &str, words: &[LogText]) -> Vec<String> {
    let title = (!words.is_empty()).then(|| title.to_owned());
    title.into_iter().chain(words.iter().map(|line| format!("  | {}", printable(line.as_bytes())))).collect()
}

fn before(earlier: &[&CrashReport], setting: &Setting) -> Vec<String> {
    if earlier.is_empty() {
        return Vec::new();
    }
    let title = format!("Before that ({} on record):", earlier.len());
    let line = |report: &&CrashReport| {
        let cause = report.cause.map(|cause| format!("; {cause}")).unwrap_or_default();
        format!("  {}  worker {}  {}{cause}", time(report.at, setting), report.worker, harmless(&report.text))
    };
    [String::new(), title].into_iter().chain(earlier.iter().take(EARLIER).map(line)).collect()
}

/// Of the local clock, to the second. What no calendar has is shown as the number it is.
fn time(unix_millis: u64, setting: &Setting) -> String {
    let instant = i64::try_from(unix_millis).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let Some(instant) = instant else { return unix_millis.to_string() };
    instant.to_zoned(setting.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tables;

#[cfg(test)]
mod tests {
    use supd_api::{AppName, Cause, Exit};

    use super::*;
    use crate::ctl::fake::{app, in_state, worker};

    const NOW: u64 = 1_795_168_800_000;

    fn setting() -> Setting {
        Setting { zone: TimeZone::UTC, colour: false, now: NOW }
    }

    fn report(seconds_ago: u64, text: &str) -> CrashReport {
        let at = NOW - seconds_ago * 1000;
        CrashReport {
            app: AppName::new("web").expect("a name"),
            worker: 1,
            run: 12,
            revision: 1,
            pid: Some(4242),
            started_at: at - 2000,
            at,
            uptime: Millis(2000),
            exit: Exit::Code(1),
            text: text.to_owned(),
            cause: None,
            peak_memory: None,
            answer: None,
            changed: None,
            out: Vec::new(),
            err: Vec::new(),
        }
    }

    fn facts<'a>(app: &'a AppView, latest: Option<&'a CrashReport>) -> Facts<'a> {
        Facts { app, latest, ports: Vec::new(), files: Vec::new() }
    }

    #[test]
    fn one_that_never_crashed() {
        let web = app("web", vec![worker(0, "web")]);
        let screen = explain(&facts(&web, None), &[], &setting());
        assert_eq!(screen, "web 0 online: ready, up 2h\nNo crash is on record.");
    }

    #[test]
    fn the_latest_crash_is_told_in_full() {
        let mut broken = in_state(worker(1, "web"), Status::Waiting, "killed by SIGKILL");
        (broken.remaining, broken.restarts) = (Some(Millis(3000)), 4);
        broken.last_oversize = Some(OversizeView {
            text: "uses 2.0mb of memory, its limit is 1.0mb".to_owned(),
            at: NOW - 60_000,
        });
        broken.notice = Some("rolled back".to_owned());
        let mut web = app("web", vec![worker(0, "web"), broken]);
        web.revision = 3;
        let text = |line: &str| LogText::from(line.as_bytes().to_vec());
        let latest = CrashReport {
            cause: Some(Cause::OutOfMemory),
            peak_memory: Some(53_792_000),
            err: vec![text("\x1b[31mError\x1b[0m: boom\x07"), text("  at f")],
            out: vec![text("listening")],
            ..report(5, "killed by SIGKILL after 2 s")
        };
        let (second, third) = (report(65, "exited with code 1 after 2 s"), report(70, "ended"));
        let screen = explain(&facts(&web, Some(&latest)), &[&latest, &second, &third], &setting());
        let expected = "\
web 0 online: ready, up 2h
web 1 waiting restart: killed by SIGKILL (3s left), started again 4 times
  because     0 short lives in a row so far; it is never given up
  remedy      `supctl restart web` does not wait
  was too large 60s ago, at 2026-11-20 09:59:00: uses 2.0mb of memory, its limit is 1.0mb
note: rolled back

Why:
  the kernel ended it because memory was short (OOM)
    remedy    let it use less, or give more to the machine or its control group; it had at most 51.3mb

Latest crash: worker 1, 5s ago, at 2026-11-20 09:59:55
  how         killed by SIGKILL after 2 s
  cause       the kernel ended it because memory was short (OOM)
  process     pid 4242, run 12 of revision 1 (now 3)
  memory      at most 51.3mb
Its last words on standard error:
  | Error: boom\\u{7}
  |   at f
Its last words on standard output:
  | listening

Before that (2 on record):
  2026-11-20 09:58:55  worker 1  exited with code 1 after 2 s
  2026-11-20 09:58:50  worker 1  ended";
        assert_eq!(screen, expected);
    }
}
