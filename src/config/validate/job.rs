//! What an app may not be as a job: whatever is about processes that stay.

use supd_api::{ExecMode, Instances, JobPolicy, ReloadPolicy, RestartPolicy, Stdin, WatchPolicy};

use super::super::value::LONGEST;
use super::Check;

impl Check<'_> {
    pub(super) fn job(&mut self) {
        let Some(JobPolicy { cron, overlap: _, timeout, catch_up: _ }) = &self.app.job else { return };
        if let Some(cron) = cron {
            self.schedule(cron, "job.cron", "job.time_zone");
        }
        if timeout.is_some_and(|span| span > LONGEST) {
            self.fail("job.timeout", "expected at most a year");
        }
        for (field, is_there, why) in self.contradictions() {
            if is_there {
                let hint = format!("leave out `{field}`, or leave out `job` for an app that stays up");
                self.fail_with(field, why, Some(&hint));
            }
        }
    }

    fn contradictions(&self) -> Vec<(&'static str, bool, &'static str)> {
        let app = self.app;
        let RestartPolicy {
            autorestart,
            stop_exit_codes,
            min_uptime,
            max_restarts,
            restart_delay,
            exp_backoff_restart_delay,
            max_memory_restart,
        } = &app.restart;
        let default = ReloadPolicy::default();
        const ONE: &str = "a job has one worker";
        const NO_RESTART: &str =
            "a job is not started again by its end: code 0 means completed, all else failed";
        const NO_PROBE: &str = "a job is not ready for anything: it is done when it has ended";
        const NO_SOCKET: &str = "a job serves nobody, so it has no sockets";
        const NO_RELOAD: &str = "a job is not reloaded: its next run is of the new version";
        vec![
            ("exec_mode", app.exec_mode == ExecMode::Cluster && app.instances == Instances::Count(1), ONE),
            ("autoscale", app.autoscale.is_some(), ONE),
            ("instances", app.instances != Instances::Count(1), ONE),
            ("watch", app.watch.enabled, "a job runs by the clock or when asked to, not when files change"),
            (
                "ignore_watch",
                !app.watch.enabled && app.watch != WatchPolicy::default(),
                "a job is not watched",
            ),
            ("cron_restart", app.cron.is_some(), "a job has its times in `job.cron`"),
            ("wait_ready", app.ready.wait_ready, NO_PROBE),
            ("ready", app.ready.probe.is_some(), NO_PROBE),
            ("startup", app.ready.startup.is_some(), NO_PROBE),
            (
                "live",
                app.live.probe.is_some() || app.live.watchdog.is_some(),
                "`job.timeout` limits how long a job may take",
            ),
            ("listen", !app.listen.is_empty(), NO_SOCKET),
            ("reuse_port", app.reload.reuse_port, NO_SOCKET),
            ("max_surge", app.reload.max_surge != default.max_surge, NO_RELOAD),
            ("max_parallel", app.reload.max_parallel.is_some(), NO_RELOAD),
            ("rollback_window", app.reload.rollback_window != default.rollback_window, NO_RELOAD),
            ("autorestart", *autorestart, NO_RESTART),
            ("stop_exit_codes", !stop_exit_codes.is_empty(), NO_RESTART),
            ("min_uptime", min_uptime.is_some(), NO_RESTART),
            ("max_restarts", max_restarts.is_some(), NO_RESTART),
            ("restart_delay", restart_delay.is_some(), NO_RESTART),
            ("exp_backoff_restart_delay", exp_backoff_restart_delay.is_some(), NO_RESTART),
            (
                "max_memory_restart",
                max_memory_restart.is_some(),
                "a job that is too large would be cut short: `rlimits = { data = … }` lets its allocations fail in its place",
            ),
            (
                "stdin",
                app.stdin == Stdin::Pipe,
                "nobody writes to a job, which would wait for the end of its input for ever",
            ),
        ]
    }
}
