//! What processes may do and how they rank.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use supd_api::{Capability, Resource, Rlimit};

use super::super::problem::shown;
use super::logs::size;
use super::{expected, whole};
use crate::nearest::nearest;

field_type!(
    /// Permissions that new files do not get, as octal digits in a text: `"027"`.
    Umask(u32),
    { "type": "string", "pattern": "^(0o)?[0-7]{1,4}$" }
);

impl TryFrom<Value> for Umask {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let digits = value.as_str().map(|text| text.trim().trim_start_matches("0o"));
        let octal = digits.filter(|digits| digits.len() <= 4 && digits.bytes().all(|it| it.is_ascii_digit()));
        match octal.and_then(|digits| u32::from_str_radix(digits, 8).ok()) {
            Some(mask @ 0..=0o777) => Ok(Self(mask)),
            // What a file means by 022 depends on its format.
            _ => expected("octal digits in a text, such as \"027\"", &value),
        }
    }
}

field_type!(
    /// From -20 (first) to 19 (last); also as text.
    Nice(i32),
    { "type": ["integer", "string"], "minimum": -20, "maximum": 19, "pattern": "^-?[0-9]+$" }
);

impl TryFrom<Value> for Nice {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match whole(&value) {
            Some(nice @ -20..=19) => Ok(Self(nice as i32)),
            _ => expected("a whole number from -20 (first) to 19 (last)", &value),
        }
    }
}

field_type!(
    /// From -1000 (never) to 1000 (first); also as text.
    OomScore(i32),
    { "type": ["integer", "string"], "minimum": -1000, "maximum": 1000, "pattern": "^-?[0-9]+$" }
);

impl TryFrom<Value> for OomScore {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match whole(&value) {
            Some(score @ -1000..=1000) => Ok(Self(score as i32)),
            _ => expected("a whole number from -1000 (never ended) to 1000 (ended first)", &value),
        }
    }
}

field_type!(
    /// Limits by the names of getrlimit(2): a number, a text such as `"1G"`, `"unlimited"`, or `"soft:hard"`.
    Rlimits(BTreeMap<Resource, Rlimit>),
    {
        "type": "object", "additionalProperties": false,
        "patternProperties": {
            "^(as|core|cpu|data|fsize|memlock|msgqueue|nice|nofile|nproc|rtprio|sigpending|stack)$": {
                "type": ["integer", "string"], "minimum": 0
            }
        }
    }
);

impl TryFrom<Value> for Rlimits {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let Value::Object(members) = &value else {
            return expected("a table such as { nofile = 65536 }", &value);
        };
        let member = |(name, value): (&String, &Value)| Ok((resource(name)?, limit(value)?));
        members.iter().map(member).collect::<Result<_, String>>().map(Self)
    }
}

fn resource(name: &str) -> Result<Resource, String> {
    if let Some(known) = Resource::ALL.into_iter().find(|known| known.as_str() == name) {
        return Ok(known);
    }
    let bare = name.to_ascii_lowercase();
    let bare = ["rlimit_", "limit"].iter().find_map(|prefix| bare.strip_prefix(prefix)).unwrap_or(&bare);
    let why = match bare {
        "rttime" => "supd marks the processes of a worker by it".to_owned(),
        "rss" | "locks" => "Linux does not heed it".to_owned(),
        other => match nearest(other, Resource::ALL.map(Resource::as_str)) {
            Some(known) => format!("did you mean `{known}`?"),
            None => format!("there are {}", Resource::ALL.map(Resource::as_str).join(", ")),
        },
    };
    Err(format!("no limit is named {} here: {why}", shown(name)))
}

fn limit(value: &Value) -> Result<Rlimit, String> {
    let one = |text: &str| match text.trim() {
        "unlimited" | "infinity" => Some(None),
        text => size(text).filter(|_| text != "false").map(Some),
    };
    let parsed = match value {
        Value::String(text) => match text.split_once(':') {
            Some((soft, hard)) => one(soft).zip(one(hard)),
            None => one(text).map(|limit| (limit, limit)),
        },
        other => {
            let limit = whole(other).and_then(|number| u64::try_from(number).ok());
            limit.map(|limit| (Some(limit), Some(limit)))
        }
    };
    match parsed {
        Some((soft, hard)) => Ok(Rlimit { soft, hard }),
        None => expected(
            "a number, a text such as \"1G\", \"unlimited\", or both limits as in \"1024:4096\"",
            value,
        ),
    }
}

field_type!(
    /// Names of capabilities(7): one, or a list.
    Capabilities(BTreeSet<Capability>),
    { "type": ["string", "array"], "items": { "type": "string" } }
);

impl TryFrom<Value> for Capabilities {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let one = |value: &Value| {
            let Some(name) = value.as_str() else {
                return expected("the name of a capability such as \"net_bind_service\"", value);
            };
            Capability::named(name).map_err(|_| {
                let bare = name.to_ascii_lowercase().replace("cap_", "");
                let hint =
                    nearest(&bare, Capability::NAMES).map(|known| format!(": did you mean `{known}`?"));
                format!("no capability is named {}{}", shown(name), hint.unwrap_or_default())
            })
        };
        match &value {
            Value::Array(items) => items.iter().map(one).collect::<Result<_, _>>().map(Self),
            other => one(other).map(|capability| Self(BTreeSet::from([capability]))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::read;
    use super::*;

    #[test]
    fn masks_and_ranks() {
        for (text, mask) in [("027", 0o27), ("0o077", 0o77), ("0", 0), ("0022", 0o22)] {
            assert_eq!(read::<Umask>(json!(text)).unwrap().0, mask);
        }
        for value in [json!(22), json!("028"), json!("1777"), json!("00022"), json!(""), json!("+7")] {
            assert!(read::<Umask>(value.clone()).is_err(), "{value}");
        }
        assert_eq!((read::<Nice>(json!(-20)).unwrap().0, read::<Nice>(json!("19")).unwrap().0), (-20, 19));
        assert!(read::<Nice>(json!(20)).is_err() && read::<Nice>(json!(-21)).is_err());
        assert_eq!(read::<OomScore>(json!(-1000)).unwrap().0, -1000);
        assert!(read::<OomScore>(json!(1001)).is_err());
    }

    #[test]
    fn limits() {
        let read_one =
            |value: Value| read::<Rlimits>(json!({ "nofile": value })).map(|it| it.0[&Resource::Nofile]);
        for (value, soft, hard) in [
            (json!(65536), Some(65536), Some(65536)),
            (json!("1K"), Some(1024), Some(1024)),
            (json!("1024:4096"), Some(1024), Some(4096)),
            (json!("1024:unlimited"), Some(1024), None),
            (json!("infinity"), None, None),
        ] {
            assert_eq!(read_one(value), Ok(Rlimit { soft, hard }));
        }
        for value in [json!(-1), json!("many"), json!("1:2:3"), json!(""), json!([1]), json!("false")] {
            assert!(read_one(value.clone()).is_err(), "{value}");
        }
        for (name, says) in [
            ("nofiles", "did you mean `nofile`"),
            ("LimitNOFILE", "did you mean `nofile`"),
            ("rttime", "marks the processes"),
            ("RLIMIT_RSS", "does not heed"),
        ] {
            let error = read::<Rlimits>(json!({ name: 1 })).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn capabilities() {
        let names = read::<Capabilities>(json!(["CAP_NET_BIND_SERVICE", "kill"])).unwrap().0;
        assert_eq!(names.iter().map(|it| it.as_str()).collect::<Vec<_>>(), ["kill", "net_bind_service"]);
        let error = read::<Capabilities>(json!("net_bind_servic")).unwrap_err();
        assert!(error.ends_with("did you mean `net_bind_service`?"), "{error}");
        assert!(read::<Capabilities>(json!(10)).is_err());
    }
}
