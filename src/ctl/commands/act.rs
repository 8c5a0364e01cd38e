//! stop, restart, delete, scale, signal, flush: orders to apps that exist.

use serde_json::json;
use supd_api::{Accepted, AppDeclaration, Fault, FaultCode, ScaleTo, SignalRequest, TargetRequest};

use crate::ctl::args::{ActArgs, OptionalTargets, ScaleArgs, Selection, SignalArgs, TargetArgs};
use crate::ctl::client::escape;
use crate::ctl::order::{Order, submit};
use crate::ctl::output::Failure;
use crate::ctl::{Session, declare};

/// `stop`.
pub(crate) async fn stop(args: ActArgs, session: &mut Session) -> Result<(), Failure> {
    let order = Order::ending("/v1/workers/stop", existing(args, session).await?);
    submit("stopped", vec![order], session).await
}

/// `delete`.
pub(crate) async fn delete(args: ActArgs, session: &mut Session) -> Result<(), Failure> {
    let order = Order::ending("/v1/workers/delete", existing(args, session).await?);
    submit("deleted", vec![order], session).await
}

/// `restart`: a file is applied.
pub(crate) async fn restart(args: ActArgs, session: &mut Session) -> Result<(), Failure> {
    let (declared, targets) = sorted(args, session)?;
    let mut orders = Vec::new();
    if !declared.is_empty() {
        orders.push(Order::apply(declared));
    }
    if !targets.is_empty() {
        orders.push(Order::starting("/v1/workers/restart", json!(TargetRequest { targets })));
    }
    submit("restarted", orders, session).await
}

/// What the files among the targets declare, and the other targets.
pub(crate) fn sorted(
    args: ActArgs,
    session: &mut Session,
) -> Result<(Vec<AppDeclaration>, Vec<String>), Fault> {
    let ActArgs { targets, selection } = args;
    let (files, targets): (Vec<_>, Vec<_>) =
        targets.into_iter().partition(|target| target == declare::STDIN || declare::is_file(target));
    if files.is_empty() {
        refuse_selection(&selection)?;
    }
    let mut declared = Vec::new();
    for file in &files {
        declared.extend(declare::accept(declare::load(file, &selection), &mut session.output)?.apps);
    }
    Ok((declared, targets))
}

/// All targets, those that a file declares by their names.
async fn existing(args: ActArgs, session: &mut Session) -> Result<Vec<String>, Fault> {
    let (declared, mut targets) = sorted(args, session)?;
    targets.extend(known(&declared, session).await?);
    Ok(targets)
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
    submit("scaled", vec![Order::starting(&path, json!(to))], session).await
}

/// `signal`.
pub(crate) async fn signal(args: SignalArgs, session: &mut Session) -> Result<(), Failure> {
    let SignalArgs { signal, to: TargetArgs { targets } } = args;
    let done = format!("sent {signal} to");
    let order = Order::plain("/v1/workers/signal", json!(SignalRequest { targets, signal }));
    submit(&done, vec![order], session).await
}

/// `reload-logs`.
pub(crate) async fn reload_logs(session: &mut Session) -> Result<(), Failure> {
    let accepted = session.client.post::<Accepted>("/v1/logs/reopen", &json!({})).await?;
    if session.output.style.json {
        return Ok(session.output.json(&accepted)?);
    }
    Ok(session.output.say("all log files are opened anew")?)
}

/// `flush`.
pub(crate) async fn flush(args: OptionalTargets, session: &mut Session) -> Result<(), Failure> {
    let targets = if args.targets.is_empty() { vec!["all".to_owned()] } else { args.targets };
    submit("emptied the logs of", vec![Order::ending("/v1/logs/flush", targets)], session).await
}
