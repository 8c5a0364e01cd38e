//! What is accepted, but will not do what was probably meant.
//!
//! Question answered here: *which fields have no effect together, and which probes tell less than they seem to?* It only
//! warns, and looks at nothing but the declaration.

use std::net::IpAddr;

use supd_api::{AppDeclaration, Check, ExecMode, ListenAddress, Millis, Probe, ReadyPolicy, Secret};

use super::environment::lookup;
use super::probes::longest;
use super::problem::Report;
use super::read::App;
use super::value::{Address, Part};

/// Hardly any answer comes sooner, so a shorter time was probably meant in seconds.
const SHORT_TIMEOUT: Millis = Millis(50);
/// Bytes. With so little not even an empty shell runs.
const LITTLE_MEMORY: u64 = 1 << 20;

/// Warns about one sound declaration.
pub(super) fn give(app: &App, declared: &AppDeclaration, report: &mut Report) {
    let mut advice = Advice { app, declared, report };
    advice.draining();
    advice.reloads();
    advice.patience();
    advice.memory();
    let ready = [("ready", &declared.ready.probe), ("startup", &declared.ready.startup)];
    for (field, probe) in ready.into_iter().chain([("live", &declared.live.probe)]) {
        if let Some(probe) = probe {
            advice.probe(field, probe);
        }
    }
}

struct Advice<'a> {
    app: &'a App,
    declared: &'a AppDeclaration,
    report: &'a mut Report,
}

impl Advice<'_> {
    fn warn(&mut self, field: &str, message: impl Into<String>, hint: Option<&str>) {
        self.report.warning(&self.app.at(field), message, hint.map(str::to_owned));
    }

    fn draining(&mut self) {
        if self.declared.exec_mode == ExecMode::Cluster {
            return;
        }
        let hint = "its stop signal tells it; `kill_timeout` is how long it may take to finish";
        if self.app.fields.drain_timeout.is_some() && self.declared.stop.drain_timeout > Millis(0) {
            let message =
                "the field has no effect: only a Node app in cluster mode can be told to accept no more";
            self.warn("drain_timeout", message, Some(hint));
        }
        if self.app.fields.node_preload.is_some() && self.declared.stop.node_preload {
            self.warn("node_preload", "the field has no effect outside of cluster mode", None);
        }
    }

    fn reloads(&mut self) {
        let reload = &self.declared.reload;
        let surge = reload.max_surge;
        if reload.max_parallel.is_some_and(|parallel| parallel < surge) {
            let message =
                format!("with less than `max_surge` ({surge}), so many replacements never start at once");
            self.warn("max_parallel", message, None);
        }
        let overlaps = self.declared.exec_mode == ExecMode::Cluster
            || !self.declared.listen.is_empty()
            || reload.reuse_port;
        if surge > 1 && !overlaps {
            let message = "the field has no effect: the app has its port for itself, so each worker stops before its \
                replacement starts";
            let hint = "`listen`, `exec_mode = \"cluster\"` or `reuse_port` let both run for a moment";
            self.warn("max_surge", message, Some(hint));
        }
    }

    fn memory(&mut self) {
        let hint = "a bare number means bytes, and 300 MiB are \"300M\"";
        let (replaced, killed) = ("is replaced soon after its start", "is killed at its start");
        for (field, bytes, then) in [
            ("max_memory_restart", self.declared.restart.max_memory_restart, replaced),
            ("memory_high", self.declared.cgroup.memory_high, replaced),
            ("memory_max", self.declared.cgroup.memory_max, killed),
        ] {
            if bytes.is_some_and(|bytes| bytes < LITTLE_MEMORY) {
                self.warn(field, format!("less than any program takes, so each worker {then}"), Some(hint));
            }
        }
    }

    /// Whether the times that readiness may take fit together.
    fn patience(&mut self) {
        let ready = &self.declared.ready;
        let fields = &self.app.fields;
        let instead = match ready {
            ReadyPolicy { probe: Some(_), .. } => Some("ready"),
            ReadyPolicy { wait_ready: true, .. } => fields.ready_timeout.as_ref().map(|_| "ready_timeout"),
            ReadyPolicy { startup: Some(_), .. } => Some("startup"),
            ReadyPolicy { .. } => None,
        };
        if let (Some(instead), Some(_)) = (instead, &fields.listen_timeout) {
            let message = format!("the field has no effect with `{instead}`");
            self.warn(
                "listen_timeout",
                message,
                Some("`ready_timeout` limits how long it may take to be up"),
            );
        }
        let within = ready.timeout;
        if ready.startup.as_ref().is_some_and(|startup| longest(startup) > within) {
            let message = "shorter than what `startup` grants (its `initial_delay`, and `interval` times \
                `failure_threshold`), so a slow start fails before";
            self.warn("ready_timeout", message, None);
        }
        if ready.probe.as_ref().is_some_and(|probe| probe.initial_delay >= within) {
            self.warn(
                "ready.initial_delay",
                "not shorter than `ready_timeout`, so no check is ever made",
                None,
            );
        }
    }

    fn probe(&mut self, field: &str, probe: &Probe) {
        if probe.timeout < SHORT_TIMEOUT {
            let message = format!("every check that takes longer than {} ms has failed", probe.timeout.0);
            let hint = "a bare number means milliseconds, and 5 seconds are \"5s\"";
            self.warn(&format!("{field}.timeout"), message, Some(hint));
        }
        let shared = match &probe.check {
            Check::Http { address, .. } => ("http", self.is_shared(address.as_deref())),
            Check::Tcp { address } => ("tcp", self.is_shared(Some(address))),
            Check::Exec { command } => {
                self.command(&format!("{field}.exec"), command);
                return;
            }
        };
        if let (member, true) = shared {
            let message = "any worker may answer there, in a reload the predecessor too: this tells about the app, not about \
                the one worker";
            let hint = if self.declared.exec_mode == ExecMode::Cluster {
                "a path alone, as in `http = \"/health\"`, asks the worker itself"
            } else if field == "live" {
                "a worker can tell about itself with `watchdog`"
            } else {
                "a worker can tell about itself with READY=1 to NOTIFY_SOCKET (`wait_ready`)"
            };
            self.warn(&format!("{field}.{member}"), message, Some(hint));
        }
    }

    /// Whether what answers at `address` may be another worker, or in a reload the predecessor. `None`: where the
    /// worker itself is said to be.
    fn is_shared(&self, address: Option<&str>) -> bool {
        let app = self.declared;
        let Some(address) = address else {
            return app.exec_mode == ExecMode::Fork
                && (!app.listen.is_empty() || self.shares_its_own("PORT"));
        };
        let Ok(address) = Address::parse(address) else { return false };
        if address.variables().any(|name| app.environment.increment_var.as_deref() == Some(name)) {
            return false;
        }
        let value = |part| match part {
            Part::Literal(text) => Some(text),
            Part::Variable(name) => lookup(&app.environment, name).map(Secret::reveal),
        };
        let local = address.host.and_then(value).is_none_or(is_local);
        let port = value(address.port).and_then(|text| text.trim().parse::<u16>().ok());
        let listens = app.listen.iter().any(|listen| match listen {
            ListenAddress::Tcp(socket) => Some(socket.port()) == port,
            ListenAddress::Unix(_) => false,
        });
        let declared = lookup(&app.environment, "PORT").map(|text| text.reveal().trim().parse::<u16>().ok());
        let is_the_port = declared.is_none_or(|declared| declared == port);
        local && (listens || (is_the_port && (app.exec_mode == ExecMode::Cluster || app.reload.reuse_port)))
    }

    /// Whether workers that bind the port in `variable` themselves do so together.
    fn shares_its_own(&self, variable: &str) -> bool {
        self.declared.reload.reuse_port
            && self.declared.environment.increment_var.as_deref() != Some(variable)
    }

    /// A line for a shell, split into words, means something else.
    fn command(&mut self, field: &str, command: &[String]) {
        let shell = command.first().is_some_and(|program| program.ends_with("sh"));
        let for_a_shell =
            |word: &String| word.contains('$') || matches!(word.as_str(), "|" | "||" | "&&" | ";" | ">");
        if let Some(word) = command.iter().find(|word| !shell && for_a_shell(word)) {
            let message =
                format!("no shell reads this command: {} is passed as it is", super::problem::shown(word));
            self.warn(field, message, Some("write `exec = [\"sh\", \"-c\", \"…\"]`"));
        }
    }
}

fn is_local(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified())
}
