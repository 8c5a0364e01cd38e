//! supd: a process supervisor for Linux.
#![allow(missing_docs)]
pub mod cluster;
pub mod config;
pub mod logs;
