//! Settings of the daemon that somebody made: keys and values.
//!
//! Question answered here: *which are there, and what do they change now?* The loop owns them. A change counts when it is on disk: it
//! is written by a blocking task, one after the other, and only then known here; what cannot be written has not happened.

use std::collections::{BTreeMap, VecDeque};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use serde::{Deserialize, Serialize};
use supd_api::{
    Accepted, AppName, DeclaredRotation, Fault, FaultCode, Rotation, RotationView, Secret, Settings,
};
use supd_keeper::protocol;
use tokio::sync::mpsc;

use crate::atomic;
use crate::nearest::nearest;
use crate::supervisor::call::Reply;
use crate::supervisor::turn::Shell;

mod door;
mod hooks;
mod rotation;

use hooks::Hook;
use rotation::Defaults;

/// Version of the file.
const VERSION: u32 = 1;
/// A larger file is none of ours, in bytes.
const FILE_MAX: u64 = 16 << 20;
/// So many settings there may be.
const SETTINGS_MAX: usize = 1000;
/// The longest key and value, in bytes. A single variable of a process may not be longer (`MAX_ARG_STRLEN`, execve(2)).
const KEY_MAX: usize = 256;
const VALUE_MAX: usize = 100 << 10;

/// The whole file.
#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    settings: BTreeMap<String, Secret>,
}

/// What is known.
pub(super) struct Store {
    path: PathBuf,
    settings: BTreeMap<String, Secret>,
    defaults: Defaults,
    /// One change is being written.
    writing: bool,
    waiting: VecDeque<(Change, Reply<Accepted>)>,
    outlet: mpsc::UnboundedSender<Written>,
}

/// What is to become of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// These are added.
    Set(BTreeMap<String, Secret>),
    /// These go.
    Unset(Vec<String>),
    /// All go.
    Clear,
}

/// A change has been written, or could not be.
pub(super) struct Written {
    settings: BTreeMap<String, Secret>,
    /// For the door, where it is to be opened anew.
    socket: Option<TcpListener>,
    accepted: Accepted,
    reply: Reply<Accepted>,
    outcome: io::Result<()>,
}

impl Store {
    /// As they are on disk. What cannot be read is put aside: no app shall stay down because of it.
    pub(super) fn open(path: PathBuf, outlet: mpsc::UnboundedSender<Written>) -> Self {
        let settings = read(&path).unwrap_or_else(|error| {
            put_aside(&path, &error);
            BTreeMap::new()
        });
        let defaults = Defaults::of(&settings);
        Self { path, settings, defaults, writing: false, waiting: VecDeque::new(), outlet }
    }

    /// The rotation of an app that has declared this.
    pub(super) fn rotation(&self, declared: &DeclaredRotation) -> Rotation {
        self.defaults.below(declared)
    }

    /// The same with its origins.
    pub(super) fn rotation_view(&self, declared: &DeclaredRotation) -> RotationView {
        self.defaults.view(declared)
    }

    /// The variables set for this app.
    pub(super) fn variables<'a>(&'a self, app: &'a AppName) -> impl Iterator<Item = (&'a str, &'a Secret)> {
        let own = |(key, value): (&'a String, &'a Secret)| {
            let (owner, name) = key.rsplit_once(':')?;
            (owner == app.as_str() && is_variable(name)).then_some((name, value))
        };
        self.settings.iter().filter_map(own)
    }

    /// Who is told of trouble, by name.
    pub(super) fn hooks(&self) -> BTreeMap<String, Hook> {
        hooks::of(&self.settings)
    }

    /// After how long without another failure trouble is over.
    pub(super) fn quiet(&self) -> Duration {
        hooks::quiet(&self.settings)
    }

    /// What they would be then.
    fn after(&self, change: Change) -> Result<(BTreeMap<String, Secret>, Accepted), Fault> {
        let (mut settings, mut accepted) = (self.settings.clone(), Accepted::default());
        match change {
            Change::Clear => settings.clear(),
            Change::Unset(keys) => {
                for key in &keys {
                    remove(key, &mut settings).then_some(()).ok_or_else(|| unknown(key, &self.settings))?;
                }
            }
            Change::Set(new) => {
                for (key, value) in new {
                    let key = Settings::key(&key);
                    check(&key, &value)?;
                    if hooks::is_about_hooks(&key) {
                        hooks::check(&key, value.reveal())?;
                    } else if !door::KEYS.contains(&key.as_str()) {
                        accepted.warnings.extend(rotation::check(&key, value.reveal())?);
                    }
                    settings.insert(key, value);
                }
            }
        }
        if settings.len() > SETTINGS_MAX {
            let text = format!("{} settings; at most {SETTINGS_MAX} are possible", settings.len());
            return Err(Fault::new(FaultCode::Limit, text).hint("`supctl unset KEY` removes one"));
        }
        Ok((settings, accepted))
    }

    fn write_next(&mut self) {
        while !self.writing
            && let Some((change, reply)) = self.waiting.pop_front()
        {
            let after = self.after(change).and_then(|(settings, accepted)| {
                hooks::check_all(&settings)?;
                let socket = door::socket(&self.settings, &settings)?;
                Ok((settings, socket, accepted))
            });
            match after {
                Err(fault) => drop(reply.send(Err(fault))),
                Ok((settings, socket, accepted)) => self.write(settings, socket, accepted, reply),
            }
        }
    }

    fn write(
        &mut self,
        settings: BTreeMap<String, Secret>,
        socket: Option<TcpListener>,
        accepted: Accepted,
        reply: Reply<Accepted>,
    ) {
        self.writing = true;
        let (path, outlet) = (self.path.clone(), self.outlet.clone());
        tokio::task::spawn_blocking(move || {
            let document = Document { version: VERSION, settings };
            let text = serde_json::to_vec_pretty(&document).map_err(io::Error::other);
            let outcome = text.and_then(|text| atomic::write(&path, &text));
            // The loop may have ended meanwhile.
            let _ = outlet.send(Written { settings: document.settings, socket, accepted, reply, outcome });
        });
    }
}

impl Shell {
    pub(super) fn settings_view(&self) -> Settings {
        Settings { settings: self.settings.settings.clone() }
    }

    pub(super) fn change_settings(&mut self, change: Change, reply: Reply<Accepted>) {
        self.settings.waiting.push_back((change, reply));
        self.settings.write_next();
    }

    /// They count from now on, also for what runs.
    pub(super) fn on_settings(&mut self, written: Written) {
        let Written { settings, socket, accepted, reply, outcome } = written;
        self.settings.writing = false;
        let answer = match outcome {
            Ok(()) => {
                self.settings.defaults = Defaults::of(&settings);
                self.settings.settings = settings;
                self.rotate_anew();
                self.open_door(socket);
                Ok(accepted)
            }
            Err(error) => {
                let path = self.settings.path.display();
                Err(Fault::new(FaultCode::Failed, format!("{path} cannot be written: {error}"))
                    .hint("nothing has been changed"))
            }
        };
        // Who has gone meanwhile does not want it.
        let _ = reply.send(answer);
        self.settings.write_next();
    }

    /// Lets the output of everything be rotated as settings and declarations say now.
    pub(super) fn rotate_anew(&self) {
        for (run, output) in &self.outputs {
            self.logs.rotate_by(protocol::RunId(run.0), output.rotation(&self.settings));
        }
    }
}

/// Removes a setting, or all of an app. `false`: there is none.
fn remove(key: &str, settings: &mut BTreeMap<String, Secret>) -> bool {
    if settings.remove(key).or_else(|| settings.remove(&Settings::key(key))).is_some() {
        return true;
    }
    let before = settings.len();
    settings.retain(|name, _| name.rsplit_once(':').is_none_or(|(owner, _)| owner != key));
    settings.len() < before
}

fn check(key: &str, value: &Secret) -> Result<(), Fault> {
    let wrong = |why: String| Err(Fault::new(FaultCode::Invalid, why).hint("`supctl set KEY VALUE`"));
    match value.reveal() {
        _ if key.is_empty() || key.len() > KEY_MAX => wrong(format!("a key has 1 to {KEY_MAX} bytes")),
        _ if key.chars().any(|c| c.is_control() || c.is_whitespace()) => {
            wrong(format!("the key `{}` has a space or a control character in it", key.escape_debug()))
        }
        value if value.len() > VALUE_MAX => wrong(format!("{key}: a value has at most {VALUE_MAX} bytes")),
        value if value.contains('\0') => wrong(format!("{key}: a value cannot contain a NUL")),
        _ => Ok(()),
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains('=')
}

fn unknown(key: &str, settings: &BTreeMap<String, Secret>) -> Fault {
    let hint = match nearest(key, settings.keys().map(String::as_str)) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "`supctl conf` shows what is set".to_owned(),
    };
    Fault::new(FaultCode::NotFound, format!("`{}` is not set", key.escape_debug())).hint(hint)
}

fn read(path: &Path) -> io::Result<BTreeMap<String, Secret>> {
    let text = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Ok(metadata) if metadata.len() > FILE_MAX => return Err(io::ErrorKind::FileTooLarge.into()),
        Ok(_) | Err(_) => fs::read(path)?,
    };
    let Document { version, settings } = serde_json::from_slice(&text)?;
    if version > VERSION {
        return Err(io::Error::other(format!("it has version {version}, this supd reads up to {VERSION}")));
    }
    Ok(settings)
}

fn put_aside(path: &Path, why: &io::Error) {
    let aside = path.with_extension(format!("unreadable-{}", std::process::id()));
    let file = path.display();
    match fs::rename(path, &aside) {
        Ok(()) => tracing::error!(
            "{file} cannot be read ({why}); it is kept as {}, and no setting counts",
            aside.display()
        ),
        Err(error) => {
            tracing::error!("{file} cannot be read ({why}) nor put aside ({error}); no setting counts")
        }
    }
}

#[cfg(test)]
mod tests {
    use supd_api::DeclaredRotation;

    use super::*;

    fn store(path: &Path) -> Store {
        Store::open(path.to_owned(), mpsc::unbounded_channel().0)
    }

    fn set(pairs: &[(&str, &str)]) -> Change {
        Change::Set(pairs.iter().map(|(key, value)| ((*key).to_owned(), Secret::from(*value))).collect())
    }

    fn holding(path: &Path, pairs: &[(&str, &str)]) -> Store {
        let mut store = store(path);
        store.settings = store.after(set(pairs)).expect("settings").0;
        store
    }

    #[test]
    fn what_is_set_is_added_and_what_is_unset_goes() {
        let store = holding(Path::new("/no/file"), &[("a.b", "1"), ("pm2-logrotate.retain", "3")]);
        let keys = |change| -> Result<Vec<String>, FaultCode> {
            store
                .after(change)
                .map(|(settings, _)| settings.into_keys().collect())
                .map_err(|fault| fault.code)
        };
        assert_eq!(
            keys(set(&[("c", "")])),
            Ok(vec!["a:b".into(), "c".into(), "pm2-logrotate:retain".into()])
        );
        for key in ["a:b", "a.b", "a"] {
            assert_eq!(keys(Change::Unset(vec![key.into()])), Ok(vec!["pm2-logrotate:retain".into()]));
        }
        assert_eq!(keys(Change::Unset(vec!["a:b".into(), "a:c".into()])), Err(FaultCode::NotFound));
        assert_eq!(keys(Change::Clear), Ok(Vec::new()));
        for (key, value) in [("", "x"), ("a b", "x"), ("a\n", "x"), ("a", "\0"), ("supd:keep", "x")] {
            assert_eq!(keys(set(&[("good", "1"), (key, value)])), Err(FaultCode::Invalid), "{key:?}");
        }
        let many: Vec<String> = (0..SETTINGS_MAX).map(|n| n.to_string()).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|key| (key.as_str(), "x")).collect();
        assert_eq!(keys(set(&many)), Err(FaultCode::Limit));
    }

    #[test]
    fn variables_belong_to_the_app_before_the_last_colon() {
        let store =
            holding(Path::new("/no/file"), &[("web:A", "1"), ("web:b:C", "2"), ("web2:D", "3"), ("E", "4")]);
        for (app, expected) in [("web", vec!["A"]), ("web:b", vec!["C"]), ("api", vec![])] {
            let app = AppName::new(app).expect("a name");
            assert_eq!(store.variables(&app).map(|(name, _)| name).collect::<Vec<_>>(), expected);
        }
    }

    #[tokio::test]
    async fn they_are_known_when_they_are_on_disk_and_the_next_life_knows_them_too() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("settings.json");
        let (outlet, mut inbox) = mpsc::unbounded_channel();
        let mut store = Store::open(path.clone(), outlet);
        for change in [set(&[("supd:keep", "3")]), set(&[("pm2-logrotate:retain", "4")])] {
            store.waiting.push_back((change, tokio::sync::oneshot::channel().0));
        }
        store.write_next();
        assert!(store.settings.is_empty() && store.waiting.len() == 1);
        let written = inbox.recv().await.expect("written");
        written.outcome.expect("on disk");
        let store = Store::open(path, mpsc::unbounded_channel().0);
        assert_eq!(store.settings, written.settings);
        assert_eq!(store.rotation(&DeclaredRotation::default()).keep, Some(3));
    }

    #[test]
    fn what_cannot_be_read_is_put_aside() {
        for text in ["{", "{\"version\":2,\"settings\":{}}", "{\"version\":1,\"settings\":{\"a\":1}}"] {
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join("settings.json");
            fs::write(&path, text).expect("written");
            assert!(store(&path).settings.is_empty());
            let left: Vec<_> = fs::read_dir(directory.path()).expect("listed").flatten().collect();
            assert_eq!(left.len(), 1);
            assert_ne!(left[0].path(), path);
            assert_eq!(fs::read_to_string(left[0].path()).expect("kept"), text);
        }
    }
}
