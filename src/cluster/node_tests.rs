//! The module against the real thing: cluster workers of a real Node (see [`parent`](super::parent)).

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};
use supd_api::Balance;
use supd_keeper::protocol::RunId;

use super::parent::{LONG, Parent, parent};
use super::{FromWorker, ToWorker};

/// Answers each connection with its pid, tells the parent what became of each `open`.
const PRELUDE: &str = "
    const net = require('net');
    const pid = (socket) => socket.end(String(process.pid), () => socket.destroySoon());
    const open = (name, options) => {
        const server = net.createServer(pid);
        server.on('error', (error) => process.send({ name, error: error.code, message: error.message }));
        server.on('listening', () => process.send({ name, address: server.address() }));
        return server.listen(options);
    };
";

impl Parent {
    /// Starts a cluster worker that has the prelude.
    fn begin(&mut self, run: u64, script: &str) {
        self.start(run, true, &format!("{PRELUDE}{script}"));
    }
}

/// Who answers there?
fn ask(port: u16) -> String {
    read(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connect"))
}

fn read(mut stream: impl Read) -> String {
    let mut said = String::new();
    stream.read_to_string(&mut said).expect("read");
    said
}

/// An address that nobody else uses, so that a fixed port cannot be taken.
fn own_address() -> Ipv4Addr {
    let [_, _, a, b] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 81, a.max(1), b.max(1))
}

fn told(name: &str, key: &str, value: &str) -> impl Fn(&FromWorker) -> Option<()> {
    move |event| match event {
        FromWorker::Message { text, .. } => {
            let told: Value = serde_json::from_str(text).ok()?;
            (told["name"] == name && told[key] == value).then_some(())
        }
        _ => None,
    }
}

#[tokio::test]
async fn two_workers_share_a_port_and_one_leaves() {
    let Some(mut parent) = parent(Balance::Shared) else { return };
    parent.begin(1, "open('a', 0)");
    let first = parent.listening(1).await;
    parent.begin(2, "open('a', 0)");
    assert_eq!(parent.listening(2).await.port(), first.port());
    assert!([parent.pid(1), parent.pid(2)].contains(&ask(first.port())));
    parent.disconnect(1);
    assert_eq!(parent.ended(1).await, Some(0));
    assert_eq!(ask(first.port()), parent.pid(2));
    parent.disconnect(2);
    assert_eq!(parent.ended(2).await, Some(0));
    let waiting = TcpStream::connect((Ipv4Addr::LOCALHOST, first.port())).expect("the port is still there");
    parent.begin(3, "open('a', 0)");
    parent.listening(3).await;
    assert_eq!(read(waiting), parent.pid(3));
}

#[tokio::test]
async fn a_socket_per_worker() {
    let Some(mut parent) = parent(Balance::Reuseport) else { return };
    parent.begin(1, "open('a', 0)");
    let port = parent.listening(1).await.port();
    parent.begin(2, "open('a', 0)");
    assert_eq!(parent.listening(2).await.port(), port);
    assert_eq!(parent.sockets.len(), 2);
    let pids = [parent.pid(1), parent.pid(2)];
    for pid in pids {
        assert!((0..1000).any(|_| ask(port) == pid), "the kernel never chose {pid}");
    }
}

#[tokio::test]
async fn every_kind_of_socket() {
    let Some(mut parent) = parent(Balance::Shared) else { return };
    let script = "
        open('any', 0);
        open('again', 0);
        open('v4', { host: '127.0.0.1', port: 0 });
        open('only6', { host: '::', port: 0, ipv6Only: true });
        open('unix', { path: 'app.sock' });
        const udp = require('dgram').createSocket('udp4', (text, from) => udp.send(String(process.pid), from.port));
        udp.bind(0, () => process.send({ name: 'udp', address: udp.address() }));
    ";
    parent.begin(1, script);
    let mut ports = HashMap::new();
    while ports.len() < 6 {
        let told = parent.told(1).await;
        assert_eq!(told["error"], Value::Null, "{told}");
        ports.insert(
            told["name"].as_str().expect("name").to_owned(),
            told["address"]["port"].as_u64().unwrap_or_default(),
        );
    }
    let pid = parent.pid(1);
    let port = |name: &str| u16::try_from(ports[name]).expect("port");
    assert_ne!(port("any"), port("again"));
    assert_eq!(ask(port("any")), pid);
    assert_eq!(ask(port("again")), pid);
    assert_eq!(ask(port("v4")), pid);
    assert!(TcpStream::connect(("127.0.0.1", port("only6"))).is_err());
    assert_eq!(read(TcpStream::connect(("::1", port("only6"))).expect("IPv6")), pid);
    let path = parent.directory.path().join("app.sock");
    assert_eq!(read(UnixStream::connect(path).expect("unix")), pid);
    let client = UdpSocket::bind("127.0.0.1:0").expect("client");
    client.set_read_timeout(Some(LONG)).expect("timeout");
    client.send_to(b"x", ("127.0.0.1", port("udp"))).expect("send");
    let mut answer = [0; 32];
    let length = client.recv(&mut answer).expect("answer");
    assert_eq!(&answer[..length], pid.as_bytes());
}

#[tokio::test]
async fn a_port_that_cannot_be_had() {
    let Some(mut parent) = parent(Balance::Shared) else { return };
    let holder = TcpListener::bind((own_address(), 0)).expect("taken");
    let taken = holder.local_addr().expect("address");
    let script = format!(
        "open('taken', {{ host: '{}', port: {} }});
         const twice = {{ host: '{}', port: 8175 }};
         const first = open('first', twice).on('listening', () => {{
             open('second', twice).on('error', () => first.close(() => open('third', twice)));
         }});
         open('fd', {{ fd: 77 }});",
        taken.ip(),
        taken.port(),
        own_address(),
    );
    parent.begin(1, &script);
    let mut outcome = HashMap::new();
    while outcome.len() < 5 {
        let told = parent.told(1).await;
        outcome.insert(told["name"].as_str().expect("name").to_owned(), told);
    }
    assert_eq!(outcome["taken"]["error"], "EADDRINUSE");
    let message = outcome["taken"]["message"].as_str().expect("message");
    assert!(message.contains(&taken.to_string()), "{message}");
    assert_eq!(outcome["first"]["error"], Value::Null);
    assert_eq!(outcome["second"]["error"], "EADDRINUSE");
    assert_eq!(outcome["third"]["address"]["port"], 8175);
    assert!(outcome["fd"]["error"].is_string(), "{}", outcome["fd"]);
}

#[tokio::test]
async fn a_worker_that_leaves_by_itself() {
    let Some(mut parent) = parent(Balance::Shared) else { return };
    let script = "open('a', 0).on('listening', () => require('cluster').worker.disconnect())";
    parent.begin(1, script);
    parent.until(1, |event| (*event == FromWorker::ExitedAfterDisconnect).then_some(())).await;
    assert_eq!(parent.ended(1).await, Some(0));
    parent.begin(2, "require('cluster').worker.kill()");
    parent.until(2, |event| (*event == FromWorker::ExitedAfterDisconnect).then_some(())).await;
    assert_eq!(parent.ended(2).await, Some(0));
}

#[tokio::test]
async fn a_supervisor_dies_before_its_answer() {
    let Some(mut parent) = parent(Balance::Shared) else { return };
    parent.begin(1, "open('a', 0)");
    loop {
        let delivery = parent.next().await;
        if matches!(delivery.event, FromWorker::Query { .. }) {
            break;
        }
        delivery.receipt.sign();
    }
    parent.reopen(1);
    let port = parent.listening(1).await.port();
    assert_eq!(ask(port), parent.pid(1));
}

#[tokio::test]
async fn a_supervisor_dies_between_its_answer_and_the_end_of_its_turn() {
    let Some(mut parent) = parent(Balance::Shared) else { return };
    parent.begin(1, "open('a', 0); process.on('message', (text) => process.send({ name: text }))");
    let query = loop {
        let delivery = parent.next().await;
        if let FromWorker::Query { seq, query } = &delivery.event {
            parent.answer(delivery.run, *seq, query);
            break delivery;
        }
        delivery.receipt.sign();
    };
    // The answer goes out although the line is not taken: wait for what the worker says after it.
    let (worker, mut seen) = (&parent.workers[&RunId(1)], vec![0; 65536]);
    tokio::time::timeout(LONG, async {
        loop {
            let flags = nix::sys::socket::MsgFlags::MSG_PEEK | nix::sys::socket::MsgFlags::MSG_DONTWAIT;
            let count =
                nix::sys::socket::recv(std::os::fd::AsRawFd::as_raw_fd(&worker.kept), &mut seen, flags);
            if String::from_utf8_lossy(&seen[..count.expect("peek")]).contains("\"act\":\"listening\"") {
                break;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("in time");
    parent.reopen(1);
    drop(query);
    let port = parent.listening(1).await.port();
    assert_eq!(ask(port), parent.pid(1));
    let heard = parent.workers[&RunId(1)].channel.as_ref().expect("open").tell(&json!("still well"));
    assert_eq!(heard.await, Ok(Ok(())));
    while parent.told(1).await != json!({ "name": "still well" }) {}
}

#[tokio::test]
async fn a_bare_channel() {
    let Some(mut parent) = parent(Balance::Shared) else { return };
    let script = "
        process.send('ready');
        process.on('message', (text) => { process.send({ name: text }); process.disconnect() });
    ";
    parent.start(1, false, script);
    parent.until(1, |event| (*event == FromWorker::Ready).then_some(())).await;
    parent.send(1, ToWorker::Shutdown);
    parent.until(1, told("shutdown", "name", "shutdown")).await;
    assert_eq!(parent.ended(1).await, Some(0));
}

#[tokio::test]
async fn a_worker_that_sends_us_a_socket_is_not_held_up() {
    let Some(mut parent) = parent(Balance::Shared) else { return };
    let script = "
        const server = net.createServer().listen({ host: '127.0.0.1', port: 0, exclusive: true }, () => {
            process.send({ name: 'gift' }, server);
            process.send({ name: 'after' });
        });
    ";
    parent.begin(1, script);
    parent.until(1, told("after", "name", "after")).await;
}

#[tokio::test]
async fn many_servers_at_once() {
    let Some(mut parent) = parent(Balance::Shared) else { return };
    parent.begin(1, "for (let n = 0; n < 100; n++) open(String(n), 0)");
    let mut ports = HashSet::new();
    while ports.len() < 100 {
        ports.insert(parent.listening(1).await.port());
    }
    for port in ports {
        assert_eq!(ask(port), parent.pid(1));
    }
}
