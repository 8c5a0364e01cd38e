//! The floor to the operating system.
#![allow(missing_docs)]
pub mod protocol;
