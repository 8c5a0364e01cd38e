//! start: a file, a script, a command line, or the name of what is there.

use std::path::Path;

use serde_json::{Value, json};
use supd_api::{Accepted, AppDeclaration, AppView, ExecMode, Fault, FaultCode, ScaleTo, StartApps};

use crate::config;
use crate::ctl::client::escape;
use crate::ctl::output::Failure;
use crate::ctl::{Session, declare, jlist};

use super::act::{self, Action};
use super::flags::Opt;
use super::line::Line;
use super::targets::{Meant, meant};
use super::{files, query, runtime};

/// What is refused rather than left out.
const WRITE: &str = "--write: supd writes no declaration; `pm2 ecosystem` writes an example";

/// `start`.
pub(super) async fn start(line: &Line, session: &mut Session) -> Result<(), Failure> {
    if line.has(Opt::Write) {
        return Err(Fault::new(FaultCode::Invalid, WRITE).into());
    }
    refuse_scripts_as_logs(line)?;
    if line.has(Opt::NoDaemon) {
        return runtime::without_daemon(line, session);
    }
    let words = match line.words.as_slice() {
        [] => vec![declare::default_file()?],
        words => words.to_vec(),
    };
    let mut started = Vec::new();
    for word in &words {
        // What the words before have started counts.
        let apps = session.client.declarations().await?;
        if declare::names_declaration(word) {
            let loaded = files::load(word, line, session)?;
            started.extend(loaded.apps.iter().map(|app| app.name.to_string()));
            files::apply(loaded.apps, Action::Restart, &apps, line, session).await?;
        } else if let Some(known) = known(word, line, &apps)? {
            resume(&known, &apps, line, session).await?;
            started.push(known.word);
        } else {
            started.push(script(word, &apps, line, session).await?);
        }
    }
    query::show_list(line, session).await?;
    let apps = if line.has(Opt::Attach) { session.client.apps(&[]).await? } else { Vec::new() };
    let targets: Result<Vec<Meant>, Fault> =
        started.iter().filter(|_| line.has(Opt::Attach)).map(|word| meant(word, &apps)).collect();
    act::attach(&targets?, line, session).await
}

/// What a word means that is no path: an app, a namespace or an id that is there. With `--name` a file of that name here is
/// meant, or the program again that the app of that name runs (`npm`), where PM2 would restart and rename the app.
fn known(word: &str, line: &Line, apps: &[AppView]) -> Result<Option<Meant>, Fault> {
    let path = word.contains('/') || Path::new(word).extension().is_some();
    if word == "all" || declare::is_pattern(word) {
        return meant(word, apps).map(Some);
    }
    let mut named = apps.iter().filter(|app| app.declaration.name.as_str() == word).peekable();
    let other_name = line.fields().get("name").is_some_and(|name| name != word);
    let again = |app: &AppView| app.declaration.program.script == word;
    if (path && named.peek().is_none()) || (other_name && (Path::new(word).is_file() || named.any(again))) {
        return Ok(None);
    }
    match meant(word, apps) {
        Ok(known) if !(path && Path::new(word).is_file()) => Ok(Some(known)),
        Ok(_) => Ok(None),
        Err(fault) if fault.code == FaultCode::NotFound && word.parse::<u32>().is_err() => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// What is there already goes on as it was declared, with what the flags change.
async fn resume(known: &Meant, apps: &[AppView], line: &Line, session: &mut Session) -> Result<(), Failure> {
    act::to(Action::Restart, known, apps, line, session).await?;
    Ok(session.output.announce("Process successfully started")?)
}

/// A new app, another worker of one with `-f`, or one that was stopped; its name is returned.
async fn script(word: &str, apps: &[AppView], line: &Line, session: &mut Session) -> Result<String, Failure> {
    let Some(app) = declared(word, line, session)?.into_iter().next() else {
        return Err(Fault::new(FaultCode::Internal, "a declaration without an app").into());
    };
    let name = app.name.to_string();
    let present = apps.iter().find(|present| present.declaration.name == app.name);
    match present {
        Some(present) if present.declaration.program.script != app.program.script => {
            let other = &present.declaration.program.script;
            let fault = Fault::new(FaultCode::Conflict, format!("{name} is another app, which runs {other}"));
            return Err(fault.hint("give this one another name with --name").into());
        }
        Some(present) if present.workers.iter().any(|worker| worker.pid.is_some()) => {
            if !line.has(Opt::Force) {
                let text = "Script already launched, add -f option to force re-execution";
                return Err(Fault::new(FaultCode::Conflict, text).into());
            }
            more(&app, session).await?;
        }
        Some(_) => resume(&meant(&name, apps)?, apps, line, session).await?,
        None => launch(app, session).await?,
    }
    Ok(name)
}

/// The declaration of a new app.
pub(super) fn declared(
    word: &str,
    line: &Line,
    session: &mut Session,
) -> Result<Vec<AppDeclaration>, Failure> {
    let fields = document(word, line);
    let loaded = files::accept(config::from_fields(fields, &files::options(line)), session);
    Ok(loaded.map_err(|failure| not_found(word, failure))?.apps)
}

/// The fields of a new app. PM2 reads some of them from the environment of its daemon.
fn document(word: &str, line: &Line) -> serde_json::Map<String, Value> {
    let mut fields = line.fields();
    fields.insert("script".to_owned(), json!(word));
    for (variable, field) in [
        ("PM2_KILL_SIGNAL", "kill_signal"),
        ("PM2_KILL_TIMEOUT", "kill_timeout"),
        ("PM2_KILL_USE_MESSAGE", "shutdown_with_message"),
        ("PM2_GRACEFUL_LISTEN_TIMEOUT", "listen_timeout"),
        ("PM2_PROCESS_INSTANCE_VAR", "instance_var"),
    ] {
        if let Some(value) = std::env::var(variable).ok().filter(|value| !value.is_empty()) {
            fields.entry(field).or_insert_with(|| json!(value));
        }
    }
    fields
}

/// What PM2 would append lines to, as in `start -l app.js other.js`.
fn refuse_scripts_as_logs(line: &Line) -> Result<(), Fault> {
    const SCRIPTS: [&str; 10] = ["js", "cjs", "mjs", "ts", "json", "py", "rb", "sh", "php", "pl"];
    let fields = line.fields();
    for field in ["out_file", "error_file", "log_file"] {
        let Some(file) = fields.get(field).and_then(Value::as_str) else { continue };
        let extension = Path::new(file).extension().and_then(|extension| extension.to_str());
        if extension.is_some_and(|extension| SCRIPTS.contains(&extension)) {
            let text = format!("{file} is no file for a log: output would be added to it");
            let hint = "name the script first, or write the file as in --log=FILE.log";
            return Err(Fault::new(FaultCode::Invalid, text).hint(hint));
        }
    }
    Ok(())
}

/// In PM2's words, where nothing else is wrong.
fn not_found(word: &str, failure: Failure) -> Failure {
    let here = std::env::current_dir().unwrap_or_default();
    let line = word.contains(char::is_whitespace);
    match failure {
        Failure::Fault(fault) if !line && fault.message.contains("no such file") => {
            let text = format!("Script not found: {}", config::absolute(&here, word).display());
            Failure::Fault(Fault { message: text, ..fault })
        }
        failure => failure,
    }
}

async fn launch(app: AppDeclaration, session: &mut Session) -> Result<(), Failure> {
    let mode = match app.exec_mode {
        ExecMode::Fork => "fork_mode",
        ExecMode::Cluster => "cluster_mode",
    };
    let count = app.instances.on(jlist::processors());
    let plural = if count == 1 { "instance" } else { "instances" };
    session.output.announce(&format!("Starting {} in {mode} ({count} {plural})", jlist::file(&app)))?;
    if app.ready.wait_ready {
        session
            .output
            .warn(&format!("App {} has option 'wait_ready' set, waiting for app to be ready...", app.name));
    }
    session.output.flush()?;
    let request = StartApps { apps: vec![app], reload: false, no_wait: false, timeout: None };
    let accepted: Accepted = session.client.post("/v1/apps", &request).await?;
    act::faults(&accepted, session).await?;
    Ok(session.output.announce("Done.")?)
}

/// `-f` where PM2 would make a second process of the same name: one more worker.
async fn more(app: &AppDeclaration, session: &mut Session) -> Result<(), Failure> {
    let count = app.instances.on(jlist::processors());
    let path = format!("/v1/apps/{}/scale", escape(app.name.as_str()));
    let accepted: Accepted = session.client.post(&path, &ScaleTo::Up(count)).await?;
    act::faults(&accepted, session).await?;
    Ok(session.output.announce("Done.")?)
}
