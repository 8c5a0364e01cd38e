//! Accepting clients, so many and no more.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::peer;

/// So many clients at once. One more, and the one that has been idle longest has to go.
const CLIENTS_MAX: usize = 128;
/// How long a client may take for the head of its request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest head of a request, in bytes, and the most fields in it.
const HEAD_MAX: usize = 16 << 10;
const FIELDS_MAX: usize = 64;
/// After a failed accept (no descriptor left), a moment for others to free one.
const PAUSE: Duration = Duration::from_millis(50);

/// When the doors close: how long is waited for the first request of a client who has just come in, ...
const ENTRY_TIME: Duration = Duration::from_millis(200);
/// ... for an answer that has been begun, ...
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// ... and for one to be taken; a stream (logs, events) has no end.
const TAKE_TIME: Duration = Duration::from_millis(100);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// A client being served.
struct Client {
    task: JoinHandle<()>,
    progress: Arc<Progress>,
}

/// How far a client is.
#[derive(Default)]
struct Progress {
    /// It has asked something.
    asked: AtomicBool,
    /// It has a request in progress.
    busy: AtomicBool,
}

impl Client {
    fn is_new(&self) -> bool {
        !self.task.is_finished() && !self.progress.asked.load(Ordering::Relaxed)
    }

    fn is_busy(&self) -> bool {
        !self.task.is_finished() && self.progress.busy.load(Ordering::Relaxed)
    }
}

/// A socket that clients connect to.
pub(super) trait Entrance {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next client; `None`: one that may not come in.
    async fn next(&self) -> io::Result<Option<Self::Stream>>;
}

impl Entrance for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<Option<UnixStream>> {
        self.accept().await.map(|(stream, _)| Some(stream).filter(peer::is_allowed))
    }
}

impl Entrance for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<Option<TcpStream>> {
        self.accept().await.map(|(stream, _)| Some(stream))
    }
}

/// Accepts until the doors are closed, then sees off those who are inside. Who comes later waits in the queue of the
/// socket, for whoever accepts next.
pub(super) async fn accept(listener: impl Entrance, router: Router, mut closing: watch::Receiver<bool>) {
    let mut clients: VecDeque<Client> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = closing.wait_for(|closed| *closed) => break,
            accepted = listener.next() => accepted,
        };
        match accepted {
            Ok(Some(stream)) => {
                clients.retain(|client| !client.task.is_finished());
                make_room(&mut clients);
                clients.push_back(serve(stream, router.clone()));
            }
            Ok(None) => tracing::warn!("a client of another user was turned away"),
            Err(error) => {
                tracing::warn!("a client could not be accepted: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    until_none(&clients, Client::is_new, ENTRY_TIME).await;
    until_none(&clients, Client::is_busy, ANSWER_TIME).await;
    until_none(&clients, |client| !client.task.is_finished(), TAKE_TIME).await;
    clients.into_iter().for_each(|client| client.task.abort());
}

/// Waits until this is true of no client any more, but not for ever.
async fn until_none(clients: &VecDeque<Client>, is: impl Fn(&Client) -> bool, limit: Duration) {
    let none = async {
        while clients.iter().any(&is) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    // One that takes longer finds its connection ended.
    let _ = tokio::time::timeout(limit, none).await;
}

/// Ends the longest idle client when there are too many; if all are busy, the oldest.
fn make_room(clients: &mut VecDeque<Client>) {
    if clients.len() < CLIENTS_MAX {
        return;
    }
    let idle = clients.iter().position(|client| !client.is_busy());
    if let Some(client) = clients.remove(idle.unwrap_or(0)) {
        client.task.abort();
    }
}

fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) -> Client {
    let progress = Arc::new(Progress::default());
    let mark = Arc::clone(&progress);
    let router = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        mark.asked.store(true, Ordering::Relaxed);
        mark.busy.store(true, Ordering::Relaxed);
        let (mark, answer) = (Arc::clone(&mark), router.call(request));
        async move {
            let answer = answer.await;
            mark.busy.store(false, Ordering::Relaxed);
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX)
        .max_headers(FIELDS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    // Whatever goes wrong on a connection concerns its client alone, who sees it end.
    let task = tokio::spawn(async move { drop(connection.await) });
    Client { task, progress }
}
