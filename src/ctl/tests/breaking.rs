use std::fs;
use std::future::pending;
use std::io::{self, Write};
use std::os::fd::AsRawFd;

use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, UnixAddr};
use serde_json::json;
use supd_api::{Fault, FaultCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::ok;
use crate::ctl::fake::{Fake, Ran};
use crate::ctl::output::{Failure, Output, Style};

/// Reads a request to the end of its head.
async fn read_head(stream: &mut UnixStream) {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut head).await.unwrap(), 0);
    }
}

async fn write_answer(stream: &mut UnixStream, body: &str) {
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).await.unwrap();
}

/// Hangs up on the first so many requests and answers the next with an empty list.
fn hanging_up(fake: &Fake, times: usize) -> tokio::task::JoinHandle<usize> {
    let listener = UnixListener::bind(fake.socket()).unwrap();
    tokio::spawn(async move {
        for _ in 0..times {
            read_head(&mut listener.accept().await.unwrap().0).await;
        }
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        write_answer(&mut stream, "[]").await;
        times
    })
}

#[tokio::test]
async fn a_question_is_repeated_once() {
    let fake = Fake::empty();
    let server = hanging_up(&fake, 1);
    let ran = fake.run("list --json").await;
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "[]\n", ""));
    assert_eq!(server.await.unwrap(), 1);

    let fake = Fake::empty();
    let server = hanging_up(&fake, 2);
    let ran = fake.run("list --json").await;
    assert_eq!(ran.code, 7);
    assert!(ran.out.contains("broke twice"), "{}", ran.out);
    server.abort();
}

#[tokio::test]
async fn an_order_is_not_repeated() {
    let fake = Fake::empty();
    let server = hanging_up(&fake, 1);
    let ran = fake.run("stop all").await;
    assert_eq!(ran.code, 7);
    assert!(ran.err.ends_with("hint: the change may or may not have been made: look at `supctl list`\n"));
    assert!(!server.is_finished());
    server.abort();
}

#[tokio::test]
async fn a_full_queue_is_waited_for() {
    let fake = Fake::empty();
    let kind = (AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_NONBLOCK);
    let socket = socket::socket(kind.0, kind.1, kind.2, None).unwrap();
    socket::bind(socket.as_raw_fd(), &UnixAddr::new(&fake.socket()).unwrap()).unwrap();
    socket::listen(&socket, Backlog::new(0).unwrap()).unwrap();
    let waiting = std::os::unix::net::UnixStream::connect(fake.socket()).unwrap();
    let listener = UnixListener::from_std(socket.into()).unwrap();
    let serve = async {
        drop((listener.accept().await.unwrap(), waiting));
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        write_answer(&mut stream, "[]").await;
    };
    // The command is polled first, so its first attempt meets the full queue.
    let ran = tokio::select! {
        biased;
        ran = fake.run("list --json") => ran,
        never = async { serve.await; pending::<Ran>().await } => never,
    };
    assert_eq!((ran.code, ran.out.as_str()), (0, "[]\n"));
}

#[tokio::test]
async fn what_is_not_http_or_not_json_is_named() {
    let fake = Fake::empty();
    let listener = UnixListener::bind(fake.socket()).unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"220 mail.example ESMTP\r\n\r\n").await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        write_answer(&mut stream, "{]").await;
    });
    let ran = fake.run("ping").await;
    assert_eq!(ran.code, 7);
    assert!(ran.err.starts_with("error: what listens on the socket does not speak HTTP\n"), "{}", ran.err);
    let ran = fake.run("ping").await;
    assert_eq!(ran.code, 70);
    assert!(ran.err.contains("`supctl version`"), "{}", ran.err);
    server.await.unwrap();
}

#[tokio::test]
async fn without_a_daemon_and_without_leave_to_start_one() {
    let ran = Fake::empty().run("ping").await;
    assert_eq!(ran.code, 7);
    assert!(ran.err.ends_with("hint: `supctl ping` starts it\n"));
    let stale = Fake::empty();
    drop(UnixListener::bind(stale.socket()).unwrap());
    assert_eq!(stale.run("ping").await.code, 7, "a socket nobody holds is no daemon");
    assert_eq!(stale.run("kill --json").await.out, "{\"workers\":[]}\n");
    let file = Fake::empty();
    fs::write(file.socket(), "").unwrap();
    assert_eq!(file.run("ping").await.code, 7, "a file in place of the socket is no daemon");
}

#[tokio::test]
async fn kill_waits_until_the_daemon_is_gone() {
    let fake = Fake::empty();
    let socket = fake.socket();
    let listener = UnixListener::bind(&socket).unwrap();
    let server = tokio::spawn(async move {
        let (_probe, _) = listener.accept().await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        write_answer(&mut stream, "{}").await;
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        write_answer(&mut stream, r#"{"workers":[{"id":0,"app":"web"}]}"#).await;
        // One look finds it still listening.
        listener.accept().await.unwrap();
        drop(listener);
        fs::remove_file(socket).unwrap();
    });
    let ran = fake.run("kill").await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.starts_with("stopped web (0)\nno daemon runs in "), "{}", ran.out);
    server.await.unwrap();
}

/// A stream whose reader has gone, or whose disk is full.
struct Closed(io::ErrorKind);

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(self.0.into())
    }
}

#[test]
fn a_reader_that_leaves_is_no_failure_but_a_full_disk_is() {
    for (kind, code) in [(io::ErrorKind::BrokenPipe, 0), (io::ErrorKind::StorageFull, 1)] {
        let mut output = Output::new(Box::new(Closed(kind)), Box::new(io::sink()), Style::default());
        let failure = Failure::from(output.json(&json!([1])).unwrap_err());
        assert_eq!(output.failure(failure), code, "{kind:?}");
    }
}

#[test]
fn every_fault_has_its_exit_code() {
    let mut output = Output::new(Box::new(io::sink()), Box::new(io::sink()), Style::default());
    for code in FaultCode::ALL {
        assert_eq!(output.failure(Fault::new(code, "x").into()), code.exit_code());
    }
}

#[tokio::test]
async fn a_refusal_without_words_is_still_explained() {
    let mut answers = ok([]);
    answers.insert("GET /v1/daemon", (418, "teapot".to_owned()));
    let ran = Fake::serving(answers).run("ping").await;
    assert_eq!(ran.code, 70);
    assert!(
        ran.err.starts_with("error: the daemon answered 418 I'm a teapot without saying why\n"),
        "{}",
        ran.err
    );
}
