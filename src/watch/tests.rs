//! Real directories.

use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime};

use super::{Change, News, Plan, Watch, watch};

/// Longer than any machine takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// All of a directory.
pub(super) fn plan(base: &Path) -> Plan {
    Plan {
        paths: vec![base.to_owned()],
        base: base.to_owned(),
        ignore: Vec::new(),
        gitignore: false,
        own: Vec::new(),
        own_prefixes: Vec::new(),
        delay: Duration::from_millis(1),
        since: SystemTime::now() + PATIENCE,
    }
}

struct Scene {
    home: tempfile::TempDir,
    watch: Watch,
    news: Receiver<News>,
    directories: usize,
}

impl Scene {
    /// With these directories and files, the latter with a dot in their names.
    fn new(there: &[&str], change: impl FnOnce(Plan) -> Plan) -> Self {
        let home = tempfile::tempdir().unwrap();
        there.iter().for_each(|path| make(home.path(), path));
        let (tell, news) = channel();
        let watch = watch(change(plan(home.path())), move |it| drop(tell.send(it))).unwrap();
        match news.recv_timeout(PATIENCE).unwrap() {
            News::Watching { directories } => Self { home, watch, news, directories },
            other => panic!("{other:?}"),
        }
    }

    fn write(&self, path: &str) {
        fs::write(self.home.path().join(path), "x").unwrap();
    }

    fn next(&self) -> News {
        self.news.recv_timeout(PATIENCE).unwrap()
    }

    /// Waits for a change of this path. What is still told of an earlier one is passed over: a file that is written comes, and then is
    /// closed.
    fn comes(&self, wanted: &str) {
        loop {
            let News::Changed(Change { path, others }) = self.next() else { panic!("{wanted}") };
            if path == Path::new(wanted) || others {
                return;
            }
        }
    }

    /// Everything that was told until `last` has changed, which is done here and counts.
    fn until(&self, last: &str) -> Vec<String> {
        self.write(last);
        let mut told = Vec::new();
        loop {
            match self.next() {
                News::Changed(Change { path, .. }) if path == Path::new(last) => return told,
                News::Changed(Change { path, others }) => {
                    told.push(path.display().to_string());
                    if others {
                        return told;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

fn make(home: &Path, path: &str) {
    let path = home.join(path);
    if path.extension().is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    } else {
        fs::create_dir_all(path).unwrap();
    }
}

#[test]
fn changes_are_told_wherever_they_are() {
    let scene = Scene::new(&["src/deep", "src/a.js"], |plan| plan);
    // The one above too, for the coming and going of what was named.
    assert_eq!(scene.directories, 4);
    scene.write("src/a.js");
    scene.comes("src/a.js");
    scene.write("src/deep/new.js");
    scene.comes("src/deep/new.js");
    fs::rename(scene.home.path().join("src/deep/new.js"), scene.home.path().join("src/deep/new2.js"))
        .unwrap();
    let News::Changed(change) = scene.next() else { panic!() };
    assert!(change.path.starts_with("src/deep"), "{change:?}");
    fs::remove_file(scene.home.path().join("src/a.js")).unwrap();
    let seen = scene.until("end.js");
    assert!(seen.contains(&"src/a.js".to_owned()), "{seen:?}");
}

#[test]
fn a_directory_that_comes_is_watched_and_one_that_goes_is_not() {
    let scene = Scene::new(&["src", "away"], |plan| plan);
    make(scene.home.path(), "src/new");
    scene.comes("src/new");
    scene.write("src/new/a.js");
    scene.comes("src/new/a.js");
    let outside = tempfile::tempdir().unwrap();
    fs::rename(scene.home.path().join("src/new"), outside.path().join("new")).unwrap();
    scene.comes("src/new");
    fs::write(outside.path().join("new/a.js"), "y").unwrap();
    assert!(scene.until("end.js").is_empty());
    // And back again.
    fs::rename(outside.path().join("new"), scene.home.path().join("src/new")).unwrap();
    scene.comes("src/new");
    scene.write("src/new/a.js");
    scene.comes("src/new/a.js");
}

#[test]
fn what_is_ignored_is_not_even_looked_into() {
    let there = ["src", "node_modules/a/b", ".git/objects", "logs", "tmp/x", "data/a.js"];
    let scene = Scene::new(&there, |plan| Plan { ignore: vec!["tmp/".to_owned()], ..plan });
    assert_eq!(scene.directories, 4, "above, the top, src, data");
    for path in ["node_modules/a/b/c.js", ".git/objects/x", "logs/out.txt", "tmp/x/y.js", "a.log", ".env"] {
        scene.write(path);
    }
    assert!(scene.until("end.js").is_empty());
}

#[test]
fn reading_and_writing_without_an_end_is_no_change() {
    let scene = Scene::new(&["a.js", "journal.db"], |plan| plan);
    let mut open = fs::OpenOptions::new().append(true).open(scene.home.path().join("journal.db")).unwrap();
    std::io::Write::write_all(&mut open, b"line\n").unwrap();
    fs::read(scene.home.path().join("a.js")).unwrap();
    assert!(scene.until("end.js").is_empty());
    drop(open);
    scene.comes("journal.db");
}

#[test]
fn a_file_is_watched_also_when_an_editor_replaces_it() {
    let scene = Scene::new(&["a.js", "b.js", ".env.x"], |plan| Plan {
        paths: vec![plan.base.join("a.js"), plan.base.join(".env.x")],
        ..plan
    });
    for _ in 0..2 {
        scene.write("b.js");
        fs::write(scene.home.path().join("a.js.new"), "y").unwrap();
        fs::rename(scene.home.path().join("a.js.new"), scene.home.path().join("a.js")).unwrap();
        scene.comes("a.js");
    }
    scene.write(".env.x");
    scene.comes(".env.x");
}

#[test]
fn what_is_not_there_yet_is_watched_when_it_comes() {
    let scene = Scene::new(&[], |plan| Plan { paths: vec![plan.base.join("dist")], ..plan });
    for _ in 0..2 {
        make(scene.home.path(), "dist/sub");
        let News::Changed(change) = scene.next() else { panic!() };
        assert!(change.path.starts_with("dist"), "{change:?}");
        // What has come and gone before came in many steps.
        loop {
            scene.write("dist/sub/a.js");
            if matches!(scene.next(), News::Changed(Change { path, .. }) if path.ends_with("dist/sub/a.js")) {
                break;
            }
        }
        fs::remove_dir_all(scene.home.path().join("dist")).unwrap();
    }
}

#[test]
fn what_changed_before_it_was_watched_counts() {
    let scene = Scene::new(&["src/a.js"], |plan| Plan { since: SystemTime::UNIX_EPOCH, ..plan });
    scene.comes("src/a.js");
    assert!(scene.until("end.js").is_empty());
}

#[test]
fn a_burst_is_one_change_and_its_end_is_not_missed() {
    let scene = Scene::new(&["src"], |plan| Plan { delay: Duration::from_millis(300), ..plan });
    for n in 0..2000 {
        scene.write(&format!("src/{n}.js"));
    }
    let News::Changed(change) = scene.next() else { panic!() };
    assert_eq!(change, Change { path: "src/0.js".into(), others: true });
}

#[test]
fn gitignore_files_are_read_again_when_they_change() {
    let scene = Scene::new(&["a.js"], |plan| Plan { gitignore: true, ..plan });
    scene.write("x.gen");
    scene.comes("x.gen");
    fs::write(scene.home.path().join(".gitignore"), "*.gen\n").unwrap();
    scene.write("x.gen");
    assert!(scene.until("end.js").is_empty());
}

#[test]
fn nothing_to_watch_is_a_trouble() {
    let home = tempfile::tempdir().unwrap();
    let (tell, news) = channel();
    let paths = vec![home.path().join("no/such/place")];
    let _watch = watch(Plan { paths, ..plan(home.path()) }, move |it| drop(tell.send(it))).unwrap();
    let News::Trouble(text) = news.recv_timeout(PATIENCE).unwrap() else { panic!() };
    assert!(text.contains("no/such: No such file"), "{text}");
}

#[test]
fn it_ends_when_it_is_dropped() {
    let Scene { home: _home, watch, news, .. } = Scene::new(&["src"], |plan| plan);
    drop(watch);
    // The thread has gone when nobody can tell anything any more.
    assert!(matches!(news.recv_timeout(PATIENCE), Err(std::sync::mpsc::RecvTimeoutError::Disconnected)));
}
