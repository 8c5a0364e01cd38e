//! What is sent: the words in the form that each kind takes.

use serde_json::{Value, json};
use supd_api::Secret;

use super::{Note, Target};

/// So many characters a message of Discord has at most; PagerDuty's summary has half of that.
const DISCORD_MAX: usize = 2000;
const SUMMARY_MAX: usize = 1024;

/// The document for programs.
pub(super) fn document(note: &Note) -> Value {
    json!({
        "id": note.id,
        "incident": note.incident,
        "state": state(note),
        "app": note.app,
        "trouble": note.trouble,
        "host": note.host,
        "at": note.at,
        "text": note.text,
    })
}

fn state(note: &Note) -> &'static str {
    match (&note.app, note.over) {
        (None, _) => "test",
        (Some(_), false) => "begun",
        (Some(_), true) => "over",
    }
}

/// Where a document goes by POST, and the document; `None`: it is no matter of HTTP.
pub(super) fn post<'a>(target: &'a Target, note: &Note) -> Option<(&'a Secret, Value)> {
    match target {
        Target::Webhook(url) => Some((url, document(note))),
        Target::Slack(url) => Some((url, json!({ "text": slack(&note.line()) }))),
        Target::Discord(url) => {
            let content = cut(&note.line(), DISCORD_MAX);
            // Nobody is called by what an app prints.
            Some((url, json!({ "content": content, "allowed_mentions": { "parse": [] } })))
        }
        Target::PagerDuty { key, url } => Some((url, pagerduty(key, note))),
        Target::Mail { .. } | Target::Exec(_) => None,
    }
}

/// <https://developer.pagerduty.com/docs/send-alert-event>. A test opens nothing that somebody would have to close.
fn pagerduty(key: &Secret, note: &Note) -> Value {
    let severity = if note.app.is_none() { "info" } else { "critical" };
    json!({
        "routing_key": key.reveal(),
        "event_action": if note.over { "resolve" } else { "trigger" },
        "dedup_key": note.incident,
        "payload": {
            "summary": cut(&note.line(), SUMMARY_MAX),
            "source": note.host,
            "severity": severity,
            "component": note.app,
            "class": note.trouble,
            "timestamp": moment(note.at),
        },
    })
}

/// RFC 3339.
fn moment(at: u64) -> Option<String> {
    let at = jiff::Timestamp::from_millisecond(i64::try_from(at).ok()?).ok()?;
    Some(at.to_string())
}

/// <https://api.slack.com/reference/surfaces/formatting#escaping>: so that no text becomes a link or calls anybody.
fn slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn cut(text: &str, max: usize) -> String {
    text.chars().take(max).collect()
}

/// What `curl --config -` is to do (curl(1)).
pub(super) fn orders(target: &Target, note: &Note, seconds: u64) -> Option<String> {
    let mut orders = format!("silent\nshow-error\nfail\nmax-time = {seconds}\noutput = \"/dev/null\"\n");
    let mut order = |name: &str, value: &str| orders.push_str(&format!("{name} = \"{}\"\n", quoted(value)));
    if let Some((url, document)) = post(target, note) {
        order("proto", "=http,https");
        order("url", url.reveal());
        order("header", "content-type: application/json");
        order("header", &format!("idempotency-key: {}", note.id));
        order("user-agent", concat!("supd/", env!("CARGO_PKG_VERSION")));
        order("data-raw", &document.to_string());
        return Some(orders);
    }
    let Target::Mail { server, from, to } = target else { return None };
    order("proto", "=smtp,smtps");
    order("url", server.reveal());
    order("mail-from", from);
    to.iter().for_each(|to| order("mail-rcpt", to));
    order("header", &format!("From: {from}"));
    order("header", &format!("To: {}", to.join(", ")));
    order("header", &format!("Subject: {}", subject(&note.line())));
    order("header", &format!("Message-ID: <{}@supd>", note.id));
    order("header", "Auto-Submitted: auto-generated");
    // A part of a form is quoted for itself; without a quote or backslash nothing of it has to be.
    let details = format!("incident {}\n{}", note.incident, moment(note.at).unwrap_or_default());
    let text = format!("{}\n\n{details}\n", note.line()).replace(['"', '\\'], "'");
    order("form", &format!("=\"{text}\";type=text/plain;encoder=base64"));
    if server.reveal().starts_with("smtp://") && server.reveal().contains('@') {
        // A password is not told to whoever listens.
        orders.push_str("ssl-reqd\n");
    }
    Some(orders)
}

/// One line of ASCII.
fn subject(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).take(150).collect()
}

/// As curl reads quoted values.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\0' => quoted.push('?'),
            letter => quoted.push(letter),
        }
    }
    quoted
}
