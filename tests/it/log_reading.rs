//! Reading the logs of the past, and following without a gap.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::daemon::{Daemon, shell, with};
use crate::logs::Follower;
use crate::process;
use crate::wait::{until, until_true};

/// Says the numbers from 1 on, one each time the file `go` is there, which it takes away.
fn counter(name: &str) -> Value {
    let script =
        "n=0; while :; do if [ -e go ]; then rm go; n=$((n+1)); echo line $n; else sleep 0.01; fi; done";
    shell(name, script)
}

/// A line every few milliseconds, numbered over all runs. It leaves only between two of them, for what it remembers is empty
/// while it is written.
fn ticker(name: &str) -> Value {
    let script = "trap 'stop=1' TERM; n=$(cat count 2>/dev/null || echo 0); \
        until [ \"$stop\" ]; do n=$((n+1)); echo $n > count; echo line $n; sleep 0.002; done";
    shell(name, script)
}

fn number(line: &str) -> u64 {
    line.strip_prefix("line ").and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{line}"))
}

#[test]
fn a_follower_misses_nothing_and_sees_nothing_twice_when_supervisor_and_worker_die() {
    let daemon = Daemon::start();
    daemon.run(&json!([with(ticker("ticker"), json!({ "cwd": daemon.home() }))]));
    until_true("the first line", || daemon.read("logs/ticker-out.log").contains("line 1\n"));
    let follower = Follower::start(&daemon, &["logs", "ticker", "--raw", "--out", "--lines", "1"]);
    let mut last = number(&follower.next());
    let mut goes_on = |lines: u64| {
        for _ in 0..lines {
            let next = number(&follower.next());
            assert_eq!(next, last + 1);
            last = next;
        }
    };
    for round in 0..6 {
        goes_on(50);
        match round {
            1 => daemon.ok(&["restart", "ticker"]).expect(0),
            3 => daemon.ok(&["reload", "ticker"]).expect(0),
            _ => {
                daemon.kill_supervisor();
                continue;
            }
        };
    }
    goes_on(50);
}

#[test]
fn a_follower_of_all_of_a_namespace_and_of_a_pattern_sees_what_comes_later() {
    let daemon = Daemon::start();
    let says = |name: &str| {
        with(shell(name, "echo I am $SUPD_APP; exec sleep 1000"), json!({ "namespace": "shop" }))
    };
    let early = Follower::start(&daemon, &["logs", "all", "--raw"]);
    daemon.run(&json!([says("api")]));
    until_true("its line", || daemon.read("logs/api-out.log") == "I am api\n");
    assert_eq!(early.next(), "I am api", "there was no app yet");
    drop(early);
    let followers = ["all", "shop", "/^a/"].map(|target| {
        let follower = Follower::start(&daemon, &["logs", target, "--raw", "--lines", "1"]);
        assert_eq!(follower.next(), "I am api", "{target}");
        follower
    });
    let other = with(shell("about", "echo I am another; exec sleep 1000"), json!({ "namespace": "other" }));
    daemon.run(&json!([other]));
    daemon.run(&json!([says("apple")]));
    let [all, shop, pattern] = followers;
    for follower in [all, pattern] {
        let heard = BTreeSet::from([follower.next(), follower.next()]);
        assert_eq!(heard, BTreeSet::from(["I am another", "I am apple"].map(str::to_owned)));
    }
    assert_eq!(shop.next(), "I am apple");
}

#[test]
fn lines_are_found_by_text_and_time_in_rotated_and_packed_files() {
    let daemon = Daemon::start();
    daemon.run(&json!([shell("app", "echo 2026-11-20T10:00:00Z now ok; echo wrong >&2; exec sleep 1000")]));
    until_true("the line", || daemon.read("logs/app-out.log").ends_with("now ok\n"));
    let mut packer = GzEncoder::new(
        fs::File::create(daemon.file("logs/app-out__2026-11-18_00-00-00.log.gz")).expect("a file"),
        Compression::fast(),
    );
    packer.write_all(b"2026-11-18T10:00:00Z oldest ok\n2026-11-18T11:00:00Z oldest bad\n").expect("room");
    packer.finish().expect("room");
    fs::write(
        daemon.file("logs/app-out__2026-11-19_00-00-00.log"),
        "2026-11-19T10:00:00Z older ok\n  at f\n",
    )
    .expect("room");

    let raw = |args: &str| {
        let words: Vec<&str> = args.split(' ').collect();
        daemon.ok(&[&["logs", "app", "--raw", "--out", "--nostream"], words.as_slice()].concat()).out
    };
    let (oldest, older, now) = (
        "2026-11-18T10:00:00Z oldest ok\n2026-11-18T11:00:00Z oldest bad\n",
        "2026-11-19T10:00:00Z older ok\n  at f\n",
        "2026-11-20T10:00:00Z now ok\n",
    );
    assert_eq!(raw("--lines 100"), format!("{oldest}{older}{now}"));
    assert_eq!(raw("--lines 2"), format!("  at f\n{now}"));
    assert_eq!(raw("--grep o[kx]$ --lines 2"), format!("2026-11-19T10:00:00Z older ok\n{now}"));
    assert_eq!(raw("--since 2026-11-18T12:00Z"), format!("{older}{now}"));
    assert_eq!(
        raw("--since 2026-11-18T10:30Z --until 2026-11-19T11:00Z --grep at|bad"),
        "2026-11-18T11:00:00Z oldest bad\n  at f\n"
    );
    daemon.ctl(&["logs", "app", "--grep", "("]).expect(4).says(&["no regular expression"]);

    // Elsewhere than on a terminal there are lines and nothing else.
    let plain = daemon.ok(&["logs", "app", "--lines", "1", "--nostream"]);
    assert_eq!(plain.out, format!("0|app     | {now}0|app     | wrong\n"));
    let titled = daemon.ok(&["logs", "app", "--lines", "1", "--nostream", "--titles", "--err"]);
    assert!(titled.out.contains("app-error.log last 1 lines:\n0|app     | wrong\n"), "{titled:?}");
    let keyed = daemon.ok(&["logs", "app", "--lines", "1", "--nostream", "--format", "--err"]);
    assert_eq!(keyed.out, "app=app id=0 type=error message=wrong\n");
    let undated = daemon.ok(&["logs", "app", "--since", "1h", "--err", "--nostream"]);
    assert!(undated.err.contains("carry no time") && undated.out.ends_with("wrong\n"), "{undated:?}");
}

#[test]
fn what_this_run_and_the_previous_one_have_said_is_told_apart() {
    let daemon = Daemon::start();
    let app = with(counter("app"), json!({ "cwd": daemon.home() }));
    daemon.run(&json!([app]));
    let say = |expected: &str| {
        fs::write(daemon.file("go"), "").expect("room");
        until_true(expected, || daemon.read("logs/app-out.log").ends_with(expected));
    };
    let raw = |args: &[&str]| daemon.ok(&[&["logs", "app", "--raw", "--nostream"], args].concat()).out;
    daemon.ctl(&["logs", "app", "--previous"]).expect(3).says(&["no run that has ended is known"]);
    say("line 1\n");
    say("line 1\nline 2\n");
    daemon.ok(&["restart", "app"]);
    say("line 1\nline 2\nline 1\n");
    assert_eq!(raw(&["--this-run"]), "line 1\n");
    assert_eq!(until("the end of the first run", || raw_if_known(&daemon)), "line 1\nline 2\n");
    daemon.kill_supervisor();
    assert_eq!(raw(&["--previous", "--lines", "1"]), "line 2\n");
    assert_eq!(raw(&["--this-run"]), "line 1\n");

    process::kill(daemon.pid(0));
    daemon.until_status(0, "online");
    until("the end of the second run", || (raw(&["--previous"]) == "line 1\n").then_some(()));
    assert_eq!(raw(&["--this-run"]), "");
}

fn raw_if_known(daemon: &Daemon) -> Option<String> {
    let told = daemon.ctl(&["logs", "app", "--raw", "--previous"]);
    (told.code == 0).then_some(told.out)
}
