//! How is a message heard once, even if the supervisor dies over it?
//!
//! **Nothing leaves the socket before it is handled.** A datagram is only looked at (`MSG_PEEK`) and taken when the
//! supervisor has signed its [`Receipt`], that is after the snapshot that knows of it. A successor finds what its predecessor
//! died over, and a message may come a second time: handling must be idempotent. `WATCHDOG=1` alone is an exception: it is
//! noted here and taken at once, since a successor's watchdog starts anew.
//!
//! A barrier (sd_notify_barrier(3)) needs nothing of us: the kernel closes its descriptor when its datagram is taken, which is
//! when all that came before has been handled.
//!
//! **Silence is proven.** When the watchdog's time is over, the socket is looked into once more; a supervisor that was
//! stopped or busy itself does not take that for its worker's silence.

use std::future::pending;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{MsgFlags, recv};
use nix::unistd::{Uid, geteuid};
use supd_keeper::protocol::RunId;
use supd_keeper::{Datagram, look};
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::message::{MESSAGE_MAX, Message, Note, parse};

/// What a run has said in one datagram, or that it was silent.
#[derive(Debug)]
pub struct Delivery {
    /// Which run.
    pub run: RunId,
    /// In its order; never empty.
    pub notes: Vec<Note>,
    /// To be signed when it has been handled.
    pub receipt: Receipt,
}

/// Proof that a delivery has been handled.
#[derive(Debug)]
pub struct Receipt {
    errands: mpsc::UnboundedSender<Errand>,
}

impl Receipt {
    /// What follows from the delivery is in a snapshot. Only then is the next one made. Without it (a supervisor that shuts down
    /// drops what it has not handled) the message stays in the socket.
    pub fn sign(self) {
        // The listener may have been dropped meanwhile.
        let _ = self.errands.send(Errand::Handled);
    }
}

#[derive(Debug)]
enum Errand {
    Handled,
    Watch(Option<Duration>),
}

/// Listens to a run's socket until it is dropped; the keeper's duplicate stays open.
#[derive(Debug)]
#[must_use = "dropping it ends listening"]
pub struct Listener {
    errands: mpsc::UnboundedSender<Errand>,
}

impl Listener {
    /// Starts the task. What processes of root, of the daemon's user and of `worker` (the user the run has) say goes to
    /// `deliveries`, one datagram at a time. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the descriptor cannot be watched.
    pub fn new(
        run: RunId,
        socket: OwnedFd,
        worker: Option<Uid>,
        deliveries: mpsc::UnboundedSender<Delivery>,
    ) -> io::Result<Self> {
        let socket = std::os::unix::net::UnixDatagram::from(socket);
        socket.set_nonblocking(true)?;
        let socket = UnixDatagram::from_std(socket)?;
        let (errands, incoming) = mpsc::unbounded_channel();
        let speakers = [Some(Uid::from_raw(0)), Some(geteuid()), worker];
        let ear = Ear {
            run,
            socket,
            speakers,
            deliveries,
            errands: errands.downgrade(),
            unhandled: None,
            watchdog: None,
            is_over: false,
        };
        tokio::spawn(ear.listen(incoming));
        Ok(Self { errands })
    }

    /// From now on `WATCHDOG=1` has to come at least this often, the first time within this span; else [`Note::Silent`] is
    /// delivered, once. `None`: no more. To be called when the run is ready, and with `None` when it is told to stop.
    pub fn watch(&self, limit: Option<Duration>) {
        // An error means that the socket has failed.
        let _ = self.errands.send(Errand::Watch(limit));
    }
}

/// What has been delivered and not been handled.
#[derive(Clone, Copy)]
enum Unhandled {
    /// The datagram at the head of the socket.
    Datagram,
    Silence,
}

#[derive(Clone, Copy)]
struct Watchdog {
    limit: Duration,
    fed: Instant,
}

struct Ear {
    run: RunId,
    socket: UnixDatagram,
    /// Users who may speak.
    speakers: [Option<Uid>; 3],
    deliveries: mpsc::UnboundedSender<Delivery>,
    errands: mpsc::WeakUnboundedSender<Errand>,
    unhandled: Option<Unhandled>,
    watchdog: Option<Watchdog>,
    is_over: bool,
}

impl Ear {
    async fn listen(mut self, mut errands: mpsc::UnboundedReceiver<Errand>) {
        while !self.is_over {
            let is_free = self.unhandled.is_none();
            tokio::select! {
                biased;
                errand = errands.recv() => match errand {
                    Some(Errand::Handled) => self.handled(),
                    Some(Errand::Watch(limit)) => {
                        self.watchdog = limit.map(|limit| Watchdog { limit, fed: Instant::now() });
                    }
                    None => self.is_over = true,
                },
                seen = self.socket.async_io(Interest::READABLE, || see(&self.socket)), if is_free => self.saw(seen),
                () = deadline(self.watchdog), if is_free => self.time_is_over(),
            }
        }
    }

    fn saw(&mut self, seen: io::Result<Seen>) {
        match seen {
            Ok(Seen { datagram, bytes }) => {
                let is_speaker =
                    datagram.sender.is_some_and(|uid| self.speakers.contains(&Some(Uid::from_raw(uid))));
                // A part of a message might say the opposite of the whole.
                let is_whole = datagram.size <= MESSAGE_MAX;
                let message = if is_speaker && is_whole { parse(&bytes) } else { Message::default() };
                if message.is_alive
                    && let Some(watchdog) = &mut self.watchdog
                {
                    watchdog.fed = Instant::now();
                }
                if message.notes.is_empty() {
                    self.take();
                } else {
                    self.deliver(message.notes, Unhandled::Datagram);
                }
            }
            Err(error) => {
                tracing::error!("run {}: its NOTIFY_SOCKET is given up: {error}", self.run.0);
                self.is_over = true;
            }
        }
    }

    fn time_is_over(&mut self) {
        match see(&self.socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if let Some(watchdog) = self.watchdog.take() {
                    self.deliver(vec![Note::Silent(watchdog.limit)], Unhandled::Silence);
                }
            }
            seen => self.saw(seen),
        }
    }

    fn deliver(&mut self, notes: Vec<Note>, unhandled: Unhandled) {
        self.unhandled = Some(unhandled);
        // Without a sender the supervisor has dropped the listener.
        let delivered = self.errands.upgrade().is_some_and(|errands| {
            self.deliveries.send(Delivery { run: self.run, notes, receipt: Receipt { errands } }).is_ok()
        });
        self.is_over |= !delivered;
    }

    fn handled(&mut self) {
        match self.unhandled.take() {
            Some(Unhandled::Datagram) => self.take(),
            Some(Unhandled::Silence) | None => {}
        }
    }

    /// Takes the datagram that was looked at, whole.
    fn take(&self) {
        // Should it fail, the datagram is seen once more.
        let _ = recv(self.socket.as_raw_fd(), &mut [0], MsgFlags::MSG_DONTWAIT);
    }
}

struct Seen {
    datagram: Datagram,
    bytes: Vec<u8>,
}

fn see(socket: &UnixDatagram) -> io::Result<Seen> {
    let mut buffer = [0; MESSAGE_MAX];
    let datagram = look(socket.as_fd(), &mut buffer)?;
    Ok(Seen { datagram, bytes: buffer[..datagram.size.min(MESSAGE_MAX)].to_vec() })
}

async fn deadline(watchdog: Option<Watchdog>) {
    match watchdog.map(|watchdog| watchdog.fed.checked_add(watchdog.limit)) {
        Some(Some(at)) => sleep_until(at).await,
        // No watchdog, or one that waits for longer than there will be time.
        Some(None) | None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;

    use super::*;

    /// The loop mostly sees the message first; it must not matter.
    #[tokio::test]
    async fn what_waits_in_the_socket_is_no_silence() {
        let (name, socket) = super::super::open(RunId(1)).unwrap();
        let socket = UnixDatagram::from_std(socket.into()).unwrap();
        let (deliveries, mut delivered) = mpsc::unbounded_channel();
        let (errands, _incoming) = mpsc::unbounded_channel();
        let long_ago = Instant::now();
        let limit = Duration::from_millis(1);
        let mut ear = Ear {
            run: RunId(1),
            socket,
            speakers: [Some(geteuid()), None, None],
            deliveries,
            errands: errands.downgrade(),
            unhandled: None,
            watchdog: Some(Watchdog { limit, fed: long_ago }),
            is_over: false,
        };
        let worker = std::os::unix::net::UnixDatagram::unbound().unwrap();
        let address = SocketAddr::from_abstract_name(name.trim_start_matches('@')).unwrap();
        worker.send_to_addr(b"WATCHDOG=1", &address).unwrap();
        ear.time_is_over();
        assert!(
            delivered.try_recv().is_err() && ear.watchdog.is_some_and(|watchdog| watchdog.fed > long_ago)
        );
        ear.time_is_over();
        assert_eq!(delivered.try_recv().unwrap().notes, [Note::Silent(limit)]);
    }
}
