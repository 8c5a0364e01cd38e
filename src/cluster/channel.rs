//! The IPC channel of one run.
//!
//! Question answered here: *how do lines and sockets get through a socket pair, so that neither a bad worker nor
//! the death of a supervisor breaks the conversation?* A task owns our end; the supervisor's loop gets each event
//! as a [`Delivery`] and decides. May not decide anything itself, except what the protocol itself demands:
//! acknowledgements.
//!
//! **Nothing leaves the channel before it is handled.** Our end of the pair outlives us in the keeper. A line is
//! only looked at (`MSG_PEEK`) and taken from the kernel after the supervisor has signed its [`Receipt`], that is
//! after the answer has been sent. So a successor finds the line that its predecessor died over, and every event
//! may come a second time: handling must be idempotent. (Node ignores a second answer to one query.) Two lines
//! are exceptions, because nobody waits for them or because to say a thing twice would do harm: parts of a
//! line longer than one look are taken at once, and a line with a descriptor is acknowledged exactly once.
//!
//! **Lines of up to 32 KiB leave whole or not at all**, since the kernel takes that much in one buffer
//! (`unix_stream_sendmsg`); only a longer message could be cut by our death, and then the worker could not read it or
//! the next. All our own are short, and [`Channel::tell`] takes no longer one.
//!
//! Descriptors sent to us never arrive: reading without room for them makes the kernel close them (unix(7)).

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, recv, send, sendmsg};
use serde_json::Value;
use supd_keeper::protocol::RunId;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

use super::allowance::Allowance;
use super::lines::Lines;
use super::message::{self, Ended, FromWorker, Incoming, ToWorker};
use super::outbox::{Outbox, Parcel, WAITING_MAX};

/// How much one look shows at most.
const LOOK: usize = 64 << 10;

/// Before the next look after one that showed more than the run may say: a flood does not keep us busy, and what is too much
/// for that waits in the run.
const REST: Duration = Duration::from_millis(10);

/// The longest line that is sure to leave whole.
const WHOLE: usize = 32 << 10;

/// An event of a channel.
#[derive(Debug)]
pub struct Delivery {
    /// Whose channel.
    pub run: RunId,
    /// What happened.
    pub event: FromWorker,
    /// To be signed when it has been handled.
    pub receipt: Receipt,
}

/// Proof that a line has been handled.
#[derive(Debug)]
pub struct Receipt {
    errands: mpsc::UnboundedSender<Errand>,
}

impl Receipt {
    /// Everything that follows from this event has been recorded and answers have been given to
    /// [`Channel::send`]. Only then is the line taken from the channel and the next one delivered. Without it (a
    /// supervisor that shuts down drops what it has not handled) the channel stops and the line stays in it.
    pub fn sign(self) {
        // The conversation may have ended meanwhile.
        let _ = self.errands.send(Errand::Handled);
    }
}

/// Why a message is not with a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unheard {
    /// It has so many bytes, and more than 32 KiB do not leave in one piece.
    TooLong(usize),
    /// The run does not read its channel, which is full.
    Deaf,
    /// The run has closed its end.
    Closed,
}

/// Resolves when it is known whether the message is with the run; an error: the conversation has ended.
pub type Heard = oneshot::Receiver<Result<(), Unheard>>;

/// What the supervisor wants of the task. Answers and signatures take the same way, so they cannot overtake.
#[derive(Debug)]
enum Errand {
    Send(ToWorker),
    Tell(Vec<u8>, oneshot::Sender<Result<(), Unheard>>),
    Handled,
}

/// The sending side of a channel. When it and the last receipt are dropped, our end is closed; the keeper's
/// duplicate stays open.
#[derive(Debug)]
pub struct Channel {
    errands: mpsc::UnboundedSender<Errand>,
}

impl Channel {
    /// Starts the task for our end of a run's socket pair. What the worker says goes to `deliveries`: one event at
    /// a time, the last one being [`FromWorker::Ended`]. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the descriptor cannot be watched.
    pub fn open(run: RunId, end: OwnedFd, deliveries: mpsc::UnboundedSender<Delivery>) -> io::Result<Self> {
        let end = std::os::unix::net::UnixStream::from(end);
        end.set_nonblocking(true)?;
        let end = UnixStream::from_std(end)?;
        let (errands, incoming) = mpsc::unbounded_channel();
        let conversation = Conversation {
            run,
            end,
            deliveries,
            errands: errands.downgrade(),
            outbox: Outbox::default(),
            inbox: Inbox::default(),
            allowance: Allowance::new(Instant::now()),
            resting: None,
            over: None,
        };
        tokio::spawn(conversation.hold(incoming));
        Ok(Self { errands })
    }

    /// Queues a message. After the end of the channel it goes nowhere; [`FromWorker::Ended`] has told so.
    pub fn send(&self, message: ToWorker) {
        // An error means just that.
        let _ = self.errands.send(Errand::Send(message));
    }

    /// Tells the run something of a user's: at once and whole, or not at all, so that whoever sends too much can
    /// neither fill our memory nor have the channel given up.
    pub fn tell(&self, message: &Value) -> Heard {
        let (told, heard) = oneshot::channel();
        // An error drops `told`, which says the same.
        let _ = self.errands.send(Errand::Tell(message::line(message), told));
        heard
    }
}

#[derive(Default)]
struct Inbox {
    lines: Lines,
    /// What the last look showed and has not been taken yet.
    seen: Vec<u8>,
    /// Length of the line that has been delivered but not taken.
    unhandled: Option<usize>,
}

/// Why a conversation is over.
enum Over {
    /// There is something to tell the supervisor.
    Ended(Ended),
    /// The supervisor wants no more of it.
    Left,
}

struct Conversation {
    run: RunId,
    end: UnixStream,
    deliveries: mpsc::UnboundedSender<Delivery>,
    errands: mpsc::WeakUnboundedSender<Errand>,
    outbox: Outbox,
    inbox: Inbox,
    allowance: Allowance,
    /// No look before then.
    resting: Option<tokio::time::Instant>,
    over: Option<Over>,
}

impl Conversation {
    async fn hold(mut self, mut errands: mpsc::UnboundedReceiver<Errand>) {
        while self.over.is_none() {
            self.step(&mut errands).await;
        }
        if let Some(Over::Ended(ended)) = self.over {
            self.deliver(0, FromWorker::Ended(ended));
        }
    }

    async fn step(&mut self, errands: &mut mpsc::UnboundedReceiver<Errand>) {
        let Self { end, outbox, inbox, resting, .. } = self;
        let (writing, resting) = (!outbox.is_empty(), *resting);
        let reading = inbox.unhandled.is_none();
        tokio::select! {
            // What waits is written before a signature is looked at: the answer leaves before its query is taken.
            biased;
            sent = end.async_io(Interest::WRITABLE, || send_next(end, outbox)), if writing => self.sent(sent),
            errand = errands.recv() => match errand {
                Some(Errand::Send(message)) => self.accept(message),
                // Who asked may have gone.
                Some(Errand::Tell(line, told)) => drop(told.send(self.tell(&line))),
                Some(Errand::Handled) => self.take_handled(),
                None => self.over = Some(Over::Left),
            },
            () = rest(resting), if reading && resting.is_some() => self.resting = None,
            seen = end.async_io(Interest::READABLE, || look(end)), if reading && resting.is_none() => self.saw(seen),
        }
    }

    fn accept(&mut self, message: ToWorker) {
        match message {
            ToWorker::Answer { seq, key, data, socket: Err(errno) } => {
                self.outbox.push(&message::answer(seq, &key, &data, Some(errno)));
            }
            ToWorker::Answer { seq, key, data, socket: Ok(socket) } => {
                self.outbox.push_socket(Parcel::answer(seq, &key, &data, socket));
            }
            ToWorker::Connection { socket } => self.outbox.push_socket(Parcel::connection(socket)),
            ToWorker::Disconnect => self.outbox.push(&message::disconnect()),
            ToWorker::Shutdown => self.outbox.push(&message::shutdown()),
            ToWorker::DisconnectAndShutdown => {
                self.outbox.push_together(&[message::disconnect(), message::shutdown()]);
            }
        }
        if self.outbox.waiting() > WAITING_MAX {
            self.over = Some(Over::Ended(Ended::Deaf { waiting: self.outbox.waiting() }));
        }
    }

    fn tell(&self, line: &[u8]) -> Result<(), Unheard> {
        if line.len() > WHOLE {
            return Err(Unheard::TooLong(line.len()));
        }
        // What waits goes first, and waits because there is no room.
        if !self.outbox.is_empty() {
            return Err(Unheard::Deaf);
        }
        match send(self.end.as_raw_fd(), line, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
            Ok(_) => Ok(()),
            Err(Errno::EAGAIN) => Err(Unheard::Deaf),
            Err(_) => Err(Unheard::Closed),
        }
    }

    fn sent(&mut self, sent: io::Result<()>) {
        match sent.map_err(errno) {
            Ok(()) => {}
            // The worker has closed its end; what it said before can still be read.
            Err(Errno::EPIPE | Errno::ECONNRESET) => self.outbox.clear(),
            Err(errno) => self.over = Some(Over::Ended(Ended::Failed(errno))),
        }
    }

    fn saw(&mut self, seen: io::Result<Vec<u8>>) {
        match seen.map_err(errno) {
            Ok(seen) if seen.is_empty() => self.over = Some(Over::Ended(Ended::Closed)),
            Ok(seen) if !seen.contains(&b'\n') => {
                self.inbox.lines.keep(&seen);
                self.take(seen.len());
            }
            Ok(seen) => {
                self.inbox.seen = seen;
                self.read_on();
            }
            // Sent once when the worker exits without having read everything; end of file follows.
            Err(Errno::ECONNRESET) => {}
            Err(errno) => self.over = Some(Over::Ended(Ended::Failed(errno))),
        }
    }

    /// Goes through the lines of the last look up to the first that the supervisor has to handle.
    fn read_on(&mut self) {
        while self.inbox.unhandled.is_none() && self.over.is_none() {
            let Some((length, meaning)) = self.inbox.lines.next(&self.inbox.seen) else {
                // At most the beginning of a line, which the next look shows again.
                self.inbox.seen = Vec::new();
                return;
            };
            match meaning {
                Incoming::Event(event) => self.deliver(length, event),
                Incoming::Message(text) => match self.allowance.spend(text.len(), Instant::now()) {
                    Some(missed) => self.deliver(length, FromWorker::Message { text, missed }),
                    None => {
                        self.resting = Some(tokio::time::Instant::now() + REST);
                        self.take_line(length);
                    }
                },
                Incoming::Leaving { seq } => {
                    self.outbox.push(&message::left(seq));
                    self.deliver(length, FromWorker::ExitedAfterDisconnect);
                }
                Incoming::SocketArrived => {
                    self.outbox.arrived();
                    self.take_line(length);
                }
                Incoming::SocketMissing => {
                    self.outbox.lost();
                    self.take_line(length);
                }
                Incoming::Descriptor => {
                    // Taken first: Node asserts that no acknowledgement comes twice.
                    self.take_line(length);
                    self.outbox.push(&message::descriptor_arrived());
                }
                Incoming::Noise => self.take_line(length),
            }
        }
    }

    fn deliver(&mut self, length: usize, event: FromWorker) {
        self.inbox.unhandled = Some(length);
        // Without a sender the supervisor has dropped the channel.
        let delivered = self.errands.upgrade().is_some_and(|errands| {
            let receipt = Receipt { errands };
            self.deliveries.send(Delivery { run: self.run, event, receipt }).is_ok()
        });
        if !delivered {
            self.over = Some(Over::Left);
        }
    }

    fn take_handled(&mut self) {
        if let Some(length) = self.inbox.unhandled.take() {
            self.take_line(length);
            self.read_on();
        }
    }

    fn take_line(&mut self, length: usize) {
        self.inbox.seen.drain(..length);
        self.take(length);
    }

    /// Takes bytes that a look has shown.
    fn take(&mut self, mut length: usize) {
        let mut taken = [0u8; 4096];
        while length > 0 {
            let room = length.min(taken.len());
            match recv(self.end.as_raw_fd(), &mut taken[..room], MsgFlags::MSG_DONTWAIT) {
                Ok(0) => return self.over = Some(Over::Ended(Ended::Closed)),
                Ok(count) => length -= count,
                Err(errno) => return self.over = Some(Over::Ended(Ended::Failed(errno))),
            }
        }
    }
}

async fn rest(until: Option<tokio::time::Instant>) {
    if let Some(until) = until {
        tokio::time::sleep_until(until).await;
    }
}

fn errno(error: io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// Shows what is at the head of the stream without taking it; nothing: end of file.
fn look(end: &UnixStream) -> io::Result<Vec<u8>> {
    let mut seen = [0u8; LOOK];
    let count = recv(end.as_raw_fd(), &mut seen, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT)?;
    Ok(seen[..count].to_vec())
}

/// Sends one buffer.
fn send_next(end: &UnixStream, outbox: &mut Outbox) -> io::Result<()> {
    let Some((bytes, socket)) = outbox.next() else { return Ok(()) };
    let socket = socket.map(AsRawFd::as_raw_fd);
    let rights = [ControlMessage::ScmRights(socket.as_slice())];
    let control = if socket.is_some() { &rights[..] } else { &[] };
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let sent = sendmsg::<()>(end.as_raw_fd(), &[IoSlice::new(bytes)], control, flags, None)?;
    outbox.sent(sent);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, IoSliceMut, Read, Write};
    use std::net::TcpListener;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;

    use nix::cmsg_space;
    use nix::sys::socket::{ControlMessageOwned, SockaddrIn, getsockname, recvmsg};
    use serde_json::{Value, json};

    use super::super::message::ServerData;
    use super::super::{Endpoint, PortKey};
    use super::*;

    const QUERY: &str = r#"{"cmd":"NODE_CLUSTER","act":"queryServer","seq":5,"port":0,"addressType":4}"#;

    struct Talk {
        worker: UnixStream,
        /// What the keeper holds.
        kept: UnixStream,
        channel: Option<Channel>,
        deliveries: mpsc::UnboundedReceiver<Delivery>,
    }

    fn talk() -> Talk {
        let (worker, kept) = UnixStream::pair().expect("pair");
        worker.set_read_timeout(Some(Duration::from_secs(20))).expect("timeout");
        let (_, deliveries) = mpsc::unbounded_channel();
        let mut talk = Talk { worker, kept, channel: None, deliveries };
        talk.reopen();
        talk
    }

    impl Talk {
        /// A new supervisor in place of the old one.
        fn reopen(&mut self) {
            let (sender, deliveries) = mpsc::unbounded_channel();
            let end = self.kept.try_clone().expect("duplicate").into();
            self.channel = Some(Channel::open(RunId(7), end, sender).expect("open"));
            self.deliveries = deliveries;
        }

        fn say(&mut self, line: &str) {
            self.worker.write_all(format!("{line}\n").as_bytes()).expect("write");
        }

        fn send(&self, message: ToWorker) {
            self.channel.as_ref().expect("open").send(message);
        }

        async fn next(&mut self) -> Delivery {
            let delivery = tokio::time::timeout(Duration::from_secs(20), self.deliveries.recv()).await;
            delivery.expect("in time").expect("open")
        }

        async fn heard(&mut self) -> FromWorker {
            let delivery = self.next().await;
            delivery.receipt.sign();
            delivery.event
        }

        /// Lets the conversation work until this many bytes can be read by the worker.
        async fn hears(&mut self) -> Value {
            let worker = self.worker.try_clone().expect("duplicate");
            let line = tokio::task::spawn_blocking(move || {
                let mut line = String::new();
                // One byte at a time, so that nothing of the next line is taken.
                BufReader::with_capacity(1, worker).read_line(&mut line).map(|_| line)
            });
            serde_json::from_str(&line.await.expect("task").expect("a line")).expect("JSON")
        }
    }

    fn message(text: &str) -> FromWorker {
        FromWorker::Message { text: text.to_owned(), missed: 0 }
    }

    #[tokio::test]
    async fn one_event_at_a_time() {
        let mut talk = talk();
        talk.say("\"ready\"\n{\"a\":1}\nnoise\n2");
        let ready = talk.next().await;
        assert_eq!((ready.run, &ready.event), (RunId(7), &FromWorker::Ready));
        assert!(talk.deliveries.try_recv().is_err());
        ready.receipt.sign();
        assert_eq!(talk.heard().await, message("{\"a\":1}"));
        assert_eq!(talk.heard().await, message("2"));
        talk.worker.shutdown(std::net::Shutdown::Write).expect("shutdown");
        assert_eq!(talk.heard().await, FromWorker::Ended(Ended::Closed));
    }

    #[tokio::test]
    async fn a_successor_finds_the_unanswered_query() {
        let mut talk = talk();
        talk.say("\"ready\"");
        talk.say(QUERY);
        assert_eq!(talk.heard().await, FromWorker::Ready);
        let before = talk.next().await;
        talk.reopen();
        drop(before.receipt);
        let after = talk.next().await;
        assert_eq!(after.event, before.event);
        after.receipt.sign();
        talk.say("3");
        assert_eq!(talk.heard().await, message("3"));
    }

    #[tokio::test]
    async fn a_supervisor_that_shuts_down_takes_nothing() {
        let mut talk = talk();
        talk.say("1");
        drop(talk.next().await);
        tokio::task::yield_now().await;
        talk.reopen();
        assert_eq!(talk.heard().await, message("1"));
    }

    /// Reads one line and the descriptor that comes with it; the port of that socket.
    fn receive(worker: &UnixStream) -> (Value, Option<u16>) {
        let mut bytes = [0; 4096];
        let mut control = cmsg_space!([i32; 1]);
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        let got = recvmsg::<()>(worker.as_raw_fd(), &mut buffers, Some(&mut control), MsgFlags::empty())
            .expect("receive");
        let count = got.bytes;
        let port = got.cmsgs().expect("whole").find_map(|part| match part {
            ControlMessageOwned::ScmRights(sockets) => {
                let name: SockaddrIn = getsockname(sockets[0]).expect("a socket");
                nix::unistd::close(sockets[0]).expect("close");
                Some(name.port())
            }
            _ => None,
        });
        (serde_json::from_slice(&bytes[..count]).expect("one line"), port)
    }

    fn answer(seq: u64, listener: &TcpListener) -> ToWorker {
        let socket = Ok(Arc::new(listener.try_clone().expect("duplicate").into()));
        ToWorker::Answer { seq, key: PortKey::from("k".to_owned()), data: ServerData(json!("d")), socket }
    }

    #[tokio::test]
    async fn the_answer_leaves_before_its_query_is_taken() {
        let mut talk = talk();
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        talk.say(&format!("{QUERY}\n1"));
        let query = talk.next().await;
        let FromWorker::Query { seq, query: wish } = query.event else { panic!("{:?}", query.event) };
        assert!(wish.endpoint.as_ref().is_ok_and(Endpoint::is_random));
        talk.send(answer(seq, &listener));
        query.receipt.sign();
        assert_eq!(talk.heard().await, message("1"));
        talk.worker.set_nonblocking(true).expect("the answer must be there now");
        let (line, port) = receive(&talk.worker);
        assert_eq!(port, Some(listener.local_addr().expect("address").port()));
        assert_eq!(line["cmd"], "NODE_HANDLE");
        assert_eq!(line["type"], "net.Native");
        let inner = json!({"cmd":"NODE_CLUSTER","ack":5,"key":"k","errno":0,"data":"d"});
        assert_eq!(line["msg"], inner);
    }

    #[tokio::test]
    async fn a_lost_socket_comes_again_but_not_for_ever() {
        let mut talk = talk();
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        talk.send(answer(1, &listener));
        for _ in 0..4 {
            talk.say("1");
            assert_eq!(talk.heard().await, message("1"));
            assert!(receive(&talk.worker).1.is_some());
            talk.say(r#"{"cmd":"NODE_HANDLE_NACK"}"#);
        }
        talk.say("1");
        assert_eq!(talk.heard().await, message("1"));
        let (line, port) = receive(&talk.worker);
        assert_eq!((&line["errno"], port), (&json!(-24), None));
    }

    #[tokio::test]
    async fn simple_words() {
        let mut talk = talk();
        talk.send(ToWorker::Shutdown);
        assert_eq!(talk.hears().await, json!("shutdown"));
        talk.send(ToWorker::Disconnect);
        assert_eq!(talk.hears().await["act"], "disconnect");
        talk.send(ToWorker::DisconnectAndShutdown);
        assert_eq!(talk.hears().await["act"], "disconnect");
        assert_eq!(talk.hears().await, json!("shutdown"));
        let heard = talk.channel.as_ref().expect("open").tell(&json!({"type": "x\n"}));
        assert_eq!(talk.hears().await, json!({"type": "x\n"}));
        assert_eq!(heard.await, Ok(Ok(())));
        talk.say(r#"{"cmd":"NODE_CLUSTER","act":"exitedAfterDisconnect","seq":8}"#);
        assert_eq!(talk.hears().await["ack"], 8);
        assert_eq!(talk.heard().await, FromWorker::ExitedAfterDisconnect);
    }

    #[tokio::test]
    async fn descriptors_from_a_worker_are_closed_and_acknowledged_once() {
        let mut talk = talk();
        let (gift, other) = UnixStream::pair().expect("pair");
        let line = b"{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Socket\",\"msg\":1}\n2\n";
        let rights = [gift.as_raw_fd()];
        let control = [ControlMessage::ScmRights(&rights)];
        sendmsg::<()>(talk.worker.as_raw_fd(), &[IoSlice::new(line)], &control, MsgFlags::empty(), None)
            .expect("send");
        drop(gift);
        assert_eq!(talk.heard().await, message("2"));
        assert_eq!(talk.hears().await, json!({"cmd": "NODE_HANDLE_ACK"}));
        other.set_read_timeout(Some(Duration::from_secs(20))).expect("timeout");
        assert_eq!((&other).read(&mut [0]).expect("end of file"), 0, "no one has the other end");
        talk.reopen();
        talk.say("3");
        assert_eq!(talk.heard().await, message("3"));
        talk.worker.set_nonblocking(true).expect("non-blocking");
        assert!((&talk.worker).read(&mut [0]).is_err(), "no second acknowledgement");
    }

    #[tokio::test]
    async fn long_lines_with_and_without_an_end() {
        let mut talk = talk();
        let long = format!("\"{}\"", "x".repeat(1 << 20));
        let mut worker = talk.worker.try_clone().expect("duplicate");
        let said = long.clone();
        let writer = std::thread::spawn(move || worker.write_all(format!("{said}\n1\n").as_bytes()));
        assert_eq!(talk.heard().await, message(&long));
        assert_eq!(talk.heard().await, message("1"));
        writer.join().expect("thread").expect("written");
    }

    #[tokio::test]
    async fn a_deaf_worker_is_given_up() {
        let mut talk = talk();
        for seq in 0..40 {
            let data = ServerData(json!("x".repeat(40_000)));
            talk.send(ToWorker::Answer {
                seq,
                key: PortKey::from("k".to_owned()),
                data,
                socket: Err(Errno::EMFILE),
            });
        }
        let FromWorker::Ended(Ended::Deaf { waiting }) = talk.heard().await else { panic!("not given up") };
        assert!(waiting > WAITING_MAX && waiting < 2 * WAITING_MAX, "{waiting}");
    }

    #[tokio::test]
    async fn what_a_user_says_is_heard_at_once_or_not_at_all() {
        let mut talk = talk();
        let tell = |talk: &Talk, message: &Value| talk.channel.as_ref().expect("open").tell(message);
        let whole = json!("x".repeat(WHOLE - 3));
        assert_eq!(tell(&talk, &json!("x".repeat(WHOLE - 2))).await, Ok(Err(Unheard::TooLong(WHOLE + 1))));
        let mut heard = 0;
        let refused = loop {
            match tell(&talk, &whole).await.expect("a conversation") {
                Ok(()) => heard += 1,
                Err(refused) => break refused,
            }
        };
        assert_eq!(refused, Unheard::Deaf);
        // It is not given up for that, and what it has been told can be read.
        talk.say("1");
        assert_eq!(talk.heard().await, message("1"));
        for _ in 0..heard {
            assert_eq!(talk.hears().await, whole);
        }
        assert_eq!(tell(&talk, &whole).await, Ok(Ok(())));
        drop(std::mem::replace(&mut talk.worker, UnixStream::pair().expect("pair").0));
        assert_ne!(tell(&talk, &whole).await, Ok(Ok(())));
    }

    #[tokio::test]
    async fn a_chatty_run_is_not_heard_for_a_while_and_what_we_wait_for_is() {
        let mut talk = talk();
        let mut worker = talk.worker.try_clone().expect("duplicate");
        let writer =
            std::thread::spawn(move || worker.write_all(("1\n".repeat(100_000) + "\"ready\"\n").as_bytes()));
        let mut said = 0;
        loop {
            match talk.heard().await {
                FromWorker::Message { missed, .. } => said += 1 + missed,
                FromWorker::Ready => break,
                other => panic!("{other:?}"),
            }
        }
        writer.join().expect("thread").expect("written");
        assert!(said < 100_000, "all were heard");
        // The next one that is heard tells of those that were not.
        let mut more = 0;
        loop {
            talk.say("2\n\"ready\"");
            more += 1;
            if let FromWorker::Message { missed, .. } = talk.heard().await {
                assert_eq!(said + missed + 1, 100_000 + more);
                assert_eq!(talk.heard().await, FromWorker::Ready);
                break;
            }
        }
    }

    /// The kernel's promise on which the module's second rule rests.
    #[test]
    fn the_kernel_takes_32_kib_whole_or_not_at_all() {
        let (ours, _theirs) = UnixStream::pair().expect("pair");
        ours.set_nonblocking(true).expect("non-blocking");
        let line = [b'x'; 32 << 10];
        let mut sent = 0;
        while let Ok(count) = (&ours).write(&line) {
            assert_eq!(count, line.len());
            sent += 1;
        }
        assert!(sent > 1);
    }

    #[tokio::test]
    async fn a_worker_that_exits_with_unread_messages() {
        let mut talk = talk();
        talk.send(ToWorker::Shutdown);
        talk.say("1");
        let before = talk.next().await;
        drop(std::mem::replace(&mut talk.worker, UnixStream::pair().expect("pair").0));
        talk.send(ToWorker::Shutdown);
        before.receipt.sign();
        assert_eq!(talk.heard().await, FromWorker::Ended(Ended::Closed));
    }
}
