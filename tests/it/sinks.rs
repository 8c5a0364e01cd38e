//! Output of apps on the daemon's own standard output, as a container wants it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::{Value, json};

use crate::daemon::{Daemon, shell, sleeper, with};
use crate::wait::{LIMIT, until_true};

fn in_foreground(daemon: &Daemon) -> Child {
    let mut supd = Command::new(env!("CARGO_BIN_EXE_supd"));
    supd.env("SUPD_HOME", daemon.home()).env("SUPD_LOG", "off").env_remove("SUPD_LOG_FORMAT");
    supd.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let supd = supd.spawn().expect("supd");
    until_true("the daemon", || daemon.home().join("supd.sock").exists());
    supd
}

pub fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (tell, told) = channel();
    let lines = BufReader::new(stream).lines();
    thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(tell.send(line))));
    told
}

fn to_stdout(name: &str, script: &str, sink: &str) -> Value {
    with(shell(name, script), json!({ "disable_logs": true, "log_sink": sink }))
}

#[test]
fn lines_of_apps_are_on_the_standard_streams_of_the_daemon_also_of_its_next_supervisor() {
    let daemon = Daemon::empty();
    let mut supd = in_foreground(&daemon);
    let out = lines(supd.stdout.take().expect("a pipe"));
    let err = lines(supd.stderr.take().expect("a pipe"));
    let talk = "echo hello; echo oh no >&2; read line; exec sleep 1000";
    let next = |lines: &Receiver<String>| loop {
        let line = lines.recv_timeout(LIMIT).expect("a line");
        // The keeper tells of the supervisor's end on the same stream.
        if !line.contains(" keeper: ") {
            return line;
        }
    };
    daemon.run(&json!([to_stdout("raw", talk, "stdout")])).says(&[]);
    assert_eq!((next(&out), next(&err)), ("hello".to_owned(), "oh no".to_owned()));
    daemon.kill_supervisor();
    daemon.run(&json!([to_stdout("pre", talk, "stdout-prefixed")]));
    assert_eq!((next(&out), next(&err)), ("1|pre | hello".to_owned(), "1|pre | oh no".to_owned()));
    daemon.run(&json!([to_stdout("obj", talk, "stdout-json")]));
    for (line, text, kind) in [(next(&out), "hello\n", "out"), (next(&err), "oh no\n", "err")] {
        let object: Value = serde_json::from_str(&line).expect("an object");
        let expected = json!({
            "message": text, "timestamp": object["timestamp"], "type": kind, "process_id": 2, "app_name": "obj",
        });
        assert_eq!(object, expected);
    }
    daemon.ok(&["kill"]);
    supd.wait().expect("its end");
}

#[test]
fn a_standard_output_that_nobody_reads_stops_neither_the_daemon_nor_other_apps() {
    let daemon = Daemon::empty();
    let mut supd = in_foreground(&daemon);
    // More than the daemon's pipe holds, so some of it waits in the app's; that one does not get full, so nothing has to go.
    let count = "i=0; while [ $i -lt 1300 ]; do echo \"line $i of many, each of which is about fifty bytes\"; i=$((i + 1)); done";
    daemon.run(&json!([to_stdout("loud", &format!("{count}; exec sleep 1000"), "stdout"), sleeper("quiet")]));
    daemon.run(&json!([shell("filed", "echo in a file; exec sleep 1000")]));
    until_true("the line in the file", || daemon.read("logs/filed-out.log") == "in a file\n");
    let out = lines(supd.stdout.take().expect("a pipe"));
    for number in 0..1300 {
        let line = out.recv_timeout(LIMIT).expect("a line");
        assert_eq!(line, format!("line {number} of many, each of which is about fifty bytes"));
    }
    daemon.ok(&["kill"]);
    supd.wait().expect("its end");
}

#[test]
fn a_daemon_in_the_background_says_that_its_standard_output_leads_nowhere() {
    let daemon = Daemon::start();
    let file = daemon.declare(&json!([to_stdout("app", "exec sleep 1000", "stdout")]));
    daemon.ok(&["start", &file]).says(&["warning: app: this daemon runs in the background"]);
}
