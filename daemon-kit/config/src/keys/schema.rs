//! Writes the JSON Schema of the file.

use serde_json::{Map, Value, json};

use super::{CHECKS, Key, Keys, Kind, Preset, TABLES, check::CHECK_OTHER};
use crate::value;

/// Returns the JSON Schema of `sereno.toml`, for editors.
pub fn schema() -> String {
    let mut defs: Map<String, Value> =
        TABLES.iter().map(|keys| (keys.table.into(), of_table(keys))).collect();
    defs.insert("name".into(), json!({ "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$" }));
    defs.insert("check".into(), any_check());
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "sereno.toml",
        "description": "One file for the services of one machine. CONFIG.md tells more.",
        "$ref": reference(super::ROOT.table)["$ref"],
        "$defs": defs,
    });
    format!("{schema:#}\n")
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn of_table(keys: &Keys) -> Value {
    let properties: Map<String, Value> = keys.all().map(|key| (key.name.into(), of_key(key))).collect();
    let mut table = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    let needed: Vec<&str> =
        keys.all().filter(|key| matches!(key.default, Preset::Needed)).map(|key| key.name).collect();
    if !needed.is_empty() {
        table["required"] = needed.into();
    }
    table
}

fn of_key(key: &Key) -> Value {
    let mut schema = of_kind(&key.kind);
    schema["description"] = plain(key.doc).into();
    if let (Preset::Is(_), Some(node)) = (&key.default, key.default_node())
        && let Ok(default) = value::json(&node)
    {
        schema["default"] = default;
    }
    schema
}

/// Removes the marks of Markdown: backticks, and the targets of links.
fn plain(markdown: &str) -> String {
    let mut text = String::new();
    let mut rest = markdown;
    while let Some((before, label, after)) = link(rest) {
        text.push_str(before);
        text.push_str(label);
        rest = after;
    }
    text.push_str(rest);
    text.replace('`', "")
}

/// Splits at the first link: the text before it, its words, and the text after it.
fn link(text: &str) -> Option<(&str, &str, &str)> {
    let (before, target) = text.split_once("](")?;
    let (before, label) = before.rsplit_once('[')?;
    Some((before, label, target.split_once(')')?.1))
}

fn of_kind(kind: &Kind) -> Value {
    match kind {
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::False => json!({ "const": false }),
        Kind::Whole(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Number(least, most) => json!({ "type": "number", "minimum": least, "maximum": most }),
        Kind::Duration(_) => {
            json!({ "type": "string", "pattern": r"^\s*[0-9].*", "examples": ["500ms", "5s", "1h30m"] })
        }
        Kind::Size(_) => any([bytes(), size()]),
        Kind::Limit => any([bytes(), size(), json!({ "const": "unlimited" })]),
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Name => reference("name"),
        Kind::Text(_, pattern, examples) => {
            let mut text = json!({ "type": "string" });
            if !pattern.is_empty() {
                text["pattern"] = (*pattern).into();
            }
            if !examples.is_empty() {
                text["examples"] = json!(examples);
            }
            text
        }
        Kind::List(item) => json!({ "type": "array", "items": of_kind(item) }),
        Kind::Map(item) => json!({ "type": "object", "additionalProperties": of_kind(item) }),
        Kind::Named(item) => json!({
            "type": "object",
            "propertyNames": reference("name"),
            "additionalProperties": of_kind(item),
        }),
        Kind::Scalar => json!({ "type": ["string", "number", "boolean"] }),
        Kind::Table(keys) => reference(keys.table),
        Kind::Check => reference("check"),
        Kind::AnyTable => json!({ "type": "object" }),
        Kind::Any(kinds) => any(kinds.iter().map(of_kind)),
        Kind::Later => json!({ "not": {} }),
    }
}

fn any(schemas: impl IntoIterator<Item = Value>) -> Value {
    json!({ "anyOf": schemas.into_iter().collect::<Vec<_>>() })
}

fn bytes() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn size() -> Value {
    json!({ "type": "string", "pattern": "^[0-9.]+ *([kKmMgGtTpP]i?)?[bB]?$" })
}

/// Returns the schema of `checks.<id>`, whose keys depend on its kind.
fn any_check() -> Value {
    let rule = |kind: Value, keys: &Keys| {
        let condition = json!({ "properties": { "kind": kind }, "required": ["kind"] });
        json!({ "if": condition, "then": reference(keys.table) })
    };
    let known: Vec<&str> = CHECKS.iter().map(|(kind, _)| *kind).collect();
    let mut rules: Vec<Value> =
        CHECKS.iter().map(|(kind, keys)| rule(json!({ "const": kind }), keys)).collect();
    rules.push(rule(json!({ "not": { "enum": known } }), &CHECK_OTHER));
    json!({ "type": "object", "allOf": rules })
}
