//! What the monitors reported of the checks of a service's current run.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::Name;

use crate::lifecycle::{BootInstant, CheckFact};

/// A result as a monitor reported it.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Whether the check passes; `None` if unknown.
    pub passing: Option<bool>,
    /// How many failures in a row.
    pub failures: u32,
    /// How long the last check took.
    pub latency: Option<Duration>,
    /// When the last check ended.
    pub at: BootInstant,
    /// The time from one check to the next, now.
    pub every: Duration,
    /// A text for the operator.
    pub detail: String,
    /// The port belongs to another process.
    pub foreign: bool,
    /// The socket listens, but accepts no connections.
    pub stalled: bool,
    /// When the first of the failures that are counted was seen.
    pub failing_since: Option<BootInstant>,
}

impl Report {
    /// Continues the count of failures of the report before.
    #[must_use]
    pub fn going_on_from(mut self, before: Option<&Self>) -> Self {
        if self.failures > 0 || self.passing == Some(false) {
            let earlier = before.and_then(|before| before.failing_since);
            // A monitor that attaches again tells of failures that nobody heard of: as if they were evenly spread.
            let since = self.at.elapsed().saturating_sub(self.every * self.failures.saturating_sub(1));
            self.failing_since = Some(earlier.unwrap_or(BootInstant::since_boot(since)));
        }
        self
    }
}

/// Reports by check, then by monitor: two monitors of the same kind both count.
#[derive(Debug, Clone, Default)]
pub struct Reports {
    by_check: BTreeMap<Name, BTreeMap<Name, Report>>,
    /// Grows with each change.
    revision: u64,
}

impl Reports {
    /// Stores a monitor's report; returns its previous report.
    pub fn set(&mut self, check: &Name, monitor: &Name, report: Report) -> Option<Report> {
        self.revision += 1;
        self.by_check.entry(check.clone()).or_default().insert(monitor.clone(), report)
    }

    /// Returns a monitor's report of a check.
    pub fn by(&self, check: &Name, monitor: &Name) -> Option<&Report> {
        self.by_check.get(check)?.get(monitor)
    }

    /// Forgets a monitor's report of a check. Returns whether there was one.
    pub fn remove(&mut self, check: &Name, monitor: &Name) -> bool {
        let removed = self.by_check.get_mut(check).and_then(|by_monitor| by_monitor.remove(monitor));
        self.revision += u64::from(removed.is_some());
        removed.is_some()
    }

    /// Clears all reports when a new run begins: they were about another run.
    pub fn clear(&mut self) {
        self.revision += 1;
        self.by_check.clear();
    }

    /// Returns a number that grows with each change.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Forgets checks that are no longer declared.
    pub fn keep_only(&mut self, spec: &sereno_config::Service) {
        self.by_check.retain(|check, _| spec.checks.contains_key(check));
    }

    /// Returns the worst report of a check. The report of a detached monitor still counts until another report replaces
    /// it, but not as evidence.
    pub fn of(&self, check: &Name) -> Option<(&Name, &Report)> {
        // The worst report wins: failing before unknown before passing with failures that count before passing.
        let rank = |report: &Report| match report.passing {
            Some(false) => 0,
            None => 1,
            Some(true) if report.failures > 0 => 2,
            Some(true) => 3,
        };
        self.by_check.get(check)?.iter().min_by_key(|(_, report)| rank(report))
    }

    /// Returns all monitors' reports of a check as a single fact.
    pub fn fact(&self, check: &Name) -> Option<CheckFact> {
        let (_, worst) = self.of(check)?;
        Some(CheckFact {
            passing: worst.passing,
            failures: worst.failures,
            foreign: worst.foreign,
            at: worst.at,
            every: worst.every,
        })
    }

    /// Returns a summary for the readiness event, such as `port own, health 200`.
    pub fn summary(&self) -> String {
        let words = self.by_check.keys().filter_map(|check| {
            let (_, report) = self.of(check)?;
            Some(if report.detail.is_empty() {
                check.to_string()
            } else {
                format!("{check} {}", report.detail)
            })
        });
        // Checks are listed in the order of a start: a port is open before a page is served.
        let mut words: Vec<String> = words.collect();
        words.sort_by_key(|word| !word.starts_with("port"));
        words.join(", ")
    }
}
