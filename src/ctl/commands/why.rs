//! why: what explains the present state of apps.

use serde_json::{Value, json};
use supd_api::{CrashReport, DaemonView};

use crate::ctl::Session;
use crate::ctl::client::query;
use crate::ctl::output::Failure;
use crate::ctl::why::{Facts, Others, Setting, explain, shape};

/// `why`.
pub(crate) async fn why(targets: &[String], session: &mut Session) -> Result<(), Failure> {
    let chosen: Vec<u32> = session.client.workers(targets).await?.iter().map(|worker| worker.id).collect();
    let mut apps = session.client.apps(targets).await?;
    for app in &mut apps {
        app.workers.retain(|worker| chosen.contains(&worker.id));
    }
    let reports: Vec<CrashReport> = session.client.get(&format!("/v1/crashes{}", query(targets))).await?;
    let daemon: DaemonView = session.client.get("/v1/daemon").await?;
    let others = Others {
        apps: session.client.apps(&[]).await?,
        daemon: vec![daemon.keeper_pid, daemon.supervisor_pid],
    };
    let mut facts = Vec::new();
    for app in &apps {
        let latest = reports.iter().find(|it| it.app == app.declaration.name);
        facts.push(Facts::gather(app, latest, &others, &session.client).await);
    }
    let output = &mut session.output;
    if output.style.json {
        let reasons: Vec<Value> = facts.iter().flat_map(shape).collect();
        return Ok(output.json(&json!({ "apps": apps, "reasons": reasons, "crashes": reports }))?);
    }
    let setting = Setting::new(output.style);
    for (index, facts) in facts.iter().enumerate() {
        if index > 0 {
            output.line("")?;
        }
        let own: Vec<&CrashReport> =
            reports.iter().filter(|it| it.app == facts.app.declaration.name).collect();
        output.line(explain(facts, &own, &setting))?;
    }
    Ok(())
}
