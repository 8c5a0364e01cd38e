//! What does PM2 run? Its records of processes, from its dump or its list, brought together to apps.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// One process of PM2: what its dump holds of it, which is `pm2_env` in its list.
#[derive(Clone)]
pub(crate) struct Process {
    fields: Map<String, Value>,
    /// Its process id, while it runs.
    pub(crate) pid: Option<i32>,
}

impl Process {
    /// A record of `dump.pm2`.
    pub(crate) fn of_dump(fields: Map<String, Value>) -> Self {
        Self { fields, pid: None }
    }

    /// An element of `pm2 jlist`.
    fn of_list(mut element: Map<String, Value>) -> Option<Self> {
        let pid = element.get("pid").and_then(Value::as_i64).and_then(|pid| i32::try_from(pid).ok());
        match element.remove("pm2_env") {
            Some(Value::Object(fields)) => Some(Self { fields, pid: pid.filter(|pid| *pid > 0) }),
            Some(_) | None => None,
        }
    }

    /// A field; `null` counts as none.
    pub(crate) fn get(&self, field: &str) -> Option<&Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    /// A field that is text, and not empty.
    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        self.get(field).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// Whether a field is `true`, as JavaScript or a shell writes it.
    pub(crate) fn holds(&self, field: &str) -> bool {
        matches!(self.get(field), Some(Value::Bool(true))) || self.text(field) == Some("true")
    }

    /// The names of the fields.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }

    /// Its variables.
    pub(crate) fn variables(&self) -> &Map<String, Value> {
        static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
        self.get("env").and_then(Value::as_object).unwrap_or(&NONE)
    }

    /// PM2's number of it: a field of its list; in a dump only the name of its pid file has it.
    pub(crate) fn id(&self) -> Option<u64> {
        let of_file = || {
            let stem = Path::new(self.text("pm_pid_path")?).file_stem()?.to_str()?;
            stem.rsplit_once('-')?.1.parse().ok()
        };
        self.get("pm_id").and_then(Value::as_u64).or_else(of_file)
    }

    /// PM2's directory, by its pid file.
    pub(crate) fn pm2_home(&self) -> Option<PathBuf> {
        Some(Path::new(self.text("pm_pid_path")?).parent()?.parent()?.to_path_buf())
    }

    /// Whether it shall run: PM2 starts again what it saved, but what was stopped.
    pub(crate) fn is_up(&self) -> bool {
        !matches!(self.text("status"), Some("stopped" | "stopping"))
    }
}

/// The processes that PM2 has under one name for one script; never empty.
pub(crate) struct Pm2App {
    /// What PM2 calls it.
    pub(crate) name: String,
    /// In PM2's order.
    pub(crate) processes: Vec<Process>,
}

impl Pm2App {
    /// The one that speaks for all.
    pub(crate) fn first(&self) -> &Process {
        &self.processes[0]
    }
}

/// Brings processes together to apps. Modules of PM2's own are left out; their names come second.
pub(crate) fn group(processes: Vec<Process>) -> (Vec<Pm2App>, Vec<String>) {
    let mut at: BTreeMap<[String; 3], usize> = BTreeMap::new();
    let (mut apps, mut modules): (Vec<Pm2App>, Vec<String>) = (Vec::new(), Vec::new());
    for process in processes {
        let name = process.text("name").unwrap_or("app").to_owned();
        if process.holds("pmx_module") {
            modules.push(name);
            continue;
        }
        let of = |field| process.text(field).unwrap_or_default().to_owned();
        let key = [name.clone(), of("namespace"), of("pm_exec_path")];
        let index = *at.entry(key).or_insert(apps.len());
        match apps.get_mut(index) {
            Some(app) => app.processes.push(process),
            None => apps.push(Pm2App { name, processes: vec![process] }),
        }
    }
    (apps, modules)
}

/// Reads a dump.
///
/// # Errors
/// What it is instead.
pub(crate) fn parse_dump(bytes: &[u8]) -> Result<Vec<Process>, String> {
    let records: Vec<Map<String, Value>> =
        serde_json::from_slice(bytes).map_err(|error| format!("no list of processes: {error}"))?;
    Ok(records.into_iter().map(Process::of_dump).collect())
}

/// Reads what `pm2 jlist` printed: the list is one line, which notices may precede.
///
/// # Errors
/// That there is no list in it.
pub(crate) fn parse_list(text: &str) -> Result<Vec<Process>, String> {
    let lists = text.lines().filter(|line| line.starts_with('['));
    let mut read = lists.filter_map(|line| serde_json::from_str::<Vec<Map<String, Value>>>(line).ok());
    let list = read.next_back().ok_or("it printed no list of processes")?;
    Ok(list.into_iter().filter_map(Process::of_list).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_found_among_notices() {
        let text = "[PM2] In-memory PM2 is out-of-date\n\
            [{\"pid\":7,\"pm2_env\":{\"name\":\"a\",\"pm_id\":3}},{\"pid\":0,\"pm2_env\":{\"name\":\"a\"}}]\n";
        let list = parse_list(text).unwrap();
        assert_eq!((list[0].pid, list[0].id(), list[1].pid, list.len()), (Some(7), Some(3), None, 2));
        assert!(parse_list("[]").unwrap().is_empty());
        assert!(parse_list("[PM2] Spawning PM2 daemon").is_err());
        assert!(parse_dump(b"{").err().unwrap().starts_with("no list of processes"));
    }

    #[test]
    fn instances_belong_together_and_modules_stay() {
        let record = |name: &str, script: &str, module: bool| {
            let fields = serde_json::json!({ "name": name, "pm_exec_path": script, "pmx_module": module });
            Process::of_dump(fields.as_object().unwrap().clone())
        };
        let (apps, modules) = group(vec![
            record("web", "/w.js", false),
            record("api", "/a.js", false),
            record("web", "/w.js", false),
            record("web", "/other.js", false),
            record("pm2-logrotate", "/l.js", true),
        ]);
        let seen: Vec<_> = apps.iter().map(|app| (app.name.as_str(), app.processes.len())).collect();
        assert_eq!(seen, [("web", 2), ("api", 1), ("web", 1)]);
        assert_eq!(modules, ["pm2-logrotate"]);
    }

    #[test]
    fn the_number_of_a_process_is_in_the_name_of_its_pid_file() {
        let fields = serde_json::json!({ "pm_pid_path": "/home/u/.pm2/pids/my-app-12.pid" });
        let process = Process::of_dump(fields.as_object().unwrap().clone());
        assert_eq!(
            (process.id(), process.pm2_home().as_deref()),
            (Some(12), Some(Path::new("/home/u/.pm2")))
        );
    }
}
