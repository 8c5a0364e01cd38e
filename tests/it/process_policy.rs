//! What processes may do and how they rank, from the declaration to the kernel.

use serde_json::json;

use crate::daemon::{Daemon, shell, with};
use crate::wait::until_true;

#[test]
fn a_worker_gets_what_is_declared_after_a_crash_of_the_supervisor_too() {
    let daemon = Daemon::start();
    let line = "umask; nice; cat /proc/self/oom_score_adj; ulimit -Sn; ulimit -Hn; \
        grep NoNewPrivs /proc/self/status; exec sleep 1000";
    let process = json!({ "umask": "027", "nice": 3, "oom_score_adj": 400, "no_new_privs": true,
        "rlimits": { "nofile": "64:128" } });
    daemon.run(&json!([with(shell("app", line), process)]));
    let said = "0027\n3\n400\n64\n128\nNoNewPrivs:\t1\n";
    until_true("what it says", || daemon.read("logs/app-out.log") == said);
    let picture = daemon.ok(&["describe", "app"]).out;
    let row = "umask 027, nice 3, oom_score_adj 400, no_new_privs, nofile 64:128";
    assert!(picture.contains(row), "{picture}");
    daemon.kill_supervisor();
    daemon.ok(&["restart", "app"]);
    until_true("what the next one says", || daemon.read("logs/app-out.log") == said.repeat(2));
}

#[test]
fn what_the_kernel_refuses_is_named_and_what_makes_no_sense_is_refused_at_once() {
    let daemon = Daemon::start();
    let app = with(shell("app", "exec sleep 1000"), json!({ "rlimits": { "nofile": "8G" } }));
    let file = daemon.declare(&json!([app]));
    let refused = daemon.ctl(&["start", &file]);
    assert!(refused.code != 0, "{refused:?}");
    let reason = daemon.worker(0)["reason"].to_string();
    assert!(reason.contains("its limit `nofile` cannot be 8589934592: Operation not permitted"), "{reason}");

    for (fields, says) in [
        (
            json!({ "rlimits": { "nofile": "2000:1000" } }),
            "rlimits.nofile: the first limit is above the second",
        ),
        (json!({ "rlimits": { "nofile": 3 } }), "no program starts with fewer than 16 files"),
        (json!({ "rlimits": { "rttime": 3 } }), "supd marks the processes of a worker by it"),
        (json!({ "umask": 27 }), "octal digits in a text"),
        (json!({ "uid": "root", "capabilities": ["kill"] }), "capabilities: root has all of them"),
        (json!({ "uid": "nobody", "capabilities": ["net_bind"] }), "no capability is named"),
    ] {
        let file = daemon.declare(&json!([with(shell("other", "exec sleep 1000"), fields)]));
        daemon.ctl(&["start", &file]).expect(4).says(&[says]);
    }
    assert_eq!(daemon.list().len(), 1);
}

#[test]
fn root_lets_a_worker_of_another_user_have_a_port_below_1024() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("only root can show this");
        return;
    }
    let daemon = Daemon::start();
    let line = "grep CapAmb /proc/self/status; id -un; exec sleep 1000";
    let app = with(shell("app", line), json!({ "cwd": "/" }));
    let other = with(app.clone(), json!({ "uid": "nobody", "capabilities": "net_bind_service" }));
    daemon.run(&json!([other]));
    let said = "CapAmb:\t0000000000000400\nnobody\n";
    until_true("what it says", || daemon.read("logs/app-out.log") == said);
    // Of the daemon's own user only the daemon knows that it is root.
    let file = daemon.declare(&json!([with(app, json!({ "capabilities": "net_bind_service" }))]));
    daemon.ctl(&["start", &file]).expect(4).says(&["root has all of them"]);
}
