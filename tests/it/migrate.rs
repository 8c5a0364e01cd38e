//! Moving over from PM2. What stands in for PM2 here answers with its list, and notes what it is told to do.

use std::fs;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::daemon::{Daemon, Output};
use crate::interpreter::{free_port, is_there};
use crate::pm2::Pm2;
use crate::wait::until_true;

/// Ends the process that `pid` names, and waits for its end; a process that has ended and nobody has waited for has no image.
const PM2: &str = "#!/bin/sh
cd \"$(dirname \"$0\")\" && echo \"$@\" >> calls || exit 1
case $1 in
jlist) echo '[PM2] a notice'; cat list ;;
stop)
    [ ! -e pid ] || { kill \"$(cat pid)\"; while [ -e /proc/$(cat pid)/exe ]; do sleep 0.02; done; } ;;
esac
";

/// A process that nobody has: no number is so large (proc_sys_kernel_pid_max(5)).
const SOMEBODY: u32 = 1_000_000_000;

struct Theirs {
    daemon: Daemon,
    /// PM2's, whose being there means that it runs.
    _socket: UnixListener,
}

impl Theirs {
    fn new() -> Self {
        let daemon = Daemon::empty();
        daemon.script("pm2", PM2);
        let socket = UnixListener::bind(daemon.file("rpc.sock")).expect("a socket");
        Self { daemon, _socket: socket }
    }

    /// A process of its list, with an id.
    fn process(&self, id: u64, name: &str, script: &str, pid: u32) -> Value {
        let home = self.daemon.home().display();
        let path = std::env::var("PATH").expect("PATH");
        let env =
            json!({ "GREETING": "hello", "TOKEN": "hunter2", "PATH": path, "PM2_HOME": home.to_string() });
        let status = if pid == 0 { "stopped" } else { "online" };
        json!({ "pid": pid, "name": name, "pm_id": id, "pm2_env": {
            "name": name, "pm_id": id, "status": status, "exec_interpreter": "none", "exec_mode": "fork_mode", "merge_logs": true,
            "pm_exec_path": self.daemon.script(name, script), "pm_cwd": home.to_string(), "env": env,
            "pm_out_log_path": format!("{home}/logs/{name}-out.log"), "pm_pid_path": format!("{home}/pids/{name}-{id}.pid"),
        } })
    }

    fn lists(&self, processes: &[Value]) {
        fs::write(self.daemon.file("list"), json!(processes).to_string() + "\n").expect("a list");
    }

    fn migrate(&self, more: &[&str]) -> Output {
        let home = self.daemon.home().display().to_string();
        let program = self.daemon.file("pm2").display().to_string();
        let out = self.daemon.file("out").display().to_string();
        let args = ["migrate", "pm2", "--pm2-home", &home, "--pm2", &program, "--out", &out];
        self.daemon.ctl(&[&args, more].concat())
    }

    /// A process that PM2 would have: it serves on this port until it is told to end.
    fn serving(&self, script: &str) -> Child {
        let file = self.daemon.script("web", script);
        let mut command = Command::new(file);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a process");
        fs::write(self.daemon.file("pid"), child.id().to_string()).expect("its number");
        child
    }
}

#[test]
fn a_plan_is_told_and_declarations_written_without_touching_anything() {
    let theirs = Theirs::new();
    let daemon = &theirs.daemon;
    theirs.lists(&[
        theirs.process(0, "one", "exec sleep 1000", SOMEBODY),
        theirs.process(1, "two", "exec sleep 1000", 0),
    ]);
    let told = theirs.migrate(&[]).expect(0);
    assert!(
        told.out.contains("started here, then stopped there: no gap") && !told.out.contains("hunter2"),
        "{}",
        told.out
    );
    assert_eq!(daemon.read("calls"), "jlist\n");
    assert!(!daemon.file("supd.sock").exists(), "a daemon was started for it");
    assert!(daemon.read("out/one.env").contains("TOKEN=hunter2\n"));
    assert!(!daemon.read("out/ecosystem.toml").contains("hunter2"));
    assert!(daemon.ok(&["check", "out/ecosystem.toml"]).out.ends_with("is valid: one, two\n"));
    theirs.migrate(&[]).expect(5).says(&["one.env exists already", "--force"]);
    let document = theirs.migrate(&["--only", "two", "--force", "--json"]).expect(0).json();
    assert_eq!(
        (&document["apps"][0]["name"], &document["apps"][0]["moving"]),
        (&json!("two"), &json!("stopped"))
    );
    theirs.migrate(&["--only", "tow"]).expect(3).says(&["did you mean `two`?"]);
}

#[test]
fn apps_move_one_by_one_and_what_does_not_come_up_goes_on_there() {
    let theirs = Theirs::new();
    let daemon = &theirs.daemon;
    theirs.lists(&[
        theirs.process(3, "good", "#!/bin/sh\nexec sleep 1000", SOMEBODY),
        theirs.process(4, "bad", "#!/bin/sh\nexit 3", SOMEBODY),
        theirs.process(5, "still", "#!/bin/sh\nexec sleep 1000", 0),
    ]);
    let moved = theirs.migrate(&["--live", "--yes"]).expect(1);
    moved.says(&[
        "bad: it does not stay up here: exited with code 3",
        "deleted here; PM2's goes on",
        "not moved: bad",
    ]);
    assert_eq!(daemon.read("calls"), "jlist\nstop 3\nsave\n");
    let states: Vec<Value> =
        daemon.list().iter().map(|worker| json!([worker["app"], worker["status"]])).collect();
    assert_eq!(states, [json!(["good", "online"]), json!(["still", "stopped"])]);
    // Again: what is here stays as it is.
    let pids = daemon.pids();
    theirs.migrate(&["--live", "--only", "good"]).expect(1).says(&["supd has it already"]);
    assert_eq!((daemon.pids(), daemon.read("calls").lines().count()), (pids, 4));
}

#[test]
fn what_listens_is_stopped_there_first_and_started_there_again_when_it_fails_here() {
    if !is_there(&["python3", "--version"]) {
        return;
    }
    let theirs = Theirs::new();
    let daemon = &theirs.daemon;
    let (port, broken) = (free_port(), daemon.file("broken"));
    let script = format!(
        "#!/bin/sh\n[ ! -e '{}' ] || exit 7\nexec python3 -m http.server {port} --bind 127.0.0.1\n",
        broken.display()
    );
    let answers = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    let mut child = theirs.serving(&script);
    until_true("PM2's app serves", answers);
    theirs.lists(&[theirs.process(0, "web", &script, child.id())]);
    fs::write(&broken, "").expect("a file");
    let failed = theirs.migrate(&["--live"]).expect(1);
    failed.says(&["exited with code 7", "deleted here; PM2 has started its own again"]);
    assert_eq!(daemon.read("calls"), "jlist\nstop 0\nrestart 0\n");
    child.wait().expect("its end");

    fs::remove_file(&broken).expect("a file");
    let mut child = theirs.serving(&script);
    until_true("PM2's app serves again", answers);
    theirs.lists(&[theirs.process(0, "web", &script, child.id())]);
    let moved = theirs.migrate(&["--live"]).expect(0);
    assert!(moved.out.contains(&format!("it listens on port {port}")), "{}", moved.out);
    child.wait().expect("its end");
    until_true("ours serves", answers);
    daemon.until_status(0, "online");
}

#[test]
fn pm2_resurrects_what_pm2_itself_saved() {
    let theirs = Theirs::new();
    let records: Vec<Value> = [("one", 1), ("one", 1), ("two", 0), ("two", 1)]
        .into_iter()
        .enumerate()
        .map(|(id, (name, pid))| {
            let id = u64::try_from(id).expect("small");
            theirs.process(id, name, "#!/bin/sh\nexec sleep 1000", pid)["pm2_env"].take()
        })
        .collect();
    let pm2 = Pm2::new();
    let gone = json!({ "name": "gone", "pm_exec_path": "/no/such/script.js", "exec_interpreter": "node", "status": "online" });
    let dump = [records, vec![gone]].concat();
    fs::write(pm2.daemon.file("dump.pm2"), json!(dump).to_string()).expect("a dump");
    pm2.run(&["resurrect"]).expect(1).says(&["gone: script: no such file"]);
    assert_eq!((pm2.count("online"), pm2.count("stopped")), (3, 1));
    assert_eq!(pm2.env(0)["GREETING"], Value::Null, "secrets are not shown");
    assert_eq!(pm2.ok(&["jlist", "--show-env"]).json()[0]["pm2_env"]["GREETING"], "hello");
    pm2.ok(&["save"]);
    pm2.ok(&["kill"]);
    pm2.ok(&["resurrect"]);
    assert_eq!((pm2.count("online"), pm2.count("stopped")), (3, 1));
}
