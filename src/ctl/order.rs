//! How is an order carried out, and how is its outcome told? Every command that changes something goes through here.
//! What the order means is the daemon's business.

use std::future::Future;
use std::time::Duration;

use serde_json::{Value, json};
use supd_api::{
    Accepted, AppDeclaration, AppName, ApplyApps, Fault, Happening, ReloadRequest, StartApps, Step,
    TargetRequest,
};
use tokio::time::timeout;

use super::args::Patience;
use super::client::{Client, JsonLines};
use super::last_lines::{self, Culprits};
use super::output::{Failure, Output};
use super::progress::Watch;
use super::{Session, table};

/// Everything that happens from now on.
const EVENTS: &str = "/v1/events?lines=0&follow=true";

/// The answer to a request and the happenings before it come by different connections: so long it may take until the last
/// of these are here too.
const GRACE: Duration = Duration::from_millis(250);

/// One request of a command.
pub(crate) struct Order {
    path: String,
    body: Value,
    kind: Kind,
}

/// What an order does to processes, as far as it matters to how it is told.
enum Kind {
    /// It starts none.
    Plain,
    /// It starts some. When they do not come up, their last words tell why.
    Starting,
    /// It moves apps to another version, which takes its time.
    Moving(Move, Vec<AppName>),
    /// The same, but its answer comes at once.
    Beginning(Move, Vec<AppName>),
}

/// Which way an app is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// To what is declared now.
    Reload,
    /// To what was declared before.
    Rollback,
}

impl Move {
    const fn path(self) -> &'static str {
        match self {
            Self::Reload => "/v1/workers/reload",
            Self::Rollback => "/v1/workers/rollback",
        }
    }

    const fn noun(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Rollback => "rollback",
        }
    }

    /// What has been done to a worker then.
    pub(crate) const fn done(self) -> &'static str {
        match self {
            Self::Reload => "reloaded",
            Self::Rollback => "rolled back",
        }
    }
}

impl Order {
    /// To do something to these targets that starts nothing.
    pub(crate) fn ending(path: &str, targets: Vec<String>) -> Self {
        Self::plain(path, json!(TargetRequest { targets }))
    }

    /// To do something that starts nothing.
    pub(crate) fn plain(path: &str, body: Value) -> Self {
        Self { path: path.to_owned(), body, kind: Kind::Plain }
    }

    /// To do something that starts workers.
    pub(crate) fn starting(path: &str, body: Value) -> Self {
        Self { path: path.to_owned(), body, kind: Kind::Starting }
    }

    /// To start what is declared, running apps anew.
    pub(crate) fn apply(apps: Vec<AppDeclaration>) -> Self {
        let patience = Patience::default();
        Self::starting("/v1/apps", declarations(apps, false, patience))
    }

    /// To move running apps to what is declared.
    pub(crate) fn reload(apps: Vec<AppDeclaration>, patience: Patience) -> Self {
        let names = apps.iter().map(|app| app.name.clone()).collect();
        let kind = Kind::moving(Move::Reload, names, patience);
        Self { path: "/v1/apps".to_owned(), body: declarations(apps, true, patience), kind }
    }

    /// To change of an app only what differs from what is declared.
    pub(crate) fn changing(app: AppDeclaration, step: Step, patience: Patience) -> Self {
        let kind = match step {
            Step::Reload => Kind::moving(Move::Reload, vec![app.name.clone()], patience),
            Step::Start | Step::Amend | Step::Nothing => Kind::Starting,
        };
        // Only a reload is not waited for.
        let no_wait = patience.no_wait && step == Step::Reload;
        let body = json!(ApplyApps { apps: vec![app], no_wait, timeout: patience.timeout });
        Self { path: "/v1/apps/apply".to_owned(), body, kind }
    }

    /// To move these apps.
    pub(crate) fn moving(way: Move, apps: Vec<AppName>, patience: Patience) -> Self {
        let Patience { no_wait, timeout } = patience;
        let targets = apps.iter().map(ToString::to_string).collect();
        let body = json!(ReloadRequest { targets, no_wait, timeout });
        Self { path: way.path().to_owned(), body, kind: Kind::moving(way, apps, patience) }
    }

    /// Sends it and says nothing meanwhile.
    ///
    /// # Errors
    /// As for [`Client::post`].
    pub(crate) async fn send(&self, client: &Client) -> Result<Accepted, Fault> {
        client.post(&self.path, &self.body).await
    }
}

impl Kind {
    fn moving(way: Move, apps: Vec<AppName>, patience: Patience) -> Self {
        if patience.no_wait { Self::Beginning(way, apps) } else { Self::Moving(way, apps) }
    }
}

fn declarations(apps: Vec<AppDeclaration>, reload: bool, patience: Patience) -> Value {
    let Patience { no_wait, timeout } = patience;
    json!(StartApps { apps, reload, no_wait, timeout })
}

/// Sends the orders one after the other and tells their outcome as one, the troubles last.
pub(crate) async fn submit(done: &str, orders: Vec<Order>, session: &mut Session) -> Result<(), Failure> {
    let mut all = Accepted::default();
    let mut culprits = Culprits::default();
    let mut stopped = None;
    for order in &orders {
        match carry_out(order, &mut culprits, interrupted(), session).await {
            Ok(accepted) => {
                all.workers.extend(accepted.workers);
                all.warnings.extend(accepted.warnings);
            }
            Err(failure) if all == Accepted::default() => return Err(failure),
            Err(failure) => {
                stopped = Some(failure);
                break;
            }
        }
    }
    session.output.done(done, &all)?;
    let listed = match (&stopped, session.output.speaks()) {
        (None, true) => show_table(session).await,
        _ => Ok(()),
    };
    let outcome = session.output.troubles(&all);
    if outcome.is_err() {
        last_lines::show(&all, &culprits, session).await;
    }
    match stopped {
        Some(failure) => Err(failure),
        None => outcome.and(listed),
    }
}

/// What there is now.
pub(crate) async fn show_table(session: &mut Session) -> Result<(), Failure> {
    let workers = session.client.workers(&[]).await?;
    session.output.line(table::list(&workers, session.output.style))?;
    Ok(session.output.flush()?)
}

/// Sends one order, shows how it goes, and returns its outcome.
pub(crate) async fn carry_out(
    order: &Order,
    culprits: &mut Culprits,
    interrupt: impl Future<Output = ()>,
    session: &mut Session,
) -> Result<Accepted, Failure> {
    let Session { client, output } = session;
    match &order.kind {
        Kind::Plain => Ok(order.send(client).await?),
        Kind::Starting => {
            let accepted = order.send(client).await?;
            culprits.suspect(&accepted);
            Ok(accepted)
        }
        Kind::Beginning(way, apps) => {
            let accepted = order.send(client).await?;
            output
                .say(format!("the {}; `supctl events` shows how it ends", going(*way, apps, "has begun")))?;
            Ok(accepted)
        }
        Kind::Moving(way, apps) => {
            let mut watch = Watch::new(way.done(), apps.clone(), output.style);
            let accepted = attend(order, &mut watch, client, output, interrupt).await;
            watch.end();
            let Some(accepted) = accepted? else {
                let going = going(*way, apps, "goes on");
                output.note(&format!("interrupted: the {going}; `supctl events` shows how it ends"));
                return Err(Failure::Interrupted);
            };
            culprits.extend(watch.suspects());
            culprits.suspect(&accepted);
            Ok(accepted)
        }
    }
}

/// `reload of web, api has begun`.
fn going(way: Move, apps: &[AppName], how: &str) -> String {
    let names: Vec<&str> = apps.iter().map(AppName::as_str).collect();
    format!("{} of {} {how}", way.noun(), names.join(", "))
}

/// Sends an order and shows what happens until it is answered; `None`: interrupted before that.
///
/// The happenings are a convenience: without them the order is carried out all the same.
async fn attend(
    order: &Order,
    watch: &mut Watch,
    client: &Client,
    output: &mut Output,
    interrupt: impl Future<Output = ()>,
) -> Result<Option<Accepted>, Fault> {
    let mut happenings = client.stream(EVENTS).await.ok();
    let answer = order.send(client);
    tokio::pin!(answer, interrupt);
    let accepted = loop {
        tokio::select! {
            biased;
            () = &mut interrupt => return Ok(None),
            Some(happening) = next(&mut happenings) => watch.see(&happening, output),
            answer = &mut answer => break answer?,
        }
    };
    let rest = async {
        while watch.is_moving()
            && let Some(happening) = next(&mut happenings).await
        {
            watch.see(&happening, output);
        }
    };
    // What has not come by then is left out.
    let _ = timeout(GRACE, rest).await;
    Ok(Some(accepted))
}

/// The next happening that makes sense; `None` once there is no stream any more.
async fn next(stream: &mut Option<JsonLines>) -> Option<Happening> {
    loop {
        match stream.as_mut()?.next().await {
            Ok(Some(line)) => {
                if let Ok(happening) = serde_json::from_slice(&line) {
                    return Some(happening);
                }
            }
            Ok(None) | Err(_) => *stream = None,
        }
    }
}

/// Returns when Ctrl-C is pressed. Before it is first waited for, Ctrl-C ends the process as usual.
pub(crate) async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests;
