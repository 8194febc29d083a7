//! Converts one PM2 app to one service.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sereno_config::Env;
use toml_edit::InlineTable;

use super::restart::{self, milliseconds, written};
use super::script::{self, Run, text, words};
use super::source::{App, Source};
use super::{Folders, Imported, dump, monitors, options};
use crate::draft::{self, Service, literal};

/// Options of the command besides the file.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// Name of the profile, as in `env_NAME`.
    pub(crate) profile: Option<&'a str>,
    /// Environment of this process.
    pub(crate) env: &'a Env,
    /// Number of processors.
    pub(crate) processors: usize,
}

/// Imports every app of a file.
pub(crate) fn import(source: Source, folders: &Folders, wanted: &Wanted<'_>) -> Imported {
    let mut imported = Imported::default();
    for section in &source.others {
        imported.drop("", section, options::section(section));
    }
    let mut watchers = Vec::new();
    let mut left_out = 0;
    for app in source.apps {
        let app = if source.dump {
            let (app, left) = dump::written(&app, wanted.env);
            left_out += left;
            app
        } else {
            options::plain(app)
        };
        let called = named(&app, wanted);
        let name = draft::name(&called);
        if let Some(watcher) = monitors::watcher(&called, &app, &folder_of(&app, folders)) {
            watchers.push(watcher);
            continue;
        }
        one(app, &name, folders, wanted, &mut imported);
    }
    one_check_for_each_port(&mut imported);
    monitors::become_checks(watchers, &mut imported);
    if left_out > 0 {
        imported.notes.push(format!(
            "{left_out} variables of the session that started PM2 were left out; services get those of \"ctl up\""
        ));
    }
    imported.notes.push(
        "PM2 stops with SIGINT and kills after 1.6 s; Sereno with SIGTERM and after 10 s (stop)".into(),
    );
    imported
}

fn named(app: &App, wanted: &Wanted<'_>) -> String {
    let of = |key: &str| app.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let script = of("script").unwrap_or("app");
    let stem = Path::new(script).file_stem().and_then(std::ffi::OsStr::to_str).unwrap_or(script);
    let mut name = of("name").unwrap_or(stem).to_owned();
    if let Some(prefix) = of("name_prefix") {
        name = format!("{prefix}-{name}");
    }
    if let (Some(profile), Some(Value::Bool(true))) = (wanted.profile, app.get("append_env_to_name")) {
        name = format!("{name}-{profile}");
    }
    name
}

/// Returns the app's folder, relative to the ecosystem file: PM2 is nearly always started there.
fn folder_of(app: &App, folders: &Folders) -> PathBuf {
    let cwd = app.get("cwd").and_then(Value::as_str).unwrap_or(".");
    super::tidy(&folders.from.join(cwd))
}

fn one(mut app: App, name: &str, folders: &Folders, wanted: &Wanted<'_>, imported: &mut Imported) {
    let cwd = folder_of(&app, folders);
    for key in ["name", "cwd", "name_prefix", "append_env_to_name"] {
        app.remove(key);
    }
    let mut service = Service::new(name);
    let mut remarks = Vec::new();
    match script::take(&mut app, &cwd, wanted.env.get("PATH").map(String::as_str), &mut remarks) {
        Ok(Run::Argv(argv)) => service.set("command", draft::command(&argv)),
        Ok(Run::Shell(line)) => service.set("shell", line),
        Err(reason) => return imported.drop(name, "the whole app", reason.to_string()),
    }
    let folder = folders.written(&cwd);
    if folder != "." {
        service.set("cwd", literal(&folder));
    }
    environment(&mut app, &mut service, wanted, &mut remarks);
    remarks.extend(restart::take(&mut app, &mut service));
    copies(&mut app, &mut service, wanted, &mut remarks);
    if let Some(memory) = size(app.remove("max_memory_restart")) {
        service.set("memory_max", memory);
    }
    watch(&mut app, &mut service, &cwd, folders);
    if let Some(time) = app.remove("kill_timeout").as_ref().and_then(milliseconds) {
        service.put("stop", "timeout", written(time));
    }
    if app.get("treekill") == Some(&Value::Bool(false)) {
        service.put("stop", "to", "main");
    }
    logs(&mut app, &mut service, &cwd, folders, &mut remarks);
    for (from, to) in [("uid", "user"), ("gid", "group")] {
        match app.remove(from) {
            Some(Value::Number(number)) => service.set(to, number.as_i64().unwrap_or_default()),
            other => drop(text(other).map(|who| service.set(to, who))),
        }
    }
    if app.remove("autostart") == Some(Value::Bool(false)) {
        service.set("autostart", false);
    }
    if let Some(group) = text(app.remove("namespace")).filter(|group| group != "default") {
        service.set("tags", draft::list(&[draft::name(&group)]));
    }
    for (option, reason) in remarks {
        imported.drop(name, option, reason);
    }
    for (option, value) in app {
        if !value.is_null() {
            let shown = value.to_string();
            let option_shown = if shown.len() <= 30 { format!("{option} = {shown}") } else { option.clone() };
            imported.drop(name, option_shown, options::reason(&option));
        }
    }
    imported.draft.add(service);
}

/// Sets `env`, overridden by the requested profile; `port` sets `PORT` and a check.
fn environment(
    app: &mut App,
    service: &mut Service,
    wanted: &Wanted<'_>,
    remarks: &mut Vec<(String, String)>,
) {
    let mut all: Vec<(String, String)> = Vec::new();
    let profile = wanted.profile.map(|name| format!("env_{name}"));
    let profiles: Vec<String> = app.keys().filter(|key| key.starts_with("env_")).cloned().collect();
    for key in std::iter::once("env".to_owned()).chain(profile.clone()) {
        let Some(Value::Object(variables)) = app.remove(&key) else { continue };
        for (name, value) in variables {
            let value = match value {
                Value::String(text) => text,
                Value::Null => continue,
                other => other.to_string(),
            };
            all.retain(|(known, _)| *known != name);
            all.push((name, value));
        }
    }
    for key in profiles.into_iter().filter(|key| Some(key) != profile.as_ref()) {
        app.remove(&key);
        let name = key.trim_start_matches("env_");
        remarks.push((
            key.clone(),
            format!("one file is one profile: import again with --env {name} -o sereno.{name}.toml"),
        ));
    }
    if let Some(port) = text(app.remove("port")) {
        all.retain(|(known, _)| known != "PORT");
        all.push(("PORT".into(), port));
    }
    let port =
        all.iter().find(|(name, _)| name == "PORT").and_then(|(_, port)| port.trim().parse::<u16>().ok());
    for (name, value) in all {
        if name.starts_with("SERENO_") {
            remarks.push((format!("env.{name}"), "names that begin with SERENO_ are taken".into()));
        } else {
            service.put("env", &name, literal(&value));
        }
    }
    if let Some(port) = port.filter(|port| *port > 0) {
        service.remark("port", i64::from(port), "from PORT: ready when it answers, checked every 30 s");
    }
}

fn copies(app: &mut App, service: &mut Service, wanted: &Wanted<'_>, remarks: &mut Vec<(String, String)>) {
    let processors = i64::try_from(wanted.processors).unwrap_or(1);
    let count = match text(app.remove("instances")).as_deref() {
        None => 1,
        Some("max" | "0") => processors,
        Some(count) => match count.parse::<i64>() {
            Ok(less) if less < 0 => (processors + less).max(1),
            Ok(count) => count,
            Err(_) => 1,
        },
    };
    let mode = text(app.remove("exec_mode")).unwrap_or_default();
    if mode.starts_with("cluster") {
        let reason =
            "node's cluster shares one port; here each instance is a process of its own, with its own port";
        remarks.push((format!("exec_mode = {mode}"), reason.into()));
    }
    if count > 1 {
        service.set("instances", count);
        // The instances can not all listen on the same port.
        service.unset("port");
    }
}

/// Parses a size in bytes, or with `K`, `M`, `G` as powers of 1024.
fn size(value: Option<Value>) -> Option<String> {
    let text = text(value)?;
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    match text[digits.len()..].trim().to_ascii_uppercase().chars().next() {
        _ if digits.is_empty() => None,
        None => Some(format!("{digits}B")),
        Some(unit @ ('K' | 'M' | 'G')) => Some(format!("{digits}{unit}iB")),
        Some(_) => None,
    }
}

fn watch(app: &mut App, service: &mut Service, cwd: &Path, folders: &Folders) {
    let paths = match app.remove("watch") {
        None | Some(Value::Bool(false) | Value::Null) => {
            app.remove("ignore_watch");
            app.remove("watch_delay");
            return;
        }
        Some(Value::Bool(true)) => vec![".".to_owned()],
        some => words(some),
    };
    let paths: Vec<String> = paths.iter().map(|path| folders.written(&cwd.join(path))).collect();
    let mut table = InlineTable::new();
    table.insert("paths", draft::list(&paths));
    // PM2 accepts glob patterns and regular expressions; of the latter, an escaped dot is the common case.
    let ignored: Vec<String> =
        words(app.remove("ignore_watch")).iter().map(|pattern| pattern.replace("\\.", ".")).collect();
    if !ignored.is_empty() {
        table.insert("ignore", draft::list(&ignored));
    }
    if let Some(delay) = app.remove("watch_delay").as_ref().and_then(milliseconds).filter(|delay| *delay > 0)
    {
        table.insert("debounce", written(delay).into());
    }
    service.set("watch", table);
}

fn logs(
    app: &mut App,
    service: &mut Service,
    cwd: &Path,
    folders: &Folders,
    remarks: &mut Vec<(String, String)>,
) {
    let mut taken: Option<String> = None;
    for (option, key) in [("out_file", "stdout"), ("error_file", "stderr")] {
        let Some(path) = text(app.remove(option)) else { continue };
        if ["/dev/null", "NULL", "null"].contains(&&*path) {
            remarks.push((
                format!("{option} = {path}"),
                "output is always kept, within log.max_size and log.keep".into(),
            ));
            continue;
        }
        let path = match path.strip_prefix("~/") {
            Some(_) => path,
            None => folders.written(&cwd.join(&path)),
        };
        if taken.as_ref() == Some(&path) {
            remarks.push((
                option.into(),
                "two outputs can not share a file; ctl logs shows them merged by time".into(),
            ));
            continue;
        }
        if path.starts_with("~/") {
            remarks.push((
                format!("{option} = {path}"),
                "~ is not replaced: write the whole path as log.stdout or log.stderr".into(),
            ));
            continue;
        }
        service.put("log", key, literal(&path));
        taken = Some(path);
    }
}

/// Removes port checks that several apps share: only one of them can listen on the port, and it is unknown which.
fn one_check_for_each_port(imported: &mut Imported) {
    let port = |service: &Service| service.get("port").and_then(toml_edit::Value::as_integer);
    let ports: Vec<Option<i64>> = imported.draft.services.iter().map(port).collect();
    for (at, mine) in ports.iter().enumerate() {
        if mine.is_some() && ports.iter().filter(|other| *other == mine).count() > 1 {
            let service = &mut imported.draft.services[at];
            service.unset("port");
            let name = service.name.clone();
            imported.drop(
                &name,
                "check of PORT",
                "several apps have the same PORT: add port = … to the one that listens",
            );
        }
    }
}

#[cfg(test)]
mod tests;
