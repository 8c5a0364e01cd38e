//! What is said to workers and by them: standard input, messages, actions. Nothing in the apps knows of supd.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use serde_json::{Value, json};

use crate::daemon::{Daemon, shell, with};
use crate::interpreter::is_there;
use crate::pm2::Pm2;
use crate::wait::{LIMIT, until, until_true};

/// Says back what it reads, and when there is no more to read.
const ECHO: &str = "while read -r line; do echo \"<$line>\"; done; echo end; exec sleep 1000";

/// What `@pm2/io` does on the wire, and what a plain app does with `process.send`.
const AGENT: &str = "\
    const say = (type, data) => process.send({ type, data });\n\
    say('axm:action', { action_name: 'add', action_type: 'custom', arity: 2 });\n\
    say('axm:action', { action_name: 'mute', action_type: 'custom', arity: 1 });\n\
    say('axm:monitor', { queue: { value: 7, unit: 'jobs' } });\n\
    process.on('message', (packet) => {\n\
      const action = packet.msg || packet;\n\
      if (action === 'add') say('axm:reply', { action_name: 'add', return: { sum: Number(packet.opts) + 1 } });\n\
      if (packet.topic) say('echo', packet);\n\
    });\n\
    process.send(['ready for work']);\n\
    setInterval(() => {}, 1000);\n";

/// What a command prints, line by line.
fn lines_of(output: ChildStdout) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            // Nobody wants it when the story is over.
            let _ = sender.send(line.expect("a line"));
        }
    });
    lines
}

/// `supctl events --json`.
struct Events {
    child: Child,
    lines: Receiver<String>,
}

impl Events {
    /// Follows; returns when the daemon has begun to tell, which begins with what has been.
    fn follow(daemon: &Daemon, app: &str) -> Self {
        let mut command = daemon.command(&["events", "--json", "--lines", "1", app]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("supctl");
        let lines = lines_of(child.stdout.take().expect("its output"));
        let events = Self { child, lines };
        events.next();
        events
    }

    fn next(&self) -> Value {
        let line = self.lines.recv_timeout(LIMIT).expect("an event");
        serde_json::from_str(&line).expect("a document")
    }

    /// The next message of that type.
    fn message(&self, kind: &str) -> Value {
        until(kind, || {
            let happening = self.next();
            let message = &happening["message"];
            (message["type"] == kind).then(|| message["data"].clone())
        })
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn output(daemon: &Daemon, app: &str, wanted: &str) {
    until_true(wanted, || daemon.read(&format!("logs/{app}-out.log")) == wanted);
}

#[test]
fn what_is_sent_is_read_and_never_ends() {
    let daemon = Daemon::start();
    daemon.run(&json!([shell("echo", ECHO), with(shell("null", ECHO), json!({ "stdin": "null" }))]));
    output(&daemon, "null", "end\n");
    daemon.ok(&["send", "echo", "one  line"]);
    output(&daemon, "echo", "<one  line>\n");
    daemon.kill_supervisor();
    daemon.ok(&["send", "0", "another"]);
    output(&daemon, "echo", "<one  line>\n<another>\n");
    daemon.ctl(&["send", "null", "x"]).expect(1).says(&["null", "/dev/null", "`stdin: \"pipe\"`"]);
    daemon.ctl(&["send", "nil", "x"]).expect(3).says(&["`nil`"]);
    daemon.ok(&["stop", "all"]);
    daemon.ctl(&["send", "echo", "x"]).expect(1).says(&["echo", "does not run"]);
    assert!(!daemon.read("logs/echo-out.log").contains("end"), "it has seen an end of its input");
}

#[test]
fn a_worker_that_does_not_read_is_not_waited_for() {
    let daemon = Daemon::start();
    let closed = "exec <&-; echo closed; exec sleep 1000";
    let slow = "read -r _ <fifo; while read -r line; do echo \"${#line}\"; done";
    daemon.run(&json!([shell("deaf", &format!("mkfifo fifo; {slow}")), shell("closed", closed),]));
    output(&daemon, "closed", "closed\n");
    daemon.ctl(&["send", "closed", "x"]).expect(1).says(&["has closed its standard input"]);
    let line = "x".repeat(4095);
    let sent = (0..100).take_while(|_| daemon.ctl(&["send", "deaf", &line]).code == 0).count();
    assert!((1..100).contains(&sent), "{sent} were taken");
    daemon.ctl(&["send", "deaf", &line]).expect(8).says(&["is full"]);
    daemon.ctl(&["send", "deaf", &(line + "x")]).expect(4).says(&["1 to 4096"]);
    until_true("its fifo", || daemon.file("fifo").exists());
    fs::write(daemon.file("fifo"), "go\n").expect("a reader");
    // Each line whole, and none that was refused.
    output(&daemon, "deaf", &"4095\n".repeat(sent));
}

#[test]
fn attach_shows_what_comes_and_gives_what_is_typed() {
    let daemon = Daemon::start();
    daemon.run(&json!([shell("echo", ECHO)]));
    let mut command = daemon.command(&["attach", "echo", "--separator", "!\n"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("supctl");
    let mut input = child.stdin.take().expect("its input");
    let shown = lines_of(child.stdout.take().expect("its output"));
    let mut is_answered = |word: &str| {
        // What is typed before it listens is answered before it listens; so again and again.
        until_true("its answer", || {
            writeln!(input, "{word}").expect("typed");
            shown.try_iter().any(|line| line == format!("<{word}!>"))
        });
    };
    is_answered("one");
    daemon.kill_supervisor();
    is_answered("two");
    drop(input);
    assert!(child.wait().expect("its end").success());
    daemon.ok(&["scale", "echo", "2"]);
    daemon.ctl(&["attach", "echo"]).expect(4).says(&["2 workers", "0, 1"]);
}

#[test]
fn a_shell_script_speaks_over_its_channel() {
    if !is_there(&["bash", "-c", "true"]) {
        return;
    }
    let daemon = Daemon::start();
    let script = "#!/usr/bin/env bash\n\
        say() { echo \"$1\" >&\"$NODE_CHANNEL_FD\"; }\n\
        say '{\"type\":\"axm:action\",\"data\":{\"action_name\":\"greet\"}}'\n\
        while read -r -u \"$NODE_CHANNEL_FD\" line; do\n\
          if [ \"$line\" = '\"greet\"' ]; then say '{\"type\":\"axm:reply\",\"data\":{\"action_name\":\"greet\",\"return\":\"hello\"}}'\n\
          else say \"$line\"; fi\n\
        done\n";
    let app = json!({ "name": "app", "script": daemon.script("app.sh", script), "ipc": true });
    daemon.run(&json!([app, shell("mute", "exec sleep 1000")]));
    let has = |worker: &Value| worker["actions"][0]["action_name"] == "greet";
    daemon.until(0, "its action", has);
    daemon.kill_supervisor();
    assert!(has(&daemon.worker(0)), "a successor knows what was announced once");
    let replies = daemon.json(&["trigger", "app", "greet"]);
    assert_eq!(replies, json!({ "workers": [{ "id": 0, "app": "app", "reply": "hello" }] }));
    daemon.ctl(&["trigger", "app", "great"]).expect(3).says(&["`great`", "did you mean `greet`?"]);
    daemon.ctl(&["trigger", "mute", "greet"]).expect(3).says(&["announces its actions"]);

    daemon.ok(&["restart", "mute"]);
    let events = Events::follow(&daemon, "all");
    let data = json!({ "a": [1, "ü"] });
    daemon.ok(&["message", "app", &data.to_string(), "--type", "order"]);
    assert_eq!(events.message("order"), data);
    daemon.ctl(&["message", "mute", "hi"]).expect(1).says(&["no IPC channel", "`ipc: true`"]);
    daemon.ctl(&["message", "app", &"x".repeat(40_000)]).expect(1).says(&["at most 32 KiB"]);
}

#[test]
fn node_apps_announce_measure_and_answer() {
    if !is_there(&["node", "--version"]) {
        return;
    }
    let pm2 = Pm2::new();
    fs::write(pm2.daemon.file("agent.js"), AGENT).expect("a script");
    pm2.ok(&["start", "agent.js", "--name", "agent"]);
    pm2.ok(&["start", "agent.js", "--name", "twins", "-i", "2"]);
    let announced = |id| {
        let worker = pm2.daemon.worker(id);
        worker["actions"].as_array().is_some_and(|actions| actions.len() == 2) && !worker["metrics"].is_null()
    };
    until_true("what all of them announce", || (0..3).all(announced));
    let env = pm2.env(0);
    assert_eq!(env["axm_actions"][0], json!({ "action_name": "add", "action_type": "custom", "arity": 2 }));
    assert_eq!(env["axm_monitor"], json!({ "queue": { "value": 7, "unit": "jobs" } }));
    let told = pm2.ok(&["describe", "agent"]).out;
    for text in ["│ add ", "Trigger via: pm2 trigger agent <action_name>", "│ queue ", "7 jobs"] {
        assert!(told.contains(text), "no {text} in {told}");
    }

    let told = pm2.ok(&["trigger", "all", "add", "4"]).out;
    let replies = "3 processes have received command add\n[agent:0:default]={\"sum\":5}\n\
        [twins:1:default]={\"sum\":5}\n[twins:2:default]={\"sum\":5}\n";
    assert_eq!(told, replies);
    pm2.daemon
        .ctl(&["trigger", "agent", "mute", "--timeout", "50ms"])
        .expect(1)
        .says(&["no reply within 50 ms"]);
    for (args, text) in [
        (["trigger", "0", "nope"], "Action doesn't exist nope for agent"),
        (["trigger", "9", "add"], "9 id unknown"),
        (["trigger", "zz", "add"], "Not any process has received a command (offline or unexistent)"),
        (["send", "1", "x"], "Error: Cannot send line to processes in cluster mode"),
        (["send", "agent", "x"], "Error: Process with ID <agent> unknown."),
        (["attach", "agent", "x"], "pm_id must be a process number (not a process name)"),
    ] {
        pm2.run(&args).expect(1).says(&[&format!("[PM2][ERROR] {text}")]);
    }
    assert!(pm2.ok(&["send", "0", "x"]).out.contains("agent"), "the table follows");

    let events = Events::follow(&pm2.daemon, "twins");
    pm2.daemon.ok(&["message", "1", "now", "--topic", "clock"]);
    let packet = json!({ "id": 1, "type": "process:msg", "topic": "clock", "data": "now" });
    assert_eq!(events.message("echo"), packet);
    pm2.daemon.ok(&["restart", "1"]);
    assert_eq!(events.message("process:msg"), json!(["ready for work"]));
}

#[test]
fn who_floods_is_not_all_that_is_heard() {
    if !is_there(&["bash", "-c", "true"]) {
        return;
    }
    let daemon = Daemon::start();
    let flood = "#!/usr/bin/env bash\nwhile :; do echo '{\"type\":\"noise\",\"data\":1}'; done >&\"$NODE_CHANNEL_FD\"\n";
    let polite = "#!/usr/bin/env bash\nwhile read -r -u \"$NODE_CHANNEL_FD\" line; do echo \"$line\" >&\"$NODE_CHANNEL_FD\"; done\n";
    let app = |name: &str, text: &str| json!({ "name": name, "script": daemon.script(&format!("{name}.sh"), text), "ipc": true });
    daemon.run(&json!([app("flood", flood), app("polite", polite)]));
    let events = Events::follow(&daemon, "all");
    let lost = until("messages that were not heard", || {
        let text = events.next()["text"].clone();
        text.as_str().filter(|text| text.ends_with("before it were not heard")).map(str::to_owned)
    });
    assert!(lost.starts_with("said noise 1; "), "{lost}");
    let events = Events::follow(&daemon, "polite");
    daemon.ok(&["message", "polite", "1", "--type", "order"]);
    assert_eq!(events.message("order"), json!(1));
    // Nothing of it has driven out what is remembered.
    assert!(daemon.happenings().iter().all(|happening| happening["kind"] != "message"));
}
