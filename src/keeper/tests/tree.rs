//! Does a signal reach every process of a run, however it hid, and no other?

mod theatre;

use supd_keeper::protocol::{Exit, Report, RunId, RunState, Scope};
use theatre::{Theatre, await_end, exists, kill, line};

/// Ways to leave the main process. `WORK` prints its process and stays.
const ESCAPES: [&str; 7] = [
    "sh -c 'WORK' &",
    "setsid sh -c 'WORK' &",
    "(setsid sh -c 'WORK' & ) &",
    "env -i $(command -v setsid) /bin/sh -c '(WORK) &'",
    // A daemon by the book: twice forked, a session of its own, nothing inherited; it tells its number by a file.
    "setsid sh -c '(env -i /bin/sh -c \"WORK\" 3>&1 </dev/null >/dev/null 2>&1 &)'",
    "sh -c 'trap \"\" TERM INT HUP; WORK' &",
    "setsid sh -c 'trap \"\" TERM; (trap \"\" TERM; WORK) & wait' &",
];

/// A worker that sleeps with all of its descriptors closed.
fn work(pids: &std::path::Path) -> String {
    format!("sh -c \"echo \\$\\$ >> {}; exec 0<&- 1>&- 2>&- 3>&-; exec /bin/sleep 1000\"", pids.display())
}

/// One script that starts all of them, each from a file to be spared the quoting, and stays.
fn escapes(theatre: &Theatre, then: &str) -> (String, std::path::PathBuf) {
    let dir = theatre.dir.path();
    let pids = dir.join("pids");
    nix::unistd::mkfifo(&pids, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let worker = dir.join("work.sh");
    std::fs::write(&worker, work(&pids)).unwrap();
    let mut script = String::new();
    for escape in ESCAPES {
        script += &escape.replace("WORK", &format!("/bin/sh {}", worker.display()));
        script += "\n";
    }
    (script + then, pids)
}

/// The processes the script started.
fn escaped(pids: &std::path::Path) -> Vec<i32> {
    // Read and write, so that the end of one writer is not the end of the file.
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(pids).unwrap();
    ESCAPES.iter().map(|_| line(&mut file).parse().unwrap()).collect()
}

#[test]
fn a_kill_of_the_tree_leaves_nothing_however_it_daemonised() {
    let theatre = Theatre::open();
    let (bystander, _out) = theatre.start_sh(2, "exec sleep 1000");
    let (script, pids) = escapes(&theatre, "exec sleep 1000");
    let (main, _out) = theatre.start_sh(1, &script);
    let escaped = escaped(&pids);
    assert!(escaped.iter().all(|pid| exists(*pid)));
    theatre.signal(1, libc::SIGKILL, Scope::Tree);
    for pid in escaped.into_iter().chain([main]) {
        await_end(pid);
    }
    assert_eq!(theatre.gone_with(1), Exit::Signal(9));
    theatre.settle();
    assert_eq!(theatre.children(), [theatre.supervisor_pid(), bystander], "no zombie either");
}

#[test]
fn what_survives_its_main_process_is_reported_found_and_ended() {
    let mut theatre = Theatre::open();
    let (script, pids) = escapes(&theatre, "read x < $0.go; exit 4");
    let go = theatre.dir.path().join("go");
    nix::unistd::mkfifo(&go, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (_, _out) = theatre.start_sh(1, &script.replace("$0.go", go.to_str().unwrap()));
    let escaped = escaped(&pids);
    std::fs::write(&go, "\n").unwrap();
    assert_eq!(theatre.exited(1), (Exit::Code(4), true));
    theatre.kill_supervisor();
    let state = RunState::Exited { exit: Exit::Code(4), survivors: true };
    assert_eq!(theatre.meet().runs[0].state, state);
    theatre.signal(1, libc::SIGKILL, Scope::Tree);
    assert_eq!(theatre.report(), Report::Gone { run: RunId(1) });
    assert!(!escaped.into_iter().any(exists));
}

/// Leaves the keeper no descriptor but those it has, or as many as before.
fn allow_descriptors(theatre: &Theatre, limit: Option<u64>) -> u64 {
    let mut before = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let pid = theatre.keeper_pid();
    // SAFETY: prlimit reads and writes the given places, if they are given.
    unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, std::ptr::null(), &raw mut before) };
    let new = libc::rlimit { rlim_cur: limit.unwrap_or(before.rlim_max), ..before };
    // SAFETY: as above.
    assert_eq!(unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, &raw const new, std::ptr::null_mut()) }, 0);
    before.rlim_cur
}

#[test]
fn what_cannot_be_seen_for_want_of_descriptors_is_not_taken_for_gone() {
    let theatre = Theatre::open();
    let (main, mut out) = theatre.start_sh(1, "setsid sh -c 'echo $$; exec sleep 1000' & wait");
    let survivor: i32 = line(&mut out).parse().unwrap();
    let (other, _out) = theatre.start_sh(2, "exec sleep 1000");
    // Those it has are its own and above; poll(2) needs the limit to be as large as its list.
    allow_descriptors(&theatre, Some(3));
    kill(main, libc::SIGKILL);
    kill(other, libc::SIGKILL);
    // Whichever is reaped first; of neither can be said that nothing is left.
    for _ in 0..2 {
        assert!(matches!(theatre.report(), Report::Exited { survivors: true, .. }));
    }
    theatre.signal(1, libc::SIGKILL, Scope::Tree);
    theatre.nothing_reported();
    assert!(exists(survivor));
    allow_descriptors(&theatre, None);
    let mut gone = [theatre.report(), theatre.report()];
    gone.sort_by_key(|report| format!("{report:?}"));
    assert_eq!(gone, [1, 2].map(|run| Report::Gone { run: RunId(run) }));
    assert!(!exists(survivor));
}

#[test]
fn the_last_survivor_may_end_by_itself() {
    let theatre = Theatre::open();
    let (_, mut out) = theatre.start_sh(1, "setsid sh -c 'echo $$; exec sleep 1000' &");
    let survivor = line(&mut out).parse().unwrap();
    assert_eq!(theatre.exited(1), (Exit::Code(0), true));
    kill(survivor, libc::SIGTERM);
    assert_eq!(theatre.report(), Report::Gone { run: RunId(1) });
}

#[test]
fn a_signal_to_the_main_process_reaches_no_other_and_one_to_the_tree_all() {
    let theatre = Theatre::open();
    let child = "setsid sh -c \"trap 'echo child' USR1; echo up; while :; do sleep 1000 & wait; done\" &";
    let main = "trap 'echo main' USR1; echo up; while :; do sleep 1000 & wait; done";
    let (_, mut out) = theatre.start_sh(1, &format!("{child} {main}"));
    assert_eq!([line(&mut out), line(&mut out)], ["up", "up"]);
    theatre.signal(1, libc::SIGUSR1, Scope::Main);
    assert_eq!(line(&mut out), "main");
    theatre.signal(1, libc::SIGUSR1, Scope::Tree);
    let mut both = [line(&mut out), line(&mut out)];
    both.sort();
    assert_eq!(both, ["child", "main"]);
}

#[test]
fn a_fork_bomb_does_not_outrun_the_kill() {
    let theatre = Theatre::open();
    let bomb = theatre.dir.path().join("bomb.sh");
    let path = bomb.display();
    // Each generation leaves its parent. The first four double, so that sixteen lines go on, again and again, but for
    // ten seconds at most: a keeper that fails must not leave them behind.
    let text = format!(
        "read -r up _ </proc/uptime; [ ${{up%.*}} -lt $2 ] || exit 0\n\
         [ $1 -eq 0 ] && exec setsid sh {path} 5 $2\n[ $1 -eq 5 ] && echo boom\nn=$(($1-1))\n\
         setsid sh {path} $n $2 &\n[ $1 -gt 5 ] && {{ setsid sh {path} $n $2 & }}\nexit 0\n"
    );
    std::fs::write(&bomb, text).unwrap();
    let (_, mut out) = theatre.start_sh(
        1,
        &format!("read -r up _ </proc/uptime; sh {path} 9 $((${{up%.*}} + 10)); exec sleep 1000"),
    );
    for _ in 0..50 {
        assert_eq!(line(&mut out), "boom");
    }
    theatre.signal(1, libc::SIGKILL, Scope::Tree);
    assert_eq!(theatre.gone_with(1), Exit::Signal(9));
    theatre.settle();
    assert_eq!(theatre.children(), [theatre.supervisor_pid()]);
}

#[test]
fn a_thousand_runs_leave_no_zombie_and_no_descriptor() {
    let theatre = Theatre::open();
    let open_files = || std::fs::read_dir(format!("/proc/{}/fd", theatre.keeper_pid())).unwrap().count();
    let before = open_files();
    for run in 1..=1000 {
        let _out = theatre.start_sh(run, "exit 0");
        theatre.exited(run);
        theatre.order(&supd_keeper::protocol::Order::Forget { run: RunId(run) }, &[]);
    }
    theatre.settle();
    assert_eq!(theatre.children(), [theatre.supervisor_pid()]);
    assert_eq!(open_files(), before);
}

#[test]
fn as_the_first_process_of_a_container_it_reaps_whatever_comes() {
    let unshare = || {
        let mut command = std::process::Command::new("unshare");
        command.args(["--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command
    };
    if !unshare().arg("true").output().is_ok_and(|output| output.status.success()) {
        return eprintln!("not run: this machine does not let its users make namespaces");
    }
    let theatre = Theatre::open_in(unshare());
    let (_, mut out) =
        theatre.start_sh(1, "for i in 1 2 3 4 5; do setsid sh -c 'sleep 1000 & exit' & done; wait; echo");
    assert_eq!(line(&mut out), "");
    assert_eq!(theatre.exited(1), (Exit::Code(0), true));
    theatre.signal(1, libc::SIGKILL, Scope::Tree);
    assert_eq!(theatre.report(), Report::Gone { run: RunId(1) });
    // Built in commands only, so that there are the keeper, its supervisor and this shell.
    let (_, mut out) = theatre.start_sh(
        2,
        "cd /proc; for pid in [0-9]*; do read -r _ name state _ <$pid/stat; [ $state = Z ] || state=; echo $name$state; done",
    );
    let mut seen = [line(&mut out), line(&mut out), line(&mut out), line(&mut out)];
    seen.sort();
    assert_eq!(seen.join(","), ",(exe),(keeper-fixture),(sh)");
}
