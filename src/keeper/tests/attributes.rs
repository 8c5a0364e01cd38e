//! Does a run get the rank, the limits and the privileges that were ordered?

mod theatre;

use std::fs::File;
use std::os::fd::AsFd;

use nix::unistd::geteuid;
use supd_keeper::protocol::{Attributes, ExecPlan, Limit, Order, Report, Resource, RunId, Step};
use theatre::{Theatre, rest, sh};

/// What a shell line prints under these attributes, or the step that failed.
fn said(
    theatre: &Theatre,
    run: u64,
    user: Option<&str>,
    attributes: Attributes,
    line: &str,
) -> Result<String, (Step, i32)> {
    let (out, theirs) = nix::unistd::pipe().expect("a pipe");
    let plan = ExecPlan { user: user.map(str::to_owned), attributes, descriptors: vec![1], ..sh(line) };
    let run = RunId(run);
    theatre.order(&Order::Spawn { run, plan: Box::new(plan), keep: Vec::new() }, &[theirs.as_fd()]);
    drop(theirs);
    match theatre.report() {
        Report::Spawned { .. } => {}
        Report::SpawnFailed { step, errno, .. } => return Err((step, errno)),
        other => panic!("{other:?}"),
    }
    let text = rest(&mut File::from(out));
    theatre.exited(run.0);
    Ok(text)
}

fn limit(resource: Resource, soft: Option<u64>, hard: Option<u64>) -> Attributes {
    Attributes { limits: vec![Limit { resource, soft, hard }], ..Attributes::default() }
}

fn capabilities(numbers: &[u8]) -> Attributes {
    Attributes { capabilities: numbers.to_vec(), ..Attributes::default() }
}

/// As `linux/capability.h` numbers them.
const NET_BIND_SERVICE: u8 = 10;
const SYS_RESOURCE: u8 = 24;

/// Whether this process has a capability.
fn has(capability: u8) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("our status");
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).expect("our capabilities");
    u64::from_str_radix(line.trim(), 16).expect("a number") & (1 << capability) != 0
}

#[test]
fn what_takes_no_privilege() {
    let theatre = Theatre::open();
    let own = Attributes::default();
    let cases = [
        (Attributes { umask: Some(0o27), ..own.clone() }, "umask", "0027\n"),
        (Attributes { nice: Some(7), ..own.clone() }, "nice", "7\n"),
        (Attributes { oom_score_adj: Some(500), ..own.clone() }, "cat /proc/self/oom_score_adj", "500\n"),
        (limit(Resource::Core, Some(0), Some(0)), "ulimit -Sc; ulimit -Hc", "0\n0\n"),
        (limit(Resource::Nofile, Some(99), Some(100)), "ulimit -Sn; ulimit -Hn", "99\n100\n"),
        (limit(Resource::Cpu, Some(1000), None), "ulimit -St; ulimit -Ht", "1000\nunlimited\n"),
        (Attributes { no_new_privs: true, ..own }, "grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t1\n"),
    ];
    for (run, (attributes, line, expected)) in (1..).zip(cases) {
        let shown = format!("{attributes:?}");
        assert_eq!(said(&theatre, run, None, attributes, line).as_deref(), Ok(expected), "{shown}");
    }
    let plain =
        said(&theatre, 100, None, Attributes::default(), "umask; nice; grep NoNewPrivs /proc/self/status");
    assert!(plain.expect("it starts").ends_with("0\nNoNewPrivs:\t0\n"), "nothing is asked for");
}

#[test]
fn every_limit_is_the_one_that_is_meant() {
    let theatre = Theatre::open();
    let all = [
        (Resource::As, "Max address space", 1 << 40),
        (Resource::Core, "Max core file size", 0),
        (Resource::Cpu, "Max cpu time", 999),
        (Resource::Data, "Max data size", 1 << 40),
        (Resource::Fsize, "Max file size", 1 << 40),
        (Resource::Memlock, "Max locked memory", 4096),
        (Resource::Msgqueue, "Max msgqueue size", 4096),
        (Resource::Nice, "Max nice priority", 0),
        (Resource::Nofile, "Max open files", 64),
        (Resource::Nproc, "Max processes", 3000),
        (Resource::Rtprio, "Max realtime priority", 0),
        (Resource::Sigpending, "Max pending signals", 100),
        (Resource::Stack, "Max stack size", 8 << 20),
    ];
    for (run, (resource, name, value)) in (1..).zip(all) {
        let line = format!("grep '^{name}' /proc/self/limits");
        let text =
            said(&theatre, run, None, limit(resource, Some(value), Some(value)), &line).expect("it starts");
        let numbers: Vec<&str> = text[name.len()..].split_whitespace().take(2).collect();
        assert_eq!(numbers, [value.to_string(), value.to_string()], "{resource:?}: {text}");
    }
}

#[test]
fn the_step_that_failed_is_named() {
    let theatre = Theatre::open();
    let wrong = limit(Resource::Stack, Some(2 << 20), Some(1 << 20));
    assert_eq!(said(&theatre, 1, None, wrong, ""), Err((Step::Limit(Resource::Stack), libc::EINVAL)));
    let unknown = capabilities(&[63]);
    assert!(matches!(
        said(&theatre, 2, Some("nobody"), unknown, ""),
        Err((Step::Capabilities | Step::Credentials, _))
    ));
    let too_many = limit(Resource::Nofile, Some(u64::MAX - 1), Some(u64::MAX - 1));
    // More than `fs.nr_open`, whoever asks.
    assert_eq!(said(&theatre, 3, None, too_many, ""), Err((Step::Limit(Resource::Nofile), libc::EPERM)));
    if !has(SYS_RESOURCE) {
        let never = Attributes { oom_score_adj: Some(-1000), ..Attributes::default() };
        assert_eq!(said(&theatre, 5, None, never, ""), Err((Step::OomScore, libc::EACCES)));
    }
    if geteuid().is_root() {
        return;
    }
    let first = Attributes { nice: Some(-5), ..Attributes::default() };
    assert!(matches!(said(&theatre, 4, None, first, ""), Err((Step::Nice, libc::EACCES | libc::EPERM))));
    assert_eq!(
        said(&theatre, 6, None, capabilities(&[NET_BIND_SERVICE]), ""),
        Err((Step::Capabilities, libc::EPERM))
    );
}

/// What a keeper of root's does before its child gives root up. Without root the test above shows what is refused.
#[test]
fn what_takes_privileges_comes_before_they_are_given_up() {
    if !geteuid().is_root() {
        eprintln!("only root can show this");
        return;
    }
    let theatre = Theatre::open();
    // Root in a container may be without it.
    let all = has(SYS_RESOURCE);
    if !all {
        eprintln!("without SYS_RESOURCE it cannot be shown that limits are raised and scores lowered");
    }
    let attributes = Attributes {
        nice: Some(-5),
        oom_score_adj: Some(if all { -500 } else { 500 }),
        limits: vec![
            Limit { resource: Resource::Nofile, soft: Some(20), hard: Some(20) },
            Limit {
                resource: Resource::Memlock,
                soft: Some(1 << 20),
                hard: all.then_some(1 << 60).or(Some(1 << 20)),
            },
        ],
        no_new_privs: true,
        ..capabilities(&[NET_BIND_SERVICE])
    };
    let line = "id -un; nice; cat /proc/self/oom_score_adj; ulimit -n; ulimit -l; grep -E '^Cap(Eff|Prm|Amb)' /proc/self/status";
    let expected = format!(
        "nobody\n-5\n{}\n20\n1024\nCapPrm:\t0000000000000400\nCapEff:\t0000000000000400\nCapAmb:\t0000000000000400\n",
        if all { -500 } else { 500 }
    );
    assert_eq!(said(&theatre, 1, Some("nobody"), attributes, line), Ok(expected));
    let none = said(&theatre, 2, Some("nobody"), Attributes::default(), "grep CapEff /proc/self/status");
    assert_eq!(none.as_deref(), Ok("CapEff:\t0000000000000000\n"));
}
