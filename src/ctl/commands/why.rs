//! why: what explains the present state of apps.

use serde_json::json;
use supd_api::CrashReport;

use crate::ctl::Session;
use crate::ctl::client::query;
use crate::ctl::output::Failure;
use crate::ctl::why::{Setting, explain};

/// `why`.
pub(crate) async fn why(targets: &[String], session: &mut Session) -> Result<(), Failure> {
    let chosen: Vec<u32> = session.client.workers(targets).await?.iter().map(|worker| worker.id).collect();
    let mut apps = session.client.apps(targets).await?;
    for app in &mut apps {
        app.workers.retain(|worker| chosen.contains(&worker.id));
    }
    let reports: Vec<CrashReport> = session.client.get(&format!("/v1/crashes{}", query(targets))).await?;
    let output = &mut session.output;
    if output.style.json {
        return Ok(output.json(&json!({ "apps": apps, "crashes": reports }))?);
    }
    let setting = Setting::new(output.style);
    for (index, app) in apps.iter().enumerate() {
        if index > 0 {
            output.line("")?;
        }
        let own: Vec<&CrashReport> = reports.iter().filter(|it| it.app == app.declaration.name).collect();
        output.line(explain(app, &own, &setting))?;
    }
    Ok(())
}
