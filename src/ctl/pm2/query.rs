//! list, jlist, prettylist, id, pid, env, ping, report: what is there, in PM2's shapes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use supd_api::{AppView, DaemonView, EnvironmentView, Fault, FaultCode, Layer, VariableView, WorkerView};

use crate::ctl::jlist::{self, Shown};
use crate::ctl::output::Failure;
use crate::ctl::{Session, cells, home};

use super::flags::Opt;
use super::inspect::inspect;
use super::line::Line;
use super::list;

/// The variable that asks for secrets as `--show-env` does, for scripts that cannot be changed.
const SHOW: &str = "SUPD_SHOW_ENV";

/// How often `list --watch` draws anew. PM2's.
const REDRAWN: Duration = Duration::from_millis(900);
/// Clears the screen and goes to its beginning (ECMA-48).
const CLEAR: &str = "\x1b[2J\x1b[H";

/// `list`; with `--watch` again and again, until somebody interrupts it.
pub(super) async fn list(line: &Line, session: &mut Session) -> Result<(), Failure> {
    if !line.fields().contains_key("watch") || !session.output.speaks() {
        return show_list(line, session).await;
    }
    loop {
        session.output.bytes(CLEAR.as_bytes())?;
        show_list(line, session).await?;
        tokio::time::sleep(REDRAWN).await;
    }
}

/// The table, after an order and for itself. Silence leaves it out.
pub(super) async fn show_list(line: &Line, session: &mut Session) -> Result<(), Failure> {
    if !session.output.speaks() {
        return Ok(());
    }
    let mut workers = session.client.workers(&[]).await?;
    let by = line.value(Opt::Sort).unwrap_or("name");
    list::sort(&mut workers, by)
        .map_err(|fields| Fault::new(FaultCode::Invalid, format!("--sort {by}: expected {fields}")))?;
    let shown: Vec<&WorkerView> = workers.iter().collect();
    let text = if line.has(Opt::MiniList) {
        list::paragraphs(&shown)
    } else {
        list::table(&shown, session.output.style)
    };
    session.output.say(text)?;
    Ok(session.output.flush()?)
}

/// The elements of `jlist`; all variables when the flag or the environment asks for them.
async fn elements(line: &Line, session: &Session) -> Result<Value, Failure> {
    let asked = line.has(Opt::ShowEnv) || std::env::var_os(SHOW).is_some_and(|value| !value.is_empty());
    let apps = session.client.declarations().await?;
    let shown = if asked { Shown::Seen(seen(&apps, session).await?) } else { Shown::Harmless };
    Ok(json!(jlist::jlist(&apps, &shown)))
}

/// The variables of each worker. One that is gone by now has none.
async fn seen(apps: &[AppView], session: &Session) -> Result<BTreeMap<u32, Vec<VariableView>>, Fault> {
    let mut seen = BTreeMap::new();
    for worker in apps.iter().flat_map(|app| &app.workers) {
        match session.client.get::<EnvironmentView>(&format!("/v1/workers/{}/env", worker.id)).await {
            Ok(view) => drop(seen.insert(worker.id, view.variables)),
            Err(fault) if fault.code == FaultCode::NotFound => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(seen)
}

/// `jlist`: nothing else, and no newline, as PM2 prints it.
pub(super) async fn jlist(line: &Line, session: &mut Session) -> Result<(), Failure> {
    let text = elements(line, session).await?.to_string();
    Ok(session.output.bytes(text.as_bytes())?)
}

/// `prettylist`.
pub(super) async fn prettylist(line: &Line, session: &mut Session) -> Result<(), Failure> {
    let text = inspect(&elements(line, session).await?);
    Ok(session.output.bytes(text.as_bytes())?)
}

/// `id`: a list, empty where the name is unknown.
pub(super) async fn ids(line: &Line, session: &mut Session) -> Result<(), Failure> {
    let apps = session.client.apps(&[]).await?;
    let named = |app: &&AppView| line.words.first().is_some_and(|name| app.declaration.name.as_str() == name);
    let mut ids: Vec<u32> =
        apps.iter().filter(named).flat_map(|app| &app.workers).map(|worker| worker.id).collect();
    ids.sort_unstable();
    Ok(session.output.line(inspect(&json!(ids)))?)
}

/// `pid`: one a line; an empty line where there is none.
pub(super) async fn pids(line: &Line, session: &mut Session) -> Result<(), Failure> {
    let mut workers = session.client.workers(&[]).await?;
    workers.sort_by_key(|worker| worker.id);
    let named = |worker: &&WorkerView| line.words.first().is_none_or(|name| worker.app.as_str() == name);
    let pids = workers.iter().filter(named).map(|worker| worker.pid.unwrap_or(0).to_string());
    Ok(session.output.line(pids.collect::<Vec<_>>().join("\n"))?)
}

/// `env`: what a worker sees, less what every app is told.
pub(super) async fn env(line: &Line, session: &mut Session) -> Result<(), Failure> {
    let word = line.words.first().map_or("", String::as_str);
    let unknown = || Fault::new(FaultCode::NotFound, format!("Modules with id {word} not found"));
    let id: u32 = word.parse().map_err(|_| unknown())?;
    let view: EnvironmentView = match session.client.get(&format!("/v1/workers/{id}/env")).await {
        Ok(view) => view,
        Err(fault) if fault.code == FaultCode::NotFound => return Err(unknown().into()),
        Err(fault) => return Err(fault.into()),
    };
    let own = |name: &str| name.starts_with(|first: char| first.is_ascii_uppercase());
    for variable in view.variables.iter().filter(|it| it.layer != Layer::Supd || own(&it.name)) {
        session.output.line(format!("{}: {}", variable.name, variable.value.reveal()))?;
    }
    Ok(())
}

/// `ping`.
pub(super) async fn ping(session: &mut Session) -> Result<(), Failure> {
    let _: DaemonView = session.client.get("/v1/daemon").await?;
    Ok(session.output.line("{ msg: 'pong' }")?)
}

/// `report`: what an issue about supd should tell.
pub(super) async fn report(line: &Line, session: &mut Session) -> Result<(), Failure> {
    let daemon: DaemonView = session.client.get("/v1/daemon").await?;
    let system = nix::sys::utsname::uname().map(|name| {
        let text = |part: &std::ffi::OsStr| part.to_string_lossy().into_owned();
        format!("{} {} {}", text(name.sysname()), text(name.release()), text(name.machine()))
    });
    let log = home::log_tail(session.client.home());
    let output = &mut session.output;
    for (title, lines) in [
        (
            "Daemon",
            vec![
                ("supd version", daemon.version.clone()),
                ("pid", daemon.keeper_pid.to_string()),
                ("uptime", cells::span(daemon.uptime)),
                ("home", daemon.home.display().to_string()),
                ("applications", daemon.apps.to_string()),
            ],
        ),
        ("CLI", vec![("supctl version", env!("CARGO_PKG_VERSION").to_owned())]),
        ("System info", vec![("system", system.unwrap_or_else(|error| error.to_string()))]),
    ] {
        output.line(format!("--- {title} {}", "-".repeat(50 - title.len())))?;
        for (name, value) in lines {
            output.line(format!("{name:<20} : {value}"))?;
        }
    }
    output.line("--- List -----------------------------------------------")?;
    show_list(line, session).await?;
    session.output.line("--- Daemon logs ----------------------------------------")?;
    Ok(session.output.line(log)?)
}
