//! The table of keys: every key of `sereno.toml` with its type, range, default and meaning, written once.
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
    /// Its name between the marks of `CONFIG.md` and under `$defs` of the schema.
    pub table: &'static str,
    /// Its keys, some of which other tables have too.
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

/// A key, as parser, schema and manual know it.
#[derive(Debug)]
pub(super) struct Key {
    name: &'static str,
    kind: Kind,
    range: Range,
    default: Preset,
    /// Its meaning, in Markdown.
    doc: &'static str,
}

/// The type of a value.
#[derive(Debug)]
pub(super) enum Kind {
    Flag,
    /// The word `false` alone.
    False,
    /// A whole number from … to ….
    Whole(i64, i64),
    /// Any number from … to ….
    Number(f64, f64),
    /// A duration of at least this.
    Duration(&'static str),
    /// A size of at least this.
    Size(&'static str),
    /// A resource limit.
    Limit,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A name of letters and digits.
    Name,
    /// A string: what it is called, its pattern (may be empty), and examples.
    Text(&'static str, &'static str, &'static [&'static str]),
    List(&'static Kind),
    /// A table whose keys are up to the user.
    Map(&'static Kind),
    /// The same with [`Kind::Name`]s as keys.
    Named(&'static Kind),
    /// A string, a number or a boolean.
    Scalar,
    Table(&'static Keys),
    /// A table of one of [`CHECKS`].
    Check,
    /// A table of anything.
    AnyTable,
    /// Any of these.
    Any(&'static [Kind]),
    /// The contract has the key, and this version refuses it.
    Later,
}

/// What the manual says about the range.
#[derive(Debug)]
pub(super) enum Range {
    /// What follows from the type.
    OfKind,
    /// What follows from the type, and these words.
    And(&'static str),
    /// These words, whatever the type.
    Says(&'static str),
}

/// What holds where a key is absent.
#[derive(Debug)]
pub(super) enum Preset {
    /// This value, as the file would have it; a string without quotes.
    Is(&'static str),
    /// The same, with words about when something else holds, which the parser works out.
    IsOr(&'static str, &'static str),
    /// Words about what holds, as it is no value.
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

/// The words of a choice whose meanings the parser knows.
const fn words<T: Copy, const N: usize>(choice: &[(&'static str, T); N]) -> [&'static str; N] {
    let mut words = [""; N];
    let mut at = 0;
    while at < N {
        words[at] = choice[at].0;
        at += 1;
    }
    words
}

/// Keys, one a line: `"name": type, range => default, "meaning";`, the range only where the type does not say all.
macro_rules! keys {
    (@range) => { Range::OfKind };
    (@range $range:expr) => { $range };
    ($($name:literal: $kind:expr $(, $range:expr)? => $default:expr, $doc:literal;)*) => {
        [$(Key { name: $name, kind: $kind, range: keys!(@range $($range)?), default: $default, doc: $doc }),*]
    };
}
use keys;

impl Keys {
    /// The keys of a table that may have any.
    pub(super) const fn any() -> Self {
        Self { table: "", groups: &[] }
    }

    fn all(&self) -> impl Iterator<Item = &'static Key> + use<> {
        self.groups.iter().copied().flatten()
    }

    /// Those that this version takes.
    fn known(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.all().filter(|key| !matches!(key.kind, Kind::Later)).map(|key| key.name)
    }

    /// Why a key is refused, if it is.
    pub(super) fn refuse(&self, key: &str) -> Option<Wrong> {
        match self.all().find(|known| known.name == key).map(|known| &known.kind) {
            Some(Kind::Later) => Some("is not in this version".into()),
            Some(_) => None,
            None => Some(Wrong { rule: "is not a known key".into(), hint: nearest(key, self.known()) }),
        }
    }

    /// A key that the parser asks for by name.
    fn key(&self, name: &str) -> &'static Key {
        let found = self.all().find(|key| key.name == name);
        found.unwrap_or_else(|| panic!("{}.{name} is not in the table of keys", self.table))
    }

    /// What the type of a key says of one kind, if it is that kind or one of several that are taken.
    fn of_kind<T>(&self, name: &str, pick: impl Fn(&'static Kind) -> Option<T>) -> T {
        let kinds = match &self.key(name).kind {
            Kind::Any(kinds) => kinds,
            kind => std::slice::from_ref(kind),
        };
        let found = kinds.iter().find_map(pick);
        found.unwrap_or_else(|| panic!("{}.{name} is read as another type than the table says", self.table))
    }

    /// The range of a whole number.
    pub(super) fn whole(&self, name: &str) -> RangeInclusive<i64> {
        self.of_kind(name, |kind| match kind {
            Kind::Whole(least, most) => Some(*least..=*most),
            _ => None,
        })
    }

    /// The range of a number.
    pub(super) fn number(&self, name: &str) -> RangeInclusive<f64> {
        self.of_kind(name, |kind| match kind {
            Kind::Number(least, most) => Some(*least..=*most),
            _ => None,
        })
    }

    /// The least duration or size, as text.
    pub(super) fn least(&self, name: &str) -> &'static str {
        self.of_kind(name, |kind| match kind {
            Kind::Duration(least) | Kind::Size(least) => Some(*least),
            _ => None,
        })
    }

    /// The keys of a table below.
    pub(super) fn table(&self, name: &str) -> &'static Self {
        self.of_kind(name, |kind| match kind {
            Kind::Table(keys) => Some(*keys),
            _ => None,
        })
    }

    /// The default of a key, read as the value would be.
    pub(super) fn default<T, W: Into<Wrong>>(&self, name: &str, read: impl Fn(&Node) -> Result<T, W>) -> T {
        let node = self.key(name).default_node();
        let value = node.and_then(|node| read(&node).ok());
        value.unwrap_or_else(|| panic!("{}.{name} has no good default in the table of keys", self.table))
    }

    /// The default of a duration.
    pub(super) fn default_duration(&self, name: &str) -> Duration {
        self.default(name, value::duration(self.least(name)))
    }
}

impl Key {
    /// The default as a value, if it is one.
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

/// The nearest of some names, if any is near enough to be what was meant.
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
