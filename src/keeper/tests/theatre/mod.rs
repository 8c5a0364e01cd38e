//! A keeper as a process, and the test in the role of its supervisor.
#![allow(dead_code, unreachable_pub, reason = "each test file uses another part of it")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, accept4, bind, listen, socket};
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, pipe2};
use supd_keeper::Link;
use supd_keeper::protocol::{
    DescriptorName, ExecPlan, Exit, Order, Report, RunId, RunRecord, Scope, Upgrade,
};

/// Longer than anything here takes on a loaded machine: reaching it is a failure.
pub const LIMIT: Duration = Duration::from_secs(30);

pub struct Welcome {
    pub runs: Vec<RunRecord>,
    pub descriptors: BTreeMap<DescriptorName, OwnedFd>,
    pub snapshot: Option<OwnedFd>,
    pub restarts: u32,
    pub trial: bool,
    pub upgrade: Option<Upgrade>,
}

pub struct Theatre {
    pub keeper: Child,
    pub dir: tempfile::TempDir,
    listener: Option<OwnedFd>,
    link: Option<Link>,
    stand_in: Option<(i32, OwnedFd)>,
}

impl Theatre {
    /// A keeper whose first supervisor has been welcomed.
    pub fn open() -> Self {
        Self::open_with(|_| {}).0
    }

    pub fn open_with(prepare: impl FnOnce(&mut Command)) -> (Self, Welcome) {
        Self::open_by(Command::new(env!("CARGO_BIN_EXE_keeper-fixture")), prepare)
    }

    /// A keeper that `wrapper` starts, as the command in its last arguments.
    pub fn open_in(mut wrapper: Command) -> Self {
        wrapper.arg(env!("CARGO_BIN_EXE_keeper-fixture"));
        Self::open_by(wrapper, |_| {}).0
    }

    fn open_by(mut command: Command, prepare: impl FnOnce(&mut Command)) -> (Self, Welcome) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stage");
        let listener =
            socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
        bind(listener.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
        listen(&listener, Backlog::new(10).unwrap()).unwrap();
        command.arg("keeper").arg(&path).arg(dir.path()).stdin(Stdio::null());
        prepare(&mut command);
        let keeper = command.spawn().unwrap();
        let mut theatre = Self { keeper, dir, listener: Some(listener), link: None, stand_in: None };
        let welcome = theatre.meet();
        (theatre, welcome)
    }

    pub fn keeper_pid(&self) -> i32 {
        self.keeper.id() as i32
    }

    pub fn supervisor_pid(&self) -> i32 {
        self.stand_in.as_ref().unwrap().0
    }

    pub fn link(&self) -> &Link {
        self.link.as_ref().unwrap()
    }

    /// Waits for the next supervisor, without reading its welcome.
    pub fn accept(&mut self) {
        let listener = self.listener.as_ref().unwrap();
        await_readable(listener.as_fd());
        let number = accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC).unwrap();
        // SAFETY: accept4 has just made it.
        let connection = Link::from(unsafe { OwnedFd::from_raw_fd(number) });
        await_readable(connection.as_fd());
        let (pid, mut links) = connection.try_recv::<i32>().unwrap().unwrap();
        self.link = Some(Link::from(links.pop().unwrap()));
        self.stand_in = Some((pid, connection.into()));
    }

    /// Waits for the next supervisor and what it is told first.
    pub fn meet(&mut self) -> Welcome {
        self.accept();
        let (report, attached) = self.receive();
        let Report::Welcome { runs, descriptors: announced, snapshot, restarts, trial, upgrade, .. } = report
        else {
            panic!("{report:?} instead of a welcome")
        };
        assert_eq!(attached.len(), usize::from(snapshot));
        let mut descriptors = BTreeMap::new();
        while descriptors.len() < announced {
            let (report, attached) = self.receive();
            let Report::Descriptors { names } = report else { panic!("{report:?} instead of descriptors") };
            assert_eq!(names.len(), attached.len());
            descriptors.extend(names.into_iter().zip(attached));
        }
        Welcome { runs, descriptors, snapshot: attached.into_iter().next(), restarts, trial, upgrade }
    }

    /// Stops the keeper; what happens until SIGCONT it finds all at once.
    pub fn stop_keeper(&self) {
        kill(self.keeper_pid(), libc::SIGSTOP);
        let stopped = waitpid(Pid::from_raw(self.keeper_pid()), Some(WaitPidFlag::WUNTRACED)).unwrap();
        assert!(matches!(stopped, WaitStatus::Stopped(..)), "{stopped:?}");
    }

    /// The supervisor dies: the stand-in by SIGKILL, the link by that.
    pub fn kill_supervisor(&mut self) {
        let (pid, _connection) = self.stand_in.take().unwrap();
        kill(pid, libc::SIGKILL);
        self.link = None;
    }

    /// The supervisor ends by itself.
    pub fn dismiss_supervisor(&mut self) {
        self.stand_in = None;
        self.link = None;
    }

    /// The supervisor hands over to another program and ends.
    pub fn hand_over(&mut self, program: &Path) {
        let upgrade = Upgrade { attempt: 1, from: "1.0".to_owned(), to: "2.0".to_owned(), failure: None };
        self.order(&Order::Upgrade { program: program.display().to_string(), upgrade }, &[]);
        loop {
            await_readable(self.link().as_fd());
            // What was reported before, up to the end.
            if self.link().try_recv::<Report>().unwrap().is_none() {
                return self.dismiss_supervisor();
            }
        }
    }

    /// The supervisor on trial has restored everything, and is of this program.
    pub fn prove(&self, image: &Path) {
        let image = open(image, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).unwrap();
        self.order(&Order::Ready, &[image.as_fd()]);
    }

    /// Everything from the present program to this one.
    pub fn upgrade(&mut self, program: &Path) {
        self.hand_over(program);
        assert!(self.meet().trial);
        self.prove(program);
        let report = self.report();
        assert!(matches!(report, Report::Upgraded { .. }), "{report:?}");
    }

    /// The file that the keeper runs.
    pub fn image(&self) -> PathBuf {
        std::fs::read_link(format!("/proc/{}/exe", self.keeper_pid())).unwrap()
    }

    /// Another copy of the keeper's program. Made by another process: one that is forked off here meanwhile would hold it open
    /// for writing, and nobody could execute it (`ETXTBSY`).
    pub fn copy(&self, name: &str) -> PathBuf {
        let copy = self.dir.path().join(name);
        let made = Command::new("cp").arg(env!("CARGO_BIN_EXE_keeper-fixture")).arg(&copy).status().unwrap();
        assert!(made.success());
        copy
    }

    /// How many descriptors the keeper has.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.keeper_pid())).unwrap().count()
    }

    /// The supervisor lives on without a link.
    pub fn drop_link(&mut self) {
        self.link = None;
    }

    /// No further supervisor can be met.
    pub fn close_entrance(&mut self) {
        self.listener = None;
        std::fs::remove_file(self.dir.path().join("stage")).unwrap();
    }

    pub fn order(&self, order: &Order, attached: &[BorrowedFd<'_>]) {
        while let Err(error) = self.link().try_send(order, attached) {
            assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
            poll(&mut [PollFd::new(self.link().as_fd(), PollFlags::POLLOUT)], PollTimeout::NONE).unwrap();
        }
    }

    pub fn receive(&self) -> (Report, Vec<OwnedFd>) {
        await_readable(self.link().as_fd());
        self.link().try_recv().unwrap().expect("the keeper is there")
    }

    pub fn report(&self) -> Report {
        self.receive().0
    }

    /// Everything that has been reported by now.
    pub fn nothing_reported(&self) {
        match self.link().try_recv::<Report>() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => panic!("{other:?} instead of nothing"),
        }
    }

    /// Starts `script`; its output.
    pub fn order_sh(&self, run: u64, script: &str) -> File {
        let (out, theirs) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let run = RunId(run);
        let keep = vec![DescriptorName::Out(run)];
        let order = Order::Spawn { run, plan: Box::new(sh(script)), keep };
        self.order(&order, &[theirs.as_fd(), theirs.as_fd(), out.as_fd()]);
        out.into()
    }

    /// Starts `script` and waits until it is executed; its process and output.
    pub fn start_sh(&self, run: u64, script: &str) -> (i32, File) {
        let out = self.order_sh(run, script);
        (self.spawned(run), out)
    }

    pub fn spawned(&self, run: u64) -> i32 {
        match self.report() {
            Report::Spawned { run: RunId(which), pid } if which == run => pid,
            other => panic!("{other:?} instead of the start of {run}"),
        }
    }

    /// How it ended, and whether with survivors.
    pub fn exited(&self, run: u64) -> (Exit, bool) {
        match self.report() {
            Report::Exited { run: RunId(which), exit, survivors, .. } if which == run => (exit, survivors),
            other => panic!("{other:?} instead of the end of {run}"),
        }
    }

    pub fn signal(&self, run: u64, signal: i32, scope: Scope) {
        self.order(&Order::Signal { run: RunId(run), signal, scope }, &[]);
    }

    /// Returns when everything ordered so far has been carried out: the answer to a start that fails at once.
    pub fn settle(&self) {
        let run = RunId(u64::MAX);
        let plan = ExecPlan { program: "/nonexistent\0".to_owned(), ..sh("") };
        self.order(&Order::Spawn { run, plan: Box::new(plan), keep: Vec::new() }, &[]);
        loop {
            if let Report::SpawnFailed { run: found, .. } = self.report()
                && found == run
            {
                return;
            }
        }
    }

    /// How the main process ended, when nothing of the run is left.
    pub fn gone_with(&self, run: u64) -> Exit {
        let (exit, survivors) = self.exited(run);
        if survivors {
            assert_eq!(self.report(), Report::Gone { run: RunId(run) });
        }
        exit
    }

    /// The keeper's children, zombies too, in order of their start.
    pub fn children(&self) -> Vec<i32> {
        let keeper = self.keeper_pid();
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let parent = |pid: i32| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            status.lines().find_map(|line| line.strip_prefix("PPid:\t")?.parse::<i32>().ok())
        };
        let mut found: Vec<i32> = numbers.filter(|pid| parent(*pid) == Some(keeper)).collect();
        found.sort_unstable();
        found
    }

    /// Waits for the keeper to end.
    pub fn exit_code(&mut self) -> i32 {
        self.keeper.wait().unwrap().code().unwrap()
    }
}

impl Drop for Theatre {
    fn drop(&mut self) {
        let quit =
            self.link.as_ref().is_some_and(|link| link.try_send(&Order::Quit { code: 0 }, &[]).is_ok());
        if !quit {
            let _ = self.keeper.kill();
        }
        self.stand_in = None;
        // A keeper that is broken may not hear it.
        if !ends(self.keeper_pid()) {
            let _ = self.keeper.kill();
        }
        let _ = self.keeper.wait();
    }
}

pub fn sh(script: &str) -> ExecPlan {
    ExecPlan {
        cgroup: None,
        attributes: supd_keeper::protocol::Attributes::default(),
        program: "/bin/sh".to_owned(),
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        env: vec![("PATH".to_owned(), std::env::var("PATH").unwrap())],
        cwd: "/".to_owned(),
        user: None,
        group: None,
        descriptors: vec![1, 2],
        listen_pid: false,
    }
}

pub fn await_readable(fd: BorrowedFd<'_>) {
    let timeout = PollTimeout::try_from(LIMIT).unwrap();
    assert_eq!(
        poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout).unwrap(),
        1,
        "nothing came in {LIMIT:?}"
    );
}

/// The next line of a process's output.
pub fn line(out: &mut File) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    loop {
        await_readable(out.as_fd());
        if out.read(&mut byte).unwrap() == 0 || byte == *b"\n" {
            return String::from_utf8(text).unwrap();
        }
        text.push(byte[0]);
    }
}

/// All output, up to the end of the last process that holds it.
pub fn rest(out: &mut File) -> String {
    let mut text = String::new();
    loop {
        match line(out) {
            last if last.is_empty() => return text,
            next => text = text + &next + "\n",
        }
    }
}

pub fn kill(pid: i32, signal: i32) {
    // SAFETY: no memory effects.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0, "{pid}");
}

/// Whether a process exists; zombies do.
pub fn exists(pid: i32) -> bool {
    // SAFETY: no memory effects.
    unsafe { libc::kill(pid, 0) == 0 }
}

/// Waits until a process has ended, not until it has been reaped.
pub fn await_end(pid: i32) {
    assert!(ends(pid), "{pid} lives on for {LIMIT:?}");
}

/// Waits until a signal has stopped a process. Nothing tells of that, so it is asked for.
pub fn await_stopped(pid: i32) {
    let until = std::time::Instant::now() + LIMIT;
    let stat = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    while !stat().rsplit(") ").next().unwrap().starts_with('T') {
        assert!(std::time::Instant::now() < until, "{pid} is not stopped for {LIMIT:?}");
        std::thread::yield_now();
    }
}

fn ends(pid: i32) -> bool {
    // SAFETY: a new descriptor, or a negative number when there is no such process any more.
    let number = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as i32;
    if number < 0 {
        return true;
    }
    // SAFETY: it is new and ours.
    let process = unsafe { OwnedFd::from_raw_fd(number) };
    let timeout = PollTimeout::try_from(LIMIT).unwrap();
    poll(&mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)], timeout).unwrap() == 1
}
