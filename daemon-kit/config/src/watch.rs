//! Reads `watch`: the files whose change restarts a service.

use std::path::{Path, PathBuf};
use std::time::Duration;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::problem::Wrong;
use super::reader::Reader;
use super::tree::{Node, Value};
use super::value::filled;

/// Files that editors, version control and interpreters write without a change of the program.
const ALWAYS: [&str; 11] =
    [".git", ".hg", ".svn", "node_modules", "__pycache__", "*.pyc", "*.swp", "*.swx", "*~", ".#*", "4913"];

/// The files whose change restarts a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Files and folders, absolute; if empty, the service's `cwd`.
    pub paths: Vec<PathBuf>,
    /// Patterns of files that are ignored.
    pub ignore: Vec<String>,
    /// Time without a further change before the restart.
    pub debounce: Duration,
}

/// Matches files that are ignored.
#[derive(Debug, Clone)]
pub struct Ignored {
    /// Matches names, and paths relative to a watched folder.
    names: GlobSet,
    /// Matches absolute paths.
    places: GlobSet,
}

impl Ignored {
    /// Whether a path is ignored. Names above the watched folder do not count: a program may itself lie in a
    /// `node_modules`.
    pub fn holds(&self, watched: &Path, path: &Path) -> bool {
        path.strip_prefix(watched).is_ok_and(|below| self.names.is_match(below)) || self.places.is_match(path)
    }
}

impl Watch {
    /// Returns the matcher of ignored files: those of `ignore`, and those that are always ignored.
    pub fn ignored(&self) -> Ignored {
        let (mut names, mut places) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for pattern in ALWAYS.into_iter().chain(self.ignore.iter().map(String::as_str)) {
            let set = if Path::new(pattern).has_root() { &mut places } else { &mut names };
            for pattern in spread(pattern) {
                set.add(glob(&pattern).expect("it was read once"));
            }
        }
        let build = |set: GlobSetBuilder| set.build().expect("each of them is good");
        Ignored { names: build(names), places: build(places) }
    }
}

/// Reads the `watch` of a service.
pub(super) fn read(service: &Reader<'_>) -> Option<Watch> {
    // `false` lets a service go without the `watch` of `[defaults]`.
    if matches!(service.get("watch")?.value, Value::Boolean(false)) {
        return None;
    }
    let table = service.sub("watch")?;
    Some(Watch {
        paths: table.paths("paths"),
        ignore: table.list("ignore", "patterns", pattern).unwrap_or_default(),
        debounce: table.duration("debounce"),
    })
}

fn pattern(node: &Node) -> Result<String, Wrong> {
    let text = filled(node)?;
    for pattern in spread(&text) {
        glob(&pattern).map_err(|error| format!("must be a pattern such as \"*.log\": {}", error.kind()))?;
    }
    Ok(text)
}

/// Adds a pattern. A name matches at any depth, with everything below it.
fn spread(pattern: &str) -> [String; 2] {
    let pattern = pattern.strip_prefix("./").unwrap_or(pattern).trim_end_matches('/');
    let pattern = if Path::new(pattern).has_root() { pattern.to_owned() } else { format!("**/{pattern}") };
    [format!("{pattern}/**"), pattern]
}

fn glob(pattern: &str) -> Result<globset::Glob, globset::Error> {
    GlobBuilder::new(pattern).literal_separator(true).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_ignored_wherever_it_stands_and_with_all_below_it() {
        let ignore = ["logs", "*.log", "static/built", "/srv/app/data"].map(str::to_owned).to_vec();
        let ignored = Watch { paths: Vec::new(), ignore, debounce: Duration::ZERO }.ignored();
        for (path, is_ignored) in [
            ("main.py", false),
            (".git/index", true),
            ("web/node_modules/x/y.js", true),
            ("x/__pycache__/main.pyc", true),
            ("logs/x", true),
            ("catalogs/x", false),
            ("a.log", true),
            ("static/built/a.js", true),
            ("built/a.js", false),
            ("data/db", true),
            ("x/data/db", false),
            (".main.py.swp", true),
        ] {
            let folder = Path::new("/srv/app");
            assert_eq!(ignored.holds(folder, &folder.join(path)), is_ignored, "{path}");
        }
        let inside = Path::new("/srv/node_modules/tool");
        assert!(
            !ignored.holds(inside, &inside.join("main.js")),
            "only what is below the watched folder counts"
        );
    }
}
