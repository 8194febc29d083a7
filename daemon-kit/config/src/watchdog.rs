//! `watchdog = { … }`: what counts as frozen, and what is done about it.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::Name;

use super::keys::{EVIDENCE, ON_FAILURE};
use super::model::{Check, OnFailure};
use super::reader::Reader;

/// When a run counts as frozen although it lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watchdog {
    /// It has used no CPU time for so long.
    pub cpu_idle: Option<Duration>,
    /// … and whether something must show that work is waiting: a check that fails.
    pub evidence: bool,
    /// It promises to say `WATCHDOG=1` at least so often.
    pub notify: Option<Duration>,
    /// What is done about it.
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
    // In `[defaults]` it is the services that have checks, or have none.
    if let Some(node) = table.get("cpu_idle").filter(|_| !service.template)
        && watchdog.evidence
        && checks.is_empty()
    {
        table.bad(node, "has no effect without a check as its evidence: give one, or evidence = \"none\"");
    }
    Some(watchdog)
}
