//! From the tables `ready`, `startup` and `live` to their policies.
//!
//! Question answered here: *which probes does an app have, with every default filled in?*

use supd_api::{Check, LivePolicy, Millis, Probe, ReadyPolicy};

use super::paths::{Places, is_executable};
use super::probe_fields::ProbeFields;
use super::problem::{Report, shown};
use super::read::App;
use super::resolve::{flag, span};
use super::value::{LONGEST, Threshold, Words};

/// PM2's default.
const LISTEN_TIMEOUT: Millis = Millis(3_000);

/// What differs from probe to probe.
struct Defaults {
    interval: Millis,
    failure_threshold: u32,
}

/// Kubernetes'.
const TIMEOUT: Millis = Millis(1_000);
/// Kubernetes' (`Probe` in its API reference).
const LIVE: Defaults = Defaults { interval: Millis(10_000), failure_threshold: 3 };
/// Somebody waits for a start, and it is short: a second between two checks costs nothing and saves up to nine.
const READY: Defaults = Defaults { interval: Millis(1_000), failure_threshold: 3 };
/// As long as [`ReadyPolicy::default_timeout`].
const STARTUP: Defaults = Defaults { interval: Millis(1_000), failure_threshold: 60 };

/// When a worker is up.
pub(super) fn ready(app: &App, places: &Places, report: &mut Report) -> ReadyPolicy {
    let fields = &app.fields;
    let ready = fields.ready.as_ref().and_then(|ready| probe("ready", ready, &READY, app, places, report));
    let startup =
        fields.startup.as_ref().and_then(|startup| probe("startup", startup, &STARTUP, app, places, report));
    let wait_ready = flag(&fields.wait_ready, false);
    let listen_timeout = span(&fields.listen_timeout);
    // PM2's field limits the wait for `ready`. Its default does not: to PM2 running out is no failure, so that 3 s are
    // enough there.
    let alone = listen_timeout.filter(|_| wait_ready).unwrap_or(ReadyPolicy::default_timeout());
    let patience = startup.as_ref().map_or(Millis(0), longest);
    let default = Millis(alone.0.saturating_add(patience.0)).min(LONGEST);
    ReadyPolicy {
        wait_ready,
        listen_timeout: listen_timeout.unwrap_or(LISTEN_TIMEOUT),
        timeout: fields.ready_timeout.as_ref().map_or(default, |limit| limit.0),
        probe: ready,
        startup,
    }
}

/// When a worker that was up is broken.
pub(super) fn live(app: &App, places: &Places, report: &mut Report) -> LivePolicy {
    let Some(live) = &app.fields.live else { return LivePolicy::default() };
    let watched = live.watchdog.is_some() || !app.is_sound(&["live.watchdog"]);
    let only_watched = watched && is_empty(&live.probe);
    LivePolicy {
        probe: if only_watched { None } else { probe("live", &live.probe, &LIVE, app, places, report) },
        // As with systemd's `WatchdogSec=0`.
        watchdog: span(&live.watchdog).filter(|span| span.0 > 0),
    }
}

/// How long a probe may go on before it has failed for good.
pub(super) fn longest(probe: &Probe) -> Millis {
    let checks = probe.interval.0.saturating_mul(u64::from(probe.failure_threshold));
    Millis(probe.initial_delay.0.saturating_add(checks))
}

/// The probe in `field`, or nothing when it is not clear what it checks.
fn probe(
    field: &str,
    given: &ProbeFields,
    defaults: &Defaults,
    app: &App,
    places: &Places,
    report: &mut Report,
) -> Option<Probe> {
    let threshold = |given: &Option<Threshold>, default| given.as_ref().map_or(default, |given| given.0);
    Some(Probe {
        check: check(field, given, app, places, report)?,
        initial_delay: span(&given.initial_delay).unwrap_or(Millis(0)),
        interval: given.interval.as_ref().map_or(defaults.interval, |interval| interval.0),
        timeout: given.timeout.as_ref().map_or(TIMEOUT, |timeout| timeout.0),
        success_threshold: threshold(&given.success_threshold, 1),
        failure_threshold: threshold(&given.failure_threshold, defaults.failure_threshold),
    })
}

/// Whether no member of a probe is given.
fn is_empty(given: &ProbeFields) -> bool {
    let ProbeFields {
        http,
        tcp,
        exec,
        initial_delay,
        interval,
        timeout,
        success_threshold,
        failure_threshold,
    } = given;
    let spans = initial_delay.is_none() && interval.is_none() && timeout.is_none();
    let thresholds = success_threshold.is_none() && failure_threshold.is_none();
    http.is_none() && tcp.is_none() && exec.is_none() && spans && thresholds
}

/// The names of the checks that are given, of which a probe has exactly one.
fn checks(given: &ProbeFields) -> Vec<&'static str> {
    let checks =
        [("http", given.http.is_some()), ("tcp", given.tcp.is_some()), ("exec", given.exec.is_some())];
    checks.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
}

/// The check of a probe, or nothing when it has none that can be made.
fn check(field: &str, given: &ProbeFields, app: &App, places: &Places, report: &mut Report) -> Option<Check> {
    let given_checks = checks(given);
    if let [first, second, ..] = given_checks[..] {
        let at = app.at(&format!("{field}.{second}"));
        report.problem(&at, format!("a probe makes one check, and this one has `{first}` already"), None);
    } else if given_checks.is_empty() && app.is_sound(&[field]) {
        let hint = "write one of `http = \"/health\"`, `tcp = 8080` and `exec = \"./check\"`";
        report.problem(&app.at(field), "the probe checks nothing", Some(hint.to_owned()));
    }
    let direct = given.http.as_ref().map(|http| http.0.clone());
    let direct = direct.or_else(|| given.tcp.as_ref().map(|tcp| tcp.0.clone()));
    match (direct, &given.exec) {
        (Some(check), _) => Some(check),
        (None, Some(Words(words))) => command(&format!("{field}.exec"), words, app, places, report),
        (None, None) => None,
    }
}

/// A command whose program is there now, for the same reason as a script has to be.
fn command(field: &str, words: &[String], app: &App, places: &Places, report: &mut Report) -> Option<Check> {
    let Some((program, arguments)) = words.split_first() else {
        report.problem(&app.at(field), "the command is empty", None);
        return None;
    };
    let is_path = program.contains('/') || program.starts_with('~');
    let file = is_path.then(|| places.absolute(program));
    let (found, program) = match file {
        Some(file) => (is_executable(&file), file.to_string_lossy().into_owned()),
        None => (places.program(program).is_some(), program.clone()),
    };
    if !found {
        let place = if is_path { "an executable file" } else { "a program in PATH" };
        report.problem(&app.at(field), format!("{} is not {place}", shown(&program)), None);
        return None;
    }
    Some(Check::Exec { command: [program].into_iter().chain(arguments.iter().cloned()).collect() })
}
