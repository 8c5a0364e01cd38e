//! What does the keeper do when it is asked to end, and what does systemd hear?

mod theatre;

use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use supd_keeper::protocol::{Order, Report};
use theatre::{Theatre, await_end, await_readable, exists, kill, line};

#[test]
fn signals_to_the_keeper_are_reported_and_change_nothing_by_themselves() {
    let theatre = Theatre::open();
    for (signal, report) in [
        (libc::SIGTERM, Report::Terminate),
        (libc::SIGUSR2, Report::Reopen),
        (libc::SIGINT, Report::Terminate),
    ] {
        kill(theatre.keeper_pid(), libc::SIGHUP);
        kill(theatre.keeper_pid(), signal);
        assert_eq!(theatre.report(), report);
    }
    theatre.settle();
}

#[test]
fn a_supervisor_that_comes_after_the_request_to_end_hears_of_it() {
    let mut theatre = Theatre::open();
    kill(theatre.keeper_pid(), libc::SIGTERM);
    assert_eq!(theatre.report(), Report::Terminate);
    theatre.kill_supervisor();
    theatre.meet();
    assert_eq!(theatre.report(), Report::Terminate);
}

#[test]
fn quit_kills_what_is_left_and_exits_with_the_code() {
    let mut theatre = Theatre::open();
    let (main, mut out) = theatre.start_sh(1, "trap '' TERM; setsid sh -c 'echo $$; exec sleep 1000' & wait");
    let escaped = line(&mut out).parse().unwrap();
    theatre.order(&Order::Quit { code: 42 }, &[]);
    // The supervisor leaves when the link ends.
    await_readable(theatre.link().as_fd());
    let supervisor = theatre.supervisor_pid();
    theatre.dismiss_supervisor();
    assert_eq!(theatre.exit_code(), 42);
    assert!(![main, escaped, supervisor].into_iter().any(exists));
}

#[test]
fn a_keeper_with_nothing_to_look_after_whose_supervisors_never_get_ready_gives_up() {
    let mut theatre = Theatre::open();
    for _ in 0..2 {
        theatre.dismiss_supervisor();
        theatre.meet();
    }
    theatre.dismiss_supervisor();
    assert_eq!(theatre.exit_code(), 1);
}

#[test]
fn without_any_supervisor_a_keeper_that_shall_end_stops_the_runs_itself() {
    let mut theatre = Theatre::open();
    let (main, mut out) =
        theatre.start_sh(1, "trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 1000 & wait; done");
    assert_eq!(line(&mut out), "up");
    theatre.close_entrance();
    theatre.kill_supervisor();
    kill(theatre.keeper_pid(), libc::SIGTERM);
    assert_eq!(line(&mut out), "asked");
    assert_eq!(theatre.exit_code(), 1);
    assert!(!exists(main));
}

fn heard(systemd: &UnixDatagram) -> String {
    await_readable(systemd.as_fd());
    let mut text = [0; 256];
    let size = systemd.recv(&mut text).unwrap();
    String::from_utf8(text[..size].to_vec()).unwrap()
}

#[test]
fn systemd_hears_when_it_is_ready_and_when_it_stops() {
    let name = format!("supd-keeper-test-{}", std::process::id());
    let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
    let systemd = UnixDatagram::bind_addr(&abstract_name).unwrap();
    let (theatre, _) = Theatre::open_with(|command| {
        command.env("NOTIFY_SOCKET", format!("@{name}")).env("LISTEN_FDS", "0").env("WATCHDOG_PID", "1");
    });
    for _ in 0..2 {
        theatre.order(&Order::Ready, &[]);
    }
    assert_eq!(heard(&systemd), format!("READY=1\nMAINPID={}", theatre.keeper_pid()));
    let environment = std::fs::read_to_string(format!("/proc/{}/environ", theatre.supervisor_pid())).unwrap();
    for private in ["NOTIFY_SOCKET=", "LISTEN_", "WATCHDOG_"] {
        assert!(!environment.contains(private), "{private}");
    }
    assert!(environment.contains("PATH="));
    kill(theatre.keeper_pid(), libc::SIGTERM);
    assert_eq!(heard(&systemd), "STOPPING=1");
}

#[test]
fn a_supervisor_that_hangs_is_replaced_and_the_watchdog_stays_calm() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    let (mut theatre, _) = Theatre::open_with(|command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "100000");
    });
    let mut out = theatre.order_sh(1, "echo $$; exec sleep 1000");
    let worker = line(&mut out).parse().unwrap();
    for _ in 0..5 {
        while theatre.report() != Report::Ping {}
        theatre.order(&Order::Pong, &[]);
        assert_eq!(heard(&systemd), "WATCHDOG=1");
    }
    let hung = theatre.supervisor_pid();
    await_end(hung);
    theatre.accept();
    assert_ne!(theatre.supervisor_pid(), hung);
    assert!(exists(worker));
}

#[test]
fn a_supervisor_that_drops_the_link_and_stays_is_replaced() {
    let mut theatre = Theatre::open();
    let useless = theatre.supervisor_pid();
    theatre.drop_link();
    await_end(useless);
    theatre.meet();
}
