//! Reads one table key by key. An absent value gives `None` or the default of the table of keys. A wrong value is
//! reported and gives the same, so that the caller continues and all problems are found at once. Ranges come from the
//! table of keys.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::Name;

use super::effective::unknown_keys;
use super::keys::Keys;
use super::problem::{Scope, Wrong};
use super::tree::{Node, Table, Value};
use super::value;

static EMPTY: Table = Table::new();
/// The keys of a table that may have any.
static ANY: Keys = Keys::any();

/// A table that is read.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) scope: &'a Scope<'a>,
    pub(super) node: &'a Node,
    table: &'a Table,
    /// Keys of the table, with their ranges and defaults.
    pub(super) keys: &'static Keys,
    /// Service that the problems are reported for.
    pub(super) service: Option<&'a Name>,
    /// Whether it is `[defaults]`, in which no key is required.
    pub(super) template: bool,
}

impl<'a> Reader<'a> {
    /// Opens a table that may have any keys.
    pub(super) fn open(scope: &'a Scope<'a>, node: &'a Node, service: Option<&'a Name>) -> Option<Self> {
        let Some(table) = node.table() else {
            scope.value(node, service, "must be a table");
            return None;
        };
        Some(Self { scope, node, table, keys: &ANY, service, template: false })
    }

    /// Opens a table that may have only these keys.
    pub(super) fn new(
        scope: &'a Scope<'a>,
        node: &'a Node,
        service: Option<&'a Name>,
        keys: &'static Keys,
    ) -> Option<Self> {
        let reader = Self::open(scope, node, service)?;
        unknown_keys(scope, node, service, keys);
        Some(Self { keys, ..reader })
    }

    /// Calls `read` with an empty table, so that every default applies.
    pub(super) fn absent<T>(keys: &'static Keys, read: impl FnOnce(&Reader<'_>) -> T) -> T {
        let node = Node { at: None, key_at: None, path: String::new(), value: Value::Table(Table::new()) };
        let scope = Scope::new(Path::new(""), "");
        read(&Reader { scope: &scope, node: &node, table: &EMPTY, keys, service: None, template: true })
    }

    /// Returns this table as `[defaults]`, in which no key is required.
    pub(super) fn template(self) -> Self {
        Self { template: true, ..self }
    }

    /// Opens a table below.
    pub(super) fn sub(&self, key: &str) -> Option<Self> {
        let keys = self.keys.table(key);
        let reader = Self::new(self.scope, self.get(key)?, self.service, keys)?;
        Some(Self { template: self.template, ..reader })
    }

    /// Opens a table below. If it is absent or not a table, every default applies.
    pub(super) fn sub_or_empty(&self, key: &str) -> Self {
        let empty = || Self { table: &EMPTY, keys: self.keys.table(key), ..*self };
        self.sub(key).unwrap_or_else(empty)
    }

    /// Opens a node as a table with its own keys.
    pub(super) fn table(&self, node: &'a Node, keys: &'static Keys) -> Option<Self> {
        Self::new(self.scope, node, self.service, keys)
    }

    /// Returns a value unread.
    pub(super) fn get(&self, key: &str) -> Option<&'a Node> {
        self.table.get(key)
    }

    /// Returns all keys and values.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a String, &'a Node)> + use<'a> {
        self.table.iter()
    }

    /// Reads a value with `read`.
    pub(super) fn opt<T, W: Into<Wrong>>(
        &self,
        key: &str,
        read: impl Fn(&Node) -> Result<T, W>,
    ) -> Option<T> {
        self.read(self.get(key)?, read)
    }

    /// Reads a value with `read`, or the default of its key.
    pub(super) fn or_default<T, W: Into<Wrong>>(&self, key: &str, read: impl Fn(&Node) -> Result<T, W>) -> T {
        self.opt(key, &read).unwrap_or_else(|| self.keys.default(key, read))
    }

    /// Reads a boolean.
    pub(super) fn flag(&self, key: &str) -> bool {
        self.or_default(key, value::flag)
    }

    /// Reads a whole number that has no default.
    pub(super) fn opt_whole<T: TryFrom<i64>>(&self, key: &str) -> Option<T> {
        self.opt(key, value::whole(self.keys.whole(key)))
    }

    /// Reads a whole number.
    pub(super) fn whole<T: TryFrom<i64>>(&self, key: &str) -> T {
        self.or_default(key, value::whole(self.keys.whole(key)))
    }

    /// Reads a number.
    pub(super) fn number(&self, key: &str) -> f64 {
        self.or_default(key, value::number(self.keys.number(key)))
    }

    /// Reads a duration that has no default, or a default that depends on other keys.
    pub(super) fn opt_duration(&self, key: &str) -> Option<Duration> {
        self.opt(key, value::duration(self.keys.least(key)))
    }

    /// Reads a duration.
    pub(super) fn duration(&self, key: &str) -> Duration {
        self.opt_duration(key).unwrap_or_else(|| self.keys.default_duration(key))
    }

    /// Reads a word of a list.
    pub(super) fn choice<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> T {
        self.or_default(key, value::choice(words))
    }

    /// Reads a node with `read`.
    pub(super) fn read<T, W: Into<Wrong>>(
        &self,
        node: &Node,
        read: impl Fn(&Node) -> Result<T, W>,
    ) -> Option<T> {
        read(node).map_err(|wrong| self.bad(node, wrong)).ok()
    }

    /// Reads a list, each item with `read`.
    pub(super) fn list<T, W: Into<Wrong>>(
        &self,
        key: &str,
        what: &str,
        read: impl Fn(&Node) -> Result<T, W>,
    ) -> Option<Vec<T>> {
        let node = self.get(key)?;
        let Some(items) = node.list() else {
            self.bad(node, format!("must be a list of {what}"));
            return None;
        };
        Some(items.iter().filter_map(|item| self.read(item, &read)).collect())
    }

    /// Reads a list of strings.
    pub(super) fn texts(&self, key: &str) -> Option<Vec<String>> {
        self.list(key, "strings", value::text)
    }

    /// Reads a path, which is absolute by now.
    pub(super) fn path(&self, key: &str) -> Option<PathBuf> {
        self.opt(key, value::filled).map(PathBuf::from)
    }

    /// Reads a path or a list of paths.
    pub(super) fn paths(&self, key: &str) -> Vec<PathBuf> {
        let Some(node) = self.get(key) else { return Vec::new() };
        let texts = match node.list() {
            Some(_) => self.list(key, "paths", value::filled),
            None => self.opt(key, value::filled).map(|text| vec![text]),
        };
        texts.unwrap_or_default().into_iter().map(PathBuf::from).collect()
    }

    /// Reads a table of strings, numbers and booleans.
    pub(super) fn map(
        &self,
        key: &str,
        check: impl Fn(&str, &str) -> Result<(), Wrong>,
    ) -> BTreeMap<String, String> {
        let Some(node) = self.get(key) else { return BTreeMap::new() };
        let Some(table) = Self::open(self.scope, node, self.service) else { return BTreeMap::new() };
        let entry = |(name, node): (&String, &Node)| {
            let text = self.read(node, value::scalar)?;
            match check(name, &text) {
                Ok(()) => Some((name.clone(), text)),
                Err(wrong) => {
                    self.bad(node, wrong);
                    None
                }
            }
        };
        table.entries().filter_map(entry).collect()
    }

    /// Reports a value.
    pub(super) fn bad(&self, node: &Node, wrong: impl Into<Wrong>) {
        self.scope.value(node, self.service, wrong);
    }

    /// Reports that the table lacks a key.
    pub(super) fn lacks(&self, wrong: impl Into<Wrong>) {
        if !self.template {
            self.scope.key(self.node.at, &self.node.path, self.service, wrong);
        }
    }
}
