//! Where a word is to go, as it is written in a setting: `KIND WHERE…`.

use supd_api::Secret;

/// PagerDuty's address (Events API v2).
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";
const KINDS: &str = "webhook URL, slack URL, discord URL, pagerduty KEY [URL], mail SMTP-URL FROM TO…, exec PROGRAM [ARGUMENT…]";

/// Where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A JSON document by POST.
    Webhook(Secret),
    /// An incoming webhook of Slack, or of what takes the same (Mattermost, Rocket.Chat).
    Slack(Secret),
    /// A webhook of Discord.
    Discord(Secret),
    /// PagerDuty, or what takes the same.
    PagerDuty {
        /// The integration's key.
        key: Secret,
        /// Where its events are taken.
        url: Secret,
    },
    /// A message.
    Mail {
        /// `smtp://` or `smtps://`, perhaps with `NAME:PASSWORD@`.
        server: Secret,
        /// Its sender.
        from: String,
        /// Who gets it.
        to: Vec<String>,
    },
    /// A program; it reads the JSON document from its standard input.
    Exec(Vec<Secret>),
}

impl Target {
    /// Reads a setting.
    ///
    /// # Errors
    /// In words that do not repeat what may be secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            ["webhook", url] => Ok(Self::Webhook(http(url)?)),
            ["slack", url] => Ok(Self::Slack(http(url)?)),
            ["discord", url] => Ok(Self::Discord(http(url)?)),
            ["pagerduty", key] => Ok(Self::PagerDuty { key: (*key).into(), url: PAGERDUTY.into() }),
            ["pagerduty", key, url] => Ok(Self::PagerDuty { key: (*key).into(), url: http(url)? }),
            ["mail", server, from, to @ ..] if !to.is_empty() => Ok(Self::Mail {
                server: url(server, &["smtp://", "smtps://"])?,
                from: address(from)?,
                to: to.iter().map(|to| address(to)).collect::<Result<_, _>>()?,
            }),
            ["exec", program, ..] if program.starts_with('/') => {
                Ok(Self::Exec(words[1..].iter().map(|word| Secret::from(*word)).collect()))
            }
            ["exec", ..] => Err("exec: expected a program with its whole path".to_owned()),
            _ => Err(format!("expected one of: {KINDS}")),
        }
    }

    /// Its kind, which is no secret.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Slack(_) => "slack",
            Self::Discord(_) => "discord",
            Self::PagerDuty { .. } => "pagerduty",
            Self::Mail { .. } => "mail",
            Self::Exec(_) => "exec",
        }
    }

    /// What of it must not be shown, should a program say it.
    pub(super) fn secrets(&self) -> Vec<&str> {
        match self {
            Self::Webhook(url) | Self::Slack(url) | Self::Discord(url) => vec![url.reveal()],
            Self::PagerDuty { key, url } => vec![key.reveal(), url.reveal()],
            Self::Mail { server, .. } => vec![server.reveal()],
            Self::Exec(words) => words.iter().skip(1).map(Secret::reveal).collect(),
        }
    }
}

fn http(text: &str) -> Result<Secret, String> {
    url(text, &["http://", "https://"])
}

fn url(text: &str, schemes: &[&str]) -> Result<Secret, String> {
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
    let fits = rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic()));
    if fits {
        Ok(text.into())
    } else {
        Err(format!("expected an address that begins with {}", schemes.join(" or ")))
    }
}

fn address(text: &str) -> Result<String, String> {
    let plain = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || ".!#$%&'*+/=?^_`{|}~-".contains(c))
    };
    match text.split_once('@') {
        Some((name, host)) if plain(name) && plain(host) => Ok(text.to_owned()),
        _ => Err(format!("`{}` is no address for mail", text.escape_debug())),
    }
}
