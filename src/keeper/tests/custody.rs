//! Is everything that must outlive a supervisor handed to the next one, and can a supervisor do harm?

mod theatre;

use std::fs::File;
use std::io::{IoSlice, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use supd_keeper::memfd;
use supd_keeper::protocol::{
    DescriptorName, ExecPlan, Exit, Order, Report, RunId, RunRecord, RunState, Scope,
};
use theatre::{Theatre, await_end, await_readable, await_stopped, exists, kill, line, sh};

#[test]
fn an_exit_without_a_supervisor_is_in_the_next_welcome_until_it_is_forgotten() {
    let mut theatre = Theatre::open();
    theatre.order(&Order::Ready, &[]);
    let fifo = theatre.dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (pid, mut out) =
        theatre.start_sh(7, &format!("read line < {}; echo last words; exit 5", fifo.display()));
    // Stopped, the keeper cannot start a new supervisor before the run has ended.
    theatre.stop_keeper();
    theatre.kill_supervisor();
    std::fs::write(&fifo, "go\n").unwrap();
    assert_eq!(line(&mut out), "last words");
    await_end(pid);
    kill(theatre.keeper_pid(), libc::SIGCONT);

    let state = RunState::Exited { exit: Exit::Code(5), survivors: false };
    let welcome = theatre.meet();
    let peak_memory = welcome.runs[0].peak_memory;
    assert!((100 << 10..1 << 30).contains(&peak_memory), "{peak_memory} bytes are the memory of no shell");
    assert_eq!(welcome.runs, [RunRecord { run: RunId(7), pid, state, peak_memory }]);
    assert_eq!(welcome.restarts, 1);
    assert_eq!(welcome.descriptors.into_keys().collect::<Vec<_>>(), [DescriptorName::Out(RunId(7))]);
    theatre.kill_supervisor();
    assert_eq!(theatre.meet().runs.len(), 1, "not acknowledged, so told again");
    theatre.order(&Order::Forget { run: RunId(7) }, &[]);
    theatre.settle();
    theatre.kill_supervisor();
    let welcome = theatre.meet();
    assert_eq!((welcome.runs.len(), welcome.descriptors.len(), welcome.restarts), (0, 0, 3));
}

#[test]
fn a_living_run_keeps_its_pid_and_its_output_over_the_death_of_a_supervisor() {
    let mut theatre = Theatre::open();
    let (pid, mut out) = theatre.start_sh(1, "echo one; kill -STOP $$; echo two; exec sleep 1000");
    assert_eq!(line(&mut out), "one");
    drop(out);
    theatre.kill_supervisor();
    // Nobody but the keeper has the reading end now.
    let mut welcome = theatre.meet();
    assert_eq!(welcome.runs, [RunRecord { run: RunId(1), pid, state: RunState::Alive, peak_memory: 0 }]);
    // Earlier it would be lost.
    await_stopped(pid);
    kill(pid, libc::SIGCONT);
    let kept = welcome.descriptors.remove(&DescriptorName::Out(RunId(1))).unwrap();
    assert_eq!(line(&mut File::from(kept)), "two");
    theatre.signal(1, libc::SIGKILL, Scope::Tree);
    assert_eq!(theatre.exited(1), (Exit::Signal(9), false));
}

#[test]
fn orders_of_a_supervisor_that_died_meanwhile_are_carried_out() {
    let mut theatre = Theatre::open();
    theatre.stop_keeper();
    let _out = theatre.order_sh(1, "exec sleep 1000");
    let supervisor = theatre.supervisor_pid();
    theatre.kill_supervisor();
    // The keeper finds its end and its order at once.
    await_end(supervisor);
    kill(theatre.keeper_pid(), libc::SIGCONT);
    assert_eq!(theatre.meet().runs.len(), 1);
}

#[test]
fn orders_of_a_supervisor_that_died_without_reading_are_carried_out() {
    let mut theatre = Theatre::open();
    let _out = theatre.order_sh(1, "exec sleep 1000");
    await_readable(theatre.link().as_fd());
    theatre.stop_keeper();
    let _out = theatre.order_sh(2, "exec sleep 1000");
    let supervisor = theatre.supervisor_pid();
    // The report about the first run is never read, which makes the end of the link a reset.
    theatre.kill_supervisor();
    await_end(supervisor);
    kill(theatre.keeper_pid(), libc::SIGCONT);
    assert_eq!(theatre.meet().runs.len(), 2);
}

#[test]
fn the_latest_snapshot_is_in_the_next_welcome() {
    let mut theatre = Theatre::open();
    for text in ["first", "second"] {
        theatre.order(&Order::Snapshot, &[memfd::write(c"snapshot", text.as_bytes()).unwrap().as_fd()]);
    }
    for _ in 0..2 {
        theatre.settle();
        theatre.kill_supervisor();
        let snapshot = theatre.meet().snapshot.unwrap();
        assert_eq!(
            memfd::read(snapshot.as_fd(), 100).unwrap(),
            b"second",
            "also when it has been read before"
        );
    }
}

#[test]
fn three_hundred_descriptors_come_back_each_under_its_name() {
    let mut theatre = Theatre::open();
    let content = |number: u32| format!("content {number}");
    for number in 0..300 {
        let file = memfd::write(c"stored", content(number).as_bytes()).unwrap();
        theatre.order(&Order::Store { name: DescriptorName::Port(number.to_string()) }, &[file.as_fd()]);
    }
    theatre.order(&Order::Close { name: DescriptorName::Port("7".to_owned()) }, &[]);
    let control = memfd::write(c"stored", b"replaced").unwrap();
    for file in [&memfd::write(c"stored", b"replacing").unwrap(), &control] {
        theatre.order(&Order::Store { name: DescriptorName::Control }, &[file.as_fd()]);
    }
    theatre.settle();
    theatre.kill_supervisor();
    let stored = theatre.meet().descriptors;
    assert_eq!(stored.len(), 300, "300, one closed, the control socket");
    for (name, file) in stored {
        let text = String::from_utf8(memfd::read(file.as_fd(), 100).unwrap()).unwrap();
        match name {
            DescriptorName::Port(number) => assert_eq!(text, content(number.parse().unwrap())),
            other => assert_eq!((other, text.as_str()), (DescriptorName::Control, "replaced")),
        }
    }
}

#[test]
fn a_supervisor_that_dies_young_is_started_again_after_growing_pauses() {
    let mut theatre = Theatre::open();
    theatre.order(&Order::Ready, &[]);
    let mut pauses = Vec::new();
    for _ in 0..4 {
        let before = Instant::now();
        theatre.dismiss_supervisor();
        theatre.meet();
        pauses.push(before.elapsed().as_millis());
    }
    for (pause, least) in pauses.iter().zip([0, 100, 200, 400]) {
        assert!(*pause >= least && *pause < least + 5000, "{pauses:?}");
    }
}

/// A packet as no supervisor of ours would send it.
fn send_raw(theatre: &Theatre, packet: &[u8], attached: &[OwnedFd]) {
    let numbers: Vec<_> = attached.iter().map(AsRawFd::as_raw_fd).collect();
    let control = [ControlMessage::ScmRights(&numbers)];
    let control = if numbers.is_empty() { &[][..] } else { &control[..] };
    sendmsg::<()>(theatre.link().as_raw_fd(), &[IoSlice::new(packet)], control, MsgFlags::empty(), None)
        .unwrap();
}

#[test]
fn garbage_is_dropped_with_its_descriptors_and_work_goes_on() {
    let theatre = Theatre::open();
    theatre.settle();
    let before = theatre.open_files();
    let null = || OwnedFd::from(File::open("/dev/null").unwrap());
    let huge = File::from(memfd::write(c"huge", b"").unwrap());
    huge.set_len(1 << 40).unwrap();
    let (pipe, _writer) = nix::unistd::pipe().unwrap();
    let text = |text: &str| format!("i{text}").into_bytes();
    let deep = text(&"[".repeat(30_000));
    let cases: Vec<(Vec<u8>, Vec<OwnedFd>)> = vec![
        (text(""), vec![]),
        (b"x".to_vec(), vec![null(), null()]),
        (text("\u{0}\u{1}"), vec![null()]),
        (text("{\"order\":\"dance\"}"), vec![null()]),
        (text("{\"order\":\"signal\",\"run\":-1}"), vec![]),
        (text("{\"order\":\"spawn\",\"run\":1}"), vec![]),
        (text("{\"order\":\"store\",\"name\":\"control\"}"), vec![]),
        (text("{\"order\":\"store\",\"name\":\"control\"}"), vec![null(), null()]),
        (text("{\"order\":\"snapshot\"}"), vec![]),
        (deep, vec![]),
        (vec![b'i'; 100_000], vec![null()]),
        (b"m".to_vec(), vec![]),
        (b"m".to_vec(), vec![pipe]),
        (b"m".to_vec(), vec![null()]),
        (b"m".to_vec(), vec![huge.into()]),
        (b"m".to_vec(), vec![memfd::write(c"empty", b"").unwrap()]),
    ];
    for (packet, attached) in &cases {
        send_raw(&theatre, packet, attached);
    }
    for signal in [-1, 0, 65, i32::MAX] {
        theatre.signal(1, signal, Scope::Tree);
    }
    theatre.order(&Order::Forget { run: RunId(99) }, &[]);
    // One order to start without its descriptors, which is answered.
    theatre.order(&Order::Spawn { run: RunId(5), plan: Box::new(sh("exit")), keep: vec![] }, &[]);
    assert!(matches!(theatre.report(), Report::SpawnFailed { run: RunId(5), errno: libc::EBADF, .. }));
    theatre.settle();
    assert_eq!(theatre.open_files(), before);
    let (_, mut out) = theatre.start_sh(1, "echo fine");
    assert_eq!(line(&mut out), "fine");
}

#[test]
fn a_supervisor_cannot_make_the_keeper_forget_or_replace_a_living_run() {
    let mut theatre = Theatre::open();
    let (pid, _out) = theatre.start_sh(1, "exec sleep 1000");
    theatre.order(&Order::Forget { run: RunId(1) }, &[]);
    let _out = theatre.order_sh(1, "exit 0");
    theatre.settle();
    theatre.kill_supervisor();
    assert_eq!(
        theatre.meet().runs,
        [RunRecord { run: RunId(1), pid, state: RunState::Alive, peak_memory: 0 }]
    );
}

#[test]
fn nothing_is_signalled_for_a_run_that_has_been_forgotten() {
    let theatre = Theatre::open();
    let (_, mut out) = theatre.start_sh(1, "setsid sh -c 'echo $$; exec sleep 1000' & ");
    let survivor: i32 = line(&mut out).parse().unwrap();
    assert_eq!(theatre.exited(1), (Exit::Code(0), true));
    theatre.order(&Order::Forget { run: RunId(1) }, &[]);
    for scope in [Scope::Main, Scope::Tree] {
        theatre.signal(1, libc::SIGKILL, scope);
    }
    theatre.settle();
    assert!(exists(survivor));
    kill(survivor, libc::SIGKILL);
    await_end(survivor);
    theatre.settle();
    theatre.nothing_reported();
}

#[test]
fn reports_to_a_supervisor_that_does_not_read_wait_in_order() {
    let theatre = Theatre::open();
    let order = |run| {
        let plan = ExecPlan { program: "\0".to_owned(), descriptors: vec![], ..sh("") };
        Order::Spawn { run: RunId(run), plan: Box::new(plan), keep: vec![] }
    };
    // Until the keeper's reports fill their buffer and its queue, it reads no more, and the orders theirs.
    let mut ordered = 0;
    let patience = PollTimeout::from(300u16);
    while poll(&mut [PollFd::new(theatre.link().as_fd(), PollFlags::POLLOUT)], patience).unwrap() == 1 {
        theatre.link().try_send(&order(ordered + 1), &[]).unwrap();
        ordered += 1;
    }
    for expected in 1..=ordered {
        let report = theatre.report();
        assert!(
            matches!(report, Report::SpawnFailed { run: RunId(run), .. } if run == expected),
            "{report:?}"
        );
    }
}

#[test]
fn the_link_says_when_the_other_side_is_full_and_when_it_is_gone() {
    let (a, b) = supd_keeper::Link::pair().unwrap();
    assert_eq!(a.try_recv::<u32>().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    let sent = (0u32..).take_while(|number| a.try_send(number, &[]).is_ok()).count() as u32;
    assert!(sent > 10);
    assert_eq!(a.try_send(&0, &[]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    for number in 0..sent {
        assert_eq!(b.try_recv::<u32>().unwrap().unwrap().0, number);
    }
    let file = memfd::write(c"one", b"1").unwrap();
    let too_many = vec![file.as_fd(); 253];
    assert_eq!(a.try_send(&0, &too_many).unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    let long = "x".repeat(1 << 20);
    a.try_send(&long, &too_many[..252]).unwrap();
    let (found, attached) = b.try_recv::<String>().unwrap().unwrap();
    assert!(found == long && attached.len() == 252);
    let (mut reader, writer) = std::io::pipe().unwrap();
    a.try_send(&1, &[writer.as_fd()]).unwrap();
    drop(writer);
    drop(a);
    let (_, attached) = b.try_recv::<u32>().unwrap().unwrap();
    File::from(attached.into_iter().next().unwrap()).write_all(b"through").unwrap();
    assert_eq!(std::io::read_to_string(&mut reader).unwrap(), "through");
    assert!(b.try_recv::<u32>().unwrap().is_none());
    await_readable(b.as_fd());
}
