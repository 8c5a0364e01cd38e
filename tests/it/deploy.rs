//! A deployment to this machine: a repository, its clone, and an app that is reloaded.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::daemon::{Daemon, Output, run};
use crate::process;
use crate::wait::until_true;

/// A working tree with a repository to push to.
struct Source<'a> {
    daemon: &'a Daemon,
}

impl<'a> Source<'a> {
    fn new(daemon: &'a Daemon) -> Self {
        let source = Self { daemon };
        fs::create_dir(daemon.file("work")).expect("a directory");
        git(daemon.home(), &["init", "-q", "--bare", "-b", "main", "repo.git"]);
        source.git(&["init", "-q", "-b", "main"]);
        source.git(&["remote", "add", "origin", &daemon.file("repo.git").display().to_string()]);
        source
    }

    fn git(&self, args: &[&str]) {
        git(&self.daemon.file("work"), args);
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.daemon.file("work").join(name), text).expect("written");
    }

    fn declare(&self, fields: Value) {
        let mut production = json!({
            "host": "localhost",
            "repo": self.daemon.file("repo.git").display().to_string(),
            "path": self.daemon.file("target").display().to_string(),
            "ref": "main",
        });
        let (Value::Object(all), Value::Object(fields)) = (&mut production, fields) else {
            panic!("no fields")
        };
        all.extend(fields);
        let app = json!({ "name": "app", "script": "./app.sh", "env_production": { "STAGE": "production" } });
        self.write(
            "ecosystem.json",
            &json!({ "apps": [app], "deploy": { "production": production } }).to_string(),
        );
    }

    /// A version of the app, pushed.
    fn release(&self, version: &str) {
        self.write("app.sh", &format!("#!/bin/sh\necho \"{version} in $STAGE\"\nexec sleep 1000\n"));
        self.git(&["add", "."]);
        self.git(&["commit", "-q", "-m", version]);
        self.git(&["push", "-q", "-u", "origin", "main"]);
    }

    fn deploy(&self, words: &[&str]) -> Output {
        let mut command = self.daemon.command(&[&["deploy"], words].concat());
        run(command.current_dir(self.daemon.file("work")), b"")
    }
}

fn git(directory: &Path, args: &[&str]) {
    let mut command = Command::new("git");
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    command.current_dir(directory).args(["-c", "user.name=test", "-c", "user.email=test@test"]).args(args);
    run(&mut command, b"").expect(0);
}

#[test]
fn a_version_comes_runs_and_goes_back() {
    let daemon = Daemon::start();
    let source = Source::new(&daemon);
    let say = |hook| {
        format!("echo {hook} \"$(basename \"$PWD\")\" \"$COLOUR\" >> {}", daemon.file("hooks").display())
    };
    source.declare(json!({
        "env": { "colour": "it's blue" }, "pre-setup": say("a"), "post-setup": say("b"), "pre-deploy-local": say("c"),
        "pre-deploy": say("d")
    }));
    source.release("one");
    source.deploy(&["production"]).expect(1).says(&[
        "localhost",
        "looking for the clone",
        "deploy ENV setup",
    ]);
    fs::remove_file(daemon.file("hooks")).expect("only the local one");
    source.deploy(&["production", "setup"]).expect(0);
    source.deploy(&["production", "setup"]).expect(1).says(&["set up already"]);
    source.deploy(&["production"]).expect(0);
    until_true("the app", || daemon.read("logs/app-out.log") == "one in production\n");
    let home = daemon.home().file_name().expect("a name").to_string_lossy().into_owned();
    let hooks = daemon.read("hooks");
    let lines: Vec<&str> = hooks.lines().filter(|line| !line.starts_with("a ")).collect();
    assert_eq!(lines, ["b current it's blue", "c work it's blue", "d current it's blue"], "{home}");

    let first = daemon.pid(0);
    source.release("two");
    source.deploy(&["ecosystem.json", "production", "update"]).expect(0);
    until_true("the second version", || daemon.read("logs/app-out.log").ends_with("two in production\n"));
    assert!(!process::is_alive(first));
    let list = source.deploy(&["production", "list", "--json"]).expect(0).json();
    let list = list["hosts"][0]["output"].as_str().expect("lines").to_owned();
    assert_eq!(list.lines().count(), 2);

    source.deploy(&["production", "revert", "1"]).expect(0);
    until_true("the first version", || daemon.read("logs/app-out.log").ends_with("one in production\n"));
    let current = source.deploy(&["production", "current", "--silent"]).expect(0).out;
    assert!(
        list.lines().nth(1).expect("the first").contains(current.trim()),
        "{current} is not last of {list}"
    );
    source.deploy(&["production", "revert", "9"]).expect(1).says(&["looking for that deployment", "list"]);
    let exec = source.deploy(&["production", "exec", "pwd && cat > rest; wc -c < rest", "-s"]).expect(0).out;
    assert_eq!(exec, format!("{}\n0\n", daemon.file("target/current").display()));
}

#[test]
fn what_fails_is_named_with_its_remedy_and_what_ran_goes_on() {
    let daemon = Daemon::start();
    let source = Source::new(&daemon);
    source.declare(json!({ "post-deploy": "exit 3" }));
    source.release("one");
    source.deploy(&["production", "setup"]).expect(0);
    source
        .deploy(&["production"])
        .expect(1)
        .says(&["localhost: deploying main: post-deploy failed", "hint:"]);
    source.deploy(&["production", "nope"]).expect(1).says(&["checking out nope failed", "is it pushed?"]);
    source.deploy(&["productoin"]).expect(3).says(&["did you mean `production`?"]);
    source.write("app.sh", "changed");
    source.deploy(&["production"]).expect(5).says(&["not committed", "--force"]);
    source.git(&["commit", "-q", "-a", "-m", "not pushed"]);
    source.deploy(&["production"]).expect(5).says(&["not pushed", "--force"]);
    source.deploy(&["production", "--force"]).expect(1).says(&["post-deploy failed"]);
    source.declare(json!({ "host": ["localhost", "127.0.0.1"], "post-deploy": "true", "port": 1 }));
    source.git(&["add", "."]);
    source.deploy(&["production", "--force"]).expect(1).says(&[
        "127.0.0.1: cannot connect by ssh",
        "done before: localhost",
        "`ssh -p 1 127.0.0.1 true`",
    ]);
    source.declare(json!({ "path": "relative" }));
    source.deploy(&["production", "current"]).expect(4).says(&["relative"]);
}

#[test]
fn another_host_gets_the_script_by_ssh_and_no_secret_is_on_a_command_line() {
    let daemon = Daemon::start();
    let source = Source::new(&daemon);
    // What ssh does with its words, on this side of the network: the host's shell gets the last one.
    fs::create_dir(daemon.file("bin")).expect("a directory");
    let words = daemon.file("words").display().to_string();
    daemon.script(
        "bin/ssh",
        &format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >> {words}\nfor last; do :; done\nexec sh -c \"$last\"\n"),
    );
    source.declare(json!({
        "host": ["web1", "web2"], "user": "deploy", "key": "/k", "port": 2222, "env": { "TOKEN": "hunter5" },
        "post-deploy": format!("echo \"it's $TOKEN\" >> {}", daemon.file("told").display())
    }));
    source.release("one");
    let path = format!("{}:{}", daemon.file("bin").display(), std::env::var("PATH").expect("PATH"));
    let deploy = |words: &[&str]| {
        let mut command = daemon.command(&[&["deploy"], words].concat());
        run(command.current_dir(daemon.file("work")).env("PATH", &path), b"")
    };
    deploy(&["production", "setup"]).expect(1).says(&["web2", "set up already", "done before: web1"]);
    deploy(&["production"]).expect(0);
    assert_eq!(daemon.read("told"), "it's hunter5\nit's hunter5\n");
    let words = daemon.read("words");
    assert!(
        words.starts_with("-i\n/k\n-p\n2222\n--\ndeploy@web1\nexec sh -c 'eval \"$(cat)\"'\n"),
        "{words}"
    );
    assert!(!words.contains("hunter5"));
}
