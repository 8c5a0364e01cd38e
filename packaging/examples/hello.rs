//! A small HTTP app that is a good worker in any language:
//! it accepts from the socket it is given, says who it is, and leaves only when every request is answered.
//!
//! supd passes the socket as systemd does: descriptor 3 and on, `LISTEN_FDS`, `LISTEN_PID` (sd_listen_fds(3)).

use std::io;
use std::net::TcpListener;

use axum::{Json, Router, routing::any};
use listenfd::ListenFd;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

/// Says which process answers.
async fn hello() -> Json<Value> {
    let variable = |name| std::env::var(name).ok();
    Json(json!({
        "pid": std::process::id(),
        "instance": variable("NODE_APP_INSTANCE").and_then(|text| text.parse::<u32>().ok()),
        "app": variable("name"),
    }))
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

    let app = Router::new().fallback(any(hello));
    axum::serve(tokio::net::TcpListener::from_std(listener)?, app)
        // Accepts no more, answers what is in flight, then returns.
        .with_graceful_shutdown(async move {
            stop.recv().await;
        })
        .await
}
