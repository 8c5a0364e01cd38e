//! Commands that must not outlive whoever wants their answer. That a pipe ends proves that nobody who had it is left.

use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::Arc;

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Uid, pipe2};
use supd_keeper::protocol::{Exit, RunId};
use supd_keeper::{Companion, CompanionPlan};

fn plan(script: &str) -> CompanionPlan {
    CompanionPlan {
        run: RunId(77),
        program: "sh".to_owned(),
        args: vec!["-c".to_owned(), script.to_owned()],
        env: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned()), ("ONE".to_owned(), "1".to_owned())],
        cwd: "/usr".to_owned(),
        user: None,
        group: None,
    }
}

fn pipe() -> (BufReader<std::fs::File>, OwnedFd) {
    let (ours, theirs) = pipe2(OFlag::O_CLOEXEC).unwrap();
    (BufReader::new(ours.into()), theirs)
}

/// How it ended, and all it and its descendants have written.
fn live(plan: &CompanionPlan) -> (Exit, String) {
    let (mut reader, output) = pipe();
    let exit = Companion::default().live(plan, Stdio::null(), output).unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    (exit, text)
}

#[test]
fn it_runs_as_planned() {
    let (exit, text) = live(&plan("echo $ONE; pwd; env | wc -l; echo oops >&2; exit 7"));
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert_eq!(exit, Exit::Code(7));
    // PATH, ONE and the PWD that shells set.
    assert_eq!(lines, ["1", "/usr", "3", "oops"]);
    assert_eq!(live(&plan("kill -SEGV $$")).0, Exit::Signal(11));
}

#[test]
fn it_bears_the_tag_of_its_run() {
    let (_, text) = live(&plan("grep realtime.timeout /proc/self/limits"));
    assert!(text.contains(&(77 + (1u64 << 62)).to_string()), "{text}");
}

#[test]
fn what_its_main_process_leaves_behind_is_killed() {
    let (exit, text) = live(&plan("(sleep 20; echo late) & exit 0"));
    assert_eq!((exit, text.as_str()), (Exit::Code(0), ""));
}

#[test]
fn it_is_killed_with_its_group() {
    let (mut reader, output) = pipe();
    let companion = Arc::new(Companion::default());
    let living = Arc::clone(&companion);
    let thread = std::thread::spawn(move || {
        living.live(&plan("echo up; (sleep 20; echo late) & sleep 20"), Stdio::null(), output)
    });
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    companion.kill();
    assert_eq!(thread.join().unwrap().unwrap(), Exit::Signal(9));
    reader.read_to_string(&mut line).unwrap();
    assert_eq!(line, "up\n");
    companion.kill();
}

#[test]
fn one_that_is_unwanted_before_its_start_ends_at_once() {
    let (_reader, output) = pipe();
    let companion = Companion::default();
    companion.kill();
    assert_eq!(companion.live(&plan("sleep 20"), Stdio::null(), output).unwrap(), Exit::Signal(9));
}

#[test]
fn it_dies_with_the_process_that_started_it() {
    let mut fixture = Command::new(env!("CARGO_BIN_EXE_keeper-fixture"))
        .args(["companion", "echo up; exec sleep 60"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(fixture.stdout.take().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "up\n");
    fixture.kill().unwrap();
    fixture.wait().unwrap();
    let mut ended = [PollFd::new(reader.get_ref().as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut ended, PollTimeout::from(10_000u16)), Ok(1), "it lives on");
    assert_eq!(reader.read_line(&mut line).unwrap(), 0);
}

#[test]
fn what_cannot_be_started_is_told_in_words() {
    let text = |change: fn(&mut CompanionPlan)| {
        let mut plan = plan("true");
        change(&mut plan);
        Companion::default().live(&plan, Stdio::null(), pipe().1).unwrap_err().to_string()
    };
    assert_eq!(
        text(|plan| plan.user = Some("nobody-at-all".to_owned())),
        "user `nobody-at-all`: there is none of that name"
    );
    assert_eq!(
        text(|plan| plan.group = Some("no-group".to_owned())),
        "group `no-group`: there is none of that name"
    );
    assert_eq!(
        text(|plan| plan.cwd = "/nowhere".to_owned()),
        "working directory /nowhere: No such file or directory"
    );
    assert_eq!(
        text(|plan| plan.program = "no-such-program".to_owned()),
        "no-such-program: No such file or directory"
    );
    assert!(text(|plan| plan.cwd = "/a\0b".to_owned()).contains("nul byte"));
    let secret = format!("{:?}", plan("true"));
    assert!(!secret.contains("ONE"), "{secret}");
}

#[test]
fn it_becomes_another_user_if_it_may() {
    if !Uid::effective().is_root() {
        return;
    }
    let mut as_nobody = plan("id -u; id -g; id -G");
    as_nobody.user = Some("nobody".to_owned());
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let text = live(&as_nobody).1;
    assert_eq!(text.lines().take(2).collect::<Vec<_>>(), [nobody.uid.to_string(), nobody.gid.to_string()]);
    as_nobody.user = Some("65000".to_owned());
    as_nobody.group = Some("64000".to_owned());
    assert_eq!(live(&as_nobody).1, "65000\n64000\n64000\n");
    as_nobody.user = None;
    assert_eq!(live(&as_nobody).1.lines().take(2).collect::<Vec<_>>(), ["0", "64000"]);
}
