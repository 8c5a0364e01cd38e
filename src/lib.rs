//! supd: a process supervisor for Linux.
#![allow(missing_docs)]
pub mod config;
pub mod ctl;
