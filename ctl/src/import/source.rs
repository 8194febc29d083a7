//! Reads a PM2 file into a list of apps. JavaScript is run by node, as PM2 does; nothing else is run.

use std::path::Path;

use serde_json::{Map, Value};

use crate::tool;

/// An app in PM2's form.
pub(crate) type App = Map<String, Value>;

/// Content of a file.
#[derive(Debug)]
pub(crate) struct Source {
    /// Apps of the file.
    pub(crate) apps: Vec<App>,
    /// Names of the file's other sections.
    pub(crate) others: Vec<String>,
    /// Whether `pm2 save` wrote it.
    pub(crate) dump: bool,
}

/// Why no list of apps could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("read {0}: {1}")]
    Read(String, std::io::Error),
    #[error(
        "read {0}: it is JavaScript, and there is no node to run it: on a machine with PM2, run \"pm2 save\" and import ~/.pm2/dump.pm2, or write it as .json"
    )]
    NoNode(String),
    #[error("read {0}: node says: {1}")]
    Node(String, String),
    #[error("read {0}: {1}")]
    Json(String, serde_json::Error),
    #[error("read {0}: {1}")]
    Yaml(String, serde_yaml_ng::Error),
    #[error("read {0}: there are no apps in it: an ecosystem file has \"apps: [ … ]\"")]
    NoApps(String),
}

/// Prints a module's export as JSON after a mark, because the module may print as well.
const PRINT: &str = "const u = require('url').pathToFileURL(process.argv[1]).href; \
     import(u).then((m) => { let v = m.default ?? m; if (typeof v === 'function') v = v(); \
     return Promise.resolve(v).then((v) => process.stdout.write('\\n@@sereno@@' + JSON.stringify(v))); }) \
     .catch((e) => { console.error(String(e && e.stack || e).split('\\n').slice(0, 3).join(' ')); process.exit(1); })";

/// PM2 evaluates its .json files, so they may contain comments.
const PRINT_TEXT: &str = "const t = require('fs').readFileSync(process.argv[1], 'utf8'); \
     process.stdout.write('\\n@@sereno@@' + JSON.stringify(require('vm').runInNewContext('(' + t + ')')))";

/// Reads a file according to its extension.
pub(crate) fn read(path: &Path) -> Result<Source, SourceError> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| SourceError::Read(shown.clone(), error))?;
    let ending = path.extension().and_then(std::ffi::OsStr::to_str).unwrap_or_default();
    let value: Value = match ending {
        "js" | "cjs" | "mjs" => node(PRINT, path, &shown)?,
        "yml" | "yaml" => yaml(&text).map_err(|error| SourceError::Yaml(shown.clone(), error))?,
        _ => match json(&text) {
            Ok(value) => value,
            Err(error) => match node(PRINT_TEXT, path, &shown) {
                Ok(value) => value,
                Err(_) => return Err(SourceError::Json(shown, error)),
            },
        },
    };
    sort(value).ok_or(SourceError::NoApps(shown))
}

pub(crate) fn yaml(text: &str) -> serde_yaml_ng::Result<Value> {
    serde_yaml_ng::from_str(text)
}

/// Parses JSON that may begin with a byte order mark.
pub(crate) fn json(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str(text.trim_start_matches('\u{feff}'))
}

fn node(program: &str, path: &Path, shown: &str) -> Result<Value, SourceError> {
    let said = tool::ask("node", ["-e".as_ref(), program.as_ref(), path.as_os_str()]);
    let said = match said {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(SourceError::NoNode(shown.into()));
        }
        said => said.map_err(|error| SourceError::Read(shown.into(), error))?,
    };
    let out = String::from_utf8_lossy(&said.stdout);
    let json = out.rsplit_once("\n@@sereno@@").map(|(_, json)| json);
    if let Some(json) = json.filter(|_| said.status.success()) {
        return serde_json::from_str(json).map_err(|error| SourceError::Json(shown.into(), error));
    }
    let why = String::from_utf8_lossy(&said.stderr);
    let why = why.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("nothing");
    Err(SourceError::Node(shown.into(), why.into()))
}

/// Finds the apps in `{ apps: [ … ] }`, `{ pm2: [ … ] }`, a list, or a single app.
pub(crate) fn sort(value: Value) -> Option<Source> {
    let mut others = Vec::new();
    let list = match value {
        Value::Array(list) => list,
        Value::Object(mut whole) => {
            let apps = whole.remove("apps").or_else(|| whole.remove("pm2"));
            match apps {
                Some(Value::Array(list)) => {
                    others = whole.keys().cloned().collect();
                    list
                }
                Some(one @ Value::Object(_)) => vec![one],
                _ if whole.contains_key("script") => vec![Value::Object(whole)],
                _ => return None,
            }
        }
        _ => return None,
    };
    let apps: Vec<App> = list
        .into_iter()
        .filter_map(|app| match app {
            Value::Object(app) => Some(app),
            _ => None,
        })
        .collect();
    let dump = apps.iter().any(|app| app.contains_key("pm_exec_path"));
    (!apps.is_empty()).then_some(Source { apps, others, dump })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_as(name: &str, text: &str) -> Result<Source, SourceError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        read(&path)
    }

    #[test]
    fn lists_may_stand_in_many_forms() {
        for (name, text) in [
            ("a.json", r#"{"apps":[{"script":"a.js"}],"deploy":{}}"#),
            ("a.json", r#"[{"script":"a.js"}]"#),
            ("a.json", r#"{"script":"a.js"}"#),
            ("a.yml", "apps:\n  - script: a.js\n"),
        ] {
            let source = read_as(name, text).expect(text);
            assert_eq!(source.apps[0]["script"], "a.js", "{text}");
            assert!(!source.dump);
        }
        assert!(read_as("dump.pm2", r#"[{"pm_exec_path":"/a"}]"#).expect("a dump").dump);
        assert!(matches!(read_as("a.json", "{}"), Err(SourceError::NoApps(_))));
        assert!(matches!(read_as("a.yml", "a: ["), Err(SourceError::Yaml(..))));
    }
}
