//! Numbers that grow when what clients see has changed. They follow from a hash of it, so that no change can be
//! forgotten. Waiters are woken when the turn is over: no task is woken between an exit and the next start.

use std::hash::{DefaultHasher, Hash, Hasher};

use tokio::sync::watch;

use super::Manager;
use crate::lifecycle::BootInstant;

/// A number that grows with each change.
#[derive(Debug)]
pub(super) struct Generation {
    number: watch::Sender<u64>,
    /// The hash of what the number stands for.
    of: u64,
    untold: bool,
}

impl Generation {
    pub(super) fn new(number: watch::Sender<u64>) -> Self {
        Self { number, of: 0, untold: false }
    }

    pub(super) fn number(&self) -> u64 {
        *self.number.borrow()
    }

    /// Grows the number if the hash is another, and returns whether it is; waiters are not woken yet.
    fn follow(&mut self, of: u64) -> bool {
        let is_other = std::mem::replace(&mut self.of, of) != of;
        if is_other {
            self.untold = true;
            self.number.send_if_modified(|number| {
                *number += 1;
                false
            });
        }
        is_other
    }

    /// Wakes the waiters, if the number has grown since the last call.
    fn tell(&mut self) {
        if std::mem::take(&mut self.untold) {
            self.number.send_if_modified(|_| true);
        }
    }
}

impl Manager {
    /// Grows both numbers where something has changed, and counts what has. Returns a hash of what a checkpoint saves.
    pub(super) fn follow_changes(&mut self, now: BootInstant) -> u64 {
        self.number_of_targets();
        let saved = self.hash_of_saved(now);
        let view = self.hash_of_view(saved);
        if self.changes.follow(view) {
            self.count_changes(now);
        }
        saved
    }

    /// Returns the number of what monitors watch now, also in the middle of a turn.
    pub(super) fn number_of_targets(&mut self) -> u64 {
        let targets = self.hash_of_targets();
        self.targets.follow(targets);
        self.targets.number()
    }

    /// Wakes everybody who waits for a change.
    pub(super) fn tell_changes(&mut self) {
        self.changes.tell();
        self.targets.tell();
    }

    /// Returns a hash of what monitors watch, and of what a held restart may wait for: a monitor asks again when it has
    /// changed.
    fn hash_of_targets(&self) -> u64 {
        let mut hash = DefaultHasher::new();
        for service in self.services.values().filter(|service| service.is_users()) {
            let live = service.live_incarnation();
            let starting = live.is_some() && !service.unit.is_ready();
            (service.name.as_str(), service.settings(), live, starting).hash(&mut hash);
            (service.is_paused(), service.health.released(), service.knows_rights()).hash(&mut hash);
        }
        hash.finish()
    }

    /// Returns a hash of the units and of how many events there are.
    fn hash_of_saved(&self, now: BootInstant) -> u64 {
        let mut hash = DefaultHasher::new();
        self.world.journal.next_number().hash(&mut hash);
        for service in self.services.runs() {
            (service.name.as_str(), service.settings(), service.unit.fingerprint(now)).hash(&mut hash);
        }
        hash.finish()
    }

    /// Returns a hash of what clients see, but for the ages of things. `saved` is the hash of what is saved.
    fn hash_of_view(&self, saved: u64) -> u64 {
        let mut hash = DefaultHasher::new();
        (saved, &self.home.notice, self.going).hash(&mut hash);
        for attachment in self.attachments.values() {
            (attachment.monitor.as_str(), &attachment.kind, &attachment.blind).hash(&mut hash);
        }
        for service in self.services.runs() {
            (&service.missing, &service.unwatched, service.pause).hash(&mut hash);
            service.health.hash_into(&mut hash);
            service.frozen().hash(&mut hash);
        }
        hash.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_at_once_with_each_other_hash_and_is_told_once() {
        let mut generation = Generation::new(watch::Sender::new(7));
        let mut waits = generation.number.subscribe();
        for of in [1, 1, 2] {
            generation.follow(of);
        }
        assert_eq!((generation.number(), waits.has_changed().expect("there")), (9, false));
        generation.tell();
        assert!(waits.has_changed().expect("there"));
        assert_eq!(*waits.borrow_and_update(), 9);
        generation.tell();
        assert!(!waits.has_changed().expect("there"), "nothing is new");
    }
}
