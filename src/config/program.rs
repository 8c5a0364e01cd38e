//! What an app executes.
//!
//! Question answered here: *which file is the script, and what runs it?* Everything must exist now, so that a
//! mistake is told to the person who made it; the daemon looks programs up again at each start.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use supd_api::Program;

use super::paths::{Places, is_executable};
use super::problem::{Report, shown};
use super::read::App;
use super::typescript;
use super::value::Text;
use crate::resolve::shebang;

/// The interpreter for each extension of a script.
const BY_EXTENSION: [(&[&str], &[&str]); 6] = [
    (&["js", "cjs", "mjs"], &["node"]),
    (&["py"], &["python3", "python"]),
    (&["rb"], &["ruby"]),
    (&["sh"], &["bash", "sh"]),
    (&["pl"], &["perl"]),
    (&["php"], &["php"]),
];

/// See [`typescript`].
const TYPESCRIPT: [&str; 4] = ["ts", "tsx", "mts", "cts"];

/// Whether workers under that interpreter speak Node's cluster protocol.
pub(super) fn speaks_cluster(interpreter: Option<&str>) -> bool {
    matches!(interpreter.map(base_name), Some("node" | "nodejs" | "bun"))
}

/// Whether that interpreter is Bun, whose cluster workers do not heed Node's `disconnect`: 1.4.5 goes on accepting.
pub(super) fn is_bun(interpreter: Option<&str>) -> bool {
    interpreter.map(base_name) == Some("bun")
}

/// Programs of Node that start an app of Node: the stop signal goes to both.
const STARTERS: [&str; 8] = ["npm", "npx", "yarn", "pnpm", "corepack", "tsx", "ts-node", "bunx"];

/// Whether PM2's stop signal, SIGINT, is what such an app expects.
pub(super) fn expects_sigint(program: &Program) -> bool {
    let of_javascript = |name: &str| {
        speaks_cluster(Some(name)) || base_name(name) == "deno" || STARTERS.contains(&base_name(name))
    };
    let shell_line = || match program.args.as_slice() {
        [flag, line] if flag == "-c" => line.split_whitespace().find(|word| !is_prefix(word)),
        _ => None,
    };
    match &program.interpreter {
        Some(interpreter) => of_javascript(interpreter),
        None => of_javascript(&program.script) || shell_line().is_some_and(of_javascript),
    }
}

/// Whether the word only stands before the program of a shell line: `PORT=80 exec node app.js`.
fn is_prefix(word: &str) -> bool {
    word.contains('=') || word == "exec" || word == "env"
}

/// Whether that interpreter is a Python, whose output would stay in its buffer.
pub(super) fn is_python(interpreter: Option<&str>) -> bool {
    interpreter.is_some_and(|interpreter| base_name(interpreter).starts_with("python"))
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// PM2's default name: the last part of the path, or of the whole shell line, without its extension.
pub(super) fn default_name(script: &str) -> &str {
    let base = base_name(script.trim_end_matches('/'));
    match base.rfind('.') {
        None | Some(0) => base,
        Some(dot) => &base[..dot],
    }
}

/// What was found for `script`.
enum Script {
    /// A file, by its absolute path.
    File(String),
    /// A program in `PATH`, by its name and the file found now.
    InPath(String, String),
    /// A line for the shell.
    Line(String),
}

/// What runs a script.
enum Runner {
    Itself,
    Interpreter { name: String, args: Vec<String> },
}

/// Finds script and interpreter, or reports why not.
pub(super) fn resolve(app: &App, places: &Places, report: &mut Report) -> Option<Program> {
    let script = script(app, places, report)?;
    let words = |words: &Option<super::value::Words>| words.clone().map(|words| words.0).unwrap_or_default();
    let args = words(&app.fields.args);
    let mut interpreter_args = words(&app.fields.node_args);
    if let Script::Line(line) = script {
        return shell_line(line, app, places, report);
    }
    match runner(&script, app, places, report)? {
        Runner::Interpreter { name, args: mut first } => {
            first.append(&mut interpreter_args);
            let (Script::File(script) | Script::InPath(_, script) | Script::Line(script)) = script;
            Some(Program { script, interpreter: Some(name), interpreter_args: first, args })
        }
        Runner::Itself if !interpreter_args.is_empty() => {
            let message = "the script is executed itself: there is no interpreter to give arguments to";
            let hint = "write `interpreter`, or put the arguments into `args`";
            report.problem(&app.at("node_args"), message, Some(hint.to_owned()));
            None
        }
        Runner::Itself => {
            let (Script::File(script) | Script::InPath(script, _) | Script::Line(script)) = script;
            Some(Program { script, interpreter: None, interpreter_args: Vec::new(), args })
        }
    }
}

/// Lossless: the directory paths begin at has been checked to be UTF-8, and the rest comes from UTF-8 text.
fn text_of(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn script(app: &App, places: &Places, report: &mut Report) -> Option<Script> {
    let text = match &app.fields.script {
        Some(Text(text)) if !text.trim().is_empty() && !text.contains('\0') => text.trim(),
        Some(_) => {
            report.problem(&app.at("script"), "`script` is empty or contains a NUL byte", None);
            return None;
        }
        None => {
            let hint = "write `script` with the path of a file, a program, or a shell line";
            report.problem(app.place(), "`script` is missing: nothing to run", Some(hint.to_owned()));
            return None;
        }
    };
    let file = places.absolute(text);
    if file.is_file() {
        return Some(Script::File(text_of(&file)));
    }
    if file.is_dir() {
        let message = format!("{} is a directory", shown(&file.to_string_lossy()));
        report.problem(&app.at("script"), message, Some("name the file in it".to_owned()));
        return None;
    }
    if text.contains(char::is_whitespace) {
        return Some(Script::Line(text.to_owned()));
    }
    let bare = !text.contains('/') && !text.starts_with('~');
    if let Some(found) = places.program(text).filter(|_| bare) {
        return Some(Script::InPath(text.to_owned(), text_of(&found)));
    }
    let also = if bare { ", and no program of that name in PATH" } else { "" };
    let message = format!("no such file: {}{also}", shown(&file.to_string_lossy()));
    let hint = "relative paths begin at `cwd`: by default the directory of the declaration file, or yours without one";
    report.problem(&app.at("script"), message, Some(hint.to_owned()));
    None
}

/// A shell line, as PM2 runs it: by `bash`, or `sh` where there is none.
fn shell_line(line: String, app: &App, places: &Places, report: &mut Report) -> Option<Program> {
    let interpreter = app.fields.interpreter.as_ref().filter(|text| text.0 != "none");
    let given = [
        ("args", app.fields.args.is_some()),
        ("node_args", app.fields.node_args.is_some()),
        ("interpreter", interpreter.is_some()),
    ];
    let mut sound = true;
    for (field, _) in given.into_iter().filter(|(_, given)| *given) {
        let message = format!("`{field}` cannot be combined with a `script` that is a shell line");
        let hint = format!("no file {} exists; name a file, or write all of it into the line", shown(&line));
        report.problem(&app.at(field), message, Some(hint));
        sound = false;
    }
    let shell = if places.program("bash").is_some() { "bash" } else { "sh" };
    let args = vec!["-c".to_owned(), line];
    sound.then(|| Program { script: shell.to_owned(), interpreter: None, interpreter_args: Vec::new(), args })
}

fn runner(script: &Script, app: &App, places: &Places, report: &mut Report) -> Option<Runner> {
    match app.fields.interpreter.as_ref().map(|text| text.0.as_str()) {
        Some("none") => match script {
            Script::File(file) if !is_executable(Path::new(file)) => not_executable(file, app, report),
            Script::File(_) | Script::InPath(..) | Script::Line(_) => Some(Runner::Itself),
        },
        Some(name) => given_interpreter(name, app, places, report),
        None => match script {
            Script::File(file) => by_file(file, app, places, report),
            Script::InPath(..) | Script::Line(_) => Some(Runner::Itself),
        },
    }
}

fn given_interpreter(name: &str, app: &App, places: &Places, report: &mut Report) -> Option<Runner> {
    let runner = |name: String| Some(Runner::Interpreter { name, args: Vec::new() });
    if name.contains('/') || name.starts_with('~') {
        let file = places.absolute(name);
        if is_executable(&file) {
            return runner(text_of(&file));
        }
        let message = format!("the interpreter {} is not an executable file", shown(&file.to_string_lossy()));
        report.problem(&app.at("interpreter"), message, None);
        return None;
    }
    if !name.is_empty() && places.program(name).is_some() {
        return runner(name.to_owned());
    }
    let hint = match name {
        name if name.contains('@') => "versions are not chosen by name; give the path of the interpreter",
        name if name.contains(char::is_whitespace) => "its arguments belong into `node_args`",
        _ => "install it, or give its path",
    };
    let message = format!("the interpreter {} is not in PATH", shown(name));
    report.problem(&app.at("interpreter"), message, Some(hint.to_owned()));
    None
}

/// The interpreter for a file without a given one: by its extension, else by how it begins.
fn by_file(file: &str, app: &App, places: &Places, report: &mut Report) -> Option<Runner> {
    let extension = Path::new(file).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    if let Some((_, names)) = BY_EXTENSION.iter().find(|(extensions, _)| extensions.contains(&extension)) {
        return first_of(names, app, places, report);
    }
    if TYPESCRIPT.contains(&extension) {
        return typescript(app, places, report);
    }
    let head = match head(Path::new(file)) {
        Ok(head) => head,
        Err(error) => {
            report.problem(&app.at("script"), format!("cannot read {}: {error}", shown(file)), None);
            return None;
        }
    };
    match (shebang(&head), is_executable(Path::new(file))) {
        // Known as Node, it gets what Node apps get: the cluster protocol, `node_args`, PM2's stop signal.
        (Some((name, args)), _) if speaks_cluster(Some(&name)) => Some(Runner::Interpreter { name, args }),
        (Some(_), true) => Some(Runner::Itself),
        (Some((name, args)), false) => Some(Runner::Interpreter { name, args }),
        (None, true) if is_binary(&head) => Some(Runner::Itself),
        (None, false) if is_binary(&head) => not_executable(file, app, report),
        (None, _) => first_of(&["node"], app, places, report),
    }
}

fn first_of(names: &[&str], app: &App, places: &Places, report: &mut Report) -> Option<Runner> {
    match names.iter().find(|name| places.program(name).is_some()) {
        Some(name) => Some(Runner::Interpreter { name: (*name).to_owned(), args: Vec::new() }),
        None => {
            let message = format!("the script needs `{}`, which is not in PATH", names.join("` or `"));
            let hint =
                "install it, or write `interpreter` with its path, or `none` if the script runs by itself";
            report.problem(&app.at("script"), message, Some(hint.to_owned()));
            None
        }
    }
}

fn typescript(app: &App, places: &Places, report: &mut Report) -> Option<Runner> {
    match typescript::runner(places) {
        Ok((name, args)) => {
            let args = args.iter().map(|argument| (*argument).to_owned()).collect();
            Some(Runner::Interpreter { name: name.to_owned(), args })
        }
        Err(why) => {
            let hint = "install tsx, Bun or a Node from 22.6 on, or write `interpreter`";
            report.problem(&app.at("script"), why, Some(hint.to_owned()));
            None
        }
    }
}

fn not_executable(file: &str, app: &App, report: &mut Report) -> Option<Runner> {
    let message = format!("{} is not executable", shown(file));
    report.problem(&app.at("script"), message, Some("chmod +x it, or write `interpreter`".to_owned()));
    None
}

/// As much of a file as PM2 looks at.
fn head(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(file)?.take(512).read_to_end(&mut head)?;
    Ok(head)
}

fn is_binary(head: &[u8]) -> bool {
    head.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_pm2_makes_them() {
        for (script, name) in [
            ("app.js", "app"),
            ("./dist/server.min.js", "server.min"),
            ("node /x/http.js", "http"),
            ("python3 -u ./w.py --x", "w"),
            ("sleep 1001", "sleep 1001"),
            (".hidden", ".hidden"),
            ("bin/run", "run"),
        ] {
            assert_eq!(default_name(script), name);
        }
    }

    #[test]
    fn who_expects_the_stop_signal_of_pm2() {
        let program = |interpreter: Option<&str>, script: &str, args: &[&str]| Program {
            script: script.to_owned(),
            interpreter: interpreter.map(str::to_owned),
            interpreter_args: Vec::new(),
            args: args.iter().map(|text| (*text).to_owned()).collect(),
        };
        for (expected, program) in [
            (true, program(Some("node"), "/app.js", &[])),
            (true, program(Some("/opt/deno"), "/app.ts", &[])),
            (true, program(None, "npm", &["start"])),
            (true, program(None, "bash", &["-c", "PORT=80 exec node app.js --watch"])),
            (false, program(None, "bash", &["-c", "./serve node"])),
            (false, program(None, "/srv/native", &[])),
            (false, program(Some("python3"), "/app.py", &[])),
        ] {
            assert_eq!(expects_sigint(&program), expected, "{program:?}");
        }
    }

    #[test]
    fn families_of_interpreters() {
        assert!(speaks_cluster(Some("/opt/v20/bin/node")) && speaks_cluster(Some("bun")));
        assert!(!speaks_cluster(Some("deno")) && !speaks_cluster(Some("python3")) && !speaks_cluster(None));
        assert!(is_python(Some("/usr/bin/python3.11")) && !is_python(Some("bash")));
    }
}
