//! Reads `watchdog`: when a run counts as frozen, and what follows.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::Name;

use super::keys::{EVIDENCE, ON_FAILURE};
use super::model::{Check, OnFailure};
use super::reader::Reader;

/// The condition under which a living run counts as frozen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watchdog {
    /// Time without any use of the CPU.
    pub cpu_idle: Option<Duration>,
    /// Whether a failing check must show besides that work is waiting.
    pub evidence: bool,
    /// Longest time between two `WATCHDOG=1` of the service.
    pub notify: Option<Duration>,
    /// What follows from a frozen run.
    pub action: OnFailure,
}

/// Reads the `watchdog` of a service.
pub(super) fn read(service: &Reader<'_>, checks: &BTreeMap<Name, Check>) -> Option<Watchdog> {
    let table = service.sub("watchdog")?;
    let watchdog = Watchdog {
        cpu_idle: table.opt_duration("cpu_idle"),
        evidence: table.choice("evidence", &EVIDENCE),
        notify: table.opt_duration("notify"),
        action: table.choice("action", &ON_FAILURE),
    };
    if table.get("cpu_idle").is_none() && table.get("notify").is_none() {
        table.lacks("needs cpu_idle or notify");
    }
    // `[defaults]` have no checks; the services may have some.
    if let Some(node) = table.get("cpu_idle").filter(|_| !service.template)
        && watchdog.evidence
        && checks.is_empty()
    {
        table.bad(node, "has no effect without a check as its evidence: give one, or evidence = \"none\"");
    }
    Some(watchdog)
}
