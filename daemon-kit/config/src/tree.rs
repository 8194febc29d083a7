//! The document as a tree of owned values, which can be merged and rewritten. Each keeps its position and key in the
//! file.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use toml::de::{DeTable, DeValue};

use super::problem::Scope;

/// Values by key.
pub(super) type Table = BTreeMap<String, Node>;

/// A value and its position.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// First byte of the value; `None` if it is in no file.
    pub(super) at: Option<usize>,
    /// First byte of its key.
    pub(super) key_at: Option<usize>,
    /// Whole key as written, such as `defaults.restart.max`.
    pub(super) path: String,
    pub(super) value: Value,
}

/// A value of TOML.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// A date, or a number out of range, as written. No key accepts one.
    Other(String),
    List(Vec<Node>),
    Table(Table),
}

/// Parses TOML. Syntax errors are reported to the scope; the parts that can be parsed are returned. `prefix` is the key
/// of the whole document.
pub(super) fn parse(scope: &Scope<'_>, text: &str, prefix: &str) -> Node {
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let at = error.span().map(|span| span.start);
        scope.key(at, "", None, error.message().trim().replace('\n', ", "));
    }
    let root = DeValue::Table(document.into_inner());
    convert(Some(0), Some(0), prefix.into(), &root)
}

fn convert(at: Option<usize>, key_at: Option<usize>, path: String, value: &DeValue<'_>) -> Node {
    let value = match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Other(number.to_string()),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Value::Float(number),
            Err(_) => Value::Other(number.to_string()),
        },
        DeValue::Boolean(flag) => Value::Boolean(*flag),
        DeValue::Datetime(date) => Value::Other(date.to_string()),
        DeValue::Array(items) => {
            let item = |(index, item): (usize, &toml::Spanned<DeValue<'_>>)| {
                let start = Some(item.span().start);
                convert(start, start, format!("{path}[{index}]"), item.get_ref())
            };
            Value::List(items.iter().enumerate().map(item).collect())
        }
        DeValue::Table(table) => {
            let entry = |(key, child): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
                let name: &std::borrow::Cow<'_, str> = key.get_ref();
                let (at, key_at) = (Some(child.span().start), Some(key.span().start));
                (name.to_string(), convert(at, key_at, join(&path, name), child.get_ref()))
            };
            Value::Table(table.iter().map(entry).collect())
        }
    };
    Node { at, key_at, path, value }
}

/// Appends a key to a path, quoted if TOML requires it.
pub(super) fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    let dot = if path.is_empty() { "" } else { "." };
    if bare { format!("{path}{dot}{key}") } else { format!("{path}{dot}{key:?}") }
}

impl Node {
    /// Returns another value with the same position.
    pub(super) fn beside(&self, value: Value) -> Self {
        Self { at: self.at, key_at: self.key_at, path: self.path.clone(), value }
    }

    pub(super) fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    pub(super) fn table_mut(&mut self) -> Option<&mut Table> {
        match &mut self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    pub(super) fn list(&self) -> Option<&[Self]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the value at a path below.
    pub(super) fn get(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.table()?.get(*key))
    }

    /// Calls `change` for every text at any depth.
    pub(super) fn each_text(&mut self, change: &mut impl FnMut(&mut Node)) {
        match &mut self.value {
            Value::Text(_) => change(self),
            Value::List(items) => items.iter_mut().for_each(|item| item.each_text(change)),
            Value::Table(table) => table.values_mut().for_each(|child| child.each_text(change)),
            _ => {}
        }
    }

    /// Whether the value may be a secret.
    pub(super) fn is_secret(&self) -> bool {
        [".env.", ".headers.", ".options."].iter().any(|part| self.path.contains(part))
    }

    /// Returns the value as written, shortened to fit in a line.
    pub(super) fn shown(&self) -> String {
        const LONGEST: usize = 40;
        match &self.value {
            Value::Text(text) => match text.char_indices().nth(LONGEST) {
                Some((end, _)) => format!("{:?}", format!("{}…", &text[..end])),
                None => format!("{text:?}"),
            },
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => float(*number),
            Value::Boolean(flag) => flag.to_string(),
            Value::Other(text) => text.chars().take(LONGEST).collect(),
            Value::List(items) if items.is_empty() => "[]".into(),
            Value::List(_) => "[…]".into(),
            Value::Table(_) => "{…}".into(),
        }
    }

    /// Converts the value to TOML. `text` rewrites every string.
    pub(super) fn to_toml(&self, text: &impl Fn(&str) -> String) -> toml::Value {
        match &self.value {
            Value::Text(plain) => toml::Value::String(text(plain)),
            Value::Other(plain) => toml::Value::String(plain.clone()),
            Value::Integer(number) => toml::Value::Integer(*number),
            Value::Float(number) => toml::Value::Float(*number),
            Value::Boolean(flag) => toml::Value::Boolean(*flag),
            Value::List(items) => toml::Value::Array(items.iter().map(|item| item.to_toml(text)).collect()),
            Value::Table(table) => toml::Value::Table(
                table.iter().map(|(key, node)| (key.clone(), node.to_toml(text))).collect(),
            ),
        }
    }
}

/// Formats a number like TOML, so that `1.0` stays `1.0`.
pub(super) fn float(number: f64) -> String {
    let mut text = String::new();
    let _ = write!(text, "{number:?}");
    text.to_lowercase()
}
