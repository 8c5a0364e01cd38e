//! Does a run get exactly what was ordered, and is a failed start explained?

mod theatre;

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;

use supd_keeper::protocol::{ExecPlan, Exit, Order, Report, RunId, Scope, Step};
use theatre::{Theatre, line, rest, sh};

#[test]
fn a_run_writes_to_its_pipe_and_its_exit_code_is_reported() {
    let theatre = Theatre::open();
    let (pid, mut out) = theatre.start_sh(1, "echo $$; exit 3");
    assert_eq!(line(&mut out), pid.to_string());
    assert_eq!(theatre.exited(1), (Exit::Code(3), false));
}

#[test]
fn the_signal_that_ended_a_run_is_reported_real_time_ones_too() {
    let theatre = Theatre::open();
    for (run, signal) in [(1, 15), (2, 9), (3, 34), (4, 64)] {
        theatre.start_sh(run, &format!("kill -{signal} $$; sleep 1000"));
        assert_eq!(theatre.exited(run), (Exit::Signal(signal), false));
    }
}

#[test]
fn a_start_is_reported_before_the_end_however_fast_that_comes() {
    let theatre = Theatre::open();
    for run in 1..50 {
        let _out = theatre.order_sh(run, "exit 0");
        theatre.signal(run, libc::SIGKILL, Scope::Tree);
        theatre.spawned(run);
        let (exit, survivors) = theatre.exited(run);
        assert!(matches!(exit, Exit::Signal(9) | Exit::Code(0)) && !survivors, "{exit:?}");
    }
}

/// Orders a start that must fail.
fn failure(theatre: &Theatre, run: u64, plan: ExecPlan) -> (Step, i32) {
    let run = RunId(run);
    let null = File::open("/dev/null").unwrap();
    let attached = vec![null.as_fd(); plan.descriptors.len()];
    theatre.order(&Order::Spawn { run, plan: Box::new(plan), keep: Vec::new() }, &attached);
    match theatre.report() {
        Report::SpawnFailed { run: found, step, errno } if found == run => (step, errno),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_step_that_failed_is_named() {
    let theatre = Theatre::open();
    let file = |name: &str, content: &str, mode| {
        let path = theatre.dir.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let orphan = file("orphan", "#!/nonexistent/interpreter\n", 0o755);
    let plain = file("plain", "#!/bin/sh\n", 0o644);
    let text = file("text", "no program\n", 0o755);
    let program = |program: &str| ExecPlan { program: program.to_owned(), ..sh("") };
    let path = |path: &str| vec![("PATH".to_owned(), path.to_owned())];
    let dir = theatre.dir.path().to_str().unwrap();
    let cases = [
        (program("/nonexistent/program"), Step::Exec, libc::ENOENT),
        (
            ExecPlan { env: path("/bin:/nonexistent:/etc/passwd"), ..program("no-such-program") },
            Step::Exec,
            libc::ENOENT,
        ),
        (program(""), Step::Exec, libc::ENOENT),
        (program("nul\0inside"), Step::Exec, libc::EINVAL),
        (program(&orphan), Step::Exec, libc::ENOENT),
        (program(&plain), Step::Exec, libc::EACCES),
        (program(&text), Step::Exec, libc::ENOEXEC),
        (program(&format!("{plain}/below")), Step::Exec, libc::ENOTDIR),
        (program("/"), Step::Exec, libc::EACCES),
        (
            ExecPlan { env: path(&format!("{dir}:/nonexistent")), ..program("plain") },
            Step::Exec,
            libc::EACCES,
        ),
        (ExecPlan { cwd: "/nonexistent".to_owned(), ..sh("") }, Step::Chdir, libc::ENOENT),
        (ExecPlan { cwd: plain.clone(), ..sh("") }, Step::Chdir, libc::ENOTDIR),
        (ExecPlan { user: Some("no-such-user".to_owned()), ..sh("") }, Step::User, libc::ENOENT),
        (ExecPlan { user: Some(u32::MAX.to_string()), ..sh("") }, Step::User, libc::ENOENT),
        (ExecPlan { user: Some("4000000000".to_owned()), ..sh("") }, Step::Group, libc::ENOENT),
        (ExecPlan { group: Some("no-such-group".to_owned()), ..sh("") }, Step::Group, libc::ENOENT),
        (ExecPlan { group: Some(u32::MAX.to_string()), ..sh("") }, Step::Group, libc::ENOENT),
        (ExecPlan { descriptors: vec![-1], ..sh("") }, Step::Descriptors, libc::EBADF),
        (ExecPlan { descriptors: vec![i32::MAX], ..sh("") }, Step::Descriptors, libc::EBADF),
    ];
    for (run, (plan, step, errno)) in (1..).zip(cases) {
        assert_eq!(failure(&theatre, run, plan.clone()), (step, errno), "{plan:?}");
    }
    let mut theatre = theatre;
    theatre.kill_supervisor();
    assert_eq!(theatre.meet().runs, [], "a start that failed leaves nothing");
}

#[test]
fn becoming_another_user_works_for_root_and_is_refused_to_others() {
    let theatre = Theatre::open();
    let us = nix::unistd::geteuid();
    if !us.is_root() {
        let root = ExecPlan { user: Some("root".to_owned()), ..sh("") };
        assert_eq!(failure(&theatre, 1, root), (Step::Credentials, libc::EPERM));
        let ourselves = ExecPlan { user: Some(us.to_string()), ..sh("id -u") };
        return assert_eq!(output(&theatre, 2, ourselves), format!("{us}\n"));
    }
    let nobody = |script: &str| ExecPlan { user: Some("nobody".to_owned()), ..sh(script) };
    let private = theatre.dir.path().join("private");
    fs::create_dir(&private).unwrap();
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();
    let elsewhere = ExecPlan { cwd: private.to_str().unwrap().to_owned(), ..nobody("") };
    assert_eq!(failure(&theatre, 1, elsewhere), (Step::Chdir, libc::EACCES));
    let expected = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let by_number = ExecPlan {
        user: Some("4000000000".to_owned()),
        group: Some("4000000001".to_owned()),
        ..sh("grep -E '^(Uid|Gid|Groups)' /proc/self/status")
    };
    let by_name = nobody("grep -E '^(Uid|Gid)' /proc/self/status");
    let all = |name, id| format!("{name}:\t{id}\t{id}\t{id}\t{id}\n");
    let (uid, gid) = (expected.uid, expected.gid);
    let cases = [
        (by_name, all("Uid", uid.to_string()) + &all("Gid", gid.to_string())),
        (
            by_number,
            all("Uid", "4000000000".into()) + &all("Gid", "4000000001".into()) + "Groups:\t4000000001 \n",
        ),
    ];
    for (run, (plan, status)) in (2..).zip(cases) {
        assert_eq!(output(&theatre, run, plan), status);
    }
}

/// Runs a plan to its end; its output.
fn output(theatre: &Theatre, run: u64, plan: ExecPlan) -> String {
    let (out, theirs) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    let attached = vec![theirs.as_fd(); plan.descriptors.len()];
    let order = Order::Spawn { run: RunId(run), plan: Box::new(plan), keep: Vec::new() };
    theatre.order(&order, &attached);
    drop(theirs);
    theatre.spawned(run);
    theatre.exited(run);
    rest(&mut File::from(out))
}

#[test]
fn descriptors_are_placed_exactly_and_nothing_else_is_open() {
    let theatre = Theatre::open();
    let listing = "i=0; while [ $i -lt 2000 ]; do [ -e /proc/self/fd/$i ] && echo $i; i=$((i+1)); done";
    // `test` is built in, so /proc/self is the shell itself.
    let plan = |descriptors: &[i32]| ExecPlan { descriptors: descriptors.to_vec(), ..sh(listing) };
    // Enough of them, backwards and across the keeper's own numbers, that a careless order would overwrite some.
    let numbers = [1, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3];
    let expected: String = (0..13).map(|number| format!("{number}\n")).collect();
    assert_eq!(output(&theatre, 1, plan(&numbers)), expected);
    assert_eq!(output(&theatre, 2, plan(&[1])), "0\n1\n2\n");
    assert_eq!(output(&theatre, 3, plan(&[1, 900])), "0\n1\n2\n900\n");
}

#[test]
fn each_descriptor_arrives_at_its_own_number() {
    let theatre = Theatre::open();
    // Far apart, so that they reach over the numbers that the keeper's own copies have while they are being placed.
    let numbers = || (1..40).map(|number| number * 3);
    let files: Vec<File> = numbers()
        .map(|number| {
            let path = theatre.dir.path().join(number.to_string());
            fs::write(&path, "").unwrap();
            File::open(path).unwrap()
        })
        .collect();
    let (out, theirs) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    // By number: a listing of the directory is not promised to be whole while the shell opens descriptors itself.
    let script = "i=0; while [ $i -lt 120 ]; do echo $i $(readlink /proc/$$/fd/$i); i=$((i+3)); done";
    let mut plan = sh(script);
    plan.descriptors = [1].into_iter().chain(numbers().rev()).collect();
    let attached: Vec<_> = [theirs.as_fd()].into_iter().chain(files.iter().rev().map(AsFd::as_fd)).collect();
    theatre.order(&Order::Spawn { run: RunId(1), plan: Box::new(plan), keep: Vec::new() }, &attached);
    drop(theirs);
    theatre.spawned(1);
    theatre.exited(1);
    let text = rest(&mut File::from(out));
    for number in numbers() {
        let path = theatre.dir.path().join(number.to_string());
        let expected = format!("{number} {}\n", path.display());
        assert!(text.contains(&expected), "{expected} in\n{text}");
    }
    assert!(text.starts_with("0 /dev/null\n"), "{text}");
}

#[test]
fn signals_session_and_limits_are_as_if_there_was_no_keeper() {
    let theatre = Theatre::open();
    let script = "grep -E '^(SigBlk|SigIgn|NoNewPrivs)' /proc/self/status; ulimit -n; ulimit -Hn";
    let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    let none = "0000000000000000";
    let expected = format!("NoNewPrivs:\t0\nSigBlk:\t{none}\nSigIgn:\t{none}\n{}\n{}\n", limit.0, limit.1);
    let text = output(&theatre, 1, sh(script));
    let text: String = text.replace("unlimited", &libc::RLIM_INFINITY.to_string());
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&text), sorted(&expected));
    let (pid, _out) = theatre.start_sh(2, "echo; exec sleep 1000");
    assert_eq!(nix::unistd::getsid(Some(nix::unistd::Pid::from_raw(pid))).unwrap().as_raw(), pid);
}

#[test]
fn a_program_is_found_in_the_path_of_its_own_environment() {
    let theatre = Theatre::open();
    let program = theatre.dir.path().join("mine");
    fs::write(&program, "#!/bin/sh\necho found\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut plan = ExecPlan { program: "mine".to_owned(), ..sh("") };
    plan.env = vec![("PATH".to_owned(), format!("/nonexistent:{}", theatre.dir.path().display()))];
    assert_eq!(output(&theatre, 1, plan.clone()), "found\n");
    plan.env = vec![("PATH".to_owned(), "/nonexistent::".to_owned())];
    plan.cwd = theatre.dir.path().to_str().unwrap().to_owned();
    assert_eq!(output(&theatre, 2, plan), "found\n", "an empty entry is the working directory");
}

#[test]
fn listen_pid_is_the_childs_own() {
    let theatre = Theatre::open();
    let mut plan = ExecPlan { listen_pid: true, ..sh("[ $LISTEN_PID = $$ ] && env | grep -c LISTEN_PID") };
    plan.env.push(("LISTEN_PID".to_owned(), "1".to_owned()));
    assert_eq!(output(&theatre, 1, plan), "1\n");
}

#[test]
fn an_environment_far_over_the_size_of_a_packet_arrives_whole() {
    let theatre = Theatre::open();
    let mut plan = sh("env | wc -c");
    let before: usize = output(&theatre, 1, plan.clone()).trim().parse().unwrap();
    // One variable may have 128 KiB, all together a quarter of the stack's limit (execve(2)): 2 MiB.
    plan.env.extend((0..19).map(|number| (format!("BIG_{number:02}"), "x".repeat(100_000))));
    let after: usize = output(&theatre, 2, plan).trim().parse().unwrap();
    assert_eq!(after - before, 19 * (100_000 + "BIG_00=\n".len()));
}
