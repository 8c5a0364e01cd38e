//! `unstartup`: the daemon does not come back with the machine any more. It and its apps go on.

use super::place::Place;
use super::steps::Steps;
use super::unit::Scope;
use crate::ctl::Session;
use crate::ctl::args::BootArgs;
use crate::ctl::output::Failure;

/// Disables the unit of this home and removes it, if it was written by `startup`.
pub(crate) fn unstartup(args: &BootArgs, session: &mut Session) -> Result<(), Failure> {
    let place = Place::find(args, session.client.home())?;
    let mut steps = Steps::new(&mut session.output, &place);
    let home = place.home.path().display();
    let Some(present) = place.present() else {
        return steps.tell("nothing to do", &format!("no unit starts a daemon for {home}"));
    };
    steps.systemctl(&["disable", &present.name])?;
    let mut text = format!("the daemon of {home} is not started at boot any more; what runs goes on");
    if present.said.ours {
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
