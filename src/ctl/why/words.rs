//! What do a program's last words suggest? The messages of common runtimes; every reason from here is only probable.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use supd_api::{AppView, CrashReport, LogText};

use super::reasons::Reason;
use crate::ctl::last_lines::printable;

/// A message, and the reason that follows from what it names and from whom it is about.
struct Message {
    pattern: Regex,
    reason: fn(&str, &Whose<'_>) -> Reason,
}

/// The app that has said it.
struct Whose<'a> {
    cwd: String,
    user: &'a str,
}

/// In the order in which they are looked for. Each pattern has one group.
static MESSAGES: LazyLock<Vec<Message>> = LazyLock::new(|| {
    let message = |pattern, reason| Message { pattern: Regex::new(pattern).expect("it is one"), reason };
    vec![
        message(r"Cannot find (?:module|package) '([^']+)'", node_module),
        message(r"No module named '?([\w.]+)", python_module),
        message(r"listen EACCES: permission denied (\S+)", low_port),
        message(
            r"(?:EACCES: permission denied|\[Errno 13\] Permission denied:|EPERM: operation not permitted),? (?:\w+ )?'([^']+)'",
            permission,
        ),
        message(
            r"(?:ENOENT: no such file or directory|\[Errno 2\] No such file or directory:),? (?:\w+ )?'([^']+)'",
            missing,
        ),
        message(r"ECONNREFUSED (\S+)", refused),
        message(r"(?:\d+|line \d+): ([^:\s]+): (?:command )?not found", command),
        message(r"(?:ENOSPC|No space left on device)(.{0})", full),
        message(r"(?:EMFILE|Too many open files)(.{0})", descriptors),
        message(r"^SyntaxError: (.*)", syntax),
    ]
});

/// The status of an HTTP answer in the words of a probe.
static STATUS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"GET .*: [1-5]\d\d\b").expect("it is one"));

/// Whether a probe has got an answer over HTTP.
pub(super) fn has_status(answer: &str) -> bool {
    STATUS.is_match(answer)
}

/// The first message that is known, among standard error and then standard output.
pub(super) fn reasons(report: &CrashReport, app: &AppView) -> Option<Reason> {
    let user = app.workers.first().map_or("its user", |worker| worker.user.as_str());
    let whose = Whose { cwd: app.declaration.cwd.display().to_string(), user };
    let lines: Vec<String> =
        report.err.iter().chain(&report.out).map(LogText::as_bytes).map(printable).collect();
    let told = |message: &Message| {
        let found = |line: &String| {
            let name = message.pattern.captures(line).as_ref().and_then(named)?;
            Some((message.reason)(&name, &whose).seen(line).probably())
        };
        lines.iter().find_map(found)
    };
    MESSAGES.iter().find_map(told)
}

fn named(found: &Captures<'_>) -> Option<String> {
    found.get(1).map(|name| name.as_str().to_owned())
}

fn node_module(name: &str, whose: &Whose<'_>) -> Reason {
    let remedy = match name.starts_with(['.', '/']) {
        true => "is the file part of the release? Put it there, or correct the `require`".to_owned(),
        false => format!("`npm ci` in {}", whose.cwd),
    };
    Reason::new("module_missing", format!("the module {name} is not there"), remedy)
}

fn python_module(name: &str, whose: &Whose<'_>) -> Reason {
    let remedy = format!(
        "install it where its `interpreter` looks, e.g. `pip install` in the environment in {}",
        whose.cwd
    );
    Reason::new("module_missing", format!("the module {name} is not there"), remedy)
}

fn low_port(address: &str, _: &Whose<'_>) -> Reason {
    let remedy = "let supd listen for it (`listen`) with CAP_NET_BIND_SERVICE, or choose a higher port";
    Reason::new("permission", format!("its user may not listen on {address}"), remedy)
}

fn permission(path: &str, whose: &Whose<'_>) -> Reason {
    let text = format!("user {} may not use {path}", whose.user);
    Reason::new("permission", text, format!("change its owner or mode: `ls -l {path}` shows them"))
}

fn missing(path: &str, _: &Whose<'_>) -> Reason {
    let remedy = "put it there, or tell the app where it is; relative paths begin at `cwd`";
    Reason::new("file_missing", format!("{path} does not exist"), remedy)
}

fn refused(address: &str, _: &Whose<'_>) -> Reason {
    let text = format!("nobody answers on {address}, which it needs");
    Reason::new("service_missing", text, "start that service, or correct the address")
}

fn command(name: &str, _: &Whose<'_>) -> Reason {
    let remedy = "install it, or set PATH in `env`";
    Reason::new("program_missing", format!("its shell does not find the command {name}"), remedy)
}

fn full(_: &str, _: &Whose<'_>) -> Reason {
    Reason::new(
        "disk_full",
        "a disk is full",
        "`df -h` and `df -i` show which; `supctl doctor` watches supd's own",
    )
}

fn descriptors(_: &str, _: &Whose<'_>) -> Reason {
    let remedy = "raise the limit of open files of the daemon (LimitNOFILE= of its unit), or find what it does not close";
    Reason::new("too_many_files", "it has more files open than it may", remedy)
}

fn syntax(what: &str, _: &Whose<'_>) -> Reason {
    Reason::new(
        "defect",
        format!("its code does not parse: {what}"),
        "correct it, or use a newer interpreter",
    )
}
