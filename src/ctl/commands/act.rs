//! stop, restart, reload, delete, scale, signal, flush: orders to apps that exist.

use serde_json::{Value, json};
use supd_api::{
    Accepted, AppDeclaration, Fault, FaultCode, ScaleTo, SignalRequest, StartApps, TargetRequest,
};

use crate::ctl::args::{ActArgs, OptionalTargets, ScaleArgs, Selection, SignalArgs};
use crate::ctl::client::escape;
use crate::ctl::output::Failure;
use crate::ctl::{Session, declare, table};

/// What is done to workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Stopped, kept in the list.
    Stop,
    /// Stopped and started.
    Restart,
    /// Replaced one by one.
    Reload,
    /// Stopped and forgotten.
    Delete,
}

impl Verb {
    const fn path(self) -> &'static str {
        match self {
            Self::Stop => "/v1/workers/stop",
            Self::Restart => "/v1/workers/restart",
            Self::Reload => "/v1/workers/reload",
            Self::Delete => "/v1/workers/delete",
        }
    }

    const fn done(self) -> &'static str {
        match self {
            Self::Stop => "stopped",
            Self::Restart => "restarted",
            Self::Reload => "reloaded",
            Self::Delete => "deleted",
        }
    }
}

/// One request of a command.
pub(crate) struct Order {
    path: String,
    body: Value,
}

impl Order {
    /// To act on what exists.
    pub(crate) fn on(path: &str, targets: Vec<String>) -> Self {
        Self { path: path.to_owned(), body: json!(TargetRequest { targets }) }
    }

    /// To apply declarations.
    pub(crate) fn apply(apps: Vec<AppDeclaration>, reload: bool) -> Self {
        Self {
            path: "/v1/apps".to_owned(),
            body: json!(StartApps { apps, reload, no_wait: false, timeout: None }),
        }
    }
}

/// Sends the orders, tells what came of them and shows the table, as PM2 does after every change.
pub(crate) async fn submit(done: &str, orders: Vec<Order>, session: &mut Session) -> Result<(), Failure> {
    let mut all = Accepted::default();
    for order in orders {
        match session.client.post::<Accepted>(&order.path, &order.body).await {
            Ok(accepted) => {
                all.workers.extend(accepted.workers);
                all.warnings.extend(accepted.warnings);
            }
            Err(fault) if all == Accepted::default() => return Err(fault.into()),
            Err(fault) => {
                session.output.outcome(done, &all).or_else(told)?;
                return Err(fault.into());
            }
        }
    }
    let outcome = session.output.outcome(done, &all);
    if session.output.speaks() {
        let workers = session.client.workers(&[]).await?;
        session.output.line(table::list(&workers, session.output.style))?;
    }
    outcome
}

/// A failed worker does not hide the fault that follows.
fn told(failure: Failure) -> Result<(), Failure> {
    match failure {
        Failure::Told(_) => Ok(()),
        Failure::Fault(_) | Failure::Output(_) => Err(failure),
    }
}

/// `stop`, `restart`, `reload`, `delete`.
pub(crate) async fn act(verb: Verb, args: ActArgs, session: &mut Session) -> Result<(), Failure> {
    let ActArgs { targets, selection } = args;
    let (files, mut targets): (Vec<_>, Vec<_>) =
        targets.into_iter().partition(|target| target == declare::STDIN || declare::is_file(target));
    if files.is_empty() {
        refuse_selection(&selection)?;
    }
    let mut declared = Vec::new();
    for file in &files {
        declared.extend(declare::accept(declare::load(file, &selection), &mut session.output)?.apps);
    }
    let orders = match verb {
        Verb::Stop | Verb::Delete => {
            targets.extend(known(&declared, session).await?);
            vec![Order::on(verb.path(), targets)]
        }
        Verb::Restart => applying(declared, targets, verb),
        Verb::Reload => {
            let unsourced = read_again(targets, &mut declared, session).await?;
            applying(declared, unsourced, verb)
        }
    };
    submit(verb.done(), orders, session).await
}

fn applying(declared: Vec<AppDeclaration>, targets: Vec<String>, verb: Verb) -> Vec<Order> {
    let mut orders = Vec::new();
    if !declared.is_empty() {
        orders.push(Order::apply(declared, verb == Verb::Reload));
    }
    if !targets.is_empty() {
        orders.push(Order::on(verb.path(), targets));
    }
    orders
}

/// Adds the declarations on disk of the apps that came from a file; the names of the others are returned.
async fn read_again(
    targets: Vec<String>,
    declared: &mut Vec<AppDeclaration>,
    session: &mut Session,
) -> Result<Vec<String>, Fault> {
    let mut unsourced = Vec::new();
    if targets.is_empty() {
        return Ok(unsourced);
    }
    for app in session.client.apps(&targets).await? {
        if declared.iter().any(|given| given.name == app.declaration.name) {
            continue;
        }
        match declare::load_again(&app, &mut session.output)? {
            Some(loaded) => declared.extend(loaded.apps),
            None => unsourced.push(app.declaration.name.to_string()),
        }
    }
    Ok(unsourced)
}

/// The names of these apps that the daemon knows; the others are warned about.
async fn known(declared: &[AppDeclaration], session: &mut Session) -> Result<Vec<String>, Fault> {
    if declared.is_empty() {
        return Ok(Vec::new());
    }
    let workers = session.client.workers(&[]).await?;
    let (known, unknown): (Vec<_>, Vec<_>) = declared
        .iter()
        .map(|app| &app.name)
        .partition(|name| workers.iter().any(|worker| worker.app == **name));
    if known.is_empty() {
        let names: Vec<&str> = unknown.iter().map(|name| name.as_str()).collect();
        return Err(Fault::new(
            FaultCode::NotFound,
            format!("none of its apps is known: {}", names.join(", ")),
        )
        .hint("`supctl list` shows what there is"));
    }
    for name in unknown {
        session.output.warning(&format!("`{name}` is declared but not known to the daemon"));
    }
    Ok(known.into_iter().map(ToString::to_string).collect())
}

/// Flags that say how to read a file make no sense without one.
pub(crate) fn refuse_selection(selection: &Selection) -> Result<(), Fault> {
    let Selection { only, env, inherit_env: _, no_inherit_env: _, format } = selection;
    let flag = match (only.is_empty(), env, format) {
        (false, _, _) => "--only",
        (true, Some(_), _) => "--env",
        (true, None, Some(_)) => "--format",
        (true, None, None) => return Ok(()),
    };
    Err(Fault::new(FaultCode::Invalid, format!("{flag} needs a declaration file as target"))
        .hint("name the file, e.g. ecosystem.config.js"))
}

/// `scale`.
pub(crate) async fn scale(args: &ScaleArgs, session: &mut Session) -> Result<(), Failure> {
    let to: ScaleTo = args.to.0;
    let path = format!("/v1/apps/{}/scale", escape(&args.name));
    submit("scaled", vec![Order { path, body: json!(to) }], session).await
}

/// `signal`.
pub(crate) async fn signal(args: SignalArgs, session: &mut Session) -> Result<(), Failure> {
    let SignalArgs { signal, targets } = args;
    let done = format!("sent {signal} to");
    let body = json!(SignalRequest { targets, signal });
    submit(&done, vec![Order { path: "/v1/workers/signal".to_owned(), body }], session).await
}

/// `flush`.
pub(crate) async fn flush(args: OptionalTargets, session: &mut Session) -> Result<(), Failure> {
    let targets = if args.targets.is_empty() { vec!["all".to_owned()] } else { args.targets };
    submit("emptied the logs of", vec![Order::on("/v1/logs/flush", targets)], session).await
}
