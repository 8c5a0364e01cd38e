//! Workers that are replaced under load: nobody may notice. `SUPD_TEST_NODE` names another Node, `SUPD_TEST_APP` the file
//! of another app, which must listen at a random port and serve the paths of [`APP`].

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;
use supd_api::Balance;

use super::load::{Client, Load, Next, Shape, Tally};
use super::parent::{Parent, major, parent};
use super::{FromWorker, ToWorker};

/// Unmodified: knows nothing of draining.
const APP: &str = "
    require('http').createServer((request, response) => {
        if (request.url === '/slow') setTimeout(() => response.end('ok'), 500);
        else if (request.url === '/stream') { response.write('o'); setTimeout(() => response.end('k'), 300); }
        else response.end('ok');
    }).on('upgrade', (request, socket) => {
        socket.write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: upgrade\\r\\nUpgrade: echo\\r\\n\\r\\n');
        socket.pipe(socket);
    }).listen(0);
";

fn gentle(balance: Balance) -> Option<Parent> {
    let mut parent = parent(balance)?;
    parent.preload = Some("");
    Some(parent)
}

/// Replaces the worker ten times while clients ask.
async fn replaced(clients: &[(Shape, usize)], paths: &[&'static str]) -> Option<Tally> {
    let mut parent = gentle(Balance::Shared)?;
    let app = std::env::var_os("SUPD_TEST_APP").map_or_else(
        || {
            let file = parent.directory.path().join("app.js");
            std::fs::write(&file, APP).expect("script");
            file
        },
        PathBuf::from,
    );
    parent.start_file(1, true, &app);
    let port = parent.listening(1).await.port();
    let load = Load::begin(port, clients, paths);
    for old in 1..=10 {
        parent.start_file(old + 1, true, &app);
        assert_eq!(parent.listening(old + 1).await.port(), port);
        let begun = Instant::now();
        parent.disconnect(old);
        assert_eq!(parent.ended(old).await, Some(0));
        eprintln!("run {old} left within {:?}", begun.elapsed());
    }
    let tally = tokio::task::spawn_blocking(|| load.end()).await.expect("ended");
    eprintln!("{tally:?}");
    Some(tally)
}

fn assert_ok(tally: &Tally) {
    assert!(tally.keys().eq(["ok"]), "{tally:?}");
    assert!(tally["ok"] > 100, "{tally:?}");
}

#[tokio::test]
async fn ten_replacements_with_all_sorts_of_clients() {
    let clients = [(Shape::KeepAlive, 50), (Shape::PerRequest, 10)];
    let Some(tally) = replaced(&clients, &["/", "/", "/", "/", "/slow", "/", "/", "/stream"]).await else {
        return;
    };
    assert_ok(&tally);
}

#[tokio::test]
async fn ten_replacements_with_clients_in_a_hurry() {
    let Some(tally) = replaced(&[(Shape::KeepAlive, 50)], &["/"]).await else { return };
    assert_ok(&tally);
    let Some(tally) = replaced(&[(Shape::PerRequest, 20)], &["/"]).await else { return };
    assert_ok(&tally);
}

/// Until the worker knows.
async fn drain(parent: &mut Parent, run: u64) {
    parent.disconnect(run);
    parent.until(run, |event| matches!(event, FromWorker::Closed(_)).then_some(())).await;
}

/// Waits until the worker has closed this connection between two answers.
fn closes(client: &mut Client) {
    assert_eq!(client.line("as it should"), Err("closed as it should".to_owned()));
}

#[tokio::test]
async fn what_becomes_of_each_connection() {
    let Some(mut parent) = gentle(Balance::Shared) else { return };
    parent.start(1, true, APP);
    let port = parent.listening(1).await.port();
    let connect = || Client::connect(port).expect("connected");
    let [mut kept, mut unused, mut beginning, mut slow, mut streaming, mut upgraded] =
        std::array::from_fn(|_| connect());
    assert_eq!(kept.ask("/", Shape::KeepAlive), Ok(Next::MayAsk));
    beginning.send("GET / HTTP/1.1\r\nHo").expect("sent");
    slow.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
    upgraded.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n").expect("sent");
    while !upgraded.line("in the header").expect("an answer").is_empty() {}
    streaming.send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
    let head = streaming.line("before the answer").expect("it has begun");
    assert!(head.contains(" 200 "), "{head}");

    drain(&mut parent, 1).await;
    assert_eq!(slow.answer(), Ok(Next::IsLast), "what has not begun to be answered is told");
    assert_eq!(streaming.rest(), Ok(Next::MayAsk), "its header had left before");
    assert_eq!(
        streaming.ask("/", Shape::KeepAlive),
        Ok(Next::IsLast),
        "nobody is cut off without being told"
    );
    closes(&mut kept);
    closes(&mut unused);
    if major() >= 18 {
        beginning.send("st: x\r\n\r\n").expect("the rest");
        assert_eq!(beginning.answer(), Ok(Next::IsLast));
    }
    upgraded.send("still there?\n").expect("sent");
    assert_eq!(upgraded.line("as it should not").as_deref(), Ok("still there?"));
    drop(upgraded);
    assert_eq!(parent.ended(1).await, Some(0));
}

#[tokio::test]
async fn an_answer_that_insists_on_keeping_the_connection_alive() {
    let Some(mut parent) = gentle(Balance::Shared) else { return };
    let script = "
        require('http').createServer((request, response) => {
            if (request.url === '/set') response.setHeader('connection', 'keep-alive');
            else response.writeHead(200, { 'Content-Length': 2, Connection: 'keep-alive' });
            response.end('ok');
        }).listen(0);
    ";
    parent.start(1, true, script);
    let port = parent.listening(1).await.port();
    let mut clients = ["/set", "/write"].map(|path| (path, Client::connect(port).expect("connected")));
    for (path, client) in &mut clients {
        assert_eq!(client.ask(path, Shape::KeepAlive), Ok(Next::MayAsk), "{path}");
    }
    drain(&mut parent, 1).await;
    for (path, client) in &mut clients {
        assert_eq!(client.ask(path, Shape::KeepAlive), Ok(Next::IsLast), "{path}");
        closes(client);
    }
    assert_eq!(parent.ended(1).await, Some(0));
}

#[tokio::test]
async fn told_twice() {
    let Some(mut parent) = gentle(Balance::Shared) else { return };
    parent.start(1, true, APP);
    let port = parent.listening(1).await.port();
    let [mut slow, mut quick] = std::array::from_fn(|_| Client::connect(port).expect("connected"));
    slow.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
    assert_eq!(quick.ask("/", Shape::PerRequest), Ok(Next::IsLast), "so the other has been accepted before");
    drain(&mut parent, 1).await;
    parent.disconnect(1);
    assert_eq!(parent.ended(1).await, Some(0));
    assert_eq!(slow.answer(), Ok(Next::IsLast));
}

#[tokio::test]
async fn shutdown_is_heard_by_a_worker_that_has_nothing_to_finish() {
    let Some(mut parent) = gentle(Balance::Shared) else { return };
    parent.start(1, true, "process.on('message', (text) => process.exit(text === 'shutdown' ? 7 : 8))");
    parent.until(1, |event| (*event == FromWorker::Preloaded).then_some(())).await;
    parent.send(1, ToWorker::DisconnectAndShutdown);
    assert_eq!(parent.ended(1).await, Some(7));
}

#[tokio::test]
async fn nothing_is_to_be_seen_of_the_preload() {
    let Some(mut parent) = gentle(Balance::Shared) else { return };
    parent.preload = Some("--title=\"a b\"");
    let script = "
        const { Worker } = require('worker_threads');
        const { execFileSync } = require('child_process');
        const { title, execArgv, env } = process;
        const child = execFileSync(process.execPath, ['-p', 'process.env.NODE_OPTIONS']).toString().trim();
        const modules = process.moduleLoadList.filter((name) => / (http|https|http2)$/.test(name));
        new Worker('process.exitCode = 5', { eval: true }).on('exit', (thread) => {
            process.send({ title, execArgv, options: env.NODE_OPTIONS, child, modules, thread });
        });
    ";
    parent.start(1, true, script);
    let options = "--title=\"a b\"";
    assert_eq!(
        parent.told(1).await,
        json!({ "title": "a b", "execArgv": [], "options": options, "child": options, "modules": [], "thread": 5 }),
    );
    parent.preload = Some("");
    parent.start(2, true, "process.send({ options: Object.keys(process.env).includes('NODE_OPTIONS') })");
    assert_eq!(parent.told(2).await, json!({ "options": false }));
}

/// A connection, and the end that a worker gets.
fn handed() -> (Client, ToWorker) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let client = Client::connect(listener.local_addr().expect("address").port()).expect("connected");
    (client, ToWorker::Connection { socket: listener.accept().expect("accepted").0.into() })
}

#[tokio::test]
async fn a_connection_for_one_worker_of_many() {
    let Some(mut parent) = gentle(Balance::Shared) else { return };
    let script = "
        import { createServer } from 'http';
        import { createServer as createPlain } from 'net';
        createPlain().listen(0, () => createServer(({ socket }, response) => {
            process.send({ from: socket.remoteAddress });
            response.end('ok');
        }).listen(0));
    ";
    let file = parent.directory.path().join("app.mjs");
    std::fs::write(&file, script).expect("script");
    for run in [1, 2] {
        parent.start_file(run, true, &file);
        parent.until(run, |event| (*event == FromWorker::Preloaded).then_some(())).await;
        parent.listening(run).await;
        parent.listening(run).await;
    }
    for _ in 0..5 {
        let (mut client, connection) = handed();
        parent.send(2, connection);
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        assert_eq!(parent.told(2).await, json!({ "from": "127.0.0.1" }));
        assert_eq!(client.answer(), Ok(Next::MayAsk));
    }
}

#[tokio::test]
async fn a_connection_that_nobody_serves_is_closed() {
    let Some(mut parent) = gentle(Balance::Shared) else { return };
    parent.start(1, true, "require('net').createServer().listen(0)");
    parent.listening(1).await;
    let (mut client, connection) = handed();
    parent.send(1, connection);
    tokio::task::spawn_blocking(move || closes(&mut client)).await.expect("closed");
}

/// Self-signed, for tests alone.
const CERTIFICATE: &str = "
    const tls = {
        allowHTTP1: true,
        key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgZ1vH3CyGiHQHzmvR
vFpL5tdDIsyPjj45zh+dzvG8b4+hRANCAATYinok7fInFa0KSUlactD7Cx95DCKb
4VlEeK/iFkP92x6aLTldmdgHE/b++BfFmbehEXRdt/qVmrXKkWooj0So
-----END PRIVATE KEY-----`,
        cert: `-----BEGIN CERTIFICATE-----
MIIBfzCCASWgAwIBAgIUfz9wIV2pqygnAcu2FHyxELvsux8wCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTAwMDkwNFoYDzIxMjYxMDI4
MDAwOTA0WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATYinok7fInFa0KSUlactD7Cx95DCKb4VlEeK/iFkP92x6aLTldmdgH
E/b++BfFmbehEXRdt/qVmrXKkWooj0Soo1MwUTAdBgNVHQ4EFgQUjZIu2jkhGTXs
VqyeQs55PpB59e0wHwYDVR0jBBgwFoAUjZIu2jkhGTXsVqyeQs55PpB59e0wDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEArqiJHAvaYmHkW+gkYoEO
1BtC9JaitjjwF1nw43MZCHECICqwgJNQ4k/pT6SFr/lpS1UhaB8I3q5FfD+rAJjM
/UuF
-----END CERTIFICATE-----`,
    };
";

/// Server and client in one process, which ends when the connection has.
#[tokio::test]
async fn behind_tls() {
    let Some(mut parent) = gentle(Balance::Shared) else { return };
    let silent = "
        const { createServer, get, Agent } = require('https');
        const agent = new Agent({ keepAlive: true, rejectUnauthorized: false });
        const server = createServer(tls, (request, response) => response.end('ok')).listen(0);
        server.keepAliveTimeout = 0;
        server.on('listening', () => get({ port: server.address().port, agent }, (answer) => {
            answer.resume().on('end', () => process.send('kept'));
        }));
    ";
    let busy = "
        const { createSecureServer, connect } = require('http2');
        const server = createSecureServer(tls, (request, response) => response.end('ok')).listen(0);
        server.on('listening', () => {
            const client = connect(`https://localhost:${server.address().port}`, { rejectUnauthorized: false });
            // A stream that crosses the GOAWAY is refused, which says that it may be sent again (RFC 9113, 8.7).
            const ask = () => client.closed || client.request().on('end', ask).on('error', () => {}).resume().end();
            client.request().on('end', () => { ask(); process.send('kept'); }).resume().end();
        });
    ";
    // Before Node 18 a silent connection behind TLS is left to the server's own `keepAliveTimeout`.
    let scripts = [(1, busy), (2, silent)];
    for (run, script) in scripts.into_iter().take(if major() >= 18 { 2 } else { 1 }) {
        parent.start(run, true, &format!("{CERTIFICATE}{script}"));
        assert_eq!(parent.told(run).await, json!("kept"));
        parent.disconnect(run);
        assert_eq!(parent.ended(run).await, Some(0));
    }
}

/// The app may be its own client, so the other server must answer as long as requests are in flight.
#[tokio::test]
async fn a_server_that_is_not_shared_goes_on() {
    let Some(mut parent) = gentle(Balance::Shared) else { return };
    let script = "
        const { createServer, get } = require('http');
        const back = createServer((request, response) => setTimeout(() => response.end('ok'), 100));
        back.listen({ host: '127.0.0.1', port: 0, exclusive: true }, () => createServer((request, response) => {
            const ask = (times) => get({ port: back.address().port }, (answer) => {
                if (times > 0) answer.resume().on('end', () => ask(times - 1));
                else { response.writeHead(200); answer.pipe(response).on('finish', () => back.close()); }
            });
            ask(10);
            process.send('asked');
        }).listen(0));
    ";
    parent.start(1, true, script);
    let mut client = Client::connect(parent.listening(1).await.port()).expect("connected");
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
    assert_eq!(parent.told(1).await, json!("asked"));
    drain(&mut parent, 1).await;
    assert_eq!(parent.ended(1).await, Some(0));
    assert_eq!(client.answer(), Ok(Next::IsLast));
}
