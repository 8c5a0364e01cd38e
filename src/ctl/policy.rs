//! How do the rules of an app read in words? Readiness, liveness, stopping, reloads and rotation, for `describe`.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use supd_api::{
    AppDeclaration, AppView, AutoscaleView, CgroupPolicy, Check, Compression, Condition, CronPolicy,
    ExecMode, LivePolicy, LogSink, Probe, ProcessPolicy, ReadyPolicy, ReloadPolicy, Rotation, RotationField,
    RotationView, StdoutForm, StopPolicy, WatchPolicy, Watching,
};

use super::cells::{duration, harmless, memory, since as ago};

/// When a worker counts as up.
pub(crate) fn readiness(app: &AppDeclaration) -> String {
    let ReadyPolicy { wait_ready, listen_timeout, timeout, probe: proof, startup } = &app.ready;
    let told = || wait_ready.then(|| "\"ready\" or READY=1".to_owned());
    let proofs: Vec<String> =
        startup.iter().map(probe).chain(proof.as_ref().map(probe).or_else(told)).collect();
    match (proofs.is_empty(), app.exec_mode) {
        (false, _) => format!("{}, within {}", proofs.join(", then "), duration(*timeout)),
        (true, ExecMode::Cluster) => {
            format!("it listens, or after {} (in a reload {})", duration(*listen_timeout), duration(*timeout))
        }
        (true, ExecMode::Fork) => "it runs".to_owned(),
    }
}

/// What has to come first.
pub(crate) fn dependencies(app: &AppDeclaration) -> String {
    let spelled = |condition| match condition {
        Condition::Started => "started",
        Condition::Ready => "ready",
        Condition::Completed => "completed",
    };
    let all = app.depends_on.iter().map(|(on, condition)| format!("{on} ({})", spelled(*condition)));
    all.collect::<Vec<_>>().join(", ")
}

/// When a worker that was up counts as broken.
pub(crate) fn liveness(live: &LivePolicy) -> String {
    let LivePolicy { probe: proof, watchdog } = live;
    let watchdog = watchdog.map(|span| format!("WATCHDOG=1 every {} at least", duration(span)));
    let parts: Vec<String> = proof.iter().map(probe).chain(watchdog).collect();
    if parts.is_empty() { "its process exists".to_owned() } else { parts.join("; ") }
}

/// How a worker goes.
pub(crate) fn stop(app: &AppDeclaration) -> String {
    let StopPolicy { kill_signal, kill_timeout, shutdown_with_message, drain_timeout, .. } = &app.stop;
    let first = if *shutdown_with_message { "the message \"shutdown\"" } else { kill_signal };
    let end = format!("{first}, SIGKILL after {}", duration(*kill_timeout));
    // Others cannot be told to stop accepting.
    if app.exec_mode == ExecMode::Cluster && drain_timeout.0 > 0 {
        format!("drains for {} at most, then {end}", duration(*drain_timeout))
    } else {
        end
    }
}

/// How workers are moved to another version.
pub(crate) fn reload(app: &AppDeclaration) -> String {
    let ReloadPolicy { max_surge, max_parallel, rollback_window, reuse_port } = &app.reload;
    let overlaps = *reuse_port || app.exec_mode == ExecMode::Cluster || !app.listen.is_empty();
    let pace = if overlaps {
        format!("new before old, max_surge {max_surge}")
    } else {
        "a restart, old before new".to_owned()
    };
    let parallel = max_parallel.map(|most| format!(", max_parallel {most}")).unwrap_or_default();
    format!("{pace}{parallel}, on probation for {}", duration(*rollback_window))
}

/// What processes may do and how they rank; `None`: as the daemon has it.
pub(crate) fn process(process: &ProcessPolicy) -> Option<String> {
    let ProcessPolicy { umask, nice, oom_score_adj, rlimits, no_new_privs, capabilities } = process;
    let names: Vec<&str> = capabilities.iter().map(|it| it.as_str()).collect();
    let limits = rlimits.iter().map(|(resource, limit)| format!("{} {limit}", resource.as_str()));
    let parts = [
        umask.map(|mask| format!("umask {mask:03o}")),
        nice.map(|nice| format!("nice {nice}")),
        oom_score_adj.map(|score| format!("oom_score_adj {score}")),
        no_new_privs.then(|| "no_new_privs".to_owned()),
        (!names.is_empty()).then(|| format!("capabilities {}", names.join(" "))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().chain(limits).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// What all processes of a worker may use together; `None`: nothing is declared.
pub(crate) fn cgroup(policy: &CgroupPolicy) -> Option<String> {
    let given: Vec<String> =
        policy.given().into_iter().map(|(field, value)| format!("{field} {value}")).collect();
    (!given.is_empty()).then(|| given.join(", "))
}

/// How many workers there are by their load, and why. `2 to 8: 4 workers for 3m, cpu 85 % of one processor, target 60 %, 6 wanted`
pub(crate) fn autoscale(app: &AppView) -> Option<String> {
    let (policy, view) = (app.declaration.autoscale.as_ref()?, app.autoscale.as_ref()?);
    let AutoscaleView { min, max, workers, since, cpu, memory: used, wanted, held } = view;
    let plural = if *workers == 1 { "" } else { "s" };
    let mut text = format!("{min} to {max}: {workers} worker{plural}");
    if *since > 0 {
        text += &format!(" for {}", ago(*since));
    }
    if let Some(target) = policy.cpu {
        let mean = cpu.map_or_else(|| "unknown".to_owned(), |cpu| format!("{cpu:.0} % of one processor"));
        text += &format!(", cpu {mean}, target {target} %");
    }
    if let Some(target) = policy.memory {
        let mean = used.map_or_else(|| "unknown".to_owned(), memory);
        text += &format!(", memory {mean}, target {}", memory(target));
    }
    text += &wanted.map(|wanted| format!(", {wanted} wanted")).unwrap_or_default();
    text += &held.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
    Some(harmless(&text))
}

/// When workers are replaced by the clock. `next`: Unix time in milliseconds.
pub(crate) fn cron(app: &AppDeclaration, next: Option<u64>) -> String {
    app.cron.as_ref().map_or_else(|| "never".to_owned(), |policy| times(policy, next))
}

/// What times they are, and which is the next.
pub(crate) fn times(policy: &CronPolicy, next: Option<u64>) -> String {
    let CronPolicy { expression, time_zone } = policy;
    let zone = time_zone.as_ref().map(|zone| format!(" in {zone}")).unwrap_or_default();
    let instant = next.and_then(|at| Timestamp::from_millisecond(i64::try_from(at).ok()?).ok());
    let next = instant.map_or_else(String::new, |at| {
        let here = at.to_zoned(TimeZone::system());
        format!(", next at {} here", here.strftime("%Y-%m-%d %H:%M:%S"))
    });
    harmless(&format!("{expression}{zone}{next}"))
}

/// When its files are watched, and what counts.
pub(crate) fn watch(app: &AppDeclaration, watching: &Watching) -> String {
    let WatchPolicy { paths, ignore, delay, gitignore, .. } = &app.watch;
    match watching {
        Watching::Off => return "no".to_owned(),
        Watching::Failed(why) => return format!("failed: {}", harmless(why)),
        Watching::On => {}
    }
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let what = if paths.is_empty() { app.cwd.display().to_string() } else { paths.join(", ") };
    let without = ignore.iter().map(String::as_str).chain(gitignore.then_some("what .gitignore names"));
    let without: Vec<&str> = without.collect();
    let without = if without.is_empty() { String::new() } else { format!(" without {}", without.join(", ")) };
    harmless(&format!("{what}{without}, after {} without a change", duration(*delay)))
}

/// Where output goes beside its files, or in their place.
pub(crate) fn sink(sink: LogSink) -> &'static str {
    match sink {
        LogSink::Journald => "journald",
        LogSink::Syslog => "syslog",
        LogSink::Stdout(StdoutForm::Raw) => "standard output of the daemon",
        LogSink::Stdout(StdoutForm::Prefixed) => "standard output of the daemon, after `id|name | `",
        LogSink::Stdout(StdoutForm::Json) => "standard output of the daemon, as JSON",
        LogSink::Stdout(StdoutForm::Format) => {
            "standard output of the daemon, as `timestamp=… app=… message=…`"
        }
    }
}

/// When files of output are put aside and which are kept; in brackets where that comes from, unless it is the default.
pub(crate) fn rotation(app: &AppView) -> String {
    let RotationView { policy, settings } = &app.rotation;
    let Rotation { size, interval, keep, keep_days, max_total, min_free, compress, date_format, time_zone } =
        policy;
    let from = |field| match settings.get(&field) {
        Some(key) => format!(" ({key})"),
        None if app.declaration.logs.rotation.says(field) => " (declared)".to_owned(),
        None => String::new(),
    };
    let compress = compress.map(|compression| match compression {
        Compression::Gzip => "packed by gzip",
        Compression::Zstd => "packed by zstd",
    });
    let all = || format!("all kept{}", from(RotationField::Keep));
    let is_never = size.is_none() && interval.is_none();
    let parts = [
        is_never.then(|| format!("never{}", from(RotationField::Size))),
        size.map(|size| format!("at {}{}", memory(size), from(RotationField::Size))),
        interval.as_ref().map(|times| format!("at times {times}{}", from(RotationField::Interval))),
        keep.map(|keep| format!("{keep} kept{}", from(RotationField::Keep))).or_else(|| Some(all())),
        keep_days.map(|days| format!("for {days} days{}", from(RotationField::KeepDays))),
        Some(match max_total {
            Some(most) => format!("at most {} in all{}", memory(*most), from(RotationField::MaxTotal)),
            None => format!("any amount in all{}", from(RotationField::MaxTotal)),
        }),
        Some(match min_free {
            Some(least) => format!("{} left free{}", memory(*least), from(RotationField::MinFree)),
            None => format!("nothing left free{}", from(RotationField::MinFree)),
        }),
        compress.map(|how| format!("{how}{}", from(RotationField::Compress))),
        (*date_format != Rotation::default().date_format)
            .then(|| format!("named by {date_format}{}", from(RotationField::DateFormat))),
        time_zone.as_ref().map(|zone| format!("in {zone}{}", from(RotationField::TimeZone))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// `http /health every 10 s, 3 failures`.
fn probe(probe: &Probe) -> String {
    let Probe { check, initial_delay, interval, timeout, success_threshold, failure_threshold } = probe;
    let check = match check {
        Check::Http { address: None, path } => format!("http {path}"),
        Check::Http { address: Some(address), path } => format!("http {address}{path}"),
        Check::Tcp { address } => format!("tcp {address}"),
        Check::Exec { command } => format!("exec {}", command.join(" ")),
    };
    let failures = if *failure_threshold == 1 { "failure" } else { "failures" };
    let mut text = format!("{check} every {}, {failure_threshold} {failures}", duration(*interval));
    if *success_threshold > 1 {
        text += &format!(", {success_threshold} successes");
    }
    text += &format!(", timeout {}", duration(*timeout));
    if initial_delay.0 > 0 {
        text += &format!(", first after {}", duration(*initial_delay));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::fake::declaration;
    use supd_api::Millis;

    fn health() -> Probe {
        Probe {
            check: Check::Http { address: None, path: "/health".to_owned() },
            initial_delay: Millis(0),
            interval: Millis(10_000),
            timeout: Millis(1000),
            success_threshold: 1,
            failure_threshold: 3,
        }
    }

    #[test]
    fn probes() {
        assert_eq!(probe(&health()), "http /health every 10 s, 3 failures, timeout 1 s");
        let tcp = Probe {
            check: Check::Tcp { address: ":80".to_owned() },
            initial_delay: Millis(500),
            success_threshold: 2,
            failure_threshold: 1,
            ..health()
        };
        let text = "tcp :80 every 10 s, 1 failure, 2 successes, timeout 1 s, first after 500 ms";
        assert_eq!(probe(&tcp), text);
        let exec = Check::Exec { command: vec!["pg_isready".to_owned(), "-q".to_owned()] };
        assert!(probe(&Probe { check: exec, ..health() }).starts_with("exec pg_isready -q every 10 s"));
    }

    #[test]
    fn readiness_by_the_strongest_proof() {
        let mut app = declaration("web");
        assert_eq!(readiness(&app), "it listens, or after 3 s (in a reload 1 min)");
        app.exec_mode = ExecMode::Fork;
        assert_eq!(readiness(&app), "it runs");
        app.ready.wait_ready = true;
        assert_eq!(readiness(&app), "\"ready\" or READY=1, within 1 min");
        app.ready.probe = Some(health());
        assert_eq!(readiness(&app), "http /health every 10 s, 3 failures, timeout 1 s, within 1 min");
        app.ready.startup = Some(Probe { failure_threshold: 30, ..health() });
        assert!(readiness(&app).starts_with("http /health every 10 s, 30 failures, timeout 1 s, then http"));
        (app.ready.probe, app.ready.wait_ready) = (None, false);
        assert_eq!(readiness(&app), "http /health every 10 s, 30 failures, timeout 1 s, within 1 min");
    }

    #[test]
    fn liveness_by_probe_and_watchdog() {
        assert_eq!(liveness(&LivePolicy::default()), "its process exists");
        let live = LivePolicy { probe: Some(health()), watchdog: Some(Millis(30_000)) };
        let text = "http /health every 10 s, 3 failures, timeout 1 s; WATCHDOG=1 every 30 s at least";
        assert_eq!(liveness(&live), text);
    }

    #[test]
    fn processes() {
        let mut policy = ProcessPolicy::default();
        assert_eq!(process(&policy), None);
        policy.umask = Some(0o27);
        policy.nice = Some(-5);
        policy.rlimits.insert(supd_api::Resource::Nofile, supd_api::Rlimit { soft: Some(16), hard: None });
        assert_eq!(process(&policy).as_deref(), Some("umask 027, nice -5, nofile 16:unlimited"));
    }

    #[test]
    fn stops_and_reloads() {
        let mut app = declaration("web");
        assert_eq!(stop(&app), "drains for 30 s at most, then SIGINT, SIGKILL after 1.6 s");
        assert_eq!(reload(&app), "new before old, max_surge 1, on probation for 30 s");
        (app.exec_mode, app.stop.shutdown_with_message) = (ExecMode::Fork, true);
        app.reload.max_parallel = Some(4);
        assert_eq!(stop(&app), "the message \"shutdown\", SIGKILL after 1.6 s");
        assert_eq!(reload(&app), "a restart, old before new, max_parallel 4, on probation for 30 s");
        app.reload.reuse_port = true;
        assert!(reload(&app).starts_with("new before old"));
    }
}
