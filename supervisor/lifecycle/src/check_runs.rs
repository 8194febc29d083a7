//! How many checks of a service ended how, over all its runs. Monitors count the checks of each run.

use std::collections::BTreeMap;

use proto::Name;
use serde::{Deserialize, Serialize};

/// How many checks ended how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CheckRuns {
    /// How many passed.
    pub passed: u64,
    /// How many failed.
    pub failed: u64,
}

impl CheckRuns {
    /// Adds what was counted since `before`. A count that is smaller was begun anew.
    fn add_since(&mut self, before: Self, now: Self) {
        let begun_anew = now.passed < before.passed || now.failed < before.failed;
        let before = if begun_anew { Self::default() } else { before };
        self.passed = self.passed.saturating_add(now.passed - before.passed);
        self.failed = self.failed.saturating_add(now.failed - before.failed);
    }
}

/// The counts of all checks of a service.
#[derive(Debug, Clone, Default)]
pub struct CheckTally {
    /// By check, over all runs.
    checks: BTreeMap<Name, CheckRuns>,
    /// What each monitor has counted of each check of the current run.
    counted: BTreeMap<(Name, Name), CheckRuns>,
    /// Whether an earlier supervisor began the run, and has counted a part of its checks.
    taken_over: bool,
}

impl CheckTally {
    /// Handles the begin of a run: monitors count its checks from zero.
    pub fn begin_run(&mut self) {
        self.counted.clear();
        self.taken_over = false;
    }

    /// Handles what a monitor has counted of a check since the run began.
    pub fn reported(&mut self, check: &Name, monitor: &Name, runs: CheckRuns) {
        let before = self.counted.insert((check.clone(), monitor.clone()), runs);
        // The earlier supervisor has counted what it was told: only what is new from now on counts.
        let before = before.or(self.taken_over.then_some(runs)).unwrap_or_default();
        self.checks.entry(check.clone()).or_default().add_since(before, runs);
    }

    /// Returns how many runs of a check ended how.
    pub fn of(&self, check: &Name) -> CheckRuns {
        self.checks.get(check).copied().unwrap_or_default()
    }

    /// Returns its written form.
    pub fn save(&self) -> BTreeMap<String, CheckRuns> {
        self.checks.iter().map(|(check, runs)| (check.to_string(), *runs)).collect()
    }

    /// Restores the counts; the current run was begun by an earlier supervisor.
    pub fn restore(saved: &BTreeMap<String, CheckRuns>) -> Self {
        let known = |(check, runs): (&String, &CheckRuns)| Some((Name::new(check).ok()?, *runs));
        let checks = saved.iter().filter_map(known).collect();
        Self { checks, counted: BTreeMap::new(), taken_over: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_counted_over_runs_monitors_and_upgrades_and_none_twice() {
        let runs = |passed, failed| CheckRuns { passed, failed };
        let name = |text: &str| Name::new(text).expect("a name");
        let (check, here, there) = (name("health"), name("here"), name("there"));
        let mut tally = CheckTally::default();
        for counted in [runs(1, 0), runs(3, 0), runs(3, 2)] {
            tally.reported(&check, &here, counted);
        }
        tally.reported(&check, &there, runs(4, 0));
        assert_eq!(tally.of(&check), runs(7, 2));
        tally.reported(&check, &here, runs(0, 1));
        assert_eq!(tally.of(&check), runs(7, 3), "that monitor began anew");
        tally.begin_run();
        tally.reported(&check, &here, runs(0, 2));
        assert_eq!(tally.of(&check), runs(7, 5));
        let mut next = CheckTally::restore(&tally.save());
        next.reported(&check, &here, runs(1, 2));
        next.reported(&check, &here, runs(2, 2));
        assert_eq!((next.of(&check), next.of(&name("other"))), (runs(8, 5), runs(0, 0)));
    }
}
