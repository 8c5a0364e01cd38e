//! pm2-link: the names under which this program is PM2.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use supd_api::{Fault, FaultCode};

use crate::ctl::output::{Failure, Output};

/// PM2's programs.
pub(crate) const NAMES: [&str; 4] = ["pm2", "pm2-runtime", "pm2-dev", "pm2-docker"];

/// `supctl pm2-link [DIR]`: makes the links, by default beside supctl. Nothing of somebody else's is touched: either all links
/// can be made or none is.
pub(crate) fn link(directory: Option<&Path>, output: &mut Output) -> Result<(), Failure> {
    let fault = |error: io::Error| Fault::new(FaultCode::Failed, format!("where is supctl? {error}"));
    let program = std::env::current_exe().map_err(fault)?;
    let directory = directory.or(program.parent()).unwrap_or(Path::new(".")).to_owned();
    let links = NAMES.map(|name| directory.join(name));
    let mut wanted = Vec::new();
    for link in &links {
        match present(link, &program) {
            Present::Nothing => wanted.push(link),
            Present::Ours => {}
            Present::Foreign(what) => {
                let text = format!("{} is {what}", link.display());
                let hint = "remove it, or name another directory that comes earlier in PATH";
                return Err(Fault::new(FaultCode::Conflict, text).hint(hint).into());
            }
        }
    }
    for link in wanted {
        symlink(&program, link).map_err(|error| refused(link, &error))?;
    }
    for link in &links {
        output.say(format!("{} -> {}", link.display(), program.display()))?;
    }
    if output.style.json {
        output.json(&serde_json::json!({ "program": program, "links": links }))?;
    }
    Ok(())
}

fn refused(link: &Path, error: &io::Error) -> Fault {
    let code = match error.kind() {
        io::ErrorKind::PermissionDenied => FaultCode::Forbidden,
        io::ErrorKind::NotFound => FaultCode::NotFound,
        _ => FaultCode::Failed,
    };
    Fault::new(code, format!("{}: {error}", link.display()))
        .hint("name a directory that is yours, such as ~/.local/bin")
}

/// What is where a link shall be.
#[derive(Debug, PartialEq, Eq)]
enum Present {
    Nothing,
    /// A link to a supctl.
    Ours,
    Foreign(String),
}

fn present(link: &Path, program: &Path) -> Present {
    match fs::read_link(link) {
        Ok(to) => {
            let to: PathBuf = link.parent().unwrap_or(Path::new("/")).join(to);
            let ours = to.file_name() == program.file_name();
            if ours { Present::Ours } else { Present::Foreign(format!("a link to {}", to.display())) }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Present::Nothing,
        Err(_) => Present::Foreign("a file of somebody else's".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let program = Path::new("/opt/supd/supctl");
        fs::write(at("file"), "").unwrap();
        symlink("/opt/other/supctl", at("ours")).unwrap();
        symlink("../lib/node_modules/pm2/bin/pm2", at("theirs")).unwrap();
        assert_eq!(present(&at("nothing"), program), Present::Nothing);
        assert_eq!(present(&at("ours"), program), Present::Ours);
        assert!(
            matches!(present(&at("theirs"), program), Present::Foreign(what) if what.contains("node_modules"))
        );
        assert!(matches!(present(&at("file"), program), Present::Foreign(_)));
    }
}
