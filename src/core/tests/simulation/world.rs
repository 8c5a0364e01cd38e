//! A machine with a keeper and processes, under virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use supd_core::{
    AppName, Bytes, Condition, Effect, Event, Exit, Known, KnownState, Load, Millicpu, Mono, Now, Phase, Pid,
    RequestId, RevisionId, RunId, Snapshot, Spec, State, Supervisor, WorkerId,
};

use crate::invariants;
use crate::script::{Op, Profile, name};

/// A process as the machine has it.
#[derive(Clone, Debug)]
pub struct Process {
    profile: Profile,
    pub main: Main,
    pub survivors: bool,
    asked: bool,
}

/// Its main process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Main {
    Forked,
    Executed,
    Ended(Exit),
}

/// What happens by itself, at a time.
#[derive(Clone, Debug)]
enum Happening {
    Executes,
    Ready,
    Drained,
    Ends(Exit),
    SurvivorsEnd,
    /// What the keeper says, or a channel, reaches the supervisor.
    Arrives(Event),
}

pub struct World {
    pub core: Supervisor,
    pub now: Now,
    pub processes: BTreeMap<RunId, Process>,
    /// Runs that the core was told have ended, or that it never ordered.
    pub over: BTreeSet<RunId>,
    agenda: BTreeMap<(Mono, u64), (RunId, Happening)>,
    profiles: Vec<Profile>,
    next_profile: Option<(RevisionId, Profile)>,
    snapshot: Snapshot,
    effects_lost: bool,
    revisions: u64,
    specs: BTreeMap<RevisionId, Spec>,
    requests: u64,
    sequence: u64,
    last_arrival: Mono,
    turns: u64,
    pub asked: BTreeSet<RequestId>,
    pub answered: BTreeSet<RequestId>,
    /// Their clients are gone.
    pub abandoned: BTreeSet<RequestId>,
    last_answer: Option<bool>,
    spawns: Vec<Mono>,
    /// Workers of which a process was ordered before.
    begun: BTreeSet<WorkerId>,
    /// App and least number of ready runs, checked after every step.
    required: Option<(AppName, usize)>,
}

fn at(now: Mono, ms: u64) -> Mono {
    now + Duration::from_millis(ms)
}

impl World {
    pub fn new(profiles: Vec<Profile>) -> Self {
        let core = Supervisor::default();
        Self {
            snapshot: core.snapshot(),
            core,
            now: Now { mono: Mono(1), wall: supd_core::Wall(1) },
            processes: BTreeMap::new(),
            over: BTreeSet::new(),
            agenda: BTreeMap::new(),
            profiles,
            next_profile: None,
            effects_lost: false,
            revisions: 0,
            specs: BTreeMap::new(),
            requests: 0,
            sequence: 0,
            last_arrival: Mono(0),
            turns: 0,
            asked: BTreeSet::new(),
            answered: BTreeSet::new(),
            abandoned: BTreeSet::new(),
            last_answer: None,
            spawns: Vec::new(),
            begun: BTreeSet::new(),
            required: None,
        }
    }

    // ---- script ----------------------------------------------------------------------------------------------

    pub fn run(&mut self, op: &Op) {
        match *op {
            Op::Apply { app, kind, gently, timeout } => {
                self.revisions += 1;
                let revision = RevisionId(self.revisions);
                self.specs.insert(revision, kind.spec());
                self.wish(|request| Event::Apply {
                    request,
                    app: name(app),
                    revision,
                    spec: Box::new(kind.spec()),
                    gently,
                    timeout: timeout.map(Duration::from_millis),
                });
            }
            Op::Amend { app, kind } => {
                self.revisions += 1;
                let (revision, spec) = (RevisionId(self.revisions), Box::new(kind.spec()));
                self.specs.insert(revision, kind.spec());
                self.wish(|request| Event::Amend { request, app: name(app), revision, spec });
            }
            Op::Start { nth } => self.wish_worker(nth, |request, workers| Event::Start { request, workers }),
            Op::Stop { nth } => self.wish_worker(nth, |request, workers| Event::Stop { request, workers }),
            Op::Restart { nth } => {
                self.wish_worker(nth, |request, workers| Event::Restart { request, workers })
            }
            Op::Delete { nth } => {
                self.wish_worker(nth, |request, workers| Event::Delete { request, workers })
            }
            Op::StopApp { app } => {
                let workers = self.workers(&name(app));
                self.wish(|request| Event::Stop { request, workers });
            }
            Op::DeleteApp { app } => {
                let workers = self.workers(&name(app));
                self.wish(|request| Event::Delete { request, workers });
            }
            Op::Reload { app, timeout } => {
                let timeout = timeout.map(Duration::from_millis);
                self.wish(|request| Event::Reload { request, app: name(app), timeout });
            }
            Op::Rollback { app } => {
                self.wish(|request| Event::Rollback { request, app: name(app), timeout: None });
            }
            Op::Unfit { nth } => self.blame(nth, |run| Event::Unfit { run, why: "503".to_owned() }),
            Op::Oversize { nth } => self.blame(nth, |run| Event::Oversize { run, why: "large".to_owned() }),
            Op::Renew { app } => {
                self.handle(Event::Renew { app: name(app), why: "a.js changed".to_owned() });
            }
            Op::StartAll => {
                let workers = self.all();
                self.wish(|request| Event::Start { request, workers });
            }
            Op::StopAll => {
                let workers = self.all();
                self.wish(|request| Event::Stop { request, workers });
            }
            Op::Reboot => self.reboot(),
            Op::Scale { app, count } => self.wish(|request| Event::Scale { request, app: name(app), count }),
            Op::Load { app, cpu, memory, available } => self.load(app, cpu, memory, available),
            Op::Advance(ms) => self.advance(ms),
            Op::Crash { nth } => self.crash(nth),
            Op::Nonsense { run, kind } => self.nonsense(RunId(run), kind),
            Op::KillSupervisor { effects_lost } => self.kill_supervisor(effects_lost),
        }
    }

    /// Shuts down and checks that everything ends and everyone has been answered.
    pub fn end(&mut self) {
        self.required = None;
        self.wish(|request| Event::Shutdown { request });
        // Spawning may take its limit, then the kill timeout, then kills a second apart until the slowest has died; one app
        // may wait for another, and that one for the third.
        self.advance(3 * (2_000 + 1_000 + 1_600 + 3_000 + 3_000 + 3_000));
        invariants::all_gone(self);
    }

    fn wish(&mut self, event: impl FnOnce(RequestId) -> Event) {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.asked.insert(request);
        self.last_answer = None;
        self.handle(event(request));
    }

    fn wish_worker(&mut self, nth: u8, event: impl FnOnce(RequestId, Vec<WorkerId>) -> Event) {
        let all = self.all();
        if !all.is_empty() {
            let worker = all[usize::from(nth) % all.len()];
            self.wish(|request| event(request, vec![worker]));
        }
    }

    fn all(&self) -> Vec<WorkerId> {
        self.core.view(self.now.mono).map(|seat| seat.worker).collect()
    }

    pub fn workers(&self, app: &AppName) -> Vec<WorkerId> {
        self.core.view(self.now.mono).filter(|seat| seat.app == app).map(|seat| seat.worker).collect()
    }

    fn crash(&mut self, nth: u8) {
        let alive: Vec<RunId> = self.alive().collect();
        if !alive.is_empty() {
            self.happen(alive[usize::from(nth) % alive.len()], Happening::Ends(Exit::Signal(9)));
        }
    }

    fn blame(&mut self, nth: u8, event: impl FnOnce(RunId) -> Event) {
        let runs: Vec<RunId> = self.core.runs().map(|(_, _, _, run)| run.run).collect();
        if !runs.is_empty() {
            let run = runs[usize::from(nth) % runs.len()];
            self.handle(event(run));
        }
    }

    fn load(&mut self, app: u8, cpu: Option<u64>, memory: u64, available: Option<u64>) {
        let ready = self.ready_runs(app).into_iter();
        let runs = ready.map(|run| Load { run, cpu: cpu.map(Millicpu), memory: Bytes(memory) }).collect();
        let before = self.core.scaling(&name(app)).map(|scaling| scaling.count);
        self.handle(Event::Load { app: name(app), runs, available: available.map(Bytes) });
        // Nothing has to be carried out first; it is kept as soon as there is nothing else to do.
        self.snapshot = self.core.snapshot();
        if let Some(before) = before {
            invariants::within_bounds(self, &name(app), before);
        }
    }

    fn nonsense(&mut self, run: RunId, kind: u8) {
        let exit = Exit::Code(0);
        self.handle(match kind {
            0 => Event::Spawned { run, pid: Pid(1) },
            1 => Event::NotStarted { run, why: "nonsense".to_owned() },
            2 => Event::Ready { run },
            3 => Event::Exited { run, exit, survivors: true },
            4 => Event::Exited { run, exit, survivors: false },
            5 => Event::Unfit { run, why: "nonsense".to_owned() },
            6 => Event::Drained { run },
            _ => Event::Gone { run },
        });
    }

    fn kill_supervisor(&mut self, effects_lost: bool) {
        if effects_lost {
            // It dies in the middle of a turn: the snapshot is written, nothing is carried out.
            self.effects_lost = true;
            self.handle(Event::Tick);
            self.effects_lost = false;
        }
        self.abandoned.extend(self.asked.difference(&self.answered));
        self.agenda.retain(|_, (_, happening)| match happening {
            Happening::Arrives(Event::Ready { .. } | Event::Drained { .. }) => true,
            Happening::Arrives(_) => false,
            Happening::Executes
            | Happening::Ready
            | Happening::Drained
            | Happening::Ends(_)
            | Happening::SurvivorsEnd => true,
        });
        self.core = Supervisor::restore(self.snapshot.clone()).expect("its version is ours");
        let known = self
            .processes
            .iter()
            .map(|(run, process)| Known { run: *run, pid: Pid(1), state: process.known() })
            .collect();
        self.handle(Event::Resync { known });
    }

    /// Every process is gone with the machine, and everyone who waited.
    fn reboot(&mut self) {
        self.abandoned.extend(self.asked.difference(&self.answered));
        let apps: Vec<_> = self
            .core
            .entrusted()
            .map(|(app, revision, _, seats)| (app.clone(), revision, seats))
            .filter_map(|(app, revision, seats)| {
                Some((self.specs.get(&revision)?.clone(), app, revision, seats))
            })
            .collect();
        self.over.clear();
        self.processes.clear();
        self.agenda.clear();
        self.core = Supervisor::default();
        self.begun.clear();
        self.spawns.clear();
        for (spec, app, revision, seats) in apps {
            self.handle(Event::Recall { app, revision, spec: Box::new(spec), seats, previous: None });
        }
    }

    // ---- time ------------------------------------------------------------------------------------------------

    fn advance(&mut self, ms: u64) {
        let end = at(self.now.mono, ms);
        loop {
            let event = self.agenda.keys().next().map(|(when, _)| *when);
            let tick = self.core.next_deadline();
            let Some(next) = event.into_iter().chain(tick).min().filter(|when| *when <= end) else { break };
            self.pass(self.now.mono.max(next));
            if event == Some(next) {
                let (_, (run, happening)) = self.agenda.pop_first().expect("it was there");
                self.happen(run, happening);
            } else {
                self.handle(Event::Tick);
            }
        }
        self.pass(end);
        self.handle(Event::Tick);
    }

    /// It is that late now, by both clocks.
    fn pass(&mut self, until: Mono) {
        self.now = Now { mono: until, wall: supd_core::Wall(until.0 / 1_000_000) };
    }

    fn plan(&mut self, ms: u64, run: RunId, happening: Happening) {
        self.sequence += 1;
        self.agenda.insert((at(self.now.mono, ms), self.sequence), (run, happening));
    }

    /// Reports reach the supervisor in order, a moment later; the channel of a run is on its own.
    fn report(&mut self, run: RunId, event: Event) {
        self.sequence += 1;
        let when = match event {
            Event::Ready { .. } | Event::Drained { .. } => self.now.mono,
            _ => at(self.now.mono, self.sequence % 3).max(self.last_arrival),
        };
        self.last_arrival = self.last_arrival.max(when);
        self.agenda.insert((when, self.sequence), (run, Happening::Arrives(event)));
    }

    fn happen(&mut self, run: RunId, happening: Happening) {
        if let Happening::Arrives(event) = happening {
            return self.handle(event);
        }
        let Some(process) = self.processes.get_mut(&run) else { return };
        let profile = process.profile;
        match (happening, &process.main) {
            (Happening::Executes, Main::Forked) => match profile.executes_after {
                None => {
                    self.processes.remove(&run);
                    self.report(run, Event::NotStarted { run, why: "missing".to_owned() });
                }
                Some(_) => {
                    process.main = Main::Executed;
                    self.report(run, Event::Spawned { run, pid: Pid(1) });
                    if let Some(ms) = profile.ready_after {
                        self.plan(ms, run, Happening::Ready);
                    }
                    if let Some(ms) = profile.dies_after {
                        self.plan(ms, run, Happening::Ends(Exit::Code(profile.code)));
                    }
                }
            },
            (Happening::Ready, Main::Executed) => self.report(run, Event::Ready { run }),
            (Happening::Drained, Main::Executed) => self.report(run, Event::Drained { run }),
            (Happening::Ends(exit), Main::Forked | Main::Executed) => {
                process.main = Main::Ended(exit.clone());
                process.survivors = profile.leaves.is_some() && exit != Exit::Signal(9);
                let survivors = process.survivors;
                if let (true, Some(Some(ms))) = (process.asked, profile.leaves) {
                    self.plan(ms, run, Happening::SurvivorsEnd);
                }
                self.report(run, Event::Exited { run, exit, survivors });
            }
            (Happening::SurvivorsEnd, Main::Ended(_)) if process.survivors => {
                process.survivors = false;
                self.report(run, Event::Gone { run });
            }
            _ => {}
        }
    }

    // ---- orders ----------------------------------------------------------------------------------------------

    /// One turn, with every check around it.
    pub fn handle(&mut self, event: Event) {
        self.turns += 1;
        if self.turns.is_multiple_of(8) {
            invariants::same_after_a_round_trip(&self.core, self.now, &event);
        }
        if let Event::NotStarted { run, .. }
        | Event::Gone { run }
        | Event::Exited { run, survivors: false, .. } = event
        {
            self.over.insert(run);
        }
        let before = self.core.clone();
        let effects = self.core.handle(self.now, event);
        invariants::in_order(&before, self, &effects);
        if self.all().is_empty() {
            // Their numbers are given anew.
            self.begun.clear();
        }
        if !effects.is_empty() {
            self.snapshot = self.core.snapshot();
        }
        if !self.effects_lost {
            for effect in effects {
                self.perform(effect);
            }
        }
        invariants::after_a_turn(self);
        if let Some((app, least)) = self.required.clone() {
            assert!(self.ready(&app) >= least, "ready runs of {app}: {} < {least}", self.ready(&app));
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Spawn { run, worker, revision, .. } => {
                self.begun.insert(worker);
                self.spawn(run, revision);
            }
            Effect::Drain { run } => self.drain(run),
            Effect::Stop { run } | Effect::Sweep { run } => self.ask(run),
            Effect::Kill { run } => self.kill(run),
            Effect::Forget { run } => {
                let process = self.processes.remove(&run);
                let alive = process.is_some_and(|p| p.survivors || !matches!(p.main, Main::Ended(_)));
                assert!(!alive, "{run} is forgotten while it lives");
            }
            Effect::Save
            | Effect::Watch { .. }
            | Effect::DropRevision { .. }
            | Effect::Idle { .. }
            | Effect::Tell(_) => {}
            Effect::Answer { request, results } => {
                self.last_answer = Some(results.iter().any(|result| result.failure.is_some()));
                let first = self.answered.insert(request);
                assert!(first || self.abandoned.contains(&request), "request {request} is answered twice");
            }
        }
    }

    fn spawn(&mut self, run: RunId, revision: RevisionId) {
        let own = self.next_profile.filter(|(known, _)| *known == revision).map(|(_, profile)| profile);
        let by_turns = self.profiles[usize::try_from(run.0).expect("small") % self.profiles.len()];
        let profile = own.unwrap_or(by_turns);
        let process = Process { profile, main: Main::Forked, survivors: false, asked: false };
        assert!(self.processes.insert(run, process).is_none(), "{run} is ordered twice");
        self.spawns.push(self.now.mono);
        self.plan(profile.executes_after.unwrap_or(1), run, Happening::Executes);
    }

    fn drain(&mut self, run: RunId) {
        assert!(!self.over.contains(&run), "{run} is told to drain after its end");
        let profile = self.processes.get(&run).map(|process| process.profile);
        if let Some(ms) = profile.and_then(|profile| profile.drains_after) {
            self.plan(ms, run, Happening::Drained);
        }
    }

    fn ask(&mut self, run: RunId) {
        assert!(!self.over.contains(&run), "{run} is asked to go after its end");
        let Some(process) = self.processes.get_mut(&run) else { return };
        process.asked = true;
        let (profile, ended) = (process.profile, matches!(process.main, Main::Ended(_)));
        match (ended, profile.goes_after, profile.leaves) {
            (false, Some(ms), _) => self.plan(ms, run, Happening::Ends(Exit::Code(0))),
            (true, _, Some(Some(ms))) => self.plan(ms, run, Happening::SurvivorsEnd),
            _ => {}
        }
    }

    fn kill(&mut self, run: RunId) {
        assert!(!self.over.contains(&run) || run.0 >= 1_000_000, "{run} is killed after its end");
        let Some(ms) = self.processes.get(&run).map(|process| process.profile.dies_of_kill_after) else {
            return;
        };
        self.plan(ms, run, Happening::Ends(Exit::Signal(9)));
        self.plan(ms, run, Happening::SurvivorsEnd);
    }

    // ---- questions -------------------------------------------------------------------------------------------

    pub fn alive(&self) -> impl Iterator<Item = RunId> {
        self.processes
            .iter()
            .filter(|(_, process)| !matches!(process.main, Main::Ended(_)))
            .map(|(run, _)| *run)
    }

    /// The processes of an app, whatever they do.
    pub fn of_app(&self, app: u8) -> BTreeSet<RunId> {
        let app = name(app);
        self.core.runs().filter(|(known, ..)| **known == app).map(|(_, _, _, run)| run.run).collect()
    }

    /// The state of the only worker of an app, and why.
    pub fn state(&self, app: u8) -> (State, String) {
        let app = name(app);
        let seat = self.core.view(self.now.mono).find(|seat| *seat.app == app).expect("it has one");
        (seat.state, seat.reason)
    }

    /// Whether nothing of the worker ran before. A rollout waits for nobody.
    pub fn is_first_start(&self, before: &Supervisor, app: &AppName, worker: WorkerId) -> bool {
        let moving = before.progress(app).is_some() || self.core.progress(app).is_some();
        !self.begun.contains(&worker) && !moving
    }

    /// Each app with each one on which it depends, directly or not.
    pub fn all_below(&self) -> BTreeSet<(AppName, AppName)> {
        let mut pairs: BTreeSet<(AppName, AppName)> = BTreeSet::new();
        for app in (0..3).map(name) {
            let mut open = vec![app.clone()];
            while let Some(next) = open.pop() {
                for on in self.depends_on(&next).into_keys() {
                    if pairs.insert((app.clone(), on.clone())) {
                        open.push(on);
                    }
                }
            }
        }
        pairs
    }

    /// What an app was declared to depend on.
    pub fn depends_on(&self, app: &AppName) -> BTreeMap<AppName, Condition> {
        let revision = self.core.proven(app);
        revision
            .and_then(|revision| self.specs.get(&revision))
            .map(|spec| spec.depends_on.clone())
            .unwrap_or_default()
    }

    /// Runs that the core holds ready and that really live.
    fn ready(&self, app: &AppName) -> usize {
        self.core
            .runs()
            .filter(|(name, _, _, run)| *name == app && matches!(run.phase, Phase::Ready { .. }))
            .filter(|(_, _, _, run)| self.alive().any(|alive| alive == run.run))
            .count()
    }

    pub fn ready_runs(&self, app: u8) -> Vec<RunId> {
        let runs = self.core.runs().filter(|(known, ..)| **known == name(app)).map(|(.., run)| run);
        runs.filter(|run| matches!(run.phase, Phase::Ready { .. })).map(|run| run.run).collect()
    }

    pub fn require_ready(&mut self, app: u8, count: u32) {
        self.required = Some((name(app), count as usize));
        self.handle(Event::Tick);
    }

    pub fn revisions_in_service(&self, app: u8) -> BTreeSet<RevisionId> {
        let app = name(app);
        let ready = |phase| matches!(phase, Phase::Ready { .. });
        self.core
            .runs()
            .filter(|(known, _, _, run)| **known == app && ready(run.phase))
            .map(|(_, _, _, run)| run.revision)
            .collect()
    }

    pub fn set_profile_of_next_revision(&mut self, profile: Profile) {
        self.next_profile = Some((RevisionId(self.revisions + 1), profile));
    }

    pub fn last_answer_failed(&self) -> bool {
        self.last_answer == Some(true)
    }

    pub fn spawn_times(&self) -> &[Mono] {
        &self.spawns
    }
}

impl Process {
    fn known(&self) -> KnownState {
        match &self.main {
            Main::Forked => KnownState::Spawning,
            Main::Executed => KnownState::Alive,
            Main::Ended(exit) => KnownState::Exited { exit: exit.clone(), survivors: self.survivors },
        }
    }
}
