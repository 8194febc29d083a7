//! A number that grows with each change, and that others wait for: it grows at once, and they are told when the turn is
//! over. Between an exit and the next start nobody is woken for it.

use tokio::sync::watch;

/// Such a number.
#[derive(Debug)]
pub(super) struct Generation {
    number: watch::Sender<u64>,
    untold: bool,
}

impl Generation {
    pub(super) fn new(number: watch::Sender<u64>) -> Self {
        Self { number, untold: false }
    }

    /// Which it is.
    pub(super) fn number(&self) -> u64 {
        *self.number.borrow()
    }

    /// Something has changed.
    pub(super) fn grow(&mut self) {
        self.untold = true;
        self.number.send_if_modified(|number| {
            *number += 1;
            false
        });
    }

    /// Tells those who wait, if it has grown since.
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
