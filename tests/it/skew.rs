//! What earlier versions left behind is understood by the real binary (see `tests/fixtures/README.md`).

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::daemon::{Daemon, Output, run};

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v0.1").join(name);
    fs::read_to_string(path).expect("a fixture")
}

/// What a program is shown before it may take over.
fn check(state: &Value) -> Output {
    run(Command::new(env!("CARGO_BIN_EXE_supd")).arg("check-state"), state.to_string().as_bytes())
}

#[test]
fn the_state_of_version_0_1_can_be_taken_over() {
    let state = json!({
        "protocol": 1,
        "snapshot": document("snapshot.json"),
        "ledger": document("ledger.json"),
        "table": document("keeper-table.json"),
    });
    assert_eq!(check(&state).expect(0).json(), json!({ "supd": "0.1.0" }));

    let newer = |text: &str| text.replacen("\"version\": 1", "\"version\": 99", 1);
    for (part, words) in [
        ("snapshot", "the snapshot: it has version 99"),
        ("ledger", "the ledger: it has version 99"),
        ("table", "the keeper's table has version 99"),
    ] {
        let mut state = state.clone();
        state[part] = newer(state[part].as_str().expect("a text")).into();
        check(&state).expect(1).says(&["cannot go on from here", words]);
        state[part] = "{}".into();
        check(&state).expect(1).says(&["cannot go on from here", "missing field"]);
    }
    let mut state = state;
    state["protocol"] = 99.into();
    check(&state).expect(1).says(&["the keeper speaks version 99"]);
}

#[test]
fn the_ledger_of_version_0_1_brings_everything_back() {
    let daemon = Daemon::empty();
    // Nothing of it exists on this machine, so nothing of it runs; but all of it is there.
    let ledger = document("ledger.json").replace("\"up\": true", "\"up\": false");
    fs::write(daemon.file("ledger.json"), ledger).expect("a ledger");
    let mut names: Vec<String> = daemon
        .list()
        .iter()
        .map(|worker| format!("{} {}", worker["app"].as_str().expect("a name"), worker["id"]))
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "cluster 2",
            "cluster 3",
            "errored 7",
            "hello 0",
            "hello 1",
            "late 8",
            "looper 6",
            "sleeper 4",
            "stopped 5",
            "stubborn 9"
        ]
    );
    assert!(daemon.list().iter().all(|worker| worker["status"] == "stopped"));
}
