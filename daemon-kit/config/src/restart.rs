//! `restart = { … }`: how often and how fast a service is started again.

use std::time::Duration;

use super::cron::Cron;
use super::keys;
use super::model::{Budget, GiveUp, Policy, RestartPolicy, Success};
use super::problem::Wrong;
use super::reader::Reader;
use super::schedule;
use super::tree::{Node, Value};
use super::value::{choice, duration, number, signal, whole};

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            policy: Policy::Always,
            success: vec![Success::Code(0)],
            delay: Duration::ZERO,
            initial: Duration::from_millis(500),
            factor: 2.0,
            max_wait: Duration::from_secs(60),
            jitter: 0.1,
            max: 50,
            min_uptime: Duration::from_secs(30),
            give_up: GiveUp::Stop,
            monitor_budget: Budget { max: 10, within: Duration::from_secs(3600) },
            cron: None,
        }
    }
}

/// How often a service that gave up is tried again, where it is.
const RETRY_EVERY: Duration = Duration::from_secs(600);

/// The restart policy of managed monitors and of the guard: they never stay dead.
pub fn daemon_policy() -> RestartPolicy {
    RestartPolicy {
        max_wait: Duration::from_secs(30),
        max: 100,
        min_uptime: Duration::from_secs(60),
        give_up: GiveUp::Retry { every: RETRY_EVERY },
        ..RestartPolicy::default()
    }
}

/// Reads the `restart` of a service.
pub(super) fn read(service: &Reader<'_>) -> RestartPolicy {
    let is_job = schedule::is_job(service);
    let default = RestartPolicy {
        // A job that ran is not to run again before its time.
        policy: if is_job { Policy::Never } else { Policy::Always },
        ..RestartPolicy::default()
    };
    let Some(table) = service.sub("restart", &keys::RESTART) else { return default };
    let (initial, max_wait) = waits(&table, &default);
    RestartPolicy {
        policy: policy(&table, is_job).unwrap_or(default.policy),
        success: table
            .list("success_codes", "exit codes and names of signals", success)
            .unwrap_or(default.success),
        delay: table.opt("delay", duration(Duration::ZERO)).unwrap_or(default.delay),
        initial,
        factor: table.opt("factor", number(1.0..=100.0)).unwrap_or(default.factor),
        max_wait,
        jitter: table.opt("jitter", number(0.0..=0.99)).unwrap_or(default.jitter),
        max: table.opt("max", whole(0..=1_000_000_000)).unwrap_or(default.max),
        min_uptime: table.opt("min_uptime", duration(Duration::ZERO)).unwrap_or(default.min_uptime),
        give_up: give_up(&table),
        monitor_budget: budget(&table, default.monitor_budget),
        cron: cron(&table, is_job),
    }
}

fn policy(table: &Reader<'_>, is_job: bool) -> Option<Policy> {
    let words = [("always", Policy::Always), ("on-failure", Policy::OnFailure), ("never", Policy::Never)];
    let policy = table.opt("policy", choice(&words))?;
    if !is_job || policy != Policy::Always {
        return Some(policy);
    }
    // What `[defaults]` say is meant for services.
    if let Some(node) = table.get("policy").filter(|node| !node.path.starts_with("defaults.")) {
        table.bad(node, "can not be \"always\" beside schedule: a job runs and ends");
    }
    None
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

/// First and longest wait. One that was not given makes room for the other.
fn waits(table: &Reader<'_>, default: &RestartPolicy) -> (Duration, Duration) {
    let initial = table.opt("initial", duration(Duration::ZERO));
    let max_wait = table.opt("max_wait", duration(Duration::ZERO));
    let longest = max_wait.unwrap_or(default.max_wait);
    if let (Some(first), Some(node)) = (initial, table.get("initial"))
        && first > longest
    {
        table.bad(node, format!("must be at most max_wait ({})", humantime::format_duration(longest)));
    }
    (initial.unwrap_or(default.initial.min(longest)), longest)
}

fn success(node: &Node) -> Result<Success, Wrong> {
    match &node.value {
        Value::Integer(code) => i32::try_from(*code).ok().map(Success::Code),
        Value::Text(_) => return signal(node).map(Success::Signal),
        _ => None,
    }
    .ok_or_else(|| "must be an exit code or the name of a signal".into())
}

fn give_up(table: &Reader<'_>) -> GiveUp {
    let retry = table.opt("give_up", choice(&[("stop", false), ("retry", true)])).unwrap_or(false);
    let every = table.opt("retry_every", duration(Duration::from_secs(1)));
    if retry {
        return GiveUp::Retry { every: every.unwrap_or(RETRY_EVERY) };
    }
    // In `[defaults]` it may wait for a service that says `retry`.
    if let Some(node) = table.get("retry_every").filter(|node| !node.path.starts_with("defaults.")) {
        table.bad(node, "has no effect without give_up = \"retry\"");
    }
    GiveUp::Stop
}

fn budget(table: &Reader<'_>, default: Budget) -> Budget {
    let Some(budget) = table.sub("monitor_budget", &keys::BUDGET) else { return default };
    Budget {
        max: budget.opt("max", whole(0..=1_000_000)).unwrap_or(default.max),
        within: budget.opt("within", duration(Duration::from_secs(1))).unwrap_or(default.within),
    }
}
