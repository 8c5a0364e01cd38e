//! How is a stream of the daemon read on and on, also over a restart of the supervisor?

use std::time::Duration;

use serde::de::DeserializeOwned;
use supd_api::{Fault, FaultCode};
use tokio::time::sleep;

use super::Session;
use super::output::{Failure, Output};

/// Before a new attempt, so that a daemon that hangs up at once is not hammered.
const PAUSE: Duration = Duration::from_millis(100);

/// A stream that can be asked for again, and what is made of it.
pub(crate) trait Source {
    /// One piece of it.
    type Item: DeserializeOwned;

    /// What is asked first.
    fn first(&self) -> String;

    /// What is asked when the connection ended; `None`: the end is the end.
    fn again(&self) -> Option<Again>;

    /// Takes note of a piece. `false`: it was for us and is not shown.
    fn heed(&mut self, item: &Self::Item) -> bool;

    /// How it reads.
    fn text(&mut self, item: &Self::Item) -> Text;
}

/// Where a stream goes on.
pub(crate) struct Again {
    /// What is asked.
    pub(crate) path: String,
    /// What the person is told of the interruption.
    pub(crate) note: Option<String>,
}

/// A piece in words.
pub(crate) enum Text {
    /// What was asked for.
    Out(Vec<u8>),
    /// The same, on standard error.
    Err(Vec<u8>),
    /// Something about it, for standard error.
    Aside(String),
}

/// Shows each piece: as it comes with `--json`, otherwise in words.
///
/// # Errors
/// The daemon's, and those of standard output. Following ends in no other way.
pub(crate) async fn follow(mut source: impl Source, session: &mut Session) -> Result<(), Failure> {
    let mut path = source.first();
    loop {
        let mut stream = session.client.stream(&path).await?;
        // Following must not bring back a daemon that somebody ended meanwhile.
        session.client.launch_no_more();
        while let Some(line) = stream.next().await? {
            show(&line, &mut session.output, &mut source)?;
        }
        let Some(again) = source.again() else { return Ok(()) };
        if let Some(note) = again.note {
            session.output.note(&note);
        }
        path = again.path;
        sleep(PAUSE).await;
    }
}

fn show(line: &[u8], output: &mut Output, source: &mut impl Source) -> Result<(), Failure> {
    let item = serde_json::from_slice(line).map_err(|error| {
        Fault::new(FaultCode::Internal, format!("a line of the daemon was not understood: {error}"))
            .hint("is it of another version? See `supctl version`")
    })?;
    if !source.heed(&item) {
        return Ok(());
    }
    if output.style.json {
        output.bytes(line)?;
        output.bytes(b"\n")?;
    } else {
        match source.text(&item) {
            Text::Out(bytes) => output.bytes(&bytes)?,
            Text::Err(bytes) => output.error_bytes(&bytes),
            Text::Aside(text) => output.note(&text),
        }
    }
    // Each line at once: a terminal and a pipe alike show what has happened.
    Ok(output.flush()?)
}
