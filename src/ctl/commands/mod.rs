//! One file for each command or small family: what it asks, and how it tells the answer.

pub(crate) mod act;
pub(crate) mod apply;
pub(crate) mod check;
pub(crate) mod daemon;
pub(crate) mod describe;
pub(crate) mod dev;
pub(crate) mod env;
pub(crate) mod events;
pub(crate) mod hooks;
pub(crate) mod ids;
pub(crate) mod init;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod reload;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod runtime;
pub(crate) mod serve;
pub(crate) mod settings;
pub(crate) mod start;
pub(crate) mod talk;
pub(crate) mod upgrade;
pub(crate) mod why;
