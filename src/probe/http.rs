//! What does a server answer to one `GET`?

use std::io;
use std::pin::pin;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use nix::errno::Errno;
use tokio::io::{AsyncRead, AsyncWrite};

/// So much of a head, in bytes, is read.
const HEAD_MAX: usize = 32 << 10;
/// So much of a body is read, as by Kubernetes: breaking it off earlier looks like an aborted request to many servers.
const BODY_MAX: usize = 10 << 10;
const NOT_HTTP: &str = "its answer is not HTTP";
const CUT: &str = "it closed the connection without a whole answer";
const USER_AGENT: &str = concat!("supd/", env!("CARGO_PKG_VERSION"));

/// Sends the request and reads the answer. Redirects are answers like others.
///
/// # Errors
/// In words, when there is no whole answer.
pub(super) async fn get<S>(stream: S, host: &str, path: &Uri) -> Result<StatusCode, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = Request::get(path.clone())
        .header(header::HOST, host)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| words(&error))?;
    let exchange = async {
        let mut response = sender.send_request(request).await?;
        let mut size = 0;
        while let Some(frame) = response.frame().await {
            size += frame?.data_ref().map_or(0, Bytes::len);
            if size > BODY_MAX {
                break;
            }
        }
        Ok(response.status())
    };
    let (mut connection, mut exchange) = (pin!(connection), pin!(exchange));
    let mut is_open = true;
    loop {
        tokio::select! {
            status = &mut exchange => return status.map_err(|error: hyper::Error| words(&error)),
            // Its error is that of the exchange too.
            _ = &mut connection, if is_open => is_open = false,
        }
    }
}

fn words(error: &hyper::Error) -> String {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    let is_cut = error.is_incomplete_message() || error.is_canceled() || error.is_closed();
    match cause {
        _ if is_cut => CUT.to_owned(),
        _ if error.is_parse_too_large() => {
            format!("the head of its answer is larger than {} KiB", HEAD_MAX >> 10)
        }
        _ if error.is_parse() => NOT_HTTP.to_owned(),
        Some(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => CUT.to_owned(),
        Some(cause) if cause.raw_os_error().is_some() => io_words(cause),
        // A malformed body is told as an error of input and output that no system call has made.
        Some(_) => NOT_HTTP.to_owned(),
        None => error.to_string(),
    }
}

/// `connection refused` and the like.
pub(super) fn io_words(error: &io::Error) -> String {
    let Some(number) = error.raw_os_error() else { return error.to_string() };
    let text = Errno::from_raw(number).desc();
    let first = text.chars().next().map(|letter| letter.to_ascii_lowercase());
    first.into_iter().chain(text.chars().skip(1)).collect()
}
