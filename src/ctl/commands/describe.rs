//! describe: everything about a worker, in PM2's order.

use std::collections::BTreeSet;

use supd_api::{AppView, CgroupUse, CrashReport, LogView, PressureView, Program, StreamView, WorkerView};

use crate::ctl::client::query;
use crate::ctl::output::Failure;
use crate::ctl::why::{Setting, crash};
use crate::ctl::{Session, cells, job, policy, table};

/// `describe`: a block for each worker; a number means that worker only.
pub(crate) async fn describe(targets: &[String], session: &mut Session) -> Result<(), Failure> {
    let chosen: BTreeSet<u32> =
        session.client.workers(targets).await?.iter().map(|worker| worker.id).collect();
    let mut apps = session.client.apps(targets).await?;
    for app in &mut apps {
        app.workers.retain(|worker| chosen.contains(&worker.id));
    }
    if session.output.style.json {
        return Ok(session.output.json(&apps)?);
    }
    // They belong to the picture, but without them it is still one.
    let path = format!("/v1/crashes{}", query(targets));
    let reports: Vec<CrashReport> = session.client.get(&path).await.unwrap_or_default();
    let output = &mut session.output;
    let here = Setting::new(output.style);
    for app in &apps {
        for worker in &app.workers {
            output.line(format!("Worker {} of {}", worker.id, worker.app))?;
            let crashes: Vec<&CrashReport> = reports.iter().filter(|it| it.worker == worker.id).collect();
            output.line(table::pairs(&block(app, worker, &crashes), output.style))?;
            for line in crashes.first().into_iter().flat_map(|latest| crash(latest, app, &here)) {
                output.line(line)?;
            }
        }
    }
    Ok(())
}

fn block(app: &AppView, worker: &WorkerView, crashes: &[&CrashReport]) -> Vec<(&'static str, String)> {
    let declared = &app.declaration;
    let mut block = state(worker);
    if !crashes.is_empty() {
        block.push(("crashes on record", format!("{}, see `supctl why {}`", crashes.len(), worker.app)));
    }
    block.extend(program(&declared.program));
    block.extend(files(worker));
    block.extend(declared.logs.sink.map(|sink| ("log sink", policy::sink(sink).to_owned())));
    block.push(("rotation", policy::rotation(app)));
    block.extend(setting(app, worker));
    if !app.declaration.depends_on.is_empty() {
        block.push(("depends on", policy::dependencies(&app.declaration)));
    }
    block.extend(revisions(app, worker));
    block.extend(announced(worker));
    block.extend(worker.cgroup.iter().flat_map(cgroup));
    block.push(("created", format!("{} ago", cells::since(worker.created_at))));
    block
}

fn state(worker: &WorkerView) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("status", worker.status.as_str().to_owned()),
        ("reason", worker.reason.clone() + &job::times(worker) + &table::left(worker.remaining)),
    ];
    rows.extend(worker.job.iter().map(|it| ("runs", job::runs(it))));
    rows.extend(worker.message.iter().map(|text| ("message", text.clone())));
    rows.extend(worker.notice.iter().map(|text| ("notice", text.clone())));
    rows.extend([
        ("name", worker.app.to_string()),
        ("namespace", worker.namespace.clone()),
        ("version", worker.version.clone().unwrap_or_else(|| "N/A".to_owned())),
        ("instance", worker.instance.to_string()),
        ("pid", worker.pid.map_or_else(|| "N/A".to_owned(), |pid| pid.to_string())),
        ("restarts", worker.restarts.to_string()),
        ("unstable restarts", worker.unstable_restarts.to_string()),
        ("uptime", cells::uptime(worker.uptime)),
        (
            "last exit",
            worker.last_exit.as_ref().map_or_else(
                || "none".to_owned(),
                |exit| format!("{}, {} ago", exit.text, cells::since(exit.at)),
            ),
        ),
        ("cpu", cells::cpu(worker.cpu)),
        ("memory", cells::memory(worker.memory)),
    ]);
    let oversize = worker.last_oversize.iter();
    rows.extend(oversize.map(|it| ("was too large", format!("{}, {} ago", it.text, cells::since(it.at)))));
    rows
}

/// Where the kernel keeps it, and for what it waits.
fn cgroup(cgroup: &CgroupUse) -> Vec<(&'static str, String)> {
    let mut rows = vec![("cgroup", cgroup.dir.display().to_string())];
    rows.extend(cgroup.pressure.map(|PressureView { cpu, memory, io }| {
        ("pressure, last 10 s", format!("cpu {cpu:.1}%, memory {memory:.1}%, io {io:.1}%"))
    }));
    rows
}

/// Which version it is of, which one came before, and how far a reload has come.
fn revisions(app: &AppView, worker: &WorkerView) -> Vec<(&'static str, String)> {
    let name = &app.declaration.name;
    let own = match worker.revision {
        same if same == app.revision => same.to_string(),
        other => format!("{other}, the app's is {}", app.revision),
    };
    let mut rows = vec![("revision", own)];
    rows.extend(
        app.previous_revision
            .map(|before| ("previous revision", format!("{before}, see `supctl rollback {name}`"))),
    );
    rows.extend(
        app.progress.map(|it| ("reload in progress", format!("{} of {} workers moved", it.done, it.of))),
    );
    rows
}

fn program(program: &Program) -> Vec<(&'static str, String)> {
    let Program { script, interpreter, interpreter_args, args } = program;
    let words = interpreter.iter().chain(interpreter_args).chain([script]).chain(args);
    vec![
        ("command line", words.map(|word| quoted(word)).collect::<Vec<_>>().join(" ")),
        ("script path", script.clone()),
        ("script args", spaced(args)),
        ("interpreter", interpreter.clone().unwrap_or_else(|| "none".to_owned())),
        ("interpreter args", spaced(interpreter_args)),
    ]
}

fn files(worker: &WorkerView) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("error log path", cells::path(worker.error_file.as_deref())),
        ("out log path", cells::path(worker.out_file.as_deref())),
    ];
    rows.extend(worker.log_file.iter().map(|path| ("entire log path", cells::path(Some(path)))));
    rows.push(("pid path", cells::path(Some(&worker.pid_file))));
    rows.extend(output(&worker.logs));
    rows
}

/// What has become of its output: PM2 has no such rows.
fn output(logs: &LogView) -> Vec<(&'static str, String)> {
    let written = [("out", &logs.out), ("error", &logs.error)]
        .map(|(name, stream)| format!("{} {name}", cells::memory(stream.written)));
    let mut rows = vec![("log written", written.join(", "))];
    rows.extend(logs.trouble.iter().map(|trouble| ("log trouble", cells::trouble(trouble))));
    let dropped = [("out", &logs.out), ("error", &logs.error)].into_iter().filter_map(|(name, stream)| {
        let lost_since = stream.lost_since?;
        let StreamView { lost_lines: lines, lost_bytes: bytes, .. } = stream;
        Some((
            "log lost",
            format!(
                "{lines} lines ({bytes} bytes) of {name} dropped, the first {} ago",
                cells::since(lost_since)
            ),
        ))
    });
    rows.extend(dropped);
    rows
}

/// What it has announced over its channel.
fn announced(worker: &WorkerView) -> Vec<(&'static str, String)> {
    let names: Vec<&str> = worker.actions.iter().map(|action| action.name.as_str()).collect();
    let actions = (!names.is_empty())
        .then(|| ("actions", format!("{}, see `supctl trigger --help`", names.join(", "))));
    let metric = |(name, value)| ("metric", format!("{name}: {}", cells::metric(value)));
    actions.into_iter().chain(worker.metrics.iter().map(metric)).collect()
}

fn setting(view: &AppView, worker: &WorkerView) -> Vec<(&'static str, String)> {
    let app = &view.declaration;
    let listen: Vec<String> = app.listen.iter().map(ToString::to_string).collect();
    let names: BTreeSet<&String> =
        app.environment.layers.iter().flat_map(|layer| layer.variables.keys()).collect();
    let memory = app.restart.max_memory_restart.map(cells::memory);
    let rows = [
        ("exec cwd", app.cwd.display().to_string()),
        ("exec mode", cells::mode(worker.exec_mode).to_owned()),
        ("user", worker.user.clone()),
        ("readiness", policy::readiness(app)),
        ("liveness", policy::liveness(&app.live)),
        ("stop", policy::stop(app)),
        ("reload", policy::reload(app)),
        ("watch", policy::watch(app, &worker.watching)),
        match job::rules(app, view.next_cron) {
            Some(rules) => ("job", rules),
            None => ("cron restart", policy::cron(app, view.next_cron)),
        },
        ("listen", if listen.is_empty() { "none declared".to_owned() } else { listen.join(", ") }),
        ("environment", format!("{} declared variables, see `supctl env {}`", names.len(), worker.id)),
        (
            "declared in",
            app.source
                .as_ref()
                .map_or_else(|| "the command line".to_owned(), |source| source.file.display().to_string()),
        ),
    ];
    let own = [
        policy::autoscale(view).map(|text| ("autoscale", text)),
        memory.map(|size| ("max memory restart", size)),
        policy::process(&app.process).map(|text| ("process", text)),
        policy::cgroup(&app.cgroup).map(|text| ("control group", text)),
    ];
    own.into_iter().flatten().chain(rows).collect()
}

fn spaced(words: &[String]) -> String {
    if words.is_empty() {
        return "none".to_owned();
    }
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// A word as a shell would take it.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_alphanumeric() || "-_./:=@%+,".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
