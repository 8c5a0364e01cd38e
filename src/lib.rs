//! supd: a process supervisor for Linux.
//!
//! `src/ARCHITECTURE.md` is the map: floors, rooms, and in which room a line belongs.

pub mod atomic;
pub mod cluster;
pub mod config;
pub mod ctl;
pub mod daemon;
pub mod dates;
pub mod home;
pub mod hooks;
pub mod logs;
pub mod metrics;
pub mod nearest;
pub mod notify;
pub mod printable;
pub mod probe;
pub mod processes;
pub mod resolve;
pub mod serve;
pub mod supervisor;
pub mod watch;
