//! Apps whose workers are replaced, and jobs that are run, by the clock.
//!
//! The core reads no clock of the time of day, so the times are kept here: for each app with a worker that is to run or ended by itself, the moment
//! from which on its next time counts. A time that has passed, because the machine slept, the clock was set or the
//! supervisor was away, is made up for once, however many there were. That moment is part of the snapshot and moves on
//! together with the decision, so that a time is neither lost nor acted upon twice.

use std::collections::BTreeMap;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use croner::Cron;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use serde::{Deserialize, Serialize};
use supd_api::CronPolicy;
use supd_core::{AppName, Event, Wall};
use tokio::sync::mpsc;

use crate::supervisor::now;
use crate::supervisor::turn::Shell;

/// A clock that was set back by less does not bring a time again, as in cron(8). Milliseconds.
const SET_BACK: u64 = 3 * 60 * 60 * 1000;

/// When each app is due.
#[derive(Default)]
pub(crate) struct Timetable {
    apps: BTreeMap<AppName, Entry>,
    alarm: Option<Alarm>,
}

struct Entry {
    policy: CronPolicy,
    since: Wall,
    due: Option<Wall>,
}

/// What a successor needs to know of an app: its rule, and from when on its next time counts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Noted {
    app: AppName,
    policy: CronPolicy,
    since: Wall,
}

impl Timetable {
    /// As a predecessor left it.
    pub(crate) fn taken_over(noted: Vec<Noted>) -> Self {
        let entry = |noted: Noted| (noted.app, Entry::new(noted.policy, noted.since));
        Self { apps: noted.into_iter().map(entry).collect(), alarm: None }
    }

    /// For a successor.
    pub(crate) fn noted(&self) -> Vec<Noted> {
        let noted = |(app, entry): (&AppName, &Entry)| Noted {
            app: app.clone(),
            policy: entry.policy.clone(),
            since: entry.since,
        };
        self.apps.iter().map(noted).collect()
    }

    /// Makes these the apps with their rules. One that is new, or has another rule, counts from now on. `true`: that was news.
    fn agree(&mut self, wanted: BTreeMap<AppName, CronPolicy>, now: Wall) -> bool {
        let before = self.apps.len();
        self.apps.retain(|app, entry| wanted.get(app) == Some(&entry.policy));
        let mut news = self.apps.len() != before;
        for (app, policy) in wanted {
            self.apps.entry(app).or_insert_with(|| {
                news = true;
                Entry::new(policy, now)
            });
        }
        news
    }

    /// The apps that are due, with their rules; each is then due at its next time from now on.
    fn due(&mut self, now: Wall) -> Vec<(AppName, String)> {
        let mut due = Vec::new();
        for (app, entry) in &mut self.apps {
            if entry.due.is_some_and(|at| at <= now) {
                due.push((app.clone(), entry.policy.expression.clone()));
                entry.count_from(now);
            } else if now.0.saturating_add(SET_BACK) < entry.since.0 {
                entry.count_from(now);
            }
        }
        due
    }

    /// When to look again at the latest, unless the clock is set.
    fn next(&self) -> Option<Wall> {
        self.apps.values().filter_map(|entry| entry.due).min()
    }

    /// From when on an app's next time counts, in milliseconds of Unix time.
    pub(crate) fn since_of(&self, app: &AppName) -> Option<u64> {
        self.apps.get(app).map(|entry| entry.since.0)
    }

    /// Makes up for what a job has missed since that moment.
    pub(crate) fn catch_up(&mut self, app: AppName, policy: CronPolicy, since: u64) {
        self.apps.insert(app, Entry::new(policy, Wall(since)));
    }

    /// When an app is due.
    pub(crate) fn next_of(&self, app: &AppName) -> Option<u64> {
        self.apps.get(app)?.due.map(|at| at.0)
    }
}

impl Entry {
    fn new(policy: CronPolicy, since: Wall) -> Self {
        let due = first_after(&policy, since);
        Self { policy, since, due }
    }

    fn count_from(&mut self, now: Wall) {
        self.since = now;
        self.due = first_after(&self.policy, now);
    }
}

/// The first of its times after this moment. A rule that makes no sense was refused when it was declared.
fn first_after(policy: &CronPolicy, moment: Wall) -> Option<Wall> {
    let zone = match &policy.time_zone {
        Some(zone) => TimeZone::get(zone).ok()?,
        None => TimeZone::system(),
    };
    let moment = Timestamp::from_millisecond(i64::try_from(moment.0).ok()?).ok()?.to_zoned(zone);
    let next = Cron::from_str(&policy.expression).ok()?.find_next_occurrence(&moment, false).ok()?;
    u64::try_from(next.timestamp().as_millisecond()).ok().map(Wall)
}

/// A clock of the time of day that wakes the loop, also when the clock is set (timerfd_create(2), `TFD_TIMER_CANCEL_ON_SET`) and
/// when the machine has slept.
struct Alarm(Arc<TimerFd>);

impl Alarm {
    fn new(outlet: mpsc::UnboundedSender<()>) -> io::Result<Self> {
        let timer = Arc::new(TimerFd::new(ClockId::CLOCK_REALTIME, TimerFlags::TFD_CLOEXEC)?);
        let rings = Arc::clone(&timer);
        // It ends with the loop.
        std::thread::Builder::new()
            .name("cron".to_owned())
            .spawn(move || while rings.wait().is_ok() && outlet.send(()).is_ok() {})?;
        Ok(Self(timer))
    }

    fn set(&self, at: Option<Wall>) -> io::Result<()> {
        let Some(Wall(at)) = at else { return Ok(self.0.unset()?) };
        let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
        Ok(self.0.set(Expiration::OneShot(TimeSpec::from(Duration::from_millis(at))), flags)?)
    }
}

impl Shell {
    /// Keeps the times of those apps that were not stopped, by their proven versions.
    pub(crate) fn agree_on_times(&mut self) {
        let wanted = self.core.entrusted().filter_map(|(app, id, ..)| {
            let declared = &self.revision(app, id)?.declaration;
            let (policy, heeds) = match &declared.job {
                Some(job) => (job.cron.clone()?, self.core.is_scheduled(app)),
                None => (declared.cron.clone()?, self.core.is_renewable(app)),
            };
            heeds.then(|| (app.clone(), policy))
        });
        let wanted = wanted.collect();
        if self.timetable.agree(wanted, now().wall) {
            self.unsaved = true;
            self.set_alarm();
        }
    }

    /// It is time, or the clock was set.
    pub(crate) fn on_alarm(&mut self) {
        for (app, expression) in self.timetable.due(now().wall) {
            let why = format!("cron: {expression}");
            if self.core.is_job(&app) {
                if self.catches_up(&app) {
                    // Whoever comes after a reboot has to know that this time is not missed.
                    self.ledger.change();
                }
                self.turn(Event::Run { request: None, app, why });
            } else {
                self.turn(Event::Renew { app, why });
            }
        }
        self.set_alarm();
    }

    /// Whether it is a job that makes up for times it has missed.
    pub(crate) fn catches_up(&self, app: &AppName) -> bool {
        let revision = self.core.proven(app).and_then(|id| self.revision(app, id));
        revision.and_then(|it| it.declaration.job.as_ref()).is_some_and(|job| job.catch_up)
    }

    pub(crate) fn set_alarm(&mut self) {
        let next = self.timetable.next();
        if self.timetable.alarm.is_none() && next.is_some() {
            let alarm = Alarm::new(self.outlets.alarms.clone());
            self.timetable.alarm =
                alarm.inspect_err(|error| tracing::error!("no app is replaced by the clock: {error}")).ok();
        }
        if let Some(Err(error)) = self.timetable.alarm.as_ref().map(|alarm| alarm.set(next)) {
            tracing::error!("apps are not replaced in time: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Wall {
        let moment: Timestamp = text.parse().expect("a moment");
        Wall(u64::try_from(moment.as_millisecond()).expect("after 1970"))
    }

    fn policy(expression: &str, zone: &str) -> CronPolicy {
        CronPolicy { expression: expression.to_owned(), time_zone: Some(zone.to_owned()) }
    }

    fn app(name: &str) -> AppName {
        AppName(name.to_owned())
    }

    fn table(expression: &str, zone: &str, since: &str) -> Timetable {
        let mut table = Timetable::default();
        assert!(table.agree([(app("web"), policy(expression, zone))].into(), at(since)));
        table
    }

    /// How often it is due when the clock shows these moments, one after the other.
    fn times(table: &mut Timetable, moments: &[&str]) -> Vec<usize> {
        moments.iter().map(|moment| table.due(at(moment)).len()).collect()
    }

    #[test]
    fn each_time_comes_once() {
        let mut table = table("0 3 * * *", "UTC", "2026-01-01T02:00:00Z");
        assert_eq!(table.next(), Some(at("2026-01-01T03:00:00Z")));
        let moments = [
            "2026-01-01T02:59:59.999Z",
            "2026-01-01T03:00:00Z",
            "2026-01-01T03:00:00.001Z",
            "2026-01-02T03:00:05Z",
        ];
        assert_eq!(times(&mut table, &moments), [0, 1, 0, 1]);
        assert_eq!(table.next(), Some(at("2026-01-03T03:00:00Z")));
    }

    #[test]
    fn what_was_slept_through_is_made_up_for_once() {
        let mut table = table("*/5 * * * *", "UTC", "2026-01-01T00:00:00Z");
        assert_eq!(times(&mut table, &["2026-01-09T07:01:00Z", "2026-01-09T07:01:01Z"]), [1, 0]);
        assert_eq!(table.next(), Some(at("2026-01-09T07:05:00Z")));
    }

    #[test]
    fn a_clock_that_is_set_back_brings_nothing_again_unless_it_was_far_off() {
        let mut table = table("0 3 * * *", "UTC", "2026-01-01T02:00:00Z");
        let moments = ["2026-01-01T03:00:00Z", "2026-01-01T02:59:00Z", "2026-01-01T03:00:00Z"];
        assert_eq!(times(&mut table, &moments), [1, 0, 0]);
        assert_eq!(times(&mut table, &["2031-05-01T00:00:00Z", "2026-01-01T12:00:00Z"]), [1, 0]);
        assert_eq!(table.next(), Some(at("2026-01-02T03:00:00Z")));
    }

    #[test]
    fn in_its_time_zone_and_through_the_change_of_the_hour() {
        let mut table = table("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z");
        // Half past two comes twice that night.
        assert_eq!(table.next(), Some(at("2026-10-25T00:30:00Z")));
        assert_eq!(times(&mut table, &["2026-10-25T00:30:00Z"]), [1]);
        assert_eq!(table.next(), Some(at("2026-10-26T01:30:00Z")));
    }

    #[test]
    fn seconds_may_lead() {
        let table = table("*/10 * * * * *", "UTC", "2026-01-01T00:00:01Z");
        assert_eq!(table.next(), Some(at("2026-01-01T00:00:10Z")));
    }

    #[test]
    fn a_successor_goes_on_and_a_new_rule_begins_anew() {
        let before = table("0 3 * * *", "UTC", "2026-01-01T02:00:00Z");
        let text = serde_json::to_string(&before.noted()).expect("JSON");
        let mut after = Timetable::taken_over(serde_json::from_str(&text).expect("it can be read back"));
        // It came while nobody was there.
        let now = "2026-01-01T03:00:10Z";
        assert!(!after.agree([(app("web"), policy("0 3 * * *", "UTC"))].into(), at(now)));
        assert_eq!(times(&mut after, &[now, now]), [1, 0]);
        assert!(after.agree([(app("web"), policy("0 3 * * *", "Asia/Tokyo"))].into(), at(now)));
        assert_eq!(after.next(), Some(at("2026-01-01T18:00:00Z")));
        assert!(after.agree(BTreeMap::new(), at(now)));
        assert_eq!(after.next(), None);
    }
}
