//! The module against the real thing: cluster workers of the `node` found in `PATH`. Without one these tests say so
//! and pass, since supd itself does not need Node.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use supd_api::{AppName, Balance};
use supd_keeper::protocol::RunId;
use tokio::sync::mpsc;

use super::{
    Asker, Bound, Channel, Decision, Delivery, Ended, FromWorker, PortKey, Ports, Seat, ServerQuery,
    ToWorker, bind,
};

const LONG: Duration = Duration::from_secs(60);

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

struct Worker {
    process: Child,
    channel: Option<Channel>,
    /// What the keeper would hold.
    kept: UnixStream,
}

/// A supervisor of the smallest kind.
struct Parent {
    directory: tempfile::TempDir,
    app: AppName,
    balance: Balance,
    ports: Ports,
    sockets: HashMap<PortKey, Arc<OwnedFd>>,
    workers: HashMap<RunId, Worker>,
    leaving: HashSet<RunId>,
    sender: mpsc::UnboundedSender<Delivery>,
    deliveries: mpsc::UnboundedReceiver<Delivery>,
}

impl Drop for Parent {
    fn drop(&mut self) {
        for worker in self.workers.values_mut() {
            let _ = worker.process.kill();
            let _ = worker.process.wait();
        }
    }
}

fn parent(balance: Balance) -> Option<Parent> {
    if Command::new("node").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("not tested: there is no `node` in PATH");
        return None;
    }
    let (sender, deliveries) = mpsc::unbounded_channel();
    Some(Parent {
        directory: tempfile::tempdir().expect("directory"),
        app: AppName::new("web").expect("name"),
        balance,
        ports: Ports::default(),
        sockets: HashMap::new(),
        workers: HashMap::new(),
        leaving: HashSet::new(),
        sender,
        deliveries,
    })
}

impl Parent {
    /// Starts `script` as run `run` in the seat of the same number, as a cluster worker or with a bare channel.
    fn start(&mut self, run: u64, cluster: bool, script: &str) {
        let file = self.directory.path().join("worker.js");
        std::fs::write(&file, format!("{PRELUDE}{script}")).expect("script");
        let (kept, theirs) = UnixStream::pair().expect("pair");
        let mut command = Command::new("sh");
        command.arg("-c").arg("exec node \"$0\" 3<&0 </dev/null").arg(file).stdin(OwnedFd::from(theirs));
        command.current_dir(&self.directory);
        command.env("NODE_CHANNEL_FD", "3").env("NODE_CHANNEL_SERIALIZATION_MODE", "json");
        if cluster {
            command.env("NODE_UNIQUE_ID", run.to_string());
        }
        let process = command.spawn().expect("sh");
        self.workers.insert(RunId(run), Worker { process, channel: None, kept });
        self.reopen(run);
    }

    fn reopen(&mut self, run: u64) {
        let worker = self.workers.get_mut(&RunId(run)).expect("known");
        let end = worker.kept.try_clone().expect("duplicate").into();
        worker.channel = Some(Channel::open(RunId(run), end, self.sender.clone()).expect("open"));
    }

    fn send(&self, run: u64, message: ToWorker) {
        self.workers[&RunId(run)].channel.as_ref().expect("open").send(message);
    }

    fn disconnect(&mut self, run: u64) {
        self.leaving.insert(RunId(run));
        self.send(run, ToWorker::Disconnect);
    }

    async fn next(&mut self) -> Delivery {
        tokio::time::timeout(LONG, self.deliveries.recv()).await.expect("in time").expect("open")
    }

    /// One event, handled.
    async fn turn(&mut self) -> (u64, FromWorker) {
        let Delivery { run, event, receipt } = self.next().await;
        self.handle(run, &event);
        receipt.sign();
        (run.0, event)
    }

    fn handle(&mut self, run: RunId, event: &FromWorker) {
        match event {
            FromWorker::Query { seq, query } => self.answer(run, *seq, query),
            FromWorker::Closed(_) if self.leaving.contains(&run) => {}
            FromWorker::Closed(key) => {
                if let Some(useless) = self.ports.closed(run, key) {
                    self.sockets.remove(&useless);
                }
            }
            FromWorker::Ended(_) => self.ports.release(run),
            FromWorker::Ready
            | FromWorker::Online
            | FromWorker::Listening(_)
            | FromWorker::ExitedAfterDisconnect
            | FromWorker::Message(_) => {}
        }
    }

    fn answer(&mut self, run: RunId, seq: u64, query: &ServerQuery) {
        let seat = Seat(u32::try_from(run.0).expect("small"));
        let asker = Asker { app: &self.app, seat, run, balance: self.balance };
        let got = match self.ports.query(asker, seq, query) {
            Decision::Have(key) => Ok(key),
            Decision::Refuse(errno) => Err(errno),
            Decision::Bind(claim) => bind(&claim.endpoint, claim.balance)
                .map(|Bound { socket, endpoint }| {
                    let key = self.ports.bound(claim, endpoint);
                    self.sockets.insert(key.clone(), Arc::new(socket));
                    key
                })
                .map_err(|error| error.errno),
        };
        let key = got.clone().unwrap_or_else(|_| PortKey::from(String::new()));
        let data = self.ports.data(&key);
        let socket = got.map(|key| self.sockets[&key].clone());
        self.send(run.0, ToWorker::Answer { seq, key, data, socket });
    }

    /// Turns until this run has said something that satisfies `wanted`.
    async fn until<T>(&mut self, run: u64, wanted: impl Fn(&FromWorker) -> Option<T>) -> T {
        loop {
            let (from, event) = self.turn().await;
            if from == run
                && let Some(found) = wanted(&event)
            {
                return found;
            }
            assert!(!matches!(event, FromWorker::Ended(_)) || from != run, "run {run} ended");
        }
    }

    async fn listening(&mut self, run: u64) -> SocketAddr {
        self.until(run, |event| match event {
            FromWorker::Listening(endpoint) => endpoint.address(),
            _ => None,
        })
        .await
    }

    /// What the script reports by `process.send`.
    async fn told(&mut self, run: u64) -> Value {
        self.until(run, |event| match event {
            FromWorker::Message(text) => serde_json::from_str(text).ok(),
            _ => None,
        })
        .await
    }

    async fn ended(&mut self, run: u64) -> Option<i32> {
        let ended = self.until(run, |event| match event {
            FromWorker::Ended(ended) => Some(*ended),
            _ => None,
        });
        assert_eq!(ended.await, Ended::Closed);
        let worker = self.workers.get_mut(&RunId(run)).expect("known");
        worker.process.wait().expect("wait").code()
    }

    fn pid(&self, run: u64) -> String {
        self.workers[&RunId(run)].process.id().to_string()
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
        FromWorker::Message(text) => {
            let told: Value = serde_json::from_str(text).ok()?;
            (told["name"] == name && told[key] == value).then_some(())
        }
        _ => None,
    }
}

#[tokio::test]
async fn two_workers_share_a_port_and_one_leaves() {
    let Some(mut parent) = parent(Balance::Shared) else { return };
    parent.start(1, true, "open('a', 0)");
    let first = parent.listening(1).await;
    parent.start(2, true, "open('a', 0)");
    assert_eq!(parent.listening(2).await.port(), first.port());
    assert!([parent.pid(1), parent.pid(2)].contains(&ask(first.port())));
    parent.disconnect(1);
    assert_eq!(parent.ended(1).await, Some(0));
    assert_eq!(ask(first.port()), parent.pid(2));
    parent.disconnect(2);
    assert_eq!(parent.ended(2).await, Some(0));
    let waiting = TcpStream::connect((Ipv4Addr::LOCALHOST, first.port())).expect("the port is still there");
    parent.start(3, true, "open('a', 0)");
    parent.listening(3).await;
    assert_eq!(read(waiting), parent.pid(3));
}

#[tokio::test]
async fn a_socket_per_worker() {
    let Some(mut parent) = parent(Balance::Reuseport) else { return };
    parent.start(1, true, "open('a', 0)");
    let port = parent.listening(1).await.port();
    parent.start(2, true, "open('a', 0)");
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
    parent.start(1, true, script);
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
    parent.start(1, true, &script);
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
    parent.start(1, true, script);
    parent.until(1, |event| (*event == FromWorker::ExitedAfterDisconnect).then_some(())).await;
    assert_eq!(parent.ended(1).await, Some(0));
    parent.start(2, true, "require('cluster').worker.kill()");
    parent.until(2, |event| (*event == FromWorker::ExitedAfterDisconnect).then_some(())).await;
    assert_eq!(parent.ended(2).await, Some(0));
}

#[tokio::test]
async fn a_supervisor_dies_before_its_answer() {
    let Some(mut parent) = parent(Balance::Shared) else { return };
    parent.start(1, true, "open('a', 0)");
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
    parent.start(1, true, "open('a', 0); process.on('message', (text) => process.send({ name: text }))");
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
    parent.send(1, ToWorker::Message(json!("still well")));
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
    parent.start(1, true, script);
    parent.until(1, told("after", "name", "after")).await;
}

#[tokio::test]
async fn many_servers_at_once() {
    let Some(mut parent) = parent(Balance::Shared) else { return };
    parent.start(1, true, "for (let n = 0; n < 100; n++) open(String(n), 0)");
    let mut ports = HashSet::new();
    while ports.len() < 100 {
        ports.insert(parent.listening(1).await.port());
    }
    for port in ports {
        assert_eq!(ask(port), parent.pid(1));
    }
}
