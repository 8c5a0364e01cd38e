//! What does a unit of ours say, and what does one that is there say? Text only.

use std::path::{Path, PathBuf};

use supd_api::{Fault, FaultCode};

/// The units as they are packaged are the templates: what they say about watchdog, restarts and limits is said once.
const SYSTEM: &str = include_str!("../../../packaging/systemd/supd.service");
const USER: &str = include_str!("../../../packaging/systemd/supd.user.service");
/// By this line a file is known as ours.
const MARK: &str = "# Written by `supctl startup`; `supctl unstartup` removes it.";

/// Whose systemd has the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The machine's.
    System,
    /// A user's own.
    User,
}

/// What differs from unit to unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filling<'a> {
    pub(crate) scope: Scope,
    /// Its name.
    pub(crate) unit: &'a str,
    /// `supd`, absolute.
    pub(crate) program: &'a Path,
    /// `SUPD_HOME`.
    pub(crate) home: &'a Path,
    /// `PATH` of the daemon, for apps that bring none.
    pub(crate) path: &'a str,
    /// Who it runs as, if not root or the user whose systemd it is.
    pub(crate) user: Option<&'a str>,
}

/// The text of the unit.
///
/// # Errors
/// `Invalid` for a path that cannot stand in a unit.
pub(crate) fn render(filling: &Filling<'_>) -> Result<String, Fault> {
    let (template, edit) = match filling.scope {
        Scope::System => (SYSTEM, "systemctl edit"),
        Scope::User => (USER, "systemctl --user edit"),
    };
    let program = plain(filling.program)?;
    let home = plain(filling.home)?;
    let path: Vec<&str> = filling.path.split(':').filter(|part| part.starts_with('/')).collect();
    let own_directory = filling.user.is_none() && filling.home == Path::new(crate::home::SYSTEM);

    let mut text = format!("{MARK}\n# Local changes belong in a drop-in: {edit} {}\n", filling.unit);
    let mut comments = String::new();
    for line in template.lines().skip_while(|line| line.starts_with('#')) {
        if line.starts_with('#') {
            comments.push_str(&format!("{line}\n"));
            continue;
        }
        let kept = match line.split_once('=').map(|(key, _)| key) {
            Some("ExecStart") => {
                let mut lines = format!("ExecStart={program}\n");
                lines.push_str(&format!("Environment={}\n", quoted(&format!("SUPD_HOME={home}"))));
                if !path.is_empty() {
                    lines.push_str(&format!("Environment={}\n", quoted(&format!("PATH={}", path.join(":")))));
                }
                lines.extend(filling.user.map(|user| format!("User={user}\n")));
                Some(lines)
            }
            Some("ExecReload") => {
                let client = plain(&filling.program.with_file_name("supctl"))?;
                Some(format!("ExecReload={client} upgrade {program}\n"))
            }
            Some("Environment") => None,
            Some("StateDirectory" | "StateDirectoryMode") if !own_directory => None,
            Some(_) | None => Some(format!("{line}\n")),
        };
        if let Some(kept) = kept {
            text.push_str(&comments);
            text.push_str(&kept);
        }
        comments.clear();
    }
    Ok(text)
}

/// A path without anything that systemd would take for more than itself (systemd.service(5), systemd.syntax(7)).
fn plain(path: &Path) -> Result<String, Fault> {
    let harmless = |letter: char| letter.is_alphanumeric() || "/._-+@:,=~".contains(letter);
    match path.to_str() {
        Some(text) if text.starts_with('/') && text.chars().all(harmless) => Ok(text.to_owned()),
        _ => Err(Fault::new(
            FaultCode::Invalid,
            format!("{} cannot stand in a systemd unit", path.display().to_string().escape_debug()),
        )
        .hint("use a path of letters, digits and `/._-+@:,=~`")),
    }
}

/// An assignment of `Environment=` (systemd.exec(5)).
fn quoted(assignment: &str) -> String {
    let escaped = assignment.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    if escaped.contains([' ', '\t', '"', '\'', '\\']) { format!("\"{escaped}\"") } else { escaped }
}

/// What a unit that is there says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// It was written by us.
    pub(crate) ours: bool,
    /// The program it starts.
    pub(crate) program: Option<PathBuf>,
    /// `SUPD_HOME`.
    pub(crate) home: Option<PathBuf>,
    /// `User=`.
    pub(crate) user: Option<String>,
}

/// Reads a unit; `directory` is what `%h` means in it.
pub(crate) fn read(text: &str, directory: &Path) -> Said {
    let mut said = Said { ours: text.lines().any(|line| line == MARK), ..Said::default() };
    let full = |word: &str| word.replace("%h", &directory.to_string_lossy()).replace("%%", "%");
    for line in text.lines() {
        let Some((key, value)) = line.trim().split_once('=') else { continue };
        match key.trim() {
            // Prefixes such as `-` and `@` change how, not what.
            "ExecStart" => {
                let program = words(value).into_iter().next().unwrap_or_default();
                let program = program.trim_start_matches(['-', '@', ':', '+', '!']).to_owned();
                said.program = (!program.is_empty()).then(|| full(&program).into());
            }
            "Environment" => {
                let home = words(value).into_iter().rev();
                let home = home.filter_map(|word| Some(word.strip_prefix("SUPD_HOME=")?.to_owned())).next();
                said.home = home.map(|home| full(&home).into()).or(said.home);
            }
            "User" => said.user = Some(value.trim().to_owned()).filter(|user| !user.is_empty()),
            _ => {}
        }
    }
    said
}

/// Words with quotes and backslashes as systemd.syntax(7) has them, as far as they occur in such units.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut begun, mut quote) = (String::new(), false, None);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (_, '\\') => word.extend(letters.next()),
            (Some(open), letter) if letter == open => quote = None,
            (Some(_), letter) => word.push(letter),
            (None, '"' | '\'') => quote = Some(letter),
            (None, letter) if letter.is_whitespace() => {
                if std::mem::take(&mut begun) {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            (None, letter) => word.push(letter),
        }
        begun = true;
    }
    if begun {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filling<'a>(scope: Scope, home: &'a str, user: Option<&'a str>) -> Filling<'a> {
        let (program, path) = (Path::new("/opt/bin/supd"), "/opt/node/bin:.::/usr/bin:/a b");
        Filling { scope, unit: "supd.service", program, home: Path::new(home), path, user }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for (scope, home, user) in [
            (Scope::System, "/var/lib/supd", None),
            (Scope::System, "/home/alice/.supd", Some("alice")),
            (Scope::User, "/home/alice/.supd", None),
        ] {
            let text = render(&filling(scope, home, user)).expect("a unit");
            let said = Said {
                ours: true,
                program: Some("/opt/bin/supd".into()),
                home: Some(home.into()),
                user: user.map(str::to_owned),
            };
            assert_eq!(read(&text, Path::new("/nowhere")), said);
            assert!(text.contains("\nEnvironment=\"PATH=/opt/node/bin:/usr/bin:/a b\"\n"), "{text}");
            for kept in ["WatchdogSec=20s", "KillMode=mixed", "Delegate=yes", "Restart=on-failure"] {
                assert!(text.lines().any(|line| line == kept), "{kept}");
            }
            assert_eq!(text.matches("SUPD_HOME=").count(), 1);
            assert_eq!(text.contains("StateDirectory="), home == "/var/lib/supd");
            assert_eq!(text.contains("Makes the directory"), home == "/var/lib/supd");
            assert!(text.contains(if scope == Scope::User { "default.target" } else { "multi-user.target" }));
        }
    }

    #[test]
    fn the_packaged_units_are_understood_and_not_ours() {
        let said = read(SYSTEM, Path::new("/root"));
        assert_eq!((said.ours, said.home), (false, Some("/var/lib/supd".into())));
        let said = read(USER, Path::new("/home/alice"));
        assert_eq!((said.program, said.home, said.user), (Some("/usr/bin/supd".into()), None, None));
    }

    #[test]
    fn other_spellings_are_understood() {
        let text =
            "ExecStart=-\"/a b/supd\" --x\nEnvironment=A=1 'SUPD_HOME=%h/x %% y' B=\"2 3\"\nUser= bob \n";
        let said = read(text, Path::new("/home/bob"));
        assert_eq!(said.program, Some("/a b/supd".into()));
        assert_eq!(said.home, Some("/home/bob/x % y".into()));
        assert_eq!(said.user.as_deref(), Some("bob"));
    }

    #[test]
    fn a_path_that_systemd_would_take_for_more_is_refused() {
        for path in ["/a b/supd", "/a%h/supd", "/a$x/supd", "/a\"/supd", "/a\nExecStart=/b", "supd"] {
            let wanted = Filling { program: Path::new(path), ..filling(Scope::User, "/h", None) };
            assert_eq!(render(&wanted).expect_err(path).code, FaultCode::Invalid);
        }
    }
}
