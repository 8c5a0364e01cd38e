//! From a declaration to what of it matters to decisions.

use std::time::Duration;

use supd_api::{AppDeclaration, AutoscalePolicy, ExecMode, JobPolicy, Overlap, RestartPolicy};
use supd_core::{Autoscale, Bytes, Millicpu, OnLate, PmTwoRules, Readiness, Spec};

/// PM2's defaults (`schema.json`, `constants.js`), in force as soon as one of these rules is asked for.
const PM2_MIN_UPTIME: Duration = Duration::from_millis(1000);
const PM2_MAX_RESTARTS: u32 = 16;
/// So many workers are on the move where a worker may have two processes, and PM2 reloads as many at a time.
const PARALLEL: u32 = 2;
/// A process that lived so long after a reload counts as ready where nobody proves it and none serves beside it.
const SETTLED: Duration = Duration::from_secs(1);

pub(crate) fn spec(app: &AppDeclaration) -> Spec {
    let overlap = overlaps(app);
    let parallel =
        app.reload.max_parallel.unwrap_or(if overlap { PARALLEL.max(app.reload.max_surge) } else { 1 });
    let patience = app.ready.listen_timeout.duration();
    Spec {
        count: app.instances.on(processors()),
        autostart: app.autostart,
        restart: supd_core::RestartPolicy {
            autorestart: app.restart.autorestart,
            stop_exit_codes: app.restart.stop_exit_codes.clone(),
            pm2: pm2_rules(&app.restart),
        },
        kill_timeout: app.stop.kill_timeout.duration(),
        readiness: readiness(app),
        overlap,
        surge: app.reload.max_surge.max(1),
        parallel: parallel.max(1),
        drain: drains(app).then(|| app.stop.drain_timeout.duration()).filter(|limit| !limit.is_zero()),
        settle: if overlap { patience } else { patience.min(SETTLED) },
        reload_within: app.ready.timeout.duration(),
        watch: app.reload.rollback_window.duration(),
        depends_on: app
            .depends_on
            .iter()
            .map(|(on, condition)| (core_name(on), self::condition(*condition)))
            .collect(),
        job: app.job.as_ref().map(job),
        autoscale: app.autoscale.as_ref().map(autoscale),
    }
}

fn job(policy: &JobPolicy) -> supd_core::Job {
    supd_core::Job {
        overlap: match policy.overlap {
            Overlap::Skip => supd_core::Overlap::Skip,
            Overlap::Queue => supd_core::Overlap::Queue,
            Overlap::Kill => supd_core::Overlap::Kill,
        },
        timeout: policy.timeout.map(|limit| limit.duration()),
        scheduled: policy.cron.is_some(),
    }
}

/// One percent is ten thousandths.
fn autoscale(policy: &AutoscalePolicy) -> Autoscale {
    Autoscale {
        min: policy.min,
        max: policy.most(processors()),
        cpu: policy.cpu.map(|percent| Millicpu(u64::from(percent) * 10)),
        memory: policy.memory.map(Bytes),
        stabilization: policy.stabilization.duration(),
    }
}

pub(crate) fn core_name(name: &supd_api::AppName) -> supd_core::AppName {
    supd_core::AppName(name.to_string())
}

fn condition(condition: supd_api::Condition) -> supd_core::Condition {
    match condition {
        supd_api::Condition::Started => supd_core::Condition::Started,
        supd_api::Condition::Ready => supd_core::Condition::Ready,
        supd_api::Condition::Completed => supd_core::Condition::Completed,
    }
}

/// Whether two processes of one worker may be up at the same time: they share a port that supd owns, or know how to
/// share their own.
pub(crate) fn overlaps(app: &AppDeclaration) -> bool {
    app.exec_mode == ExecMode::Cluster || !app.listen.is_empty() || app.reload.reuse_port
}

/// Whether its workers can be told to accept nothing more: Node's cluster protocol has a word for that.
fn drains(app: &AppDeclaration) -> bool {
    app.exec_mode == ExecMode::Cluster
}

/// The processors this daemon may use.
pub(crate) fn processors() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX))
}

fn readiness(app: &AppDeclaration) -> Readiness {
    let ready = &app.ready;
    let proven = ready.wait_ready || ready.probe.is_some() || ready.startup.is_some();
    match (proven, app.exec_mode) {
        (true, _) => Readiness::Told { within: ready.timeout.duration(), late: OnLate::Fail },
        // A cluster worker tells by `listening`; one that never listens is legitimate too.
        (false, ExecMode::Cluster) => {
            Readiness::Told { within: ready.listen_timeout.duration(), late: OnLate::Assume }
        }
        (false, ExecMode::Fork) => Readiness::Executed,
    }
}

fn pm2_rules(policy: &RestartPolicy) -> Option<PmTwoRules> {
    let asked = policy.min_uptime.is_some()
        || policy.max_restarts.is_some()
        || policy.restart_delay.is_some()
        || policy.exp_backoff_restart_delay.is_some();
    asked.then(|| PmTwoRules {
        min_uptime: policy.min_uptime.map_or(PM2_MIN_UPTIME, |span| span.duration()),
        max_restarts: match (policy.max_restarts, policy.exp_backoff_restart_delay) {
            (Some(limit), _) => limit,
            // PM2 never gives up on an app with back-off.
            (None, Some(_)) => u32::MAX,
            (None, None) => PM2_MAX_RESTARTS,
        },
        restart_delay: policy.restart_delay.map_or(Duration::ZERO, |span| span.duration()),
        exp_backoff: policy.exp_backoff_restart_delay.map(|span| span.duration()),
    })
}
