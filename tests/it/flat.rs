//! A daemon that has worked a lot is as small as one that has not.

use serde_json::json;

use crate::daemon::{Daemon, shell, with};
use crate::process;
use crate::wait::until_true;

#[test]
fn hundreds_of_restarts_leave_neither_descriptors_nor_memory() {
    let daemon = Daemon::start();
    let app = with(
        shell("app", "echo line"),
        json!({ "restart_delay": 0, "max_restarts": 1_000_000, "min_uptime": 1 }),
    );
    daemon.ctl(&["start", &daemon.declare(&json!([app]))]);
    let restarts = || daemon.worker(0)["restarts"].as_u64().unwrap_or_default();
    until_true("a warm daemon", || restarts() >= 100);
    let (keeper, supervisor) = daemon.heads();
    let measure = || {
        daemon.ok(&["stop", "app"]);
        // The log thread closes the last pipes after they are read to their ends.
        (
            process::descriptors(keeper),
            process::descriptors(supervisor),
            process::memory(keeper) + process::memory(supervisor),
        )
    };
    let before = measure();
    daemon.ctl(&["start", "app"]);
    let begin = restarts();
    until_true("four hundred restarts", || restarts() >= begin + 400);
    let after = measure();
    until_true("no more descriptors than before", || {
        process::descriptors(keeper) <= before.0 && process::descriptors(supervisor) <= before.1
    });
    assert!(
        after.2 <= before.2 + 1024,
        "KiB of keeper and supervisor: {} before, {} after",
        before.2,
        after.2
    );
}
