//! The words of an IPC channel.
//!
//! Question answered here: *what does a line say?* One JSON document a line. Facts from Node's
//! `lib/internal/child_process.js` (handles, `NODE_` prefix) and `lib/internal/cluster/{child,utils}.js`
//! (the rest). May not do input or output.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Endpoint, PortKey};

/// A message of the cluster protocol is never longer; the longest are queries with TLS ticket keys.
const CLUSTER_MESSAGE_MAX: usize = 16 << 10;

/// The longest path `sockaddr_un` holds, without its closing NUL (unix(7)).
const SUN_PATH_MAX: usize = 107;

/// What a run tells us.
#[derive(Clone, Debug, PartialEq)]
pub enum FromWorker {
    /// The JSON string `"ready"` (`process.send('ready')`).
    Ready,
    /// A Node cluster worker is up; its script has not run yet.
    Online,
    /// [`preload`](super::preload) is at work in it. Comes before its script runs, so before any other word but `Online`.
    Preloaded,
    /// A Node cluster worker wants to listen; to be answered by [`ToWorker::Answer`] with this `seq`.
    Query {
        /// Unique in this run.
        seq: u64,
        /// For what.
        query: ServerQuery,
    },
    /// One of its servers accepts connections. The port is the real one.
    Listening(Endpoint),
    /// It has closed the server it had got under this key.
    Closed(PortKey),
    /// It leaves by its own will: `cluster.worker.disconnect()` or `kill()`. Acknowledged already.
    ExitedAfterDisconnect,
    /// Anything else (`process.send`).
    Message {
        /// One valid JSON document, as it came.
        text: String,
        /// So many before it were not heard, because the run says too much.
        missed: u64,
    },
    /// Nothing more will come. The last delivery of a channel.
    Ended(Ended),
}

/// Why a channel has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The run closed its end: it exited or called `process.disconnect()`.
    Closed,
    /// The kernel reported this.
    Failed(Errno),
    /// We gave it up: so many bytes wait for a run that does not read or acknowledge.
    Deaf {
        /// Bytes.
        waiting: usize,
    },
}

/// A wish to listen.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerQuery {
    /// Where, or the error that the worker is to get.
    pub endpoint: Result<Endpoint, Errno>,
    /// Counts a worker's servers of the same address.
    pub index: u64,
    /// For the other workers that ask for the same.
    pub data: ServerData,
}

/// What Node's servers of one address have in common: the TLS ticket keys. A secret, so `Debug` hides it.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServerData(pub Value);

impl fmt::Debug for ServerData {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.0.is_null() { "none" } else { "***" })
    }
}

/// What we tell a run.
#[derive(Debug)]
pub enum ToWorker {
    /// Answer to [`FromWorker::Query`].
    Answer {
        /// The number of the query.
        seq: u64,
        /// What `Closed` will name.
        key: PortKey,
        /// [`Ports::data`](super::Ports::data) of that key.
        data: ServerData,
        /// The socket, or the error.
        socket: Result<Arc<OwnedFd>, Errno>,
    },
    /// A Node cluster worker is to stop accepting and to finish what is in flight. When its servers have closed it
    /// closes its end ([`Ended::Closed`]); it exits when nothing else keeps it. To be told once: a worker that is not
    /// [`FromWorker::Preloaded`] closes its end at the second, whatever is in flight. [`Ports::leave`](super::Ports::leave) comes first.
    Disconnect,
    /// The JSON string `"shutdown"` (PM2's `shutdown_with_message`).
    Shutdown,
    /// Both in one piece: after [`ToWorker::Disconnect`] alone an idle worker would hear no `"shutdown"` any more.
    DisconnectAndShutdown,
    /// A connected TCP socket, to be served by the first HTTP server (neither TLS nor HTTP/2) of a worker that is
    /// [`FromWorker::Preloaded`]; in any other it would stay open unserved. It is sent once, and closed if the worker
    /// cannot take it or has no such server.
    Connection {
        /// Our duplicate is closed when it has left.
        socket: OwnedFd,
    },
}

/// A line, sorted by who has to act.
#[derive(Debug, PartialEq)]
pub(super) enum Incoming {
    /// The supervisor.
    Event(FromWorker),
    /// Whoever is interested, if the run may be heard: one valid JSON document.
    Message(String),
    /// The supervisor, and the worker waits for this acknowledgement.
    Leaving { seq: u64 },
    /// The oldest socket in flight has arrived.
    SocketArrived,
    /// It has not.
    SocketMissing,
    /// The worker sent a descriptor and holds back everything else until it is acknowledged.
    Descriptor,
    /// Nobody.
    Noise,
}

/// Reads one line, without its line feed.
pub(super) fn parse(line: &[u8]) -> Incoming {
    let Ok(text) = std::str::from_utf8(line) else { return Incoming::Noise };
    if text.trim_ascii() == "\"ready\"" {
        return Incoming::Event(FromWorker::Ready);
    }
    if let Ok(Head { cmd }) = serde_json::from_str(text)
        && cmd.len() > "NODE_".len()
        && cmd.starts_with("NODE_")
    {
        return internal(&cmd, text);
    }
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Incoming::Message(text.to_owned()),
        Err(_) => Incoming::Noise,
    }
}

#[derive(Deserialize)]
struct Head {
    cmd: String,
}

fn internal(cmd: &str, text: &str) -> Incoming {
    match cmd {
        "NODE_HANDLE" => Incoming::Descriptor,
        "NODE_HANDLE_ACK" => Incoming::SocketArrived,
        "NODE_HANDLE_NACK" => Incoming::SocketMissing,
        "NODE_SUPD_PRELOADED" => Incoming::Event(FromWorker::Preloaded),
        "NODE_CLUSTER" if text.len() <= CLUSTER_MESSAGE_MAX => {
            serde_json::from_str(text).ok().and_then(ClusterMessage::incoming).unwrap_or(Incoming::Noise)
        }
        _ => Incoming::Noise,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClusterMessage {
    act: String,
    seq: Option<u64>,
    key: Option<PortKey>,
    address: Option<String>,
    port: Option<i64>,
    #[serde(default)]
    address_type: Value,
    fd: Option<i64>,
    flags: Option<u32>,
    index: Option<u64>,
    #[serde(default)]
    data: ServerData,
}

impl ClusterMessage {
    fn incoming(self) -> Option<Incoming> {
        let event = match self.act.as_str() {
            "online" => FromWorker::Online,
            "queryServer" => FromWorker::Query {
                seq: self.seq?,
                query: ServerQuery {
                    endpoint: self.endpoint(),
                    index: self.index.unwrap_or(0),
                    data: self.data,
                },
            },
            "listening" => FromWorker::Listening(self.endpoint().ok()?),
            "close" => FromWorker::Closed(self.key?),
            "exitedAfterDisconnect" => return Some(Incoming::Leaving { seq: self.seq? }),
            _ => return None,
        };
        Some(Incoming::Event(event))
    }

    /// `fd` counts the *parent's* descriptors in Node, which is never what the script means: refused.
    fn endpoint(&self) -> Result<Endpoint, Errno> {
        if self.fd.is_some_and(|fd| fd >= 0) {
            return Err(Errno::EBADF);
        }
        let (udp, any) = match &self.address_type {
            Value::Number(number) if number.as_i64() == Some(-1) => return self.path().map(Endpoint::Unix),
            // Without an address Node says type 4 and means both versions, `::` first (lib/net.js).
            Value::Number(_) => (false, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
            Value::String(name) if name == "udp4" => (true, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            Value::String(name) if name == "udp6" => (true, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
            _ => return Err(Errno::EINVAL),
        };
        let ip = match self.address.as_deref() {
            None | Some("") => any,
            Some(text) => text.parse().map_err(|_| Errno::EINVAL)?,
        };
        let port = u16::try_from(self.port.unwrap_or(0)).map_err(|_| Errno::EINVAL)?;
        let address = SocketAddr::new(ip, port);
        // UV_TCP_IPV6ONLY and UV_UDP_IPV6ONLY are 1, UV_UDP_REUSEADDR is 4 (uv.h).
        let flags = self.flags.unwrap_or(0);
        let ipv6_only = flags & 1 != 0 && ip.is_ipv6();
        Ok(if udp {
            Endpoint::Udp { address, ipv6_only, reuse_address: flags & 4 != 0 }
        } else {
            Endpoint::Tcp { address, ipv6_only }
        })
    }

    fn path(&self) -> Result<PathBuf, Errno> {
        let path = self.address.as_deref().ok_or(Errno::EINVAL)?;
        if !Path::new(path).is_absolute() || path.contains('\0') {
            return Err(Errno::EINVAL);
        }
        if path.len() > SUN_PATH_MAX { Err(Errno::ENAMETOOLONG) } else { Ok(path.into()) }
    }
}

/// A document as a line.
pub(super) fn line(document: &Value) -> Vec<u8> {
    let mut line = document.to_string().into_bytes();
    line.push(b'\n');
    line
}

/// The answer to a query, to be wrapped by [`with_socket`] if it carries one.
pub(super) fn answer(seq: u64, key: &PortKey, data: &ServerData, errno: Option<Errno>) -> Value {
    // Node's error numbers are negative (libuv's convention).
    let errno = errno.map_or(0, |errno| -(errno as i32));
    json!({ "cmd": "NODE_CLUSTER", "ack": seq, "key": key, "errno": errno, "data": data })
}

/// The wrapper of a message whose first byte carries a socket.
pub(super) fn with_socket(message: Value, datagram: bool) -> Value {
    let kind = if datagram { "dgram.Native" } else { "net.Native" };
    json!({ "cmd": "NODE_HANDLE", "type": kind, "msg": message })
}

pub(super) fn left(seq: u64) -> Value {
    json!({ "cmd": "NODE_CLUSTER", "ack": seq })
}

pub(super) fn disconnect() -> Value {
    json!({ "cmd": "NODE_CLUSTER", "act": "disconnect" })
}

/// Understood by [`preload`](super::preload), to be wrapped by [`with_socket`].
pub(super) fn connection() -> Value {
    json!({ "cmd": "NODE_SUPD_CONNECTION" })
}

pub(super) fn shutdown() -> Value {
    Value::from("shutdown")
}

pub(super) fn descriptor_arrived() -> Value {
    json!({ "cmd": "NODE_HANDLE_ACK" })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query(fields: &str) -> Result<Endpoint, Errno> {
        let line = format!(r#"{{"cmd":"NODE_CLUSTER","act":"queryServer","seq":3,{fields}}}"#);
        match parse(line.as_bytes()) {
            Incoming::Event(FromWorker::Query { seq: 3, query }) => query.endpoint,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn queries() {
        for (fields, endpoint) in [
            (r#""address":null,"port":3000,"addressType":4"#, Ok("[::]:3000")),
            (r#""address":null,"port":3000,"addressType":4,"fd":-1,"flags":1"#, Ok("[::]:3000 (IPv6 only)")),
            (r#""address":"127.0.0.1","port":0,"addressType":4,"index":2"#, Ok("127.0.0.1:0")),
            (r#""address":"127.0.0.1","port":80,"addressType":4,"flags":1"#, Ok("127.0.0.1:80")),
            (r#""address":"::1","port":80,"addressType":6,"flags":0"#, Ok("[::1]:80")),
            (r#""address":"/run/a.sock","port":-1,"addressType":-1"#, Ok("/run/a.sock")),
            (r#""address":"a.sock","port":-1,"addressType":-1"#, Err(Errno::EINVAL)),
            (r#""address":"/a\u0000b","port":-1,"addressType":-1"#, Err(Errno::EINVAL)),
            (
                r#""address":"0.0.0.0","port":53,"addressType":"udp4","flags":4"#,
                Ok("udp 0.0.0.0:53 (reusable)"),
            ),
            (r#""port":53,"addressType":"udp6","flags":0"#, Ok("udp [::]:53")),
            (r#""address":"host","port":53,"addressType":4"#, Err(Errno::EINVAL)),
            (r#""port":70000,"addressType":4"#, Err(Errno::EINVAL)),
            (r#""port":80,"addressType":"tcp9""#, Err(Errno::EINVAL)),
            (r#""address":null,"port":null,"addressType":null,"fd":3"#, Err(Errno::EBADF)),
        ] {
            let read = query(fields).map(|endpoint| endpoint.to_string());
            assert_eq!(read.as_deref(), endpoint.as_ref().map(|text| *text), "{fields}");
        }
        let long = format!(r#""address":"/{}","port":-1,"addressType":-1"#, "x".repeat(SUN_PATH_MAX));
        assert_eq!(query(&long), Err(Errno::ENAMETOOLONG));
    }

    #[test]
    fn other_words() {
        let message = |text: &str| Incoming::Message(text.to_owned());
        let listening: Endpoint =
            Endpoint::Tcp { address: "[::]:81".parse().expect("address"), ipv6_only: false };
        for (line, meaning) in [
            (r#""ready""#, Incoming::Event(FromWorker::Ready)),
            (" \"ready\" \r", Incoming::Event(FromWorker::Ready)),
            (r#"{"cmd":"NODE_CLUSTER","act":"online","seq":0}"#, Incoming::Event(FromWorker::Online)),
            (
                r#"{"cmd":"NODE_CLUSTER","act":"listening","address":null,"port":81,"addressType":4,"seq":1}"#,
                Incoming::Event(FromWorker::Listening(listening)),
            ),
            (
                r#"{"cmd":"NODE_CLUSTER","act":"close","key":"web/*/0/:80","seq":5}"#,
                Incoming::Event(FromWorker::Closed(PortKey::from("web/*/0/:80".to_owned()))),
            ),
            (r#"{"cmd":"NODE_CLUSTER","act":"exitedAfterDisconnect","seq":9}"#, Incoming::Leaving { seq: 9 }),
            (r#"{"cmd":"NODE_HANDLE_ACK"}"#, Incoming::SocketArrived),
            (r#"{"cmd":"NODE_HANDLE_NACK"}"#, Incoming::SocketMissing),
            (r#"{"cmd":"NODE_HANDLE","type":"net.Socket","msg":{}}"#, Incoming::Descriptor),
            (r#"{"cmd":"NODE_SUPD_PRELOADED"}"#, Incoming::Event(FromWorker::Preloaded)),
            (r#"{"cmd":"NODE_CLUSTER","act":"queryServer"}"#, Incoming::Noise),
            (r#"{"cmd":"NODE_CLUSTER","act":"queryServer","seq":1,"address":7}"#, Incoming::Noise),
            (r#"{"cmd":"NODE_CLUSTER","ack":1,"accepted":true}"#, Incoming::Noise),
            (r#"{"cmd":"NODE_DEBUG_ENABLED"}"#, Incoming::Noise),
            (r#"{"cmd":"NODE_"}"#, message(r#"{"cmd":"NODE_"}"#)),
            (r#"{"cmd":7}"#, message(r#"{"cmd":7}"#)),
            (r#"{"type":"metrics","data":1}"#, message(r#"{"type":"metrics","data":1}"#)),
            ("true", message("true")),
            ("", Incoming::Noise),
            ("{", Incoming::Noise),
            ("ready", Incoming::Noise),
        ] {
            assert_eq!(parse(line.as_bytes()), meaning, "{line}");
        }
        assert_eq!(parse(b"\"\xff\""), Incoming::Noise);
        let big =
            format!(r#"{{"cmd":"NODE_CLUSTER","act":"online","x":"{}"}}"#, "x".repeat(CLUSTER_MESSAGE_MAX));
        assert_eq!(parse(big.as_bytes()), Incoming::Noise);
        let deep = "[".repeat(1 << 20);
        assert_eq!(parse(deep.as_bytes()), Incoming::Noise);
    }

    #[test]
    fn answers() {
        let key = PortKey::from("k".to_owned());
        let refused = answer(4, &key, &ServerData::default(), Some(Errno::EADDRINUSE));
        assert_eq!(refused["errno"], -98);
        assert_eq!(refused["ack"], 4);
        let wrapped = with_socket(answer(4, &key, &ServerData::default(), None), true);
        assert_eq!((&wrapped["type"], &wrapped["msg"]["key"]), (&json!("dgram.Native"), &json!("k")));
        assert_eq!(format!("{:?}", ServerData(json!("hunter2"))), "***");
        assert_eq!(line(&json!("a\nb")), b"\"a\\nb\"\n");
    }

    proptest! {
        #[test]
        fn anything_may_come(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            parse(&line);
        }

        #[test]
        fn anything_like_a_query_may_come(
            address in "(null|\"[ -~&&[^\"\\\\]]{0,12}\"|7)", port in any::<i64>(),
            kind in "(-1|4|6|\"udp4\"|null|\\[\\])", fd in any::<i64>(), seq in "(-?[0-9]{1,30}|null)",
        ) {
            parse(format!(
                r#"{{"cmd":"NODE_CLUSTER","act":"queryServer","seq":{seq},"address":{address},"port":{port},"addressType":{kind},"fd":{fd}}}"#
            ).as_bytes());
        }
    }
}
