//! set, multiset, get, unset, conf: settings of the daemon.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::json;
use supd_api::{Accepted, Fault, FaultCode, Secret, Settings, TargetRequest};

use crate::ctl::client::escape;
use crate::ctl::order::{Order, submit};
use crate::ctl::output::Failure;
use crate::ctl::{Session, table};

const PATH: &str = "/v1/settings";

const SET_EXAMPLES: &str = "\
pm2-logrotate's options (max_size, retain, compress, dateFormat, rotateInterval, TZ), or `supd:` and the name of a
field, say how the output of apps is rotated that do not declare it themselves; they act at once on what runs.
APP:NAME, or APP.NAME, is a variable of that app's environment; the app is restarted.
supd:metrics_listen ADDRESS:PORT tells figures and health there, for Prometheus; see packaging/docs/metrics.md.

Examples:
  supctl set pm2-logrotate:max_size 50M
  supctl set pm2-logrotate:rotateInterval '0 3 * * *'
  supctl set supd:max_total 5G
  supctl set web:FEATURE_X on       restarts web";

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a setting of the daemon: how logs are rotated, or a variable of an app
    #[command(after_help = SET_EXAMPLES)]
    Set(SetArgs),
    /// Make several settings at once, all or none
    #[command(
        after_help = "Examples:\n  supctl multiset 'pm2-logrotate:max_size 50M pm2-logrotate:retain 7'"
    )]
    Multiset(MultisetArgs),
    /// Print the value of a setting, or all settings, or those of an app
    #[command(after_help = "Examples:\n  supctl get pm2-logrotate:max_size\n  supctl get web")]
    Get(GetArgs),
    /// Remove settings
    #[command(after_help = "Examples:\n  supctl unset pm2-logrotate:max_size\n  supctl unset all")]
    Unset(UnsetArgs),
    /// Print all settings; with a key print that one, with a value too make it
    #[command(visible_alias = "config")]
    #[command(
        after_help = "Examples:\n  supctl conf\n  supctl conf --json | jq -r '.[\"pm2-logrotate:max_size\"]'"
    )]
    Conf(ConfArgs),
}

/// `set`.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// pm2-logrotate:OPTION, supd:FIELD or APP:NAME
    pub(crate) key: String,
    /// Its value
    #[arg(allow_hyphen_values = true)]
    pub(crate) value: String,
}

/// `multiset`.
#[derive(Debug, Args)]
pub(crate) struct MultisetArgs {
    /// Keys and values in turn
    #[arg(value_name = "KEY VALUE …", required = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<String>,
}

/// `get`.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// Which, or what stands before the colon in several [default: all]
    pub(crate) key: Option<String>,
}

/// `unset`.
#[derive(Debug, Args)]
pub(crate) struct UnsetArgs {
    /// Which; what stands before the colon in several; or `all`
    #[arg(value_name = "KEY", required = true)]
    pub(crate) keys: Vec<String>,
}

/// `conf`.
#[derive(Debug, Args)]
pub(crate) struct ConfArgs {
    /// Which [default: all]
    pub(crate) key: Option<String>,
    /// Its new value
    #[arg(allow_hyphen_values = true)]
    pub(crate) value: Option<String>,
}

/// All five.
pub(crate) async fn settings(command: Command, session: &mut Session) -> Result<(), Failure> {
    match command {
        Command::Set(SetArgs { key, value }) => set([(key, value.into())].into(), session).await,
        Command::Multiset(MultisetArgs { words }) => set(pairs(&words)?, session).await,
        Command::Get(GetArgs { key: Some(key) }) => get(&key, session).await,
        Command::Get(GetArgs { key: None }) => all(session).await,
        Command::Unset(UnsetArgs { keys }) => unset(&keys, session).await,
        Command::Conf(ConfArgs { key: Some(key), value: Some(value) }) => {
            set([(key, value.into())].into(), session).await
        }
        Command::Conf(ConfArgs { key: Some(key), value: None }) => get(&key, session).await,
        Command::Conf(ConfArgs { key: None, .. }) => all(session).await,
    }
}

/// Keys and values in turn, in one argument or in several.
fn pairs(words: &[String]) -> Result<BTreeMap<String, Secret>, Fault> {
    let words: Vec<&str> = words.iter().flat_map(|words| words.split_whitespace()).collect();
    let (pairs, rest) = words.as_chunks();
    match rest {
        [] if !pairs.is_empty() => {
            Ok(pairs.iter().map(|[key, value]| ((*key).to_owned(), Secret::from(*value))).collect())
        }
        _ => Err(Fault::new(FaultCode::Invalid, "expected keys and values in turn")
            .hint("`supctl multiset 'KEY VALUE KEY VALUE'`")),
    }
}

/// Makes these settings. Apps whose variables are among them and which run are restarted.
///
/// # Errors
/// Those of the daemon; nothing is set then.
pub(crate) async fn set(settings: BTreeMap<String, Secret>, session: &mut Session) -> Result<(), Failure> {
    let keys: Vec<String> = settings.keys().cloned().collect();
    let accepted: Accepted = session.client.put(PATH, &json!(Settings { settings })).await?;
    tell("set", &keys, &accepted, session)?;
    let workers = session.client.workers(&[]).await?;
    let kept: Vec<String> = keys.iter().map(|key| Settings::key(key)).collect();
    let concerned =
        |app: &str| kept.iter().any(|key| key.rsplit_once(':').is_some_and(|(owner, _)| owner == app));
    let targets: Vec<String> = workers
        .iter()
        .filter(|worker| worker.pid.is_some() && concerned(worker.app.as_str()))
        .map(|worker| worker.id.to_string())
        .collect();
    if targets.is_empty() {
        return Ok(());
    }
    let order = Order::starting("/v1/workers/restart", json!(TargetRequest { targets }));
    submit("restarted", vec![order], session).await
}

async fn unset(keys: &[String], session: &mut Session) -> Result<(), Failure> {
    let query: Vec<String> = keys.iter().map(|key| format!("key={}", escape(key))).collect();
    let path = match keys {
        [all] if all == "all" => PATH.to_owned(),
        _ => format!("{PATH}?{}", query.join("&")),
    };
    let accepted: Accepted = session.client.delete(&path).await?;
    tell("unset", keys, &accepted, session)
}

fn tell(done: &str, keys: &[String], accepted: &Accepted, session: &mut Session) -> Result<(), Failure> {
    if session.output.style.json {
        session.output.json(accepted)?;
    }
    for key in keys {
        session.output.say(format!("{done} {key}"))?;
    }
    session.output.troubles(accepted)
}

/// `get` shows these.
fn is_hidden(key: &str) -> bool {
    let is_hook = |rest: &str| !rest.ends_with(".apps");
    key == "supd:metrics_token" || key.strip_prefix("supd:hook.").is_some_and(is_hook)
}

async fn get(key: &str, session: &mut Session) -> Result<(), Failure> {
    let Settings { mut settings } = session.client.get(PATH).await?;
    if let Some(value) = settings.get(key).or_else(|| settings.get(&Settings::key(key))) {
        return match session.output.style.json {
            true => Ok(session.output.json(value)?),
            false => Ok(session.output.line(value.reveal())?),
        };
    }
    settings.retain(|name, _| name.rsplit_once(':').is_some_and(|(owner, _)| owner == key));
    if settings.is_empty() {
        return Err(Fault::new(FaultCode::NotFound, format!("`{key}` is not set"))
            .hint("`supctl conf` shows what is set")
            .into());
    }
    list(settings, session)
}

async fn all(session: &mut Session) -> Result<(), Failure> {
    let Settings { settings } = session.client.get(PATH).await?;
    list(settings, session)
}

/// All but what lets others in or leads to them: who looks over a shoulder, or at a report, needs none of that.
fn list(mut settings: BTreeMap<String, Secret>, session: &mut Session) -> Result<(), Failure> {
    for (_, value) in settings.iter_mut().filter(|(key, _)| is_hidden(key)) {
        *value = Secret::from("***");
    }
    let output = &mut session.output;
    if output.style.json {
        return Ok(output.json(&settings)?);
    }
    if settings.is_empty() {
        return Ok(output.say("nothing is set")?);
    }
    let rows: Vec<(&str, String)> =
        settings.iter().map(|(key, value)| (key.as_str(), value.reveal().to_owned())).collect();
    Ok(output.line(table::pairs(&rows, output.style))?)
}
