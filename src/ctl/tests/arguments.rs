use clap::{CommandFactory, Parser};
use serde_json::{Map, Value, json};
use supd_api::ScaleTo;

use crate::ctl::args::{Cli, Command, StartArgs};

fn parse(words: &[&str]) -> Result<Command, clap::Error> {
    Cli::try_parse_from(["supctl"].iter().chain(words)).map(|cli| cli.command)
}

fn start(words: &[&str]) -> StartArgs {
    match parse(&[&["start"], words].concat()).unwrap() {
        Command::Start(args) => *args,
        other => panic!("{other:?}"),
    }
}

fn fields(words: &[&str]) -> Map<String, Value> {
    start(words).fields.fields()
}

#[test]
fn the_command_tree_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn scale_takes_signs() {
    for (text, to) in [("4", ScaleTo::Count(4)), ("+2", ScaleTo::Up(2)), ("-1", ScaleTo::Down(1))] {
        match parse(&["scale", "web", text]).unwrap() {
            Command::Scale(args) => assert_eq!((args.name.as_str(), args.to.0), ("web", to)),
            other => panic!("{other:?}"),
        }
    }
    for text in ["", "x", "+", "-", "--1", "+-1", "1.5", "-1.5", "99999999999"] {
        assert!(parse(&["scale", "web", text]).is_err(), "{text:?}");
    }
}

#[test]
fn flags_of_logs_that_contradict_each_other_are_refused() {
    for words in [
        "--since soon",
        "--previous --this-run",
        "--previous -f",
        "--until 1h -f",
        "--raw --format",
        "--out --err",
    ] {
        assert!(
            parse(&[&["logs"], words.split(' ').collect::<Vec<_>>().as_slice()].concat()).is_err(),
            "{words}"
        );
    }
}

#[test]
fn a_command_line_is_one_target_and_what_follows_dashes_is_the_scripts() {
    assert_eq!(start(&["node a.js --x"]).targets, ["node a.js --x"]);
    let args = start(&["app.js", "-i", "2", "--", "--flag", "-i", "9", "--"]);
    assert_eq!(args.targets, ["app.js"]);
    assert_eq!(args.args, ["--flag", "-i", "9", "--"]);
    assert_eq!(Value::Object(args.fields.fields()), json!({ "instances": 2 }));
}

#[test]
fn flags_become_pm2s_fields() {
    assert!(fields(&["app.js"]).is_empty());
    let words = "app.js -n web -i max --interpreter none --node-args=--inspect --cwd /srv --namespace shop \
        -o out.log -e err.log -l all.log --time --log-date-format HH:mm --log-type json --merge-logs --disable-logs -k 5000 --kill-signal SIGTERM \
        --listen-timeout 4s --wait-ready --shutdown-with-message --restart-delay 10 \
        --exp-backoff-restart-delay 100 --max-restarts 3 --min-uptime 2000 --stop-exit-codes 0,143 \
        --stop-exit-codes 7 --no-autorestart --no-autostart --no-treekill --user deploy --gid 33 \
        --listen 127.0.0.1:80,:81 --listen /run/a.sock --balance reuseport -x --increment-var PORT \
        --instance-var N";
    assert_eq!(
        Value::Object(fields(&words.split_whitespace().collect::<Vec<_>>())),
        json!({
            "name": "web", "instances": "max", "interpreter": "none", "node_args": "--inspect", "cwd": "/srv",
            "namespace": "shop", "out_file": "out.log", "error_file": "err.log", "log_file": "all.log", "time": true,
            "log_date_format": "HH:mm", "log_type": "json", "merge_logs": true,
            "disable_logs": true, "kill_timeout": 5000, "kill_signal": "SIGTERM", "listen_timeout": "4s",
            "wait_ready": true, "shutdown_with_message": true, "restart_delay": 10,
            "exp_backoff_restart_delay": 100, "max_restarts": 3, "min_uptime": 2000,
            "stop_exit_codes": [0, 143, 7], "autorestart": false, "autostart": false, "treekill": false,
            "uid": "deploy", "gid": 33, "listen": ["127.0.0.1:80", ":81", "/run/a.sock"],
            "balance": "reuseport", "exec_mode": "fork", "increment_var": "PORT", "instance_var": "N"
        })
    );
    assert_eq!(
        Value::Object(fields(&["a.js", "-i", "-1", "--exec-mode", "cluster"])),
        json!({
            "instances": -1, "exec_mode": "cluster"
        })
    );
}

#[test]
fn the_last_word_on_inheritance_wins() {
    let inherits = |words: &[&str], default| start(words).selection.inherits(default);
    assert!(inherits(&["a.js"], true) && !inherits(&["a.toml"], false));
    assert!(inherits(&["a.toml", "--inherit-env"], false));
    assert!(!inherits(&["a.js", "--inherit-env", "--no-inherit-env"], true));
    assert!(inherits(&["a.js", "--no-inherit-env", "--inherit-env"], true));
}

#[test]
fn aliases_of_pm2_work() {
    for (alias, name) in [
        ("ls", "list"),
        ("l", "list"),
        ("ps", "list"),
        ("status", "list"),
        ("del", "delete"),
        ("show", "describe"),
        ("info", "describe"),
        ("desc", "describe"),
        ("log", "logs"),
        ("sendSignal", "signal"),
        ("ecosystem", "init"),
        ("completion", "completions"),
    ] {
        let command = Cli::command();
        let found = command.find_subcommand(alias).map(clap::Command::get_name);
        assert_eq!(found, Some(name), "{alias}");
    }
}

#[test]
fn wrong_command_lines_have_code_2_and_a_suggestion() {
    for words in [&["strat"][..], &["stop"], &["start", "--bogus"], &["scale", "web"], &[], &["--json"]] {
        assert_eq!(parse(words).unwrap_err().exit_code(), 2, "{words:?}");
    }
    assert!(parse(&["strat"]).unwrap_err().to_string().contains("'start'"));
}

#[test]
fn every_command_shows_examples() {
    for command in Cli::command().get_subcommands() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains("supctl "), "{} has no examples", command.get_name());
    }
}
