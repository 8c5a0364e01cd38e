//! How does the daemon come back with the machine, and will it?
//!
//! `startup` and `unstartup` write and remove the unit by which systemd starts it, `doctor` looks at everything that the
//! next boot depends on. They give orders to systemd only; apps are stopped by nobody here, unless `--now` allows it.

mod access;
mod doctor;
mod place;
mod startup;
mod steps;
mod takeover;
mod unit;
mod units;
mod unstartup;

use crate::home::Home;
pub(crate) use doctor::{doctor, findings};
pub(crate) use place::home;
pub(crate) use startup::startup;
pub(crate) use unstartup::unstartup;

/// The units that start the daemon of this home, which belongs to the user with this number, by their names; `true`: it is the
/// user's systemd that has it.
pub(crate) fn units_of(home: &Home, uid: u32) -> Vec<(String, bool)> {
    let Ok(owner) = place::Owner::of_uid(uid) else { return Vec::new() };
    let found = units::of_home(home.path(), &owner).into_iter();
    found.map(|unit| (unit.name, unit.scope == unit::Scope::User)).collect()
}
