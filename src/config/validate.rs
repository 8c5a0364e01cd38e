//! What every declaration must satisfy, whoever sent it.
//!
//! Question answered here: *is this declaration one the supervisor can take?* The daemon asks it of what comes over
//! the socket and does not trust; it looks at nothing outside of the declaration.

use std::collections::BTreeSet;
use std::path::Path;
use std::str::FromStr;

use jiff::Zoned;
use nix::sys::signal::Signal;
use supd_api::{AppDeclaration, CronPolicy, ExecMode, Instances, Millis};

use super::problem::{Problem, shown};
use super::program::speaks_cluster;
use super::value::{LONGEST, check_schedule, check_variable_name};

mod autoscale;
mod job;
mod logs;

pub(super) use logs::check_rotation;
use logs::check_time_zone;
mod cgroup;
mod probes;
mod process;
mod watch;

/// More sockets of one app are a mistake.
const MOST_SOCKETS: usize = 64;
/// The kernel refuses a longer single argument or variable (`MAX_ARG_STRLEN`, execve(2)). Bytes, with the NUL.
const LONGEST_STRING: usize = 128 * 1024;
/// Arguments and variables together; the kernel's limit is a quarter of the stack, 2 MiB by default. Bytes.
const MOST_STRINGS: usize = 1 << 20;
const LONGEST_NAMESPACE: usize = 128;

/// What is wrong, with the name of the field as path.
struct Check<'a> {
    app: &'a AppDeclaration,
    problems: Vec<Problem>,
}

/// Everything wrong with a declaration; each path begins with the name of the field at fault.
pub(super) fn validate(app: &AppDeclaration) -> Vec<Problem> {
    let mut check = Check { app, problems: Vec::new() };
    check.identity();
    check.program();
    check.process();
    check.cgroup();
    check.environment();
    check.sockets();
    check.limits();
    check.autoscale();
    check.readiness();
    check.reloads();
    check.logs();
    check.watch();
    check.cron();
    check.job();
    check.problems
}

impl Check<'_> {
    fn fail(&mut self, path: &str, message: impl Into<String>) {
        self.fail_with(path, message, None);
    }

    fn fail_with(&mut self, path: &str, message: impl Into<String>, hint: Option<&str>) {
        self.problems.push(Problem {
            origin: format!("app {}", self.app.name),
            line: None,
            path: path.to_owned(),
            message: message.into(),
            hint: hint.map(str::to_owned),
        });
    }

    fn identity(&mut self) {
        let namespace = &self.app.namespace;
        let too_long = namespace.chars().count() > LONGEST_NAMESPACE;
        if namespace.is_empty() || too_long || namespace.chars().any(char::is_control) {
            self.fail("namespace", "a namespace has 1 to 128 characters and no control characters");
        }
        for (field, account) in [("uid", &self.app.user), ("gid", &self.app.group)] {
            if account.as_ref().is_some_and(|name| name.is_empty() || name.chars().any(char::is_control)) {
                self.fail(field, "expected a name or a numeric id");
            }
        }
        if let Some(source) = &self.app.source {
            self.path("source", &source.file);
        }
        if let Some(file) = &self.app.pid_file {
            self.path("pid_file", file);
        }
    }

    fn program(&mut self) {
        let program = &self.app.program;
        self.path("cwd", &self.app.cwd);
        if program.script.is_empty() || (program.script.contains('/') && !program.script.starts_with('/')) {
            self.fail("script", "expected an absolute path or the name of a program");
        }
        if let Some(interpreter) = &program.interpreter
            && (interpreter.is_empty() || (interpreter.contains('/') && !interpreter.starts_with('/')))
        {
            self.fail("interpreter", "expected an absolute path or the name of a program");
        }
        let interpreter: Vec<_> = program.interpreter.iter().cloned().collect();
        for (field, strings) in [
            ("script", std::slice::from_ref(&program.script)),
            ("interpreter", &interpreter),
            ("node_args", &program.interpreter_args),
            ("args", &program.args),
        ] {
            if strings.iter().any(|string| string.contains('\0')) {
                self.fail(field, "it contains a NUL byte");
            }
            if strings.iter().any(|string| string.len() >= LONGEST_STRING) {
                self.fail(field, "longer than the 128 KiB that the kernel accepts");
            }
        }
    }

    fn environment(&mut self) {
        let environment = &self.app.environment;
        let mut names = vec![("instance_var", &environment.instance_var)];
        names.extend(environment.increment_var.iter().map(|name| ("increment_var", name)));
        names.extend(
            environment.layers.iter().flat_map(|layer| layer.variables.keys()).map(|name| ("env", name)),
        );
        for (field, name) in names {
            if let Err(message) = check_variable_name(name) {
                self.fail(field, message);
            }
        }
        let arguments = self.app.program.args.iter().chain(&self.app.program.interpreter_args);
        let mut total: usize = arguments.map(|argument| argument.len() + 1).sum();
        for (name, value) in environment.layers.iter().flat_map(|layer| &layer.variables) {
            let length = name.len() + value.reveal().len() + 2;
            total += length;
            if value.reveal().contains('\0') {
                self.fail("env", format!("the value of {} contains a NUL byte", shown(name)));
            }
            if length > LONGEST_STRING {
                self.fail(
                    "env",
                    format!("{} is longer than the 128 KiB that the kernel accepts", shown(name)),
                );
            }
        }
        if total > MOST_STRINGS {
            self.fail("env", "arguments and variables together are larger than 1 MiB");
        }
    }

    fn sockets(&mut self) {
        let listen = &self.app.listen;
        if listen.len() > MOST_SOCKETS {
            self.fail("listen", format!("more than {MOST_SOCKETS} addresses"));
        }
        let mut seen = BTreeSet::new();
        for address in listen {
            if !seen.insert(address) {
                self.fail("listen", format!("{} is given twice", shown(&address.to_string())));
            }
        }
        match self.app.exec_mode {
            ExecMode::Fork => {}
            ExecMode::Cluster if !listen.is_empty() => self.fail_with(
                "exec_mode",
                "`cluster` and `listen` are two ways to share a port; an app has one",
                Some("leave out `listen` for a Node app that opens its own port, else leave out `exec_mode`"),
            ),
            ExecMode::Cluster if !speaks_cluster(self.app.program.interpreter.as_deref()) => self.fail_with(
                "exec_mode",
                "`cluster` is Node's own protocol, and this app is not run by Node",
                Some("write `listen = [\"127.0.0.1:8080\"]`: supd binds it and every worker inherits it (LISTEN_FDS)"),
            ),
            ExecMode::Cluster => {}
        }
    }

    fn limits(&mut self) {
        let app = self.app;
        let (Instances::Count(count) | Instances::AllBut(count)) = app.instances;
        if count > Instances::LIMIT || app.instances == Instances::Count(0) {
            self.fail("instances", format!("expected 1 to {} workers", Instances::LIMIT));
        }
        if Signal::from_str(&app.stop.kill_signal).is_err() {
            self.fail("kill_signal", format!("no signal is named {}", shown(&app.stop.kill_signal)));
        }
        for (field, span) in [
            ("min_uptime", app.restart.min_uptime),
            ("restart_delay", app.restart.restart_delay),
            ("exp_backoff_restart_delay", app.restart.exp_backoff_restart_delay),
            ("kill_timeout", Some(app.stop.kill_timeout)),
            ("drain_timeout", Some(app.stop.drain_timeout)),
            ("listen_timeout", Some(app.ready.listen_timeout)),
            ("rollback_window", Some(app.reload.rollback_window)),
            ("watch_delay", Some(app.watch.delay)),
        ] {
            if span.is_some_and(|span: Millis| span > LONGEST) {
                self.fail(field, "expected at most a year");
            }
        }
        if app.restart.stop_exit_codes.iter().any(|code| !(0..=255).contains(code)) {
            self.fail("stop_exit_codes", "expected exit codes from 0 to 255");
        }
    }

    fn cron(&mut self) {
        if let Some(policy) = &self.app.cron {
            self.schedule(policy, "cron_restart", "cron_time_zone");
        }
    }

    /// Times, and the names of the two fields that say them.
    fn schedule(&mut self, policy: &CronPolicy, field: &str, zone: &str) {
        let CronPolicy { expression, time_zone } = policy;
        match check_schedule(expression) {
            Err(why) => self.fail(field, why),
            Ok(cron) if cron.find_next_occurrence(&Zoned::default(), false).is_err() => {
                self.fail(field, format!("{} never comes", shown(expression)));
            }
            Ok(_) => {}
        }
        if let Some(Err(why)) = time_zone.as_deref().map(check_time_zone) {
            self.fail(zone, why);
        }
    }

    fn path(&mut self, field: &str, path: &Path) {
        if !path.is_absolute() || path.as_os_str().as_encoded_bytes().contains(&0) {
            self.fail(field, "expected an absolute path without NUL bytes");
        }
    }
}
