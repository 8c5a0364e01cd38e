//! A disk that gets full, for real: a small file system of its own. Workers go on serving, the daemon lives, and when there is
//! room again writing goes on, and what is missing is told.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::daemon::{Daemon, run, shell, sleeper, with};
use crate::wait::until_true;

/// Where the small file system is, for the test that runs in a namespace where it is mounted.
const DISK: &str = "SUPD_TEST_DISK";

/// Runs the rest of this test with a file system of 1 MiB, in a namespace of its own, so that it needs no privilege and leaves no mount
/// behind. `None`: that has been done, or this machine does not let its users make namespaces.
fn on_small_disk(test: &str) -> Option<PathBuf> {
    if let Some(disk) = std::env::var_os(DISK) {
        return Some(disk.into());
    }
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount"]);
        command
    };
    let disk = tempfile::Builder::new().prefix("supd-").tempdir_in("/tmp").expect("a directory");
    let mount = "mount -t tmpfs -o size=1m supd-test \"$0\"";
    let path = disk.path().display().to_string();
    if !unshare().args(["sh", "-c", mount, &path]).output().is_ok_and(|output| output.status.success()) {
        eprintln!("not run: this machine does not let its users make namespaces");
        return None;
    }
    let program = std::env::current_exe().expect("this program");
    let mut rest = unshare();
    rest.args(["sh", "-c", &format!("{mount} && exec \"$@\""), &path]).arg(program);
    let output = run(rest.args(["--exact", test, "--nocapture"]).env(DISK, disk.path()), b"");
    assert_eq!(output.code, 0, "{}\n{}", output.out, output.err);
    None
}

/// Numbered lines of 100 bytes, and in the file `progress` elsewhere how many have been written.
fn writer(name: &str, elsewhere: &Path) -> Value {
    let script = format!(
        "cd {}; n=0; until [ -e enough ]; do m=$((n + 100)); while [ $n -lt $m ]; do printf '%099d\\n' $n; n=$((n + 1)); done; \
         echo $n > new; mv new progress; sleep 0.01; done; echo >done; exec sleep 1000",
        elsewhere.display()
    );
    shell(name, &script)
}

fn progress(elsewhere: &Path) -> u64 {
    std::fs::read_to_string(elsewhere.join("progress"))
        .map_or(0, |text| text.trim().parse().expect("a number"))
}

/// Ends it. Its last line.
fn finish(elsewhere: &Path) -> String {
    std::fs::write(elsewhere.join("enough"), "").expect("a file");
    until_true("its end", || elsewhere.join("done").exists());
    format!("{:099}\n", progress(elsewhere) - 1)
}

#[test]
fn workers_and_daemon_live_on_a_full_disk_and_the_loss_is_told() {
    let Some(disk) = on_small_disk("full_disk::workers_and_daemon_live_on_a_full_disk_and_the_loss_is_told")
    else {
        return;
    };
    let elsewhere = tempfile::tempdir().expect("a directory");
    let daemon = Daemon::empty_in(&disk);
    let ballast = disk.join("ballast");
    std::fs::write(&ballast, vec![b'x'; 300_000]).expect("a large file");
    let quiet_log = elsewhere.path().join("quiet.log");
    let ticking = shell("quiet", "while :; do echo tick; sleep 0.01; done");
    daemon.run(&json!([
        with(writer("busy", elsewhere.path()), json!({ "rotate_size": false })),
        with(ticking, json!({ "out_file": quiet_log })),
    ]));
    let pids = daemon.pids();
    let full =
        |worker: &Value| worker["logs"]["trouble"][0]["text"] == "No space left on device (os error 28)";
    daemon.until(0, "in trouble", full);
    let before = progress(elsewhere.path());
    until_true("more of its work", || progress(elsewhere.path()) > before + 5000);
    let ticks = || std::fs::metadata(&quiet_log).map_or(0, |file| file.len());
    let before = ticks();
    until_true("lines of another app", || ticks() > before + 50);
    let lost = daemon.until(0, "losing", |worker| worker["logs"]["out"]["lost_lines"].as_u64() > Some(0));
    assert!(lost["logs"]["out"]["lost_since"].is_u64(), "{lost:#}");
    let told = daemon.ok(&["describe", "busy"]).out;
    assert!(told.contains("cannot be written for ") && told.contains(" of out dropped, "), "{told}");
    assert!(daemon.ok(&["list"]).out.contains("busy (0): "), "a remark");

    // The ledger cannot be written either.
    let file = elsewhere.path().join("more.json");
    std::fs::write(&file, json!({ "apps": [sleeper("more")] }).to_string()).expect("a declaration");
    daemon.ok(&["start", &file.display().to_string()]).says(&["ledger.json", "No space left on device"]);
    daemon.kill_supervisor();
    assert_eq!((&daemon.pids()[..2], daemon.pids().len()), (&pids[..], 3), "its snapshot is in memory");
    daemon.until(0, "in trouble still", full);

    let end = finish(elsewhere.path());
    std::fs::remove_file(&ballast).expect("room");
    daemon.until(0, "well again", |worker| worker["logs"]["trouble"].is_null());
    until_true("the ledger", || daemon.read("ledger.json").contains("\"more\""));
    until_true("the last line", || daemon.read("logs/busy-out.log").ends_with(&end));
    let text = daemon.read("logs/busy-out.log");
    let (markers, lines): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("[supd] "));
    assert!(
        !markers.is_empty() && markers.iter().all(|line| line.contains(" of output: No space left")),
        "{markers:?}"
    );
    let numbers: Vec<u64> = lines.iter().map(|line| line.parse().expect("a whole line")).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "each line once");
    let marked: u64 =
        markers.iter().map(|line| line.split(' ').nth(2).unwrap().parse::<u64>().unwrap()).sum();
    let gaps: u64 = numbers.windows(2).map(|pair| pair[1] - pair[0] - 1).sum();
    assert!(0 < gaps && gaps <= marked, "{gaps} lines are missing, {marked} are told");
    assert_eq!(numbers[0], 0);
}

#[test]
fn what_was_put_aside_makes_room() {
    let Some(disk) = on_small_disk("full_disk::what_was_put_aside_makes_room") else { return };
    let elsewhere = tempfile::tempdir().expect("a directory");
    let [free, total] = ["free", "total"].map(|name| elsewhere.path().join(name));
    [&free, &total].into_iter().for_each(|path| std::fs::create_dir(path).expect("a directory"));
    let daemon = Daemon::empty_in(&disk);
    let rotating = |more: Value| {
        let all = json!({ "rotate_size": "32K", "keep": "all", "max_total": false, "min_free": false, "on_full": "block" });
        with(with(json!({}), all), more)
    };
    daemon.run(&json!([
        with(writer("free", &free), rotating(json!({ "min_free": "300K" }))),
        with(writer("total", &total), rotating(json!({ "max_total": "200K" }))),
    ]));
    // Several times what there is room for.
    until_true("much output", || [&free, &total].into_iter().all(|path| progress(path) > 30_000));
    for (app, path) in [("free", &free), ("total", &total)] {
        let end = finish(path);
        until_true("the last line", || daemon.read(&format!("logs/{app}-out.log")).ends_with(&end));
        let text = daemon.ok(&["logs", app, "--out", "--raw", "--nostream", "--lines", "1000000"]).out;
        let numbers: Vec<u64> = text.lines().map(|line| line.parse().expect("a whole line")).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{app}: nothing is missing");
        assert_eq!(numbers.last().copied(), Some(progress(path) - 1));
    }
    assert!(daemon.list().iter().all(|worker| worker["logs"]["out"]["lost_bytes"] == 0));
    let files = std::fs::read_dir(daemon.file("logs")).expect("the logs").map(|file| file.expect("a file"));
    let of_total = files.filter(|file| file.file_name().to_string_lossy().starts_with("total-"));
    let size: u64 = of_total.map(|file| file.metadata().expect("its size").len()).sum();
    assert!((100_000..=204_800).contains(&size), "{size}");
}

#[test]
fn a_limit_on_the_size_of_files_ends_no_supervisor() {
    let daemon = Daemon::empty();
    let supd = format!("ulimit -S -f 16384; exec {} ", env!("CARGO_BIN_EXE_supd"));
    let mut supd = Command::new("/bin/sh")
        .args(["-c", &supd])
        .env("SUPD_HOME", daemon.home())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("supd");
    until_true("the daemon", || daemon.home().join("supd.sock").exists());
    // 512 bytes each.
    let much = json!({ "args": ["-c", "yes | head -c 10000000; echo end >&2; exec sleep 1000"], "rotate_size": false });
    daemon.run(&json!([with(shell("much", ""), much)]));
    until_true("all of it written", || daemon.read("logs/much-error.log") == "end\n");
    daemon.until(0, "in trouble", |worker| {
        worker["logs"]["trouble"][0]["text"] == "File too large (os error 27)"
    });
    assert_eq!(daemon.json(&["ping"])["supervisor_restarts"], 0);
    daemon.ok(&["kill"]);
    supd.wait().expect("its end");
}
