//! Which variables of a process of PM2's are its app's, and which of those are secrets? PM2 hands on the whole shell that
//! started an app, adds its own, and mixes the fields of its record in.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use supd_api::Secret;

use super::process::Process;

/// Name to value.
pub(crate) type Variables = BTreeMap<String, Secret>;

/// The variables of an app, apart.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Sorted {
    /// What anybody may read: it goes into the declaration.
    pub(crate) plain: Variables,
    /// What may be a secret, or came from the shell.
    pub(crate) guarded: Variables,
    /// Those of them that the caller's shell has too, with the same value, by name. They are kept: the app may need them, and supd
    /// does not hand on anybody's shell.
    pub(crate) shared: BTreeSet<String>,
    /// PM2's own and the shell's, by name.
    pub(crate) noise: BTreeSet<String>,
    /// What cannot be a variable's value, by name.
    pub(crate) unfit: BTreeSet<String>,
}

/// What a terminal, a login and PM2 set for themselves.
const NOISE: [&str; 30] = [
    "_",
    "PWD",
    "OLDPWD",
    "SHLVL",
    "TERM",
    "COLORTERM",
    "LS_COLORS",
    "LSCOLORS",
    "LESSOPEN",
    "LESSCLOSE",
    "MAIL",
    "MOTD_SHOWN",
    "DISPLAY",
    "TMUX",
    "TMUX_PANE",
    "STY",
    "WINDOW",
    "WINDOWID",
    "HISTCONTROL",
    "PS1",
    "unique_id",
    "NODE_APP_INSTANCE",
    "NODE_CHANNEL_FD",
    "NODE_CHANNEL_SERIALIZATION_MODE",
    "NODE_UNIQUE_ID",
    "NOTIFY_SOCKET",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "LISTEN_PID",
    "which_declare",
];

/// The same, by how their names begin.
const NOISY: [&str; 13] = [
    "PM2_",
    "pm_",
    "axm_",
    "SUPD_",
    "SSH_",
    "SUDO_",
    "XDG_",
    "DBUS_",
    "VSCODE_",
    "BASH_FUNC_",
    "npm_config_",
    "npm_package_",
    "npm_lifecycle_",
];

/// What every worker gets from supd, as a login would give it.
const BASE: [&str; 7] = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ"];

/// Sorts the variables of a process. `apps` are the names of all apps: PM2 sets a variable of that name for the settings of
/// its agent. `caller` is the environment of whoever migrates.
pub(crate) fn sort(process: &Process, apps: &BTreeSet<String>, caller: &Variables) -> Sorted {
    let mut sorted = Sorted::default();
    for (name, value) in process.variables() {
        let settings = apps.contains(name) && is_empty_object(value);
        let same = |value: &str| caller.get(name).is_some_and(|own| own.reveal() == value);
        let Some(value) = text(value).filter(|value| is_fit(name, value)) else {
            if !settings {
                sorted.unfit.insert(name.clone());
            }
            continue;
        };
        if is_noise(name) || settings || Some(name.as_str()) == process.text("instance_var") {
            sorted.noise.insert(name.clone());
        } else if BASE.contains(&name.as_str()) && same(&value) {
            // supd gives it the same value.
        } else if same(&value) {
            sorted.shared.insert(name.clone());
            sorted.guarded.insert(name.clone(), Secret::from(value));
        } else if is_plain(name, &value) {
            sorted.plain.insert(name.clone(), Secret::from(value));
        } else {
            sorted.guarded.insert(name.clone(), Secret::from(value));
        }
    }
    sorted
}

/// The variables of an `env_NAME` that anybody may read, and the names of the others.
pub(crate) fn sort_named(named: &Map<String, Value>) -> (Map<String, Value>, Vec<String>) {
    let (mut plain, mut others) = (Map::new(), Vec::new());
    for (name, value) in named {
        match text(value).filter(|value| is_fit(name, value)) {
            Some(value) if is_plain(name, &value) => drop(plain.insert(name.clone(), Value::from(value))),
            Some(_) | None => others.push(name.clone()),
        }
    }
    (plain, others)
}

/// As Node makes text of it for a child; an object has no text worth having.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn is_empty_object(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty) || value.as_str() == Some("{}")
}

/// Whether an `env_file` can hold it.
fn is_fit(name: &str, value: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    is_noise(name) || (!name.is_empty() && name.chars().all(letter) && !value.contains('\0'))
}

fn is_noise(name: &str) -> bool {
    NOISE.contains(&name) || NOISY.iter().any(|start| name.starts_with(start))
}

/// Whether a value is harmless in a file that many may read. In doubt it is not.
fn is_plain(name: &str, value: &str) -> bool {
    const SECRETIVE: [&str; 15] = [
        "KEY", "TOKEN", "SECRET", "PASS", "PWD", "PIN", "CRED", "AUTH", "PRIVATE", "SALT", "COOKIE",
        "SESSION", "CERT", "DSN", "HASH",
    ];
    let name = name.to_ascii_uppercase();
    let harmless = |c: char| c.is_ascii_alphanumeric() || "._:/-, ".contains(c);
    // Random text is long and mixes digits with letters; words and paths do not, part by part.
    let random = |part: &str| {
        let (digits, all) = (part.bytes().filter(u8::is_ascii_digit).count(), part.len());
        all >= 16 && digits > 0 && digits < all
    };
    !SECRETIVE.iter().any(|word| name.contains(word))
        && value.len() <= 100
        && value.chars().all(harmless)
        && !value.split(['.', ':', '/', ',', ' ', '-']).any(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(env: Value) -> Process {
        let fields = serde_json::json!({ "env": env, "instance_var": "SEAT" });
        Process::of_dump(fields.as_object().unwrap().clone())
    }

    #[test]
    fn variables_are_told_apart() {
        let caller: Variables = [("HOME", "/home/u"), ("PATH", "/bin"), ("CORP", "x")]
            .map(|(n, v)| (n.to_owned(), v.into()))
            .into();
        let env = serde_json::json!({
            "HOME": "/home/u", "PATH": "/opt/node/bin:/bin", "CORP": "x", "PORT": 3000, "DEBUG": true, "NODE_ENV": "production",
            "API_TOKEN": "abc", "DATABASE_URL": "postgres://u:pw@db/x", "RND": "a1b2c3d4e5f6a7b8c9", "MAP": { "a": 1 },
            "SEAT": "0", "SHLVL": "1", "PM2_HOME": "/home/u/.pm2", "pm_id": 1, "web": {}, "api": "{}", "unique_id": "x",
            "a b": "odd", "NUL": "a\0b", "BASH_FUNC_x%%": "() { :; }", "NOTHING": null,
        });
        let apps = ["web", "api"].map(str::to_owned).into();
        let sorted = sort(&process(env), &apps, &caller);
        let names = |variables: &Variables| variables.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&sorted.plain), ["DEBUG", "NODE_ENV", "PATH", "PORT"]);
        assert_eq!(names(&sorted.guarded), ["API_TOKEN", "CORP", "DATABASE_URL", "RND"]);
        let noise: Vec<_> = sorted.noise.iter().map(String::as_str).collect();
        assert_eq!(noise, ["BASH_FUNC_x%%", "PM2_HOME", "SEAT", "SHLVL", "api", "pm_id", "unique_id"]);
        let unfit: Vec<_> = sorted.unfit.iter().map(String::as_str).collect();
        assert_eq!(unfit, ["MAP", "NOTHING", "NUL", "a b"]);
    }

    #[test]
    fn in_doubt_it_is_a_secret() {
        for (name, value) in [
            ("NODE_ENV", "production"),
            ("HOST", "127.0.0.1"),
            ("LOG_DIR", "/var/log/web"),
            ("BASE_URL", "https://example.org/x"),
        ] {
            assert!(is_plain(name, value), "{name}");
        }
        for (name, value) in [
            ("STRIPE_KEY", "x"),
            ("dbPassword", "x"),
            ("X", "https://u:p@example.org"),
            ("X", "eyJhbGciOiJIUzI1NiJ9"),
            ("X", "a\nb"),
        ] {
            assert!(!is_plain(name, value), "{name} {value}");
        }
    }
}
