//! Does a run get a control group of its own, and does everything in it go with it?
//!
//! With the real file system, where it may be written. What takes a controller that this machine does not give is said.

mod theatre;

use std::fs;
use std::path::{Path, PathBuf};

use supd_keeper::cgroup::{Bounds, Groups, leaf_name};
use supd_keeper::protocol::{Cgroup, ExecPlan, Exit, Order, Report, RunId, Scope, Step};
use theatre::{Theatre, sh};

/// A group for one test.
struct Ground(PathBuf);

impl Ground {
    /// `None`, which is told, where none can be made.
    fn new(name: &str) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        let mount =
            mounts.lines().find(|line| line.contains(" - cgroup2 ")).and_then(|line| line.split(' ').nth(4));
        let ground =
            mount.map(|mount| Path::new(mount).join(format!("supd-test-{name}-{}", std::process::id())));
        match ground.map(|ground| fs::create_dir(&ground).map(|()| ground)) {
            Some(Ok(ground)) => {
                for controller in ["memory", "pids", "cpu"] {
                    let parent = ground.parent().expect("a parent").join("cgroup.subtree_control");
                    let _ = fs::write(parent, format!("+{controller}"));
                }
                Some(Self(ground))
            }
            other => {
                eprintln!("control groups cannot be shown here: {other:?}");
                None
            }
        }
    }

    fn theatre(&self) -> Theatre {
        Theatre::open_with(|command| _ = command.env("KEEPER_CGROUP", &self.0)).0
    }

    fn has(&self, controller: &str) -> bool {
        let text = fs::read_to_string(self.0.join("cgroup.controllers")).expect("controllers");
        let has = text.split_whitespace().any(|found| found == controller);
        if !has {
            eprintln!("without the controller `{controller}` its bounds cannot be shown");
        }
        has
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // The keeper that was in there has ended, or is about to.
        fn remove(path: &Path) {
            let below = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
            below.filter(|path| path.is_dir()).for_each(|path| remove(&path));
            let _ = fs::remove_dir(path);
        }
        let kill = fs::write(self.0.join("cgroup.kill"), "1");
        assert!(kill.is_ok() || std::thread::panicking(), "{kill:?}");
        while !std::thread::panicking() && self.0.exists() {
            remove(&self.0);
        }
    }
}

fn in_group(run: u64, bounds: Bounds, script: &str) -> ExecPlan {
    ExecPlan { cgroup: Some(Cgroup { leaf: leaf_name(run, "my app"), bounds }), ..sh(script) }
}

fn spawn(theatre: &Theatre, run: u64, plan: ExecPlan) -> Result<i32, (Step, i32)> {
    let descriptors = vec![];
    let plan = ExecPlan { descriptors, ..plan };
    theatre.order(&Order::Spawn { run: RunId(run), plan: Box::new(plan), keep: Vec::new() }, &[]);
    match theatre.report() {
        Report::Spawned { pid, .. } => Ok(pid),
        Report::SpawnFailed { step, errno, .. } => Err((step, errno)),
        other => panic!("{other:?}"),
    }
}

fn group_of(pid: i32) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("a process");
    text.lines().find_map(|line| line.strip_prefix("0::")).expect("version 2").to_owned()
}

#[test]
fn a_run_is_in_its_group_from_the_start_and_takes_it_along() {
    let Some(ground) = Ground::new("own") else { return };
    let theatre = ground.theatre();
    let keeper = theatre.keeper_pid();
    let groups = Groups::of(keeper).expect("groups");
    assert_eq!(groups.dir(), ground.0.join(format!("supd-{keeper}")));
    for daemon in [keeper, theatre.supervisor_pid()] {
        assert!(group_of(daemon).ends_with(&format!("/supd-{keeper}/daemon")));
    }
    let pid = spawn(&theatre, 1, in_group(1, Bounds::default(), "exec sleep 1000")).expect("started");
    assert!(group_of(pid).ends_with(&format!("/supd-{keeper}/run-1-my_app")), "{}", group_of(pid));
    let leaf = groups.leaf(&leaf_name(1, "my app"));
    assert!(leaf.path().exists());
    theatre.signal(1, libc::SIGTERM, Scope::Tree);
    theatre.gone_with(1);
    assert!(leaf.path().exists(), "until it is forgotten, its figures can be read");
    theatre.order(&Order::Forget { run: RunId(1) }, &[]);
    // Orders are obeyed in their sequence.
    spawn(&theatre, 2, in_group(2, Bounds::default(), "exec sleep 1000")).expect("started");
    assert!(!leaf.path().exists());
}

/// Neither by its parent nor by its session nor by its mark this one could be found.
#[test]
fn a_kill_reaches_who_has_thrown_off_every_mark() {
    let Some(ground) = Ground::new("kill") else { return };
    let theatre = ground.theatre();
    let script = "setsid prlimit --rttime=5:5 sh -c 'echo $$ > \"$0\"; exec sleep 1000' \"$0\" & \
        until [ -s \"$0\" ]; do :; done; exec sleep 1000";
    let told = theatre.dir.path().join("pid");
    let mut plan = in_group(1, Bounds::default(), script);
    plan.argv.push(told.display().to_string());
    spawn(&theatre, 1, plan).expect("started");
    let stray = loop {
        if let Ok(Ok(pid)) = fs::read_to_string(&told).map(|text| text.trim().parse::<i32>()) {
            break pid;
        }
    };
    // It comes to the keeper when its parent is gone.
    theatre.signal(1, libc::SIGTERM, Scope::Main);
    assert_eq!(theatre.exited(1), (Exit::Signal(libc::SIGTERM), true), "its group knows of it");
    theatre.signal(1, libc::SIGTERM, Scope::Tree);
    theatre.settle();
    assert!(Path::new(&format!("/proc/{stray}")).exists(), "nobody else does");
    theatre.signal(1, libc::SIGKILL, Scope::Tree);
    assert_eq!(theatre.report(), Report::Gone { run: RunId(1) });
    assert!(!Path::new(&format!("/proc/{stray}")).exists());
}

#[test]
fn the_next_program_knows_the_groups() {
    let Some(ground) = Ground::new("next") else { return };
    let mut theatre = ground.theatre();
    theatre.order(&Order::Ready, &[]);
    spawn(&theatre, 1, in_group(1, Bounds::default(), "exec sleep 1000")).expect("started");
    let groups = Groups::of(theatre.keeper_pid()).expect("groups");
    let program = theatre.copy("next");
    theatre.upgrade(&program);
    assert_eq!(Groups::of(theatre.keeper_pid()).expect("groups"), groups);
    let pid = spawn(&theatre, 2, in_group(2, Bounds::default(), "exec sleep 1000")).expect("started");
    assert!(group_of(pid).ends_with("/run-2-my_app"), "{}", group_of(pid));
    theatre.signal(1, libc::SIGKILL, Scope::Tree);
    theatre.gone_with(1);
    theatre.order(&Order::Forget { run: RunId(1) }, &[]);
    theatre.settle();
    assert!(!groups.leaf(&leaf_name(1, "my app")).path().exists());
}

#[test]
fn a_name_that_leads_elsewhere_starts_nothing() {
    let Some(ground) = Ground::new("name") else { return };
    let theatre = ground.theatre();
    for (run, leaf) in (1..).zip(["../beside", "/", "daemon", "run-1-a/b", ""]) {
        let cgroup = Some(Cgroup { leaf: leaf.to_owned(), bounds: Bounds::default() });
        assert_eq!(spawn(&theatre, run, ExecPlan { cgroup, ..sh("") }), Err((Step::Cgroup, libc::EINVAL)));
    }
}

#[test]
fn without_groups_and_controllers_runs_start_nevertheless() {
    let (theatre, _) = Theatre::open_with(|command| _ = command.env("KEEPER_CGROUP", "/proc/self"));
    let bounds = Bounds { memory_max: Some(64 << 20), ..Bounds::default() };
    spawn(&theatre, 1, in_group(1, bounds.clone(), "exec sleep 1000")).expect("started");
    assert!(Groups::of(theatre.keeper_pid()).is_err());

    let Some(ground) = Ground::new("bare") else { return };
    let theatre = ground.theatre();
    spawn(&theatre, 1, in_group(1, bounds.clone(), "exec sleep 1000")).expect("started");
    let groups = Groups::of(theatre.keeper_pid()).expect("groups");
    let lacks = groups.leaf(&leaf_name(1, "my app")).lacks(&bounds);
    assert_eq!(lacks.is_empty(), ground.has("memory"), "{lacks:?}");
    assert_eq!(groups.lacks(&bounds), lacks);
}

#[test]
fn the_kernel_keeps_the_bounds() {
    let Some(ground) = Ground::new("bounds") else { return };
    let theatre = ground.theatre();
    let groups = Groups::of(theatre.keeper_pid()).expect("groups");
    if ground.has("memory") {
        let bounds = Bounds { memory_max: Some(16 << 20), ..Bounds::default() };
        // A string that doubles.
        let script = "sleep 1000 & x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done";
        spawn(&theatre, 1, in_group(1, bounds, script)).expect("started");
        assert_eq!(theatre.gone_with(1), Exit::Signal(libc::SIGKILL), "with its child");
        let events = groups.leaf(&leaf_name(1, "my app")).events().expect("counted");
        assert!(events.oom > 0 && events.oom_kill >= 1, "{events:?}");
    }
    if ground.has("pids") {
        let bounds = Bounds { pids_max: Some(1), ..Bounds::default() };
        spawn(&theatre, 2, in_group(2, bounds, "(:) 2>&- && exit 3; exit 4")).expect("started");
        assert_ne!(theatre.gone_with(2), Exit::Code(3), "it may not fork");
    }
}
