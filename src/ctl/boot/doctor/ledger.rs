//! What will the daemon find in its ledger, and is that what runs?
//!
//! Of the file's format (`src/supervisor/state/ledger.rs`) only what is needed here is read; other fields may be there.

use std::fs;
use std::io;

use serde::Deserialize;
use supd_api::{AppDeclaration, AppView, EnvironmentLayer};

use super::findings::Findings;
use crate::home::Home;

/// The version that this supd writes.
const VERSION: u32 = 1;

/// The whole file.
#[derive(Debug, Deserialize)]
pub(crate) struct Ledger {
    pub(crate) apps: Vec<Entry>,
}

/// One app.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry {
    pub(crate) revision: Revision,
    workers: Vec<Seat>,
}

/// The version of it that will be started.
#[derive(Debug, Deserialize)]
pub(crate) struct Revision {
    pub(crate) declaration: AppDeclaration,
    /// The clean base of its environment.
    pub(crate) base: EnvironmentLayer,
}

#[derive(Debug, Deserialize)]
struct Seat {
    up: bool,
}

#[derive(Deserialize)]
struct Head {
    version: u32,
}

impl Entry {
    /// How many of its workers the next boot starts.
    pub(crate) fn workers_up(&self) -> usize {
        self.workers.iter().filter(|seat| seat.up).count()
    }

    #[cfg(test)]
    pub(crate) fn new(declaration: AppDeclaration, base: EnvironmentLayer, up: bool) -> Self {
        Self { revision: Revision { declaration, base }, workers: vec![Seat { up }] }
    }
}

impl Ledger {
    /// Reads it; `None` when it cannot be read, which is told.
    pub(crate) fn read(home: &Home, findings: &mut Findings) -> Option<Self> {
        let file = home.ledger();
        let shown = file.display();
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let remedy = "`supctl start` writes it";
                findings.warning(
                    "ledger",
                    "supd",
                    format!("{shown} does not exist: nothing was started yet"),
                    remedy,
                );
                return None;
            }
            Err(error) => {
                let remedy = "run doctor as the user the daemon belongs to";
                findings.failure("ledger", "supd", format!("{shown}: {error}"), remedy);
                return None;
            }
        };
        let head = serde_json::from_slice::<Head>(&text);
        if let Ok(Head { version }) = head
            && version > VERSION
        {
            let text = format!("{shown} has version {version}, this supctl reads up to {VERSION}");
            findings.failure(
                "ledger",
                "supd",
                text,
                "use the supctl, and the supd in the unit, that wrote it",
            );
            return None;
        }
        match head.and_then(|_| serde_json::from_slice::<Self>(&text)) {
            Ok(ledger) => {
                let (apps, workers) = (ledger.apps.len(), ledger.workers_up());
                findings.ok(
                    "ledger",
                    "supd",
                    format!("{shown}: {apps} apps, {workers} workers to be started"),
                );
                Some(ledger)
            }
            Err(error) => {
                let remedy = "while the daemon runs, any change writes it anew: `supctl restart all`";
                findings.failure("ledger", "supd", format!("{shown} is damaged: {error}"), remedy);
                None
            }
        }
    }

    /// How many workers the next boot starts.
    pub(crate) fn workers_up(&self) -> usize {
        self.apps.iter().map(Entry::workers_up).sum()
    }

    /// Whether these are the apps that run.
    pub(crate) fn compare(&self, running: &[AppView], findings: &mut Findings) {
        let mut written: Vec<(&str, usize)> = self
            .apps
            .iter()
            .map(|entry| (entry.revision.declaration.name.as_str(), entry.workers.len()))
            .collect();
        written.sort_unstable();
        let mut present: Vec<(&str, usize)> =
            running.iter().map(|app| (app.declaration.name.as_str(), app.workers.len())).collect();
        present.sort_unstable();
        let odd = written.iter().find(|app| !present.contains(app));
        let odd = odd.or_else(|| present.iter().find(|app| !written.contains(app)));
        match odd {
            None => findings.ok("ledger", "supd", "it names what runs"),
            Some((name, _)) => findings.failure(
                "ledger",
                name,
                "what runs of it is not what the ledger says",
                format!(
                    "`supctl restart {name}` writes it down again; see the daemon's log if that does not help"
                ),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::findings::Outcome;
    use super::*;
    use crate::ctl::fake::{app, declaration, worker};

    fn read(text: &str) -> (Option<Ledger>, Findings) {
        let dir = tempfile::tempdir().expect("a directory");
        let home = Home::at(dir.path()).expect("a home");
        fs::write(home.ledger(), text).expect("a ledger");
        let mut findings = Findings::default();
        (Ledger::read(&home, &mut findings), findings)
    }

    #[test]
    fn a_ledger_is_read_and_compared() {
        let seats = json!([{ "id": 0, "instance": 0, "up": true }, { "id": 1, "instance": 1, "up": false }]);
        let revision = json!({
            "declaration": declaration("web"), "base": { "layer": "base", "variables": { "PATH": "/bin" } },
            "user": "u", "version": null, "new_field": 1,
        });
        let text = json!({ "version": 1, "apps": [{ "revision": revision, "workers": seats }] }).to_string();
        let (ledger, mut findings) = read(&text);
        let ledger = ledger.expect("a ledger");
        assert_eq!(ledger.workers_up(), 1);
        ledger.compare(&[app("web", vec![worker(0, "web"), worker(1, "web")])], &mut findings);
        assert!(findings.of("ledger").iter().all(|(outcome, _)| *outcome == Outcome::Ok), "{findings:?}");
        for running in [vec![], vec![app("web", vec![worker(0, "web")])], vec![app("api", Vec::new())]] {
            let mut findings = Findings::default();
            ledger.compare(&running, &mut findings);
            assert_eq!(findings.failures(), 1, "{running:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_fails_and_says_what_to_do() {
        for (text, word) in
            [("", "damaged"), ("{\"version\":1,\"apps\":7}", "damaged"), ("{\"version\":9}", "version 9")]
        {
            let (ledger, findings) = read(text);
            assert!(ledger.is_none());
            let (outcome, told) = findings.of("ledger").remove(0);
            assert!(outcome == Outcome::Failure && told.contains(word) && told.contains(" => "), "{told}");
        }
    }
}
