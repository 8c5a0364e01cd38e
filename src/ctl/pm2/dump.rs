//! save, resurrect, cleardump: `dump.pm2` beside the daemon's ledger, in PM2's shape.
//!
//! The ledger always knows what should run; the dump is what `resurrect` brings back after `pm2 kill` has forgotten it. It
//! holds values of variables, so only its owner may read it, and it is replaced whole. A dump that PM2 wrote is read as `migrate`
//! reads it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use supd_api::{
    Accepted, AppDeclaration, AppView, Fault, FaultCode, Instances, StartApps, Status, TargetRequest,
    WorkerView,
};

use crate::atomic;
use crate::ctl::Session;
use crate::ctl::jlist::{self, Shown};
use crate::ctl::migrate;
use crate::ctl::migrate::process::{Process, group};
use crate::ctl::output::Failure;

use super::flags::Opt;
use super::line::Line;
use super::{act, query};

/// The member in which a record carries the declaration of its app; not PM2's.
const OWN: &str = "supd";

fn path(session: &Session) -> PathBuf {
    let given = std::env::var_os("PM2_DUMP_FILE_PATH").filter(|path| !path.is_empty());
    given.map_or_else(|| session.client.home().path().join("dump.pm2"), PathBuf::from)
}

/// Where PM2 itself keeps it. It is not read unasked: that PM2 may run.
fn pm2s_own() -> Option<PathBuf> {
    std::env::var_os("HOME").map(|home| Path::new(&home).join(".pm2/dump.pm2"))
}

fn backup(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".bak");
    PathBuf::from(name)
}

/// `save`. An empty list is not written unless forced, as PM2 has it.
pub(super) async fn save(line: &Line, session: &mut Session) -> Result<(), Failure> {
    session.output.announce("Saving current process list...")?;
    let apps = session.client.declarations().await?;
    let forced = line.has(Opt::Force) || std::env::var_os("FORCE").is_some();
    if apps.is_empty() && !forced {
        session.output.warn("PM2 is not managing any process, skipping save...");
        session.output.warn("To force saving use: pm2 save --force");
        return Ok(());
    }
    let path = path(session);
    write(&path, &records(&apps)).map_err(|error| failed(&path, &error))?;
    Ok(session.output.announce(&format!("Successfully saved in {}", path.display()))?)
}

/// `cleardump`.
pub(super) fn clear(session: &mut Session) -> Result<(), Failure> {
    let path = path(session);
    replace(&path, b"[]").map_err(|error| failed(&path, &error))?;
    Ok(session.output.announce(&format!("Successfully created {}", path.display()))?)
}

fn failed(path: &Path, error: &io::Error) -> Fault {
    Fault::new(FaultCode::Failed, format!("{}: {error}", path.display()))
}

/// One record for each worker; the first of an app carries its declaration.
fn records(apps: &[AppView]) -> Vec<Value> {
    let mut records = Vec::new();
    for app in apps {
        for (at, mut element) in
            jlist::jlist(std::slice::from_ref(app), &Shown::Declared).into_iter().enumerate()
        {
            let mut record = element["pm2_env"].take();
            if let Value::Object(fields) = &mut record {
                fields.retain(|name, _| name != "instances" && name != "pm_id");
                if at == 0 {
                    fields.insert(OWN.to_owned(), json!(app.declaration));
                }
            }
            records.push(record);
        }
    }
    records
}

/// The former file becomes the backup.
fn write(path: &Path, records: &[Value]) -> io::Result<()> {
    match fs::read(path) {
        Ok(before) => replace(&backup(path), &before)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    replace(path, &serde_json::to_vec_pretty(records)?)
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    atomic::write(path, bytes)
}

/// An app of a dump, and which of its workers should run.
#[derive(Debug)]
struct Saved {
    app: AppDeclaration,
    up: Vec<bool>,
}

/// What a dump holds.
#[derive(Debug, Default)]
struct Dump {
    apps: Vec<Saved>,
    /// What is lost of the apps that PM2 itself saved.
    remarks: Vec<String>,
    /// The apps of PM2's that cannot be taken over, and why.
    refused: Vec<String>,
}

/// `resurrect`: the apps of the dump that are not there.
pub(super) async fn resurrect(line: &Line, session: &mut Session) -> Result<(), Failure> {
    session.output.announce("Resurrecting")?;
    let path = path(session);
    let Some(dump) = read(&path, session)? else {
        session.output.warn(&format!("{} does not exist: nothing to restore", path.display()));
        if let Some(theirs) = pm2s_own().filter(|theirs| *theirs != path && theirs.exists()) {
            let theirs = theirs.display();
            session.output.warn(&format!("PM2's own is {theirs}: name it by PM2_DUMP_FILE_PATH"));
        }
        return query::show_list(line, session).await;
    };
    session.output.announce(&format!("Restoring processes located in {}", path.display()))?;
    let there = session.client.apps(&[]).await?;
    let missing = |saved: &Saved| there.iter().all(|app| app.declaration.name != saved.app.name);
    dump.remarks.iter().for_each(|remark| session.output.warn(remark));
    dump.refused.iter().for_each(|refused| session.output.complain(refused));
    let refused = || Err(Failure::Told(FaultCode::Failed));
    let mut outcome = if dump.refused.is_empty() { Ok(()) } else { refused() };
    for saved in dump.apps.into_iter().filter(missing) {
        // The others are brought back all the same.
        outcome = restore(saved, session).await.and(outcome);
    }
    query::show_list(line, session).await?;
    outcome
}

/// What the file holds, or its backup where it is damaged; `None` where there is neither.
fn read(path: &Path, session: &mut Session) -> Result<Option<Dump>, Fault> {
    let damaged = match fs::read(path) {
        Ok(bytes) => match parse(&bytes) {
            Ok(dump) => return Ok(Some(dump)),
            Err(why) => Some(why),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(path, &error)),
    };
    if let Some(why) = &damaged {
        session.output.complain(&format!("{}: {why}", path.display()));
    }
    let backup = backup(path);
    match fs::read(&backup).ok().map(|bytes| parse(&bytes)) {
        Some(Ok(dump)) => {
            session.output.warn(&format!("restoring from {}", backup.display()));
            Ok(Some(dump))
        }
        Some(Err(why)) => Err(Fault::new(FaultCode::Invalid, format!("{}: {why}", backup.display()))),
        None => match damaged {
            Some(why) => Err(Fault::new(FaultCode::Invalid, format!("{}: {why}", path.display()))),
            None => Ok(None),
        },
    }
}

fn parse(bytes: &[u8]) -> Result<Dump, String> {
    let records: Vec<Map<String, Value>> =
        serde_json::from_slice(bytes).map_err(|error| format!("no list of processes: {error}"))?;
    let mut dump = Dump::default();
    let mut theirs = Vec::new();
    for mut record in records {
        let name = record.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let up = record.get("status").and_then(Value::as_str) != Some(Status::Stopped.as_str());
        match (record.remove(OWN), dump.apps.iter_mut().find(|known| known.app.name.as_str() == name)) {
            (_, Some(known)) => known.up.push(up),
            (Some(declaration), None) => {
                let app = serde_json::from_value(declaration).map_err(|error| format!("{name}: {error}"))?;
                dump.apps.push(Saved { app, up: vec![up] });
            }
            (None, None) => theirs.push(Process::of_dump(record)),
        }
    }
    take_over(theirs, &mut dump);
    Ok(dump)
}

/// What PM2 itself has saved.
fn take_over(processes: Vec<Process>, dump: &mut Dump) {
    let (apps, modules) = group(processes);
    dump.remarks.extend(modules.iter().map(|name| format!("{name}: a module of PM2's is not restored")));
    for app in migrate::convert::convert(&apps, &migrate::options().caller) {
        let remark = |note: &migrate::convert::Note| format!("{}: {}: {}", app.name, note.field, note.text);
        dump.remarks.extend(app.notes.iter().filter(|note| note.lost).map(remark));
        match migrate::declaration(&app) {
            Ok(declaration) => dump.apps.push(Saved { app: declaration, up: app.up }),
            Err(why) => dump.refused.push(format!("{}: {why}", app.called)),
        }
    }
}

/// Starts what was up and registers what was not.
async fn restore(saved: Saved, session: &mut Session) -> Result<(), Failure> {
    let Saved { mut app, up } = saved;
    app.instances = Instances::Count(u32::try_from(up.len()).unwrap_or(u32::MAX));
    let autostart = app.autostart;
    // Nothing that was stopped runs even for a moment.
    app.autostart = autostart && up.iter().all(|up| *up);
    let (name, file) = (app.name.clone(), jlist::file(&app));
    let request = StartApps { apps: vec![app.clone()], reload: false, no_wait: false, timeout: None };
    let mut accepted: Accepted = session.client.post("/v1/apps", &request).await?;
    if !app.autostart {
        let mut workers: Vec<WorkerView> = session.client.workers(&[name.to_string()]).await?;
        workers.sort_by_key(|worker| worker.id);
        let wanted = workers.iter().zip(&up).filter(|(_, up)| **up);
        let targets: Vec<String> = wanted.map(|(worker, _)| worker.id.to_string()).collect();
        if !targets.is_empty() {
            accepted = session.client.post("/v1/workers/start", &TargetRequest { targets }).await?;
        }
    }
    for _ in &up {
        session.output.announce(&format!("Process {file} restored"))?;
    }
    act::faults(&accepted, session).await
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::ctl::fake::{app, in_state, secret_layer, worker};

    fn some() -> Vec<AppView> {
        let stopped = in_state(worker(1, "web"), Status::Stopped, "stopped by request");
        let mut web = app("web", vec![worker(0, "web"), stopped]);
        web.declaration.environment.layers = vec![secret_layer("TOKEN", "hunter2")];
        vec![web]
    }

    #[test]
    fn a_dump_has_pm2s_shape_and_brings_everything_back() {
        let records = records(&some());
        assert_eq!(records.len(), 2);
        assert_eq!((&records[0]["name"], &records[1]["status"]), (&json!("web"), &json!("stopped")));
        assert!(
            records.iter().all(|record| record.get("pm_id").is_none() && record.get("instances").is_none())
        );
        let saved = parse(&serde_json::to_vec(&records).unwrap()).unwrap();
        assert_eq!(
            (saved.apps.len(), &saved.apps[0].app, saved.apps[0].up.as_slice()),
            (1, &some()[0].declaration, &[true, false][..])
        );
    }

    #[test]
    fn it_is_the_owners_alone_and_the_former_one_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dump.pm2");
        write(&path, &records(&some())).unwrap();
        assert!(!backup(&path).exists());
        write(&path, &[]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "[]");
        assert!(fs::read_to_string(backup(&path)).unwrap().contains("hunter2"));
        for file in [path.clone(), backup(&path)] {
            assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn what_is_no_dump_of_ours_is_refused() {
        assert!(parse(b"{").unwrap_err().contains("no list of processes"));
        assert!(parse(br#"[{"name":"x","supd":{"name":1}}]"#).is_err());
        assert!(parse(b"[]").unwrap().apps.is_empty());
    }

    #[test]
    fn a_dump_of_pm2s_own_is_taken_over_as_far_as_it_goes() {
        let record = |name: &str, script: &str, status: &str| {
            json!({ "name": name, "pm_exec_path": script, "exec_interpreter": "none", "status": status,
                "env": { "PORT": 80, "PM2_HOME": "/x" } })
        };
        let dump = parse(
            &serde_json::to_vec(&[
                record("sh", "/bin/sh", "online"),
                record("sh", "/bin/sh", "stopped"),
                record("gone", "/no/such/program", "online"),
            ])
            .unwrap(),
        )
        .unwrap();
        assert_eq!((dump.apps.len(), dump.apps[0].up.as_slice()), (1, &[true, false][..]));
        let variables = &dump.apps[0].app.environment.layers.last().unwrap().variables;
        assert_eq!(variables.keys().collect::<Vec<_>>(), ["PORT"]);
        assert!(dump.refused[0].starts_with("gone: script: no such file"), "{:?}", dump.refused);
    }
}
