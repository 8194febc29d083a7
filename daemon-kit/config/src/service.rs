//! `[services.NAME]`: what runs, where, with what, and how it is ended. Restarts and checks have files of their own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use proto::Name;

use super::capability::capability;
use super::check::{self, Checks};
use super::keys;
use super::model::{
    Command, Dependency, DependencyOn, EnvInherit, Log, Ready, RestartPolicy, Service, Socket, Stop, StopTo,
};
use super::problem::{Scope, Wrong};
use super::reader::Reader;
use super::tree::{Node, Value};
use super::value::{self, argv, choice, duration, filled, flag, whole};
use super::{ready, restart, schedule, watch, watchdog};

/// How long a run may take to become ready.
pub(super) const READY_TIMEOUT: Duration = Duration::from_secs(60);

impl Service {
    /// A service with nothing but defaults.
    pub fn new(command: Command, cwd: PathBuf) -> Self {
        Self {
            command,
            cwd,
            env: BTreeMap::new(),
            env_file: Vec::new(),
            env_inherit: EnvInherit::All,
            user: None,
            group: None,
            umask: None,
            nice: None,
            no_new_privileges: false,
            capabilities: None,
            limits: BTreeMap::new(),
            autostart: true,
            depends_on: BTreeMap::new(),
            restart: RestartPolicy::default(),
            ready: vec![Ready::Started],
            ready_timeout: READY_TIMEOUT,
            stop: Stop::default(),
            checks: BTreeMap::new(),
            log: Log::default(),
            sockets: Vec::new(),
            tags: Vec::new(),
            memory_max: None,
            watchdog: None,
            watch: None,
            schedule: None,
        }
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self { signal: "SIGTERM".into(), to: StopTo::Group, timeout: Duration::from_secs(10), command: None }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { stdout: None, stderr: None, max_size: 50_000_000, keep: 10, compress: true }
    }
}

/// Reads a service whose defaults are merged in. What is wrong in it is reported and reads as its default.
pub(super) fn read(scope: &Scope<'_>, node: &Node, name: Option<&Name>) -> Service {
    let nothing = Service::new(Command::Argv(Vec::new()), PathBuf::new());
    let Some(table) = Reader::new(scope, node, name, &keys::SERVICE) else { return nothing };
    // Without a name it is `[defaults]`.
    let table = if name.is_none() { table.template() } else { table };
    let cwd = table.path("cwd").unwrap_or_default();
    let Checks { checks, ready_timeout } = check::read(&table, &cwd);
    // Told from the others by its name by now.
    table.opt("instances", whole::<u32>(1..=super::instances::MOST));
    Service {
        command: command(&table),
        cwd,
        env: table.map("env", variable),
        env_file: table.paths("env_file"),
        env_inherit: env_inherit(&table),
        user: table.opt("user", value::account),
        group: table.opt("group", value::account),
        umask: table.opt("umask", value::umask),
        nice: table.opt("nice", whole(-20..=19)),
        no_new_privileges: table.opt("no_new_privileges", flag).unwrap_or(false),
        capabilities: table
            .list("capabilities", "names of capabilities", capability)
            .map(|all| all.into_iter().fold(0, |all, one| all | one)),
        limits: limits(&table),
        autostart: table.opt("autostart", flag).unwrap_or(true),
        depends_on: depends_on(&table),
        restart: restart::read(&table),
        ready: ready::read(&table, &checks),
        ready_timeout,
        stop: stop(&table),
        watchdog: watchdog::read(&table, &checks),
        watch: watch::read(&table),
        schedule: schedule::read(&table),
        checks,
        log: log(&table),
        sockets: sockets(&table),
        tags: table.list("tags", "names", tag).unwrap_or_default(),
        memory_max: table.opt("memory_max", memory),
    }
}

fn memory(node: &Node) -> Result<u64, Wrong> {
    match value::size(node)? {
        // Nothing that could be meant runs in less.
        small if small < 1_000_000 => Err("must be at least 1MB".into()),
        size => Ok(size),
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
        let listen = entry.opt("listen", address);
        match (name, listen) {
            (Some(name), _) if sockets.iter().any(|socket| socket.name == name) => {
                table.bad(item, "has the name of another socket");
            }
            (Some(name), Some(listen)) => sockets.push(Socket { name, listen }),
            _ if entry.get("name").is_none() || entry.get("listen").is_none() => {
                entry.lacks("needs a name and listen");
            }
            _ => {}
        }
    }
    sockets
}

/// Names stand in `LISTEN_FDNAMES`, with a colon between them.
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

/// Whether a variable may be set.
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
    let Some(limits) = table.sub("limits", &keys::LIMITS) else { return BTreeMap::new() };
    let entry = |(name, node): (&String, &Node)| Some((name.clone(), limits.read(node, value::limit)?));
    limits.entries().filter_map(entry).collect()
}

fn tag(node: &Node) -> Result<String, Wrong> {
    let text = value::text(node)?;
    check_name(&text)?;
    Ok(text)
}

/// A name as a file may give it: the number after a `:` is ours to give.
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
                // A name that can not be is reported with those that are not there.
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
    let conditions = [
        ("started", DependencyOn::Started),
        ("ready", DependencyOn::Ready),
        ("completed", DependencyOn::Completed),
    ];
    if node.table().is_none() {
        return Some(Dependency { on: table.read(node, choice(&conditions))?, restart: false });
    }
    let edge = Reader::new(table.scope, node, table.service, &keys::DEPENDENCY)?;
    Some(Dependency {
        on: edge.opt("on", choice(&conditions)).unwrap_or(DependencyOn::Ready),
        restart: edge.opt("restart", flag).unwrap_or(false),
    })
}

fn stop(table: &Reader<'_>) -> Stop {
    let default = Stop::default();
    let Some(stop) = table.sub("stop", &keys::STOP) else { return default };
    Stop {
        signal: stop.opt("signal", value::signal).unwrap_or(default.signal),
        to: stop.opt("to", choice(&[("group", StopTo::Group), ("main", StopTo::Main)])).unwrap_or(default.to),
        timeout: stop.opt("timeout", duration(Duration::ZERO)).unwrap_or(default.timeout),
        command: stop.opt("command", argv),
    }
}

fn log(table: &Reader<'_>) -> Log {
    let default = Log::default();
    let Some(log) = table.sub("log", &keys::LOG) else { return default };
    if let (Some(true), Some(node)) = (log.opt("timestamps", flag), log.get("timestamps")) {
        log.bad(node, "is not in this version");
    }
    let size = |node: &Node| match value::size(node)? {
        // Less would spend more time rotating than writing.
        small if small < 1000 => Err(Wrong::from("must be at least 1KB")),
        size if size > i64::MAX.unsigned_abs() => Err("must be a size that a file can have".into()),
        size => Ok(size),
    };
    Log {
        stdout: log.path("stdout"),
        stderr: log.path("stderr"),
        max_size: log.opt("max_size", size).unwrap_or(default.max_size),
        keep: log.opt("keep", whole(0..=1000)).unwrap_or(default.keep),
        compress: log.opt("compress", flag).unwrap_or(default.compress),
    }
}
