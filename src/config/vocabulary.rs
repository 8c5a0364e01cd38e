//! The names in one kind of table.
//!
//! Question answered here: *which field does a key mean, and if none, what is it?* It knows names, not values.

use schemars::JsonSchema;

use crate::nearest::nearest;

type Names = &'static [(&'static str, &'static str)];

/// What the keys of one kind of table may be called.
#[derive(Debug)]
pub(super) struct Vocabulary {
    /// The fields, from the schema of the type they are read into.
    pub(super) names: Vec<String>,
    /// Other names and the names of their fields.
    pub(super) aliases: Names,
    /// Names of PM2 that are accepted and do nothing here, and why.
    pub(super) inert: Names,
    /// Names from elsewhere that are refused, and what to write in their place.
    pub(super) foreign: Names,
}

/// A key that names no field.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoField {
    /// Accepted without effect, and why.
    Inert(&'static str),
    /// Known from elsewhere, and what to write in its place.
    Foreign(&'static str),
    /// Perhaps this name was meant.
    Unknown(Option<&'static str>),
}

impl Vocabulary {
    /// The names of the fields of `T`. One with `*` stands for many and is not a name itself.
    pub(super) fn of<T: JsonSchema>() -> Self {
        let schema = schemars::schema_for!(T);
        let properties = schema.get("properties").and_then(|properties| properties.as_object());
        let names = properties.into_iter().flat_map(|properties| properties.keys().cloned());
        let names = names.filter(|name| !name.contains('*')).collect();
        Self { names, aliases: &[], inert: &[], foreign: &[] }
    }

    /// The names of the fields, without aliases.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The field that `key` names. Every name may also be written in camel case.
    ///
    /// # Errors
    /// [`NoField`] says what the key is else.
    pub(super) fn field(&'static self, key: &str) -> Result<&'static str, NoField> {
        let snake = snake_case(key);
        let among = |names: Names| names.iter().find(|(name, _)| *name == snake).map(|(_, other)| *other);
        let canonical = among(self.aliases).unwrap_or(&snake);
        if let Some(name) = self.names().find(|name| *name == canonical) {
            return Ok(name);
        }
        if let Some(why) = among(self.inert) {
            return Err(NoField::Inert(why));
        }
        if let Some(instead) = among(self.foreign) {
            return Err(NoField::Foreign(instead));
        }
        let others = self.aliases.iter().chain(self.inert).map(|(name, _)| *name);
        Err(NoField::Unknown(nearest(&snake, self.names().chain(others))))
    }
}

fn snake_case(key: &str) -> String {
    let mut snake = String::with_capacity(key.len() + 4);
    for (at, c) in key.char_indices() {
        if c.is_ascii_uppercase() && at > 0 && !snake.ends_with('_') {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}
