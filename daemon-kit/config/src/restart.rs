//! Reads `restart`: how often and how fast a service is restarted.

use std::time::Duration;

use super::cron::Cron;
use super::keys::{self, GIVE_UP, POLICIES};
use super::model::{Budget, GiveUp, Policy, RestartPolicy, Success};
use super::problem::Wrong;
use super::reader::Reader;
use super::schedule;
use super::tree::{Node, Value};
use super::value::{choice, signal};

impl Default for RestartPolicy {
    fn default() -> Self {
        Reader::absent(&keys::RESTART, |table| of(table, false))
    }
}

/// Returns the restart policy of managed monitors and of the guard, which are never given up for good.
pub fn daemon_policy() -> RestartPolicy {
    RestartPolicy {
        max_wait: Duration::from_secs(30),
        max: 100,
        min_uptime: Duration::from_secs(60),
        give_up: GiveUp::Retry { every: keys::RESTART.default_duration("retry_every") },
        ..RestartPolicy::default()
    }
}

/// Reads the `restart` of a service.
pub(super) fn read(service: &Reader<'_>) -> RestartPolicy {
    of(&service.sub_or_empty("restart"), schedule::is_job(service))
}

fn of(table: &Reader<'_>, is_job: bool) -> RestartPolicy {
    let (initial, max_wait) = waits(table);
    let budget = table.sub_or_empty("monitor_budget");
    RestartPolicy {
        policy: policy(table, is_job),
        success: table
            .list("success_codes", "exit codes and names of signals", success)
            .unwrap_or_else(|| table.keys.default("success_codes", successes)),
        delay: table.duration("delay"),
        initial,
        factor: table.number("factor"),
        max_wait,
        jitter: table.number("jitter"),
        max: table.whole("max"),
        min_uptime: table.duration("min_uptime"),
        give_up: give_up(table),
        monitor_budget: Budget { max: budget.whole("max"), within: budget.duration("within") },
        cron: cron(table, is_job),
    }
}

fn policy(table: &Reader<'_>, is_job: bool) -> Policy {
    if !is_job {
        return table.choice("policy", &POLICIES);
    }
    match table.opt("policy", choice(&POLICIES)) {
        // A job that has run must not run again before its next time.
        None => return Policy::Never,
        Some(Policy::Always) => {}
        Some(policy) => return policy,
    }
    // An `always` of `[defaults]` is meant for services that are no jobs.
    if let Some(node) = table.get("policy").filter(|node| !node.path.starts_with("defaults.")) {
        table.bad(node, "can not be \"always\" beside schedule: a job runs and ends");
    }
    Policy::Never
}

fn cron(table: &Reader<'_>, is_job: bool) -> Option<Cron> {
    let cron = schedule::times(table);
    if let (Some(node), true) = (table.get("cron"), is_job && !table.template) {
        table.bad(node, "can not stand beside schedule: a job runs at its own times");
    }
    if let Some(node) = table.get("timezone").filter(|_| table.get("cron").is_none() && !table.template) {
        table.bad(node, "has no effect without cron");
    }
    cron
}

/// Reads the first and the longest wait. The default of the first is lowered to the longest.
fn waits(table: &Reader<'_>) -> (Duration, Duration) {
    let initial = table.opt_duration("initial");
    let longest = table.duration("max_wait");
    if let (Some(first), Some(node)) = (initial, table.get("initial"))
        && first > longest
    {
        table.bad(node, format!("must be at most max_wait ({})", humantime::format_duration(longest)));
    }
    (initial.unwrap_or_else(|| table.keys.default_duration("initial").min(longest)), longest)
}

fn success(node: &Node) -> Result<Success, Wrong> {
    match &node.value {
        Value::Integer(code) => i32::try_from(*code).ok().map(Success::Code),
        Value::Text(_) => return signal(node).map(Success::Signal),
        _ => None,
    }
    .ok_or_else(|| "must be an exit code or the name of a signal".into())
}

fn successes(node: &Node) -> Result<Vec<Success>, Wrong> {
    node.list().unwrap_or_default().iter().map(success).collect()
}

fn give_up(table: &Reader<'_>) -> GiveUp {
    let every = table.duration("retry_every");
    if table.choice("give_up", &GIVE_UP) {
        return GiveUp::Retry { every };
    }
    // In `[defaults]` it may be for services with `retry`.
    if let Some(node) = table.get("retry_every").filter(|node| !node.path.starts_with("defaults.")) {
        table.bad(node, "has no effect without give_up = \"retry\"");
    }
    GiveUp::Stop
}
