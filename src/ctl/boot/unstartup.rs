//! `unstartup`: the daemon does not come back with the machine any more. It and its apps go on.

use std::fs;

use super::place::Place;
use super::steps::{Steps, in_file};
use super::unit::Scope;
use super::units;
use crate::ctl::Session;
use crate::ctl::args::BootArgs;
use crate::ctl::output::Failure;

/// Disables the unit of this home and removes it, if it was written by `startup`.
pub(crate) fn unstartup(args: &BootArgs, session: &mut Session) -> Result<(), Failure> {
    let place = Place::find(args, session.client.home())?;
    let mut steps = Steps::new(&mut session.output, &place);
    let home = place.home.path().display();
    let until_boot = units::kept_until_boot(place.scope, &place.owner).join(&place.unit);
    let Some(present) = place.present().filter(|unit| unit.file != until_boot) else {
        return steps.tell("nothing to do", &format!("no unit starts a daemon for {home}"));
    };
    steps.systemctl(&["disable", &present.name])?;
    let mut text = format!("the daemon of {home} is not started at boot any more; what runs goes on");
    if present.said.ours {
        // Without a file, systemd would forget at its next reload how to treat what still runs: whose signs of life to
        // hear, and whom to stop first.
        if steps.systemd().property(&present.name, "ActiveState") == "active" {
            let text = fs::read_to_string(&present.file).map_err(|error| in_file(&present.file, &error))?;
            steps.write(&until_boot, &text)?;
        }
        steps.remove(&present.file)?;
        steps.systemctl(&["daemon-reload"])?;
    } else {
        let file = present.file.display();
        text.push_str(&format!("\n{file} stays: it was not written by `supctl startup`"));
    }
    if place.scope == Scope::User && super::startup::lingers(&place.owner) {
        let name = &place.owner.name;
        text.push_str(&format!(
            "\n`{name}` still lingers, which other units may need: `loginctl disable-linger {name}` ends it"
        ));
    }
    steps.tell("disabled", &text)
}
