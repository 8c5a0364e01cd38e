//! Facts and what is said of them.

use serde_json::json;
use supd_api::{
    Acts, AppName, AppView, Cause, Change, ChangeKind, CrashReport, Difference, Exit, LogText, Millis, Status,
};

use super::facts::{Defect, Facts, Held, Port};
use super::reasons::{Reason, of_end, of_state};
use crate::ctl::fake::{app, in_state, worker};

fn report(exit: Exit, err: &[&str]) -> CrashReport {
    CrashReport {
        app: AppName::new("web").expect("a name"),
        worker: 0,
        run: 1,
        revision: 4,
        pid: Some(1),
        started_at: 0,
        at: 0,
        uptime: Millis(5),
        text: match &exit {
            Exit::NotStarted(why) => why.clone(),
            Exit::Code(_) | Exit::Signal(_) | Exit::TimedOut(_) | Exit::Unknown => "ended".to_owned(),
        },
        exit,
        cause: None,
        peak_memory: None,
        answer: None,
        changed: None,
        out: Vec::new(),
        err: err.iter().map(|line| LogText::from(line.as_bytes().to_vec())).collect(),
    }
}

fn not_started(why: &str) -> CrashReport {
    report(Exit::NotStarted(why.to_owned()), &[])
}

/// Kind, whether it is certain, and the text, as the screen has it.
fn said(reason: &Reason) -> String {
    format!("{}: {}{}", reason.kind, if reason.certain { "" } else { "probably " }, reason.text)
}

fn end(report: &CrashReport, web: &AppView, ports: Vec<Port>, files: Vec<Defect>) -> Vec<Reason> {
    of_end(&Facts { app: web, latest: Some(report), ports, files })
}

#[test]
fn ends_and_their_reasons() {
    let web = app("web", vec![worker(0, "web")]);
    let with = |cause| CrashReport { cause: Some(cause), ..report(Exit::Signal(9), &[]) };
    for (report, expected, remedy) in [
        (with(Cause::OutOfMemory), "out_of_memory: the kernel ended it because", "let it use less"),
        (with(Cause::PerhapsOutOfMemory), "out_of_memory: probably ", "let it use less"),
        (with(Cause::HeapFull), "heap_full: the JavaScript heap was full", "max-old-space-size"),
        (with(Cause::Stranger), "signal: sent by somebody else", "look for who sends it"),
        (report(Exit::Code(0), &[]), "ended: it ended by itself, without an error", "autorestart = false"),
        (report(Exit::Code(127), &[]), "program_missing: probably a shell does not find", "`supctl env web`"),
        (report(Exit::Code(137), &[]), "signal: probably signal 9 ended a command", "exec"),
        (report(Exit::Signal(11), &[]), "defect: the processor refused", "native modules"),
        (
            report(Exit::Code(1), &["node:internal/modules", "Error: Cannot find module 'express'"]),
            "module_missing: probably the module express is not there",
            "`npm ci` in /srv/web",
        ),
        (
            report(Exit::Code(1), &["Error: Cannot find module './db'"]),
            "module_missing: probably",
            "part of the release",
        ),
        (
            report(Exit::Code(1), &["ModuleNotFoundError: No module named 'flask'"]),
            "module_missing: probably the module flask",
            "pip install",
        ),
        (
            report(Exit::Code(1), &["Error: EACCES: permission denied, open '/etc/web.key'"]),
            "permission: probably user deploy may not use /etc/web.key",
            "ls -l /etc/web.key",
        ),
        (
            report(Exit::Code(1), &["PermissionError: [Errno 13] Permission denied: '/x'"]),
            "permission: probably user deploy may not use /x",
            "mode",
        ),
        (
            report(Exit::Code(1), &["Error: listen EACCES: permission denied 0.0.0.0:80"]),
            "permission: probably its user may not listen on 0.0.0.0:80",
            "CAP_NET_BIND_SERVICE",
        ),
        (
            report(Exit::Code(1), &["Error: ENOENT: no such file or directory, open '/x.json'"]),
            "file_missing: probably /x.json",
            "put it there",
        ),
        (
            report(Exit::Code(1), &["Error: connect ECONNREFUSED 127.0.0.1:5432"]),
            "service_missing: probably nobody answers on 127.0.0.1:5432",
            "start that service",
        ),
        (
            report(Exit::Code(127), &["sh: 1: gunicorn: not found"]),
            "program_missing: probably its shell does not find the command gunicorn",
            "PATH",
        ),
        (not_started("could not be"), "not_started: could not be", "`supctl daemon logs`"),
        (
            not_started("`node9` is not in its PATH"),
            "program_missing: `node9` is not in its PATH",
            "`supctl env web`",
        ),
        (not_started("/srv/x: Permission denied"), "permission: /srv/x: Permission denied", "execute"),
        (not_started("/srv/x: Exec format error"), "not_executable: /srv/x: Exec format error", "`#!`"),
        (not_started("/srv/x does not exist"), "program_missing: /srv/x does not exist", "it is there now"),
    ] {
        let reasons = end(&report, &web, Vec::new(), Vec::new());
        assert!(said(&reasons[0]).starts_with(expected), "{expected}\n{reasons:?}");
        assert!(reasons[0].remedy.contains(remedy), "{remedy}\n{reasons:?}");
    }
    for unknown in [report(Exit::Code(1), &["boom"]), report(Exit::Unknown, &[])] {
        assert_eq!(end(&unknown, &web, Vec::new(), Vec::new()), [], "nothing is made up");
    }
}

#[test]
fn files_as_they_are_now_go_before_the_daemons_word() {
    let web = app("web", vec![worker(0, "web")]);
    let report = not_started("/srv/run: the interpreter in its first line does not exist");
    for (defect, text, remedy) in [
        (
            Defect::NoInterpreter { file: "/srv/run".into(), interpreter: "/usr/bin/python9".into() },
            "interpreter_missing: the first line of /srv/run names /usr/bin/python9, which does not exist",
            "install /usr/bin/python9",
        ),
        (
            Defect::NotExecutable("/srv/run".into()),
            "not_executable: /srv/run may not be executed",
            "chmod +x",
        ),
        (Defect::Missing("/srv/run".into()), "program_missing: /srv/run does not exist", "correct `script`"),
        (
            Defect::NoDirectory("/srv".into()),
            "directory_missing: its working directory /srv",
            "correct `cwd`",
        ),
    ] {
        let reasons = end(&report, &web, Vec::new(), vec![defect]);
        assert!(said(&reasons[0]).starts_with(text) && reasons[0].remedy.contains(remedy), "{reasons:?}");
        assert_eq!(reasons.len(), 1);
    }
}

#[test]
fn a_port_and_who_has_it() {
    let web = app("web", vec![worker(0, "web")]);
    let line = "Error: listen EADDRINUSE: address already in use :::3000";
    let by = |worker: Option<&str>| Held::By {
        pid: 4711,
        command: "nc -l 3000".to_owned(),
        worker: worker.map(str::to_owned),
    };
    let ended = report(Exit::Code(1), &[line]);
    let own = not_started("cannot listen on [::]:3000: Address already in use");
    let hidden = Held::Hidden { user: Some("root".to_owned()) };
    for (report, declared, held, text, remedy) in [
        (
            &ended,
            false,
            by(None),
            "the port 3000 that it wants is taken by pid 4711 (nc -l 3000), which is none of",
            "`kill 4711`",
        ),
        (
            &ended,
            false,
            by(Some("api 2")),
            "the port 3000 that it wants is taken by worker api 2 (pid 4711: nc",
            "another port",
        ),
        (
            &ended,
            true,
            by(None),
            "probably the port 3000 that it is declared to have is taken by pid 4711",
            "kill",
        ),
        (
            &ended,
            false,
            hidden,
            "the port 3000 that it wants is taken by a process of user root that you may not look into",
            "sudo",
        ),
        (
            &ended,
            false,
            Held::Nobody,
            "probably the port 3000 that it wants was taken; nobody has it now",
            "next start",
        ),
        (
            &ended,
            false,
            Held::Daemon { app: Some("api".to_owned()) },
            "the port 3000 that it wants is taken by supd itself, for the app api",
            "another port",
        ),
        (&own, false, Held::Nobody, "the port 3000 that it wants was taken; nobody has it now", "next start"),
    ] {
        let line = if std::ptr::eq(report, &own) { report.text.clone() } else { line.to_owned() };
        let port = Port { address: Some("3000".to_owned()), line: line.clone(), declared, held };
        let reasons = end(report, &web, vec![port], Vec::new());
        assert!(said(&reasons[0]).starts_with(&format!("port_taken: {text}")), "{text}\n{reasons:?}");
        assert!(reasons[0].remedy.contains(remedy), "{reasons:?}");
        assert_eq!((reasons.len(), reasons[0].seen.as_deref()), (1, Some(line.as_str())));
    }
    let unknown = Port { address: None, line: line.to_owned(), declared: false, held: Held::Nobody };
    assert!(end(&ended, &web, vec![unknown], Vec::new())[0].text.contains("do not say which"));
}

#[test]
fn readiness_and_what_the_probe_has_heard() {
    let mut web = app("web", vec![worker(0, "web")]);
    let late = not_started("was not ready within 60 s");
    let untold = end(&late, &web, Vec::new(), Vec::new());
    assert!(untold[0].remedy.contains("process.send('ready')"), "{untold:?}");
    let probe = json!({
        "check": { "http": { "address": null, "path": "/health" } }, "initial_delay": 0, "interval": 1000,
        "timeout": 1000, "success_threshold": 1, "failure_threshold": 3
    });
    web.declaration.ready.probe = Some(serde_json::from_value(probe).expect("a probe"));
    for (answer, remedy) in [
        ("GET /health on localhost:8080: 503 Service Unavailable", "the app itself answers so"),
        ("GET /health on localhost:8080: connection refused", "let it listen there within 1 min"),
        ("GET /health on localhost:8080: no answer within 1 s", "let it pass"),
    ] {
        let reasons = end(
            &CrashReport { answer: Some(answer.to_owned()), ..late.clone() },
            &web,
            Vec::new(),
            Vec::new(),
        );
        assert_eq!(
            said(&reasons[0]),
            format!("not_ready: it was not ready within 60 s; the last answer of its probe: {answer}")
        );
        assert!(reasons[0].remedy.starts_with(remedy), "{answer}: {reasons:?}");
    }
    let failed = not_started("failed its check: GET /up on localhost:8080: 500 Internal Server Error");
    assert!(end(&failed, &web, Vec::new(), Vec::new())[0].remedy.contains("the app itself answers so"));
}

#[test]
fn what_had_changed_is_told_beside_the_reason() {
    let mut web = app("web", vec![worker(0, "web")]);
    let change = |field: &str, values: Option<(&str, &str)>| {
        let (from, to) = values.map(|(from, to)| (from.to_owned(), to.to_owned())).unzip();
        Change { field: field.to_owned(), kind: ChangeKind::Changed, from, to, acts: Acts::NewProcesses }
    };
    let changes = vec![change("args", Some(("a", "b"))), change("env.DATABASE_URL", None)];
    let changed = Some(Difference { since: 3, changes });
    let ended = CrashReport { changed, ..report(Exit::Code(1), &["boom"]) };
    for (revision, previous, remedy) in [
        (4, Some(3), "`supctl rollback web` brings revision 3 back"),
        (3, Some(2), "revision 3 is back; correct the change"),
        (5, Some(4), "compare with what runs now"),
    ] {
        (web.revision, web.previous_revision) = (revision, previous);
        let reasons = end(&ended, &web, Vec::new(), Vec::new());
        let text = "changed: revision 4 has changed since revision 3: args a → b; env.DATABASE_URL changed";
        assert_eq!(reasons.iter().map(said).collect::<Vec<_>>(), [text]);
        assert!(reasons[0].remedy.starts_with(remedy), "{reasons:?}");
    }
}

#[test]
fn states_and_their_reasons() {
    let web = app("web", Vec::new());
    let mut patient = in_state(worker(0, "web"), Status::Waiting, "exited with code 1");
    patient.unstable_restarts = 5;
    let mut bounded = web.clone();
    bounded.declaration.restart.min_uptime = Some(Millis(1000));
    let mut once = web.clone();
    once.declaration.restart.autorestart = false;
    let mut ended = in_state(worker(0, "web"), Status::Stopped, "exited with code 0");
    let exit = json!({ "exit": { "code": 0 }, "text": "exited with code 0 after 1 s", "at": 1 });
    ended.last_exit = Some(serde_json::from_value(exit).expect("an end"));
    let state = |status, reason| in_state(worker(0, "web"), status, reason);
    for (worker, app, expected, remedy) in [
        (
            patient.clone(),
            &web,
            "back_off: 5 short lives in a row so far; it is never given up",
            "supctl restart web",
        ),
        (
            patient.clone(),
            &bounded,
            "back_off: 5 short lives in a row so far; after 16 it is given up",
            "restart",
        ),
        (state(Status::Errored, "x"), &web, "given_up: after 0 short lives", "then `supctl restart web`"),
        (
            state(Status::Stopped, "stopped as asked"),
            &web,
            "stopped: somebody has stopped it",
            "supctl start web",
        ),
        (state(Status::Stopped, "not started yet"), &web, "not_started_yet: ", "supctl start web"),
        (
            ended.clone(),
            &once,
            "ended: its end was final, as declared (`autorestart = false`)",
            "supctl start",
        ),
        (ended, &web, "ended: its end was final, as declared (`stop_exit_codes`)", "supctl start"),
        (
            state(Status::Launching, "not ready yet"),
            &web,
            "not_ready: it counts as up when",
            "supctl logs web",
        ),
        (state(Status::Online, "not ready: GET / on x: 503"), &web, "not_ready: it was ready once", "logs"),
        (
            state(Status::Online, "stopped by a signal, does nothing until SIGCONT; ready"),
            &web,
            "held: somebody has sent it SIGSTOP",
            "supctl signal CONT 0",
        ),
    ] {
        let reason = of_state(&worker, app).expect(expected);
        assert!(said(&reason).starts_with(expected), "{expected}: {reason:?}");
        assert!(reason.remedy.contains(remedy), "{reason:?}");
    }
    assert_eq!(of_state(&worker(0, "web"), &web), None);
}
