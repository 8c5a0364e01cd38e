//! How do cells get onto the terminal, and how is it given back as it was? Only what has changed is written, and nothing where nothing
//! has.

use std::fs::File;
use std::io::{self, BufWriter, Stdout, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::panic;

use crossterm::cursor::{Hide, Show};
use crossterm::execute;
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, dup2_stderr};
use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::Buffer;

/// The terminal while it is ours. Dropped, or when the program panics, it is given back.
pub(super) struct Screen {
    backend: CrosstermBackend<BufWriter<Stdout>>,
    /// What it shows.
    shown: Buffer,
    /// Standard error as it was. Meanwhile it leads nowhere: what the evaluation of a file prints would go across the picture.
    stderr: OwnedFd,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// Those of the terminal, which is given back then.
    pub(super) fn take() -> io::Result<Self> {
        let stderr = io::stderr().as_fd().try_clone_to_owned()?;
        let theirs = stderr.try_clone()?;
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            give_back(&theirs);
            before(panic);
        }));
        let backend = CrosstermBackend::new(BufWriter::new(io::stdout()));
        // From here on its end gives the terminal back.
        let screen = Self { backend, shown: Buffer::default(), stderr };
        occupy()?;
        Ok(screen)
    }

    /// Gives the terminal back, stops this job as the terminal's suspend character does, and when it is continued takes it again.
    ///
    /// # Errors
    /// Those of the terminal.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        give_back(&self.stderr);
        // The whole job: a script that waits for this program is to stop too.
        kill(Pid::from_raw(0), Signal::SIGTSTP)?;
        occupy()?;
        self.forget();
        Ok(())
    }

    /// Columns and rows.
    ///
    /// # Errors
    /// Those of the terminal.
    pub(super) fn size() -> io::Result<(u16, u16)> {
        size()
    }

    /// The next picture is drawn whole, over whatever somebody else has written.
    pub(super) fn forget(&mut self) {
        self.shown = Buffer::default();
    }

    /// Shows this.
    ///
    /// # Errors
    /// Those of the terminal.
    pub(super) fn show(&mut self, next: Buffer) -> io::Result<()> {
        if next.area != self.shown.area {
            execute!(self.backend, Clear(ClearType::All))?;
            self.shown = Buffer::empty(next.area);
        }
        let changes = self.shown.diff(&next);
        if !changes.is_empty() {
            self.backend.draw(changes.into_iter())?;
            Backend::flush(&mut self.backend)?;
        }
        self.shown = next;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back(&self.stderr);
    }
}

fn occupy() -> io::Result<()> {
    dup2_stderr(File::options().write(true).open("/dev/null")?)?;
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, Hide)
}

/// Whatever fails, the rest is tried: there is nobody left to be told.
fn give_back(stderr: &OwnedFd) {
    let mut stdout = io::stdout();
    let _ = execute!(stdout, LeaveAlternateScreen, Show);
    let _ = stdout.flush();
    let _ = disable_raw_mode();
    let _ = dup2_stderr(stderr);
}
