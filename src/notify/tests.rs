//! Real senders: systemd-notify(1), Python, and rude ones.

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::unistd::{Uid, pipe2};
use supd_keeper::protocol::RunId;
use tokio::sync::mpsc;

use super::*;

struct Talk {
    /// The value of `NOTIFY_SOCKET`.
    name: String,
    /// What the keeper holds.
    kept: OwnedFd,
    listener: Option<Listener>,
    deliveries: mpsc::UnboundedReceiver<Delivery>,
}

fn talk() -> Talk {
    talk_with(None)
}

fn talk_with(worker: Option<Uid>) -> Talk {
    let (name, kept) = open(RunId(7)).unwrap();
    let (_, deliveries) = mpsc::unbounded_channel();
    let mut talk = Talk { name, kept, listener: None, deliveries };
    talk.reopen(worker);
    talk
}

impl Talk {
    /// A new supervisor in place of the old one.
    fn reopen(&mut self, worker: Option<Uid>) {
        let (sender, deliveries) = mpsc::unbounded_channel();
        let socket = self.kept.as_fd().try_clone_to_owned().unwrap();
        self.listener = Some(Listener::new(RunId(7), socket, worker, sender).unwrap());
        self.deliveries = deliveries;
    }

    fn connect(&self) -> UnixDatagram {
        let socket = UnixDatagram::unbound().unwrap();
        let name = self.name.strip_prefix('@').unwrap();
        socket.connect_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap();
        socket
    }

    fn say(&self, datagram: &[u8]) {
        self.connect().send(datagram).unwrap();
    }

    async fn next(&mut self) -> Delivery {
        let delivery = tokio::time::timeout(Duration::from_secs(20), self.deliveries.recv()).await;
        delivery.expect("in time").expect("open")
    }

    async fn heard(&mut self) -> Vec<Note> {
        let delivery = self.next().await;
        delivery.receipt.sign();
        assert_eq!(delivery.run, RunId(7));
        delivery.notes
    }

    /// All that was said before this call.
    async fn all(&mut self) -> Vec<Note> {
        let mut all = Vec::new();
        self.say(b"STATUS=the end");
        loop {
            let notes = self.heard().await;
            if notes == [status("the end")] {
                return all;
            }
            all.extend(notes);
        }
    }

    fn watch(&self, limit: Option<Duration>) {
        self.listener.as_ref().unwrap().watch(limit);
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("NOTIFY_SOCKET", &self.name).stdin(Stdio::null());
        command
    }
}

fn status(text: &str) -> Note {
    Note::Status(text.to_owned())
}

/// Whether the program is on this machine.
fn exists(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

#[tokio::test]
async fn lines_are_heard_in_order() {
    let mut talk = talk();
    talk.say(b"READY=1\nSTATUS=one");
    talk.say(b"STOPPING=1");
    assert_eq!(talk.heard().await, [Note::Ready, status("one")]);
    assert_eq!(talk.heard().await, [Note::Stopping]);
}

#[tokio::test]
async fn nothing_is_lost_with_a_supervisor() {
    let mut talk = talk();
    talk.say(b"READY=1");
    talk.say(b"STOPPING=1");
    // It dies over the first message.
    let unsigned = talk.next().await;
    talk.reopen(None);
    drop(unsigned);
    assert_eq!(talk.heard().await, [Note::Ready]);
    let unsigned = talk.next().await;
    // There is none for a while.
    talk.listener = None;
    drop(unsigned);
    talk.say(b"STATUS=meanwhile");
    talk.reopen(None);
    assert_eq!(talk.heard().await, [Note::Stopping]);
    assert_eq!(talk.heard().await, [status("meanwhile")]);
}

#[tokio::test]
async fn one_delivery_waits_for_its_receipt_at_a_time() {
    let mut talk = talk();
    talk.say(b"READY=1");
    let first = talk.next().await;
    talk.say(b"STOPPING=1");
    let early = tokio::time::timeout(Duration::from_millis(50), talk.deliveries.recv()).await;
    assert!(early.is_err());
    first.receipt.sign();
    assert_eq!(talk.heard().await, [Note::Stopping]);
}

#[tokio::test]
async fn rude_datagrams_say_nothing() {
    let mut talk = talk();
    for datagram in
        [b"".as_slice(), b"\0\0\0", b"\xff\xfe=\xff", b"READY=1\0", b"WATCHDOG=1", b"BARRIER=1", b"FDSTORE=1"]
    {
        talk.say(datagram);
    }
    assert_eq!(talk.all().await, []);
    let fits = [b"READY=1\nX=", [b'x'; 4086].as_slice()].concat();
    talk.say(&fits);
    talk.say(&[fits.as_slice(), b"x"].concat());
    talk.say(&[b'x'; 100_000]);
    assert_eq!(talk.all().await, [Note::Ready]);
}

#[tokio::test]
async fn strangers_are_not_heard() {
    if !Uid::effective().is_root() || !exists("systemd-notify") {
        return;
    }
    let stranger = 64_123;
    let say = |talk: &Talk, text: &str| {
        let script = format!("exec systemd-notify --no-block {text}");
        let mut command = talk.command("setpriv");
        command.args([format!("--reuid={stranger}"), "--clear-groups".to_owned(), "sh".to_owned()]);
        assert!(command.args(["-c", &script]).status().unwrap().success());
    };
    let mut talk = talk();
    say(&talk, "--ready");
    assert_eq!(talk.all().await, []);
    let mut talk = talk_with(Some(Uid::from_raw(stranger)));
    say(&talk, "--ready");
    assert_eq!(talk.all().await, [Note::Ready]);
}

fn send_with(socket: &UnixDatagram, datagram: &[u8], descriptors: &[i32]) {
    let rights = [ControlMessage::ScmRights(descriptors)];
    let flags = MsgFlags::MSG_NOSIGNAL;
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(datagram)], &rights, flags, None).unwrap();
}

fn is_closed(end: &OwnedFd, wait: PollTimeout) -> bool {
    let mut fds = [PollFd::new(end.as_fd(), PollFlags::empty())];
    poll(&mut fds, wait).unwrap() == 1
}

#[tokio::test]
async fn descriptors_never_arrive() {
    let mut talk = talk();
    let socket = talk.connect();
    let (ours, theirs) = pipe2(OFlag::O_CLOEXEC).unwrap();
    send_with(&socket, b"FDSTORE=1\nREADY=1", &[theirs.as_raw_fd()]);
    send_with(&socket, b"READY=1", &[theirs.as_raw_fd(); 253]);
    drop(theirs);
    assert!(!is_closed(&ours, PollTimeout::ZERO));
    assert_eq!(talk.all().await, [Note::Ready, Note::Ready]);
    assert!(is_closed(&ours, PollTimeout::from(10_000u16)));
}

#[tokio::test]
async fn a_barrier_opens_when_everything_before_has_been_handled() {
    let mut talk = talk();
    let socket = talk.connect();
    socket.send(b"READY=1").unwrap();
    let (ours, theirs) = pipe2(OFlag::O_CLOEXEC).unwrap();
    send_with(&socket, b"BARRIER=1", &[theirs.as_raw_fd()]);
    drop(theirs);
    let ready = talk.next().await;
    assert_eq!(ready.notes, [Note::Ready]);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!is_closed(&ours, PollTimeout::ZERO), "not handled yet");
    ready.receipt.sign();
    let closed = tokio::task::spawn_blocking(move || is_closed(&ours, PollTimeout::from(10_000u16)));
    assert!(closed.await.unwrap());
}

// ---- the watchdog ------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn silence_is_told_once() {
    let mut talk = talk();
    let limit = Duration::from_millis(50);
    talk.watch(Some(limit));
    assert_eq!(talk.heard().await, [Note::Silent(limit)]);
    let again = tokio::time::timeout(4 * limit, talk.deliveries.recv()).await;
    assert!(again.is_err());
    // Until it is watched anew.
    talk.watch(Some(limit));
    assert_eq!(talk.heard().await, [Note::Silent(limit)]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_fed_is_quiet() {
    let mut talk = talk();
    let limit = Duration::from_secs(1);
    talk.watch(Some(limit));
    let socket = talk.connect();
    let start = tokio::time::Instant::now();
    for _ in 0..8 {
        socket.send(b"WATCHDOG=1").unwrap();
        tokio::time::sleep(limit / 5).await;
    }
    assert!(talk.deliveries.try_recv().is_err(), "fed all the time");
    assert_eq!(talk.heard().await, [Note::Silent(limit)]);
    assert_eq!(start.elapsed().as_millis() / 10, 240, "a second after the last one, which came after 1.4");
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_was_stopped_does_not_blame_the_worker() {
    let mut talk = talk();
    let limit = Duration::from_millis(100);
    talk.watch(Some(limit));
    tokio::task::yield_now().await;
    // The loop stands still for longer than the limit; the worker has spoken meanwhile.
    talk.say(b"WATCHDOG=1");
    tokio::time::advance(3 * limit).await;
    let start = tokio::time::Instant::now();
    assert_eq!(talk.heard().await, [Note::Silent(limit)]);
    assert!(start.elapsed() >= limit, "its message was heard first");
}

#[tokio::test(start_paused = true)]
async fn the_watchdog_can_be_called_off() {
    let mut talk = talk();
    talk.watch(Some(Duration::from_millis(30)));
    talk.watch(None);
    let silence = tokio::time::timeout(Duration::from_millis(150), talk.deliveries.recv()).await;
    assert!(silence.is_err());
}

// ---- programs ----------------------------------------------------------------------------------------------------

/// Ends when the message has been handled: it sends a barrier after it.
#[tokio::test]
async fn systemd_notify_is_heard() {
    if !exists("systemd-notify") {
        return;
    }
    let mut talk = talk();
    let mut command = talk.command("systemd-notify");
    command.args(["--ready", "--status=Serving 3 clients", "WATCHDOG=1", "ERRNO=2"]);
    let mut child = command.spawn().unwrap();
    let delivery = talk.next().await;
    for expected in [Note::Ready, status("Serving 3 clients"), Note::Failing(nix::errno::Errno::ENOENT)] {
        assert!(delivery.notes.contains(&expected), "{:?}", delivery.notes);
    }
    assert!(child.try_wait().unwrap().is_none(), "it waits for us");
    delivery.receipt.sign();
    assert!(tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap().success());
    let sent = talk.command("systemd-notify").args(["--no-block", "STOPPING=1"]).status();
    assert!(sent.unwrap().success());
    assert_eq!(talk.all().await, [Note::Stopping]);
}

#[tokio::test]
async fn a_python_program_is_heard() {
    if !exists("python3") {
        return;
    }
    let mut talk = talk();
    let script = r#"
import os, socket
address = os.environ["NOTIFY_SOCKET"]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.sendto(b"RELOADING=1\nMONOTONIC_USEC=5000000", "\0" + address[1:])
s.sendto("STATUS=Größe".encode(), "\0" + address[1:])
"#;
    assert!(talk.command("python3").args(["-c", script]).status().unwrap().success());
    let since = Some(Duration::from_secs(5));
    assert_eq!(talk.all().await, [Note::Reloading { since }, status("Größe")]);
}

#[tokio::test]
async fn node_is_not_disturbed() {
    if !exists("node") {
        return;
    }
    let mut talk = talk();
    let script = "const d = require('dgram').createSocket('udp4'); d.bind(0, '127.0.0.1', () => { d.close(); console.log('fine'); })";
    let output = talk.command("node").env("WATCHDOG_USEC", "1000000").args(["-e", script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "fine\n");
    assert!(output.stderr.is_empty() && output.status.success(), "{output:?}");
    assert_eq!(talk.all().await, []);
}

#[tokio::test]
async fn every_socket_has_a_name_of_its_own() {
    let (first, _one) = open(RunId(1)).unwrap();
    let (second, _other) = open(RunId(1)).unwrap();
    assert!(first != second && first.starts_with("@supd/") && first.contains("/1/"), "{first}");
    assert!(first.len() < 100, "it fits into sockaddr_un");
}
