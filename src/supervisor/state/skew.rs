//! Does this version go on from what earlier ones left? The documents are explained in `tests/fixtures/README.md`.

use std::collections::BTreeSet;

use supd_core::{Effect, Event, Known, KnownState, Mono, Now, State, Supervisor, Wall};

use crate::supervisor::state::ledger::Ledger;
use crate::supervisor::state::snapshot::Snapshot;
use crate::supervisor::versions::spec;

const SNAPSHOT: &[u8] = include_bytes!("../../../tests/fixtures/v0.1/snapshot.json");
const LEDGER: &[u8] = include_bytes!("../../../tests/fixtures/v0.1/ledger.json");
const APPS: [&str; 8] = ["cluster", "errored", "hello", "late", "looper", "sleeper", "stopped", "stubborn"];

#[test]
fn the_snapshot_of_version_0_1() {
    let snapshot = Snapshot::parse(SNAPSHOT).expect("it can be read");
    let revised: BTreeSet<_> = snapshot.revisions.iter().map(|(app, id, _)| (app.0.as_str(), id.0)).collect();
    assert_eq!(revised.iter().map(|(app, _)| *app).collect::<BTreeSet<_>>(), APPS.into());
    assert_eq!(revised.iter().filter(|(app, _)| *app == "hello").count(), 2, "what it moves from and to");
    let ports: Vec<_> = snapshot.ports.keys().map(|key| key.as_str().to_owned()).collect();
    assert_eq!(ports, ["cluster/*/0/127.0.0.1:18431", "hello/*/0/127.0.0.1:18432"]);
    let greeting = |text: &str| text.contains("GREETING") && text.contains("good morning");
    assert!(snapshot.revisions.iter().any(|(_, _, revision)| {
        revision.declaration.name.as_str() == "hello"
            && greeting(&serde_json::to_string(&revision.declaration).expect("a text"))
    }));

    let mut core = Supervisor::restore(snapshot.core).expect("of a version that we know");
    for (app, id, revision) in &snapshot.revisions {
        core.respecify(app, *id, spec::spec(&revision.declaration));
    }
    let latest = core.runs().map(|(_, _, _, run)| run.started).max_by_key(|now| now.mono).expect("runs");
    let now = Now { mono: Mono(latest.mono.0 + 1_000_000), wall: Wall(latest.wall.0 + 1) };
    let seats: Vec<_> = core
        .view(now.mono)
        .map(|seat| (seat.app.0.clone(), seat.worker.0, seat.state, seat.run.is_some()))
        .collect();
    let expected = [
        ("cluster", 2, State::Online, true),
        ("cluster", 3, State::Online, true),
        ("errored", 7, State::Errored, false),
        ("hello", 0, State::Online, true),
        ("hello", 1, State::Online, true),
        ("late", 8, State::Launching, true),
        ("looper", 6, State::Waiting, false),
        ("sleeper", 4, State::Online, true),
        ("stopped", 5, State::Stopped, false),
        ("stubborn", 9, State::Stopping, true),
    ];
    assert_eq!(seats, expected.map(|(app, worker, state, runs)| (app.to_owned(), worker, state, runs)));

    let alive =
        |run: supd_core::RunView| Some(Known { run: run.run, pid: run.pid?, state: KnownState::Alive });
    let known: Vec<Known> = core.runs().filter_map(|(_, _, _, run)| alive(run)).collect();
    assert_eq!(known.len(), 8, "one of `hello` has two");
    let effects = core.handle(now, Event::Resync { known });
    let harmless = |effect: &&Effect| !matches!(effect, Effect::Save | Effect::Tell(_));
    assert_eq!(effects.iter().find(harmless), None, "it goes on as if nothing had been");
}

#[test]
fn the_ledger_of_version_0_1() {
    let ledger = Ledger::parse(LEDGER).expect("it can be read");
    let apps: Vec<_> = ledger
        .apps
        .iter()
        .map(|entry| {
            let seats = entry.seats().into_iter().map(|seat| (seat.worker.0, seat.instance, seat.up));
            (entry.revision.declaration.name.to_string(), seats.collect::<Vec<_>>())
        })
        .collect();
    type Seats = &'static [(u32, u32, bool)];
    let expected: [(&str, Seats); 8] = [
        ("cluster", &[(2, 0, true), (3, 1, true)]),
        ("errored", &[(7, 0, true)]),
        ("hello", &[(0, 0, true), (1, 1, true)]),
        ("late", &[(8, 0, true)]),
        ("looper", &[(6, 0, true)]),
        ("sleeper", &[(4, 0, true)]),
        ("stopped", &[(5, 0, false)]),
        ("stubborn", &[(9, 0, false)]),
    ];
    assert_eq!(apps, expected.map(|(app, seats)| (app.to_owned(), seats.to_vec())));
    let hello = &ledger.apps[2].revision.declaration;
    assert_eq!(hello.stop.kill_timeout.0, 5000);
    assert_eq!(hello.logs, supd_api::LogPolicy::default(), "with what came later");
}

#[test]
fn a_newer_one_is_refused() {
    let newer = |text: &[u8]| String::from_utf8_lossy(text).replacen("\"version\": 1", "\"version\": 99", 1);
    let snapshot = Snapshot::parse(newer(SNAPSHOT).as_bytes());
    assert!(snapshot.err().expect("refused").to_string().contains("version 99"));
    let ledger = Ledger::parse(newer(LEDGER).as_bytes());
    assert!(ledger.expect_err("refused").to_string().contains("version 99"));
}
