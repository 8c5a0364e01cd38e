//! Which settings say who is told of trouble.

use std::collections::BTreeMap;
use std::time::Duration;

use supd_api::{Fault, FaultCode, Secret};

use crate::hooks::Target;

/// `supd:hook.NAME`, and `supd:hook.NAME.apps`.
pub(super) const PREFIX: &str = "supd:hook.";
/// So long without another failure, and workers that were failing are well.
pub(super) const QUIET: &str = "supd:hook_quiet";
const QUIET_DEFAULT: Duration = Duration::from_secs(300);
/// So many there may be.
const HOOKS_MAX: usize = 16;
const NAME_MAX: usize = 32;

/// Somebody to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::supervisor) struct Hook {
    pub(in crate::supervisor) target: Target,
    /// Of these apps; `None`: of all.
    pub(in crate::supervisor) apps: Option<Vec<String>>,
}

impl Hook {
    pub(in crate::supervisor) fn wants(&self, app: &str) -> bool {
        self.apps.as_ref().is_none_or(|apps| apps.iter().any(|wanted| wanted == app))
    }
}

/// Whether this key is about hooks.
pub(super) fn is_about_hooks(key: &str) -> bool {
    key == QUIET || key.starts_with(PREFIX)
}

/// Whether this value may be set.
///
/// # Errors
/// It cannot be used; the words do not repeat it.
pub(super) fn check(key: &str, value: &str) -> Result<(), Fault> {
    let unusable = |why: String| Fault::new(FaultCode::Invalid, format!("{key}: {why}"));
    if key == QUIET {
        let expected = || unusable("expected seconds between 10 and 86400, such as 300".to_owned());
        return quiet_of(value).map(drop).ok_or_else(expected);
    }
    let name = key.strip_prefix(PREFIX).unwrap_or_default();
    match name.strip_suffix(".apps") {
        Some(name) if is_name(name) && apps_of(value).next().is_some() => Ok(()),
        Some(name) if is_name(name) => {
            Err(unusable("expected names of apps, separated by commas".to_owned()))
        }
        None if is_name(name) => Target::parse(value).map(drop).map_err(unusable),
        Some(_) | None => Err(unusable(format!("a hook's name has 1 to {NAME_MAX} letters, digits, - or _"))
            .hint("`supctl set supd:hook.ops 'slack https://…'`, `supctl set supd:hook.ops.apps web,api`")),
    }
}

/// Whether they can stand beside each other.
///
/// # Errors
/// There are too many.
pub(super) fn check_all(settings: &BTreeMap<String, Secret>) -> Result<(), Fault> {
    match of(settings).len() {
        count if count > HOOKS_MAX => {
            Err(Fault::new(FaultCode::Limit, format!("{count} hooks; at most {HOOKS_MAX} are possible"))
                .hint("`supctl unset supd:hook.NAME` removes one"))
        }
        _ => Ok(()),
    }
}

/// All, by name. What somebody has edited into the file and cannot be used is left out; `supctl hooks` does not show it.
pub(super) fn of(settings: &BTreeMap<String, Secret>) -> BTreeMap<String, Hook> {
    let own = settings.range(PREFIX.to_owned()..).take_while(|(key, _)| key.starts_with(PREFIX));
    let hook = |(key, value): (&String, &Secret)| {
        let name = key.strip_prefix(PREFIX).filter(|name| is_name(name))?;
        let apps = settings.get(&format!("{key}.apps"));
        let apps = apps.map(|apps| apps_of(apps.reveal()).map(str::to_owned).collect());
        Some((name.to_owned(), Hook { target: Target::parse(value.reveal()).ok()?, apps }))
    };
    own.filter_map(hook).collect()
}

/// After how long without another failure an incident is over.
pub(super) fn quiet(settings: &BTreeMap<String, Secret>) -> Duration {
    settings.get(QUIET).and_then(|value| quiet_of(value.reveal())).unwrap_or(QUIET_DEFAULT)
}

fn quiet_of(value: &str) -> Option<Duration> {
    value.parse().ok().filter(|seconds| (10..=86_400).contains(seconds)).map(Duration::from_secs)
}

fn apps_of(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|name| !name.is_empty())
}

fn is_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_is_a_kind_and_a_place() {
        let settings: BTreeMap<String, Secret> = [
            ("supd:hook.ops", "slack https://hooks.example/T0KEN"),
            ("supd:hook.ops.apps", "web, api"),
            ("supd:hook.all", "exec /bin/true"),
            ("supd:hook.damaged", "nonsense"),
            ("supd:hook.gone.apps", "web"),
            ("supd:hook_quiet", "60"),
        ]
        .map(|(key, value)| (key.to_owned(), Secret::from(value)))
        .into();
        let hooks = of(&settings);
        assert_eq!(hooks.keys().collect::<Vec<_>>(), ["all", "ops"]);
        assert!(hooks["ops"].wants("api") && !hooks["ops"].wants("other") && hooks["all"].wants("other"));
        assert!(!format!("{hooks:?}").contains("T0KEN"));
        assert_eq!(quiet(&settings), Duration::from_secs(60));
        assert_eq!(quiet(&BTreeMap::new()), QUIET_DEFAULT);
    }

    #[test]
    fn what_cannot_be_used_is_refused_and_not_repeated() {
        for (key, value) in [
            ("supd:hook.", "exec /bin/true"),
            ("supd:hook.a b", "exec /bin/true"),
            ("supd:hook.ops", ""),
            ("supd:hook.ops", "slack"),
            ("supd:hook.ops", "slack ftp://T0KEN"),
            ("supd:hook.ops", "slack https://T0KEN two"),
            ("supd:hook.ops", "pigeon T0KEN"),
            ("supd:hook.ops", "exec T0KEN"),
            ("supd:hook.ops", "mail smtp://u:T0KEN@host"),
            ("supd:hook.ops", "mail smtp://u:T0KEN@host a@b c>d"),
            ("supd:hook.ops.apps", " , "),
            ("supd:hook.ops.on", "down"),
            ("supd:hook_quiet", "1"),
        ] {
            let fault = check(key, value).expect_err(key);
            assert!(fault.code == FaultCode::Invalid && !fault.to_string().contains("T0KEN"), "{fault}");
        }
        for value in [
            "webhook http://127.0.0.1:1/x",
            "slack https://hooks.example/x",
            "discord https://hooks.example/x",
            "pagerduty KEY",
            "pagerduty KEY https://events.eu.pagerduty.com/v2/enqueue",
            "mail smtps://u:p@host a@b.example c@d.example e@f.example",
            "exec /bin/echo a b",
        ] {
            assert!(check("supd:hook.ops", value).is_ok(), "{value}");
        }
    }
}
