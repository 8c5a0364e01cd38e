//! Answers that come piece by piece.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use http_body_util::channel::Channel;
use serde::Serialize;
use supd_api::{Happening, LogLine};

use crate::logs::Subscription;
use crate::supervisor::report::events::Follower;

/// So many blocks of a stream may wait for a slow client.
const BLOCKS: usize = 16;

/// How one piece is told from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// One JSON document a line.
    Lines,
    /// As browsers read it (`EventSource`, <https://html.spec.whatwg.org/multipage/server-sent-events.html>).
    ServerSentEvents,
}

impl Framing {
    /// The one that a client with these fields reads.
    pub(super) fn accepted(headers: &HeaderMap) -> Self {
        let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut types = accepts.flat_map(|value| value.split(',')).filter_map(|part| part.split(';').next());
        if types.any(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream")) {
            Self::ServerSentEvents
        } else {
            Self::Lines
        }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Lines => "application/x-ndjson",
            Self::ServerSentEvents => "text/event-stream",
        }
    }

    /// JSON has no line feed in it.
    fn frame(self, item: &impl Serialize) -> Vec<u8> {
        let (before, after): (&[u8], &[u8]) = match self {
            Self::Lines => (b"", b"\n"),
            Self::ServerSentEvents => (b"data: ", b"\n\n"),
        };
        [before, &serde_json::to_vec(item).unwrap_or_default(), after].concat()
    }
}

/// What comes piece by piece.
pub(super) trait Source: Send + 'static {
    type Item: Serialize + Send;

    fn next(&mut self) -> impl Future<Output = Option<Self::Item>> + Send;
}

impl Source for Subscription {
    type Item = LogLine;

    fn next(&mut self) -> impl Future<Output = Option<LogLine>> + Send {
        Self::next(self)
    }
}

impl Source for Follower {
    type Item = Happening;

    fn next(&mut self) -> impl Future<Output = Option<Happening>> + Send {
        Self::next(self)
    }
}

/// Its pieces as they come, until there are no more or the client is gone.
pub(super) fn stream(mut source: impl Source, framing: Framing) -> Response {
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(BLOCKS);
    tokio::spawn(async move {
        while let Some(item) = source.next().await {
            // It fails when the client is gone.
            if sender.send_data(framing.frame(&item).into()).await.is_err() {
                return;
            }
        }
    });
    ([(header::CONTENT_TYPE, framing.media_type())], Body::new(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_unless_a_browser_asks() {
        let accepted = |accept: &str| {
            Framing::accepted(&HeaderMap::from_iter([(header::ACCEPT, accept.parse().expect("a value"))]))
        };
        assert_eq!(Framing::accepted(&HeaderMap::new()), Framing::Lines);
        for accept in ["*/*", "application/json", "application/x-ndjson", "text/event-streams"] {
            assert_eq!(accepted(accept), Framing::Lines, "{accept}");
        }
        for accept in ["text/event-stream", "Text/Event-Stream;q=0.9", "application/json, text/event-stream"]
        {
            assert_eq!(accepted(accept), Framing::ServerSentEvents, "{accept}");
        }
    }

    #[test]
    fn a_piece_is_one_line() {
        assert_eq!(Framing::Lines.frame(&"a\nb"), b"\"a\\nb\"\n");
        assert_eq!(Framing::ServerSentEvents.frame(&"a\nb"), b"data: \"a\\nb\"\n\n");
    }
}
