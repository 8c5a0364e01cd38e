//! The JSON schema of a declaration file, for editors.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::fields::{AppFields, NAMED, vocabulary};
use super::tables;
use super::vocabulary::Vocabulary;

/// Generated from the types; PM2's other names are included, those without effect as deprecated.
pub(super) fn schema() -> Value {
    let mut app = SchemaSettings::draft07()
        .with(|settings| settings.meta_schema = None)
        .into_generator()
        .into_root_schema_for::<AppFields>()
        .to_value();
    if let Some(properties) = app["properties"].as_object_mut() {
        let named = properties.shift_remove(NAMED).map(|named| {
            let description = named["description"].clone();
            let mut variables = named["additionalProperties"].clone();
            variables["description"] = description;
            variables
        });
        add_aliases(properties, vocabulary());
        for (name, field) in properties.iter_mut() {
            let Some(table) = tables::table(name) else { continue };
            let shapes = field["anyOf"].as_array_mut().into_iter().flatten();
            for members in shapes.filter_map(|shape| shape.get_mut("properties")?.as_object_mut()) {
                add_aliases(members, table.names);
            }
        }
        for (name, why) in vocabulary().inert {
            let field = json!({ "description": format!("No effect: {why}."), "deprecated": true });
            properties.insert((*name).to_owned(), field);
        }
        if let Some(named) = named {
            app["patternProperties"] = json!({ "^env_.+$": named });
        }
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Declaration file of supd",
        "type": "object",
        "required": ["apps"],
        "additionalProperties": false,
        "properties": {
            "$schema": { "type": "string" },
            "apps": { "description": "The apps.", "type": "array", "minItems": 1, "items": { "$ref": "#/definitions/app" } },
            "static": { "description": "Directories to serve, as with `supctl serve`: path, port, host, spa, basic_auth, name.", "type": ["array", "object"] },
            "deploy": { "description": "Environments of `supctl deploy`, by name.", "type": "object" }
        },
        "definitions": { "app": app }
    })
}

fn add_aliases(properties: &mut Map<String, Value>, names: &Vocabulary) {
    for (alias, name) in names.aliases {
        if let Some(mut field) = properties.get(*name).cloned() {
            field["description"] = format!("Another name of `{name}`.").into();
            properties.insert((*alias).to_owned(), field);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/schema/ecosystem.schema.json");

    /// The file in the repository is what the types say. `SUPD_RENEW=1 cargo test --lib config::schema` renews it.
    #[test]
    fn the_published_schema_is_up_to_date() {
        let now = format!("{:#}\n", schema());
        if std::env::var_os("SUPD_RENEW").is_some() {
            std::fs::write(FILE, &now).unwrap();
        }
        let published = std::fs::read_to_string(FILE).unwrap_or_default();
        assert!(published == now, "renew it: SUPD_RENEW=1 cargo test --lib config::schema");
    }

    #[test]
    fn the_reference_names_every_field_and_every_other_name() {
        let reference = include_str!("../../packaging/docs/ecosystem.md");
        let tables = ["ready", "live", "job"].into_iter().filter_map(tables::table).map(|table| table.names);
        for names in tables.chain([vocabulary()]) {
            for name in names.names().chain(names.aliases.iter().map(|(alias, _)| *alias)) {
                let row = |line: &str| line.starts_with('|') && line.contains(&format!("`{name}`"));
                assert!(reference.lines().any(row), "{name}");
            }
        }
    }

    #[test]
    fn every_field_has_a_description_and_a_type() {
        let schema = schema();
        let app = &schema["definitions"]["app"];
        assert_eq!(app["additionalProperties"], json!(false));
        for (name, field) in app["properties"].as_object().unwrap() {
            assert!(field["description"].is_string(), "{name}");
            let inert = field["deprecated"] == json!(true);
            assert!(
                inert
                    || field["type"].is_string()
                    || field["type"].is_array()
                    || field["enum"].is_array()
                    || field["anyOf"].is_array(),
                "{name}: {field}"
            );
        }
        assert_eq!(app["patternProperties"]["^env_.+$"]["type"], json!("object"));
        assert!(app["properties"].get(NAMED).is_none());
        for table in ["ready", "startup", "live"] {
            let shapes = app["properties"][table]["anyOf"].as_array().unwrap();
            let shape = shapes.iter().find(|shape| shape["type"] == json!("object")).unwrap();
            assert_eq!(shape["additionalProperties"], json!(false));
            let members = shape["properties"].as_object().unwrap();
            assert_eq!(members.contains_key("watchdog"), table == "live");
            assert!(members.contains_key("period"), "an alias");
            assert!(members.values().all(|member| member["description"].is_string()));
        }
    }
}
