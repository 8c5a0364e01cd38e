//! Declaration files under `pm2`: what PM2 took is taken.

use std::fs;

use serde_json::json;

use crate::daemon::run;
use crate::pm2::Pm2;

const APP: &str = "#!/bin/sh\nexec sleep 1000\n";

#[test]
fn paths_begin_where_one_stands_and_stay_there() {
    let pm2 = Pm2::new();
    let daemon = &pm2.daemon;
    daemon.script("eko", APP);
    fs::create_dir(daemon.file("config")).expect("a directory");
    // Comments, no quotes, a comma too many, fields that nobody knows.
    let text =
        "// ours\n{ apps: [{ name: 'eko', script: './eko', max_restart: 3, mine: { x: 1 }, }], mine: 1 }";
    fs::write(daemon.file("config/ecosystem.json"), text).expect("a file");
    pm2.ok(&["start", "config/ecosystem.json"]).says(&[
        "[PM2][WARN]",
        "max_restart: unknown field; it is ignored, as PM2 does (did you mean `max_restarts`?)",
        "mine",
    ]);
    assert_eq!(pm2.env(0)["pm_exec_path"], daemon.file("eko").display().to_string());
    assert_eq!(pm2.env(0)["pm_cwd"], daemon.home().display().to_string());
    // supctl, from elsewhere, reads the file as it was read.
    run(daemon.command(&["reload", "eko"]).current_dir("/"), b"").expect(0);
    assert_eq!(pm2.env(0)["pm_cwd"], daemon.home().display().to_string());
    // For supctl itself paths begin at the file, and what it does not know is an error.
    daemon.ctl(&["check", "config/ecosystem.json"]).expect(4).says(&["unknown field"]);
}

#[test]
fn a_file_starts_restarts_stops_and_deletes_its_apps() {
    let pm2 = Pm2::new();
    let daemon = &pm2.daemon;
    daemon.script("eko", APP);
    let app =
        |name: &str| json!({ "name": name, "script": "./eko", "watch": true, "cron_restart": "0 3 * * *" });
    let file = daemon.declare(&json!([app("one"), app("two")]));
    let started = pm2.ok(&["start", &file]);
    assert!(started.out.contains("[PM2] Applications one, two not running, starting...\n"));
    assert!(started.out.contains("[PM2] App [one] launched (1 instance)\n"));
    pm2.ok(&["start", &file]);
    assert_eq!(pm2.count("restart_time: 1"), 2);
    pm2.ok(&["restart", &file, "--only", "two"]);
    assert_eq!((pm2.count("restart_time: 1"), pm2.count("restart_time: 2")), (1, 1));
    pm2.ok(&["stop", &file, "--only", "one,two"]);
    assert_eq!(pm2.count("stopped"), 2);
    pm2.ok(&["startOrReload", &file]);
    assert_eq!(pm2.count("online"), 2);
    pm2.ok(&["delete", &file]);
    pm2.run(&["stop", &file]).expect(1).says(&["No process found"]);

    let input = json!([app("piped")]).to_string();
    run(&mut pm2.command(&["start", "-"]), input.as_bytes()).expect(0);
    assert_eq!(pm2.count("name: 'piped'"), 2);
}
