//! Where is done what may block?
//!
//! In a thread of its own for each piece of work, not in the runtime's pool: that one is small and shared with everyone,
//! and a hung name server or disk would fill it up.

use std::io;
use std::thread::Builder;

use tokio::sync::oneshot;

/// Does the work elsewhere. The receiver gets an error if the work panics.
///
/// # Errors
/// Those of pthread_create(3).
pub(super) fn elsewhere<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<oneshot::Receiver<T>> {
    let (sender, receiver) = oneshot::channel();
    // Nobody may be waiting any more.
    Builder::new().name("probe".to_owned()).spawn(move || drop(sender.send(work())))?;
    Ok(receiver)
}
