//! A number that grows with each change. It grows at once, and its waiters are woken when the turn is over: no task is
//! woken between an exit and the next start.

use tokio::sync::watch;

/// A number that grows with each change.
#[derive(Debug)]
pub(super) struct Generation {
    number: watch::Sender<u64>,
    untold: bool,
}

impl Generation {
    pub(super) fn new(number: watch::Sender<u64>) -> Self {
        Self { number, untold: false }
    }

    pub(super) fn number(&self) -> u64 {
        *self.number.borrow()
    }

    /// Grows the number; waiters are not woken yet.
    pub(super) fn grow(&mut self) {
        self.untold = true;
        self.number.send_if_modified(|number| {
            *number += 1;
            false
        });
    }

    /// Wakes the waiters, if the number has grown since the last call.
    pub(super) fn tell(&mut self) {
        if std::mem::take(&mut self.untold) {
            self.number.send_if_modified(|_| true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_at_once_and_is_told_once() {
        let mut generation = Generation::new(watch::Sender::new(7));
        let mut waits = generation.number.subscribe();
        generation.grow();
        generation.grow();
        assert_eq!((generation.number(), waits.has_changed().expect("there")), (9, false));
        generation.tell();
        assert!(waits.has_changed().expect("there"));
        assert_eq!(*waits.borrow_and_update(), 9);
        generation.tell();
        assert!(!waits.has_changed().expect("there"), "nothing is new");
    }
}
