//! Problems of a file, with their positions.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use proto::Name;

use super::tree::Node;

/// One problem of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path of the file.
    pub file: PathBuf,
    /// Line, from 1; 0 if the problem has no line.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Whole key, such as `services.web.restart.max`; may be empty.
    pub key: String,
    /// Value as written, shortened.
    pub value: Option<String>,
    /// Rule that a valid value follows.
    pub rule: String,
    /// Nearest valid name, if the given one looks mistyped.
    pub hint: Option<String>,
    /// Service that has the problem.
    pub service: Option<Name>,
    /// Whether the file is well formed, and the host lacks something that it names.
    pub world: bool,
}

impl Problem {
    /// Creates a problem of the whole file.
    pub(super) fn of_file(file: &Path, rule: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: 0,
            column: 0,
            key: String::new(),
            value: None,
            rule: rule.into(),
            hint: None,
            service: None,
            world: false,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without a line the message has the whole path, because it is often about a missing file.
        if self.line == 0 && self.key.is_empty() {
            return write!(f, "{}: {}", self.file.display(), self.rule);
        }
        let name = self.file.file_name().unwrap_or(self.file.as_os_str());
        write!(f, "{}:", Path::new(name).display())?;
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        if !self.key.is_empty() {
            write!(f, " {}", self.key)?;
            if let Some(value) = &self.value {
                write!(f, " = {value}")?;
            }
            write!(f, ":")?;
        }
        write!(f, " {}", self.rule)?;
        match &self.hint {
            Some(hint) => write!(f, " (did you mean {hint:?}?)"),
            None => Ok(()),
        }
    }
}

/// All problems of a file, in order of position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Whether there are no problems.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the problems in order of position.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    pub(super) fn sorted(mut all: Vec<Problem>) -> Self {
        all.sort_by(|a, b| (a.line, a.column, &a.key, &a.rule).cmp(&(b.line, b.column, &b.key, &b.rule)));
        // A value of `[defaults]` is read once for each service, but is reported once.
        all.dedup_by(|a, b| {
            let base = |problem: &Problem| problem.service.as_ref().map(|name| name.base().to_owned());
            let once = !a.world || base(a) == base(b);
            a.line > 0 && once && (a.line, a.column, &a.rule) == (b.line, b.column, &b.rule)
        });
        Self(all)
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}
impl std::error::Error for Problems {}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

/// Why a value is refused.
pub(super) struct Wrong {
    pub(super) rule: String,
    pub(super) hint: Option<String>,
}

impl<S: Into<String>> From<S> for Wrong {
    fn from(rule: S) -> Self {
        Self { rule: rule.into(), hint: None }
    }
}

/// Collects the problems of one file while it is read.
pub(super) struct Scope<'a> {
    pub(super) file: &'a Path,
    text: &'a str,
    line_starts: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(file: &'a Path, text: &'a str) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file, text, line_starts, problems: RefCell::default() }
    }

    /// Returns line and column of a byte, both from 1. Columns count characters, not bytes.
    pub(super) fn place(&self, at: usize) -> (usize, usize) {
        let line = self.line_starts.partition_point(|start| *start <= at);
        let start = self.line_starts[line - 1];
        let before = self.text.as_bytes().get(start..at.min(self.text.len())).unwrap_or_default();
        // All bytes of a character except the first are continuation bytes.
        (line, 1 + before.iter().filter(|byte| **byte & 0xC0 != 0x80).count())
    }

    /// Reports a value.
    pub(super) fn value(&self, node: &Node, service: Option<&Name>, wrong: impl Into<Wrong>) {
        let shown = (!node.is_secret()).then(|| node.shown());
        self.add(node.at, &node.path, shown, service, wrong);
    }

    /// Reports a key, or a table that lacks one.
    pub(super) fn key(&self, at: Option<usize>, path: &str, service: Option<&Name>, wrong: impl Into<Wrong>) {
        self.add(at, path, None, service, wrong);
    }

    fn add(
        &self,
        at: Option<usize>,
        path: &str,
        value: Option<String>,
        service: Option<&Name>,
        wrong: impl Into<Wrong>,
    ) {
        let (line, column) = at.map_or((0, 0), |at| self.place(at));
        let Wrong { rule, hint } = wrong.into();
        self.problems.borrow_mut().push(Problem {
            line,
            column,
            key: path.into(),
            value,
            hint,
            service: service.cloned(),
            ..Problem::of_file(self.file, rule)
        });
    }

    /// Returns the value, or the problems if there are any.
    pub(super) fn finish<T>(self, value: T) -> Result<T, Problems> {
        let problems = self.problems.into_inner();
        if problems.is_empty() { Ok(value) } else { Err(Problems::sorted(problems)) }
    }

    pub(super) fn problems(&self) -> Problems {
        Problems::sorted(self.problems.borrow().clone())
    }
}

/// The positions of all values of a file. `Debug` does not show them, because they are no part of the content.
#[derive(Clone, Default)]
pub struct Places(BTreeMap<String, Place>);

#[derive(Clone)]
struct Place {
    path: String,
    line: usize,
    column: usize,
}

impl Places {
    /// Records the positions of a tree, by the keys that the values have after the merge of defaults.
    pub(super) fn record(&mut self, scope: &Scope<'_>, key: &str, node: &Node) {
        let (line, column) = node.at.map_or((0, 0), |at| scope.place(at));
        self.0.insert(key.into(), Place { path: node.path.clone(), line, column });
        for (name, child) in node.table().into_iter().flatten() {
            self.record(scope, &super::tree::join(key, name), child);
        }
    }

    /// Creates a problem of the host at a key, or at the nearest key above it that is in the file.
    pub(super) fn problem(&self, file: &Path, key: &str, service: Option<&Name>, rule: String) -> Problem {
        let mut problem = Problem { service: service.cloned(), world: true, ..Problem::of_file(file, rule) };
        key.clone_into(&mut problem.key);
        let mut above = key;
        loop {
            if let Some(place) = self.0.get(above) {
                (problem.line, problem.column) = (place.line, place.column);
                if above == key {
                    place.path.clone_into(&mut problem.key);
                }
                return problem;
            }
            match above.rsplit_once('.') {
                Some((shorter, _)) => above = shorter,
                None => return problem,
            }
        }
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Places")
    }
}
