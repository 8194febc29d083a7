//! The parser, the JSON Schema and `CONFIG.md` know the same keys, and what `CONFIG.md` shows is a good file.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use sereno_config::keys::{Keys, TABLES};
use sereno_config::{Env, load};

const SCHEMA: &str = include_str!("../../schema/sereno.schema.json");
const CONFIG: &str = include_str!("../../../../CONFIG.md");

fn all_keys(keys: &Keys) -> BTreeSet<String> {
    keys.now.iter().chain(keys.later).map(|key| (*key).to_owned()).collect()
}

#[test]
fn the_schema_has_the_keys_of_the_parser() {
    let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    for keys in TABLES {
        let properties = &schema["$defs"][keys.table]["properties"];
        let there: BTreeSet<String> =
            properties.as_object().unwrap_or_else(|| panic!("no {}", keys.table)).keys().cloned().collect();
        assert_eq!(there, all_keys(keys), "{}", keys.table);
        for key in keys.later {
            assert!(properties[key]["not"].is_object(), "{}.{key} is refused by both", keys.table);
        }
    }
}

#[test]
fn every_reference_of_the_schema_leads_somewhere() {
    fn references(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(key, child)| match child.as_str() {
                Some(target) if key == "$ref" => into.push(target.into()),
                _ => references(child, into),
            }),
            Value::Array(items) => items.iter().for_each(|item| references(item, into)),
            _ => {}
        }
    }
    let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    let mut all = Vec::new();
    references(&schema, &mut all);
    assert!(all.len() > 20, "{all:?}");
    for target in all {
        let pointer = target.trim_start_matches('#');
        assert!(schema.pointer(pointer).is_some(), "{target}");
    }
}

#[test]
fn the_reference_has_the_keys_of_the_parser() {
    for keys in TABLES {
        let mark = format!("<!-- {} -->", keys.table);
        let section = CONFIG.split(&mark).nth(1).unwrap_or_else(|| panic!("no section {mark}"));
        let section = section.split("\n## ").next().unwrap_or_default();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let rows: BTreeSet<String> = rows.map(str::to_owned).collect();
        assert_eq!(rows, all_keys(keys), "{}", keys.table);
        for key in keys.later {
            assert!(
                section.contains(&format!("| `{key}` | | | | not in this version")),
                "{}.{key}",
                keys.table
            );
        }
    }
}

#[test]
fn every_example_of_the_reference_is_a_good_file() {
    let examples: Vec<&str> =
        CONFIG.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), TABLES.len(), "one for each table");
    // What an example leaves out because it is not its point.
    let others = "\n[services.web]\n[services.db]\n[services.migrate]\n[defaults]\ncommand = \"x\"\n";
    // Windows has no held sockets, and says so.
    for example in examples.into_iter().filter(|example| !cfg!(windows) || !example.contains("\nsockets = "))
    {
        let missing: Vec<&str> = others
            .split_inclusive('\n')
            .filter(|line| {
                !line.starts_with("[services") || !example.contains(line.trim().trim_end_matches(']'))
            })
            .collect();
        let migrate = "[services.migrate]\nrestart = \"never\"";
        let text = format!("{example}{}", missing.concat().replace("[services.migrate]", migrate));
        if let Err(problems) = load(Path::new("/srv/sereno.toml"), &text, &Env::new()) {
            panic!("{problems}\n{text}");
        }
    }
}
