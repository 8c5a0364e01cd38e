//! Which processes of this machine belong to the daemon of a test, however they got away from it?

use std::collections::BTreeMap;
use std::fs;

use crate::daemon::Daemon;
use crate::process;

/// Where the marks of runs start (`src/keeper/tree.rs`).
const MARK: u64 = 1 << 62;

/// One process.
#[derive(Clone, Debug)]
pub struct Citizen {
    pub pid: i32,
    pub parent: i32,
    pub state: char,
    /// The run it is marked for.
    pub run: Option<u64>,
    /// The app that its environment names.
    pub app: Option<String>,
    pub line: String,
}

/// Everybody who was given the home, names it in the command line, or descends from the keeper; `supctl` is nobody's.
pub struct Census {
    pub keeper: i32,
    pub all: Vec<Citizen>,
}

impl Census {
    pub fn take(daemon: &Daemon, keeper: i32) -> Self {
        let home = daemon.home().display().to_string();
        let variable = format!("SUPD_HOME={home}");
        let parents: BTreeMap<i32, i32> =
            process::all().into_iter().filter_map(|pid| Some((pid, process::parent(pid)?))).collect();
        let descends = |pid: i32| {
            let line = std::iter::successors(Some(pid), |pid| parents.get(pid).copied());
            line.take_while(|&pid| pid > 1).any(|pid| pid == keeper)
        };
        let mut all = Vec::new();
        for (&pid, &parent) in &parents {
            let variables = variables(pid);
            let line = process::command_line(pid);
            let ours = variables.contains(&variable) || line.contains(&home) || descends(pid);
            // Gone meanwhile, or one that only drives the daemon.
            let Some(state) = process::state(pid).filter(|_| ours && !process::is_supctl(pid)) else {
                continue;
            };
            let app = variables.iter().find_map(|text| text.strip_prefix("name=")).map(str::to_owned);
            all.push(Citizen { pid, parent, state, run: run_of(pid), app, line });
        }
        Self { keeper, all }
    }

    pub fn get(&self, pid: i32) -> Option<&Citizen> {
        self.all.iter().find(|citizen| citizen.pid == pid)
    }

    pub fn supervisor(&self) -> Option<i32> {
        let is = |citizen: &&Citizen| {
            citizen.parent == self.keeper && citizen.run.is_none() && citizen.line.ends_with("supervisor")
        };
        self.all.iter().find(is).map(|citizen| citizen.pid)
    }

    /// Everything that runs for an app, in order of the process numbers.
    pub fn of_apps(&self) -> Vec<&Citizen> {
        self.all.iter().filter(|citizen| citizen.run.is_some() && citizen.state != 'Z').collect()
    }
}

/// The run a process is marked for.
pub fn run_of(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max realtime timeout"))?;
    let limit: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    limit.checked_sub(MARK)
}

fn variables(pid: i32) -> Vec<String> {
    let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environ.split(|&byte| byte == 0).map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}
