//! `doctor`: will everything be back after the next boot?
//!
//! The next boot starts what the ledger says by what the unit says, so these two are looked at, and everything they name.
//! Nothing is changed; a port that is free is bound for a moment to know that.

mod app;
mod cgroups;
mod findings;
mod ledger;
mod listen;
mod service;
mod space;

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::unistd::Uid;
use supd_api::{AppView, DaemonView, FaultCode};

use super::place::Owner;
use crate::ctl::Session;
use crate::ctl::client::{Client, Dialled, dial};
use crate::ctl::output::Failure;
use crate::processes::descendants;
pub(crate) use findings::Findings;
use ledger::Ledger;

/// Looks at everything, and tells.
///
/// # Errors
/// `Failed` when a check failed; `Told`, since all of it has been said.
pub(crate) async fn doctor(session: &mut Session) -> Result<(), Failure> {
    let findings = findings(&session.client).await;
    findings.tell(&mut session.output)?;
    if findings.failures() == 0 { Ok(()) } else { Err(Failure::Told(FaultCode::Failed)) }
}

/// Looks at everything.
pub(crate) async fn findings(client: &Client) -> Findings {
    let mut findings = Findings::default();
    let running = running(client, &mut findings).await;
    let home = client.home();
    let uid = home.path().metadata().map_or(Uid::effective().as_raw(), |meta| meta.uid());
    let owner = Owner::of_uid(uid).unwrap_or_else(|_| Owner {
        name: uid.to_string(),
        uid,
        gid: uid,
        directory: PathBuf::from("/"),
    });
    let ledger = Ledger::read(home, &mut findings);
    let workers = ledger.as_ref().map_or(0, Ledger::workers_up);
    let daemon = running.as_ref().map(|(daemon, _)| daemon);
    let service = service::check(home, &owner, daemon, workers, &mut findings);
    service::private(home, &owner, &mut findings);
    service::own_log(home, &owner, &mut findings);
    if let Some(cgroup) = daemon.and_then(|daemon| daemon.cgroup.as_ref()) {
        cgroups::check(cgroup, ledger.as_ref(), &mut findings);
    }
    if let Some(ledger) = &ledger {
        if let Some((_, apps)) = &running {
            ledger.compare(apps, &mut findings);
        }
        let family = daemon.map(|daemon| daemon.keeper_pid).map(family).unwrap_or_default();
        let surroundings = app::Surroundings { home, owner: &owner, family, service };
        let mut directories = BTreeSet::from([home.path().to_owned()]);
        for entry in &ledger.apps {
            directories.extend(app::check(entry, &surroundings, &mut findings));
        }
        directories.iter().for_each(|directory| space::check(directory, &owner, &mut findings));
    }
    findings
}

/// The daemon and its apps, if it answers.
async fn running(client: &Client, findings: &mut Findings) -> Option<(DaemonView, Vec<AppView>)> {
    let asked = async {
        match dial(client.home()).await? {
            Dialled::Absent => Ok(None),
            Dialled::Open(_) => Ok(Some((client.get("/v1/daemon").await?, client.apps(&[]).await?))),
        }
    };
    asked.await.unwrap_or_else(|fault: supd_api::Fault| {
        let remedy = fault.hint.unwrap_or_else(|| "`supctl kill` ends it".to_owned());
        findings.failure("daemon", "supd", format!("it does not answer: {}", fault.message), remedy);
        None
    })
}

/// The keeper and everything below it.
fn family(keeper: i32) -> Vec<i32> {
    [keeper].into_iter().chain(descendants(keeper)).collect()
}
