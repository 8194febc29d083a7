//! Converts the output of `pm2 save` to the form of a hand-written file: a dump holds the whole environment
//! in every app, twice.

use serde_json::Value;

use super::source::App;
use sereno_config::Env;

/// For each option, its name in a dump and in a file.
const PLACES: [(&str, &str); 27] = [
    ("name", "name"),
    ("namespace", "namespace"),
    ("pm_exec_path", "script"),
    ("pm_cwd", "cwd"),
    ("args", "args"),
    ("exec_interpreter", "interpreter"),
    ("node_args", "interpreter_args"),
    ("instances", "instances"),
    ("exec_mode", "exec_mode"),
    ("autostart", "autostart"),
    ("autorestart", "autorestart"),
    ("stop_exit_codes", "stop_exit_codes"),
    ("min_uptime", "min_uptime"),
    ("max_restarts", "max_restarts"),
    ("restart_delay", "restart_delay"),
    ("exp_backoff_restart_delay", "exp_backoff_restart_delay"),
    ("max_memory_restart", "max_memory_restart"),
    ("cron_restart", "cron_restart"),
    ("watch", "watch"),
    ("ignore_watch", "ignore_watch"),
    ("watch_delay", "watch_delay"),
    ("kill_timeout", "kill_timeout"),
    ("wait_ready", "wait_ready"),
    ("shutdown_with_message", "shutdown_with_message"),
    ("uid", "uid"),
    ("gid", "gid"),
    ("port", "port"),
];

/// Variables of the session in which `pm2 start` was run, which do not belong to the app.
const SESSION: [&str; 19] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "PWD",
    "OLDPWD",
    "SHLVL",
    "TERM",
    "LANG",
    "LS_COLORS",
    "_",
    "DISPLAY",
    "COLORTERM",
    "EDITOR",
    "MAIL",
    "HOSTNAME",
    "NODE_APP_INSTANCE",
    "unique_id",
];

const SESSION_PREFIXES: [&str; 8] = ["PM2_", "pm_", "npm_", "XDG_", "SSH_", "LC_", "DBUS_", "SERENO_"];

/// Returns the app, and the number of variables that were left out.
pub(super) fn written(app: &App, caller: &Env) -> (App, usize) {
    let mut plain = App::new();
    for (from, to) in PLACES {
        match app.get(from) {
            None | Some(Value::Null) => {}
            Some(Value::Bool(false)) if from != "autorestart" && from != "autostart" => {}
            Some(value) => drop(plain.insert(to.into(), value.clone())),
        }
    }
    let mode =
        plain.get("exec_mode").and_then(Value::as_str).map(|mode| mode.trim_end_matches("_mode").to_owned());
    plain.insert("exec_mode".into(), mode.into());
    let kept = |name: &str, value: &str| {
        !SESSION.contains(&name)
            && !SESSION_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            && app.get("name").and_then(Value::as_str) != Some(name)
            && caller.get(name).map(String::as_str) != Some(value)
    };
    let (mut env, mut left) = (App::new(), 0);
    for (name, value) in app.get("env").and_then(Value::as_object).into_iter().flatten() {
        let Some(text) = super::script::text(Some(value.clone())) else { continue };
        if kept(name, &text) && !app_option(name) {
            env.insert(name.clone(), Value::String(text));
        } else {
            left += 1;
        }
    }
    plain.insert("env".into(), Value::Object(env));
    (plain, left)
}

/// PM2 passes its own fields to the program as variables.
fn app_option(name: &str) -> bool {
    PLACES.iter().any(|(from, to)| *from == name || *to == name)
        || ["status", "version", "versioning", "vizion", "treekill", "km_link", "merge_logs", "windowsHide"]
            .contains(&name)
        || name.starts_with("axm_")
}
