//! Reads `[services.NAME]`: the command, its environment, and how it is stopped. Restarts and checks have files of
//! their own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use proto::Name;

use super::capability::capability;
use super::check::{self, Checks};
use super::keys::{self, CONDITIONS, STOP_TO};
use super::model::{Command, Dependency, DependencyOn, EnvInherit, Log, Service, Socket, Stop};
use super::problem::{Scope, Wrong};
use super::reader::Reader;
use super::tree::{Node, Value};
use super::value::{self, argv, choice, filled, flag};
use super::{evidence, ready, restart, schedule, watch, watchdog};

impl Service {
    /// Creates a service with default settings.
    pub fn new(command: Command, cwd: PathBuf) -> Self {
        Self { command, cwd, ..Reader::absent(&keys::SERVICE, of) }
    }
}

impl Default for Stop {
    fn default() -> Self {
        Reader::absent(&keys::STOP, stop)
    }
}

impl Default for Log {
    fn default() -> Self {
        Reader::absent(&keys::LOG, log)
    }
}

/// Reads a service whose defaults are merged in. A wrong value is reported and replaced by its default.
pub(super) fn read(scope: &Scope<'_>, node: &Node, name: Option<&Name>) -> Service {
    match Reader::new(scope, node, name, &keys::SERVICE) {
        // Without a name the table is `[defaults]`.
        Some(table) if name.is_none() => of(&table.template()),
        Some(table) => of(&table),
        None => Reader::absent(&keys::SERVICE, of),
    }
}

fn of(table: &Reader<'_>) -> Service {
    let cwd = table.path("cwd").unwrap_or_default();
    let Checks { checks, ready_timeout } = check::read(table, &cwd);
    // The instances have their own names by now.
    table.opt_whole::<u32>("instances");
    Service {
        command: command(table),
        cwd,
        env: table.map("env", variable),
        env_file: table.paths("env_file"),
        env_inherit: env_inherit(table),
        user: table.opt("user", value::account),
        group: table.opt("group", value::account),
        umask: table.opt("umask", value::umask),
        nice: table.opt_whole("nice"),
        no_new_privileges: table.flag("no_new_privileges"),
        capabilities: table
            .list("capabilities", "names of capabilities", capability)
            .map(|all| all.into_iter().fold(0, |all, one| all | one)),
        limits: limits(table),
        autostart: table.flag("autostart"),
        depends_on: depends_on(table),
        restart: restart::read(table),
        ready: ready::read(table, &checks),
        ready_timeout,
        stop: stop(&table.sub_or_empty("stop")),
        watchdog: watchdog::read(table, &checks),
        watch: watch::read(table),
        schedule: schedule::read(table),
        checks,
        log: log(&table.sub_or_empty("log")),
        sockets: sockets(table),
        tags: table.list("tags", "names", tag).unwrap_or_default(),
        memory_max: table.opt("memory_max", value::size(table.keys.least("memory_max"))),
    }
}

fn sockets(table: &Reader<'_>) -> Vec<Socket> {
    let Some(node) = table.get("sockets") else { return Vec::new() };
    let Some(items) = node.list() else {
        table.bad(node, "must be a list of tables such as { name = \"http\", listen = \"127.0.0.1:8000\" }");
        return Vec::new();
    };
    if cfg!(windows) && !items.is_empty() {
        let rule =
            "can not be held on Windows, where programs do not take over a socket that was opened for them";
        table.bad(node, rule);
    }
    let mut sockets: Vec<Socket> = Vec::new();
    for item in items {
        let Some(entry) = table.table(item, &keys::SOCKET) else { continue };
        let name = entry.opt("name", socket_name);
        let is_named = entry.get("name").is_some();
        if entry.get("listen").is_none() {
            entry.lacks("needs listen");
        }
        let Some(listen) = entry.opt("listen", address) else { continue };
        let Some(name) = name.or_else(|| (!is_named).then(|| listen.port().to_string())) else { continue };
        match sockets.iter().any(|socket| socket.name == name) {
            true if is_named => table.bad(item, "has the name of another socket"),
            true => entry.lacks(format!("needs a name: another socket is called {name:?} already")),
            false => sockets.push(Socket { name, listen }),
        }
    }
    sockets
}

/// Reads the name of a socket. A colon separates names in `LISTEN_FDNAMES`, so none may have one.
fn socket_name(node: &Node) -> Result<String, Wrong> {
    let text = filled(node)?;
    match Name::new(&text) {
        Ok(_) if !text.contains(':') => Ok(text),
        Ok(_) => Err("must not hold a colon".into()),
        Err(error) => Err(error.to_string().into()),
    }
}

fn address(node: &Node) -> Result<SocketAddr, Wrong> {
    filled(node)?
        .parse()
        .map_err(|_| "must be an address and a port, such as 127.0.0.1:8000 or [::]:8000".into())
}

fn command(table: &Reader<'_>) -> Command {
    let shell = table.opt("shell", filled).map(Command::Shell);
    let command = table.opt("command", argv).map(Command::Argv);
    match (table.get("command"), table.get("shell")) {
        (Some(_), Some(node)) => table.bad(node, "can not stand beside command: give one of them"),
        (None, None) => table.lacks("needs a command (or shell = \"…\")"),
        _ => {}
    }
    command.or(shell).unwrap_or(Command::Argv(Vec::new()))
}

/// Checks that a variable may be set.
pub(super) fn variable(name: &str, text: &str) -> Result<(), Wrong> {
    let _ = text;
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err("must have a name without = and NUL".into());
    }
    if name.starts_with("SERENO_") {
        return Err("can not be set: names that begin with SERENO_ are Sereno's own".into());
    }
    Ok(())
}

fn env_inherit(table: &Reader<'_>) -> EnvInherit {
    match table.get("env_inherit") {
        None => EnvInherit::All,
        Some(node) => match &node.value {
            Value::Boolean(true) => EnvInherit::All,
            Value::Boolean(false) => EnvInherit::None,
            Value::List(_) => EnvInherit::Only(table.texts("env_inherit").unwrap_or_default()),
            _ => {
                table.bad(node, "must be true, false or a list of names");
                EnvInherit::All
            }
        },
    }
}

fn limits(table: &Reader<'_>) -> BTreeMap<String, Option<u64>> {
    let Some(limits) = table.sub("limits") else { return BTreeMap::new() };
    let entry = |(name, node): (&String, &Node)| Some((name.clone(), limits.read(node, value::limit)?));
    limits.entries().filter_map(entry).collect()
}

fn tag(node: &Node) -> Result<String, Wrong> {
    let text = value::text(node)?;
    check_name(&text)?;
    Ok(text)
}

/// Parses a name of the file. It must have no `:`, which separates the number of an instance.
pub(super) fn check_name(text: &str) -> Result<Name, Wrong> {
    match Name::new(text) {
        Ok(_) if text.contains(':') => Err("must not have a ':' in it".into()),
        Ok(name) => Ok(name),
        Err(error) => Err(error.to_string().into()),
    }
}

fn depends_on(table: &Reader<'_>) -> BTreeMap<Name, Dependency> {
    const RULE: &str = "must be a list of services, or a table such as { db = \"ready\" }";
    let Some(node) = table.get("depends_on") else { return BTreeMap::new() };
    let plain = Dependency { on: DependencyOn::Ready, restart: false };
    match &node.value {
        Value::List(_) => {
            let name = |node: &Node| match Name::new(&value::text(node)?) {
                Ok(name) => Ok((name, plain.clone())),
                Err(error) => Err(Wrong::from(error.to_string())),
            };
            table.list("depends_on", "services", name).into_iter().flatten().collect()
        }
        Value::Table(edges) => {
            let edge = |(name, node): (&String, &Node)| {
                // `cross` reports an invalid name as an unknown one.
                Some((Name::new(name).ok()?, dependency(table, node).unwrap_or(plain.clone())))
            };
            edges.iter().filter_map(edge).collect()
        }
        _ => {
            table.bad(node, RULE);
            BTreeMap::new()
        }
    }
}

fn dependency(table: &Reader<'_>, node: &Node) -> Option<Dependency> {
    if node.table().is_none() {
        return Some(Dependency { on: table.read(node, choice(&CONDITIONS))?, restart: false });
    }
    let edge = Reader::new(table.scope, node, table.service, &keys::DEPENDENCY)?;
    Some(Dependency { on: edge.choice("on", &CONDITIONS), restart: edge.flag("restart") })
}

fn stop(stop: &Reader<'_>) -> Stop {
    Stop {
        signal: stop.or_default("signal", value::signal),
        to: stop.choice("to", &STOP_TO),
        timeout: stop.duration("timeout"),
        command: stop.opt("command", argv),
        evidence: stop.sub("evidence").map(|table| evidence::read(&table)),
    }
}

fn log(log: &Reader<'_>) -> Log {
    if let (Some(true), Some(node)) = (log.opt("timestamps", flag), log.get("timestamps")) {
        log.bad(node, "is not in this version");
    }
    let any_size = value::size(log.keys.least("max_size"));
    let size = |node: &Node| match any_size(node)? {
        size if size > i64::MAX.unsigned_abs() => Err(Wrong::from("must be a size that a file can have")),
        size => Ok(size),
    };
    Log {
        stdout: log.path("stdout"),
        stderr: log.path("stderr"),
        max_size: log.or_default("max_size", size),
        keep: log.whole("keep"),
        compress: log.flag("compress"),
    }
}
