//! Who plays: twenty workers, most of them with a bad habit.

use std::fs;

use serde_json::{Value, json};

use crate::daemon::{Daemon, shell, sleeper, with};

/// One app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub name: &'static str,
    pub seats: u64,
    pub habit: Habit,
}

/// What is to be expected of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// It is asked over HTTP all the time.
    Serving,
    /// It stays up when it is let alone.
    Steady,
    /// It is never quiet.
    Restless,
}

/// A build that a release may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    Good(u32),
    /// In a way that the app knows.
    Bad(&'static str),
}

use Habit::{Restless, Serving, Steady};

/// All of them.
pub const CAST: [Part; 11] = [
    part("web", 3, Serving),
    part("page", 2, Serving),
    part("plain", 4, Steady),
    part("parent", 2, Steady),
    part("stubborn", 2, Steady),
    part("forker", 2, Steady),
    part("told", 1, Steady),
    part("beating", 1, Steady),
    part("crash", 1, Restless),
    part("never", 1, Restless),
    part("flood", 1, Restless),
];

const fn part(name: &'static str, seats: u64, habit: Habit) -> Part {
    Part { name, seats, habit }
}

const SCRIPTS: [(&str, &str); 9] = [
    ("web.js", include_str!("apps/web.js")),
    ("page.py", include_str!("apps/page.py")),
    ("told.py", include_str!("apps/told.py")),
    ("double-forker.sh", include_str!("apps/double-forker.sh")),
    ("grandchild.sh", include_str!("apps/grandchild.sh")),
    ("stubborn.sh", include_str!("apps/stubborn.sh")),
    ("beating.sh", include_str!("apps/beating.sh")),
    ("parent.sh", include_str!("apps/parent.sh")),
    ("flood.sh", include_str!("apps/flood.sh")),
];

/// Puts all programs and declarations into the home.
pub fn prepare(daemon: &Daemon) {
    for (name, content) in SCRIPTS {
        fs::write(daemon.file(name), content).expect("a script");
    }
    CAST.iter().for_each(|part| assert!(release(daemon, part.name, Build::Good(0)), "a declaration"));
}

/// Writes the declaration of an app with this build. Whether it could: the disk may be full.
pub fn release(daemon: &Daemon, app: &str, build: Build) -> bool {
    let (file, new) = (file(daemon, app), daemon.file(&format!("{app}.new")));
    let declaration = json!({ "apps": [declaration(daemon, app, build)] }).to_string();
    fs::write(&new, declaration).and_then(|()| fs::rename(new, file)).is_ok()
}

/// The file that declares an app.
pub fn file(daemon: &Daemon, app: &str) -> String {
    daemon.file(&format!("{app}.json")).display().to_string()
}

/// Where an app that serves is asked.
pub fn address(daemon: &Daemon, app: &str) -> String {
    daemon.address(if app == "web" { 8100 } else { 8200 })
}

/// How its releases can be bad.
pub fn bad_builds(app: &str) -> &'static [&'static str] {
    match app {
        "web" => &["throws", "hangs", "elsewhere"],
        "told" => &["dies"],
        _ => &[],
    }
}

/// What declares an app with this build.
pub fn declaration(daemon: &Daemon, app: &str, build: Build) -> Value {
    let build = match build {
        Build::Good(number) => number.to_string(),
        Build::Bad(how) => how.to_owned(),
    };
    // A worker that serves is back at once, however often it was killed: who asks it has waited long enough.
    let at_once = json!({ "restart_delay": 100, "max_restarts": 1_000_000, "kill_timeout": "10s", "drain_timeout": "10s" });
    let home = daemon.home();
    let script = |interpreter: &str, name: &str| json!({ "name": app, "interpreter": interpreter, "script": daemon.file(name), "args": [home] });
    let (host, port) =
        address(daemon, app).split_once(':').map(|(h, p)| (h.to_owned(), p.to_owned())).expect("two");
    let own = match app {
        "web" => with(
            with(script("node", "web.js"), at_once),
            json!({ "exec_mode": "cluster", "env": { "HOST": host, "PORT": port }, "ready_timeout": "8s", "rollback_window": "1s" }),
        ),
        "page" => with(
            with(script("python3", "page.py"), at_once),
            json!({ "listen": [address(daemon, app)], "listen_timeout": 300, "rollback_window": "1s" }),
        ),
        "plain" => sleeper(app),
        "parent" => script("/bin/sh", "parent.sh"),
        "stubborn" => with(script("/bin/sh", "stubborn.sh"), json!({ "kill_timeout": 500 })),
        "forker" => script("/bin/sh", "double-forker.sh"),
        "told" => with(script("python3", "told.py"), json!({ "wait_ready": true, "ready_timeout": "8s" })),
        "beating" => {
            let fresh =
                format!("test -n \"$(find {} -newermt '-3 seconds')\"", daemon.file("beat").display());
            let live = json!({ "exec": ["/bin/sh", "-c", fresh], "interval": 500, "timeout": "3s", "failure_threshold": 2, "initial_delay": "2s" });
            with(script("/bin/sh", "beating.sh"), json!({ "live": live }))
        }
        "crash" => shell(app, "sleep 0.2; exit 3"),
        "never" => with(shell(app, "exec sleep 1000"), json!({ "wait_ready": true, "ready_timeout": "2s" })),
        "flood" => script("/bin/sh", "flood.sh"),
        _ => panic!("nobody plays {app}"),
    };
    let seats = CAST.iter().find(|part| part.name == app).map(|part| part.seats);
    let mut whole = with(own, json!({ "instances": seats }));
    whole["env"]["BUILD"] = json!(build);
    whole
}
