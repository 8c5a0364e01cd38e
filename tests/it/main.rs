//! The product as its users meet it: the real binaries, real processes, sockets and files.
//!
//! Each test has a daemon of its own in a directory of its own, and every story ends with the proof that nothing of it
//! is left. Nothing here sleeps to let something happen: it waits until it has happened.

mod daemon;
mod http;
mod process;
mod wait;

mod sample;
