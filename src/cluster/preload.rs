//! The lines that Node loads into a cluster worker before its script.
//!
//! Question answered here: *where is that file, and how is Node told to load it?* What it does is said in
//! `preload.cjs`: it drains without cutting kept-alive connections under a request, and takes single connections.
//! May not decide which workers get it.

use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const SOURCE: &str = include_str!("preload.cjs");

/// Puts the file into a directory. Its name tells its content, so another version goes beside it: one that workers
/// have loaded must stay as long as they live, because each of their threads loads it anew. Everybody who may enter the directory
/// may read it.
///
/// # Errors
/// Those of writing, and [`ErrorKind::InvalidInput`] for a directory that no environment variable can name to Node:
/// relative or not in UTF-8.
pub fn install(directory: &Path) -> io::Result<PathBuf> {
    if !directory.is_absolute() || directory.to_str().is_none() {
        let message = format!("{}: not an absolute path in UTF-8, which Node needs", directory.display());
        return Err(io::Error::new(ErrorKind::InvalidInput, message));
    }
    let mut hasher = DefaultHasher::new();
    hasher.write(SOURCE.as_bytes());
    let file = directory.join(format!("supd-preload-{:016x}.cjs", hasher.finish()));
    if fs::read(&file).is_ok_and(|found| found == SOURCE.as_bytes()) {
        return Ok(file);
    }
    let beside = file.with_extension(format!("{}.new", std::process::id()));
    let written = fs::write(&beside, SOURCE)
        .and_then(|()| fs::set_permissions(&beside, fs::Permissions::from_mode(0o644)))
        .and_then(|()| fs::rename(&beside, &file));
    if written.is_err() {
        // What is left of the attempt would only take up space.
        let _ = fs::remove_file(&beside);
    }
    written.map(|()| file)
}

/// The value of `NODE_OPTIONS` for a worker: to load the file, then what the user has there. The file takes its own
/// part out again when it is loaded, so child processes of the worker find the user's value.
///
/// Options are separated by spaces, `"` encloses them, and within it `\` takes the next character as it is
/// (`ParseNodeOptionsEnvVar` in Node's `src/node_options.cc`).
pub fn node_options(existing: Option<&str>, file: &Path) -> String {
    let quoted = file.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
    let ours = format!("--require \"{quoted}\"");
    match existing.map(str::trim).filter(|existing| !existing.is_empty()) {
        Some(existing) => format!("{ours} {existing}"),
        None => ours,
    }
}

/// Whether a Node with these options (those in `NODE_OPTIONS` and on its command line) will load a file that the user
/// has not named. With `--experimental-permission` (Node 20) or a policy (Node 16 to 20) it would refuse to start.
pub fn is_welcome<'a>(mut options: impl Iterator<Item = &'a str>) -> bool {
    options.all(|text| !text.contains("--experimental-permission") && !text.contains("--experimental-policy"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installs_once_and_repairs() {
        let directory = tempfile::tempdir().expect("directory");
        let file = install(directory.path()).expect("installed");
        assert_eq!(fs::read_to_string(&file).expect("read"), SOURCE);
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o644);
        let inode = |file: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(file).expect("there"));
        let before = inode(&file);
        assert_eq!(install(directory.path()).expect("again"), file);
        assert_eq!(inode(&file), before, "not touched");
        fs::write(&file, "half").expect("damaged");
        assert_eq!(install(directory.path()).expect("repaired"), file);
        assert_eq!(fs::read_to_string(&file).expect("read"), SOURCE);
        assert_eq!(fs::read_dir(directory.path()).expect("listed").count(), 1);
    }

    #[test]
    fn a_directory_that_cannot_be_named_or_written() {
        assert_eq!(install(Path::new("here")).expect_err("relative").kind(), ErrorKind::InvalidInput);
        let odd = std::os::unix::ffi::OsStrExt::from_bytes(b"/tmp/\xff");
        assert_eq!(
            install(Path::new::<std::ffi::OsStr>(odd)).expect_err("bytes").kind(),
            ErrorKind::InvalidInput
        );
        assert_eq!(install(Path::new("/nowhere/at/all")).expect_err("missing").kind(), ErrorKind::NotFound);
    }

    #[test]
    fn what_the_user_has_stays() {
        let file = Path::new("/a \"b\\/c.cjs");
        assert_eq!(node_options(None, file), r#"--require "/a \"b\\/c.cjs""#);
        assert_eq!(node_options(Some(" "), file), r#"--require "/a \"b\\/c.cjs""#);
        let both = node_options(Some("--title=\"x y\""), Path::new("/c.cjs"));
        assert_eq!(both, r#"--require "/c.cjs" --title="x y""#);
    }

    #[test]
    fn who_refuses() {
        assert!(is_welcome(["--permission --allow-fs-read=/app", "--title=x"].into_iter()));
        assert!(!is_welcome(["--title=x", "--experimental-permission"].into_iter()));
        assert!(!is_welcome(["-r x --experimental-policy=p.json"].into_iter()));
    }
}
