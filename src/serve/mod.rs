//! A web server for the files of one directory: the worker behind `supctl serve` and `script: "serve"`.
//!
//! Question answered here: *which file answers this request, and who may have it?* It is told by PM2's variables (`PM2_SERVE_…`) and
//! given its socket by supd, so that several share one port and a reload refuses nobody. It may not write anything, nor know
//! that it is supervised.

mod connections;
mod login;
mod site;

use std::io;
use std::process::ExitCode;

use listenfd::ListenFd;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use site::Site;

/// Serves until SIGINT or SIGTERM, then answers what is in flight and ends.
pub fn run() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(|error| error.to_string()).and_then(|runtime| runtime.block_on(serve())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), String> {
    let site = Site::new(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))?;
    let (mut interrupt, mut terminate) = (stop(SignalKind::interrupt())?, stop(SignalKind::terminate())?);
    let stopped = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    let listener = inherited().map_err(|error| format!("the socket to serve on: {error}"))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    println!("serving {} on http://{address}", site.root().display());
    connections::serve(listener, site.router(), stopped).await;
    Ok(())
}

fn stop(kind: SignalKind) -> Result<tokio::signal::unix::Signal, String> {
    signal(kind).map_err(|error| format!("no signal can be waited for: {error}"))
}

/// As systemd passes it (sd_listen_fds(3)).
fn inherited() -> io::Result<TcpListener> {
    let Some(socket) = ListenFd::from_env().take_tcp_listener(0)? else {
        return Err(io::Error::other("none was passed; `supctl serve DIRECTORY PORT` does it all"));
    };
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}
