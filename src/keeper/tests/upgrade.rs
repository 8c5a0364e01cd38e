//! Does everything stay when the keeper becomes another program, and when that program is no good?

mod theatre;

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::path::Path;

use supd_keeper::protocol::{DescriptorName, Exit, Order, Report, RunId, RunRecord, RunState, Scope};
use supd_keeper::{can_take_over, memfd};
use theatre::{Theatre, kill, line};

fn snapshot(theatre: &Theatre, text: &str) {
    theatre.order(&Order::Snapshot, &[memfd::write(c"snapshot", text.as_bytes()).unwrap().as_fd()]);
}

#[test]
fn a_new_program_takes_over_everything_there_is() {
    let mut theatre = Theatre::open();
    theatre.order(&Order::Ready, &[]);
    // What the first image inherited from us does not go on to the next.
    let one = theatre.copy("one");
    theatre.upgrade(&one);
    snapshot(&theatre, "old");
    let (alive, mut out) = theatre.start_sh(1, "echo up; exec sleep 1000");
    assert_eq!(line(&mut out), "up");
    let (ended, _out) = theatre.start_sh(2, "exit 5");
    assert_eq!(theatre.exited(2), (Exit::Code(5), false));
    let (gone, mut out) = theatre.start_sh(3, "setsid sh -c 'echo $$; exec sleep 1000' &");
    let survivor: i32 = line(&mut out).parse().unwrap();
    assert_eq!(theatre.exited(3), (Exit::Code(0), true));
    theatre.order(
        &Order::Store { name: DescriptorName::Control },
        &[memfd::write(c"c", b"control").unwrap().as_fd()],
    );

    let (program, keeper, descriptors) = (theatre.copy("two"), theatre.keeper_pid(), theatre.open_files());
    theatre.hand_over(&program);
    let welcome = theatre.meet();
    assert!(welcome.trial && welcome.restarts == 0);
    assert_eq!((welcome.runs.len(), welcome.descriptors.len()), (3, 4));
    // None of this may happen before the keeper has followed.
    snapshot(&theatre, "new");
    theatre.signal(1, libc::SIGKILL, Scope::Tree);
    theatre.order(&Order::Forget { run: RunId(2) }, &[]);
    let mut out = theatre.order_sh(4, "echo $PPID");
    // A word of tomorrow: it costs itself, and nothing else.
    theatre.link().try_send(&serde_json::json!({ "order": "dance", "run": 1 }), &[]).unwrap();
    assert_ne!(theatre.image(), program);
    theatre.nothing_reported();
    theatre.prove(&program);

    let Report::Upgraded { upgrade } = theatre.report() else { panic!("no upgrade") };
    assert_eq!((upgrade.to.as_str(), &upgrade.failure), ("2.0", &None));
    assert_eq!(theatre.image(), program);
    assert_eq!(line(&mut out), keeper.to_string());
    let mut reports: Vec<_> = (0..3).map(|_| format!("{:?}", theatre.report())).collect();
    reports.sort();
    let ends = |report: &String, run, exit| {
        report.starts_with(&format!("Exited {{ run: RunId({run}), exit: {exit}, survivors: false"))
    };
    assert!(ends(&reports[0], 1, "Signal(9)") && ends(&reports[1], 4, "Code(0)"), "{reports:?}");
    assert!(reports[2].starts_with("Spawned { run: RunId(4)"), "{reports:?}");
    kill(survivor, libc::SIGKILL);
    assert_eq!(theatre.report(), Report::Gone { run: RunId(3) });
    theatre.order(&Order::Forget { run: RunId(4) }, &[]);
    theatre.settle();
    assert_eq!(theatre.open_files(), descriptors - 1, "run 2 has been forgotten, with its pipe");

    theatre.kill_supervisor();
    let mut welcome = theatre.meet();
    assert!(!welcome.trial && welcome.restarts == 1 && welcome.upgrade == Some(upgrade));
    let record = |run, pid, exit| (RunId(run), pid, RunState::Exited { exit, survivors: false });
    let runs: Vec<_> = welcome.runs.iter().map(|it| (it.run, it.pid, it.state)).collect();
    assert_eq!(runs, [record(1, alive, Exit::Signal(9)), record(3, gone, Exit::Code(0))]);
    assert!(welcome.runs.iter().all(|it| it.peak_memory > 0), "known to both programs");
    assert_ne!(ended, alive);
    let text = |file: Option<_>| String::from_utf8(memfd::read(AsFd::as_fd(&file.unwrap()), 100).unwrap());
    assert_eq!(text(welcome.snapshot).unwrap(), "new");
    assert_eq!(text(welcome.descriptors.remove(&DescriptorName::Control)).unwrap(), "control");
}

/// The old program goes on, and nobody has noticed anything.
fn went_back(theatre: &mut Theatre, worker: i32, why: &str) {
    let welcome = theatre.meet();
    assert!(!welcome.trial && welcome.restarts == 0, "{why}");
    let failure = welcome.upgrade.unwrap().failure.unwrap();
    assert!(failure.contains(why), "`{why}` is not in `{failure}`");
    assert_eq!(
        welcome.runs,
        [RunRecord { run: RunId(1), pid: worker, state: RunState::Alive, peak_memory: 0 }]
    );
    assert_eq!(memfd::read(welcome.snapshot.unwrap().as_fd(), 100).unwrap(), b"old");
    assert_eq!(theatre.image(), Path::new(env!("CARGO_BIN_EXE_keeper-fixture")));
    theatre.settle();
}

#[test]
fn a_bad_program_changes_nothing() {
    let mut theatre = Theatre::open();
    theatre.order(&Order::Ready, &[]);
    snapshot(&theatre, "old");
    let (worker, mut out) = theatre.start_sh(1, "echo up; exec sleep 1000");
    assert_eq!(line(&mut out), "up");
    let text = theatre.dir.path().join("text");
    std::fs::write(&text, "no program").unwrap();

    theatre.hand_over(Path::new("/nonexistent/supd"));
    went_back(&mut theatre, worker, "Exec: ENOENT");
    theatre.hand_over(&text);
    went_back(&mut theatre, worker, "Exec: EACCES");
    let dies = theatre.copy("dies");
    theatre.hand_over(&dies);
    went_back(&mut theatre, worker, "ended with code 9, before it was ready");
    // From here on the supervisor is good, and orders what must not be carried out.
    let good = theatre.copy("good");
    type Offence<'a> = (&'a str, Box<dyn Fn(&mut Theatre) + 'a>);
    let offences: [Offence<'_>; 6] = [
        ("cannot read", Box::new(|t| t.order(&Order::Failed { why: "it cannot read".to_owned() }, &[]))),
        ("ended with code 0, before it was ready", Box::new(Theatre::dismiss_supervisor)),
        ("which program", Box::new(|t| t.order(&Order::Ready, &[]))),
        ("cannot execute it: EACCES", Box::new(|t| t.prove(&text))),
        ("it panicked: panicked at", Box::new(|t| t.prove(&t.copy("panics")))),
        ("as told", Box::new(|t| t.prove(&t.copy("refuses")))),
    ];
    let mut descriptors = Vec::new();
    // Twice: what the first image inherited from us does not come back with it.
    for (why, offend) in offences.iter().chain(&offences) {
        theatre.hand_over(&good);
        assert!(theatre.meet().trial);
        snapshot(&theatre, "bad");
        theatre.signal(1, libc::SIGKILL, Scope::Tree);
        let _out = theatre.order_sh(2, "exec sleep 1000");
        offend(&mut theatre);
        went_back(&mut theatre, worker, why);
        descriptors.push(theatre.open_files());
    }
    assert_eq!(descriptors[offences.len()..], [descriptors[offences.len()]; 6]);
    theatre.upgrade(&good);
    assert_eq!(theatre.image(), good);
}

#[test]
fn a_program_that_never_gets_ready_is_given_up() {
    let mut theatre = Theatre::open();
    theatre.order(&Order::Ready, &[]);
    snapshot(&theatre, "old");
    let (worker, _out) = theatre.start_sh(1, "exec sleep 1000");
    let program = theatre.copy("two");
    theatre.hand_over(&program);
    assert!(theatre.meet().trial);
    went_back(&mut theatre, worker, "was not ready within");
}

#[test]
fn fifty_upgrades_lose_no_exit_and_leave_nothing_open() {
    let mut theatre = Theatre::open();
    theatre.order(&Order::Ready, &[]);
    let programs = [theatre.copy("one"), theatre.copy("two")];
    theatre.upgrade(&programs[1]);
    let (_, mut steady) = theatre.start_sh(1, "echo up; exec sleep 1000");
    assert_eq!(line(&mut steady), "up");
    let (keeper, descriptors, children) =
        (theatre.keeper_pid(), theatre.open_files(), theatre.children().len());
    let mut next = 2;
    for round in 0..50 {
        // Their ends come at any time: before, during and after the change of the image.
        for _ in 0..4 {
            theatre.order_sh(next, &format!("sleep 0.00{}; exit {}", next % 8, next % 100));
            next += 1;
        }
        let program = &programs[round % 2];
        theatre.hand_over(program);
        let welcome = theatre.meet();
        let mut ended: BTreeSet<RunId> = welcome
            .runs
            .iter()
            .filter(|record| matches!(record.state, RunState::Exited { survivors: false, .. }))
            .map(|record| record.run)
            .collect();
        theatre.prove(program);
        let mut upgraded = false;
        while ended.len() < 4 || !upgraded {
            match theatre.report() {
                Report::Exited { run, exit, survivors: false, .. } => {
                    assert_eq!(exit, Exit::Code((run.0 % 100) as i32));
                    assert!(ended.insert(run), "the end of {run:?} is told twice");
                }
                Report::Upgraded { .. } => upgraded = true,
                Report::Spawned { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        ended.iter().for_each(|run| theatre.order(&Order::Forget { run: *run }, &[]));
        theatre.settle();
        assert_eq!(theatre.image(), *program);
    }
    assert_eq!(theatre.keeper_pid(), keeper);
    assert_eq!(theatre.open_files(), descriptors);
    assert_eq!(theatre.children().len(), children, "no zombie");
    theatre.signal(1, libc::SIGKILL, Scope::Tree);
    assert_eq!(theatre.exited(1), (Exit::Signal(9), false));
}

#[test]
fn runs_get_the_limit_of_open_files_that_the_first_image_was_started_with() {
    let mut wrapper = std::process::Command::new("prlimit");
    wrapper.arg("--nofile=300:4000");
    let mut theatre = Theatre::open_in(wrapper);
    theatre.order(&Order::Ready, &[]);
    let program = theatre.copy("two");
    theatre.upgrade(&program);
    let (_, mut out) = theatre.start_sh(1, "ulimit -Sn; ulimit -Hn");
    assert_eq!((line(&mut out), line(&mut out)), ("300".to_owned(), "4000".to_owned()));
}

#[test]
fn the_rehearsal_is_what_a_program_can_read() {
    let theatre = Theatre::open();
    let (_, _out) = theatre.start_sh(1, "exec sleep 1000");
    theatre.order(&Order::Rehearse, &[]);
    let (report, attached) = theatre.receive();
    assert_eq!(report, Report::Rehearsal);
    let document = memfd::read(attached[0].as_fd(), 1 << 20).unwrap();
    assert_eq!(can_take_over(&document), Ok(()));
    let text = String::from_utf8(document).unwrap();
    let newer = text.replacen("\"version\":1", "\"version\":2", 1);
    assert!(can_take_over(newer.as_bytes()).unwrap_err().contains("version 2"));
    let torn = text.replacen("\"runs\"", "\"walks\"", 1);
    assert!(can_take_over(torn.as_bytes()).unwrap_err().contains("missing field `runs`"));
}
