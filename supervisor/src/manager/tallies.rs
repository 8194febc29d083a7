//! Counts for the metrics, which follow the services at the end of each turn in which something has changed.

use super::Manager;
use super::begin::Wanted;
use super::found::Found;
use crate::lifecycle::BootInstant;
use crate::lifecycle::tally::{HostTally, Tally};

impl Manager {
    /// Counts restarts, and times in which services were not ready.
    pub(super) fn count_changes(&mut self, now: BootInstant) {
        for service in self.services.values_mut() {
            service.tally.follow(&service.unit, now);
        }
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
