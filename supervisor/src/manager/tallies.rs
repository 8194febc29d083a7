//! Counts for the metrics, which follow the services at the end of each turn in which something has changed.

use sereno_config::OnFailure;

use super::Manager;
use super::begin::Wanted;
use super::found::Found;
use crate::lifecycle::recovery::Condition;
use crate::lifecycle::tally::{HostTally, Tally};
use crate::lifecycle::{BootInstant, Unit};
use crate::service::Service;

impl Manager {
    /// Counts restarts, and times in which services were not ready.
    pub(super) fn count_changes(&mut self, now: BootInstant) {
        let Self { services, tally: host, .. } = self;
        for service in services.values_mut() {
            let Service { unit, tally, spec, role, .. } = service;
            let outage = tally.follow(unit, || condition(unit, spec), now);
            if *role == crate::service::Role::Service
                && let Some(outage) = outage
            {
                host.recoveries.add(outage);
            }
        }
    }

    /// Returns how many services have failed and are not ready again.
    pub(super) fn incidents_open(&self) -> u64 {
        self.services.values().filter(|service| service.is_users() && service.tally.is_failed()).count()
            as u64
    }

    /// Goes on with the counts over all services, if the previous image of this process has just written them.
    pub(super) fn restore_counts(&mut self, found: &Found, wanted: Wanted) {
        let state = found.state.as_ref().filter(|_| wanted == Wanted::HandedOver);
        self.tally = state.map(|state| HostTally::restore(&state.tally)).unwrap_or_default();
        for service in self.services.values_mut() {
            let saved = found.entry(&service.name).map(|entry| entry.tally.clone()).unwrap_or_default();
            service.tally = Tally::restore(&saved, service.unit.restarts(), wanted == Wanted::HandedOver);
        }
    }
}

/// Returns what the checks of a ready service say that would restart it.
fn condition(unit: &Unit, spec: &sereno_config::Service) -> Condition {
    let bad = unit.marks().into_iter().flatten().filter(|(id, mark)| {
        mark.is_bad() && spec.checks.get(*id).is_some_and(|check| check.on_failure == OnFailure::Restart)
    });
    let fails =
        |bad: &crate::lifecycle::Mark| bad.last.as_ref().is_some_and(|last| last.passing == Some(false));
    bad.fold(Condition::Ready, |so_far, (_, mark)| match so_far {
        Condition::Failing => so_far,
        _ if fails(mark) => Condition::Failing,
        _ => Condition::Doubtful,
    })
}
