//! How do the wishes of the dashboard reach the daemon? Each in a task of its own, whose answer comes back as a message.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use supd_api::{Accepted, AppName, AppView, Fault, FaultCode, LogLine, TargetRequest};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

use super::action::{Action, Target, Verb};
use super::state::{Look, Message};
use crate::config::Loaded;
use crate::ctl::args::Patience;
use crate::ctl::client::{Client, escape, query};
use crate::ctl::declare;
use crate::ctl::order::{Move, Order};
use crate::ctl::output::{Output, Style};
use crate::ctl::places::Places;

/// So many of the last lines of each log are fetched.
const LINES: u32 = 200;
/// Somebody who goes through the list does not open each log on the way.
const LINGER: Duration = Duration::from_millis(150);
/// Before a stream that has ended is asked for again, and before a daemon that is gone is.
const PAUSE: Duration = Duration::from_millis(100);
const LONG_PAUSE: Duration = Duration::from_secs(1);

/// The way to the daemon, and the way back.
pub(super) struct Talk {
    client: Arc<Client>,
    messages: mpsc::Sender<Message>,
    /// The task that reads a log.
    reader: Option<JoinHandle<()>>,
}

impl Talk {
    pub(super) fn new(client: Client, messages: mpsc::Sender<Message>) -> Self {
        Self { client: Arc::new(client), messages, reader: None }
    }

    /// Looks at everything, and closer at this app.
    pub(super) fn look(&self, app: Option<AppName>) {
        let (client, messages) = (Arc::clone(&self.client), self.messages.clone());
        tokio::spawn(async move {
            let look = look(app, &client).await;
            // Nobody is there any more when it fails.
            let _ = messages.send(Message::Looked(look)).await;
        });
    }

    /// Reads the log of this target and of none before.
    pub(super) fn follow(&mut self, feed: u64, target: Target) {
        let (client, messages) = (Arc::clone(&self.client), self.messages.clone());
        let reader = tokio::spawn(async move { follow(feed, &target, &client, &messages).await });
        if let Some(before) = self.reader.replace(reader) {
            before.abort();
        }
    }

    /// Orders that, however long it takes.
    pub(super) fn act(&self, action: Action) {
        let (client, messages) = (Arc::clone(&self.client), self.messages.clone());
        tokio::spawn(async move {
            let outcome = act(&action, &client).await;
            let _ = messages.send(Message::Acted(action, outcome)).await;
        });
    }
}

async fn look(app: Option<AppName>, client: &Client) -> Result<Box<Look>, Fault> {
    let daemon = client.get("/v1/daemon").await?;
    let workers = client.workers(&[]).await?;
    let app = match app {
        // It may have been deleted meanwhile.
        Some(name) => client.apps(&[name.to_string()]).await.ok().and_then(|apps| apps.into_iter().next()),
        None => None,
    };
    Ok(Box::new(Look { daemon, workers, app }))
}

/// Ends when nobody takes the lines any more.
async fn follow(feed: u64, target: &Target, client: &Client, messages: &mpsc::Sender<Message>) {
    sleep(LINGER).await;
    let base = format!("/v1/logs{}&follow=true&positions=true", query(&[target.name()]));
    let mut places = Places::default();
    let mut path = format!("{base}&lines={LINES}");
    loop {
        let pause = match client.stream(&path).await {
            Ok(mut stream) => {
                let mut title = None;
                while let Ok(Some(line)) = stream.next().await {
                    let Ok(line) = serde_json::from_slice::<LogLine>(&line) else { continue };
                    if places.heed(&line) {
                        // All of that log has been shown: if there was nothing, its title is of no use.
                        title = None;
                    } else if matches!(line, LogLine::File { .. }) {
                        title = Some(line);
                    } else {
                        for line in title.take().into_iter().chain([line]) {
                            if messages.send(Message::Line(feed, line)).await.is_err() {
                                return;
                            }
                        }
                    }
                }
                path = match places.query() {
                    Some(from) => format!("{base}&from={from}"),
                    None => format!("{base}&lines=0"),
                };
                PAUSE
            }
            Err(_) => LONG_PAUSE,
        };
        sleep(pause).await;
    }
}

async fn act(action: &Action, client: &Client) -> Result<Accepted, Fault> {
    let targets = vec![action.target.name()];
    let starting = |path, targets| Order::starting(path, json!(TargetRequest { targets }));
    let order = match action.verb {
        Verb::Start => starting("/v1/workers/start", targets),
        Verb::Restart => starting("/v1/workers/restart", targets),
        Verb::Stop => Order::ending("/v1/workers/stop", targets),
        Verb::Delete => Order::ending("/v1/workers/delete", targets),
        Verb::Scale(to) => {
            let path = format!("/v1/apps/{}/scale", escape(action.target.app.as_str()));
            Order::starting(&path, json!(to))
        }
        Verb::Reload => reload(&targets, client).await?,
    };
    order.send(client).await
}

/// As `supctl reload` does it: to what the file of the app declares now.
async fn reload(targets: &[String], client: &Client) -> Result<Order, Fault> {
    let (mut declared, mut names) = (Vec::new(), Vec::new());
    for app in client.apps(targets).await? {
        let name = app.declaration.name.clone();
        match read_again(app).await? {
            Some(loaded) => declared.extend(loaded.apps),
            None => names.push(name),
        }
    }
    Ok(if declared.is_empty() {
        Order::moving(Move::Reload, names, Patience::default())
    } else {
        Order::reload(declared, Patience::default())
    })
}

/// Beside the loop: a file may be a program, which takes its time.
async fn read_again(app: AppView) -> Result<Option<Loaded>, Fault> {
    let read = spawn_blocking(move || {
        let mut nobody = Output::new(Box::new(io::sink()), Box::new(io::sink()), Style::default());
        declare::load_again(&app, &mut nobody)
    });
    read.await.map_err(|_| Fault::new(FaultCode::Internal, "the file could not be read"))?
}
