//! Turns the document as written into the effective one: overlays of this system and `[defaults]` are merged in, `${…}`
//! is replaced, short forms are written out, paths are absolute, `SERENO_SUPERVISOR__…` is applied. The result is a
//! document too, so that it can be stored as the applied file; a second pass changes nothing.

use std::path::{Path, PathBuf};

use proto::Name;

use super::evidence::AskedEvidence;
use super::keys::{self, Keys};
use super::problem::Scope;
use super::tree::{Node, Table, Value};
use super::{Env, endpoints, expand, find, instances};

/// The tables of a service that apply to one system only.
const SYSTEMS: [&str; 3] = ["linux", "macos", "windows"];

/// The key in `stop` whose `${MAINPID}` only the supervisor can replace.
const STOP_COMMAND: &str = "command";

/// The effective document, and `[defaults]` by itself, so that it is checked even if no service uses it.
pub(super) struct Effective {
    pub(super) root: Node,
    pub(super) defaults: Option<Node>,
}

/// Makes the effective document.
pub(super) fn of(scope: &Scope<'_>, mut root: Node, base: &Path, env: &Env) -> Effective {
    let mut defaults = None;
    if let Some(table) = root.table_mut() {
        for (_, node) in table.iter_mut().filter(|(name, _)| !matches!(&***name, "defaults" | "services")) {
            expand::node(scope, node, env);
        }
        let raw = table.remove("defaults");
        // The defaults differ between instances, because `${INSTANCE}` does.
        let defaults_in = |env: &Env| raw.clone().map(|node| service(scope, node, env));
        let mut several = false;
        if let Some(services) = table.get_mut("services").and_then(Node::table_mut) {
            several = instances::spread(services, raw.as_ref());
            for (name, node) in services {
                let env = instances::env(name, env);
                let own = service(scope, node.clone(), &env);
                *node = match &defaults_in(&env) {
                    Some(defaults) => with_defaults(defaults, &own),
                    None => own,
                };
                absolute_service(node, base);
            }
        }
        defaults = defaults_in(&instances::env(if several { ":0" } else { "" }, env));
        for monitor in table.get_mut("monitors").and_then(Node::table_mut).into_iter().flatten() {
            // A name without a slash is looked up in PATH.
            absolute_if(monitor.1, "program", base, |text| text.contains(['/', '\\']));
        }
        for (name, _) in super::daemons::BUILT_IN {
            if let Some(own) = table.get_mut(name) {
                endpoints::absolute_daemon(own, base);
            }
        }
        supervisor(scope, table, base, env);
    }
    Effective { root, defaults }
}

/// Makes one effective service or `[defaults]`: expanded, short forms written out, the overlay of this system merged
/// in.
fn service(scope: &Scope<'_>, mut node: Node, env: &Env) -> Node {
    let Some(table) = node.table_mut() else { return node };
    // Overlays are removed first: those for another system may name variables that are not set here.
    let mut overlays: Vec<(&str, Node)> =
        SYSTEMS.iter().filter_map(|system| table.remove(*system).map(|overlay| (*system, overlay))).collect();
    expand_service(scope, table, env);
    short_forms(table);
    for (system, overlay) in &mut overlays {
        let Some(table) = overlay.table_mut() else {
            scope.value(overlay, None, "must be a table");
            continue;
        };
        if *system == std::env::consts::OS {
            expand_service(scope, table, env);
            short_forms(table);
            node = merge(&node, overlay, Level::Service);
        } else {
            // The values are for another machine, but the keys can be checked here.
            unknown_keys(scope, overlay, None, &keys::SERVICE);
        }
    }
    node
}

fn expand_service(scope: &Scope<'_>, table: &mut Table, env: &Env) {
    // `${PID}` is replaced when the command is run.
    let ask = evidence(table).and_then(|evidence| evidence.remove("command")).map(|mut command| {
        let mut env = env.clone();
        env.insert("PID".into(), AskedEvidence::PID.into());
        expand::node(scope, &mut command, &env);
        command
    });
    for (key, node) in table.iter_mut().filter(|(key, _)| *key != "shell") {
        let stop = (key == "stop").then(|| node.table_mut()).flatten();
        let command = stop.and_then(|stop| stop.remove(STOP_COMMAND));
        expand::node(scope, node, env);
        if let (Some(mut command), Some(stop)) = (command, node.table_mut()) {
            expand::node(scope, &mut command, &expand::with_main_pid(env));
            stop.insert(STOP_COMMAND.into(), command);
        }
    }
    if let (Some(command), Some(evidence)) = (ask, evidence(table)) {
        evidence.insert("command".into(), command);
    }
}

/// Returns the table `stop.evidence` of a service.
fn evidence(service: &mut Table) -> Option<&mut Table> {
    service.get_mut("stop")?.table_mut()?.get_mut("evidence")?.table_mut()
}

/// Reports the keys of a table that are not in the list.
pub(super) fn unknown_keys(scope: &Scope<'_>, node: &Node, service: Option<&Name>, keys: &Keys) {
    for (key, child) in node.table().into_iter().flatten() {
        if let Some(wrong) = keys.refuse(key) {
            scope.key(child.key_at, &child.path, service, wrong);
        }
    }
}

/// Replaces `port = 8000`, `health = "http://…"`, `restart = "never"`, `watch = true` by the tables that they stand
/// for.
fn short_forms(table: &mut Table) {
    for (key, inner) in
        [("port", "port"), ("health", "url"), ("restart", "policy"), ("schedule", "cron"), ("watch", "paths")]
    {
        let Some(node) = table.get_mut(key) else { continue };
        let inner = match &node.value {
            Value::Text(text) if key == "port" && text.contains(':') => "address",
            Value::Text(_) => inner,
            Value::Integer(_) if key == "port" => inner,
            Value::List(_) if key == "watch" => inner,
            Value::Boolean(true) if key == "watch" => {
                *node = node.beside(Value::Table(Table::new()));
                continue;
            }
            _ => continue,
        };
        let table = Table::from([(inner.to_owned(), node.clone())]);
        *node = node.beside(Value::Table(table));
    }
}

/// Merges a service over `[defaults]`.
fn with_defaults(defaults: &Node, own: &Node) -> Node {
    let mut base = defaults.clone();
    if let (Some(base), Some(own)) = (base.table_mut(), own.table()) {
        // A default that says only how to check adds no check to a service that declares none.
        let idle = |node: &Node, essential: &[&str]| !essential.iter().any(|key| node.get(&[key]).is_some());
        base.retain(|key, node| match &**key {
            "port" => own.contains_key("port") || !idle(node, &["port", "address"]),
            "health" => own.contains_key("health") || !idle(node, &["url"]),
            _ => true,
        });
        if let Some(checks) = base.get_mut("checks").and_then(Node::table_mut) {
            let declared = |id: &str| own.get("checks").and_then(|checks| checks.get(&[id])).is_some();
            checks.retain(|id, node| declared(id) || !idle(node, &["kind"]));
        }
    }
    merge(&base, own, Level::Service)
}

/// The table that is merged: some have keys that exclude each other.
#[derive(Clone, Copy)]
enum Level {
    Service,
    Checks,
    Check,
    Other,
}

impl Level {
    /// Returns two keys of which a table can have only one.
    fn either(self) -> Option<[&'static str; 2]> {
        match self {
            Self::Service => Some(["command", "shell"]),
            Self::Check => Some(["port", "address"]),
            Self::Checks | Self::Other => None,
        }
    }

    fn below(self, key: &str) -> Self {
        match (self, key) {
            (Self::Service, "checks") => Self::Checks,
            (Self::Service, "port" | "health") | (Self::Checks, _) => Self::Check,
            _ => Self::Other,
        }
    }
}

/// Merges tables key by key; any other value replaces the one below.
fn merge(base: &Node, over: &Node, level: Level) -> Node {
    let (Some(below), Some(above)) = (base.table(), over.table()) else { return over.clone() };
    let mut table = below.clone();
    if let Some([one, other]) = level.either() {
        if above.contains_key(one) {
            table.remove(other);
        }
        if above.contains_key(other) {
            table.remove(one);
        }
    }
    for (key, node) in above {
        let merged = match table.get(key) {
            // `{ log = … }` and `{ delay = … }` exclude each other, and a check of another kind is another check.
            Some(_) if matches!(level, Level::Service) && key == "ready" => node.clone(),
            Some(old) if matches!(level, Level::Checks) && differs(old, node, "kind") => node.clone(),
            Some(old) => merge(old, node, level.below(key)),
            None => node.clone(),
        };
        table.insert(key.clone(), merged);
    }
    over.beside(Value::Table(table))
}

fn differs(one: &Node, other: &Node, key: &str) -> bool {
    matches!((one.get(&[key]), other.get(&[key])), (Some(one), Some(other)) if one.text() != other.text())
}

// ---- paths ----

/// Resolves a path relative to a folder. Parts `.` are removed, `..` stay because they may cross a link.
pub(super) fn absolute(base: &Path, text: &str) -> PathBuf {
    base.join(text).components().collect()
}

pub(super) fn absolute_if(node: &mut Node, key: &str, base: &Path, wanted: impl Fn(&str) -> bool) {
    let Some(value) = node.table_mut().and_then(|table| table.get_mut(key)) else { return };
    value.each_text(&mut |node| {
        if let Value::Text(text) = &mut node.value
            && !text.is_empty()
            && wanted(text)
        {
            *text = absolute(base, text).to_string_lossy().into_owned();
        }
    });
}

fn absolute_service(node: &mut Node, base: &Path) {
    let folder = node.beside(Value::Text(base.to_string_lossy().into_owned()));
    let Some(table) = node.table_mut() else { return };
    table.entry("cwd".into()).or_insert(folder);
    for key in ["cwd", "env_file"] {
        absolute_if(node, key, base, |_| true);
    }
    let Some(table) = node.table_mut() else { return };
    for (key, inner) in [("log", "stdout"), ("log", "stderr"), ("health", "ca_file"), ("watch", "paths")] {
        if let Some(node) = table.get_mut(key) {
            absolute_if(node, inner, base, |_| true);
        }
    }
    for (_, check) in table.get_mut("checks").and_then(Node::table_mut).into_iter().flatten() {
        absolute_if(check, "ca_file", base, |_| true);
        absolute_if(check, "cwd", base, |_| true);
    }
}

// ---- [supervisor] ----

/// Applies the environment to `[supervisor]`, and fills in the home, which all daemons must compute alike.
fn supervisor(scope: &Scope<'_>, root: &mut Table, base: &Path, env: &Env) {
    let missing =
        || Node { at: None, key_at: None, path: "supervisor".into(), value: Value::Table(Table::new()) };
    let node = root.entry("supervisor".into()).or_insert_with(missing);
    for (variable, text) in env {
        let Some(keys) = variable.strip_prefix("SERENO_SUPERVISOR__") else { continue };
        let keys: Vec<String> = keys.split("__").map(str::to_lowercase).collect();
        let value = Node { at: None, key_at: None, path: variable.clone(), value: scalar(text) };
        set(node, &keys, value);
    }
    let fallback = find::default_home(scope.file, env).to_string_lossy().into_owned();
    let unset = node.beside(Value::Text(fallback));
    let Some(table) = node.table_mut() else { return };
    let home = table.entry("home".into()).or_insert(unset);
    if let Some(text) = env.get("SERENO_HOME").filter(|text| !text.is_empty()) {
        *home = Node { at: None, key_at: None, path: "SERENO_HOME".into(), value: Value::Text(text.clone()) };
    }
    absolute_if(node, "home", base, |_| true);
    absolute_if(node, "tls", base, |_| true);
}

fn set(node: &mut Node, keys: &[String], value: Node) {
    let (Some((key, below)), Some(table)) = (keys.split_first(), node.table_mut()) else { return };
    if below.is_empty() {
        table.insert(key.clone(), value);
        return;
    }
    let empty = value.beside(Value::Table(Table::new()));
    let child = table.entry(key.clone()).or_insert_with(|| empty.clone());
    if child.table().is_none() {
        // `SERENO_SUPERVISOR__GUARD__HANG` replaces `guard = false`.
        *child = empty;
    }
    set(child, below, value);
}

/// Parses the text of a variable: as a boolean or number if possible, else as a string.
fn scalar(text: &str) -> Value {
    match (text.parse(), text.parse(), text.parse()) {
        (Ok(flag), _, _) => Value::Boolean(flag),
        (_, Ok(number), _) => Value::Integer(number),
        (_, _, Ok(number)) => Value::Float(number),
        _ => Value::Text(text.into()),
    }
}

// ---- the applied file ----

/// Writes the document as TOML. Loading it elsewhere and with another environment gives the same.
pub(super) fn to_text(root: &Node) -> Result<String, toml::ser::Error> {
    let mut value = root.to_toml(&expand::escape);
    let services = value.get_mut("services").and_then(toml::Value::as_table_mut);
    for (name, service) in services.into_iter().flatten() {
        let shell = root.get(&["services", name, "shell"]).and_then(Node::text);
        if let (Some(shell), Some(service)) = (shell, service.as_table_mut()) {
            service.insert("shell".into(), toml::Value::String(shell.into()));
        }
    }
    toml::to_string(&value)
}

/// Makes a document of one service from its table.
pub(super) fn wrap(node: Node, name: &str) -> Node {
    let above = |path: &str, key: &str, inner: Node| Node {
        at: None,
        key_at: None,
        path: path.into(),
        value: Value::Table(Table::from([(key.to_owned(), inner)])),
    };
    above("", "services", above("services", name, Node { at: Some(0), key_at: Some(0), ..node }))
}
