//! The table of keys: type, range, default and meaning of every key of `sereno.toml`, written once.
//!
//! The parser takes its ranges and defaults from here, [`schema()`] and the tables of `CONFIG.md` ([`manual()`]) are made
//! from it, and so are the hints for mistyped keys.
//!
//! | module | tables |
//! |---|---|
//! | `daemons` | the top of the file, `[supervisor]`, the monitors |
//! | `service` | `[services.NAME]` and what is below it |
//! | `restart` | `restart`, `schedule`, `watch`, `watchdog`: when a service is started or ended |
//! | `check` | `port`, `health`, `checks.<id>` |

mod check;
mod daemons;
mod manual;
mod restart;
mod schema;
mod service;
#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

pub(super) use check::*;
pub(super) use daemons::*;
pub use manual::manual;
pub(super) use restart::*;
pub use schema::schema;
pub(super) use service::*;

use super::problem::{Scope, Wrong};
use super::tree::{self, Node, Value};
use super::value;

/// The keys of one kind of table.
#[derive(Debug)]
pub struct Keys {
    /// Name between the marks of `CONFIG.md` and under `$defs` of the schema.
    pub table: &'static str,
    /// Groups of keys, some of which other tables share.
    groups: &'static [&'static [Key]],
}

/// Every table, in no particular order.
pub static TABLES: &[&Keys] = &[
    &ROOT,
    &SUPERVISOR,
    &BRAKE,
    &GUARD,
    &DAEMON,
    &TLS,
    &MONITOR,
    &SERVICE,
    &SOCKET,
    &DEPENDENCY,
    &RESTART,
    &BUDGET,
    &READY,
    &SCHEDULE,
    &WATCH,
    &STOP,
    &EVIDENCE_OF_RUN,
    &WATCHDOG,
    &LOG,
    &LIMITS,
    &PORT,
    &HEALTH,
    &EXPECT,
    &CHECK_TCP,
    &CHECK_HTTP,
    &CHECK_EXEC,
    &CHECK_OTHER,
];

/// A key, for the parser, the schema and the manual.
#[derive(Debug)]
pub(super) struct Key {
    name: &'static str,
    kind: Kind,
    range: Range,
    default: Preset,
    /// Meaning of the key, in Markdown.
    doc: &'static str,
}

/// The type of a value.
#[derive(Debug)]
pub(super) enum Kind {
    Flag,
    /// The word `false` alone.
    False,
    /// A whole number of an inclusive range.
    Whole(i64, i64),
    /// A number of an inclusive range.
    Number(f64, f64),
    /// A duration of at least this.
    Duration(&'static str),
    /// A size of at least this.
    Size(&'static str),
    /// A resource limit.
    Limit,
    /// A word of this list.
    Choice(&'static [&'static str]),
    /// A name of letters and digits.
    Name,
    /// A string: the name of its type, its pattern (may be empty), and examples.
    Text(&'static str, &'static str, &'static [&'static str]),
    List(&'static Kind),
    /// A table with any keys, whose values have this type.
    Map(&'static Kind),
    /// A table whose keys are names, as in [`Kind::Name`].
    Named(&'static Kind),
    /// A string, a number or a boolean.
    Scalar,
    Table(&'static Keys),
    /// A table with the keys of one of [`CHECKS`].
    Check,
    /// A table that is not checked.
    AnyTable,
    /// A value of any of these types.
    Any(&'static [Kind]),
    /// A key of the contract that this version refuses.
    Later,
}

/// The range, as the manual shows it.
#[derive(Debug)]
pub(super) enum Range {
    /// The range of the type.
    OfKind,
    /// The range of the type, followed by these words.
    And(&'static str),
    /// These words instead of the range of the type.
    Says(&'static str),
}

/// The value that applies if a key is absent.
#[derive(Debug)]
pub(super) enum Preset {
    /// A value, written as in the file; a string has no quotes.
    Is(&'static str),
    /// A value, and words about when the parser uses another one.
    IsOr(&'static str, &'static str),
    /// Words, if the default is not a fixed value.
    Words(&'static str),
    /// The key can not be absent, not even in `[defaults]`.
    Needed,
}

/// A string without a pattern.
const fn text(word: &'static str) -> Kind {
    Kind::Text(word, "", &[])
}

const TEXT: Kind = text("string");
const PATH: Kind = text("path");
const URI: Kind = text("URI");
const REGEX: Kind = text("regex");
/// A program and its arguments.
const COMMAND: Kind = Kind::Any(&[TEXT, Kind::List(&TEXT)]);
const PATHS: Kind = Kind::Any(&[PATH, Kind::List(&PATH)]);
const URIS: Kind = Kind::Any(&[URI, Kind::List(&URI)]);
const SCALARS: Kind = Kind::Map(&Kind::Scalar);

/// Returns the words of a choice without their meanings.
const fn words<T: Copy, const N: usize>(choice: &[(&'static str, T); N]) -> [&'static str; N] {
    let mut words = [""; N];
    let mut at = 0;
    while at < N {
        words[at] = choice[at].0;
        at += 1;
    }
    words
}

/// Makes keys, one in each line: `"name": type, range => default, "meaning";`. The range is left out if the type says
/// it.
macro_rules! keys {
    (@range) => { Range::OfKind };
    (@range $range:expr) => { $range };
    ($($name:literal: $kind:expr $(, $range:expr)? => $default:expr, $doc:literal;)*) => {
        [$(Key { name: $name, kind: $kind, range: keys!(@range $($range)?), default: $default, doc: $doc }),*]
    };
}
use keys;

impl Keys {
    /// Creates the keys of a table that may have any.
    pub(super) const fn any() -> Self {
        Self { table: "", groups: &[] }
    }

    fn all(&self) -> impl Iterator<Item = &'static Key> + use<> {
        self.groups.iter().copied().flatten()
    }

    /// Returns the names of the keys that this version accepts.
    fn known(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.all().filter(|key| !matches!(key.kind, Kind::Later)).map(|key| key.name)
    }

    /// Returns why a key is refused, if it is.
    pub(super) fn refuse(&self, key: &str) -> Option<Wrong> {
        match self.all().find(|known| known.name == key).map(|known| &known.kind) {
            Some(Kind::Later) => Some("is not in this version".into()),
            Some(_) => None,
            None => Some(Wrong { rule: "is not a known key".into(), hint: nearest(key, self.known()) }),
        }
    }

    /// Returns the key of this name. Panics if there is none.
    fn key(&self, name: &str) -> &'static Key {
        let found = self.all().find(|key| key.name == name);
        found.unwrap_or_else(|| panic!("{}.{name} is not in the table of keys", self.table))
    }

    /// Returns what `pick` finds in the type of a key, or in one of its alternatives. Panics if it finds nothing.
    fn of_kind<T>(&self, name: &str, pick: impl Fn(&'static Kind) -> Option<T>) -> T {
        let kinds = match &self.key(name).kind {
            Kind::Any(kinds) => kinds,
            kind => std::slice::from_ref(kind),
        };
        let found = kinds.iter().find_map(pick);
        found.unwrap_or_else(|| panic!("{}.{name} is read as another type than the table says", self.table))
    }

    /// Returns the range of a whole number.
    pub(super) fn whole(&self, name: &str) -> RangeInclusive<i64> {
        self.of_kind(name, |kind| match kind {
            Kind::Whole(least, most) => Some(*least..=*most),
            _ => None,
        })
    }

    /// Returns the range of a number.
    pub(super) fn number(&self, name: &str) -> RangeInclusive<f64> {
        self.of_kind(name, |kind| match kind {
            Kind::Number(least, most) => Some(*least..=*most),
            _ => None,
        })
    }

    /// Returns the least duration or size, as text.
    pub(super) fn least(&self, name: &str) -> &'static str {
        self.of_kind(name, |kind| match kind {
            Kind::Duration(least) | Kind::Size(least) => Some(*least),
            _ => None,
        })
    }

    /// Returns the keys of a table below.
    pub(super) fn table(&self, name: &str) -> &'static Self {
        self.of_kind(name, |kind| match kind {
            Kind::Table(keys) => Some(*keys),
            _ => None,
        })
    }

    /// Returns the default of a key, read like a value of the file.
    pub(super) fn default<T, W: Into<Wrong>>(&self, name: &str, read: impl Fn(&Node) -> Result<T, W>) -> T {
        let node = self.key(name).default_node();
        let value = node.and_then(|node| read(&node).ok());
        value.unwrap_or_else(|| panic!("{}.{name} has no good default in the table of keys", self.table))
    }

    /// Returns the default of a duration.
    pub(super) fn default_duration(&self, name: &str) -> Duration {
        self.default(name, value::duration(self.least(name)))
    }
}

impl Key {
    /// Returns the default as a value, if it is one.
    fn default_node(&self) -> Option<Node> {
        let (Preset::Is(written) | Preset::IsOr(written, _)) = self.default else { return None };
        let node = |value| Node { at: None, key_at: None, path: self.name.into(), value };
        if written.starts_with(['[', '"']) {
            let text = format!("value = {written}");
            return tree::parse(&Scope::new(Path::new(""), &text), &text, "").get(&["value"]).cloned();
        }
        Some(node(match (written.parse(), written.parse(), written.parse()) {
            (Ok(flag), ..) => Value::Boolean(flag),
            (_, Ok(number), _) => Value::Integer(number),
            (_, _, Ok(number)) => Value::Float(number),
            _ => Value::Text(written.into()),
        }))
    }
}

/// Returns the name nearest to a word, if one is near enough to be a mistyping.
pub(super) fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let word = plain(word);
    let far = 1 + word.chars().count() / 4;
    names
        .map(|name| (strsim::damerau_levenshtein(&word, &plain(name)), name))
        .filter(|(distance, name)| *distance <= far && *distance < name.len())
        .min()
        .map(|(_, name)| name.to_owned())
}
