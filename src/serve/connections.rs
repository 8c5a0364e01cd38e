//! Who is connected, until each has its answer.
//!
//! axum's and hyper's own way to stop closes a connection whose first request is still on its way; in a reload that would be a request
//! lost. Whoever is connected already gets a moment for it here.

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// For the head of each request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// For a first request, after we were asked to leave.
const FIRST_REQUEST: Duration = Duration::from_secs(1);
/// After a connection could not be accepted, e.g. for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until this is so, then sees off those who are connected.
pub(super) async fn serve(listener: TcpListener, router: Router, stopped: impl Future<Output = ()>) {
    let (leave, leaving) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut stopped = pin!(stopped);
    loop {
        let accepted = tokio::select! {
            () = &mut stopped => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => drop(connections.spawn(attend(stream, router.clone(), leaving.clone()))),
            Err(error) => {
                eprintln!("warning: a connection could not be accepted: {error}");
                sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    leave.send_replace(true);
    while connections.join_next().await.is_some() {}
}

async fn attend(stream: TcpStream, router: Router, mut leave: watch::Receiver<bool>) {
    let (asked, mut was_asked) = watch::channel(false);
    let router = TowerToHyperService::new(router);
    let answer = hyper::service::service_fn(|request: hyper::Request<Incoming>| {
        asked.send_replace(true);
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = pin!(connection);
    let leaving = async {
        // Both senders outlive this.
        let _ = leave.wait_for(|leave| *leave).await;
        let _ = timeout(FIRST_REQUEST, was_asked.wait_for(|asked| *asked)).await;
    };
    tokio::select! {
        // However it ended concerns its client alone, who sees it.
        _ = connection.as_mut() => return,
        () = leaving => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
