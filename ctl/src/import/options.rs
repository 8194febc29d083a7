//! All options of PM2 with all their names, and why some have no equivalent here.

use super::source::App;

/// Alternative names of options; PM2 also accepts each in camel case.
const ALIASES: [(&str, &str); 24] = [
    ("exec", "script"),
    ("cmd", "script"),
    ("command", "script"),
    ("exec_interpreter", "interpreter"),
    ("node_args", "interpreter_args"),
    ("interpreterArgs", "interpreter_args"),
    ("cron", "cron_restart"),
    ("out", "out_file"),
    ("output", "out_file"),
    ("out_log", "out_file"),
    ("error", "error_file"),
    ("err", "error_file"),
    ("err_file", "error_file"),
    ("err_log", "error_file"),
    ("log", "log_file"),
    ("combine_logs", "merge_logs"),
    ("pid", "pid_file"),
    ("user", "uid"),
    ("ignoreWatch", "ignore_watch"),
    ("max_memory", "max_memory_restart"),
    ("exp_backoff", "exp_backoff_restart_delay"),
    ("kill_signal", "kill_signal"),
    ("windows_hide", "windowsHide"),
    ("restartDelay", "restart_delay"),
];

/// Options that are not converted, with the reason.
const NO_PLACE: [(&str, &str); 37] = [
    ("increment_var", "an instance gets SERENO_INSTANCE; use that in the program"),
    ("instance_var", "an instance gets SERENO_INSTANCE; use that in the program"),
    ("kill_retry_time", "not needed: what is left is killed and verified at once"),
    ("shutdown_with_message", "it needs node's own channel; handle SIGTERM, or give stop.command"),
    (
        "wait_ready",
        "process.send('ready') needs node's own channel; a port, health or ready = { log = \"…\" } says it",
    ),
    (
        "listen_timeout",
        "PM2 takes it as ready then; here ready_timeout ends a run that is not, if a check says so",
    ),
    ("log_file", "both outputs keep their own file; ctl logs shows them merged by time"),
    ("merge_logs", "one file for each output of a service; ctl logs merges"),
    ("disable_logs", "output is always kept, within log.max_size and log.keep"),
    ("log_type", "a log is byte for byte what the service wrote; ctl logs --json has it as JSON"),
    ("log_date_format", "when stands beside the log, not in it; ctl logs shows it"),
    ("time", "when stands beside the log, not in it; ctl logs shows it"),
    ("pid_file", "ctl status --json has the pid"),
    ("filter_env", "PM2 drops by parts of names; here env_inherit lists the names to keep"),
    ("source_map_support", "start node with --enable-source-maps instead"),
    ("disable_source_map_support", "nothing is put into the program here"),
    ("vizion", "no git data is read"),
    ("windowsHide", "never a window"),
    ("force", "a name is a service, once"),
    ("pmx", "nothing is put into the program here"),
    ("automation", "nothing is put into the program here"),
    ("trace", "nothing is put into the program here"),
    ("v8", "nothing is put into the program here"),
    ("event_loop_inspector", "nothing is put into the program here"),
    ("deep_monitoring", "nothing is put into the program here"),
    ("io", "nothing is put into the program here"),
    ("post_update", "a hook of pm2 pull"),
    ("install_url", "a hook of pm2 pull"),
    ("execute_command", "internal to PM2"),
    ("write", "the file is the truth"),
    ("username", "internal to PM2"),
    ("watch_options", "options of PM2's own watcher"),
    ("kill_signal", "PM2 reads it only from PM2_KILL_SIGNAL; here it is stop.signal"),
    ("treekill", "no process of a service is ever left behind"),
    ("container", "a container starts by its own command"),
    ("dist", "a container starts by its own command"),
    ("image_name", "a container starts by its own command"),
];

/// Returns why a section of an ecosystem file other than its apps is not converted.
pub(super) fn section(name: &str) -> &'static str {
    match name {
        "deploy" => "deployment over ssh is no part of keeping services up",
        "static" => "PM2's file server: use one, such as \"python3 -m http.server\" or \"npx serve\"",
        _ => "PM2 does not know it either",
    }
}

/// Returns why an option was not converted.
pub(super) fn reason(option: &str) -> &'static str {
    let known = NO_PLACE.iter().find(|(name, _)| *name == option);
    known.map_or("PM2 does not know this option: it had no effect there either", |(_, reason)| reason)
}

/// Returns the app with each option under its canonical name.
pub(super) fn plain(app: App) -> App {
    let mut plain = App::new();
    for (key, value) in app {
        let name = one_name(&key);
        // If an option is given twice, the canonical name wins.
        if name == key || !plain.contains_key(&name) {
            plain.insert(name, value);
        }
    }
    plain
}

fn one_name(key: &str) -> String {
    let alias = |key: &str| ALIASES.iter().find(|(from, _)| *from == key).map(|(_, to)| (*to).to_owned());
    if let Some(name) = alias(key) {
        return name;
    }
    // The name of a profile keeps its case.
    if key.starts_with("env_") || key == "windowsHide" {
        return key.into();
    }
    let mut snake = String::new();
    for letter in key.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    alias(&snake).unwrap_or(snake)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_an_option_is_one() {
        for (key, name) in [
            ("exec", "script"),
            ("outFile", "out_file"),
            ("maxRestarts", "max_restarts"),
            ("env_Prod", "env_Prod"),
            ("execInterpreter", "interpreter"),
            ("windowsHide", "windowsHide"),
        ] {
            assert_eq!(one_name(key), name);
        }
    }
}
