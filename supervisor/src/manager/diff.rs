//! What a changed file changes in one service: which keys, and whether they need a new process.

use sereno_config::Service;

use super::command::Effect;

/// Compares two versions of a service and describes each change in words. Keys that are read only at a start need a new
/// process, all others take effect live.
pub(super) fn diff(old: &Service, new: &Service) -> (Effect, Vec<String>) {
    let mut changes = Vec::new();
    let mut restart = false;
    macro_rules! compare {
        ($wants_restart:literal: $($key:ident),+) => {$(
            let (before, after) = (format!("{:?}", old.$key), format!("{:?}", new.$key));
            if before != after {
                restart |= $wants_restart;
                changes.push(change(stringify!($key), &before, &after));
            }
        )+};
    }
    compare!(true: command, cwd, env, env_file, env_inherit, user, group, umask, nice, limits, sockets);
    compare!(true: capabilities, no_new_privileges);
    compare!(false: autostart, depends_on, restart, ready, ready_timeout, stop, checks, log, tags, memory_max, watchdog, watch, schedule);
    // The process was given this timeout in WATCHDOG_USEC at its start, and the socket to report to.
    let promise = |service: &Service| service.watchdog.as_ref().and_then(|watchdog| watchdog.notify);
    restart |= promise(old) != promise(new);
    // A service became a job, or the reverse: the current run no longer fits.
    restart |= old.schedule.is_some() != new.schedule.is_some();
    let effect = match (restart, changes.is_empty()) {
        (true, _) => Effect::Restart,
        (false, false) => Effect::Live,
        (false, true) => Effect::None,
    };
    (effect, changes)
}

/// Describes one change. Only plain values are shown: values of env may be secrets, and the debug form of a structure
/// does not help the reader.
fn change(key: &str, before: &str, after: &str) -> String {
    const LONGEST: usize = 60;
    let plain = |text: &str| {
        let text = text.strip_prefix("Some(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(text);
        let text = if text == "None" { "none" } else { text };
        let is_plain = text.len() <= LONGEST && !text.contains(['(', '{', '[']) && key != "env";
        is_plain.then(|| text.to_string())
    };
    match (plain(before), plain(after)) {
        (Some(before), Some(after)) => format!("{key}: {before} -> {after}"),
        _ => key.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sereno_config::Command;
    use std::path::PathBuf;

    #[test]
    fn only_what_the_next_start_reads_wants_a_new_process() {
        let old = Service::new(Command::Argv(vec!["web".into()]), PathBuf::from("/"));
        assert_eq!(diff(&old, &old), (Effect::None, vec![]));

        let mut live = old.clone();
        live.restart.max = 3;
        live.tags.push("x".into());
        let (effect, changes) = diff(&old, &live);
        assert_eq!((effect, changes.len()), (Effect::Live, 2));

        let mut other = live.clone();
        other.env.insert("PASSWORD".into(), "hunter2".into());
        other.nice = Some(5);
        let (effect, changes) = diff(&live, &other);
        assert_eq!((effect, changes), (Effect::Restart, vec!["env".into(), "nice: none -> 5".into()]));
    }
}
