//! Every key of the file, once: what the parser knows, what hints are made from, and what the JSON Schema and
//! `CONFIG.md` are held against.

/// The keys of one kind of table.
#[derive(Debug)]
pub struct Keys {
    /// What the table is called in `CONFIG.md` and under `$defs` of the schema.
    pub table: &'static str,
    /// What it may hold.
    pub now: &'static [&'static str],
    /// What the contract has and this version refuses.
    pub later: &'static [&'static str],
}

impl Keys {
    /// The nearest key to a mistyped one.
    pub(super) fn nearest(&self, key: &str) -> Option<String> {
        nearest(key, self.now.iter().copied())
    }
}

macro_rules! tables {
    ($($name:ident = $table:literal [$($now:literal)*] $(later [$($later:literal)*])?;)*) => {
        $(pub(super) static $name: Keys = Keys { table: $table, now: &[$($now),*], later: &[$($($later),*)?] };)*
        /// All of them.
        pub static TABLES: &[&Keys] = &[$(&$name),*];
    };
}

tables! {
    ROOT = "file" ["defaults" "health-monitor" "monitors" "port-monitor" "services" "supervisor"] later ["alerts"];
    SUPERVISOR = "supervisor" ["brake" "guard" "home" "listen" "log" "metrics" "tls"];
    BRAKE = "brake" ["min" "share" "window"];
    GUARD = "guard" ["enabled" "hang"];
    DAEMON = "monitor-daemon" ["listen" "log" "name" "supervisor" "tls" "token_file" "tokens"];
    TLS = "tls" ["ca" "cert" "key"];
    MONITOR = "monitor" ["args" "endpoint" "kind" "managed" "program"];
    SERVICE = "service" [
        "autostart" "capabilities" "checks" "command" "cwd" "depends_on" "env" "env_file" "env_inherit" "group" "health" "instances" "limits"
        "linux" "log" "macos" "memory_max" "nice" "no_new_privileges" "port" "ready" "ready_timeout" "restart" "schedule" "shell" "sockets" "stop"
        "tags" "umask" "user" "watch" "watchdog" "windows"
    ];
    SOCKET = "socket" ["listen" "name"];
    DEPENDENCY = "dependency" ["on" "restart"];
    RESTART = "restart" [
        "cron" "delay" "factor" "give_up" "initial" "jitter" "max" "max_wait" "min_uptime" "monitor_budget" "policy"
        "retry_every" "success_codes" "timezone"
    ];
    BUDGET = "budget" ["max" "within"];
    READY = "ready" ["delay" "log"];
    SCHEDULE = "schedule" ["cron" "missed" "overlap" "timeout" "timezone"];
    WATCH = "watch" ["debounce" "ignore" "paths"];
    STOP = "stop" ["command" "signal" "timeout" "to"];
    WATCHDOG = "watchdog" ["action" "cpu_idle" "evidence" "notify"];
    LOG = "log" ["compress" "keep" "max_size" "stderr" "stdout" "timestamps"];
    LIMITS = "limits" [
        "as" "core" "cpu" "data" "fsize" "locks" "memlock" "msgqueue" "nice" "nofile" "nproc" "rss" "rtprio" "rttime"
        "sigpending" "stack"
    ];
    PORT = "port" [
        "address" "failures" "interval" "on_failure" "owner" "port" "retry_interval" "start_period" "successes"
        "timeout"
    ];
    HEALTH = "health" [
        "ca_file" "expect" "failures" "headers" "insecure" "interval" "method" "on_failure" "redirects"
        "retry_interval" "start_period" "successes" "timeout" "url"
    ];
    EXPECT = "expect" ["body" "json" "status"];
    CHECK_TCP = "check-tcp" [
        "address" "failures" "interval" "kind" "on_failure" "owner" "port" "retry_interval" "start_period" "successes"
        "timeout"
    ];
    CHECK_HTTP = "check-http" [
        "ca_file" "expect" "failures" "headers" "insecure" "interval" "kind" "method" "on_failure" "redirects"
        "retry_interval" "start_period" "successes" "timeout" "url"
    ];
    CHECK_EXEC = "check-exec" [
        "command" "cwd" "env" "failures" "interval" "kind" "on_failure" "retry_interval" "start_period" "successes"
        "timeout"
    ];
    CHECK_OTHER = "check-other" [
        "failures" "interval" "kind" "on_failure" "options" "retry_interval" "start_period" "successes" "timeout"
    ];
}

/// The nearest of some names, if any is near enough to be what was meant.
pub(super) fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let word = plain(word);
    let far = 1 + word.chars().count() / 4;
    names
        .map(|name| (strsim::damerau_levenshtein(&word, &plain(name)), name))
        .filter(|(distance, name)| *distance <= far && *distance < name.len())
        .min()
        .map(|(_, name)| name.to_owned())
}
