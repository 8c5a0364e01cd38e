//! describe: everything about a worker, in PM2's rows.

use jiff::Timestamp;
use supd_api::{AppDeclaration, AppView, WorkerView};

use crate::ctl::output::{Failure, Style};
use crate::ctl::{Session, cells, jlist, table};

use super::line::Line;
use super::targets::meant;

/// `describe`: a block for each worker that is meant.
pub(super) async fn describe(line: &Line, session: &mut Session) -> Result<(), Failure> {
    let apps = session.client.declarations().await?;
    let word = line.words.first().map_or("", String::as_str);
    let Ok(meant) = meant(word, &apps) else {
        session.output.warn(&format!("{word} doesn't exist"));
        return Err(Failure::Told(supd_api::FaultCode::NotFound));
    };
    for app in meant.apps(&apps) {
        for worker in app.workers.iter().filter(|worker| meant.ids.contains(&worker.id)) {
            let text = block(app, worker, session.output.style);
            session.output.line(text)?;
        }
    }
    Ok(())
}

fn block(app: &AppView, worker: &WorkerView, style: Style) -> String {
    let (id, name) = (worker.id, &worker.app);
    format!(
        " Describing process with id {id} - name {name} \n{}\n{}\n \
        Use `pm2 logs {name} [--lines 1000]` to display logs\n Use `pm2 env {id}` to display environment variables",
        table::pairs(&rows(&app.declaration, worker), style),
        announced(worker, style)
    )
}

/// What it has announced over its channel: nothing, or blocks with a newline after each.
fn announced(worker: &WorkerView, style: Style) -> String {
    let mut text = String::new();
    if !worker.actions.is_empty() {
        let names = worker.actions.iter().map(|action| action.name.as_str());
        let names = table::column(names, style);
        text += &format!(
            " Actions available \n{names}\n Trigger via: pm2 trigger {} <action_name>\n\n",
            worker.app
        );
    }
    if !worker.metrics.is_empty() {
        let metrics: Vec<(&str, String)> =
            worker.metrics.iter().map(|(name, value)| (name.as_str(), cells::metric(value))).collect();
        text += &format!(" Code metrics value \n{}\n", table::pairs(&metrics, style));
    }
    text
}

fn rows(app: &AppDeclaration, worker: &WorkerView) -> Vec<(&'static str, String)> {
    let words = |words: &[String]| if words.is_empty() { "N/A".to_owned() } else { words.join(" ") };
    let mut rows = vec![
        ("status", worker.status.as_pm2().as_str().to_owned()),
        ("name", worker.app.to_string()),
        ("namespace", worker.namespace.clone()),
        ("version", worker.version.clone().unwrap_or_else(|| "N/A".to_owned())),
        ("restarts", worker.restarts.to_string()),
    ];
    rows.extend(app.restart.max_memory_restart.map(|limit| ("max memory restart", limit.to_string())));
    rows.extend(app.cron.as_ref().map(|cron| ("cron restart", cells::harmless(&cron.expression))));
    rows.push(("uptime", cells::uptime(worker.uptime)));
    if let supd_api::LogTarget::File(file) = &app.logs.log_file {
        rows.push(("entire log path", file.display().to_string()));
    }
    let node_env = app.environment.layers.iter().rev().find_map(|layer| layer.variables.get("NODE_ENV"));
    rows.extend([
        ("script path", jlist::file(app)),
        ("script args", words(&app.program.args)),
        ("error log path", cells::path(worker.error_file.as_deref())),
        ("out log path", cells::path(worker.out_file.as_deref())),
        ("pid path", worker.pid_file.display().to_string()),
        ("interpreter", app.program.interpreter.clone().unwrap_or_else(|| "none".to_owned())),
        ("interpreter args", words(&app.program.interpreter_args)),
        ("script id", worker.id.to_string()),
        ("exec cwd", app.cwd.display().to_string()),
        ("exec mode", format!("{}_mode", cells::mode(worker.exec_mode))),
        ("node.js version", "N/A".to_owned()),
        ("node env", node_env.map_or_else(|| "N/A".to_owned(), |value| value.reveal().to_owned())),
        ("watch & reload", if app.watch.enabled { "✔" } else { "✘" }.to_owned()),
        ("unstable restarts", worker.unstable_restarts.to_string()),
        ("created at", created(worker.created_at)),
    ]);
    rows
}

/// As JavaScript's `toISOString`.
fn created(at: u64) -> String {
    let instant = i64::try_from(at).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
    format!("{:.3}", instant.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::fake::{app, worker};

    #[test]
    fn the_rows_are_pm2s() {
        let view = app("eko", vec![worker(0, "eko")]);
        insta::assert_snapshot!("pm2_describe", block(&view, &view.workers[0], Style::default()));
    }
}
