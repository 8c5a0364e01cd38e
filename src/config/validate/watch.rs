//! Which files are watched.

use ignore::gitignore::GitignoreBuilder;

use super::super::problem::shown;
use super::Check;

/// More paths or patterns are a mistake.
const MOST: usize = 256;
const LONGEST: usize = 1024;

impl Check<'_> {
    pub(super) fn watch(&mut self) {
        let policy = &self.app.watch;
        if policy.paths.len() > MOST || policy.ignore.len() > MOST {
            self.fail("watch", format!("more than {MOST} paths or patterns"));
        }
        policy.paths.iter().for_each(|path| self.path("watch", path));
        for pattern in &policy.ignore {
            if let Err(why) = check_pattern(pattern) {
                self.fail("ignore_watch", format!("{} is no pattern: {why}", shown(pattern)));
            }
        }
    }
}

fn check_pattern(pattern: &str) -> Result<(), String> {
    if pattern.len() > LONGEST || pattern.contains(['\0', '\n']) {
        return Err(format!("it has at most {LONGEST} bytes and one line"));
    }
    let mut builder = GitignoreBuilder::new("/");
    let built = builder.add_line(None, pattern).and_then(|builder| builder.build());
    built.map(drop).map_err(|error| error.to_string())
}
