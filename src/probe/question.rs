//! What is asked, where, and how is the answer put into words?

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use hyper::{StatusCode, Uri};
use supd_api::{Check, ListenAddress, Millis, Probe};
use supd_keeper::protocol::RunId;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::address::Address;
use super::command::Command;
use super::http::{get, io_words};
use super::watch::{Answer, Ask};
use super::{Outgoing, Reach, Target, hand_over};

/// The host that a server is told when the connection itself has none.
const NO_HOST: &str = "localhost";

/// One probe's question, ready to be asked.
pub(super) struct Question {
    /// An error in words, if it can never be asked.
    check: Result<Asked, String>,
    timeout: Duration,
    run: RunId,
    outlet: mpsc::UnboundedSender<Outgoing>,
}

enum Asked {
    Get { door: Door, path: Uri },
    Connect(Address),
    Run(Command),
}

/// Where an HTTP server is reached.
enum Door {
    HandOver,
    Tcp(Address),
    Unix(PathBuf),
}

impl Question {
    pub(super) fn new(target: Target, probe: &Probe, outlet: mpsc::UnboundedSender<Outgoing>) -> Self {
        let check = asked(&probe.check, &target);
        Self { check, timeout: probe.timeout.duration(), run: target.run, outlet }
    }
}

fn asked(check: &Check, target: &Target) -> Result<Asked, String> {
    match check {
        Check::Http { address, path } => {
            let door = match address {
                Some(address) => Door::Tcp(Address::declared(address, &target.environment)?),
                None => door(target)?,
            };
            let path = path.parse().ok().filter(|uri: &Uri| path.starts_with('/') && uri.scheme().is_none());
            Ok(Asked::Get {
                door,
                path: path.ok_or("its `path` is none: expected `/`, letters, and %-escapes")?,
            })
        }
        Check::Tcp { address } => Address::declared(address, &target.environment).map(Asked::Connect),
        Check::Exec { command } => {
            Command::new(command, target).map(Asked::Run).ok_or_else(|| "its command is empty".to_owned())
        }
    }
}

fn door(target: &Target) -> Result<Door, String> {
    match &target.reach {
        Reach::HandOver => Ok(Door::HandOver),
        Reach::Listen(ListenAddress::Unix(path)) => Ok(Door::Unix(path.clone())),
        Reach::Listen(ListenAddress::Tcp(address)) => Address::of_listener(*address)
            .map(Door::Tcp)
            .ok_or_else(|| format!("`{address}` has no fixed port")),
        Reach::Port => {
            let unknown = "nothing says where the worker listens: name an `address`, or set `listen` or PORT";
            let is_set = target.environment.iter().any(|variable| variable.name == "PORT");
            if is_set {
                Address::declared("${PORT}", &target.environment).map(Door::Tcp)
            } else {
                Err(unknown.to_owned())
            }
        }
    }
}

impl Ask for Question {
    async fn ask(&mut self) -> Answer {
        let asked = match &mut self.check {
            Ok(asked) => asked,
            Err(why) => return Answer { passed: false, text: why.clone() },
        };
        let put = tokio::time::timeout(self.timeout, asked.put(self.run, &self.outlet)).await;
        if let Asked::Run(command) = asked {
            command.kill();
        }
        let answer = put.unwrap_or_else(|_| Err(format!("no answer within {}", Millis::from(self.timeout))));
        let (passed, text) = match answer {
            Ok(text) => (true, text),
            Err(text) => (false, text),
        };
        Answer { passed, text: format!("{asked}: {text}") }
    }
}

impl Asked {
    async fn put(&mut self, run: RunId, outlet: &mpsc::UnboundedSender<Outgoing>) -> Result<String, String> {
        match self {
            Self::Get { door, path } => {
                let status = door.get(path, run, outlet).await?;
                // The three digits, and its name if it has one.
                let text = status.to_string().replace(" <unknown status code>", "");
                if (200..400).contains(&status.as_u16()) { Ok(text) } else { Err(text) }
            }
            Self::Connect(address) => match address.connect().await {
                Ok(_) => Ok("connection accepted".to_owned()),
                Err(error) => Err(io_words(&error)),
            },
            Self::Run(command) => command.run().await,
        }
    }
}

impl Door {
    async fn get(
        &mut self,
        path: &Uri,
        run: RunId,
        outlet: &mpsc::UnboundedSender<Outgoing>,
    ) -> Result<StatusCode, String> {
        let words = |error: io::Error| io_words(&error);
        match self {
            Self::Tcp(address) => {
                let stream = address.connect().await.map_err(words)?;
                get(stream, &address.to_string(), path).await
            }
            Self::Unix(socket) => get(UnixStream::connect(socket).await.map_err(words)?, NO_HOST, path).await,
            Self::HandOver => {
                let (stream, socket) = hand_over::pair().await.map_err(words)?;
                // Without a supervisor the socket is closed, which is an answer too.
                let _ = outlet.send(Outgoing::HandOver { run, socket });
                get(stream, NO_HOST, path).await
            }
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get { door, path } => write!(out, "GET {path} on {door}"),
            Self::Connect(address) => address.fmt(out),
            Self::Run(command) => out.write_str(command.program()),
        }
    }
}

impl fmt::Display for Door {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HandOver => out.write_str("a connection of its own"),
            Self::Tcp(address) => address.fmt(out),
            Self::Unix(path) => path.display().fmt(out),
        }
    }
}
