//! Does a keeper that has no descriptor to spare still keep what it must?

mod theatre;

use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;

use supd_keeper::memfd;
use supd_keeper::protocol::{DescriptorName, Exit, Order, Report, RunId, Scope};
use theatre::{Theatre, kill, line};

/// Starts runs until one is refused; the errno.
fn crowd(theatre: &Theatre, from: u64) -> i32 {
    for run in from.. {
        let _out = theatre.order_sh(run, "exec sleep 1000");
        match theatre.report() {
            Report::Spawned { .. } => {}
            Report::SpawnFailed { errno, .. } => return errno,
            other => panic!("{other:?} instead of a start or its failure"),
        }
    }
    unreachable!("the limit is reached before the numbers are")
}

#[test]
fn a_keeper_without_room_refuses_starts_and_nothing_else() {
    let mut wrapper = Command::new("prlimit");
    wrapper.arg("--nofile=64:64");
    let mut theatre = Theatre::open_in(wrapper);
    theatre.order(&Order::Ready, &[]);
    let (main, mut out) = theatre.start_sh(1, "sleep 1000 & echo up; wait");
    assert_eq!(line(&mut out), "up");
    assert_eq!(crowd(&theatre, 2), libc::EMFILE);

    let port = File::open("/dev/null").unwrap();
    theatre.order(&Order::Store { name: DescriptorName::Control }, &[port.as_fd()]);
    theatre.order(&Order::Snapshot, &[memfd::write(c"snapshot", b"newest").unwrap().as_fd()]);
    kill(main, libc::SIGKILL);
    assert_eq!(theatre.exited(1), (Exit::Signal(9), true), "its child is found in /proc");
    theatre.signal(1, libc::SIGKILL, Scope::Tree);
    assert_eq!(theatre.report(), Report::Gone { run: RunId(1) });

    theatre.kill_supervisor();
    let welcome = theatre.meet();
    assert!(welcome.descriptors.contains_key(&DescriptorName::Control), "{:?}", welcome.descriptors);
    let snapshot = memfd::read(welcome.snapshot.expect("a snapshot").as_fd(), 100).unwrap();
    assert_eq!(snapshot, b"newest");

    theatre.order(&Order::Forget { run: RunId(1) }, &[]);
    theatre.settle();
    assert_eq!(crowd(&theatre, 1000), libc::EMFILE, "room for one, not for two");
}
