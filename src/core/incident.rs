//! What is told to people who are not looking: one word when trouble begins, one when it is over.
//!
//! An incident is a kind of trouble of one app. While it lasts, more of the same is counted, not told. It depends on nothing and nothing
//! depends on it; it is part of the snapshot, so that a successor neither tells it again nor forgets that it is to be ended.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{Mono, Now};
use crate::event::{Exit, Happening, What};
use crate::id::{AppName, WorkerId};

/// A kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// Workers end unasked and are started again. Over when all are ready and none has failed for a while.
    Failing,
    /// A worker has been given up. Over when it is up again or nobody wants it any more.
    Down,
    /// A reload was taken back. Over when the next one ends well.
    Reload,
    /// A run of a job has failed. Over when one has completed.
    Job,
}

/// A word to be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// The incident's number: what begins and what is over belong together by it.
    pub incident: u64,
    /// The app.
    pub app: AppName,
    /// What kind.
    pub trouble: Trouble,
    /// It is over; otherwise it begins.
    pub over: bool,
    /// Milliseconds of Unix time.
    pub at: u64,
    /// In words.
    pub text: String,
}

/// One that lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Incident {
    number: u64,
    app: AppName,
    trouble: Trouble,
    /// The last time that something of it happened.
    last: Mono,
    /// How often something of it has happened.
    count: u32,
    /// Workers that are not up again.
    workers: BTreeSet<WorkerId>,
}

/// Those that last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incidents {
    last_number: u64,
    open: Vec<Incident>,
    /// Apps in a reload: how it ends tells of the ends in it.
    moving: BTreeSet<AppName>,
}

/// What is wished now.
pub struct Ground<'a> {
    /// Whether this worker shall run.
    pub is_wished: &'a dyn Fn(WorkerId) -> bool,
    /// Whether there is this app.
    pub exists: &'a dyn Fn(&AppName) -> bool,
}

impl Incidents {
    /// Takes note of what has happened. An end with code 0 is no trouble: a job is done; where it goes on and on, its worker is given up.
    pub fn record(&mut self, now: Now, happening: &Happening) -> Option<Alert> {
        let Happening { app, worker, what } = happening;
        match (what, worker) {
            (What::Failed(death), Some(_)) if self.moving.contains(app) || death.exit == Exit::Code(0) => {
                None
            }
            (What::Failed(death), Some(worker)) => {
                let text = format!("worker {worker}: {}", death.exit);
                self.begin(now, app, Trouble::Failing, Some(*worker), text)
            }
            (What::GivenUp(why), Some(worker)) => {
                self.begin(now, app, Trouble::Down, Some(*worker), format!("worker {worker}: {why}"))
            }
            (What::Ready(_) | What::Stopped, Some(worker)) => {
                for incident in &mut self.open {
                    incident.workers.remove(worker);
                }
                None
            }
            (What::JobFailed(death), Some(_)) => {
                self.begin(now, app, Trouble::Job, None, format!("a run has failed: {}", death.exit))
            }
            (What::Completed(_), Some(_)) => self.end(now, app, Trouble::Job, "a run has completed"),
            (What::ReloadBegan(_), _) => {
                self.moving.insert(app.clone());
                None
            }
            (What::ReloadDone, _) => {
                self.moving.remove(app);
                self.end(now, app, Trouble::Reload, "reloaded")
            }
            (What::ReloadFailed(why) | What::RolledBack(why), _) => {
                self.moving.remove(app);
                let text = format!("the version before is back: the new one {why}");
                self.begin(now, app, Trouble::Reload, None, text)
            }
            _ => None,
        }
    }

    /// Ends what is over by now. `quiet`: so long without another failure is enough.
    pub fn settle(&mut self, now: Now, quiet: Duration, ground: &Ground<'_>) -> Vec<Alert> {
        self.moving.retain(|app| (ground.exists)(app));
        for incident in &mut self.open {
            incident.workers.retain(|worker| (ground.is_wished)(*worker));
        }
        let (over, open) = std::mem::take(&mut self.open).into_iter().partition::<Vec<_>, _>(|incident| {
            !(ground.exists)(&incident.app) || incident.workers.is_empty()
        });
        self.open = open;
        let (mut alerts, mut lasting) = (Vec::new(), Vec::new());
        for incident in over {
            let is_down =
                || self.open.iter().any(|open| open.app == incident.app && open.trouble == Trouble::Down);
            match incident.trouble {
                _ if !(ground.exists)(&incident.app) => {
                    alerts.push(incident.over(now, "there is no such app any more".to_owned()));
                }
                Trouble::Down => alerts.push(incident.over(now, "no worker is given up any more".to_owned())),
                Trouble::Failing if now.mono.since(incident.last) >= quiet && !is_down() => {
                    let text = format!("no failure for {}; {} in all", minutes(quiet), incident.count);
                    alerts.push(incident.over(now, text));
                }
                Trouble::Failing | Trouble::Reload | Trouble::Job => lasting.push(incident),
            }
        }
        self.open.extend(lasting);
        alerts
    }

    /// When something may be over by itself.
    pub fn next_deadline(&self, quiet: Duration) -> Option<Mono> {
        let is_down =
            |app: &AppName| self.open.iter().any(|open| open.app == *app && open.trouble == Trouble::Down);
        let failing = self.open.iter().filter(|incident| {
            incident.trouble == Trouble::Failing && incident.workers.is_empty() && !is_down(&incident.app)
        });
        failing.map(|incident| incident.last + quiet).min()
    }

    /// Whether nothing is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.moving.is_empty()
    }

    fn begin(
        &mut self,
        now: Now,
        app: &AppName,
        trouble: Trouble,
        worker: Option<WorkerId>,
        text: String,
    ) -> Option<Alert> {
        let known = self.open.iter().position(|it| it.app == *app && it.trouble == trouble);
        let index = known.unwrap_or_else(|| {
            self.last_number += 1;
            let (number, app) = (self.last_number, app.clone());
            self.open.push(Incident {
                number,
                app,
                trouble,
                last: now.mono,
                count: 0,
                workers: BTreeSet::new(),
            });
            self.open.len() - 1
        });
        let incident = &mut self.open[index];
        incident.last = now.mono;
        incident.count = incident.count.saturating_add(1);
        incident.workers.extend(worker);
        known.is_none().then(|| incident.alert(now, false, text))
    }

    fn end(&mut self, now: Now, app: &AppName, trouble: Trouble, text: &str) -> Option<Alert> {
        let index = self.open.iter().position(|it| it.app == *app && it.trouble == trouble)?;
        Some(self.open.remove(index).over(now, text.to_owned()))
    }
}

impl Incident {
    fn over(&self, now: Now, text: String) -> Alert {
        self.alert(now, true, text)
    }

    fn alert(&self, now: Now, over: bool, text: String) -> Alert {
        let (incident, app, trouble) = (self.number, self.app.clone(), self.trouble);
        Alert { incident, app, trouble, over, at: now.wall.0, text }
    }
}

fn minutes(span: Duration) -> String {
    match span.as_secs() {
        s if s >= 120 && s % 60 == 0 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

#[cfg(test)]
mod tests {
    use crate::clock::Wall;
    use crate::event::Death;
    use crate::id::{RevisionId, RunId};

    use super::*;

    const QUIET: Duration = Duration::from_secs(300);

    struct Stage {
        incidents: Incidents,
        second: u64,
        wished: bool,
        exists: bool,
        told: Vec<(u64, Trouble, bool)>,
    }

    impl Stage {
        fn new() -> Self {
            Self { incidents: Incidents::default(), second: 0, wished: true, exists: true, told: Vec::new() }
        }

        /// At this second this happens to that worker, after a change of supervisor: the state goes through JSON each time.
        fn at(&mut self, second: u64, worker: u32, what: What) {
            self.pass(second);
            let happening = Happening { app: AppName("web".into()), worker: Some(WorkerId(worker)), what };
            let alert = self.incidents.record(self.now(), &happening);
            self.note(alert);
            self.pass(second);
        }

        /// Time passes as the loop lets it: from deadline to deadline.
        fn pass(&mut self, second: u64) {
            loop {
                let text = serde_json::to_string(&self.incidents).expect("JSON");
                self.incidents = serde_json::from_str(&text).expect("what was written");
                let ground = Ground { is_wished: &|_| self.wished, exists: &|_| self.exists };
                let alerts = self.incidents.settle(self.now(), QUIET, &ground);
                alerts.into_iter().for_each(|alert| self.note(Some(alert)));
                let next = self.incidents.next_deadline(QUIET).map(|at| at.0 / 1_000_000_000);
                assert!(next.is_none_or(|next| next > self.second), "a deadline that has passed remains");
                match next.filter(|next| *next <= second) {
                    Some(next) => self.second = next,
                    None if self.second < second => self.second = second,
                    None => return,
                }
            }
        }

        fn now(&self) -> Now {
            Now { mono: Mono(self.second * 1_000_000_000), wall: Wall(self.second * 1000) }
        }

        fn note(&mut self, alert: Option<Alert>) {
            self.told.extend(alert.map(|alert| (alert.at / 1000, alert.trouble, alert.over)));
        }
    }

    fn failed(code: i32) -> What {
        let (run, revision, exit) = (RunId(1), RevisionId(1), Exit::Code(code));
        What::Failed(Death { run, revision, pid: None, exit, uptime: Duration::ZERO })
    }

    fn ready() -> What {
        What::Ready(Duration::ZERO)
    }

    #[test]
    fn a_storm_of_crashes_is_one_incident() {
        let mut stage = Stage::new();
        for second in 10..100 {
            stage.at(second, second as u32 % 3, failed(1));
            stage.at(second, second as u32 % 3, ready());
        }
        stage.pass(10_000);
        assert_eq!(stage.told, [(10, Trouble::Failing, false), (99 + 300, Trouble::Failing, true)]);
        stage.at(20_000, 0, failed(1));
        assert_eq!(stage.told.len(), 3, "another one");
        assert!(!stage.incidents.is_empty());
    }

    #[test]
    fn it_lasts_as_long_as_one_is_not_up_again() {
        let mut stage = Stage::new();
        stage.at(0, 0, failed(1));
        stage.pass(5_000);
        assert_eq!(stage.told, [(0, Trouble::Failing, false)]);
        stage.at(5_000, 0, ready());
        assert_eq!(stage.told[1..], [(5_000, Trouble::Failing, true)]);
    }

    #[test]
    fn given_up_and_up_again() {
        let mut stage = Stage::new();
        stage.at(0, 0, failed(1));
        stage.at(1, 0, What::GivenUp("given up".into()));
        stage.at(1, 1, What::GivenUp("given up".into()));
        stage.at(900, 0, ready());
        stage.pass(2_000);
        assert_eq!(stage.told, [(0, Trouble::Failing, false), (1, Trouble::Down, false)]);
        stage.at(2_000, 1, ready());
        assert_eq!(stage.told[2..], [(2_000, Trouble::Down, true), (2_000, Trouble::Failing, true)]);
        assert!(stage.incidents.is_empty());
    }

    #[test]
    fn what_nobody_wants_any_more_is_over() {
        for (wished, exists) in [(false, true), (false, false)] {
            let mut stage = Stage::new();
            stage.at(0, 0, What::GivenUp("given up".into()));
            (stage.wished, stage.exists) = (wished, exists);
            stage.pass(1);
            assert_eq!(stage.told, [(0, Trouble::Down, false), (0, Trouble::Down, true)]);
        }
    }

    #[test]
    fn ends_in_a_reload_belong_to_it() {
        let mut stage = Stage::new();
        stage.at(0, 0, What::ReloadBegan(1));
        stage.at(1, 0, failed(1));
        stage.at(2, 0, What::ReloadFailed("exited with code 1".into()));
        stage.at(3, 0, What::ReloadBegan(1));
        stage.at(4, 0, What::ReloadFailed("exited with code 1".into()));
        assert_eq!(stage.told, [(2, Trouble::Reload, false)]);
        stage.pass(10_000);
        stage.at(10_000, 0, What::ReloadBegan(1));
        stage.at(10_001, 0, What::ReloadDone);
        assert_eq!(stage.told[1..], [(10_001, Trouble::Reload, true)]);
    }

    #[test]
    fn a_job_fails_until_a_run_of_it_completes() {
        let mut stage = Stage::new();
        let job_failed = |code| match failed(code) {
            What::Failed(death) => What::JobFailed(death),
            other => other,
        };
        stage.wished = false;
        stage.at(0, 0, What::Completed(Duration::ZERO));
        stage.at(100, 0, job_failed(1));
        stage.at(86_500, 0, job_failed(2));
        assert_eq!(stage.told, [(100, Trouble::Job, false)], "no quiet period ends it");
        stage.at(172_900, 0, What::Completed(Duration::ZERO));
        assert_eq!(stage.told[1..], [(172_900, Trouble::Job, true)]);
        assert!(stage.incidents.is_empty());
    }

    #[test]
    fn a_job_that_is_done_is_no_trouble() {
        let mut stage = Stage::new();
        stage.at(0, 0, failed(0));
        stage.at(1, 0, What::Stopped);
        assert!(stage.told.is_empty() && stage.incidents.is_empty());
    }
}
