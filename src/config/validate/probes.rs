//! Whether readiness, liveness and reloads can be carried out as declared.

use supd_api::{Check as ProbeCheck, ExecMode, Instances, Millis, Probe};

use super::super::environment::lookup;
use super::super::problem::shown;
use super::super::value::{Address, LONGEST, SHORTEST_INTERVAL, check_at_least, check_path};
use super::{Check, LONGEST_STRING};
use crate::nearest::nearest;

impl Check<'_> {
    pub(super) fn readiness(&mut self) {
        let app = self.app;
        self.probe("ready", app.ready.probe.as_ref(), false);
        self.probe("startup", app.ready.startup.as_ref(), true);
        self.probe("live", app.live.probe.as_ref(), true);
        if app.ready.wait_ready && app.ready.probe.is_some() {
            self.fail_with(
                "wait_ready",
                "`wait_ready` and `ready` are two proofs that a worker is up; choose one",
                Some("leave out `wait_ready` if the probe says enough, else leave out `ready`"),
            );
        }
        self.span("ready_timeout", app.ready.timeout, Millis(1));
        if let Some(watchdog) = app.live.watchdog {
            self.span("live.watchdog", watchdog, SHORTEST_INTERVAL);
        }
    }

    pub(super) fn reloads(&mut self) {
        let app = self.app;
        let reload = &app.reload;
        for (field, count) in [("max_surge", Some(reload.max_surge)), ("max_parallel", reload.max_parallel)] {
            if count.is_some_and(|count| !(1..=Instances::LIMIT).contains(&count)) {
                self.fail(field, format!("expected 1 to {} workers", Instances::LIMIT));
            }
        }
        if !reload.reuse_port {
            return;
        }
        if !app.listen.is_empty() {
            self.fail_with(
                "reuse_port",
                "`reuse_port` says that the app binds its port itself, and with `listen` supd does",
                Some("for one socket per worker write `balance = \"reuseport\"` in its place"),
            );
        } else if app.exec_mode == ExecMode::Cluster {
            self.fail_with(
                "reuse_port",
                "`reuse_port` and `exec_mode = \"cluster\"` are two ways to share a port; an app has one",
                Some("leave out `reuse_port`: in cluster mode a reload starts the new process first anyway"),
            );
        }
    }

    fn probe(&mut self, field: &str, probe: Option<&Probe>, succeeds_at_once: bool) {
        let Some(probe) = probe else { return };
        let member = |name: &str| format!("{field}.{name}");
        self.span(&member("initial_delay"), probe.initial_delay, Millis(0));
        self.span(&member("interval"), probe.interval, SHORTEST_INTERVAL);
        self.span(&member("timeout"), probe.timeout, Millis(1));
        for (name, threshold) in
            [("success_threshold", probe.success_threshold), ("failure_threshold", probe.failure_threshold)]
        {
            if threshold == 0 {
                self.fail(&member(name), "expected at least 1");
            }
        }
        // Kubernetes' rule: there is nothing between broken and not broken.
        if succeeds_at_once && probe.success_threshold > 1 {
            self.fail(
                &member("success_threshold"),
                format!("for `{field}` it is always 1, as in Kubernetes"),
            );
        }
        match &probe.check {
            ProbeCheck::Http { address, path } => {
                if let Err(message) = check_path(path) {
                    self.fail(&member("http"), message);
                }
                match address {
                    Some(address) => self.address(&member("http"), address),
                    None => self.asks_the_worker(&member("http")),
                }
            }
            ProbeCheck::Tcp { address } => self.address(&member("tcp"), address),
            ProbeCheck::Exec { command } => self.command(&member("exec"), command),
        }
    }

    fn address(&mut self, field: &str, address: &str) {
        let address = match Address::parse(address) {
            Ok(address) => address,
            Err(message) => return self.fail(field, message),
        };
        let environment = &self.app.environment;
        let counted = environment.increment_var.as_deref();
        let unknown: Vec<_> = address
            .variables()
            .filter(|name| lookup(environment, name).is_none() && counted != Some(name))
            .collect();
        for name in unknown {
            let known = environment.layers.iter().flat_map(|layer| layer.variables.keys());
            let hint =
                nearest(name, known.map(String::as_str)).map(|known| format!("did you mean `${{{known}}}`?"));
            self.fail_with(field, format!("the app has no variable {}", shown(name)), hint.as_deref());
        }
    }

    /// A path alone: the worker is asked through its channel, or where its declaration says that it listens.
    fn asks_the_worker(&mut self, field: &str) {
        let app = self.app;
        let known = app.exec_mode == ExecMode::Cluster
            || !app.listen.is_empty()
            || app.environment.increment_var.as_deref() == Some("PORT")
            || lookup(&app.environment, "PORT").is_some();
        if !known {
            self.fail_with(
                field,
                "nothing says where the worker listens",
                Some("write the address too, as in \":8080/health\", or `port`, or `listen`"),
            );
        }
    }

    fn command(&mut self, field: &str, command: &[String]) {
        match command.first() {
            None => self.fail(field, "the command is empty"),
            Some(program) if program.is_empty() || (program.contains('/') && !program.starts_with('/')) => {
                self.fail(field, "expected an absolute path or the name of a program");
            }
            Some(_) => {}
        }
        if command.iter().any(|word| word.contains('\0')) {
            self.fail(field, "it contains a NUL byte");
        }
        if command.iter().map(|word| word.len() + 1).sum::<usize>() > LONGEST_STRING {
            self.fail(field, "longer than 128 KiB");
        }
    }

    fn span(&mut self, field: &str, span: Millis, shortest: Millis) {
        if span > LONGEST {
            self.fail(field, "expected at most a year");
        } else if let Err(message) = check_at_least(shortest, span) {
            self.fail(field, message);
        }
    }
}
