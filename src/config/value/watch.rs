//! What is watched.

use serde_json::Value;

use super::{Flag, Text, Texts, expected};

field_type!(
    /// Whether files are watched; a path, or a list of them, in place of the working directory.
    WatchedPaths(Option<Vec<String>>),
    { "type": ["boolean", "string", "array"], "items": { "type": "string" } }
);

impl TryFrom<Value> for WatchedPaths {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match (&value, value.as_str()) {
            (Value::Bool(true), _) | (_, Some("true")) => Ok(Self(Some(Vec::new()))),
            (Value::Bool(false), _) | (_, Some("false" | "")) => Ok(Self(None)),
            (Value::String(_), _) => Texts::try_from(value).map(|Texts(paths)| Self(Some(paths))),
            (Value::Array(items), _) => {
                // PM2's own flag makes a list of what it gets: `--watch` is `[true]`.
                let paths = items.iter().filter(|item| **item != Value::Bool(true));
                let paths: Result<Vec<String>, String> =
                    paths.map(|item| Text::try_from(item.clone()).map(|text| text.0)).collect();
                Ok(Self((!items.is_empty()).then_some(paths?)))
            }
            _ => expected("true, false, a path or a list of paths", &value),
        }
    }
}

/// Options of a watch.
#[derive(Clone, Debug, Default)]
pub(in crate::config) struct Watched {
    pub(in crate::config) gitignore: bool,
    pub(in crate::config) ignored: Vec<String>,
    /// Those that have no effect.
    pub(in crate::config) inert: Vec<&'static str>,
}

/// Those of chokidar, which PM2 hands on, that are of no use here, in camel case as it has them.
const INERT: [&str; 12] = [
    "persistent",
    "ignoreInitial",
    "followSymlinks",
    "cwd",
    "disableGlobbing",
    "usePolling",
    "interval",
    "binaryInterval",
    "alwaysStat",
    "depth",
    "awaitWriteFinish",
    "atomic",
];

field_type!(
    /// Options of a watch.
    WatchOptions(Watched),
    {
        "type": "object",
        "properties": {
            "gitignore": { "description": "What `.gitignore` files name is not watched either.", "type": "boolean" },
            "ignored": { "description": "As `ignore_watch`.", "type": ["string", "array"], "items": { "type": "string" } }
        }
    }
);

impl TryFrom<Value> for WatchOptions {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let Value::Object(members) = value else { return expected("a table", &value) };
        let mut options = Watched::default();
        for (name, value) in members {
            match name.as_str() {
                "gitignore" => options.gitignore = Flag::try_from(value)?.0,
                "ignored" => options.ignored = Texts::try_from(value)?.0,
                other => match INERT.iter().find(|known| **known == other) {
                    Some(known) => options.inert.push(known),
                    None => return Err("unknown option; known are `gitignore` and `ignored`".to_owned()),
                },
            }
        }
        Ok(Self(options))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::read;
    use super::*;

    #[test]
    fn what_is_watched() {
        let paths = |value: Value| read::<WatchedPaths>(value).map(|paths| paths.0);
        let here = Ok(Some(Vec::new()));
        for on in [json!(true), json!("true"), json!([true])] {
            assert_eq!(paths(on.clone()), here, "{on}");
        }
        for off in [json!(false), json!("false"), json!(""), json!([])] {
            assert_eq!(paths(off.clone()), Ok(None), "{off}");
        }
        assert_eq!(paths(json!("src")), Ok(Some(vec!["src".to_owned()])));
        assert_eq!(paths(json!(["src", "lib"])), Ok(Some(vec!["src".to_owned(), "lib".to_owned()])));
        for bad in [json!(1), json!([1]), json!({}), json!([["src"]])] {
            assert!(paths(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn options() {
        let WatchOptions(options) =
            read(json!({"gitignore": true, "ignored": "tmp", "usePolling": true})).unwrap();
        assert_eq!(
            (options.gitignore, options.ignored, options.inert),
            (true, vec!["tmp".to_owned()], vec!["usePolling"])
        );
        for bad in [json!({"git_ignore": true}), json!({"gitignore": 1}), json!([]), json!(true)] {
            assert!(read::<WatchOptions>(bad.clone()).is_err(), "{bad}");
        }
    }
}
