//! Which settings say how output is rotated.
//!
//! Question answered here: *what does such a setting mean?* The names of pm2-logrotate (version 3.0.0, its README), and `supd:` with the
//! name of a field of a declaration. Where both speak about one thing, the latter counts.

use std::collections::BTreeMap;

use supd_api::{DeclaredRotation, Fault, FaultCode, Rotation, RotationField, RotationView, Secret};

use super::door::KEYS;
use super::hooks::QUIET;
use crate::config::rotation_field;
use crate::nearest::nearest;

/// What a setting is about.
#[derive(Clone, Copy)]
enum Meaning {
    /// This part of the rotation.
    Of(RotationField),
    /// A number of seconds, or a truth value, that changes nothing here. Why.
    Nothing(&'static str),
}

/// In rising precedence.
const OPTIONS: [(&str, Meaning); 17] = [
    ("pm2-logrotate:max_size", Meaning::Of(RotationField::Size)),
    ("pm2-logrotate:retain", Meaning::Of(RotationField::Keep)),
    ("pm2-logrotate:compress", Meaning::Of(RotationField::Compress)),
    ("pm2-logrotate:dateFormat", Meaning::Of(RotationField::DateFormat)),
    ("pm2-logrotate:rotateInterval", Meaning::Of(RotationField::Interval)),
    ("pm2-logrotate:TZ", Meaning::Of(RotationField::TimeZone)),
    ("pm2-logrotate:workerInterval", Meaning::Nothing("sizes are looked at with every write")),
    ("pm2-logrotate:rotateModule", Meaning::Nothing("supd has no modules")),
    ("supd:rotate_size", Meaning::Of(RotationField::Size)),
    ("supd:rotate_interval", Meaning::Of(RotationField::Interval)),
    ("supd:keep", Meaning::Of(RotationField::Keep)),
    ("supd:keep_days", Meaning::Of(RotationField::KeepDays)),
    ("supd:max_total", Meaning::Of(RotationField::MaxTotal)),
    ("supd:min_free", Meaning::Of(RotationField::MinFree)),
    ("supd:compress", Meaning::Of(RotationField::Compress)),
    ("supd:rotate_date_format", Meaning::Of(RotationField::DateFormat)),
    ("supd:rotate_time_zone", Meaning::Of(RotationField::TimeZone)),
];
const OWN: [&str; 2] = ["pm2-logrotate", "supd"];

/// What the settings say about rotation, each with its key, in rising precedence.
#[derive(Clone, Debug, Default)]
pub(super) struct Defaults(Vec<(RotationField, &'static str, DeclaredRotation)>);

/// Whether this value may be set. `Some`: it may, and has no effect.
///
/// # Errors
/// There is no such option, or it does not take this value.
pub(super) fn check(key: &str, value: &str) -> Result<Option<String>, Fault> {
    let Some((owner, _)) = key.split_once(':').filter(|(owner, _)| OWN.contains(owner)) else {
        return Ok(None);
    };
    let unusable = |why: String| Fault::new(FaultCode::Invalid, format!("{key}: {why}"));
    let Some((_, meaning)) = OPTIONS.iter().find(|(name, _)| *name == key) else {
        let known = OPTIONS
            .iter()
            .map(|(name, _)| *name)
            .chain(KEYS)
            .chain([QUIET])
            .filter(|name| name.starts_with(owner));
        let hint = match nearest(key, known.clone()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("known are {}", known.collect::<Vec<_>>().join(", ")),
        };
        return Err(Fault::new(FaultCode::Invalid, format!("there is no setting `{key}`")).hint(hint));
    };
    match meaning {
        Meaning::Of(field) => rotation_field(*field, value).map(|_| None).map_err(unusable),
        Meaning::Nothing(why) => {
            let fits = value.parse::<u32>().is_ok() || value.parse::<bool>().is_ok();
            let no_effect = || format!("{key} has no effect: {why}");
            fits.then(no_effect).map(Some).ok_or_else(|| {
                unusable(format!("expected a whole number, true or false, found `{}`", value.escape_debug()))
            })
        }
    }
}

impl Defaults {
    /// Those of these settings. One that cannot be used, because somebody has edited the file, is passed over and told.
    pub(super) fn of(settings: &BTreeMap<String, Secret>) -> Self {
        let mut said = Vec::new();
        for (key, meaning) in OPTIONS {
            let (Meaning::Of(field), Some(value)) = (meaning, settings.get(key)) else { continue };
            match rotation_field(field, value.reveal()) {
                Ok(one) => said.push((field, key, one)),
                Err(why) => tracing::error!("the setting {key} is passed over: {why}"),
            }
        }
        Self(said)
    }

    /// What counts for an app that has declared this.
    pub(super) fn below(&self, declared: &DeclaredRotation) -> Rotation {
        let said = self.0.iter().map(|(_, _, said)| said).chain([declared]);
        said.fold(Rotation::default(), |below, said| said.clone().over(below))
    }

    /// The same with its origins.
    pub(super) fn view(&self, declared: &DeclaredRotation) -> RotationView {
        let said = self.0.iter().filter(|(field, _, _)| !declared.says(*field));
        RotationView {
            policy: self.below(declared),
            settings: said.map(|(field, key, _)| (*field, (*key).to_owned())).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use supd_api::Compression;

    use super::*;

    fn defaults(settings: &[(&str, &str)]) -> Defaults {
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), Secret::from(*value)));
        Defaults::of(&settings.collect())
    }

    #[test]
    fn each_option_means_one_thing() {
        let rotation = Rotation::default;
        for (key, value, means) in [
            ("pm2-logrotate:max_size", "1K", Rotation { size: Some(1024), ..rotation() }),
            ("pm2-logrotate:max_size", "1048576", Rotation { size: Some(1 << 20), ..rotation() }),
            ("pm2-logrotate:retain", "7", Rotation { keep: Some(7), ..rotation() }),
            ("pm2-logrotate:retain", "all", Rotation { keep: None, ..rotation() }),
            ("pm2-logrotate:compress", "true", Rotation { compress: Some(Compression::Gzip), ..rotation() }),
            ("pm2-logrotate:compress", "false", rotation()),
            (
                "pm2-logrotate:dateFormat",
                "YYYYMMDD",
                Rotation { date_format: "YYYYMMDD".into(), ..rotation() },
            ),
            (
                "pm2-logrotate:rotateInterval",
                "0 0 * * 1",
                Rotation { interval: Some("0 0 * * 1".into()), ..rotation() },
            ),
            ("pm2-logrotate:TZ", "UTC", Rotation { time_zone: Some("UTC".into()), ..rotation() }),
            ("supd:rotate_size", "2M", Rotation { size: Some(2 << 20), ..rotation() }),
            ("supd:rotate_interval", "hourly", Rotation { interval: Some("0 * * * *".into()), ..rotation() }),
            ("supd:keep", "0", Rotation { keep: Some(0), ..rotation() }),
            ("supd:keep_days", "7", Rotation { keep_days: Some(7), ..rotation() }),
            ("supd:max_total", "false", Rotation { max_total: None, ..rotation() }),
            ("supd:min_free", "1G", Rotation { min_free: Some(1 << 30), ..rotation() }),
            ("supd:compress", "zstd", Rotation { compress: Some(Compression::Zstd), ..rotation() }),
            ("supd:rotate_date_format", "YYYY", Rotation { date_format: "YYYY".into(), ..rotation() }),
            ("supd:rotate_time_zone", "UTC", Rotation { time_zone: Some("UTC".into()), ..rotation() }),
            ("web:max_size", "1K", rotation()),
        ] {
            assert_eq!(check(key, value).expect(key), None, "{key}");
            assert_eq!(defaults(&[(key, value)]).below(&DeclaredRotation::default()), means, "{key} {value}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        for (key, value) in [
            ("pm2-logrotate:max_size", "big"),
            ("pm2-logrotate:max_size", "10"),
            ("pm2-logrotate:retain", "-1"),
            ("pm2-logrotate:compress", "maybe"),
            ("pm2-logrotate:dateFormat", "a/YYYY"),
            ("pm2-logrotate:rotateInterval", "now and then"),
            ("pm2-logrotate:TZ", "Nowhere/Atlantis"),
            ("pm2-logrotate:workerInterval", "often"),
            ("pm2-logrotate:rotateModule", ""),
            ("pm2-logrotate:", "1"),
            ("supd:max_size", "1K"),
        ] {
            let fault = check(key, value).expect_err(key);
            assert_eq!(fault.code, FaultCode::Invalid, "{key}");
            // One that got into the file all the same does no harm.
            assert_eq!(defaults(&[(key, value)]).below(&DeclaredRotation::default()), Rotation::default());
        }
        let fault = check("pm2-logrotate:maxsize", "1K").expect_err("unknown");
        assert_eq!(fault.hint.as_deref(), Some("did you mean `pm2-logrotate:max_size`?"));
        let vain = check("pm2-logrotate:workerInterval", "30").expect("accepted").expect("a word about it");
        assert!(vain.contains("no effect"), "{vain}");
    }

    #[test]
    fn declared_wins_over_set_and_set_over_built_in() {
        let set =
            [("pm2-logrotate:max_size", "1K"), ("supd:rotate_size", "2K"), ("pm2-logrotate:retain", "3")];
        let declared = DeclaredRotation { keep: Some(None), ..DeclaredRotation::default() };
        let view = defaults(&set).view(&declared);
        assert_eq!(view.policy, Rotation { size: Some(2048), keep: None, ..Rotation::default() });
        assert_eq!(view.settings, BTreeMap::from([(RotationField::Size, "supd:rotate_size".to_owned())]));
    }
}
