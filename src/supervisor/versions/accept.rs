//! From a client's declaration to a revision: what is checked and looked up before the loop hears of it.
//!
//! Runs in a blocking task: user databases and files may be slow.

use std::collections::BTreeMap;
use std::path::Path;

use nix::unistd::{Uid, User};
use supd_api::{AppDeclaration, EnvironmentLayer, Fault, FaultCode, Layer, Secret};

use crate::config;
use crate::supervisor::care::cgroups;
use crate::supervisor::versions::pin::Pin;
use crate::supervisor::versions::revision::Revision;

/// What a worker gets when nothing else is said. The fallback is that of systemd and login(1).
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Of the daemon's own environment, a worker gets only these.
const INHERITED: [&str; 4] = ["PATH", "LANG", "LC_ALL", "TZ"];
/// And these, if it runs as the same user: they name directories of that user.
const PERSONAL: [&str; 2] = ["TMPDIR", "XDG_RUNTIME_DIR"];
/// A `package.json` larger than this is not read for its version.
const PACKAGE_JSON_MAX: u64 = 1 << 20;

/// Checks a declaration and completes it.
///
/// # Errors
/// `Invalid` with every problem, or `Forbidden` when this daemon cannot become the user.
pub(crate) fn accept(declaration: AppDeclaration) -> Result<Revision, Fault> {
    let problems = config::validate(&declaration);
    if !problems.is_empty() {
        let text = config::Rejected { problems }.to_string();
        return Err(
            Fault::new(FaultCode::Invalid, text.trim_end()).hint("`supctl check FILE` shows the same")
        );
    }
    let user = user_of(&declaration)?;
    if user.uid.is_root() && !declaration.process.capabilities.is_empty() {
        let text = format!("{}: `capabilities` has no effect: root has all of them", declaration.name);
        return Err(Fault::new(FaultCode::Invalid, text).hint("name another user in `uid`"));
    }
    let base = EnvironmentLayer { layer: Layer::Base, variables: base(&user) };
    cgroups::check(&declaration)?;
    let version = version_of(&declaration);
    let pin = Some(Pin::new(&declaration));
    Ok(Revision { declaration, base, uid: Some(user.uid.as_raw()), user: user.name, pin, version })
}

/// The same version as its links lead now; `None`: as before.
pub(crate) fn accept_again(revision: &Revision) -> Option<Revision> {
    let pin = Some(Pin::new(&revision.declaration));
    let version = version_of(&revision.declaration);
    let changed = revision.pin != pin || revision.version != version;
    changed.then(|| Revision { pin, version, ..revision.clone() })
}

fn user_of(declaration: &AppDeclaration) -> Result<User, Fault> {
    let own = Uid::effective();
    let Some(wanted) = &declaration.user else { return Ok(lookup(own).unwrap_or_else(|| nameless(own))) };
    let found = match wanted.parse::<u32>() {
        Ok(id) => lookup(Uid::from_raw(id)).or_else(|| Some(nameless(Uid::from_raw(id)))),
        Err(_) => User::from_name(wanted).ok().flatten(),
    };
    let app = &declaration.name;
    let Some(user) = found else {
        return Err(Fault::new(
            FaultCode::Invalid,
            format!("{app}: there is no user `{wanted}` on this machine"),
        )
        .hint("name an existing user, or leave the field out"));
    };
    if user.uid != own && !own.is_root() {
        return Err(Fault::new(
            FaultCode::Forbidden,
            format!("{app}: it shall run as `{wanted}`, but supd itself runs as user {own} and only root may do that"),
        )
        .hint("leave the field out, or run supd as root"));
    }
    Ok(user)
}

fn lookup(uid: Uid) -> Option<User> {
    User::from_uid(uid).ok().flatten()
}

/// A user id without an entry, as in many containers.
fn nameless(uid: Uid) -> User {
    User {
        name: uid.to_string(),
        passwd: c"".to_owned(),
        uid,
        gid: nix::unistd::Gid::effective(),
        gecos: c"".to_owned(),
        dir: "/".into(),
        shell: "/bin/sh".into(),
    }
}

fn base(user: &User) -> BTreeMap<String, Secret> {
    let personal = PERSONAL.into_iter().filter(|_| user.uid == Uid::effective());
    let mut base: BTreeMap<String, Secret> = INHERITED
        .into_iter()
        .chain(personal)
        .filter_map(|name| Some((name.to_owned(), Secret::from(std::env::var(name).ok()?))))
        .collect();
    base.entry("PATH".to_owned()).or_insert_with(|| DEFAULT_PATH.into());
    base.entry("LANG".to_owned()).or_insert_with(|| "C.UTF-8".into());
    base.insert("USER".to_owned(), user.name.as_str().into());
    base.insert("LOGNAME".to_owned(), user.name.as_str().into());
    base.insert("HOME".to_owned(), user.dir.to_string_lossy().as_ref().into());
    base.insert("SHELL".to_owned(), user.shell.to_string_lossy().as_ref().into());
    base
}

/// PM2 shows the version of the nearest `package.json`, walking up from the script.
fn version_of(declaration: &AppDeclaration) -> Option<String> {
    let script = declaration.cwd.join(&declaration.program.script);
    script.ancestors().skip(1).find_map(|directory| package_version(&directory.join("package.json")))
}

fn package_version(path: &Path) -> Option<String> {
    let metadata = std::fs::metadata(path).ok()?;
    if !metadata.is_file() || metadata.len() > PACKAGE_JSON_MAX {
        return None;
    }
    let package: serde_json::Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    package.get("version")?.as_str().map(|version| version.chars().take(32).collect())
}
