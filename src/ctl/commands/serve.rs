//! serve: an app that shows the files of a directory to browsers.

use std::env;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};
use supd_api::{Fault, FaultCode};

use super::start::new_apps;
use crate::config;
use crate::ctl::args::Selection;
use crate::ctl::order::{Order, submit};
use crate::ctl::output::Failure;
use crate::ctl::{Session, declare};

pub(crate) const EXAMPLES: &str = "\
Names that begin with a dot (.git, .env) are not served, except .well-known.

Examples:
  supctl serve                              this directory on port 8080
  supctl serve ./dist 3000 --spa            every path that is no file shows index.html
  supctl serve ./docs 8081 --host 127.0.0.1 -i 2
  PM2_SERVE_BASIC_AUTH_PASSWORD=… supctl serve . 8082 --basic-auth-username admin";

const PASSWORD: &str = "PM2_SERVE_BASIC_AUTH_PASSWORD";

/// `serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The directory
    #[arg(value_name = "PATH", default_value = ".")]
    pub(crate) directory: PathBuf,
    /// Where it listens [default: 8080]
    #[arg(value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// The same
    #[arg(long = "port", value_name = "PORT", conflicts_with = "port")]
    pub(crate) port_flag: Option<u16>,
    /// Address it listens on [default: all of them]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) host: Option<String>,
    /// Name of the app [default: static-page-server-PORT]
    #[arg(short, long)]
    pub(crate) name: Option<String>,
    /// Number of workers, which share the port
    #[arg(short, long, value_name = "N")]
    pub(crate) instances: Option<u32>,
    /// Show the home page for every path that is no file
    #[arg(long)]
    pub(crate) spa: bool,
    /// What is shown for `/` [default: /index.html]
    #[arg(long, value_name = "FILE")]
    pub(crate) homepage: Option<String>,
    /// Ask for name and password
    #[arg(long)]
    pub(crate) basic_auth: bool,
    /// Ask for this name, and a password
    #[arg(long, value_name = "NAME")]
    pub(crate) basic_auth_username: Option<String>,
    /// Ask for this password; better given by the variable PM2_SERVE_BASIC_AUTH_PASSWORD, which other users do not see
    #[arg(long, value_name = "PASSWORD")]
    pub(crate) basic_auth_password: Option<String>,
}

/// `serve`.
pub(crate) async fn serve(args: ServeArgs, session: &mut Session) -> Result<(), Failure> {
    let known = session.client.workers(&[]).await?;
    let options = config::Options { inherit_env: false, ..declare::options(&Selection::default(), false) };
    let apps = new_apps(fields(args)?, &options, &known, session).await?;
    submit("started", vec![Order::apply(apps)], session).await
}

/// The fields of the app.
fn fields(args: ServeArgs) -> Result<Map<String, Value>, Fault> {
    let login = login(&args)?;
    let port = args.port.or(args.port_flag).unwrap_or(8080);
    let mut env = Map::from_iter(login.into_iter().map(|(name, value)| (name.to_owned(), value.into())));
    for (name, value) in [
        ("PM2_SERVE_PATH", Some(".".to_owned())),
        ("PM2_SERVE_PORT", Some(port.to_string())),
        ("PM2_SERVE_HOST", args.host),
        ("PM2_SERVE_SPA", args.spa.then(|| "true".to_owned())),
        ("PM2_SERVE_HOMEPAGE", args.homepage),
    ] {
        env.extend(value.map(|value| (name.to_owned(), value.into())));
    }
    let mut fields = Map::new();
    fields.insert("name".to_owned(), args.name.unwrap_or_else(|| config::server_name(port)).into());
    fields.insert("script".to_owned(), "serve".into());
    fields.insert("cwd".to_owned(), text(&args.directory)?.into());
    fields.insert("env".to_owned(), env.into());
    fields.extend(args.instances.map(|count| ("instances".to_owned(), json!(count))));
    Ok(fields)
}

fn text(path: &Path) -> Result<&str, Fault> {
    path.to_str().ok_or_else(|| Fault::new(FaultCode::Invalid, format!("{}: not UTF-8", path.display())))
}

fn login(args: &ServeArgs) -> Result<Vec<(&'static str, String)>, Fault> {
    let ServeArgs { basic_auth, basic_auth_username: name, basic_auth_password: password, .. } = args;
    if !basic_auth && name.is_none() && password.is_none() {
        return Ok(Vec::new());
    }
    let set = |variable| env::var(variable).ok().filter(|value: &String| !value.is_empty());
    let missing = |what: &str, hint: &str| {
        Fault::new(FaultCode::Invalid, format!("basic authentication needs a {what}")).hint(hint)
    };
    let name = name.clone().or_else(|| set("PM2_SERVE_BASIC_AUTH_USERNAME"));
    let name = name.ok_or_else(|| missing("name", "--basic-auth-username NAME"))?;
    let password = password.clone().or_else(|| set(PASSWORD));
    let password = password.ok_or_else(|| missing("password", "set PM2_SERVE_BASIC_AUTH_PASSWORD to it"))?;
    if name.contains(':') {
        return Err(Fault::new(FaultCode::Invalid, "the name for basic authentication contains a colon"));
    }
    Ok(vec![
        ("PM2_SERVE_BASIC_AUTH", "true".to_owned()),
        ("PM2_SERVE_BASIC_AUTH_USERNAME", name),
        (PASSWORD, password),
    ])
}
