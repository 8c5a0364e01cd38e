//! One daemon in a home of its own, and `supctl` to talk to it.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::{fs, thread};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process;
use crate::wait::{LIMIT, until, until_true};

/// The variables that a daemon of a test must not inherit from whoever runs the tests.
const FOREIGN: [&str; 10] = [
    "SUPD_HOME",
    "SUPD_CGROUP",
    "SUPD_LOG",
    "SUPD_LOG_FORMAT",
    "JOURNAL_STREAM",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "NODE_CHANNEL_FD",
    "NO_COLOR",
];

/// So many lines of the daemon's log are told with a failure.
const LAST_WORDS: usize = 300;

/// What a command left behind.
#[derive(Debug)]
pub struct Output {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Output {
    /// The one document on standard output.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {self:#?}"))
    }

    /// Asserts how it ended.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Asserts that standard error says all of this.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.err.contains(text), "`{text}` is not in {self:#?}");
        }
        self
    }
}

/// A home, its daemon and what runs in it. Dropped, it ends all of that and proves that nothing is left.
pub struct Daemon {
    home: TempDir,
    loopback: String,
}

impl Daemon {
    /// A home with a daemon.
    pub fn start() -> Self {
        let daemon = Self::empty();
        daemon.ok(&["ping"]);
        daemon
    }

    /// A home in which no daemon runs yet.
    pub fn empty() -> Self {
        // The path of a socket is short (unix(7)), so it is not below a long TMPDIR.
        Self::empty_in(Path::new("/tmp"))
    }

    /// One in this directory.
    pub fn empty_in(directory: &Path) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let home = tempfile::Builder::new()
            .prefix("supd-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(directory)
            .expect("a home");
        let (pid, next) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let (block, host) = (pid / 250 + next / 254, 1 + next % 254);
        let loopback = format!("127.{}.{}.{host}", 1 + block % 250, 1 + pid % 250);
        Self { home, loopback }
    }

    /// `SUPD_HOME`.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A file in the home that is not the daemon's.
    pub fn file(&self, name: &str) -> PathBuf {
        self.home().join(name)
    }

    /// An address that no other test uses: all of 127.0.0.0/8 is this machine.
    pub fn address(&self, port: u16) -> String {
        format!("{}:{port}", self.loopback)
    }

    /// The example app.
    pub fn hello() -> PathBuf {
        let beside = Path::new(env!("CARGO_BIN_EXE_supctl")).with_file_name("examples").join("hello");
        assert!(beside.is_file(), "{} is not built", beside.display());
        beside
    }

    /// An executable file with this content. It is written by another process: one that is forked off here meanwhile
    /// would hold it open for writing, and nobody could execute it (`ETXTBSY`).
    pub fn script(&self, name: &str, content: &str) -> String {
        let file = self.file(name).display().to_string();
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "cat > \"$0\" && chmod 755 \"$0\"", &file]);
        run(&mut shell, content.as_bytes()).expect(0);
        file
    }

    // ---- supctl ----------------------------------------------------------------------------------------------

    /// `supctl`, not started yet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_supctl"));
        for name in FOREIGN {
            command.env_remove(name);
        }
        command.env("SUPD_HOME", self.home()).current_dir(self.home()).args(args).stdin(Stdio::null());
        command
    }

    /// `supctl` in the background, its output to be read.
    pub fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("supctl")
    }

    /// Runs `supctl`.
    pub fn ctl(&self, args: &[&str]) -> Output {
        run(&mut self.command(args), b"")
    }

    /// Runs `supctl` with something on its standard input.
    pub fn ctl_with(&self, args: &[&str], input: &[u8]) -> Output {
        run(&mut self.command(args), input)
    }

    /// Runs `supctl`, which has to succeed.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> Output {
        self.ctl(args).expect(0)
    }

    /// The document that `supctl --json` prints; it has to succeed.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        self.ok(&[args, &["--json"]].concat()).json()
    }

    /// Writes a declaration file and returns its path.
    pub fn declare(&self, apps: &Value) -> String {
        let file = self.file("ecosystem.json");
        fs::write(&file, json!({ "apps": apps }).to_string()).expect("a declaration");
        file.display().to_string()
    }

    /// Declares and starts apps, which have to come up.
    #[track_caller]
    pub fn run(&self, apps: &Value) -> Output {
        self.ok(&["start", &self.declare(apps)])
    }

    // ---- what it says ----------------------------------------------------------------------------------------

    /// `supctl list`.
    pub fn list(&self) -> Vec<Value> {
        let Value::Array(list) = self.json(&["list"]) else { panic!("`list` is no list") };
        list
    }

    /// The worker with that id.
    #[track_caller]
    pub fn worker(&self, id: u64) -> Value {
        let list = self.list();
        list.iter()
            .find(|worker| worker["id"] == id)
            .unwrap_or_else(|| panic!("no worker {id} in {list:#?}"))
            .clone()
    }

    /// The id of the first worker of an app.
    #[track_caller]
    pub fn worker_of(&self, app: &str) -> u64 {
        let list = self.list();
        let worker = list.iter().find(|worker| worker["app"] == app).expect("it is listed");
        worker["id"].as_u64().expect("an id")
    }

    /// The process of a worker that runs.
    #[track_caller]
    pub fn pid(&self, id: u64) -> i32 {
        pid_of(&self.worker(id))
    }

    /// The processes of all workers that run, by id.
    pub fn pids(&self) -> Vec<i32> {
        let mut workers = self.list();
        workers.sort_by_key(|worker| worker["id"].as_u64());
        workers.iter().filter(|worker| !worker["pid"].is_null()).map(pid_of).collect()
    }

    /// Waits until a worker is as wished.
    pub fn until(&self, id: u64, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        until(&format!("worker {id} {what}"), || Some(self.worker(id)).filter(&is))
    }

    /// Waits until a worker has that status.
    pub fn until_status(&self, id: u64, status: &str) -> Value {
        self.until(id, status, |worker| worker["status"] == status)
    }

    /// What has happened so far, oldest first.
    pub fn happenings(&self) -> Vec<Value> {
        let lines = self.ok(&["events", "--nostream", "--json"]).out;
        lines.lines().map(|line| serde_json::from_str(line).expect("a happening")).collect()
    }

    /// Process ids of keeper and supervisor.
    pub fn heads(&self) -> (i32, i32) {
        let view = self.json(&["ping"]);
        let pid = |name: &str| i32::try_from(view[name].as_i64().expect("a pid")).expect("a pid");
        (pid("keeper_pid"), pid("supervisor_pid"))
    }

    /// Kills a supervisor that may not be able to answer, and waits for the answer of the next one.
    pub fn kill_frozen(&self, supervisor: i32) {
        process::kill(supervisor);
        until_true("the next supervisor", || self.heads().1 != supervisor);
    }

    /// Kills the supervisor and waits for the answer of the next one.
    pub fn kill_supervisor(&self) {
        self.kill_frozen(self.heads().1);
    }

    /// Kills keeper, supervisor and all workers at once, as a power cut does.
    pub fn pull_the_plug(&self) {
        let all = process::of_home(self.home());
        assert!(all.len() >= 2, "{all:?} is no daemon");
        // None may see another one die first.
        all.iter().for_each(|&pid| process::signal(pid, nix::sys::signal::Signal::SIGSTOP));
        all.iter().for_each(|&pid| process::kill(pid));
        until_true("the end of all", || process::of_home(self.home()).is_empty());
    }

    /// A file below the home, as text.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// A connection to the control socket.
    pub fn connect(&self) -> UnixStream {
        UnixStream::connect(self.file("supd.sock")).expect("the control socket")
    }

    /// The end of its own log.
    fn last_words(&self) -> String {
        let log = self.read("supd.log");
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n")
    }

    fn end(&self) -> Result<(), String> {
        let output = attempt(&mut self.command(&["kill"]), b"")?;
        if output.code != 0 {
            return Err(format!("`supctl kill` failed: {output:#?}"));
        }
        // The keeper closes its socket before it ends.
        let mut left = Vec::new();
        for _ in 0..1000 {
            left = process::of_home(self.home());
            if left.is_empty() {
                return Ok(());
            }
            thread::sleep(std::time::Duration::from_millis(5));
        }
        let lines: Vec<_> =
            left.iter().map(|&pid| format!("{pid}: {}", process::command_line(pid))).collect();
        Err(format!("left behind: {lines:#?}"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if thread::panicking() {
            let list = attempt(&mut self.command(&["list"]), b"").map(|output| output.out);
            eprintln!("---- {}\n{}", list.unwrap_or_else(|why| why), self.last_words());
        }
        let ended = self.end();
        process::of_home(self.home()).into_iter().for_each(process::kill);
        match ended {
            Err(why) if !thread::panicking() => panic!("{why}\n{}", self.last_words()),
            Err(why) => eprintln!("{why}"),
            Ok(()) => {}
        }
    }
}

/// An app of a few lines of shell, which is its own main process.
pub fn shell(name: &str, script: &str) -> Value {
    json!({ "name": name, "script": "/bin/sh", "args": ["-c", script] })
}

/// An app that does nothing until it is told to go.
pub fn sleeper(name: &str) -> Value {
    json!({ "name": name, "script": "sleep", "args": ["1000"] })
}

/// A declaration with some more fields.
pub fn with(mut app: Value, fields: Value) -> Value {
    let (Value::Object(app_fields), Value::Object(fields)) = (&mut app, fields) else { panic!("not fields") };
    app_fields.extend(fields);
    app
}

/// The process of a worker that runs.
#[track_caller]
pub fn pid_of(worker: &Value) -> i32 {
    worker["pid"]
        .as_i64()
        .and_then(|pid| i32::try_from(pid).ok())
        .unwrap_or_else(|| panic!("no process: {worker:#}"))
}

/// Runs a command to its end.
pub fn run(command: &mut Command, input: &[u8]) -> Output {
    attempt(command, input).unwrap_or_else(|why| panic!("{why}"))
}

fn attempt(command: &mut Command, input: &[u8]) -> Result<Output, String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{command:?}: {error}"))?;
    // It may end without reading all of it.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    wait_for(child)
}

/// Waits for a command and collects what it printed.
pub fn finish(child: Child) -> Output {
    wait_for(child).unwrap_or_else(|why| panic!("{why}"))
}

fn wait_for(child: Child) -> Result<Output, String> {
    let pid = child.id().cast_signed();
    let line = process::command_line(pid);
    let (tell, ended) = channel();
    thread::spawn(move || drop(tell.send(child.wait_with_output())));
    let Ok(output) = ended.recv_timeout(LIMIT) else {
        process::kill(pid);
        return Err(format!("`{line}` did not end within {LIMIT:?}"));
    };
    let output = output.map_err(|error| error.to_string())?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Output {
        code: output.status.code().unwrap_or(-1),
        out: text(output.stdout),
        err: text(output.stderr),
    })
}
