//! `watch = { … }`: which files a service is restarted for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::problem::Wrong;
use super::reader::Reader;
use super::tree::{Node, Value};
use super::value::filled;

/// What editors, version control and interpreters leave behind: no change of the program.
const ALWAYS: [&str; 11] =
    [".git", ".hg", ".svn", "node_modules", "__pycache__", "*.pyc", "*.swp", "*.swx", "*~", ".#*", "4913"];

/// Which files a service is restarted for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Files and folders, absolute; empty: the service's `cwd`.
    pub paths: Vec<PathBuf>,
    /// Patterns of what is no reason.
    pub ignore: Vec<String>,
    /// How long nothing more must change.
    pub debounce: Duration,
}

/// What is no reason to restart.
#[derive(Debug, Clone)]
pub struct Ignored {
    /// Names, and ways from a watched folder on.
    names: GlobSet,
    /// Whole paths.
    places: GlobSet,
}

impl Ignored {
    /// Whether a path is no reason. What lies above the watched folder is not looked at: a program may well live in
    /// somebody's `node_modules`.
    pub fn holds(&self, watched: &Path, path: &Path) -> bool {
        path.strip_prefix(watched).is_ok_and(|below| self.names.is_match(below)) || self.places.is_match(path)
    }
}

impl Watch {
    /// What is no reason to restart: what the file says and what it never is.
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
    // So that a service can do without what `[defaults]` say.
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

/// A name means that name wherever it stands, and everything below it.
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
