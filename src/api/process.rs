//! What the processes of a worker may do, and how they rank among the others of the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whatever is not given is as the daemon has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessPolicy {
    /// Permissions that new files do not get (umask(2)).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
    /// From -20, first, to 19, last (setpriority(2)).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nice: Option<i32>,
    /// From -1000, never, to 1000, first: whom the kernel ends when memory is short (proc_pid_oom_score_adj(5)).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i32>,
    /// Limits of each process (getrlimit(2)).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rlimits: BTreeMap<Resource, Rlimit>,
    /// No program that it executes gets more privileges than it has (`PR_SET_NO_NEW_PRIVS`).
    pub no_new_privs: bool,
    /// Privileges of root that it keeps although it runs as another user (ambient capabilities, capabilities(7)).
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub capabilities: BTreeSet<Capability>,
}

impl ProcessPolicy {
    /// Whether it says nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What a limit is of, by the name of getrlimit(2) without `RLIMIT_`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Bytes of address space.
    As,
    /// Bytes of a core dump.
    Core,
    /// Seconds of processor time.
    Cpu,
    /// Bytes of data.
    Data,
    /// Bytes of a file.
    Fsize,
    /// Bytes that may be locked in memory.
    Memlock,
    /// Bytes in message queues, of all processes of the user.
    Msgqueue,
    /// 20 less the best nice value.
    Nice,
    /// Open files.
    Nofile,
    /// Processes and threads, of the user as a whole.
    Nproc,
    /// Priority under a real-time policy.
    Rtprio,
    /// Signals that wait, of all processes of the user.
    Sigpending,
    /// Bytes of stack.
    Stack,
}

impl Resource {
    /// All of them, by name.
    pub const ALL: [Self; 13] = [
        Self::As,
        Self::Core,
        Self::Cpu,
        Self::Data,
        Self::Fsize,
        Self::Memlock,
        Self::Msgqueue,
        Self::Nice,
        Self::Nofile,
        Self::Nproc,
        Self::Rtprio,
        Self::Sigpending,
        Self::Stack,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::As => "as",
            Self::Core => "core",
            Self::Cpu => "cpu",
            Self::Data => "data",
            Self::Fsize => "fsize",
            Self::Memlock => "memlock",
            Self::Msgqueue => "msgqueue",
            Self::Nice => "nice",
            Self::Nofile => "nofile",
            Self::Nproc => "nproc",
            Self::Rtprio => "rtprio",
            Self::Sigpending => "sigpending",
            Self::Stack => "stack",
        }
    }
}

/// A limit. `None`: unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rlimit {
    /// What is in force; the process may raise it up to `hard`.
    pub soft: Option<u64>,
    /// What only root may raise.
    pub hard: Option<u64>,
}

impl fmt::Display for Rlimit {
    /// As it is declared.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |limit: Option<u64>| limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
        match self.soft == self.hard {
            true => out.write_str(&text(self.soft)),
            false => write!(out, "{}:{}", text(self.soft), text(self.hard)),
        }
    }
}

/// A privilege, by its name in capabilities(7) without `CAP_` and in small letters: `net_bind_service`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "&'static str")]
#[schemars(with = "String")]
pub struct Capability(u8);

/// A text that names no capability.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no capability is named `{name}`", name = .0.escape_debug())]
pub struct NoCapability(String);

impl Capability {
    /// All of them, at the places of their numbers (`linux/capability.h`).
    pub const NAMES: [&'static str; 41] = [
        "chown",
        "dac_override",
        "dac_read_search",
        "fowner",
        "fsetid",
        "kill",
        "setgid",
        "setuid",
        "setpcap",
        "linux_immutable",
        "net_bind_service",
        "net_broadcast",
        "net_admin",
        "net_raw",
        "ipc_lock",
        "ipc_owner",
        "sys_module",
        "sys_rawio",
        "sys_chroot",
        "sys_ptrace",
        "sys_pacct",
        "sys_admin",
        "sys_boot",
        "sys_nice",
        "sys_resource",
        "sys_time",
        "sys_tty_config",
        "mknod",
        "lease",
        "audit_write",
        "audit_control",
        "setfcap",
        "mac_override",
        "mac_admin",
        "syslog",
        "wake_alarm",
        "block_suspend",
        "audit_read",
        "perfmon",
        "bpf",
        "checkpoint_restore",
    ];

    /// The one of that name, which may begin with `CAP_` and be in capitals.
    ///
    /// # Errors
    /// There is none.
    pub fn named(name: &str) -> Result<Self, NoCapability> {
        let small = name.trim().to_ascii_lowercase();
        let bare = small.strip_prefix("cap_").unwrap_or(&small);
        let number = Self::NAMES.iter().position(|known| *known == bare);
        let number = number.and_then(|number| u8::try_from(number).ok());
        number.map(Self).ok_or_else(|| NoCapability(name.to_owned()))
    }

    /// Its number for the kernel.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        Self::NAMES.get(usize::from(self.0)).copied().unwrap_or_default()
    }
}

impl TryFrom<String> for Capability {
    type Error = NoCapability;

    fn try_from(name: String) -> Result<Self, NoCapability> {
        Self::named(&name)
    }
}

impl From<Capability> for &'static str {
    fn from(capability: Capability) -> Self {
        capability.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_have_the_numbers_of_the_kernel() {
        for (name, number) in [("chown", 0), ("CAP_NET_BIND_SERVICE", 10), ("sys_admin", 21), ("bpf", 39)] {
            assert_eq!(Capability::named(name).map(Capability::number), Ok(number), "{name}");
        }
        assert!(Capability::named("net_bind").is_err() && Capability::named("").is_err());
        let text = serde_json::to_string(&Capability::named("kill").unwrap()).unwrap();
        assert_eq!(text, "\"kill\"");
        assert_eq!(serde_json::from_str::<Capability>(&text).unwrap().as_str(), "kill");
    }

    #[test]
    fn limits_read_as_they_are_written() {
        let shown = |soft, hard| Rlimit { soft, hard }.to_string();
        assert_eq!(shown(Some(5), Some(5)), "5");
        assert_eq!(shown(Some(5), None), "5:unlimited");
        assert_eq!(shown(None, None), "unlimited");
        for resource in Resource::ALL {
            assert_eq!(serde_json::to_value(resource).unwrap(), resource.as_str());
        }
    }

    #[test]
    fn an_older_declaration_says_nothing_of_it() {
        assert!(serde_json::from_str::<ProcessPolicy>("{}").unwrap().is_default());
    }
}
