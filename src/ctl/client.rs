//! How does a question reach the daemon and its answer come back? HTTP/1.1 over the Unix socket, one connection a
//! request. Knows paths of the API as text only; what they mean is the commands' business.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use supd_api::{Accepted, AppView, Fault, FaultCode, PendingRequests, WorkerView};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::launch::Launcher;
use crate::home::Home;

/// A question that changes nothing is answered at once; a daemon that takes longer is stuck.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// How long a full accept queue may keep a connection waiting.
const QUEUE_TIME: Duration = Duration::from_secs(10);
const QUEUE_RETRY: Duration = Duration::from_millis(10);

/// No honest answer is longer: 1000 workers' environments stay well below.
const ANSWER_BYTES: usize = 64 << 20;

/// The way to the daemon of one home.
#[derive(Debug)]
pub(crate) struct Client {
    home: Home,
    launcher: Option<Launcher>,
}

/// What a connection attempt can find.
pub(crate) enum Dialled {
    Open(UnixStream),
    /// Nobody listens: no socket, or one that nobody holds.
    Absent,
}

/// Why an exchange did not yield an answer.
enum Trouble {
    /// The connection broke before the answer was complete.
    Broken(String),
    Fault(Fault),
}

impl Client {
    /// A client; without a launcher it never starts a daemon.
    pub(crate) fn new(home: Home, launcher: Option<Launcher>) -> Self {
        Self { home, launcher }
    }

    /// From now on a daemon that is gone stays gone.
    pub(crate) fn launch_no_more(&mut self) {
        self.launcher = None;
    }

    /// Where the daemon lives.
    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// Asks; asks once more when the connection breaks, because the supervisor may just have been restarted.
    ///
    /// # Errors
    /// The daemon's fault; `Unreachable` when it does not answer, `Internal` when its answer makes no sense.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Fault> {
        let answer = match self.ask(path).await {
            Err(Trouble::Broken(_)) => self.ask(path).await,
            settled => settled,
        };
        match answer {
            Ok(body) => parse(&body),
            Err(Trouble::Fault(fault)) => Err(fault),
            Err(Trouble::Broken(reason)) => {
                Err(self.unreachable(&format!("the connection broke twice: {reason}")))
            }
        }
    }

    /// Orders a change. There is no limit on its time: a worker may take long to stop or to get ready.
    ///
    /// # Errors
    /// As for [`Client::get`]; when the connection breaks nobody knows whether the change was made, so it is
    /// `Unreachable` with the advice to look.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Fault> {
        let mut answer = self.exchange(Method::POST, path, whole_body(body)?).await?;
        // A supervisor that makes way for another leaves the rest of the answer to that one.
        while let Some((mut known, requests)) = pending(&answer) {
            let rest = whole_body(&PendingRequests { requests })?;
            let rest = self.exchange(Method::POST, "/v1/requests", rest).await?;
            let rest: Accepted = parse(&rest)?;
            known.workers.extend(rest.workers);
            known.workers.sort_by_key(|outcome| outcome.id);
            known.warnings.extend(rest.warnings);
            known.pending = rest.pending;
            answer = whole_body(&known)?;
        }
        parse(&answer)
    }

    /// Adds to what is there.
    ///
    /// # Errors
    /// As for [`Client::post`].
    pub(crate) async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Fault> {
        parse(&self.exchange(Method::PUT, path, whole_body(body)?).await?)
    }

    /// Removes.
    ///
    /// # Errors
    /// As for [`Client::post`].
    pub(crate) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Fault> {
        parse(&self.exchange(Method::DELETE, path, Bytes::new()).await?)
    }

    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, Fault> {
        let stream = self.connect().await?;
        let exchange = async { settle(send(stream, method, path, body).await?).await };
        match exchange.await {
            Ok(body) => Ok(body),
            Err(Trouble::Fault(fault)) => Err(fault),
            Err(Trouble::Broken(reason)) => Err(Fault::new(
                FaultCode::Unreachable,
                format!("the connection to the daemon broke before it answered: {reason}"),
            )
            .hint("the change may or may not have been made: look at `supctl list`")),
        }
    }

    /// Opens a stream of JSON lines.
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub(crate) async fn stream(&self, path: &str) -> Result<JsonLines, Fault> {
        let stream = self.connect().await?;
        let opened = async {
            let response = send(stream, Method::GET, path, Bytes::new()).await?;
            if response.status().is_success() {
                return Ok(JsonLines::new(response.into_body()));
            }
            let status = response.status();
            Err(Trouble::Fault(refusal(status, &whole(response).await?)))
        };
        match timeout(ANSWER_TIME, opened).await {
            Ok(Ok(lines)) => Ok(lines),
            Ok(Err(Trouble::Fault(fault))) => Err(fault),
            Ok(Err(Trouble::Broken(reason))) => {
                Err(self.unreachable(&format!("the connection broke: {reason}")))
            }
            Err(_) => Err(self.silence()),
        }
    }

    /// The workers of these targets (none: all), ordered by app and id.
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub(crate) async fn workers(&self, targets: &[String]) -> Result<Vec<WorkerView>, Fault> {
        let mut workers: Vec<WorkerView> = self.get(&format!("/v1/workers{}", query(targets))).await?;
        workers.sort_by(|a, b| (&a.app, a.id).cmp(&(&b.app, b.id)));
        Ok(workers)
    }

    /// The apps of these targets (none: all), ordered by name.
    ///
    /// # Errors
    /// As for [`Client::workers`].
    pub(crate) async fn apps(&self, targets: &[String]) -> Result<Vec<AppView>, Fault> {
        let mut apps: Vec<AppView> = self.get(&format!("/v1/apps{}", query(targets))).await?;
        apps.sort_by(|a, b| a.declaration.name.cmp(&b.declaration.name));
        Ok(apps)
    }

    /// All apps with the values of their variables, ordered by name.
    ///
    /// # Errors
    /// As for [`Client::workers`].
    pub(crate) async fn declarations(&self) -> Result<Vec<AppView>, Fault> {
        let mut apps: Vec<AppView> = self.get("/v1/apps?values=true").await?;
        apps.sort_by(|a, b| a.declaration.name.cmp(&b.declaration.name));
        Ok(apps)
    }

    async fn ask(&self, path: &str) -> Result<Bytes, Trouble> {
        let stream = self.connect().await.map_err(Trouble::Fault)?;
        let exchange = async { settle(send(stream, Method::GET, path, Bytes::new()).await?).await };
        timeout(ANSWER_TIME, exchange).await.unwrap_or_else(|_| Err(Trouble::Fault(self.silence())))
    }

    async fn connect(&self) -> Result<UnixStream, Fault> {
        match (dial(&self.home).await?, &self.launcher) {
            (Dialled::Open(stream), _) => Ok(stream),
            (Dialled::Absent, Some(launcher)) => launcher.launch(&self.home).await,
            (Dialled::Absent, None) => Err(Fault::new(
                FaultCode::Unreachable,
                format!("no daemon runs in {}", self.home.path().display()),
            )
            .hint("`supctl ping` starts it")),
        }
    }

    fn silence(&self) -> Fault {
        self.unreachable(&format!("the daemon did not answer within {} s", ANSWER_TIME.as_secs()))
    }

    fn unreachable(&self, message: &str) -> Fault {
        Fault::new(FaultCode::Unreachable, message).hint(format!("see {}", self.home.daemon_log().display()))
    }
}

/// Tries to connect, waiting while the accept queue is full.
pub(crate) async fn dial(home: &Home) -> Result<Dialled, Fault> {
    let socket = home.socket();
    let connect = async || loop {
        match UnixStream::connect(&socket).await {
            // unix(7): a non-blocking connect fails with EAGAIN while the backlog is full.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(QUEUE_RETRY).await,
            settled => break settled,
        }
    };
    let fault = |code, reason: &dyn std::fmt::Display| {
        Fault::new(code, format!("cannot connect to {}: {reason}", socket.display()))
    };
    match timeout(QUEUE_TIME, connect()).await {
        Ok(Ok(stream)) => Ok(Dialled::Open(stream)),
        Ok(Err(error)) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(Dialled::Absent),
            io::ErrorKind::PermissionDenied => Err(fault(FaultCode::Forbidden, &error)
                .hint("run supctl as the user the daemon belongs to, or give another --home")),
            io::ErrorKind::NotADirectory => {
                Err(fault(FaultCode::Invalid, &error).hint("check SUPD_HOME or --home"))
            }
            _ => Err(fault(FaultCode::Unreachable, &error)),
        },
        Err(_) => Err(fault(FaultCode::Unreachable, &"its queue stayed full")
            .hint(format!("see {}", home.daemon_log().display()))),
    }
}

/// `?target=a&target=b`, or nothing without targets.
pub(crate) fn query(targets: &[String]) -> String {
    targets.iter().enumerate().fold(String::new(), |mut query, (at, target)| {
        query.push_str(if at == 0 { "?target=" } else { "&target=" });
        query.push_str(&escape(target));
        query
    })
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
pub(crate) fn escape(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut escaped, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(byte as char),
            _ => {
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
        escaped
    })
}

async fn send(
    stream: UnixStream,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<Response<Incoming>, Trouble> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    // Ends by itself with the connection; its errors reach us through the sender.
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "supd")
        .header("content-type", "application/json")
        .body(Full::new(body))
        .map_err(|error| {
            Trouble::Fault(Fault::new(FaultCode::Internal, format!("{path} is no request path: {error}")))
        })?;
    sender.send_request(request).await.map_err(|error| broken(&error))
}

/// The body of a success, or the fault of anything else.
async fn settle(response: Response<Incoming>) -> Result<Bytes, Trouble> {
    let status = response.status();
    let body = whole(response).await?;
    if status.is_success() { Ok(body) } else { Err(Trouble::Fault(refusal(status, &body))) }
}

async fn whole(response: Response<Incoming>) -> Result<Bytes, Trouble> {
    match Limited::new(response.into_body(), ANSWER_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Trouble::Fault(Fault::new(
            FaultCode::Limit,
            format!("the daemon's answer is longer than {} MiB", ANSWER_BYTES >> 20),
        ))),
        Err(error) => Err(Trouble::Broken(error.to_string())),
    }
}

fn refusal(status: StatusCode, body: &[u8]) -> Fault {
    serde_json::from_slice(body).unwrap_or_else(|_| {
        Fault::new(FaultCode::Internal, format!("the daemon answered {status} without saying why"))
            .hint("is it of another version? See `supctl version`")
    })
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| {
        Fault::new(FaultCode::Internal, format!("the daemon's answer was not understood: {error}"))
            .hint("is it of another version? See `supctl version`")
    })
}

fn whole_body(body: &impl Serialize) -> Result<Bytes, Fault> {
    let text = serde_json::to_vec(body);
    text.map(Bytes::from)
        .map_err(|error| Fault::new(FaultCode::Internal, format!("request not serialisable: {error}")))
}

/// What is known so far and what is still to be asked for, in an answer that is not complete.
fn pending(answer: &[u8]) -> Option<(Accepted, Vec<u64>)> {
    let mut known =
        serde_json::from_slice::<Accepted>(answer).ok().filter(|known| !known.pending.is_empty())?;
    let requests = std::mem::take(&mut known.pending);
    Some((known, requests))
}

fn broken(error: &hyper::Error) -> Trouble {
    if error.is_parse() {
        return Trouble::Fault(
            Fault::new(FaultCode::Unreachable, "what listens on the socket does not speak HTTP")
                .hint("check SUPD_HOME or --home"),
        );
    }
    Trouble::Broken(error.to_string())
}

/// A body of one JSON document a line.
#[derive(Debug)]
pub(crate) struct JsonLines {
    body: Incoming,
    buffer: Vec<u8>,
    /// Up to here the buffer was searched for a newline.
    searched: usize,
}

impl JsonLines {
    fn new(body: Incoming) -> Self {
        Self { body, buffer: Vec::new(), searched: 0 }
    }

    /// The next line without its newline; `None` at the end, whether it was orderly or not.
    ///
    /// # Errors
    /// `Limit` for a line that never ends.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        loop {
            if let Some(at) = self.buffer[self.searched..].iter().position(|&byte| byte == b'\n') {
                let rest = self.buffer.split_off(self.searched + at + 1);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                line.pop();
                self.searched = 0;
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > ANSWER_BYTES {
                return Err(Fault::new(FaultCode::Limit, "a line of the daemon's stream is too long"));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    self.buffer.extend_from_slice(&frame.into_data().unwrap_or_default());
                }
                Some(Err(_)) | None => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_escaped() {
        assert_eq!(query(&[]), "");
        let targets = ["web".to_owned(), "/a&b=é/".to_owned()];
        assert_eq!(query(&targets), "?target=web&target=%2Fa%26b%3D%C3%A9%2F");
    }
}
