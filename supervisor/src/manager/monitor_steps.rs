//! What a changed file changes in the monitors and in the guard.

use std::collections::BTreeSet;

use proto::Name;
use sereno_config::{Config, Monitor};

use super::Manager;
use super::command::{Effect, Step};
use super::daemons::{guard_name, monitor_service};
use super::diff::diff;

impl Manager {
    /// Returns what the file would change in the guard and in each monitor that it changes, adds or no longer names.
    pub(super) fn monitor_steps(&self, config: &Config) -> Vec<Step> {
        let names: BTreeSet<&Name> = self.config.monitors.keys().chain(config.monitors.keys()).collect();
        let monitors = names.into_iter().filter_map(|name| self.monitor_step(name, config));
        monitors.chain(self.guard_step(config)).collect()
    }

    fn monitor_step(&self, name: &Name, config: &Config) -> Option<Step> {
        let (old, new) = (self.config.monitors.get(name), config.monitors.get(name));
        let changes = match (old, new) {
            (Some(old), Some(new)) => changes(old, new),
            (None, _) => vec!["added".into()],
            (_, None) => vec!["removed".into()],
        };
        let is_managed = |monitor: Option<&Monitor>| monitor.is_some_and(|monitor| monitor.managed);
        let effect = match (is_managed(old), is_managed(new)) {
            (false, true) => Effect::Start,
            (true, false) => Effect::Stop,
            (true, true) if self.needs_new_process(name, new?) => Effect::Restart,
            _ if changes.is_empty() => return None,
            _ => Effect::Live,
        };
        Some(Step { service: name.clone(), effect, changes })
    }

    fn guard_step(&self, config: &Config) -> Option<Step> {
        let runs = self.guard().is_some() && !self.leaving.contains(&guard_name());
        let (effect, why) = match (runs, self.runs_guard(config)) {
            (false, true) => (Effect::Start, "no built-in monitor guards the supervisor"),
            (true, false) if !config.supervisor.guard.enabled => (Effect::Stop, "guard = false"),
            (true, false) => (Effect::Stop, "a built-in monitor guards the supervisor again"),
            _ => return None,
        };
        Some(Step { service: guard_name(), effect, changes: vec![why.into()] })
    }

    fn needs_new_process(&self, name: &Name, monitor: &Monitor) -> bool {
        let (spec, env) = monitor_service(name, monitor, &self.world.home);
        self.services.get(name).is_some_and(|service| {
            diff(&service.spec, &spec).0 == Effect::Restart || service.env.extra != env
        })
    }
}

/// Returns which keys of a monitor changed, with the old and the new value.
fn changes(old: &Monitor, new: &Monitor) -> Vec<String> {
    let text = |text: &Option<String>, absent: &str| text.clone().unwrap_or_else(|| absent.into());
    let of = |monitor: &Monitor| {
        [
            ("program", text(&monitor.program, "built in")),
            ("args", monitor.args.join(" ")),
            ("kind", monitor.kinds.join(", ")),
            ("managed", monitor.managed.to_string()),
            ("endpoint", text(&monitor.endpoint, "default")),
        ]
    };
    let pairs = of(old).into_iter().zip(of(new));
    let changed = pairs.filter(|((_, before), (_, after))| before != after);
    changed.map(|((key, before), (_, after))| format!("{key}: {before} -> {after}")).collect()
}
