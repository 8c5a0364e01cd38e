//! `startup`: the daemon comes back with the machine, and systemd looks after it from now on.

use std::env;
use std::fs;
use std::path::Path;
use std::time::Duration;

use supd_api::{Fault, FaultCode};
use tokio::time::{Instant, sleep};

use super::access::Who;
use super::place::{Owner, Place};
use super::steps::Steps;
use super::takeover::take_over;
use super::unit::{Filling, Scope, read, render};
use super::units::Found;
use crate::ctl::Session;
use crate::ctl::args::StartupArgs;
use crate::ctl::launch;
use crate::ctl::output::Failure;

/// How long a user's systemd may take to come up after lingering was enabled.
const MANAGER_TIME: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// Writes and enables the unit of this home, and hands the running daemon over to it.
pub(crate) async fn startup(args: &StartupArgs, session: &mut Session) -> Result<(), Failure> {
    let Session { client, output } = session;
    let place = Place::find(&args.boot, client.home())?;
    check_single(&place)?;
    let text = wanted_text(&place)?;
    let is_due = check_present(&place, &text, args.force)?;
    let mut steps = Steps::new(output, &place);
    let lingers = place.scope == Scope::System || linger(&place.owner, &mut steps).await?;
    if is_due {
        steps.write(&place.file(), &text)?;
    }
    steps.systemctl(&["daemon-reload"])?;
    steps.systemctl(&["enable", &place.unit])?;
    if !lingers {
        return Err(never_without_login(&place));
    }
    take_over(&place, args.now, client, steps).await
}

/// Two units that start daemons for one home would get in each other's way at boot.
fn check_single(place: &Place) -> Result<(), Fault> {
    // One that `unstartup` left for the running daemon is gone by then.
    let stays = |unit: &&Found| !unit.file.starts_with("/run");
    let mut others = place.found.iter().filter(stays);
    let other = others.find(|unit| (unit.scope, &unit.name) != (place.scope, &place.unit));
    let Some(other) = other else { return Ok(()) };
    let remedy = match (other.scope == place.scope, other.scope) {
        (true, _) => format!("keep it: --service-name {}", other.name),
        (false, Scope::User) => format!("remove that one first: `supctl unstartup` as {}", place.owner.name),
        (false, Scope::System) => {
            format!("remove that one first: `sudo supctl unstartup -u {}`", place.owner.name)
        }
    };
    let home = place.home.path().display();
    Err(Fault::new(
        FaultCode::Conflict,
        format!("{} starts a daemon for {home} already", other.file.display()),
    )
    .hint(remedy))
}

fn wanted_text(place: &Place) -> Result<String, Fault> {
    let program = launch::find()?;
    let program = std::path::absolute(&program).unwrap_or(program);
    let refused = Who::of(&place.owner).cannot_execute(&program);
    if let Some(why) = refused {
        return Err(Fault::new(
            FaultCode::Invalid,
            format!("`{}` cannot execute it: {why}", place.owner.name),
        )
        .hint("install supd and supctl where every user may execute them: /usr/local/bin"));
    }
    let user = (place.scope == Scope::System && place.owner.uid != 0).then_some(place.owner.name.as_str());
    render(&Filling {
        scope: place.scope,
        unit: &place.unit,
        program: &program,
        home: place.home.path(),
        path: &env::var("PATH").unwrap_or_default(),
        user,
    })
}

/// Whether the unit is to be written; a file of somebody else's is left alone.
fn check_present(place: &Place, text: &str, force: bool) -> Result<bool, Fault> {
    if !force && place.present().is_some_and(|present| !present.said.ours) {
        // It does what is wanted already, such as one that came with a package.
        return Ok(false);
    }
    let file = place.file();
    match fs::read_to_string(&file) {
        Ok(there) if there == text => Ok(false),
        Ok(_) if force => Ok(true),
        Ok(there) => {
            let said = read(&there, &place.owner.directory);
            let ours = said.ours && said.home.as_deref() == Some(place.home.path());
            if ours { Ok(true) } else { Err(in_the_way(&file, said.ours)) }
        }
        Err(_) => Ok(true),
    }
}

fn in_the_way(file: &Path, ours: bool) -> Fault {
    let whose = if ours { "starts a daemon for another home" } else { "was not written by `supctl startup`" };
    Fault::new(FaultCode::Conflict, format!("{} is there and {whose}", file.display()))
        .hint("give another name with --service-name, or overwrite it with --force")
}

/// Whether this user's systemd runs from boot on.
pub(crate) fn lingers(owner: &Owner) -> bool {
    // Where logind keeps it (its function `user_check_linger_file`); `loginctl show-user` knows present users only.
    Path::new("/var/lib/systemd/linger").join(&owner.name).exists()
}

/// Lets this user's systemd run from boot on, if that is allowed. There is one to talk to afterwards.
async fn linger(owner: &Owner, steps: &mut Steps<'_>) -> Result<bool, Failure> {
    let refused = match lingers(owner) {
        true => None,
        // It never asks for a password: who types this may be a script.
        false => steps.run(&["loginctl", "--no-ask-password", "enable-linger", &owner.name]).err(),
    };
    let socket = Path::new("/run/user").join(owner.uid.to_string()).join("systemd/private");
    let until = Instant::now() + MANAGER_TIME;
    while !socket.exists() {
        if refused.is_some() || Instant::now() > until {
            return Err(Fault::new(
                FaultCode::Forbidden,
                format!(
                    "no systemd of `{}` runs, and lingering, which would start it, is refused",
                    owner.name
                ),
            )
            .hint(format!("sudo loginctl enable-linger {0}\nthen again: supctl startup", owner.name))
            .into());
        }
        sleep(LOOK).await;
    }
    Ok(refused.is_none())
}

fn never_without_login(place: &Place) -> Failure {
    let name = &place.owner.name;
    Fault::new(
        FaultCode::Forbidden,
        format!(
            "{} is enabled, but not yet started: without lingering it would run only while `{name}` is logged in, \
             and lingering may not be enabled from here",
            place.unit
        ),
    )
    .hint(format!("sudo loginctl enable-linger {name}\nthen again: supctl startup"))
    .into()
}
