//! What surrounds a run.
//!
//! Question answered here: *what does a process get from us, and by which way do we speak with it?* Variables, files, sockets, pipes,
//! channels.

pub(super) mod agents;
pub(super) mod channels;
pub(super) mod environment;
pub(super) mod input;
pub(super) mod launch;
pub(super) mod messages;
pub(super) mod outputs;
pub(super) mod paths;
pub(super) mod pid_files;
pub(super) mod sockets;
