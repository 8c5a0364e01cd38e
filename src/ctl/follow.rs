//! How is a stream of the daemon read on and on, also over a restart of the supervisor?

use std::time::Duration;

use serde::de::DeserializeOwned;
use supd_api::{Fault, FaultCode};
use tokio::time::sleep;

use super::Session;
use super::output::{Failure, Output};

/// Before a new attempt, so that a daemon that hangs up at once is not hammered.
const PAUSE: Duration = Duration::from_millis(100);

/// A stream that can be asked for twice.
pub(crate) struct Source<'a> {
    /// What is asked first.
    pub(crate) first: String,
    /// What is asked when the connection ended; `None`: the end is the end.
    pub(crate) again: Option<String>,
    /// Where to look for what came in between.
    pub(crate) gap: &'a str,
}

/// Prints each line: as it comes with `--json`, otherwise as `print` makes bytes of it.
///
/// # Errors
/// The daemon's, and those of standard output. Following ends in no other way.
pub(crate) async fn follow<T: DeserializeOwned>(
    source: Source<'_>,
    session: &mut Session,
    mut print: impl FnMut(&T) -> Vec<u8>,
) -> Result<(), Failure> {
    let mut path = source.first;
    loop {
        let mut stream = session.client.stream(&path).await?;
        // Following must not bring back a daemon that somebody ended meanwhile.
        session.client.launch_no_more();
        while let Some(line) = stream.next().await? {
            show(&line, &mut session.output, &mut print)?;
        }
        let Some(again) = &source.again else { return Ok(()) };
        path.clone_from(again);
        session
            .output
            .note(&format!("the connection to the supervisor ended: following again, {}", source.gap));
        sleep(PAUSE).await;
    }
}

fn show<T: DeserializeOwned>(
    line: &[u8],
    output: &mut Output,
    print: &mut impl FnMut(&T) -> Vec<u8>,
) -> Result<(), Failure> {
    if output.style.json {
        output.bytes(line)?;
        output.bytes(b"\n")?;
    } else {
        let item = serde_json::from_slice(line).map_err(|error| {
            Fault::new(FaultCode::Internal, format!("a line of the daemon was not understood: {error}"))
                .hint("is it of another version? See `supctl version`")
        })?;
        output.bytes(&print(&item))?;
    }
    // Each line at once: a terminal and a pipe alike show what has happened.
    Ok(output.flush()?)
}
