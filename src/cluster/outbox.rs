//! What waits to be sent to a run, and the sockets that have not arrived yet.
//!
//! Question answered here: *which bytes, and which socket with them, go next?* May not do input or output.
//!
//! Node sends one handle at a time and holds back everything else until it is acknowledged, because some systems
//! lose descriptors. Linux does not (unix(7)), and a receiver reads at most one descriptor at a time and matches it
//! with its message, so we do not wait: each answer leaves before its query is taken from the channel, which is
//! what lets a successor answer in our place. Acknowledgements come in the order of sending. A socket that did not
//! arrive (the worker ran out of descriptors) is sent again, as Node does, and at last its query gets an error.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::socket::{SockType, getsockopt, sockopt};
use serde_json::Value;

use super::PortKey;
use super::message::{ServerData, answer, connection, line, with_socket};

/// More than this, waiting or unacknowledged, and the run counts as deaf.
pub(super) const WAITING_MAX: usize = 1 << 20;

/// How often a socket is sent again (`MAX_HANDLE_RETRANSMISSIONS` in Node's `lib/internal/child_process.js`).
const RETRIES: u8 = 3;

/// A socket on its way.
pub(super) struct Parcel {
    bytes: Vec<u8>,
    socket: Arc<OwnedFd>,
    /// What is said in the end if it never arrives. `None`: one attempt must do.
    refusal: Option<Value>,
    tries: u8,
}

impl Parcel {
    /// For the query of this number.
    pub(super) fn answer(seq: u64, key: &PortKey, data: &ServerData, socket: Arc<OwnedFd>) -> Self {
        let datagram = getsockopt(&socket, sockopt::SockType) == Ok(SockType::Datagram);
        let bytes = line(&with_socket(answer(seq, key, data, None), datagram));
        Self { bytes, socket, refusal: Some(answer(seq, key, data, Some(Errno::EMFILE))), tries: 0 }
    }

    /// Our duplicate is not kept for another attempt: while it is open, the client would not see that the worker has
    /// closed the connection.
    pub(super) fn connection(socket: OwnedFd) -> Self {
        let bytes = line(&with_socket(connection(), false));
        Self { bytes, socket: Arc::new(socket), refusal: None, tries: 0 }
    }
}

enum Letter {
    Plain(Vec<u8>),
    WithSocket(Parcel),
}

impl Letter {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Plain(bytes) | Self::WithSocket(Parcel { bytes, .. }) => bytes,
        }
    }
}

/// In order of sending.
#[derive(Default)]
pub(super) struct Outbox {
    letters: VecDeque<Letter>,
    /// How much of the first letter has left.
    left: usize,
    /// Sockets sent but not acknowledged, as far as they would be sent again, with the length of their letters.
    travelling: VecDeque<(Option<Parcel>, usize)>,
    waiting: usize,
}

impl Outbox {
    pub(super) fn push(&mut self, message: &Value) {
        self.post(Letter::Plain(line(message)));
    }

    /// What must not be read in two parts.
    pub(super) fn push_together(&mut self, messages: &[Value]) {
        self.post(Letter::Plain(messages.iter().flat_map(line).collect()));
    }

    pub(super) fn push_socket(&mut self, parcel: Parcel) {
        self.post(Letter::WithSocket(parcel));
    }

    fn post(&mut self, letter: Letter) {
        self.waiting += letter.bytes().len();
        self.letters.push_back(letter);
    }

    /// The bytes that go next, and the socket that goes with the first of them.
    pub(super) fn next(&self) -> Option<(&[u8], Option<&OwnedFd>)> {
        let first = self.letters.front()?;
        let socket = match first {
            Letter::WithSocket(parcel) if self.left == 0 => Some(parcel.socket.as_ref()),
            Letter::WithSocket(_) | Letter::Plain(_) => None,
        };
        Some((first.bytes().get(self.left..).unwrap_or_default(), socket))
    }

    /// So many of the bytes of [`Outbox::next`] have left, and their socket with them.
    pub(super) fn sent(&mut self, count: usize) {
        self.left += count;
        if self.letters.front().is_none_or(|first| self.left < first.bytes().len()) {
            return;
        }
        self.left = 0;
        match self.letters.pop_front() {
            Some(Letter::WithSocket(parcel)) => {
                let length = parcel.bytes.len();
                self.travelling.push_back((Some(parcel).filter(|parcel| parcel.refusal.is_some()), length));
            }
            Some(Letter::Plain(bytes)) => self.waiting -= bytes.len(),
            None => {}
        }
    }

    /// The oldest travelling socket has arrived. One that a predecessor sent is not known here: no harm.
    pub(super) fn arrived(&mut self) {
        if let Some((_, length)) = self.travelling.pop_front() {
            self.waiting -= length;
        }
    }

    /// The oldest travelling socket got lost.
    pub(super) fn lost(&mut self) {
        let Some((parcel, length)) = self.travelling.pop_front() else { return };
        self.waiting -= length;
        match parcel {
            Some(mut parcel) if parcel.tries < RETRIES => {
                parcel.tries += 1;
                self.push_socket(parcel);
            }
            Some(Parcel { refusal: Some(refusal), .. }) => self.push(&refusal),
            Some(Parcel { refusal: None, .. }) | None => {}
        }
    }

    /// Nobody will read any of it.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// Bytes of messages not sent whole and of sockets not acknowledged.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parcel(seq: u64) -> Parcel {
        let socket = Arc::new(std::net::UdpSocket::bind("127.0.0.1:0").expect("socket").into());
        Parcel::answer(seq, &PortKey::from("k".to_owned()), &ServerData::default(), socket)
    }

    /// Sends the next letter whole; its text and whether a socket went with it.
    fn send(outbox: &mut Outbox) -> Option<(Value, bool)> {
        let (bytes, socket) = outbox.next()?;
        let sent = (serde_json::from_slice(bytes).expect("a line"), socket.is_some());
        let length = bytes.len();
        outbox.sent(length);
        Some(sent)
    }

    #[test]
    fn order_and_parts() {
        let mut outbox = Outbox::default();
        outbox.push_socket(parcel(1));
        outbox.push(&json!("second"));
        let length = outbox.next().expect("first").0.len();
        outbox.sent(5);
        let (rest, socket) = outbox.next().expect("its rest");
        assert_eq!((rest.len(), socket.is_none()), (length - 5, true), "the socket went with the first byte");
        outbox.sent(length - 5);
        assert_eq!(send(&mut outbox), Some((json!("second"), false)));
        assert_eq!(outbox.waiting(), length, "not acknowledged yet");
        outbox.arrived();
        outbox.arrived();
        assert_eq!((outbox.waiting(), outbox.is_empty()), (0, true));
    }

    #[test]
    fn a_lost_socket_is_sent_again_and_then_given_up() {
        let mut outbox = Outbox::default();
        outbox.lost();
        outbox.push_socket(parcel(7));
        for _ in 0..=RETRIES {
            assert!(send(&mut outbox).expect("again").1);
            outbox.lost();
        }
        let (refusal, socket) = send(&mut outbox).expect("refusal");
        assert_eq!((&refusal["ack"], &refusal["errno"], socket), (&json!(7), &json!(-24), false));
        assert_eq!(outbox.waiting(), 0);
    }

    #[test]
    fn a_connection_is_sent_once_and_not_kept() {
        let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().expect("pair");
        let mut outbox = Outbox::default();
        outbox.push_socket(Parcel::connection(theirs.into()));
        outbox.push_socket(parcel(7));
        assert_eq!(send(&mut outbox).expect("first").0["msg"]["cmd"], "NODE_SUPD_CONNECTION");
        assert_eq!(
            std::io::Read::read(&mut ours, &mut [0]).expect("end of file"),
            0,
            "no one has the other end"
        );
        send(&mut outbox).expect("second");
        outbox.lost();
        assert!(outbox.is_empty(), "not sent again, and not mistaken for the second");
        outbox.lost();
        assert_eq!(send(&mut outbox).expect("again").0["msg"]["ack"], 7);
    }

    #[test]
    fn together() {
        let mut outbox = Outbox::default();
        outbox.push_together(&[json!(1), json!(2)]);
        assert_eq!(outbox.next().expect("both").0, b"1\n2\n");
    }
}
