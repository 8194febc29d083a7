//! Finds the file and its home.

use std::path::{Path, PathBuf};

use proto::{Endpoint, Name};

use super::daemons::{BUILT_IN, is_managed};
use super::endpoints::reached_at;
use super::problem::{Problem, Problems, Scope};
use super::tree::Node;
use super::{Env, effective, service, tree};
use crate::Home;

const FILE: &str = "sereno.toml";

/// The parts of a file that `ctl` needs even if the file has errors.
#[derive(Debug, Clone)]
pub struct Located {
    /// Path of the file, absolute.
    pub file: PathBuf,
    /// Home of the supervisor.
    pub home: Home,
    /// Endpoint of the supervisor.
    pub supervisor: Endpoint,
    /// Name of the table and TLS files, for each daemon that has some.
    pub tls: Vec<(String, sereno_auth::TlsFiles)>,
    /// Endpoint of each monitor, the built-in ones first.
    pub monitors: Vec<(Name, Endpoint)>,
    /// Why the fields above may be wrong; empty if the file is good.
    pub problems: Problems,
}

/// Finds the file: `-f`, else `SERENO_CONFIG`, else the nearest `sereno.toml` from `here` upwards, else the user's,
/// else the system's. The path is absolute.
pub fn find(explicit: Option<&Path>, here: &Path, env: &Env) -> Result<PathBuf, Problems> {
    let given = match (explicit, env.get("SERENO_CONFIG").filter(|text| !text.is_empty())) {
        (Some(path), _) => Some((path.to_owned(), "")),
        (None, Some(text)) => Some((PathBuf::from(text), " (named by SERENO_CONFIG)")),
        (None, None) => None,
    };
    if let Some((path, by)) = given {
        let path = here.join(path);
        let file = if path.is_dir() { path.join(FILE) } else { path };
        if file.is_file() {
            return Ok(settled(&file));
        }
        return Err(Problem::of_file(&file, format!("no such file{by}")).into());
    }
    let upwards = here.ancestors().map(|folder| folder.join(FILE));
    let installed: Vec<PathBuf> = [user_file(env), system_file(env)].into_iter().flatten().collect();
    upwards
        .chain(installed.iter().cloned())
        .find(|file| file.is_file())
        .map(|file| settled(&file))
        .ok_or_else(|| {
            let tried: Vec<String> = installed.iter().map(|file| file.display().to_string()).collect();
            let rule = format!(
                "there is none here or in a folder above, nor {}: ctl init makes one",
                tried.join(" nor ")
            );
            Problem::of_file(&here.join(FILE), rule).into()
        })
}

/// Reads a file as text.
pub fn read(path: &Path) -> Result<String, Problems> {
    let bytes =
        std::fs::read(path).map_err(|error| Problem::of_file(path, format!("can not be read: {error}")))?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(&error.as_bytes()[..good]).into_owned();
        let (line, column) = Scope::new(path, &text).place(good);
        Problem { line, column, ..Problem::of_file(path, "is not UTF-8 from here on") }.into()
    })
}

/// Determines home and endpoints without checking any service: `ctl status` must work while a file has errors.
pub fn locate(path: &Path, env: &Env) -> Result<Located, Problems> {
    let text = read(path)?;
    let file = settled(path);
    let scope = Scope::new(&file, &text);
    // Values that can not be parsed are missing in the tree, so their defaults apply.
    let root = tree::parse(&scope, &text, "");
    let broken = !scope.problems().is_empty();
    let only = |key: &str| root.get(&[key]).map(|node| (key.to_owned(), node.clone()));
    let keys = ["supervisor", "monitors", "health-monitor", "port-monitor"];
    let root = root.beside(tree::Value::Table(keys.iter().filter_map(|key| only(key)).collect()));
    let root = effective::of(&scope, root, base(&file), env).root;

    let home = root.get(&["supervisor", "home"]).and_then(Node::text).filter(|home| !home.contains("${"));
    let unsure = broken || home.is_none();
    let home = Home::at(&home.map_or_else(|| default_home(&file, env), PathBuf::from));
    let mut problems = scope.problems();
    if unsure {
        let rule = format!("can not be read whole; home is taken to be {}", home.root().display());
        problems.0.push(Problem::of_file(&file, rule));
    }
    Ok(Located {
        supervisor: home.endpoint("supervisor"),
        tls: tls_of(&root),
        monitors: endpoints(&root, &home),
        problems,
        home,
        file,
    })
}

fn tls_of(root: &Node) -> Vec<(String, sereno_auth::TlsFiles)> {
    let built_in = BUILT_IN.iter().map(|(name, _)| *name);
    let files = |table: &str| {
        let path = |key: &str| root.get(&[table, "tls", key]).and_then(Node::text).map(PathBuf::from);
        let files = sereno_auth::TlsFiles { ca: path("ca")?, cert: path("cert")?, key: path("key")? };
        Some((table.to_owned(), files))
    };
    ["supervisor"].into_iter().chain(built_in).filter_map(files).collect()
}

fn endpoints(root: &Node, home: &Home) -> Vec<(Name, Endpoint)> {
    let declared =
        root.get(&["monitors"]).and_then(Node::table).into_iter().flatten().map(|(name, _)| &**name);
    let built_in = BUILT_IN.iter().map(|(name, _)| *name);
    let more = declared.filter(|name| !BUILT_IN.iter().any(|(known, _)| known == name));
    let endpoint = |name: &str| {
        let key = service::check_name(name).ok()?;
        let said = root.get(&["monitors", name, "endpoint"]).and_then(Node::text).map(str::to_owned);
        let own = || reached_at(root.get(&[name]), is_managed(root, name));
        let given = said.or_else(own).and_then(|uri| Endpoint::parse(&uri).ok());
        Some((key, given.unwrap_or_else(|| home.endpoint(name))))
    };
    built_in.chain(more).filter_map(endpoint).collect()
}

/// Returns the home of a file that names none: beside the file, except for the user's and the system's file.
pub(super) fn default_home(file: &Path, env: &Env) -> PathBuf {
    if !cfg!(windows) {
        let is = |installed: PathBuf| installed == file || settled(&installed) == file;
        if user_file(env).is_some_and(is)
            && let Some(state) = xdg(env, "XDG_STATE_HOME", ".local/state")
        {
            return state.join("sereno");
        }
        if system_file(env).is_some_and(is) {
            return "/var/lib/sereno".into();
        }
    }
    base(file).join(".sereno")
}

fn user_file(env: &Env) -> Option<PathBuf> {
    let folder = if cfg!(windows) {
        env.get("APPDATA").map(PathBuf::from)
    } else {
        xdg(env, "XDG_CONFIG_HOME", ".config")
    };
    Some(folder?.join("sereno").join(FILE))
}

fn system_file(env: &Env) -> Option<PathBuf> {
    let folder =
        if cfg!(windows) { env.get("PROGRAMDATA").map(PathBuf::from)? } else { PathBuf::from("/etc") };
    Some(folder.join("sereno").join(FILE))
}

fn xdg(env: &Env, name: &str, below_home: &str) -> Option<PathBuf> {
    // The XDG specification says to ignore relative paths.
    let given = env.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    given.or_else(|| Some(PathBuf::from(env.get("HOME").filter(|home| !home.is_empty())?).join(below_home)))
}

/// Returns one path for a file, whichever way it was reached, because home and sockets are derived from it. A link to
/// the file itself is kept: relative paths start at the link.
fn settled(file: &Path) -> PathBuf {
    let file = absolute_file(file);
    // On Windows, few programs accept a canonical path, and an absolute path has no `..` anyway.
    let folder = if cfg!(windows) { None } else { base(&file).canonicalize().ok() };
    match (folder, file.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => file,
    }
}

/// Makes the path of a file absolute, without `.` parts.
pub(super) fn absolute_file(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).components().collect()
}

/// Returns the folder of a file.
pub(super) fn base(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("/"))
}
