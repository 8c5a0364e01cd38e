//! Will this app start, as things are now?

use std::env;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User};
use supd_api::{AppDeclaration, Layer, LogTarget, Secret};

use super::findings::Findings;
use super::ledger::Entry;
use super::listen;
use super::service::Service;
use crate::config;
use crate::ctl::boot::access::{Who, Wish};
use crate::ctl::boot::place::Owner;
use crate::ctl::declare;
use crate::home::Home;
use crate::resolve;

/// What is the same for all apps.
pub(crate) struct Surroundings<'a> {
    pub(crate) home: &'a Home,
    /// Who the daemon runs as.
    pub(crate) owner: &'a Owner,
    /// The processes of the running daemon.
    pub(crate) family: Vec<i32>,
    /// The unit that will start it.
    pub(crate) service: Option<Service>,
}

impl Surroundings<'_> {
    /// Whether the daemon that will be started may bind ports below 1024.
    pub(crate) fn may_bind_privileged(&self) -> bool {
        self.owner.uid == 0 || self.service.as_ref().is_some_and(|service| service.binds_privileged)
    }
}

/// Checks everything about one app; the directories it writes its output to.
pub(crate) fn check(entry: &Entry, around: &Surroundings<'_>, findings: &mut Findings) -> Vec<PathBuf> {
    let app = &entry.revision.declaration;
    let name = app.name.as_str();
    if entry.workers_up() == 0 {
        findings.ok("app", name, "it is stopped, and the next boot leaves it so");
        return Vec::new();
    }
    if let Some(who) = identity(app, around, findings) {
        directory(app, &who, findings);
        program(entry, &who, findings);
    }
    app.listen.iter().for_each(|address| listen::check(name, address, around, findings));
    files(app, around, findings);
    let targets = [&app.logs.out_file, &app.logs.error_file, &app.logs.log_file].into_iter();
    targets
        .filter_map(|target| match target {
            LogTarget::Default => Some(around.home.logs()),
            LogTarget::File(file) if file.starts_with("/dev") => None,
            LogTarget::File(file) => file.parent().map(Path::to_owned),
            LogTarget::Discard => None,
        })
        .collect()
}

/// Who its workers run as.
fn identity(app: &AppDeclaration, around: &Surroundings<'_>, findings: &mut Findings) -> Option<Who> {
    let name = app.name.as_str();
    let user = match &app.user {
        None => around.owner.clone(),
        Some(wanted) => match user(wanted) {
            Some(user) => user,
            None => {
                let text = format!("there is no user `{wanted}` any more");
                findings.failure(
                    "user",
                    name,
                    text,
                    "make that user, or name another one in the declaration",
                );
                return None;
            }
        },
    };
    if user.uid != around.owner.uid && around.owner.uid != 0 {
        let text = format!("it shall run as `{}`, and supd runs as `{}`", user.name, around.owner.name);
        findings.failure("user", name, text, "leave `user` out of the declaration, or have supd run by root");
        return None;
    }
    if let Some(wanted) = app.group.as_ref().filter(|wanted| group(wanted).is_none()) {
        let text = format!("there is no group `{wanted}` any more");
        findings.failure("user", name, text, "make that group, or name another one in the declaration");
    }
    Some(Who::of(&user))
}

/// By name or number; a number needs no entry in the user database.
fn user(wanted: &str) -> Option<Owner> {
    let by_name = User::from_name(wanted).ok().flatten();
    let number: Option<u32> = wanted.parse().ok();
    let nameless = |uid| Owner { name: wanted.to_owned(), uid, gid: uid, directory: PathBuf::from("/") };
    let by_number = || {
        let found = User::from_uid(Uid::from_raw(number?)).ok().flatten();
        Some(found.map_or_else(|| nameless(number.unwrap_or(u32::MAX)), Owner::from))
    };
    by_name.map(Owner::from).or_else(by_number)
}

fn group(wanted: &str) -> Option<Gid> {
    let by_name = Group::from_name(wanted).ok().flatten().map(|group| group.gid);
    by_name.or_else(|| wanted.parse().ok().map(Gid::from_raw))
}

fn directory(app: &AppDeclaration, who: &Who, findings: &mut Findings) {
    let name = app.name.as_str();
    let cwd = &app.cwd;
    if !cwd.is_dir() {
        let text = format!("its working directory {} does not exist", cwd.display());
        return findings.failure("cwd", name, text, "make it, or start the app again with another `cwd`");
    }
    if let Some(why) = who.cannot(Wish::Execute, cwd) {
        findings.failure(
            "cwd",
            name,
            format!("its working directory: {why}"),
            format!("let `{}` enter it", who.name()),
        );
    }
}

/// Interpreter and script, or the program itself and the interpreter in its first line.
fn program(entry: &Entry, who: &Who, findings: &mut Findings) {
    let app = &entry.revision.declaration;
    let name = app.name.as_str();
    let path = resolve::search_path(&entry.revision.base, &app.environment);
    let find = |program: &str| {
        let found = resolve::find(program, path, &app.cwd, |file| who.cannot_execute(file).is_none());
        found.ok_or_else(|| why_missing(program, path, &app.cwd, who))
    };
    let script = app.cwd.join(&app.program.script);
    let found = match &app.program.interpreter {
        Some(interpreter) => {
            find(interpreter).and_then(|interpreter| match who.cannot(Wish::Read, &script) {
                None => Ok(vec![interpreter, script]),
                Some(why) => Err((why, format!("put it there and let `{}` read it", who.name()))),
            })
        }
        None => find(&app.program.script).and_then(|program| match first_line(&program) {
            None => Ok(vec![program]),
            Some(interpreter) => find(&interpreter).map(|interpreter| vec![interpreter, program]),
        }),
    };
    match found {
        Err((why, remedy)) => findings.failure("program", name, why, remedy),
        Ok(files) => match files.iter().find_map(|file| passing(file)) {
            Some((text, remedy)) => findings.failure("program", name, text, remedy),
            None => {
                let shown: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
                findings.ok("program", name, format!("{}, as {}", shown.join(" runs "), who.name()));
            }
        },
    }
}

fn why_missing(program: &str, path: Option<&str>, cwd: &Path, who: &Who) -> (String, String) {
    let file = cwd.join(program);
    if program.contains('/') && file.exists() {
        let why = who.cannot_execute(&file).unwrap_or_else(|| format!("{program} cannot be executed"));
        return (why, format!("let `{}` execute it: chmod +x, and x on the directories above", who.name()));
    }
    let missing = resolve::missing(program, path, cwd);
    let remedy = match missing.instead() {
        Some(instead) => format!(
            "set `interpreter = \"{}\"`, or start the app again from a shell that has the version you want, then reload",
            instead.display()
        ),
        None => format!(
            "install it where `{}` finds it, or start the app again from a shell that has it",
            who.name()
        ),
    };
    (missing.to_string(), remedy)
}

/// What a script says about its interpreter.
fn first_line(program: &Path) -> Option<String> {
    let mut head = Vec::new();
    File::open(program).ok()?.take(512).read_to_end(&mut head).ok()?;
    Some(resolve::shebang(&head)?.0)
}

/// A file that is there now and will not be after a boot.
fn passing(file: &Path) -> Option<(String, String)> {
    let text = file.to_str()?;
    let volatile = ["/run/", "/var/run/", "/dev/shm/"].iter().any(|start| text.starts_with(start));
    if !volatile && !text.contains("/fnm_multishells/") {
        return None;
    }
    let real = file.canonicalize().ok().filter(|real| real != file);
    let remedy = match real {
        Some(real) => format!("give its lasting path: `interpreter = \"{}\"`", real.display()),
        None => "put it where it lasts, and start the app again".to_owned(),
    };
    Some((format!("{text} is there now, but is gone after a boot"), remedy))
}

/// The declaration, and the files that went into it. The next boot does without them; `reload` does not.
fn files(app: &AppDeclaration, around: &Surroundings<'_>, findings: &mut Findings) {
    let name = app.name.as_str();
    let mut missing = app.environment.layers.iter().filter_map(|layer| match &layer.layer {
        Layer::EnvFile(file) => Who::of(around.owner).cannot(Wish::Read, file),
        Layer::Base | Layer::Caller | Layer::Env | Layer::EnvNamed(_) | Layer::Setting | Layer::Supd => None,
    });
    if let Some(why) = missing.next() {
        let text = format!("its env_file: {why}; the next boot uses the values it had");
        return findings.warning("declaration", name, text, "put it back, or the next reload fails");
    }
    let Some(source) = &app.source else { return };
    let variables = env::vars_os().filter_map(|(name, value)| {
        Some((name.into_string().ok()?, Secret::from(value.into_string().ok()?)))
    });
    let options = config::Options {
        cwd: source.base.as_deref().or(source.file.parent()).unwrap_or(Path::new("/")).to_owned(),
        caller: variables.collect(),
        inherit_env: false,
        env_name: source.env_name.clone(),
        supctl: declare::own_program(),
        only: vec![name.to_owned()],
        over: serde_json::Map::new(),
        dialect: declare::dialect(source),
    };
    let shown = source.file.display();
    match config::load_file(&source.file, &options) {
        Ok(loaded) if loaded.apps.iter().any(|declared| declared.name == app.name) => {
            findings.ok("declaration", name, format!("{shown} is valid"));
        }
        Ok(_) => {
            let text = format!("{shown} does not declare it any more; the next boot starts it as it is");
            findings.warning("declaration", name, text, format!("put it back, or `supctl delete {name}`"));
        }
        Err(rejected) => {
            let problems: Vec<String> = rejected.problems.iter().map(declare::spell).collect();
            let text = format!("{}; the next boot starts it as it is", problems.join("; "));
            findings.warning("declaration", name, text, "mend the file, or the next reload fails");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use supd_api::{EnvironmentLayer, Source};
    use tempfile::TempDir;

    use super::super::findings::Outcome;
    use super::*;
    use crate::ctl::fake::declaration;

    /// A directory with an executable `bin/node`, `srv/app.js` and a declaration of it.
    struct Scene {
        dir: TempDir,
        app: AppDeclaration,
    }

    impl Scene {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a directory");
            let mut app = declaration("web");
            app.cwd = dir.path().join("srv");
            app.program.script = app.cwd.join("app.js").display().to_string();
            let scene = Self { dir, app };
            scene.file("srv/app.js", "", 0o644);
            scene.file("bin/node", "", 0o755);
            scene
        }

        fn file(&self, at: &str, text: &str, mode: u32) -> PathBuf {
            let file = self.dir.path().join(at);
            fs::create_dir_all(file.parent().expect("a directory")).expect("directories");
            fs::write(&file, text).expect("a file");
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("its mode");
            file
        }

        /// What is found under this `PATH`, one text for each check of that kind.
        fn checked(&self, bin: &str, check: &str) -> Vec<(Outcome, String)> {
            let path = self.dir.path().join(bin).display().to_string();
            let variables = BTreeMap::from([("PATH".to_owned(), Secret::from(path))]);
            let entry =
                Entry::new(self.app.clone(), EnvironmentLayer { layer: Layer::Base, variables }, true);
            let home = Home::at(self.dir.path()).expect("a home");
            let owner = Owner::of_uid(Uid::effective().as_raw()).expect("a name");
            let around = Surroundings { home: &home, owner: &owner, family: Vec::new(), service: None };
            let mut findings = Findings::default();
            let directories = super::check(&entry, &around, &mut findings);
            assert_eq!(directories, [home.logs(), home.logs()]);
            findings.of(check)
        }

        fn fails(&self, bin: &str, check: &str, words: &[&str]) {
            let found = self.checked(bin, check);
            let [(Outcome::Failure, text)] = found.as_slice() else { panic!("{found:?}") };
            words.iter().for_each(|word| assert!(text.contains(word), "{word}: {text}"));
        }
    }

    #[test]
    fn an_app_that_will_start() {
        let scene = Scene::new();
        let found = scene.checked("bin", "program");
        assert!(matches!(found.as_slice(), [(Outcome::Ok, _)]), "{found:?}");
        assert!(scene.checked("bin", "cwd").is_empty() && scene.checked("bin", "user").is_empty());
    }

    #[test]
    fn a_version_that_its_manager_removed() {
        let scene = Scene::new();
        let there = scene.file("home/.nvm/versions/node/v22.1.0/bin/node", "", 0o755).display().to_string();
        let gone = "home/.nvm/versions/node/v20.1.0/bin";
        scene.fails(gone, "program", &["nvm no longer has", "v20.1.0", "interpreter = ", &there]);
        scene.fails("empty", "program", &["web: `node` is not in its PATH", " => install it"]);
    }

    #[test]
    fn what_is_gone_or_closed() {
        let mut scene = Scene::new();
        fs::remove_file(&scene.app.program.script).expect("removed");
        scene.fails("bin", "program", &["app.js: No such file"]);
        fs::remove_dir(&scene.app.cwd).expect("removed");
        scene.fails("bin", "cwd", &["srv does not exist"]);
        scene.app.user = Some("no-such-user-here".to_owned());
        scene.fails("bin", "user", &["no user `no-such-user-here`"]);
    }

    #[test]
    fn a_program_without_an_interpreter_needs_the_one_in_its_first_line() {
        let mut scene = Scene::new();
        scene.app.program.interpreter = None;
        scene.fails("bin", "program", &["app.js", " => let `"]);
        scene.file("srv/app.js", "#!/usr/bin/env node\n", 0o755);
        assert!(matches!(scene.checked("bin", "program").as_slice(), [(Outcome::Ok, _)]));
        scene.fails("empty", "program", &["`node` is not in its PATH"]);
        scene.file("srv/app.js", "#!/no/such/shell\n", 0o755);
        scene.fails("bin", "program", &["/no/such/shell does not exist"]);
    }

    #[test]
    fn what_is_gone_after_a_boot() {
        let scene = Scene::new();
        let node = scene.dir.path().join("bin/node");
        let shell = scene.dir.path().join("fnm_multishells/1_2/bin");
        fs::create_dir_all(&shell).expect("directories");
        std::os::unix::fs::symlink(&node, shell.join("node")).expect("a link");
        let real = node.canonicalize().expect("there").display().to_string();
        scene.fails("fnm_multishells/1_2/bin", "program", &["is gone after a boot", "interpreter = ", &real]);
        assert!(
            passing(Path::new("/run/user/1000/x")).is_some() && passing(Path::new("/usr/bin/x")).is_none()
        );
    }

    #[test]
    fn a_declaration_that_is_gone_or_wrong_is_a_warning() {
        let mut scene = Scene::new();
        let path = scene.dir.path().join("bin/node").display().to_string();
        let text = format!("[[apps]]\nname = \"web\"\nscript = \"srv/app.js\"\ninterpreter = \"{path}\"\n");
        let file = scene.file("ecosystem.toml", &text, 0o644);
        scene.app.source = Some(Source { file: file.clone(), env_name: None, base: None });
        let outcome = |scene: &Scene| scene.checked("bin", "declaration").remove(0);
        assert_eq!(outcome(&scene).0, Outcome::Ok, "{}", outcome(&scene).1);
        scene.file("ecosystem.toml", &text.replace("web", "api"), 0o644);
        assert_eq!(outcome(&scene).0, Outcome::Warning);
        scene.file("ecosystem.toml", &text.replace("script", "scrpt"), 0o644);
        assert!(outcome(&scene).1.contains("ecosystem.toml:3: "), "{}", outcome(&scene).1);
        fs::remove_file(file).expect("removed");
        assert_eq!(outcome(&scene).0, Outcome::Warning);
        scene.app.environment.layers =
            vec![EnvironmentLayer { layer: Layer::EnvFile("/no/.env".into()), variables: BTreeMap::new() }];
        assert!(outcome(&scene).1.contains("/no/.env"));
    }
}
