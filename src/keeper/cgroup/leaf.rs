//! The control group of one run: what is asked of it, and what it tells.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::bounds::{Bound, Bounds};

/// The group of one run, whether it is there or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    path: PathBuf,
}

/// What has happened to the memory of a run (`memory.events`), counted since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryEvents {
    /// It was slowed down at `memory_high`.
    pub high: u64,
    /// Its own bound was reached and nothing could be given back.
    pub oom: u64,
    /// So many of its processes were killed for want of memory, its own or the machine's.
    pub oom_kill: u64,
}

/// The share of the latest ten seconds in which some of its processes stood still for want of something, in percent
/// (Documentation/accounting/psi.rst).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    /// Of processors.
    pub cpu: f64,
    /// Of memory.
    pub memory: f64,
    /// Of disks.
    pub io: f64,
}

impl From<PathBuf> for Leaf {
    /// By its directory.
    fn from(path: PathBuf) -> Self {
        Self { path }
    }
}

impl Leaf {
    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which of these bounds it cannot keep; all of them while there is no such group.
    pub fn lacks(&self, bounds: &Bounds) -> Vec<&'static str> {
        let all = bounds.all().into_iter().filter(|bound| bound.value.is_some());
        all.filter(|bound| self.file_of(bound).is_none()).map(|bound| bound.field).collect()
    }

    pub(crate) fn make(&self) -> io::Result<()> {
        fs::create_dir(&self.path)
    }

    /// Gives it these bounds, as far as there are files for them. Whoever writes `0` to the result is in it.
    pub(crate) fn bind(&self, bounds: &Bounds) -> io::Result<File> {
        for bound in bounds.all() {
            if let Some((value, file)) = bound.value.as_ref().zip(self.file_of(&bound)) {
                write(&file, value)?;
            }
        }
        if bounds.memory_max.is_some() {
            // Half a worker would be neither up nor down. Kernels before 4.19 do not know it.
            let _ = write(&self.path.join("memory.oom.group"), "1");
        }
        OpenOptions::new().write(true).open(self.path.join("cgroup.procs"))
    }

    /// Gives it these bounds in place of those it has. Not `memory_max`: a lower one would kill what works.
    ///
    /// # Errors
    /// Those of writing to the group's files, with the field.
    pub fn rebound(&self, bounds: &Bounds) -> io::Result<()> {
        for bound in bounds.all().iter().filter(|bound| bound.field != "memory_max") {
            if let Some(file) = self.file_of(bound) {
                write(&file, bound.value.as_ref().unwrap_or(&bound.default))
                    .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", bound.field)))?;
            }
        }
        Ok(())
    }

    fn file_of(&self, bound: &Bound) -> Option<PathBuf> {
        bound.files.iter().map(|file| self.path.join(file)).find(|file| file.exists())
    }

    /// The file that tells of [`MemoryEvents`], for who wants to be woken.
    pub fn events_file(&self) -> PathBuf {
        self.path.join("memory.events")
    }

    /// What has happened to its memory; `None`: nobody counts.
    pub fn events(&self) -> Option<MemoryEvents> {
        let text = fs::read_to_string(self.events_file()).ok()?;
        let count = |name| field(&text, name).unwrap_or(0);
        Some(MemoryEvents { high: count("high"), oom: count("oom"), oom_kill: count("oom_kill") })
    }

    /// Bytes that it has and cannot give back: without files that could be read again.
    pub fn held(&self) -> Option<u64> {
        let text = fs::read_to_string(self.path.join("memory.current")).ok()?;
        let current: u64 = text.trim().parse().ok()?;
        let stat = fs::read_to_string(self.path.join("memory.stat")).ok()?;
        let cached = ["active_file", "inactive_file"].into_iter().filter_map(|name| field(&stat, name));
        Some(current.saturating_sub(cached.sum()))
    }

    /// For what it has to wait; `None`: this kernel does not measure it.
    pub fn pressure(&self) -> Option<Pressure> {
        let of = |resource| {
            let text = fs::read_to_string(self.path.join(format!("{resource}.pressure"))).ok()?;
            share(&text)
        };
        Some(Pressure { cpu: of("cpu")?, memory: of("memory")?, io: of("io")? })
    }
}

/// Kills everything in a group. Before Linux 5.14 it does nothing.
pub(crate) fn kill(path: &Path) {
    let _ = write(&path.join("cgroup.kill"), "1");
}

/// Whether somebody alive is in a group.
pub(crate) fn is_populated(path: &Path) -> bool {
    let text = fs::read_to_string(path.join("cgroup.events")).unwrap_or_default();
    field(&text, "populated") == Some(1)
}

/// Removes a group; `false`: somebody is still in it.
pub(crate) fn remove(path: &Path) -> bool {
    match fs::remove_dir(path) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Writes to a file that is there: none of these makes one.
pub(super) fn write(file: &Path, value: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(file)?.write_all(value.as_bytes())
}

/// A line `NAME NUMBER`.
fn field(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(found, _)| *found == name)?.1.trim().parse().ok()
}

/// `some avg10=0.12 avg60=…`.
fn share(text: &str) -> Option<f64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    some.split(' ').find_map(|word| word.strip_prefix("avg10="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::{Milliprocessors, Weight};
    use super::*;

    /// A directory with files such as a group has.
    fn fake(files: &[(&str, &str)]) -> (tempfile::TempDir, Leaf) {
        let dir = tempfile::tempdir().expect("a directory");
        files.iter().for_each(|(name, text)| fs::write(dir.path().join(name), text).expect("a file"));
        let leaf = Leaf::from(dir.path().to_owned());
        (dir, leaf)
    }

    #[test]
    fn what_a_group_has_no_file_for_is_named() {
        let (_dir, leaf) = fake(&[("memory.max", ""), ("io.bfq.weight", ""), ("cpu.weight", "")]);
        let bounds = Bounds {
            memory_max: Some(1),
            memory_high: Some(1),
            pids_max: Some(1),
            io_weight: Some(Weight(1)),
            ..Bounds::default()
        };
        assert_eq!(leaf.lacks(&bounds), ["memory_high", "pids_max"]);
        assert_eq!(Leaf::from(PathBuf::from("/nonexistent")).lacks(&bounds).len(), 4);
        assert!(leaf.lacks(&Bounds::default()).is_empty());
    }

    #[test]
    fn bounds_are_changed_and_taken_back_but_for_the_wall() {
        let (dir, leaf) =
            fake(&[("memory.max", "5"), ("cpu.max", "5"), ("pids.max", "5"), ("memory.high", "5")]);
        let bounds = Bounds {
            memory_max: Some(7),
            cpu_max: Some(Milliprocessors(250)),
            pids_max: None,
            memory_high: Some(9),
            ..Bounds::default()
        };
        leaf.rebound(&bounds).expect("written");
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).expect("a file");
        assert!(read("memory.max").starts_with('5') && read("cpu.max").starts_with("25000 100000"));
        assert!(read("pids.max").starts_with("max") && read("memory.high").starts_with('9'));
        assert!(!dir.path().join("cpu.weight").exists(), "nothing is made");
    }

    #[test]
    fn what_groups_tell() {
        let psi = "some avg10=1.25 avg60=0.50 avg300=0.00 total=5\nfull avg10=0.75 avg60=0.00 avg300=0.00 total=1\n";
        let (_dir, leaf) = fake(&[
            ("memory.events", "low 0\nhigh 12\nmax 3\noom 2\noom_kill 1\noom_group_kill 1\n"),
            ("memory.current", "1000\n"),
            ("memory.stat", "anon 500\nfile 300\nactive_file 100\ninactive_file 200\n"),
            ("cpu.pressure", psi),
            ("io.pressure", psi),
            ("memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"),
        ]);
        assert_eq!(leaf.events(), Some(MemoryEvents { high: 12, oom: 2, oom_kill: 1 }));
        assert_eq!(leaf.held(), Some(700));
        assert_eq!(leaf.pressure(), Some(Pressure { cpu: 1.25, memory: 0.0, io: 1.25 }));
        let (_dir, empty) = fake(&[("memory.events", "nonsense")]);
        assert_eq!(
            (empty.events(), empty.held(), empty.pressure()),
            (Some(MemoryEvents::default()), None, None)
        );
    }
}
