//! Does what the daemon says hold in the machine? To be asked when nobody wants anything of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cast::{self, Build, CAST, Habit, Part};
use crate::census::Census;
use crate::daemon::Daemon;
use crate::faults::Ground;
use crate::process;

/// Longer than all that a rain leaves behind takes: pauses between restarts, drains and kills.
const PATIENCE: Duration = Duration::from_secs(90);

/// What keeper and supervisor have.
#[derive(Debug)]
pub struct Belongings {
    keeper: BTreeMap<String, usize>,
    supervisor: BTreeMap<String, usize>,
    /// KiB of their own.
    pub memory: u64,
}

impl Belongings {
    fn of(daemon: &Daemon) -> Self {
        let (keeper, supervisor) = daemon.heads();
        let memory = process::memory(keeper) + process::memory(supervisor);
        Self { keeper: descriptors(keeper), supervisor: descriptors(supervisor), memory }
    }

    /// When they do not change any more: what has ended is closed a moment later. If there is a before: when they are the
    /// same again.
    ///
    /// # Errors
    /// They are not, and stay so.
    pub fn at_rest(daemon: &Daemon, before: Option<&Self>) -> Result<Self, String> {
        let mut now = Self::of(daemon);
        eventually(|| {
            let earlier = std::mem::replace(&mut now, Self::of(daemon));
            now.same_descriptors(before.unwrap_or(&earlier))
        })?;
        Ok(now)
    }

    /// Whether there are as many descriptors of each kind as before.
    ///
    /// # Errors
    /// What differs.
    pub fn same_descriptors(&self, before: &Self) -> Result<(), String> {
        let keeper = differences(&before.keeper, &self.keeper);
        let supervisor = differences(&before.supervisor, &self.supervisor);
        if keeper.is_empty() && supervisor.is_empty() {
            return Ok(());
        }
        Err(format!("descriptors before and now: keeper {keeper:?}, supervisor {supervisor:?}"))
    }

    /// Whether the memory has not grown by more than half.
    ///
    /// # Errors
    /// It has.
    pub fn as_large_as(&self, before: &Self) -> Result<(), String> {
        let most = before.memory * 3 / 2 + 1024;
        if self.memory <= most { Ok(()) } else { Err(format!("memory: before {before:?}, now {self:?}")) }
    }

    pub fn summary(&self) -> String {
        let count = |kinds: &BTreeMap<String, usize>| kinds.values().sum::<usize>();
        let (keeper, supervisor) = (count(&self.keeper), count(&self.supervisor));
        format!("{keeper} + {supervisor} descriptors, {} KiB", self.memory)
    }
}

fn differences(
    before: &BTreeMap<String, usize>,
    now: &BTreeMap<String, usize>,
) -> Vec<(String, usize, usize)> {
    let kinds: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let count = |of: &BTreeMap<String, usize>, kind| of.get(kind).copied().unwrap_or(0);
    let both = kinds.into_iter().map(|kind| (kind.clone(), count(before, kind), count(now, kind)));
    both.filter(|(_, before, now)| before != now).collect()
}

/// How many of each kind.
fn descriptors(pid: i32) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let target = target.display().to_string();
        let kind = target.split_once(":[").map_or(target.as_str(), |(kind, _)| kind);
        // Our own log that has been put aside is held until there is something to say again.
        let kind = if kind.ends_with(".log") || kind.ends_with(".log.1") { "log" } else { kind };
        *kinds.entry(kind.to_owned()).or_default() += 1;
    }
    kinds
}

/// Waits until the daemon has come to rest by itself, then brings all apps up as they were declared, and finds everything
/// in order both times. Apps that are never quiet are stopped.
///
/// # Errors
/// What is not in order, and stays so.
pub fn calm(ground: &Ground, before: Option<&Belongings>) -> Result<Belongings, String> {
    let daemon = &ground.daemon;
    let restless: Vec<&str> =
        CAST.iter().filter(|part| part.habit == Habit::Restless).map(|part| part.name).collect();
    eventually(|| done(daemon, &[&["stop"], &restless[..]].concat()).or_else(|why| is_missing(&why)))?;
    eventually(|| in_order(daemon, false))?;
    for part in CAST {
        let file = cast::file(daemon, part.name);
        if !cast::bad_builds(part.name).is_empty() {
            assert!(cast::release(daemon, part.name, Build::Good(0)), "there is space again");
            eventually(|| done(daemon, &["reload", &file]))?;
        }
        let known = daemon.list().iter().any(|row| row["app"] == part.name);
        if !known {
            eventually(|| brought(daemon, part, &["start", &file]))?;
        }
        if part.habit != Habit::Restless {
            eventually(|| done(daemon, &["start", part.name]))?;
        }
        eventually(|| brought(daemon, part, &["scale", part.name, &part.seats.to_string()]))?;
    }
    eventually(|| done(daemon, &[&["stop"], &restless[..]].concat()))?;
    eventually(|| in_order(daemon, true))?;
    Belongings::at_rest(daemon, before)
}

fn is_missing(why: &str) -> Result<(), String> {
    if why.starts_with("3:") { Ok(()) } else { Err(why.to_owned()) }
}

/// A restless app never comes up.
fn brought(daemon: &Daemon, part: Part, args: &[&str]) -> Result<(), String> {
    done(daemon, args).or_else(|why| if part.habit == Habit::Restless { Ok(()) } else { Err(why) })
}

fn done(daemon: &Daemon, args: &[&str]) -> Result<(), String> {
    let output = daemon.ctl(args);
    if output.code == 0 { Ok(()) } else { Err(format!("{}: {args:?}: {}", output.code, output.err)) }
}

/// Until it is so.
fn eventually(mut look: impl FnMut() -> Result<(), String>) -> Result<(), String> {
    let begin = Instant::now();
    loop {
        match look() {
            Ok(()) => return Ok(()),
            Err(why) if begin.elapsed() > PATIENCE => return Err(format!("still after {PATIENCE:?}: {why}")),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// List, machine and ledger agree.
fn in_order(daemon: &Daemon, whole: bool) -> Result<(), String> {
    let list = daemon.list();
    let (keeper, supervisor) = daemon.heads();
    let census = Census::take(daemon, keeper);
    let told = [
        at_rest(daemon, &list, whole),
        alive(&list, &census),
        nobody_else(&list, &census, supervisor),
        on_disk(daemon, &list),
    ];
    let wrong: Vec<String> = told.into_iter().filter_map(Result::err).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// Nothing is on its way; if it is to be whole, as declared.
fn at_rest(daemon: &Daemon, list: &[Value], whole: bool) -> Result<(), String> {
    let moving = |row: &&Value| {
        let status = row["status"].as_str().unwrap_or_default();
        !["online", "stopped", "errored", "waiting restart"].contains(&status)
    };
    if let Some(row) = list.iter().find(moving) {
        return Err(format!("on its way: {row}"));
    }
    // One that goes back to a version that crashes is never there.
    let crashes =
        |app: &Value| list.iter().any(|row| row["app"] == *app && row["status"] == "waiting restart");
    let apps = daemon.ctl(&["describe", "all", "--json"]);
    let apps = if apps.code == 0 { apps.json() } else { Value::Null };
    for app in apps.as_array().into_iter().flatten().filter(|app| !app["progress"].is_null()) {
        let name = &app["declaration"]["name"];
        if !crashes(name) {
            return Err(format!("being reloaded: {name}"));
        }
    }
    let mut seats = BTreeSet::new();
    if let Some(row) = list.iter().find(|row| !seats.insert((row["app"].as_str(), row["instance"].as_u64())))
    {
        return Err(format!("a seat that is there twice: {row}"));
    }
    for part in CAST.iter().filter(|_| whole) {
        let rows: Vec<&Value> = list.iter().filter(|row| row["app"] == part.name).collect();
        let wanted = if part.habit == Habit::Restless { "stopped" } else { "online" };
        if rows.len() != part.seats || rows.iter().any(|row| row["status"] != wanted) {
            return Err(format!("not {} times {wanted}: {rows:?}", part.seats));
        }
    }
    Ok(())
}

/// Everybody who is listed with a process has one, as the keeper's child, marked for a run of its own.
fn alive(list: &[Value], census: &Census) -> Result<(), String> {
    let mut runs = BTreeSet::new();
    for row in list {
        let Some(pid) = row["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()) else {
            match row["status"].as_str() {
                Some("online") => return Err(format!("online without a process: {row}")),
                _ => continue,
            }
        };
        let Some(citizen) = census.get(pid) else { return Err(format!("its process is not there: {row}")) };
        if citizen.parent != census.keeper
            || citizen.state == 'Z'
            || citizen.app.as_deref() != row["app"].as_str()
        {
            return Err(format!("{citizen:?} is not the keeper's child for {row}"));
        }
        if !citizen.run.is_some_and(|run| runs.insert(run)) {
            return Err(format!("{citizen:?} has no run of its own"));
        }
        let file = fs::read_to_string(row["pid_file"].as_str().unwrap_or_default()).unwrap_or_default();
        // Where there was no space for it there is none.
        if !file.is_empty() && file.trim() != pid.to_string() {
            return Err(format!("its pid file says `{file}`: {row}"));
        }
    }
    Ok(())
}

/// Every process belongs to a run that is listed: no orphan, no double. And there is no zombie.
fn nobody_else(list: &[Value], census: &Census, supervisor: i32) -> Result<(), String> {
    let listed: Vec<i64> = list.iter().filter_map(|row| row["pid"].as_i64()).collect();
    let mains = census.all.iter().filter(|citizen| listed.contains(&i64::from(citizen.pid)));
    let runs: BTreeSet<u64> = mains.filter_map(|citizen| citizen.run).collect();
    for citizen in &census.all {
        let of_daemon = [census.keeper, supervisor].contains(&citizen.pid);
        if citizen.state == 'Z' && [census.keeper, supervisor].contains(&citizen.parent) {
            return Err(format!("a zombie: {citizen:?}"));
        }
        if !of_daemon && !citizen.run.is_some_and(|run| runs.contains(&run)) {
            return Err(format!("of no run that is listed: {citizen:?}"));
        }
    }
    Ok(())
}

/// The ledger says what the list says.
fn on_disk(daemon: &Daemon, list: &[Value]) -> Result<(), String> {
    let text = Some(daemon.read("ledger.json")).filter(|text| !text.is_empty() || !list.is_empty());
    let ledger: Value = serde_json::from_str(text.as_deref().unwrap_or("{}"))
        .map_err(|error| format!("the ledger: {error}"))?;
    let mut written = BTreeSet::new();
    for app in ledger["apps"].as_array().into_iter().flatten() {
        for seat in app["workers"].as_array().into_iter().flatten() {
            let name = app["revision"]["declaration"]["name"].as_str().unwrap_or_default().to_owned();
            written.insert((name, seat["id"].as_u64(), seat["instance"].as_u64(), seat["up"].as_bool()));
        }
    }
    let row = |row: &Value| {
        let name = row["app"].as_str().unwrap_or_default().to_owned();
        (name, row["id"].as_u64(), row["instance"].as_u64(), Some(row["status"] != "stopped"))
    };
    let told: BTreeSet<_> = list.iter().map(row).collect();
    let differ: Vec<_> = written.symmetric_difference(&told).collect();
    if differ.is_empty() {
        Ok(())
    } else {
        Err(format!("only in the ledger or only in the list: {differ:?}"))
    }
}

/// After `supctl kill` nobody and nothing is left.
///
/// # Errors
/// Who is.
pub fn nothing_left(ground: &Ground, keeper: i32) -> Result<(), String> {
    eventually(|| {
        let census = Census::take(&ground.daemon, keeper);
        let members = ground.forks.members();
        match census.all.first() {
            Some(citizen) => Err(format!("left behind: {citizen:?}")),
            None if !members.is_empty() => Err(format!("left behind in the control group: {members:?}")),
            None => Ok(()),
        }
    })
}
