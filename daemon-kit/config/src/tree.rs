//! The document as a tree of its own: owned values that can be merged and rewritten, each of which still knows where
//! it stands in the file and what it is called there.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use toml::de::{DeTable, DeValue};

use super::problem::Scope;

/// By key, in order of name.
pub(super) type Table = BTreeMap<String, Node>;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// First byte of the value; `None` where it stands in no file.
    pub(super) at: Option<usize>,
    /// First byte of its key.
    pub(super) key_at: Option<usize>,
    /// Its whole key where it was written: `defaults.restart.max`.
    pub(super) path: String,
    pub(super) value: Value,
}

/// What TOML can say.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// A date, or a number that does not fit: no key takes one. As written.
    Other(String),
    List(Vec<Node>),
    Table(Table),
}

/// Reads TOML. Syntax errors go to the scope; what could be made out is returned all the same. `prefix` is what the
/// whole document is called.
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

/// A key below another one, quoted where TOML would want it.
pub(super) fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    let dot = if path.is_empty() { "" } else { "." };
    if bare { format!("{path}{dot}{key}") } else { format!("{path}{dot}{key:?}") }
}

impl Node {
    /// A value that stands where another one does.
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

    /// What stands at a path below.
    pub(super) fn get(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.table()?.get(*key))
    }

    /// Every text in it, at any depth.
    pub(super) fn each_text(&mut self, change: &mut impl FnMut(&mut Node)) {
        match &mut self.value {
            Value::Text(_) => change(self),
            Value::List(items) => items.iter_mut().for_each(|item| item.each_text(change)),
            Value::Table(table) => table.values_mut().for_each(|child| child.each_text(change)),
            _ => {}
        }
    }

    /// Whether its value may be a password.
    pub(super) fn is_secret(&self) -> bool {
        [".env.", ".headers.", ".options."].iter().any(|part| self.path.contains(part))
    }

    /// The value as it stands, short enough for a line.
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

    /// As TOML; `text` rewrites every text but a `shell` line of a service.
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

/// A number as TOML would write it, so that `1.0` stays `1.0`.
pub(super) fn float(number: f64) -> String {
    let mut text = String::new();
    let _ = write!(text, "{number:?}");
    text.to_lowercase()
}
