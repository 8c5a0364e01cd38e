//! What PM2's users stumble over, under `pm2`: numbers are those of the project's notes on PM2. Other traps have their tests where
//! the behaviour lives; the table is in the differences document.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::daemon::run;
use crate::interpreter::is_there;
use crate::pm2::Pm2;
use crate::process;
use crate::wait::{until, until_true};

const APP: &str = "#!/bin/sh\nexec sleep 1000\n";

/// A command that goes on until it is ended.
struct Endless(Child);

impl Endless {
    fn of(pm2: &Pm2, args: &[&str]) -> (Self, impl Iterator<Item = String>) {
        let mut child = pm2.command(args).stdout(Stdio::piped()).spawn().expect("pm2");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
        (Self(child), lines)
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The status of a process.
fn status(pm2: &Pm2, id: u64) -> String {
    pm2.env(id)["status"].as_str().expect("a status").to_owned()
}

/// What is in the environment that the process really has.
fn has(pm2: &Pm2, id: u64, variable: &str) -> bool {
    let environ = fs::read(format!("/proc/{}/environ", pm2.daemon.pid(id))).expect("its environment");
    environ.split(|byte| *byte == 0).any(|pair| pair.starts_with(format!("{variable}=").as_bytes()))
}

/// 4: PM2 shows it as online for ever, and no figure of any app is right any more.
#[test]
fn one_that_cannot_start_says_so_and_the_others_keep_their_figures() {
    let pm2 = Pm2::new();
    pm2.daemon.script("good", APP);
    pm2.daemon.script("bad", "#!/no/such/interpreter\n");
    pm2.ok(&["start", "./good"]);
    pm2.run(&["start", "./bad"]).expect(1).says(&["the interpreter in its first line does not exist"]);
    assert_ne!(status(&pm2, 1), "online");
    until_true("figures of the good one", || {
        let list = pm2.ok(&["jlist"]).json();
        list[0]["monit"]["memory"].as_u64().is_some_and(|bytes| bytes > 0)
    });
}

/// 8: to PM2 it is an exit with code 0.
#[test]
fn death_by_a_signal_is_no_exit_with_code_0() {
    let pm2 = Pm2::new();
    pm2.daemon.script("eko", APP);
    pm2.ok(&["start", "./eko", "--stop-exit-codes", "0", "143"]);
    let before = pm2.daemon.pid(0);
    process::kill(before);
    until_true("its next life", || {
        let worker = pm2.daemon.worker(0);
        worker["status"] == "online" && worker["pid"].as_i64().is_some_and(|pid| pid != i64::from(before))
    });
}

/// 11: PM2 goes on with the old ones of all these until the app is deleted.
#[test]
fn all_of_an_edited_file_is_applied() {
    let pm2 = Pm2::new();
    let daemon = &pm2.daemon;
    daemon.script("old", "#!/bin/sh\necho old\nexec sleep 1000\n");
    let new = daemon.script("new", "#!/bin/sh\necho new\nexec sleep 1000\n");
    fs::create_dir(daemon.file("there")).expect("a directory");
    let file = daemon.declare(&json!([{ "name": "eko", "script": "./old" }]));
    pm2.ok(&["start", &file]);
    daemon.declare(&json!([{
        "name": "eko", "script": new, "cwd": "there", "instances": 3, "out_file": "eko.log", "merge_logs": true,
    }]));
    pm2.ok(&["restart", &file]);
    let env = pm2.env(0);
    assert_eq!(env["pm_exec_path"], new);
    assert_eq!(env["pm_cwd"], daemon.file("there").display().to_string());
    assert_eq!(pm2.ok(&["jlist"]).json().as_array().map(Vec::len), Some(3));
    until_true("all three in the new file", || daemon.read("there/eko.log") == "new\nnew\nnew\n");
}

/// 13: with a delay PM2 shows `waiting restart` for ever.
#[test]
fn nobody_waits_for_a_restart_that_does_not_come() {
    let pm2 = Pm2::new();
    pm2.daemon.script("brief", "#!/bin/sh\nexit 3\n");
    let start =
        |args: &[&str]| pm2.run(&[&["start", "./brief", "--restart-delay", "3600000"], args].concat());
    start(&["--name", "limited", "--max-restarts", "1"]);
    start(&["--name", "once", "--no-autorestart"]);
    until_true("both have ended", || {
        (status(&pm2, 0), status(&pm2, 1)) == ("errored".into(), "stopped".into())
    });
}

/// 17: PM2 says that it has started it, and has not.
#[test]
fn what_does_not_start_by_itself_starts_by_name() {
    let pm2 = Pm2::new();
    pm2.daemon.script("eko", APP);
    pm2.ok(&["start", "./eko", "--no-autostart"]);
    assert_eq!(status(&pm2, 0), "stopped");
    pm2.ok(&["start", "eko"]);
    assert_eq!(status(&pm2, 0), "online");
}

/// 19: to PM2 `true` means nothing, and a text takes the variable from the apps after it, too.
#[test]
fn a_filter_of_variables_is_that_of_its_app() {
    let pm2 = Pm2::new();
    pm2.daemon.script("eko", APP);
    let app = |name: &str, filter: Value| json!({ "name": name, "script": "./eko", "filter_env": filter });
    let apps = [app("text", json!("TOKEN")), app("none", json!(false)), app("every", json!(true))];
    let file = pm2.daemon.declare(&json!(apps));
    run(pm2.command(&["start", &file]).env("TOKEN", "1").env("OTHER", "2"), b"").expect(0);
    let seen = |id: u64| (has(&pm2, id, "TOKEN"), has(&pm2, id, "OTHER"));
    assert_eq!((seen(0), seen(1), seen(2)), ((false, true), (true, true), (false, false)));
}

/// 26: the wrapper of PM2 swallows it.
#[test]
fn a_rejection_that_nobody_handles_ends_a_node_app() {
    if !is_there(&["node", "--version"]) {
        return;
    }
    let pm2 = Pm2::new();
    fs::write(pm2.daemon.file("app.js"), "setInterval(() => {}, 1000); Promise.reject(new Error('lost'));")
        .expect("a script");
    for (id, mode) in [(0, "fork"), (1, "cluster")] {
        let file = pm2.daemon.declare(
            &json!([{ "name": mode, "script": "./app.js", "exec_mode": mode, "autorestart": false }]),
        );
        pm2.run(&["start", &file]);
        until_true("its end", || status(&pm2, id) == "stopped");
        assert_eq!(pm2.env(id)["exit_code"], 1, "{mode}");
    }
}

/// 30: PM2 writes a file for `-w`, and lines into the script that follows `-l`.
#[test]
fn flags_neither_write_declarations_nor_into_scripts() {
    let pm2 = Pm2::new();
    for script in ["app.js", "other.js"] {
        fs::write(pm2.daemon.file(script), "setInterval(() => {}, 1000)").expect("a script");
    }
    pm2.run(&["start", "-w", "app.js"]).expect(1).says(&["--write"]);
    pm2.run(&["start", "-l", "app.js", "other.js"]).expect(1).says(&["app.js is no file for a log"]);
    assert!(!pm2.daemon.file("app-pm2.json").exists());
}

/// 31: PM2 reloads one target, starts no pattern, and takes `-1` for an option.
#[test]
fn every_command_takes_every_kind_of_target() {
    let pm2 = Pm2::new();
    pm2.daemon.script("eko", APP);
    pm2.ok(&["start", "./eko", "--name", "one", "-i", "3"]);
    pm2.ok(&["start", "./eko", "--name", "two"]);
    pm2.ok(&["scale", "one", "-1"]);
    assert_eq!(pm2.count("online"), 3);
    pm2.ok(&["reload", "one", "two"]);
    assert_eq!(pm2.count("restart_time: 1"), 3);
    pm2.ok(&["stop", "all"]);
    pm2.ok(&["start", "/^o/"]);
    assert_eq!((pm2.count("online"), pm2.count("stopped")), (2, 1));
}

/// 42: to PM2 the id 0 is no id.
#[test]
fn the_output_of_id_0_is_that_of_id_0() {
    let pm2 = Pm2::new();
    let ticker = |word: &str| format!("#!/bin/sh\nwhile :; do echo {word}; sleep 0.02; done\n");
    pm2.daemon.script("first", &ticker("mine"));
    pm2.daemon.script("second", &ticker("other"));
    pm2.ok(&["start", "./first", "./second"]);
    let (_pm2, lines) = Endless::of(&pm2, &["restart", "0", "--attach"]);
    let said: Vec<String> = lines.filter(|line| line.contains("| ")).take(20).collect();
    let ticks = said.iter().filter(|line| line.starts_with("0|first") && line.ends_with("mine")).count();
    assert!(ticks > 0 && !said.iter().any(|line| line.ends_with("other")), "{said:#?}");
}

#[test]
fn the_list_is_drawn_anew_until_somebody_ends_it() {
    let pm2 = Pm2::new();
    pm2.daemon.script("eko", APP);
    pm2.ok(&["start", "./eko"]);
    let (_pm2, mut lines) = Endless::of(&pm2, &["list", "--watch"]);
    for _ in 0..2 {
        until("the app", || lines.next().filter(|line| line.contains("│ eko")));
    }
}

#[test]
fn pid_files_are_where_they_are_wanted_that_of_the_daemon_too() {
    let pm2 = Pm2::new();
    let daemon = &pm2.daemon;
    daemon.script("eko", APP);
    let theirs = daemon.file("theirs.pid");
    run(pm2.command(&["start", "./eko", "-i", "2", "-p", "eko.pid"]).env("PM2_PID_FILE_PATH", &theirs), b"")
        .expect(0);
    assert_eq!(daemon.read("theirs.pid"), daemon.heads().0.to_string());
    for id in [0, 1] {
        let file = format!("eko-{id}.pid");
        assert_eq!(pm2.env(id)["pm_pid_path"], daemon.file(&file).display().to_string());
        until_true("the pid", || daemon.read(&file) == daemon.pid(id).to_string());
    }
    pm2.ok(&["stop", "all"]);
    until_true("no pid files", || !daemon.file("eko-0.pid").exists() && !daemon.file("eko-1.pid").exists());
}

#[test]
fn a_server_behind_npm_hears_the_stop_signal_of_pm2() {
    if !is_there(&["npm", "--version"]) {
        return;
    }
    let pm2 = Pm2::new();
    let daemon = &pm2.daemon;
    let server = "process.on('SIGINT', () => { console.log('bye'); process.exit(0) });\n\
        console.log('up', process.argv[2]); setInterval(() => {}, 1000);";
    fs::write(daemon.file("server.js"), server).expect("a script");
    let scripts = json!({ "scripts": { "start": "node server.js one", "serve": "node server.js two" } });
    fs::write(daemon.file("package.json"), scripts.to_string()).expect("a package");
    pm2.ok(&["start", "npm", "--", "start"]);
    // Another app of the same program, not the first one under another name.
    pm2.ok(&["start", "npm", "--name", "other", "--", "run", "serve"]);
    until_true("both", || {
        daemon.read("logs/npm-out.log").contains("up one")
            && daemon.read("logs/other-out.log").contains("up two")
    });
    pm2.ok(&["stop", "all"]);
    for log in ["logs/npm-out.log", "logs/other-out.log"] {
        until_true("the last word", || daemon.read(log).contains("bye"));
    }
}
