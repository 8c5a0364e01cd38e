//! The door for whoever watches: figures and health over TCP, for those who cannot reach the control socket. Off unless it is set.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use supd_api::Secret;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use super::{connections, gate, observe, routes};
use crate::supervisor::call::Call;

/// An address that cannot be had when the daemon starts is tried again after so long: its network may not be up yet, a
/// predecessor not gone.
const AGAIN: Duration = Duration::from_secs(1);

/// Where it is, and who may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::supervisor) struct Place {
    pub(in crate::supervisor) address: SocketAddr,
    pub(in crate::supervisor) token: Option<Secret>,
}

/// It is open as long as this lives.
pub(in crate::supervisor) struct Door {
    address: SocketAddr,
    token: watch::Sender<Option<Secret>>,
    /// Dropped, it closes.
    _closing: watch::Sender<bool>,
}

impl Door {
    /// Opens it: with this socket, or with one that is bound as soon as that is possible.
    pub(in crate::supervisor) fn open(
        place: Place,
        socket: Option<StdListener>,
        calls: mpsc::Sender<Call>,
    ) -> Self {
        let (token, tokens) = watch::channel(place.token);
        let (closing, closed) = watch::channel(false);
        tokio::spawn(serve(place.address, socket, router(calls, tokens), closed));
        Self { address: place.address, token, _closing: closing }
    }

    pub(in crate::supervisor) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on this token is wanted, also of those who are inside.
    pub(in crate::supervisor) fn want(&self, token: Option<Secret>) {
        self.token.send_replace(token);
    }
}

/// A socket at this address, which is numeric: nothing is looked up.
pub(in crate::supervisor) fn bind(address: SocketAddr) -> io::Result<StdListener> {
    let socket = StdListener::bind(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn router(calls: mpsc::Sender<Call>, tokens: watch::Receiver<Option<Secret>>) -> Router {
    observe::router()
        .fallback(routes::unknown)
        .method_not_allowed_fallback(routes::unknown)
        .with_state(calls)
        .layer(middleware::from_fn_with_state(tokens, pass))
}

async fn pass(
    State(tokens): State<watch::Receiver<Option<Secret>>>,
    request: Request,
    next: Next,
) -> Response {
    let admitted = gate::admit(request.headers(), tokens.borrow().as_ref());
    match admitted {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    }
}

async fn serve(
    address: SocketAddr,
    socket: Option<StdListener>,
    router: Router,
    mut closed: watch::Receiver<bool>,
) {
    let listener = tokio::select! {
        biased;
        _ = closed.wait_for(|closed| *closed) => return,
        listener = bound(address, socket) => listener,
    };
    tracing::info!("figures are told at http://{address}/metrics");
    connections::accept(listener, router, closed).await;
}

async fn bound(address: SocketAddr, mut socket: Option<StdListener>) -> TcpListener {
    let mut told = false;
    loop {
        let bound = match socket.take() {
            Some(socket) => Ok(socket),
            None => bind(address),
        };
        match bound.and_then(TcpListener::from_std) {
            Ok(listener) => return listener,
            Err(error) if !told => {
                tracing::error!("supd:metrics_listen {address}: {error}; it is tried again until it works");
                told = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(AGAIN).await;
    }
}
