//! Words to people who are not looking: webhooks, chats, pagers, mail, programs.
//!
//! Question answered here: *how does a word reach them?* It may not decide what is told, to whom, or when it is tried again.
//!
//! The way to the network is the system's `curl`, as ssh and git are for `deploy`: TLS, certificates and proxies are those of the machine, kept up to date by
//! it, and no TLS library becomes part of a daemon that runs as root. It speaks SMTP too. It runs beside the loop, as a process of its own with
//! a limit on its time, and what is secret goes to it over its standard input, where `ps` does not look.

mod body;
mod courier;
mod target;
#[cfg(test)]
mod tests;

pub use courier::deliver;
pub use target::Target;

/// One word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The same if it has to be sent again.
    pub id: String,
    /// The same for what begins and what is over.
    pub incident: String,
    /// The app; `None`: a test.
    pub app: Option<String>,
    /// `failing`, `down`, `reload` or `test`.
    pub trouble: &'static str,
    /// It is over; otherwise it begins.
    pub over: bool,
    /// The machine.
    pub host: String,
    /// Unix time in milliseconds.
    pub at: u64,
    /// What happened.
    pub text: String,
}

impl Note {
    /// All in one line.
    fn line(&self) -> String {
        let Self { host, text, .. } = self;
        match (&self.app, self.over) {
            (None, _) => format!("supd on {host}: {text}"),
            (Some(app), false) => format!("{app} on {host}: {text}"),
            (Some(app), true) => format!("{app} on {host} recovered: {text}"),
        }
    }
}
