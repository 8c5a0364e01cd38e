//! Which path counts?

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::{DEFAULTS, Plan};

const GITIGNORE: &str = ".gitignore";
/// A larger `.gitignore` is none.
const SIZE_MAX: u64 = 1 << 20;

/// What is watched and what is ignored in it. Paths are those of a tree without symbolic links.
pub(super) struct Rules {
    roots: Vec<PathBuf>,
    base: PathBuf,
    own: Vec<PathBuf>,
    own_prefixes: Vec<PathBuf>,
    /// What the user says, which wins over the rest.
    said: Gitignore,
    defaults: Gitignore,
    /// By the directory in which each stands; `None`: they do not matter.
    files: Option<HashMap<PathBuf, Gitignore>>,
}

impl Rules {
    /// As the plan says, with its links followed as they lead now.
    pub(super) fn new(plan: &Plan) -> Self {
        let base = followed(&plan.base);
        let anchored = |pattern: &str| anchored(pattern, &plan.base, &base);
        let mut rules = Self {
            roots: plan.paths.iter().map(|path| followed(path)).collect(),
            own: plan.own.iter().map(|path| followed(path)).collect(),
            own_prefixes: plan.own_prefixes.iter().map(|path| followed(path)).collect(),
            said: gitignore(plan.ignore.iter().map(|pattern| anchored(pattern))),
            defaults: gitignore(DEFAULTS.into_iter().map(anchored)),
            files: plan.gitignore.then(HashMap::new),
            base: base.clone(),
        };
        rules.heed_above();
        rules
    }

    pub(super) fn roots(&self) -> &[PathBuf] {
        &self.roots
    }

    /// A path as it is shown.
    pub(super) fn shown<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.base).ok().filter(|rest| *rest != Path::new("")).unwrap_or(path)
    }

    /// Whether a change of that path counts. Of a path below a directory that does not count nobody asks.
    pub(super) fn counts(&self, path: &Path, is_dir: bool) -> bool {
        let Some(root) = self.roots.iter().find(|root| path.starts_with(root)) else { return false };
        let begins = |own: &PathBuf| path.as_os_str().as_bytes().starts_with(own.as_os_str().as_bytes());
        if self.own.iter().any(|own| path.starts_with(own)) || self.own_prefixes.iter().any(begins) {
            return false;
        }
        // What was named is meant, whatever it is called.
        path == root || !self.is_ignored(path, is_dir)
    }

    fn is_ignored(&self, path: &Path, is_dir: bool) -> bool {
        let said = std::iter::once(&self.said);
        let files = self
            .files
            .iter()
            .flat_map(|files| path.ancestors().skip(1).filter_map(|directory| files.get(directory)));
        let mut verdicts = said.chain(files).chain([&self.defaults]).map(|rules| rules.matched(path, is_dir));
        verdicts.find(|verdict| !verdict.is_none()).is_some_and(|verdict| verdict.is_ignore())
    }

    /// Takes the `.gitignore` of a directory into account, as it is now.
    pub(super) fn heed(&mut self, directory: &Path) {
        let Some(files) = &mut self.files else { return };
        let file = directory.join(GITIGNORE);
        let sound = |meta: std::fs::Metadata| meta.is_file() && meta.len() <= SIZE_MAX;
        if !std::fs::metadata(&file).is_ok_and(sound) {
            files.remove(directory);
            return;
        }
        let mut builder = GitignoreBuilder::new(directory);
        // The lines that make sense count.
        if let Some(trouble) = builder.add(&file) {
            tracing::warn!("{}: {trouble}", file.display());
        }
        files.insert(directory.to_owned(), builder.build().unwrap_or_else(|_| Gitignore::empty()));
    }

    /// Those above a root, up to the top of its repository.
    fn heed_above(&mut self) {
        if self.files.is_none() {
            return;
        }
        for root in self.roots.clone() {
            let Some(top) = root.ancestors().find(|above| above.join(".git").exists()) else { continue };
            let above: Vec<&Path> =
                root.ancestors().skip(1).take_while(|above| above.starts_with(top)).collect();
            above.into_iter().for_each(|above| self.heed(above));
        }
    }
}

/// What cannot be understood was refused when it was declared.
fn gitignore(lines: impl Iterator<Item = String>) -> Gitignore {
    let mut builder = GitignoreBuilder::new("/");
    for line in lines {
        if let Err(error) = builder.add_line(None, &line) {
            tracing::warn!("a pattern of what is not watched is left out: {error}");
        }
    }
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}

/// A pattern as gitignore(5) has it where the root is `/`: one with a `/` before its end begins at `base`, which was `declared`.
fn anchored(pattern: &str, declared: &Path, base: &Path) -> String {
    if let Some(kept) = pattern.strip_prefix('!') {
        return format!("!{}", anchored(kept, declared, base));
    }
    if pattern.starts_with('#') {
        return format!(r"\{pattern}");
    }
    let inside = |rest: &str| format!("{}/{rest}", escaped(base).trim_end_matches('/'));
    if let Some(rest) = pattern.strip_prefix("./") {
        return inside(rest);
    }
    if let Some(rest) = Path::new(pattern).strip_prefix(declared).ok().and_then(Path::to_str) {
        return inside(rest);
    }
    match pattern.trim_end_matches('/').contains('/') {
        true if !pattern.starts_with('/') && !pattern.starts_with("**/") => inside(pattern),
        _ => pattern.to_owned(),
    }
}

fn escaped(path: &Path) -> String {
    let mut escaped = String::new();
    for letter in path.to_string_lossy().chars() {
        if r"*?[]{}\!#".contains(letter) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// Where it leads now; of what is not there its directory.
fn followed(path: &Path) -> PathBuf {
    let beside =
        || Some(path.parent()?.canonicalize().ok()?.join(path.file_name().unwrap_or(OsStr::new(""))));
    path.canonicalize().ok().or_else(beside).unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::tests::plan;

    fn rules(base: &str, ignore: &[&str]) -> Rules {
        let ignore = ignore.iter().map(|pattern| (*pattern).to_owned()).collect();
        Rules::new(&Plan { ignore, ..plan(Path::new(base)) })
    }

    #[test]
    fn by_default_sources_count() {
        let rules = rules("/srv/app", &[]);
        for path in ["/srv/app/a.js", "/srv/app/src/deep/b.py", "/srv/app/catalog.txt", "/srv/app/tmp/x"] {
            assert!(rules.counts(Path::new(path), false), "{path}");
        }
        for path in [
            "/srv/app/.env",
            "/srv/app/.git",
            "/srv/app/node_modules",
            "/srv/app/src/node_modules",
            "/srv/app/src/.a.js.swp",
            "/srv/app/a.js.swp",
            "/srv/app/a.js~",
            "/srv/app/#a.js#",
            "/srv/app/4913",
            "/srv/app/out.log",
            "/srv/app/out.log.gz",
            "/srv/app/web.pid",
            "/srv/app/x.tmp",
            // Of another.
            "/srv/application/a.js",
            "/srv",
        ] {
            assert!(!rules.counts(Path::new(path), false), "{path}");
        }
        assert!(!rules.counts(Path::new("/srv/app/logs"), true));
        assert!(rules.counts(Path::new("/srv/app/logs"), false), "a file of that name");
        assert!(rules.counts(Path::new("/srv/app/src/logs"), true), "sources of that name");
        assert!(rules.counts(Path::new("/srv/app"), true));
    }

    #[test]
    fn patterns_are_those_of_gitignore() {
        for (pattern, ignored, counts) in [
            ("*.md", &["/srv/app/a.md", "/srv/app/src/b.md"][..], &["/srv/app/a.mdx"][..]),
            ("public/uploads", &["/srv/app/public/uploads"], &["/srv/app/x/public/uploads"]),
            ("./public/uploads/", &["/srv/app/public/uploads"], &["/srv/app/uploads"]),
            ("**/generated", &["/srv/app/generated", "/srv/app/a/b/generated"], &["/srv/app/gen"]),
            ("src/*.json", &["/srv/app/src/a.json"], &["/srv/app/src/deep/a.json", "/srv/app/a.json"]),
            ("/srv/app/data", &["/srv/app/data"], &["/srv/app/src/data"]),
            ("/srv/app/data/*.db", &["/srv/app/data/a.db"], &["/srv/app/data/a.js"]),
            ("#*", &["/srv/app/#x"], &["/srv/app/x"]),
            ("{a,b}.txt", &["/srv/app/a.txt"], &["/srv/app/c.txt"]),
        ] {
            let rules = rules("/srv/app", &[pattern]);
            for path in ignored {
                assert!(!rules.counts(Path::new(path), true), "{pattern}: {path}");
            }
            for path in counts {
                assert!(rules.counts(Path::new(path), true), "{pattern}: {path}");
            }
            // PM2's trap: a pattern of one's own keeps the defaults.
            assert!(!rules.counts(Path::new("/srv/app/node_modules"), true), "{pattern}");
        }
    }

    #[test]
    fn the_last_word_counts() {
        let rules = rules("/srv/a[1]", &["!.env", "data/*", "!data/schema.json", "!node_modules"]);
        for (path, counts) in [
            ("/srv/a[1]/.env", true),
            ("/srv/a[1]/.git", false),
            ("/srv/a[1]/data/x", false),
            ("/srv/a[1]/data/schema.json", true),
            ("/srv/a[1]/node_modules", true),
        ] {
            assert_eq!(rules.counts(Path::new(path), false), counts, "{path}");
        }
    }

    #[test]
    fn what_was_named_counts_and_what_is_supds_own_never() {
        let paths = vec!["/srv/app/.env".into(), "/srv/app/logs".into()];
        let (own, own_prefixes) = (vec!["/srv/app/logs/out.txt".into()], vec!["/srv/app/logs/out__".into()]);
        let rules = Rules::new(&Plan { paths, own, own_prefixes, ..plan(Path::new("/srv/app")) });
        assert!(rules.counts(Path::new("/srv/app/.env"), false));
        assert!(rules.counts(Path::new("/srv/app/logs"), true));
        assert!(rules.counts(Path::new("/srv/app/logs/x.js"), false));
        assert!(!rules.counts(Path::new("/srv/app/logs/out.txt"), false));
        assert!(rules.counts(Path::new("/srv/app/logs/out.txt.js"), false));
        assert!(!rules.counts(Path::new("/srv/app/logs/out__2026-01-01.txt.gz"), false));
        assert!(!rules.counts(Path::new("/srv/app/a.js"), false));
    }

    #[test]
    fn gitignore_files_count_where_asked() {
        let home = tempfile::tempdir().unwrap();
        let top = home.path().canonicalize().unwrap();
        std::fs::create_dir_all(top.join("app/src")).unwrap();
        std::fs::create_dir(top.join(".git")).unwrap();
        std::fs::write(top.join(".gitignore"), "build/\n*.gen\n").unwrap();
        std::fs::write(top.join("app/.gitignore"), "/dist\n!keep.gen\n").unwrap();
        for asked in [true, false] {
            let mut rules = Rules::new(&Plan { gitignore: asked, ..plan(&top.join("app")) });
            rules.heed(&top.join("app"));
            for (path, counts) in [
                ("app/build", !asked),
                ("app/src/a.gen", !asked),
                ("app/keep.gen", true),
                ("app/dist", !asked),
                ("app/src/dist", true),
                ("app/src/a.js", true),
            ] {
                let is_dir = !path.contains('.');
                assert_eq!(rules.counts(&top.join(path), is_dir), counts, "{path} {asked}");
            }
        }
    }
}
