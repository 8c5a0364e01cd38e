//! report: one text for a bug report, without anything secret: no environment, no arguments, no output of apps.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::thread::available_parallelism;

use serde_json::json;
use supd_api::{DaemonView, WorkerView};

use super::daemon::VERSION;
use crate::ctl::client::{Dialled, dial};
use crate::ctl::output::Failure;
use crate::ctl::{Session, boot, cells, table};

/// Of the daemon's log, so many of the last lines, within so many bytes.
const LINES: usize = 50;
const BYTES: u64 = 64 << 10;

/// `report`. It works without a daemon too, and starts none.
pub(crate) async fn report(session: &mut Session) -> Result<(), Failure> {
    let machine = machine();
    let (daemon, workers) = running(session).await;
    let findings = boot::findings(&session.client).await;
    let path = session.client.home().daemon_log();
    let log = last_lines(&path);
    let output = &mut session.output;
    if output.style.json {
        return Ok(output.json(&json!({
            "supctl": VERSION, "machine": machine, "daemon": daemon, "workers": workers,
            "doctor": findings.json(), "log": log,
        }))?);
    }
    output.line(format!("supctl {VERSION}\n{machine}"))?;
    match &daemon {
        Some(daemon) => output.line(format!(
            "supd {}, up {}, {} restarts of its supervisor, {} apps, {} workers, in {}",
            daemon.version,
            cells::span(daemon.uptime),
            daemon.supervisor_restarts,
            daemon.apps,
            daemon.workers,
            daemon.home.display()
        ))?,
        None => output.line(format!("no supd answers in {}", session.client.home().path().display()))?,
    }
    output.line("\n## list")?;
    output.line(table::list(&workers, output.style))?;
    for worker in &workers {
        output.line(cells::harmless(&format!("{} {}: {}", worker.app, worker.id, worker.reason)))?;
    }
    output.line("\n## doctor")?;
    findings.tell(output)?;
    output.line(format!("\n## {}", path.display()))?;
    if log.is_empty() {
        output.line("nothing; a daemon that systemd started writes into the journal")?;
    }
    Ok(log.iter().try_for_each(|line| output.line(line))?)
}

async fn running(session: &Session) -> (Option<DaemonView>, Vec<WorkerView>) {
    match dial(session.client.home()).await {
        Ok(Dialled::Open(_)) => {
            let daemon = session.client.get("/v1/daemon").await.ok();
            (daemon, session.client.workers(&[]).await.unwrap_or_default())
        }
        // What is wrong is told by the doctor.
        Ok(Dialled::Absent) | Err(_) => (None, Vec::new()),
    }
}

/// `Linux 6.8.0 x86_64, Debian GNU/Linux 12 (bookworm), 4 processors`
fn machine() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let name = name.map_or("an unknown distribution", |name| name.trim_matches('"'));
    let processors = available_parallelism().map_or(1, usize::from);
    format!("Linux {} {}, {name}, {processors} processors", kernel.trim(), std::env::consts::ARCH)
}

fn last_lines(path: &Path) -> Vec<String> {
    let read = || {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
        let mut text = Vec::new();
        file.take(BYTES).read_to_end(&mut text)?;
        std::io::Result::Ok(text)
    };
    let text = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<String> = text.lines().map(cells::harmless).collect();
    lines[lines.len().saturating_sub(LINES)..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_bounded_and_harmless() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("supd.log");
        assert!(last_lines(&path).is_empty());
        let text: String = (0..10_000).map(|n| format!("line {n} \x1b[31m\n")).collect();
        fs::write(&path, text).unwrap();
        let lines = last_lines(&path);
        assert_eq!(lines.len(), LINES);
        assert!(lines[LINES - 1].starts_with("line 9999") && !lines[0].contains('\x1b'));
    }
}
