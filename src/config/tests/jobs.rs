//! Apps that run to their end.

use serde_json::{Value, json};

use super::{Format, Site, json_of};

#[test]
fn a_table_or_its_times_alone() {
    let site = Site::new();
    let job = |job: Value| json_of(&site.app(json!({"script": "app.js", "job": job})).unwrap());
    let cron = json!({ "expression": "0 3 * * *", "time_zone": null });
    let alone = job(json!("0 3 * * *"));
    assert_eq!(alone["job"], json!({ "cron": cron, "overlap": "skip", "catch_up": false }));
    assert_eq!(alone["restart"]["autorestart"], false);
    assert_eq!(alone["stdin"], "null", "who reads its input finds the end of it");
    assert_eq!(job(json!({}))["job"], json!({ "overlap": "skip", "catch_up": false }));
    let whole = json!({ "cron": "daily", "timeZone": "Europe/Berlin", "overlap": "queue", "timeout": "2h", "catchUp": true });
    let cron = json!({ "expression": "0 0 * * *", "time_zone": "Europe/Berlin" });
    let expected = json!({ "cron": cron, "overlap": "queue", "timeout": 7_200_000, "catch_up": true });
    assert_eq!(job(whole)["job"], expected);
    let none = json_of(&site.app(json!({"script": "app.js", "job": null})).unwrap());
    assert_eq!((&none["job"], &none["restart"]["autorestart"]), (&Value::Null, &json!(true)));
}

#[test]
fn bad_members() {
    let site = Site::new();
    for (job, part) in [
        (json!({ "cron": "61 * * * *" }), "job.cron: \"61 * * * *\" is no cron expression"),
        (json!({ "cron": "0 0 30 2 *" }), "job.cron: \"0 0 30 2 *\" never comes"),
        (
            json!({ "cron": "daily", "time_zone": "Mars/Base" }),
            "job.time_zone: \"Mars/Base\" is no time zone",
        ),
        (json!({ "time_zone": "UTC" }), "job.time_zone: without `cron`"),
        (json!({ "catch_up": true }), "job.catch_up: without `cron`"),
        (json!({ "overlap": "forbid" }), "job.overlap: expected \"skip\", \"queue\" or \"kill\""),
        (json!({ "timeout": 0 }), "job.timeout: expected at least 1 ms"),
        (json!({ "timeout": "2y" }), "job.timeout"),
        (json!({ "schedule": "daily" }), "job.schedule: unknown field\n  help: write `cron`"),
        (json!({ "over_lap": "skip" }), "did you mean `overlap`"),
        (json!(true), "job: expected a table such as { cron"),
        (json!(5), "job: expected a table such as { cron"),
    ] {
        let bad = site.app(json!({"script": "app.js", "job": job})).map(drop).unwrap_err();
        assert!(bad.contains(part), "{job}: {bad}");
    }
}

#[test]
fn what_contradicts_it_is_refused_all_at_once() {
    let site = Site::new();
    let fields = [
        ("autorestart", json!(true), "autorestart"),
        ("stop_exit_codes", json!([0]), "stop_exit_codes"),
        ("min_uptime", json!(5), "min_uptime"),
        ("max_restarts", json!(5), "max_restarts"),
        ("restart_delay", json!(5), "restart_delay"),
        ("exp_backoff_restart_delay", json!(5), "exp_backoff_restart_delay"),
        ("max_memory_restart", json!("1G"), "max_memory_restart"),
        ("instances", json!(2), "instances"),
        ("autoscale", json!({ "cpu": 50, "max": 3 }), "autoscale"),
        ("exec_mode", json!("cluster"), "exec_mode"),
        ("watch", json!(true), "watch"),
        ("cron_restart", json!("daily"), "cron_restart"),
        ("cron_time_zone", json!("UTC"), "cron_time_zone"),
        ("wait_ready", json!(true), "wait_ready"),
        ("ready", json!(":80/health"), "ready"),
        ("startup", json!(":80/health"), "startup"),
        ("live", json!(":80/health"), "live"),
        ("listen", json!(":8080"), "listen"),
        ("reuse_port", json!(true), "reuse_port"),
        ("max_surge", json!(2), "max_surge"),
        ("max_parallel", json!(2), "max_parallel"),
        ("stdin", json!("pipe"), "stdin"),
    ];
    for (field, value, place) in fields {
        let declared = json!({"script": "app.js", "job": {}, field: value});
        let bad = site.app(declared).map(drop).unwrap_err();
        assert!(bad.contains(&format!("{place}: ")) && bad.contains("help: "), "{field}: {bad}");
    }
    for (field, value) in
        [("autorestart", json!(false)), ("instances", json!(1)), ("exec_mode", json!("fork"))]
    {
        site.app(json!({"script": "app.js", "job": {}, field: value})).unwrap();
    }
    let text = "[[apps]]\nscript = 'app.js'\nautorestart = true\nwatch = true\n[apps.job]\ncron = 'never'\n";
    let bad = site.text(text, Format::Toml).unwrap_err().to_string();
    assert_eq!(bad.lines().filter(|line| line.starts_with("input:")).count(), 3, "{bad}");
}
