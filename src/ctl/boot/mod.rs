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

pub(crate) use doctor::{doctor, findings};
pub(crate) use place::home;
pub(crate) use startup::startup;
pub(crate) use unstartup::unstartup;
