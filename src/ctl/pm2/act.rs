//! stop, restart, reload, delete: orders to what is there, told in PM2's words.

use serde::Serialize;
use serde_json::json;
use supd_api::{Accepted, AppDeclaration, AppView, Fault, FaultCode, ReloadRequest, TargetRequest};

use crate::config::Loaded;
use crate::ctl::client::Client;
use crate::ctl::last_lines::{self, Culprits};
use crate::ctl::output::{Failure, Output};
use crate::ctl::{Session, declare};

use super::flags::Opt;
use super::line::Line;
use super::targets::{Meant, meant};
use super::{change, files, query};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Stop,
    Restart,
    Reload,
    Delete,
}

impl Action {
    /// PM2's word for it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Stop => "stopProcessId",
            Self::Restart => "restartProcessId",
            Self::Reload => "reloadProcessId",
            Self::Delete => "deleteProcessId",
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Stop => "/v1/workers/stop",
            Self::Restart => "/v1/workers/restart",
            Self::Reload => "/v1/workers/reload",
            Self::Delete => "/v1/workers/delete",
        }
    }

    /// Whether it brings something up.
    const fn starts(self) -> bool {
        matches!(self, Self::Restart | Self::Reload)
    }
}

/// `stop`, `restart`, `reload`, `delete`: all words are understood before anything is done.
pub(super) async fn act(action: Action, line: &Line, session: &mut Session) -> Result<(), Failure> {
    let (files, words): (Vec<_>, Vec<_>) =
        line.words.iter().partition(|word| declare::names_declaration(word));
    if files.is_empty() && line.value(Opt::Env).is_some() {
        let text = "--env can only be used with a declaration file";
        return Err(Fault::new(FaultCode::Invalid, text).into());
    }
    let mut loaded = Vec::new();
    for file in files {
        loaded.push(files::load(file, line, session)?);
    }
    let apps = session.client.declarations().await?;
    let targets = words.iter().map(|word| meant(word, &apps)).collect::<Result<Vec<_>, _>>()?;
    if !targets.is_empty() && action.starts() && !line.has(Opt::UpdateEnv) {
        session.output.say("Use --update-env to update environment variables")?;
    }
    for target in &targets {
        to(action, target, &apps, line, session).await?;
    }
    for Loaded { apps: declared, .. } in loaded {
        match action {
            Action::Restart | Action::Reload => files::apply(declared, action, &apps, line, session).await?,
            Action::Stop | Action::Delete => to_declared(action, &declared, &apps, line, session).await?,
        }
    }
    // PM2 shows the table at the end of everything but a reload.
    if action != Action::Reload {
        query::show_list(line, session).await?
    }
    attach(&targets, line, session).await
}

/// To what a word means; with flags that change an app, its declaration is changed first.
pub(super) async fn to(
    action: Action,
    target: &Meant,
    apps: &[AppView],
    line: &Line,
    session: &mut Session,
) -> Result<(), Failure> {
    applying(action, target, &mut session.output)?;
    let changes = action.starts() && (line.has(Opt::UpdateEnv) || !line.fields().is_empty());
    if changes {
        for app in target.apps(apps) {
            let accepted = change::change(action, app, line, session).await?;
            report(&accepted, session).await?;
        }
        return Ok(());
    }
    let accepted = match action {
        Action::Reload => {
            let names = target.apps(apps).iter().map(|app| app.declaration.name.to_string()).collect();
            post(action, &ReloadRequest { targets: names, no_wait: false, timeout: None }, &session.client)
                .await?
        }
        Action::Stop | Action::Restart | Action::Delete => {
            post(action, &TargetRequest { targets: target.targets() }, &session.client).await?
        }
    };
    if action == Action::Stop && line.fields().contains_key("watch") {
        let targets = TargetRequest { targets: target.targets() };
        let _: Accepted = session.client.post("/v1/workers/unwatch", &targets).await?;
    }
    report(&accepted, session).await
}

async fn post(action: Action, body: &impl Serialize, client: &Client) -> Result<Accepted, Fault> {
    client.post(action.path(), body).await
}

/// `Applying action …` with the ids.
pub(super) fn applying(action: Action, target: &Meant, output: &mut Output) -> std::io::Result<()> {
    let Meant { word, .. } = target;
    output.announce(&format!(
        "Applying action {} on app [{word}](ids: [ {} ])",
        action.name(),
        target.shown()
    ))
}

/// What came of it, worker by worker; the last words of those that failed.
///
/// # Errors
/// `Told` when one failed.
pub(super) async fn report(accepted: &Accepted, session: &mut Session) -> Result<(), Failure> {
    let output = &mut session.output;
    for worker in accepted.workers.iter().filter(|worker| worker.failure.is_none()) {
        output.announce(&format!("[{}]({}) ✓", worker.app, worker.id))?;
    }
    output.flush()?;
    faults(accepted, session).await
}

/// What went wrong.
///
/// # Errors
/// `Told` when something did.
pub(super) async fn faults(accepted: &Accepted, session: &mut Session) -> Result<(), Failure> {
    let output = &mut session.output;
    for warning in &accepted.warnings {
        output.warn(warning);
    }
    let mut failed = false;
    for worker in &accepted.workers {
        if let Some(why) = &worker.failure {
            output.complain(&format!("[{}]({}) {why}", worker.app, worker.id));
            failed = true;
        }
    }
    if !failed {
        return Ok(());
    }
    let mut culprits = Culprits::default();
    culprits.suspect(accepted);
    last_lines::show(accepted, &culprits, session).await;
    Err(Failure::Told(FaultCode::Failed))
}

async fn to_declared(
    action: Action,
    declared: &[AppDeclaration],
    apps: &[AppView],
    line: &Line,
    session: &mut Session,
) -> Result<(), Failure> {
    let known = |app: &&AppView| declared.iter().any(|declared| declared.name == app.declaration.name);
    let known: Vec<Meant> = apps.iter().filter(known).map(Meant::app).collect();
    if known.is_empty() {
        return Err(Fault::new(FaultCode::NotFound, "No process found").into());
    }
    for target in &known {
        to(action, target, apps, line, session).await?;
    }
    Ok(())
}

/// `--attach`: the output of what was meant, on and on.
pub(super) async fn attach(targets: &[Meant], line: &Line, session: &mut Session) -> Result<(), Failure> {
    if !line.has(Opt::Attach) {
        return Ok(());
    }
    let targets = targets.iter().flat_map(Meant::targets).collect();
    super::logs::follow(targets, session).await
}

/// `reset`.
pub(super) async fn reset(line: &Line, session: &mut Session) -> Result<(), Failure> {
    let apps = session.client.apps(&[]).await?;
    let targets = line.words.iter().map(|word| meant(word, &apps)).collect::<Result<Vec<_>, _>>()?;
    for target in targets {
        let targets = target.targets();
        let _: Accepted = session.client.post("/v1/workers/reset", &TargetRequest { targets }).await?;
        for id in target.ids {
            session.output.announce(&format!("Resetting meta for process id {id}"))?;
        }
    }
    query::show_list(line, session).await
}

/// `scale`: PM2's two words of it, and its `Nothing to do`.
pub(super) async fn scale(line: &Line, session: &mut Session) -> Result<(), Failure> {
    let [name, count, ..] = line.words.as_slice() else { return Ok(()) };
    let to: crate::ctl::args::ScaleCount =
        count.parse().map_err(|wrong: &str| Fault::new(FaultCode::Invalid, format!("{count}: {wrong}")))?;
    let apps = session.client.apps(&[]).await?;
    let unknown = || Fault::new(FaultCode::NotFound, format!("Application {name} not found"));
    let app = apps.iter().find(|app| app.declaration.name.as_str() == name).ok_or_else(unknown)?;
    let present = Meant::app(app);
    let now = u32::try_from(present.ids.len()).unwrap_or(u32::MAX);
    let wanted = match to.0 {
        supd_api::ScaleTo::Count(count) => count,
        supd_api::ScaleTo::Up(more) => now.saturating_add(more),
        supd_api::ScaleTo::Down(fewer) => now.saturating_sub(fewer),
    };
    if wanted == now {
        return Err(Fault::new(FaultCode::Conflict, "Nothing to do").into());
    }
    if wanted == 0 {
        self::to(Action::Delete, &present, &apps, line, session).await?;
        return query::show_list(line, session).await;
    }
    let path = format!("/v1/apps/{}/scale", crate::ctl::client::escape(name));
    let accepted: Accepted = session.client.post(&path, &json!(supd_api::ScaleTo::Count(wanted))).await?;
    for _ in now..wanted {
        session.output.announce("Scaling up application")?;
    }
    let after = session.client.workers(&[]).await?;
    for id in present.ids.iter().filter(|id| !after.iter().any(|worker| worker.id == **id)) {
        let gone = Meant { word: id.to_string(), ids: vec![*id], by_id: false };
        applying(Action::Delete, &gone, &mut session.output)?;
        session.output.announce(&format!("[{name}]({id}) ✓"))?;
    }
    faults(&accepted, session).await?;
    query::show_list(line, session).await
}
