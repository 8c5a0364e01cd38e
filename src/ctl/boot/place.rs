//! Whose daemon is it about, and which unit is to start it?

use std::env;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};
use supd_api::{Fault, FaultCode};

use super::unit::Scope;
use super::units::{self, Found};
use crate::ctl::args::BootArgs;
use crate::home::{Home, SYSTEM};

/// PM2's words for machines that systemd runs.
const SYSTEMD_WORDS: [&str; 5] = ["systemd", "ubuntu", "centos", "arch", "oracle"];

/// The user a daemon runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// The home directory.
    pub(crate) directory: PathBuf,
}

impl Owner {
    /// Whether it is who types the command.
    pub(crate) fn is_caller(&self) -> bool {
        Uid::effective().as_raw() == self.uid
    }

    /// The user with this number.
    ///
    /// # Errors
    /// `NotFound`: a unit, and lingering, need a name.
    pub(crate) fn of_uid(uid: u32) -> Result<Self, Fault> {
        let found = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let unknown =
            || Fault::new(FaultCode::NotFound, format!("user id {uid} has no name on this machine"));
        found.map(Self::from).ok_or_else(unknown)
    }

    fn named(name: &str) -> Result<Self, Fault> {
        let unknown =
            || Fault::new(FaultCode::NotFound, format!("there is no user `{name}` on this machine"));
        User::from_name(name).ok().flatten().map(Self::from).ok_or_else(unknown)
    }
}

impl From<User> for Owner {
    fn from(user: User) -> Self {
        let User { name, uid, gid, dir, .. } = user;
        Self { name, uid: uid.as_raw(), gid: gid.as_raw(), directory: dir }
    }
}

/// What `startup` and `unstartup` are about.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) owner: Owner,
    pub(crate) home: Home,
    pub(crate) scope: Scope,
    /// The unit's name, with `.service`.
    pub(crate) unit: String,
    /// What starts the daemon of this home already, by whichever systemd.
    pub(crate) found: Vec<Found>,
}

/// The home that `startup` and `unstartup` are about. That of the machine, for root, need not exist yet.
///
/// # Errors
/// `NotFound` for an unknown user, `Invalid` for a path that cannot be a home.
pub(crate) fn home(args: &BootArgs, given: Option<&Path>) -> Result<Home, Fault> {
    let owner = owner(args)?;
    let fallback = if owner.uid == 0 { PathBuf::from(SYSTEM) } else { owner.directory.join(".supd") };
    let wanted = |home: &Home| env::var_os("SUPD_HOME").is_some() || home.path().is_dir();
    let at = |path: &Path| {
        Home::at(path).map_err(|error| {
            Fault::new(FaultCode::Invalid, error.to_string()).hint("give another --home DIR")
        })
    };
    match (given, &args.hp) {
        (Some(given), _) => at(given),
        (None, Some(directory)) => at(&directory.join(".supd")),
        (None, None) if owner.is_caller() && owner.uid == 0 => {
            crate::ctl::home::find(None).ok().filter(wanted).map_or_else(|| at(&fallback), Ok)
        }
        (None, None) if owner.is_caller() => crate::ctl::home::find(None),
        (None, None) => at(&fallback),
    }
}

fn owner(args: &BootArgs) -> Result<Owner, Fault> {
    match &args.user {
        Some(name) => Owner::named(name),
        None => Owner::of_uid(Uid::effective().as_raw()),
    }
}

impl Place {
    /// Finds it.
    ///
    /// # Errors
    /// `Failed` without systemd, `Forbidden` for another user's daemon, `NotFound` for an unknown user.
    pub(crate) fn find(args: &BootArgs, home: &Home) -> Result<Self, Fault> {
        let owner = owner(args)?;
        check_platform(args.platform.as_deref(), home)?;
        let scope = if Uid::effective().is_root() { Scope::System } else { Scope::User };
        if scope == Scope::User && !owner.is_caller() {
            return Err(Fault::new(
                FaultCode::Forbidden,
                format!("only root may have the daemon of `{}` started at boot", owner.name),
            )
            .hint(format!("sudo env \"PATH=$PATH\" {}", command_line())));
        }
        check_owner(home, &owner)?;
        let found = units::of_home(home.path(), &owner);
        let given = args.service_name.as_deref().map(with_suffix).transpose()?;
        let present = found.iter().find(|unit| unit.scope == scope).map(|unit| unit.name.clone());
        let default = match scope {
            Scope::System if owner.uid != 0 => format!("supd-{}.service", owner.name),
            Scope::System | Scope::User => "supd.service".to_owned(),
        };
        let unit = given.or(present).unwrap_or(default);
        Ok(Self { owner, home: home.clone(), scope, unit, found })
    }

    /// What starts the daemon under this unit's name, already.
    pub(crate) fn present(&self) -> Option<&Found> {
        self.found.iter().find(|unit| unit.scope == self.scope && unit.name == self.unit)
    }

    /// Where the unit is to be written.
    pub(crate) fn file(&self) -> PathBuf {
        units::written_in(self.scope, &self.owner).join(&self.unit)
    }
}

/// `NAME.service`; a name that is more than a name is refused.
fn with_suffix(name: &str) -> Result<String, Fault> {
    let stem = name.strip_suffix(".service").unwrap_or(name);
    let harmless = |letter: char| letter.is_ascii_alphanumeric() || "_-.:".contains(letter);
    if stem.is_empty() || stem.len() > 200 || !stem.chars().all(harmless) {
        return Err(Fault::new(FaultCode::Invalid, format!("`{}` cannot name a unit", name.escape_debug()))
            .hint("use letters, digits and `_-.:`"));
    }
    Ok(format!("{stem}.service"))
}

/// A home of somebody else would be filled with files that its owner cannot read.
fn check_owner(home: &Home, owner: &Owner) -> Result<(), Fault> {
    let Ok(meta) = home.path().metadata() else { return Ok(()) };
    if meta.uid() == owner.uid {
        return Ok(());
    }
    let name = Owner::of_uid(meta.uid()).map_or_else(|_| meta.uid().to_string(), |other| other.name);
    Err(Fault::new(
        FaultCode::Forbidden,
        format!("{} belongs to `{name}`, not to `{}`", home.path().display(), owner.name),
    )
    .hint(format!("name its user: -u {name}")))
}

/// Only systemd's units are written.
fn check_platform(asked: Option<&str>, home: &Home) -> Result<(), Fault> {
    // sd_booted(3)
    let booted = Path::new("/run/systemd/system").is_dir();
    let message = match asked {
        Some(word) if !SYSTEMD_WORDS.contains(&word) => format!("supctl writes no boot entry for `{word}`"),
        Some(_) | None if booted => return Ok(()),
        Some(_) | None => "systemd does not run this machine".to_owned(),
    };
    let supd = crate::ctl::launch::find().map_or_else(|_| "supd".to_owned(), |at| at.display().to_string());
    let line = format!("SUPD_HOME={} {supd} --daemon", home.path().display());
    let openrc = Path::new("/sbin/openrc-run").exists() || asked == Some("openrc");
    let hint = if openrc {
        format!(
            "with OpenRC: put the line `{line}` into /etc/local.d/supd.start (su USER -c '…' for a user's), chmod +x it, and `rc-update add local default`"
        )
    } else {
        format!(
            "`crontab -e` and the line `@reboot {line}` start it at boot; in a container, let `supd` be its first process"
        )
    };
    Err(Fault::new(FaultCode::Failed, message).hint(hint))
}

/// What was typed, to be typed again by root: by its full path, since root's PATH is another one.
fn command_line() -> String {
    let program = env::current_exe().map_or_else(|_| "supctl".to_owned(), |at| at.display().to_string());
    let plain = |word: &String| {
        !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "/._-+@:,=".contains(c))
    };
    let shown = |word: String| if plain(&word) { word } else { format!("'{}'", word.replace('\'', r"'\''")) };
    let words = env::args_os().skip(1).map(|word| shown(word.to_string_lossy().into_owned()));
    [shown(program)].into_iter().chain(words).collect::<Vec<_>>().join(" ")
}
