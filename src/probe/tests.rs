//! Real servers, real commands.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use supd_api::{Check, Layer, ListenAddress, Millis, Probe, VariableView};
use supd_keeper::protocol::RunId;
use tokio::sync::mpsc;

use super::question::Question;
use super::watch::{Answer, Ask};
use super::*;

fn target() -> Target {
    let variable = |(name, value): (&str, &str)| VariableView {
        name: name.to_owned(),
        value: value.into(),
        layer: Layer::Supd,
    };
    let environment =
        [("PATH", "/usr/bin:/bin"), ("TOKEN", "hunter2"), ("NODE_CHANNEL_FD", "3")].map(variable);
    Target {
        run: RunId(9),
        role: Role::Ready,
        reach: Reach::Port,
        environment: environment.to_vec(),
        cwd: "/usr".to_owned(),
        user: None,
        group: None,
    }
}

fn probe(check: Check) -> Probe {
    Probe {
        check,
        initial_delay: Millis(0),
        interval: Millis(10_000),
        timeout: Millis(10_000),
        success_threshold: 1,
        failure_threshold: 1,
    }
}

fn http(address: SocketAddr) -> Probe {
    probe(Check::Http { address: Some(address.to_string()), path: "/health".to_owned() })
}

fn exec(script: &str) -> Probe {
    probe(Check::Exec { command: ["sh", "-c", script].map(str::to_owned).to_vec() })
}

fn question(target: Target, probe: &Probe) -> (Question, mpsc::UnboundedReceiver<Outgoing>) {
    let (outlet, outgoing) = mpsc::unbounded_channel();
    (Question::new(target, probe, outlet), outgoing)
}

async fn ask(target: Target, probe: &Probe) -> Answer {
    question(target, probe).0.ask().await
}

/// What follows the name of the thing asked.
async fn text(probe: &Probe) -> (bool, String) {
    let answer = ask(target(), probe).await;
    let text = answer.text.split_once(": ").expect("a name").1.to_owned();
    (answer.passed, text)
}

/// Reads a request's head and hands the connection over; the request comes out of the receiver.
fn server(answer: impl Fn(&mut TcpStream) + Send + 'static) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, requests) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = sender.send(head(&mut stream));
            answer(&mut stream);
        }
    });
    (address, requests)
}

fn head(stream: &mut impl Read) -> String {
    let mut text = Vec::new();
    let mut letter = [0];
    while !text.ends_with(b"\r\n\r\n") && stream.read(&mut letter).is_ok_and(|size| size > 0) {
        text.push(letter[0]);
    }
    String::from_utf8(text).unwrap()
}

fn saying(answer: &'static str) -> SocketAddr {
    server(move |stream| drop(stream.write_all(answer.as_bytes()))).0
}

// ---- HTTP --------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn what_a_status_means() {
    for (answer, passed, expected) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", true, "200 OK"),
        ("HTTP/1.1 204 No Content\r\n\r\n", true, "204 No Content"),
        ("HTTP/1.0 200 OK\r\n\r\nuntil the end", true, "200 OK"),
        (
            "HTTP/1.1 301 Gone Fishing\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n",
            true,
            "301 Moved Permanently",
        ),
        ("HTTP/1.1 399 Odd\r\ncontent-length: 0\r\n\r\n", true, "399"),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", false, "404 Not Found"),
        (
            "HTTP/1.1 503 x\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n",
            false,
            "503 Service Unavailable",
        ),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true, "200 OK"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
            false,
            "101 Switching Protocols",
        ),
    ] {
        let address = saying(answer);
        let expected = format!("GET /health on {address}: {expected}");
        assert_eq!(ask(target(), &http(address)).await, Answer { passed, text: expected }, "{answer}");
    }
}

#[tokio::test]
async fn what_is_no_answer() {
    for (answer, expected) in [
        ("", "it closed the connection without a whole answer"),
        ("HTTP/1.1 200 OK\r\ncontent-le", "it closed the connection without a whole answer"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort",
            "it closed the connection without a whole answer",
        ),
        ("SSH-2.0-OpenSSH_9.2p1\r\n", "its answer is not HTTP"),
        ("HTTP/1.1 200 OK\r\nbroken header\r\n\r\n", "its answer is not HTTP"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "its answer is not HTTP"),
    ] {
        assert_eq!(text(&http(saying(answer))).await, (false, expected.to_owned()), "{answer}");
    }
}

#[tokio::test]
async fn the_request() {
    let (address, requests) = server(|stream| drop(stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")));
    let probe =
        probe(Check::Http { address: Some(format!(":{}", address.port())), path: "/up?deep=1".to_owned() });
    assert_eq!(
        ask(target(), &probe).await.text,
        format!("GET /up?deep=1 on localhost:{}: 200 OK", address.port())
    );
    let request = requests.recv().unwrap().to_lowercase();
    assert!(request.starts_with("get /up?deep=1 http/1.1\r\n"), "{request}");
    let version = env!("CARGO_PKG_VERSION");
    for line in [
        format!("host: localhost:{}", address.port()),
        format!("user-agent: supd/{version}"),
        "connection: close".to_owned(),
    ] {
        assert!(request.contains(&format!("\r\n{line}\r\n")), "{line} in {request}");
    }
}

#[tokio::test]
async fn endless_answers_are_not_read() {
    let endless_head = server(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n").is_ok() {}
    });
    let (passed, said) = text(&http(endless_head.0)).await;
    assert!(!passed && (said.contains("larger than 32 KiB") || said.contains("not HTTP")), "{said}");
    let endless_body = server(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    assert_eq!(text(&http(endless_body.0)).await, (true, "200 OK".to_owned()));
}

#[tokio::test]
async fn one_that_does_not_answer_in_time() {
    let (release, held) = channel::<()>();
    let silent = server(move |_| {
        let _ = held.recv();
    });
    let mut probe = http(silent.0);
    probe.timeout = Millis(100);
    assert_eq!(text(&probe).await, (false, "no answer within 100 ms".to_owned()));
    assert!(silent.1.recv().unwrap().starts_with("GET"), "it was asked");
    drop(release);
    let dripping = server(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(5));
        }
    });
    let mut probe = http(dripping.0);
    probe.timeout = Millis(100);
    assert_eq!(text(&probe).await, (false, "no answer within 100 ms".to_owned()));
}

#[tokio::test]
async fn nobody_there() {
    // It has the port, so nobody else gets it, but does not listen.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let refused = |what: &str| Answer { passed: false, text: format!("{what}{address}: connection refused") };
    assert_eq!(ask(target(), &http(address)).await, refused("GET /health on "));
    let tcp = probe(Check::Tcp { address: address.to_string() });
    assert_eq!(ask(target(), &tcp).await, refused(""));
}

#[tokio::test]
async fn where_the_worker_itself_is() {
    let own = probe(Check::Http { address: None, path: "/".to_owned() });
    let unknown = "nothing says where the worker listens: name an `address`, or set `listen` or PORT";
    assert_eq!(ask(target(), &own).await, Answer { passed: false, text: unknown.to_owned() });

    let address = saying("HTTP/1.1 200 OK\r\n\r\n");
    let mut by_port = target();
    by_port.environment.push(VariableView {
        name: "PORT".to_owned(),
        value: address.port().to_string().into(),
        layer: Layer::Supd,
    });
    assert_eq!(ask(by_port, &own).await.text, format!("GET / on localhost:{}: 200 OK", address.port()));

    let any = SocketAddr::from(([0, 0, 0, 0], address.port()));
    let by_listen = Target { reach: Reach::Listen(ListenAddress::Tcp(any)), ..target() };
    assert_eq!(ask(by_listen, &own).await.text, format!("GET / on localhost:{}: 200 OK", address.port()));

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        head(&mut stream);
        stream.write_all(b"HTTP/1.1 418 x\r\n\r\n").unwrap();
    });
    let by_path = Target { reach: Reach::Listen(ListenAddress::Unix(path.clone())), ..target() };
    assert_eq!(ask(by_path, &own).await.text, format!("GET / on {}: 418 I'm a teapot", path.display()));
}

#[tokio::test]
async fn a_worker_is_handed_a_connection() {
    let own = probe(Check::Http { address: None, path: "/".to_owned() });
    let handed = Target { reach: Reach::HandOver, ..target() };
    let (mut question, mut outgoing) = question(handed, &own);
    let serve = |socket: OwnedFd| {
        thread::spawn(move || {
            let mut stream = TcpStream::from(socket);
            stream.set_nonblocking(false).unwrap();
            let request = head(&mut stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            (request, stream.peer_addr().unwrap())
        })
    };
    let asked = tokio::spawn(async move { (question.ask().await, question.ask().await) });
    let Some(Outgoing::HandOver { run: RunId(9), socket }) = outgoing.recv().await else {
        panic!("no connection")
    };
    let (request, peer) = serve(socket).join().unwrap();
    assert!(request.starts_with("GET / HTTP/1.1\r\n") && peer.ip().is_loopback(), "{request}");
    // The next one is not handed on.
    let Some(Outgoing::HandOver { socket, .. }) = outgoing.recv().await else { panic!("no connection") };
    drop(socket);
    let (first, second) = asked.await.unwrap();
    assert_eq!(first, Answer { passed: true, text: "GET / on a connection of its own: 200 OK".to_owned() });
    assert!(
        !second.passed && second.text.starts_with("GET / on a connection of its own: "),
        "{}",
        second.text
    );
}

#[tokio::test]
async fn paths_that_are_none() {
    for path in ["", "health", "/a b", "http://elsewhere/", "*"] {
        let check = Check::Http { address: Some("1".to_owned()), path: path.to_owned() };
        let answer = ask(target(), &probe(check)).await;
        assert!(!answer.passed && answer.text.starts_with("its `path` is none"), "{path}: {}", answer.text);
    }
}

// ---- TCP ---------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_connection_is_enough() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut target = target();
    target.environment.push(VariableView {
        name: "DB".to_owned(),
        value: address.to_string().into(),
        layer: Layer::Supd,
    });
    let answer = ask(target, &probe(Check::Tcp { address: "${DB}".to_owned() })).await;
    assert_eq!(answer, Answer { passed: true, text: format!("{address}: connection accepted") });
    let missing = ask(super::tests::target(), &probe(Check::Tcp { address: "${DB}".to_owned() })).await;
    assert!(!missing.passed && missing.text.contains("no variable `DB`"), "{}", missing.text);
}

// ---- commands ----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn what_a_command_returns() {
    for (script, passed, expected) in [
        ("exit 0", true, "exit code 0"),
        ("echo fine", true, "exit code 0"),
        ("exit 1", false, "exit code 1"),
        ("echo 'no\tdata\nbase'; echo oops >&2; exit 3", false, "exit code 3: no data base oops"),
        ("printf '\\033[31m\\377'; exit 2", false, "exit code 2: [31m�"),
        ("kill -KILL $$", false, "ended by SIGKILL"),
        (
            "test \"$TOKEN\" = hunter2 && test -z \"$NODE_CHANNEL_FD\" && test $PWD = /usr",
            true,
            "exit code 0",
        ),
    ] {
        assert_eq!(text(&exec(script)).await, (passed, expected.to_owned()), "{script}");
    }
}

#[tokio::test]
async fn commands_that_cannot_be_run() {
    let run =
        |command: &[&str]| probe(Check::Exec { command: command.iter().map(ToString::to_string).collect() });
    let missing = "no-such-command: it cannot be started: no-such-command: No such file or directory";
    assert_eq!(
        ask(target(), &run(&["no-such-command"])).await,
        Answer { passed: false, text: missing.to_owned() }
    );
    assert!(!ask(target(), &run(&[])).await.passed);
    let stranger = Target { user: Some("nobody-at-all".to_owned()), ..target() };
    let answer = ask(stranger, &run(&["true"])).await;
    assert_eq!(answer.text, "true: it cannot be started: user `nobody-at-all`: there is none of that name");
}

#[tokio::test]
async fn much_output_does_no_harm() {
    let (passed, said) = text(&exec("head -c 500000 /dev/zero | tr '\\0' x; exit 1")).await;
    assert!(!passed && said.starts_with("exit code 1: xxx") && said.chars().count() == 213, "{said}");
    let mut endless = exec("yes");
    endless.timeout = Millis(300);
    assert_eq!(text(&endless).await, (false, "no answer within 300 ms".to_owned()));
}

/// The path of a named pipe that nobody reads yet; opening it for writing waits for [`ended`].
fn fifo(directory: &tempfile::TempDir) -> std::path::PathBuf {
    let path = directory.path().join("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    path
}

/// All that was written until nobody had the pipe any more.
fn ended(path: std::path::PathBuf) -> thread::JoinHandle<String> {
    thread::spawn(move || std::fs::read_to_string(path).unwrap())
}

#[tokio::test]
async fn a_command_is_killed_with_its_children_when_time_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = fifo(&directory);
    let end = ended(path.clone());
    let script = format!("exec >{}; echo up; (sleep 20; echo late) & sleep 20; echo late", path.display());
    let mut slow = exec(&script);
    slow.timeout = Millis(1000);
    let (mut question, _outgoing) = question(target(), &slow);
    let answer = question.ask().await;
    assert_eq!(answer.text, "sh: no answer within 1 s");
    assert_eq!(end.join().unwrap(), "up\n");
}

#[tokio::test]
async fn a_command_ends_with_its_watch() {
    let directory = tempfile::tempdir().unwrap();
    let path = fifo(&directory);
    let script = format!("exec >{}; echo up; sleep 20; echo late", path.display());
    let (outlet, _outgoing) = mpsc::unbounded_channel();
    let watch = watch(target(), &exec(&script), Duration::ZERO, outlet);
    // Opens when the command does.
    let file = tokio::task::spawn_blocking(move || std::fs::File::open(path).unwrap()).await.unwrap();
    drop(watch);
    let end = tokio::task::spawn_blocking(move || std::io::read_to_string(file).unwrap());
    assert_eq!(end.await.unwrap().replace("up\n", ""), "");
}

#[tokio::test]
async fn a_command_that_took_too_long_is_run_again() {
    let directory = tempfile::tempdir().unwrap();
    let script = format!("mkdir {} && sleep 20", directory.path().join("first").display());
    let mut slow = exec(&script);
    slow.timeout = Millis(1000);
    let (mut question, _outgoing) = question(target(), &slow);
    assert_eq!(question.ask().await.text, "sh: no answer within 1 s");
    assert!(question.ask().await.text.starts_with("sh: exit code 1: mkdir"));
}

// ---- from end to end ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_server_that_comes_up_and_goes_down() {
    // It keeps the port from others when the server has gone.
    let holder = tokio::net::TcpSocket::new_v4().unwrap();
    holder.set_reuseport(true).unwrap();
    holder.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = holder.local_addr().unwrap();
    let server = tokio::net::TcpSocket::new_v4().unwrap();
    server.set_reuseport(true).unwrap();
    server.bind(address).unwrap();
    let listener = server.listen(100).unwrap();
    let mut probe = probe(Check::Tcp { address: address.to_string() });
    (probe.interval, probe.failure_threshold) = (Millis(20), 3);
    let (outlet, mut outgoing) = mpsc::unbounded_channel();
    let begin = Instant::now();
    let live = Target { role: Role::Live, ..target() };
    let _watch = watch(live, &probe, Duration::ZERO, outlet);
    let mut next = async || match outgoing.recv().await {
        Some(Outgoing::Finding(finding)) => finding,
        other => panic!("{other:?}"),
    };
    let (run, role) = (RunId(9), Role::Live);
    let answer = format!("{address}: connection accepted");
    assert_eq!(next().await, Finding { run, role, passed: true, answer });
    drop(listener);
    let answer = format!("{address}: connection refused");
    assert_eq!(next().await, Finding { run, role, passed: false, answer });
    assert!(begin.elapsed() >= Duration::from_millis(40), "three of them, 20 ms apart");
}
