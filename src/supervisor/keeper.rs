//! The link to the keeper, as the loop uses it: orders never block, they wait in line.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;

use supd_keeper::Link;
use supd_keeper::protocol::{Order, Report};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Our end of the link.
pub(super) struct Keeper {
    link: Link,
    /// A duplicate of the link that tokio watches; it only ever tells when to look.
    watch: UnixStream,
    waiting: VecDeque<(Order, Vec<Arc<OwnedFd>>)>,
}

/// See [`Keeper::last_words`].
pub(super) struct LastWords(Link);

impl LastWords {
    pub(super) fn say(&self, why: &str) {
        // If it does not get through, the keeper's own words have to do.
        let _ = self.0.try_send(&Order::Failed { why: why.to_owned() }, &[]);
    }
}

impl Keeper {
    /// Takes over the link that the keeper passed to this process.
    pub(super) fn connect() -> io::Result<Self> {
        let link = Link::inherited()?;
        let watch = StdStream::from(link.as_fd().try_clone_to_owned()?);
        Ok(Self { link, watch: UnixStream::from_std(watch)?, waiting: VecDeque::new() })
    }

    /// A way to say why this supervisor ends, whatever becomes of the rest.
    pub(super) fn last_words(&self) -> io::Result<LastWords> {
        Ok(LastWords(self.link.as_fd().try_clone_to_owned()?.into()))
    }

    /// Returns when every order has reached the keeper, or it is gone.
    pub(super) async fn deliver(&mut self) -> io::Result<()> {
        loop {
            self.flush();
            if self.waiting.is_empty() {
                return Ok(());
            }
            self.watch.ready(Interest::WRITABLE).await?;
        }
    }

    /// Sends an order with its descriptors, after all earlier ones.
    pub(super) fn order(&mut self, order: Order, attached: Vec<Arc<OwnedFd>>) {
        self.waiting.push_back((order, attached));
        self.flush();
    }

    /// The next report with its descriptors; `None` when the keeper is gone. Cancel safe.
    pub(super) async fn next(&mut self) -> io::Result<Option<(Report, Vec<OwnedFd>)>> {
        loop {
            self.flush();
            match self.watch.try_io(Interest::READABLE, || self.link.try_recv::<Report>()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    tracing::error!("a report of the keeper is not understood: {error}");
                    continue;
                }
                // It went without reading our last orders: an end all the same (unix(7)).
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                result => return result,
            }
            let blocked = !self.waiting.is_empty();
            let interest = if blocked { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            self.watch.ready(interest).await?;
        }
    }

    fn flush(&mut self) {
        while let Some((order, attached)) = self.waiting.front() {
            let attached: Vec<_> = attached.iter().map(|descriptor| descriptor.as_fd()).collect();
            match self.watch.try_io(Interest::WRITABLE, || self.link.try_send(order, &attached)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // It is gone; reading tells.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                Err(error) => tracing::error!("the order {order:?} did not reach the keeper: {error}"),
                Ok(()) => {}
            }
            self.waiting.pop_front();
        }
    }
}
