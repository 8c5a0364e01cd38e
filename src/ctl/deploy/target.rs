//! What does one environment of the section say?

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use supd_api::Secret;

/// An environment, as pm2-deploy 1.0.2 takes it.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) hosts: Vec<String>,
    pub(super) user: Option<String>,
    pub(super) repo: String,
    pub(super) path: String,
    pub(super) reference: String,
    /// Arguments of ssh before the host.
    pub(super) ssh: Vec<String>,
    pub(super) needs_tty: bool,
    /// Of the history only the latest commits are fetched.
    pub(super) fast: bool,
    /// For the hooks, sorted by name.
    pub(super) env: BTreeMap<String, Secret>,
    pub(super) hooks: Hooks,
}

/// Commands of the user.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    pub(super) pre_setup: Option<String>,
    pub(super) post_setup: Option<String>,
    pub(super) pre_deploy_local: Option<String>,
    pub(super) pre_deploy: Option<String>,
    pub(super) post_deploy: Option<String>,
}

/// Fields that have not been read yet.
struct Fields(Map<String, Value>);

impl Fields {
    /// A text, or what may be written without quotes.
    fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => scalar(&value).map(Some).ok_or_else(|| format!("`{name}` is not a text")),
        }
    }

    fn needed(&mut self, name: &str) -> Result<String, String> {
        self.text(name)?.ok_or_else(|| format!("`{name}` is missing"))
    }

    fn is_on(&mut self, name: &str) -> Result<bool, String> {
        Ok(self.text(name)?.is_some_and(|text| matches!(text.as_str(), "true" | "yes" | "1")))
    }

    /// Texts, or a single one.
    fn list(&mut self, name: &str) -> Result<Vec<String>, String> {
        let all = match self.0.remove(name) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => items,
            Some(one) => vec![one],
        };
        let texts: Option<Vec<String>> = all.iter().map(scalar).collect();
        texts.ok_or_else(|| format!("`{name}` is neither a text nor a list of texts"))
    }

    /// A command; an empty one is none.
    fn hook(&mut self, name: &str) -> Result<Option<String>, String> {
        Ok(self.text(name)?.filter(|command| !command.trim().is_empty()))
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

impl Target {
    /// With the names of fields that mean nothing.
    ///
    /// # Errors
    /// Which field is missing or not what it should be.
    pub(super) fn read(section: Value) -> Result<(Self, Vec<String>), String> {
        let Value::Object(fields) = section else { return Err("expected a table".to_owned()) };
        let mut fields = Fields(fields);
        let target = Self {
            hosts: fields.list("host")?,
            user: fields.text("user")?,
            repo: fields.needed("repo")?,
            path: fields.needed("path")?.trim_end_matches('/').to_owned(),
            reference: fields.needed("ref")?,
            ssh: ssh(&mut fields)?,
            needs_tty: fields.is_on("needs_tty")?,
            fast: fields.text("fetch")?.as_deref() == Some("fast"),
            env: variables(fields.0.remove("env"))?,
            hooks: Hooks {
                pre_setup: fields.hook("pre-setup")?,
                post_setup: fields.hook("post-setup")?,
                pre_deploy_local: fields.hook("pre-deploy-local")?,
                pre_deploy: fields.hook("pre-deploy")?,
                post_deploy: fields.text("post-deploy")?,
            },
        };
        target.check()?;
        Ok((target, fields.0.into_iter().map(|(name, _)| name).collect()))
    }

    /// What ssh or git would take for a flag, or no path.
    fn check(&self) -> Result<(), String> {
        if self.hosts.is_empty() {
            return Err("`host` names no host".to_owned());
        }
        let names = self.hosts.iter().chain(&self.user).chain([&self.repo, &self.reference]);
        let unfit =
            |text: &&String| text.is_empty() || text.starts_with('-') || text.chars().any(char::is_control);
        if let Some(name) = { names }.find(unfit) {
            return Err(format!("`{}` is no host, user, repo or ref", name.escape_debug()));
        }
        let path = self.path.escape_debug();
        if self.path.is_empty() || self.path == "~" || self.path.chars().any(char::is_control) {
            return Err(format!("path `{path}` is no directory for an app"));
        }
        if !self.path.starts_with('/') && !self.path.starts_with("~/") {
            return Err(format!("path `{path}` is neither absolute nor begins with ~/"));
        }
        Ok(())
    }

    /// Whether all of it happens on this machine without ssh.
    pub(super) fn is_here(&self) -> bool {
        self.hosts.iter().all(|host| is_here(host))
    }
}

/// PM2's rule.
pub(super) fn is_here(host: &str) -> bool {
    host == "localhost"
}

fn ssh(fields: &mut Fields) -> Result<Vec<String>, String> {
    let mut ssh = Vec::new();
    let flags =
        [("-i", fields.list("key")?), ("-p", fields.list("port")?), ("-o", fields.list("ssh_options")?)];
    for (flag, values) in flags {
        ssh.extend(values.into_iter().flat_map(|value| [flag.to_owned(), value]));
    }
    if fields.is_on("forward-agent")? {
        ssh.push("-A".to_owned());
    }
    Ok(ssh)
}

/// By their names in capitals, as PM2 exports them, and as they are written.
fn variables(env: Option<Value>) -> Result<BTreeMap<String, Secret>, String> {
    let env = match env {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(env)) => env,
        Some(_) => return Err("`env` is no table of variables".to_owned()),
    };
    let mut variables = BTreeMap::new();
    for (name, value) in env {
        let is_name = !name.starts_with(|first: char| first.is_ascii_digit())
            && !name.is_empty()
            && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        let value = scalar(&value).filter(|_| is_name);
        let value =
            value.ok_or_else(|| format!("env: `{}` is no variable with a text", name.escape_debug()))?;
        variables.insert(name.to_uppercase(), Secret::from(value.as_str()));
        variables.insert(name, value.into());
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn section(fields: Value) -> Value {
        let mut section = json!({ "host": "h", "repo": "r", "path": "/srv/app", "ref": "origin/main" });
        let (Value::Object(all), Value::Object(fields)) = (&mut section, fields) else { panic!("no fields") };
        all.extend(fields);
        section
    }

    #[test]
    fn every_field_arrives() {
        let (target, unknown) = Target::read(section(json!({
            "host": ["a", "b"], "user": "u", "key": "~/.ssh/k", "port": 2222, "ssh_options": ["X=no", "Y=1"],
            "forward-agent": "yes", "needs_tty": true, "fetch": "fast", "env": { "node_env": "production", "N": 1 },
            "path": "/srv/app/", "pre-deploy": "", "post-deploy": "true", "colour": "red"
        })))
        .expect("a target");
        assert_eq!(target.hosts, ["a", "b"]);
        assert_eq!(target.ssh, ["-i", "~/.ssh/k", "-p", "2222", "-o", "X=no", "-o", "Y=1", "-A"]);
        assert!(target.needs_tty && target.fast && !target.is_here());
        assert_eq!(target.env.keys().collect::<Vec<_>>(), ["N", "NODE_ENV", "node_env"]);
        assert_eq!((target.path.as_str(), target.hooks.pre_deploy), ("/srv/app", None));
        assert_eq!(unknown, ["colour"]);
    }

    #[test]
    fn what_ssh_or_git_would_misunderstand_is_refused() {
        for (fields, part) in [
            (json!({ "ref": null }), "`ref` is missing"),
            (json!({ "repo": ["r"] }), "`repo` is not a text"),
            (json!({ "env": { "A": [] } }), "`A`"),
            (json!({ "host": [] }), "no host"),
            (json!({ "host": "-oProxyCommand=x" }), "-oProxyCommand=x"),
            (json!({ "user": "-l" }), "`-l`"),
            (json!({ "ref": "--all" }), "--all"),
            (json!({ "repo": "" }), "repo"),
            (json!({ "path": "app" }), "neither absolute"),
            (json!({ "path": "/" }), "no directory"),
            (json!({ "env": { "A B": "x" } }), "A B"),
        ] {
            let why = Target::read(section(fields)).expect_err(part);
            assert!(why.contains(part), "{why}");
        }
        assert!(Target::read(json!("production")).is_err());
    }
}
