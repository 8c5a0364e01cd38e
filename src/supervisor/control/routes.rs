//! Every path of the API.

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::Value;
use supd_api::{
    Accepted, AppDeclaration, AppDifference, AppName, AppView, ApplyApps, CompareApps, CrashReport,
    DaemonView, EnvironmentView, Fault, FaultCode, HookView, Millis, PendingRequests, ReloadRequest,
    RunRequest, ScaleTo, Settings, SignalRequest, StartApps, TargetRequest, Triggered, UpgradeBegun,
    UpgradeRequest, WorkerView,
};
use tokio::sync::{mpsc, oneshot};

use super::body::{Answer, Refusal, read};
use super::log_query::log_query;
use super::stream::{Framing, stream};
use super::{observe, openapi};
use crate::supervisor::call::{Call, EventQuery, Pace, Reply, Verb};
use crate::supervisor::requests::internal;
use crate::supervisor::settings::Change;
use crate::supervisor::versions::accept::accept;
use crate::supervisor::versions::revision::Revision;

/// So many apps in one request.
const APPS_MAX: usize = 1000;

type Calls = State<mpsc::Sender<Call>>;

/// All paths. `openapi.rs` describes them; a test holds the two together.
pub(super) fn router(calls: mpsc::Sender<Call>) -> Router {
    Router::new()
        .route("/v1/openapi.json", get(describe))
        .route("/v1/daemon", get(daemon))
        .route("/v1/daemon/stop", post(stop_daemon))
        .route("/v1/daemon/upgrade", post(upgrade))
        .route("/v1/requests", post(outcome))
        .route("/v1/workers", get(workers))
        .route("/v1/workers/start", post(|calls, body| act(Verb::Start, calls, body)))
        .route("/v1/workers/run", post(run))
        .route("/v1/workers/stop", post(|calls, body| act(Verb::Stop, calls, body)))
        .route("/v1/workers/restart", post(|calls, body| act(Verb::Restart, calls, body)))
        .route("/v1/workers/reload", post(reload))
        .route("/v1/workers/rollback", post(rollback))
        .route("/v1/workers/delete", post(|calls, body| act(Verb::Delete, calls, body)))
        .route("/v1/workers/reset", post(reset))
        .route("/v1/workers/unwatch", post(unwatch))
        .route("/v1/workers/signal", post(signal))
        .route("/v1/workers/input", post(input))
        .route("/v1/workers/message", post(message))
        .route("/v1/workers/trigger", post(trigger))
        .route("/v1/workers/{id}/env", get(environment))
        .route("/v1/apps", get(apps).post(apply))
        .route("/v1/apps/diff", post(compare))
        .route("/v1/apps/apply", post(apply_changes))
        .route("/v1/apps/{name}/scale", post(scale))
        .route("/v1/settings", get(settings).put(set).delete(unset))
        .route("/v1/hooks", get(hooks))
        .route("/v1/hooks/{name}/test", post(test_hook))
        .route("/v1/crashes", get(crashes))
        .route("/v1/events", get(events))
        .route("/v1/logs", get(logs))
        .route("/v1/logs/flush", post(flush))
        .route("/v1/logs/reopen", post(reopen))
        .merge(observe::router())
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .with_state(calls)
}

pub(super) async fn unknown(method: Method, uri: Uri) -> Refusal {
    let text = format!("there is no {method} {}", uri.path());
    Fault::new(FaultCode::NotFound, text).hint("GET /v1/openapi.json describes what there is").into()
}

async fn describe() -> Json<Value> {
    Json(openapi::document())
}

/// Asks the loop and waits for its answer.
pub(super) async fn ask<T>(
    calls: &mpsc::Sender<Call>,
    call: impl FnOnce(Reply<T>) -> Call,
) -> Result<T, Fault> {
    let (reply, answer) = oneshot::channel();
    let gone = || internal("the supervisor's loop has ended");
    calls.send(call(reply)).await.map_err(|_| gone())?;
    answer.await.map_err(|_| gone())?
}

async fn daemon(State(calls): Calls) -> Answer<DaemonView> {
    Ok(Json(ask(&calls, Call::Daemon).await?))
}

async fn stop_daemon(State(calls): Calls) -> Answer<Accepted> {
    Ok(Json(ask(&calls, Call::Stop).await?))
}

async fn upgrade(State(calls): Calls, body: Body) -> Answer<UpgradeBegun> {
    let UpgradeRequest { binary } = read(body).await?;
    Ok(Json(ask(&calls, |reply| Call::Upgrade(binary, reply)).await?))
}

async fn outcome(State(calls): Calls, body: Body) -> Answer<Accepted> {
    let PendingRequests { requests } = read(body).await?;
    Ok(Json(ask(&calls, |reply| Call::Await(requests, reply)).await?))
}

async fn workers(State(calls): Calls, RawQuery(query): RawQuery) -> Answer<Vec<WorkerView>> {
    let targets = targets(query.as_deref())?;
    Ok(Json(ask(&calls, |reply| Call::Workers(targets, reply)).await?))
}

async fn apps(State(calls): Calls, RawQuery(query): RawQuery) -> Answer<Vec<AppView>> {
    let (targets, values) = app_query(query.as_deref())?;
    Ok(Json(ask(&calls, |reply| Call::Apps { targets, values, reply }).await?))
}

async fn environment(State(calls): Calls, Path(id): Path<String>) -> Answer<EnvironmentView> {
    let not_an_id =
        |_| Fault::new(FaultCode::Invalid, format!("`{}` is not a worker's id", id.escape_debug()));
    let worker: u32 = id.parse().map_err(not_an_id)?;
    Ok(Json(ask(&calls, |reply| Call::Environment(worker, reply)).await?))
}

async fn act(verb: Verb, State(calls): Calls, body: Body) -> Answer<Accepted> {
    let TargetRequest { targets } = read(body).await?;
    Ok(Json(ask(&calls, |reply| Call::Act(verb, targets, reply)).await?))
}

async fn run(State(calls): Calls, body: Body) -> Answer<Accepted> {
    let RunRequest { targets, no_wait } = read(body).await?;
    Ok(Json(ask(&calls, |reply| Call::Run(targets, pace(no_wait, None), reply)).await?))
}

async fn reload(State(calls): Calls, body: Body) -> Answer<Accepted> {
    let ReloadRequest { targets, no_wait, timeout } = read(body).await?;
    let pace = pace(no_wait, timeout);
    Ok(Json(ask(&calls, |reply| Call::Reload { targets, pace, reply }).await?))
}

async fn rollback(State(calls): Calls, body: Body) -> Answer<Accepted> {
    let ReloadRequest { targets, no_wait, timeout } = read(body).await?;
    let pace = pace(no_wait, timeout);
    Ok(Json(ask(&calls, |reply| Call::Rollback { targets, pace, reply }).await?))
}

fn pace(no_wait: bool, timeout: Option<Millis>) -> Pace {
    Pace { no_wait, timeout: timeout.map(Millis::duration) }
}

async fn flush(State(calls): Calls, body: Body) -> Answer<Accepted> {
    let TargetRequest { targets } = read(body).await?;
    Ok(Json(ask(&calls, |reply| Call::Flush(targets, reply)).await?))
}

async fn reset(State(calls): Calls, body: Body) -> Answer<Accepted> {
    let TargetRequest { targets } = read(body).await?;
    Ok(Json(ask(&calls, |reply| Call::Reset(targets, reply)).await?))
}

async fn unwatch(State(calls): Calls, body: Body) -> Answer<Accepted> {
    let TargetRequest { targets } = read(body).await?;
    Ok(Json(ask(&calls, |reply| Call::Unwatch(targets, reply)).await?))
}

async fn reopen(State(calls): Calls) -> Answer<Accepted> {
    Ok(Json(ask(&calls, Call::Reopen).await?))
}

async fn signal(State(calls): Calls, body: Body) -> Answer<Accepted> {
    let SignalRequest { targets, signal } = read(body).await?;
    let signal = signal_number(&signal)?;
    Ok(Json(ask(&calls, |reply| Call::Signal { targets, signal, reply }).await?))
}

async fn input(State(calls): Calls, body: Body) -> Answer<Accepted> {
    let request = read(body).await?;
    Ok(Json(ask(&calls, |reply| Call::Input(request, reply)).await?))
}

async fn message(State(calls): Calls, body: Body) -> Answer<Accepted> {
    let request = read(body).await?;
    Ok(Json(ask(&calls, |reply| Call::Message(request, reply)).await?))
}

async fn trigger(State(calls): Calls, body: Body) -> Answer<Triggered> {
    let request = read(body).await?;
    Ok(Json(ask(&calls, |reply| Call::Trigger(request, reply)).await?))
}

async fn settings(State(calls): Calls) -> Answer<Settings> {
    Ok(Json(ask(&calls, Call::Settings).await?))
}

async fn set(State(calls): Calls, body: Body) -> Answer<Accepted> {
    let Settings { settings } = read(body).await?;
    Ok(Json(ask(&calls, |reply| Call::ChangeSettings(Change::Set(settings), reply)).await?))
}

async fn unset(State(calls): Calls, RawQuery(query): RawQuery) -> Answer<Accepted> {
    let keys = values_of("key", query.as_deref())?;
    let change = if keys.is_empty() { Change::Clear } else { Change::Unset(keys) };
    Ok(Json(ask(&calls, |reply| Call::ChangeSettings(change, reply)).await?))
}

async fn hooks(State(calls): Calls) -> Answer<Vec<HookView>> {
    Ok(Json(ask(&calls, Call::Hooks).await?))
}

async fn test_hook(State(calls): Calls, Path(name): Path<String>) -> Answer<Accepted> {
    Ok(Json(ask(&calls, |reply| Call::TestHook(name, reply)).await?))
}

async fn scale(State(calls): Calls, Path(name): Path<String>, body: Body) -> Answer<Accepted> {
    let name = AppName::new(name).map_err(|error| Fault::new(FaultCode::Invalid, error.to_string()))?;
    let to: ScaleTo = read(body).await?;
    Ok(Json(ask(&calls, |reply| Call::Scale(name, to, reply)).await?))
}

async fn apply(State(calls): Calls, body: Body) -> Answer<Accepted> {
    let StartApps { apps, reload: gently, no_wait, timeout } = read(body).await?;
    let pace = pace(no_wait, timeout);
    let revisions = accept_all(apps).await?;
    Ok(Json(ask(&calls, |reply| Call::Apply { revisions, gently, pace, reply }).await?))
}

async fn compare(State(calls): Calls, body: Body) -> Answer<Vec<AppDifference>> {
    let CompareApps { apps } = read(body).await?;
    check_names(&apps)?;
    let look = |app: AppDeclaration| (app.name.clone(), accept(app));
    let accepted = tokio::task::spawn_blocking(move || apps.into_iter().map(look).collect());
    let accepted = accepted.await.map_err(|_| internal("a declaration could not be looked at"))?;
    Ok(Json(ask(&calls, |reply| Call::Compare(accepted, reply)).await?))
}

async fn apply_changes(State(calls): Calls, body: Body) -> Answer<Accepted> {
    let ApplyApps { apps, no_wait, timeout } = read(body).await?;
    let pace = pace(no_wait, timeout);
    let revisions = accept_all(apps).await?;
    Ok(Json(ask(&calls, |reply| Call::ApplyChanges { revisions, pace, reply }).await?))
}

/// The versions of all of these, or the fault of the first that cannot be had.
async fn accept_all(apps: Vec<AppDeclaration>) -> Result<Vec<Revision>, Fault> {
    check_names(&apps)?;
    let accepted = tokio::task::spawn_blocking(|| apps.into_iter().map(accept).collect());
    accepted.await.map_err(|_| internal("a declaration could not be looked at"))?
}

/// That there are some, not too many, and each once.
fn check_names(apps: &[AppDeclaration]) -> Result<(), Fault> {
    if apps.is_empty() || apps.len() > APPS_MAX {
        let text = format!("{} apps in one request; 1 to {APPS_MAX} are possible", apps.len());
        return Err(Fault::new(FaultCode::Invalid, text));
    }
    let mut names: Vec<_> = apps.iter().map(|app| &app.name).collect();
    names.sort();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Fault::new(FaultCode::Invalid, format!("two apps are called `{}`", pair[0])));
    }
    Ok(())
}

async fn logs(State(calls): Calls, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let query = log_query(query.as_deref())?;
    let lines = ask(&calls, |reply| Call::Logs { query, reply }).await?;
    Ok(stream(lines, Framing::Lines))
}

async fn crashes(State(calls): Calls, RawQuery(query): RawQuery) -> Answer<Vec<CrashReport>> {
    let (targets, limit) = crash_query(query.as_deref())?;
    let wreckage = ask(&calls, |reply| Call::Crashes(targets, reply)).await?;
    let read = tokio::task::spawn_blocking(move || wreckage.read(limit)).await;
    Ok(Json(read.map_err(|_| internal("crash reports could not be read"))?))
}

async fn events(
    State(calls): Calls,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let framing = Framing::accepted(&headers);
    let query = event_query(query.as_deref(), framing == Framing::ServerSentEvents)?;
    let events = ask(&calls, |reply| Call::Events { query, reply }).await?;
    Ok(stream(events, framing))
}

// ---- parameters ----------------------------------------------------------------------------------------------

pub(super) fn parameters(query: Option<&str>) -> impl Iterator<Item = (String, String)> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned()
}

fn targets(query: Option<&str>) -> Result<Vec<String>, Fault> {
    values_of("target", query)
}

/// All values of the only parameter there is.
pub(super) fn values_of(known: &str, query: Option<&str>) -> Result<Vec<String>, Fault> {
    let value = |(name, value): (String, String)| {
        if name == known { Ok(value) } else { Err(unknown_parameter(&name, known)) }
    };
    parameters(query).map(value).collect()
}

fn app_query(query: Option<&str>) -> Result<(Vec<String>, bool), Fault> {
    let (mut targets, mut values) = (Vec::new(), false);
    for (name, value) in parameters(query) {
        match name.as_str() {
            "target" => targets.push(value),
            "values" => {
                values = value.parse().map_err(|_| {
                    let text = format!("values=`{}`: expected true or false", value.escape_debug());
                    Fault::new(FaultCode::Invalid, text)
                })?;
            }
            _ => return Err(unknown_parameter(&name, "target, values")),
        }
    }
    Ok((targets, values))
}

pub(super) fn unknown_parameter(name: &str, known: &str) -> Fault {
    Fault::new(FaultCode::Invalid, format!("unknown parameter `{}`; known: {known}", name.escape_debug()))
}

fn crash_query(query: Option<&str>) -> Result<(Vec<String>, usize), Fault> {
    let (mut targets, mut limit) = (Vec::new(), usize::MAX);
    for (name, value) in parameters(query) {
        match name.as_str() {
            "target" => targets.push(value),
            "limit" => {
                let bad = |_| {
                    Fault::new(
                        FaultCode::Invalid,
                        format!("limit=`{}`: expected a whole number", value.escape_debug()),
                    )
                };
                limit = value.parse().map_err(bad)?;
            }
            _ => return Err(unknown_parameter(&name, "target, limit")),
        }
    }
    Ok((targets, limit))
}

/// `follow`: unless the query says otherwise.
fn event_query(query: Option<&str>, follow: bool) -> Result<EventQuery, Fault> {
    let mut wanted = EventQuery { targets: Vec::new(), lines: usize::MAX, follow, messages: false };
    for (name, value) in parameters(query) {
        let bad = |expected: &str| {
            Fault::new(FaultCode::Invalid, format!("{name}=`{}`: expected {expected}", value.escape_debug()))
        };
        match name.as_str() {
            "target" => wanted.targets.push(value),
            "lines" => wanted.lines = value.parse().map_err(|_| bad("a whole number"))?,
            "follow" => wanted.follow = value.parse().map_err(|_| bad("true or false"))?,
            "messages" => wanted.messages = value.parse().map_err(|_| bad("true or false"))?,
            _ => return Err(unknown_parameter(&name, "target, lines, follow, messages")),
        }
    }
    Ok(wanted)
}

/// `SIGUSR2`, `USR2`, `usr2` or `12`.
fn signal_number(text: &str) -> Result<i32, Fault> {
    let upper = text.to_ascii_uppercase();
    let name = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    let number = text.parse::<i32>().ok().filter(|number| (1..=64).contains(number));
    number.or_else(|| name.parse::<nix::sys::signal::Signal>().ok().map(|signal| signal as i32)).ok_or_else(
        || {
            Fault::new(FaultCode::Invalid, format!("`{}` is not a signal", text.escape_debug()))
                .hint("name one as SIGUSR2, USR2 or 12; `kill -l` lists them")
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals() {
        for text in ["SIGUSR2", "USR2", "usr2", "12"] {
            assert_eq!(signal_number(text).ok(), Some(12), "{text}");
        }
        for text in ["", "0", "-1", "65", "SIGNOPE"] {
            assert!(signal_number(text).is_err(), "{text}");
        }
    }

    #[test]
    fn queries() {
        assert_eq!(targets(Some("target=a&target=%2Fb%2F")).expect("targets"), ["a", "/b/"]);
        assert!(targets(Some("tarket=a")).is_err());
        assert_eq!(app_query(Some("values=true&target=a")).expect("a query"), (vec!["a".to_owned()], true));
        assert!(event_query(None, true).expect("a query").follow);
        assert!(!event_query(Some("follow=false"), true).expect("a query").follow);
        assert!(app_query(Some("values=1")).is_err() && app_query(Some("value=true")).is_err());
    }
}
