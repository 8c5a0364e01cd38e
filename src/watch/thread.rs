//! The thread of one watch.

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::quiet::Quiet;
use super::tree::{Tree, Trouble};
use super::{News, Plan};

/// A watch. Dropping it ends it; nobody waits for that.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<Stop>,
}

#[derive(Debug)]
struct Stop {
    asked: AtomicBool,
    wake: EventFd,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.asked.store(true, Ordering::Relaxed);
        // It cannot overflow.
        let _ = self.stop.wake.write(1);
    }
}

/// Watches as planned, and tells.
///
/// # Errors
/// There are no descriptors or threads left.
pub fn watch(plan: Plan, tell: impl Fn(News) + Send + 'static) -> io::Result<Watch> {
    let wake = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
    let stop = Arc::new(Stop { asked: AtomicBool::new(false), wake });
    let watch = Watch { stop: Arc::clone(&stop) };
    std::thread::Builder::new().name("watch".to_owned()).spawn(move || {
        if let Err(trouble) = run(&plan, &tell, &stop) {
            tell(News::Trouble(trouble));
        }
    })?;
    Ok(watch)
}

fn run(plan: &Plan, tell: &impl Fn(News), stop: &Stop) -> Result<(), Trouble> {
    let (mut tree, changed) = Tree::new(plan, &stop.asked)?;
    tell(News::Watching { directories: tree.size() });
    let mut quiet = Quiet::new(plan.delay);
    note(&mut quiet, &tree, changed);
    while !stop.asked.load(Ordering::Relaxed) {
        let mut ends =
            [PollFd::new(tree.as_fd(), PollFlags::POLLIN), PollFd::new(stop.wake.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ends, patience(&quiet)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(format!("poll: {}", errno.desc())),
        }
        let changed = tree.read()?;
        note(&mut quiet, &tree, changed);
        if let Some(change) = quiet.take(Instant::now()) {
            tell(News::Changed(change));
        }
    }
    Ok(())
}

fn note(quiet: &mut Quiet, tree: &Tree<'_>, changed: Vec<PathBuf>) {
    for path in changed {
        quiet.note(Instant::now(), tree.shown(&path));
    }
}

/// Rounded up, so that it is over then.
fn patience(quiet: &Quiet) -> PollTimeout {
    let left = quiet.over_at().map(|at| at.saturating_duration_since(Instant::now()));
    left.map_or(PollTimeout::NONE, |left| {
        PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX)
    })
}
