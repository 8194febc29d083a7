//! Writes the tables of `CONFIG.md`.

use super::{Key, Keys, Kind, Preset, Range, TABLES};
use crate::value;

const HEAD: &str = "| key | type | range | default | meaning |\n|---|---|---|---|---|\n";

/// Returns `CONFIG.md` with new tables; the text around them stays. Panics if `CONFIG.md` has no place for a table.
pub fn manual(text: &str) -> String {
    let mut text = text.to_owned();
    for keys in TABLES {
        let mark = format!("<!-- {} -->", keys.table);
        let section = text.find(&mark).unwrap_or_else(|| panic!("no section {mark}"));
        let start = text[section..].find("\n|").unwrap_or_else(|| panic!("no table after {mark}"));
        let start = section + start + 1;
        let length: usize =
            text[start..].split_inclusive('\n').take_while(|line| line.starts_with('|')).map(str::len).sum();
        text.replace_range(start..start + length, &table(keys));
    }
    text
}

/// Writes one table: a row for each key by name, and last the keys that this version refuses.
fn table(keys: &Keys) -> String {
    let mut all: Vec<&Key> = keys.all().collect();
    all.sort_by_key(|key| (matches!(key.kind, Kind::Later), key.name));
    all.into_iter().fold(HEAD.to_owned(), |table, key| table + &row(key))
}

fn row(key: &Key) -> String {
    if matches!(key.kind, Kind::Later) {
        return format!("| `{}` | | | | not in this version: refused |\n", key.name);
    }
    let range = match key.range {
        Range::OfKind => range(&key.kind),
        Range::And(words) => range(&key.kind) + words,
        Range::Says(words) => words.into(),
    };
    let default = match key.default {
        Preset::Is(value) => format!("`{value}`"),
        Preset::IsOr(value, words) => format!("`{value}`{words}"),
        Preset::Words(words) => words.into(),
        Preset::Needed => "needed".into(),
    };
    format!("| `{}` | {} | {range} | {default} | {} |\n", key.name, name(&key.kind), key.doc)
}

/// Returns the name of a type.
fn name(kind: &Kind) -> String {
    match kind {
        Kind::List(item) if !matches!(item, Kind::Any(_)) => format!("list of {}s", name(item)),
        Kind::List(_) => "list".into(),
        Kind::Any(kinds) => {
            let names: Vec<String> = kinds.iter().map(short_name).collect();
            value::either(&names)
        }
        kind => short_name(kind),
    }
}

/// Returns the name of a type in a list of alternatives.
fn short_name(kind: &Kind) -> String {
    let name = match kind {
        Kind::Flag => "boolean",
        Kind::False => "`false`",
        Kind::Whole(..) => "integer",
        Kind::Number(..) => "number",
        Kind::Duration(_) => "duration",
        Kind::Size(_) => "size",
        Kind::Limit => "integer, size or `\"unlimited\"`",
        Kind::Choice(_) => "string",
        Kind::Name => "name",
        Kind::Text(word, ..) => word,
        Kind::List(_) => "list",
        Kind::Named(_) => "table of tables",
        Kind::Map(_) | Kind::Table(_) | Kind::Check | Kind::AnyTable => "table",
        Kind::Scalar | Kind::Any(_) | Kind::Later => "value",
    };
    name.into()
}

/// Returns the range that follows from a type.
fn range(kind: &Kind) -> String {
    match kind {
        Kind::Whole(least, most) => format!("{least} to {most}"),
        Kind::Number(least, most) => format!("{least} to {most}"),
        Kind::Duration(least) | Kind::Size(least) => format!("from {least}"),
        Kind::Limit => "from 0".into(),
        Kind::Choice(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Kind::Table(keys) => format!("see `{}`", keys.table),
        Kind::Check => "see `check-…`".into(),
        Kind::Named(item) => range(item),
        Kind::Map(Kind::Scalar) => "strings, numbers, booleans".into(),
        Kind::Any(kinds) => {
            let all: Vec<String> = kinds.iter().map(range).filter(|range| !range.is_empty()).collect();
            all.join(", or ")
        }
        _ => String::new(),
    }
}
