//! What the monitors said of the checks of one service's current run.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::Name;

use crate::lifecycle::{BootInstant, CheckFact};

/// One result, as a monitor reported it.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Whether it counts as passing; `None`: not known.
    pub passing: Option<bool>,
    /// Failures so far.
    pub failures: u32,
    /// Of the last check.
    pub latency: Option<Duration>,
    /// When the last check ended.
    pub at: BootInstant,
    /// For a person.
    pub detail: String,
    /// The port belongs to somebody else.
    pub foreign: bool,
    /// Listening, but nobody accepts.
    pub stalled: bool,
}

/// By check, then by monitor: two monitors of one kind both count.
#[derive(Debug, Clone, Default)]
pub struct Reports {
    by_check: BTreeMap<Name, BTreeMap<Name, Report>>,
}

impl Reports {
    /// Takes what a monitor said; returns its previous report.
    pub fn set(&mut self, check: &Name, monitor: &Name, report: Report) -> Option<Report> {
        self.by_check.entry(check.clone()).or_default().insert(monitor.clone(), report)
    }

    /// What one monitor said of a check.
    pub fn by(&self, check: &Name, monitor: &Name) -> Option<&Report> {
        self.by_check.get(check)?.get(monitor)
    }

    /// Forgets what one monitor said of a check; whether it had said anything.
    pub fn remove(&mut self, check: &Name, monitor: &Name) -> bool {
        self.by_check.get_mut(check).is_some_and(|by_monitor| by_monitor.remove(monitor).is_some())
    }

    /// A new run: what was said is about another.
    pub fn clear(&mut self) {
        self.by_check.clear();
    }

    /// Forgets checks that are no longer declared.
    pub fn keep_only(&mut self, spec: &sereno_config::Service) {
        self.by_check.retain(|check, _| spec.checks.contains_key(check));
    }

    /// What a monitor that is gone said goes on to count until somebody says otherwise, but not for evidence.
    pub fn of(&self, check: &Name) -> Option<(&Name, &Report)> {
        // The worst of what they say: failing before unknown before passing.
        let rank = |report: &Report| match report.passing {
            Some(false) => 0,
            None => 1,
            Some(true) => 2,
        };
        self.by_check.get(check)?.iter().min_by_key(|(_, report)| rank(report))
    }

    /// All monitors' words on one check, as one fact.
    pub fn fact(&self, check: &Name, every: Duration) -> Option<CheckFact> {
        let (_, worst) = self.of(check)?;
        Some(CheckFact {
            passing: worst.passing,
            failures: worst.failures,
            foreign: worst.foreign,
            at: worst.at,
            every,
        })
    }

    /// `port own, health 200`: how ready it is, for the line that says so.
    pub fn summary(&self) -> String {
        let words = self.by_check.keys().filter_map(|check| {
            let (_, report) = self.of(check)?;
            Some(if report.detail.is_empty() {
                check.to_string()
            } else {
                format!("{check} {}", report.detail)
            })
        });
        // Checks in the order of a start: a port is open before a page is served.
        let mut words: Vec<String> = words.collect();
        words.sort_by_key(|word| !word.starts_with("port"));
        words.join(", ")
    }
}
