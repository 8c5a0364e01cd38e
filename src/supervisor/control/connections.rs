//! Accepting clients, so many and no more.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::AbortHandle;

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

/// A client being served.
struct Client {
    task: AbortHandle,
    /// It has a request in progress.
    busy: Arc<AtomicBool>,
}

/// Accepts for ever.
pub(super) async fn accept(listener: UnixListener, router: Router) {
    let mut clients: VecDeque<Client> = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) if peer::is_allowed(&stream) => {
                clients.retain(|client| !client.task.is_finished());
                make_room(&mut clients);
                clients.push_back(serve(stream, router.clone()));
            }
            Ok(_) => tracing::warn!("a client of another user was turned away"),
            Err(error) => {
                tracing::warn!("a client could not be accepted: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Ends the longest idle client when there are too many; if all are busy, the oldest.
fn make_room(clients: &mut VecDeque<Client>) {
    if clients.len() < CLIENTS_MAX {
        return;
    }
    let idle = clients.iter().position(|client| !client.busy.load(Ordering::Relaxed));
    if let Some(client) = clients.remove(idle.unwrap_or(0)) {
        client.task.abort();
    }
}

fn serve(stream: UnixStream, router: Router) -> Client {
    let busy = Arc::new(AtomicBool::new(false));
    let mark = Arc::clone(&busy);
    let router = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        mark.store(true, Ordering::Relaxed);
        let (mark, answer) = (Arc::clone(&mark), router.call(request));
        async move {
            let answer = answer.await;
            mark.store(false, Ordering::Relaxed);
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
    let task = tokio::spawn(async move { drop(connection.await) }).abort_handle();
    Client { task, busy }
}
