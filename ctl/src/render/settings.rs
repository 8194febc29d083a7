//! Renders the settings of a service for display; secret values are hidden.

use std::path::Path;
use std::time::Duration;

use proto::Name;
use serde::Serialize;
use sereno_config::Home;
use sereno_config::{
    CheckSpec, Command, DependencyOn, EnvInherit, GiveUp, OnFailure, Overlap, Policy, Ready, Schedule,
    Service, StopTo, Watch, Watchdog,
};

use super::secret::shown;
use super::time::size;

/// A setting and its values, one per line.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) values: Vec<String>,
}

/// Returns all relevant settings; absent ones are left out.
pub(crate) fn service(name: &Name, service: &Service, home: &Home) -> Vec<Setting> {
    let mut all = Vec::new();
    let mut add = |name, values: Vec<String>| {
        if !values.is_empty() {
            all.push(Setting { name, values });
        }
    };
    add("command", vec![command(&service.command)]);
    add("folder", vec![service.cwd.display().to_string()]);
    add("env", service.env.iter().map(|(key, value)| format!("{key}={}", shown(key, value))).collect());
    add("env files", service.env_file.iter().map(|path| path.display().to_string()).collect());
    add("inherits", inherits(&service.env_inherit));
    let user = [("user", &service.user), ("group", &service.group)];
    add("runs as", user.iter().filter_map(|(word, who)| Some(format!("{word} {}", who.as_ref()?))).collect());
    add("autostart", if service.autostart { Vec::new() } else { vec!["no".into()] });
    add("depends on", service.depends_on.iter().map(|(name, edge)| depends(name, edge.on)).collect());
    add("ready", service.ready.iter().map(|ready| self::ready(ready, service.ready_timeout)).collect());
    add("checks", service.checks.iter().map(|(id, check)| self::check(id, check)).collect());
    add("restart", restart(service));
    add("schedule", service.schedule.as_ref().map(schedule).unwrap_or_default());
    add("watch", service.watch.as_ref().map(|watch| self::watch(watch, &service.cwd)).unwrap_or_default());
    add("memory", service.memory_max.iter().map(|most| format!("at most {}", size(*most))).collect());
    add("watchdog", service.watchdog.as_ref().map(watchdog).unwrap_or_default());
    add("stop", vec![stop(service)]);
    let log = |path: &Option<std::path::PathBuf>, stream| {
        path.clone().unwrap_or_else(|| home.log_file(name, stream)).display().to_string()
    };
    add(
        "logs",
        vec![
            log(&service.log.stdout, "out"),
            log(&service.log.stderr, "err"),
            format!("rotated at {}, {} kept", size(service.log.max_size), service.log.keep),
        ],
    );
    all
}

/// Formats a duration as in the file: `1m 30s`, `500ms`.
fn written(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

fn command(command: &Command) -> String {
    match command {
        Command::Argv(argv) => argv.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
        Command::Shell(line) => format!("(shell) {line}"),
    }
}

/// Quotes a word as it could be typed.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn inherits(inherit: &EnvInherit) -> Vec<String> {
    match inherit {
        EnvInherit::All => Vec::new(),
        EnvInherit::None => vec!["nothing of the caller's environment".into()],
        EnvInherit::Only(names) => vec![names.join(" ")],
    }
}

fn depends(name: &Name, on: DependencyOn) -> String {
    let word = match on {
        DependencyOn::Started => "started",
        DependencyOn::Ready => "ready",
        DependencyOn::Completed => "completed",
    };
    format!("{name} {word}")
}

fn ready(ready: &Ready, within: Duration) -> String {
    match ready {
        Ready::Started => "as soon as it is started".into(),
        Ready::Check(id) => format!("{id} passes, within {}", written(within)),
        Ready::Notify => format!("it says READY=1, within {}", written(within)),
        Ready::Log(pattern) => format!("it writes /{pattern}/, within {}", written(within)),
        Ready::Delay(delay) => format!("after {}", written(*delay)),
    }
}

fn check(id: &Name, check: &sereno_config::Check) -> String {
    let what = match &check.spec {
        CheckSpec::Http(http) => format!("{} {}", http.method, shown("url", &http.url)),
        CheckSpec::Tcp { addresses, .. } => addresses.join(" or "),
        CheckSpec::Exec { argv, .. } => argv.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
        CheckSpec::Options(options) => {
            let pairs = options.iter().map(|(key, value)| format!("{key}={}", shown(key, value)));
            pairs.collect::<Vec<_>>().join(" ")
        }
    };
    let limit = match check.window {
        0 => format!("{} in a row", check.failures),
        window => format!("{} of {window}", check.failures),
    };
    let every = written(check.interval);
    format!("{id}: {what} every {every}, time-out {}, failing after {limit}", written(check.timeout))
}

fn restart(service: &Service) -> Vec<String> {
    let policy = &service.restart;
    let cron = policy.cron.as_ref().map(|cron| format!("at {cron:?}"));
    let word = match policy.policy {
        Policy::Always => "always",
        Policy::OnFailure => "on failure",
        Policy::Never => return ["never".to_owned()].into_iter().chain(cron).collect(),
    };
    let end = match policy.give_up {
        GiveUp::Stop => "gives up".to_owned(),
        GiveUp::Retry { every } => format!("tries again every {}", written(every)),
    };
    let delay = match policy.delay {
        Duration::ZERO => String::new(),
        delay => format!(", {} after the exit at the earliest", written(delay)),
    };
    let rules = [
        format!("{word}{delay}"),
        format!(
            "backoff {} × {} up to {}, after {} in a row {end}",
            written(policy.initial),
            policy.factor,
            written(policy.max_wait),
            policy.max
        ),
        format!("stable after {}", written(policy.min_uptime)),
        format!(
            "checks may ask for {} restarts in {}",
            policy.monitor_budget.max,
            written(policy.monitor_budget.within)
        ),
    ];
    rules.into_iter().chain(cron).collect()
}

fn schedule(schedule: &Schedule) -> Vec<String> {
    let busy = match schedule.overlap {
        Overlap::Skip => "passed over",
        Overlap::Queue => "run after it",
        Overlap::Kill => "ends it",
    };
    let missed = if schedule.missed { "made up for once" } else { "not made up for" };
    let longest = schedule.timeout.map(|longest| format!("ended after {}", written(longest)));
    let lines = [
        format!("{:?}", schedule.cron),
        format!("a time while the last run goes: {busy}"),
        format!("a time that was missed: {missed}"),
    ];
    lines.into_iter().chain(longest).collect()
}

fn watch(watch: &Watch, cwd: &Path) -> Vec<String> {
    let paths: Vec<String> = match &watch.paths[..] {
        [] => vec![cwd.display().to_string()],
        paths => paths.iter().map(|path| path.display().to_string()).collect(),
    };
    let ignored = (!watch.ignore.is_empty()).then(|| format!("but not {}", watch.ignore.join(" ")));
    let quiet = format!("restarted {} after the last change", written(watch.debounce));
    paths.into_iter().chain(ignored).chain([quiet]).collect()
}

fn watchdog(watchdog: &Watchdog) -> Vec<String> {
    let then = match watchdog.action {
        OnFailure::Restart => "restart",
        OnFailure::Report => "only said",
    };
    let waits = if watchdog.evidence { " while a check fails" } else { "" };
    let idle = watchdog.cpu_idle.map(|idle| format!("no CPU time for {}{waits}: {then}", written(idle)));
    let silent = watchdog.notify.map(|often| format!("no WATCHDOG=1 for {}: {then}", written(often)));
    [idle, silent].into_iter().flatten().collect()
}

fn stop(service: &Service) -> String {
    let stop = &service.stop;
    let to = match stop.to {
        StopTo::Group => "its group",
        StopTo::Main => "its main process",
    };
    let typed = |argv: &Vec<String>| argv.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    let first = stop.command.as_ref().map(|argv| format!("{}, then ", typed(argv)));
    let (first, timeout) = (first.unwrap_or_default(), written(stop.timeout));
    let evidence = stop.evidence.as_ref().map(|asked| {
        let asked_by: Vec<String> =
            asked.command.as_ref().map(typed).into_iter().chain(asked.signal.clone()).collect();
        format!("; evidence by {} within {}", asked_by.join(" and "), written(asked.timeout))
    });
    let evidence = evidence.unwrap_or_default();
    format!("{first}{} to {to}, SIGKILL to all after {timeout}{evidence}", stop.signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_they_could_be_typed() {
        let argv = ["python", "-c", "print('a b')", ""].map(String::from).to_vec();
        assert_eq!(command(&Command::Argv(argv)), r"python -c 'print('\''a b'\'')' ''");
        assert_eq!(command(&Command::Shell("a | b".into())), "(shell) a | b");
    }
}
