//! Reads one table key by key: what is absent gives `None`, what is wrong is reported and gives `None` too, so that
//! the caller goes on and every problem is found at once.

use std::collections::BTreeMap;
use std::path::PathBuf;

use proto::Name;

use super::effective::unknown_keys;
use super::keys::Keys;
use super::problem::{Scope, Wrong};
use super::tree::{Node, Table};
use super::value;

/// One table.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) scope: &'a Scope<'a>,
    pub(super) node: &'a Node,
    table: &'a Table,
    /// Whose problems these are.
    pub(super) service: Option<&'a Name>,
    /// It is `[defaults]`: nothing is missing in it.
    pub(super) template: bool,
}

impl<'a> Reader<'a> {
    /// A table that may have any keys.
    pub(super) fn open(scope: &'a Scope<'a>, node: &'a Node, service: Option<&'a Name>) -> Option<Self> {
        let Some(table) = node.table() else {
            scope.value(node, service, "must be a table");
            return None;
        };
        Some(Self { scope, node, table, service, template: false })
    }

    /// A table that may have only these keys.
    pub(super) fn new(
        scope: &'a Scope<'a>,
        node: &'a Node,
        service: Option<&'a Name>,
        keys: &Keys,
    ) -> Option<Self> {
        let reader = Self::open(scope, node, service)?;
        unknown_keys(scope, node, service, keys);
        Some(reader)
    }

    /// The same, as `[defaults]`.
    pub(super) fn template(self) -> Self {
        Self { template: true, ..self }
    }

    /// A table below, with its own keys.
    pub(super) fn sub(&self, key: &str, keys: &Keys) -> Option<Self> {
        let reader = Self::new(self.scope, self.get(key)?, self.service, keys)?;
        Some(Self { template: self.template, ..reader })
    }

    /// A table in hand, with its own keys.
    pub(super) fn table(&self, node: &'a Node, keys: &Keys) -> Option<Self> {
        Self::new(self.scope, node, self.service, keys)
    }

    /// A value as it is.
    pub(super) fn get(&self, key: &str) -> Option<&'a Node> {
        self.table.get(key)
    }

    /// Everything in it.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a String, &'a Node)> + use<'a> {
        self.table.iter()
    }

    /// A value that must be as `read` wants it.
    pub(super) fn opt<T, W: Into<Wrong>>(
        &self,
        key: &str,
        read: impl Fn(&Node) -> Result<T, W>,
    ) -> Option<T> {
        self.read(self.get(key)?, read)
    }

    /// The same for a value in hand.
    pub(super) fn read<T, W: Into<Wrong>>(
        &self,
        node: &Node,
        read: impl Fn(&Node) -> Result<T, W>,
    ) -> Option<T> {
        read(node).map_err(|wrong| self.bad(node, wrong)).ok()
    }

    /// A list, each item of which must be as `read` wants it.
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

    /// A list of strings.
    pub(super) fn texts(&self, key: &str) -> Option<Vec<String>> {
        self.list(key, "strings", value::text)
    }

    /// An absolute path.
    pub(super) fn path(&self, key: &str) -> Option<PathBuf> {
        self.opt(key, value::filled).map(PathBuf::from)
    }

    /// One absolute path or a list of them.
    pub(super) fn paths(&self, key: &str) -> Vec<PathBuf> {
        let Some(node) = self.get(key) else { return Vec::new() };
        let texts = match node.list() {
            Some(_) => self.list(key, "paths", value::filled),
            None => self.opt(key, value::filled).map(|text| vec![text]),
        };
        texts.unwrap_or_default().into_iter().map(PathBuf::from).collect()
    }

    /// A table of strings, numbers and booleans.
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

    /// Reports the table itself, for what it lacks.
    pub(super) fn lacks(&self, wrong: impl Into<Wrong>) {
        if !self.template {
            self.scope.key(self.node.at, &self.node.path, self.service, wrong);
        }
    }
}
