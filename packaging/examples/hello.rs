//! A small HTTP app that is a good worker in any language:
//! it accepts from the socket it is given, says who it is, and leaves only when every request is answered.
//!
//! supd passes the socket as systemd does: descriptor 3 and on, `LISTEN_FDS`, `LISTEN_PID` (sd_listen_fds(3)).

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::pin::pin;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use listenfd::ListenFd;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a client that has just connected may take for its first request after the app was asked to leave. Without
/// it that client would find its connection closed, and `axum::serve` as well as hyper's graceful shutdown do just that.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// Says which process answers.
fn hello() -> Response<Full<Bytes>> {
    let variable = |name| std::env::var(name).ok();
    let body = json!({
        "pid": std::process::id(),
        "instance": variable("NODE_APP_INSTANCE").and_then(|text| text.parse::<u32>().ok()),
        "app": variable("name"),
    });
    let mut response = Response::new(Full::from(body.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

/// Answers the requests of one connection: until the client closes it, or the app leaves.
async fn serve(stream: TcpStream, mut leave: watch::Receiver<bool>) {
    let (asked, mut was_asked) = watch::channel(false);
    let answer = service_fn(|_: Request<Incoming>| {
        asked.send_replace(true);
        async { Ok::<_, Infallible>(hello()) }
    });
    let mut connection = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
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

/// The socket that supd shares among the workers, or one of our own when started by hand.
fn listener() -> io::Result<TcpListener> {
    if let Some(shared) = ListenFd::from_env().take_tcp_listener(0)? {
        return Ok(shared);
    }
    let port = std::env::var("PORT").unwrap_or_else(|_| "8175".to_owned());
    TcpListener::bind(format!("127.0.0.1:{port}"))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let mut stop = signal(SignalKind::terminate())?;
    let listener = listener()?;
    listener.set_nonblocking(true)?;
    println!("hello: process {} listens on {}", std::process::id(), listener.local_addr()?);

    let listener = tokio::net::TcpListener::from_std(listener)?;
    let (leave, leaving) = watch::channel(false);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stop.recv() => break,
            accepted = listener.accept() => drop(connections.spawn(serve(accepted?.0, leaving.clone()))),
            Some(_) = connections.join_next() => {}
        }
    }
    // Accepts no more, answers what is in flight, then returns.
    drop(listener);
    leave.send_replace(true);
    while connections.join_next().await.is_some() {}
    Ok(())
}
