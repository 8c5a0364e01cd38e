use super::*;

fn line(words: &[&str]) -> Result<Line, Wrong> {
    parse(words.iter().map(|word| (*word).to_owned()))
}

fn said(words: &[&str]) -> (Option<&'static str>, Vec<String>, Value) {
    let line = line(words).unwrap_or_else(|wrong| panic!("{words:?}: {wrong:?}"));
    let fields = Value::Object(line.fields());
    (line.command.map(|command| command.names[0]), line.words, fields)
}

#[test]
fn flags_stand_before_and_after_the_command() {
    let app = |fields: Value| (Some("start"), vec!["app.js".to_owned()], fields);
    for (words, fields) in [
        (&["start", "app.js"][..], json!({})),
        (&["--name", "web", "start", "app.js"], json!({ "name": "web" })),
        (&["start", "-n", "web", "app.js"], json!({ "name": "web" })),
        (&["start", "app.js", "--name=a=b"], json!({ "name": "a=b" })),
        (&["start", "app.js", "-i", "max"], json!({ "instances": "max" })),
        (&["start", "app.js", "-i", "-1"], json!({ "instances": -1 })),
        (&["start", "app.js", "-i4"], json!({ "instances": 4 })),
        (&["start", "-xf", "app.js"], json!({ "exec_mode": "fork" })),
        (&["start", "app.js", "--no-autorestart", "--time"], json!({ "autorestart": false, "time": true })),
        (&["start", "app.js", "--node-args", "--harmony -r x"], json!({ "node_args": "--harmony -r x" })),
        (&["start", "app.js", "--", "-n", "--", "x"], json!({ "args": ["-n", "--", "x"] })),
        (&["start", "app.js", "--"], json!({ "args": [] })),
        (
            &["start", "app.js", "-o", "o.log", "-e", "e.log"],
            json!({ "out_file": "o.log", "error_file": "e.log" }),
        ),
        (&["start", "app.js", "--watch-delay", "4"], json!({ "watch_delay": 4000 })),
        (&["start", "app.js", "--watch-delay", "400ms"], json!({ "watch_delay": "400ms" })),
        (&["start", "app.js", "--ignore-watch", "a b"], json!({ "ignore_watch": ["a", "b"] })),
        (&["start", "app.js", "-c", "* * * * *"], json!({ "cron_restart": "* * * * *" })),
        (
            &["start", "app.js", "-p", "app.pid", "-k", "3000"],
            json!({ "pid_file": "app.pid", "kill_timeout": 3000 }),
        ),
        (&["start", "app.js", "--user", "www", "--no-vizion"], json!({ "uid": "www" })),
        (&["start", "app.js", "--filter-env", "A", "--filter-env", "B"], json!({ "filter_env": ["A", "B"] })),
    ] {
        assert_eq!(said(words), app(fields), "{words:?}");
    }
}

/// PM2's traps 30 and 31.
#[test]
fn a_flag_whose_value_may_be_missing_does_not_swallow_the_target() {
    for (words, fields) in [
        (&["start", "--watch", "app.js"][..], json!({ "watch": true })),
        (&["start", "app.js", "--watch"], json!({ "watch": true })),
        (&["start", "app.js", "--watch", "src", "--watch", "lib"], json!({ "watch": ["src", "lib"] })),
        (&["start", "--watch", "src", "app.js"], json!({ "watch": ["src"] })),
        (&["--watch", "start", "app.js"], json!({ "watch": true })),
        (&["start", "-l", "app.js"], json!({ "log_file": true })),
        (&["start", "app.js", "-l", "all.log"], json!({ "log_file": "all.log" })),
        (&["start", "--log=all.log", "app.js"], json!({ "log_file": "all.log" })),
        (&["start", "--max-restarts", "app.js"], json!({})),
        (&["start", "--max-restarts", "5", "app.js"], json!({ "max_restarts": 5 })),
        (&["start", "--stop-exit-codes", "1", "2,3", "app.js"], json!({ "stop_exit_codes": [1, 2, 3] })),
    ] {
        let (_, targets, found) = said(words);
        assert_eq!((targets, found), (vec!["app.js".to_owned()], fields), "{words:?}");
    }
    let logs = line(&["logs", "--timestamp", "web"]).unwrap();
    assert_eq!((logs.words.as_slice(), logs.value(Opt::Timestamp)), (&["web".to_owned()][..], None));
    let logs = line(&["logs", "--timestamp", "HH:mm", "web"]).unwrap();
    assert_eq!((logs.words.len(), logs.value(Opt::Timestamp)), (1, Some("HH:mm")));
}

#[test]
fn targets_may_look_like_flags() {
    assert_eq!(said(&["scale", "web", "-1"]).1, ["web", "-1"]);
    assert_eq!(said(&["scale", "web", "+2"]).1, ["web", "+2"]);
    assert_eq!(said(&["start", "-"]).1, ["-"]);
    assert_eq!(said(&["restart", "0", "1", "web"]).1, ["0", "1", "web"]);
}

#[test]
fn every_name_of_every_command_is_known_once() {
    let names: Vec<&str> = commands::COMMANDS.iter().flat_map(|command| command.names).copied().collect();
    let mut once = names.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), names.len());
    for (alias, name) in [
        ("l", "list"),
        ("ps", "list"),
        ("status", "list"),
        ("del", "delete"),
        ("dump", "save"),
        ("show", "describe"),
        ("updatePM2", "update"),
        ("startOrGracefulReload", "startOrReload"),
        ("log", "logs"),
        ("init", "ecosystem"),
    ] {
        assert_eq!(commands::find(alias).map(|command| command.names[0]), Some(name));
    }
}

#[test]
fn every_flag_is_known_once() {
    for own in commands::COMMANDS.iter().map(|command| command.flags) {
        let flags: Vec<&Flag> = own.iter().chain(EVERYWHERE).collect();
        for (at, flag) in flags.iter().enumerate() {
            let same = |other: &&Flag| other.long == flag.long && other.means != flag.means;
            assert!(!flags[..at].iter().any(same), "--{}", flag.long);
            let short = |other: &&Flag| flag.short.is_some() && other.short == flag.short;
            assert!(!flags[..at].iter().any(short), "-{:?}", flag.short);
        }
    }
}

#[test]
fn what_cannot_be_understood() {
    let wrong = |words: &[&str]| line(words).map(|line| line.words).unwrap_err();
    assert_eq!(wrong(&["nope"]), Wrong::UnknownCommand("nope".to_owned()));
    assert_eq!(wrong(&["list", "--nope"]), Wrong::UnknownOption("--nope".to_owned()));
    assert_eq!(wrong(&["list", "-z"]), Wrong::UnknownOption("-z".to_owned()));
    assert_eq!(wrong(&["list", "--lines", "3"]), Wrong::UnknownOption("--lines".to_owned()));
    assert_eq!(wrong(&["start", "a.js", "--name"]), Wrong::MissingValue("name"));
    assert_eq!(wrong(&["start", "a.js", "--time=1"]), Wrong::NeedlessValue("time"));
    assert_eq!(wrong(&["stop"]), Wrong::MissingWord("id|name|namespace|all|json|stdin"));
    assert_eq!(wrong(&["scale", "web"]), Wrong::MissingWord("app_name> <number"));
    assert_eq!(wrong(&["kill", "test"]), Wrong::NeedlessWord("test".to_owned()));
    assert!(line(&["stop", "-h"]).is_ok() && line(&[]).unwrap().command.is_none());
}
