//! Apps that are started anew when their files change.
//!
//! Whenever what is entrusted to us has changed, the watches are made to agree with it: an app with a worker that is to run, or ended by itself, is
//! watched as its proven version says, any other is not. What changed while nobody watched, because the supervisor died or
//! a large tree was still being looked through, counts if it is younger than the app's oldest process and the last change
//! that was acted upon. That moment is part of the snapshot, so that a broken build is not tried again by every successor. A
//! file that was deleted meanwhile is not missed by anybody.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use supd_api::{Accepted, AppDeclaration, Stream, WatchPolicy, Watching};
use supd_core::{AppName, Event, Wall, WorkerResult};

use crate::printable::printable;
use crate::supervisor::call::Reply;
use crate::supervisor::now;
use crate::supervisor::runs::paths;
use crate::supervisor::turn::Shell;
use crate::watch::{self, Change, News, Plan, Watch};

/// A longer path is cut where it is told.
const LONGEST: usize = 200;

/// The watches of all apps.
#[derive(Default)]
pub(crate) struct Watches {
    armed: BTreeMap<AppName, Armed>,
    pub(crate) handled: Handled,
    /// Counts them, so that what a former one still has to say is not taken for the present one's.
    count: u64,
}

/// Unix time in milliseconds of the last change that was acted upon, by app.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Handled(BTreeMap<AppName, u64>);

struct Armed {
    number: u64,
    since: Wall,
    /// But for the moment from which changes count.
    plan: Plan,
    trouble: Option<String>,
    _watch: Option<Watch>,
}

/// What a watch tells, with its number.
#[derive(Debug)]
pub(crate) struct Tidings {
    app: AppName,
    number: u64,
    news: News,
}

impl Shell {
    /// Watches what is to be watched now, and nothing else. Where that failed, it is tried again for new processes.
    pub(crate) fn agree_on_watches(&mut self) {
        let wanted = self.plans();
        let runs: Vec<_> = self.core.runs().map(|(app, .., run)| (app, run.started.wall)).collect();
        self.watches.armed.retain(|app, armed| {
            let newer = runs.iter().any(|(of, started)| *of == app && *started > armed.since);
            wanted.get(app).is_some_and(|plan| armed.is_as(plan)) && !(armed.trouble.is_some() && newer)
        });
        for (app, plan) in wanted {
            if !self.watches.armed.contains_key(&app) {
                self.arm(app, plan);
            }
        }
        let apps: Vec<AppName> = self.core.entrusted().map(|(app, ..)| app.clone()).collect();
        self.watches.handled.0.retain(|app, _| apps.contains(app));
    }

    /// Until the apps are declared anew, their files are not watched. Their workers stay.
    pub(crate) fn unwatch(&mut self, targets: &[String], reply: Reply<Accepted>) {
        let wanted = match self.refuse_while_halting().and_then(|()| self.resolve(targets)) {
            Ok(wanted) => wanted,
            Err(fault) => return drop(reply.send(Err(fault))),
        };
        let seats = self.core.view(now().mono).filter(|seat| wanted.contains(&seat.worker.0));
        let results: Vec<WorkerResult> = seats
            .map(|seat| WorkerResult {
                worker: seat.worker,
                app: seat.app.clone(),
                failure: None,
                exit: None,
            })
            .collect();
        for ((app, _), revision) in &mut self.revisions {
            if results.iter().any(|result| result.app == *app) {
                Arc::make_mut(revision).declaration.watch.enabled = false;
            }
        }
        let request = self.new_request();
        self.requests.wait(&[request], Vec::new(), reply);
        self.requests.save(self.ledger.change());
        self.requests.answer(request, results, &self.ledger);
        self.unsaved = true;
        self.agree_on_watches();
        self.save_if_needed();
    }

    fn plans(&self) -> BTreeMap<AppName, Plan> {
        if self.core.is_halting() {
            return BTreeMap::new();
        }
        let plan = |(app, id, _, seats): (&AppName, _, _, Vec<supd_core::Recalled>)| {
            let declaration = &self.revision(app, id)?.declaration;
            let workers: Vec<u32> = seats.iter().map(|seat| seat.worker.0).collect();
            let wanted = declaration.watch.enabled && self.core.is_renewable(app);
            wanted.then(|| (app.clone(), self.plan(app, declaration, &workers)))
        };
        self.core.entrusted().filter_map(plan).collect()
    }

    fn plan(&self, app: &AppName, declaration: &AppDeclaration, workers: &[u32]) -> Plan {
        let policy = &declaration.watch;
        let since = self.loaded_at(app).unwrap_or_else(|| now().wall.0);
        let since = since.max(self.watches.handled.0.get(app).copied().unwrap_or_default());
        Plan {
            paths: if policy.paths.is_empty() { vec![declaration.cwd.clone()] } else { policy.paths.clone() },
            base: declaration.cwd.clone(),
            ignore: policy.ignore.clone(),
            gitignore: policy.gitignore,
            own: self.written_by_us(declaration, workers),
            own_prefixes: self.put_aside(declaration, workers),
            delay: policy.delay.duration(),
            since: UNIX_EPOCH + Duration::from_millis(since),
        }
    }

    /// When the oldest of its processes, or else of those that have ended, was started: what it has loaded is not newer.
    fn loaded_at(&self, app: &AppName) -> Option<u64> {
        let runs = self.core.runs().filter(|(name, ..)| *name == app).map(|(.., run)| run.started.wall.0);
        let ended = self.core.view(now().mono).filter(|seat| seat.app == app).filter_map(|seat| {
            let (_, Wall(at), uptime) = seat.last_exit?;
            Some(at.saturating_sub(uptime.as_millis().try_into().unwrap_or(u64::MAX)))
        });
        runs.min().or_else(|| ended.min())
    }

    /// What is written because the app runs: its logs and pid files, and what is ours.
    fn written_by_us(&self, app: &AppDeclaration, workers: &[u32]) -> Vec<PathBuf> {
        let own = workers.iter().flat_map(|worker| {
            let logs = self.logs_of(app, *worker);
            logs.into_iter().chain([paths::pid_file(&self.home, app, *worker)])
        });
        let own: BTreeSet<PathBuf> = own.chain(self.home.all()).collect();
        own.into_iter().collect()
    }

    /// How the files begin to which its logs are put aside: `NAME__DATE`.
    fn put_aside(&self, app: &AppDeclaration, workers: &[u32]) -> Vec<PathBuf> {
        let logs: BTreeSet<PathBuf> = workers.iter().flat_map(|worker| self.logs_of(app, *worker)).collect();
        let aside = |log: PathBuf| {
            let mut name = log.file_stem()?.to_owned();
            name.push("__");
            Some(log.with_file_name(name))
        };
        logs.into_iter().filter_map(aside).collect()
    }

    fn logs_of(&self, app: &AppDeclaration, worker: u32) -> Vec<PathBuf> {
        let log = |stream| paths::log_file(&self.home, app, worker, stream);
        let combined = paths::combined_log_file(&self.home, app, worker);
        log(Stream::Out).into_iter().chain(log(Stream::Err)).chain(combined).collect()
    }

    fn arm(&mut self, app: AppName, plan: Plan) {
        self.watches.count += 1;
        let (number, outlet, name) = (self.watches.count, self.outlets.tidings.clone(), app.clone());
        // The loop may have ended.
        let tell = move |news| drop(outlet.send(Tidings { app: name.clone(), number, news }));
        let (watch, trouble) = match watch::watch(plan.clone(), tell) {
            Ok(watch) => (Some(watch), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let armed = Armed { number, since: now().wall, plan, trouble: None, _watch: watch };
        self.watches.armed.insert(app.clone(), armed);
        if let Some(trouble) = trouble {
            self.on_watch_trouble(&app, trouble);
        }
    }

    pub(crate) fn on_tidings(&mut self, tidings: Tidings) {
        let Tidings { app, number, news } = tidings;
        if self.watches.armed.get(&app).is_none_or(|armed| armed.number != number) {
            return;
        }
        match news {
            News::Watching { directories } => tracing::info!("{app}: {directories} directories are watched"),
            News::Trouble(trouble) => self.on_watch_trouble(&app, trouble),
            News::Changed(change) => {
                self.watches.handled.0.insert(app.clone(), now().wall.0);
                self.turn(Event::Renew { app, why: told(&change) });
            }
        }
    }

    /// The app goes on; whoever looks is told.
    fn on_watch_trouble(&mut self, app: &AppName, trouble: String) {
        tracing::error!("{app} is not watched: {trouble}");
        if let Some(armed) = self.watches.armed.get_mut(app) {
            armed.trouble = Some(trouble);
            armed._watch = None;
        }
    }
}

impl Watches {
    /// Whether an app is not watched that should be.
    pub(crate) fn is_troubled(&self) -> bool {
        self.armed.values().any(|armed| armed.trouble.is_some())
    }

    /// Whether an app's files are watched.
    pub(crate) fn view(&self, app: &AppName, policy: &WatchPolicy) -> Watching {
        let trouble = self.armed.get(app).and_then(|armed| armed.trouble.clone());
        match (policy.enabled, trouble) {
            (false, _) => Watching::Off,
            (true, None) => Watching::On,
            (true, Some(trouble)) => Watching::Failed(trouble),
        }
    }
}

impl Armed {
    /// Whether it watches the same; from when on changes count was for its beginning only.
    fn is_as(&self, plan: &Plan) -> bool {
        self.plan == Plan { since: self.plan.since, ..plan.clone() }
    }
}

fn told(change: &Change) -> String {
    let path = printable(change.path.as_os_str().as_encoded_bytes(), LONGEST);
    let others = if change.others { " and others" } else { "" };
    format!("watch: {path}{others} changed")
}
