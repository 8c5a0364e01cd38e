//! Which words did a worker leave before it failed? The end of its standard error, shown where its failure is told.

use std::collections::BTreeMap;
use std::time::Duration;

use supd_api::{Accepted, AppName, Fault, LogLine};
use tokio::time::timeout;

use super::client::Client;
use super::{Session, cells};

/// So many lines are shown.
const LINES: usize = 30;
/// So many characters of each.
const LINE_LENGTH: usize = 1000;
/// The lines explain a failure that has been told already: nobody waits longer for them.
const PATIENCE: Duration = Duration::from_secs(5);

/// For each app the worker whose words explain its failure best.
#[derive(Debug, Default)]
pub(crate) struct Culprits(BTreeMap<AppName, u32>);

impl Culprits {
    /// Whoever failed first, where nothing better is known.
    pub(crate) fn suspect(&mut self, accepted: &Accepted) {
        for worker in accepted.workers.iter().filter(|worker| worker.failure.is_some()) {
            self.0.entry(worker.app.clone()).or_insert(worker.id);
        }
    }

    /// These are known to have failed.
    pub(crate) fn extend(&mut self, known: BTreeMap<AppName, u32>) {
        self.0.extend(known);
    }
}

/// Shows the last lines of one worker of each app that has failed. Where there are none, or the daemon does not tell,
/// nothing is said.
pub(crate) async fn show(accepted: &Accepted, culprits: &Culprits, session: &mut Session) {
    let Session { client, output } = session;
    for (app, worker) in &culprits.0 {
        if !accepted.workers.iter().any(|outcome| outcome.app == *app && outcome.failure.is_some()) {
            continue;
        }
        let lines = match timeout(PATIENCE, fetch(*worker, client)).await {
            Ok(Ok(lines)) => lines,
            Ok(Err(_)) | Err(_) => continue,
        };
        if !lines.is_empty() {
            output.quote(&format!("last lines of {app} {worker}'s standard error:"), &lines);
        }
    }
}

async fn fetch(worker: u32, client: &Client) -> Result<Vec<String>, Fault> {
    let path = format!("/v1/logs?target={worker}&lines={LINES}&follow=false&stream=err");
    let mut stream = client.stream(&path).await?;
    let mut lines = Vec::new();
    while let Some(line) = stream.next().await? {
        if let Ok(LogLine::Line { text, .. }) = serde_json::from_slice(&line) {
            lines.push(printable(text.as_bytes()));
        }
    }
    Ok(lines)
}

/// As a person reads it: without colours, with tabs, and nothing that a terminal obeys.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = uncoloured(text.trim_end_matches('\r'));
    let mut letters = text.chars();
    let kept: String = letters.by_ref().take(LINE_LENGTH).collect();
    let shown = kept.split('\t').map(cells::harmless).collect::<Vec<_>>().join("\t");
    if letters.next().is_some() { shown + "…" } else { shown }
}

/// Without the sequences that select colours and the like (ECMA-48 CSI: `ESC [`, then up to a byte from `@` to `~`).
fn uncoloured(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|letter| ('@'..='~').contains(&letter));
        plain.push_str(end.map_or("", |end| &part[end + 1..]));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_readable_and_harmless() {
        for (bytes, shown) in [
            (&b"Error: boom"[..], "Error: boom"),
            (b"\x1b[1;31mError\x1b[0m: boom\r", "Error: boom"),
            (b"\tat f\x07 \xff", "\tat f\\u{7} \u{fffd}"),
            (b"cut \x1b[31", "cut "),
            (b"\x1b]0;title\x07", "\\u{1b}]0;title\\u{7}"),
        ] {
            assert_eq!(printable(bytes), shown);
        }
        assert_eq!(printable(&[b'x'; 1000]), "x".repeat(1000));
        assert_eq!(printable(&[b'x'; 1001]), "x".repeat(1000) + "…");
    }
}
