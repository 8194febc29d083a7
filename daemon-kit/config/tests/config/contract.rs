//! The JSON Schema and the tables of `CONFIG.md` are what the table of keys makes of them, and what `CONFIG.md` shows is a
//! good file. `SERENO_BLESS=1 cargo test -p sereno-config contract` writes both anew.

use std::path::Path;

use serde_json::Value;
use sereno_config::keys::{TABLES, manual};
use sereno_config::{Env, load, schema};

const CONFIG: &str = include_str!("../../../../CONFIG.md");

/// Holds a file of the repository against what it must be; under `SERENO_BLESS` it is written instead.
fn is_generated(path: &str, generate: impl Fn(&str) -> String) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    // Git may write line ends as Windows has them.
    let text = std::fs::read_to_string(&file).unwrap_or_default().replace("\r\n", "\n");
    let good = generate(&text);
    if std::env::var_os("SERENO_BLESS").is_some() {
        return std::fs::write(&file, good).expect("written");
    }
    let differs = text.lines().zip(good.lines()).find(|(is, should)| is != should);
    let old = format!("{path} is old: SERENO_BLESS=1 cargo test -p sereno-config contract");
    assert_eq!(differs, None, "{old}");
    assert_eq!(text, good, "{old}");
}

#[test]
fn the_schema_is_made_from_the_table_of_keys() {
    is_generated("schema/sereno.schema.json", |_| schema());
}

#[test]
fn the_tables_of_the_reference_are_made_from_the_table_of_keys() {
    is_generated("../../CONFIG.md", manual);
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
    let schema: Value = serde_json::from_str(&schema()).expect("JSON");
    let mut all = Vec::new();
    references(&schema, &mut all);
    assert!(all.len() > 20, "{all:?}");
    for target in all {
        let pointer = target.trim_start_matches('#');
        assert!(schema.pointer(pointer).is_some(), "{target}");
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
