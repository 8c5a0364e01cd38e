//! Apps that scale themselves by their load. The load is looked at every 15 s, so this takes its time.

use serde_json::json;

use crate::daemon::{Daemon, shell, with};
use crate::wait::until;

/// Busy as long as the file is there.
const BUSY: &str = "while :; do [ -e busy ] || sleep 0.2; done";

/// What was told of scaling, in order.
fn scaled(daemon: &Daemon) -> Vec<String> {
    let all = daemon.happenings().into_iter().filter(|it| it["kind"] == "scaled");
    all.map(|it| it["text"].as_str().expect("a text").to_owned()).collect()
}

#[test]
fn as_many_workers_as_the_load_asks_for() {
    let daemon = Daemon::start();
    std::fs::write(daemon.file("busy"), "").expect("a file");
    let rules = json!({ "autoscale": { "min": 1, "max": 2, "cpu": 15, "stabilization": 0 } });
    daemon.run(&json!([with(shell("web", BUSY), rules)]));
    let first = daemon.pid(0);
    let up = until("more workers", || scaled(&daemon).first().cloned());
    assert!(up.starts_with("scaled 1 → 2: cpu ") && up.contains(" % of one processor, target 15 %"), "{up}");
    daemon.until_status(1, "online");

    let picture = daemon.ok(&["describe", "web"]).out + &daemon.ok(&["why", "web"]).out;
    assert_eq!(picture.matches("1 to 2: 2 workers for ").count(), 3, "{picture}");
    let apps = daemon.json(&["describe", "web"]);
    assert!(apps[0]["autoscale"]["wanted"].as_u64() >= Some(2), "{apps:#}");
    daemon
        .ctl(&["scale", "web", "3"])
        .expect(4)
        .says(&["3 workers; web scales itself between 1 and 2", "autoscale"]);

    // A successor goes on: it needs to look twice, and there is one worker less.
    std::fs::remove_file(daemon.file("busy")).expect("it is there");
    daemon.kill_supervisor();
    let fewer = |text: &String| text.starts_with("scaled 2 → 1: cpu ");
    until("fewer workers", || scaled(&daemon).into_iter().find(fewer));
    until("its end", || (daemon.list().len() == 1).then_some(()));
    assert_eq!(daemon.pid(0), first, "the highest number has gone");
}
