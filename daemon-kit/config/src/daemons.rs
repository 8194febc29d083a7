//! Reads `[supervisor]`, `[monitors.NAME]` and the monitors' own tables.

use std::collections::BTreeMap;
use std::path::Path;

use proto::{Endpoint, Name};

use super::endpoints::{self, uri};
use super::keys;
use super::model::{Brake, Config, Guard, Monitor, SupervisorTable};
use super::problem::{Problem, Problems, Scope};
use super::reader::Reader;
use super::service::check_name;
use super::tree::{self, Node, Value};
use super::value::{filled, log_filter};
use super::{Env, expand, find};

/// The monitors that need no table, and the kinds of checks that they serve.
pub(super) const BUILT_IN: [(&str, &[&str]); 2] =
    [("health-monitor", &["http", "exec"]), ("port-monitor", &["tcp"])];

/// The name of the guard that a supervisor runs if no built-in monitor guards it.
pub const GUARD: &str = "guard";

/// Names that neither a monitor nor a service may have.
pub(super) const RESERVED: [&str; 3] = ["supervisor", "ctl", GUARD];

impl Config {
    /// Whether the supervisor runs a guard of its own: the file asks for a guard, and no managed monitor has one.
    pub fn needs_guard(&self) -> bool {
        self.supervisor.guard.enabled && !self.monitors.iter().any(|(name, monitor)| monitor.guards(name))
    }
}

impl Monitor {
    /// Whether the monitor guards the supervisor. Only a managed monitor with the built-in program does.
    pub fn guards(&self, name: &Name) -> bool {
        let is_built_in = self.program.is_none() && BUILT_IN.iter().any(|(own, _)| *own == name.as_str());
        is_built_in && self.managed
    }
}

/// Reads the table `[supervisor]`.
pub(super) fn supervisor(scope: &Scope<'_>, root: &Node) -> SupervisorTable {
    match root.get(&["supervisor"]).and_then(|node| Reader::new(scope, node, None, &keys::SUPERVISOR)) {
        Some(table) => read_supervisor(&table),
        None => Reader::absent(&keys::SUPERVISOR, read_supervisor),
    }
}

fn read_supervisor(table: &Reader<'_>) -> SupervisorTable {
    let listen = endpoints::listen(table);
    endpoints::check_https(table, &listen);
    if let (Some(node), true) = (table.get("listen"), listen.iter().any(Endpoint::is_local)) {
        table.bad(node, "is for http:// and https://: its own socket in home/run is always there");
    }
    SupervisorTable {
        home: table.path("home").unwrap_or_default(),
        log: table.or_default("log", log_filter),
        brake: read_brake(&table.sub_or_empty("brake")),
        guard: read_guard(table),
        metrics: endpoints::metrics(table, &listen),
        listen,
        tls: endpoints::tls(table),
    }
}

fn read_brake(table: &Reader<'_>) -> Brake {
    Brake { share: table.number("share"), min: table.whole("min"), window: table.duration("window") }
}

fn read_guard(table: &Reader<'_>) -> Guard {
    let of = |table: &Reader<'_>| Guard { enabled: table.flag("enabled"), hang: table.duration("hang") };
    let absent = || Reader::absent(&keys::GUARD, of);
    match table.get("guard").map(|node| &node.value) {
        Some(Value::Boolean(enabled)) => Guard { enabled: *enabled, ..absent() },
        Some(Value::Table(_)) => table.sub("guard").map_or_else(absent, |guard| of(&guard)),
        None => absent(),
        Some(_) => {
            table.opt("guard", |_| Err::<(), _>("must be true, false or { enabled, hang }"));
            absent()
        }
    }
}

/// Reads `[monitors.NAME]`. The built-in monitors are always in the result.
pub(super) fn monitors(scope: &Scope<'_>, root: &Node) -> BTreeMap<Name, Monitor> {
    let mut monitors = BTreeMap::new();
    for (name, kinds) in BUILT_IN {
        if let Ok(key) = Name::new(name) {
            // The daemon is reached where its own table lets it listen.
            let endpoint = endpoints::reached_at(root.get(&[name]), is_managed(root, name));
            let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
            let monitor = Monitor { kinds, program: None, args: Vec::new(), managed: true, endpoint };
            monitors.insert(key, monitor);
        }
    }
    let table = root.get(&["monitors"]).and_then(|node| Reader::open(scope, node, None));
    for (name, node) in table.iter().flat_map(Reader::entries) {
        let Ok(key) = check_name(name).map_err(|wrong| scope.key(node.key_at, &node.path, None, wrong))
        else {
            continue;
        };
        if RESERVED.contains(&&**name) {
            scope.key(node.key_at, &node.path, None, "is a reserved name: give the monitor another one");
        }
        let built_in = monitors.get(&key).cloned();
        if let Some(monitor) = monitor(scope, node, name, built_in) {
            monitors.insert(key, monitor);
        }
    }
    monitors
}

/// Whether the supervisor runs a monitor, according to the file.
pub(super) fn is_managed(root: &Node, name: &str) -> bool {
    let said = root.get(&["monitors", name, "managed"]).map(|node| &node.value);
    !matches!(said, Some(Value::Boolean(false)))
}

fn monitor(scope: &Scope<'_>, node: &Node, name: &str, built_in: Option<Monitor>) -> Option<Monitor> {
    let table = Reader::new(scope, node, None, &keys::MONITOR)?;
    let default = built_in.unwrap_or_else(|| Monitor {
        kinds: vec![name.into()],
        program: None,
        args: Vec::new(),
        managed: true,
        endpoint: None,
    });
    let managed = table.flag("managed");
    let mut kinds = table.opt("kind", filled).map_or(default.kinds, |kind| vec![kind]);
    if !managed {
        // A command must run on the host of the service, in a monitor that the supervisor started.
        kinds.retain(|kind| kind != "exec");
        for key in ["program", "args"] {
            if let Some(node) = table.get(key) {
                table.bad(node, "has no effect with managed = false");
            }
        }
    }
    Some(Monitor {
        kinds,
        program: table.opt("program", filled),
        args: table.texts("args").unwrap_or_default(),
        managed,
        endpoint: table.opt("endpoint", uri).or(default.endpoint),
    })
}

/// Checks `[health-monitor]` and `[port-monitor]`.
pub(super) fn own_tables(scope: &Scope<'_>, root: &Node) {
    for (name, _) in BUILT_IN {
        if let Some((table, listen)) = root.get(&[name]).and_then(|node| own_table(scope, node)) {
            endpoints::check_https(&table, &listen);
        }
    }
}

/// Checks the values of a monitor's own table. Returns where it listens.
fn own_table<'a>(scope: &'a Scope<'a>, node: &'a Node) -> Option<(Reader<'a>, Vec<Endpoint>)> {
    let table = Reader::new(scope, node, None, &keys::DAEMON)?;
    table.opt("log", log_filter);
    table.opt("name", |node| check_name(&filled(node)?));
    table.opt("supervisor", uri);
    table.opt("token_file", filled);
    table.opt("tokens", filled);
    endpoints::tls(&table);
    let listen = endpoints::listen(&table);
    Some((table, listen))
}

/// Reads a monitor's own table, such as `health-monitor`, for the monitor itself. Returns it as TOML, with `${…}`
/// replaced and absolute paths; empty if the file has no such table. Other tables are not checked, nor what flags or the
/// environment may add.
pub fn daemon_table(path: &Path, text: &str, table: &str, env: &Env) -> Result<String, Problems> {
    let path = find::absolute_file(path);
    let scope = Scope::new(&path, text);
    let mut root = tree::parse(&scope, text, "");
    if !scope.problems().is_empty() {
        return Err(scope.problems());
    }
    let Some(mut own) = root.table_mut().and_then(|tables| tables.remove(table)) else {
        return Ok(String::new());
    };
    expand::node(&scope, &mut own, env);
    endpoints::absolute_daemon(&mut own, find::base(&path));
    own_table(&scope, &own);
    let written = toml::to_string(&own.to_toml(&str::to_owned));
    scope.finish(())?;
    written.map_err(|error| Problem::of_file(&path, format!("can not be written again: {error}")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_monitor_hears_where_its_own_table_is_wrong_and_of_no_other() {
        let env = Env::from([("PORT".to_string(), "7612".to_string())]);
        let read = |text: &str| daemon_table(Path::new("/srv/sereno.toml"), text, "health-monitor", &env);
        let own =
            read("[health-monitor]\nlisten = \"http://127.0.0.1:${PORT}\"\n[services.x]\nport = \"no\"\n");
        assert_eq!(own.expect("only this table is read").trim(), "listen = \"http://127.0.0.1:7612\"");
        let wrong =
            read("[health-monitor]\nlisten = \"http://127.0.0.1:7612\"\nlog = 7\n").expect_err("no text");
        assert!(wrong.to_string().starts_with("sereno.toml:3:7: health-monitor.log = 7"), "{wrong}");
        let broken = read("\n[x\n").expect_err("no TOML").to_string();
        assert!(broken.starts_with("sereno.toml:2:"), "{broken}");
    }
}
