//! From a declaration to what of it matters to decisions.

use std::time::Duration;

use supd_api::{AppDeclaration, ExecMode, RestartPolicy};
use supd_core::{OnLate, PmTwoRules, Readiness, Spec};

/// PM2's defaults (`schema.json`, `constants.js`), in force as soon as one of these rules is asked for.
const PM2_MIN_UPTIME: Duration = Duration::from_millis(1000);
const PM2_MAX_RESTARTS: u32 = 16;
/// A reload moves one worker at a time.
const SURGE: u32 = 1;

pub(super) fn spec(app: &AppDeclaration) -> Spec {
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
        overlap: app.exec_mode == ExecMode::Cluster || !app.listen.is_empty(),
        surge: SURGE,
    }
}

/// The processors this daemon may use.
pub(super) fn processors() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX))
}

fn readiness(app: &AppDeclaration) -> Readiness {
    let within = app.ready.listen_timeout.duration();
    match (app.ready.wait_ready, app.exec_mode) {
        (true, _) => Readiness::Told { within, late: OnLate::Fail },
        // A cluster worker tells by `listening`; one that never listens is legitimate too.
        (false, ExecMode::Cluster) => Readiness::Told { within, late: OnLate::Assume },
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
